//! Owns scenarios: plain data that says what is built, what the applications do and what goes wrong, and the one
//! function that makes them from a seed.
//!
//! Knows neither engine nor cluster. A failure is kept as its scenario; the seed only generates it.

use klamm::Duration;
use klamm::record::Codec;

use crate::chance::{Chance, Stream};
use crate::history::Place;

/// Everything about one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The source of the network's and the engines' chance.
    pub seed: u64,
    /// How many brokers.
    pub brokers: u16,
    /// How many replicas a partition has.
    pub replication: i16,
    /// How long a follower takes to copy.
    pub replication_delay: Duration,
    /// The topics that exist from the start.
    pub topics: Vec<Topic>,
    /// The producers.
    pub producers: Vec<Producer>,
    /// The consumers: each reads every partition from its beginning.
    pub consumers: Vec<Consumer>,
    /// The members of one group, which subscribes to every topic.
    pub members: Vec<Member>,
    /// How the network behaves when nothing is wrong.
    pub network: Network,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
}

/// A producer and what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// `enable.idempotence`.
    pub idempotent: bool,
    /// `max.in.flight.requests.per.connection`.
    pub max_in_flight: usize,
    /// `linger.ms`.
    pub linger: Duration,
    /// `batch.size`.
    pub batch_size: usize,
    /// `buffer.memory`.
    pub buffer_memory: usize,
    /// `compression.type`.
    pub compression: Codec,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// What it sends.
    pub sends: Vec<Send>,
}

/// Some records for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// When the application has them, after the start.
    pub at: Duration,
    /// For where.
    pub place: Place,
    /// How many.
    pub records: u32,
    /// How large each value is.
    pub size: usize,
}

/// A consumer and how it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// `memory.budget`.
    pub memory_budget: usize,
    /// `fetch.max.wait.ms`.
    pub fetch_max_wait: Duration,
    /// `max.partition.fetch.bytes`.
    pub max_partition_fetch_bytes: usize,
    /// How long it works on each batch.
    pub per_batch: Duration,
}

/// A member of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// By which protocol it is a member.
    pub protocol: Protocol,
    /// `group.instance.id`, as a number. Who comes back after a crash has the same one again.
    pub instance: Option<u32>,
    /// `enable.auto.commit`.
    pub auto_commit: bool,
    /// How long its application takes to answer when partitions come or go; `None` if it is only told.
    pub listener: Option<Duration>,
    /// How long it works on each batch.
    pub per_batch: Duration,
    /// When it subscribes.
    pub joins: Duration,
    /// When and how it goes before the end.
    pub goes: Option<(Duration, Going)>,
}

/// By which protocol a member is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `classic`, with the range assignor: everything goes before a join.
    Eager,
    /// `classic`, with the cooperative-sticky assignor.
    Cooperative,
    /// `consumer` (KIP-848).
    Consumer,
}

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// It closes its client.
    Leaves,
    /// Its process ends: the sockets close, and nobody says a word.
    Crashes,
}

/// How the network behaves when nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The least time under way.
    pub delay_min: Duration,
    /// The longest.
    pub delay_max: Duration,
    /// The largest piece that arrives at once; smaller ones are as likely.
    pub piece_max: u64,
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When, after the start.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Every connection to the broker is reset; what was under way may or may not arrive.
    Reset {
        /// Which broker, from 1.
        broker: i32,
    },
    /// The broker stops, and starts again later.
    Stop {
        /// Which broker, from 1.
        broker: i32,
        /// For how long.
        down: Duration,
    },
    /// Nothing passes between the broker and anybody; afterwards everything arrives.
    Freeze {
        /// Which broker, from 1.
        broker: i32,
        /// For how long.
        still: Duration,
    },
    /// Everything on the way to and from the broker is lost, and nobody is told.
    BlackHole {
        /// Which broker, from 1.
        broker: i32,
        /// For how long.
        dark: Duration,
    },
    /// The partition's leadership moves to another in-sync replica.
    MoveLeader {
        /// Which partition.
        place: Place,
    },
    /// The next produce request is answered with an error.
    ProduceError {
        /// Which error.
        error: ProduceError,
        /// Whether the records are written all the same.
        applied: bool,
    },
    /// The next produce request's connection is dropped.
    ProduceDropped {
        /// Whether the records are written all the same.
        applied: bool,
    },
}

