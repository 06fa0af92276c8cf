//! Owns the place of one connection in the pool: whom it is for, where that peer lives, what waits for it, and how far
//! the way to it is.
//!
//! ```text
//! Idle ──demand──▶ Resolving ──addresses──▶ Attached ──all addresses failed, or lost──▶ Backoff ──over──▶ Idle
//!                      │                       │  ▲                                         ▲
//!                      │                       │  └── next address                          │
//!                      └──── no addresses ─────┼────────────────────────────────────────────┘
//!                                              └──not needed, or the peer moved──▶ Retiring ──closed──▶ Idle
//! ```
//!
//! Must not know what waits, beyond that it waits.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::collections::VecMap;
use crate::connection::{Handover, Token};
use crate::engine::{ConnectionGroup, ConnectionId, Host, Peer, ResolveId};
use crate::error::Error;
use crate::time::Instant;
use crate::timer::TimerId;

/// What the pool is keyed by: one connection each, however many ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotKey {
    pub(super) peer: Peer,
    pub(super) group: ConnectionGroup,
}

/// Where a peer listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// How far the way to the peer is.
#[derive(Debug)]
pub(super) enum Link {
    /// There is no connection, and none is being made.
    Idle,
    /// The name is being looked up.
    Resolving { id: ResolveId, timer: TimerId },
    /// One address is being tried, or is connected.
    Attached {
        conn: ConnectionId,
        /// The addresses that have not been tried.
        left: VecDeque<SocketAddr>,
    },
    /// The connection takes nothing on any more, and is closed when its last answer has come.
    Retiring { conn: ConnectionId },
    /// The last attempt failed; the next one is not before the timer.
    Backoff { timer: TimerId },
}

impl Link {
    /// The connection that requests may be sent over, if it is ready.
    pub(super) const fn attached(&self) -> Option<ConnectionId> {
        match self {
            Self::Attached { conn, .. } => Some(*conn),
            Self::Idle | Self::Resolving { .. } | Self::Retiring { .. } | Self::Backoff { .. } => {
                None
            }
        }
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Slot {
    /// `None` while nobody knows where the peer is.
    pub(super) location: Option<Location>,
    pub(super) link: Link,
    /// What waits for the connection, in the order in which it came.
    pub(super) queue: VecMap<Token, Handover>,
    /// Whether a role waits to hear that the connection can take a request.
    pub(super) awaited: bool,
    /// When the last attempt began.
    pub(super) since: Instant,
    /// Attempts in a row that failed; only a completed handshake clears it.
    pub(super) failures: u32,
    pub(super) last_error: Option<Error>,
}

impl Slot {
    pub(super) const fn new(location: Option<Location>) -> Self {
        Self {
            location,
            link: Link::Idle,
            queue: VecMap::new(),
            awaited: false,
            since: Instant::START,
            failures: 0,
            last_error: None,
        }
    }

    /// Whether anybody wants a connection.
    pub(super) fn is_wanted(&self) -> bool {
        self.awaited || !self.queue.is_empty()
    }

    /// Whether the slot holds nothing worth keeping.
    pub(super) fn is_vacant(&self) -> bool {
        self.location.is_none() && !self.is_wanted() && matches!(self.link, Link::Idle)
    }
}
