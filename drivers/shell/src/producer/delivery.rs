//! Owns the futures of accepted records, and what they end in.
//!
//! Must not touch the engine: outcomes are brought to their slots.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use klamm::{Error, Outcome};

use super::record::NewRecord;
use super::slot::{Place, Slot};

/// What became of a record that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Written, and confirmed as `acks` asks for.
    Delivered {
        /// In which partition.
        partition: i32,
        /// At which offset. `None` when the broker only confirmed that it had the record already.
        offset: Option<i64>,
        /// The time that the broker gave it, in milliseconds since 1970; `None` when it keeps its own.
        timestamp: Option<i64>,
    },
    /// Handed to the socket with `acks=0`: a success without a promise.
    Sent {
        /// For which partition.
        partition: i32,
    },
}

impl Receipt {
    /// Which partition the record went to.
    #[must_use]
    pub const fn partition(&self) -> i32 {
        match self {
            Self::Delivered { partition, .. } | Self::Sent { partition } => *partition,
        }
    }

    /// At which offset it is, if the broker said so.
    #[must_use]
    pub const fn offset(&self) -> Option<i64> {
        match self {
            Self::Delivered { offset, .. } => *offset,
            Self::Sent { .. } => None,
        }
    }

    fn of(partition: i32, outcome: Outcome) -> Result<Self, SendError> {
        match outcome {
            Outcome::Delivered { offset, timestamp } => Ok(Self::Delivered {
                partition,
                offset,
                timestamp,
            }),
            Outcome::Sent => Ok(Self::Sent { partition }),
            Outcome::Rejected(error) => Err(SendError::Rejected(error)),
            Outcome::Unknown(error) => Err(SendError::Unknown(error)),
        }
    }
}

/// Why a record is not known to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It is not written, and will not be: sending it again cannot double it.
    Rejected(Error),
    /// It was possibly written: a broker may have it, and did not say so in time. Sending it again may double it.
    Unknown(Error),
}

impl SendError {
    /// Whether the record may be in the log.
    #[must_use]
    pub const fn possibly_written(&self) -> bool {
        match self {
            Self::Rejected(_) => false,
            Self::Unknown(_) => true,
        }
    }

    /// What happened, where, and what to do.
    #[must_use]
    pub const fn error(&self) -> &Error {
        match self {
            Self::Rejected(error) | Self::Unknown(error) => error,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(error) => write!(f, "not written: {error}"),
            Self::Unknown(error) => write!(f, "possibly written: {error}"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a record was not accepted at once. It is given back: nothing of it is kept.
#[derive(Clone, Debug)]
pub struct NotAccepted<'a> {
    /// The record.
    pub record: NewRecord<'a>,
    /// Why. A full buffer is [`ErrorKind::BufferFull`](klamm::ErrorKind::BufferFull).
    pub error: Error,
}

impl fmt::Display for NotAccepted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record was not accepted: {}", self.error)
    }
}

impl std::error::Error for NotAccepted<'_> {}

/// The outcome of one accepted record, once there is one.
///
/// Cancel safety: dropping it changes nothing for the record, which is sent all the same; only its outcome is not told.
#[derive(Debug)]
#[must_use = "a delivery tells whether the record was written"]
pub struct Delivery {
    pub(super) partition: i32,
    pub(super) ticket: u64,
    pub(super) slot: Arc<Slot>,
    pub(super) place: Place,
}

impl Delivery {
    /// Which partition the record goes to.
    #[must_use]
    pub const fn partition(&self) -> i32 {
        self.partition
    }
}

impl Future for Delivery {
    type Output = Result<Receipt, SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let outcome = ready!(this.slot.poll_one(this.ticket, &mut this.place, cx));
        Poll::Ready(Receipt::of(this.partition, outcome))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.slot.leave(self.place);
    }
}

/// What became of some records of a batch that was handed over at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Which of the records, counted from 0.
    pub records: Range<usize>,
    /// Which partition they went to.
    pub partition: i32,
    /// What became of them: the offset is that of the first, the others follow it.
    pub outcome: Outcome,
}

/// The outcomes of records that were handed over at once, once there are all of them. They come in the order of the
/// records; neighbours with one outcome are one entry.
///
/// Cancel safety: dropping it changes nothing for the records, which are sent all the same.
#[derive(Debug, Default)]
#[must_use = "a delivery tells whether the records were written"]
pub struct BatchDelivery {
    pub(super) parts: Vec<Part>,
    done: Vec<BatchOutcome>,
    next: usize,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) first: usize,
    pub(super) partition: i32,
    pub(super) tickets: Range<u64>,
    pub(super) slot: Arc<Slot>,
    pub(super) place: Place,
}

impl BatchDelivery {
    /// How many records were accepted.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.parts.last().map_or(0, |part| {
            part.first + usize::try_from(part.tickets.end - part.tickets.start).unwrap_or(0)
        })
    }
}

impl Future for BatchDelivery {
    type Output = Vec<BatchOutcome>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while let Some(part) = this.parts.get_mut(this.next) {
            let outcomes = ready!(part.slot.poll_all(&part.tickets, &mut part.place, cx));
            let index = |ticket: u64| {
                part.first + usize::try_from(ticket - part.tickets.start).unwrap_or(0)
            };
            this.done
                .extend(outcomes.into_iter().map(|(tickets, outcome)| BatchOutcome {
                    records: index(tickets.start)..index(tickets.end),
                    partition: part.partition,
                    outcome,
                }));
            this.next += 1;
        }
        Poll::Ready(std::mem::take(&mut this.done))
    }
}

impl Drop for BatchDelivery {
    fn drop(&mut self) {
        for part in &self.parts {
            part.slot.leave(part.place);
        }
    }
}

/// Why not all records of a batch were accepted.
#[derive(Debug)]
pub struct BatchRefused {
    /// Those before, which were: they are sent.
    pub accepted: BatchDelivery,
    /// What is wrong with the first one that was not.
    pub error: Error,
}

impl fmt::Display for BatchRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "record {} of the batch was not accepted: {}",
            self.accepted.accepted(),
            self.error
        )
    }
}

impl std::error::Error for BatchRefused {}
