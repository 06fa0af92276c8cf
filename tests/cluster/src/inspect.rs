//! Owns what a test may read: the truth about logs, producers, leaders, commits, requests and events.
//!
//! Must not change anything.

use klamm::wire::Request;
use klamm::wire::header::{decode_request_body, decode_request_header};
use klamm::{ApiKey, DecodeError, Instant};

use crate::NodeId;
use crate::cluster::Cluster;
use crate::connection::ConnectionKey;
use crate::coordinator::CommittedOffset;
use crate::dispatch::header_version;
use crate::groups::{Members, classic, consumer};
use crate::history::Event;
use crate::journal::RequestEntry;
use crate::log::StoredBatch;
use crate::producer_state::ProducerState;
use crate::topology::{Image, PartitionId};

/// One replica's log, to be read.
#[derive(Clone, Copy, Debug)]
pub struct LogView<'a> {
    replica: &'a crate::replica::Replica,
}

impl<'a> LogView<'a> {
    /// The first offset that can be read.
    #[must_use]
    pub fn start_offset(self) -> i64 {
        self.replica.log.start_offset()
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn end_offset(self) -> i64 {
        self.replica.log.end_offset()
    }

    /// The offset up to which all replicas in sync have the log, as far as this one knows.
    #[must_use]
    pub fn high_watermark(self) -> i64 {
        self.replica.high_watermark
    }

    /// The offset up to which no transaction is undecided.
    #[must_use]
    pub fn last_stable_offset(self) -> i64 {
        self.replica.last_stable_offset()
    }

    /// The bytes of all its batches.
    #[must_use]
    pub fn size(self) -> u64 {
        self.replica.log.size()
    }

    /// The batches, in order. The first may begin before the log's start.
    pub fn batches(self) -> impl DoubleEndedIterator<Item = &'a StoredBatch> {
        self.replica.log.batches()
    }

    /// What the replica remembers of a producer.
    #[must_use]
    pub fn producer(self, producer_id: i64) -> Option<&'a ProducerState> {
        self.replica.producers.get(producer_id)
    }

    /// All producers that the replica remembers, by id.
    pub fn producers(self) -> impl Iterator<Item = (i64, &'a ProducerState)> {
        self.replica.producers.iter()
    }
}

/// A group as its coordinator has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Kafka's name of the state, `Stable` for example.
    pub state: &'static str,
    /// The generation, or the epoch.
    pub generation: i32,
    /// The id of the member that assigns the partitions, in a classic group.
    pub leader: Option<String>,
    /// The protocol that the members voted for, or the coordinator's assignor.
    pub protocol: Option<String>,
    /// The members, in the order in which they came.
    pub members: Vec<MemberView>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// What it has.
    pub assignment: AssignmentView,
}

/// What a member of a group has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentView {
    /// In a classic group: the bytes that the leader gave it last, which only the members understand.
    Classic(bytes::Bytes),
    /// In a consumer group (KIP-848): the partitions that the coordinator told it, in the epoch of the member.
    Consumer {
        /// The member's epoch.
        epoch: i32,
        /// Its partitions.
        partitions: Vec<PartitionId>,
    },
}

fn classic_member(member: classic::Described<'_>) -> MemberView {
    MemberView {
        id: member.member_id.to_string(),
        instance_id: member.instance_id.map(ToString::to_string),
        client_id: member.client_id.to_string(),
        assignment: AssignmentView::Classic(member.assignment),
    }
}

fn consumer_member(member: consumer::Described<'_>) -> MemberView {
    let topics = member.assigned.into_iter();
    let partitions = topics.flat_map(|(topic, indices)| {
        let indices = indices.into_iter();
        indices.map(move |index| PartitionId { topic, index })
    });
    MemberView {
        id: member.id.to_string(),
        instance_id: member.instance.map(ToString::to_string),
        client_id: member.client_id.to_string(),
        assignment: AssignmentView::Consumer {
            epoch: member.epoch,
            partitions: partitions.collect(),
        },
    }
}

impl Cluster {
    /// The time of the last input.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Topics, partitions, leaders and running brokers, as they are.
    #[must_use]
    pub fn image(&self) -> &Image {
        self.topology.image()
    }

    /// Whether `broker` runs.
    #[must_use]
    pub fn is_running(&self, broker: NodeId) -> bool {
        self.topology.is_alive(broker)
    }

    /// The log of a partition's leader; `None` if it has none, or there is no such partition.
    #[must_use]
    pub fn log(&self, partition: PartitionId) -> Option<LogView<'_>> {
        let (_, replica) = self.leader(partition)?;
        Some(LogView { replica })
    }

    /// The log of the replica on `broker`.
    #[must_use]
    pub fn replica_log(&self, partition: PartitionId, broker: NodeId) -> Option<LogView<'_>> {
        let replica = self.replica(partition, broker)?;
        Some(LogView { replica })
    }

    /// What a group committed for a partition.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, index: i32) -> Option<&CommittedOffset> {
        self.groups.committed(group, topic, index)
    }

    /// A group with its members; `None` if nobody ever joined it or committed in its name.
    #[must_use]
    pub fn group(&self, group: &str) -> Option<GroupView> {
        let members = &self.groups.get(group)?.members;
        let (leader, protocol) = match members {
            Members::Classic(group) => (group.leader(), group.protocol().cloned()),
            Members::Consumer(group) => (None, Some(group.assignor())),
        };
        Some(GroupView {
            state: members.state(),
            generation: members.generation(),
            leader: leader.map(ToString::to_string),
            protocol: protocol.map(|name| name.to_string()),
            members: match members {
                Members::Classic(group) => group.described().map(classic_member).collect(),
                Members::Consumer(group) => group.described().map(consumer_member).collect(),
            },
        })
    }

    /// The running broker that coordinates a group.
    #[must_use]
    pub fn coordinator_of(&self, group: &str) -> Option<NodeId> {
        self.coordinator(group).map(|node| node.id)
    }

    /// The open connections, and their brokers.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionKey, NodeId)> {
        self.connections
            .iter()
            .map(|(key, connection)| (*key, connection.broker))
    }

    /// What clients sent, in the order in which the brokers read it.
    pub fn journal(&self) -> impl DoubleEndedIterator<Item = &RequestEntry> {
        self.journal.entries()
    }

    /// The requests to one API.
    pub fn requests(&self, api: ApiKey) -> impl DoubleEndedIterator<Item = &RequestEntry> {
        self.journal().filter(move |entry| entry.api == api)
    }

    /// What happened, in order: the ground truth.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.history.events()
    }
}

impl RequestEntry {
    /// The request itself; `None` if it is of another API, or its bytes were not kept.
    ///
    /// # Errors
    /// The bytes are no such request.
    pub fn decode<R: Request>(&self) -> Option<Result<R, DecodeError>> {
        let frame = self.frame.clone().filter(|_| self.api == R::KEY)?;
        let decoded = decode_request_header(frame, header_version)
            .and_then(|(_, mut reader)| decode_request_body::<R>(&mut reader, self.version));
        Some(decoded)
    }
}
