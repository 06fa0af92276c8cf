//! What goes wrong by others' hands, and what the user is told of it: one row for each, with the kind of error, where it
//! happened and what to do. Whole clients on real sockets; the brokers are `klamm-cluster` or a few bytes of this file.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use klamm::record::{BatchBuilder, BatchProducer, RecordRef};
use klamm::{ApiKey, ConnectionGroup, Error, ErrorKind, OffsetAndMetadata, TopicPartition};
use klamm_cluster::{ClusterConfig, Moment, NewTopic, Server, TopicConfig};
use klamm_tokio::{
    Assignment, Consumer, ConsumerConfig, NewRecord, Producer, ProducerConfig, RawRequest,
    SendError, Start, Tokio,
};

/// How long a producer waits for what it needs before it gives a record back.
const MAX_BLOCK: Duration = Duration::from_millis(700);

/// What an error says of itself: kind, broker, step, topic and partition, hint.
fn row(error: &Error) -> String {
    let kind = if let ErrorKind::Config { key } = error.kind() {
        format!("Config {key}")
    } else if let ErrorKind::Broker(code) = error.kind() {
        format!("Broker {}", code.name().unwrap_or("unknown"))
    } else {
        let whole = format!("{:?}", error.kind());
        let end = whole.find([' ', '{']).unwrap_or(whole.len());
        whole[..end].to_owned()
    };
    let place = match (error.topic(), error.partition()) {
        (Some(topic), Some(partition)) => format!("{topic}-{partition}"),
        (Some(topic), None) => topic.to_owned(),
        (None, _) => String::new(),
    };
    [
        kind,
        error.broker().unwrap_or_default().to_owned(),
        error
            .step()
            .map(|step| step.to_string())
            .unwrap_or_default(),
        place,
        error.hint().unwrap_or_default().to_owned(),
    ]
    .join(" | ")
}

/// A server that writes `answer` to whatever it is sent, and goes on with `rest` of every request if there is one.
fn broker_that_says(answer: fn(&[u8]) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let mut request = [0; 512];
            // A client that hangs up first is none of this server's business.
            let Ok(length) = socket.read(&mut request) else {
                continue;
            };
            let _ = socket.write_all(&answer(&request[..length]));
            let _ = socket.read(&mut request);
        }
    });
    address
}

/// A frame with the correlation id of the request that it answers.
fn frame(request: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(4 + body.len()).expect("it is small");
    let correlation_id = request.get(8..12).unwrap_or(&[0; 4]);
    [&size.to_be_bytes()[..], correlation_id, body].concat()
}

fn producer(bootstrap: &str) -> Producer {
    let config = ProducerConfig::bootstrap(bootstrap)
        .expect("addresses")
        .max_block(MAX_BLOCK);
    Producer::start(&config, Tokio::current()).expect("a valid configuration")
}

fn consumer(bootstrap: &str, topic: &str, partition: i32) -> Consumer {
    let config = ConsumerConfig::bootstrap(bootstrap).expect("addresses");
    let consumer = Consumer::start(&config, Tokio::current()).expect("a valid configuration");
    let start = Start::Beginning;
    consumer
        .assign(&[Assignment {
            topic,
            partition,
            start,
        }])
        .expect("assigned");
    consumer
}

