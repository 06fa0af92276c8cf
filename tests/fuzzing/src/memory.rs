//! An allocator that counts, so that a body can say how much memory its subject took.
//!
//! It counts for each thread by itself: what runs beside does not disturb.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[derive(Clone, Copy)]
struct Counts {
    /// Bytes that the thread has taken and not given back; below zero where it gives back what others took.
    held: isize,
    peak: isize,
    allocations: usize,
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { held: 0, peak: 0, allocations: 0 }) };
}

fn count(bytes: isize, allocations: usize) {
    // While a thread ends, its counts are gone, and nobody asks any more.
    let _ = COUNTS.try_with(|counts| {
        let before = counts.get();
        let held = before.held + bytes;
        counts.set(Counts {
            held,
            peak: before.peak.max(held),
            allocations: before.allocations + allocations,
        });
    });
}

#[allow(
    unsafe_code,
    reason = "a global allocator is an unsafe trait; this one hands all to the system's"
)]
// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize, 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize, 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a piece of code took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The most bytes held at once, beyond those held before.
    pub peak: usize,
    /// The bytes still held at its end.
    pub held: isize,
    /// How often memory was asked for.
    pub allocations: usize,
}

/// Runs `what` and gives what it took on this thread.
pub fn measure<T>(what: impl FnOnce() -> T) -> (T, Usage) {
    let before = COUNTS.get();
    COUNTS.set(Counts {
        peak: before.held,
        ..before
    });
    let result = what();
    let after = COUNTS.get();
    // Measuring within measuring: the outer one must still see its peak.
    COUNTS.set(Counts {
        peak: before.peak.max(after.peak),
        ..after
    });
    let usage = Usage {
        peak: usize::try_from(after.peak - before.held).unwrap_or(0),
        held: after.held - before.held,
        allocations: after.allocations - before.allocations,
    };
    (result, usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_what_was_held_at_once() {
        let (kept, usage) = measure(|| {
            drop(vec![0_u8; 10_000]);
            vec![0_u8; 1_000]
        });
        assert_eq!(
            (usage.peak, usage.held, usage.allocations),
            (10_000, 1_000, 2)
        );
        let (_, freed) = measure(move || drop(kept));
        assert_eq!((freed.peak, freed.held), (0, -1_000));
    }

    #[test]
    fn measuring_within_measuring() {
        let (inner, outer) = measure(|| {
            let first = vec![0_u8; 5_000];
            drop(first);
            measure(|| drop(vec![0_u8; 100])).1
        });
        assert_eq!((inner.peak, outer.peak), (100, 5_000));
    }

    #[test]
    fn a_grown_vector_counts_once() {
        let (_, usage) = measure(|| {
            let mut grown = Vec::<u8>::with_capacity(100);
            grown.reserve_exact(1_000);
        });
        assert_eq!((usage.peak, usage.allocations), (1_000, 2));
    }
}
