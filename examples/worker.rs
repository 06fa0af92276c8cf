//! Workers that share jobs out as members of a group, and the right way to stop one: it finishes what it has in hand,
//! commits, lets go, and says good-bye, so that the others go on where it stopped and no job is done twice.
//!
//! ```text
//! cargo run --example worker        # two workers on a cluster in memory, of which one stops half-way
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use klamm_cluster::{ClusterConfig, Server};
use klamm_tokio::{Consumer, ConsumerConfig, Duration, NewRecord, Producer, ProducerConfig, Tokio};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TOPIC: &str = "jobs";
const JOBS: usize = 400;

/// How often each job was done.
type Done = Arc<Mutex<BTreeMap<String, usize>>>;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let mut cluster = ClusterConfig::with_nodes(2);
    cluster.groups.initial_rebalance_delay = Duration::from_millis(100);
    let server = Server::start(cluster)?;
    server.with(|cluster| cluster.create_topic(TOPIC, 4))?;
    let bootstrap = server.bootstrap();
    let done = Done::default();
    let stop = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let workers = stop.clone().map(|stop| {
        let worker = work(bootstrap.clone(), stop, Arc::clone(&done));
        tokio::spawn(worker)
    });

    let config = ProducerConfig::bootstrap(&bootstrap)?;
    let producer = Producer::start(&config, Tokio::current())?;
    for number in 0..JOBS {
        let job = format!("job {number}");
        let sent = producer
            .send(NewRecord::to(TOPIC).key(&job).value(&job))
            .await;
        sent?;
        if number == JOBS / 2 {
            stop[0].store(true, Ordering::Relaxed);
        }
    }
    producer.close(Duration::from_secs(10)).await?;
    while done.lock().map_or(0, |done| done.len()) < JOBS {
        tokio::task::yield_now().await;
    }
    stop[1].store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await??;
    }
    let twice = done
        .lock()
        .map_or(0, |done| done.values().filter(|times| **times > 1).count());
    println!("{JOBS} jobs done, {twice} of them more than once");
    Ok(())
}

async fn work(bootstrap: String, stop: Arc<AtomicBool>, done: Done) -> Result<()> {
    let config = ConsumerConfig::bootstrap(&bootstrap)?
        .group_id("workers")
        .auto_offset_reset(klamm::config::OffsetReset::Earliest);
    let consumer = Consumer::start(&config, Tokio::current())?;
    consumer.subscribe(&[TOPIC])?;
    while !stop.load(Ordering::Relaxed) {
        // What the poll before handed out counts as done from here on, and is committed with the next auto-commit.
        let jobs = match consumer.poll(10, Duration::from_millis(100)).await {
            Ok(jobs) => jobs,
            Err(error) if error.is_fatal() => return Err(error.into()),
            // The other partitions flow; this one goes on by itself or says what it needs.
            Err(error) => {
                eprintln!("{error}");
                continue;
            }
        };
        for job in jobs {
            let name = String::from_utf8_lossy(&job.value.unwrap_or_default()).into_owned();
            if let Ok(mut done) = done.lock() {
                *done.entry(name).or_default() += 1;
            }
        }
    }
    // Everything in hand is done: it is committed, the partitions go, and the group knows at once.
    let report = consumer.close(Duration::from_secs(10)).await?;
    for rebalance in consumer.take_rebalances() {
        println!(
            "{} ({}): {} went, {} came, after {:?}",
            rebalance.cause,
            rebalance.generation,
            rebalance.revoked.len(),
            rebalance.assigned.len(),
            rebalance.preparing + rebalance.joining + rebalance.taking,
        );
    }
    println!(
        "a worker has stopped; the group knows: {}",
        report.left_group
    );
    Ok(())
}
