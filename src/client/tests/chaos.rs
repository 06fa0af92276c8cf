//! Anything in any order: sockets, brokers and users that do what chance tells them. Whatever comes, every request ends
//! once, every socket is closed once, idle is idle, and in the end nothing is left.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::probe::{Heard, Probe};
use super::script::{TopicIs, address, metadata, versions};
use crate::budget::Category;
use crate::client::Client;
use crate::cluster::{Route, Settings};
use crate::config::CommonConfig;
use crate::connection::{SendOptions, Token};
use crate::engine::{
    CloseCause, ConnectionGroup, ConnectionId, Input, NodeId, Output, ResolveError, ResolveId,
    TopicHandle,
};
use crate::messages::{
    ApiVersionsRequest, FetchPartitionData, FetchRequest, FetchResponse, FetchableTopicResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
    MetadataRequest, ProduceRequest,
};
use crate::random::{Random, Stream};
use crate::time::{Duration, Instant, UnixMillis};
use crate::wire::header::{decode_request_header, encode_response};
use crate::wire::{ApiKey, Request, Writer};

const BROKERS: &[(i32, &str)] = &[(1, "one"), (2, "two"), (3, "three")];

#[derive(Debug, Default)]
struct Socket {
    /// Requests that were written and not answered: API, version, correlation id.
    requests: VecDeque<(ApiKey, i16, i32)>,
    written: u64,
    accepted: u64,
    /// What of an answer is still on its way.
    arriving: Vec<u8>,
}

struct World {
    client: Client<Probe>,
    random: Random,
    now: Instant,
    wake: Option<Instant>,
    lookups: Vec<ResolveId>,
    sockets: BTreeMap<ConnectionId, Socket>,
    opened: BTreeSet<ConnectionId>,
    issued: BTreeSet<Token>,
    /// Answered, sent, failed and maybe applied, failed and not.
    ended: [u64; 4],
}

impl World {
    fn new(seed: u32) -> Self {
        let config = CommonConfig::bootstrap("a:1,b:2")
            .unwrap()
            .memory_budget(1_usize << 20)
            .request_timeout(Duration::from_secs(5))
            .connections_max_idle(Duration::from_secs(20));
        let mut entropy = [9; 32];
        entropy[..4].copy_from_slice(&seed.to_be_bytes());
        let now = Instant::from_millis(1);
        Self {
            client: Client::new(
                Probe::default(),
                Settings::new(&config),
                entropy,
                now,
                UnixMillis(0),
            ),
            random: Random::derive(&entropy, Stream::Consumer),
            now,
            wake: None,
            lookups: Vec::new(),
            sockets: BTreeMap::new(),
            opened: BTreeSet::new(),
            issued: BTreeSet::new(),
            ended: [0; 4],
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.below(100) < percent
    }

    fn input(&mut self, input: Input<'_>) {
        self.client.handle(input, self.now);
        if self.random.below(3) > 0 {
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Idle(wake) => {
                    self.wake = wake.map(|wake| wake.at);
                    break;
                }
                output => self.take(output),
            }
        }
        assert!(
            self.wake.is_none_or(|wake| wake > self.now),
            "a wake that is not later than now"
        );
        assert!(
            !self.client.needs_drive(self.wake),
            "drained, and still in need"
        );
        self.client.handle(
            Input::Timeout {
                wall: UnixMillis(0),
            },
            self.now,
        );
        assert!(!self.client.needs_drive(self.wake), "idle is not idle");
    }

    fn take(&mut self, output: Output<Heard>) {
        match output {
            Output::Resolve { id, .. } => self.lookups.push(id),
            Output::Open { conn, .. } => {
                assert!(self.opened.insert(conn), "an incarnation is used twice");
                self.sockets.insert(conn, Socket::default());
            }
            Output::Write { conn, data } => self.written(conn, &Bytes::from(data.to_vec())),
            Output::Close { conn, .. } => {
                assert!(
                    self.sockets.contains_key(&conn),
                    "a socket that is gone is closed"
                );
            }
            Output::Event(Heard::Response(token)) => self.end(token, 0),
            Output::Event(Heard::Sent(token)) => self.end(token, 1),
            Output::Event(Heard::Failed {
                token,
                maybe_applied,
                ..
            }) => self.end(token, if maybe_applied { 2 } else { 3 }),
            Output::Event(_) | Output::Diagnostic(_) | Output::Work { .. } | Output::Idle(_) => {}
        }
    }

    fn end(&mut self, token: Token, how: usize) {
        assert!(
            self.issued.remove(&token),
            "{token:?} has ended before, or never was"
        );
        self.ended[how] += 1;
    }

