//! Owns how a consumer stands, for people.
//!
//! Must not know how any of it came about.

use super::role::ConsumerRole;
use crate::cluster::Cluster;
use crate::group::Group;
use crate::status::{ConsumedPartition, GroupStatus, Membership, Partitions, Status};
use crate::time::Instant;

impl ConsumerRole {
    /// How things stand.
    pub(super) fn status(&self, cluster: &Cluster, now: Instant) -> Status {
        let partitions = self.assigned.iter().map(|partition| ConsumedPartition {
            partition: partition.name(),
            lag: self.lag(partition),
            explanation: self.explain(partition),
        });
        Status {
            client_id: cluster.client_id().into(),
            now: now.max(cluster.now()),
            brokers: cluster.brokers_status(),
            group: self.group.as_ref().map(group_status),
            partitions: Partitions::Consumed(partitions.collect()),
            memory: cluster.metrics().memory,
        }
    }
}

fn group_status(group: &Group) -> GroupStatus {
    let member = group.member();
    let membership = match member.standing() {
        Some(_) if member.is_leaving() => Membership::Leaving,
        Some(standing) if !member.is_between_generations() => Membership::Member {
            generation: standing.generation,
        },
        Some(_) => Membership::Joining,
        None if member.is_leaving() => Membership::Leaving,
        None if member.is_outside() => Membership::Outside,
        None => Membership::Joining,
    };
    GroupStatus {
        id: group.id().into(),
        membership,
        trouble: member.failure().or_else(|| group.trouble()).cloned(),
    }
}
