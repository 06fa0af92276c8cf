//! Owns the view that assignors have of a group: members, topics and partitions by their places, in the orders that count.
//!
//! Must not know how partitions are shared out.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use super::{Member, ReplicaRacks, Topics, java};
use crate::collections::{VecMap, sort_places, sorted};
use crate::engine::TopicPartition;

/// One value for each member, partition or topic, by its place.
#[derive(Clone, Debug)]
pub(super) struct Column<T>(Vec<T>);

impl<T: Copy + Default> Column<T> {
    pub(super) fn new(length: usize) -> Self {
        Self(vec![T::default(); length])
    }

    pub(super) fn get(&self, place: usize) -> T {
        self.0.get(place).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, place: usize, value: T) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = value;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.0.iter().copied()
    }
}

impl Column<usize> {
    pub(super) fn increment(&mut self, place: usize) {
        self.set(place, self.get(place).saturating_add(1));
    }

    pub(super) fn decrement(&mut self, place: usize) {
        self.set(place, self.get(place).saturating_sub(1));
    }
}

/// The member that each partition goes to, if any. What every assignor comes to: it cannot say that a partition has two.
pub(super) type Owners = Column<Option<usize>>;

/// A topic that at least one member subscribes to and that has at least one partition.
pub(super) struct Topic<'a> {
    pub(super) name: &'a Arc<str>,
    /// The places of its partitions.
    pub(super) partitions: Range<usize>,
    /// The racks of their replicas.
    pub(super) racks: &'a [ReplicaRacks],
    /// The members that subscribe to it, in the group's order.
    pub(super) subscribers: Vec<usize>,
}

/// What the members of a group subscribe to.
pub(super) struct GroupSubscription<'a> {
    pub(super) members: &'a [Member],
    /// In the order of Java's strings. A partition's place follows from it.
    pub(super) topics: Vec<Topic<'a>>,
    /// The topics that each member subscribes to, in order.
    pub(super) of_members: Vec<Vec<usize>>,
    /// How many partitions all topics have together.
    pub(super) partitions: usize,
    /// Whether all members subscribe to the same topics, be they there or not.
    pub(super) equal: bool,
    by_name: VecMap<&'a str, usize>,
}

impl<'a> GroupSubscription<'a> {
    pub(super) fn new(members: &'a [Member], topics: &'a Topics) -> Self {
        let mut subscriptions = Vec::new();
        let mut wanted: Option<VecMap<&str, ()>> = None;
        let mut equal = true;
        for (place, member) in members.iter().enumerate() {
            let names = member.subscription.topics.iter();
            let names: VecMap<&str, ()> = names.map(|name| (&**name, ())).collect();
            subscriptions.extend(names.keys().map(|name| (*name, place)));
            equal &= *wanted.get_or_insert_with(|| names.clone()) == names;
        }
        let mut subscribers = VecMap::<&str, Vec<usize>>::new();
        for (name, place) in sorted(subscriptions, &|(a, _), (b, _)| a.cmp(b)) {
            subscribers.get_or_insert_with(name, Vec::new).push(place);
        }
        let mut group = Self {
            members,
            topics: Vec::new(),
            of_members: vec![Vec::new(); members.len()],
            partitions: 0,
            equal,
            by_name: VecMap::new(),
        };
        let known: Vec<_> = topics
            .iter()
            .filter(|(_, racks)| !racks.is_empty())
            .filter_map(|(name, racks)| Some((name, racks, subscribers.remove(&&**name)?)))
            .collect();
        let known = sorted(known, &|(a, ..), (b, ..)| java::compare(a, b));
        for (place, (name, racks, subscribers)) in known.into_iter().enumerate() {
            for member in &subscribers {
                if let Some(topics) = group.of_members.get_mut(*member) {
                    topics.push(place);
                }
            }
            let first = group.partitions;
            group.partitions = first.saturating_add(racks.len());
            group.by_name.insert(name, place);
            group.topics.push(Topic {
                name,
                partitions: first..group.partitions,
                racks,
                subscribers,
            });
        }
        group
    }

    /// The place of a partition, if it exists and somebody subscribes to its topic.
    pub(super) fn place(&self, partition: &TopicPartition) -> Option<usize> {
        let topic = self.topics.get(*self.by_name.get(&&*partition.topic)?)?;
        let number = usize::try_from(partition.partition).ok()?;
        topic.partitions.clone().nth(number)
    }

    /// The place of the topic that a partition belongs to.
    pub(super) fn topic_of(&self, partition: usize) -> usize {
        self.topics
            .partition_point(|topic| topic.partitions.end <= partition)
    }

    /// Whether a member subscribes to a topic.
    pub(super) fn subscribes(&self, member: usize, topic: usize) -> bool {
        let topics = self.of_members.get(member);
        topics.is_some_and(|topics| topics.binary_search(&topic).is_ok())
    }

    /// The members as `HashMap<String, Subscription>` hands them out: what is decided by the first that comes, Java decides so.
    pub(super) fn in_hash_order(&self) -> Vec<usize> {
        java::hash_order(self.members.iter().map(|member| &*member.member_id))
    }

    /// The members by their ids.
    pub(super) fn by_member_id(&self) -> Vec<usize> {
        self.sorted(&|a, b| java::compare(&a.member_id, &b.member_id))
    }

    /// The static members by their instance ids, then the others by their member ids (KIP-345): an order that outlives restarts.
    pub(super) fn by_instance_id(&self) -> Vec<usize> {
        self.sorted(&|a, b| match (&a.group_instance_id, &b.group_instance_id) {
            (Some(a), Some(b)) => java::compare(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => java::compare(&a.member_id, &b.member_id),
        })
    }

    fn sorted(&self, compare: &dyn Fn(&Member, &Member) -> Ordering) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.members.len()).collect();
        sort_places(&mut places, &|a, b| {
            let members = self.members.get(a).zip(self.members.get(b));
            members.map_or(Ordering::Equal, |(a, b)| compare(a, b))
        });
        places
    }

    /// What each member gets, in the members' order; its partitions by topic and number.
    pub(super) fn assignments(&self, owners: &Owners) -> Vec<Vec<TopicPartition>> {
        let mut assignments = vec![Vec::new(); self.members.len()];
        for topic in &self.topics {
            for (number, place) in topic.partitions.clone().enumerate() {
                let owner = owners.get(place);
                let assignment = owner.and_then(|owner| assignments.get_mut(owner));
                if let (Some(assignment), Ok(partition)) = (assignment, i32::try_from(number)) {
                    assignment.push(TopicPartition {
                        topic: Arc::clone(topic.name),
                        partition,
                    });
                }
            }
        }
        assignments
    }
}
