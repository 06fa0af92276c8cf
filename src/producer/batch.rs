//! Owns one batch on its way: `Open → Sealing → Closed → Sealed`, its tickets, its deadline and what may have become of it.
//!
//! Must not know the batches before and after it: their order is the partition's business.
//!
//! ```text
//! Open ──full, due──▶ Sealing (compression runs elsewhere) ──▶ Closed ──drained──▶ Sealed
//!   └───────────────── no compression ──────────────────────────▲
//! ```

use core::ops::Range;

use bytes::Bytes;

use super::sequence::Numbered;
use crate::engine::JobId;
use crate::error::Error;
use crate::record::{BatchBuilder, BatchHeader, UnsealedBatch};
use crate::time::{Duration, Instant};

/// A batch that takes records.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) builder: BatchBuilder,
    pub(crate) head: Head,
    /// From when on it may be sent although it is not full.
    pub(crate) due: Instant,
}

/// What a batch keeps all its life.
#[derive(Debug)]
pub(crate) struct Head {
    /// The how-manieth batch of the engine: what a flush counts by. The parts of a split batch share it.
    pub(crate) order: u64,
    pub(crate) created: Instant,
    pub(crate) first_ticket: u64,
    /// Bytes that it holds of the budget.
    pub(crate) charged: usize,
}

/// A batch that takes no more records.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) head: Head,
    pub(crate) count: i32,
    /// Its producer, epoch and sequence, once they are given out. The parts of a split batch have theirs from the whole.
    pub(crate) numbered: Numbered,
    pub(crate) stage: Stage,
}

/// How far a closed batch is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its records are being compressed; the plain bytes stay, in case that this makes them no smaller.
    Sealing {
        job: JobId,
        header: BatchHeader,
        plain: Bytes,
    },
    /// It waits to be drained for the first time; only then it gets its number and checksum.
    Closed(UnsealedBatch),
    /// From here on the bytes do not change, whatever happens.
    Sealed(Sealed),
}

/// A batch that was drained.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) bytes: Bytes,
    pub(crate) attempts: u32,
    pub(crate) written: Written,
    pub(crate) transit: Transit,
    /// Why the last attempt failed.
    pub(crate) last_error: Option<Error>,
}

/// Whether an attempt that is over may have appended the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Every attempt is proven to have appended nothing.
    No,
    /// Nothing proves that.
    Maybe,
}

/// Where a drained batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transit {
    /// In a request that is not answered.
    InFlight,
    /// Here, to be sent again.
    Waiting {
        /// Not before.
        until: Instant,
    },
}

impl Batch {
    pub(crate) fn tickets(&self) -> Range<u64> {
        let count = u64::try_from(self.count).unwrap_or(0);
        self.head.first_ticket..self.head.first_ticket.saturating_add(count)
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        match &self.stage {
            Stage::Sealed(sealed) => sealed.transit == Transit::InFlight,
            Stage::Sealing { .. } | Stage::Closed(_) => false,
        }
    }

    /// Whether it was drained before, or is a part of a batch that was: nothing may overtake it,
    /// and it overtakes nothing.
    pub(crate) fn is_resent(&self) -> bool {
        self.numbered != Numbered::NotYet || matches!(self.stage, Stage::Sealed(_))
    }

    /// Whether a broker may have it: in flight counts, as nothing is known of that attempt.
    pub(crate) fn may_be_written(&self) -> bool {
        match &self.stage {
            Stage::Sealed(sealed) => {
                sealed.transit == Transit::InFlight || sealed.written == Written::Maybe
            }
            Stage::Sealing { .. } | Stage::Closed(_) => false,
        }
    }

    /// How many bytes it takes in a request.
    pub(crate) fn size(&self) -> usize {
        match &self.stage {
            Stage::Sealed(sealed) => sealed.bytes.len(),
            Stage::Sealing { plain, .. } => plain.len(),
            Stage::Closed(batch) => batch.size(),
        }
    }

    pub(crate) fn last_error(&self) -> Option<&Error> {
        match &self.stage {
            Stage::Sealed(sealed) => sealed.last_error.as_ref(),
            Stage::Sealing { .. } | Stage::Closed(_) => None,
        }
    }

    /// Gives up its bytes.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.stage {
            Stage::Sealed(sealed) => sealed.bytes,
            Stage::Sealing { plain, .. } => plain,
            Stage::Closed(batch) => batch.into_buffer().freeze(),
        }
    }
}

impl Head {
    pub(crate) fn deadline(&self, delivery_timeout: Duration) -> Instant {
        self.created + delivery_timeout
    }
}
