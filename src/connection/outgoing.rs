//! Owns requests on their way out: what a connection must know of one to frame it at the version it negotiated.
//!
//! Must not know what any request is for.

use alloc::boxed::Box;
use alloc::format;

use bytes::{Bytes, BytesMut};

use super::versions::Versions;
use crate::engine::RawRequest;
use crate::error::{Error, ErrorKind, Step};
use crate::messages;
use crate::time::Duration;
use crate::wire::header::{ClientId, RequestHeader, encode_request};
use crate::wire::{
    ApiKey, EncodeError, Message as _, Request, Segments, Str, VersionRange, Writer,
};

/// What identifies a request from hand-in to answer; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// How a request is to be treated on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendOptions {
    /// How long the answer may take: first the wait for a connection, then, anew, from when the request
    /// is the first unanswered one of its connection.
    pub(crate) timeout: Duration,
    /// The versions that can carry what the caller means.
    pub(crate) versions: VersionRange,
    /// Bytes of the response that the caller has taken from the budget (`Category::Fetch`) and hands over.
    pub(crate) allowance: usize,
    /// How long the broker may park the request.
    pub(crate) long_poll: Option<Duration>,
    /// Whether there is an answer at all (acks=0 has none).
    pub(crate) expects_answer: bool,
}

impl SendOptions {
    /// A request that is answered at once, within `timeout`.
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            versions: VersionRange::ANY,
            allowance: 0,
            long_poll: None,
            expects_answer: true,
        }
    }
}

/// A request whose type is forgotten until it is encoded.
pub(crate) trait Outgoing: core::fmt::Debug + Send {
    /// The API that it calls.
    fn api(&self) -> ApiKey;
    /// The versions in which it could be sent.
    fn versions(&self) -> VersionRange;
    /// The whole frame.
    fn encode(
        &self,
        version: i16,
        correlation: i32,
        client_id: &Str,
        buffer: BytesMut,
    ) -> Result<Segments, EncodeError>;
}

/// A request of a known type.
#[derive(Debug)]
pub(crate) struct Typed<R>(pub(crate) R);

impl<R: Request + core::fmt::Debug + Send> Outgoing for Typed<R> {
    fn api(&self) -> ApiKey {
        R::KEY
    }

    fn versions(&self) -> VersionRange {
        messages::stable_versions::<R>()
    }

    fn encode(
        &self,
        version: i16,
        correlation: i32,
        client_id: &Str,
        buffer: BytesMut,
    ) -> Result<Segments, EncodeError> {
        encode_request(
            &self.0,
            version,
            correlation,
            Some(client_id),
            Writer::new(buffer),
        )
    }
}

/// A request that the user encoded.
#[derive(Debug)]
pub(crate) struct Raw {
    api: ApiKey,
    version: i16,
    flexible: bool,
    body: Bytes,
}

impl From<&RawRequest> for Raw {
    fn from(request: &RawRequest) -> Self {
        Self {
            api: request.api,
            version: request.version,
            flexible: request.flexible,
            body: request.body.clone(),
        }
    }
}

impl Outgoing for Raw {
    fn api(&self) -> ApiKey {
        self.api
    }

    fn versions(&self) -> VersionRange {
        VersionRange::new(self.version, self.version)
    }

    fn encode(
        &self,
        version: i16,
        correlation: i32,
        client_id: &Str,
        buffer: BytesMut,
    ) -> Result<Segments, EncodeError> {
        let mut writer = Writer::new(buffer);
        writer.begin_frame();
        let header = RequestHeader {
            request_api_key: self.api.0,
            request_api_version: version,
            correlation_id: correlation,
            client_id: ClientId(Some(client_id.clone())),
        };
        header.encode(&mut writer, if self.flexible { 2 } else { 1 })?;
        writer.shared(&self.body);
        writer.finish_frame()
    }
}

/// A request and how to treat it.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) token: Token,
    pub(crate) request: Box<dyn Outgoing>,
    pub(crate) options: SendOptions,
}

impl Handover {
    /// The highest version in which both sides and the caller can speak, or why there is none.
    pub(super) fn negotiate(&self, versions: &Versions) -> Result<i16, Error> {
        let own = self.request.versions();
        let api = self.request.api();
        let theirs = versions.range(api);
        let common = theirs.and_then(|theirs| theirs.intersection(own));
        if let Some(common) = common.and_then(|common| common.intersection(self.options.versions)) {
            return Ok(common.max);
        }
        let error = Error::new(ErrorKind::Unsupported {
            feature: format!("{api}"),
        });
        Err(match (theirs, common) {
            (None, _) => error
                .with_detail(format!(
                    "this client speaks {api} in versions {own}, the broker not at all"
                ))
                .with_hint("use a broker that has this API"),
            (Some(theirs), None) => error
                .with_detail(format!(
                    "this client speaks {api} in versions {own}, the broker in {theirs}"
                ))
                .with_hint("use a broker, or a client, whose versions overlap with the other's"),
            (Some(_), Some(common)) => error
                .with_detail(format!(
                    "both speak {api} in versions {common}, but only {} can say what is asked",
                    self.options.versions
                ))
                .with_hint("use a broker of a release that has this feature"),
        })
    }
}

/// The error of a request that cannot be put into bytes.
pub(super) fn unencodable(api: ApiKey, version: i16, error: &EncodeError) -> Error {
    Error::new(ErrorKind::Unsupported {
        feature: format!("{api} version {version} with these fields"),
    })
    .with_detail(error)
    .in_step(step_of(api))
}

/// Which step a request belongs to, for errors.
pub(crate) fn step_of(api: ApiKey) -> Step {
    match api {
        ApiKey::API_VERSIONS => Step::ApiVersions,
        ApiKey::METADATA => Step::Metadata,
        ApiKey::INIT_PRODUCER_ID => Step::InitProducerId,
        ApiKey::PRODUCE => Step::Produce,
        ApiKey::FETCH => Step::Fetch,
        ApiKey::LIST_OFFSETS => Step::ListOffsets,
        ApiKey::OFFSET_FOR_LEADER_EPOCH => Step::OffsetForLeaderEpoch,
        ApiKey::FIND_COORDINATOR => Step::FindCoordinator,
        ApiKey::OFFSET_COMMIT => Step::OffsetCommit,
        ApiKey::OFFSET_FETCH => Step::OffsetFetch,
        ApiKey::SASL_HANDSHAKE | ApiKey::SASL_AUTHENTICATE => Step::Authenticate,
        _ => Step::Request,
    }
}
