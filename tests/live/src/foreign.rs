//! Other people's clients: kcat (librdkafka) and kafka-python. Neither shares code with Klamm or with Java's clients.
//!
//! They produce and consume lines: records without keys, of one partition.

use crate::jars;
use crate::process::{self, Running};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// From PyPI, pure Python.
const KAFKA_PYTHON: &str = "3.0.12";

/// A client that is neither ours nor Kafka's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// librdkafka, in C.
    Kcat,
    /// kafka-python, in Python.
    KafkaPython,
}

impl Foreign {
    /// All of them.
    pub const ALL: [Foreign; 2] = [Foreign::Kcat, Foreign::KafkaPython];

    /// Produces `lines` to a partition, and returns once they are acknowledged. `codec` by Kafka's name: `none`, `gzip`,
    /// `snappy`, `lz4`, `zstd`; kafka-python has only the first two here.
    ///
    /// # Panics
    /// If the client is missing or fails.
    pub fn produce(
        self,
        bootstrap: &str,
        topic: &str,
        partition: u32,
        codec: &str,
        lines: &[&str],
    ) {
        let partition = partition.to_string();
        let mut command = match self {
            Foreign::Kcat => {
                let mut kcat = kcat();
                kcat.args([
                    "-P", "-b", bootstrap, "-t", topic, "-p", &partition, "-z", codec,
                ]);
                kcat
            }
            Foreign::KafkaPython => {
                let mut python = python();
                python.args(["produce", bootstrap, topic, &partition, codec]);
                python
            }
        };
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        process::run(&mut command, text.as_bytes(), LIMIT);
    }

    /// Consumes the first `count` records of a partition, and returns their values.
    ///
    /// # Panics
    /// If the client is missing or fails, or they are not there in time.
    pub fn consume(
        self,
        bootstrap: &str,
        topic: &str,
        partition: u32,
        count: usize,
    ) -> Vec<String> {
        let (partition, count) = (partition.to_string(), count.to_string());
        let mut command = match self {
            Foreign::Kcat => {
                let mut kcat = kcat();
                let from = [
                    "-C",
                    "-q",
                    "-b",
                    bootstrap,
                    "-t",
                    topic,
                    "-p",
                    &partition,
                    "-o",
                    "beginning",
                    "-c",
                    &count,
                ];
                // librdkafka checks no CRC unless it is told to.
                kcat.args(from).args(["-X", "check.crcs=true"]);
                kcat
            }
            Foreign::KafkaPython => {
                let mut python = python();
                python.args(["consume", bootstrap, topic, &partition, &count]);
                python
            }
        };
        process::run(&mut command, b"", LIMIT)
            .lines()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

/// How long members of [`Foreign::join`] may be silent.
pub const SESSION: Duration = Duration::from_secs(6);

impl Foreign {
    /// Joins a group that reads `topic` from its beginning, and prints the values of the records that it gets. Asked to
    /// end, it leaves the group.
    ///
    /// # Panics
    /// If the client is missing.
    pub fn join(self, bootstrap: &str, topic: &str, group: &str) -> Running {
        let session = SESSION.as_millis().to_string();
        let mut command = match self {
            Foreign::Kcat => {
                let mut kcat = kcat();
                kcat.args(["-G", group, "-q", "-u", "-b", bootstrap]);
                for setting in [
                    "auto.offset.reset=earliest",
                    "heartbeat.interval.ms=1000",
                    &format!("session.timeout.ms={session}"),
                ] {
                    kcat.args(["-X", setting]);
                }
                kcat.arg(topic);
                kcat
            }
            Foreign::KafkaPython => {
                let mut python = python();
                python.args(["join", bootstrap, topic, group, &session]);
                python
            }
        };
        Running::start(&mut command)
    }
}

fn kcat() -> Command {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        Command::new("kcat")
            .arg("-V")
            .output()
            .is_ok_and(|out| out.status.success())
    });
    assert!(found, "kcat is missing: apt-get install kcat");
    Command::new("kcat")
}

/// Python with kafka-python, which is fetched into the cache directory if it is not there yet.
fn python() -> Command {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    let packages = PACKAGES.get_or_init(|| {
        jars::cached(&format!("kafka-python-{KAFKA_PYTHON}"), |partial| {
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--root-user-action=ignore",
                "--target",
            ]);
            pip.arg(partial)
                .arg(format!("kafka-python=={KAFKA_PYTHON}"));
            assert!(
                Command::new("python3")
                    .args(["-m", "pip", "--version"])
                    .output()
                    .is_ok_and(|out| out.status.success()),
                "Python with pip fetches kafka-python and is missing: apt-get install python3-pip"
            );
            process::run(&mut pip, b"", Duration::from_secs(300));
        })
    });
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", packages)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/lines.py"));
    python
}
