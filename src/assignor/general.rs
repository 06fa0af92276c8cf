//! Owns how the sticky assignors share partitions out among members that subscribe to different topics: what can stay stays,
//! what is left goes to whoever has least, and then partitions are moved for as long as that makes shares more even.
//!
//! Must not know whose claims hold, or what becomes of partitions that move.

use alloc::vec;
use alloc::vec::Vec;

use super::group_subscription::{Column, GroupSubscription, Owners, Topic};
use super::movements::Movements;
use super::racks::{Rack, Racks};
use super::sticky::Claims;
use crate::collections::{VecMap, sort_places, sorted};

pub(super) fn assign(
    group: &GroupSubscription<'_>,
    claims: &Claims,
    racks: Option<&Racks>,
) -> Owners {
    let mut all: Vec<usize> = Vec::with_capacity(group.partitions);
    // Topics with as many subscribers stay in order.
    let topics = sorted(group.topics.iter().collect(), &|a: &&Topic, b| {
        a.subscribers.len().cmp(&b.subscribers.len())
    });
    all.extend(topics.iter().flat_map(|topic| topic.partitions.clone()));

    let mut builder = Builder::new(group, racks);
    let revocation_required = builder.keep_owned(claims, racks);
    let initializing = builder.counts.iter().all(|count| count == 0);
    let mut unassigned = all.clone();
    unassigned.retain(|partition| builder.owners.get(*partition).is_none());
    if let Some(racks) = racks {
        builder.give_to_least(&unassigned, |rack, partition| {
            racks.reaches(rack, partition)
        });
    }
    builder.give_to_least(&unassigned, |_, _| true);

    // What has one subscriber stays where it is.
    let movable = |partition: &usize| {
        let topic = group.topics.get(group.topic_of(*partition));
        topic.is_some_and(|topic| topic.subscribers.len() > 1)
    };
    all.retain(movable);
    unassigned.retain(movable);
    let before = (builder.owners.clone(), builder.imbalance());
    if !revocation_required {
        builder.reassign(&unassigned, claims);
    }
    let moved = builder.reassign(&all, claims);
    if !initializing && moved && builder.imbalance() >= before.1 {
        return before.0;
    }
    builder.owners
}

struct Builder<'a> {
    group: &'a GroupSubscription<'a>,
    owners: Owners,
    counts: Column<usize>,
    least: LeastAssigned,
    movements: Movements,
    /// Moves that may still be made. Each makes shares more even but for those that undo others, so this is never used up;
    /// whatever members claim, there is an end.
    fuel: usize,
}

impl<'a> Builder<'a> {
    fn new(group: &'a GroupSubscription<'a>, racks: Option<&Racks>) -> Self {
        Self {
            group,
            owners: Owners::new(group.partitions),
            counts: Column::new(group.members.len()),
            least: LeastAssigned::new(group, racks),
            movements: Movements::new(group.partitions),
            fuel: group.partitions.saturating_mul(8),
        }
    }

    /// Leaves partitions with their owners. Gives whether one cannot stay.
    fn keep_owned(&mut self, claims: &Claims, racks: Option<&Racks>) -> bool {
        let mut revocation_required = false;
        for (place, topic) in self.group.topics.iter().enumerate() {
            for partition in topic.partitions.clone() {
                let Some(member) = claims.held.get(partition) else {
                    continue;
                };
                let near = racks.is_none_or(|racks| racks.matches(member, partition));
                if near && self.group.subscribes(member, place) {
                    self.put(partition, member);
                } else {
                    revocation_required = true;
                }
            }
        }
        revocation_required
    }

    /// Gives each partition that has no owner to the subscriber that has least, of those in racks that may have it.
    fn give_to_least(
        &mut self,
        unassigned: &[usize],
        may_get: impl Fn(Option<Rack>, usize) -> bool,
    ) {
        for &partition in unassigned {
            if self.owners.get(partition).is_some() {
                continue;
            }
            let topic = self.group.topic_of(partition);
            let least = self.least.of(topic, |rack| may_get(rack, partition));
            if let Some(member) = least {
                self.put(partition, member);
            }
        }
    }

    /// Moves partitions to members that have at least two less, until no such move is left. Gives whether there was one.
    fn reassign(&mut self, partitions: &[usize], claims: &Claims) -> bool {
        let mut ever = false;
        loop {
            let mut moved = false;
            for &partition in partitions {
                let Some(to) = self.better_owner(partition, claims) else {
                    continue;
                };
                if self.fuel == 0 {
                    return ever;
                }
                self.fuel -= 1;
                self.move_to(partition, to);
                moved = true;
                ever = true;
            }
            if !moved {
                return ever;
            }
        }
    }

