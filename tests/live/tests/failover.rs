//! Klamm on tokio against three brokers of a real Kafka, of which one dies, hangs or comes back while records flow.

use klamm_live::ends::assert_read_to_the_ends;
use klamm_live::kafka::Kafka;
use klamm_live::runtime::run;
use klamm_tokio::{
    Assignment, CloseReport, Consumer, ConsumerConfig, Duration, NewRecord, Producer,
    ProducerConfig, SendError, Start, Tokio,
};
use std::fs::File;
use std::future::Future;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const PARTITIONS: i32 = 3;
/// A failover takes seconds; a minute on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(100);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    klamm_live::runtime::within(LIMIT, what, future).await
}

/// The value of the `number`-th record of a partition.
fn value(partition: i32, number: usize) -> String {
    format!("{number} of partition {partition}")
}

/// What the writing and the reading half of a test tell each other.
#[derive(Default)]
struct Course {
    /// The disturbance is over.
    over: AtomicBool,
    /// How many records of each partition were written in all, once that is known.
    written: OnceLock<usize>,
}

/// Writes records to each partition in turn, some ten thousand a second, until the disturbance has been over for a while;
/// awaits all outcomes, and returns the offsets with partition and number.
///
/// # Panics
/// If one of them is not delivered.
async fn write(producer: Producer, topic: String, course: Arc<Course>) -> Vec<(i32, usize, i64)> {
    let mut deliveries = Vec::new();
    let (mut number, mut left) = (0, 5_000);
    while left > 0 {
        for partition in 0..PARTITIONS {
            let value = value(partition, number);
            let record = NewRecord::to(&topic).partition(partition).value(&value);
            let delivery = within("a record is accepted", producer.enqueue(record))
                .await
                .expect("accepted");
            deliveries.push((partition, number, delivery));
        }
        number += 1;
        if number % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if course.over.load(Ordering::Acquire) {
            left -= 1;
        }
    }
    course.written.set(number).expect("once");
    let mut offsets = Vec::new();
    for (partition, number, delivery) in deliveries {
        let outcome: Result<_, SendError> = within("a record has its outcome", delivery).await;
        let receipt =
            outcome.unwrap_or_else(|e| panic!("record {number} of partition {partition}: {e}"));
        // None is what a broker says that had the batch already.
        offsets.extend(receipt.offset().map(|offset| (partition, number, offset)));
    }
    let undone = within("the producer is closed", producer.close(LIMIT)).await;
    assert_eq!(undone.expect("closed"), CloseReport::default());
    offsets
}

/// Reads while the others write, and checks that the records come in order and each once.
async fn read(consumer: Consumer, course: Arc<Course>) {
    let mut read = [0; PARTITIONS as usize];
    let mut patience = Instant::now() + LIMIT;
    while course
        .written
        .get()
        .is_none_or(|written| read.iter().any(|number| number < written))
    {
        assert!(
            Instant::now() < patience,
            "nothing is read for {LIMIT:?}, after {read:?} of {:?}",
            course.written
        );
        // Trouble with one partition is told, and is no end.
        let next = tokio::time::timeout(Duration::from_secs(1), consumer.next_batch()).await;
        let Ok(Ok(mut batch)) = next else { continue };
        patience = Instant::now() + LIMIT;
        let partition = batch.partition();
        let number = &mut read[usize::try_from(partition).expect("one of three")];
        for record in batch.records() {
            let text = String::from_utf8_lossy(record.value.expect("a value")).into_owned();
            assert_eq!(
                text,
                value(partition, *number),
                "at offset {} of partition {partition}",
                record.offset
            );
            *number += 1;
        }
    }
    let read = read.map(|number| number as u64);
    let ends = assert_read_to_the_ends(&consumer, &read);
    within("the ends are told", ends).await;
    within("the consumer is closed", consumer.close(LIMIT))
        .await
        .expect("closed");
}

