//! Each oracle is shown a good history, which it must accept, and bad ones made by hand, which it must reject:
//! a check that cannot fail proves nothing.

use klamm::Instant;
use klamm_simulation::history::{Entry, History, LogRecord, Place, ProducerFacts, RecordId, Told};
use klamm_simulation::oracles::{ORACLES, judge};

fn place() -> Place {
    Place {
        topic: "t".into(),
        partition: 0,
    }
}

const fn id(number: u64) -> RecordId {
    RecordId {
        producer: 1,
        number,
    }
}

/// Three records accepted, delivered, in the log and consumed.
fn good() -> History {
    let mut history = History {
        drained: true,
        ..History::default()
    };
    history.producers.insert(
        1,
        ProducerFacts {
            idempotent: true,
            max_in_flight: 5,
            delivery_timeout: 1_000_000_000,
        },
    );
    history.push(
        Instant::START,
        Entry::Positioned {
            consumer: 9,
            place: place(),
            offset: 0,
        },
    );
    for number in 0..3 {
        history.push(
            Instant::from_millis(number),
            Entry::Accepted {
                id: id(number),
                place: place(),
            },
        );
    }
    for number in 0..3 {
        let offset = i64::try_from(number).expect("small");
        history.push(
            Instant::from_millis(10),
            Entry::Outcome {
                id: id(number),
                told: Told::Delivered(Some(offset)),
            },
        );
        history.logs.entry(place()).or_default().push(LogRecord {
            offset,
            id: Some(id(number)),
        });
        history.push(
            Instant::from_millis(20),
            Entry::Consumed {
                consumer: 9,
                place: place(),
                offset,
                id: Some(id(number)),
            },
        );
    }
    history.push(
        Instant::from_millis(30),
        Entry::ProducerClosed { producer: 1 },
    );
    history
}

fn log(history: &mut History) -> &mut Vec<LogRecord> {
    history.logs.get_mut(&place()).expect("the log")
}

fn told(history: &mut History, number: u64, told_instead: Told) {
    for (_, entry) in &mut history.entries {
        if let Entry::Outcome { id: of, told } = entry
            && *of == id(number)
        {
            *told = told_instead;
        }
    }
}

fn remove(history: &mut History, unwanted: impl Fn(&Entry) -> bool) {
    history.entries.retain(|(_, entry)| !unwanted(entry));
}

/// The named oracle itself rejects the history.
fn rejects(name: &str, history: &History) {
    let (_, oracle) = ORACLES.iter().find(|(n, _)| *n == name).expect("an oracle");
    let violation = oracle(history).expect_err("the oracle must reject this history");
    assert_eq!(violation.oracle, name);
}

#[test]
fn a_good_history_is_accepted() {
    assert_eq!(judge(&good()), Ok(()));
}

#[test]
fn p1_rejects_a_delivered_record_that_the_log_lacks() {
    let mut history = good();
    log(&mut history).pop();
    rejects("P1", &history);
    let mut history = good();
    log(&mut history).pop();
    told(&mut history, 2, Told::Delivered(None));
    rejects("P1", &history);
}

#[test]
fn p2_rejects_offsets_that_go_back() {
    let mut history = good();
    told(&mut history, 0, Told::Delivered(Some(1)));
    told(&mut history, 1, Told::Delivered(Some(0)));
    rejects("P2", &history);
}

#[test]
fn p3_rejects_a_second_copy_and_without_idempotence_one_that_no_request_brought() {
    let mut history = good();
    log(&mut history).push(LogRecord {
        offset: 3,
        id: Some(id(0)),
    });
    rejects("P3", &history);
    history.producers.get_mut(&1).expect("it").idempotent = false;
    history.attempts = (0..3).map(|number| (id(number), 1)).collect();
    rejects("P3", &history);
    history.attempts.insert(id(0), 2);
    let (_, p3) = ORACLES.iter().find(|(n, _)| *n == "P3").expect("it");
    assert_eq!(p3(&history), Ok(()));
}

