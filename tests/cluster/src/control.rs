//! Owns what a test does to the cluster from above: topics, leaders, brokers, views, time of replication.
//!
//! Must not know requests. Everything here happens at the time of the last input.

use klamm::record::control::{TransactionEnd, end_transaction_marker};
use klamm::{Str, Uuid};

use crate::NodeId;
use crate::cluster::{Cluster, Timer};
use crate::config::{Node, TopicConfig};
use crate::connection::ConnectionKey;
use crate::history::What;
use crate::random::Purpose;
use crate::replica::Copying;
use crate::topology::{PartitionId, PartitionState, TopicRef, TopicState, is_legal_name};

/// Why a test's wish cannot be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// There is no topic of this name.
    UnknownTopic(String),
    /// The topic has no partition of this number.
    UnknownPartition(String, i32),
    /// There is no such broker.
    UnknownBroker(NodeId),
    /// The broker does not run.
    Stopped(NodeId),
    /// The broker has no replica of the partition.
    NoReplica(NodeId),
    /// The replica is not in sync, so leading would lose records: see [`Cluster::elect_unclean`].
    NotInSync(NodeId),
    /// There is such a topic already.
    TopicExists(String),
    /// Kafka does not allow this name.
    IllegalName(String),
    /// A topic has at least one partition and one replica, and its partitions do not get fewer.
    IllegalCount(i32),
    /// The partition has no leader.
    Leaderless,
    /// The batch is none that can be appended.
    IllegalBatch(String),
}

impl std::fmt::Display for ControlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownTopic(name) => write!(f, "there is no topic `{name}`"),
            Self::UnknownPartition(name, index) => {
                write!(f, "topic `{name}` has no partition {index}")
            }
            Self::UnknownBroker(id) => write!(f, "there is no broker {id}"),
            Self::Stopped(id) => write!(f, "broker {id} does not run"),
            Self::NoReplica(id) => write!(f, "broker {id} has no replica of the partition"),
            Self::NotInSync(id) => write!(f, "the replica on broker {id} is not in sync"),
            Self::TopicExists(name) => write!(f, "there is a topic `{name}` already"),
            Self::IllegalName(name) => write!(f, "Kafka allows no topic name `{name}`"),
            Self::IllegalCount(count) => write!(f, "a topic cannot have {count} of those"),
            Self::Leaderless => f.write_str("the partition has no leader"),
            Self::IllegalBatch(why) => write!(f, "the batch cannot be appended: {why}"),
        }
    }
}

impl std::error::Error for ControlError {}

/// A topic to be created.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has; at most the number of brokers is used.
    pub replication_factor: i16,
    /// Its settings.
    pub config: TopicConfig,
}

/// Topics.
impl Cluster {
    /// Creates a topic with the cluster's default replication factor and settings. Returns its id.
    ///
    /// # Errors
    /// There is one of that name, or Kafka does not allow the name or the count.
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> Result<Uuid, ControlError> {
        let new = NewTopic {
            partitions,
            replication_factor: self.config.default_replication_factor,
            config: self.config.topic_defaults.clone(),
        };
        self.create_topic_with(name, new)
    }

    /// Creates a topic. Returns its id.
    ///
    /// # Errors
    /// There is one of that name, or Kafka does not allow the name or the counts.
    pub fn create_topic_with(&mut self, name: &str, new: NewTopic) -> Result<Uuid, ControlError> {
        let count = usize::try_from(new.replication_factor).unwrap_or(0);
        if count == 0 {
            return Err(ControlError::IllegalCount(i32::from(
                new.replication_factor,
            )));
        }
        let partitions = usize::try_from(new.partitions).unwrap_or(0);
        let places = (0..partitions).map(|index| self.topology.place_replicas(index, count));
        let places = places.collect();
        self.add_topic(name, places, new.config)
    }

    /// Creates a topic whose replicas are on the brokers of `places`, one list a partition.
    pub(crate) fn add_topic(
        &mut self,
        name: &str,
        places: Vec<Vec<NodeId>>,
        config: TopicConfig,
    ) -> Result<Uuid, ControlError> {
        if !is_legal_name(name) {
            return Err(ControlError::IllegalName(name.to_owned()));
        }
        if self.topology.image().topic(name).is_some() {
            return Err(ControlError::TopicExists(name.to_owned()));
        }
        if places.is_empty() {
            return Err(ControlError::IllegalCount(0));
        }
        let id = self.fresh_topic_id();
        let count = places.len();
        let partitions = places
            .into_iter()
            .map(|replicas| self.new_partition(replicas));
        let partitions = partitions.collect();
        self.topology.add_topic(TopicState {
            name: name.to_owned(),
            id,
            config,
            partitions,
        });
        for (index, _) in (0..).zip(0..count) {
            self.create_replicas(PartitionId { topic: id, index });
        }
        self.note(What::TopicCreated {
            topic: id,
            name: name.to_owned(),
        });
        Ok(id)
    }

