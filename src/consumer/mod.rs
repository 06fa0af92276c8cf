//! The consumer: which partitions are read, from where, and how their records reach the application.
//!
//! It owns assignment, positions, fetching, hand-out and return, and the lookup of offsets. It must not see a socket:
//! it asks the cluster to send requests to brokers by their id, and is told what became of them.

mod actions;
mod assignment;
mod brokers;
mod closing;
mod command;
mod committed;
mod covered;
mod engine;
mod explain;
mod fetch;
mod fetched;
mod frames;
mod handout;
mod leaders;
mod lent;
mod lookup;
mod membership;
mod metrics;
mod operations;
mod partition;
mod rebalance;
mod recording;
mod replica;
mod role;
mod session;
#[cfg(any(test, feature = "models"))]
mod session_model;
mod status;
mod subscription;
mod supply;
#[cfg(test)]
mod tests;
mod types;

pub use command::{ConsumerCommand, ConsumerReply};
pub use engine::ConsumerEngine;
pub use lent::BatchId;
#[cfg(any(test, feature = "models"))]
pub(crate) use session_model::hold as hold_fetch_session;
pub use types::{
    Assignment, ConsumerCloseReport, ConsumerEvent, Corruption, FoundOffsets, LentBatch,
    OffsetAndTimestamp, OffsetSpec, RebalanceId, RebalanceKind, RebalanceListener, RebalanceReport,
    ResetReason, Return, ReturnEnd, Start,
};

use crate::engine::TopicHandle;

/// A partition by the handle of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub(crate) topic: TopicHandle,
    pub(crate) partition: i32,
}

/// A broker by its place in the consumer's own table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BrokerIndex(pub(crate) usize);
