//! Transcripts of the producer and the consumer that users hold, against a cluster in memory, in virtual time.

use std::io;

use klamm::{Duration, ErrorKind, Start};

use crate::consumer::{Consumer, ConsumerRecord};
use crate::producer::{NewRecord, Producer, SendError};
use crate::runtime::Runtime as _;
use crate::testing::town::{Network, Town};
use crate::{Assignment, RecordRef};

const NETWORKS: [Network; 2] = [Network::Kind, Network::Petty];

fn letter(value: &str) -> NewRecord<'_> {
    NewRecord::to("letters").value(value)
}

pub(super) fn from_the_beginning(consumer: &Consumer) {
    let all = Assignment {
        topic: "letters",
        partition: 0,
        start: Start::Beginning,
    };
    consumer.assign(&[all]).expect("an assignment");
}

/// Writes each value as a batch of its own, or all as one.
pub(super) fn write(town: &mut Town, producer: &Producer, values: &[&str]) {
    let records: Vec<RecordRef<'_>> = values
        .iter()
        .map(|value| RecordRef::new(5, None, Some(value.as_bytes())))
        .collect();
    let delivery = town
        .block_on(producer.enqueue_all("letters", Some(0), &records))
        .expect("accepted");
    let outcomes = town.block_on(delivery);
    assert!(outcomes.iter().all(|part| part.outcome.is_success()));
}

pub(super) fn text(record: &ConsumerRecord) -> String {
    String::from_utf8(record.value.as_deref().expect("a value").to_vec()).expect("a text")
}

/// All values in the log, read by a consumer of its own.
fn log(town: &mut Town) -> Vec<String> {
    let consumer = town.consumer();
    from_the_beginning(&consumer);
    let mut values = Vec::new();
    loop {
        let some = town.block_on(consumer.poll(100, Duration::from_secs(5)));
        let some = match some {
            Ok(some) => some,
            Err(error) if error.is_retriable() => continue,
            Err(error) => panic!("{error}"),
        };
        if some.is_empty() {
            return values;
        }
        values.extend(some.iter().map(text));
    }
}

#[test]
fn what_is_sent_is_confirmed_and_read_back() {
    for network in NETWORKS {
        let mut town = Town::new(network);
        let producer = town.producer(&[]);
        for (value, offset) in [("K.", 0), ("arrived", 1), ("late", 2)] {
            let receipt = town
                .block_on(producer.send(letter(value)))
                .expect("written");
            assert_eq!((receipt.partition(), receipt.offset()), (0, Some(offset)));
        }
        assert_eq!(log(&mut town), ["K.", "arrived", "late"]);
    }
}

#[test]
fn a_client_says_what_it_has_done_and_how_it_stands() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[("client.id", "barnabas")]);
    write(&mut town, &producer, &["K.", "arrived", "late"]);
    let metrics = producer.metrics();
    assert_eq!(
        (metrics.record_send_total, metrics.record_delivered_total),
        (3, 3)
    );
    assert!(metrics.client.outgoing_byte_total > metrics.batch_byte_total);
    let status = producer.status().to_string();
    assert!(status.starts_with("producer barnabas, memory "), "{status}");

    let consumer = town.consumer();
    from_the_beginning(&consumer);
    let read = town.block_on(consumer.poll(10, Duration::from_secs(5)));
    assert_eq!(read.expect("records").len(), 3);
    assert_eq!(consumer.metrics().records_consumed_total, 3);
    let status = consumer.status().to_string();
    assert!(status.contains("group readers: no member"), "{status}");
    assert!(status.contains("letters-0 "), "{status}");
}

