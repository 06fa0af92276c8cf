//! Owns which partitions are assigned, and how they came to be.
//!
//! Must not know what is done with them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::PartitionKey;
use super::partition::Partition;

/// How partitions come to be assigned: one way excludes the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// Nothing was asked for yet.
    None,
    /// The user names the partitions.
    Manual,
}

/// The assigned partitions, by a small index that stays the same for as long as the assignment lasts.
#[derive(Debug)]
pub(crate) struct Assigned {
    slots: Vec<Partition>,
    index: BTreeMap<PartitionKey, u32>,
}

impl Assigned {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            index: BTreeMap::new(),
        }
    }

    /// Takes one more partition; the later of two with the same key wins.
    pub(crate) fn insert(&mut self, partition: Partition) -> u32 {
        if let Some(slot) = self.slot(partition.key) {
            if let Some(place) = self.get_mut(slot) {
                *place = partition;
            }
            return slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.index.insert(partition.key, slot);
        self.slots.push(partition);
        slot
    }

    pub(crate) fn slot(&self, key: PartitionKey) -> Option<u32> {
        self.index.get(&key).copied()
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&Partition> {
        self.slots.get(slot as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Partition> {
        self.slots.get_mut(slot as usize)
    }

    pub(crate) fn find(&self, key: PartitionKey) -> Option<&Partition> {
        self.get(self.slot(key)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.slots.iter()
    }

    /// All slots, in the order of the assignment.
    pub(crate) fn slots(&self) -> core::ops::Range<u32> {
        0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) -> Vec<Partition> {
        self.index.clear();
        core::mem::take(&mut self.slots)
    }
}
