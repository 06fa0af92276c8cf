//! Owns what brokers know of each other: topics, partitions, leaders, and the picture of it that each broker has.
//!
//! Must not know logs, connections or requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use klamm::{Str, Uuid};

use crate::NodeId;
use crate::config::{Node, TopicConfig};

/// A partition of one incarnation of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic: Uuid,
    /// The partition's number in it.
    pub index: i32,
}

/// A topic as a request names it: by name, or in newer versions by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicRef {
    Name(Str),
    Id(Uuid),
}

impl TopicRef {
    /// The name, for an answer in a version with names.
    pub(crate) fn name(&self) -> Str {
        match self {
            Self::Name(name) => name.clone(),
            Self::Id(_) => Str::EMPTY,
        }
    }

    /// The id, for an answer in a version with ids.
    pub(crate) fn id(&self) -> Uuid {
        match self {
            Self::Name(_) => Uuid::ZERO,
            Self::Id(id) => *id,
        }
    }
}

/// A partition as metadata has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The leader, if there is one.
    pub leader: Option<NodeId>,
    /// Grows with each change of the leader.
    pub leader_epoch: i32,
    /// Where its replicas are; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// The replicas that are in sync.
    pub isr: Vec<NodeId>,
}

/// A topic as metadata has it.
#[derive(Clone, Debug)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Its settings.
    pub config: TopicConfig,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionState>,
}

impl TopicState {
    /// Partition `index`.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&PartitionState> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

/// A picture of the cluster at one time.
#[derive(Clone, Debug, Default)]
pub struct Image {
    topics: BTreeMap<String, TopicState>,
    names: BTreeMap<Uuid, String>,
    /// The brokers that run.
    alive: BTreeMap<NodeId, Node>,
}

impl Image {
    /// The topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &TopicState> {
        self.topics.values()
    }

    /// The topic `name`.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&TopicState> {
        self.topics.get(name)
    }

    /// The topic with id `id`.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&TopicState> {
        self.topic(self.names.get(&id)?)
    }

    pub(crate) fn find(&self, topic: &TopicRef) -> Option<&TopicState> {
        match topic {
            TopicRef::Name(name) => self.topic(name),
            TopicRef::Id(id) => self.topic_by_id(*id),
        }
    }

    /// The partition `id`.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionState> {
        self.topic_by_id(id.topic)?.partition(id.index)
    }

    /// The brokers that run.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.alive.values()
    }

    /// Broker `id`, if it runs.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.alive.get(&id)
    }

    /// All partitions.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (PartitionId, &PartitionState)> {
        self.topics.values().flat_map(|topic| {
            (0..).zip(&topic.partitions).map(|(index, partition)| {
                let id = PartitionId {
                    topic: topic.id,
                    index,
                };
                (id, partition)
            })
        })
    }
}

/// What a broker sees of the cluster.
#[derive(Clone, Debug)]
enum View {
    Current,
    /// A picture that no longer changes.
    Frozen(Arc<Image>),
}

/// The truth about the cluster, and each broker's view of it.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    image: Arc<Image>,
    nodes: BTreeMap<NodeId, Node>,
    views: BTreeMap<NodeId, View>,
}

impl Topology {
    pub(crate) fn new(nodes: &[Node]) -> Self {
        let nodes: BTreeMap<_, _> = nodes.iter().map(|n| (n.id, n.clone())).collect();
        let image = Image {
            alive: nodes.clone(),
            ..Image::default()
        };
        Self {
            image: Arc::new(image),
            views: nodes.keys().map(|id| (*id, View::Current)).collect(),
            nodes,
        }
    }

    /// The truth.
    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// What `broker` believes.
    pub(crate) fn view(&self, broker: NodeId) -> Arc<Image> {
        match self.views.get(&broker) {
            Some(View::Frozen(image)) => Arc::clone(image),
            Some(View::Current) | None => Arc::clone(&self.image),
        }
    }

