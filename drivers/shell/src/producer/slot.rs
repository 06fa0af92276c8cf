//! Owns the meeting place of an outcome and the futures that wait for it: one slot for a range of tickets, shared by
//! all futures of records in that range.
//!
//! Must not know the engine's lock: a future that looks for its outcome takes the slot's own.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use klamm::Outcome;

use crate::after::After;

/// Tickets of one slot that futures of single records share: about a batch of small records.
const SHARED_TICKETS_MAX: u64 = 128;

/// Where outcomes of a range of tickets arrive.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Arrived>);

#[derive(Debug, Default)]
struct Arrived {
    outcomes: Vec<(Range<u64>, Outcome)>,
    waiting: Vec<Option<(Range<u64>, Waker)>>,
}

/// A future's place among those that wait at a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place(Option<usize>);

impl Slot {
    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An outcome arrived. Who waited for it is woken through `after`.
    fn put(&self, tickets: Range<u64>, outcome: Outcome, after: &mut After) {
        let mut arrived = self.arrived();
        arrived.outcomes.push((tickets.clone(), outcome));
        for place in &mut arrived.waiting {
            if let Some((wanted, _)) = place
                && overlap(wanted, &tickets).is_some()
            {
                after.wake(place.take().map(|(_, waker)| waker));
            }
        }
    }

    /// The outcome of one ticket.
    pub(crate) fn poll_one(
        &self,
        ticket: u64,
        place: &mut Place,
        cx: &Context<'_>,
    ) -> Poll<Outcome> {
        let mut arrived = self.arrived();
        for (tickets, outcome) in &arrived.outcomes {
            if tickets.contains(&ticket) {
                return Poll::Ready(later(outcome, ticket - tickets.start));
            }
        }
        arrived.wait(ticket..ticket + 1, place, cx);
        Poll::Pending
    }

    /// The outcomes of all tickets of the range, in the order of the tickets.
    pub(crate) fn poll_all(
        &self,
        wanted: &Range<u64>,
        place: &mut Place,
        cx: &Context<'_>,
    ) -> Poll<Vec<(Range<u64>, Outcome)>> {
        let mut arrived = self.arrived();
        let known: u64 = arrived
            .outcomes
            .iter()
            .filter_map(|(tickets, _)| overlap(tickets, wanted))
            .map(|tickets| tickets.end - tickets.start)
            .sum();
        if known < wanted.end - wanted.start {
            arrived.wait(wanted.clone(), place, cx);
            return Poll::Pending;
        }
        let mut all: Vec<_> = arrived
            .outcomes
            .iter()
            .filter_map(|(tickets, outcome)| {
                let part = overlap(tickets, wanted)?;
                let outcome = later(outcome, part.start - tickets.start);
                Some((part, outcome))
            })
            .collect();
        all.sort_by_key(|(tickets, _)| tickets.start);
        Poll::Ready(all)
    }

    /// The future is gone.
    pub(crate) fn leave(&self, place: Place) {
        let Some(index) = place.0 else { return };
        let waker = self.arrived().waiting.get_mut(index).and_then(Option::take);
        drop(waker);
    }
}

impl Arrived {
    fn wait(&mut self, wanted: Range<u64>, place: &mut Place, cx: &Context<'_>) {
        let known = place.0.and_then(|index| self.waiting.get_mut(index));
        match known {
            Some(Some((_, waker))) => waker.clone_from(cx.waker()),
            Some(empty @ None) => *empty = Some((wanted, cx.waker().clone())),
            None => {
                place.0 = Some(self.waiting.len());
                self.waiting.push(Some((wanted, cx.waker().clone())));
            }
        }
    }
}

