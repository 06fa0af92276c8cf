//! What is fetched once and kept in the cache directory: above all the jars of a Kafka version. Knows how Kafka is published,
//! not how it runs.
//!
//! The cache is `.kafka` in the repository, or what `KLAMM_KAFKA_DIR` names.

use crate::java;
use crate::process;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The version of brokers where `KLAMM_KAFKA_VERSION` does not name one, and of tools always.
const NEWEST: &str = "4.3.1";

/// The jars of one version of Kafka.
#[derive(Debug, Clone)]
pub(crate) struct Jars {
    libs: PathBuf,
    zookeeper: bool,
}

impl Jars {
    /// Those of the version that the environment names, or of the newest.
    pub(crate) fn of_environment() -> Jars {
        let version = env::var("KLAMM_KAFKA_VERSION").unwrap_or_else(|_| NEWEST.to_owned());
        Jars::of_version(&version)
    }

    /// Those of the newest version: its tools and clients speak to all brokers that Klamm does.
    pub(crate) fn newest() -> Jars {
        Jars::of_version(NEWEST)
    }

    /// Those of `version`, fetched if they are not there yet.
    pub(crate) fn of_version(version: &str) -> Jars {
        java::require();
        let libs = cached(&format!("{version}/libs"), |partial| {
            fetch(version, partial)
        });
        let zookeeper = needs_zookeeper(version);
        Jars { libs, zookeeper }
    }

    /// All of them, as `java -cp` wants it.
    pub(crate) fn class_path(&self) -> PathBuf {
        self.libs.join("*")
    }

    /// Whether the brokers of this version cannot do without ZooKeeper.
    pub(crate) fn zookeeper(&self) -> bool {
        self.zookeeper
    }
}

/// The first two numbers of a version.
fn release(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        panic!("no version of Kafka: {version}");
    };
    (major, minor)
}

fn needs_zookeeper(version: &str) -> bool {
    release(version) < (3, 3)
}

/// The directory `name` in the cache: as it is, or filled by `fill`. Whoever comes at the same time sees all of it or nothing:
/// it is filled under another name.
///
/// # Panics
/// If the cache cannot be written.
pub(crate) fn cached(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let root = env::var_os("KLAMM_KAFKA_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.kafka"),
        PathBuf::from,
    );
    // Other processes fill a directory of their own; other threads wait here.
    static FILLING: Mutex<()> = Mutex::new(());
    let _filling = FILLING.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = root.join(name);
    if wanted.is_dir() {
        return wanted;
    }
    let partial = root.join(format!("{name}.{}", std::process::id()));
    fs::create_dir_all(&partial)
        .unwrap_or_else(|e| panic!("{} cannot be made: {e}", partial.display()));
    fill(&partial);
    if fs::rename(&partial, &wanted).is_err() {
        assert!(
            wanted.is_dir(),
            "{} cannot be renamed to {}",
            partial.display(),
            wanted.display()
        );
        fs::remove_dir_all(&partial).expect("a directory of this process");
    }
    wanted
}

fn fetch(version: &str, libs: &Path) {
    assert!(
        Command::new("mvn")
            .arg("-version")
            .output()
            .is_ok_and(|out| out.status.success()),
        "Maven fetches Kafka's jars and mvn is missing: apt-get install maven"
    );
    let scala = if release(version) < (2, 4) {
        "2.12"
    } else {
        "2.13"
    };
    let profile = if needs_zookeeper(version) {
        "zookeeper"
    } else {
        "kraft"
    };
    let mut maven = Command::new("mvn");
    maven
        .args([
            "-q",
            "-B",
            "-f",
            concat!(env!("CARGO_MANIFEST_DIR"), "/pom.xml"),
        ])
        .arg("dependency:copy-dependencies")
        .arg(format!("-P{profile}"))
        .arg(format!("-Dkafka.version={version}"))
        .arg(format!("-Dscala={scala}"))
        .arg(format!("-DoutputDirectory={}", libs.display()));
    process::run(&mut maven, b"", Duration::from_secs(600));
}