    /// All brokers, whether they run or not.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Changes where clients are told to find broker `id`, or what it is.
    pub(crate) fn set_node(&mut self, node: Node) {
        let alive = &mut Arc::make_mut(&mut self.image).alive;
        if let Some(known) = alive.get_mut(&node.id) {
            *known = node.clone();
        }
        self.nodes.insert(node.id, node);
    }

    pub(crate) fn is_alive(&self, id: NodeId) -> bool {
        self.image.alive.contains_key(&id)
    }

    pub(crate) fn set_alive(&mut self, id: NodeId, alive: bool) {
        let image = Arc::make_mut(&mut self.image);
        match self.nodes.get(&id) {
            Some(node) if alive => {
                image.alive.insert(id, node.clone());
            }
            Some(_) | None => {
                image.alive.remove(&id);
            }
        }
    }

    /// Lets `broker` see no further change.
    pub(crate) fn freeze(&mut self, broker: NodeId) {
        let image = Arc::clone(&self.image);
        if let Some(view) = self.views.get_mut(&broker) {
            *view = View::Frozen(image);
        }
    }

    /// Lets `broker` see the truth again.
    pub(crate) fn thaw(&mut self, broker: NodeId) {
        if let Some(view) = self.views.get_mut(&broker) {
            *view = View::Current;
        }
    }

    pub(crate) fn add_topic(&mut self, topic: TopicState) {
        let image = Arc::make_mut(&mut self.image);
        image.names.insert(topic.id, topic.name.clone());
        image.topics.insert(topic.name.clone(), topic);
    }

    pub(crate) fn remove_topic(&mut self, name: &str) -> Option<TopicState> {
        let image = Arc::make_mut(&mut self.image);
        let topic = image.topics.remove(name)?;
        image.names.remove(&topic.id);
        Some(topic)
    }

    pub(crate) fn topic_mut(&mut self, id: Uuid) -> Option<&mut TopicState> {
        let image = Arc::make_mut(&mut self.image);
        image.topics.get_mut(image.names.get(&id)?)
    }

    pub(crate) fn partition_mut(&mut self, id: PartitionId) -> Option<&mut PartitionState> {
        let place = usize::try_from(id.index).ok()?;
        self.topic_mut(id.topic)?.partitions.get_mut(place)
    }

    /// The brokers for the replicas of a topic's partition `index`, spread round-robin over all.
    pub(crate) fn place_replicas(&self, index: usize, count: usize) -> Vec<NodeId> {
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        let rotated = ids.iter().cycle().skip(index % ids.len().max(1));
        rotated.take(count.min(ids.len())).copied().collect()
    }
}

/// Kafka's rule for topic names: 1 to 249 of `[a-zA-Z0-9._-]`, and neither `.` nor `..`.
pub(crate) fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_spread_over_all_brokers() {
        let topology = Topology::new(&[Node::new(1), Node::new(2), Node::new(3)]);
        assert_eq!(topology.place_replicas(0, 2), [1, 2]);
        assert_eq!(topology.place_replicas(2, 2), [3, 1]);
        assert_eq!(topology.place_replicas(1, 9), [2, 3, 1]);
    }

    #[test]
    fn a_frozen_broker_sees_the_past() {
        let mut topology = Topology::new(&[Node::new(1), Node::new(2)]);
        topology.freeze(1);
        topology.set_alive(2, false);
        assert!(topology.view(1).node(2).is_some());
        assert!(topology.view(2).node(2).is_none());
        topology.thaw(1);
        assert!(topology.view(1).node(2).is_none());
    }

    #[test]
    fn names_are_legal_as_in_kafka() {
        assert!(is_legal_name("orders.v1_x-2"));
        for name in ["", ".", "..", "a b", "ä", &"x".repeat(250)] {
            assert!(!is_legal_name(name), "{name}");
        }
    }
}
