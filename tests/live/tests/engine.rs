//! The bare engines against a real broker, by a driver that is nothing but sockets: what fails here is the engine's fault, and
//! no driver's.

use klamm::config::{ConsumerConfig, ProducerConfig};
use klamm::record::{BatchView, RecordRef};
use klamm::{
    AppendError, Assignment, ConsumerEngine, ConsumerEvent, Instant, LentBatch, OffsetSpec,
    Outcome, ProducerEngine, ProducerEvent, Return, ReturnEnd, Start, TopicHandle, TopicPartition,
};
use klamm_live::kafka::Kafka;
use klamm_live::plain::{Plain, wall};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMIT: Duration = Duration::from_secs(60);

/// Not to be guessed is not needed here, not to be repeated is.
fn entropy() -> [u8; 32] {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos();
    let mut entropy = [0; 32];
    entropy[..16].copy_from_slice(&nanos.to_le_bytes());
    entropy[16..20].copy_from_slice(&std::process::id().to_le_bytes());
    entropy
}

fn producer(kafka: &Kafka) -> Plain<ProducerEngine> {
    // Little memory, so that a part of the records is accepted only after others were delivered.
    let config = ProducerConfig::bootstrap(&kafka.bootstrap())
        .expect("addresses")
        .buffer_memory(1_usize << 20);
    Plain::new(
        ProducerEngine::new(&config, entropy(), Instant::START, wall())
            .expect("a valid configuration"),
    )
}

fn consumer(kafka: &Kafka) -> Plain<ConsumerEngine> {
    let config = ConsumerConfig::bootstrap(&kafka.bootstrap()).expect("addresses");
    Plain::new(
        ConsumerEngine::new(&config, entropy(), Instant::START, wall())
            .expect("a valid configuration"),
    )
}

/// Appends as many as are accepted now, to partition 0, and returns how many.
fn append(producer: &mut Plain<ProducerEngine>, topic: TopicHandle, values: &[String]) -> usize {
    let mut appended = 0;
    while appended < values.len() {
        let next = values[appended..].iter().take(100);
        let records: Vec<_> = next
            .map(|v| RecordRef::new(wall().0, None, Some(v.as_bytes())))
            .collect();
        let now = producer.now();
        match producer.engine.append(topic, Some(0), &records, now) {
            Ok(accepted) => appended += accepted.tickets.count(),
            Err(AppendError::Blocked { .. }) => break,
            Err(AppendError::Refused(e)) => panic!("{e}"),
        }
    }
    appended
}

/// Sends all to partition 0, and returns the offset of each. `at` is called with how many have been delivered.
fn send(
    producer: &mut Plain<ProducerEngine>,
    topic: &str,
    values: &[String],
    mut at: impl FnMut(usize),
) -> Vec<i64> {
    let now = producer.now();
    let topic = producer.engine.topic(topic, now).expect("a topic's name");
    let mut offsets = vec![None; values.len()];
    let (mut appended, mut delivered) = (0, 0);
    while delivered < values.len() {
        appended += append(producer, topic, &values[appended..]);
        match producer.event("all records are delivered", LIMIT) {
            ProducerEvent::Outcome {
                tickets,
                outcome:
                    Outcome::Delivered {
                        offset: Some(first),
                        ..
                    },
                ..
            } => {
                for (ticket, offset) in tickets.zip(first..) {
                    let place = usize::try_from(ticket).expect("few");
                    assert_eq!(
                        offsets[place].replace(offset),
                        None,
                        "one outcome for ticket {ticket}"
                    );
                    delivered += 1;
                }
                at(delivered);
            }
            ProducerEvent::Unblocked { .. } | ProducerEvent::Problem(_) => {}
            other @ (ProducerEvent::Outcome { .. }
            | ProducerEvent::Flushed { .. }
            | ProducerEvent::Response { .. }
            | ProducerEvent::Closed { .. }) => panic!("{other:?}"),
        }
    }
    offsets
        .into_iter()
        .map(|offset| offset.expect("all were delivered"))
        .collect()
}

