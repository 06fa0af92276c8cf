//! Owns which partitions are assigned, and how they came to be.
//!
//! Must not know what is done with them.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::PartitionKey;
use super::partition::Partition;
use crate::engine::TopicHandle;
use crate::time::Instant;
use crate::timer::TimerId;
use crate::topic_pattern::TopicPattern;

/// How partitions come to be assigned: one way excludes the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// Nothing was asked for yet.
    None,
    /// The user names the partitions.
    Manual,
    /// The user names the topics, and the group shares their partitions out.
    Topics(Topics),
}

/// The topics of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topics {
    pub(crate) by: SubscribedBy,
    /// Those that the user named, or that match the pattern; none where the coordinator matches (KIP-848).
    pub(crate) names: BTreeMap<Arc<str>, TopicHandle>,
    pub(crate) presence: Presence,
    pub(crate) since: Instant,
    /// Looks whether anybody reads.
    pub(crate) reader_timer: TimerId,
    /// Only with auto-commit.
    pub(crate) commit_timer: Option<TimerId>,
}

/// How the user says which topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubscribedBy {
    Names,
    Pattern(TopicPattern),
}

impl Topics {
    /// Whether the user wants a topic, as far as is known.
    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.names.contains_key(topic)
            || self.pattern().is_some_and(|pattern| pattern.matches(topic))
    }

    pub(crate) const fn pattern(&self) -> Option<&TopicPattern> {
        match &self.by {
            SubscribedBy::Names => None,
            SubscribedBy::Pattern(pattern) => Some(pattern),
        }
    }
}

/// Whether anybody is there to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The application came for records when there were some, last at this time.
    Reading { last: Instant },
    /// It did not, for `max.poll.interval.ms`: the group goes on without it until it reads again.
    Away,
}

impl Subscription {
    pub(crate) const fn topics(&self) -> Option<&Topics> {
        match self {
            Self::Topics(topics) => Some(topics),
            Self::None | Self::Manual => None,
        }
    }

    pub(crate) const fn topics_mut(&mut self) -> Option<&mut Topics> {
        match self {
            Self::Topics(topics) => Some(topics),
            Self::None | Self::Manual => None,
        }
    }

    /// Whether a topic has to stay known for the subscription's sake.
    pub(crate) fn names(&self, topic: TopicHandle) -> bool {
        self.topics()
            .is_some_and(|topics| topics.names.values().any(|own| *own == topic))
    }
}

/// The assigned partitions, by a small index that stays the same for as long as a partition is assigned. What waits for
/// an answer under an index must know more of the partition than that: another one may have it by then.
#[derive(Debug)]
pub(crate) struct Assigned {
    slots: Vec<Option<Partition>>,
    index: BTreeMap<PartitionKey, u32>,
    free: Vec<u32>,
}

impl Assigned {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            index: BTreeMap::new(),
            free: Vec::new(),
        }
    }

    /// Takes one more partition; the later of two with the same key wins.
    pub(crate) fn insert(&mut self, partition: Partition) -> u32 {
        let key = partition.key;
        let slot = match self.slot(key).or_else(|| self.free.pop()) {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                self.slots.push(None);
                slot
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(partition);
        }
        self.index.insert(key, slot);
        slot
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Partition> {
        let partition = self.slots.get_mut(slot as usize)?.take()?;
        self.index.remove(&partition.key);
        self.free.push(slot);
        Some(partition)
    }

    pub(crate) fn slot(&self, key: PartitionKey) -> Option<u32> {
        self.index.get(&key).copied()
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&Partition> {
        self.slots.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Partition> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn find(&self, key: PartitionKey) -> Option<&Partition> {
        self.get(self.slot(key)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.slots.iter().flatten()
    }

    /// All slots, in the order of the assignment; some may be free.
    pub(crate) fn slots(&self) -> core::ops::Range<u32> {
        0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The slots that are taken.
    pub(crate) fn taken(&self) -> Vec<u32> {
        let taken = |slot: &u32| self.get(*slot).is_some();
        self.slots().filter(taken).collect()
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) -> Vec<Partition> {
        self.index.clear();
        self.free.clear();
        core::mem::take(&mut self.slots)
            .into_iter()
            .flatten()
            .collect()
    }
}
