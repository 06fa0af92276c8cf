//! Real mistakes, and the whole text that a user sees of each: `docs/mistakes.md`, which this test makes and holds against what
//! is said today. Whole clients on real sockets; the brokers are `klamm-cluster` or a few bytes of this file.
//!
//! `KLAMM_WRITE_DOCS=1 cargo test --test mistakes` writes the page anew.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use klamm::config::GroupProtocol;
use klamm::record::{BatchBuilder, BatchProducer, RecordRef};
use klamm::{
    ApiKey, ConnectionGroup, Error, ErrorCode, OffsetAndMetadata, SaslMechanism, TopicPartition,
};
use klamm_cluster::{ClusterConfig, Moment, NewTopic, SaslConfig, Server, TopicConfig};
use klamm_tokio::{
    Assignment, CommitError, Consumer, ConsumerConfig, NewRecord, Options, Producer,
    ProducerConfig, RawRequest, SendError, Start, Tokio,
};

const PAGE: &str = "docs/mistakes.md";

const HEAD: &str = "\
# Mistakes, and what they look like

What a user sees of each: the kind of the error (`ErrorKind`), whether trying again can help, and the whole text. Where the cluster in memory was asked for an error, its text is that of the cluster. `HOST:PORT` stands for an address, `N` for a number that depends on chance. This page is written by `tests/mistakes.rs`,
which makes each of these mistakes, and fails when one is told otherwise.
";

