//! Owns the snapshot of what the cluster has counted: the gauges are read when somebody asks.
//!
//! Must not know what any number is for.

use super::Cluster;
use crate::budget::Category;
use crate::metrics::{ClientMetrics, MemoryMetrics};

impl Cluster {
    /// What was counted until now, and how things stand.
    pub(crate) fn metrics(&self) -> ClientMetrics {
        let mut metrics = self.metrics.clone();
        let ready = self
            .connections
            .values()
            .filter_map(|attached| attached.connection.in_flight());
        for in_flight in ready {
            metrics.connection_count = metrics.connection_count.saturating_add(1);
            metrics.requests_in_flight =
                metrics.requests_in_flight.saturating_add(in_flight as u64);
        }
        metrics.memory = MemoryMetrics {
            limit: self.budget.limit() as u64,
            used: Category::ALL.map(|category| self.budget.used(category) as u64),
        };
        metrics
    }
}