/// The errors that a broker answers a produce request with and a producer must live through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProduceError {
    /// Some other broker leads.
    NotLeader,
    /// Too few replicas are in sync; nothing was written.
    NotEnoughReplicas,
    /// Too few replicas are in sync; it was written.
    NotEnoughReplicasAfterAppend,
    /// The replicas took too long; it was written.
    RequestTimedOut,
    /// The broker does not know the topic (yet).
    UnknownTopic,
    /// The broker's disk failed.
    Storage,
}

impl Fault {
    /// How long it lasts.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        match &self.kind {
            FaultKind::Stop { down: lasts, .. }
            | FaultKind::Freeze { still: lasts, .. }
            | FaultKind::BlackHole { dark: lasts, .. } => *lasts,
            FaultKind::Reset { .. }
            | FaultKind::MoveLeader { .. }
            | FaultKind::ProduceError { .. }
            | FaultKind::ProduceDropped { .. } => Duration::ZERO,
        }
    }
}

/// How many pieces the records of a scenario travel in, about.
const PIECES_MAX: u64 = 5_000;

/// After the last fault, how long a scenario goes on at the most.
pub const DRAIN: Duration = Duration::from_secs(200);

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn generate(seed: u64) -> Self {
        let chance = Chance::new(seed);
        let mut draw = chance.stream("scenario", "shape");
        let brokers = u16::try_from(draw.between(1, 4)).expect("small");
        let topics: Vec<Topic> = (0..draw.between(1, 2))
            .map(|index| Topic {
                name: format!("topic-{index}"),
                partitions: i32::try_from(draw.between(1, 4)).expect("small"),
            })
            .collect();
        let places: Vec<Place> = topics
            .iter()
            .flat_map(|topic| {
                (0..topic.partitions).map(|partition| Place {
                    topic: topic.name.clone(),
                    partition,
                })
            })
            .collect();
        let length = draw.magnitude(1, 8_000);
        let producers: Vec<Producer> = (0..draw.between(1, 2))
            .map(|index| {
                producer(
                    chance.stream(&format!("producer-{index}"), "plan"),
                    &places,
                    length,
                )
            })
            .collect();
        let consumers: Vec<Consumer> = (0..draw.between(0, 2))
            .map(|index| consumer(chance.stream(&format!("consumer-{index}"), "plan")))
            .collect();
        let members = members(chance, length);
        // Byte by byte only what is little: one scenario would take the time of hundreds.
        let sent = producers.iter().flat_map(|producer| &producer.sends);
        let bytes: u64 = sent
            .map(|send| u64::from(send.records) * send.size as u64)
            .sum();
        let readers = 1 + consumers.len() + members.len();
        let least_piece = bytes * readers as u64 / PIECES_MAX;
        let delay_min = Duration::from_micros(draw.magnitude(1, 20_000));
        Self {
            seed,
            brokers,
            replication: i16::try_from(draw.between(1, u64::from(brokers.min(3)))).expect("small"),
            replication_delay: Duration::from_micros(draw.between(0, 20_000)),
            faults: faults(
                chance.stream("scenario", "faults"),
                brokers,
                &places,
                length,
            ),
            topics,
            producers,
            consumers,
            members,
            network: Network {
                delay_min,
                delay_max: delay_min + Duration::from_micros(draw.magnitude(1, 50_000)),
                piece_max: if draw.one_in(10) {
                    draw.between(1, 16).max(least_piece)
                } else {
                    draw.magnitude(64, 65_536)
                },
            },
        }
    }
}

fn producer(mut draw: Stream, places: &[Place], length: u64) -> Producer {
    let idempotent = !draw.one_in(3);
    let linger = Duration::from_millis(draw.between(0, 20));
    let request_timeout = Duration::from_millis(draw.magnitude(100, 30_000));
    let mut sends: Vec<Send> = (0..draw.between(1, 30))
        .map(|_| Send {
            at: Duration::from_millis(draw.between(0, length)),
            place: draw.pick(places).clone(),
            records: u32::try_from(draw.magnitude(1, 60)).expect("small"),
            size: usize::try_from(draw.magnitude(40, 2_000)).expect("small"),
        })
        .collect();
    sends.sort_by_key(|send| send.at);
    Producer {
        idempotent,
        max_in_flight: if draw.one_in(2) {
            1
        } else {
            usize::try_from(draw.between(1, 5)).expect("small")
        },
        linger,
        batch_size: usize::try_from(draw.magnitude(64, 16_384)).expect("small"),
        buffer_memory: usize::try_from(draw.magnitude(32_768, 1 << 20)).expect("small"),
        compression: if draw.one_in(4) {
            *draw.pick(&Codec::ALL)
        } else {
            Codec::None
        },
        request_timeout,
        delivery_timeout: linger
            + request_timeout
            + Duration::from_millis(draw.magnitude(1, 20_000)),
        sends,
    }
}

