//! Owns what a replica remembers of the producers that wrote to it: their epochs and last five batches (KIP-98).
//!
//! Must not know logs or requests. The rules are those of Kafka's `ProducerStateManager` and `ProducerAppendInfo`.

use std::collections::{BTreeMap, VecDeque};

use klamm::ErrorCode;
use klamm::record::{BatchHeader, add_sequence};

/// The producer id of a batch without one.
pub(crate) const NO_PRODUCER: i64 = -1;

/// How many batches a broker remembers of a producer, a partition.
const REMEMBERED: usize = 5;

/// A batch that a broker remembers of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The sequence number of its first record.
    pub first_sequence: i32,
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// The offset of its first record.
    pub first_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// Its largest timestamp.
    pub timestamp: i64,
}

/// What a broker remembers of one producer in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer's epoch.
    pub epoch: i16,
    /// Its last batches, at most five; none right after the end of a transaction.
    pub batches: VecDeque<ProducerBatch>,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already.
    Duplicate(ProducerBatch),
    Refuse(ErrorCode),
}

/// What to answer to a producer without state whose sequence does not start at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownProducer {
    /// KIP-360 (2.5): any sequence is accepted.
    Accepted,
    /// Before: `UNKNOWN_PRODUCER_ID`.
    Refused,
}

/// All producers that a replica remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<i64, ProducerState>,
}

impl ProducerStates {
    pub(crate) fn get(&self, producer_id: i64) -> Option<&ProducerState> {
        self.producers.get(&producer_id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &ProducerState)> {
        self.producers.iter().map(|(id, state)| (*id, state))
    }

    /// Forgets a producer, as the expiry of its id does.
    pub(crate) fn forget(&mut self, producer_id: i64) -> bool {
        self.producers.remove(&producer_id).is_some()
    }

    /// What is to be done with a batch of a client.
    pub(crate) fn check(&self, header: &BatchHeader, unknown: UnknownProducer) -> Verdict {
        if header.producer_id == NO_PRODUCER {
            return Verdict::Append;
        }
        let Some(state) = self.producers.get(&header.producer_id) else {
            return match unknown {
                UnknownProducer::Refused if header.base_sequence != 0 => {
                    Verdict::Refuse(ErrorCode::UNKNOWN_PRODUCER_ID)
                }
                UnknownProducer::Refused | UnknownProducer::Accepted => Verdict::Append,
            };
        };
        if let Some(batch) = state.duplicate(header) {
            return Verdict::Duplicate(batch);
        }
        if header.producer_epoch < state.epoch {
            return Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        let expected = if header.producer_epoch > state.epoch {
            // A new epoch starts at zero.
            0
        } else {
            state
                .batches
                .back()
                .map_or(0, |last| add_sequence(last.last_sequence, 1))
        };
        if header.base_sequence == expected {
            Verdict::Append
        } else {
            Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
        }
    }

    /// Remembers a batch that was appended.
    pub(crate) fn appended(&mut self, header: &BatchHeader) {
        if header.producer_id == NO_PRODUCER {
            return;
        }
        let state = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerState {
                epoch: header.producer_epoch,
                batches: VecDeque::with_capacity(REMEMBERED),
            });
        if state.epoch != header.producer_epoch {
            state.epoch = header.producer_epoch;
            state.batches.clear();
        }
        if header.is_control() {
            return;
        }
        if state.batches.len() == REMEMBERED {
            state.batches.pop_front();
        }
        state.batches.push_back(ProducerBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            first_offset: header.base_offset,
            last_offset: header.last_offset(),
            timestamp: header.max_timestamp,
        });
    }
}

