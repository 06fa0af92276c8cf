//! The cluster in memory, used by other people's clients: what they take for Kafka is enough of one. Java's own clients, librdkafka
//! (kcat) and kafka-python produce to it and consume from it, each reading what another has written.

use klamm_cluster::{ClusterConfig, Server};
use klamm_live::admin;
use klamm_live::foreign::Foreign;
use klamm_live::java::{self, class};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// A cluster of three brokers with a topic of two partitions.
fn cluster() -> Server {
    let server = Server::start(ClusterConfig::with_nodes(3)).expect("ports of 127.0.0.1");
    server
        .with(|cluster| cluster.create_topic("lines", 2))
        .expect("a new topic");
    server
}

/// Numbered lines that end with who wrote them.
fn lines(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{i} of {of}")).collect()
}

fn java_produces(server: &Server, codec: &str, lines: &[String]) {
    let args = [
        "--bootstrap-server",
        &server.bootstrap(),
        "--topic",
        "lines",
        "--compression-codec",
        codec,
    ];
    java::tool(
        class::CONSOLE_PRODUCER,
        &args,
        (lines.join("\n") + "\n").as_bytes(),
    );
}

fn java_consumes(server: &Server, partition: &str, count: usize) -> Vec<String> {
    let args = [
        "--bootstrap-server",
        &server.bootstrap(),
        "--topic",
        "lines",
        "--partition",
        partition,
        "--offset",
        "earliest",
        "--max-messages",
        &count.to_string(),
        "--timeout-ms",
        "30000",
    ];
    java::tool(class::CONSOLE_CONSUMER, &args, b"")
        .lines()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// What lies in a partition, by each foreign client and by Java.
fn everybody_reads(server: &Server, partition: u32, expected: &[String]) {
    for foreign in Foreign::ALL {
        let read = foreign.consume(&server.bootstrap(), "lines", partition, expected.len());
        assert_eq!(read, expected, "{foreign:?} reads partition {partition}");
    }
    assert_eq!(
        java_consumes(server, &partition.to_string(), expected.len()),
        expected,
        "Java reads partition {partition}"
    );
}

#[test]
fn kcat_in_all_codecs() {
    let server = cluster();
    let mut expected = Vec::new();
    for codec in CODECS {
        let lines = lines(codec, 500);
        let borrowed: Vec<&str> = lines.iter().map(String::as_str).collect();
        Foreign::Kcat.produce(&server.bootstrap(), "lines", 1, codec, &borrowed);
        expected.extend(lines);
    }
    let read = Foreign::Kcat.consume(&server.bootstrap(), "lines", 1, expected.len());
    assert_eq!(read, expected);
    assert_eq!(java_consumes(&server, "1", expected.len()), expected);
}

#[test]
fn kafka_python() {
    let server = cluster();
    let lines = lines("kafka-python", 500);
    let borrowed: Vec<&str> = lines.iter().map(String::as_str).collect();
    Foreign::KafkaPython.produce(&server.bootstrap(), "lines", 0, "gzip", &borrowed);
    everybody_reads(&server, 0, &lines);
}

#[test]
fn java() {
    let server = Server::start(ClusterConfig::with_nodes(3)).expect("ports of 127.0.0.1");
    server
        .with(|cluster| cluster.create_topic("lines", 1))
        .expect("a new topic");
    let lines = lines("Java", 500);
    java_produces(&server, "none", &lines);
    everybody_reads(&server, 0, &lines);
}

#[test]
fn a_broker_stops_between_two_producers() {
    let server = cluster();
    let bootstrap = server.bootstrap();
    let before = lines("kcat", 100);
    let borrowed: Vec<&str> = before.iter().map(String::as_str).collect();
    Foreign::Kcat.produce(&bootstrap, "lines", 0, "gzip", &borrowed);

    let first = leader_of_partition_0(&server);
    server
        .with(|cluster| cluster.stop_broker(first))
        .expect("it runs");
    let after = lines("kafka-python", 100);
    let borrowed: Vec<&str> = after.iter().map(String::as_str).collect();
    Foreign::KafkaPython.produce(&bootstrap, "lines", 0, "none", &borrowed);

    assert_ne!(leader_of_partition_0(&server), first);
    everybody_reads(&server, 0, &[before, after].concat());
}

/// As a broker that runs tells it.
fn leader_of_partition_0(server: &Server) -> i32 {
    let mut addresses = server.addresses().iter();
    let metadata =
        addresses.find_map(|address| admin::metadata(&address.to_string(), Some("lines")).ok());
    let (error, leaders) = metadata
        .expect("a broker runs")
        .topic
        .expect("the topic was asked for");
    assert_eq!(error, 0);
    leaders[0]
}