#[test]
fn p4_rejects_a_log_in_another_order() {
    let mut history = good();
    let log = log(&mut history);
    let (first, second) = (log[0].id, log[1].id);
    log[0].id = second;
    log[1].id = first;
    rejects("P4", &history);
}

#[test]
fn p5_rejects_a_rejected_record_in_the_log() {
    let mut history = good();
    told(&mut history, 1, Told::Rejected);
    rejects("P5", &history);
}

#[test]
fn p6_rejects_no_outcome_two_outcomes_and_a_late_one() {
    let outcome_of_1 =
        |entry: &Entry| matches!(entry, Entry::Outcome { id: of, .. } if *of == id(1));
    let mut none = good();
    remove(&mut none, outcome_of_1);
    rejects("P6", &none);

    let mut two = good();
    let again = Entry::Outcome {
        id: id(1),
        told: Told::Unknown,
    };
    two.push(Instant::from_millis(40), again.clone());
    rejects("P6", &two);

    let mut late = good();
    remove(&mut late, |entry| {
        outcome_of_1(entry) || matches!(entry, Entry::ProducerClosed { .. })
    });
    late.push(Instant::from_millis(1_003), again);
    rejects("P6", &late);
}

#[test]
fn p7_rejects_what_nobody_sent() {
    let mut history = good();
    log(&mut history)[1].id = None;
    rejects("P7", &history);
    let mut history = good();
    log(&mut history)[1].id = Some(id(77));
    rejects("P7", &history);
}

#[test]
fn c1_rejects_a_consumed_record_that_is_not_the_logs() {
    let mut history = good();
    log(&mut history)[1].id = Some(id(2));
    rejects("C1", &history);
}

#[test]
fn c2_rejects_a_gap_and_a_repeat() {
    let consumed_1 = |entry: &Entry| matches!(entry, Entry::Consumed { offset: 1, .. });
    let mut gap = good();
    remove(&mut gap, consumed_1);
    rejects("C2", &gap);

    let mut repeat = good();
    repeat.push(
        Instant::from_millis(50),
        Entry::Consumed {
            consumer: 9,
            place: place(),
            offset: 1,
            id: Some(id(1)),
        },
    );
    rejects("C2", &repeat);
}

#[test]
fn c4_rejects_a_record_that_was_never_consumed() {
    let mut history = good();
    remove(&mut history, |entry| {
        matches!(entry, Entry::Consumed { offset: 2, .. })
    });
    rejects("C4", &history);
}

#[test]
fn n1_rejects_a_broker_wrongly_accused() {
    let mut history = good();
    history.push(
        Instant::from_millis(5),
        Entry::Accused {
            client: "producer 1".into(),
            what: "a correlation id out of order".into(),
        },
    );
    rejects("N1", &history);
}

/// Two members of a group: the first reads two records of a partition and commits them, leaves, and the second reads the third.
fn good_group() -> History {
    let mut history = good();
    history
        .entries
        .retain(|(_, entry)| !matches!(entry, Entry::Consumed { .. } | Entry::Positioned { .. }));
    history.members = [1_000, 1_001].into();
    history.group_lives = true;
    history.faultless = true;
    let owned = |consumer| Entry::Owned {
        consumer,
        places: vec![place()],
        current: [1_000, 1_001].into(),
    };
    let revoked = Entry::GaveUp {
        consumer: 1_000,
        places: vec![place()],
        lost: false,
    };
    let left = Entry::Gone {
        consumer: 1_000,
        left: true,
        counted: false,
    };
    for (millis, entry) in [
        (40, owned(1_000)),
        (41, consumed(1_000, 0)),
        (42, consumed(1_000, 1)),
        (43, committed(1_000, 2)),
        (44, revoked),
        (45, left),
        (46, owned(1_001)),
        (47, consumed(1_001, 2)),
        (48, committed(1_001, 3)),
    ] {
        history.push(Instant::from_millis(millis), entry);
    }
    history
}

