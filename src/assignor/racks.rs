//! Owns who is in one rack with what (KIP-881).
//!
//! Must not know how partitions are shared out.

use alloc::vec::Vec;
use core::ops::Range;

use super::group_subscription::GroupSubscription;
use crate::collections::VecMap;
use crate::wire::Str;

/// A rack, as a small number.
pub(super) type Rack = u32;

/// The racks of a group's members, and of the replicas that they read.
pub(super) struct Racks {
    members: Vec<Option<Rack>>,
    /// Each in order, without repetition.
    partitions: Vec<Vec<Rack>>,
    /// How many members each rack has.
    population: VecMap<Rack, usize>,
}

impl Racks {
    /// `None` if no member says where it is.
    pub(super) fn of(group: &GroupSubscription<'_>) -> Option<Self> {
        let rack_of = |place: usize| {
            let rack = group.members.get(place)?.subscription.rack_id.as_ref();
            rack.filter(|rack| !rack.is_empty())
        };
        let members = 0..group.members.len();
        if members.clone().all(|member| rack_of(member).is_none()) {
            return None;
        }
        let mut numbers = VecMap::<&Str, Rack>::new();
        let members: Vec<Option<Rack>> = members
            .map(|member| Some(number(&mut numbers, rack_of(member)?)))
            .collect();
        let mut population = VecMap::new();
        for rack in members.iter().flatten() {
            let count = population.get_or_insert_with(*rack, || 0_usize);
            *count = count.saturating_add(1);
        }
        let partitions = group
            .topics
            .iter()
            .flat_map(|topic| topic.racks)
            .map(|racks| {
                let mut racks: Vec<Rack> = racks
                    .iter()
                    .map(|rack| number(&mut numbers, rack))
                    .collect();
                racks.sort_unstable();
                racks.dedup();
                racks
            })
            .collect();
        Some(Self {
            members,
            partitions,
            population,
        })
    }

    /// Those of all members and partitions, if it makes a difference who gets what.
    pub(super) fn that_matter(group: &GroupSubscription<'_>) -> Option<Self> {
        Self::of(group).filter(|racks| racks.matter(0..group.members.len(), 0..group.partitions))
    }

    /// Whether it makes a difference which of `members` gets which of `partitions`: some are in one rack, and not all partitions
    /// have replicas in all racks.
    pub(super) fn matter(
        &self,
        members: impl Iterator<Item = usize>,
        partitions: Range<usize>,
    ) -> bool {
        let partitions = self.partitions.get(partitions).unwrap_or_default();
        let all: VecMap<Rack, ()> = partitions
            .iter()
            .flatten()
            .map(|rack| (*rack, ()))
            .collect();
        let mut racks = members.filter_map(|member| self.of_member(member));
        racks.any(|rack| all.contains_key(&rack))
            && partitions.iter().any(|racks| racks.len() != all.len())
    }

    pub(super) fn of_member(&self, member: usize) -> Option<Rack> {
        self.members.get(member).copied().flatten()
    }

    fn of_partition(&self, partition: usize) -> &[Rack] {
        self.partitions.get(partition).map_or(&[], |racks| racks)
    }

    /// How many members are in one of a partition's racks.
    pub(super) fn members_near(&self, partition: usize) -> usize {
        let racks = self.of_partition(partition).iter();
        racks.filter_map(|rack| self.population.get(rack)).sum()
    }

    /// Whether somebody in `rack`, if in any, need not go to another for a partition.
    pub(super) fn reaches(&self, rack: Option<Rack>, partition: usize) -> bool {
        rack.is_none_or(|rack| self.of_partition(partition).contains(&rack))
    }

    /// Whether a member need not go to another rack for a partition.
    pub(super) fn matches(&self, member: usize, partition: usize) -> bool {
        self.reaches(self.of_member(member), partition)
    }
}

fn number<'a>(numbers: &mut VecMap<&'a Str, Rack>, rack: &'a Str) -> Rack {
    let next = Rack::try_from(numbers.len()).unwrap_or(Rack::MAX);
    *numbers.get_or_insert_with(rack, || next)
}
