//! Owns what a cluster is made of before it starts: nodes, releases, defaults of topics.
//!
//! Must not know anything that changes while the cluster runs.

use klamm::{Duration, UnixMillis, VersionRange};

use crate::NodeId;
use crate::release::Release;
use crate::sasl::SaslConfig;

/// What a [`Cluster`](crate::Cluster) is made of.
///
/// The default is one broker of the newest release that creates topics of four partitions on demand, replicates
/// without delay and throttles nobody.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The brokers. Their ids must differ.
    pub nodes: Vec<Node>,
    /// The seed of everything random: topic ids, fetch session ids.
    pub seed: u64,
    /// The cluster id that Metadata answers.
    pub cluster_id: String,
    /// The wall clock at the start of virtual time; it stamps records with `LogAppendTime`.
    pub start_time: UnixMillis,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`: what an automatically created topic gets.
    pub default_partitions: i32,
    /// `default.replication.factor`; at most the number of nodes is used.
    pub default_replication_factor: i16,
    /// What a topic has that says nothing else.
    pub topic_defaults: TopicConfig,
    /// How long a follower takes to copy what its leader has. Zero: at once.
    pub replication_delay: Duration,
    /// How long a stopped broker keeps its leaderships, in name, until they move. Zero: they move at once.
    pub failover_delay: Duration,
    /// The throttle time of each response that has one; the connection is muted for as long.
    pub throttle_time: Duration,
    /// Whether the next request of a connection is read only when [`Cluster::sent`](crate::Cluster::sent) says that the
    /// answer to the one before left, as a broker does; otherwise output leaves as soon as it is there.
    pub await_sent: bool,
    /// `socket.request.max.bytes`: a longer frame closes its connection.
    pub max_request_size: u32,
    /// `fetch.max.bytes` of the broker: the most that a Fetch answers, but for an oversized first batch.
    pub fetch_max_bytes: u32,
    /// `max.incremental.fetch.session.cache.slots` of each broker. Zero: there are no fetch sessions.
    pub fetch_session_slots: usize,
    /// How groups of consumers are coordinated.
    pub groups: GroupConfig,
    /// What clients must prove before anything else is served; `None`: nothing.
    pub sasl: Option<SaslConfig>,
    /// The features that ApiVersions names, such as `transaction.version`; none, unless a test wants some.
    pub features: Vec<Feature>,
    /// How much of what happened is kept to be read.
    pub record: RecordConfig,
}

/// A feature of the cluster, as ApiVersions names it (KIP-584).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// The levels that the brokers support.
    pub supported: VersionRange,
    /// The level that is in force; zero for none.
    pub level: i16,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(1)],
            seed: 0,
            cluster_id: String::from("klamm-in-memory-clstr0"),
            start_time: UnixMillis(1_700_000_000_000),
            auto_create_topics: true,
            default_partitions: 4,
            default_replication_factor: 3,
            topic_defaults: TopicConfig::default(),
            replication_delay: Duration::ZERO,
            failover_delay: Duration::ZERO,
            throttle_time: Duration::ZERO,
            await_sent: false,
            max_request_size: 100 * 1024 * 1024,
            fetch_max_bytes: 55 * 1024 * 1024,
            fetch_session_slots: 1000,
            groups: GroupConfig::default(),
            sasl: None,
            features: Vec::new(),
            record: RecordConfig::default(),
        }
    }
}

impl ClusterConfig {
    /// The default with `count` brokers, numbered from 1.
    #[must_use]
    pub fn with_nodes(count: u16) -> Self {
        Self {
            nodes: (1..=count).map(|id| Node::new(NodeId::from(id))).collect(),
            ..Self::default()
        }
    }

    /// Keeps hardly anything of what happened: for runs that last, and whose requests nobody reads.
    #[must_use]
    pub fn unrecorded(self) -> Self {
        Self {
            record: RecordConfig {
                requests: 1000,
                frames: false,
                events: 0,
            },
            ..self
        }
    }
}

/// One broker, as clients are told to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The broker's id.
    pub id: NodeId,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: u16,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The release whose API versions this broker offers.
    pub release: Release,
}

impl Node {
    /// Broker `id` of the newest release, at `broker-<id>:9092`.
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            host: format!("broker-{id}"),
            port: 9092,
            rack: None,
            release: Release::NEWEST,
        }
    }
}

/// The settings of a topic, with Kafka's names and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// `max.message.bytes`: the largest batch, with its header.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    /// `retention.bytes`: what a partition keeps at most, in whole batches; the last batch always stays.
    pub retention_bytes: Option<u64>,
    /// Whether `cleanup.policy` is `compact`, so that records need a key.
    pub compacted: bool,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            min_insync_replicas: 1,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            unclean_leader_election: false,
            retention_bytes: None,
            compacted: false,
        }
    }
}

/// Whose clock stamps the records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the time of the append.
    LogAppendTime,
}

/// How groups of consumers are coordinated, with Kafka's names and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.initial.rebalance.delay.ms`: how long a group without members waits for more when the first one joins.
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.max.size`.
    pub max_size: usize,
    /// How long a member that is new may wait for its first generation before it is given up.
    pub new_member_join_timeout: Duration,
    /// `group.consumer.session.timeout.ms`: how long a member of a consumer group may be silent (KIP-848).
    pub consumer_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`, which members of a consumer group are told.
    pub consumer_heartbeat_interval: Duration,
    /// `group.consumer.assignment.interval.ms`: how long a target assignment stays at least.
    pub consumer_assignment_interval: Duration,
    /// How long a coordinator reads its log before it knows the groups that another one had. Zero: it knows them at once.
    pub load_time: Duration,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_secs(3),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1800),
            max_size: usize::MAX,
            new_member_join_timeout: Duration::from_secs(300),
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            consumer_assignment_interval: Duration::from_secs(1),
            load_time: Duration::ZERO,
        }
    }
}

/// How much of what happened is kept to be read by tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// How many requests the [journal](crate::Cluster::journal) holds; older ones are dropped.
    pub requests: usize,
    /// Whether the journal keeps the bytes of each request, so that it can be decoded later.
    pub frames: bool,
    /// How many events the [history](crate::Cluster::history) holds; older ones are dropped.
    pub events: usize,
}

impl Default for RecordConfig {
    /// A million requests with their bytes, a million events: right for a test, too much for a long run.
    fn default() -> Self {
        Self {
            requests: 1_000_000,
            frames: true,
            events: 1_000_000,
        }
    }
}
