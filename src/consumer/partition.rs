//! Owns the state of one assigned partition: its position, what is being done to get data for it, and since when.
//!
//! Must not know requests, brokers' connections or the budget: it is told facts, and says what it wants next.

use alloc::sync::Arc;

use super::replica::Nearer;
use super::supply::{Hand, Point, Supply};
use super::types::ResetReason;
use super::{BrokerIndex, PartitionKey};
use crate::cluster::Token;
use crate::engine::OpId;
use crate::error::Error;
use crate::error_code::ErrorCode;
use crate::time::{Duration, Instant};
use crate::timer::TimerId;
use crate::wire::Uuid;

/// Where to look for an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Beginning,
    End,
    /// The first record not older than this, reckoned from when the request is sent (KIP-1106).
    Since(Duration),
}

/// An offset that has to be looked up, and the event that is due when it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Where the user wants to begin.
    Start(Place),
    /// Where `auto.offset.reset` goes on.
    Reset {
        place: Place,
        from: i64,
        why: ResetReason,
    },
}

impl Target {
    pub(crate) const fn place(&self) -> Place {
        match self {
            Self::Start(place) | Self::Reset { place, .. } => *place,
        }
    }

    /// The same, but to be looked for elsewhere.
    pub(crate) const fn at(self, place: Place) -> Self {
        match self {
            Self::Start(_) => Self::Start(place),
            Self::Reset { from, why, .. } => Self::Reset { place, from, why },
        }
    }
}

/// The next offset for the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Where the group committed last.
    Committed,
    Unknown(Target),
    At(Point),
}

/// Who leads the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) broker: BrokerIndex,
    /// -1 where brokers do not say.
    pub(crate) epoch: i32,
}

/// What metadata does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No answer about the topic yet.
    Metadata,
    /// The topic, with the code that brokers give.
    Topic(ErrorCode),
    /// The partition of a topic that has so many.
    Partition { partitions: i32 },
    /// A leader.
    Leader,
}

/// A pause after an error.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    pub(crate) timer: TimerId,
    pub(crate) error: Error,
}

/// How far a question to the leader is.
#[derive(Clone, Debug)]
pub(crate) enum Asking {
    /// To be asked as soon as the leader can be.
    Due,
    /// Asked by this request.
    InFlight(Token),
    /// Asked in vain.
    Backoff(Pause),
}

/// How far the question about the committed offset is.
#[derive(Clone, Debug)]
pub(crate) enum Loading {
    /// To be asked with the next step.
    Due,
    /// Asked by this operation.
    UnderWay(OpId),
    /// Asked in vain.
    Backoff(Pause),
}

/// What is being done to get data.
///
/// ```text
/// Loading ──committed offset, or policy──▶ AwaitingLeader | LookingUp | Validating | Ready
/// AwaitingLeader ──leader──▶ LookingUp ──offset──▶ Ready ◀────────▶ InFlight
///       ▲                        │ in range ▲        │ ▲ new epoch      │
///       └──leader lost───────────┴──────────┼────────┤ └── Validating ◀─┤
///                                           │        │                  │
///             out of range, by policy ──────┘     Backoff ◀── errors ───┤
///             CatchingUp ◀── data lies ahead of the position ───────────┤
///             Blocked    ◀── nothing but the user can help ─────────────┘
/// ```
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// The group's coordinator is asked for the committed offset.
    Loading(Loading),
    /// Nobody to ask; metadata is being asked for.
    AwaitingLeader(Missing),
    /// The position is unknown.
    LookingUp(Asking),
    /// The leader changed since the position was last known to be part of its history.
    Validating(Asking),
    /// Can be part of the next fetch to its leader.
    Ready,
    /// Part of this fetch, which asks the leader of that epoch for data from there on.
    InFlight {
        fetch: Token,
        from: Point,
        leader_epoch: i32,
    },
    /// The broker refused the fetch offset, but the application is not there yet: nothing is asked for until it is,
    /// since an offset read off a damaged batch proves nothing.
    CatchingUp(Error),
    /// An error that may pass.
    Backoff(Pause),
    /// An error that only the user can resolve.
    Blocked(Error),
}

/// How far a partition is the member's: one that the user assigned is so from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The user has yet to hear that it comes: nothing is fetched.
    Coming,
    Owned,
    /// The user has yet to let go of it: nothing more is fetched or lent.
    Going,
}

/// Where the position was when the application came for records and the position has moved since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// Which time that was.
    pub(crate) poll: u64,
    pub(crate) position: Point,
}

/// An assigned partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) key: PartitionKey,
    pub(crate) topic: Arc<str>,
    /// Unique to this position: what was asked or lent under another one is stale.
    pub(crate) version: u64,
    pub(crate) position: Position,
    pub(crate) leader: Option<Leader>,
    /// Only while it is fetched: in other states the leader is asked.
    pub(crate) nearer: Option<Nearer>,
    /// The newest leader epoch whose history is known to contain the fetch offset.
    pub(crate) validated: i32,
    /// Which topic of this name it is, counted by recreations.
    pub(crate) incarnation: Option<u32>,
    state: State,
    since: Instant,
    pub(crate) supply: Supply,
    pub(crate) paused: bool,
    pub(crate) ownership: Ownership,
    /// What lies behind it is with the application, and not yet dealt with as far as anybody knows.
    pub(crate) before: Option<Before>,
    /// What the group is known to have committed for it; negative: nothing.
    pub(crate) committed: i64,
    /// Failures in a row.
    pub(crate) attempts: u32,
    /// When a fetch last brought something, counted in responses: those served longest ago are asked for first.
    pub(crate) served: u64,
    pub(crate) topic_id: Uuid,
    /// What the user was last told, so that it is told once.
    pub(crate) told: Option<ErrorCode>,
    /// What the first batch takes, where that is known to be more than `max.partition.fetch.bytes`.
    pub(crate) least_bytes: usize,
    /// What batches decompress to, in multiples of their size, as far as learnt.
    pub(crate) expansion: usize,
    /// What the first batch is known to need at the least.
    pub(crate) least_allowance: usize,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
}

