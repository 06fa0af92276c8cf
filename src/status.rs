//! Owns the view of a client that a person reads in a terminal: brokers and their sockets, the group, partitions, memory.
//!
//! Must not know how any of it is found out. What others may have written (names, errors) is escaped.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::budget::Category;
use crate::collections::sorted;
use crate::engine::{Peer, TopicPartition};
use crate::error::{Error, printable};
use crate::metrics::MemoryMetrics;
use crate::time::{Duration, Instant};

/// How many columns a line has at the most.
const WIDTH: usize = 80;

/// How many partitions are printed; those in trouble come first.
const PARTITIONS_MAX: usize = 20;

/// How a client stands. It prints as lines of at most 80 columns, of which nobody else's text can forge one.
///
/// It is made when it is asked for; the client keeps nothing for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// `client.id`.
    pub client_id: String,
    /// When that was.
    pub now: Instant,
    /// The brokers that have a connection, had one, or should have one.
    pub brokers: Vec<BrokerStatus>,
    /// The group, if the client has one.
    pub group: Option<GroupStatus>,
    /// What is produced to, or read.
    pub partitions: Partitions,
    /// How much memory is held for what.
    pub memory: MemoryMetrics,
}

/// A broker and its two sockets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerStatus {
    /// Which broker.
    pub peer: Peer,
    /// Where it is, if that is known: `host:port`.
    pub address: Option<String>,
    /// The socket of produce, fetch, metadata, and everything else that is not the next.
    pub default: SocketStatus,
    /// The socket of the group.
    pub coordination: SocketStatus,
}

/// How far the way to a broker is.
#[derive(Clone, Debug, Default)]
pub enum SocketStatus {
    /// Nobody needs it.
    #[default]
    None,
    /// The name is being looked up.
    Resolving,
    /// The socket is being opened, or both sides get to know each other.
    Connecting,
    /// Requests can be sent.
    Ready {
        /// How many are not answered.
        in_flight: usize,
    },
    /// It is being closed.
    Closing,
    /// The last attempt has failed; the next one follows.
    Backoff {
        /// Why it failed.
        error: Option<Error>,
    },
}

impl SocketStatus {
    const fn error(&self) -> Option<&Error> {
        match self {
            Self::Backoff { error } => error.as_ref(),
            Self::None
            | Self::Resolving
            | Self::Connecting
            | Self::Ready { .. }
            | Self::Closing => None,
        }
    }
}

impl fmt::Display for SocketStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("-"),
            Self::Resolving => f.write_str("resolving"),
            Self::Connecting => f.write_str("connecting"),
            Self::Ready { in_flight: 0 } => f.write_str("idle"),
            Self::Ready { in_flight } => write!(f, "{in_flight} in flight"),
            Self::Closing => f.write_str("closing"),
            Self::Backoff { .. } => f.write_str("failed"),
        }
    }
}

/// A consumer's group.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupStatus {
    /// `group.id`.
    pub id: String,
    /// What the consumer is in it.
    pub membership: Membership,
    /// What stands in the way of the group, if anything does.
    pub trouble: Option<Error>,
}

/// What a consumer is in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// No member: it only commits and asks for offsets.
    Outside,
    /// On its way into the group, or into its next generation.
    Joining,
    /// A member of this generation.
    Member {
        /// Which generation.
        generation: i32,
    },
    /// On its way out.
    Leaving,
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("no member"),
            Self::Joining => f.write_str("joining"),
            Self::Member { generation } => write!(f, "member of generation {generation}"),
            Self::Leaving => f.write_str("leaving"),
        }
    }
}

/// The partitions of a client.
#[derive(Clone, Debug)]
pub enum Partitions {
    /// Those that have records without an outcome.
    Produced(Vec<ProducedPartition>),
    /// Those that are read.
    Consumed(Vec<ConsumedPartition>),
}

