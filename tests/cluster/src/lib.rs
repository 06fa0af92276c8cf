//! A Kafka cluster in memory, as a pure state machine: to test programs that speak Kafka, without Kafka.
//!
//! A [`Cluster`] has brokers, topics, replicated logs and connections, and answers what producers, readers and admins
//! send, in all versions from Kafka 2.1 to 4.3, with Kafka's rules: one request at a time a connection, idempotence, leader
//! epochs, high watermarks, fetch sessions, failover, groups of consumers in both protocols. It has no thread, no clock, no socket and no randomness but its
//! seed. Bytes and the time go in, bytes come out, and the same inputs give the same outputs:
//!
//! ```
//! use klamm::Instant;
//! use klamm_cluster::{Cluster, ClusterConfig, Output};
//!
//! let mut cluster = Cluster::new(ClusterConfig::with_nodes(3));
//! cluster.create_topic("orders", 6)?;
//!
//! let connection = cluster.connect(1, Instant::START)?;
//! // ApiVersions v0 with correlation id 7, as a client might begin.
//! let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];
//! cluster.receive(connection, &request, Instant::from_millis(5));
//! assert!(matches!(cluster.poll_output(), Some(Output::Send { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `tcp` a `Server` puts it behind ports of 127.0.0.1, for any client in
//! any language:
//!
//! ```
//! # #[cfg(feature = "tcp")] {
//! use klamm_cluster::{ClusterConfig, Server};
//!
//! let server = Server::start(ClusterConfig::with_nodes(3)).unwrap();
//! println!("bootstrap.servers={}", server.bootstrap());
//! # }
//! ```
//!
//! # Faults
//! What goes wrong is asked for in one line: [`Cluster::on`] an API, and what is to happen. Error codes can be had at each
//! [level](levels) of an answer, before or after the request took effect; connections can be dropped, answers delayed or
//! never sent.
//!
//! ```
//! use klamm::{ApiKey, Duration, ErrorCode};
//! use klamm_cluster::{Cluster, ClusterConfig, Moment};
//!
//! let mut cluster = Cluster::new(ClusterConfig::default());
//! // The next Produce is refused, the one after is written but its connection closed.
//! cluster.on(ApiKey::PRODUCE).answer(ErrorCode::NOT_LEADER_OR_FOLLOWER);
//! cluster.on(ApiKey::PRODUCE).after(1).drop_connection(Moment::After);
//! // Two answers for partition 0 of `orders` say something else than what happened.
//! cluster.on(ApiKey::PRODUCE).times(2).partition("orders", 0).apply_and_answer(ErrorCode::REQUEST_TIMED_OUT);
//! // Broker 1 is slow with metadata from now on.
//! cluster.on(ApiKey::METADATA).to(1).always().delay(Duration::from_secs(2), Moment::Before);
//! ```
//!
//! Brokers [stop](Cluster::stop_broker) and [start](Cluster::start_broker), leaders [move](Cluster::move_leader) or are
//! elected [with loss](Cluster::elect_unclean), replicas [lag](Cluster::pause_replica), brokers tell
//! [old metadata](Cluster::freeze_metadata), topics are deleted and created again with another id.
//!
//! # What happened
//! [`Cluster::journal`] has every request that a broker read, and each can be [decoded](RequestEntry::decode);
//! [`Cluster::history`] has the ground truth: every append with the request that caused it, every truncation, election
//! and commit; [`Cluster::log`] has the records, offsets and producers of a partition.
//!
//! ```
//! use klamm::ApiKey;
//! use klamm::messages::ProduceRequest;
//! # let cluster = klamm_cluster::Cluster::new(klamm_cluster::ClusterConfig::default());
//! for sent in cluster.requests(ApiKey::PRODUCE) {
//!     let request = sent.decode::<ProduceRequest>().unwrap()?;
//!     assert_eq!(request.acks, -1, "{} at {}", sent.correlation_id, sent.at);
//! }
//! # Ok::<(), klamm::DecodeError>(())
//! ```
//!
//! How far it agrees with a real Kafka, API by API, is written in `FIDELITY.md` beside its sources.
//!
//! # What it is not
//! Replication is simple: a follower has all that its leader has after a [delay](ClusterConfig::replication_delay). There
//! is one controller, which is never wrong. Producers have no transactions (InitProducerId with a transactional id is not
//! authorized; [markers](Cluster::end_transaction) can be written by the test), nothing is
//! compacted, committed offsets never expire. Consumer groups (KIP-848) match regular expressions at once, know those of `klamm::TopicPattern`, and take no members of the
//! classic protocol. APIs that are not advertised are not served.

mod api_versions;
mod cluster;
mod config;
mod connection;
mod contents;
mod control;
mod coordinator;
mod dispatch;
mod faults;
mod fetch;
mod fetch_session;
mod groups;
mod history;
mod init_producer_id;
mod inspect;
mod journal;
mod log;
mod metadata;
mod offsets;
mod produce;
mod producer_state;
mod random;
mod release;
mod replica;
mod replication;
mod sasl;
#[cfg(feature = "tcp")]
mod server;
mod timers;
mod topics;
mod topology;
mod validate;

pub use cluster::{Cluster, Output, Refused};
pub use config::{
    ClusterConfig, Feature, GroupConfig, Node, RecordConfig, TimestampType, TopicConfig,
};
pub use connection::ConnectionKey;
pub use control::{ControlError, NewTopic};
pub use coordinator::CommittedOffset;
pub use faults::{AnswerInjection, FaultId, Injection, Level, Moment, levels};
pub use history::{Cause, Event, What};
pub use inspect::{AssignmentView, GroupView, LogView, MemberView};
pub use journal::RequestEntry;
pub use log::StoredBatch;
pub use producer_state::{ProducerBatch, ProducerState};
pub use release::Release;
pub use sasl::SaslConfig;
#[cfg(feature = "tcp")]
pub use server::Server;
pub use topology::{Image, PartitionId, PartitionState, TopicState};

/// The id of a broker.
pub type NodeId = i32;