/// What batches are guessed to decompress to, in multiples of their size.
const EXPANSION: usize = 4;

impl Partition {
    pub(crate) fn new(
        key: PartitionKey,
        topic: Arc<str>,
        position: Position,
        version: u64,
        now: Instant,
    ) -> Self {
        Self {
            key,
            topic,
            version,
            position,
            leader: None,
            nearer: None,
            validated: -1,
            incarnation: None,
            state: State::AwaitingLeader(Missing::Metadata),
            since: now,
            supply: Supply::new(),
            paused: false,
            ownership: Ownership::Owned,
            before: None,
            committed: -1,
            attempts: 0,
            served: 0,
            topic_id: Uuid::ZERO,
            told: None,
            least_bytes: 0,
            expansion: EXPANSION,
            least_allowance: 0,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
        }
    }

    /// Begins to guess anew what batches decompress to.
    pub(crate) const fn forget_expansion(&mut self) {
        self.expansion = EXPANSION;
        self.least_allowance = 0;
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Enters a state; a pause that is left must be disarmed by the caller.
    #[must_use = "the timer of a pause that ends early must be disarmed"]
    pub(crate) fn enter(&mut self, state: State, now: Instant) -> Option<TimerId> {
        self.since = now;
        match core::mem::replace(&mut self.state, state) {
            State::Backoff(pause)
            | State::Loading(Loading::Backoff(pause))
            | State::LookingUp(Asking::Backoff(pause))
            | State::Validating(Asking::Backoff(pause)) => Some(pause.timer),
            State::Loading(Loading::Due | Loading::UnderWay(_))
            | State::AwaitingLeader(_)
            | State::LookingUp(Asking::Due | Asking::InFlight(_))
            | State::Validating(Asking::Due | Asking::InFlight(_))
            | State::Ready
            | State::InFlight { .. }
            | State::CatchingUp(_)
            | State::Blocked(_) => None,
        }
    }

    /// What has to be done next, by what is known: the way out of every state that has come to its end.
    pub(crate) fn next_state(&self, missing: Missing) -> State {
        match self.position {
            // The coordinator is asked, whoever leads.
            Position::Committed => State::Loading(Loading::Due),
            Position::Unknown(_) | Position::At(_) if self.leader.is_none() => {
                State::AwaitingLeader(missing)
            }
            Position::Unknown(_) => State::LookingUp(Asking::Due),
            Position::At(_) if self.needs_validation() => State::Validating(Asking::Due),
            Position::At(_) => State::Ready,
        }
    }

    /// Whether the leader changed since the fetch offset was last known to be in its history (KIP-320).
    fn needs_validation(&self) -> bool {
        self.leader
            .is_some_and(|leader| leader.epoch > self.validated)
            && self.fetch_point().is_some_and(|point| point.epoch >= 0)
    }

    /// The next offset to fetch.
    pub(crate) fn fetch_point(&self) -> Option<Point> {
        match self.position {
            Position::Committed | Position::Unknown(_) => None,
            Position::At(position) => Some(self.supply.end().unwrap_or(position)),
        }
    }

    /// The next offset for the application.
    pub(crate) const fn offset(&self) -> Option<i64> {
        match self.position {
            Position::Committed | Position::Unknown(_) => None,
            Position::At(point) => Some(point.offset),
        }
    }

    /// Whether everything that was fetched has been handed out and returned.
    pub(crate) fn is_caught_up(&self) -> bool {
        match self.supply.hand() {
            Hand::Empty => true,
            Hand::Offered(_) | Hand::Lent(..) | Hand::AwaitingMemory(..) => false,
        }
    }

    /// Whether records may go their way: not while paused, nor while it is on its way to the member or from it.
    pub(crate) const fn is_flowing(&self) -> bool {
        match self.ownership {
            Ownership::Owned => !self.paused,
            Ownership::Coming | Ownership::Going => false,
        }
    }

    /// The position of what was handed out before the poll that is counted `poll`: what auto-commit covers.
    pub(crate) fn covered(&self, poll: u64) -> Option<Point> {
        match (self.position, self.before) {
            (Position::Committed | Position::Unknown(_), _) => None,
            (Position::At(_), Some(before)) if before.poll == poll => Some(before.position),
            (Position::At(position), Some(_) | None) => Some(position),
        }
    }

    /// Whether more data is wanted: not while paused, and not while one response is waiting behind the one that is
    /// being read, or more than `prefetch` bytes are.
    pub(crate) fn has_room(&self, prefetch: usize) -> bool {
        self.is_flowing() && self.supply.chunks() < 2 && self.supply.buffered() <= prefetch
    }

    /// Whether a batch can be lent now.
    pub(crate) const fn is_lendable(&self) -> bool {
        match self.supply.hand() {
            Hand::Offered(_) => self.is_flowing(),
            Hand::Empty | Hand::Lent(..) | Hand::AwaitingMemory(..) => false,
        }
    }
}
