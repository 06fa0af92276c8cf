//! Owns what is known of the cluster: brokers, topics, partitions, leaders, and how an answer changes it.
//!
//! Must not know when or whom to ask.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::collections::VecMap;
use crate::engine::{Host, NodeId, TopicHandle};
use crate::error_code::ErrorCode;
use crate::messages::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::time::Instant;
use crate::wire::{Str, Uuid};

/// A broker as metadata names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) id: NodeId,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) rack: Option<Str>,
}

/// A topic that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: Str,
    /// [`Uuid::ZERO`] while unknown, and with brokers before 2.8.
    pub(crate) id: Uuid,
    /// Counts the topics that had this name, as far as this client saw them: a recreated topic is another one.
    pub(crate) incarnation: u32,
    pub(crate) state: TopicState,
    /// By index; the last good answer, whatever came after it.
    pub(crate) partitions: Vec<Partition>,
    /// The id of the incarnation before, which a broker that lags may still report.
    previous_id: Uuid,
    /// Whether it is kept fresh.
    wanted: bool,
}

/// What the last answer said of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicState {
    /// Nothing yet.
    Asked { since: Instant },
    /// Its partitions.
    Known,
    /// That it cannot be used, for the reason of the latest answer, since the first such one. It is asked for again,
    /// unless the code says that this is useless.
    Failed { code: ErrorCode, since: Instant },
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The last one that was named; an error does not erase it.
    pub(crate) leader: Option<NodeId>,
    /// -1 while unknown; never goes back within one topic id.
    pub(crate) leader_epoch: i32,
    /// What the latest answer said of it.
    pub(crate) error: ErrorCode,
}

impl Partition {
    const UNKNOWN: Self = Self {
        leader: None,
        leader_epoch: -1,
        error: ErrorCode::LEADER_NOT_AVAILABLE,
    };
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Something is known that was not: a newer epoch, a new topic, another broker.
    pub(super) news: bool,
    /// Something that was asked for is still missing.
    pub(super) incomplete: bool,
}

/// What is known of the cluster.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    brokers: VecMap<NodeId, Broker>,
    topics: Vec<Topic>,
    names: BTreeMap<Str, TopicHandle>,
    ids: BTreeMap<Uuid, TopicHandle>,
}

/// From this version of Metadata on, leader epochs can be trusted (KAFKA-9212).
const EPOCHS_SINCE: i16 = 9;

