//! Owns where a partition is fetched from when that is not its leader: the closest replica, as the leader named it
//! (KIP-392), and when it is left again.
//!
//! Must not know what is fetched, nor what an error means for the position.

use super::BrokerIndex;
use super::partition::{Partition, State};
use super::role::{ConsumerRole, Cx};
use crate::engine::NodeId;
use crate::time::Instant;

/// A replica that is nearer than the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nearer {
    pub(crate) broker: BrokerIndex,
    /// Then the leader is asked again: there may be a better one.
    pub(crate) until: Instant,
}

impl Partition {
    /// The broker that fetches go to. Every other question is for the leader.
    pub(crate) fn source(&self) -> Option<BrokerIndex> {
        match (self.nearer, self.leader) {
            (Some(nearer), Some(_)) => Some(nearer.broker),
            (None, Some(leader)) => Some(leader.broker),
            (_, None) => None,
        }
    }

    /// Whether it is fetched from this broker, and that is not its leader.
    pub(crate) fn is_nearer_at(&self, broker: BrokerIndex) -> bool {
        self.nearer.is_some_and(|nearer| nearer.broker == broker)
    }
}

/// Whether a state is one of fetching; in the others only the leader can help.
pub(super) const fn is_fetching(state: &State) -> bool {
    match state {
        State::Ready | State::InFlight { .. } | State::CatchingUp(_) | State::Backoff(_) => true,
        State::Loading(_)
        | State::AwaitingLeader(_)
        | State::LookingUp(_)
        | State::Validating(_)
        | State::Blocked(_) => false,
    }
}

impl ConsumerRole {
    /// The leader names a replica to fetch from. One that metadata does not have cannot be reached: the leader is asked
    /// until it does.
    pub(super) fn prefer_replica(&mut self, slot: u32, node: NodeId, cx: &mut Cx<'_>) {
        if !cx.cluster.knows_broker(node) {
            return cx.cluster.refresh_metadata();
        }
        let nearer = Nearer {
            broker: self.brokers.of(node),
            until: cx.now() + self.settings.replica_lease,
        };
        if let Some(partition) = self.assigned.get_mut(slot)
            && partition.source() != Some(nearer.broker)
        {
            partition.nearer = Some(nearer);
            self.reorder();
            self.let_go_of_brokers(cx);
        }
    }

    /// Fetches of a partition go to its leader again.
    pub(super) fn leave_replica(&mut self, slot: u32) {
        if let Some(partition) = self.assigned.get_mut(slot)
            && partition.nearer.take().is_some()
        {
            if let Some(leader) = partition.leader {
                self.brokers.touch(leader.broker);
            }
            self.reorder();
        }
    }

    /// The same for all partitions that are fetched from this broker though it does not lead them.
    pub(super) fn leave_replicas_at(&mut self, index: BrokerIndex) {
        for slot in self.assigned.slots() {
            if self
                .assigned
                .get(slot)
                .is_some_and(|partition| partition.is_nearer_at(index))
            {
                self.leave_replica(slot);
            }
        }
    }

    /// Before a request is put together: whose time at this replica is over goes back to its leader.
    pub(super) fn expire_replicas(&mut self, index: BrokerIndex, cx: &Cx<'_>) {
        let now = cx.now();
        let over = |partition: &Partition| {
            partition.is_nearer_at(index)
                && partition.nearer.is_some_and(|nearer| nearer.until <= now)
        };
        let Some(broker) = self.brokers.get(index) else {
            return;
        };
        let expired: alloc::vec::Vec<u32> = broker
            .order
            .iter()
            .copied()
            .filter(|slot| self.assigned.get(*slot).is_some_and(over))
            .collect();
        for slot in expired {
            self.leave_replica(slot);
        }
    }
}
