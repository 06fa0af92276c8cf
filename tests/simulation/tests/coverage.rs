//! What scenarios are there for happens in some of them: an oracle over what never comes up proves nothing.

use std::collections::BTreeMap;

use klamm_simulation::history::{Entry, History, Told};
use klamm_simulation::hunt;

/// What an entry shows, by name.
fn shown(history: &History, entry: &Entry) -> &'static str {
    match entry {
        Entry::Accepted { .. } => "a record accepted",
        Entry::Outcome { told, .. } => match told {
            Told::Delivered(Some(_)) => "a record delivered",
            Told::Delivered(None) => "a duplicate confirmed",
            Told::Rejected => "a record rejected",
            Told::Unknown => "a record of which nobody knows",
            Told::Sent => "a record without acknowledgement",
        },
        Entry::ProducerClosed { .. } => "a producer closed",
        Entry::Consumed { consumer, .. } => match history.members.contains(consumer) {
            true => "a record handed out by a member",
            false => "a record handed out",
        },
        Entry::Positioned { .. } => "a position",
        Entry::Accused { .. } => "a broker accused",
        Entry::Owned { places, .. } => match places.is_empty() {
            true => "an empty share",
            false => "a share",
        },
        Entry::GaveUp { lost: true, .. } => "partitions lost",
        Entry::GaveUp { lost: false, .. } => "partitions revoked",
        Entry::Gone { left: true, .. } => "a member that left",
        Entry::Gone { left: false, .. } => "a member that crashed or could not leave",
        Entry::Committed { .. } => "a commit",
    }
}

#[test]
fn what_scenarios_are_for_comes_up() {
    let mut counts = BTreeMap::<&str, usize>::new();
    for seed in 0..800 {
        let run = hunt::try_seed(seed).expect("nothing is broken");
        for (_, entry) in &run.history.entries {
            *counts.entry(shown(&run.history, entry)).or_default() += 1;
        }
    }
    let never = |what: &&&str| !counts.contains_key(**what);
    let missing: Vec<_> = [
        "a record delivered",
        "a record rejected",
        "a record of which nobody knows",
        "a record handed out",
        "a record handed out by a member",
        "a share",
        "partitions lost",
        "partitions revoked",
        "a member that left",
        "a member that crashed or could not leave",
        "a commit",
    ]
    .iter()
    .filter(never)
    .collect();
    assert!(missing.is_empty(), "never: {missing:?}; {counts:#?}");
}
