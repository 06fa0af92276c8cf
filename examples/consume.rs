//! Reads a partition from its beginning to where it ends now.
//!
//! ```text
//! cargo run --example consume -- localhost:9092 letters 0
//! ```

use std::error::Error;

use klamm_tokio::{Assignment, Consumer, ConsumerConfig, Start, Tokio, TopicPartition};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, partition] = words.as_slice() else {
        return Err("usage: consume HOST:PORT TOPIC PARTITION".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let partition = partition.parse()?;
    runtime.block_on(consume(bootstrap, topic, partition, |offset, value| {
        println!(
            "{offset}: {}",
            String::from_utf8_lossy(value.unwrap_or_default())
        );
    }))
}

async fn consume(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    mut each: impl FnMut(i64, Option<&[u8]>),
) -> Result<()> {
    let consumer = Consumer::start(&ConsumerConfig::bootstrap(bootstrap)?, Tokio::current())?;
    let start = Start::Beginning;
    consumer.assign(&[Assignment {
        topic,
        partition,
        start,
    }])?;
    let ends = consumer
        .end_offsets(&[TopicPartition::new(topic, partition)])
        .await?;
    let (_, end) = ends.into_iter().next().ok_or("no answer")?;
    let end = end?.map_or(0, |end| end.offset);
    // Also over records that nobody sees, such as the ends of transactions.
    while consumer.position(topic, partition)?.unwrap_or(0) < end {
        let mut batch = consumer.next_batch().await?;
        for record in batch.records() {
            each(record.offset, record.value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_cluster::{ClusterConfig, Server};
    use klamm_tokio::{NewRecord, Producer, ProducerConfig};

    #[test]
    fn all_records_come_in_their_order_and_then_it_ends() -> Result<()> {
        let server = Server::start(ClusterConfig::with_nodes(1))?;
        server.with(|cluster| cluster.create_topic("letters", 1))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let config = ProducerConfig::bootstrap(&server.bootstrap())?;
            let producer = Producer::start(&config, Tokio::current())?;
            for value in ["K.", "arrived", "late"] {
                producer.send(NewRecord::to("letters").value(value)).await?;
            }
            let mut read = Vec::new();
            consume(&server.bootstrap(), "letters", 0, |offset, value| {
                read.push((offset, value.map(<[u8]>::to_vec)));
            })
            .await?;
            let letter = |offset, value: &str| (offset, Some(value.as_bytes().to_vec()));
            assert_eq!(
                read,
                [letter(0, "K."), letter(1, "arrived"), letter(2, "late")]
            );
            Ok(())
        })
    }
}
