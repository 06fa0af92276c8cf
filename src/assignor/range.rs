//! Owns the assignor `range`: of each topic a row of partitions for each subscriber, the same row of topics with as many
//! partitions; in members' own racks as far as that leaves the rows' lengths alone (KIP-881).
//!
//! Must not know what members had before.

use alloc::vec::Vec;
use core::ops::Range;

use super::group_subscription::{Column, GroupSubscription, Owners};
use super::racks::Racks;
use crate::collections::{VecMap, sort_places};

pub(super) fn assign(group: &GroupSubscription<'_>) -> Owners {
    let mut owners = Owners::new(group.partitions);
    let racks = Racks::of(group);
    let mut places = Column::new(group.members.len());
    for (place, member) in group.by_instance_id().into_iter().enumerate() {
        places.set(member, place);
    }
    let mut topics: Vec<TopicState> = group
        .topics
        .iter()
        .map(|topic| {
            let mut consumers = topic.subscribers.clone();
            sort_places(&mut consumers, &|a, b| places.get(a).cmp(&places.get(b)));
            TopicState::new(consumers, topic.partitions.clone(), racks.as_ref())
        })
        .collect();
    if let Some(racks) = racks.filter(|_| topics.iter().any(|topic| topic.racks_matter)) {
        assign_with_rack_matching(&mut topics, &racks, &mut owners);
    }
    for topic in &mut topics {
        topic.assign_ranges(&mut owners, |_, _| true);
    }
    owners
}

/// Topics with the same subscribers and as many partitions are shared out together, so that what is joined stays together.
fn assign_with_rack_matching(topics: &mut [TopicState], racks: &Racks, owners: &mut Owners) {
    let mut together = VecMap::<_, Vec<&mut TopicState>>::new();
    for topic in topics {
        let key = (topic.consumers.clone(), topic.partitions.len());
        together.get_or_insert_with(key, Vec::new).push(topic);
    }
    for mut topics in together.into_values() {
        match &mut topics[..] {
            [topic] if topic.racks_matter => {
                topic.assign_ranges(owners, |member, partition| racks.matches(member, partition));
            }
            [_] => (),
            topics => assign_together(topics, racks, owners),
        }
    }
}

/// Gives each number of partition, of all of `topics` at once, to the first member that is in one rack with all of them.
fn assign_together(topics: &mut [&mut TopicState], racks: &Racks, owners: &mut Owners) {
    let Some(first) = topics.first() else {
        return;
    };
    let numbers = 0..first.partitions.len();
    // They have as many members and partitions, so what one of them can take all can.
    let mut remaining: Vec<usize> = (0..first.consumers.len()).collect();
    for number in numbers {
        let matching = remaining.iter().position(|consumer| {
            topics.iter().all(|topic| {
                topic.assignable(*consumer) > 0
                    && topic.matches(*consumer, topic.partitions.start + number, racks)
            })
        });
        let Some(at) = matching else {
            continue;
        };
        let consumer = remaining.get(at).copied().unwrap_or_default();
        for topic in &mut *topics {
            topic.assign(consumer, topic.partitions.start + number, owners);
        }
        if topics.iter().all(|topic| topic.assignable(consumer) == 0) {
            remaining.remove(at);
        }
    }
}

/// How far the sharing of one topic has come. Its consumers are counted from 0 here.
struct TopicState {
    consumers: Vec<usize>,
    partitions: Range<usize>,
    racks_matter: bool,
    assigned: Column<usize>,
    /// What each gets at least.
    quota: usize,
    /// How many may still get one more.
    extra: usize,
}

impl TopicState {
    fn new(consumers: Vec<usize>, partitions: Range<usize>, racks: Option<&Racks>) -> Self {
        let of_consumers = || consumers.iter().copied();
        let racks_matter =
            racks.is_some_and(|racks| racks.matter(of_consumers(), partitions.clone()));
        let count = consumers.len().max(1);
        Self {
            racks_matter,
            assigned: Column::new(consumers.len()),
            quota: partitions.len() / count,
            extra: partitions.len() % count,
            consumers,
            partitions,
        }
    }

    fn matches(&self, consumer: usize, partition: usize, racks: &Racks) -> bool {
        let member = self.consumers.get(consumer);
        member.is_some_and(|member| racks.matches(*member, partition))
    }

    fn assignable(&self, consumer: usize) -> usize {
        let most = self.quota.saturating_add(usize::from(self.extra > 0));
        most.saturating_sub(self.assigned.get(consumer))
    }

    fn assign(&mut self, consumer: usize, partition: usize, owners: &mut Owners) {
        owners.set(partition, self.consumers.get(consumer).copied());
        self.assigned.increment(consumer);
        if self.assigned.get(consumer) > self.quota {
            self.extra = self.extra.saturating_sub(1);
        }
    }

    /// Gives to each consumer the first of the partitions left that it may get, as many as it may have.
    fn assign_ranges(&mut self, owners: &mut Owners, may_get: impl Fn(usize, usize) -> bool) {
        let mut left = self.partitions.clone();
        for consumer in 0..self.consumers.len() {
            let Some(member) = self.consumers.get(consumer).copied() else {
                continue;
            };
            while left
                .clone()
                .next()
                .is_some_and(|first| owners.get(first).is_some())
            {
                left.next();
            }
            let mut room = self.assignable(consumer);
            for partition in left.clone() {
                if room == 0 {
                    break;
                }
                if owners.get(partition).is_none() && may_get(member, partition) {
                    self.assign(consumer, partition, owners);
                    room -= 1;
                }
            }
        }
    }
}
