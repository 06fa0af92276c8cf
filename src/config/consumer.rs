//! Owns the settings of a consumer.
//!
//! Must not know the consumer.

use alloc::string::String;
use alloc::vec::Vec;

use super::common::LONGEST_TEXT;
use super::group_protocol::{ASSIGNORS, GroupProtocol, HEARTBEAT_INTERVAL, SESSION_TIMEOUT};
use super::property::{Configuration, config_error, property_functions};
use super::value::Value;
use super::{CommonConfig, ProducerConfig, settings};
use crate::assignor::Assignor;
use crate::error::Error;
use crate::time::Duration;

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All, also undecided and aborted ones (Kafka's default).
    ReadUncommitted,
    /// Only committed ones.
    ReadCommitted,
}

impl IsolationLevel {
    /// The number that requests carry.
    #[must_use]
    pub const fn as_i8(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

impl Value for IsolationLevel {
    const TYPE: &'static str = "read_uncommitted or read_committed";
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "read_uncommitted" => Ok(Self::ReadUncommitted),
            "read_committed" => Ok(Self::ReadCommitted),
            _ => Err("must be `read_uncommitted` or `read_committed`".into()),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        }
        .into()
    }
}

/// Where to go on when the position does not exist (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// Nowhere: it is an error.
    None,
    /// At the first record that is not older than this (KIP-1106).
    ByDuration(Duration),
}

impl Value for OffsetReset {
    const TYPE: &'static str = "earliest, latest, none or by_duration:PnDTnHnMnS";
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" | "smallest" | "beginning" => Ok(Self::Earliest),
            "latest" | "largest" | "end" => Ok(Self::Latest),
            "none" | "error" => Ok(Self::None),
            _ => text
                .strip_prefix("by_duration:")
                .and_then(iso_duration)
                .map(Self::ByDuration)
                .ok_or_else(|| {
                    "must be `earliest`, `latest`, `none` or `by_duration:` with an ISO 8601 duration such as PT1H".into()
                }),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::Earliest => "earliest".into(),
            Self::Latest => "latest".into(),
            Self::None => "none".into(),
            Self::ByDuration(duration) => alloc::format!("by_duration:PT{}S", duration.as_secs()),
        }
    }
}

impl Value for Vec<Assignor> {
    const TYPE: &'static str =
        "range, roundrobin, sticky or cooperative-sticky, several with commas between";
    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .map(|name| {
                // Java names its classes.
                let name = match name.strip_prefix("org.apache.kafka.clients.consumer.") {
                    Some("RangeAssignor") => "range",
                    Some("RoundRobinAssignor") => "roundrobin",
                    Some("StickyAssignor") => "sticky",
                    Some("CooperativeStickyAssignor") => "cooperative-sticky",
                    Some(_) | None => name,
                };
                Assignor::parse(name)
                    .ok_or_else(|| alloc::format!("must be some of {}", <Self as Value>::TYPE))
            })
            .collect()
    }
    fn show(&self) -> String {
        let names: Vec<&str> = self.iter().map(|assignor| assignor.name()).collect();
        names.join(",")
    }
}

/// Reads `PnDTnHnMnS` with whole numbers, as `java.time.Duration` writes it.
fn iso_duration(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    let mut seconds: u64 = 0;
    let mut any = false;
    for (part, units) in [(days, "D"), (time, "HMS")] {
        let mut number = String::new();
        let mut units = units.chars();
        for c in part.chars() {
            if c.is_ascii_digit() {
                number.push(c);
                continue;
            }
            // Each unit at most once, and in this order.
            units.find(|unit| *unit == c)?;
            let factor = match c {
                'D' => 86_400,
                'H' => 3_600,
                'M' => 60,
                _ => 1,
            };
            let amount: u64 = number.parse().ok()?;
            seconds = seconds.checked_add(amount.checked_mul(factor)?)?;
            number.clear();
            any = true;
        }
        if !number.is_empty() {
            return None;
        }
    }
    any.then(|| Duration::from_secs(seconds))
}

