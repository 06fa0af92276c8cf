//! Sends each line of the standard input as a record.
//!
//! ```text
//! cargo run --example produce -- localhost:9092 letters < FILE
//! ```

use std::error::Error;
use std::io::BufRead;

use klamm_tokio::{Duration, NewRecord, Producer, ProducerConfig, Tokio};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = words.as_slice() else {
        return Err("usage: produce HOST:PORT TOPIC".into());
    };
    let lines = std::io::stdin().lock().lines().map_while(|line| line.ok());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let sent = runtime.block_on(produce(bootstrap, topic, lines))?;
    println!("{sent} records are written");
    Ok(())
}

async fn produce(
    bootstrap: &str,
    topic: &str,
    lines: impl Iterator<Item = String>,
) -> Result<usize> {
    let producer = Producer::start(&ProducerConfig::bootstrap(bootstrap)?, Tokio::current())?;
    let mut deliveries = Vec::new();
    for line in lines {
        // Waits only where the buffer is full; the order of acceptance is the order in the log.
        deliveries.push(producer.enqueue(NewRecord::to(topic).value(&line)).await?);
    }
    let sent = deliveries.len();
    for delivery in deliveries {
        delivery.await?;
    }
    producer.close(Duration::from_secs(10)).await?;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_cluster::{ClusterConfig, Server};

    #[test]
    fn every_line_is_in_the_log() -> Result<()> {
        let server = Server::start(ClusterConfig::with_nodes(1))?;
        server.with(|cluster| cluster.create_topic("letters", 1))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let lines = (0..100).map(|number| format!("line {number}"));
        let sent = runtime.block_on(produce(&server.bootstrap(), "letters", lines))?;
        assert_eq!(sent, 100);
        let end = server.with(|cluster| {
            let partition = cluster.find_partition("letters", 0)?;
            Ok::<_, klamm_cluster::ControlError>(cluster.log(partition).map(|log| log.end_offset()))
        })?;
        assert_eq!(end, Some(100));
        Ok(())
    }
}