#[test]
fn records_are_in_the_log_in_the_order_in_which_they_were_accepted() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[("batch.size", "200")]);
    let values: Vec<String> = (0..50).map(|n| format!("letter {n}")).collect();
    let mut deliveries = Vec::new();
    for value in &values {
        deliveries.push(
            town.block_on(producer.enqueue(letter(value)))
                .expect("accepted"),
        );
    }
    for (delivery, offset) in deliveries.into_iter().zip(0..) {
        let receipt = town.block_on(delivery).expect("written");
        assert_eq!(receipt.offset(), Some(offset));
    }
    assert_eq!(log(&mut town), values);
}

#[test]
fn a_send_dropped_at_any_await_writes_its_record_once_or_not_at_all() {
    for network in NETWORKS {
        for times in 0..6 {
            let mut town = Town::new(network);
            let producer = town.producer(&[]);
            let mut dropped = Box::pin(producer.send(letter("dropped")));
            let ended = town.poll_times(dropped.as_mut(), times).is_some();
            drop(dropped);
            town.block_on(producer.send(letter("kept")))
                .expect("written");
            town.block_on(producer.flush()).expect("flushed");
            let values = log(&mut town);
            let expected: &[&[&str]] = match (times, ended) {
                (0, _) => &[&["kept"]],
                (_, true) => &[&["dropped", "kept"]],
                (_, false) => &[&["kept"], &["dropped", "kept"]],
            };
            assert!(
                expected.iter().any(|expected| values == **expected),
                "{network:?}, dropped after {times}: {values:?}"
            );
        }
    }
}

#[test]
fn an_enqueue_dropped_before_it_is_ready_writes_nothing() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[]);
    // The topic is not known yet: it waits.
    let mut dropped = Box::pin(producer.enqueue(letter("dropped")));
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    assert!(dropped.as_mut().poll(&mut cx).is_pending());
    drop(dropped);
    town.block_on(producer.send(letter("kept")))
        .expect("written");
    assert_eq!(log(&mut town), ["kept"]);
}

#[test]
fn a_reader_dropped_at_any_await_loses_nothing() {
    for network in NETWORKS {
        for times in 0..5 {
            let mut town = Town::new(network);
            let producer = town.producer(&[]);
            write(&mut town, &producer, &["a", "b", "c"]);
            let consumer = town.consumer();
            from_the_beginning(&consumer);
            let mut values = Vec::new();
            while values.len() < 3 {
                let mut dropped = Box::pin(consumer.recv());
                if let Some(record) = town.poll_times(dropped.as_mut(), times) {
                    values.push(text(&record.expect("a record")));
                }
                drop(dropped);
                if values.len() < 3 {
                    let record = town.block_on(consumer.recv()).expect("a record");
                    values.push(text(&record));
                }
            }
            assert_eq!(
                values,
                ["a", "b", "c"],
                "{network:?}, dropped after {times}"
            );
            let position = consumer.position("letters", 0);
            assert_eq!(position.expect("assigned"), Some(3));
        }
    }
}

#[test]
fn a_batch_dropped_part_way_goes_back_exactly_as_far_as_it_was_read() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[]);
    write(&mut town, &producer, &["a", "b", "c", "d"]);
    let consumer = town.consumer();
    from_the_beginning(&consumer);
    for read in 1..=4_i64 {
        let mut batch = town.block_on(consumer.next_batch()).expect("a batch");
        let record = batch.records().next().expect("a record");
        assert_eq!(record.offset, read - 1);
        assert_eq!(batch.position(), read);
        drop(batch);
        let position = consumer.position("letters", 0).expect("assigned");
        assert_eq!(position, Some(read));
    }
}

#[test]
fn reading_on_in_a_batch_goes_on_behind_the_last_record() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[("compression.type", "lz4"), ("batch.size", "100000")]);
    let long = "Amalia ".repeat(300);
    write(&mut town, &producer, &["a", &long, "c"]);
    let consumer = town.consumer();
    from_the_beginning(&consumer);
    let mut batch = town.block_on(consumer.next_batch()).expect("a batch");
    assert_eq!(batch.records().next().expect("a").value, Some(&b"a"[..]));
    let owned = batch.next_record().expect("the second");
    assert_eq!(owned.value.as_deref(), Some(long.as_bytes()));
    assert_eq!(owned.detach(), owned);
    let rest: Vec<i64> = batch.records().map(|record| record.offset).collect();
    assert_eq!(rest, [2]);
    assert!(batch.next_record().is_none());
}

