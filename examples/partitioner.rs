//! A partitioner of one's own: it chooses, and says so with each record. Here all letters of a country go to one partition,
//! whatever their keys are.
//!
//! ```text
//! cargo run --example partitioner -- localhost:9092 letters
//! ```

use std::error::Error;

use klamm_tokio::{Duration, NewRecord, Producer, ProducerConfig, Receipt, Tokio, TopicHandle};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const LETTERS: [(&str, &str); 4] = [
    ("cz-1", "from Prague"),
    ("at-1", "from Vienna"),
    ("cz-2", "from Brno"),
    ("at-2", "from Graz"),
];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = words.as_slice() else {
        return Err("usage: partitioner HOST:PORT TOPIC".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let producer = Producer::start(&ProducerConfig::bootstrap(bootstrap)?, Tokio::current())?;
        let topic = producer.topic(topic)?;
        for (key, value) in LETTERS {
            let receipt = send(&producer, topic, key, value).await?;
            println!("{key} is in partition {}", receipt.partition());
        }
        producer.close(Duration::from_secs(10)).await?;
        Ok(())
    })
}

/// The rule: what stands before the dash decides.
fn choose(key: &str, partitions: i32) -> i32 {
    let country = key.split('-').next().unwrap_or_default();
    let sum: u32 = country.bytes().map(u32::from).sum();
    i32::try_from(sum).unwrap_or(0) % partitions
}

async fn send(producer: &Producer, topic: TopicHandle, key: &str, value: &str) -> Result<Receipt> {
    let record = NewRecord::to(topic).key(key).value(value);
    let record = match producer.partitions(topic) {
        Some(partitions) => record.partition(choose(key, partitions)),
        // Nobody knows the topic yet: the first record waits for it, at a partition that every topic has.
        None => record.partition(0),
    };
    Ok(producer.send(record).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_cluster::{ClusterConfig, Server};

    #[test]
    fn letters_of_a_country_are_together() -> Result<()> {
        let server = Server::start(ClusterConfig::with_nodes(1))?;
        server.with(|cluster| cluster.create_topic("letters", 5))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let config = ProducerConfig::bootstrap(&server.bootstrap())?;
            let producer = Producer::start(&config, Tokio::current())?;
            let topic = producer.topic("letters")?;
            send(&producer, topic, "", "so that the topic is known").await?;
            assert_eq!(producer.partitions(topic), Some(5));
            let mut partitions = Vec::new();
            for (key, value) in LETTERS {
                partitions.push(send(&producer, topic, key, value).await?.partition());
            }
            assert_eq!(
                partitions,
                [
                    choose("cz", 5),
                    choose("at", 5),
                    choose("cz", 5),
                    choose("at", 5)
                ]
            );
            assert_ne!(partitions[0], partitions[1]);
            Ok(())
        })
    }
}