/// A partition that has records without an outcome.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProducedPartition {
    /// Which partition.
    pub partition: TopicPartition,
    /// How many batches have no outcome.
    pub batches: usize,
    /// How long ago the oldest of them was begun.
    pub oldest: Duration,
    /// What the next one waits for.
    pub waits_for: &'static str,
    /// Why the last attempt failed, if it did.
    pub error: Option<Error>,
}

/// A partition that is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumedPartition {
    /// Which partition.
    pub partition: TopicPartition,
    /// Offsets to its end, as far as a broker has said.
    pub lag: Option<i64>,
    /// What it is doing, and why.
    pub explanation: Explanation,
}

impl ConsumedPartition {
    /// Whether it does not get on although it should.
    fn is_in_trouble(&self) -> bool {
        match self.explanation.status {
            PartitionStatus::Backoff | PartitionStatus::Blocked => true,
            PartitionStatus::AwaitingMetadata
            | PartitionStatus::LookingUpOffset
            | PartitionStatus::Validating
            | PartitionStatus::Fetchable
            | PartitionStatus::InFlight
            | PartitionStatus::Buffered
            | PartitionStatus::Lent
            | PartitionStatus::AwaitingMemory
            | PartitionStatus::Paused
            | PartitionStatus::AwaitingGroup => self.explanation.error.is_some(),
        }
    }
}

/// What one partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionStatus {
    /// Its topic, itself or its leader is not known. Wakes with metadata.
    AwaitingMetadata,
    /// The offset to begin at is being looked up.
    LookingUpOffset,
    /// The position is being checked against the leader's history (KIP-320).
    Validating,
    /// Waits for its broker: for the connection, for the fetch under way, or for free memory.
    Fetchable,
    /// Part of a fetch that the broker is working on.
    InFlight,
    /// A batch can be had by [`next_batch`](crate::ConsumerEngine::next_batch).
    Buffered,
    /// A batch is with the reader. Wakes with its return.
    Lent,
    /// The next batch needs more memory for decompression than is free. Wakes when batches are returned.
    AwaitingMemory,
    /// Paused by the user. Wakes with [`resume`](crate::ConsumerEngine::resume).
    Paused,
    /// The group decides: about a partition that is not assigned, or one that a rebalance brings or takes. Wakes when the
    /// rebalance is over.
    AwaitingGroup,
    /// Waits until a stated time after an error.
    Backoff,
    /// Will not go on by itself. Wakes with [`seek`](crate::ConsumerEngine::seek) or
    /// [`assign`](crate::ConsumerEngine::assign).
    Blocked,
}

impl fmt::Display for PartitionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AwaitingMetadata => "needs metadata",
            Self::LookingUpOffset => "looks offset up",
            Self::Validating => "validates offset",
            Self::Fetchable => "to be fetched",
            Self::InFlight => "in flight",
            Self::Buffered => "buffered",
            Self::Lent => "with the reader",
            Self::AwaitingMemory => "needs memory",
            Self::Paused => "paused",
            Self::AwaitingGroup => "rebalance",
            Self::Backoff => "backoff",
            Self::Blocked => "blocked",
        })
    }
}

/// Why a partition does what it does.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What it is doing.
    pub status: PartitionStatus,
    /// Why, for people.
    pub cause: String,
    /// The error behind it, if it is one.
    pub error: Option<Error>,
    /// Since when.
    pub since: Instant,
    /// Until when, if it waits for a time.
    pub until: Option<Instant>,
    /// The next offset for the application, if known.
    pub position: Option<i64>,
    /// The next offset to fetch, if known.
    pub fetch_offset: Option<i64>,
}

