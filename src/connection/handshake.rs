//! Owns the first words on a connection: which question is asked next, and what its answer means.
//!
//! Must not know the connection around it: it gets frames and gives verdicts.

use alloc::format;

use bytes::{Bytes, BytesMut};

use super::versions::Versions;
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::header::{decode_response, encode_request};
use crate::wire::{ApiKey, EncodeError, Message, Segments, Str, Writer};

/// Where the handshake stands. Authentication will be steps of their own before `ApiVersions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeStep {
    /// The broker was asked for its API versions, in this version of the question (KIP-511).
    ApiVersions { version: i16 },
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Ask the next question.
    Next(HandshakeStep),
    /// The connection can be used.
    Done {
        versions: Versions,
        throttle_time_ms: i32,
    },
}

impl HandshakeStep {
    /// The first question, in this client's highest version of it.
    pub(super) const FIRST: Self = Self::ApiVersions {
        version: <ApiVersionsRequest as Message>::STABLE.max,
    };

    pub(super) const fn step(self) -> Step {
        match self {
            Self::ApiVersions { .. } => Step::ApiVersions,
        }
    }

    /// The question, as a frame.
    pub(super) fn ask(
        self,
        correlation: i32,
        client_id: &Str,
        buffer: BytesMut,
    ) -> Result<Segments, EncodeError> {
        match self {
            Self::ApiVersions { version } => encode_request(
                &ApiVersionsRequest {
                    client_software_name: Str::from_static("klamm"),
                    client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
                },
                version,
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
    pub(super) fn on_answer(self, frame: &Bytes) -> Result<Verdict, Error> {
        match self {
            Self::ApiVersions { version } => on_api_versions(version, frame),
        }
    }
}

fn on_api_versions(version: i16, frame: &Bytes) -> Result<Verdict, Error> {
    let refused = frame.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes()[..]);
    // KIP-511: the refusal of a version comes in version 0, whatever was asked.
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
        ErrorCode::UNSUPPORTED_VERSION => downgrade(version, &response),
        code => Err(Error::new(ErrorKind::Broker(code))),
    }
}

fn downgrade(asked: i16, response: &ApiVersionsResponse) -> Result<Verdict, Error> {
    let version = Versions::from_response(response)
        .range(ApiKey::API_VERSIONS)
        .map_or(0, |range| range.max);
    if version >= asked || version < 0 {
        return Err(Error::new(ErrorKind::Unsupported {
            feature: format!("ApiVersions version {asked}"),
        })
        .with_detail("the broker refused the version that it offers"));
    }
    Ok(Verdict::Next(HandshakeStep::ApiVersions { version }))
}
