//! Owns the authentication of one connection (KIP-43, KIP-152): which question comes next, and what its answer means.
//! The same at the beginning of a connection and when the session is renewed (KIP-368).
//!
//! ```text
//! Offer ──versions──▶ Mechanism ──accepted──▶ Talking ◀──▶ Working (a proof or a token is being made)
//!                         ▲                      └──content──▶ authenticated
//!                    a renewal begins here
//! ```
//!
//! Must not know the connection around it: it gets frames and gives verdicts.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::versions::Versions;
use crate::engine::{Job, JobResult};
use crate::error::{Error, ErrorKind, printable};
use crate::error_code::ErrorCode;
use crate::messages::{
    ApiVersionsRequest, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use crate::sasl::{Conversation, Credentials, Move, Nonces, SaslError};
use crate::secret::Secret;
use crate::time::Duration;
use crate::wire::header::{decode_response, encode_request};
use crate::wire::{ApiKey, EncodeError, Request, Segments, Str, Writer};

/// SaslHandshake v1 wraps what follows into SaslAuthenticate. Brokers take no other one since (KAFKA-9577).
const HANDSHAKE_VERSION: i16 = 1;

/// Where the authentication stands.
#[derive(Debug)]
enum Stage {
    /// Which versions the broker has is asked in version 0: a broker takes what it does not know for a token.
    Offer,
    /// The mechanism is asked for.
    Mechanism,
    /// A message of the mechanism is out.
    Talking {
        conversation: Conversation,
        message: Secret<Vec<u8>>,
    },
    /// The next message is being made.
    Working { conversation: Conversation },
    /// It is over, one way or the other.
    Over,
}

/// One authentication.
#[derive(Debug)]
pub(super) struct Authentication {
    credentials: Arc<Credentials>,
    authenticate_version: i16,
    stage: Stage,
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Progress {
    /// Ask the next question.
    Ask,
    /// Have this done, and hand its result in.
    Work(Job),
    /// Both sides are content. A session that ends has to be renewed before.
    Authenticated { lifetime: Option<Duration> },
}

impl Authentication {
    /// That of a new connection.
    pub(super) const fn of_connection(credentials: Arc<Credentials>) -> Self {
        Self {
            credentials,
            authenticate_version: 0,
            stage: Stage::Offer,
        }
    }

    /// That of a connection whose session ends, to a broker of these versions.
    ///
    /// # Errors
    /// The broker has no SASL any more.
    pub(super) fn renewal(
        credentials: Arc<Credentials>,
        versions: &Versions,
    ) -> Result<Self, Error> {
        Ok(Self {
            authenticate_version: authenticate_version(versions)?,
            credentials,
            stage: Stage::Mechanism,
        })
    }

    /// The API of the question that is asked now, and its version.
    pub(super) const fn question(&self) -> (ApiKey, i16) {
        match self.stage {
            Stage::Offer => (ApiKey::API_VERSIONS, 0),
            Stage::Mechanism => (ApiKey::SASL_HANDSHAKE, HANDSHAKE_VERSION),
            Stage::Talking { .. } | Stage::Working { .. } | Stage::Over => {
                (ApiKey::SASL_AUTHENTICATE, self.authenticate_version)
            }
        }
    }

    /// The question, as a frame.
    pub(super) fn ask(
        &self,
        correlation: i32,
        client_id: &Str,
        buffer: BytesMut,
    ) -> Result<Segments, EncodeError> {
        let writer = Writer::new(buffer);
        let (_, version) = self.question();
        match &self.stage {
            Stage::Offer => {
                let request = ApiVersionsRequest::default();
                encode_request(&request, version, correlation, Some(client_id), writer)
            }
            Stage::Mechanism => {
                let request = SaslHandshakeRequest {
                    mechanism: Str::from_static(self.credentials.mechanism().name()),
                };
                encode_request(&request, version, correlation, Some(client_id), writer)
            }
            Stage::Talking { message, .. } => {
                let request = SaslAuthenticateRequest {
                    auth_bytes: Secret(Bytes::copy_from_slice(message)),
                };
                encode_request(&request, version, correlation, Some(client_id), writer)
            }
            Stage::Working { .. } | Stage::Over => {
                debug_assert!(false, "a question without a message");
                let request = SaslAuthenticateRequest::default();
                encode_request(&request, version, correlation, Some(client_id), writer)
            }
        }
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// The broker refuses, is not Kafka, or is not the one that it pretends to be.
    pub(super) fn on_answer(
        &mut self,
        frame: &Bytes,
        nonces: &mut Nonces,
    ) -> Result<Progress, Error> {
        let (_, version) = self.question();
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Offer => {
                let response = read::<ApiVersionsRequest>(frame, version)?;
                check(response.error_code, None)?;
                self.authenticate_version =
                    authenticate_version(&Versions::from_response(&response))?;
                self.stage = Stage::Mechanism;
                Ok(Progress::Ask)
            }
            Stage::Mechanism => {
                let response = read::<SaslHandshakeRequest>(frame, version)?;
                let code = ErrorCode(response.error_code);
                if code == ErrorCode::UNSUPPORTED_SASL_MECHANISM {
                    return Err(self.unsupported_mechanism(&response.mechanisms));
                }
                check(code.0, None)?;
                let (conversation, next) = self.credentials.begin(nonces);
                self.go_on(conversation, next, None)
            }
            Stage::Talking {
                mut conversation, ..
            } => {
                let response = read::<SaslAuthenticateRequest>(frame, version)?;
                let SaslAuthenticateResponse {
                    error_code,
                    error_message,
                    auth_bytes,
                    session_lifetime_ms,
                } = response;
                if ErrorCode(error_code) == ErrorCode::SASL_AUTHENTICATION_FAILED
                    && let Err(error) = conversation.on_message(&auth_bytes)
                    && matches!(error, SaslError::Refused(_))
                {
                    return Err(distrust(&error));
                }
                check(error_code, error_message.as_ref())?;
                let next = conversation
                    .on_message(&auth_bytes)
                    .map_err(|error| distrust(&error))?;
                let lifetime = u64::try_from(session_lifetime_ms)
                    .ok()
                    .filter(|lifetime| *lifetime > 0)
                    .map(Duration::from_millis);
                self.go_on(conversation, next, lifetime)
            }
            Stage::Working { .. } | Stage::Over => Err(Error::new(ErrorKind::Protocol)
                .with_detail("the broker answered a question that was not asked")),
        }
    }

    /// The work is done.
    ///
    /// # Errors
    /// It could not be done.
    pub(super) fn on_job(&mut self, result: JobResult) -> Result<Progress, Error> {
        let Stage::Working { mut conversation } = core::mem::replace(&mut self.stage, Stage::Over)
        else {
            return Err(Error::new(ErrorKind::Misuse).with_detail("work that nobody gave away"));
        };
        let next = match result {
            JobResult::Proven {
                proof,
                server_signature,
            } => conversation.on_proofs(&proof, server_signature),
            JobResult::Token(Ok(token)) => conversation.on_token(&token),
            JobResult::Token(Err(why)) => {
                return Err(Error::new(ErrorKind::Unauthenticated)
                    .with_detail(format!("there is no token: {}", printable(&why)))
                    .with_hint("see to it that the token callback gives a token in time"));
            }
            JobResult::Refused => {
                return Err(Error::new(ErrorKind::Unauthenticated)
                    .with_detail("the work of authentication was refused by the driver")
                    .with_hint("OAUTHBEARER needs a token callback"));
            }
            JobResult::Compressed(_) => None,
        };
        match next {
            Some(next) => self.go_on(conversation, next, None),
            None => Err(Error::new(ErrorKind::Misuse)
                .with_detail("the result of a job is not that of this job")),
        }
    }

    fn go_on(
        &mut self,
        conversation: Conversation,
        next: Move,
        lifetime: Option<Duration>,
    ) -> Result<Progress, Error> {
        Ok(match next {
            Move::Say(message) => {
                self.stage = Stage::Talking {
                    conversation,
                    message,
                };
                Progress::Ask
            }
            Move::Prove(proofs) => {
                self.stage = Stage::Working { conversation };
                Progress::Work(Job::Prove(Box::new(proofs)))
            }
            Move::FetchToken => {
                self.stage = Stage::Working { conversation };
                Progress::Work(Job::FetchToken)
            }
            Move::Finish => Progress::Authenticated { lifetime },
        })
    }

    fn unsupported_mechanism(&self, offered: &[Str]) -> Error {
        let names: Vec<String> = offered.iter().map(|name| printable(name)).collect();
        Error::new(ErrorKind::Broker(ErrorCode::UNSUPPORTED_SASL_MECHANISM))
            .with_detail(format!(
                "this client asked for {}, the listener has {}",
                self.credentials.mechanism(),
                names.join(", ")
            ))
            .with_hint("set sasl.mechanism to one that the listener has")
    }
}

fn authenticate_version(versions: &Versions) -> Result<i16, Error> {
    let has_handshake = versions
        .range(ApiKey::SASL_HANDSHAKE)
        .is_some_and(|range| range.contains(HANDSHAKE_VERSION));
    versions
        .max_version::<SaslAuthenticateRequest>()
        .filter(|_| has_handshake)
        .ok_or_else(|| {
            Error::new(ErrorKind::Unsupported {
                feature: String::from("SASL"),
            })
            .with_detail("the broker names neither SaslHandshake v1 nor SaslAuthenticate")
            .with_hint("set security.protocol to PLAINTEXT or SSL, or use a listener with SASL")
        })
}

fn read<R: Request>(frame: &Bytes, version: i16) -> Result<R::Response, Error> {
    decode_response::<R>(frame.clone(), version)
        .map(|(_, response)| response)
        .map_err(|error| {
            Error::new(ErrorKind::Protocol)
                .with_detail(error)
                .with_hint("check that the port is that of a Kafka listener with SASL")
        })
}

fn check(code: i16, message: Option<&Str>) -> Result<(), Error> {
    let code = ErrorCode(code);
    if code == ErrorCode::NONE {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Broker(code));
    let error = match message {
        Some(message) if !message.is_empty() => error.with_detail(printable(message)),
        Some(_) | None => error,
    };
    Err(match code {
        ErrorCode::SASL_AUTHENTICATION_FAILED => error
            .with_hint("check sasl.username and sasl.password, and that the user exists for this sasl.mechanism"),
        ErrorCode::ILLEGAL_SASL_STATE => error.with_hint(
            "the listener does not authenticate: set security.protocol to PLAINTEXT or SSL, or use a listener with SASL",
        ),
        _ => error,
    })
}

fn distrust(error: &SaslError) -> Error {
    let seen = printable(&format!("{error}"));
    let told = Error::new(ErrorKind::Unauthenticated).with_detail(seen);
    match error {
        SaslError::Refused(_) => told.with_hint("check the credentials or the token"),
        SaslError::ServerSignature => told
            .with_hint("somebody else may stand in the broker's place: check host, port and TLS"),
        SaslError::Iterations(_) | SaslError::Malformed(_) => {
            told.with_hint("check that the listener is that of a Kafka broker")
        }
    }
}