    fn new_partition(&self, replicas: Vec<NodeId>) -> PartitionState {
        let alive = |id: &&NodeId| self.topology.is_alive(**id);
        let isr: Vec<_> = replicas.iter().filter(alive).copied().collect();
        PartitionState {
            leader: isr.first().copied(),
            leader_epoch: 0,
            isr: if isr.is_empty() {
                replicas.clone()
            } else {
                isr
            },
            replicas,
        }
    }

    fn fresh_topic_id(&mut self) -> Uuid {
        let high = self.random.next(Purpose::TopicId);
        let low = self.random.next(Purpose::TopicId);
        Uuid::from((u128::from(high) << 64) | u128::from(low))
    }

    /// Creates a topic that a client asked for without saying how it should be.
    pub(crate) fn auto_create(&mut self, name: &Str) {
        let created = self.create_topic(name, self.config.default_partitions);
        // The name was checked, and that there is none: only a count of zero is left, which creates nothing.
        drop(created);
    }

    /// Deletes a topic with all its records. One that is created later under its name has another id.
    ///
    /// # Errors
    /// There is none.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), ControlError> {
        let topic = self.topology.remove_topic(name);
        let topic = topic.ok_or_else(|| ControlError::UnknownTopic(name.to_owned()))?;
        for (index, _) in (0..).zip(&topic.partitions) {
            let partition = PartitionId {
                topic: topic.id,
                index,
            };
            self.replicas.remove(&partition);
            self.news.insert(partition);
        }
        self.groups.forget_topic(name);
        self.note(What::TopicDeleted {
            topic: topic.id,
            name: topic.name,
        });
        self.settle();
        Ok(())
    }

    /// Lets a topic have `count` partitions, more than it had.
    ///
    /// # Errors
    /// There is no such topic, or it has as many.
    pub fn add_partitions(&mut self, name: &str, count: i32) -> Result<(), ControlError> {
        let topic = self.topology.image().topic(name);
        let topic = topic.ok_or_else(|| ControlError::UnknownTopic(name.to_owned()))?;
        let id = topic.id;
        let have = topic.partitions.len();
        let factor = topic
            .partitions
            .first()
            .map_or(1, |first| first.replicas.len());
        let want = usize::try_from(count).unwrap_or(0);
        if want <= have {
            return Err(ControlError::IllegalCount(count));
        }
        for place in have..want {
            let replicas = self.topology.place_replicas(place, factor);
            let state = self.new_partition(replicas);
            if let Some(topic) = self.topology.topic_mut(id) {
                topic.partitions.push(state);
            }
            let index = i32::try_from(place).unwrap_or(i32::MAX);
            self.create_replicas(PartitionId { topic: id, index });
        }
        self.settle();
        Ok(())
    }

    /// Moves the start of a log, as DeleteRecords and retention do; at most to the high watermark.
    ///
    /// # Errors
    /// There is no such partition, or it has no leader.
    pub fn delete_records(
        &mut self,
        topic: &str,
        index: i32,
        before: i64,
    ) -> Result<(), ControlError> {
        let partition = self.find_partition(topic, index)?;
        let (_, leader) = self.leader(partition).ok_or(ControlError::Leaderless)?;
        let offset = before.min(leader.high_watermark);
        self.move_log_start(partition, offset);
        self.settle();
        Ok(())
    }

    /// The id of a partition.
    ///
    /// # Errors
    /// There is none.
    pub fn find_partition(&self, topic: &str, index: i32) -> Result<PartitionId, ControlError> {
        let name = TopicRef::Name(Str::from(topic));
        let state = self.topology.image().find(&name);
        let state = state.ok_or_else(|| ControlError::UnknownTopic(topic.to_owned()))?;
        let unknown = || ControlError::UnknownPartition(topic.to_owned(), index);
        state.partition(index).ok_or_else(unknown)?;
        Ok(PartitionId {
            topic: state.id,
            index,
        })
    }

    /// Appends a batch to a partition past all checks, as its leader would: for records that no producer sends.
    /// Offsets and leader epoch are set; the rest lies in the log as it is.
    ///
    /// # Errors
    /// There is no such partition, it has no leader, or the bytes are no batch.
    pub fn append_batch(
        &mut self,
        topic: &str,
        index: i32,
        batch: &[u8],
    ) -> Result<i64, ControlError> {
        let partition = self.find_partition(topic, index)?;
        let (leader, _) = self.leader(partition).ok_or(ControlError::Leaderless)?;
        let appended = self.append(partition, leader, batch, None);
        let appended = appended.map_err(|error| ControlError::IllegalBatch(error.to_string()))?;
        self.settle();
        Ok(appended.base_offset)
    }

    /// Appends the marker that ends a producer's transaction in a partition (KIP-98). Returns its offset.
    ///
    /// # Errors
    /// There is no such partition, or it has no leader.
    pub fn end_transaction(
        &mut self,
        topic: &str,
        index: i32,
        producer: (i64, i16),
        end: TransactionEnd,
    ) -> Result<i64, ControlError> {
        let (id, epoch) = producer;
        let marker = end_transaction_marker(end, id, epoch, 0, self.wall());
        self.append_batch(topic, index, &marker)
    }
}

