//! Owns the one queue of what is due when.
//!
//! Must not know what a timer means.

use std::collections::BTreeMap;

use klamm::Instant;

/// Names an armed timer, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    at: Instant,
    sequence: u64,
}

/// Timers in the order in which they are due, then in which they were armed.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    queue: BTreeMap<TimerKey, T>,
    armed: u64,
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: BTreeMap::new(),
            armed: 0,
        }
    }

    pub(crate) fn arm(&mut self, at: Instant, timer: T) -> TimerKey {
        self.armed += 1;
        let key = TimerKey {
            at,
            sequence: self.armed,
        };
        self.queue.insert(key, timer);
        key
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.queue.remove(&key);
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|(key, _)| key.at)
    }

    /// Takes the next timer that is due at `now`, and when it was due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, T)> {
        let first = self.queue.first_entry()?;
        let at = first.key().at;
        (at <= now).then(|| (at, first.remove()))
    }
}
