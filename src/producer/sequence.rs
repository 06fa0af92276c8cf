//! Owns the sequence numbers of one partition: who produces, which number comes next, and whether the chain is whole.
//!
//! Must not know batches or requests: it is told what happened to the numbers that it gave out.

use crate::record::{BatchProducer, add_sequence};

/// A producer id and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// What a batch is stamped with, always together: an identity without its sequence, or one of another time, would make
/// the batch silently not idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    pub(crate) sequence: i32,
}

impl Stamp {
    pub(crate) const fn producer(self) -> BatchProducer {
        BatchProducer::Idempotent {
            producer_id: self.identity.producer_id,
            producer_epoch: self.identity.epoch,
            base_sequence: self.sequence,
        }
    }

    /// The stamp of the records that follow the first `records` of this batch.
    pub(crate) fn after(self, records: i32) -> Self {
        Self {
            sequence: add_sequence(self.sequence, records),
            ..self
        }
    }
}

/// What a batch got when it was drained for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbered {
    /// It was not drained, or is to be numbered anew in the next epoch.
    NotYet,
    /// No number: not idempotent.
    Plain,
    /// This one.
    With(Stamp),
}

impl Numbered {
    pub(crate) const fn producer(self) -> BatchProducer {
        match self {
            Self::NotYet | Self::Plain => BatchProducer::None,
            Self::With(stamp) => stamp.producer(),
        }
    }

    /// What the records get that follow the first `records` of this batch.
    pub(crate) fn after(self, records: i32) -> Self {
        match self {
            Self::NotYet | Self::Plain => self,
            Self::With(stamp) => Self::With(stamp.after(records)),
        }
    }
}

/// The numbers of one partition.
///
/// ```text
/// Fresh ──stamp──▶ Founding ──confirm──▶ Whole ──break_chain──▶ Broken ──bump──▶ Founding (next epoch, from 0)
///                     └──break_chain──▶ Broken                     └──bump at epoch 32767──▶ Spent ──stamp──▶ Founding
/// ```
/// The epoch is the partition's own: a broker keeps producer state by partition, so that trouble in one
/// partition restarts no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequences {
    /// Not idempotent: batches carry no numbers.
    Off,
    /// No number was given out yet.
    Fresh,
    /// None of the numbers given out so far is confirmed. A broker that has no state of the producer takes any number
    /// as its first: a second batch on its way could overtake one that is refused for a moment, which is then never
    /// accepted. So only one is on its way.
    Founding {
        identity: Identity,
        /// The number of the next record.
        next: i32,
    },
    /// All numbers given out so far are in the log or on their way, in order.
    Whole {
        identity: Identity,
        /// The number of the next record.
        next: i32,
    },
    /// Numbers were given out that are missing from the log, or may be: none is given out until the next epoch.
    Broken { identity: Identity, why: Break },
    /// The epochs of this producer id are used up.
    Spent { producer_id: i64 },
}

/// Why a chain broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// A batch was given up, or the broker lost track.
    Gap,
    /// The topic was deleted and created again: what may be in the old one must not be written to the new one.
    Recreated,
}

/// What a batch that is drained for the first time gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamping {
    /// No number: not idempotent.
    Plain,
    /// This one.
    Stamped(Stamp),
    /// The producer id is not known yet, or used up.
    NeedsProducerId,
    /// The chain is broken: wait for what is on its way.
    Wait,
}

impl Sequences {
    /// Whether batches carry numbers at all.
    pub(crate) const fn are_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Why the chain is broken, if it is.
    pub(crate) const fn broken(&self) -> Option<Break> {
        match self {
            Self::Broken { why, .. } => Some(*why),
            Self::Off
            | Self::Fresh
            | Self::Founding { .. }
            | Self::Whole { .. }
            | Self::Spent { .. } => None,
        }
    }

    /// Whether only one batch may be on its way.
    pub(crate) const fn is_founding(&self) -> bool {
        matches!(self, Self::Founding { .. })
    }

    /// A broker has taken a batch with this stamp.
    pub(crate) fn confirm(&mut self, stamp: Stamp) {
        if let Self::Founding { identity, next } = *self
            && identity == stamp.identity
        {
            *self = Self::Whole { identity, next };
        }
    }

    /// Numbers for `records` records; `current` is the engine's producer id.
    pub(crate) fn stamp(&mut self, records: i32, current: Option<Identity>) -> Stamping {
        let stamp = match (*self, current) {
            (Self::Off, _) => return Stamping::Plain,
            (Self::Broken { .. }, _) => return Stamping::Wait,
            (Self::Founding { identity, next } | Self::Whole { identity, next }, _) => Stamp {
                identity,
                sequence: next,
            },
            (Self::Fresh, Some(identity)) => Stamp {
                identity,
                sequence: 0,
            },
            (Self::Spent { producer_id }, Some(identity))
                if identity.producer_id != producer_id =>
            {
                Stamp {
                    identity,
                    sequence: 0,
                }
            }
            (Self::Fresh | Self::Spent { .. }, _) => return Stamping::NeedsProducerId,
        };
        let (identity, next) = (stamp.identity, add_sequence(stamp.sequence, records));
        *self = match *self {
            Self::Whole { .. } => Self::Whole { identity, next },
            Self::Off
            | Self::Fresh
            | Self::Founding { .. }
            | Self::Broken { .. }
            | Self::Spent { .. } => Self::Founding { identity, next },
        };
        Stamping::Stamped(stamp)
    }

