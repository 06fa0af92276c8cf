//! Owns what must hold of a group: who may hand out what, where a share begins, and what a commit may cover.
//!
//! Knows only histories, as the other oracles do.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Entry, History, Place};
use crate::oracles::{Judgement, violation};

/// What the members have at one moment of a history.
#[derive(Default)]
struct Shares<'a>(BTreeMap<u32, BTreeSet<&'a Place>>);

impl<'a> Shares<'a> {
    fn follow(&mut self, entry: &'a Entry) {
        match entry {
            Entry::Owned {
                consumer, places, ..
            } => self.0.entry(*consumer).or_default().extend(places),
            Entry::GaveUp {
                consumer, places, ..
            } => {
                let share = self.0.entry(*consumer).or_default();
                share.retain(|place| !places.contains(place));
            }
            Entry::Gone { consumer, .. } => {
                self.0.remove(consumer);
            }
            Entry::Accepted { .. }
            | Entry::Outcome { .. }
            | Entry::ProducerClosed { .. }
            | Entry::Consumed { .. }
            | Entry::Positioned { .. }
            | Entry::Committed { .. }
            | Entry::Accused { .. } => {}
        }
    }

    fn has(&self, consumer: u32, place: &Place) -> bool {
        let share = self.0.get(&consumer);
        share.is_some_and(|share| share.contains(place))
    }
}

/// The offsets of each partition that some member handed out, up to one moment of a history.
#[derive(Default)]
struct Seen<'a>(BTreeMap<&'a Place, BTreeSet<i64>>);

impl<'a> Seen<'a> {
    fn follow(&mut self, history: &History, entry: &'a Entry) {
        if let Entry::Consumed {
            consumer,
            place,
            offset,
            ..
        } = entry
            && history.members.contains(consumer)
        {
            self.0.entry(place).or_default().insert(*offset);
        }
    }

    /// The first record of the log below `end` that nobody has handed out.
    fn first_unseen(&self, history: &History, place: &Place, end: i64) -> Option<i64> {
        let log = history.logs.get(place).map_or(&[][..], Vec::as_slice);
        let seen = self.0.get(place);
        log.iter()
            .map(|record| record.offset)
            .take_while(|offset| *offset < end)
            .find(|offset| seen.is_none_or(|seen| !seen.contains(offset)))
    }
}

/// C7: a member hands out nothing of a partition that is not its own.
pub(crate) fn only_owners_hand_out(history: &History) -> Judgement {
    let mut shares = Shares::default();
    for (at, entry) in &history.entries {
        shares.follow(entry);
        if let Entry::Consumed {
            consumer,
            place,
            offset,
            ..
        } = entry
            && history.members.contains(consumer)
            && !shares.has(*consumer, place)
        {
            return violation(
                "C7",
                format_args!(
                    "at {at}, member {consumer} handed out {offset} of {place}, which it does not own"
                ),
            );
        }
    }
    Ok(())
}

/// C2 for a group: a share begins at a record before which the group has seen everything, and goes on without a gap or a repeat.
pub(crate) fn a_share_begins_where_the_group_stands(history: &History) -> Judgement {
    let mut seen = Seen::default();
    let mut next: BTreeMap<(u32, &Place), i64> = BTreeMap::new();
    for (at, entry) in &history.entries {
        match entry {
            Entry::Owned {
                consumer, places, ..
            }
            | Entry::GaveUp {
                consumer, places, ..
            } => {
                for place in places {
                    next.remove(&(*consumer, place));
                }
            }
            Entry::Consumed {
                consumer,
                place,
                offset,
                ..
            } if history.members.contains(consumer) => {
                if let Some(missing) = seen.first_unseen(history, place, *offset) {
                    return violation(
                        "C2g",
                        format_args!(
                            "at {at}, member {consumer} got {offset} of {place}, but nobody has had {missing}"
                        ),
                    );
                }
                if let Some(before) = next.insert((*consumer, place), offset + 1)
                    && *offset < before
                {
                    return violation(
                        "C2g",
                        format_args!(
                            "at {at}, member {consumer} got {offset} of {place}, {before} was next"
                        ),
                    );
                }
            }
            Entry::Consumed { .. }
            | Entry::Accepted { .. }
            | Entry::Outcome { .. }
            | Entry::ProducerClosed { .. }
            | Entry::Positioned { .. }
            | Entry::Gone { .. }
            | Entry::Committed { .. }
            | Entry::Accused { .. } => {}
        }
        seen.follow(history, entry);
    }
    Ok(())
}

