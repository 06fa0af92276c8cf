//! Other people's clients that write and read whole records, with key, headers and time: librdkafka by its Python binding,
//! and franz-go. Neither shares code with Klamm or with Java's clients.
//!
//! A record is a line, as `foreign/librdkafka.py` says.

use crate::jars;
use crate::process;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// From PyPI, with the librdkafka of nearly the same version in it.
const CONFLUENT_KAFKA: &str = "2.16.1";
/// Go's own cache keeps what has been compiled once.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// A client that is neither ours nor Kafka's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// In C.
    Librdkafka,
    /// In Go.
    FranzGo,
}

impl Foreign {
    /// Both.
    pub const ALL: [Foreign; 2] = [Foreign::Librdkafka, Foreign::FranzGo];

    /// How its people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Foreign::Librdkafka => "librdkafka",
            Foreign::FranzGo => "franz-go",
        }
    }

    /// Produces records to partition 0 in as few batches as it can, and returns once they are acknowledged. `codec` by
    /// Kafka's name.
    ///
    /// # Panics
    /// If the client is missing or fails.
    pub fn produce(self, bootstrap: &str, topic: &str, codec: &str, records: &[String]) {
        let mut command = self.command();
        command.args(["produce", bootstrap, topic, codec]);
        process::run(&mut command, (records.join("\n") + "\n").as_bytes(), LIMIT);
    }

    /// Consumes the first `count` records of partition 0.
    ///
    /// # Panics
    /// If the client is missing or fails, or they are not there in time.
    #[must_use]
    pub fn consume(self, bootstrap: &str, topic: &str, count: usize) -> Vec<String> {
        let mut command = self.command();
        command.args(["consume", bootstrap, topic, &count.to_string()]);
        let consumed = process::run(&mut command, b"", LIMIT);
        consumed.lines().into_iter().map(str::to_owned).collect()
    }

    fn command(self) -> Command {
        match self {
            Foreign::Librdkafka => python(),
            Foreign::FranzGo => Command::new(franz()),
        }
    }
}

/// Python with librdkafka, which is fetched into the cache directory if it is not there yet.
fn python() -> Command {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    let packages = PACKAGES.get_or_init(|| {
        jars::cached(&format!("confluent-kafka-{CONFLUENT_KAFKA}"), |partial| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps"])
                .args(["--only-binary=:all:", "--root-user-action=ignore"])
                .arg("--target")
                .arg(partial)
                .arg(format!("confluent-kafka=={CONFLUENT_KAFKA}"));
            process::run(&mut pip, b"", Duration::from_secs(300));
        })
    });
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/foreign/librdkafka.py"
    ));
    python
}

/// The program with franz-go, built if it is not yet.
fn franz() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        assert!(
            Command::new("go")
                .arg("version")
                .output()
                .is_ok_and(|out| out.status.success()),
            "franz-go needs Go 1.26 or later (or 1.21 and leave to fetch it), and there is no go: install it"
        );
        let program = jars::cached("franz-go", |_| {}).join("franz");
        let mut go = Command::new("go");
        go.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/franz"))
            .args(["build", "-o"])
            .arg(std::path::absolute(&program).expect("a path"))
            .arg(".");
        process::run(&mut go, b"", BUILD_LIMIT);
        program
    })
}
