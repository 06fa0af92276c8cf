//! Owns the table of batches that are with the reader, also of those whose partition is long gone: their memory is
//! held until they come back.
//!
//! Must not know what a batch holds.

use alloc::vec::Vec;
use core::fmt;

use super::frames::FrameId;

/// One lending of one batch; never given out twice, so that a batch returned twice is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    slot: u32,
    generation: u32,
}

impl BatchId {
    /// The number behind the id, for recordings.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        ((self.generation as u64) << 32) | self.slot as u64
    }

    /// The id of a number that [`as_u64`](Self::as_u64) gave; one that was never given out is answered with an error.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        Self {
            slot: number as u32,
            generation: (number >> 32) as u32,
        }
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.as_u64())
    }
}

/// What the engine knows of a lent batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    /// The partition's slot, and the position's version when it was lent: a batch of an older one is stale.
    pub(crate) partition: u32,
    pub(crate) version: u64,
    pub(crate) frame: FrameId,
    /// What it may decompress to; 0 if it is not compressed.
    pub(crate) allowance: usize,
    /// What was reserved for its decompression.
    pub(crate) reserved: usize,
    /// The first offset that was wanted of it.
    pub(crate) start: i64,
    /// How many records and bytes it has, with those before `start`.
    pub(crate) records: u64,
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    generation: u32,
    lent: Option<Lent>,
}

/// All batches with the reader.
#[derive(Debug)]
pub(crate) struct LentTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl LentTable {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The id that the next [`insert`](Self::insert) will give.
    pub(crate) fn next_id(&self) -> BatchId {
        match self.free.last() {
            Some(slot) => BatchId {
                slot: *slot,
                generation: self
                    .slots
                    .get(*slot as usize)
                    .map_or(0, |slot| slot.generation),
            },
            None => BatchId {
                slot: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
                generation: 0,
            },
        }
    }

    pub(crate) fn insert(&mut self, lent: Lent) -> BatchId {
        let id = self.next_id();
        match self.free.pop() {
            Some(slot) => {
                if let Some(slot) = self.slots.get_mut(slot as usize) {
                    slot.lent = Some(lent);
                }
            }
            None => self.slots.push(Slot {
                generation: 0,
                lent: Some(lent),
            }),
        }
        id
    }

    pub(crate) fn get(&self, id: BatchId) -> Option<&Lent> {
        let slot = self.slots.get(id.slot as usize)?;
        (slot.generation == id.generation)
            .then_some(slot.lent.as_ref())
            .flatten()
    }

    /// Takes a batch back; `None` for an id that is not lent.
    pub(crate) fn remove(&mut self, id: BatchId) -> Option<Lent> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let lent = slot.lent.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(lent)
    }

    /// How many batches are lent.
    pub(crate) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::frames::Frames;

    #[test]
    fn a_batch_returned_twice_and_one_never_lent_are_noticed() {
        let mut frames = Frames::new();
        let lent = Lent {
            records: 1,
            size: 70,
            partition: 3,
            version: 1,
            frame: frames.insert(()),
            allowance: 0,
            reserved: 0,
            start: 5,
        };
        let mut table = LentTable::new();
        let expected = table.next_id();
        let first = table.insert(lent);
        assert_eq!(first, expected);
        assert_eq!(table.remove(first), Some(lent));
        assert_eq!(table.remove(first), None);
        let second = table.insert(lent);
        assert_ne!(first, second);
        assert_eq!(table.get(first), None);
        assert_eq!(table.get(second), Some(&lent));
        assert_eq!(table.remove(BatchId::from_u64(77)), None);
        assert_eq!(BatchId::from_u64(second.as_u64()), second);
        assert_eq!(table.len(), 1);
    }
}
