//! Owns a member of a classic group: what it said of itself, what it was given, and which request of it waits.
//!
//! Must not know the other members.

use bytes::Bytes;
use klamm::messages::{JoinGroupRequest, JoinGroupRequestProtocol};
use klamm::{Duration, Instant, Str};

use crate::connection::ConnectionKey;

/// The request of a member that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Nothing,
    /// A JoinGroup waits for the others to join.
    Join(ConnectionKey),
    /// A SyncGroup waits for the leader's assignment.
    Sync(ConnectionKey),
}

/// Whether the coordinator expects heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// It joined for the first time and never got an answer: it may not even know its id.
    New { until: Instant },
    /// It is to be heard of before this time.
    Alive { until: Instant },
    /// The time went by while a request of it waited, which counts as a sign of life; that answer begins a new session.
    Satisfied,
}

/// A member of a classic group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: Str,
    /// `group.instance.id` (KIP-345).
    pub(super) instance: Option<Str>,
    pub(super) client_id: Str,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// The protocols it can work with, the preferred one first, each with its subscription.
    pub(super) protocols: Vec<JoinGroupRequestProtocol>,
    pub(super) assignment: Bytes,
    pub(super) waiting: Waiting,
    pub(super) session: Session,
}

impl Member {
    pub(super) fn new(id: Str, client_id: Str, request: &JoinGroupRequest, until: Instant) -> Self {
        let mut member = Self {
            id,
            instance: request.group_instance_id.as_ref().map(Str::detached),
            client_id,
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            waiting: Waiting::Nothing,
            session: Session::New { until },
        };
        member.update(request);
        member
    }

    /// Takes over what a JoinGroup says.
    pub(super) fn update(&mut self, request: &JoinGroupRequest) {
        self.session_timeout = millis(request.session_timeout_ms);
        // Version 0 has no time of its own for rebalances.
        self.rebalance_timeout = if request.rebalance_timeout_ms < 0 {
            self.session_timeout
        } else {
            millis(request.rebalance_timeout_ms)
        };
        self.protocols.clone_from(&request.protocols);
    }

    /// It was heard of.
    pub(super) fn renew_session(&mut self, now: Instant) {
        let until = now + self.session_timeout;
        self.session = match self.session {
            Session::New { .. } => Session::New { until },
            Session::Alive { .. } | Session::Satisfied => Session::Alive { until },
        };
    }

    /// Its JoinGroup was answered, so it knows its id.
    pub(super) fn begin_session(&mut self, now: Instant) {
        let until = now + self.session_timeout;
        self.session = Session::Alive { until };
    }

    pub(super) fn session_end(&self) -> Option<Instant> {
        match self.session {
            Session::New { until } | Session::Alive { until } => Some(until),
            Session::Satisfied => None,
        }
    }

    pub(super) fn awaits_join(&self) -> bool {
        matches!(self.waiting, Waiting::Join(_))
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| known.name == *protocol)
    }

    /// What it said for `protocol`.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let mut known = self.protocols.iter();
        let found = known.find(|known| known.name == *protocol);
        found
            .map(|found| found.metadata.clone())
            .unwrap_or_default()
    }
}

/// Milliseconds of a request; what is below zero is none.
pub(crate) fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
