//! Owns giving batches away to be compressed, and taking them back.
//!
//! Must not know the codecs: the driver runs the job, off the engine's lock.

use super::role::{Cx, Producer, SlotId};
use crate::budget::Category;
use crate::engine::{Job, JobId, JobResult};
use crate::record::{BATCH_HEADER_SIZE, Codec, UnsealedBatch};

impl Producer {
    /// Closes the open batch of a partition.
    pub(super) fn close_open(&mut self, id: SlotId, cx: &mut Cx<'_>) {
        let first_ticket = self
            .slot_mut(id)
            .and_then(|slot| slot.partition.close_open());
        if let Some(first_ticket) = first_ticket
            && self.rules.codec != Codec::None
        {
            self.compress(id, first_ticket, cx);
        }
    }

    /// Gives a closed batch away. It keeps its place in the partition's queue.
    pub(super) fn compress(&mut self, id: SlotId, first_ticket: u64, cx: &mut Cx<'_>) {
        let (codec, level) = (self.rules.codec, self.rules.level);
        let jobs = &mut self.jobs;
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            slot.partition.begin_sealing(first_ticket, |plain| {
                let job = cx.cluster.work(Job::Compress {
                    codec,
                    level,
                    records: plain.slice(BATCH_HEADER_SIZE.min(plain.len())..),
                });
                jobs.insert(job, id);
                job
            });
        }
        self.rearm(id, cx);
    }

    /// A batch is compressed, or could not be. What is not smaller than before is sent as it was.
    pub(super) fn on_compressed(&mut self, job: JobId, result: JobResult, cx: &mut Cx<'_>) {
        let Some(id) = self.jobs.remove(&job) else {
            return;
        };
        let codec = self.rules.codec;
        let area = match result {
            JobResult::Compressed(Ok(area)) => Some(area),
            // The records are not lost for that.
            JobResult::Compressed(Err(_))
            | JobResult::Refused
            | JobResult::Proven { .. }
            | JobResult::Token(_) => None,
        };
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        slot.partition.end_sealing(job, |head, header, plain| {
            let smaller =
                area.filter(|area| area.len().saturating_add(BATCH_HEADER_SIZE) < plain.len());
            let Some(area) = smaller else {
                let freed = head.charged / 2;
                head.charged = head.charged.saturating_sub(freed);
                cx.cluster.budget().give_back(Category::Producer, freed);
                return UnsealedBatch::from_shared(header, plain);
            };
            let wanted = area.len().saturating_add(BATCH_HEADER_SIZE);
            let mut buffer = cx.cluster.pool().take(wanted);
            buffer.reserve(wanted);
            let kept = buffer.capacity().min(head.charged);
            let batch = UnsealedBatch::from_compressed(header, codec, &area, buffer);
            cx.cluster.pool().recycle(plain);
            cx.cluster
                .budget()
                .give_back(Category::Producer, head.charged.saturating_sub(kept));
            head.charged = kept;
            batch
        });
        self.ready(id, cx);
    }
}