impl Metadata {
    pub(super) fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values()
    }

    pub(super) fn broker(&self, id: NodeId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    pub(super) fn has_brokers(&self) -> bool {
        !self.brokers.is_empty()
    }

    pub(super) fn forget_brokers(&mut self) {
        self.brokers.clear();
    }

    pub(super) fn topic(&self, handle: TopicHandle) -> Option<&Topic> {
        self.topics.get(usize::try_from(handle.0).ok()?)
    }

    fn topic_mut(&mut self, handle: TopicHandle) -> Option<&mut Topic> {
        self.topics.get_mut(usize::try_from(handle.0).ok()?)
    }

    pub(super) fn topic_by_id(&self, id: &Uuid) -> Option<TopicHandle> {
        self.ids.get(id).copied()
    }

    pub(super) fn topic_by_name(&self, name: &str) -> Option<TopicHandle> {
        self.names.get(name).copied()
    }

    /// The handle of a name, and whether it was not wanted before.
    pub(super) fn want(&mut self, name: &str, now: Instant) -> (TopicHandle, bool) {
        if let Some(handle) = self.topic_by_name(name) {
            let new = self
                .topic_mut(handle)
                .is_some_and(|topic| !core::mem::replace(&mut topic.wanted, true));
            return (handle, new);
        }
        let handle = TopicHandle(u32::try_from(self.topics.len()).unwrap_or(u32::MAX));
        let name = Str::from(name);
        self.names.insert(name.clone(), handle);
        self.topics.push(Topic {
            name,
            id: Uuid::ZERO,
            incarnation: 0,
            state: TopicState::Asked { since: now },
            partitions: Vec::new(),
            previous_id: Uuid::ZERO,
            wanted: true,
        });
        (handle, true)
    }

    pub(super) fn forget(&mut self, handle: TopicHandle) {
        if let Some(topic) = self.topic_mut(handle) {
            topic.wanted = false;
        }
    }

    /// The names to be kept fresh.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (TopicHandle, &Str)> {
        (0..)
            .map(TopicHandle)
            .zip(&self.topics)
            .filter(|(_, topic)| topic.wanted)
            .map(|(handle, topic)| (handle, &topic.name))
    }

    /// About how many bytes an answer would make this hold.
    pub(super) fn size_after(&self, response: &MetadataResponse) -> usize {
        let partitions = |count: usize| count.saturating_mul(core::mem::size_of::<Partition>());
        let topic = |name: usize, count: usize| {
            core::mem::size_of::<Topic>()
                .saturating_add(name.saturating_mul(2))
                .saturating_add(partitions(count))
        };
        let kept: usize = self
            .topics
            .iter()
            .map(|t| topic(t.name.len(), t.partitions.len()))
            .sum();
        let new: usize = response
            .topics
            .iter()
            .map(|t| {
                let known = t
                    .name
                    .as_ref()
                    .and_then(|name| self.topic_by_name(name))
                    .and_then(|h| self.topic(h));
                partitions(
                    t.partitions
                        .len()
                        .saturating_sub(known.map_or(0, |t| t.partitions.len())),
                )
            })
            .sum();
        let brokers: usize = response
            .brokers
            .iter()
            .map(|b| {
                let rack = b.rack.as_ref().map_or(0, |rack| rack.len());
                core::mem::size_of::<Broker>()
                    .saturating_add(b.host.len())
                    .saturating_add(rack)
            })
            .sum();
        kept.saturating_add(new).saturating_add(brokers)
    }

    /// Takes an answer in; the caller has checked the limits.
    pub(super) fn apply(
        &mut self,
        response: &MetadataResponse,
        version: i16,
        asked: &[TopicHandle],
        now: Instant,
    ) -> Change {
        let mut change = Change {
            news: self.apply_brokers(&response.brokers),
            incomplete: false,
        };
        let mut answered: Vec<TopicHandle> = Vec::new();
        for topic in &response.topics {
            let by_name = topic
                .name
                .as_ref()
                .and_then(|name| self.topic_by_name(name));
            let Some(handle) = by_name.or_else(|| self.topic_by_id(&topic.topic_id)) else {
                continue;
            };
            answered.push(handle);
            self.apply_topic(handle, topic, version, now, &mut change);
        }
        answered.sort_unstable();
        change.incomplete |= asked
            .iter()
            .any(|handle| answered.binary_search(handle).is_err());
        change
    }

    fn apply_brokers(&mut self, brokers: &[MetadataResponseBroker]) -> bool {
        let brokers: VecMap<NodeId, Broker> = brokers
            .iter()
            .filter_map(broker)
            .map(|b| (b.id, b))
            .collect();
        let news = brokers != self.brokers;
        self.brokers = brokers;
        news
    }

    /// Learns where a broker is from another answer than Metadata (KIP-951).
    pub(super) fn learn_broker(&mut self, id: NodeId, host: Host, port: u16) {
        let rack = self.brokers.get(&id).and_then(|broker| broker.rack.clone());
        self.brokers.insert(
            id,
            Broker {
                id,
                host,
                port,
                rack,
            },
        );
    }

    fn apply_topic(
        &mut self,
        handle: TopicHandle,
        response: &MetadataResponseTopic,
        version: i16,
        now: Instant,
        change: &mut Change,
    ) {
        let Some(topic) = self.topics.get_mut(handle.0 as usize) else {
            return;
        };
        let code = ErrorCode(response.error_code);
        if !code.is_none() {
            let since = match topic.state {
                TopicState::Failed { since, .. } => since,
                TopicState::Asked { .. } | TopicState::Known => now,
            };
            let state = TopicState::Failed { code, since };
            change.news |= topic.state != state;
            change.incomplete |= topic.wanted && code.is_retriable();
            topic.state = state;
            return;
        }
        let owner = self.ids.get(&response.topic_id);
        if owner.is_some_and(|owner| *owner != handle) {
            // An id is one topic's alone: one of the two answers is wrong.
            change.incomplete = true;
            return;
        }
        if !response.topic_id.is_zero() && response.topic_id == topic.previous_id {
            // A broker that has not yet heard that the topic was recreated.
            change.incomplete = true;
            return;
        }
        if !response.topic_id.is_zero() && response.topic_id != topic.id {
            if !topic.id.is_zero() {
                self.ids.remove(&topic.id);
                topic.previous_id = topic.id;
                topic.incarnation = topic.incarnation.wrapping_add(1);
                topic.partitions.clear();
            }
            topic.id = response.topic_id;
            self.ids.insert(topic.id, handle);
            change.news = true;
        }
        change.news |= topic.state != TopicState::Known;
        topic.state = TopicState::Known;
        topic.apply_partitions(&response.partitions, version, change);
    }

    /// A newer leader, as a response to Produce or Fetch named it (KIP-951).
    pub(super) fn apply_hint(
        &mut self,
        handle: TopicHandle,
        partition: i32,
        leader: NodeId,
        epoch: i32,
    ) -> bool {
        if leader.0 < 0 || epoch < 0 || !self.brokers.contains_key(&leader) {
            return false;
        }
        let Some(known) = self
            .topic_mut(handle)
            .and_then(|topic| topic.partitions.get_mut(usize::try_from(partition).ok()?))
        else {
            return false;
        };
        if epoch <= known.leader_epoch {
            return false;
        }
        *known = Partition {
            leader: Some(leader),
            leader_epoch: epoch,
            error: ErrorCode::NONE,
        };
        true
    }
}