    /// Who should have a partition in place of its owner: first its owner of before, then the subscriber that has least.
    fn better_owner(&self, partition: usize, claims: &Claims) -> Option<usize> {
        let count = self.counts.get(self.owners.get(partition)?);
        let previous = claims.previous.get(partition);
        let least = || self.least.of(self.group.topic_of(partition), |_| true);
        let has_less = |member: &usize| count > self.counts.get(*member).saturating_add(1);
        previous
            .filter(has_less)
            .or_else(|| least().filter(has_less))
    }

    fn move_to(&mut self, partition: usize, to: usize) {
        let Some(from) = self.owners.get(partition) else {
            return;
        };
        let partition = self.movements.in_place_of(partition, from, to, self.group);
        let Some(from) = self.owners.get(partition) else {
            return;
        };
        self.movements.record(partition, from, to, self.group);
        let count = self.counts.get(from);
        self.counts.decrement(from);
        self.least.update(from, count, self.counts.get(from));
        self.put(partition, to);
    }

    fn put(&mut self, partition: usize, member: usize) {
        let count = self.counts.get(member);
        self.owners.set(partition, Some(member));
        self.counts.increment(member);
        self.least.update(member, count, self.counts.get(member));
    }

    /// The sum of the differences between all pairs of members that share a topic with somebody.
    fn imbalance(&self) -> u128 {
        let shares = |topic: &usize| {
            let topic = self.group.topics.get(*topic);
            topic.is_some_and(|topic| topic.subscribers.len() > 1)
        };
        let mut counts: Vec<usize> = self
            .group
            .of_members
            .iter()
            .enumerate()
            .filter(|(_, topics)| topics.iter().any(shares))
            .map(|(member, _)| self.counts.get(member))
            .collect();
        sort_places(&mut counts, &|a, b| a.cmp(&b));
        let mut sum = 0_u128;
        let mut difference = 0_u128;
        for (place, count) in counts.into_iter().enumerate() {
            // All before are smaller.
            difference += place as u128 * count as u128;
            difference -= sum;
            sum += count as u128;
        }
        difference
    }
}

/// Who has the fewest partitions of a topic's subscribers; of equals the first by member id.
///
/// Members that subscribe to the same topics, in the same rack, are kept together: there are few such kinds.
struct LeastAssigned {
    kinds: Vec<Kind>,
    kind_of_member: Vec<usize>,
    kinds_of_topic: Vec<Vec<usize>>,
    rank_of_member: Column<usize>,
    by_rank: Vec<usize>,
}

struct Kind {
    rack: Option<Rack>,
    /// Counts and ranks.
    members: VecMap<(usize, usize), ()>,
}

impl LeastAssigned {
    fn new(group: &GroupSubscription<'_>, racks: Option<&Racks>) -> Self {
        let mut least = Self {
            kinds: Vec::new(),
            kind_of_member: Vec::with_capacity(group.members.len()),
            kinds_of_topic: vec![Vec::new(); group.topics.len()],
            rank_of_member: Column::new(group.members.len()),
            by_rank: group.by_member_id(),
        };
        for (rank, member) in least.by_rank.iter().enumerate() {
            least.rank_of_member.set(*member, rank);
        }
        let mut known = VecMap::new();
        for (member, topics) in group.of_members.iter().enumerate() {
            let rack = racks.and_then(|racks| racks.of_member(member));
            let kind = *known.get_or_insert_with((topics, rack), || least.kinds.len());
            if kind == least.kinds.len() {
                least.add(rack, topics);
            }
            least.kind_of_member.push(kind);
            if let Some(kind) = least.kinds.get_mut(kind) {
                kind.members
                    .insert((0, least.rank_of_member.get(member)), ());
            }
        }
        least
    }

    fn add(&mut self, rack: Option<Rack>, topics: &[usize]) {
        for topic in topics {
            if let Some(kinds) = self.kinds_of_topic.get_mut(*topic) {
                kinds.push(self.kinds.len());
            }
        }
        self.kinds.push(Kind {
            rack,
            members: VecMap::new(),
        });
    }

    fn of(&self, topic: usize, may_get: impl Fn(Option<Rack>) -> bool) -> Option<usize> {
        let kinds = self.kinds_of_topic.get(topic)?;
        let first = kinds
            .iter()
            .filter_map(|kind| self.kinds.get(*kind))
            .filter(|kind| may_get(kind.rack))
            .filter_map(|kind| kind.members.first_key())
            .min();
        self.by_rank.get(first?.1).copied()
    }

    fn update(&mut self, member: usize, from: usize, to: usize) {
        let rank = self.rank_of_member.get(member);
        let kind = self.kind_of_member.get(member);
        if let Some(kind) = kind.and_then(|kind| self.kinds.get_mut(*kind)) {
            kind.members.remove(&(from, rank));
            kind.members.insert((to, rank), ());
        }
    }
}