    /// Numbers are missing, or may be.
    pub(crate) fn break_chain(&mut self, why: Break) {
        match *self {
            Self::Founding { identity, .. } | Self::Whole { identity, .. } => {
                *self = Self::Broken { identity, why };
            }
            Self::Broken { identity, .. } if why == Break::Recreated => {
                *self = Self::Broken { identity, why };
            }
            Self::Off | Self::Fresh | Self::Broken { .. } | Self::Spent { .. } => {}
        }
    }

    /// Begins the next epoch at 0. Only when nothing unresolved of the partition may have been appended.
    pub(crate) fn bump(&mut self) {
        let Self::Broken { identity, .. } = *self else {
            return;
        };
        *self = match identity.epoch.checked_add(1) {
            Some(epoch) => Self::Founding {
                identity: Identity { epoch, ..identity },
                next: 0,
            },
            None => Self::Spent {
                producer_id: identity.producer_id,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Identity = Identity {
        producer_id: 7,
        epoch: 0,
    };

    fn stamp(epoch: i16, sequence: i32) -> Stamping {
        Stamping::Stamped(Stamp {
            identity: Identity { epoch, ..ME },
            sequence,
        })
    }

    #[test]
    fn a_chain_is_founded_until_its_first_number_is_confirmed() {
        let mut sequences = Sequences::Fresh;
        let Stamping::Stamped(first) = sequences.stamp(3, Some(ME)) else {
            panic!("no stamp");
        };
        assert!(sequences.is_founding());
        sequences.confirm(Stamp {
            identity: Identity { epoch: 5, ..ME },
            ..first
        });
        assert!(sequences.is_founding(), "that was another chain");
        sequences.confirm(first);
        assert!(!sequences.is_founding());
        sequences.stamp(1, Some(ME));
        assert!(!sequences.is_founding());
        sequences.break_chain(Break::Gap);
        sequences.bump();
        assert!(sequences.is_founding());
    }

    #[test]
    fn numbers_are_contiguous_from_zero() {
        let mut sequences = Sequences::Fresh;
        assert_eq!(sequences.stamp(3, None), Stamping::NeedsProducerId);
        assert_eq!(sequences.stamp(3, Some(ME)), stamp(0, 0));
        assert_eq!(
            sequences.stamp(2, None),
            stamp(0, 3),
            "the identity is captured once"
        );
        assert_eq!(sequences.stamp(1, None), stamp(0, 5));
    }

    #[test]
    fn numbers_wrap_to_zero_after_the_largest() {
        let mut sequences = Sequences::Whole {
            identity: ME,
            next: i32::MAX,
        };
        assert_eq!(sequences.stamp(1, None), stamp(0, i32::MAX));
        assert_eq!(sequences.stamp(1, None), stamp(0, 0));
        let mut sequences = Sequences::Whole {
            identity: ME,
            next: i32::MAX - 1,
        };
        assert_eq!(sequences.stamp(5, None), stamp(0, i32::MAX - 1));
        assert_eq!(sequences.stamp(1, None), stamp(0, 3));
    }

    #[test]
    fn a_broken_chain_gives_nothing_out_until_the_next_epoch_begins_at_zero() {
        let mut sequences = Sequences::Fresh;
        sequences.stamp(3, Some(ME));
        sequences.break_chain(Break::Gap);
        assert_eq!(sequences.stamp(1, Some(ME)), Stamping::Wait);
        sequences.bump();
        assert_eq!(sequences.stamp(1, Some(ME)), stamp(1, 0));
    }

    #[test]
    fn the_last_epoch_is_followed_by_another_producer_id() {
        let last = Identity {
            epoch: i16::MAX,
            ..ME
        };
        let mut sequences = Sequences::Fresh;
        sequences.stamp(3, Some(last));
        sequences.break_chain(Break::Gap);
        sequences.bump();
        assert_eq!(sequences.stamp(1, Some(last)), Stamping::NeedsProducerId);
        let other = Identity {
            producer_id: 8,
            epoch: 0,
        };
        assert_eq!(
            sequences.stamp(1, Some(other)),
            Stamping::Stamped(Stamp {
                identity: other,
                sequence: 0
            })
        );
    }

    #[test]
    fn without_idempotence_there_are_no_numbers_to_break() {
        let mut sequences = Sequences::Off;
        sequences.break_chain(Break::Gap);
        assert_eq!(sequences.stamp(1, Some(ME)), Stamping::Plain);
        assert_eq!(sequences, Sequences::Off);
    }
}
