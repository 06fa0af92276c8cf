//! Owns what a producer counts of itself, and the snapshot of it.
//!
//! Must not know why a record ends as it does.

use core::ops::Range;

use super::outcome::Outcome;
use super::role::Producer;
use crate::budget::Category;
use crate::cluster::Cluster;
use crate::metrics::ProducerMetrics;

fn add(total: &mut u64, more: u64) {
    *total = total.saturating_add(more);
}

/// A range of records has its outcome.
pub(super) fn count_outcome(
    metrics: &mut ProducerMetrics,
    tickets: &Range<u64>,
    outcome: &Outcome,
) {
    let records = tickets.end.saturating_sub(tickets.start);
    match outcome {
        Outcome::Delivered { .. } | Outcome::Sent => {
            add(&mut metrics.record_delivered_total, records);
        }
        Outcome::Rejected(_) => add(&mut metrics.record_error_total, records),
        Outcome::Unknown(_) => {
            add(&mut metrics.record_error_total, records);
            add(&mut metrics.record_unknown_total, records);
        }
    }
}

impl Producer {
    /// A batch goes into a request.
    pub(super) fn count_batch(&mut self, records: u64, bytes: usize, again: bool) {
        let metrics = &mut self.metrics;
        if again {
            return add(&mut metrics.record_retry_total, records);
        }
        add(&mut metrics.record_send_total, records);
        add(&mut metrics.batch_total, 1);
        add(&mut metrics.batch_byte_total, bytes as u64);
    }

    /// What was counted until now, and how things stand.
    pub(super) fn metrics(&self, cluster: &Cluster) -> ProducerMetrics {
        let mut metrics = self.metrics.clone();
        // Tickets count up in their partition: nothing has to be counted for each record.
        for slot in &self.slots {
            add(
                &mut metrics.record_append_total,
                slot.partition.next_ticket(),
            );
        }
        let resolved = metrics
            .record_delivered_total
            .saturating_add(metrics.record_error_total);
        metrics.records_unresolved = metrics.record_append_total.saturating_sub(resolved);
        metrics.buffer_available_bytes = cluster.memory_free(Category::Producer) as u64;
        metrics.client = cluster.metrics();
        metrics
    }
}
