//! Owns how replicas stay the same: appends of leaders, followers that copy, high watermarks, elections.
//!
//! Must not know requests. Replication is simple: a follower has all that its leader has after a delay.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use klamm::ErrorCode;
use klamm::record::{BatchError, BatchView, rewrite};

use crate::NodeId;
use crate::cluster::{Cluster, Timer};
use crate::config::{TimestampType, TopicConfig};
use crate::history::{Cause, What};
use crate::replica::{Copied, Copying, Replica};
use crate::topology::{PartitionId, PartitionState, TopicRef};

/// Where a batch was appended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// The offset behind it.
    pub(crate) end_offset: i64,
    /// With `LogAppendTime`.
    pub(crate) append_time: Option<i64>,
}

impl Cluster {
    /// The replica of `partition` on `broker`.
    pub(crate) fn replica(&self, partition: PartitionId, broker: NodeId) -> Option<&Replica> {
        self.replicas.get(&partition)?.get(&broker)
    }

    pub(crate) fn replica_mut(
        &mut self,
        partition: PartitionId,
        broker: NodeId,
    ) -> Option<&mut Replica> {
        self.replicas.get_mut(&partition)?.get_mut(&broker)
    }

    /// The partition's leader and that one's replica.
    pub(crate) fn leader(&self, partition: PartitionId) -> Option<(NodeId, &Replica)> {
        let leader = self.topology.image().partition(partition)?.leader?;
        Some((leader, self.replica(partition, leader)?))
    }