/// Leaders and replicas.
impl Cluster {
    /// Makes `broker` lead a partition; it must be in sync.
    ///
    /// # Errors
    /// There is no such partition, or the broker cannot lead it.
    pub fn move_leader(
        &mut self,
        topic: &str,
        index: i32,
        broker: NodeId,
    ) -> Result<(), ControlError> {
        let partition = self.electable(topic, index, broker)?;
        let state = self.topology.image().partition(partition);
        if state.is_some_and(|state| !state.isr.contains(&broker)) {
            return Err(ControlError::NotInSync(broker));
        }
        self.elect(partition, Some(broker));
        self.settle();
        Ok(())
    }

    /// Makes `broker` lead a partition whatever it lacks; the others drop what it does not have.
    ///
    /// # Errors
    /// There is no such partition, or the broker cannot lead it.
    pub fn elect_unclean(
        &mut self,
        topic: &str,
        index: i32,
        broker: NodeId,
    ) -> Result<(), ControlError> {
        let partition = self.electable(topic, index, broker)?;
        self.elect(partition, Some(broker));
        self.settle();
        Ok(())
    }

    /// Leaves a partition without a leader until one is elected.
    ///
    /// # Errors
    /// There is no such partition.
    pub fn remove_leader(&mut self, topic: &str, index: i32) -> Result<(), ControlError> {
        let partition = self.find_partition(topic, index)?;
        self.elect(partition, None);
        self.settle();
        Ok(())
    }

    fn electable(
        &self,
        topic: &str,
        index: i32,
        broker: NodeId,
    ) -> Result<PartitionId, ControlError> {
        let partition = self.find_partition(topic, index)?;
        self.check_broker(broker)?;
        if !self.topology.is_alive(broker) {
            return Err(ControlError::Stopped(broker));
        }
        self.replica(partition, broker)
            .ok_or(ControlError::NoReplica(broker))?;
        Ok(partition)
    }

    /// Lets the replica on `broker` copy nothing; it stays in sync, in name, and holds up the high watermark.
    ///
    /// # Errors
    /// There is no such partition or replica.
    pub fn pause_replica(
        &mut self,
        topic: &str,
        index: i32,
        broker: NodeId,
    ) -> Result<(), ControlError> {
        self.set_copying(topic, index, broker, Copying::Paused)
    }

    /// Lets a paused replica copy again.
    ///
    /// # Errors
    /// There is no such partition or replica.
    pub fn resume_replica(
        &mut self,
        topic: &str,
        index: i32,
        broker: NodeId,
    ) -> Result<(), ControlError> {
        self.set_copying(topic, index, broker, Copying::Idle)?;
        let partition = self.find_partition(topic, index)?;
        self.replicate(partition);
        self.settle();
        Ok(())
    }

    fn set_copying(
        &mut self,
        topic: &str,
        index: i32,
        broker: NodeId,
        copying: Copying,
    ) -> Result<(), ControlError> {
        let partition = self.find_partition(topic, index)?;
        let replica = self.replica_mut(partition, broker);
        replica.ok_or(ControlError::NoReplica(broker))?.copying = copying;
        Ok(())
    }

    /// Declares the replica on `broker` out of sync, as a leader does with one that lags.
    ///
    /// # Errors
    /// There is no such partition.
    pub fn shrink_isr(
        &mut self,
        topic: &str,
        index: i32,
        broker: NodeId,
    ) -> Result<(), ControlError> {
        let partition = self.find_partition(topic, index)?;
        self.leave_isr(partition, broker);
        self.settle();
        Ok(())
    }

