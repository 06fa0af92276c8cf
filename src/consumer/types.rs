//! Owns the words that users of a consumer speak: what they ask for, what they are lent, what they are told.
//!
//! Must not know how any of it comes about.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::lent::BatchId;
use crate::engine::{OpId, RawResponse, TopicHandle, TopicPartition};
use crate::error::Error;
use crate::group::{CommitOutcomes, CommittedOffsets, MemberChanges, RebalanceCause};
use crate::record::{BatchError, Codec, RecordError};
use crate::time::{Duration, Instant};

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this offset, or the next one that exists.
    Offset(i64),
    /// At the oldest record.
    Beginning,
    /// After the newest record (with `read_committed`: after the newest decided one).
    End,
    /// Where the group `group.id` committed last; where it has committed nothing, by `auto.offset.reset`.
    Committed,
}

/// A partition to read, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, counted from 0.
    pub partition: i32,
    /// Where to begin.
    pub start: Start,
}

/// What to look up for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The oldest offset that exists.
    Earliest,
    /// The offset after the newest record (with `read_committed`: after the newest decided one).
    Latest,
    /// The first record that is not older than this, in milliseconds since 1970.
    Timestamp(i64),
    /// The record with the greatest timestamp (Kafka 3.0 and later).
    MaxTimestamp,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The offset.
    pub offset: i64,
    /// The timestamp of the record there, in milliseconds since 1970; `None` where the answer is not about a record.
    pub timestamp: Option<i64>,
    /// The leader epoch of that record, if known.
    pub leader_epoch: Option<i32>,
}

/// Of each partition that was asked about, what was found; `Ok(None)` if there is no such record.
pub type FoundOffsets = Vec<(TopicPartition, Result<Option<OffsetAndTimestamp>, Error>)>;

/// One record batch, lent to the reader: check its CRC, decompress and iterate it outside of any lock, then give it
/// back with [`Return`].
///
/// It is a slice of the response that it came in; that memory is used again once the last batch of the response is
/// returned and its `bytes` are dropped, so drop them first.
#[derive(Clone, Debug)]
pub struct LentBatch {
    /// Names the batch when it is returned.
    pub id: BatchId,
    /// The topic.
    pub topic: Arc<str>,
    /// The topic as the engine interned it.
    pub handle: TopicHandle,
    /// The partition.
    pub partition: i32,
    /// The whole batch, as the broker sent it.
    pub bytes: Bytes,
    /// The first offset that is wanted: records before it were handed out earlier.
    pub start: i64,
    /// The offset after the batch: `Return::next` once it is read to its end.
    pub next: i64,
    /// How many bytes the batch may decompress to; 0 if it is not compressed.
    pub allowance: usize,
    /// The end of what is replicated, as the broker last said: `high_watermark - next` is the lag after this batch.
    pub high_watermark: i64,
}

/// Gives a lent batch back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Which batch.
    pub id: BatchId,
    /// The next offset for the application. [`LentBatch::next`] when the batch was read to its end; less, and the rest
    /// is lent again. What lies outside of the batch counts as its nearest end.
    pub next: i64,
    /// How reading ended.
    pub end: ReturnEnd,
}

/// How the reading of a lent batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnEnd {
    /// The records up to `next` were handed out.
    Read,
    /// The batch is damaged from `next` on: the position stays there, and the partition is blocked until a seek.
    Corrupt(Corruption),
    /// The reader cannot decompress it: the position stays, and the partition is blocked until a seek.
    NotCompiled {
        /// What it is compressed with.
        codec: Codec,
    },
    /// It decompresses to more than its allowance, to `needed` bytes at the least: it is lent again with more.
    Exhausted {
        /// How much it needs at the least.
        needed: usize,
    },
    /// The reader went away; records up to `next` were handed out.
    Abandoned,
}

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// Its header or checksum.
    Batch(BatchError),
    /// A record in it.
    Record(RecordError),
    /// Its compressed records, in the codec's words.
    Compression(String),
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Compression(error) => f.write_str(error),
        }
    }
}

/// Why a position was moved by the consumer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The leader said that the offset does not exist (any more).
    OutOfRange,
    /// The log was cut back below the position (an unclean leader election).
    Truncated,
    /// The topic was deleted and made again under the same name.
    TopicRecreated,
}

