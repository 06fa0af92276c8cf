//! Owns the first words on a connection: which question is asked next, and what its answer means.
//!
//! Must not know the connection around it: it gets frames and gives verdicts.

use alloc::format;

use alloc::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::authentication::{Authentication, Progress};
use super::versions::Versions;
use crate::engine::{Job, JobResult};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::sasl::{Credentials, Nonces};
use crate::time::Duration;
use crate::wire::header::{decode_response, encode_request};
use crate::wire::{ApiKey, EncodeError, Message, Segments, Str, Writer};

/// Where the handshake stands.
#[derive(Debug)]
pub(super) enum HandshakeStep {
    /// Client and broker prove who they are.
    Authentication(Authentication),
    /// The broker was asked for its API versions, in this version of the question (KIP-511).
    ApiVersions { version: i16 },
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Ask the next question, which the step knows.
    Ask,
    /// Have this done first.
    Work(Job),
    /// The step is over, and the next one begins. A session that ends has to be renewed before.
    Authenticated { lifetime: Option<Duration> },
    /// The connection can be used.
    Done {
        versions: Versions,
        throttle_time_ms: i32,
    },
}

impl HandshakeStep {
    /// The first step of a connection.
    pub(super) fn first(credentials: Option<&Arc<Credentials>>) -> Self {
        match credentials {
            Some(credentials) => {
                Self::Authentication(Authentication::of_connection(Arc::clone(credentials)))
            }
            None => Self::api_versions(),
        }
    }

    /// The step that ends every handshake, in this client's highest version of the question.
    pub(super) const fn api_versions() -> Self {
        Self::ApiVersions {
            version: <ApiVersionsRequest as Message>::STABLE.max,
        }
    }

    pub(super) const fn step(&self) -> Step {
        match self {
            Self::Authentication(_) => Step::Authenticate,
            Self::ApiVersions { .. } => Step::ApiVersions,
        }
    }

    /// The question, as a frame.
    pub(super) fn ask(
        &self,
        correlation: i32,
        client_id: &Str,
        buffer: BytesMut,
    ) -> Result<Segments, EncodeError> {
        match self {
            Self::Authentication(authentication) => {
                authentication.ask(correlation, client_id, buffer)
            }
            Self::ApiVersions { version } => encode_request(
                &ApiVersionsRequest {
                    client_software_name: Str::from_static("klamm"),
                    client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
                },
                *version,
                correlation,
                Some(client_id),
                Writer::new(buffer),
            ),
        }
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// The broker refuses, or it is not Kafka.
    pub(super) fn on_answer(
        &mut self,
        frame: &Bytes,
        nonces: &mut Nonces,
    ) -> Result<Verdict, Error> {
        match self {
            Self::Authentication(authentication) => {
                authentication.on_answer(frame, nonces).map(Verdict::from)
            }
            Self::ApiVersions { version } => on_api_versions(version, frame),
        }
    }

    /// The work that an answer led to is done.
    ///
    /// # Errors
    /// It could not be done.
    pub(super) fn on_job(&mut self, result: JobResult) -> Result<Verdict, Error> {
        match self {
            Self::Authentication(authentication) => {
                authentication.on_job(result).map(Verdict::from)
            }
            Self::ApiVersions { .. } => {
                Err(Error::new(ErrorKind::Misuse).with_detail("work that nobody gave away"))
            }
        }
    }
}

impl From<Progress> for Verdict {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Ask => Self::Ask,
            Progress::Work(job) => Self::Work(job),
            Progress::Authenticated { lifetime } => Self::Authenticated { lifetime },
        }
    }
}

fn on_api_versions(asked: &mut i16, frame: &Bytes) -> Result<Verdict, Error> {
    let refused = frame.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes()[..]);
    // KIP-511: the refusal of a version comes in version 0, whatever was asked.
    let version = *asked;
    let read = if refused { 0 } else { version };
    let (_, response) =
        decode_response::<ApiVersionsRequest>(frame.clone(), read).map_err(|error| {
            Error::new(ErrorKind::Protocol)
                .with_detail(error)
                .with_hint("check that the port is that of a Kafka listener")
        })?;
    match ErrorCode(response.error_code) {
        ErrorCode::NONE => Ok(Verdict::Done {
            versions: Versions::from_response(&response),
            // Before version 2 the broker has waited itself (KIP-219).
            throttle_time_ms: if version >= 2 {
                response.throttle_time_ms
            } else {
                0
            },
        }),
        ErrorCode::UNSUPPORTED_VERSION => {
            *asked = downgrade(version, &response)?;
            Ok(Verdict::Ask)
        }
        code => Err(Error::new(ErrorKind::Broker(code))),
    }
}

fn downgrade(asked: i16, response: &ApiVersionsResponse) -> Result<i16, Error> {
    let version = Versions::from_response(response)
        .range(ApiKey::API_VERSIONS)
        .map_or(0, |range| range.max);
    if version >= asked || version < 0 {
        return Err(Error::new(ErrorKind::Unsupported {
            feature: format!("ApiVersions version {asked}"),
        })
        .with_detail("the broker refused the version that it offers"));
    }
    Ok(version)
}
