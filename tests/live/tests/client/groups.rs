//! Members of a group that Java and librdkafka are in, too.

use std::time::Duration;

use crate::common::*;
use crate::members::*;
use klamm_live::foreign::Foreign;
use klamm_live::kafka::{Kafka, Setup};
use klamm_live::process::until;

/// Heartbeats as often as the others'.
const CLASSIC: Settings = &[
    ("group.protocol", "classic"),
    ("heartbeat.interval.ms", "500"),
];

#[test]
fn two_members_share_a_topic_with_java_and_librdkafka() {
    let kafka = Kafka::shared();
    let topic = &kafka.topic("shared", PARTITIONS);
    let group = &format!("{topic}-surveyors");
    run(async {
        let java = java_joins(kafka, topic, group, &["heartbeat.interval.ms=500"]);
        let mut kcat = Foreign::Kcat.join(&kafka.bootstrap(), topic, group);
        let first = Member::join(kafka, topic, group, CLASSIC);
        let second = Member::join(kafka, topic, group, CLASSIC);
        owned(&[(&first, 2), (&second, 2)]);
        let written = write(kafka, topic, "four members").await;
        all_read(&written, &[&first, &second], &[&java, &kcat]);
        // Range: every one of them has a row of two.
        for member in [&first, &second] {
            assert_eq!(member.lines().intersection(&written).count(), 20);
        }

        kcat.terminate(LIMIT);
        until("the others take over", LIMIT, || {
            (first.owns() + second.owns() >= 5).then_some(())
        });
        let written = write(kafka, topic, "three members").await;
        all_read(&written, &[&first, &second], &[&java]);

        let report = within("a close", first.consumer.close(Duration::from_secs(20)));
        assert!(report.await.expect("closed").left_group);
        owned(&[(&second, 4)]);
        drop(java);
        let written = write(kafka, topic, "one member").await;
        all_read(&written, &[&second], &[]);
        assert_eq!(second.owns(), 8);
    });
}

/// From the first release that is supported on: two members, one of which goes.
#[test]
fn members_of_a_group_on_every_release() {
    for version in ["2.1.1", "2.8.2", "3.9.1"] {
        let kafka = &Kafka::set_up(&Setup {
            version: Some(version),
            properties: &[("group.initial.rebalance.delay.ms", "200")],
            ..Setup::default()
        });
        let topic = &kafka.topic("shared", PARTITIONS);
        run(async {
            let first = Member::join(kafka, topic, "surveyors", CLASSIC);
            owned(&[(&first, 8)]);
            let second = Member::join(kafka, topic, "surveyors", CLASSIC);
            owned(&[(&first, 4), (&second, 4)]);
            let written = write(kafka, topic, "two members").await;
            all_read(&written, &[&first, &second], &[]);
            let report = within("a close", first.consumer.close(Duration::from_secs(20)));
            assert!(report.await.expect("closed").left_group, "{version}");
            owned(&[(&second, 8)]);
            let written = write(kafka, topic, "one member").await;
            all_read(&written, &[&second], &[]);
            println!("{version}: well");
        });
    }
}