settings! {
    /// The settings of a consumer.
    pub struct ConsumerConfig with CommonConfig {
        /// The group whose offsets are committed and resumed from. Empty: none, and nothing can be committed.
        "group.id" group_id: String = String::new(), 0..=LONGEST_TEXT;
        /// The name under which a member comes back to its group after a restart, without a rebalance (KIP-345). Each
        /// consumer of the group needs its own. Empty: none.
        "group.instance.id" group_instance_id: String = String::new(), 0..=LONGEST_TEXT;
        /// By which protocol the consumer is a member of its group. `automatic`: by `consumer` (KIP-848) where the
        /// coordinator has it, else by `classic`; setting `partition.assignment.strategy` to anything but its default means
        /// `classic`, too.
        "group.protocol" group_protocol: GroupProtocol = GroupProtocol::Automatic;
        /// With the protocol `consumer`: by which of the broker's `group.consumer.assignors` the coordinator is to share the
        /// partitions out (Kafka has `uniform` and `range`). The one that most members name is taken. Empty: its choice.
        "group.remote.assignor" group_remote_assignor: String = String::new(), 0..=LONGEST_TEXT;
        /// With the protocol `classic`: the assignors that the members of the group may agree on, the preferred one first.
        /// Members let go of everything before they join, unless all of these are cooperative.
        "partition.assignment.strategy" partition_assignment_strategy: Vec<Assignor> = ASSIGNORS.to_vec();
        /// With the protocol `classic`: how long the coordinator may hear nothing of a member before the group goes on
        /// without it.
        "session.timeout.ms" session_timeout: Duration = SESSION_TIMEOUT, 1..=i32::MAX as i64;
        /// With the protocol `classic`: how often a member tells the coordinator that it lives. Below `session.timeout.ms`.
        "heartbeat.interval.ms" heartbeat_interval: Duration = HEARTBEAT_INTERVAL, 1..=i32::MAX as i64;
        /// How long records may wait for a reader before the consumer leaves its group, and how long a rebalance may take.
        "max.poll.interval.ms" max_poll_interval: Duration = Duration::from_secs(300), 1..=i32::MAX as i64;
        /// Whether a member commits by itself what was dealt with: what was handed out before the current read.
        "enable.auto.commit" enable_auto_commit: bool = true;
        /// How often it does.
        "auto.commit.interval.ms" auto_commit_interval: Duration = Duration::from_secs(5), 1..=i32::MAX as i64;
        /// Where to go on when the position does not exist (any more).
        "auto.offset.reset" auto_offset_reset: OffsetReset = OffsetReset::Latest;
        /// Which records of transactions are read.
        "isolation.level" isolation_level: IsolationLevel = IsolationLevel::ReadUncommitted;
        /// How many bytes a broker waits for before it answers a fetch.
        "fetch.min.bytes" fetch_min_bytes: usize = 1, 1..=i32::MAX as i64;
        /// How long it waits for them. Below `request.timeout.ms`.
        "fetch.max.wait.ms" ["fetch.wait.max.ms"] fetch_max_wait: Duration = Duration::from_millis(500), 0..=i32::MAX as i64;
        /// How many bytes one fetch may bring at the most; less when `memory.budget` has less free. One larger batch still comes.
        "fetch.max.bytes" fetch_max_bytes: usize = 50 << 20, 1..=i32::MAX as i64;
        /// How many bytes of one partition a fetch may bring at the most. One larger batch still comes.
        "max.partition.fetch.bytes" ["fetch.message.max.bytes"] max_partition_fetch_bytes: usize = 1 << 20, 1..=i32::MAX as i64;
        /// Whether the checksum of every batch is verified.
        "check.crcs" check_crcs: bool = true;
        /// The rack that this client is in, so that a replica nearby can serve it (KIP-392). Empty: none.
        "client.rack" client_rack: String = String::new(), 0..=LONGEST_TEXT;
    }
}

impl ConsumerConfig {
    /// The defaults for the cluster behind `servers` (`host:port,host:port`).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when an entry is not `host:port`.
    pub fn bootstrap(servers: &str) -> Result<Self, Error> {
        Ok(Self {
            common: CommonConfig::bootstrap(servers)?,
            ..Self::default()
        })
    }

    fn check_membership(&self) -> Result<(), Error> {
        if self.heartbeat_interval >= self.session_timeout {
            return Err(config_error(
                "heartbeat.interval.ms",
                "must be below session.timeout.ms",
            ));
        }
        let assignors = &self.partition_assignment_strategy;
        let twice = |(place, assignor)| assignors.iter().take(place).any(|other| other == assignor);
        if assignors.is_empty() || assignors.iter().enumerate().any(twice) {
            return Err(config_error(
                "partition.assignment.strategy",
                "at least one assignor, and each once",
            ));
        }
        Ok(())
    }
}

property_functions!(ConsumerConfig);

impl Configuration for ConsumerConfig {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn common_mut(&mut self) -> &mut CommonConfig {
        &mut self.common
    }

    fn of_another_role(name: &str) -> Option<&'static str> {
        ProducerConfig::has(name).then_some("producer")
    }

    fn check(&self) -> Result<(), Error> {
        if self.fetch_max_wait >= self.common.request_timeout {
            return Err(config_error(
                "fetch.max.wait.ms",
                "must be below request.timeout.ms",
            ));
        }
        self.check_membership()?;
        self.check_protocol()
    }
}