fn read_batch(batch: &LentBatch, into: &mut Vec<(i64, String)>) {
    let view = BatchView::parse(&batch.bytes).expect("a batch");
    view.check_crc().expect("an undamaged batch");
    for record in view.records().expect("records without compression") {
        let record = record.expect("a record");
        if record.offset >= batch.start {
            into.push((
                record.offset,
                String::from_utf8_lossy(record.value.expect("a value")).into_owned(),
            ));
        }
    }
}

/// Reads partition 0, which ends after `count` records: the log is asked where it ends.
fn read(consumer: &mut Plain<ConsumerEngine>, topic: &str, count: usize) -> Vec<(i64, String)> {
    let now = consumer.now();
    let all = [Assignment {
        topic,
        partition: 0,
        start: Start::Beginning,
    }];
    consumer.engine.assign(&all, now).expect("a new consumer");
    let mut values = Vec::new();
    let deadline = consumer.now() + LIMIT;
    while values.len() < count {
        let why = consumer.engine.explain(topic, 0);
        assert!(
            consumer.now() < deadline,
            "{} of {count} records read: {why:?}",
            values.len()
        );
        consumer.drive();
        let now = consumer.now();
        while let Some(batch) = consumer.engine.next_batch(now) {
            read_batch(&batch, &mut values);
            let returned = Return {
                id: batch.id,
                next: batch.next,
                end: ReturnEnd::Read,
            };
            drop(batch);
            consumer
                .engine
                .return_batch(returned, now)
                .expect("it was lent");
        }
    }
    let partition = TopicPartition {
        topic: topic.into(),
        partition: 0,
    };
    let now = consumer.now();
    consumer
        .engine
        .list_offsets(OffsetSpec::Latest, &[partition], now);
    let end = loop {
        if let ConsumerEvent::Offsets { found, .. } = consumer.event("the end of the log", LIMIT) {
            let (_, found) = found.into_iter().next().expect("one partition");
            break found.expect("its leader answers").map(|found| found.offset);
        }
    };
    let position = consumer.engine.position(topic, 0).expect("it is assigned");
    assert_eq!(position, end, "nothing stands behind what was read");
    values
}

#[test]
fn records_go_out_and_come_back() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("engine", 1);
    let values: Vec<String> = (0..100_000)
        .map(|i| format!("{i} of one hundred thousand"))
        .collect();

    let offsets = send(&mut producer(kafka), &topic, &values, |_| {});

    let expected: Vec<(i64, String)> = (0..).zip(values).collect();
    assert!(
        offsets.iter().eq(expected.iter().map(|(offset, _)| offset)),
        "offsets in the order of the log"
    );
    assert!(
        read(&mut consumer(kafka), &topic, expected.len()) == expected,
        "the same records in the same order"
    );
}

#[test]
fn a_leader_is_killed_and_nothing_is_lost_or_doubled() {
    let kafka = Kafka::start(3, &[]);
    let topic = kafka.topic("engine", 1);
    let leader = kafka.leader(&topic, 0);
    let values: Vec<String> = (0..200_000)
        .map(|i| format!("{i} of two hundred thousand"))
        .collect();

    let mut alive = true;
    let offsets = send(&mut producer(&kafka), &topic, &values, |delivered| {
        if delivered > 50_000 && alive {
            kafka.kill(leader);
            alive = false;
        }
    });

    assert!(!alive, "the leader was killed on the way");
    assert!(
        offsets.iter().copied().eq(0..200_000),
        "offsets without a gap, in the order of the log"
    );
    let read = read(&mut consumer(&kafka), &topic, values.len());
    assert!(
        read.into_iter().map(|(_, value)| value).eq(values),
        "the same records in the same order, and each once"
    );
}