impl ProducerState {
    fn duplicate(&self, header: &BatchHeader) -> Option<ProducerBatch> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let same = |batch: &&ProducerBatch| {
            batch.first_sequence == header.base_sequence
                && batch.last_sequence == header.last_sequence()
        };
        self.batches.iter().find(same).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset: offset,
            batch_length: 0,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 4000,
            producer_epoch: epoch,
            base_sequence: sequence,
            records_count: count,
        }
    }

    /// A broker that remembers the given batches: epoch, sequence, count.
    fn after(batches: &[(i16, i32, i32)]) -> ProducerStates {
        let mut states = ProducerStates::default();
        let mut offset = 0;
        for (epoch, sequence, count) in batches {
            states.appended(&batch(*epoch, *sequence, *count, offset));
            offset += i64::from(*count);
        }
        states
    }

    fn check(states: &ProducerStates, epoch: i16, sequence: i32, count: i32) -> Verdict {
        states.check(&batch(epoch, sequence, count, 0), UnknownProducer::Accepted)
    }

    const OUT_OF_ORDER: Verdict = Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);

    fn duplicate_at(verdict: Verdict) -> Option<i64> {
        match verdict {
            Verdict::Duplicate(batch) => Some(batch.first_offset),
            Verdict::Append | Verdict::Refuse(_) => None,
        }
    }

    #[test]
    fn a_producer_without_state_may_start_anywhere() {
        assert_eq!(check(&after(&[]), 0, 17, 3), Verdict::Append);
    }

    #[test]
    fn old_brokers_want_a_producer_without_state_to_start_at_zero() {
        let states = after(&[]);
        let refused = |sequence| states.check(&batch(0, sequence, 1, 0), UnknownProducer::Refused);
        assert_eq!(refused(17), Verdict::Refuse(ErrorCode::UNKNOWN_PRODUCER_ID));
        assert_eq!(refused(0), Verdict::Append);
    }

    #[test]
    fn the_next_sequence_is_appended_and_a_gap_is_not() {
        let states = after(&[(0, 0, 10)]);
        assert_eq!(check(&states, 0, 10, 5), Verdict::Append);
        assert_eq!(check(&states, 0, 11, 5), OUT_OF_ORDER);
        assert_eq!(check(&states, 0, 9, 5), OUT_OF_ORDER);
    }

    #[test]
    fn one_of_the_last_five_batches_is_a_duplicate_with_its_first_offset() {
        let states = after(&[(0, 0, 2), (0, 2, 2), (0, 4, 2), (0, 6, 2), (0, 8, 2)]);
        assert_eq!(duplicate_at(check(&states, 0, 0, 2)), Some(0));
        assert_eq!(duplicate_at(check(&states, 0, 6, 2)), Some(6));
    }

    #[test]
    fn a_duplicate_older_than_five_batches_is_out_of_order() {
        let states = after(&[
            (0, 0, 2),
            (0, 2, 2),
            (0, 4, 2),
            (0, 6, 2),
            (0, 8, 2),
            (0, 10, 2),
        ]);
        assert_eq!(check(&states, 0, 0, 2), OUT_OF_ORDER);
    }

    #[test]
    fn the_same_start_with_another_length_is_no_duplicate() {
        assert_eq!(check(&after(&[(0, 0, 10)]), 0, 0, 5), OUT_OF_ORDER);
    }

    #[test]
    fn an_older_epoch_is_fenced() {
        let states = after(&[(3, 0, 10)]);
        let fenced = Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(check(&states, 2, 10, 1), fenced);
        assert_eq!(check(&states, 2, 0, 10), fenced);
    }

    #[test]
    fn a_new_epoch_starts_at_zero() {
        let states = after(&[(0, 0, 10)]);
        assert_eq!(check(&states, 1, 0, 1), Verdict::Append);
        assert_eq!(check(&states, 1, 10, 1), OUT_OF_ORDER);
    }

    #[test]
    fn sequences_wrap_from_the_largest_to_zero() {
        let states = after(&[(0, i32::MAX - 1, 2)]);
        assert_eq!(check(&states, 0, 0, 1), Verdict::Append);
        let states = after(&[(0, i32::MAX, 3)]);
        assert_eq!(check(&states, 0, 2, 1), Verdict::Append);
        assert_eq!(duplicate_at(check(&states, 0, i32::MAX, 3)), Some(0));
    }

    #[test]
    fn a_producer_that_was_forgotten_may_start_anywhere() {
        let mut states = after(&[(0, 0, 10)]);
        assert!(states.forget(4000));
        assert_eq!(check(&states, 0, 99, 1), Verdict::Append);
    }
}
