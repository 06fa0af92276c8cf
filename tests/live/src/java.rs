//! Java virtual machines, and Kafka's own command line tools in them.

use crate::jars::Jars;
use crate::process::{self, Finished, Running};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The tools by the names of their classes, as Kafka 4 has them.
pub mod class {
    /// Writes the lines of its standard input as records.
    pub const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
    /// Prints records.
    pub const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    /// Creates, changes, deletes and describes topics.
    pub const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
    /// Prints the offsets of partitions.
    pub const GET_OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
    /// Prints what the segment files of a log hold.
    pub const DUMP_LOG_SEGMENTS: &str = "org.apache.kafka.tools.DumpLogSegments";
}

/// For brokers older than Java 17, which reach into its modules; later ones do not care.
pub(crate) const OPEN_MODULES: [&str; 4] = [
    "--add-opens",
    "java.base/java.nio=ALL-UNNAMED",
    "--add-opens",
    "java.base/sun.nio.ch=ALL-UNNAMED",
];

/// Short runs: the second compiler costs more processor time than it saves.
pub(crate) const SHORT_LIVED: [&str; 3] = [
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
];

/// Says what to do where there is no Java.
pub(crate) fn require() {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        Command::new("java")
            .arg("-version")
            .output()
            .is_ok_and(|out| out.status.success())
    });
    assert!(
        found,
        "A real Kafka needs Java 17 or later and there is no java: apt-get install openjdk-17-jre-headless"
    );
}

/// A tool of Kafka's, to be run with `args` and `stdin`: see [`class`]. Where a client under test has a server of its own,
/// this is how Java's clients are brought to it; for a real broker there is [`Kafka::tool`](crate::kafka::Kafka::tool).
///
/// # Panics
/// If it fails or has not ended after a minute; the message holds what it said.
pub fn tool(class: &str, args: &[&str], stdin: &[u8]) -> Finished {
    process::run(&mut command(class, args), stdin, Duration::from_secs(60))
}

/// Like [`tool`], and leaves it to the caller whether its failure is one.
///
/// # Panics
/// If it has not ended after a minute.
pub fn tool_to_end(class: &str, args: &[&str], stdin: &[u8]) -> Finished {
    process::run_to_end(&mut command(class, args), stdin, Duration::from_secs(60))
}

/// Like [`tool`], but started only.
///
/// # Panics
/// If it cannot be started.
pub fn start_tool(class: &str, args: &[&str]) -> Running {
    Running::start(&mut command(class, args))
}

fn command(class: &str, args: &[&str]) -> Command {
    let mut command = java(&Jars::newest());
    command
        .arg("-Xmx256m")
        .args(SHORT_LIVED)
        .arg(class)
        .args(args);
    command
}

/// `java` with the class path of `jars`; what comes next are its flags and the class.
pub(crate) fn java(jars: &Jars) -> Command {
    let mut command = Command::new("java");
    command.arg("-cp").arg(jars.class_path());
    command
}