fn consumed(consumer: u32, offset: i64) -> Entry {
    Entry::Consumed {
        consumer,
        place: place(),
        offset,
        id: Some(id(u64::try_from(offset).expect("small"))),
    }
}

fn committed(consumer: u32, offset: i64) -> Entry {
    Entry::Committed {
        by: (consumer, 7),
        place: place(),
        offset,
    }
}

/// Puts an entry in before the first that `before` names.
fn insert(history: &mut History, entry: Entry, before: impl Fn(&Entry) -> bool) {
    let at = history.entries.iter().position(|(_, entry)| before(entry));
    let at = at.expect("it is there");
    let when = history.entries[at].0;
    history.entries.insert(at, (when, entry));
}

#[test]
fn a_good_group_is_accepted() {
    assert_eq!(judge(&good_group()), Ok(()));
}

#[test]
fn c7_rejects_a_record_of_a_revoked_partition_and_one_before_the_share() {
    let mut late = good_group();
    insert(&mut late, consumed(1_000, 2), |entry| {
        matches!(entry, Entry::Gone { .. })
    });
    rejects("C7", &late);
    let mut early = good_group();
    insert(&mut early, consumed(1_001, 2), |entry| {
        matches!(entry, Entry::GaveUp { .. })
    });
    rejects("C7", &early);
}

#[test]
fn c2g_rejects_a_share_that_begins_too_late_and_a_repeat_within_one() {
    let mut late = good_group();
    remove(&mut late, |entry| *entry == consumed(1_000, 1));
    rejects("C2g", &late);
    let mut repeat = good_group();
    insert(&mut repeat, consumed(1_000, 0), |entry| {
        *entry == committed(1_000, 2)
    });
    rejects("C2g", &repeat);
}

#[test]
fn c4g_rejects_a_record_that_no_member_got() {
    let mut history = good_group();
    remove(&mut history, |entry| *entry == consumed(1_001, 2));
    rejects("C4g", &history);
    // Without a member nobody has to.
    history.group_lives = false;
    let (_, c4g) = ORACLES.iter().find(|(n, _)| *n == "C4g").expect("it");
    assert_eq!(c4g(&history), Ok(()));
}

#[test]
fn g1_rejects_two_owners_that_the_coordinator_counts() {
    let mut history = good_group();
    remove(&mut history, |entry| {
        matches!(entry, Entry::GaveUp { .. } | Entry::Gone { .. })
    });
    rejects("G1", &history);
    // One that it does not count any more has not heard of it yet.
    for (_, entry) in &mut history.entries {
        if let Entry::Owned {
            consumer: 1_001,
            current,
            ..
        } = entry
        {
            current.remove(&1_000);
        }
    }
    let (_, g1) = ORACLES.iter().find(|(n, _)| *n == "G1").expect("it");
    assert_eq!(g1(&history), Ok(()));
}

#[test]
fn g3_rejects_a_commit_of_what_nobody_had() {
    let mut history = good_group();
    insert(&mut history, committed(1_000, 2), |entry| {
        *entry == consumed(1_000, 1)
    });
    rejects("G3", &history);
}

#[test]
fn g4_rejects_a_commit_that_goes_back() {
    let mut history = good_group();
    insert(&mut history, committed(1_000, 1), |entry| {
        matches!(entry, Entry::GaveUp { .. })
    });
    rejects("G4", &history);
}

#[test]
fn g6_rejects_a_member_that_is_lost_for_nothing() {
    let mut history = good_group();
    for (_, entry) in &mut history.entries {
        if let Entry::GaveUp { lost, .. } = entry {
            *lost = true;
        }
    }
    rejects("G6", &history);
    history.faultless = false;
    assert_eq!(judge(&history), Ok(()));
}

#[test]
fn g7_rejects_a_member_that_left_and_is_counted() {
    let mut history = good_group();
    for (_, entry) in &mut history.entries {
        if let Entry::Gone { counted, .. } = entry {
            *counted = true;
        }
    }
    rejects("G7", &history);
}
