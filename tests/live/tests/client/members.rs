//! Members of groups, Klamm's and Java's, what is written for them to read, and what they are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::*;
use klamm_live::java::{self, class};
use klamm_live::kafka::Kafka;
use klamm_live::process::{Running, until};
use klamm_tokio::{Consumer, ConsumerConfig, NewRecord, Tokio, TopicPartition};
use tokio::task::JoinHandle;

pub(crate) const PARTITIONS: i32 = 8;
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Settings of a member, besides those of all.
pub(crate) type Settings = &'static [(&'static str, &'static str)];

/// A member that reads all the time.
pub(crate) struct Member {
    pub(crate) consumer: Arc<Consumer>,
    read: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Member {
    pub(crate) fn join(kafka: &Kafka, topic: &str, group: &str, settings: Settings) -> Self {
        let consumer = Self::start(kafka, group, settings);
        consumer.subscribe(&[topic]).expect("subscribed");
        Self::read(consumer)
    }

    /// Reads all topics that match.
    pub(crate) fn match_all(kafka: &Kafka, pattern: &str, group: &str, settings: Settings) -> Self {
        let consumer = Self::start(kafka, group, settings);
        consumer.subscribe_pattern(pattern).expect("subscribed");
        Self::read(consumer)
    }

    fn start(kafka: &Kafka, group: &str, settings: Settings) -> Consumer {
        let bootstrap = kafka.bootstrap();
        let common = [
            ("bootstrap.servers", bootstrap.as_str()),
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
        ];
        let settings = settings.iter().copied();
        let config = ConsumerConfig::from_properties(common.into_iter().chain(settings));
        let config = config.expect("a valid configuration");
        Consumer::start(&config, Tokio::current()).expect("a valid configuration")
    }

    fn read(consumer: Consumer) -> Self {
        let (consumer, read) = (Arc::new(consumer), Arc::default());
        let reading = tokio::spawn(Self::read_all(Arc::clone(&consumer), Arc::clone(&read)));
        Self {
            consumer,
            read,
            reading,
        }
    }

    async fn read_all(consumer: Arc<Consumer>, read: Arc<Mutex<Vec<String>>>) {
        loop {
            match consumer.recv().await {
                Ok(record) => {
                    let value = record.value.expect("a value");
                    let line = String::from_utf8_lossy(&value).into_owned();
                    read.lock().expect("whole").push(line);
                }
                Err(error) if error.is_fatal() => return,
                Err(error) => println!("{error}"),
            }
        }
    }

    /// The group finds out by itself that it is gone.
    pub(crate) fn crash(self) {
        self.reading.abort();
    }

    pub(crate) async fn close(self) {
        let report = within("a close", self.consumer.close(Duration::from_secs(20)));
        assert!(report.await.expect("closed").left_group);
    }

    pub(crate) fn lines(&self) -> BTreeSet<String> {
        self.read.lock().expect("whole").iter().cloned().collect()
    }

    /// How often each line was read.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in &*self.read.lock().expect("whole") {
            *counts.entry(line.clone()).or_default() += 1;
        }
        counts
    }

    pub(crate) fn share(&self) -> BTreeSet<TopicPartition> {
        self.consumer.assignment().into_iter().collect()
    }

    pub(crate) fn owns(&self) -> usize {
        self.consumer.assignment().len()
    }
}

pub(crate) fn java_joins(kafka: &Kafka, topic: &str, group: &str, properties: &[&str]) -> Running {
    let bootstrap = kafka.bootstrap();
    let mut args = vec!["--bootstrap-server", &bootstrap, "--topic", topic];
    args.extend(["--group", group, "--from-beginning"]);
    for property in properties {
        args.extend(["--command-property", property]);
    }
    java::start_tool(class::CONSOLE_CONSUMER, &args)
}

/// Writes lines to each partition.
pub(crate) async fn write(kafka: &Kafka, topic: &str, of: &str) -> BTreeSet<String> {
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

pub(crate) fn all_read(written: &BTreeSet<String>, klamm: &[&Member], others: &[&Running]) {
    until("everything is read", LIMIT, || {
        let mut read: BTreeSet<String> = klamm.iter().flat_map(|member| member.lines()).collect();
        read.extend(others.iter().flat_map(|member| member.lines()));
        written.is_subset(&read).then_some(())
    });
}

pub(crate) fn owned(members: &[(&Member, usize)]) {
    until("the members have their shares", LIMIT, || {
        let settled = |(member, count): &(&Member, usize)| member.owns() == *count;
        members.iter().all(settled).then_some(())
    });
}

/// Waits until these members have everything that Java does not have, each about as much as any other.
pub(crate) fn shared_out(members: &[&Member], java: usize) {
    let all = usize::try_from(PARTITIONS).expect("positive");
    until("the partitions are shared out", LIMIT, || {
        let owned: Vec<usize> = members.iter().map(|member| member.owns()).collect();
        let fair = all / (members.len() + java);
        let even = owned.iter().all(|count| (fair..=fair + 1).contains(count));
        let rest = all.checked_sub(owned.iter().sum())?;
        (even && (java..=java * (fair + 1)).contains(&rest)).then_some(())
    });
}

/// No line was read by two members, or twice, of what was written while nothing moved.
pub(crate) fn read_once(written: &BTreeSet<String>, klamm: &[&Member], others: &[&Running]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let own = klamm.iter().flat_map(|member| member.counts());
    let others = others.iter().flat_map(|other| other.lines());
    for (line, count) in own.chain(others.into_iter().map(|line| (line, 1))) {
        *counts.entry(line).or_default() += count;
    }
    let twice = |line: &&String| counts.get(*line) != Some(&1);
    let twice: Vec<_> = written.iter().filter(twice).collect();
    assert!(twice.is_empty(), "not read once: {twice:?}");
}
