//! Owns the judgement: each oracle is one statement about a history, and says which record broke it.
//!
//! Knows only histories, so that each oracle can be shown a bad one made by hand. The ids are those under which
//! the project speaks of them (P: producing, C: consuming).

use std::collections::BTreeMap;
use std::fmt;

use crate::group_oracles;
use crate::history::{Entry, History, Place, RecordId, Told};

/// A statement that a history broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle, `P1` for example.
    pub oracle: &'static str,
    /// What it saw.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

/// What an oracle says of a history.
pub type Judgement = Result<(), Violation>;

/// One statement about histories.
pub type Oracle = fn(&History) -> Judgement;

/// Every oracle, by name.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("N1", nobody_is_accused_who_speaks_kafka),
    ("P1", acknowledged_records_are_in_the_log),
    ("P2", offsets_increase),
    ("P3", nothing_is_written_more_often_than_it_was_sent),
    ("P4", the_log_keeps_the_order_of_sending),
    ("P5", rejected_records_are_in_no_log),
    ("P6", every_record_has_one_outcome_in_time),
    ("P7", nothing_is_invented_or_altered),
    ("C1", consumed_records_are_the_logs),
    ("C2", offsets_go_on_without_gaps_or_repeats),
    ("C4", everything_in_the_log_is_consumed),
    ("C7", group_oracles::only_owners_hand_out),
    ("C2g", group_oracles::a_share_begins_where_the_group_stands),
    ("C4g", group_oracles::the_group_consumes_everything),
    ("G1", group_oracles::no_partition_has_two_owners),
    ("G3", group_oracles::what_is_committed_was_handed_out),
    ("G4", group_oracles::commits_do_not_go_back),
    ("G6", group_oracles::nobody_is_lost_where_nothing_is_wrong),
    ("G7", group_oracles::who_left_is_gone),
];

/// All oracles' judgement: the first that is broken.
///
/// # Errors
/// The violation.
pub fn judge(history: &History) -> Judgement {
    ORACLES.iter().try_for_each(|(_, oracle)| oracle(history))
}

/// The judgement of a run that was cut short: what it left open proves nothing.
///
/// # Errors
/// The violation.
pub fn judge_unfinished(history: &History) -> Judgement {
    ORACLES
        .iter()
        .filter(|(name, _)| !["P6", "C4", "C4g"].contains(name))
        .try_for_each(|(_, oracle)| oracle(history))
}

pub(crate) fn violation(oracle: &'static str, what: impl fmt::Display) -> Judgement {
    Err(Violation {
        oracle,
        what: what.to_string(),
    })
}

/// N1: no frame is misread: a client never accuses a broker that speaks Kafka of not doing so.
fn nobody_is_accused_who_speaks_kafka(history: &History) -> Judgement {
    for (at, entry) in &history.entries {
        if let Entry::Accused { client, what } = entry {
            return violation("N1", format_args!("at {at}, client {client}: {what}"));
        }
    }
    Ok(())
}

/// What is known of each accepted record.
struct Sends<'a> {
    places: BTreeMap<RecordId, &'a Place>,
    told: BTreeMap<RecordId, Told>,
}

fn sends(history: &History) -> Sends<'_> {
    let mut sends = Sends {
        places: BTreeMap::new(),
        told: BTreeMap::new(),
    };
    for (_, entry) in &history.entries {
        match entry {
            Entry::Accepted { id, place } => {
                sends.places.insert(*id, place);
            }
            Entry::Outcome { id, told } => {
                sends.told.entry(*id).or_insert(*told);
            }
            Entry::ProducerClosed { .. }
            | Entry::Consumed { .. }
            | Entry::Positioned { .. }
            | Entry::Owned { .. }
            | Entry::GaveUp { .. }
            | Entry::Gone { .. }
            | Entry::Committed { .. }
            | Entry::Accused { .. } => {}
        }
    }
    sends
}

/// P1: a record delivered with an offset is in the log, there.
fn acknowledged_records_are_in_the_log(history: &History) -> Judgement {
    let sends = sends(history);
    for (id, told) in &sends.told {
        let Told::Delivered(offset) = told else {
            continue;
        };
        let Some(place) = sends.places.get(id) else {
            return violation(
                "P1",
                format_args!("{id} has an outcome but was never accepted"),
            );
        };
        let log = history.logs.get(*place).map_or(&[][..], Vec::as_slice);
        let found = match offset {
            Some(offset) => log.iter().any(|r| r.offset == *offset && r.id == Some(*id)),
            None => log.iter().any(|r| r.id == Some(*id)),
        };
        if !found {
            return violation(
                "P1",
                format_args!(
                    "{id} was delivered to {place} at {offset:?}, but the log does not have it there"
                ),
            );
        }
    }
    Ok(())
}