    fn written(&mut self, conn: ConnectionId, data: &Bytes) {
        let socket = self
            .sockets
            .get_mut(&conn)
            .expect("written to a socket that is gone");
        socket.written += data.len() as u64;
        let (header, _) = decode_request_header(data.slice(4..), |_, _| None).unwrap();
        let api = ApiKey(header.request_api_key);
        if api != ApiKey::PRODUCE {
            socket
                .requests
                .push_back((api, header.request_api_version, header.correlation_id));
        }
    }

    fn a_socket(&mut self) -> Option<ConnectionId> {
        let count = u32::try_from(self.sockets.len()).unwrap();
        let index = self.random.below(count) as usize;
        self.sockets.keys().nth(index).copied()
    }

    fn command(&mut self) {
        let node = NodeId(1 + i32::try_from(self.random.below(4)).unwrap());
        let group = match self.chance(50) {
            true => ConnectionGroup::Default,
            false => ConnectionGroup::Coordination,
        };
        let (what, size) = (self.random.below(9), self.random.below(60_000) as usize);
        let options = SendOptions::new(Duration::from_millis(
            1 + u64::from(self.random.below(30_000)),
        ));
        let node_route = Route::Node(node, group);
        let victim = self.issued.iter().next().copied();
        let token = self.client.step(self.now, |_, cx| {
            let cluster = &mut *cx.cluster;
            match what {
                0 => Some(cluster.send(HeartbeatRequest::default(), node_route, options)),
                1 => Some(cluster.send(FindCoordinatorRequest::default(), Route::Any, options)),
                2 if cluster.budget().take(Category::Fetch, size) => {
                    let long_poll = Some(Duration::from_millis(500));
                    let options = SendOptions {
                        allowance: size,
                        long_poll,
                        ..options
                    };
                    Some(cluster.send(FetchRequest::default(), node_route, options))
                }
                3 => {
                    let options = SendOptions {
                        expects_answer: false,
                        ..options
                    };
                    Some(cluster.send(ProduceRequest::default(), node_route, options))
                }
                4 => {
                    cluster.want_topic(["orders", "payments", "nobody's"][size % 3]);
                    None
                }
                5 => {
                    cluster.refresh_metadata();
                    cluster.forget_topic(TopicHandle(1));
                    None
                }
                6 => {
                    let _ = cluster.reach(node, group);
                    None
                }
                7 => {
                    cluster.unreach(node, group);
                    None
                }
                _ => {
                    if let Some(token) = victim {
                        cluster.abandon(token);
                    }
                    None
                }
            }
        });
        if let (8, Some(token)) = (what, victim) {
            // It may have ended in the same step before it was abandoned; then its end is still to be heard.
            self.drain_abandoned(token);
        }
        self.issued.extend(token);
        if self.chance(50) {
            self.drain();
        }
    }

    fn drain_abandoned(&mut self, token: Token) {
        self.drain();
        self.issued.remove(&token);
    }

    fn answer(&mut self, conn: ConnectionId) {
        let leaders = [
            1 + i32::try_from(self.random.below(3)).unwrap(),
            i32::try_from(self.random.below(9)).unwrap(),
        ];
        let size = self.random.below(90_000) as usize;
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        let Some((api, version, id)) = socket.requests.pop_front() else {
            return;
        };
        let frame = match api {
            ApiKey::API_VERSIONS => frame::<ApiVersionsRequest>(&versions(&[]), version, id),
            ApiKey::METADATA => {
                let leaders = [(leaders[0], leaders[1])];
                let topics = [
                    TopicIs {
                        id: 1 + size as u128 % 2,
                        ..TopicIs::known("orders", &leaders)
                    },
                    TopicIs::known("payments", &leaders),
                ];
                frame::<MetadataRequest>(&metadata(&BROKERS[size % 3..], &topics), version, id)
            }
            ApiKey::HEARTBEAT => {
                frame::<HeartbeatRequest>(&HeartbeatResponse::default(), version, id)
            }
            ApiKey::FIND_COORDINATOR => {
                frame::<FindCoordinatorRequest>(&FindCoordinatorResponse::default(), version, id)
            }
            ApiKey::FETCH => {
                let records = Some(Bytes::from(vec![7; size]));
                let partitions = vec![FetchPartitionData {
                    records,
                    ..Default::default()
                }];
                let responses = vec![FetchableTopicResponse {
                    partitions,
                    ..Default::default()
                }];
                frame::<FetchRequest>(
                    &FetchResponse {
                        responses,
                        ..Default::default()
                    },
                    version,
                    id,
                )
            }
            other => panic!("nobody sends {other}"),
        };
        socket.arriving.extend(frame);
    }

