//! Owns the one queue of deadlines of an engine.
//!
//! Must not know what a deadline means: keys are opaque and come back when they are due.

use alloc::collections::BTreeMap;

use crate::time::Instant;

/// An armed deadline. Disarming one that has fired is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    at: Instant,
    sequence: u64,
}

/// Deadlines in the order in which they are due; equal ones in the order in which they were armed.
#[derive(Debug)]
pub(crate) struct TimerQueue<K> {
    queue: BTreeMap<TimerId, K>,
    next_sequence: u64,
}

impl<K> TimerQueue<K> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: BTreeMap::new(),
            next_sequence: 0,
        }
    }

    /// Arms a deadline. One at [`Instant::FAR_FUTURE`] never fires.
    pub(crate) fn arm(&mut self, at: Instant, key: K) -> TimerId {
        let id = TimerId {
            at,
            sequence: self.next_sequence,
        };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.queue.insert(id, key);
        id
    }

    /// Takes a deadline back; `None` if it has fired or was taken back before.
    pub(crate) fn disarm(&mut self, id: TimerId) -> Option<K> {
        self.queue.remove(&id)
    }

    /// Takes all deadlines back: nothing is waited for any more.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    /// The next deadline and its key.
    pub(crate) fn next(&self) -> Option<(Instant, &K)> {
        self.queue
            .first_key_value()
            .map(|(id, key)| (id.at, key))
            .filter(|(at, _)| *at != Instant::FAR_FUTURE)
    }

    /// Pops the first deadline that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, _) = self.next()?;
        if at > now {
            return None;
        }
        self.queue.pop_first().map(|(_, key)| key)
    }

    /// How many deadlines are armed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// A deadline of a role, opaque to everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoleTimer {
    /// Which of the role's timers.
    pub(crate) kind: u8,
    /// Of which of its things.
    pub(crate) index: u32,
    /// For people who ask why the engine wakes.
    pub(crate) why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_fire_in_order_and_equal_ones_as_armed() {
        let mut timers = TimerQueue::new();
        timers.arm(Instant::from_millis(20), "late");
        timers.arm(Instant::from_millis(10), "first");
        timers.arm(Instant::from_millis(10), "second");
        let now = Instant::from_millis(10);
        assert_eq!(timers.pop_due(now), Some("first"));
        assert_eq!(timers.pop_due(now), Some("second"));
        assert_eq!(timers.pop_due(now), None);
        assert_eq!(timers.next(), Some((Instant::from_millis(20), &"late")));
    }

    #[test]
    fn a_deadline_that_has_fired_can_be_disarmed_without_harm() {
        let mut timers = TimerQueue::new();
        let id = timers.arm(Instant::from_millis(1), ());
        assert_eq!(timers.pop_due(Instant::from_millis(1)), Some(()));
        assert_eq!(timers.disarm(id), None);
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_deadline_in_the_far_future_wakes_nobody() {
        let mut timers = TimerQueue::new();
        timers.arm(Instant::FAR_FUTURE, ());
        assert_eq!(timers.next(), None);
        assert_eq!(timers.pop_due(Instant::FAR_FUTURE), None);
    }
}
