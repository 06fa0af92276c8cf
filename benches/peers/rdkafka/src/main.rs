//! rust-rdkafka (librdkafka). Modes: `produce` (BaseProducer), `consume` (BaseConsumer, or the C batch call with
//! `--variant batch`), and for the runner `create` and `delete` a topic.

use klamm_peer_common::{Args, Phase, Seen, values};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::bindings as c;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Delivered(Arc<AtomicU64>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.0.fetch_add(1, Ordering::Relaxed),
            Err((e, _)) => panic!("delivery failed: {e}"),
        };
    }
}

fn config(args: &Args) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.brokers);
    config
}

fn produce(args: &Args) {
    let delivered = Delivered::default();
    let producer: BaseProducer<Delivered> = config(args)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", args.linger_ms.to_string())
        .set("batch.size", args.batch.to_string())
        .set("batch.num.messages", "1000000")
        .set("queue.buffering.max.messages", args.window.to_string())
        .set("queue.buffering.max.kbytes", "1048576")
        .set("compression.codec", &args.compression)
        .create_with_context(delivered.clone())
        .expect("a producer");
    producer
        .client()
        .fetch_metadata(Some(&args.topic), LIMIT)
        .expect("metadata");
    let values = values(args.size, 4096);
    let partitions = u64::from(args.partitions.unsigned_abs());
    let run = |records: u64| {
        for i in 0..records {
            let mut record = BaseRecord::<(), [u8]>::to(&args.topic)
                .partition((i % partitions) as i32)
                .payload(&values[(i & 4095) as usize]);
            while let Err((error, back)) = producer.send(record) {
                assert!(
                    matches!(
                        error,
                        KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
                    ),
                    "send failed: {error}"
                );
                record = back;
                producer.poll(Duration::from_millis(5));
            }
            if i & 1023 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(LIMIT).expect("all delivered");
    };
    run(args.warmup);
    let phase = Phase::begin();
    run(args.records);
    assert_eq!(
        delivered.0.load(Ordering::Relaxed),
        args.records + args.warmup,
        "records delivered"
    );
    phase.produced(args.records);
}

fn consumer(args: &Args) -> BaseConsumer {
    config(args)
        .set("group.id", "klamm-bench")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .expect("a consumer")
}

fn from_the_beginning(args: &Args) -> TopicPartitionList {
    let mut partitions = TopicPartitionList::new();
    for partition in 0..args.partitions {
        partitions
            .add_partition_offset(&args.topic, partition, Offset::Beginning)
            .expect("a partition once");
    }
    partitions
}

fn consume(args: &Args) {
    let consumer = consumer(args);
    let phase = Phase::begin();
    consumer
        .assign(&from_the_beginning(args))
        .expect("assigned");
    let mut seen = Seen::default();
    while seen.records < args.records {
        let message = consumer
            .poll(LIMIT)
            .expect("a record in time")
            .expect("a record");
        seen.add(message.payload().expect("a value"), message.offset());
    }
    phase.consumed(seen);
}

/// The C batch call: the least that librdkafka costs.
fn consume_batch(args: &Args) {
    let consumer = consumer(args);
    let phase = Phase::begin();
    consumer
        .assign(&from_the_beginning(args))
        .expect("assigned");
    let mut seen = Seen::default();
    let mut messages: Vec<*mut c::rd_kafka_message_t> = vec![std::ptr::null_mut(); 1000];
    // SAFETY: the handle lives as long as `consumer`, the queue is released once, and each message is released once, after its
    // value was read.
    unsafe {
        let queue = c::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        while seen.records < args.records {
            let limit = LIMIT.as_millis() as i32;
            let taken = c::rd_kafka_consume_batch_queue(
                queue,
                limit,
                messages.as_mut_ptr(),
                messages.len(),
            );
            assert!(taken > 0, "no record within {LIMIT:?}");
            for message in &messages[..taken.cast_unsigned()] {
                let record = &**message;
                assert_eq!(record.err as i32, 0, "error of a fetch");
                let value = std::slice::from_raw_parts(record.payload.cast::<u8>(), record.len);
                seen.add(value, record.offset);
                c::rd_kafka_message_destroy(*message);
            }
        }
        c::rd_kafka_queue_destroy(queue);
    }
    phase.consumed(seen);
}

fn create(args: &Args) {
    let admin: AdminClient<DefaultClientContext> = config(args).create().expect("an admin client");
    let topic = NewTopic::new(&args.topic, args.partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let results =
        futures_executor::block_on(admin.create_topics([&topic], &options)).expect("an answer");
    results
        .into_iter()
        .for_each(|result| drop(result.expect("created")));
}

fn delete(args: &Args) {
    let admin: AdminClient<DefaultClientContext> = config(args).create().expect("an admin client");
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let results = futures_executor::block_on(admin.delete_topics(&[&args.topic], &options))
        .expect("an answer");
    results
        .into_iter()
        .for_each(|result| drop(result.expect("deleted")));
}

fn main() {
    let args = Args::parse();
    match (args.mode.as_str(), args.variant.as_str()) {
        ("produce", "") => produce(&args),
        ("consume", "") => consume(&args),
        ("consume", "batch") => consume_batch(&args),
        ("create", "") => create(&args),
        ("delete", "") => delete(&args),
        other => panic!("no such mode and variant: {other:?}"),
    }
    // What it takes to go down is not part of the work.
    std::process::exit(0);
}