fn consumer(mut draw: Stream) -> Consumer {
    Consumer {
        memory_budget: usize::try_from(draw.magnitude(1 << 20, 64 << 20)).expect("small"),
        fetch_max_wait: Duration::from_millis(draw.between(100, 500)),
        max_partition_fetch_bytes: usize::try_from(draw.magnitude(1_024, 1 << 20)).expect("small"),
        per_batch: Duration::from_micros(draw.magnitude(1, 10_000)),
    }
}

/// A group in one of four scenarios. In half of them nobody goes, or all are dynamic.
fn members(chance: Chance, length: u64) -> Vec<Member> {
    let mut draw = chance.stream("group", "shape");
    if !draw.one_in(4) {
        return Vec::new();
    }
    let protocols = [Protocol::Eager, Protocol::Cooperative, Protocol::Consumer];
    let protocol = *draw.pick(&protocols);
    let (some_go, some_are_static) = (draw.one_in(2), draw.one_in(2));
    let mut members = Vec::new();
    for number in 0..u32::try_from(draw.between(1, 4)).expect("small") {
        let joins = match draw.one_in(2) {
            true => Duration::ZERO,
            false => Duration::from_millis(draw.between(0, length)),
        };
        let goes = (some_go && draw.one_in(2)).then(|| {
            let going = *draw.pick(&[Going::Leaves, Going::Crashes]);
            (
                joins + Duration::from_millis(draw.magnitude(1, 20_000)),
                going,
            )
        });
        let member = Member {
            protocol,
            instance: (some_are_static && draw.one_in(2)).then_some(number),
            auto_commit: !draw.one_in(4),
            listener: draw
                .one_in(2)
                .then(|| Duration::from_micros(draw.magnitude(1, 200_000))),
            per_batch: Duration::from_micros(draw.magnitude(1, 50_000)),
            joins,
            goes,
        };
        if let (Some(_), Some((at, Going::Crashes))) = (member.instance, goes) {
            members.push(Member {
                joins: at + Duration::from_millis(draw.magnitude(1, 10_000)),
                goes: None,
                ..member.clone()
            });
        }
        members.push(member);
    }
    members
}

/// Each class of faults is left out of half of the scenarios: that is what makes rare combinations happen.
fn faults(mut draw: Stream, brokers: u16, places: &[Place], length: u64) -> Vec<Fault> {
    let allowed: Vec<u64> = (0..7).filter(|_| draw.one_in(2)).collect();
    if allowed.is_empty() {
        return Vec::new();
    }
    let mut faults: Vec<Fault> = (0..draw.between(0, 12))
        .map(|_| {
            let broker = i32::try_from(draw.between(1, u64::from(brokers))).expect("small");
            let period = Duration::from_millis(draw.magnitude(10, 8_000));
            let kind = match draw.pick(&allowed) {
                0 => FaultKind::Reset { broker },
                1 => FaultKind::Stop {
                    broker,
                    down: period,
                },
                2 => FaultKind::Freeze {
                    broker,
                    still: period,
                },
                3 => FaultKind::BlackHole {
                    broker,
                    dark: period,
                },
                4 => FaultKind::MoveLeader {
                    place: draw.pick(places).clone(),
                },
                5 => produce_error(&mut draw),
                _ => FaultKind::ProduceDropped {
                    applied: draw.one_in(2),
                },
            };
            Fault {
                at: Duration::from_millis(draw.between(0, length)),
                kind,
            }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn produce_error(draw: &mut Stream) -> FaultKind {
    let (error, applied) = *draw.pick(&[
        (ProduceError::NotLeader, false),
        (ProduceError::NotLeader, true),
        (ProduceError::NotEnoughReplicas, false),
        (ProduceError::NotEnoughReplicasAfterAppend, true),
        (ProduceError::RequestTimedOut, true),
        (ProduceError::UnknownTopic, false),
        (ProduceError::Storage, false),
    ]);
    FaultKind::ProduceError { error, applied }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_scenario() {
        assert_eq!(Scenario::generate(5), Scenario::generate(5));
        assert_ne!(Scenario::generate(5), Scenario::generate(6));
    }

    #[test]
    fn every_kind_of_fault_comes_up() {
        let kinds: std::collections::BTreeSet<String> = (0..300)
            .flat_map(|seed| Scenario::generate(seed).faults)
            .map(|fault| {
                format!("{:?}", fault.kind)
                    .split([' ', '{'])
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        assert_eq!(kinds.len(), 7, "{kinds:?}");
    }
}