/// The outcome of what begins `distance` tickets after the range that `outcome` is about.
fn later(outcome: &Outcome, distance: u64) -> Outcome {
    match outcome {
        Outcome::Delivered { offset, timestamp } => Outcome::Delivered {
            offset: offset.map(|offset| offset.saturating_add_unsigned(distance)),
            timestamp: *timestamp,
        },
        Outcome::Rejected(_) | Outcome::Unknown(_) | Outcome::Sent => outcome.clone(),
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> Option<Range<u64>> {
    let both = a.start.max(b.start)..a.end.min(b.end);
    (!both.is_empty()).then_some(both)
}

/// The slots of one partition's tickets that are not all resolved, in the order of the tickets.
///
/// Tickets for which nobody wanted a future have none.
#[derive(Default)]
pub(crate) struct Slots {
    entries: VecDeque<Entry>,
}

struct Entry {
    tickets: Range<u64>,
    unresolved: u64,
    /// Whether tickets that follow may still be added.
    shared: bool,
    slot: Arc<Slot>,
}

impl Slots {
    /// A slot for one record, which it shares with its neighbours.
    pub(crate) fn one(&mut self, ticket: u64) -> Arc<Slot> {
        if let Some(last) = self.entries.back_mut()
            && last.shared
            && last.tickets.end == ticket
            && last.tickets.end - last.tickets.start < SHARED_TICKETS_MAX
        {
            last.tickets.end += 1;
            last.unresolved += 1;
            return Arc::clone(&last.slot);
        }
        self.add(ticket..ticket + 1, true)
    }

    /// A slot for a range of records of its own.
    pub(crate) fn range(&mut self, tickets: Range<u64>) -> Arc<Slot> {
        self.add(tickets, false)
    }

    fn add(&mut self, tickets: Range<u64>, shared: bool) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        self.entries.push_back(Entry {
            unresolved: tickets.end - tickets.start,
            tickets,
            shared,
            slot: Arc::clone(&slot),
        });
        slot
    }

    /// An outcome of the engine.
    pub(crate) fn resolve(&mut self, tickets: &Range<u64>, outcome: &Outcome, after: &mut After) {
        let first = self
            .entries
            .partition_point(|entry| entry.tickets.end <= tickets.start);
        for entry in self.entries.range_mut(first..) {
            let Some(part) = overlap(&entry.tickets, tickets) else {
                break;
            };
            entry.unresolved -= part.end - part.start;
            let outcome = later(outcome, part.start - tickets.start);
            entry.slot.put(part, outcome, after);
        }
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.unresolved == 0)
        {
            self.entries.pop_front();
        }
    }

    /// There will be no more outcomes. Whatever is left gets this one.
    pub(crate) fn resolve_rest(&mut self, outcome: &Outcome, after: &mut After) {
        for entry in self.entries.drain(..) {
            // What has an outcome keeps it: the first one that arrived is found first.
            entry.slot.put(entry.tickets, outcome.clone(), after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flag;

    fn delivered(offset: i64) -> Outcome {
        Outcome::Delivered {
            offset: Some(offset),
            timestamp: None,
        }
    }

    fn one(slot: &Slot, ticket: u64, place: &mut Place, flag: &Arc<Flag>) -> Poll<Outcome> {
        let waker = Waker::from(Arc::clone(flag));
        slot.poll_one(ticket, place, &Context::from_waker(&waker))
    }

    #[test]
    fn neighbours_share_a_slot_and_only_those_concerned_are_woken() {
        let mut slots = Slots::default();
        let (a, b) = (slots.one(0), slots.one(1));
        assert!(Arc::ptr_eq(&a, &b));
        let (flag_a, flag_b) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
        let (mut place_a, mut place_b) = (Place::default(), Place::default());
        assert!(one(&a, 0, &mut place_a, &flag_a).is_pending());
        assert!(one(&b, 1, &mut place_b, &flag_b).is_pending());
        let mut after = After::default();
        slots.resolve(&(1..2), &delivered(11), &mut after);
        after.finish();
        assert!(flag_b.take() && !flag_a.take());
        assert_eq!(
            one(&b, 1, &mut place_b, &flag_b),
            Poll::Ready(delivered(11))
        );
        slots.resolve(&(0..1), &delivered(10), &mut after);
        after.finish();
        assert!(flag_a.take());
        assert_eq!(
            one(&a, 0, &mut place_a, &flag_a),
            Poll::Ready(delivered(10))
        );
        assert!(slots.entries.is_empty());
    }

    #[test]
    fn an_outcome_over_several_slots_gives_each_ticket_its_own_offset() {
        let mut slots = Slots::default();
        let flag = Arc::new(Flag::default());
        let first = slots.range(0..3);
        // Tickets 3 and 4 were appended by somebody who wants no future.
        let later = slots.one(5);
        slots.resolve(&(0..6), &delivered(100), &mut After::default());
        let waker = Waker::from(Arc::clone(&flag));
        let cx = Context::from_waker(&waker);
        assert_eq!(
            first.poll_all(&(0..3), &mut Place::default(), &cx),
            Poll::Ready(vec![(0..3, delivered(100))])
        );
        assert_eq!(
            one(&later, 5, &mut Place::default(), &flag),
            Poll::Ready(delivered(105))
        );
    }

    #[test]
    fn a_range_waits_for_all_of_its_tickets() {
        let mut slots = Slots::default();
        let slot = slots.range(10..14);
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let cx = Context::from_waker(&waker);
        let mut place = Place::default();
        let mut after = After::default();
        assert!(slot.poll_all(&(10..14), &mut place, &cx).is_pending());
        slots.resolve(&(12..14), &Outcome::Sent, &mut after);
        after.finish();
        assert!(flag.take());
        assert!(slot.poll_all(&(10..14), &mut place, &cx).is_pending());
        slots.resolve(&(8..12), &delivered(50), &mut after);
        after.finish();
        assert!(flag.take());
        assert_eq!(
            slot.poll_all(&(10..14), &mut place, &cx),
            Poll::Ready(vec![(10..12, delivered(52)), (12..14, Outcome::Sent)])
        );
    }

    #[test]
    fn a_future_that_left_is_not_woken_and_holds_nothing() {
        let mut slots = Slots::default();
        let slot = slots.one(0);
        let flag = Arc::new(Flag::default());
        let mut place = Place::default();
        assert!(one(&slot, 0, &mut place, &flag).is_pending());
        slot.leave(place);
        assert_eq!(Arc::strong_count(&flag), 1);
        let mut after = After::default();
        slots.resolve(&(0..1), &Outcome::Sent, &mut after);
        after.finish();
        assert!(!flag.take());
    }

    #[test]
    fn at_the_end_whatever_is_left_is_resolved_and_nothing_twice() {
        let mut slots = Slots::default();
        let (flag, mut after) = (Arc::new(Flag::default()), After::default());
        let slot = slots.one(0);
        assert!(Arc::ptr_eq(&slot, &slots.one(1)));
        slots.resolve(&(0..1), &delivered(7), &mut after);
        slots.resolve_rest(&Outcome::Sent, &mut after);
        let found = |ticket| one(&slot, ticket, &mut Place::default(), &flag);
        assert_eq!(found(0), Poll::Ready(delivered(7)));
        assert_eq!(found(1), Poll::Ready(Outcome::Sent));
    }

    #[test]
    fn a_slot_takes_no_more_than_a_batch_of_neighbours() {
        let mut slots = Slots::default();
        let first = slots.one(0);
        for ticket in 1..SHARED_TICKETS_MAX {
            assert!(Arc::ptr_eq(&first, &slots.one(ticket)));
        }
        assert!(!Arc::ptr_eq(&first, &slots.one(SHARED_TICKETS_MAX)));
    }
}
