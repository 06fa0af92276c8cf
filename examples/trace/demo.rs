//! A small run that has something to show: a consumer joins a group, another one takes half of its partitions, and a broker
//! keeps an answer to itself for a while.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use klamm::ApiKey;
use klamm::config::OffsetReset;
use klamm_cluster::{ClusterConfig, Moment, Server};
use klamm_tokio::{Consumer, ConsumerConfig, Duration, NewRecord, Producer, ProducerConfig, Tokio};

use crate::Result;

const TOPIC: &str = "letters";

/// Where a recording goes while its client runs.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The recording of the first consumer.
pub(crate) fn record() -> Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<Vec<u8>> {
    let mut cluster = ClusterConfig::with_nodes(2);
    cluster.groups.initial_rebalance_delay = Duration::from_millis(50);
    let server = Server::start(cluster)?;
    server.with(|cluster| cluster.create_topic(TOPIC, 4))?;
    let bootstrap = server.bootstrap();
    let producer = Producer::start(&ProducerConfig::bootstrap(&bootstrap)?, Tokio::current())?;
    send(&producer, 0).await?;

    let config = ConsumerConfig::bootstrap(&bootstrap)?
        .group_id("readers")
        .group_protocol(klamm::config::GroupProtocol::Classic)
        .heartbeat_interval(Duration::from_millis(50))
        .auto_commit_interval(Duration::from_millis(200))
        .auto_offset_reset(OffsetReset::Earliest);
    let sink = Sink::default();
    let first = Consumer::start_recorded(&config, Tokio::current(), sink.clone())?;
    first.subscribe(&[TOPIC])?;
    read_until(&first, |first| first.metrics().records_consumed_total >= 20).await?;
    let second = Consumer::start(&config, Tokio::current())?;
    second.subscribe(&[TOPIC])?;
    read_until(&first, |first| first.metrics().rebalance_total >= 2).await?;

    // A commit that is answered late, while more comes in.
    let late = Duration::from_millis(1_300);
    server.with(|cluster| {
        cluster
            .on(ApiKey::OFFSET_COMMIT)
            .times(1)
            .delay(late, Moment::After);
    });
    let before = commits(&first);
    send(&producer, 20).await?;
    read_until(&first, |first| commits(first) > before).await?;
    second.close(Duration::from_secs(5)).await?;
    first.close(Duration::from_secs(5)).await?;
    drop(first);
    let recording = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(recording.clone())
}

fn commits(consumer: &Consumer) -> u64 {
    let metrics = consumer.metrics();
    let commits = metrics.client.latency_of(ApiKey::OFFSET_COMMIT);
    commits.map_or(0, |commits| commits.count())
}

async fn read_until(consumer: &Consumer, done: impl Fn(&Consumer) -> bool) -> Result<()> {
    while !done(consumer) {
        let _ = consumer.poll(100, Duration::from_millis(20)).await?;
    }
    Ok(())
}

async fn send(producer: &Producer, first: i32) -> Result<()> {
    for number in first..first + 20 {
        let value = format!("payload of {number}");
        let record = NewRecord::to(TOPIC).partition(number % 4).value(&value);
        producer.send(record).await?;
    }
    Ok(())
}
