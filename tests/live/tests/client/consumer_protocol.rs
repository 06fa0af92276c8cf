//! Groups whose coordinator shares the partitions out (KIP-848), with Java in them, with members that crash and come back, and
//! beside members of the classic protocol.

use std::time::Instant;

use crate::common::*;
use crate::members::*;
use klamm_live::kafka::{Kafka, Setup};
use klamm_tokio::{Consumer, Error, Tokio};

const CONSUMER: Settings = &[("group.protocol", "consumer")];
const STATIC: Settings = &[
    ("group.protocol", "consumer"),
    ("group.instance.id", "the-second"),
];
const CLASSIC: Settings = &[
    ("group.protocol", "classic"),
    ("heartbeat.interval.ms", "500"),
];
/// The default.
const AUTOMATIC: Settings = &[];

/// A broker that hears of members often, and misses them soon.
fn attentive(version: Option<&str>) -> Kafka {
    Kafka::set_up(&Setup {
        version,
        properties: &[
            ("group.initial.rebalance.delay.ms", "200"),
            ("group.consumer.min.session.timeout.ms", "1000"),
            ("group.consumer.session.timeout.ms", "6000"),
            ("group.consumer.min.heartbeat.interval.ms", "500"),
            ("group.consumer.heartbeat.interval.ms", "500"),
        ],
        ..Setup::default()
    })
}

/// Two members and Java, then a third one; one crashes.
#[test]
fn members_share_a_topic_with_java_and_take_over_from_who_crashes() {
    let kafka = &attentive(None);
    let topic = &kafka.topic("assigned", PARTITIONS);
    run(async {
        let java = java_joins(kafka, topic, "surveyors", &["group.protocol=consumer"]);
        let first = Member::join(kafka, topic, "surveyors", CONSUMER);
        let second = Member::join(kafka, topic, "surveyors", CONSUMER);
        shared_out(&[&first, &second], 1);
        let written = write(kafka, topic, "three members").await;
        all_read(&written, &[&first, &second], &[&java]);
        read_once(&written, &[&first, &second], &[&java]);

        let third = Member::join(kafka, topic, "surveyors", CONSUMER);
        shared_out(&[&first, &second, &third], 1);
        let written = write(kafka, topic, "four members").await;
        all_read(&written, &[&first, &second, &third], &[&java]);
        read_once(&written, &[&first, &second, &third], &[&java]);

        second.crash();
        let written = write(kafka, topic, "while one is missed").await;
        all_read(&written, &[&first, &third], &[&java]);
        shared_out(&[&first, &third], 1);
        drop(java);
        first.close().await;
        owned(&[(&third, 8)]);
        let written = write(kafka, topic, "one member").await;
        all_read(&written, &[&third], &[]);
        read_once(&written, &[&third], &[]);
        let last = third.consumer.take_rebalances().pop().expect("a report");
        assert!(last.generation > 1, "{last:?}");
        third.close().await;
    });
}

/// A static member that restarts has what it had, and nobody else notices; after a crash, once its session is over.
#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let kafka = &attentive(None);
    let topic = &kafka.topic("static", PARTITIONS);
    run(async {
        let first = Member::join(kafka, topic, "surveyors", CONSUMER);
        let second = Member::join(kafka, topic, "surveyors", STATIC);
        owned(&[(&first, 4), (&second, 4)]);
        let share = second.share();
        drop(first.consumer.take_rebalances());
        second.close().await;
        let second = Member::join(kafka, topic, "surveyors", STATIC);
        owned(&[(&second, 4)]);
        assert_eq!(second.share(), share);
        assert!(first.consumer.take_rebalances().is_empty());
        let written = write(kafka, topic, "after a restart").await;
        all_read(&written, &[&first, &second], &[]);
        read_once(&written, &[&first, &second], &[]);

        let crashed = Instant::now();
        second.crash();
        let second = Member::join(kafka, topic, "surveyors", STATIC);
        owned(&[(&first, 4), (&second, 4)]);
        println!("back {:?} after a crash", crashed.elapsed());
        let written = write(kafka, topic, "after a crash").await;
        all_read(&written, &[&first, &second], &[]);
        second.close().await;
        first.close().await;
    });
}

