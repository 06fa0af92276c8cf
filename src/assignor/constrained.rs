//! Owns how the sticky assignors share partitions out among members that all subscribe to the same topics: everybody keeps
//! what he has up to his share, and what is left goes round.
//!
//! Must not know whose claims hold, or what becomes of partitions that move.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use super::group_subscription::{Column, GroupSubscription, Owners};
use super::racks::Racks;
use super::sticky::Claims;
use crate::collections::{sort_places, sorted};

/// Who gets what, and what of it somebody else may still have.
pub(super) struct Assigned {
    pub(super) owners: Owners,
    pub(super) transferred: Vec<usize>,
}

pub(super) fn assign(
    group: &GroupSubscription<'_>,
    claims: &Claims,
    racks: Option<&Racks>,
) -> Assigned {
    let mut builder = Builder::new(group, claims);
    builder.assign_owned(racks);
    let mut unassigned: Vec<usize> = (0..group.partitions)
        .filter(|partition| builder.owners.get(*partition).is_none())
        .collect();
    builder.sort_unfilled();
    if let Some(racks) = racks {
        // Those that few members are near to go first, or others might take these members' places.
        let near: Vec<usize> = (0..group.partitions)
            .map(|partition| racks.members_near(partition))
            .collect();
        sort_places(&mut unassigned, &|a, b| near.get(a).cmp(&near.get(b)));
        unassigned = builder.assign_within_racks(unassigned, racks);
    }
    builder.assign_round_robin(unassigned);
    Assigned {
        owners: builder.owners,
        transferred: builder.transferred,
    }
}

struct Builder<'a> {
    group: &'a GroupSubscription<'a>,
    claims: &'a Claims,
    owners: Owners,
    counts: Column<usize>,
    /// What every member gets at least.
    min_quota: usize,
    /// How many may still get one more.
    extra: usize,
    /// Members that have less than the quota.
    under_quota: Vec<usize>,
    /// Members that have the quota and may get one more.
    at_quota: Vec<usize>,
    /// Who had a partition and could not keep it.
    revoked_from: Owners,
    transferred: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn new(group: &'a GroupSubscription<'a>, claims: &'a Claims) -> Self {
        let members = group.members.len().max(1);
        Self {
            group,
            claims,
            owners: Owners::new(group.partitions),
            counts: Column::new(group.members.len()),
            min_quota: group.partitions / members,
            extra: group.partitions % members,
            under_quota: Vec::new(),
            at_quota: Vec::new(),
            revoked_from: Owners::new(group.partitions),
            transferred: Vec::new(),
        }
    }

    /// What each member could keep, the lowest numbers first, topic by topic.
    fn owned(&mut self, racks: Option<&Racks>) -> Vec<Vec<usize>> {
        let mut owned = vec![Vec::new(); self.group.members.len()];
        for topic in &self.group.topics {
            for (number, partition) in topic.partitions.clone().enumerate() {
                let Some(member) = self.claims.held.get(partition) else {
                    continue;
                };
                if racks.is_some_and(|racks| !racks.matches(member, partition)) {
                    self.revoked_from.set(partition, Some(member));
                } else if !self.claims.doubly_claimed.get(partition)
                    && let Some(owned) = owned.get_mut(member)
                {
                    owned.push((number, partition));
                }
            }
        }
        // Stable, so that topics stay in their order.
        let in_order = |owned| {
            let owned = sorted(owned, &|(a, _): &(usize, usize), (b, _)| a.cmp(b));
            owned.into_iter().map(|(_, place)| place).collect()
        };
        owned.into_iter().map(in_order).collect()
    }

    fn assign_owned(&mut self, racks: Option<&Racks>) {
        let owned = self.owned(racks);
        for member in self.group.in_hash_order() {
            let owned = owned.get(member).map_or(&[][..], |owned| owned);
            let keeps = if owned.len() < self.min_quota {
                self.under_quota.push(member);
                owned.len()
            } else if self.extra > 0 && owned.len() > self.min_quota {
                self.take_extra();
                self.min_quota + 1
            } else {
                if self.extra > 0 {
                    self.at_quota.push(member);
                }
                self.min_quota
            };
            for (place, &partition) in owned.iter().enumerate() {
                if place < keeps {
                    self.owners.set(partition, Some(member));
                    self.counts.increment(member);
                } else {
                    self.revoked_from.set(partition, Some(member));
                }
            }
        }
    }

    /// A member got one more than the quota. After the last of them, those that have the quota have enough.
    fn take_extra(&mut self) {
        self.extra = self.extra.saturating_sub(1);
        if self.extra == 0 {
            self.at_quota.clear();
        }
    }

    fn sort_unfilled(&mut self) {
        let mut ranks = Column::new(self.group.members.len());
        for (rank, member) in self.group.by_member_id().into_iter().enumerate() {
            ranks.set(member, rank);
        }
        let by_rank = |a, b| ranks.get(a).cmp(&ranks.get(b));
        sort_places(&mut self.under_quota, &by_rank);
        sort_places(&mut self.at_quota, &by_rank);
    }

    /// Gives partitions to members in one of their racks, in turn, as far as that leaves all shares even. Gives what is left.
    fn assign_within_racks(&mut self, unassigned: Vec<usize>, racks: &Racks) -> Vec<usize> {
        let near = |member: usize, partition: usize| {
            racks.of_member(member).is_some() && racks.matches(member, partition)
        };
        let mut left = Vec::new();
        let mut next = 0_usize;
        for partition in unassigned {
            let (before, after) = self.under_quota.split_at_checked(next).unwrap_or_default();
            let around = (next..).zip(after).chain((0..).zip(before));
            let mut around = around.filter(|(_, member)| near(**member, partition));
            if let Some((at, &member)) = around.next() {
                self.give(partition, member);
                next = at;
                if self.counts.get(member) >= self.min_quota {
                    self.under_quota.remove(at);
                    if self.extra > 0 {
                        self.at_quota.push(member);
                    }
                } else {
                    next += 1;
                }
                next = next.checked_rem(self.under_quota.len()).unwrap_or(0);
                continue;
            }
            let at = self
                .at_quota
                .iter()
                .position(|member| near(*member, partition));
            if let Some(at) = at {
                let member = self.at_quota.remove(at);
                self.give(partition, member);
                self.take_extra();
            } else {
                left.push(partition);
            }
        }
        left
    }

    fn assign_round_robin(&mut self, unassigned: Vec<usize>) {
        let mut under_quota: VecDeque<usize> = self.under_quota.drain(..).collect();
        let mut at_quota: VecDeque<usize> = self.at_quota.drain(..).collect();
        for partition in unassigned {
            if let Some(member) = under_quota.pop_front() {
                self.give(partition, member);
                if self.counts.get(member) == self.min_quota {
                    at_quota.push_back(member);
                } else {
                    under_quota.push_back(member);
                }
            } else if let Some(member) = at_quota.pop_front() {
                self.give(partition, member);
            }
        }
    }

    fn give(&mut self, partition: usize, member: usize) {
        self.owners.set(partition, Some(member));
        self.counts.increment(member);
        let revoked_from = self.revoked_from.get(partition);
        if revoked_from.is_some_and(|previous| previous != member)
            || self.claims.doubly_claimed.get(partition)
        {
            self.transferred.push(partition);
        }
    }
}