#[test]
fn after_a_seek_no_record_from_before_comes_out() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[]);
    write(&mut town, &producer, &["a", "b", "c"]);
    let consumer = town.consumer();
    from_the_beginning(&consumer);
    let mut batch = town.block_on(consumer.next_batch()).expect("a batch");
    assert_eq!(batch.records().next().expect("a").offset, 0);
    consumer
        .seek("letters", 0, Start::Offset(2))
        .expect("a seek");
    assert!(batch.records().next().is_none());
    drop(batch);
    let record = town.block_on(consumer.recv()).expect("a record");
    assert_eq!((record.offset, text(&record)), (2, "c".into()));
    consumer
        .seek("letters", 0, Start::Offset(1))
        .expect("a seek");
    assert_eq!(consumer.position("letters", 0).expect("assigned"), Some(1));
    let record = town.block_on(consumer.recv()).expect("a record");
    assert_eq!(text(&record), "b");
}

/// A producer whose buffer is full, and one record that waits for room.
#[test]
fn a_full_buffer_gives_the_record_back_or_lets_it_wait_its_time() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[
        ("buffer.memory", "65536"),
        ("batch.size", "16384"),
        ("max.request.size", "32768"),
        ("linger.ms", "600000"),
        ("delivery.timeout.ms", "1200000"),
        ("max.block.ms", "1000"),
    ]);
    let value = "x".repeat(10_000);
    let mut accepted = vec![
        town.block_on(producer.enqueue(letter(&value)))
            .expect("room"),
    ];
    let full = loop {
        match producer.try_enqueue(letter(&value)) {
            Ok(delivery) => accepted.push(delivery),
            Err(refused) => break refused,
        }
        assert!(accepted.len() < 20, "the buffer is never full");
    };
    let ErrorKind::BufferFull { needed, free } = *full.error.kind() else {
        panic!("{full}");
    };
    assert_eq!(needed, value.len());
    assert!(free < 32_768, "{full}");
    let place = (full.error.step(), full.error.topic());
    assert_eq!(place, (Some(klamm::Step::Produce), Some("letters")));
    assert!(
        full.error
            .hint()
            .is_some_and(|hint| hint.contains("buffer.memory"))
    );
    assert_eq!(full.record.value, Some(value.as_bytes()));
    // One that waits is served before one that does not.
    let mut waiting = Box::pin(producer.enqueue(full.record));
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    assert!(producer.try_enqueue(letter("small")).is_err());
    let flushing = town.block_on(producer.flush());
    flushing.expect("flushed");
    assert!(producer.try_enqueue(letter("small")).is_err());
    accepted.push(town.block_on(waiting).expect("room"));
    accepted.push(producer.try_enqueue(letter("small")).expect("room"));
    town.block_on(producer.flush()).expect("flushed");
    for (delivery, offset) in accepted.into_iter().zip(0..) {
        let receipt = town.block_on(delivery).expect("written");
        assert_eq!(receipt.offset(), Some(offset));
    }
}

#[test]
fn an_unknown_topic_is_waited_for_and_then_told() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[
        ("max.block.ms", "3000"),
        ("allow.auto.create.topics", "false"),
    ]);
    let record = NewRecord::to("no-such-topic").value("x");
    let refused = producer.try_enqueue(record).expect_err("not known yet");
    assert!(
        matches!(refused.error.kind(), ErrorKind::TimedOut { .. }),
        "{refused}"
    );
    let began = town.fake.now();
    let error = town.block_on(producer.send(record)).expect_err("no topic");
    let SendError::Rejected(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.topic(), Some("no-such-topic"), "{error}");
    assert!(town.fake.now().since(began) <= Duration::from_secs(3));
}

