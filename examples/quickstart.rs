//! The main job from end to end: every line of a text goes through Kafka as a keyed record, and a second client reads
//! all of them back and checks that none is missing, doubled or out of its order.
//!
//! ```text
//! cargo run --release --example quickstart                                    # on a cluster in memory
//! cargo run --release --example quickstart -- --bootstrap localhost:9092      # on any Kafka
//! cargo run --release --example quickstart -- --partitions 12 my.log          # with another text; `-` is standard input
//! cargo run --release --example quickstart -- --record run                    # and records both clients for `replay`
//! ```

use std::error::Error;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use klamm::messages::{
    CreatableTopic, CreateTopicsRequest, CreateTopicsResponse, MetadataRequest, MetadataResponse,
};
use klamm::wire::{Message, Reader, Request, Writer};
use klamm::{ConnectionGroup, ErrorCode, NodeId};
use klamm_cluster::{ClusterConfig, Server};
use klamm_tokio::{
    Assignment, Consumer, ConsumerConfig, HeaderRef, NewRecord, Producer, ProducerConfig,
    RawRequest, Start, Tokio, TopicPartition,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The text that is used when none is named.
const DEFAULT_TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/access.log");

/// The header in which a record says which line it is.
const LINE: &str = "line";

/// How long the cluster may be silent before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(arguments))
}

struct Arguments {
    bootstrap: Option<String>,
    partitions: i32,
    /// Both clients are recorded into files of this name, with `.producer` and `.consumer`.
    record: Option<String>,
    text: String,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let usage =
            "usage: quickstart [--bootstrap HOST:PORT] [--partitions N] [--record NAME] [FILE | -]";
        let mut arguments = Self {
            bootstrap: None,
            partitions: 6,
            record: None,
            text: DEFAULT_TEXT.into(),
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bootstrap" => arguments.bootstrap = Some(words.next().ok_or(usage)?),
                "--partitions" => arguments.partitions = words.next().ok_or(usage)?.parse()?,
                "--record" => arguments.record = Some(words.next().ok_or(usage)?),
                "-h" | "--help" => {
                    println!("{usage}");
                    std::process::exit(0);
                }
                other if other.starts_with("--") => {
                    return Err(format!("unknown option {other}; {usage}").into());
                }
                _ => arguments.text = word,
            }
        }
        Ok(arguments)
    }

    fn lines(&self) -> Result<Vec<String>> {
        let mut text = String::new();
        if self.text == "-" {
            std::io::stdin().read_to_string(&mut text)?;
        } else {
            text = std::fs::read_to_string(&self.text)
                .map_err(|error| format!("{}: {error}", self.text))?;
        }
        let lines: Vec<String> = text.lines().map(String::from).collect();
        if lines.is_empty() {
            return Err(format!("{}: there is no line in it", self.text).into());
        }
        Ok(lines)
    }
}

/// What is known of the run while it goes on.
struct Run {
    lines: Vec<String>,
    start: Instant,
    /// When each line was handed to the producer, in nanoseconds since the start.
    handed_over: Vec<AtomicU64>,
    written: AtomicUsize,
    read: AtomicUsize,
}

async fn run(arguments: Arguments) -> Result<()> {
    let lines = arguments.lines()?;
    // The cluster in memory lives until the end of this function.
    let (_server, bootstrap) = match &arguments.bootstrap {
        Some(bootstrap) => (None, bootstrap.clone()),
        None => {
            let server = Server::start(ClusterConfig::with_nodes(3).unrecorded())?;
            let bootstrap = server.bootstrap();
            (Some(server), bootstrap)
        }
    };
    let place = match arguments.bootstrap {
        Some(_) => "Kafka",
        None => "a cluster in memory",
    };
    println!(
        "{} lines of {}, through {place} at {bootstrap}",
        lines.len(),
        arguments.text
    );

    let (producer, consumer) = start(&bootstrap, arguments.record.as_deref())?;
    let topic = format!(
        "klamm-quickstart-{}",
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis()
    );
    create_topic(&producer, &topic, arguments.partitions).await?;

    let run = Arc::new(Run {
        handed_over: lines.iter().map(|_| AtomicU64::new(0)).collect(),
        lines,
        start: Instant::now(),
        written: AtomicUsize::new(0),
        read: AtomicUsize::new(0),
    });
    let reading = tokio::spawn(read(
        Arc::clone(&run),
        consumer,
        topic.clone(),
        arguments.partitions,
    ));
    let showing = tokio::spawn(show_progress(Arc::clone(&run)));
    let written = write(&run, &producer, &topic).await?;
    let read = reading.await??;
    showing.abort();
    eprintln!("\r{}", run.progress());

    check(&run, &written, &read)?;
    let undone = producer.close(PATIENCE).await?;
    if undone != klamm::CloseReport::default() {
        return Err(format!("the producer left work undone: {undone:?}").into());
    }
    summary(&run, &read);
    Ok(())
}

