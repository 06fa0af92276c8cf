//! A consumer on three brokers of a real Kafka that are killed, frozen and started again while it reads: every offset comes
//! out exactly once, in order, and nobody has to do anything for that.
//!
//! By hand with more: `KLAMM_RECORDS=10000000 KLAMM_FAULTS=20 KLAMM_SEED=7 cargo test -p klamm-live --features live --test faults`.

use klamm_live::ends::assert_read_to_the_ends;
use klamm_live::kafka::Kafka;
use klamm_tokio::{
    Assignment, Consumer, ConsumerConfig, Duration, NewRecord, Producer, ProducerConfig, Start,
    Tokio,
};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const PARTITIONS: i32 = 3;
/// A failover takes seconds; more on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(120);
/// How many records are on their way at the most.
const UNDER_WAY: usize = 50_000;

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    klamm_live::runtime::within(LIMIT, what, future).await
}

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .map_or(otherwise, |text| text.parse().expect(variable))
}

/// Writes the numbers from 0 on to each partition, evenly: at least `least`, and until the faults are over. How many a
/// partition there are.
///
/// # Panics
/// If one of them is not delivered at the offset that is its number.
async fn write(producer: Producer, topic: String, least: u64, over: Arc<AtomicBool>) -> u64 {
    let mut under_way = VecDeque::new();
    let mut number = 0_u64;
    // With faults to come the records are spread over them, as far as one can guess.
    while number < least || !over.load(Ordering::Acquire) {
        for partition in 0..PARTITIONS {
            let value = number.to_be_bytes();
            let record = NewRecord::to(&topic).partition(partition).value(&value);
            let delivery = within("a record is accepted", producer.enqueue(record));
            under_way.push_back((number, delivery.await.expect("accepted")));
        }
        number += 1;
        if number > least {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while under_way.len() > UNDER_WAY {
            let (number, delivery) = under_way.pop_front().expect("some are under way");
            let receipt = within("a record has its outcome", delivery).await;
            check(number, receipt.expect("delivered").offset());
        }
    }
    for (number, delivery) in under_way {
        let receipt = within("a record has its outcome", delivery).await;
        check(number, receipt.expect("delivered").offset());
    }
    number
}

/// No offset is what a broker says that had the batch already.
fn check(number: u64, offset: Option<i64>) {
    if let Some(offset) = offset {
        assert_eq!(u64::try_from(offset), Ok(number));
    }
}

/// Reads until every partition has been read up to what was written, and checks that every offset comes once, in order, with
/// what was written there.
async fn read(consumer: Consumer, written: Arc<OnceLock<u64>>) -> u64 {
    let mut next = [0_u64; PARTITIONS as usize];
    let mut patience = Instant::now() + LIMIT;
    while written
        .get()
        .is_none_or(|written| next.iter().any(|next| next < written))
    {
        assert!(
            Instant::now() < patience,
            "nothing is read for {LIMIT:?}, after {next:?} of {:?}; {:?}",
            written.get(),
            consumer
                .assignment()
                .iter()
                .map(|partition| consumer.explain(&partition.topic, partition.partition))
                .collect::<Vec<_>>()
        );
        // Trouble with one partition is told, and is no end.
        let batch = tokio::time::timeout(Duration::from_secs(1), consumer.next_batch()).await;
        let Ok(Ok(mut batch)) = batch else { continue };
        patience = Instant::now() + LIMIT;
        let partition = batch.partition();
        let next = &mut next[usize::try_from(partition).expect("one of three")];
        for record in batch.records() {
            assert_eq!(
                u64::try_from(record.offset),
                Ok(*next),
                "in partition {partition}"
            );
            assert_eq!(record.value, Some(&next.to_be_bytes()[..]));
            *next += 1;
        }
    }
    let ends = assert_read_to_the_ends(&consumer, &next);
    within("the ends are told", ends).await;
    next.iter().sum()
}

/// Has at least `records` records written and read while `disturb` does what it likes to the cluster.
fn through(records: u64, disturb: impl FnOnce(&Kafka, &str) + Send + 'static) {
    let kafka = Arc::new(Kafka::start(3, &[]));
    let topic = kafka.topic("faults", PARTITIONS);
    klamm_live::runtime::run(async {
        let mut config = ProducerConfig::bootstrap(&kafka.bootstrap())
            .expect("addresses")
            .max_block(LIMIT);
        config.common.request_timeout = Duration::from_secs(5);
        let producer = Producer::start(&config, Tokio::current()).expect("a valid configuration");
        let mut config = ConsumerConfig::bootstrap(&kafka.bootstrap()).expect("addresses");
        config.common.request_timeout = Duration::from_secs(5);
        let consumer = Consumer::start(&config, Tokio::current()).expect("a valid configuration");
        let all: Vec<_> = (0..PARTITIONS)
            .map(|partition| Assignment {
                topic: &topic,
                partition,
                start: Start::Beginning,
            })
            .collect();
        consumer.assign(&all).expect("assigned");

        let over = Arc::new(AtomicBool::new(false));
        let written = Arc::new(OnceLock::new());
        let least = records.div_ceil(PARTITIONS.unsigned_abs().into());
        let writing = tokio::spawn(write(producer, topic.clone(), least, Arc::clone(&over)));
        let reading = tokio::spawn(read(consumer, Arc::clone(&written)));
        let (disturbed, topic) = (Arc::clone(&kafka), topic.clone());
        let disturbing = tokio::task::spawn_blocking(move || disturb(&disturbed, &topic));
        disturbing.await.expect("disturbed");
        over.store(true, Ordering::Release);
        let count = writing.await.expect("all are delivered");
        written.set(count).expect("once");
        let read = reading.await.expect("all are read");
        assert_eq!(read, count * u64::from(PARTITIONS.unsigned_abs()));
        println!("{read} records, each offset once and in order");
    });
}

#[test]
fn the_leader_is_killed_ten_times_over_and_nobody_notices() {
    through(100_000, |kafka, topic| {
        for time in 0..10 {
            let leader = kafka.leader(topic, time % 3);
            kafka.kill(leader);
            kafka.await_new_leader(topic, time % 3, leader);
            kafka.start_node(leader);
            kafka.await_node(leader);
        }
    });
}

#[test]
fn every_offset_comes_once_and_in_order_through_random_faults() {
    let (records, faults) = (
        number_of("KLAMM_RECORDS", 300_000),
        number_of("KLAMM_FAULTS", 4),
    );
    let mut state = number_of("KLAMM_SEED", 1);
    let mut draw = move |below: u64| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    through(records, move |kafka, _| {
        for fault in 0..faults {
            std::thread::sleep(Duration::from_millis(draw(3_000)));
            let node = usize::try_from(draw(3)).expect("one of three");
            let kind = draw(3);
            println!("fault {fault}: {kind} at node {node}");
            match kind {
                // It is killed and comes back at once.
                0 => kafka.kill(node),
                // It is killed, and the others go on without it for a while.
                1 => {
                    kafka.kill(node);
                    std::thread::sleep(Duration::from_millis(2_000 + draw(4_000)));
                }
                // It hangs, perhaps for longer than a request may take.
                _ => {
                    kafka.freeze(node);
                    std::thread::sleep(Duration::from_millis(1_000 + draw(8_000)));
                    kafka.thaw(node);
                    continue;
                }
            }
            kafka.start_node(node);
            kafka.await_node(node);
        }
    });
}
