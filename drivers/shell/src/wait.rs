//! Owns the users' waits: who is to be woken, until when, and in which order those are served who wait for the same.
//!
//! Must not know what is waited for.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use klamm::Instant;
use klamm::collections::VecMap;

use crate::after::After;

/// Names one wait; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaitId(u64);

/// All waits of one client.
#[derive(Default)]
pub(crate) struct Waits {
    next: u64,
    waiting: VecMap<WaitId, Waiting>,
    deadlines: VecMap<(Instant, WaitId), ()>,
}

struct Waiting {
    deadline: Option<Instant>,
    waker: Option<Waker>,
}

impl Waits {
    /// A new wait, until the deadline if there is one.
    pub(crate) fn begin(&mut self, deadline: Option<Instant>) -> WaitId {
        let id = WaitId(self.next);
        self.next += 1;
        let waker = None;
        self.waiting.insert(id, Waiting { deadline, waker });
        if let Some(at) = deadline {
            self.deadlines.insert((at, id), ());
        }
        id
    }

    /// Who is to be woken.
    pub(crate) fn keep(&mut self, id: WaitId, cx: &Context<'_>, after: &mut After) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            after.replace(&mut waiting.waker, cx.waker());
        }
    }

    /// Wakes one.
    pub(crate) fn wake(&mut self, id: WaitId, after: &mut After) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            after.wake(waiting.waker.take());
        }
    }

    /// Wakes all.
    pub(crate) fn wake_all(&mut self, after: &mut After) {
        for waiting in self.waiting.values_mut() {
            after.wake(waiting.waker.take());
        }
    }

    /// The wait is over, or was given up.
    pub(crate) fn end(&mut self, id: WaitId, after: &mut After) {
        if let Some(waiting) = self.waiting.remove(&id) {
            after.forget(waiting.waker);
            if let Some(at) = waiting.deadline {
                self.deadlines.remove(&(at, id));
            }
        }
    }

    /// The first deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first_key().map(|(at, _)| *at)
    }

    /// Wakes those whose deadline has come; they see that themselves.
    pub(crate) fn expire(&mut self, now: Instant, after: &mut After) {
        while let Some((at, id)) = self.deadlines.first_key().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            self.wake(id, after);
        }
    }
}

/// Those who wait for the same thing, served in the order in which they came.
#[derive(Default)]
pub(crate) struct Line {
    queue: VecDeque<WaitId>,
    /// Whether the first may try.
    open: bool,
}

impl Line {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether this one may try now.
    pub(crate) fn may_try(&self, id: WaitId) -> bool {
        self.open && self.queue.front() == Some(&id)
    }

    /// Goes to the end of the line.
    pub(crate) fn join(&mut self, id: WaitId) {
        if self.queue.is_empty() {
            self.open = false;
        }
        self.queue.push_back(id);
    }

    /// The first tried in vain.
    pub(crate) fn close(&mut self) {
        self.open = false;
    }

    /// There may be something to be had: the first may try.
    pub(crate) fn open(&mut self, waits: &mut Waits, after: &mut After) {
        self.open = true;
        if let Some(first) = self.queue.front() {
            waits.wake(*first, after);
        }
    }

    /// Leaves the line, served or not; whoever is first then may try.
    pub(crate) fn leave(&mut self, id: WaitId, waits: &mut Waits, after: &mut After) {
        let was_first = self.queue.front() == Some(&id);
        self.queue.retain(|other| *other != id);
        if was_first && self.open {
            self.open(waits, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::Flag;

    struct Waiter {
        id: WaitId,
        flag: Arc<Flag>,
    }

    fn waiter(waits: &mut Waits, line: &mut Line, deadline: Option<u64>) -> Waiter {
        let id = waits.begin(deadline.map(Instant::from_nanos));
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        waits.keep(id, &Context::from_waker(&waker), &mut After::default());
        line.join(id);
        Waiter { id, flag }
    }

    #[test]
    fn a_line_is_served_in_order_one_at_a_time() {
        let (mut waits, mut line) = (Waits::default(), Line::default());
        let (mut after, mut woken) = (After::default(), Vec::new());
        let all: Vec<Waiter> = (0..3)
            .map(|_| waiter(&mut waits, &mut line, None))
            .collect();
        line.open(&mut waits, &mut after);
        for _ in 0..3 {
            after.finish();
            let now: Vec<usize> = (0..3).filter(|n| all[*n].flag.take()).collect();
            for n in &now {
                assert!(line.may_try(all[*n].id));
                line.leave(all[*n].id, &mut waits, &mut after);
            }
            woken.push(now);
        }
        assert_eq!(woken, [[0], [1], [2]]);
        assert!(line.is_empty());
    }

    #[test]
    fn one_who_was_woken_and_went_away_passes_the_turn_on() {
        let (mut waits, mut line) = (Waits::default(), Line::default());
        let mut after = After::default();
        let first = waiter(&mut waits, &mut line, None);
        let second = waiter(&mut waits, &mut line, None);
        line.open(&mut waits, &mut after);
        line.leave(first.id, &mut waits, &mut after);
        waits.end(first.id, &mut after);
        after.finish();
        assert!(second.flag.take() && line.may_try(second.id));
    }

    #[test]
    fn after_a_try_in_vain_nobody_tries_until_there_is_more() {
        let (mut waits, mut line) = (Waits::default(), Line::default());
        let mut after = After::default();
        let first = waiter(&mut waits, &mut line, None);
        let second = waiter(&mut waits, &mut line, None);
        line.open(&mut waits, &mut after);
        line.close();
        line.leave(first.id, &mut waits, &mut after);
        after.finish();
        assert!(!line.may_try(second.id) && !second.flag.take());
    }

    #[test]
    fn a_deadline_wakes_once_and_is_then_no_deadline_any_more() {
        let (mut waits, mut line) = (Waits::default(), Line::default());
        let mut after = After::default();
        let late = waiter(&mut waits, &mut line, Some(20));
        let soon = waiter(&mut waits, &mut line, Some(10));
        assert_eq!(waits.deadline(), Some(Instant::from_nanos(10)));
        waits.expire(Instant::from_nanos(10), &mut after);
        after.finish();
        assert!(soon.flag.take() && !late.flag.take());
        assert_eq!(waits.deadline(), Some(Instant::from_nanos(20)));
        waits.end(late.id, &mut after);
        assert_eq!(waits.deadline(), None);
    }
}
