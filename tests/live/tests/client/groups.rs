//! Members of a group that Java and librdkafka are in, too.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::*;
use klamm_live::foreign::Foreign;
use klamm_live::java::{self, class};
use klamm_live::kafka::{Kafka, Setup};
use klamm_live::process::{Running, until};
use klamm_tokio::{Consumer, ConsumerConfig, NewRecord, Tokio};

const PARTITIONS: i32 = 8;
const LIMIT: Duration = Duration::from_secs(90);

/// A member that reads all the time.
struct Member {
    consumer: Arc<Consumer>,
    read: Arc<Mutex<BTreeSet<String>>>,
}

impl Member {
    fn join(kafka: &Kafka, topic: &str, group: &str) -> Self {
        let config = ConsumerConfig::from_properties([
            ("bootstrap.servers", kafka.bootstrap().as_str()),
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("heartbeat.interval.ms", "500"),
        ]);
        let config = config.expect("a valid configuration");
        let consumer = Consumer::start(&config, Tokio::current()).expect("a valid configuration");
        consumer.subscribe(&[topic]).expect("subscribed");
        let (consumer, read) = (Arc::new(consumer), Arc::default());
        let member = Self { consumer, read };
        tokio::spawn(Self::read_all(
            Arc::clone(&member.consumer),
            Arc::clone(&member.read),
        ));
        member
    }

    async fn read_all(consumer: Arc<Consumer>, read: Arc<Mutex<BTreeSet<String>>>) {
        loop {
            match consumer.recv().await {
                Ok(record) => {
                    let value = record.value.expect("a value");
                    let line = String::from_utf8_lossy(&value).into_owned();
                    read.lock().expect("whole").insert(line);
                }
                Err(error) if error.is_fatal() => return,
                Err(error) => println!("{error}"),
            }
        }
    }

    fn lines(&self) -> BTreeSet<String> {
        self.read.lock().expect("whole").clone()
    }

    fn owns(&self) -> usize {
        self.consumer.assignment().len()
    }
}

fn java_joins(kafka: &Kafka, topic: &str, group: &str) -> Running {
    let bootstrap = kafka.bootstrap();
    let mut args = vec!["--bootstrap-server", &bootstrap, "--topic", topic];
    args.extend(["--group", group, "--from-beginning"]);
    args.extend(["--command-property", "heartbeat.interval.ms=500"]);
    java::start_tool(class::CONSOLE_CONSUMER, &args)
}

/// Writes lines to each partition.
async fn write(kafka: &Kafka, topic: &str, of: &str) -> BTreeSet<String> {
    let producer = producer(kafka);
    let mut written = BTreeSet::new();
    for partition in 0..PARTITIONS {
        for number in 0..10 {
            let line = format!("{number} of {of} in {partition}");
            let record = NewRecord::to(topic).partition(partition).value(&line);
            within("a record", producer.send(record))
                .await
                .expect("written");
            written.insert(line);
        }
    }
    written
}

fn all_read(written: &BTreeSet<String>, klamm: &[&Member], others: &[&Running]) {
    until("everything is read", LIMIT, || {
        let mut read: BTreeSet<String> = klamm.iter().flat_map(|member| member.lines()).collect();
        read.extend(others.iter().flat_map(|member| member.lines()));
        written.is_subset(&read).then_some(())
    });
}

fn owned(members: &[(&Member, usize)]) {
    until("the members have their shares", LIMIT, || {
        let settled = |(member, count): &(&Member, usize)| member.owns() == *count;
        members.iter().all(settled).then_some(())
    });
}

#[test]
fn two_members_share_a_topic_with_java_and_librdkafka() {
    let kafka = Kafka::shared();
    let topic = &kafka.topic("shared", PARTITIONS);
    let group = &format!("{topic}-surveyors");
    run(async {
        let java = java_joins(kafka, topic, group);
        let mut kcat = Foreign::Kcat.join(&kafka.bootstrap(), topic, group);
        let first = Member::join(kafka, topic, group);
        let second = Member::join(kafka, topic, group);
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
            let first = Member::join(kafka, topic, "surveyors");
            owned(&[(&first, 8)]);
            let second = Member::join(kafka, topic, "surveyors");
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
