//! Owns the one byte budget of an engine (law 4): who holds how much, and whether more may be taken.
//!
//! Must not know what the bytes are for beyond their category; it is asked before memory is reserved.

/// What memory is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Category {
    /// Records accepted from the application and not yet resolved.
    Producer = 0,
    /// Frames that are arriving, except fetches.
    Receiving = 1,
    /// Fetches in flight (reserved before they are sent), fetched data, and data handed out and not yet returned.
    Fetch = 2,
    /// What handed-out batches may decompress to.
    Decompressed = 3,
    /// What is known of the cluster.
    Metadata = 4,
}

impl Category {
    /// All categories, for gauges.
    pub const ALL: [Self; 5] = [
        Self::Producer,
        Self::Receiving,
        Self::Fetch,
        Self::Decompressed,
        Self::Metadata,
    ];

    /// The category in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Receiving => "receiving",
            Self::Fetch => "fetch",
            Self::Decompressed => "decompressed",
            Self::Metadata => "metadata",
        }
    }

    /// Whether the category may use the reserve: a reader who never comes must starve no control traffic.
    const fn may_use_reserve(self) -> bool {
        match self {
            Self::Receiving | Self::Metadata => true,
            Self::Producer | Self::Fetch | Self::Decompressed => false,
        }
    }
}

/// The byte budget.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    reserve: usize,
    producer_limit: usize,
    used: [usize; Category::ALL.len()],
    refused: bool,
}

impl Budget {
    /// A budget of `limit` bytes, of which an eighth (at most 8 MiB) is kept for control traffic,
    /// and of which the producer may use `producer_limit`.
    pub(crate) fn new(limit: usize, producer_limit: usize) -> Self {
        Self {
            limit,
            reserve: (limit / 8).min(8 << 20),
            producer_limit,
            used: [0; Category::ALL.len()],
            refused: false,
        }
    }

    /// Takes `bytes`, all or nothing. A refusal is remembered until [`take_refused`](Self::take_refused).
    pub(crate) fn take(&mut self, category: Category, bytes: usize) -> bool {
        if bytes > self.free(category) {
            self.refused = true;
            return false;
        }
        if let Some(used) = self.used.get_mut(category as usize) {
            *used = used.saturating_add(bytes);
        }
        true
    }

    /// Somebody needs more than is free, as if [`take`](Self::take) had refused it.
    pub(crate) const fn refuse(&mut self) {
        self.refused = true;
    }

    /// Gives `bytes` back.
    pub(crate) fn give_back(&mut self, category: Category, bytes: usize) {
        if let Some(used) = self.used.get_mut(category as usize) {
            debug_assert!(*used >= bytes, "{category:?} gives back more than it took");
            *used = used.saturating_sub(bytes);
        }
    }

    /// How many bytes `category` could take now.
    pub(crate) fn free(&self, category: Category) -> usize {
        let limit = if category.may_use_reserve() {
            self.limit
        } else {
            self.limit.saturating_sub(self.reserve)
        };
        let free = limit.saturating_sub(self.used_total());
        match category {
            Category::Producer => free.min(self.producer_limit.saturating_sub(self.used(category))),
            Category::Receiving | Category::Fetch | Category::Decompressed | Category::Metadata => {
                free
            }
        }
    }

    /// How many bytes `category` holds.
    pub(crate) fn used(&self, category: Category) -> usize {
        self.used.get(category as usize).copied().unwrap_or(0)
    }

    /// How many bytes may be held in all.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// How many bytes are held in all.
    pub(crate) fn used_total(&self) -> usize {
        self.used.iter().sum()
    }

    /// The most that `category` could ever hold.
    pub(crate) fn most(&self, category: Category) -> usize {
        match category {
            Category::Producer => self.producer_limit.min(self.limit - self.reserve),
            Category::Fetch | Category::Decompressed => self.limit - self.reserve,
            Category::Receiving | Category::Metadata => self.limit,
        }
    }

    /// Whether somebody was refused since [`take_refused`](Self::take_refused).
    pub(crate) const fn was_refused(&self) -> bool {
        self.refused
    }

    /// Whether somebody was refused since this last answered `true`; clears the mark.
    pub(crate) fn take_refused(&mut self) -> bool {
        core::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetching_cannot_take_the_reserve_but_control_traffic_can() {
        let mut budget = Budget::new(8_000, 8_000);
        assert!(budget.take(Category::Fetch, 7_000));
        assert!(!budget.take(Category::Fetch, 1));
        assert!(budget.take(Category::Receiving, 1_000));
        assert!(!budget.take(Category::Metadata, 1));
        budget.give_back(Category::Receiving, 1_000);
        assert!(budget.take(Category::Metadata, 1));
    }

    #[test]
    fn the_producer_stays_inside_its_share() {
        let mut budget = Budget::new(8_000, 100);
        assert!(budget.take(Category::Producer, 100));
        assert!(!budget.take(Category::Producer, 1));
        assert!(budget.take(Category::Fetch, 1));
    }

    #[test]
    fn a_refusal_is_remembered_once() {
        let mut budget = Budget::new(80, 80);
        assert!(!budget.take(Category::Fetch, 100));
        assert!(budget.take_refused());
        assert!(!budget.take_refused());
    }
}