/// A broker that can be reached: nobody listens on port 0, or nowhere.
fn broker(response: &MetadataResponseBroker) -> Option<Broker> {
    let port = u16::try_from(response.port)
        .ok()
        .filter(|port| *port != 0)?;
    (response.node_id >= 0 && !response.host.is_empty()).then(|| Broker {
        id: NodeId(response.node_id),
        host: Host::from(response.host.as_str()),
        port,
        rack: response.rack.as_ref().map(Str::detached),
    })
}

impl Topic {
    fn apply_partitions(
        &mut self,
        response: &[MetadataResponsePartition],
        version: i16,
        change: &mut Change,
    ) {
        // Kafka numbers partitions without gaps, so none can lie beyond how many there are; and none ever goes away
        // within one topic id (an answer with fewer comes from a broker that lags).
        let count = self.partitions.len().max(response.len());
        if count > self.partitions.len() {
            change.news = true;
            self.partitions.resize(count, Partition::UNKNOWN);
        }
        for partition in response {
            let known = usize::try_from(partition.partition_index)
                .ok()
                .and_then(|index| self.partitions.get_mut(index));
            if let Some(known) = known {
                known.apply(partition, version, change);
            }
        }
        change.incomplete |=
            self.wanted && self.partitions.iter().any(|p| p.error.wants_metadata());
    }
}

impl Partition {
    fn apply(&mut self, response: &MetadataResponsePartition, version: i16, change: &mut Change) {
        let epoch = match version {
            EPOCHS_SINCE.. => response.leader_epoch,
            _ => -1,
        };
        if epoch >= 0 && epoch < self.leader_epoch {
            // A broker that lags: what is known is newer.
            return;
        }
        change.news |= epoch > self.leader_epoch;
        self.leader_epoch = self.leader_epoch.max(epoch);
        self.error = ErrorCode(response.error_code);
        if response.leader_id >= 0 {
            let leader = Some(NodeId(response.leader_id));
            change.news |= self.leader != leader;
            self.leader = leader;
        } else if self.error.is_none() {
            self.error = ErrorCode::LEADER_NOT_AVAILABLE;
        }
    }
}
