//! An Apache Kafka client of which the whole client is one pure state machine.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod assignor;
mod budget;
#[cfg(any(test, feature = "models"))]
mod choices;
mod client;
mod cluster;
#[doc(hidden)]
pub mod collections;
pub mod config;
mod connection;
mod consumer;
mod engine;
mod error;
mod error_code;
mod group;
mod limits;
pub mod metrics;
#[cfg(any(test, feature = "models"))]
#[doc(hidden)]
pub mod models;
mod producer;
mod random;
pub mod record;
pub mod recording;
mod sasl;
mod secret;
pub mod status;
mod time;
mod timer;
mod topic_pattern;

/// The Kafka protocol's encodings; public, but outside semver.
#[cfg(feature = "messages")]
pub mod wire;
#[cfg(not(feature = "messages"))]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "public with the feature `messages`"
)]
mod wire;

#[cfg(feature = "messages")]
pub mod messages;
#[cfg(not(feature = "messages"))]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "public with the feature `messages`"
)]
mod messages;

pub use budget::Category;
pub use consumer::{
    Assignment, BatchId, ConsumerCloseReport, ConsumerCommand, ConsumerEngine, ConsumerEvent,
    ConsumerReply, Corruption, FoundOffsets, LentBatch, OffsetAndTimestamp, OffsetSpec,
    RebalanceId, RebalanceKind, RebalanceListener, RebalanceReport, ResetReason, Return, ReturnEnd,
    Start,
};
pub use engine::{
    CloseCause, CloseMode, ConnectionGroup, ConnectionId, Diagnostic, Engine, Host, Input, Job,
    JobId, JobResult, NodeId, OpId, Output, Peer, RawRequest, RawResponse, ResolveError, ResolveId,
    TlsFailure, TopicHandle, TopicPartition, Wake,
};
pub use error::{Error, ErrorKind, Step, printable};
pub use error_code::ErrorCode;
pub use group::{
    CommitOutcome, CommitOutcomes, CommittedOffsets, MemberChanges, OffsetAndMetadata,
    RebalanceCause,
};
pub use producer::{
    AppendError, Appended, BlockedOn, CloseReport, Outcome, ProducerCommand, ProducerEngine,
    ProducerEvent, ProducerReply, TopicStatus,
};
pub use sasl::{SaslMechanism, ScramHash, ScramProofs};
pub use secret::Secret;
pub use status::{Explanation, PartitionStatus};
pub use time::{Duration, Instant, UnixMillis};
pub use topic_pattern::{PatternError, TopicPattern};
pub use wire::{
    ApiKey, DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Path, Segments, Str, Uuid,
    VersionRange,
};
