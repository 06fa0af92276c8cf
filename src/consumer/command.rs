//! Owns the consumer's border: its commands and replies as plain data.
//!
//! Must not know how any of them is carried out.

use alloc::vec::Vec;

use super::types::{
    Assignment, LentBatch, OffsetSpec, RebalanceId, RebalanceListener, Return, Start,
};
use crate::engine::{OpId, RawRequest, TopicPartition};
use crate::error::Error;
use crate::group::OffsetAndMetadata;
use crate::time::Instant;

/// What the user of a consumer can ask for, as plain data that a recorder can write down.
#[derive(Clone, Debug)]
pub enum ConsumerCommand<'a> {
    /// See [`ConsumerEngine::assign`](super::ConsumerEngine::assign).
    Assign(&'a [Assignment<'a>]),
    /// See [`ConsumerEngine::subscribe`](super::ConsumerEngine::subscribe).
    Subscribe {
        /// The topics.
        topics: &'a [&'a str],
        /// Whether rebalances wait for an answer.
        listener: RebalanceListener,
    },
    /// See [`ConsumerEngine::subscribe_pattern`](super::ConsumerEngine::subscribe_pattern).
    SubscribePattern {
        /// What topics match.
        pattern: &'a str,
        /// Whether rebalances wait for an answer.
        listener: RebalanceListener,
    },
    /// See [`ConsumerEngine::rebalance_done`](super::ConsumerEngine::rebalance_done).
    RebalanceDone {
        /// What the application was asked.
        id: RebalanceId,
    },
    /// See [`ConsumerEngine::begin_poll`](super::ConsumerEngine::begin_poll).
    BeginPoll,
    /// See [`ConsumerEngine::seek`](super::ConsumerEngine::seek).
    Seek {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// Where to.
        to: Start,
    },
    /// See [`ConsumerEngine::pause`](super::ConsumerEngine::pause).
    Pause {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
    },
    /// See [`ConsumerEngine::resume`](super::ConsumerEngine::resume).
    Resume {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
    },
    /// See [`ConsumerEngine::next_batch`](super::ConsumerEngine::next_batch).
    NextBatch,
    /// See [`ConsumerEngine::return_batch`](super::ConsumerEngine::return_batch).
    Return(Return),
    /// See [`ConsumerEngine::return_and_next`](super::ConsumerEngine::return_and_next).
    ReturnAndNext(Return),
    /// See [`ConsumerEngine::list_offsets`](super::ConsumerEngine::list_offsets).
    ListOffsets {
        /// What to look up.
        spec: OffsetSpec,
        /// Of which partitions.
        partitions: Vec<TopicPartition>,
    },
    /// See [`ConsumerEngine::commit`](super::ConsumerEngine::commit).
    Commit {
        /// What to commit.
        offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
    },
    /// See [`ConsumerEngine::committed`](super::ConsumerEngine::committed).
    Committed {
        /// Of which partitions.
        partitions: Vec<TopicPartition>,
    },
    /// See [`ConsumerEngine::request`](super::ConsumerEngine::request).
    Request(RawRequest),
    /// See [`ConsumerEngine::detach`](super::ConsumerEngine::detach).
    Detach {
        /// Which operation.
        op: OpId,
    },
    /// See [`ConsumerEngine::close`](super::ConsumerEngine::close).
    Close {
        /// Until when connections may be closed in good order.
        deadline: Instant,
    },
}

/// What a command answers at once.
#[derive(Clone, Debug)]
pub enum ConsumerReply {
    /// Answers the commands that have nothing to say but whether they were carried out.
    Done(Result<(), Error>),
    /// Answers [`ConsumerCommand::NextBatch`].
    Batch(Option<LentBatch>),
    /// Answers [`ConsumerCommand::ReturnAndNext`].
    Returned(Result<(), Error>, Option<LentBatch>),
    /// Answers the commands that take longer: an event with this id follows.
    Op(OpId),
    /// Answers the commands that take longer and may be refused at once.
    Begun(Result<OpId, Error>),
}
