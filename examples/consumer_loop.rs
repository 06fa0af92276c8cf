//! A consumer loop of one's own, and tests of it without Kafka: `klamm-cluster` plays the brokers, also on their bad days.
//!
//! ```text
//! cargo test --example consumer_loop                                  # the tests, which is what this example is about
//! cargo run --example consumer_loop -- localhost:9092 payments 0      # the loop on any Kafka: topic and partition
//! ```

use std::collections::BTreeMap;
use std::error::Error;

use klamm_tokio::{Assignment, Consumer, ConsumerConfig, Start, Tokio};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, partition] = words.as_slice() else {
        return Err("usage: consumer_loop HOST:PORT TOPIC PARTITION".into());
    };
    let partition = partition.parse()?;
    run(async {
        let consumer = consumer(bootstrap, topic, partition)?;
        let mut balances = BTreeMap::new();
        loop {
            take_batch(&consumer, &mut balances).await?;
            println!("{balances:?}");
        }
    })
}

/// On a runtime of its own.
fn run(future: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(future)
}

fn consumer(bootstrap: &str, topic: &str, partition: i32) -> Result<Consumer> {
    let consumer = Consumer::start(&ConsumerConfig::bootstrap(bootstrap)?, Tokio::current())?;
    consumer.assign(&[Assignment {
        topic,
        partition,
        start: Start::Beginning,
    }])?;
    Ok(consumer)
}

/// The loop's step, which is under test: each record is a payment, its key says whose and its value how much.
async fn take_batch(consumer: &Consumer, balances: &mut BTreeMap<String, i64>) -> Result<()> {
    let mut batch = match consumer.next_batch().await {
        Ok(batch) => batch,
        // The client goes on by itself.
        Err(error) if error.is_retriable() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for record in batch.records() {
        let whose = std::str::from_utf8(record.key.unwrap_or_default())?;
        let amount: i64 = std::str::from_utf8(record.value.unwrap_or_default())?.parse()?;
        *balances.entry(whose.to_owned()).or_default() += amount;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm::{ApiKey, ErrorCode};
    use klamm_cluster::{ClusterConfig, Moment, Server};
    use klamm_tokio::{NewRecord, Producer, ProducerConfig};

    /// Three brokers on ports of this machine, and a topic with payments in it.
    async fn brokers_with_payments() -> Result<Server> {
        let server = Server::start(ClusterConfig::with_nodes(3))?;
        server.with(|cluster| cluster.create_topic("payments", 1))?;
        let config = ProducerConfig::bootstrap(&server.bootstrap())?;
        let producer = Producer::start(&config, Tokio::current())?;
        let payments = producer.topic("payments")?;
        for (whose, amount) in [("ada", "5"), ("bob", "7"), ("ada", "-2")] {
            let payment = NewRecord::to(payments).key(whose).value(amount);
            producer.send(payment).await?;
        }
        Ok(server)
    }

    /// Steps until three payments are in.
    async fn balances(server: &Server) -> Result<BTreeMap<String, i64>> {
        let consumer = consumer(&server.bootstrap(), "payments", 0)?;
        let mut balances = BTreeMap::new();
        while balances.get("ada") != Some(&3) || balances.len() < 2 {
            take_batch(&consumer, &mut balances).await?;
        }
        Ok(balances)
    }

    fn expected() -> BTreeMap<String, i64> {
        BTreeMap::from([("ada".to_owned(), 3), ("bob".to_owned(), 7)])
    }

    #[test]
    fn payments_are_summed_up() -> Result<()> {
        run(async {
            let server = brokers_with_payments().await?;
            assert_eq!(balances(&server).await?, expected());
            Ok(())
        })
    }

    #[test]
    fn a_fetch_that_fails_counts_no_payment_twice() -> Result<()> {
        run(async {
            let server = brokers_with_payments().await?;
            // The next answer is lost on its way, and the one after says that another broker leads.
            server.with(|cluster| {
                cluster.on(ApiKey::FETCH).drop_connection(Moment::After);
                let refusal = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                cluster.on(ApiKey::FETCH).after(1).answer(refusal);
            });
            assert_eq!(balances(&server).await?, expected());
            // What the brokers were asked.
            let fetches = server.with(|cluster| cluster.requests(ApiKey::FETCH).count());
            assert!(fetches >= 3, "{fetches} fetches");
            Ok(())
        })
    }

    #[test]
    fn the_leader_stops_in_between() -> Result<()> {
        run(async {
            let server = brokers_with_payments().await?;
            let leader = server.with(|cluster| {
                let topic = cluster.image().topic("payments");
                topic.and_then(|topic| topic.partition(0)?.leader)
            });
            let leader = leader.ok_or("no leader")?;
            server.with(|cluster| cluster.stop_broker(leader))?;
            assert_eq!(balances(&server).await?, expected());
            Ok(())
        })
    }
}
