//! Owns what the coordinator has assigned, how much of that is held, and what its topics are called.
//!
//! Must not know heartbeats, nor what is done with a share.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::cluster::Cluster;
use crate::collections::{VecMap, sorted};
use crate::engine::{TopicHandle, TopicPartition};
use crate::group::membership::RebalanceCause;
use crate::messages::{ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatTopicPartitions};
use crate::wire::Uuid;

/// Partitions as the protocol names them, in order.
pub(super) type Partitions = Vec<(Uuid, i32)>;

/// How far the role is with what is assigned. It takes one share on after the other, whatever is assigned meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// All of it is held.
    Held,
    /// There is more, or less, than is held.
    Due,
    /// The same, but of topics that metadata does not name.
    AwaitingTopics,
    /// The role takes a share on; `partly`: there is more to come whose topics are not known yet.
    UnderWay { partly: bool },
}

/// A topic that metadata names.
#[derive(Debug)]
struct Named {
    handle: TopicHandle,
    name: Arc<str>,
}

/// What a member is to have, and what it has.
#[derive(Debug)]
pub(super) struct Assignment {
    target: Partitions,
    held: Partitions,
    topics: VecMap<Uuid, Named>,
    progress: Progress,
    /// Why the next share comes, if the member has asked for it.
    cause: Option<RebalanceCause>,
}

impl Assignment {
    /// Nothing.
    pub(super) const fn new() -> Self {
        Self {
            target: Partitions::new(),
            held: Partitions::new(),
            topics: VecMap::new(),
            progress: Progress::Held,
            cause: None,
        }
    }

    /// The member asks for another one.
    pub(super) fn ask(&mut self, cause: RebalanceCause) {
        self.cause = Some(cause);
    }

    /// The coordinator has assigned these, and nothing else. Returns whether that differs from what is held.
    pub(super) fn assign(&mut self, assignment: &ConsumerGroupHeartbeatAssignment) -> bool {
        let topics = assignment.topic_partitions.iter();
        let target = topics.flat_map(|topic| {
            let indices = topic.partitions.iter().copied().filter(|index| *index >= 0);
            indices.map(|index| (topic.topic_id, index))
        });
        let mut target = sorted(target.collect(), &Ord::cmp);
        target.dedup();
        self.target = target;
        self.progress = Progress::Due;
        self.target != self.held
    }

    /// What there is to take on, if it differs from what is held or was asked for; what is not known by name is left out.
    pub(super) fn take_share(
        &mut self,
        cluster: &mut Cluster,
    ) -> Option<(RebalanceCause, Vec<TopicPartition>)> {
        if !self.is_due() {
            return None;
        }
        let unknown = self.name_topics(cluster);
        let partly = !unknown.is_empty();
        cluster.want_topic_ids(unknown);
        let mut share = Vec::new();
        let mut known = Partitions::new();
        for (topic, index) in &self.target {
            if let Some(named) = self.topics.get(topic) {
                known.push((*topic, *index));
                share.push(TopicPartition {
                    topic: Arc::clone(&named.name),
                    partition: *index,
                });
            }
        }
        let news = known != self.held;
        if !news && (self.cause.is_none() || partly) {
            self.progress = match partly {
                true => Progress::AwaitingTopics,
                false => Progress::Held,
            };
            return None;
        }
        self.progress = Progress::UnderWay { partly };
        let cause = self.cause.take();
        Some((cause.unwrap_or(RebalanceCause::GroupChanged), share))
    }

    /// Looks the topics up; which of them metadata does not name.
    fn name_topics(&mut self, cluster: &Cluster) -> Vec<Uuid> {
        let mut unknown = Vec::new();
        let mut last = None;
        for (id, _) in &self.target {
            if last.replace(*id) == Some(*id) {
                continue;
            }
            let found = cluster.topic_by_id(id);
            let found = found.and_then(|handle| Some((handle, cluster.topic(handle)?)));
            match found {
                Some((handle, topic)) => {
                    let name = Arc::from(topic.name.as_str());
                    self.topics.insert(*id, Named { handle, name });
                }
                None if self.topics.contains_key(id) => {}
                None => unknown.push(*id),
            }
        }
        unknown
    }

    /// This is held. Returns the topics that are of no use any more.
    pub(super) fn hold(&mut self, partitions: &[TopicPartition]) -> Vec<TopicHandle> {
        let mut ids: VecMap<&str, Uuid> = VecMap::new();
        for (id, named) in self.topics.iter() {
            // Of a topic that was recreated, the one that is assigned.
            if names(&self.target, id) || !ids.contains_key(&&*named.name) {
                ids.insert(&named.name, *id);
            }
        }
        let id = |partition: &TopicPartition| {
            let id = ids.get(&&*partition.topic)?;
            Some((*id, partition.partition))
        };
        self.held = sorted(partitions.iter().filter_map(id).collect(), &Ord::cmp);
        let useless = |id: &&Uuid| !names(&self.target, id) && !names(&self.held, id);
        let gone: Vec<Uuid> = self.topics.keys().filter(useless).copied().collect();
        let named = gone.iter().filter_map(|id| self.topics.remove(id));
        let handles: Vec<TopicHandle> = named.map(|named| named.handle).collect();
        handles
            .into_iter()
            .filter(|handle| !self.watches(*handle))
            .collect()
    }

    /// The role has taken the share on.
    pub(super) fn taken(&mut self) {
        self.progress = match self.progress {
            Progress::UnderWay { partly: true } => Progress::Due,
            Progress::UnderWay { partly: false } => Progress::Held,
            // Another one has come meanwhile.
            other @ (Progress::Due | Progress::AwaitingTopics | Progress::Held) => other,
        };
    }

    pub(super) fn on_metadata(&mut self) {
        if self.progress == Progress::AwaitingTopics {
            self.progress = Progress::Due;
        }
    }

    /// Nothing is assigned or held any more. Returns the topics that are of no use any more.
    pub(super) fn clear(&mut self, cluster: &mut Cluster) -> Vec<TopicHandle> {
        let before = core::mem::replace(self, Self::new());
        cluster.want_topic_ids(Vec::new());
        before
            .topics
            .into_values()
            .map(|named| named.handle)
            .collect()
    }

    pub(super) const fn held(&self) -> &Partitions {
        &self.held
    }

    /// Whether there may be something to take on.
    pub(super) fn is_due(&self) -> bool {
        self.progress == Progress::Due
    }

    /// Whether nothing of it is about to be taken on.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self.progress, Progress::Held | Progress::AwaitingTopics)
    }

    pub(super) const fn awaits_topics(&self) -> bool {
        matches!(
            self.progress,
            Progress::AwaitingTopics | Progress::UnderWay { partly: true }
        )
    }

    pub(super) fn watches(&self, topic: TopicHandle) -> bool {
        self.topics.values().any(|named| named.handle == topic)
    }
}

/// Whether there is a partition of this topic among these.
fn names(partitions: &Partitions, topic: &Uuid) -> bool {
    let place = partitions.partition_point(|(own, _)| own < topic);
    partitions.get(place).is_some_and(|(own, _)| own == topic)
}

/// As heartbeats say it.
pub(super) fn told(partitions: &Partitions) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
    let topics = partitions.chunk_by(|(one, _), (other, _)| one == other);
    let told = topics.map(|topic| ConsumerGroupHeartbeatTopicPartitions {
        topic_id: topic.first().map_or(Uuid::ZERO, |(id, _)| *id),
        partitions: topic.iter().map(|(_, index)| *index).collect(),
    });
    told.collect()
}