/// Replays a recording in a process of its own, as it is or with the last bit of one of a broker's inputs changed;
/// whether the outputs were the same, and what was said of it.
fn replay(recording: &Path, alter: Option<u32>) -> (bool, String) {
    let mut replay = Command::new(env!("CARGO"));
    replay
        .args(["run", "--quiet", "-p", "klamm", "--example", "replay", "--"])
        .arg(recording);
    if let Some(number) = alter {
        replay.args(["--alter", &number.to_string()]);
    }
    let done = replay.output().expect("cargo can be run");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.success(), said.into_owned())
}

/// Disturbs the cluster while records are written and read. None of them is lost, doubled or out of order, and both
/// clients, recorded all the while, do the same again without any network.
fn stream(kafka: &Arc<Kafka>, what: &str, disturb: impl FnOnce(&Kafka, &str) + Send + 'static) {
    let topic = kafka.topic("failover", PARTITIONS);
    let recording = |role| Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{what}.{role}"));
    let recordings = ["producer", "consumer"].map(recording);
    let sinks = recordings
        .each_ref()
        .map(|path| BufWriter::new(File::create(path).expect("a file can be made")));
    let [produced, consumed] = sinks;
    run(async {
        let mut config = ProducerConfig::bootstrap(&kafka.bootstrap())
            .expect("addresses")
            .max_block(LIMIT);
        config.common.request_timeout = Duration::from_secs(5);
        let producer = Producer::start_recorded(&config, Tokio::current(), produced)
            .expect("a valid configuration");
        let mut config = ConsumerConfig::bootstrap(&kafka.bootstrap()).expect("addresses");
        config.common.request_timeout = Duration::from_secs(5);
        let consumer = Consumer::start_recorded(&config, Tokio::current(), consumed)
            .expect("a valid configuration");
        let start = Start::Beginning;
        let all: Vec<_> = (0..PARTITIONS)
            .map(|partition| Assignment {
                topic: &topic,
                partition,
                start,
            })
            .collect();
        consumer.assign(&all).expect("assigned");

        let course = Arc::new(Course::default());
        let writing = tokio::spawn(write(producer, topic.clone(), Arc::clone(&course)));
        let reading = tokio::spawn(read(consumer, Arc::clone(&course)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (disturbed, topic) = (Arc::clone(kafka), topic.clone());
        let disturbing = tokio::task::spawn_blocking(move || disturb(&disturbed, &topic));
        disturbing.await.expect("disturbed");
        course.over.store(true, Ordering::Release);

        for (partition, number, offset) in writing.await.expect("all are delivered") {
            assert_eq!(
                usize::try_from(offset),
                Ok(number),
                "the offset that partition {partition} gave"
            );
        }
        reading.await.expect("all are read");
    });
    for recording in &recordings {
        let (same, said) = replay(recording, None);
        assert!(same, "{}: {said}", recording.display());
        let (same, said) = replay(recording, Some(20));
        assert!(!same && said.contains("the replay gave"), "altered: {said}");
        std::fs::remove_file(recording).expect("it was there");
    }
}

#[test]
fn nothing_is_lost_or_doubled_and_all_of_it_can_be_replayed() {
    let kafka = Arc::new(Kafka::start(3, &[]));

    // A leader is killed, and stays dead for a while.
    stream(&kafka, "killed", |kafka, topic| {
        kafka.kill(kafka.leader(topic, 0))
    });
    kafka.start_all();

    // A leader hangs for longer than a request may take: its sockets are open and silent, and then it goes on.
    stream(&kafka, "frozen", |kafka, topic| {
        let leader = kafka.leader(topic, 1);
        kafka.freeze(leader);
        std::thread::sleep(Duration::from_secs(8));
        kafka.thaw(leader);
    });

    // One after the other is killed and comes back.
    stream(&kafka, "rolled", |kafka, _| {
        for node in 0..3 {
            kafka.kill(node);
            kafka.start_node(node);
            kafka.await_node(node);
        }
    });
}
