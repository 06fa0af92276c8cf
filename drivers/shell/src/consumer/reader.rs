//! Owns the stream of records.
//!
//! Must not keep a record itself: what was not handed out lies with the consumer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use klamm::{Error, ErrorKind};

use super::batch::ConsumerRecord;
use super::{Consumer, Reading};

/// The records of all assigned partitions, one after the other, each owning its bytes.
///
/// Errors are items too: reading goes on after them, until the consumer is closed, which ends the stream.
///
/// Cancel safety: dropped, nothing is lost: what was not handed out is what comes next.
pub struct RecordStream<'a> {
    reading: Reading<'a>,
}

impl<'a> RecordStream<'a> {
    pub(super) const fn new(consumer: &'a Consumer) -> Self {
        Self {
            reading: Reading::new(consumer, None),
        }
    }
}

impl fmt::Debug for RecordStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").finish_non_exhaustive()
    }
}

impl Stream for RecordStream<'_> {
    type Item = Result<ConsumerRecord, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut().reading.poll_record(cx) {
            Poll::Ready(Err(error)) if *error.kind() == ErrorKind::Closed => Poll::Ready(None),
            Poll::Ready(item) => Poll::Ready(Some(item)),
            Poll::Pending => Poll::Pending,
        }
    }
}
