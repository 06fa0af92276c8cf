//! Klamm on tokio, with the flags and the JSON line of the comparison: `peer MODE [--flag value]...`.
//!
//! Modes: `produce` (records handed over many at a time; `--variant future`: a future a record), `consume` (batches with
//! borrowed records; `--variant record`: one record at a time, owning its bytes), `latency` (`--rate` records a second,
//! from the producer's hand to the consumer's), `idle` (what a consumer costs while nothing happens).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use klamm_peer_common::{Args, Phase, Seen, percentiles, values};
use klamm_tokio::{
    Assignment, BatchDelivery, Consumer, ConsumerConfig, NewRecord, Outcome, Producer,
    ProducerConfig, RecordRef, Start, Tokio,
};

/// How long a broker may be silent.
const LIMIT: Duration = Duration::from_secs(60);

/// Records of one partition that are handed over at once.
const AT_ONCE: usize = 256;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match (args.mode.as_str(), args.variant.as_str()) {
            ("produce", "") => produce(&args).await,
            ("produce", "future") => produce_futures(&args).await,
            ("consume", "") => consume(&args).await,
            ("consume", "record") => consume_records(&args).await,
            ("latency", "") => latency(&args).await,
            ("idle", "") => idle(&args).await,
            (mode, variant) => Err(format!("no mode {mode} with variant {variant:?}").into()),
        }
    })
}

fn producer(args: &Args) -> Result<Producer> {
    let (linger, batch) = (args.linger_ms.to_string(), args.batch.to_string());
    let config = ProducerConfig::from_properties([
        ("bootstrap.servers", args.brokers.as_str()),
        ("linger.ms", linger.as_str()),
        ("batch.size", batch.as_str()),
        ("compression.type", args.compression.as_str()),
    ])?;
    Ok(Producer::start(&config, Tokio::current())?)
}

fn consumer(args: &Args, start: Start) -> Result<Consumer> {
    let config = ConsumerConfig::bootstrap(&args.brokers)?;
    let consumer = Consumer::start(&config, Tokio::current())?;
    let partitions: Vec<Assignment<'_>> = (0..args.partitions)
        .map(|partition| Assignment {
            topic: &args.topic,
            partition,
            start,
        })
        .collect();
    consumer.assign(&partitions)?;
    Ok(consumer)
}

/// Counts the records of a delivery, all of which must be written.
async fn delivered(delivery: BatchDelivery) -> Result<u64> {
    let mut count = 0;
    for part in delivery.await {
        match part.outcome {
            Outcome::Delivered { .. } => count += part.records.len() as u64,
            Outcome::Rejected(error) | Outcome::Unknown(error) => return Err(error.into()),
            Outcome::Sent => return Err("sent without being confirmed".into()),
        }
    }
    Ok(count)
}

async fn produce(args: &Args) -> Result<()> {
    let producer = producer(args)?;
    let topic = producer.topic(&args.topic)?;
    let values = values(args.size, 4096);
    let partitions = u64::from(args.partitions.unsigned_abs());
    let run = async |records: u64| -> Result<u64> {
        let (mut next, mut under_way, mut done) = (0, VecDeque::new(), 0);
        let mut accepted = 0;
        while next < records {
            let timestamp = producer.timestamp();
            let end = records.min(next + AT_ONCE as u64 * partitions);
            for partition in 0..partitions {
                // Record i goes to partition i % partitions.
                let first = next + (partition + partitions - next % partitions) % partitions;
                let mut some = [RecordRef::new(timestamp, None, None); AT_ONCE];
                let mut count = 0;
                let numbers = (first..end).step_by(usize::try_from(partitions)?);
                for (record, i) in some.iter_mut().zip(numbers) {
                    record.value = Some(&values[(i & 4095) as usize]);
                    count += 1;
                }
                let partition = Some(i32::try_from(partition)?);
                let delivery = producer
                    .enqueue_all(topic, partition, &some[..count])
                    .await?;
                accepted += count;
                under_way.push_back(delivery);
            }
            next = end;
            while accepted - usize::try_from(done)? > args.window {
                done += delivered(under_way.pop_front().ok_or("a delivery")?).await?;
            }
        }
        producer.flush().await?;
        for delivery in under_way {
            done += delivered(delivery).await?;
        }
        Ok(done)
    };
    run(args.warmup).await?;
    let phase = Phase::begin();
    let done = run(args.records).await?;
    assert_eq!(done, args.records, "records delivered");
    phase.produced(done);
    Ok(())
}

