//! The live tests' own tools: that a broker starts, dies, freezes and comes back, and that Kafka's tools see it.

use klamm_live::admin;
use klamm_live::foreign::Foreign;
use klamm_live::java::class;
use klamm_live::kafka::Kafka;

#[test]
fn records_of_javas_producer_come_back_from_javas_consumer() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("harness", 1);

    kafka.tool(
        class::CONSOLE_PRODUCER,
        &["--topic", &topic],
        b"one\ntwo\nthree\n",
    );

    let args = [
        "--topic",
        &topic,
        "--partition",
        "0",
        "--offset",
        "earliest",
        "--max-messages",
        "3",
    ];
    assert_eq!(
        kafka.tool(class::CONSOLE_CONSUMER, &args, b"").lines(),
        ["one", "two", "three"]
    );
    let offsets = kafka.tool(class::GET_OFFSETS, &["--topic", &topic], b"");
    assert_eq!(offsets.lines(), [format!("{topic}:0:3")]);
    let segment = kafka
        .log_directory(0, &topic, 0)
        .join("00000000000000000000.log");
    let segment = segment.display().to_string();
    let dump = klamm_live::java::tool(
        class::DUMP_LOG_SEGMENTS,
        &["--print-data-log", "--files", &segment],
        b"",
    );
    assert!(dump.stdout.contains("payload: two"), "{}", dump.stdout);

    let connections = kafka.requests("console-producer");
    assert!(
        connections.iter().any(|c| c.calls.contains_key("PRODUCE")),
        "{connections:#?}"
    );
    assert!(
        connections.iter().all(|c| !c.calls.contains_key("FETCH")),
        "{connections:#?}"
    );

    kafka.delete_topic(&topic);
}

#[test]
fn foreign_clients_read_each_other() {
    let kafka = Kafka::shared();
    let bootstrap = kafka.bootstrap();
    for foreign in Foreign::ALL {
        let topic = kafka.topic("harness", 2);
        foreign.produce(&bootstrap, &topic, 1, "gzip", &["one", "two", "three"]);
        for reader in Foreign::ALL {
            assert_eq!(
                reader.consume(&bootstrap, &topic, 1, 3),
                ["one", "two", "three"],
                "{foreign:?} read by {reader:?}"
            );
        }
    }
}

#[test]
fn a_cluster_of_three_goes_on_without_one() {
    let kafka = Kafka::start(3, &[]);
    let topic = kafka.topic("harness", 3);
    let victim = kafka.leader(&topic, 0);
    let other = (victim + 1) % 3;

    kafka.kill(victim);
    kafka.await_new_leader(&topic, 0, victim);
    kafka.start_node(victim);
    kafka.await_node(victim);

    kafka.freeze(other);
    assert!(
        admin::metadata(&kafka.address(other), None).is_err(),
        "a frozen broker answers"
    );
    kafka.thaw(other);
    kafka.await_node(other);
    kafka.stop();
}
