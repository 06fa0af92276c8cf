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
