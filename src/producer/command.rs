//! Owns the producer's border: its commands and replies as plain data, and the events that answer later.
//!
//! Must not know how any of them is carried out.

use core::ops::Range;

use super::outcome::Outcome;
use crate::engine::{OpId, RawRequest, RawResponse, TopicHandle};
use crate::error::Error;
use crate::record::RecordRef;
use crate::time::Instant;

/// What the user of a producer can ask for, as plain data that a recorder can write down.
#[derive(Clone, Debug)]
pub enum ProducerCommand<'a> {
    /// See [`ProducerEngine::topic`](super::ProducerEngine::topic).
    Topic {
        /// Its name.
        name: &'a str,
    },
    /// See [`ProducerEngine::append`](super::ProducerEngine::append).
    Append {
        /// Where to.
        topic: TopicHandle,
        /// The partition; `None`: by the key, or sticky without one.
        partition: Option<i32>,
        /// The records, in order.
        records: &'a [RecordRef<'a>],
    },
    /// See [`ProducerEngine::cancel_wait`](super::ProducerEngine::cancel_wait).
    CancelWait {
        /// What was waited for.
        on: BlockedOn,
        /// Of which topic the metadata was waited for.
        topic: TopicHandle,
    },
    /// See [`ProducerEngine::flush`](super::ProducerEngine::flush).
    Flush,
    /// See [`ProducerEngine::request`](super::ProducerEngine::request).
    Request(RawRequest),
    /// See [`ProducerEngine::detach`](super::ProducerEngine::detach).
    Detach {
        /// Which operation.
        op: OpId,
    },
    /// See [`ProducerEngine::close`](super::ProducerEngine::close).
    Close {
        /// Until when records may still be delivered.
        deadline: Instant,
    },
}

/// What a command answers at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProducerReply {
    /// Answers [`ProducerCommand::Topic`].
    Topic(Result<TopicHandle, Error>),
    /// Answers [`ProducerCommand::Append`].
    Appended(Result<Appended, AppendError>),
    /// Answers the commands that take longer: an event with this id follows.
    Op(OpId),
    /// Answers the commands that have nothing to say.
    Done,
}

/// Records that were accepted: each ticket of the range gets exactly one [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where they go.
    pub partition: i32,
    /// One ticket a record, in their order; tickets count up from 0 within a partition.
    pub tickets: Range<u64>,
}

/// Why no record was accepted; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Not now. The interest is registered: [`ProducerEvent::Unblocked`] follows, after which it is worth another try.
    Blocked {
        /// What is waited for.
        on: BlockedOn,
    },
    /// The call will not be accepted as it is.
    Refused(Error),
}

/// What an append waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedOn {
    /// The topic's partitions are not known yet.
    Metadata,
    /// `buffer.memory` is full.
    Memory,
}

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicStatus {
    /// Its partitions are known.
    Known {
        /// How many there are.
        partitions: i32,
    },
    /// Nobody has answered yet.
    Asked,
    /// The cluster answered that there is no such topic, or not for this client; it is asked again from time to time.
    Failed(Error),
}

/// What the user of a producer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProducerEvent {
    /// What became of accepted records.
    Outcome {
        /// Of which topic.
        topic: TopicHandle,
        /// Of which partition.
        partition: i32,
        /// Which records.
        tickets: Range<u64>,
        /// What became of them.
        outcome: Outcome,
    },
    /// What an append was blocked on is there, or the answer to it is worth another call.
    Unblocked {
        /// What was waited for.
        on: BlockedOn,
        /// Of which topic the metadata was waited for; `None` for memory.
        topic: Option<TopicHandle>,
    },
    /// All records accepted before this flush have their outcome.
    Flushed {
        /// Which flush.
        op: OpId,
    },
    /// The answer to a request made by hand.
    Response {
        /// Which request.
        op: OpId,
        /// The answer, or why there is none.
        result: Result<RawResponse, Error>,
    },
    /// The producer is closed: all records have their outcome, all sockets are gone.
    Closed {
        /// Which close.
        op: OpId,
        /// What was left undone.
        report: CloseReport,
    },
    /// Trouble that is no record's outcome (yet): no broker can be reached, no producer id is given out.
    /// Equal ones are told once a minute at the most.
    Problem(Error),
}

/// What a close left undone at its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Records that ended `Rejected` because there was no time left.
    pub rejected: u64,
    /// Records that ended `Unknown` because there was no time left.
    pub unknown: u64,
    /// Requests made by hand that were given up.
    pub requests: usize,
}
