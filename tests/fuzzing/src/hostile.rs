//! Brokers that lie about sizes, to a whole consumer, and the memory that this takes.
//!
//! Each runs in a process of its own (`klamm-fuzzing hostile NAME`), whose peak of resident memory the kernel counts.

use std::collections::BTreeMap;

use klamm::config::ConsumerConfig;
use klamm::messages::{
    APIS, ApiVersion, ApiVersionsResponse, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use klamm::wire::{Message, Writer};
use klamm::{
    ApiKey, Assignment, Category, CloseCause, ConnectionId, ConsumerEngine, ConsumerEvent,
    Diagnostic, Duration, Engine, Input, Instant, Output, Start, UnixMillis, Uuid,
};

use crate::messages::subject;

/// The byte budget of the consumer.
pub const BUDGET: usize = 64 << 20;
/// What the process may take beside it.
pub const BESIDE: usize = 32 << 20;

/// How many brokers a cluster claims to have.
const BROKERS: i32 = 200;
/// What all brokers send before this has shown enough.
const SENT: usize = 1 << 30;
/// The bytes that one stream without an end is good for.
const STREAM: usize = 4 << 20;
/// What one read of a socket brings.
const READ: usize = 64 << 10;

/// A broker that means ill.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it does.
    pub name: &'static str,
    /// What the user must be told.
    pub told: &'static str,
    answer: fn(ApiKey, i16) -> Option<Answer>,
    /// What follows an answer that is none: bytes without an end.
    endless: bool,
}

/// A response's body: some bytes, and then so many zeros, which this process does not hold.
struct Answer {
    body: Vec<u8>,
    zeros: usize,
}

impl Answer {
    fn of(body: &[u8]) -> Option<Self> {
        Self::then(body, 0)
    }

    fn then(body: &[u8], zeros: usize) -> Option<Self> {
        let body = body.to_vec();
        Some(Self { body, zeros })
    }
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "2^31-apis",
        told: "ApiVersionsResponse.api_keys: 2147483647 elements",
        answer: |api, _| match api {
            // Version 0, whatever was asked: no error, and a count.
            ApiKey::API_VERSIONS => Answer::of(&[0, 35, 0x7f, 0xff, 0xff, 0xff]),
            _ => None,
        },
        endless: false,
    },
    Scenario {
        name: "2^32-brokers",
        told: "MetadataResponse.brokers: 4294967294 elements",
        answer: |api, version| match api {
            ApiKey::METADATA => Answer::of(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            _ => sound(api, version),
        },
        endless: false,
    },
    Scenario {
        name: "negative-count",
        told: "length -2 is negative",
        answer: |api, _| match api {
            ApiKey::API_VERSIONS => Answer::of(&[0, 35, 0xff, 0xff, 0xff, 0xfe]),
            _ => None,
        },
        endless: false,
    },
    Scenario {
        name: "20-million-tags",
        told: "tagged fields: 20000000 tagged fields claimed",
        answer: |api, version| match api {
            ApiKey::METADATA => {
                // No brokers, no cluster, no controller, no topics, no error; then 20,000,000 tags of no bytes.
                let mut body = vec![0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0];
                body.extend([0x80, 0xda, 0xc4, 0x09]);
                Answer::then(&body, 40_000_000)
            }
            _ => sound(api, version),
        },
        endless: false,
    },
    Scenario {
        name: "million-empty-topics",
        told: "MetadataResponse.topics",
        answer: |api, version| match api {
            ApiKey::METADATA => {
                let mut body = vec![0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff];
                body.extend([0x81, 0x80, 0x40]); // 2^20 topics
                Answer::then(&body, 32 << 20)
            }
            _ => sound(api, version),
        },
        endless: false,
    },
    Scenario {
        name: "http",
        told: "HTTP",
        answer: |_, _| None,
        endless: false,
    },
    Scenario {
        name: "endless-handshakes",
        told: "ApiVersions",
        answer: |_, _| None,
        endless: true,
    },
    Scenario {
        name: "endless-fetches",
        told: "does not fit into memory.budget",
        answer: |api, version| match api {
            ApiKey::FETCH | ApiKey::LIST_OFFSETS => None,
            _ => sound(api, version),
        },
        endless: true,
    },
];

