//! Owns what both sticky assignors do before and after partitions are shared out: whose claim to a partition holds, and which
//! partitions have to wait for their last owner.
//!
//! Must not know how partitions are shared out.

use alloc::vec::Vec;

use super::group_subscription::{Column, GroupSubscription, Owners};
use super::racks::Racks;
use super::subscription::Subscription;
use super::user_data::{self, MemberData, NO_GENERATION};
use super::{constrained, general};

/// What members had before, as far as it is still there.
pub(super) struct Claims {
    /// The member that each partition stays with, if it can.
    pub(super) held: Owners,
    /// Partitions that two members of one generation claim, so that neither is believed.
    pub(super) doubly_claimed: Column<bool>,
    /// Who had a partition in the last generation but one, or before: the best place for one that has to move.
    pub(super) previous: Owners,
}

pub(super) fn assign(group: &GroupSubscription<'_>) -> Owners {
    let claims = Claims::of(group, user_data::of_sticky);
    let racks = Racks::that_matter(group);
    if group.equal {
        constrained::assign(group, &claims, racks.as_ref()).owners
    } else {
        general::assign(group, &claims, racks.as_ref())
    }
}

pub(super) fn assign_cooperatively(group: &GroupSubscription<'_>) -> Owners {
    let claims = Claims::of(group, user_data::of_cooperative_sticky);
    let racks = Racks::that_matter(group);
    if group.equal {
        let assigned = constrained::assign(group, &claims, racks.as_ref());
        let mut owners = assigned.owners;
        for partition in assigned.transferred {
            if !cfg!(planted = "B28") {
                owners.set(partition, None);
            }
        }
        owners
    } else {
        let mut owners = general::assign(group, &claims, racks.as_ref());
        withhold_what_others_have(group, &mut owners);
        owners
    }
}

/// Takes back what somebody got who did not have it while somebody else still does.
fn withhold_what_others_have(group: &GroupSubscription<'_>, owners: &mut Owners) {
    let mut had = Column::new(group.partitions);
    let mut kept = Column::new(group.partitions);
    for (member, claim) in group.members.iter().enumerate() {
        for partition in &claim.subscription.owned_partitions {
            if let Some(place) = group.place(partition) {
                had.set(place, true);
                kept.set(place, kept.get(place) || owners.get(place) == Some(member));
            }
        }
    }
    for place in 0..group.partitions {
        if had.get(place) && !kept.get(place) {
            owners.set(place, None);
        }
    }
}

impl Claims {
    fn of(group: &GroupSubscription<'_>, read: impl Fn(&Subscription) -> MemberData) -> Self {
        let order = group.in_hash_order();
        let data: Vec<(usize, i32, Vec<usize>)> = order
            .into_iter()
            .filter_map(|member| {
                let data = read(&group.members.get(member)?.subscription);
                let places = data.partitions.iter().filter_map(|p| group.place(p));
                Some((member, data.generation, places.collect()))
            })
            .collect();
        let mut claims = Self {
            held: Owners::new(group.partitions),
            doubly_claimed: Column::new(group.partitions),
            previous: Owners::new(group.partitions),
        };
        claims.resolve(group, &data);
        claims.remember(group, &data);
        claims
    }

    /// Of two members that claim a partition, the one of the later generation is believed.
    fn resolve(&mut self, group: &GroupSubscription<'_>, data: &[(usize, i32, Vec<usize>)]) {
        let mut last = Owners::new(group.partitions);
        for (member, generation, places) in data {
            for &place in places {
                let Some(other) = last.get(place) else {
                    self.held.set(place, Some(*member));
                    last.set(place, Some(*member));
                    continue;
                };
                // As Java has it: the other's by its subscription, whatever its user data said.
                let other = group.members.get(other);
                let other_generation = other
                    .and_then(|other| other.subscription.generation_id)
                    .unwrap_or(NO_GENERATION);
                if *generation == other_generation {
                    self.doubly_claimed.set(place, true);
                    self.held.set(place, None);
                    last.set(place, Some(*member));
                } else if *generation > other_generation {
                    self.held.set(place, Some(*member));
                    last.set(place, Some(*member));
                }
            }
        }
    }

    /// The latest owner before the newest generation. One that no longer subscribes to the topic is none.
    fn remember(&mut self, group: &GroupSubscription<'_>, data: &[(usize, i32, Vec<usize>)]) {
        let newest = data.iter().map(|(_, generation, _)| *generation).max();
        let newest = newest.unwrap_or(NO_GENERATION).max(NO_GENERATION);
        let mut generations = Column::<Option<i32>>::new(group.partitions);
        for (member, generation, places) in data {
            if *generation >= newest {
                continue;
            }
            for &place in places {
                let later = generations.get(place).is_none_or(|g| *generation > g);
                if later && group.subscribes(*member, group.topic_of(place)) {
                    generations.set(place, Some(*generation));
                    self.previous.set(place, Some(*member));
                }
            }
        }
    }
}