async fn produce_futures(args: &Args) -> Result<()> {
    let producer = producer(args)?;
    let topic = producer.topic(&args.topic)?;
    let values = values(args.size, 4096);
    let partitions = u64::from(args.partitions.unsigned_abs());
    let run = async |records: u64| -> Result<u64> {
        let (mut under_way, mut done) = (VecDeque::new(), 0);
        for i in 0..records {
            let record = NewRecord::to(topic)
                .partition(i32::try_from(i % partitions)?)
                .value(&values[(i & 4095) as usize]);
            under_way.push_back(producer.enqueue(record).await?);
            if under_way.len() > args.window {
                under_way.pop_front().ok_or("a delivery")?.await?;
                done += 1;
            }
        }
        producer.flush().await?;
        for delivery in under_way {
            delivery.await?;
            done += 1;
        }
        Ok(done)
    };
    run(args.warmup).await?;
    let phase = Phase::begin();
    let done = run(args.records).await?;
    assert_eq!(done, args.records, "records delivered");
    phase.produced(done);
    Ok(())
}

async fn consume(args: &Args) -> Result<()> {
    let phase = Phase::begin();
    let consumer = consumer(args, Start::Beginning)?;
    let mut seen = Seen::default();
    while seen.records < args.records {
        let mut batch = tokio::time::timeout(LIMIT, consumer.next_batch()).await??;
        for record in batch.records() {
            seen.add(record.value.unwrap_or_default(), record.offset);
        }
    }
    phase.consumed(seen);
    Ok(())
}

async fn consume_records(args: &Args) -> Result<()> {
    let phase = Phase::begin();
    let consumer = consumer(args, Start::Beginning)?;
    let mut seen = Seen::default();
    while seen.records < args.records {
        let record = consumer.recv().await?;
        seen.add(record.value.as_deref().unwrap_or_default(), record.offset);
    }
    phase.consumed(seen);
    Ok(())
}

async fn latency(args: &Args) -> Result<()> {
    let consumer = consumer(args, Start::End)?;
    let producer = producer(args)?;
    let topic = producer.topic(&args.topic)?;
    let all = args.warmup + args.records;
    let start = Instant::now();
    let micros = move || u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    // The consumer must stand at the end before the first record comes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let reading = tokio::spawn(async move {
        let mut latencies = Vec::new();
        while (latencies.len() as u64) < all {
            let mut batch = consumer.next_batch().await?;
            let now = micros();
            for record in batch.records() {
                let sent = record.value.and_then(|value| value.first_chunk::<8>());
                latencies.push(now - sent.map_or(now, |sent| u64::from_le_bytes(*sent)));
            }
        }
        Ok::<_, klamm::Error>(latencies)
    });
    let values = values(args.size.max(8), 64);
    let mut acknowledging = Vec::new();
    let mut phase = Phase::begin();
    let began = Instant::now();
    for i in 0..all {
        if i == args.warmup {
            phase = Phase::begin();
        }
        let at = began + Duration::from_micros(i * 1_000_000 / args.rate);
        tokio::time::sleep_until(at.into()).await;
        let mut value = values[(i & 63) as usize].clone();
        let sent = micros();
        value[..8].copy_from_slice(&sent.to_le_bytes());
        let partition = i32::try_from(i % u64::from(args.partitions.unsigned_abs()))?;
        let record = NewRecord::to(topic).partition(partition).value(&value);
        let delivery = producer.enqueue(record).await?;
        acknowledging.push(tokio::spawn(async move {
            delivery.await.map(|_| micros() - sent)
        }));
    }
    let measured = usize::try_from(args.warmup)?;
    let mut acknowledged = Vec::new();
    for one in acknowledging {
        acknowledged.push(one.await??);
    }
    let latencies = tokio::time::timeout(LIMIT, reading).await???;
    let more = [
        percentiles("e2e", latencies[measured..].to_vec()),
        percentiles("ack", acknowledged[measured..].to_vec()),
    ];
    phase.ended(args.records, &more.concat());
    Ok(())
}

async fn idle(args: &Args) -> Result<()> {
    let consumer = consumer(args, Start::End)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let phase = Phase::begin();
    let waited = tokio::time::timeout(Duration::from_secs(args.seconds), consumer.next_batch());
    if waited.await.is_ok() {
        return Err("the topic is not idle".into());
    }
    phase.ended(0, "");
    Ok(())
}