/// P2: the offsets that a producer is told increase, for each partition, in the order of its sends (idempotent, or
/// one in flight: without, a batch that was in flight beside a failed one is written before that one's retry). That they are
/// the log's own, P1 tells.
fn offsets_increase(history: &History) -> Judgement {
    let sends = sends(history);
    let mut last: BTreeMap<(u32, &Place), (RecordId, i64)> = BTreeMap::new();
    // A map of ids is in the order of sending.
    for (id, told) in &sends.told {
        let (Told::Delivered(Some(offset)), Some(place)) = (told, sends.places.get(id)) else {
            continue;
        };
        if !is_ordered(history, id.producer) {
            continue;
        }
        if let Some((before, earlier)) = last.insert((id.producer, place), (*id, *offset))
            && earlier >= *offset
        {
            return violation(
                "P2",
                format_args!("{before} is at {earlier} of {place}, the later {id} at {offset}"),
            );
        }
    }
    Ok(())
}

fn is_ordered(history: &History, producer: u32) -> bool {
    history
        .producers
        .get(&producer)
        .is_some_and(|p| p.idempotent || p.max_in_flight == 1)
}

/// P3: what an idempotent producer sends is in the log at most once; what another sends, at most once for each request that
/// a broker read with it.
fn nothing_is_written_more_often_than_it_was_sent(history: &History) -> Judgement {
    for (place, log) in &history.logs {
        let mut copies: BTreeMap<RecordId, u64> = BTreeMap::new();
        for record in log {
            let Some(id) = record.id else { continue };
            let idempotent = history
                .producers
                .get(&id.producer)
                .is_some_and(|p| p.idempotent);
            let most = match idempotent {
                true => 1,
                false => history.attempts.get(&id).copied().unwrap_or_default(),
            };
            let copies = copies.entry(id).or_default();
            *copies += 1;
            if *copies > most {
                return violation(
                    "P3",
                    format_args!(
                        "{id} is in {place} at {} for the {copies}. time, but may be there {most} times",
                        record.offset
                    ),
                );
            }
        }
    }
    Ok(())
}

/// P4: for each producer and partition the log is in the order of sending (idempotent, or one in flight). What may be
/// missing from it, P1 tells.
fn the_log_keeps_the_order_of_sending(history: &History) -> Judgement {
    let sends = sends(history);
    for (place, log) in &history.logs {
        let mut last: BTreeMap<u32, RecordId> = BTreeMap::new();
        let mut seen: std::collections::BTreeSet<RecordId> = std::collections::BTreeSet::new();
        for id in log.iter().filter_map(|record| record.id) {
            let ordered = is_ordered(history, id.producer);
            // A second copy is P3's business; an unknown one may have been written late, over a dead connection.
            let settled = matches!(sends.told.get(&id), Some(Told::Delivered(_)));
            if !ordered || !settled || !seen.insert(id) {
                continue;
            }
            if let Some(before) = last.insert(id.producer, id)
                && before > id
            {
                return violation("P4", format_args!("{place} has {before} before {id}"));
            }
        }
    }
    Ok(())
}

/// P5: a rejected record is in no log.
fn rejected_records_are_in_no_log(history: &History) -> Judgement {
    let sends = sends(history);
    for (place, log) in &history.logs {
        for record in log {
            let Some(id) = record.id else { continue };
            if sends.told.get(&id) == Some(&Told::Rejected) {
                return violation(
                    "P5",
                    format_args!("{id} was rejected, yet {place} has it at {}", record.offset),
                );
            }
        }
    }
    Ok(())
}

/// A timer may fire one tick late: the driver's clock is no finer than that.
const TICK: u64 = 1_000_000;

/// P6: exactly one outcome for each accepted record, within the delivery timeout; none is left at close.
fn every_record_has_one_outcome_in_time(history: &History) -> Judgement {
    let mut open: BTreeMap<RecordId, u64> = BTreeMap::new();
    for (at, entry) in &history.entries {
        match entry {
            Entry::Accepted { id, .. } => {
                open.insert(*id, at.as_nanos());
            }
            Entry::Outcome { id, .. } => {
                let Some(accepted) = open.remove(id) else {
                    return violation("P6", format_args!("{id} has an outcome too many"));
                };
                let timeout = history
                    .producers
                    .get(&id.producer)
                    .map_or(0, |p| p.delivery_timeout);
                let late = (at.as_nanos() - accepted).saturating_sub(timeout + TICK);
                if late > 0 {
                    return violation("P6", format_args!("{id} got its outcome {late} ns late"));
                }
            }
            Entry::ProducerClosed { producer } => {
                if let Some(id) = open.keys().find(|id| id.producer == *producer) {
                    return violation(
                        "P6",
                        format_args!("{id} has no outcome, and its producer is closed"),
                    );
                }
            }
            Entry::Consumed { .. }
            | Entry::Positioned { .. }
            | Entry::Owned { .. }
            | Entry::GaveUp { .. }
            | Entry::Gone { .. }
            | Entry::Committed { .. }
            | Entry::Accused { .. } => {}
        }
    }
    match open.keys().next() {
        Some(id) => violation("P6", format_args!("{id} never got an outcome")),
        None => Ok(()),
    }
}

