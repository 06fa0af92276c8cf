//! The programs of the README, as their users run them, against a real broker of any version.

use klamm_live::java::class;
use klamm_live::kafka::Kafka;
use klamm_live::process;
use std::process::Command;
use std::time::Duration;

/// With the time to build it.
const LIMIT: Duration = Duration::from_secs(400);

fn quickstart(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "-p", "klamm", "--example", "quickstart"])
        .arg("--")
        .args(arguments);
    command
}

#[test]
fn the_quickstart_moves_standard_input_through_kafka() {
    let kafka = Kafka::shared();
    let lines = 30_000;
    let text: String = (0..lines)
        .map(|number| format!("key-{} and line {number}\n", number % 97))
        .collect();
    let mut command = quickstart(&["--bootstrap", &kafka.bootstrap(), "--partitions", "4", "-"]);
    let said = process::run(&mut command, text.as_bytes(), LIMIT).stdout;
    for part in [
        &*format!("through Kafka at {}", kafka.bootstrap()),
        "none missing, none doubled, all in order in 4 partitions",
        &format!("records    {lines}\n"),
        "records/s",
        "p99",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    let ends = kafka.tool(
        class::GET_OFFSETS,
        &["--topic", "klamm-quickstart-.*", "--time", "-1"],
        b"",
    );
    let ends = ends.lines().into_iter().map(|line| {
        let (_, end) = line.rsplit_once(':').expect("topic:partition:offset");
        end.parse::<usize>().expect("an offset")
    });
    assert_eq!(ends.sum::<usize>(), lines, "by Java's own count");
}

#[test]
fn the_quickstart_says_what_is_wrong_with_what_it_is_given() {
    for (arguments, said) in [
        (&["--bootstrap", "localhost"][..], "host:port"),
        (&["--bootstrap", "127.0.0.1:9"][..], "connection refused"),
        (&["no-such-file"][..], "no-such-file"),
        (&["--wrong"][..], "unknown option --wrong"),
    ] {
        let done = process::run_to_end(&mut quickstart(arguments), b"", LIMIT);
        assert!(
            !done.status.success() && done.stderr.contains(said),
            "{arguments:?}: {}",
            done.stderr
        );
    }
}