/// A mistake, and what was said of it.
type Told = (&'static str, Error);

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
            let answer = answer(&request[..length]);
            let _ = socket.write_all(&answer);
            // Who has nothing to say hangs up.
            if !answer.is_empty() {
                let _ = socket.read(&mut request);
            }
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
    let first = async {
        loop {
            match consumer.next_batch().await {
                Ok(batch) => drop(batch),
                Err(error) => break error,
            }
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(15), first).await;
    within.unwrap_or_else(|_| panic!("nothing is complained of:\n{}", consumer.status()))
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

fn config(properties: &[(&str, &str)]) -> Error {
    ProducerConfig::from_properties(properties.iter().copied()).expect_err("refused")
}

/// A producer that gives a record back soon.
fn producer(bootstrap: &str) -> Producer {
    let config = ProducerConfig::bootstrap(bootstrap)
        .expect("addresses")
        .max_block(Duration::from_millis(700));
    Producer::start(&config, Tokio::current()).expect("a valid configuration")
}

const HERE: (&str, &str) = ("bootstrap.servers", "kafka:9092");

fn settings() -> Vec<Told> {
    vec![
        ("A name is mistyped", config(&[HERE, ("linger.sm", "5")])),
        ("A time has a unit", config(&[HERE, ("linger.ms", "5s")])),
        ("No address", config(&[])),
        (
            "An address without a port",
            config(&[("bootstrap.servers", "kafka")]),
        ),
        (
            "An IPv6 address without brackets",
            config(&[("bootstrap.servers", "::1:9092")]),
        ),
        (
            "Too little memory",
            config(&[HERE, ("memory.budget", "1000")]),
        ),
        ("Idempotence with `acks=1`", config(&[HERE, ("acks", "1")])),
        (
            "Idempotence with too much in flight",
            config(&[HERE, ("max.in.flight", "10")]),
        ),
        (
            "A delivery timeout that no retry fits into",
            config(&[HERE, ("delivery.timeout.ms", "1000")]),
        ),
        (
            "A codec's level that is none",
            config(&[HERE, ("compression.gzip.level", "20")]),
        ),
        (
            "A setting of a consumer for a producer",
            config(&[HERE, ("group.id", "readers")]),
        ),
        (
            "Something that is not there yet",
            config(&[HERE, ("transactional.id", "t")]),
        ),
    ]
}

fn settings_of_security() -> Vec<Told> {
    let sasl = ("security.protocol", "SASL_SSL");
    vec![
        (
            "Java's way to give a password",
            config(&[HERE, ("sasl.jaas.config", "…")]),
        ),
        ("SASL without a mechanism", config(&[HERE, sasl])),
        (
            "A mechanism that is not there",
            config(&[HERE, sasl, ("sasl.mechanism", "GSSAPI")]),
        ),
        (
            "A mechanism, but no SASL",
            config(&[HERE, ("sasl.mechanism", "PLAIN")]),
        ),
        (
            "A password for everybody to read",
            config(&[
                HERE,
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.mechanism", "PLAIN"),
            ]),
        ),
        (
            "A broker whose name is not to be verified",
            config(&[HERE, ("ssl.endpoint.identification.algorithm", "")]),
        ),
    ]
}

fn settings_of_a_consumer() -> Vec<Told> {
    let group = |pair| ConsumerConfig::from_properties([HERE, pair]).expect_err("refused");
    vec![
        (
            "Requests that may not wait as long as a fetch",
            group(("fetch.max.wait.ms", "40000")),
        ),
        (
            "An assignor that nobody knows",
            group(("partition.assignment.strategy", "fair")),
        ),
        ("A reset to nowhere", group(("auto.offset.reset", "newest"))),
    ]
}

async fn reaching() -> Vec<Told> {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port that is free again");
    let mut told = Vec::new();
    for (title, address) in [
        ("Nobody listens there", nobody),
        (
            "A web server listens there",
            broker_that_says(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ),
        (
            "The port wants TLS",
            // A fatal alert: unexpected message (RFC 8446 section 6).
            broker_that_says(|_| vec![0x15, 3, 3, 0, 2, 2, 10]),
        ),
        (
            "Something closes the connection at once",
            broker_that_says(|_| Vec::new()),
        ),
        (
            "An answer of two gigabytes",
            broker_that_says(|_| 0x7fff_ffff_u32.to_be_bytes().to_vec()),
        ),
        (
            "An answer that makes no sense",
            broker_that_says(|request| frame(request, &[0, 35, 0xff, 0xff, 0xff, 0xfe])),
        ),
    ] {
        let error = complaint(&consumer(&address.to_string(), "letters", 0)).await;
        told.push((title, error));
    }
    // No name can be written so: nobody has to be asked.
    let unknown = consumer("no-such-host..invalid:9092", "letters", 0);
    told.push(("A name that does not exist", complaint(&unknown).await));

    // Nobody accepts: the system does, and no byte ever comes.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("a bound socket").to_string();
    let config = ConsumerConfig::bootstrap(&address).map(|mut config| {
        config.common.connection_setup_timeout = Duration::from_millis(300);
        config.common.connection_setup_timeout_max = Duration::from_millis(300);
        config
    });
    let quiet = assigned(&config.expect("addresses"), "letters", 0, Start::Beginning);
    told.push((
        "Something accepts and says nothing",
        complaint(&quiet).await,
    ));
    told
}

fn assigned(config: &ConsumerConfig, topic: &str, partition: i32, start: Start) -> Consumer {
    let consumer = Consumer::start(config, Tokio::current()).expect("a valid configuration");
    let all = Assignment {
        topic,
        partition,
        start,
    };
    consumer.assign(&[all]).expect("assigned");
    consumer
}

async fn security() -> Vec<Told> {
    let mut sasl = SaslConfig::for_user("barnabas", "messenger");
    sasl.mechanisms = vec![SaslMechanism::ScramSha256, SaslMechanism::OauthBearer];
    let mut config = ClusterConfig::with_nodes(1);
    config.sasl = Some(sasl);
    let server = Server::start(config).expect("a cluster");
    let config = |mechanism: &str, password: &str| {
        ConsumerConfig::from_properties([
            ("bootstrap.servers", server.bootstrap().as_str()),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.allow.without.tls", "true"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "barnabas"),
            ("sasl.password", password),
        ])
        .expect("valid")
    };
    let ask = async |config: ConsumerConfig| {
        complaint(&assigned(&config, "letters", 0, Start::Beginning)).await
    };
    let plain = ConsumerConfig::bootstrap(&server.bootstrap()).expect("addresses");
    let token = Options::new().token(|| Err("the identity provider is down".to_owned()));
    let with_token = Consumer::start_with(&config("OAUTHBEARER", ""), Tokio::current(), token);
    let with_token = with_token.expect("a valid configuration");
    let letters = Assignment {
        topic: "letters",
        partition: 0,
        start: Start::Beginning,
    };
    with_token.assign(&[letters]).expect("assigned");
    let mut told = vec![
        ("The listener wants SASL", ask(plain).await),
        (
            "A wrong password",
            ask(config("SCRAM-SHA-256", "gatekeeper")).await,
        ),
        (
            "A mechanism that the broker has not enabled",
            ask(config("SCRAM-SHA-512", "messenger")).await,
        ),
        ("No token can be had", complaint(&with_token).await),
    ];
    let no_source = Consumer::start(&config("OAUTHBEARER", ""), Tokio::current());
    told.push(("Nobody gives tokens", no_source.expect_err("refused")));
    let no_tls = ConsumerConfig::from_properties([
        ("bootstrap.servers", "kafka:9093"),
        ("security.protocol", "SSL"),
    ]);
    let no_tls = Consumer::start(&no_tls.expect("valid"), Tokio::current());
    told.push(("TLS, and it is not built in", no_tls.expect_err("refused")));
    told
}

async fn writing(server: &Server) -> Vec<Told> {
    let bootstrap = server.bootstrap();
    let producer = producer(&bootstrap);
    let large = "x".repeat(2 << 20);
    let mut told = Vec::new();
    for (title, record) in [
        (
            "A topic that does not exist, and is not made",
            NewRecord::to("nowhere").value("x"),
        ),
        (
            "A name that no topic can have",
            NewRecord::to("no/topic").value("x"),
        ),
        (
            "A partition that does not exist",
            NewRecord::to("t").partition(7).value("x"),
        ),
        (
            "A record that is too large for this producer",
            NewRecord::to("t").value(&large),
        ),
        (
            "A record that is too large for the topic",
            NewRecord::to("narrow").value(&large[..20_000]),
        ),
    ] {
        told.push((title, refused(&producer, record).await));
    }
    for (title, code) in [
        (
            "No permission to write",
            ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ),
        (
            "No permission to be idempotent",
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        ),
        ("A topic that wants keys", ErrorCode::INVALID_RECORD),
        ("A clock that is far off", ErrorCode::INVALID_TIMESTAMP),
    ] {
        server.with(|cluster| cluster.on(ApiKey::PRODUCE).answer(code));
        told.push((
            title,
            refused(&producer, NewRecord::to("t").value("x")).await,
        ));
    }
    told.push(("A buffer that is full", full_buffer(server).await));
    told
}

async fn reading(server: &Server) -> Vec<Told> {
    let bootstrap = server.bootstrap();
    let mut told = Vec::new();
    for (title, topic, partition) in [
        ("To read a topic that does not exist", "nowhere", 0),
        ("To read a partition that does not exist", "t", 7),
        ("A damaged batch", "damaged", 0),
    ] {
        told.push((
            title,
            complaint(&consumer(&bootstrap, topic, partition)).await,
        ));
    }
    server.with(|cluster| {
        cluster
            .on(ApiKey::FETCH)
            .partition("t", 0)
            .answer(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
    });
    told.push((
        "No permission to read",
        complaint(&consumer(&bootstrap, "t", 0)).await,
    ));
    let none = ConsumerConfig::bootstrap(&bootstrap)
        .expect("addresses")
        .group_id("readers")
        .auto_offset_reset(klamm::config::OffsetReset::None);
    let beyond = assigned(&none, "t", 0, Start::Offset(1_000));
    told.push((
        "An offset that is gone, and nowhere to go",
        complaint(&beyond).await,
    ));
    let never = assigned(&none, "t", 0, Start::Committed);
    told.push((
        "Nothing was ever committed, and nowhere to go",
        complaint(&never).await,
    ));
    told
}

async fn full_buffer(server: &Server) -> Error {
    // Nothing that is sent frees memory for a while.
    let delay = klamm::Duration::from_secs(1);
    server.with(|cluster| cluster.on(ApiKey::PRODUCE).delay(delay, Moment::Before));
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
    assert_eq!(refused.record.value, Some(value.as_bytes()));
    for delivery in accepted {
        delivery.await.expect("what was accepted is delivered");
    }
    refused.error
}

async fn groups() -> Vec<Told> {
    let server = cluster();
    let bootstrap = server.bootstrap();
    let config = || ConsumerConfig::bootstrap(&bootstrap).expect("addresses");
    let no_group = Consumer::start(&config(), Tokio::current()).expect("valid");
    let mut told = vec![(
        "A subscription without a group",
        no_group.subscribe(&["t"]).expect_err("refused"),
    )];
    let by_hand = consumer(&bootstrap, "t", 0);
    let offsets = vec![(TopicPartition::new("t", 0), OffsetAndMetadata::new(1))];
    let commit = by_hand.commit_offsets(offsets).await.expect_err("refused");
    told.push(("A commit without a group", first(&commit)));
    let seek = by_hand.seek("t", 1, Start::End).expect_err("refused");
    told.push(("A seek to what is not assigned", seek));

    let classic = || {
        config()
            .group_id("readers")
            .group_protocol(GroupProtocol::Classic)
    };
    let ask = async |config: ConsumerConfig| {
        let member = Consumer::start(&config, Tokio::current()).expect("valid");
        member.subscribe(&["t"]).expect("subscribed");
        complaint(&member).await
    };
    let short = classic()
        .session_timeout(Duration::from_secs(1))
        .heartbeat_interval(Duration::from_millis(300));
    told.push((
        "A session that is too short for the broker",
        ask(short).await,
    ));
    for (title, code) in [
        (
            "No permission to be in the group",
            ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ),
        (
            "Members that share no assignor",
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ),
        (
            "Another member with the same `group.instance.id`",
            ErrorCode::FENCED_INSTANCE_ID,
        ),
        ("The group is full", ErrorCode::GROUP_MAX_SIZE_REACHED),
    ] {
        server.with(|cluster| cluster.on(ApiKey::JOIN_GROUP).answer(code));
        told.push((title, ask(classic()).await));
    }

    let request = RawRequest {
        api: ApiKey(999),
        version: 0,
        flexible: false,
        body: Bytes::new(),
        to: None,
        group: ConnectionGroup::Default,
        timeout: Duration::from_secs(5),
    };
    let request = by_hand.request(request).await.expect_err("refused");
    told.push(("A request that no broker knows", request));
    by_hand.close(Duration::from_secs(5)).await.expect("closed");
    told.push((
        "A client that is closed",
        by_hand.next_batch().await.expect_err("closed"),
    ));
    told
}

fn first(error: &CommitError) -> Error {
    error.first().expect("an error").clone()
}

/// What differs from run to run, and from host to host, left out.
fn without_chance(text: &str) -> String {
    let mut text = text.to_owned();
    for (before, number) in [
        ("127.0.0.1:", "HOST:PORT"),
        ("no answer within ", "N"),
        ("bytes wanted, ", "N"),
    ] {
        let kept = if number == "N" { before } else { "" };
        let mut parts = text.split(before);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            out = out + kept + number + rest;
        }
        text = out;
    }
    text
}

fn section(page: &mut String, title: &str, told: &[Told]) {
    let _ = write!(page, "\n## {title}\n");
    for (mistake, error) in told {
        let then = match (error.is_retriable(), error.is_fatal()) {
            (_, true) => "The client can do nothing more.",
            (true, false) => "The same may succeed later.",
            (false, false) => "The same will fail again, until something is changed.",
        };
        let text = without_chance(&error.to_string());
        let kind = format!("{:?}", error.kind());
        let kind = kind.split([' ', '(']).next().unwrap_or_default();
        let _ = write!(page, "\n**{mistake}.** `{kind}`. {then}\n\n> {text}\n");
    }
}

#[test]
fn each_mistake_tells_what_happened_where_and_what_to_do() {
    let mut page = HEAD.to_owned();
    run(async {
        let settings = [settings(), settings_of_security(), settings_of_a_consumer()].concat();
        section(&mut page, "Settings", &settings);
        section(&mut page, "Reaching a broker", &reaching().await);
        section(&mut page, "Security", &security().await);
        let server = cluster();
        section(&mut page, "Writing", &writing(&server).await);
        section(&mut page, "Reading", &reading(&server).await);
        section(&mut page, "Groups and calls", &groups().await);
    });
    assert!(
        page.matches("\n> ").count() >= 40,
        "forty mistakes at the least"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("KLAMM_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).expect("it can be written");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    for (today, kept) in page.lines().zip(kept.lines().chain(std::iter::repeat(""))) {
        assert_eq!(
            today, kept,
            "{PAGE}: KLAMM_WRITE_DOCS=1 cargo test --test mistakes"
        );
    }
    assert_eq!(page.lines().count(), kept.lines().count(), "{PAGE}");
}
