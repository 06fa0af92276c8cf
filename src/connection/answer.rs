//! Owns what becomes of a request: an answer, or why there is none and whether it may have been applied.
//!
//! Must not know what the answer says.

use bytes::Bytes;

use crate::budget::Category;
use crate::engine::{ConnectionId, NodeId};
use crate::error::Error;
use crate::wire::ApiKey;

/// The end of a request: exactly one for each token that was not abandoned.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The broker answered.
    Response(Response),
    /// The socket has taken a request that has no answer (acks=0): success without a promise.
    Sent,
    /// There is no answer.
    Failed(RequestError),
}

/// An undecoded response; its memory is charged until it is decoded and released.
#[derive(Debug)]
pub(crate) struct Response {
    /// The connection that it came over.
    pub(crate) connection: ConnectionId,
    /// Who sent it; `None` for a bootstrap server, whose id is not known.
    pub(crate) node: Option<NodeId>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    /// The frame from the correlation id on.
    pub(super) frame: Bytes,
    pub(super) category: Category,
    pub(super) charged: usize,
}

impl Response {
    /// Splits into what is decoded and what pays for its memory.
    pub(crate) fn into_parts(self) -> (Bytes, Held) {
        let frame = self.frame.clone();
        let held = Held {
            connection: self.connection,
            api: self.api,
            version: self.version,
            bytes: self.frame,
            category: self.category,
            charged: self.charged,
        };
        (frame, held)
    }
}

/// The memory of a response, until it is given back with `Cluster::release`.
#[derive(Debug)]
#[must_use = "the budget gets its bytes back only through Cluster::release"]
pub(crate) struct Held {
    pub(crate) connection: ConnectionId,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) bytes: Bytes,
    pub(crate) category: Category,
    pub(crate) charged: usize,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestError {
    pub(crate) error: Error,
    /// `false` only when proven: never written, or the socket had not accepted all bytes of its frame.
    pub(crate) maybe_applied: bool,
    pub(crate) cause: FailureCause,
}

impl RequestError {
    /// A request that no socket has seen.
    pub(crate) const fn unsent(error: Error, cause: FailureCause) -> Self {
        Self {
            error,
            maybe_applied: false,
            cause,
        }
    }
}

/// What a caller distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// The connection was lost, or never came to be.
    Disconnected,
    /// This request had to wait too long, for a connection or for its answer.
    TimedOut,
    /// The broker does not have the API, or not in a version that can carry the request.
    Unsupported,
    /// The client is closed.
    Closed,
}
