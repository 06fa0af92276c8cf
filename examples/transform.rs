//! From one topic to another, at least once: what was read counts as done only when what came of it is written.
//!
//! ```text
//! cargo run --example transform -- localhost:9092 letters LETTERS
//! ```

use std::error::Error;

use klamm::config::OffsetReset;
use klamm_tokio::{Consumer, ConsumerConfig, Duration, NewRecord, Producer, ProducerConfig, Tokio};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, from, to] = words.as_slice() else {
        return Err("usage: transform HOST:PORT FROM TO".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (consumer, producer) = clients(bootstrap, from)?;
        loop {
            let done = step(&consumer, &producer, to).await?;
            println!("{done} records");
        }
    })
}

fn clients(bootstrap: &str, from: &str) -> Result<(Consumer, Producer)> {
    let config = ConsumerConfig::bootstrap(bootstrap)?
        .group_id("transform")
        .auto_offset_reset(OffsetReset::Earliest)
        // Nothing is committed before what came of it is written.
        .enable_auto_commit(false);
    let consumer = Consumer::start(&config, Tokio::current())?;
    consumer.subscribe(&[from])?;
    let producer = Producer::start(&ProducerConfig::bootstrap(bootstrap)?, Tokio::current())?;
    Ok((consumer, producer))
}

/// Some records: read, transformed, written, committed. After a failure these records count as read but are not written: the
/// program ends, and whoever goes on begins where the group has committed.
async fn step(consumer: &Consumer, producer: &Producer, to: &str) -> Result<usize> {
    let letters = match consumer.poll(500, Duration::from_secs(1)).await {
        Ok(letters) if letters.is_empty() => return Ok(0),
        Ok(letters) => letters,
        // The client goes on by itself, and nothing was handed out.
        Err(error) if error.is_retriable() => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut deliveries = Vec::with_capacity(letters.len());
    for letter in &letters {
        let value = String::from_utf8_lossy(letter.value.as_deref().unwrap_or_default());
        let value = value.to_uppercase();
        let mut record = NewRecord::to(to).value(&value);
        record.key = letter.key.as_deref();
        deliveries.push(producer.enqueue(record).await?);
    }
    for delivery in deliveries {
        delivery.await?;
    }
    // What cannot be committed, because of a rebalance for one, comes again: twice, not never.
    if let Err(error) = consumer.commit().await {
        eprintln!("{error}");
    }
    Ok(letters.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm::{ApiKey, ErrorCode};
    use klamm_cluster::{ClusterConfig, Server};

    async fn until(count: usize, consumer: &Consumer, producer: &Producer) -> Result<()> {
        let mut done = 0;
        while done < count {
            done += step(consumer, producer, "LETTERS").await?;
        }
        Ok(())
    }

    #[test]
    fn what_was_not_written_comes_again_and_nothing_is_missing() -> Result<()> {
        let server = Server::start(ClusterConfig::with_nodes(1))?;
        server.with(|cluster| cluster.create_topic("letters", 2))?;
        server.with(|cluster| cluster.create_topic("LETTERS", 1))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let (consumer, producer) = clients(&server.bootstrap(), "letters")?;
            for number in 0..20 {
                let value = format!("letter {number}");
                producer
                    .send(NewRecord::to("letters").value(&value))
                    .await?;
            }
            // The first time the topic refuses what is written.
            server.with(|cluster| {
                let refusal = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
                cluster.on(ApiKey::PRODUCE).topic("LETTERS").answer(refusal);
            });
            let failed = until(20, &consumer, &producer).await;
            assert!(failed.is_err(), "the failure is told");
            consumer.close(Duration::from_secs(5)).await?;

            // Another member begins where the group has committed: before what was not written.
            let (consumer, producer) = clients(&server.bootstrap(), "letters")?;
            let mut written = 0;
            while written < 20 {
                step(&consumer, &producer, "LETTERS").await?;
                written = server
                    .with(|cluster| {
                        let partition = cluster.find_partition("LETTERS", 0).ok()?;
                        cluster.log(partition).map(|log| log.end_offset())
                    })
                    .unwrap_or(0);
            }
            Ok(())
        })
    }
}
