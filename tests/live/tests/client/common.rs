//! What these tests share: clients with short patience, and a runtime that gives up.

use klamm_live::kafka::Kafka;
pub(crate) use klamm_live::runtime::run;
use klamm_tokio::{
    Assignment, Consumer, ConsumerConfig, ConsumerRecord, NewRecord, Producer, ProducerConfig,
    Receipt, Start, Tokio,
};
use std::future::Future;
use std::time::Duration;

/// One wait takes milliseconds, or seconds on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Awaits `what`.
///
/// # Panics
/// If it is not so in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    klamm_live::runtime::within(LIMIT, what, future).await
}

pub(crate) fn producer_config(bootstrap: &str) -> ProducerConfig {
    ProducerConfig::bootstrap(bootstrap).expect("addresses")
}

pub(crate) fn consumer_config(bootstrap: &str) -> ConsumerConfig {
    ConsumerConfig::bootstrap(bootstrap).expect("addresses")
}

pub(crate) fn producer(kafka: &Kafka) -> Producer {
    Producer::start(&producer_config(&kafka.bootstrap()), Tokio::current())
        .expect("a valid configuration")
}

pub(crate) fn consumer(kafka: &Kafka) -> Consumer {
    Consumer::start(&consumer_config(&kafka.bootstrap()), Tokio::current())
        .expect("a valid configuration")
}

/// Partition 0 of a topic, from its beginning.
pub(crate) fn from_the_beginning(topic: &str) -> Assignment<'_> {
    Assignment {
        topic,
        partition: 0,
        start: Start::Beginning,
    }
}

/// Sends values to partition 0, and returns their offsets.
///
/// # Panics
/// If one of them is not delivered.
pub(crate) async fn send_all(producer: &Producer, topic: &str, values: &[String]) -> Vec<i64> {
    let mut deliveries = Vec::new();
    for value in values {
        let record = NewRecord::to(topic).partition(0).value(value);
        deliveries.push(
            within("a record is accepted", producer.enqueue(record))
                .await
                .expect("accepted"),
        );
    }
    let mut offsets = Vec::new();
    for delivery in deliveries {
        let receipt = within("a record has its outcome", delivery)
            .await
            .expect("delivered");
        offsets.push(receipt.offset().expect("an offset"));
    }
    offsets
}

/// Sends one value to partition 0.
pub(crate) async fn send(producer: &Producer, topic: &str, value: &str) -> Receipt {
    let record = NewRecord::to(topic).partition(0).value(value);
    within("a record has its outcome", producer.send(record))
        .await
        .expect("delivered")
}

/// Reads `count` records.
///
/// # Panics
/// If reading meets any trouble.
pub(crate) async fn read(consumer: &Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let what = format!("{count} records are read, and not only {}", records.len());
        records.push(within(&what, consumer.recv()).await.expect("a record"));
    }
    records
}

/// The values as text.
pub(crate) fn values(records: &[ConsumerRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| text(record.value.as_deref()))
        .collect()
}

/// As text, null being "null".
pub(crate) fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".to_owned(), |bytes| {
        String::from_utf8_lossy(bytes).into_owned()
    })
}