/// P7: the logs hold nothing that nobody sent there.
fn nothing_is_invented_or_altered(history: &History) -> Judgement {
    let sends = sends(history);
    for (place, log) in &history.logs {
        for record in log {
            let known = record.id.and_then(|id| sends.places.get(&id));
            if known != Some(&place) {
                return violation(
                    "P7",
                    format_args!("{place} has at {} what nobody sent there", record.offset),
                );
            }
        }
    }
    Ok(())
}

/// C1: a consumed record is the log's at that offset.
fn consumed_records_are_the_logs(history: &History) -> Judgement {
    for (_, entry) in &history.entries {
        let Entry::Consumed {
            place, offset, id, ..
        } = entry
        else {
            continue;
        };
        let log = history.logs.get(place).map_or(&[][..], Vec::as_slice);
        let at = log.binary_search_by_key(offset, |record| record.offset);
        let truth = at
            .ok()
            .and_then(|index| log.get(index))
            .and_then(|record| record.id);
        if id.is_none() || truth != *id {
            return violation(
                "C1",
                format_args!(
                    "{place} was consumed at {offset} as {id:?}, but the log has {truth:?}"
                ),
            );
        }
    }
    Ok(())
}

/// C2: without a seek, offsets go on, and skip only what is not in the log.
fn offsets_go_on_without_gaps_or_repeats(history: &History) -> Judgement {
    let mut next: BTreeMap<(u32, &Place), i64> = BTreeMap::new();
    for (_, entry) in &history.entries {
        match entry {
            Entry::Positioned {
                consumer,
                place,
                offset,
            } => {
                next.insert((*consumer, place), *offset);
            }
            Entry::Consumed {
                consumer,
                place,
                offset,
                ..
            } if !history.members.contains(consumer) => {
                let expected = next.get(&(*consumer, place)).copied().unwrap_or(0);
                let log = history.logs.get(place).map_or(&[][..], Vec::as_slice);
                let skipped = log
                    .iter()
                    .any(|record| (expected..*offset).contains(&record.offset));
                if *offset < expected || skipped {
                    return violation(
                        "C2",
                        format_args!(
                            "consumer {consumer} got {offset} of {place}, {expected} was next"
                        ),
                    );
                }
                next.insert((*consumer, place), offset + 1);
            }
            Entry::Consumed { .. }
            | Entry::Accepted { .. }
            | Entry::Outcome { .. }
            | Entry::ProducerClosed { .. }
            | Entry::Owned { .. }
            | Entry::GaveUp { .. }
            | Entry::Gone { .. }
            | Entry::Committed { .. }
            | Entry::Accused { .. } => {}
        }
    }
    Ok(())
}

/// C4: after the final drain, everything from a consumer's position on was consumed.
fn everything_in_the_log_is_consumed(history: &History) -> Judgement {
    if !history.drained {
        return Ok(());
    }
    let mut next: BTreeMap<(u32, &Place), i64> = BTreeMap::new();
    for (_, entry) in &history.entries {
        match entry {
            Entry::Positioned {
                consumer,
                place,
                offset,
            } => {
                next.insert((*consumer, place), *offset);
            }
            Entry::Consumed {
                consumer,
                place,
                offset,
                ..
            } if !history.members.contains(consumer) => {
                next.insert((*consumer, place), offset + 1);
            }
            Entry::Consumed { .. }
            | Entry::Accepted { .. }
            | Entry::Outcome { .. }
            | Entry::ProducerClosed { .. }
            | Entry::Owned { .. }
            | Entry::GaveUp { .. }
            | Entry::Gone { .. }
            | Entry::Committed { .. }
            | Entry::Accused { .. } => {}
        }
    }
    for ((consumer, place), next) in next {
        let log = history.logs.get(place).map_or(&[][..], Vec::as_slice);
        if let Some(unseen) = log.iter().find(|record| record.offset >= next) {
            return violation(
                "C4",
                format_args!("consumer {consumer} never got {} of {place}", unseen.offset),
            );
        }
    }
    Ok(())
}
