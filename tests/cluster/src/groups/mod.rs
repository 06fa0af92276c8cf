//! Owns what the group coordinators keep: groups, their committed offsets, and which broker coordinates what.
//!
//! Must not know how a group decides; it gives groups the time, and hands their answers on.

pub(crate) mod classic;
pub(crate) mod consumer;
mod consumer_requests;
mod coordinators;
mod describe;
mod members;
mod serve;

use std::collections::BTreeMap;

use klamm::{Instant, Str};

use crate::NodeId;
use crate::coordinator::CommittedOffset;
use crate::timers::TimerKey;
pub(crate) use members::Members;

/// A group's offsets, by topic name and partition.
pub(crate) type Offsets = BTreeMap<(String, i32), CommittedOffset>;

/// Which broker answers for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// Its coordinator does not run.
    ByNobody,
    By(NodeId),
    /// The coordinator reads the group from its log.
    Loading(NodeId, Instant),
}

impl Served {
    fn by(self) -> Option<NodeId> {
        match self {
            Self::ByNobody => None,
            Self::By(broker) | Self::Loading(broker, _) => Some(broker),
        }
    }
}

/// A group with its offsets.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) members: Members,
    pub(crate) offsets: Offsets,
    served: Served,
    /// When the group is to be looked at next.
    timer: Option<(Instant, TimerKey)>,
}

/// What the coordinators keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<Str, Group>,
    /// Coordinators that a test chose.
    pub(crate) chosen: BTreeMap<String, NodeId>,
}

impl Groups {
    pub(crate) fn get(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    /// All groups, by their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Str, &Group)> {
        self.groups.iter()
    }

    pub(crate) fn committed(
        &self,
        group: &str,
        topic: &str,
        index: i32,
    ) -> Option<&CommittedOffset> {
        let offsets = &self.get(group)?.offsets;
        offsets.get(&(topic.to_owned(), index))
    }

    /// Forgets what was committed for a topic that was deleted.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|(name, _), _| name != topic);
        }
    }
}
