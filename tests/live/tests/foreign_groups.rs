//! Other people's clients in one group on the cluster in memory: librdkafka (kcat), kafka-python and Java share the partitions,
//! one leaves, one is killed, and no record is missed by all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use klamm_cluster::{ClusterConfig, GroupConfig, Server};
use klamm_live::foreign::{Foreign, SESSION};
use klamm_live::java::{self, class};
use klamm_live::process::{Running, until};

const PARTITIONS: i32 = 6;
const GROUP: &str = "workers";
const LIMIT: Duration = Duration::from_secs(90);

fn cluster() -> Server {
    let server = Server::start(ClusterConfig {
        groups: GroupConfig {
            initial_rebalance_delay: klamm::Duration::ZERO,
            ..GroupConfig::default()
        },
        ..ClusterConfig::with_nodes(3)
    })
    .expect("ports of 127.0.0.1");
    server
        .with(|cluster| cluster.create_topic("lines", PARTITIONS))
        .expect("a new topic");
    server
}

fn java_joins(server: &Server) -> Running {
    let session = format!("session.timeout.ms={}", SESSION.as_millis());
    java::start_tool(
        class::CONSOLE_CONSUMER,
        &[
            "--bootstrap-server",
            &server.bootstrap(),
            "--topic",
            "lines",
            "--group",
            GROUP,
            "--from-beginning",
            "--command-property",
            &session,
            "--command-property",
            "heartbeat.interval.ms=1000",
        ],
    )
}

/// Waits until the group is stable with so many members.
fn settled(server: &Server, members: usize) {
    until("the members have their shares", LIMIT, || {
        let group = server.with(|cluster| cluster.group(GROUP))?;
        (group.state == "Stable" && group.members.len() == members).then_some(())
    });
}

/// Writes fifty lines to each partition.
fn produce(server: &Server, of: &str) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    for partition in 0..6 {
        let lines: Vec<_> = (0..50)
            .map(|i| format!("{i} of {of} in {partition}"))
            .collect();
        let borrowed: Vec<&str> = lines.iter().map(String::as_str).collect();
        Foreign::Kcat.produce(&server.bootstrap(), "lines", partition, "none", &borrowed);
        written.extend(lines);
    }
    written
}

/// Waits until the members together got everything; some may get a line again after a rebalance.
fn all_read(members: &[&Running], written: &BTreeSet<String>) {
    until("everything is read", LIMIT, || {
        let read: BTreeSet<String> = members.iter().flat_map(|member| member.lines()).collect();
        written.is_subset(&read).then_some(())
    });
}

#[test]
fn three_clients_share_a_topic_while_one_leaves_and_one_dies() {
    let server = cluster();
    let bootstrap = server.bootstrap();
    let java = java_joins(&server);
    let mut kcat = Foreign::Kcat.join(&bootstrap, "lines", GROUP);
    let mut python = Foreign::KafkaPython.join(&bootstrap, "lines", GROUP);
    settled(&server, 3);
    let first = produce(&server, "three members");
    all_read(&[&java, &kcat, &python], &first);
    for (name, member) in [("Java", &java), ("kcat", &kcat), ("kafka-python", &python)] {
        assert_eq!(
            member.lines().len(),
            100,
            "{name} has a third of the partitions"
        );
    }

    kcat.terminate(LIMIT);
    settled(&server, 2);
    let second = produce(&server, "two members");
    all_read(&[&java, &python], &second);

    python.kill();
    settled(&server, 1);
    let third = produce(&server, "one member");
    all_read(&[&java], &third);
}
