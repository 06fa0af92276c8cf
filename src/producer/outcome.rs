//! Owns what became of accepted records: [`Outcome`], and the ranges of tickets in which it is told.
//!
//! Must not know how an outcome is reached.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;

/// What became of a range of accepted records. Every ticket gets exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Written, and confirmed as `acks` asks for.
    Delivered {
        /// The offset of the first ticket of the range; the others follow it. `None` when the broker only confirmed
        /// that it had the batch already.
        offset: Option<i64>,
        /// The time that the broker gave all these records (`message.timestamp.type=LogAppendTime`);
        /// `None` when they keep their own.
        timestamp: Option<i64>,
    },
    /// Not written, now or later.
    Rejected(Error),
    /// Possibly written: a broker may have them, and did not say so in time.
    Unknown(Error),
    /// Handed to the socket with `acks=0`: a success without a promise.
    Sent,
}

impl Outcome {
    /// Whether the records are written, or were sent as `acks=0` asks for.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        match self {
            Self::Delivered { .. } | Self::Sent => true,
            Self::Rejected(_) | Self::Unknown(_) => false,
        }
    }

    /// Why the records are not known to be written.
    #[must_use]
    pub const fn error(&self) -> Option<&Error> {
        match self {
            Self::Rejected(error) | Self::Unknown(error) => Some(error),
            Self::Delivered { .. } | Self::Sent => None,
        }
    }

    /// Whether `next`, which begins `distance` tickets after `self`, goes on where `self` ends.
    fn is_continued_by(&self, next: &Self, distance: u64) -> bool {
        match (self, next) {
            (
                Self::Delivered { offset, timestamp },
                Self::Delivered {
                    offset: next_offset,
                    timestamp: next_timestamp,
                },
            ) => {
                let expected =
                    offset.map(|offset| i64::try_from(distance).map(|d| offset.saturating_add(d)));
                timestamp == next_timestamp && expected == next_offset.map(Ok)
            }
            (Self::Rejected(error), Self::Rejected(next)) => error == next,
            (Self::Unknown(error), Self::Unknown(next)) => error == next,
            (Self::Sent, Self::Sent) => true,
            (
                Self::Delivered { .. } | Self::Rejected(_) | Self::Unknown(_) | Self::Sent,
                Self::Delivered { .. } | Self::Rejected(_) | Self::Unknown(_) | Self::Sent,
            ) => false,
        }
    }
}

/// Outcomes of one partition that arise in one step, with contiguous equal ones joined.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Vec<(Range<u64>, Outcome)>);

impl Outcomes {
    pub(crate) fn push(&mut self, tickets: Range<u64>, outcome: Outcome) {
        if tickets.is_empty() {
            return;
        }
        if let Some((last, told)) = self.0.last_mut()
            && last.end == tickets.start
            && told.is_continued_by(&outcome, tickets.start.saturating_sub(last.start))
        {
            last.end = tickets.end;
        } else {
            self.0.push((tickets, outcome));
        }
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Range<u64>, Outcome)> + '_ {
        self.0.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn delivered(offset: Option<i64>) -> Outcome {
        Outcome::Delivered {
            offset,
            timestamp: None,
        }
    }

    fn joined(parts: &[(Range<u64>, Outcome)]) -> Vec<(Range<u64>, Outcome)> {
        let mut outcomes = Outcomes::default();
        for (tickets, outcome) in parts {
            outcomes.push(tickets.clone(), outcome.clone());
        }
        outcomes.drain().collect()
    }

    #[test]
    fn contiguous_tickets_with_contiguous_offsets_are_one_range() {
        let told = joined(&[
            (0..3, delivered(Some(10))),
            (3..5, delivered(Some(13))),
            (5..6, delivered(Some(16))),
        ]);
        assert_eq!(
            told,
            [
                (0..5, delivered(Some(10))),
                (5..6, delivered(Some(16))) // an offset was skipped
            ]
        );
    }

    #[test]
    fn ranges_with_a_hole_between_or_another_outcome_stay_apart() {
        let rejected = Outcome::Rejected(Error::new(ErrorKind::Closed));
        let parts = [
            (0..1, delivered(None)),
            (1..2, delivered(None)),
            (2..3, rejected.clone()),
            (3..4, rejected.clone()),
            (5..6, rejected.clone()),
        ];
        assert_eq!(
            joined(&parts),
            [
                (0..2, delivered(None)),
                (2..4, rejected.clone()),
                (5..6, rejected)
            ]
        );
    }
}
