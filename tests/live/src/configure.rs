//! What a broker reads before it starts: its properties, its logging, its formatted directory. Starts no broker.

use crate::jars::Jars;
use crate::java::{self, SHORT_LIVED};
use crate::process;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Any id will do: sixteen bytes in base 64.
const CLUSTER_ID: &str = "5L6g3nShT-eMCtK--X86sw";

/// The listeners of one node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Where clients and other brokers come.
    pub(crate) broker: u16,
    /// Where the controllers talk to each other (KRaft).
    pub(crate) controller: u16,
}

/// Who decides who leads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Quorum {
    /// The nodes themselves.
    Kraft,
    /// A ZooKeeper on this port.
    ZooKeeper(u16),
}

/// Writes the configuration of all `nodes` into `homes` and, with KRaft, formats their directories, all at the same time.
pub(crate) fn configure(
    jars: &Jars,
    homes: &[impl AsRef<Path> + Sync],
    nodes: &[Ports],
    quorum: Quorum,
    listeners: &[(String, u16)],
    log_requests: bool,
    properties: &[(&str, &str)],
) {
    for (node, home) in homes.iter().enumerate() {
        let home = home.as_ref();
        fs::create_dir_all(home).expect("a directory of this process");
        let mut text = match quorum {
            Quorum::Kraft => kraft(node, nodes),
            Quorum::ZooKeeper(port) => format!(
                "broker.id={node}\nzookeeper.connect=127.0.0.1:{port}\nlisteners=PLAINTEXT://127.0.0.1:{}\n",
                nodes[node].broker
            ),
        };
        text += &common(home, nodes.len(), nodes[node].broker);
        for (name, port) in listeners {
            // Both lists of listeners begin with the one that every node has.
            let own = format!("listeners=PLAINTEXT://127.0.0.1:{}", nodes[node].broker);
            let more = format!("{own},{name}://localhost:{port}");
            text = text.replace(&own, &more);
        }
        for (key, value) in properties {
            // Java takes the last of two equal keys.
            writeln!(text, "{key}={value}").expect("a string can be written");
        }
        fs::write(home.join("server.properties"), text).expect("a directory of this process");
        write_logging(home, log_requests);
    }
    if matches!(quorum, Quorum::Kraft) {
        thread::scope(|scope| {
            for home in homes {
                scope.spawn(|| format(jars, home.as_ref()));
            }
        });
    }
}

fn kraft(node: usize, nodes: &[Ports]) -> String {
    let voters: Vec<String> = nodes
        .iter()
        .enumerate()
        .map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controller))
        .collect();
    let replicas = nodes.len().min(3);
    format!(
        "process.roles=broker,controller
node.id={node}
controller.quorum.voters={}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
",
        voters.join(","),
        nodes[node].broker,
        nodes[node].controller
    )
}

fn common(home: &Path, nodes: usize, port: u16) -> String {
    let replicas = nodes.min(3);
    format!(
        "advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={}
num.partitions=3
default.replication.factor={replicas}
min.insync.replicas={}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={replicas}
transaction.state.log.num.partitions=3
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
",
        home.join("data").display(),
        replicas.min(2)
    )
}

/// Errors to the standard output, requests to a file of their own.
pub(crate) fn write_logging(home: &Path, log_requests: bool) {
    let level = if log_requests { "debug" } else { "off" };
    let text = format!(
        "status=error
appender.f.type=File
appender.f.name=f
appender.f.fileName={}
appender.f.layout.type=PatternLayout
appender.f.layout.pattern=%d{{ISO8601}} %m%n
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d{{ISO8601}} %p %m%n%throwable
rootLogger.level=error
rootLogger.appenderRef.c.ref=c
logger.r.name=kafka.request.logger
logger.r.level={level}
logger.r.additivity=false
logger.r.appenderRef.f.ref=f
",
        home.join("requests.log").display()
    );
    fs::write(home.join("log4j2.properties"), text).expect("a directory of this process");
}

fn format(jars: &Jars, home: &Path) {
    let mut command = java::java(jars);
    command
        .args(SHORT_LIVED)
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            home.join("log4j2.properties").display()
        ))
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(home.join("server.properties"));
    process::run(&mut command, b"", Duration::from_secs(120));
}