    /// Forgets what the replicas of a partition know of a producer, as the expiry of its id does.
    ///
    /// # Errors
    /// There is no such partition.
    pub fn expire_producer(
        &mut self,
        topic: &str,
        index: i32,
        producer_id: i64,
    ) -> Result<(), ControlError> {
        let partition = self.find_partition(topic, index)?;
        for replica in self.replicas.get_mut(&partition).into_iter().flatten() {
            replica.1.producers.forget(producer_id);
        }
        Ok(())
    }
}

/// Brokers.
impl Cluster {
    fn check_broker(&self, broker: NodeId) -> Result<(), ControlError> {
        let node = self.topology.node(broker);
        node.map(|_| ()).ok_or(ControlError::UnknownBroker(broker))
    }

    /// Stops a broker: its connections close, and its leaderships move (after the
    /// [delay](crate::ClusterConfig::failover_delay), if there is one). Its logs stay.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn stop_broker(&mut self, broker: NodeId) -> Result<(), ControlError> {
        self.check_broker(broker)?;
        if !self.topology.is_alive(broker) {
            return Ok(());
        }
        let delay = self.config.failover_delay;
        let connections = self.connections.iter();
        let of_broker = connections.filter(|(_, connection)| connection.broker == broker);
        let keys: Vec<_> = of_broker.map(|(key, _)| *key).collect();
        for key in keys {
            self.close(key, "the broker stopped");
        }
        self.sessions.remove(&broker);
        self.note(What::Stopped { broker });
        self.topology.set_alive(broker, false);
        self.move_coordinators();
        if delay.is_zero() {
            self.fail_over(broker);
        } else {
            self.timers.arm(self.now + delay, Timer::Failover(broker));
        }
        self.settle();
        Ok(())
    }

    /// Starts a broker again: it leads what nobody else can, and follows the rest.
    ///
    /// # Errors
    /// There is no such broker.
    pub fn start_broker(&mut self, broker: NodeId) -> Result<(), ControlError> {
        self.check_broker(broker)?;
        if self.topology.is_alive(broker) {
            return Ok(());
        }
        // What is still its own in name is not any more once it is back.
        self.fail_over(broker);
        self.topology.set_alive(broker, true);
        self.move_coordinators();
        self.note(What::Started { broker });
        let hosted = self.topology.image().partitions();
        let hosted: Vec<_> = hosted
            .filter(|(_, state)| state.replicas.contains(&broker))
            .map(|(id, state)| (id, state.leader))
            .collect();
        for (partition, leader) in hosted {
            if leader.is_some() {
                self.replicate(partition);
            } else if let Some(next) = self.next_leader(partition) {
                self.elect(partition, Some(next));
            }
        }
        self.settle();
        Ok(())
    }

    /// Changes where clients are told to find a broker, or the release that it poses as.
    ///
    /// # Errors
    /// There is no broker of that id.
    pub fn set_node(&mut self, node: Node) -> Result<(), ControlError> {
        self.check_broker(node.id)?;
        self.topology.set_node(node);
        Ok(())
    }

    /// Lets `broker` tell what the cluster was like until now, whatever happens.
    pub fn freeze_metadata(&mut self, broker: NodeId) {
        self.topology.freeze(broker);
    }

    /// Lets `broker` tell what the cluster is like again.
    pub fn thaw_metadata(&mut self, broker: NodeId) {
        self.topology.thaw(broker);
    }

    /// Makes `broker` the coordinator of a group, whether it runs or not.
    pub fn move_coordinator(&mut self, group: &str, broker: NodeId) {
        self.groups.chosen.insert(group.to_owned(), broker);
        self.move_coordinators();
        self.settle();
    }

    /// Ends all fetch sessions of a broker, as if others had needed the room. Returns how many there were.
    pub fn evict_fetch_sessions(&mut self, broker: NodeId) -> usize {
        let sessions = self.sessions.get_mut(&broker);
        sessions.map_or(0, crate::fetch_session::FetchSessions::evict)
    }

    /// Closes a connection from the broker's side.
    pub fn close_connection(&mut self, connection: ConnectionKey) {
        self.close(connection, "the test closed it");
    }

    /// Sets the throttle time of all responses from now on.
    pub fn set_throttle_time(&mut self, throttle_time: klamm::Duration) {
        self.config.throttle_time = throttle_time;
    }

    /// Sets how long a follower takes to copy from now on.
    pub fn set_replication_delay(&mut self, delay: klamm::Duration) {
        self.config.replication_delay = delay;
    }
}