/// `text` in at most `width` columns, with what is not printable escaped.
fn clip(text: &str, width: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= width {
        return text;
    }
    let mut clipped: String = text.chars().take(width.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}

/// A number of bytes as people read it.
fn bytes(number: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = number.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match number {
        0..1_024 => format!("{number} B"),
        1_024..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

fn since(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{} ms", duration.as_millis()),
        10..600 => format!("{} s", duration.as_secs()),
        _ => format!("{} min", duration.as_secs() / 60),
    }
}

/// What follows a line and explains it.
fn because(f: &mut fmt::Formatter<'_>, why: &str) -> fmt::Result {
    writeln!(f, "    {}", clip(why, WIDTH - 4))
}

fn brokers(f: &mut fmt::Formatter<'_>, brokers: &[BrokerStatus]) -> fmt::Result {
    if brokers.is_empty() {
        return writeln!(f, "no connections");
    }
    writeln!(f, "{:<48} {:<14} coordination", "broker", "default")?;
    for broker in brokers {
        let name = match &broker.address {
            Some(address) => format!("{} {address}", broker.peer),
            None => broker.peer.to_string(),
        };
        writeln!(
            f,
            "{:<48} {:<14} {}",
            clip(&name, 48),
            broker.default.to_string(),
            broker.coordination,
        )?;
        for error in [broker.default.error(), broker.coordination.error()]
            .into_iter()
            .flatten()
        {
            because(f, &error.to_string())?;
        }
    }
    Ok(())
}

fn produced(f: &mut fmt::Formatter<'_>, partitions: &[ProducedPartition]) -> fmt::Result {
    if partitions.is_empty() {
        return writeln!(f, "every record has its outcome");
    }
    writeln!(
        f,
        "{:<40} {:>7} {:>9} waits for",
        "partition", "batches", "oldest"
    )?;
    let partitions = sorted(partitions.iter().collect(), &|a, b| b.oldest.cmp(&a.oldest));
    for partition in partitions.iter().take(PARTITIONS_MAX) {
        writeln!(
            f,
            "{:<40} {:>7} {:>9} {}",
            clip(&partition.partition.to_string(), 40),
            partition.batches,
            since(partition.oldest),
            clip(partition.waits_for, 21),
        )?;
        if let Some(error) = &partition.error {
            because(f, &error.to_string())?;
        }
    }
    rest(f, partitions.len())
}

fn consumed(
    f: &mut fmt::Formatter<'_>,
    partitions: &[ConsumedPartition],
    now: Instant,
) -> fmt::Result {
    if partitions.is_empty() {
        return writeln!(f, "no partitions");
    }
    writeln!(
        f,
        "{:<30} {:>13} {:>11} {:<16} since",
        "partition", "position", "lag", "state"
    )?;
    let partitions = sorted(partitions.iter().collect(), &|a, b| {
        let trouble = b.is_in_trouble().cmp(&a.is_in_trouble());
        trouble.then(b.lag.cmp(&a.lag))
    });
    let number =
        |number: Option<i64>| number.map_or_else(|| "?".into(), |number| number.to_string());
    for partition in partitions.iter().take(PARTITIONS_MAX) {
        let explanation = &partition.explanation;
        writeln!(
            f,
            "{:<30} {:>13} {:>11} {:<16} {}",
            clip(&partition.partition.to_string(), 30),
            clip(&number(explanation.position), 13),
            clip(&number(partition.lag), 11),
            explanation.status.to_string(),
            clip(&since(now.since(explanation.since)), 6),
        )?;
        if partition.is_in_trouble() {
            because(f, &explanation.cause)?;
        }
    }
    rest(f, partitions.len())
}

fn rest(f: &mut fmt::Formatter<'_>, partitions: usize) -> fmt::Result {
    match partitions.checked_sub(PARTITIONS_MAX) {
        Some(more @ 1..) => writeln!(f, "and {more} more"),
        Some(0) | None => Ok(()),
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.partitions {
            Partitions::Produced(_) => "producer",
            Partitions::Consumed(_) => "consumer",
        };
        let used = self
            .memory
            .used
            .iter()
            .copied()
            .fold(0, u64::saturating_add);
        let memory = format!("{} of {}", bytes(used), bytes(self.memory.limit));
        let room = WIDTH.saturating_sub(role.len() + memory.len() + 10);
        writeln!(f, "{role} {}, memory {memory}", clip(&self.client_id, room))?;
        let held: Vec<String> = Category::ALL
            .into_iter()
            .map(|category| (category.name(), self.memory.used_for(category)))
            .filter(|(_, used)| *used > 0)
            .map(|(name, used)| format!("{name} {}", bytes(used)))
            .collect();
        if !held.is_empty() {
            because(f, &held.join(", "))?;
        }
        writeln!(f)?;
        brokers(f, &self.brokers)?;
        writeln!(f)?;
        if let Some(group) = &self.group {
            let membership = group.membership.to_string();
            let room = WIDTH.saturating_sub(membership.len() + 8);
            writeln!(f, "group {}: {membership}", clip(&group.id, room))?;
            if let Some(error) = &group.trouble {
                because(f, &error.to_string())?;
            }
            writeln!(f)?;
        }
        match &self.partitions {
            Partitions::Produced(partitions) => produced(f, partitions),
            Partitions::Consumed(partitions) => consumed(f, partitions, self.now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn consumed(name: &str, lag: i64, error: Option<&str>) -> ConsumedPartition {
        let error = error.map(|detail| Error::new(ErrorKind::Disconnected).with_detail(detail));
        ConsumedPartition {
            partition: TopicPartition::new(name, 0),
            lag: Some(lag),
            explanation: Explanation {
                status: match error {
                    Some(_) => PartitionStatus::Backoff,
                    None => PartitionStatus::InFlight,
                },
                cause: error.as_ref().map(ToString::to_string).unwrap_or_default(),
                error,
                since: Instant::from_millis(500),
                until: None,
                position: Some(i64::MAX - lag),
                fetch_offset: None,
            },
        }
    }

    fn status(partitions: Vec<ConsumedPartition>) -> Status {
        Status {
            client_id: "x".repeat(500),
            now: Instant::from_millis(1_250),
            brokers: Vec::from([BrokerStatus {
                peer: Peer::Bootstrap(0),
                address: Some(format!("{}:9092", "long.".repeat(60))),
                default: SocketStatus::Ready { in_flight: 12_345 },
                coordination: SocketStatus::Backoff {
                    error: Some(Error::new(ErrorKind::Disconnected).with_detail("no\nroute")),
                },
            }]),
            group: Some(GroupStatus {
                id: "g".repeat(300),
                membership: Membership::Member {
                    generation: i32::MAX,
                },
                trouble: Some(Error::new(ErrorKind::Closed)),
            }),
            partitions: Partitions::Consumed(partitions),
            memory: MemoryMetrics {
                limit: u64::MAX,
                used: [u64::MAX; Category::ALL.len()],
            },
        }
    }

    #[test]
    fn whatever_the_names_no_line_is_wider_than_a_terminal_and_none_can_be_forged() {
        let long = "t".repeat(249);
        let odd = "orders\nconsumer klamm\u{1b}[2J";
        let text = status(Vec::from([
            consumed(&long, i64::MAX, None),
            consumed(odd, 1, Some("a\nb")),
        ]))
        .to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        assert_eq!(text.matches("consumer ").count(), 2, "{text}");
        assert!(
            text.lines()
                .filter(|line| line.starts_with("consumer "))
                .count()
                == 1
        );
    }

    #[test]
    fn trouble_comes_first_and_what_is_too_much_is_counted() {
        let mut partitions: Vec<_> = (0..30).map(|lag| consumed("flowing", lag, None)).collect();
        partitions.push(consumed("failing", 0, Some("connection reset")));
        let text = status(partitions).to_string();
        let lines: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("partition"))
            .collect();
        assert!(lines[1].starts_with("failing-0"), "{text}");
        assert!(lines[1].ends_with("backoff          750 ms"), "{text}");
        assert_eq!(lines[2], "    no connection: connection reset");
        assert!(lines[3].contains(" 29 "), "the largest lag is next: {text}");
        assert_eq!(lines.last(), Some(&"and 11 more"));
    }
}
