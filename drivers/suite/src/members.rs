//! Owns members of a group on real sockets: what they share, what a listener is asked, and who takes over.
//!
//! Must not know any runtime.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use klamm_cluster::{ClusterConfig, Server};
use klamm_shell::{
    Consumer, ConsumerConfig, Duration, NewRecord, OffsetAndMetadata, Producer, ProducerConfig,
    RebalanceKind, Runtime,
};

use crate::sleep;

const TOPIC: &str = "letters";
const PARTITIONS: i32 = 4;

fn server() -> Server {
    let mut config = ClusterConfig::with_nodes(2);
    config.groups.initial_rebalance_delay = Duration::from_millis(10);
    config.groups.consumer_heartbeat_interval = Duration::from_millis(20);
    config.groups.consumer_assignment_interval = Duration::ZERO;
    let server = Server::start(config).expect("free ports");
    server
        .with(|cluster| cluster.create_topic(TOPIC, PARTITIONS))
        .expect("a legal name");
    server
}

/// How a member takes part, in its settings.
type Way = &'static [(&'static str, &'static str)];
const EAGER: Way = &[
    ("group.protocol", "classic"),
    ("heartbeat.interval.ms", "20"),
    ("partition.assignment.strategy", "range"),
];
const COOPERATIVE: Way = &[
    ("group.protocol", "classic"),
    ("heartbeat.interval.ms", "20"),
    ("partition.assignment.strategy", "cooperative-sticky"),
];
/// The coordinator shares out (KIP-848).
const ASSIGNED: Way = &[("group.protocol", "consumer")];

fn member(runtime: &impl Runtime, server: &Server, way: Way) -> Consumer {
    member_with(runtime, server, way, &[])
}

fn member_with(runtime: &impl Runtime, server: &Server, way: Way, more: Way) -> Consumer {
    let bootstrap = server.bootstrap();
    let common = [
        ("bootstrap.servers", bootstrap.as_str()),
        ("group.id", "surveyors"),
        ("auto.offset.reset", "earliest"),
    ];
    let config =
        ConsumerConfig::from_properties(common.into_iter().chain(way.iter().chain(more).copied()));
    let config = config.expect("a valid configuration");
    Consumer::start(&config, runtime.clone()).expect("a valid configuration")
}

/// Writes one record to each partition.
async fn write(runtime: &impl Runtime, server: &Server, round: usize) {
    let config =
        ProducerConfig::from_properties([("bootstrap.servers", server.bootstrap().as_str())]);
    let producer = Producer::start(&config.expect("valid"), runtime.clone()).expect("valid");
    for partition in 0..PARTITIONS {
        let text = format!("{partition}/{round}");
        let record = NewRecord::to(TOPIC).partition(partition).value(&text);
        producer.send(record).await.expect("written");
    }
    producer
        .close(Duration::from_secs(5))
        .await
        .expect("closed");
}

/// Reads until the member has so many partitions and everything of them; what it read.
async fn read(consumer: &Consumer, count: usize) -> BTreeSet<String> {
    let mut read = BTreeSet::new();
    while read.len() < count {
        let record = consumer.recv().await.expect("a record");
        let value = record.value.expect("a value");
        read.insert(String::from_utf8_lossy(&value).into_owned());
    }
    read
}

async fn owns(runtime: &impl Runtime, consumer: &Consumer, count: usize) {
    while consumer.assignment().len() != count {
        sleep(runtime, Duration::from_millis(2)).await;
    }
}

