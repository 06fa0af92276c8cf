//! The runtime-neutral half of Klamm's drivers: the loop, and the async clients that users hold.
//!
//! A [`Producer`] or [`Consumer`] is an engine of [`klamm`] behind one lock. Whoever steps it also moves its outputs to
//! where they belong; a task for each connection moves the bytes, and one task keeps the time. An adapter such as
//! `klamm-tokio` brings the [`Runtime`].

mod after;
mod answer;
mod clock;
mod connection;
mod consumer;
mod diagnostics;
mod driver;
mod ops;
mod options;
mod producer;
mod recorder;
mod role;
mod runtime;
mod security;
mod shared;
mod start;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod wait;

#[cfg(feature = "tls")]
#[doc(no_inline)]
pub use rustls;

#[doc(no_inline)]
pub use klamm::config::{ConsumerConfig, ProducerConfig};
#[doc(no_inline)]
pub use klamm::metrics::{ConsumerMetrics, Histogram, Metric, MetricValue, ProducerMetrics};
#[doc(no_inline)]
pub use klamm::record::{Header, HeaderRef, Headers, RecordRef};
#[doc(no_inline)]
pub use klamm::status::Status;
#[doc(no_inline)]
pub use klamm::{
    Assignment, CloseReport, CommitOutcome, CommitOutcomes, CommittedOffsets, ConsumerCloseReport,
    Duration, Error, ErrorCode, ErrorKind, Explanation, FoundOffsets, Host, Instant, MemberChanges,
    OffsetAndMetadata, OffsetAndTimestamp, OffsetSpec, Outcome, RawRequest, RawResponse,
    RebalanceCause, RebalanceKind, RebalanceReport, Start, TopicHandle, TopicPartition, UnixMillis,
};

pub use clock::{monotonic_clock, wall_clock};
pub use consumer::{
    Batch, CommitError, Consumer, ConsumerRecord, Rebalance, RecordStream, Records, Reset, RunError,
};
pub use options::Options;
pub use producer::{
    BatchDelivery, BatchOutcome, BatchRefused, Delivery, NewRecord, NotAccepted, Producer, Receipt,
    SendError, Target,
};
pub use runtime::{Runtime, Socket, Timer};