async fn refused(producer: &Producer, record: NewRecord<'_>) -> Error {
    match producer.send(record).await {
        Err(SendError::Rejected(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The first error, after whatever is right.
async fn complaint(consumer: &Consumer) -> Error {
    loop {
        match consumer.next_batch().await {
            Ok(batch) => drop(batch),
            Err(error) => break error,
        }
    }
}

/// What both kinds of clients say of something that is no broker.
async fn both(bootstrap: &str) -> (Error, Error) {
    let of_producer = refused(&producer(bootstrap), NewRecord::to("t").value("x")).await;
    (of_producer, complaint(&consumer(bootstrap, "t", 0)).await)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    let limited = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    runtime.block_on(limited).expect("it ends within a minute")
}

#[test]
fn what_is_no_broker() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port that is free again");
    let http = broker_that_says(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let huge = broker_that_says(|_| 0x7fff_ffff_u32.to_be_bytes().to_vec());
    let negative = broker_that_says(|request| frame(request, &[0, 35, 0xff, 0xff, 0xff, 0xfe]));
    for (address, kind, step, hint) in [
        (
            nobody,
            "Disconnected",
            "connecting",
            "check that a broker is running there and that the port is right",
        ),
        (
            http,
            "Protocol",
            "negotiating API versions",
            "check host and port, and that security.protocol fits the listener",
        ),
        (
            huge,
            "FrameTooLarge",
            "negotiating API versions",
            "check that the port is that of a Kafka listener, and lower `fetch.max.bytes` if it is",
        ),
        (
            negative,
            "Protocol",
            "negotiating API versions",
            "check that the port is that of a Kafka listener",
        ),
    ] {
        let (of_producer, of_consumer) = run(both(&address.to_string()));
        let broker = format!("bootstrap server 0 ({address})");
        assert_eq!(
            row(&of_consumer),
            format!("{kind} | {broker} | {step} |  | {hint}")
        );
        // The record was given back after `max.block.ms`, and why is part of what is said.
        assert_eq!(
            row(&of_producer),
            format!("TimedOut | {broker} | finding the topic's leaders | t | {hint}")
        );
        assert!(of_producer.to_string().contains(step), "{of_producer}");
    }
}

/// A cluster with a topic that takes small records only, and one with a damaged batch in it.
fn cluster() -> Server {
    let mut config = ClusterConfig::with_nodes(1);
    config.auto_create_topics = false;
    let server = Server::start(config).expect("a cluster");
    let narrow = NewTopic {
        partitions: 1,
        replication_factor: 1,
        config: TopicConfig {
            max_message_bytes: 10_000,
            ..TopicConfig::default()
        },
    };
    let mut builder = BatchBuilder::new(BytesMut::new(), 1000);
    builder
        .try_append(&RecordRef::new(1, None, Some(b"value")))
        .expect("it fits");
    let batch = builder.finish().expect("a record");
    let mut batch = batch.seal(BatchProducer::None).to_vec();
    *batch.last_mut().expect("bytes") ^= 1;
    server
        .with(|cluster| {
            cluster.create_topic("t", 1)?;
            cluster.create_topic("damaged", 1)?;
            cluster.create_topic_with("narrow", narrow)?;
            cluster.append_batch("damaged", 0, &batch)
        })
        .expect("topics");
    server
}

#[test]
fn what_a_broker_cannot_take() {
    let server = cluster();
    let bootstrap = server.bootstrap();
    run(async {
        let producer = producer(&bootstrap);
        for (record, told) in [
            (
                NewRecord::to("nowhere").value("x"),
                "UnknownTopic |  | finding the topic's leaders | nowhere | create the topic, or allow its creation \
                 (`allow.auto.create.topics`, and the broker's `auto.create.topics.enable`)",
            ),
            (
                NewRecord::to("no/topic").value("x"),
                "Broker INVALID_TOPIC_EXCEPTION |  | producing | no/topic | a topic's name has 1 to 249 of the \
                 characters a-z A-Z 0-9 . _ -",
            ),
            (
                NewRecord::to("t").partition(7).value("x"),
                "UnknownPartition |  | producing | t-7 | choose one below that, or none",
            ),
            (
                NewRecord::to("t").value(&"x".repeat(2 << 20)),
                "RecordTooLarge |  | producing | t-0 | raise `max.request.size`, or send smaller records",
            ),
            (
                NewRecord::to("narrow").value(&"x".repeat(20_000)),
                "Broker MESSAGE_TOO_LARGE | broker 1 | producing | narrow-0 | raise max.message.bytes of the topic, \
                 or send smaller records",
            ),
        ] {
            assert_eq!(row(&refused(&producer, record).await), told);
        }
    });
}

#[test]
fn what_cannot_be_read() {
    let server = cluster();
    let bootstrap = server.bootstrap();
    run(async {
        for (topic, partition, told) in [
            (
                "nowhere",
                0,
                "UnknownTopic |  | finding the topic's leaders | nowhere-0 | create the topic or correct its name; it is \
                 picked up as soon as it exists",
            ),
            (
                "t",
                7,
                "UnknownPartition |  | finding the topic's leaders | t-7 | assign a partition that exists; this one is \
                 picked up as soon as it does",
            ),
            (
                "damaged",
                0,
                "Corrupt | broker 1 | fetching | damaged-0 | seek to a later offset to skip what cannot be read",
            ),
        ] {
            let consumer = consumer(&bootstrap, topic, partition);
            assert_eq!(row(&complaint(&consumer).await), told);
        }
    });
}

#[test]
fn calls_that_make_no_sense() {
    let server = cluster();
    run(async {
        let consumer = consumer(&server.bootstrap(), "t", 0);
        let error = consumer.seek("t", 1, Start::End).expect_err("refused");
        assert_eq!(
            row(&error),
            "NotAssigned |  |  | t-1 | assign the partition first"
        );
        let offsets = vec![(TopicPartition::new("t", 0), OffsetAndMetadata::new(1))];
        let error = consumer.commit_offsets(offsets).await.expect_err("refused");
        let error = error.first().expect("an error");
        assert_eq!(row(error), "NoGroupId |  |  |  | set group.id");
        let request = RawRequest {
            api: ApiKey(999),
            version: 0,
            flexible: false,
            body: Bytes::new(),
            to: None,
            group: ConnectionGroup::Default,
            timeout: Duration::from_secs(5),
        };
        let error = consumer.request(request).await.expect_err("refused");
        let broker = format!("bootstrap server 0 ({})", server.addresses()[0]);
        assert_eq!(
            row(&error),
            format!(
                "Unsupported | {broker} | carrying out the request |  | use a broker that has this API"
            )
        );
    });
}

#[test]
fn a_buffer_that_is_full() {
    let server = cluster();
    // Nothing that is sent frees memory for a while.
    let delay = klamm::Duration::from_secs(1);
    server.with(|cluster| cluster.on(ApiKey::PRODUCE).delay(delay, Moment::Before));
    run(async {
        let config = ProducerConfig::bootstrap(&server.bootstrap())
            .expect("addresses")
            .buffer_memory(1_usize << 20);
        let producer = Producer::start(&config, Tokio::current()).expect("a valid configuration");
        let value = "x".repeat(10_000);
        let record = || NewRecord::to("t").value(&value);
        let mut accepted = vec![producer.enqueue(record()).await.expect("accepted")];
        let refused = loop {
            match producer.try_enqueue(record()) {
                Ok(delivery) => accepted.push(delivery),
                Err(refused) => break refused,
            }
        };
        assert_eq!(
            row(&refused.error),
            "BufferFull |  | producing | t | wait with `enqueue`, produce more slowly, or raise `buffer.memory`"
        );
        assert_eq!(refused.record.value, Some(value.as_bytes()));
        for delivery in accepted {
            delivery.await.expect("what was accepted is delivered");
        }
    });
}

#[test]
fn settings_that_cannot_be() {
    for (properties, told) in [
        (
            ("linger.mss", "5"),
            "Config linger.mss |  |  |  | did you mean `linger.ms`?",
        ),
        (("linger.ms", "soon"), "Config linger.ms |  |  |  | "),
        (
            ("bootstrap.servers", "localhost"),
            "Config bootstrap.servers |  |  |  | ",
        ),
    ] {
        let error = ProducerConfig::from_properties([properties]).expect_err("refused");
        assert_eq!(row(&error), told, "{error}");
    }
}