    /// The partition that a request names, as far as `broker` has heard of it.
    pub(crate) fn known_partition(
        &self,
        broker: NodeId,
        topic: &TopicRef,
        index: i32,
    ) -> Result<(PartitionId, &PartitionState), ErrorCode> {
        let unknown = match topic {
            TopicRef::Name(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            TopicRef::Id(_) => ErrorCode::UNKNOWN_TOPIC_ID,
        };
        if self.topology.view(broker).find(topic).is_none() {
            return Err(unknown);
        }
        let topic = self.topology.image().find(topic).ok_or(unknown)?;
        let state = topic.partition(index);
        let state = state.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let id = PartitionId {
            topic: topic.id,
            index,
        };
        Ok((id, state))
    }

    /// The partition that a request names, if `broker` leads it, in the epoch that the client thinks.
    pub(crate) fn led_partition(
        &self,
        broker: NodeId,
        topic: &TopicRef,
        index: i32,
        client_epoch: i32,
    ) -> Result<PartitionId, ErrorCode> {
        let (id, state) = self.known_partition(broker, topic, index)?;
        if state.replicas.contains(&broker) {
            check_epoch(client_epoch, state.leader_epoch)?;
        }
        if state.leader == Some(broker) {
            Ok(id)
        } else {
            Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
        }
    }

    pub(crate) fn topic_config(&self, partition: PartitionId) -> TopicConfig {
        let topic = self.topology.image().topic_by_id(partition.topic);
        topic.map_or_else(
            || self.config.topic_defaults.clone(),
            |topic| topic.config.clone(),
        )
    }

    /// Appends a batch that was checked, as the leader `broker` does.
    pub(crate) fn append(
        &mut self,
        partition: PartitionId,
        broker: NodeId,
        batch: &[u8],
        cause: Option<Cause>,
    ) -> Result<Appended, BatchError> {
        let config = self.topic_config(partition);
        let append_time = match config.timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.wall()),
        };
        let state = self.topology.image().partition(partition);
        let epoch = state.map_or(-1, |state| state.leader_epoch);
        let end_offset = self.replica(partition, broker).map(|r| r.log.end_offset());
        let base_offset = end_offset.unwrap_or_default();
        let mut stored = BytesMut::from(batch);
        rewrite::assign_offsets(&mut stored, base_offset, epoch)?;
        if let Some(time) = append_time {
            rewrite::assign_append_time(&mut stored, time)?;
        }
        let header = *BatchView::parse(&stored)?.header();
        let stored = stored.freeze();
        if let Some(replica) = self.replica_mut(partition, broker) {
            replica.append(header, stored.clone());
        }
        self.note_append(
            partition,
            broker,
            stored,
            base_offset,
            header.last_offset(),
            cause,
        );
        self.replicate(partition);
        self.retain(partition, &config);
        Ok(Appended {
            base_offset,
            end_offset: header.next_offset(),
            append_time,
        })
    }

    fn note_append(
        &mut self,
        partition: PartitionId,
        broker: NodeId,
        batch: Bytes,
        base_offset: i64,
        last_offset: i64,
        cause: Option<Cause>,
    ) {
        self.note(What::Appended {
            partition,
            broker,
            batch,
            base_offset,
            last_offset,
            cause,
        });
    }

    /// Deletes the oldest batches of a log that is larger than its topic allows.
    fn retain(&mut self, partition: PartitionId, config: &TopicConfig) {
        let Some(bytes) = config.retention_bytes else {
            return;
        };
        if let Some((_, leader)) = self.leader(partition)
            && leader.log.size() > bytes
        {
            let start = leader.log.start_for_size(bytes, leader.high_watermark);
            self.move_log_start(partition, start);
        }
    }

    /// Moves the start of the log on all replicas that run.
    pub(crate) fn move_log_start(&mut self, partition: PartitionId, offset: i64) {
        let Some((leader, replica)) = self.leader(partition) else {
            return;
        };
        if offset <= replica.log.start_offset() {
            return;
        }
        if let Some(replica) = self.replica_mut(partition, leader) {
            replica.log.advance_start(offset);
        }
        self.note(What::LogStart { partition, offset });
        self.news.insert(partition);
        self.replicate(partition);
    }

    /// Lets the followers of `partition` copy, now or after the delay, and moves the high watermark.
    pub(crate) fn replicate(&mut self, partition: PartitionId) {
        self.news.insert(partition);
        let delay = self.config.replication_delay;
        let Some(state) = self.topology.image().partition(partition) else {
            return;
        };
        let Some(leader) = state.leader else {
            return;
        };
        let followers: Vec<_> = state
            .replicas
            .iter()
            .copied()
            .filter(|follower| *follower != leader && self.topology.is_alive(*follower))
            .collect();
        self.advance_high_watermark(partition);
        for follower in followers.iter().copied() {
            if self.wants_copy(partition, follower) {
                if delay.is_zero() {
                    self.copy(partition, follower);
                } else {
                    self.arm_copy(partition, follower);
                }
            }
        }
        // What they copied may have moved the high watermark, which is news to them again.
        if self.advance_high_watermark(partition) && delay.is_zero() {
            for follower in followers {
                if self.wants_copy(partition, follower) {
                    self.copy(partition, follower);
                }
            }
        }
    }

    fn wants_copy(&self, partition: PartitionId, follower: NodeId) -> bool {
        let epoch = self.topology.image().partition(partition);
        let epoch = epoch.map_or(-1, |state| state.leader_epoch);
        match (self.leader(partition), self.replica(partition, follower)) {
            (Some((_, leader)), Some(replica)) => {
                replica.copying == Copying::Idle && replica.is_behind(leader, epoch)
            }
            _ => false,
        }
    }

    fn arm_copy(&mut self, partition: PartitionId, follower: NodeId) {
        let at = self.now + self.config.replication_delay;
        if let Some(replica) = self.replica_mut(partition, follower) {
            replica.copying = Copying::Due;
            self.timers.arm(at, Timer::Copy(partition, follower));
        }
    }

    pub(crate) fn copy_due(&mut self, partition: PartitionId, follower: NodeId) {
        let alive = self.topology.is_alive(follower);
        let Some(replica) = self.replica_mut(partition, follower) else {
            return;
        };
        if replica.copying != Copying::Due {
            return;
        }
        replica.copying = Copying::Idle;
        if alive && self.wants_copy(partition, follower) {
            self.copy(partition, follower);
            self.replicate(partition);
        }
    }

    fn copy(&mut self, partition: PartitionId, follower: NodeId) {
        let state = self.topology.image().partition(partition);
        let Some((leader, epoch)) = state.and_then(|s| Some((s.leader?, s.leader_epoch))) else {
            return;
        };
        let Some(replicas) = self.replicas.get_mut(&partition) else {
            return;
        };
        let Some(mut copying) = replicas.remove(&follower) else {
            return;
        };
        let copied = match replicas.get(&leader) {
            Some(leader) => copying.copy_from(leader, epoch),
            None => Copied::default(),
        };
        replicas.insert(follower, copying);
        self.news.insert(partition);
        if let Some(from) = copied.truncated_from {
            self.note(What::Truncated {
                partition,
                broker: follower,
                to: copied.truncated_to,
                from,
            });
        }
        self.join_isr(partition, follower);
    }

    /// A follower that has all that its leader has is in sync.
    fn join_isr(&mut self, partition: PartitionId, follower: NodeId) {
        let state = self.topology.image().partition(partition);
        if state.is_some_and(|state| !state.isr.contains(&follower))
            && let Some(state) = self.topology.partition_mut(partition)
        {
            state.isr.push(follower);
        }
    }

    /// Moves the leader's high watermark to what all replicas in sync have. Returns whether it moved.
    fn advance_high_watermark(&mut self, partition: PartitionId) -> bool {
        let Some(state) = self.topology.image().partition(partition) else {
            return false;
        };
        let (Some(leader), epoch) = (state.leader, state.leader_epoch) else {
            return false;
        };
        let Some(replicas) = self.replicas.get(&partition) else {
            return false;
        };
        let mut lowest = i64::MAX;
        for id in &state.isr {
            match replicas.get(id) {
                // What a follower has is known only once it followed this leader.
                Some(replica) if replica.followed_epoch == epoch => {
                    lowest = lowest.min(replica.log.end_offset());
                }
                Some(_) | None => return false,
            }
        }
        let Some(replica) = self.replica_mut(partition, leader) else {
            return false;
        };
        if lowest == i64::MAX || lowest <= replica.high_watermark {
            return false;
        }
        replica.high_watermark = lowest;
        self.news.insert(partition);
        self.note(What::HighWatermark {
            partition,
            offset: lowest,
        });
        true
    }

    /// Creates the replicas of a new partition.
    pub(crate) fn create_replicas(&mut self, partition: PartitionId) {
        let Some(state) = self.topology.image().partition(partition).cloned() else {
            return;
        };
        let mut replicas = BTreeMap::new();
        for id in &state.replicas {
            let mut replica = Replica::new();
            if state.leader == Some(*id) {
                replica.lead(state.leader_epoch);
            } else if state.isr.contains(id) {
                replica.followed_epoch = state.leader_epoch;
            }
            replicas.insert(*id, replica);
        }
        self.replicas.insert(partition, replicas);
    }

    /// Makes `leader` lead the partition, in a new epoch. One that is not in sync loses what it does not have.
    pub(crate) fn elect(&mut self, partition: PartitionId, leader: Option<NodeId>) {
        let Some(state) = self.topology.partition_mut(partition) else {
            return;
        };
        state.leader = leader;
        state.leader_epoch += 1;
        let epoch = state.leader_epoch;
        let mut unclean = false;
        if let Some(leader) = leader {
            unclean = !state.isr.contains(&leader);
            if unclean {
                state.isr = vec![leader];
            }
            if let Some(replica) = self.replica_mut(partition, leader) {
                replica.lead(epoch);
            }
        }
        self.note(What::LeaderChanged {
            partition,
            leader,
            epoch,
            unclean,
        });
        self.replicate(partition);
    }

    /// Takes `broker` out of the replicas in sync; the last one stays.
    pub(crate) fn leave_isr(&mut self, partition: PartitionId, broker: NodeId) {
        if let Some(state) = self.topology.partition_mut(partition)
            && state.isr.len() > 1
        {
            state.isr.retain(|id| *id != broker);
            self.replicate(partition);
        }
    }

    /// Moves the leaderships of a broker that stopped to replicas that run.
    pub(crate) fn fail_over(&mut self, broker: NodeId) {
        if self.topology.is_alive(broker) {
            return;
        }
        let image = self.topology.image();
        let hosted: Vec<_> = image
            .partitions()
            .filter(|(_, state)| state.replicas.contains(&broker))
            .map(|(id, state)| (id, state.leader))
            .collect();
        for (partition, leader) in hosted {
            self.leave_isr(partition, broker);
            if leader == Some(broker) {
                let next = self.next_leader(partition);
                self.elect(partition, next);
            }
        }
    }

    /// Who can lead the partition: a running replica in sync, else, if the topic allows it, any that runs.
    pub(crate) fn next_leader(&self, partition: PartitionId) -> Option<NodeId> {
        let image = self.topology.image();
        let topic = image.topic_by_id(partition.topic)?;
        let state = topic.partition(partition.index)?;
        let mut running = state
            .replicas
            .iter()
            .filter(|id| image.node(**id).is_some());
        let in_sync = running.clone().find(|id| state.isr.contains(id));
        in_sync
            .or_else(|| {
                let unclean = topic.config.unclean_leader_election;
                running.next().filter(|_| unclean)
            })
            .copied()
    }
}

/// KIP-320: whether the leader epoch that a client knows, if it says one, is the partition's.
pub(crate) fn check_epoch(client: i32, current: i32) -> Result<(), ErrorCode> {
    if client < 0 || client == current {
        Ok(())
    } else if client < current {
        Err(ErrorCode::FENCED_LEADER_EPOCH)
    } else {
        Err(ErrorCode::UNKNOWN_LEADER_EPOCH)
    }
}
