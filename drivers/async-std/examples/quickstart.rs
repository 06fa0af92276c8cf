//! Writes ten records and reads them back, on async-std.
//!
//! ```text
//! cargo run -p klamm-async-std --example quickstart                       # on a cluster in memory
//! cargo run -p klamm-async-std --example quickstart -- localhost:9092     # on any Kafka that creates topics by itself
//! ```

use klamm_async_std::{
    Assignment, AsyncStd, Consumer, ConsumerConfig, Duration, NewRecord, Producer, ProducerConfig,
    Start,
};
use klamm_cluster::{ClusterConfig, Server};

const TOPIC: &str = "klamm-quickstart-async-std";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The cluster in memory lives until the end of this function.
    let (_server, bootstrap) = match std::env::args().nth(1) {
        Some(bootstrap) => (None, bootstrap),
        None => {
            let server = Server::start(ClusterConfig::with_nodes(3))?;
            server.with(|cluster| cluster.create_topic(TOPIC, 1))?;
            let bootstrap = server.bootstrap();
            (Some(server), bootstrap)
        }
    };
    async_std::task::block_on(run(&bootstrap))
}

async fn run(bootstrap: &str) -> Result<(), Box<dyn std::error::Error>> {
    let producer = Producer::start(&ProducerConfig::bootstrap(bootstrap)?, AsyncStd)?;
    let mut first = None;
    for number in 0..10 {
        let value = format!("letter {number}");
        let record = NewRecord::to(TOPIC).partition(0).value(&value);
        let receipt = producer.send(record).await?;
        first = first.or(receipt.offset());
    }
    producer.close(Duration::from_secs(10)).await?;

    let consumer = Consumer::start(&ConsumerConfig::bootstrap(bootstrap)?, AsyncStd)?;
    consumer.assign(&[Assignment {
        topic: TOPIC,
        partition: 0,
        start: first.map_or(Start::Beginning, Start::Offset),
    }])?;
    for _ in 0..10 {
        let record = consumer.recv().await?;
        let value = record.value.unwrap_or_default();
        println!("{}: {}", record.offset, String::from_utf8_lossy(&value));
    }
    consumer.close(Duration::from_secs(10)).await?;
    Ok(())
}
