//! Owns how a producer stands, for people.
//!
//! Must not know how any of it came about.

use super::partition::Waits;
use super::role::{Producer, Slot};
use crate::cluster::Cluster;
use crate::engine::TopicPartition;
use crate::status::{Partitions, ProducedPartition, Status};
use crate::time::Instant;

impl Producer {
    /// How things stand.
    pub(super) fn status(&self, cluster: &Cluster, now: Instant) -> Status {
        let now = now.max(cluster.now());
        let busy = self.slots.iter().filter(|slot| !slot.partition.is_idle());
        let partitions = busy.map(|slot| self.produced(slot, cluster, now));
        Status {
            client_id: cluster.client_id().into(),
            now,
            brokers: cluster.brokers_status(),
            group: None,
            partitions: Partitions::Produced(partitions.collect()),
            memory: cluster.metrics().memory,
        }
    }

    fn produced(&self, slot: &Slot, cluster: &Cluster, now: Instant) -> ProducedPartition {
        let partition = &slot.partition;
        let topic = cluster.topic(slot.topic);
        let leader_trouble = || {
            let node = self.nodes.get(&slot.queued?)?;
            node.trouble.clone()
        };
        ProducedPartition {
            partition: TopicPartition::new(
                topic.map_or("?", |topic| topic.name.as_ref()),
                slot.index,
            ),
            batches: partition.unresolved(),
            oldest: partition
                .oldest()
                .map(|head| now.since(head.created))
                .unwrap_or_default(),
            waits_for: match partition.waits(now, &self.rules) {
                Some(Waits::Empty) => "nothing",
                Some(Waits::Linger(_)) => "more records (linger)",
                Some(Waits::Backoff(_)) => "its retry",
                Some(Waits::Answer) => "the broker's answer",
                Some(Waits::Compression) => "compression",
                Some(Waits::ProducerId) => "a producer id",
                None if slot.queued.is_none() => "its leader",
                None => "its broker",
            },
            error: partition.last_error().cloned().or_else(leader_trouble),
        }
    }
}
