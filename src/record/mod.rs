//! Kafka's record batches, format v2 (magic 2): what a Produce request carries and a Fetch response brings back.
//!
//! Owns the batch's layout, in both directions: [`Batches`] and [`BatchView`] walk fetched bytes, [`Records`] lends the
//! records of one batch without copying them, [`BatchBuilder`] writes records once, straight into the buffer that is
//! sent, and [`compression`] shrinks and expands what lies behind the header. [`rewrite`] and [`control`] are what a broker does
//! to a batch; [`AbortedTransactions`] is what a `read_committed` reader leaves out.
//!
//! With the feature `legacy` the formats v0 and v1 (magic 0 and 1) are read as well, never written: old segments hold them
//! still. There a message stands for itself, or wraps others that are compressed together. Each such counts as a batch;
//! its first offset in the [`BatchHeader`] is that of its *last* record, because a wrapper tells no other.
//!
//! Knows nothing of requests, partitions, positions, retries or memory budgets: bytes in, records out, and the reverse.
//!
//! Every length and count here comes from somebody else, so nothing is indexed without a check, nothing is added
//! without a check, and no number in the bytes sizes an allocation.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::expect_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic,
        clippy::expect_used
    )
)]

mod aborted;
mod builder;
pub mod compression;
pub mod control;
mod error;
mod header;
mod headers;
mod iterate;
#[cfg(feature = "legacy")]
mod legacy;
pub mod rewrite;
mod types;
mod varint;
mod view;

pub use aborted::{AbortedTransaction, AbortedTransactions};
pub use builder::{AppendError, BatchBuilder, BatchProducer, UnsealedBatch};
pub use error::{BatchError, RecordError, RecordErrorReason};
pub use header::{BATCH_HEADER_SIZE, BatchHeader, add_sequence};
pub use headers::{Headers, HeadersIter};
pub use iterate::{Records, RecordsMark};
pub use types::{Codec, Header, HeaderRef, NO_TIMESTAMP, Record, RecordRef, TimestampType};
pub use view::{BatchView, Batches};
