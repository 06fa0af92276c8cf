//! Owns the response frames that fetched batches lie in, and counts who still needs each.
//!
//! Must not know what a frame holds, nor how its memory is given back.

use alloc::vec::Vec;

/// A frame that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameId(usize);

#[derive(Debug)]
enum Slot<H> {
    Free { next: Option<usize> },
    Held { held: H, holders: u32 },
}

/// Frames by a small index; each is freed when its last holder lets go.
#[derive(Debug)]
pub(crate) struct Frames<H> {
    slots: Vec<Slot<H>>,
    free: Option<usize>,
    count: usize,
}

impl<H> Frames<H> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: None,
            count: 0,
        }
    }

    /// Takes a frame in, with one holder: whoever calls this.
    pub(crate) fn insert(&mut self, held: H) -> FrameId {
        let slot = Slot::Held { held, holders: 1 };
        self.count = self.count.saturating_add(1);
        if let Some(index) = self.free
            && let Some(place) = self.slots.get_mut(index)
            && let Slot::Free { next } = place
        {
            self.free = *next;
            *place = slot;
            return FrameId(index);
        }
        self.slots.push(slot);
        FrameId(self.slots.len().saturating_sub(1))
    }

    /// One more holder.
    pub(crate) fn share(&mut self, id: FrameId) {
        if let Some(Slot::Held { holders, .. }) = self.slots.get_mut(id.0) {
            *holders = holders.saturating_add(1);
        }
    }

    /// One holder less; the frame itself if that was the last one.
    pub(crate) fn let_go(&mut self, id: FrameId) -> Option<H> {
        let slot = self.slots.get_mut(id.0)?;
        match slot {
            Slot::Held { holders, .. } if *holders > 1 => {
                *holders = holders.saturating_sub(1);
                None
            }
            Slot::Held { .. } => {
                let free = Slot::Free { next: self.free };
                self.free = Some(id.0);
                self.count = self.count.saturating_sub(1);
                match core::mem::replace(slot, free) {
                    Slot::Held { held, .. } => Some(held),
                    Slot::Free { .. } => None,
                }
            }
            Slot::Free { .. } => None,
        }
    }

    /// How many frames are held.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_freed_by_its_last_holder_and_its_place_used_again() {
        let mut frames = Frames::new();
        let first = frames.insert("first");
        let second = frames.insert("second");
        frames.share(first);
        assert_eq!(frames.let_go(first), None);
        assert_eq!(frames.let_go(first), Some("first"));
        assert_eq!(frames.let_go(first), None);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames.insert("third"), first);
        assert_eq!(frames.let_go(second), Some("second"));
    }
}