    fn socket_moves(&mut self) {
        let Some(conn) = self.a_socket() else {
            return;
        };
        match self.random.below(12) {
            0..=1 => self.input(Input::Connected { conn }),
            2..=4 => self.answer(conn),
            5..=7 => self.arrive(conn),
            8..=9 => self.accept(conn),
            10 if self.chance(15) => {
                let noise: Vec<u8> = (0..self.random.below(40))
                    .map(|_| self.random.next_u32().to_be_bytes()[0])
                    .collect();
                self.input(Input::Received { conn, data: &noise });
            }
            11 if self.chance(30) => self.close(conn),
            _ => {}
        }
    }

    fn arrive(&mut self, conn: ConnectionId) {
        let most = 1 + self.random.below(70_000) as usize;
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        let rest = socket.arriving.split_off(most.min(socket.arriving.len()));
        let data = core::mem::replace(&mut socket.arriving, rest);
        self.input(Input::Received { conn, data: &data });
    }

    fn accept(&mut self, conn: ConnectionId) {
        let most = 1 + u64::from(self.random.below(300));
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        let bytes = most.min(socket.written - socket.accepted);
        socket.accepted += bytes;
        self.input(Input::Sent { conn, bytes });
    }

    fn close(&mut self, conn: ConnectionId) {
        self.drain();
        if let Some(socket) = self.sockets.remove(&conn) {
            let sent = socket.accepted + u64::from(self.random.below(100));
            self.input(Input::Closed {
                conn,
                cause: CloseCause::Reset,
                sent,
            });
        }
    }

    fn lookup_moves(&mut self) {
        let Some(id) = self.lookups.pop() else {
            return;
        };
        let result = match self.random.below(5) {
            0 => Err(ResolveError::NotFound),
            1 => Ok(Vec::new()),
            2 => Ok(vec![address(1), address(2)]),
            _ => Ok(vec![address(3)]),
        };
        self.input(Input::Resolved { id, result });
    }

    fn pass_time(&mut self) {
        self.drain();
        let exactly = self.chance(40);
        self.now = match self.wake {
            Some(wake) if exactly => wake,
            _ => self.now + Duration::from_millis(u64::from(self.random.below(200))),
        };
        self.input(Input::Timeout {
            wall: UnixMillis(0),
        });
    }

    fn release_all(&mut self) {
        self.client.step(self.now, |probe, cx| {
            for response in probe.responses.drain(..) {
                match response.api {
                    ApiKey::FETCH => {
                        if let Ok((decoded, held)) = cx.cluster.decode::<FetchRequest>(response) {
                            cx.cluster.throttle(&held, decoded.throttle_time_ms);
                            drop(decoded);
                            cx.cluster.release(held);
                        }
                    }
                    _ => {
                        let (_, held) = response.into_parts();
                        cx.cluster.throttle(&held, 1);
                        cx.cluster.release(held);
                    }
                }
            }
        });
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=2 => self.command(),
            3..=4 => self.lookup_moves(),
            5 => self.pass_time(),
            6 => self.release_all(),
            _ => self.socket_moves(),
        }
    }

    /// Everything goes away, and nothing is left.
    fn finish(mut self) -> [u64; 4] {
        self.drain();
        self.release_all();
        self.client.step(self.now, |_, cx| cx.cluster.close());
        self.drain();
        while let Some(conn) = self.sockets.keys().next().copied() {
            self.close(conn);
        }
        self.drain();
        self.release_all();
        let cluster = &mut self.client.cluster;
        assert!(cluster.is_closed(), "closing does not end");
        let metadata = cluster.budget().used(Category::Metadata);
        assert_eq!(cluster.budget().used_total(), metadata, "memory is left");
        assert_eq!(self.wake, None, "a timer is left");
        self.ended
    }
}

fn frame<R: Request>(response: &R::Response, version: i16, correlation: i32) -> Vec<u8> {
    let writer = Writer::new(BytesMut::new());
    encode_response::<R>(response, version, correlation, writer)
        .unwrap()
        .to_vec()
}

#[test]
fn whatever_comes_everything_ends_once_and_nothing_is_left() {
    let mut ended = [0; 4];
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        for (sum, count) in ended.iter_mut().zip(world.finish()) {
            *sum += count;
        }
    }
    assert!(
        ended.iter().all(|count| *count > 500),
        "too little happened to prove anything: {ended:?}"
    );
}
