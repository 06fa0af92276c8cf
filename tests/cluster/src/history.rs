//! Owns the ground truth that oracles read: what was appended, truncated, moved and deleted, and by whose request.
//!
//! Must not know how any of it came about.

use std::collections::VecDeque;

use bytes::Bytes;
use klamm::{Instant, Uuid};

use crate::NodeId;
use crate::connection::ConnectionKey;
use crate::topology::PartitionId;

/// The request that caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The connection it came over.
    pub connection: ConnectionKey,
    /// What the client called it.
    pub correlation_id: i32,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A leader appended a batch.
    Appended {
        /// The partition.
        partition: PartitionId,
        /// The leader.
        broker: NodeId,
        /// The batch as it lies in the log.
        batch: Bytes,
        /// The offset of its first record.
        base_offset: i64,
        /// The offset of its last record.
        last_offset: i64,
        /// The request; `None` for what the test itself appended.
        cause: Option<Cause>,
    },
    /// A leader was sent a batch that it had appended before, and answered with the first offset.
    Duplicate {
        /// The partition.
        partition: PartitionId,
        /// The leader.
        broker: NodeId,
        /// The offset of the batch in the log.
        base_offset: i64,
        /// The request.
        cause: Cause,
    },
    /// The high watermark of a partition's leader moved.
    HighWatermark {
        /// The partition.
        partition: PartitionId,
        /// The new one.
        offset: i64,
    },
    /// A replica dropped what its new leader does not have.
    Truncated {
        /// The partition.
        partition: PartitionId,
        /// The replica.
        broker: NodeId,
        /// The log's new end.
        to: i64,
        /// The log's old end.
        from: i64,
    },
    /// A partition has another leader, or none.
    LeaderChanged {
        /// The partition.
        partition: PartitionId,
        /// The new leader.
        leader: Option<NodeId>,
        /// Its epoch.
        epoch: i32,
        /// Whether it was not in sync, so that acknowledged records may be lost.
        unclean: bool,
    },
    /// The log's start moved, by retention or on demand.
    LogStart {
        /// The partition.
        partition: PartitionId,
        /// The new start.
        offset: i64,
    },
    /// A topic was created.
    TopicCreated {
        /// Its id.
        topic: Uuid,
        /// Its name.
        name: String,
    },
    /// A topic was deleted, and its records with it.
    TopicDeleted {
        /// Its id.
        topic: Uuid,
        /// Its name.
        name: String,
    },
    /// An offset was committed.
    Committed {
        /// The group.
        group: String,
        /// The topic's name.
        topic: String,
        /// The partition's number.
        index: i32,
        /// The offset.
        offset: i64,
        /// The request.
        cause: Cause,
    },
    /// A group is in another state, or in another generation.
    GroupChanged {
        /// The group.
        group: String,
        /// Kafka's name of the state.
        state: &'static str,
        /// The generation.
        generation: i32,
        /// The ids of its members.
        members: Vec<String>,
    },
    /// A broker closed a connection.
    Closed {
        /// The connection.
        connection: ConnectionKey,
        /// The broker.
        broker: NodeId,
        /// Why, for people.
        why: String,
    },
    /// A broker stopped.
    Stopped {
        /// The broker.
        broker: NodeId,
    },
    /// A broker started.
    Started {
        /// The broker.
        broker: NodeId,
    },
}

/// The newest events.
#[derive(Debug)]
pub(crate) struct History {
    events: VecDeque<Event>,
    limit: usize,
}

impl History {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            events: VecDeque::new(),
            limit,
        }
    }

    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter()
    }

    pub(crate) fn note(&mut self, at: Instant, what: What) {
        if self.limit == 0 {
            return;
        }
        self.events.push_back(Event { at, what });
        if self.events.len() > self.limit {
            self.events.pop_front();
        }
    }
}