/// Whether a rebalance waits for the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceListener {
    /// Partitions come and go at once; the application is told afterwards.
    Told,
    /// Partitions go, and new ones are fetched, once the application has answered with
    /// [`rebalance_done`](super::ConsumerEngine::rebalance_done). Meanwhile it may commit, seek and pause.
    Asked,
}

/// What a rebalance does to partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebalanceKind {
    /// They come to this consumer.
    Assigned,
    /// They go; until the application has answered they are still owned, so that offsets can be committed.
    Revoked,
    /// They are gone, for this reason: whoever has them by now may have read on. Nothing can be committed for them.
    Lost(Error),
}

/// One rebalance as this member went through it, once it has taken on its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebalanceReport {
    /// Why the member joined, once more.
    pub cause: RebalanceCause,
    /// Who came and who went since the generation before, if this member knows: only who leads a classic group does, from its
    /// second generation as the leader on.
    pub members: Option<MemberChanges>,
    /// The generation of the group that it led to; by the consumer protocol (KIP-848) the epoch of the member.
    pub generation: i32,
    /// What went.
    pub revoked: Vec<TopicPartition>,
    /// What came.
    pub assigned: Vec<TopicPartition>,
    /// How long it took until nothing stood against joining: the commits and the listener of what went before.
    pub preparing: Duration,
    /// How long it took from then until the member had its share: until the members had gathered, and the leader had shared
    /// the partitions out.
    pub joining: Duration,
    /// How long it took from then until what the share does not name was gone and the listener knew of what it does.
    pub taking: Duration,
}

/// Names one thing that the application is told of a rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RebalanceId(pub u64);

/// What the user is told.
#[derive(Clone, Debug)]
pub enum ConsumerEvent {
    /// There is a batch to be had, after [`next_batch`](super::ConsumerEngine::next_batch) had answered with none.
    Ready,
    /// One partition is in trouble; the others flow. [`explain`](super::ConsumerEngine::explain) tells whether it goes
    /// on by itself.
    PartitionError {
        /// Which partition.
        partition: TopicPartition,
        /// What happened, and what to do.
        error: Error,
    },
    /// A position was moved, by `auto.offset.reset` or because records are gone.
    Reset {
        /// Which partition.
        partition: TopicPartition,
        /// Where it was.
        from: i64,
        /// Where it is now.
        to: i64,
        /// Why.
        why: ResetReason,
    },
    /// Partitions come or go, by the group's decision.
    Rebalance {
        /// Names it in [`rebalance_done`](super::ConsumerEngine::rebalance_done).
        id: RebalanceId,
        /// What happens to them.
        kind: RebalanceKind,
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Until when the answer is awaited. Without one in time, everything is lost, and that is told. `None`: no answer
        /// is awaited, it has happened.
        deadline: Option<Instant>,
    },
    /// A rebalance is over for this member.
    Rebalanced(RebalanceReport),
    /// Answers [`list_offsets`](super::ConsumerEngine::list_offsets).
    Offsets {
        /// Which operation.
        op: OpId,
        /// What was found.
        found: FoundOffsets,
    },
    /// Answers [`commit`](super::ConsumerEngine::commit).
    Committed {
        /// Which operation.
        op: OpId,
        /// What became of each partition's commit.
        outcomes: CommitOutcomes,
    },
    /// Answers [`committed`](super::ConsumerEngine::committed).
    CommittedOffsets {
        /// Which operation.
        op: OpId,
        /// What is committed.
        found: CommittedOffsets,
    },
    /// Answers [`request`](super::ConsumerEngine::request).
    Response {
        /// Which operation.
        op: OpId,
        /// The answer.
        result: Result<RawResponse, Error>,
    },
    /// The consumer is closed; the last event.
    Closed {
        /// Which operation.
        op: OpId,
        /// What was left undone.
        report: ConsumerCloseReport,
    },
    /// Trouble that belongs to no partition, such as no broker being reachable.
    Problem(Error),
}

/// What a closed consumer leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerCloseReport {
    /// Batches that were lent and not returned.
    pub lent: usize,
    /// Whether the group knows that this consumer is no member any more. If not, it finds out by the end of the session. A
    /// static member (`group.instance.id`) counts as gone without a word: its place is kept for it.
    pub left_group: bool,
    /// What was dealt with and is not, or not certainly, committed, with `enable.auto.commit`: whoever has the partition next
    /// reads it again.
    pub uncommitted: Vec<(TopicPartition, Error)>,
}
