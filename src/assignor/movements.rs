//! Owns which partitions were moved between which members while shares are made even, so that two members do not swap
//! partitions of one topic for nothing.
//!
//! Must not know why a partition is moved.

use super::group_subscription::{Column, GroupSubscription};
use super::java::{HashedSet, hash_of_partition, hash_of_str};
use crate::collections::VecMap;

/// From which member, and to which.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    from: usize,
    to: usize,
}

pub(super) struct Movements {
    of_partitions: Column<Option<Pair>>,
    /// By topic and pair.
    of_topics: VecMap<(usize, Pair), HashedSet>,
}

impl Movements {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            of_partitions: Column::new(partitions),
            of_topics: VecMap::new(),
        }
    }

    /// Notes that a partition is moved. Back where it came from, it was never moved.
    pub(super) fn record(
        &mut self,
        partition: usize,
        from: usize,
        to: usize,
        group: &GroupSubscription<'_>,
    ) {
        let topic = group.topic_of(partition);
        let mut pair = Pair { from, to };
        if let Some(earlier) = self.of_partitions.get(partition) {
            self.of_partitions.set(partition, None);
            let key = (topic, earlier);
            if let Some(set) = self.of_topics.get_mut(&key) {
                set.remove(partition);
                if set.is_empty() {
                    self.of_topics.remove(&key);
                }
            }
            if earlier.from == to {
                return;
            }
            pair.from = earlier.from;
        }
        self.of_partitions.set(partition, Some(pair));
        if let Some(of) = group.topics.get(topic) {
            let number = partition.saturating_sub(of.partitions.start);
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let hash = hash_of_partition(hash_of_str(of.name), number);
            let set = self
                .of_topics
                .get_or_insert_with((topic, pair), HashedSet::default);
            set.insert(hash, partition);
        }
    }

    /// The partition that is moved in place of `partition`: one of the same topic that came the other way before, if there is one.
    pub(super) fn in_place_of(
        &self,
        partition: usize,
        from: usize,
        to: usize,
        group: &GroupSubscription<'_>,
    ) -> usize {
        let earlier = self.of_partitions.get(partition);
        let reverse = Pair {
            from: to,
            to: earlier.map_or(from, |earlier| earlier.from),
        };
        let came = self.of_topics.get(&(group.topic_of(partition), reverse));
        came.and_then(HashedSet::first).unwrap_or(partition)
    }
}
