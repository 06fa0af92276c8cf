//! Owns the words of committed offsets.
//!
//! Must not know how they come to the coordinator.

use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::TopicPartition;
use crate::error::Error;

/// An offset as a group commits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to read: the one after the last record that was dealt with.
    pub offset: i64,
    /// The leader epoch of that last record, if known: whoever resumes notices by it that the log was cut back (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Whatever the application wants to keep with it; brokers take 4,096 bytes (`offset.metadata.max.bytes`).
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// An offset with nothing beside it.
    #[must_use]
    pub const fn new(offset: i64) -> Self {
        Self {
            offset,
            leader_epoch: None,
            metadata: String::new(),
        }
    }
}

/// What became of the commit of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The coordinator has it.
    Committed,
    /// It was not committed, and will not be.
    Rejected(Error),
    /// It may have been committed: a request was sent and its answer never came.
    Unknown(Error),
}

/// What became of a commit, of each partition.
pub type CommitOutcomes = Vec<(TopicPartition, CommitOutcome)>;

/// Of each partition that was asked about, what is committed; `Ok(None)` if nothing is.
pub type CommittedOffsets = Vec<(TopicPartition, Result<Option<OffsetAndMetadata>, Error>)>;