/// Starts both clients.
fn start(bootstrap: &str, record: Option<&str>) -> Result<(Producer, Consumer)> {
    let produce = ProducerConfig::bootstrap(bootstrap)?;
    let consume = ConsumerConfig::bootstrap(bootstrap)?;
    let runtime = Tokio::current();
    let Some(name) = record else {
        let producer = Producer::start(&produce, runtime.clone())?;
        return Ok((producer, Consumer::start(&consume, runtime)?));
    };
    let file = |role| std::fs::File::create(format!("{name}.{role}"));
    let producer = Producer::start_recorded(&produce, runtime.clone(), file("producer")?)?;
    let consumer = Consumer::start_recorded(&consume, runtime, file("consumer")?)?;
    Ok((producer, consumer))
}

/// Creates the topic by a request made by hand, at the broker that decides about topics.
async fn create_topic(producer: &Producer, topic: &str, partitions: i32) -> Result<()> {
    let about_nothing = MetadataRequest {
        topics: Some(Vec::new()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let metadata: MetadataResponse = ask(producer, &about_nothing, 7, None).await?;
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 30_000,
        ..CreateTopicsRequest::default()
    };
    let controller = Some(NodeId(metadata.controller_id)).filter(|node| node.0 >= 0);
    let answer: CreateTopicsResponse = ask(producer, &request, 3, controller).await?;
    for created in answer.topics {
        if created.error_code != 0 {
            let code = ErrorCode(created.error_code);
            let why = created.error_message.as_deref().unwrap_or_default();
            return Err(format!("topic {topic} was not created: {code}: {why}").into());
        }
    }
    Ok(())
}

/// Sends one request, in a version that all brokers since 2.1 know.
async fn ask<R: Request>(
    producer: &Producer,
    request: &R,
    version: i16,
    to: Option<NodeId>,
) -> Result<R::Response> {
    let mut writer = Writer::new(BytesMut::new());
    request.encode(&mut writer, version)?;
    let response = producer
        .request(RawRequest {
            api: R::KEY,
            version,
            flexible: false,
            body: writer.finish().to_vec().into(),
            to,
            group: ConnectionGroup::Default,
            timeout: PATIENCE,
        })
        .await?;
    Ok(R::Response::decode(
        &mut Reader::new(response.body),
        version,
    )?)
}

/// For each partition, the lines in it, in their order.
type Partitions = Vec<Vec<usize>>;

/// Writes every line as a record, keyed by its first word, and waits until all are known to be written.
async fn write(run: &Run, producer: &Producer, topic: &str) -> Result<Partitions> {
    let topic = producer.topic(topic)?;
    let mut partitions = Partitions::new();
    let mut deliveries = Vec::with_capacity(run.lines.len());
    for (number, line) in run.lines.iter().enumerate() {
        let key = line.split_whitespace().next().unwrap_or_default();
        let line_number = number.to_be_bytes();
        let headers = [HeaderRef::new(LINE, Some(&line_number))];
        run.handed_over[number].store(run.now(), Ordering::Relaxed);
        let record = NewRecord::to(topic).key(key).value(line).headers(&headers);
        // The order in which records are accepted is their order in the log.
        let delivery = producer.enqueue(record).await?;
        let partition = usize::try_from(delivery.partition())?;
        if partitions.len() <= partition {
            partitions.resize_with(partition + 1, Vec::new);
        }
        partitions[partition].push(number);
        deliveries.push(delivery);
    }
    for delivery in deliveries {
        delivery.await?;
        run.written.fetch_add(1, Ordering::Relaxed);
    }
    Ok(partitions)
}

/// What came back.
#[derive(Default)]
struct ReadBack {
    partitions: Partitions,
    /// From handing a line over until it was read back, in nanoseconds.
    latencies: Vec<u64>,
    bytes: usize,
    /// From handing the first line over until the last one was read back.
    took: Duration,
}

/// Reads until there is a record for every line.
async fn read(
    run: Arc<Run>,
    consumer: Consumer,
    topic: String,
    partitions: i32,
) -> Result<ReadBack> {
    let assignments: Vec<Assignment<'_>> = (0..partitions)
        .map(|partition| Assignment {
            topic: &topic,
            partition,
            start: Start::Beginning,
        })
        .collect();
    consumer.assign(&assignments)?;
    let mut back = ReadBack::default();
    back.partitions.resize_with(assignments.len(), Vec::new);
    while run.read.load(Ordering::Relaxed) < run.lines.len() {
        let next = tokio::time::timeout(PATIENCE, consumer.next_batch());
        let mut batch = match next.await.map_err(|_| "no record came for half a minute")? {
            Ok(batch) => batch,
            Err(error) if error.is_retriable() => {
                eprintln!("\n{error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let partition = usize::try_from(batch.partition())?;
        let now = run.now();
        let mut count = 0;
        for record in batch.records() {
            let header = record.headers.last(LINE).and_then(|header| header.value);
            let number =
                usize::from_be_bytes(header.ok_or("a record without its line")?.try_into()?);
            let line = run
                .lines
                .get(number)
                .ok_or("a record of a line that there is not")?;
            let key = line.split_whitespace().next().unwrap_or_default();
            if (record.key, record.value) != (Some(key.as_bytes()), Some(line.as_bytes())) {
                return Err(format!("line {number} came back changed").into());
            }
            let since = run.handed_over[number].load(Ordering::Relaxed);
            back.latencies.push(now.saturating_sub(since));
            back.bytes += key.len() + line.len();
            back.partitions[partition].push(number);
            count += 1;
        }
        run.read.fetch_add(count, Ordering::Relaxed);
    }
    back.took = run.start.elapsed();
    // A doubled last record would lie behind all that was read.
    let all: Vec<TopicPartition> = (0..partitions)
        .map(|partition| TopicPartition::new(&topic, partition))
        .collect();
    for (place, end) in consumer.end_offsets(&all).await? {
        let read = back.partitions[usize::try_from(place.partition)?].len();
        let end = end?.map_or(0, |end| end.offset);
        if usize::try_from(end)? != read {
            return Err(format!("{place} has {end} records, of which {read} were read").into());
        }
    }
    consumer.close(PATIENCE).await?;
    Ok(back)
}

/// Every line once, in its partition, in the order in which it was written.
fn check(run: &Run, written: &Partitions, back: &ReadBack) -> Result<()> {
    let mut seen = vec![0_usize; run.lines.len()];
    for number in back.partitions.iter().flatten() {
        seen[*number] += 1;
    }
    let missing = seen.iter().filter(|times| **times == 0).count();
    let doubled = seen.iter().filter(|times| **times > 1).count();
    let moved = (0..back.partitions.len())
        .filter(|partition| {
            let written = written.get(*partition).map_or(&[][..], Vec::as_slice);
            back.partitions[*partition] != written
        })
        .count();
    if (missing, doubled, moved) != (0, 0, 0) {
        return Err(format!(
            "{missing} lines are missing, {doubled} are doubled, {moved} partitions have them in another order"
        )
        .into());
    }
    Ok(())
}

impl Run {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn progress(&self) -> String {
        let all = self.lines.len();
        let (written, read) = (
            self.written.load(Ordering::Relaxed),
            self.read.load(Ordering::Relaxed),
        );
        let filled = 30 * read / all;
        format!(
            "[{}{}] {written} written, {read} read back, of {all}",
            "#".repeat(filled),
            ".".repeat(30 - filled)
        )
    }
}

/// One line that is written again and again; where nobody watches, one now and then.
async fn show_progress(run: Arc<Run>) {
    let watched = std::io::stderr().is_terminal();
    let pause = Duration::from_millis(if watched { 50 } else { 2_000 });
    loop {
        let line = run.progress();
        if watched {
            eprint!("\r{line}");
        } else {
            eprintln!("{line}");
        }
        let _ = std::io::stderr().flush();
        tokio::time::sleep(pause).await;
    }
}

fn summary(run: &Run, back: &ReadBack) {
    let mut latencies = back.latencies.clone();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100] as f64 / 1e6;
    let used = back
        .partitions
        .iter()
        .filter(|lines| !lines.is_empty())
        .count();
    let records = latencies.len();
    println!("none missing, none doubled, all in order in {used} partitions");
    println!("records    {records}");
    println!("bytes      {}", back.bytes);
    println!("time       {:.3} s", back.took.as_secs_f64());
    println!("records/s  {:.0}", records as f64 / back.took.as_secs_f64());
    println!(
        "latency    p50 {:.1} ms, p99 {:.1} ms, from the producer's hand to the consumer's",
        at(50),
        at(99)
    );
    debug_assert_eq!(records, run.lines.len());
}