/// C4 for a group: after the final drain it has seen everything, if a member is there.
pub(crate) fn the_group_consumes_everything(history: &History) -> Judgement {
    if !history.drained || !history.group_lives {
        return Ok(());
    }
    let mut seen = Seen::default();
    for (_, entry) in &history.entries {
        seen.follow(history, entry);
    }
    for place in history.logs.keys() {
        if let Some(missing) = seen.first_unseen(history, place, i64::MAX) {
            return violation(
                "C4g",
                format_args!("no member ever got {missing} of {place}"),
            );
        }
    }
    Ok(())
}

/// G1: of the members that the coordinator counts, no two own a partition at once.
pub(crate) fn no_partition_has_two_owners(history: &History) -> Judgement {
    let mut shares = Shares::default();
    for (at, entry) in &history.entries {
        if let Entry::Owned {
            consumer,
            places,
            current,
        } = entry
            && current.contains(consumer)
        {
            for (other, place) in current
                .iter()
                .flat_map(|m| places.iter().map(move |p| (m, p)))
            {
                if other != consumer && shares.has(*other, place) {
                    return violation(
                        "G1",
                        format_args!(
                            "at {at}, {place} came to member {consumer} while member {other} still had it"
                        ),
                    );
                }
            }
        }
        shares.follow(entry);
    }
    Ok(())
}

/// G3: a commit covers only what was handed out before.
pub(crate) fn what_is_committed_was_handed_out(history: &History) -> Judgement {
    let mut seen = Seen::default();
    for (at, entry) in &history.entries {
        seen.follow(history, entry);
        if let Entry::Committed { by, place, offset } = entry
            && let Some(missing) = seen.first_unseen(history, place, *offset)
        {
            return violation(
                "G3",
                format_args!(
                    "at {at}, member {} had committed {offset} of {place}, but nobody has had {missing}",
                    by.0
                ),
            );
        }
    }
    Ok(())
}

/// G4: over one connection, commits come in order.
pub(crate) fn commits_do_not_go_back(history: &History) -> Judgement {
    let mut last: BTreeMap<((u32, u64), &Place), i64> = BTreeMap::new();
    for (at, entry) in &history.entries {
        match entry {
            // What comes to a member begins where the group stands, which may be before what it had itself.
            Entry::Owned {
                consumer, places, ..
            } => {
                last.retain(|((member, _), place), _| member != consumer || !places.contains(place))
            }
            Entry::Committed { by, place, offset } => {
                if let Some(before) = last.insert((*by, place), *offset)
                    && before > *offset
                {
                    return violation(
                        "G4",
                        format_args!(
                            "at {at}, member {} committed {offset} of {place} after {before}",
                            by.0
                        ),
                    );
                }
            }
            Entry::Accepted { .. }
            | Entry::Outcome { .. }
            | Entry::ProducerClosed { .. }
            | Entry::Consumed { .. }
            | Entry::Positioned { .. }
            | Entry::GaveUp { .. }
            | Entry::Gone { .. }
            | Entry::Accused { .. } => {}
        }
    }
    Ok(())
}

/// G6: where nothing goes wrong, no member is lost to its group.
pub(crate) fn nobody_is_lost_where_nothing_is_wrong(history: &History) -> Judgement {
    if !history.faultless {
        return Ok(());
    }
    for (at, entry) in &history.entries {
        if let Entry::GaveUp {
            consumer,
            lost: true,
            ..
        } = entry
        {
            return violation("G6", format_args!("at {at}, member {consumer} was lost"));
        }
    }
    Ok(())
}

/// G7: who is told that it has left is no member any more.
pub(crate) fn who_left_is_gone(history: &History) -> Judgement {
    for (at, entry) in &history.entries {
        if let Entry::Gone {
            consumer,
            left: true,
            counted: true,
        } = entry
        {
            return violation(
                "G7",
                format_args!("at {at}, member {consumer} had left, but its group still counts it"),
            );
        }
    }
    Ok(())
}