fn encode<M: Message>(message: &M, version: i16) -> Option<Vec<u8>> {
    let mut writer = Writer::default();
    message.encode(&mut writer, version).ok()?;
    Some(writer.finish().to_vec())
}

/// What a sound broker of a cluster of many says.
fn sound(api: ApiKey, version: i16) -> Option<Answer> {
    Answer::of(&sound_body(api, version)?)
}

fn sound_body(api: ApiKey, version: i16) -> Option<Vec<u8>> {
    match api {
        ApiKey::API_VERSIONS => {
            let keys = APIS.iter().map(|api| ApiVersion {
                api_key: api.key.0,
                min_version: api.versions.min,
                max_version: api.versions.max,
            });
            let api_keys = keys.collect();
            encode(
                &ApiVersionsResponse {
                    api_keys,
                    ..Default::default()
                },
                version,
            )
        }
        ApiKey::METADATA => {
            let broker = |node_id| MetadataResponseBroker {
                node_id,
                host: format!("broker-{node_id}").into(),
                port: 9092,
                ..Default::default()
            };
            let partition = |partition_index| MetadataResponsePartition {
                partition_index,
                leader_id: partition_index,
                leader_epoch: 1,
                ..Default::default()
            };
            let topic = MetadataResponseTopic {
                name: Some("t".into()),
                topic_id: Uuid([7; 16]),
                partitions: (0..BROKERS).map(partition).collect(),
                ..Default::default()
            };
            let response = MetadataResponse {
                brokers: (0..BROKERS).map(broker).collect(),
                topics: vec![topic],
                ..Default::default()
            };
            encode(&response, version)
        }
        _ => None,
    }
}

/// What a run has shown.
#[derive(Debug, Default)]
pub struct Report {
    /// The errors that the user or the log was told, each once.
    pub told: Vec<String>,
    /// The most that each category of the budget held.
    pub gauge: BTreeMap<String, usize>,
    /// Bytes that the brokers sent.
    pub sent: usize,
    /// Connections that were open at once.
    pub connections: usize,
}

struct World {
    engine: ConsumerEngine,
    now: Instant,
    scenario: Scenario,
    /// Each connection, and what of a stream without an end is left.
    sockets: BTreeMap<ConnectionId, usize>,
    report: Report,
}

/// Lets the broker do its worst for ten minutes of virtual time, or a gigabyte.
#[must_use]
pub fn run(scenario: Scenario) -> Report {
    let servers: Vec<String> = (0..64)
        .map(|server| format!("server-{server}:9092"))
        .collect();
    let mut config = ConsumerConfig::bootstrap(&servers.join(",")).expect("servers");
    config.common.memory_budget = BUDGET;
    let engine = ConsumerEngine::new(&config, [7; 32], Instant::START, UnixMillis(0));
    let mut world = World {
        engine: engine.expect("a sound configuration"),
        now: Instant::START,
        scenario,
        sockets: BTreeMap::new(),
        report: Report::default(),
    };
    let assigned: Vec<Assignment<'_>> = (0..BROKERS)
        .map(|partition| Assignment {
            topic: "t",
            partition,
            start: Start::Offset(0),
        })
        .collect();
    world
        .engine
        .assign(&assigned, world.now)
        .expect("a legal assignment");
    let end = Instant::START + Duration::from_secs(600);
    while world.now < end && world.report.sent < SENT {
        let wake = world.settle();
        world.stream();
        // One read of every socket, then time goes on.
        world.now = (world.now + Duration::from_millis(100)).max(world.now);
        if wake.is_some_and(|at| at <= world.now) {
            world.engine.handle(
                Input::Timeout {
                    wall: UnixMillis(0),
                },
                world.now,
            );
        }
    }
    world.report
}

impl World {
    fn told(&mut self, error: &klamm::Error) {
        let error = error.to_string();
        if self.report.told.len() < 64 && !self.report.told.contains(&error) {
            self.report.told.push(error);
        }
    }

