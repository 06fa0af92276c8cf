//! Owns what a consumer counts of itself, and the snapshot of it.
//!
//! Must not know how records come here.

use super::role::ConsumerRole;
use crate::cluster::Cluster;
use crate::metrics::ConsumerMetrics;
use crate::record::BatchHeader;

/// How many records the header of a lent batch speaks of; a batch of a format without such a header counts as one.
pub(super) fn records_in(batch: &[u8]) -> u64 {
    BatchHeader::of_v2(batch).map_or(1, |header| u64::try_from(header.records_count).unwrap_or(0))
}

impl ConsumerMetrics {
    /// A batch was read to its end.
    pub(super) fn count_batch(&mut self, records: u64, bytes: usize) {
        self.records_consumed_total = self.records_consumed_total.saturating_add(records);
        self.bytes_consumed_total = self.bytes_consumed_total.saturating_add(bytes as u64);
        self.batch_total = self.batch_total.saturating_add(1);
    }
}

impl ConsumerRole {
    /// What was counted until now, and how things stand.
    pub(super) fn metrics(&self, cluster: &Cluster) -> ConsumerMetrics {
        let mut metrics = self.metrics.clone();
        metrics.batches_lent = self.lent.len() as u64;
        for partition in self.assigned.iter() {
            metrics.assigned_partitions = metrics.assigned_partitions.saturating_add(1);
            let lag = self.lag(partition).map(u64::try_from);
            if let Some(Ok(lag)) = lag {
                metrics.records_lag_max = metrics.records_lag_max.max(lag);
                metrics.records_lag_sum = metrics.records_lag_sum.saturating_add(lag);
            }
        }
        metrics.client = cluster.metrics();
        metrics
    }
}