/// A group that begins as a classic one goes on as the other, with members of both protocols in it.
#[test]
fn members_of_both_protocols_are_in_one_group() {
    let kafka = &attentive(None);
    let topic = &kafka.topic("both", PARTITIONS);
    run(async {
        let first = Member::join(kafka, topic, "surveyors", CLASSIC);
        owned(&[(&first, 8)]);
        let second = Member::join(kafka, topic, "surveyors", AUTOMATIC);
        owned(&[(&first, 4), (&second, 4)]);
        let written = write(kafka, topic, "both protocols").await;
        all_read(&written, &[&first, &second], &[]);
        read_once(&written, &[&first, &second], &[]);
        first.close().await;
        owned(&[(&second, 8)]);
        let third = Member::join(kafka, topic, "surveyors", CLASSIC);
        owned(&[(&second, 4), (&third, 4)]);
        second.close().await;
        owned(&[(&third, 8)]);
        let written = write(kafka, topic, "the classic one alone").await;
        all_read(&written, &[&third], &[]);
        third.close().await;
    });
}

/// By either protocol: the broker matches, or the member does.
#[test]
fn a_pattern_sees_topics_that_come_to_be() {
    const REFRESHED: (&str, &str) = ("metadata.max.age.ms", "500");
    const WAYS: [Settings; 2] = [
        &[("group.protocol", "consumer"), REFRESHED],
        &[("group.protocol", "classic"), REFRESHED],
    ];
    let kafka = &attentive(None);
    run(async {
        for (settings, name) in WAYS.into_iter().zip(["assigned", "classic"]) {
            let first = &kafka.topic(&format!("{name}-eu"), PARTITIONS);
            let pattern = format!(r"{name}-(eu|us)-?\w*");
            let member = Member::match_all(kafka, &pattern, name, settings);
            owned(&[(&member, 8)]);
            let second = &kafka.topic(&format!("{name}-us"), PARTITIONS);
            let other = &kafka.topic(&format!("{name}-asia"), PARTITIONS);
            owned(&[(&member, 16)]);
            let mut written = write(kafka, first, "the first topic").await;
            written.extend(write(kafka, second, "the second topic").await);
            let others = write(kafka, other, "another topic").await;
            all_read(&written, &[&member], &[]);
            read_once(&written, &[&member], &[]);
            assert!(member.lines().is_disjoint(&others));
            member.close().await;
        }
    });
}

/// Where brokers do not have it, `automatic` is the classic protocol, and asking for it a clear error.
#[test]
fn releases_without_the_protocol_are_joined_by_the_classic_one() {
    for version in ["2.1.1", "3.9.1"] {
        let kafka = &Kafka::set_up(&Setup {
            version: Some(version),
            properties: &[("group.initial.rebalance.delay.ms", "200")],
            ..Setup::default()
        });
        let topic = &kafka.topic("old", PARTITIONS);
        run(async {
            let first = Member::join(kafka, topic, "surveyors", AUTOMATIC);
            let second = Member::join(kafka, topic, "surveyors", AUTOMATIC);
            owned(&[(&first, 4), (&second, 4)]);
            let written = write(kafka, topic, "two members").await;
            all_read(&written, &[&first, &second], &[]);
            let error = refusal(kafka, topic).await;
            println!("{version}: {error}");
            assert!(error.to_string().contains("group.protocol=classic"));
            first.close().await;
            owned(&[(&second, 8)]);
            second.close().await;
        });
    }
}

/// Also where a new broker's coordinator is told not to have it.
#[test]
fn a_coordinator_that_is_told_not_to_have_the_protocol_is_joined_by_the_classic_one() {
    let kafka = &Kafka::set_up(&Setup {
        properties: &[
            ("group.initial.rebalance.delay.ms", "200"),
            ("group.coordinator.rebalance.protocols", "classic"),
        ],
        ..Setup::default()
    });
    let topic = &kafka.topic("excluded", PARTITIONS);
    run(async {
        let member = Member::join(kafka, topic, "surveyors", AUTOMATIC);
        owned(&[(&member, 8)]);
        println!("{}", refusal(kafka, topic).await);
        member.close().await;
    });
}

/// What a member is told that asks for the protocol by name.
async fn refusal(kafka: &Kafka, topic: &str) -> Error {
    let config = consumer_config(&kafka.bootstrap()).group_id("others");
    let config = config.group_protocol(klamm::config::GroupProtocol::Consumer);
    let consumer = Consumer::start(&config, Tokio::current()).expect("a valid configuration");
    consumer.subscribe(&[topic]).expect("subscribed");
    let told = within("a word", consumer.recv()).await;
    told.expect_err("no such protocol")
}
