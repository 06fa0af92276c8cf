//! Owns the naive model of the queue of deadlines: a list that is searched.
//!
//! Must not know how the queue keeps them.

use alloc::vec::Vec;

use crate::choices::Choices;
use crate::time::Instant;
use crate::timer::{TimerId, TimerQueue};

/// Deadlines in the order in which they were armed.
#[derive(Default)]
struct Model {
    armed: Vec<(Instant, u32)>,
}

impl Model {
    fn next(&self) -> Option<(Instant, u32)> {
        let due = self.armed.iter().copied();
        due.filter(|(at, _)| *at != Instant::FAR_FUTURE).min()
    }

    fn take(&mut self, key: u32) -> Option<u32> {
        let at = self.armed.iter().position(|(_, armed)| *armed == key)?;
        Some(self.armed.remove(at).1)
    }
}

pub(crate) fn hold(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut timers = TimerQueue::new();
    let mut model = Model::default();
    let mut given: Vec<TimerId> = Vec::new();
    while !choices.is_empty() {
        match choices.below(8) {
            0..=2 => {
                let at = match choices.byte() {
                    255 => Instant::FAR_FUTURE,
                    byte => Instant::from_millis(u64::from(byte % 32)),
                };
                // Keys count up, so that of equal deadlines the first armed has the least.
                let key = u32::try_from(given.len()).unwrap_or(u32::MAX);
                given.push(timers.arm(at, key));
                model.armed.push((at, key));
            }
            3 if !given.is_empty() => {
                let which = choices.below(given.len());
                let key = u32::try_from(which).unwrap_or(u32::MAX);
                assert_eq!(timers.disarm(given[which]), model.take(key));
            }
            4 if choices.byte() == 0 => {
                timers.clear();
                model.armed.clear();
            }
            _ => {
                let now = Instant::from_millis(u64::from(choices.byte() % 40));
                let due = model.next().filter(|(at, _)| *at <= now);
                let due = due.and_then(|(_, key)| model.take(key));
                assert_eq!(timers.pop_due(now), due);
            }
        }
        assert_eq!(timers.next().map(|(at, key)| (at, *key)), model.next());
    }
    // All that are left, in their order.
    while let Some((at, key)) = model.next() {
        model.take(key);
        assert_eq!(timers.pop_due(at), Some(key));
    }
    assert!(timers.next().is_none());
}