#[test]
fn a_dropped_producer_gives_every_record_its_outcome_and_leaves_nothing() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[("linger.ms", "10000")]);
    let delivery = town
        .block_on(producer.enqueue(letter("K.")))
        .expect("accepted");
    drop(producer);
    let error = town.block_on(delivery).expect_err("never sent");
    assert!(!error.possibly_written(), "{error}");
    town.settle();
    assert_eq!(town.fake.tasks(), 0);
}

#[test]
fn a_closed_client_says_so_and_its_close_reports() {
    let mut town = Town::new(Network::Kind);
    let producer = town.producer(&[("linger.ms", "10000")]);
    let delivery = town
        .block_on(producer.enqueue(letter("K.")))
        .expect("accepted");
    let report = town
        .block_on(producer.close(Duration::from_secs(5)))
        .expect("closed");
    assert_eq!(report, klamm::CloseReport::default());
    assert!(town.block_on(delivery).is_ok());
    let error = town
        .block_on(producer.send(letter("late")))
        .expect_err("closed");
    assert_eq!(*error.error().kind(), ErrorKind::Closed);

    let consumer = town.consumer();
    from_the_beginning(&consumer);
    assert_eq!(
        text(&town.block_on(consumer.recv()).expect("a record")),
        "K."
    );
    let report = town
        .block_on(consumer.close(Duration::from_secs(5)))
        .expect("closed");
    assert_eq!(report.lent, 0);
    drop((producer, consumer));
    town.settle();
    assert_eq!(town.fake.tasks(), 0);
}

#[test]
fn an_error_at_any_call_of_the_runtime_loses_and_doubles_nothing() {
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut] {
        for at in 1.. {
            let mut town = Town::new(Network::Petty);
            town.fake.fail_call(at, kind);
            let producer = town.producer(&[]);
            for value in ["K.", "arrived", "late"] {
                town.block_on(producer.send(letter(value)))
                    .expect("written");
            }
            assert_eq!(log(&mut town), ["K.", "arrived", "late"], "call {at}");
            if !town.fake.has_failed() {
                assert!(at > 100, "only {at} calls");
                break;
            }
        }
    }
}

#[test]
fn a_runtime_that_drops_its_tasks_at_any_await_leaves_nobody_waiting() {
    for polls in 0.. {
        let mut town = Town::new(Network::Kind);
        town.fake.shut_down_after(polls);
        let producer = town.producer(&[]);
        let consumer = town.consumer();
        let assigned = consumer.assign(&[Assignment {
            topic: "letters",
            partition: 0,
            start: Start::Beginning,
        }]);
        let sent = town.block_on(producer.send(letter("K.")));
        let read = match assigned {
            Ok(()) => town.block_on(consumer.recv()).map(|record| text(&record)),
            Err(error) => Err(error),
        };
        if !town.fake.is_shut_down() {
            assert!(sent.is_ok() && read.is_ok());
            assert!(polls > 10, "only {polls} polls");
            break;
        }
        // What was known before the end stands; whatever was waited for ends.
        if let Err(error) = sent {
            assert_eq!(*error.error().kind(), ErrorKind::Closed, "{error}");
        }
        if let Err(error) = read {
            assert_eq!(*error.kind(), ErrorKind::Closed, "{error}");
        }
    }
}

#[test]
fn a_poll_without_records_ends_in_time() {
    let mut town = Town::new(Network::Kind);
    let consumer = town.consumer();
    from_the_beginning(&consumer);
    let began = town.fake.now();
    let none = town.block_on(consumer.poll(10, Duration::from_secs(2)));
    assert_eq!(none.expect("no trouble"), []);
    assert_eq!(town.fake.now().since(began), Duration::from_secs(2));
}
