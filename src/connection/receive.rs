//! Owns which frames a connection takes: those that a request waits for, as large as they may be, and only after the
//! budget agreed to their memory.
//!
//! Must not know how frames are put together, nor which request a frame answers beyond its correlation id.

use alloc::format;

use bytes::Bytes;

use crate::budget::{Budget, Category};
use crate::error::{Error, ErrorKind};
use crate::wire::frame::{Admission, Assembler, FrameError};
use crate::wire::pool::BufferPool;

/// What the connection expects the next frame to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) correlation: i32,
    /// Bytes of it that are already taken from the budget, as `Category::Fetch`; 0 for all but fetches.
    pub(super) allowance: usize,
}

/// One response, without its size; the correlation id is its first four bytes.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) category: Category,
    /// What was taken from the budget for it beyond the allowance.
    pub(super) taken: usize,
}

/// What a frame that is arriving has of the budget.
#[derive(Debug)]
struct Charge {
    category: Category,
    allowance: usize,
    taken: usize,
}

/// Assembles the frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Receiver(Assembler<Charge>);

impl Receiver {
    /// Takes bytes off the front of `data` until a frame is complete or `data` is empty.
    ///
    /// # Errors
    /// The bytes are no frame that was waited for, or there is no room for it. The connection must be closed.
    pub(super) fn receive(
        &mut self,
        data: &mut &[u8],
        expected: Option<Expected>,
        limit: usize,
        budget: &mut Budget,
        pool: &mut BufferPool,
    ) -> Result<Option<Frame>, Error> {
        let mut gate = Gate {
            expected,
            limit,
            budget,
        };
        let frame = self.0.feed(data, pool, &mut gate)?;
        Ok(frame.map(|(bytes, charge)| Frame {
            bytes,
            category: charge.category,
            taken: charge.taken,
        }))
    }

    /// Gives back what a frame that will never be complete holds.
    pub(super) fn abandon(mut self, budget: &mut Budget, pool: &mut BufferPool) {
        if let Some(charge) = self.0.abandon(pool) {
            budget.give_back(charge.category, charge.taken);
        }
    }
}

struct Gate<'a> {
    expected: Option<Expected>,
    limit: usize,
    budget: &'a mut Budget,
}

impl Admission for Gate<'_> {
    type Ticket = Charge;
    type Error = Error;

    fn limit(&self) -> usize {
        self.limit
    }

    fn refuse(&self, error: FrameError) -> Error {
        match error {
            FrameError::TooLarge { .. } | FrameError::TooSmall { .. }
                if error.looks_like().is_some() =>
            {
                Error::new(ErrorKind::Protocol)
                    .with_detail(error)
                    .with_hint("check host and port, and that security.protocol fits the listener")
            }
            FrameError::TooLarge { prefix, max } => Error::new(ErrorKind::FrameTooLarge {
                size: u64::from(u32::from_be_bytes(prefix)),
                limit: max as u64,
            })
            .with_hint("check that the port is that of a Kafka listener, and lower `fetch.max.bytes` if it is"),
            FrameError::TooSmall { .. } => Error::new(ErrorKind::Protocol)
                .with_detail(error)
                .with_hint("check that the port is that of a Kafka listener, and that nothing in between changes the bytes"),
        }
    }

    fn announce(&mut self, _: usize) -> Result<(), Error> {
        self.expected.map(|_| ()).ok_or_else(unsolicited)
    }

    fn admit(&mut self, _: usize, first: [u8; 4]) -> Result<Charge, Error> {
        let expected = self.expected.ok_or_else(unsolicited)?;
        let got = i32::from_be_bytes(first);
        if got != expected.correlation {
            return Err(Error::new(ErrorKind::Protocol).with_detail(format!(
                "an answer to request {got} came where that to {} was due",
                expected.correlation
            )));
        }
        Ok(Charge {
            category: match expected.allowance {
                0 => Category::Receiving,
                _ => Category::Fetch,
            },
            allowance: expected.allowance,
            taken: 0,
        })
    }

    fn grow(&mut self, charge: &mut Charge, size: usize, room: usize) -> Result<(), Error> {
        let missing = room
            .saturating_sub(charge.allowance)
            .saturating_sub(charge.taken);
        if !self.budget.take(charge.category, missing) {
            // The whole frame: whoever asks again must know what to reserve.
            return Err(Error::new(ErrorKind::BufferFull {
                needed: size,
                free: self.budget.free(charge.category),
            })
            .with_detail(format!(
                "an answer of {size} bytes does not fit into memory.budget"
            ))
            .with_hint("return batches sooner, or raise memory.budget"));
        }
        charge.taken = charge.taken.saturating_add(missing);
        Ok(())
    }
}

fn unsolicited() -> Error {
    Error::new(ErrorKind::Protocol).with_detail("the peer sent bytes that no request had asked for")
}