    fn receive(&mut self, conn: ConnectionId, data: &[u8]) {
        for data in data.chunks(READ) {
            self.report.sent += data.len();
            self.engine.handle(Input::Received { conn, data }, self.now);
            for category in Category::ALL {
                let used = self.engine.memory_used(category);
                let most = self
                    .report
                    .gauge
                    .entry(format!("{category:?}"))
                    .or_default();
                *most = (*most).max(used);
            }
        }
    }

    fn settle(&mut self) -> Option<Instant> {
        loop {
            match self.engine.poll_output() {
                Output::Resolve { id, port, .. } => {
                    let result = Ok(vec![([10, 0, 0, 1], port).into()]);
                    self.engine.handle(Input::Resolved { id, result }, self.now);
                }
                Output::Open { conn, .. } => {
                    self.sockets.insert(conn, 0);
                    self.report.connections = self.report.connections.max(self.sockets.len());
                    self.engine.handle(Input::Connected { conn }, self.now);
                }
                Output::Write { conn, data } => {
                    let frame = data.to_vec();
                    let bytes = frame.len() as u64;
                    self.engine.handle(Input::Sent { conn, bytes }, self.now);
                    self.answer(conn, &frame);
                }
                Output::Close { conn, .. } => {
                    self.sockets.remove(&conn);
                    let (cause, sent) = (CloseCause::Local, 0);
                    self.engine
                        .handle(Input::Closed { conn, cause, sent }, self.now);
                }
                Output::Diagnostic(Diagnostic::Disconnected {
                    error: Some(error), ..
                })
                | Output::Event(ConsumerEvent::Problem(error)) => self.told(&error),
                Output::Work { .. } | Output::Event(_) | Output::Diagnostic(_) => {}
                Output::Idle(wake) => return wake.map(|wake| wake.at),
            }
        }
    }

    /// Answers what one write holds; this consumer writes a frame at a time.
    fn answer(&mut self, conn: ConnectionId, frame: &[u8]) {
        let Some([_, _, _, _, k0, k1, v0, v1, id @ ..]) = frame.first_chunk::<12>() else {
            return;
        };
        let (key, version) = (
            i16::from_be_bytes([*k0, *k1]),
            i16::from_be_bytes([*v0, *v1]),
        );
        match (self.scenario.answer)(ApiKey(key), version) {
            Some(Answer { body, zeros }) => {
                let flexible = subject(key).is_some_and(|api| (api.response_header)(version) == 1);
                let header = if flexible { &[0][..] } else { &[] };
                let size = (4 + header.len() + body.len() + zeros) as u32;
                self.receive(conn, &[&size.to_be_bytes()[..], id, header].concat());
                self.receive(conn, &body);
                self.zeros(conn, zeros);
            }
            None if self.scenario.endless => {
                // As large as is believed, before the handshake is over and after.
                let size = if key == ApiKey::API_VERSIONS.0 {
                    512 << 10
                } else {
                    100_u32 << 20
                };
                self.receive(conn, &[&size.to_be_bytes()[..], id].concat());
                self.sockets.entry(conn).and_modify(|left| *left = STREAM);
            }
            None => self.receive(conn, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        }
    }

    /// Read by read, as long as the connection lives.
    fn zeros(&mut self, conn: ConnectionId, mut left: usize) {
        while left > 0 && self.sockets.contains_key(&conn) {
            let length = READ.min(left);
            left -= length;
            self.receive(conn, &[0; READ][..length]);
        }
    }

    fn stream(&mut self) {
        let conns: Vec<ConnectionId> = self.sockets.keys().copied().collect();
        for conn in conns {
            let Some(left) = self.sockets.get_mut(&conn) else {
                continue;
            };
            let length = READ.min(*left);
            *left -= length;
            if length > 0 {
                self.receive(conn, &[0; READ][..length]);
                self.settle();
            }
        }
    }
}

/// The peak of this process's resident memory, in bytes; `None` where no kernel says it.
#[must_use]
pub fn peak_resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
