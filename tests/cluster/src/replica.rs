//! Owns one replica of a partition: its log, what it remembers of producers, and how far it knows to be replicated.
//!
//! Must not know where other replicas are; it is given the leader's to copy from.

use bytes::Bytes;
use klamm::record::control::{ControlType, control_type};
use klamm::record::{BatchHeader, BatchView};

use crate::log::Log;
use crate::producer_state::ProducerStates;

/// Whether a follower copies from its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copying {
    /// It waits for news.
    Idle,
    /// It copies at a time that is set.
    Due,
    /// It was told to copy nothing.
    Paused,
}

/// One replica.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) log: Log,
    pub(crate) producers: ProducerStates,
    pub(crate) high_watermark: i64,
    pub(crate) copying: Copying,
    /// The leader epoch in which its log was last brought in line with the leader's.
    pub(crate) followed_epoch: i32,
}

/// What copying changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Where the log ended, if it had to be cut.
    pub(crate) truncated_from: Option<i64>,
    /// Where it was cut.
    pub(crate) truncated_to: i64,
}

impl Replica {
    pub(crate) fn new() -> Self {
        Self {
            log: Log::default(),
            producers: ProducerStates::default(),
            high_watermark: 0,
            copying: Copying::Idle,
            followed_epoch: -1,
        }
    }

    /// The offset up to which a reader of committed records may read.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.log.last_stable_offset(self.high_watermark)
    }

    /// Appends a whole batch that has its offsets.
    pub(crate) fn append(&mut self, header: BatchHeader, bytes: Bytes) {
        let ended = ended_transaction(&header, &bytes);
        self.producers.appended(&header);
        let offset = header.base_offset;
        let producer_id = header.producer_id;
        self.log.append(header, bytes);
        if let Some(aborted) = ended {
            self.log.end_transaction(producer_id, offset, aborted);
        }
    }

    /// Becomes the leader in `epoch`.
    pub(crate) fn lead(&mut self, epoch: i32) {
        self.log.begin_epoch(epoch);
        self.followed_epoch = epoch;
    }

    /// Whether `leader` has anything new for this follower in `epoch`.
    pub(crate) fn is_behind(&self, leader: &Self, epoch: i32) -> bool {
        self.followed_epoch != epoch
            || self.log.end_offset() != leader.log.end_offset()
            || self.log.start_offset() != leader.log.start_offset()
            || self.high_watermark != leader.high_watermark
    }

    /// Brings the log in line with the leader's, and copies all that it lacks.
    pub(crate) fn copy_from(&mut self, leader: &Self, epoch: i32) -> Copied {
        let copied = if self.followed_epoch == epoch {
            Copied::default()
        } else {
            self.truncate_to(leader)
        };
        self.followed_epoch = epoch;
        if leader.log.start_offset() > self.log.end_offset() {
            self.log = Log::starting_at(leader.log.start_offset());
        }
        for batch in leader.log.batches_from(self.log.end_offset(), i64::MAX) {
            self.append(batch.header, batch.bytes.clone());
        }
        self.log.advance_start(leader.log.start_offset());
        self.high_watermark = leader
            .high_watermark
            .min(self.log.end_offset())
            .max(self.log.start_offset());
        copied
    }

    /// Drops what the leader does not have: from where the epochs part (KIP-101).
    fn truncate_to(&mut self, leader: &Self) -> Copied {
        let from = self.log.end_offset();
        while let Some(latest) = self.log.latest_epoch() {
            let Some(theirs) = leader.log.epoch_end(latest) else {
                break;
            };
            let start = self.log.start_offset();
            let ours = self.log.epoch_end(theirs.epoch);
            let ours = ours.map_or(start, |end| end.end_offset);
            let target = theirs.end_offset.min(ours).max(start);
            if !self.log.truncate(target) || theirs.epoch == latest {
                break;
            }
        }
        let to = self.log.end_offset();
        if to == from {
            return Copied::default();
        }
        self.reread_producers();
        self.high_watermark = self.high_watermark.min(to);
        Copied {
            truncated_from: Some(from),
            truncated_to: to,
        }
    }

    fn reread_producers(&mut self) {
        self.producers = ProducerStates::default();
        for batch in self.log.batches() {
            self.producers.appended(&batch.header);
        }
    }
}

/// Whether a batch ends a transaction, and if so whether by aborting it.
fn ended_transaction(header: &BatchHeader, bytes: &[u8]) -> Option<bool> {
    if !header.is_control() {
        return None;
    }
    let batch = BatchView::parse(bytes).ok()?;
    match control_type(&batch) {
        Ok(Some(ControlType::Abort)) => Some(true),
        Ok(Some(ControlType::Commit)) => Some(false),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use klamm::record::{BatchBuilder, BatchProducer, RecordRef, rewrite};

    /// Appends a batch of one record in `epoch`, as a leader does.
    fn append(replica: &mut Replica, epoch: i32, sequence: i32) {
        let mut builder = BatchBuilder::new(BytesMut::new(), 1000);
        builder
            .try_append(&RecordRef::new(0, None, Some(b"value")))
            .unwrap();
        let producer = BatchProducer::Idempotent {
            producer_id: 1,
            producer_epoch: 0,
            base_sequence: sequence,
        };
        let mut bytes = builder.finish().unwrap().seal(producer).to_vec();
        rewrite::assign_offsets(&mut bytes, replica.log.end_offset(), epoch).unwrap();
        let header = *BatchView::parse(&bytes).unwrap().header();
        replica.append(header, Bytes::from(bytes));
    }

    /// A replica whose log holds one record for each of `epochs`.
    fn replica(epochs: &[i32]) -> Replica {
        let mut replica = Replica::new();
        for (sequence, epoch) in (0..).zip(epochs) {
            append(&mut replica, *epoch, sequence);
        }
        replica
    }

    fn epochs(replica: &Replica) -> Vec<i32> {
        let epoch = |batch: &crate::log::StoredBatch| batch.header.partition_leader_epoch;
        replica.log.batches().map(epoch).collect()
    }

    #[test]
    fn a_follower_copies_what_it_lacks() {
        let mut leader = replica(&[0, 0, 1]);
        leader.high_watermark = 2;
        let mut follower = replica(&[0]);
        assert_eq!(follower.copy_from(&leader, 1), Copied::default());
        assert_eq!(epochs(&follower), [0, 0, 1]);
        assert_eq!(follower.high_watermark, 2);
        assert!(!follower.is_behind(&leader, 1));
    }

    #[test]
    fn a_follower_drops_what_its_new_leader_does_not_have() {
        let leader = replica(&[0, 2]);
        let mut follower = replica(&[0, 1, 1, 1]);
        let copied = follower.copy_from(&leader, 2);
        assert_eq!(copied.truncated_from, Some(4));
        assert_eq!(copied.truncated_to, 1);
        assert_eq!(epochs(&follower), [0, 2]);
    }

    #[test]
    fn a_follower_drops_the_end_of_an_epoch_that_the_leader_has_shorter() {
        let leader = replica(&[0, 0, 3]);
        let mut follower = replica(&[0, 0, 0, 0]);
        follower.copy_from(&leader, 3);
        assert_eq!(epochs(&follower), [0, 0, 3]);
    }

    #[test]
    fn truncation_forgets_the_sequences_of_what_was_dropped() {
        let mut leader = replica(&[0, 0]);
        leader.lead(2);
        let mut follower = replica(&[0, 0, 1]);
        follower.copy_from(&leader, 2);
        let state = follower.producers.get(1).unwrap();
        assert_eq!(state.batches.back().unwrap().last_sequence, 1);
    }
}