/// In every way: half each, and all for the one who stays; what was committed is not read again.
pub async fn members_share_a_topic_and_who_stays_takes_over(runtime: &impl Runtime) {
    for way in [EAGER, COOPERATIVE, ASSIGNED] {
        let server = server();
        write(runtime, &server, 1).await;
        let first = member(runtime, &server, way);
        first.subscribe(&[TOPIC]).expect("subscribed");
        assert_eq!(read(&first, 4).await.len(), 4);
        let second = member(runtime, &server, way);
        second.subscribe(&[TOPIC]).expect("subscribed");
        // The first one has dealt with its records: it says so by coming for more.
        let idle = first.poll(1, Duration::from_millis(1)).await;
        drop(idle);
        owns(runtime, &second, 2).await;
        owns(runtime, &first, 2).await;
        let shares = [&first, &second].map(Consumer::assignment).concat();
        assert_eq!(shares.iter().collect::<BTreeSet<_>>().len(), 4);
        let report = first.close(Duration::from_secs(10)).await.expect("closed");
        assert!(report.left_group);
        owns(runtime, &second, 4).await;
        write(runtime, &server, 2).await;
        let mut last = read(&second, 4).await;
        last.retain(|value| value.ends_with("/2"));
        while last.len() < 4 {
            last.extend(read(&second, 1).await);
            last.retain(|value| value.ends_with("/2"));
        }
        second.close(Duration::from_secs(10)).await.expect("closed");
    }
}

/// By either protocol: all that match, also what comes to be later.
pub async fn a_pattern_brings_topics_that_come_to_be(runtime: &impl Runtime) {
    for way in [COOPERATIVE, ASSIGNED] {
        let server = server();
        let refreshed = &[("metadata.max.age.ms", "50")];
        let member = member_with(runtime, &server, way, refreshed);
        member
            .subscribe_pattern("let+ers(-.*)?")
            .expect("subscribed");
        owns(runtime, &member, 4).await;
        for topic in ["letters-2", "parcels"] {
            server
                .with(|cluster| cluster.create_topic(topic, 2))
                .expect("a legal name");
        }
        owns(runtime, &member, 6).await;
        let topics: BTreeSet<_> = member.assignment().into_iter().map(|of| of.topic).collect();
        assert_eq!(topics.len(), 2);
        assert!(topics.contains("letters-2"));
        member.close(Duration::from_secs(10)).await.expect("closed");
    }
}

/// A listener commits what it was asked to let go of, and only then has the other member got it.
pub async fn a_listener_is_awaited_before_partitions_go(runtime: &impl Runtime) {
    let told = listened(runtime, EAGER).await;
    assert_eq!(told, ["assigned 4", "revoked 4", "assigned 2", "revoked 2"]);
    // Where the coordinator shares out, only what moves goes.
    let told = listened(runtime, ASSIGNED).await;
    assert_eq!(told, ["assigned 4", "revoked 2", "revoked 2"]);
}

/// What the listener of a member was told from its first share to its end, while another one came.
async fn listened(runtime: &impl Runtime, way: Way) -> Vec<String> {
    let server = server();
    write(runtime, &server, 1).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let first = member(runtime, &server, way);
    let (log, clock) = (Arc::clone(&told), runtime.clone());
    first
        .subscribe_with(&[TOPIC], move |rebalance| {
            let (log, clock) = (Arc::clone(&log), clock.clone());
            async move {
                let word = match rebalance.kind() {
                    RebalanceKind::Assigned => "assigned",
                    RebalanceKind::Revoked => "revoked",
                    RebalanceKind::Lost(_) => "lost",
                };
                if *rebalance.kind() == RebalanceKind::Revoked {
                    // It takes its time: many heartbeats long.
                    sleep(&clock, Duration::from_millis(200)).await;
                    let offsets = rebalance.partitions().iter().cloned();
                    let offsets = offsets.map(|of| (of, OffsetAndMetadata::new(1))).collect();
                    let committed = rebalance.commit_offsets(offsets).await;
                    committed.expect("still owned");
                }
                let partitions = rebalance.partitions().len();
                log.lock()
                    .expect("whole")
                    .push(format!("{word} {partitions}"));
            }
        })
        .expect("subscribed");
    read(&first, 4).await;
    let second = member(runtime, &server, way);
    second.subscribe(&[TOPIC]).expect("subscribed");
    owns(runtime, &second, 2).await;
    owns(runtime, &first, 2).await;
    first.close(Duration::from_secs(10)).await.expect("closed");
    // Everything was committed by the listener: there is nothing left for the other one.
    owns(runtime, &second, 4).await;
    let left = second.poll(1, Duration::from_millis(100)).await;
    assert!(left.expect("no trouble").is_empty());
    let told = told.lock().expect("whole");
    told.clone()
}
