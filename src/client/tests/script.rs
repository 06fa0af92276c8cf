//! A scripted driver and broker around a bare client: tests read like transcripts of what passes the border.
//!
//! Owns virtual time, the checks that hold after every input whatever the test is about (idle means idle, strict
//! progress, `needs_drive` is exact), and the trace that two runs of one script are compared by. Must not know any
//! inner state of the engine.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::probe::{Heard, Probe};
use crate::client::{Client, Context};
use crate::cluster::Settings;
use crate::config::CommonConfig;
use crate::engine::{
    CloseCause, CloseMode, ConnectionGroup, ConnectionId, Diagnostic, Input, NodeId, Output, Peer,
    ResolveError, ResolveId,
};
use crate::error_code::ErrorCode;
use crate::messages::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse,
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::time::{Instant, UnixMillis};
use crate::wire::header::{
    decode_request_body, decode_request_header, encode_response, request_header_version,
};
use crate::wire::{ApiKey, Request, Str, Uuid, Writer};

/// How the script hands inputs in and takes outputs out. No test may notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Received bytes come in pieces of at most this many.
    pub(super) pieces: usize,
    /// Outputs are taken after every input, not only when the script wants to see one.
    pub(super) eager: bool,
    /// Inputs with ids that are not alive come between all others.
    pub(super) stale: bool,
}

impl Manner {
    pub(super) const PLAIN: Self = Self {
        pieces: usize::MAX,
        eager: false,
        stale: false,
    };
}

/// A request that the script has seen and not answered.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    api: ApiKey,
    version: i16,
    correlation: i32,
}

pub(super) struct Script {
    pub(super) client: Client<Probe>,
    manner: Manner,
    now: Instant,
    /// What was last heard from `Idle`.
    armed: Option<Instant>,
    outputs: VecDeque<(Instant, Output<Heard>)>,
    /// How many outputs were taken in all.
    taken: u64,
    pub(super) trace: Vec<String>,
    unanswered: BTreeMap<ConnectionId, VecDeque<Unanswered>>,
    written: BTreeMap<ConnectionId, u64>,
    /// Whether the script's sockets accept what is written to them when the script looks at it.
    pub(super) accepting: bool,
    open: BTreeMap<ConnectionId, ()>,
}

pub(super) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 9092))
}

impl Script {
    pub(super) fn new(manner: Manner) -> Self {
        Self::with(manner, |config| config)
    }

    pub(super) fn with(
        manner: Manner,
        configure: impl FnOnce(CommonConfig) -> CommonConfig,
    ) -> Self {
        let config = configure(CommonConfig::bootstrap("kafka:9092").unwrap());
        let now = Instant::from_millis(1);
        let client = Client::new(
            Probe::default(),
            Settings::new(&config),
            [7; 32],
            now,
            UnixMillis(0),
        );
        Self {
            client,
            manner,
            now,
            armed: None,
            outputs: VecDeque::new(),
            taken: 0,
            trace: Vec::new(),
            unanswered: BTreeMap::new(),
            written: BTreeMap::new(),
            accepting: true,
            open: BTreeMap::new(),
        }
    }

    /// Milliseconds since the start.
    pub(super) fn now(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    /// Lets time pass, waking the client exactly when it asked for it. What it does on the way must be at the end:
    /// everything before has to have been expected.
    #[track_caller]
    pub(super) fn at(&mut self, millis: u64) -> &mut Self {
        self.expect_nothing();
        let target = Instant::from_millis(millis);
        assert!(target >= self.now, "time only goes on");
        while let Some(wake) = self.armed.filter(|wake| *wake <= target) {
            assert!(wake > self.now, "a wake that is not later than now");
            assert!(
                self.outputs.is_empty() || wake == target,
                "at {wake} before {target}: {:?}",
                self.outputs
            );
            self.now = wake;
            let was = self.armed;
            self.input(Input::Timeout {
                wall: UnixMillis(0),
            });
            self.drain();
            assert!(
                !self.outputs.is_empty() || self.armed != was,
                "a wake that led to nothing"
            );
        }
        self.now = target;
        self
    }

    /// Lets time pass until the client does something, or wants nothing any more.
    #[track_caller]
    pub(super) fn until_output(&mut self) -> &mut Self {
        self.expect_nothing();
        while let (Some(wake), true) = (self.armed, self.outputs.is_empty()) {
            assert!(wake > self.now, "a wake that is not later than now");
            self.now = wake;
            self.input(Input::Timeout {
                wall: UnixMillis(0),
            });
            self.drain();
        }
        self
    }

    /// Runs a command.
    pub(super) fn command<T>(
        &mut self,
        act: impl FnOnce(&mut Probe, &mut Context<'_, Heard>) -> T,
    ) -> T {
        let result = self.client.step(self.now, act);
        self.check_needs_drive();
        result
    }

    /// Hands an input in.
    pub(super) fn input(&mut self, input: Input<'_>) {
        if self.manner.stale {
            self.stale_inputs();
        }
        self.client.handle(input, self.now);
        self.check_needs_drive();
    }

    fn check_needs_drive(&mut self) {
        if self.manner.eager {
            let (armed, needed) = (self.armed, self.client.needs_drive(self.armed));
            let before = self.taken;
            self.drain();
            let sooner = match (self.armed, armed) {
                (Some(now), Some(before)) => now < before,
                (Some(_), None) => true,
                (None, _) => false,
            };
            assert_eq!(
                needed,
                self.taken > before || sooner,
                "needs_drive is not exact"
            );
        }
    }

    fn stale_inputs(&mut self) {
        let conn = ConnectionId(u64::MAX - 1);
        for input in [
            Input::Connected { conn },
            Input::Received {
                conn,
                data: b"stale",
            },
            Input::Sent { conn, bytes: 3 },
            Input::Closed {
                conn,
                cause: CloseCause::Reset,
                sent: 3,
            },
            Input::Resolved {
                id: ResolveId(u64::MAX - 1),
                result: Ok(Vec::new()),
            },
        ] {
            self.client.handle(input, self.now);
        }
    }

    fn poll(&mut self) -> Output<Heard> {
        self.client.poll_output()
    }

    /// Takes all outputs, and checks that idle means idle.
    fn drain(&mut self) {
        loop {
            match self.poll() {
                Output::Idle(wake) => {
                    let at = wake.map(|wake| wake.at);
                    assert!(
                        at.is_none_or(|at| at > self.now),
                        "a wake that is not later than now: {wake:?}"
                    );
                    self.armed = at;
                    break;
                }
                Output::Diagnostic(Diagnostic::StaleInput { .. }) if self.manner.stale => {
                    self.taken += 1
                }
                output => {
                    self.taken += 1;
                    self.take(output);
                }
            }
        }
        self.client.handle(
            Input::Timeout {
                wall: UnixMillis(0),
            },
            self.now,
        );
        match self.poll() {
            Output::Idle(wake) => {
                assert_eq!(wake.map(|wake| wake.at), self.armed, "idle is not idle")
            }
            output => panic!("idle is not idle: {output:?}"),
        }
    }

    fn take(&mut self, output: Output<Heard>) {
        let now = self.now;
        self.trace.push(match &output {
            Output::Write { conn, data } => format!("{now} write {conn} {:02x?}", data.to_vec()),
            other => format!("{now} {other:?}"),
        });
        match &output {
            Output::Write { conn, data } => {
                assert!(
                    self.open.contains_key(conn),
                    "written to {conn}, which is not open"
                );
                *self.written.entry(*conn).or_default() += data.len() as u64;
            }
            Output::Open { conn, .. } => {
                assert!(self.open.insert(*conn, ()).is_none(), "{conn} opened twice");
            }
            Output::Diagnostic(_) => return,
            Output::Resolve { .. }
            | Output::Close { .. }
            | Output::Work { .. }
            | Output::Event(_)
            | Output::Idle(_) => {}
        }
        self.outputs.push_back((now, output));
    }

    /// The next output, which must have come at this instant.
    #[track_caller]
    pub(super) fn next(&mut self) -> Output<Heard> {
        if self.outputs.is_empty() {
            self.drain();
        }
        let (at, output) = self.outputs.pop_front().expect("an output");
        assert_eq!(at, self.now, "too early: {output:?}");
        output
    }

    /// The next output, however long it takes.
    #[track_caller]
    pub(super) fn next_whenever(&mut self) -> Output<Heard> {
        self.wait_for_output();
        self.next()
    }

    /// Lets time pass until there is an output, if there is none yet.
    #[track_caller]
    pub(super) fn wait_for_output(&mut self) {
        self.drain();
        if self.outputs.is_empty() {
            self.until_output();
        }
    }

    /// Whether the next output is an event.
    pub(super) fn next_is_event(&mut self) -> bool {
        self.drain();
        matches!(self.outputs.front(), Some((_, Output::Event(_))))
    }

    /// The connection that the next output is a write to.
    #[track_caller]
    pub(super) fn next_write(&mut self) -> ConnectionId {
        self.drain();
        match self.outputs.front() {
            Some((_, Output::Write { conn, .. })) => *conn,
            other => panic!("not a write: {other:?}"),
        }
    }

    /// Lets time pass and takes what comes, whatever it is.
    pub(super) fn pass(&mut self, millis: u64) {
        let target = Instant::from_millis(millis);
        self.drain();
        self.outputs.clear();
        while let Some(wake) = self.armed.filter(|wake| *wake <= target) {
            assert!(wake > self.now, "a wake that is not later than now");
            self.now = wake;
            self.input(Input::Timeout {
                wall: UnixMillis(0),
            });
            self.drain();
            self.outputs.clear();
        }
        self.now = target;
    }

    #[track_caller]
    pub(super) fn expect_nothing(&mut self) {
        self.drain();
        assert!(
            self.outputs.is_empty(),
            "at {}: {:?}",
            self.now,
            self.outputs
        );
    }

    #[track_caller]
    pub(super) fn expect_resolve(&mut self, host: &str) -> ResolveId {
        match self.next() {
            Output::Resolve {
                id, host: asked, ..
            } if asked.as_str() == host => id,
            other => panic!("not a lookup of {host}: {other:?}"),
        }
    }

    pub(super) fn resolved(&mut self, id: ResolveId, addresses: &[SocketAddr]) {
        self.input(Input::Resolved {
            id,
            result: Ok(addresses.to_vec()),
        });
    }

    pub(super) fn unresolved(&mut self, id: ResolveId, error: ResolveError) {
        self.input(Input::Resolved {
            id,
            result: Err(error),
        });
    }

    #[track_caller]
    pub(super) fn expect_open(
        &mut self,
        peer: Peer,
        group: ConnectionGroup,
        addr: SocketAddr,
    ) -> ConnectionId {
        match self.next() {
            Output::Open {
                conn,
                peer: p,
                group: g,
                addr: Some(a),
                ..
            } if (p, g, a) == (peer, group, addr) => conn,
            other => panic!("not an open to {peer} at {addr}: {other:?}"),
        }
    }

    pub(super) fn connected(&mut self, conn: ConnectionId) {
        self.input(Input::Connected { conn });
    }

    /// The next write, which must be this request; it stays unanswered until `reply` or `reply_bytes`.
    #[track_caller]
    pub(super) fn expect_request<R: Request>(&mut self, conn: ConnectionId) -> R {
        let data = match self.next() {
            Output::Write { conn: c, data } if c == conn => Bytes::from(data.to_vec()),
            other => panic!("not a {} on {conn}: {other:?}", R::NAME),
        };
        if self.accepting {
            let bytes = data.len() as u64;
            self.input(Input::Sent { conn, bytes });
        }
        let (header, mut reader) = decode_request_header(data.slice(4..), |key, version| {
            (key == R::KEY).then(|| request_header_version::<R>(version))
        })
        .unwrap();
        assert_eq!(ApiKey(header.request_api_key), R::KEY, "another request");
        let version = header.request_api_version;
        self.unanswered
            .entry(conn)
            .or_default()
            .push_back(Unanswered {
                api: R::KEY,
                version,
                correlation: header.correlation_id,
            });
        decode_request_body(&mut reader, version).unwrap()
    }

    /// The version of the oldest unanswered request.
    pub(super) fn version(&self, conn: ConnectionId) -> i16 {
        self.unanswered[&conn].front().unwrap().version
    }

    /// Answers the oldest unanswered request, which must be an `R`.
    #[track_caller]
    pub(super) fn reply<R: Request>(&mut self, conn: ConnectionId, response: &R::Response) {
        let bytes = self.encode_reply::<R>(conn, response);
        self.receive(conn, &bytes);
    }

    /// The bytes of the answer to the oldest unanswered request.
    #[track_caller]
    pub(super) fn encode_reply<R: Request>(
        &mut self,
        conn: ConnectionId,
        response: &R::Response,
    ) -> Vec<u8> {
        let request = self.unanswered.get_mut(&conn).unwrap().pop_front().unwrap();
        assert_eq!(request.api, R::KEY, "another request waits first");
        encode_response::<R>(
            response,
            request.version,
            request.correlation,
            Writer::new(BytesMut::new()),
        )
        .unwrap()
        .to_vec()
    }

    /// Answers the oldest unanswered request with these bytes.
    pub(super) fn reply_raw(&mut self, conn: ConnectionId, bytes: &[u8]) {
        self.unanswered.get_mut(&conn).unwrap().pop_front().unwrap();
        self.receive(conn, bytes);
    }

    pub(super) fn receive(&mut self, conn: ConnectionId, bytes: &[u8]) {
        for data in bytes.chunks(self.manner.pieces) {
            self.input(Input::Received { conn, data });
        }
    }

    #[track_caller]
    pub(super) fn expect_close(&mut self, conn: ConnectionId, mode: CloseMode) {
        match self.next() {
            Output::Close { conn: c, mode: m } if (c, m) == (conn, mode) => {}
            other => panic!("not a close of {conn}: {other:?}"),
        }
    }

    /// The socket's last word; all that was written was accepted.
    pub(super) fn closed(&mut self, conn: ConnectionId, cause: CloseCause) {
        self.drain();
        let sent = self.written.get(&conn).copied().unwrap_or(0);
        self.closed_after(conn, cause, sent);
    }

    /// The socket's last word.
    pub(super) fn closed_after(&mut self, conn: ConnectionId, cause: CloseCause, sent: u64) {
        self.drain();
        assert!(self.open.remove(&conn).is_some(), "{conn} closed twice");
        self.unanswered.remove(&conn);
        self.input(Input::Closed { conn, cause, sent });
    }

    /// How many bytes were written to a connection so far.
    pub(super) fn written(&mut self, conn: ConnectionId) -> u64 {
        self.drain();
        self.written.get(&conn).copied().unwrap_or(0)
    }

    #[track_caller]
    pub(super) fn expect_event(&mut self) -> Heard {
        match self.next() {
            Output::Event(heard) => heard,
            other => panic!("not an event: {other:?}"),
        }
    }

    /// Connects and negotiates, as a broker of today.
    #[track_caller]
    pub(super) fn handshake(&mut self, conn: ConnectionId) {
        self.connected(conn);
        self.expect_request::<ApiVersionsRequest>(conn);
        self.reply::<ApiVersionsRequest>(conn, &versions(&[]));
    }

    /// Answers the metadata request that is next on `conn`: these brokers, and for each topic asked its partitions'
    /// leaders and epochs.
    #[track_caller]
    pub(super) fn metadata(
        &mut self,
        conn: ConnectionId,
        brokers: &[(i32, &str)],
        topics: &[TopicIs<'_>],
    ) {
        let asked = self.expect_request::<MetadataRequest>(conn);
        let mut names: Vec<String> = asked
            .topics
            .unwrap()
            .iter()
            .map(|topic| String::from(topic.name.as_ref().unwrap().as_str()))
            .collect();
        let mut expected: Vec<String> = topics
            .iter()
            .map(|topic| String::from(topic.name))
            .collect();
        names.sort();
        expected.sort();
        assert_eq!(names, expected, "other topics are asked for");
        self.reply::<MetadataRequest>(conn, &metadata(brokers, topics));
    }

    /// A client that knows the brokers 1 and 2 (hosts `one` and `two`) and wants the topic `orders`, which they lead
    /// a partition each of. Gives the bootstrap connection.
    #[track_caller]
    pub(super) fn bootstrapped(&mut self) -> ConnectionId {
        self.command(|_, cx| {
            cx.cluster.want_topic("orders");
        });
        let id = self.expect_resolve("kafka");
        self.resolved(id, &[address(1)]);
        let conn = self.expect_open(Peer::Bootstrap(0), ConnectionGroup::Default, address(1));
        self.handshake(conn);
        self.metadata(
            conn,
            BROKERS,
            &[TopicIs {
                id: 1,
                ..TopicIs::known("orders", &[(1, 5), (2, 5)])
            }],
        );
        assert_eq!(self.expect_event(), Heard::Metadata);
        self.expect_nothing();
        conn
    }

    /// Connects to a broker of [`bootstrapped`](Self::bootstrapped) that the client has just begun to look for.
    #[track_caller]
    pub(super) fn connect(&mut self, node: i32, group: ConnectionGroup) -> ConnectionId {
        let conn = self.open(node, group);
        self.handshake(conn);
        conn
    }

    /// As [`connect`](Self::connect), up to the first word.
    #[track_caller]
    pub(super) fn open(&mut self, node: i32, group: ConnectionGroup) -> ConnectionId {
        let host = BROKERS.iter().find(|(id, _)| *id == node).unwrap().1;
        let id = self.expect_resolve(host);
        let addr = address(10 + u8::try_from(node).unwrap());
        self.resolved(id, &[addr]);
        self.expect_open(Peer::Broker(NodeId(node)), group, addr)
    }

    /// Everything goes away; nothing may be left.
    #[track_caller]
    pub(super) fn finish(mut self) -> Vec<String> {
        self.drain();
        self.outputs.clear();
        self.command(|probe, cx| {
            for response in probe.responses.drain(..) {
                let (frame, held) = response.into_parts();
                drop(frame);
                cx.cluster.release(held);
            }
            cx.cluster.close();
        });
        let open: Vec<ConnectionId> = self.open.keys().copied().collect();
        for conn in open {
            self.closed(conn, CloseCause::Local);
        }
        self.drain();
        assert!(self.client.cluster.is_closed(), "closing does not end");
        assert_eq!(
            self.client.cluster.budget().used_total(),
            self.metadata_bytes(),
            "memory is left"
        );
        assert_eq!(self.armed, None, "a timer is left");
        self.trace
    }

    fn metadata_bytes(&mut self) -> usize {
        self.client
            .cluster
            .budget()
            .used(crate::budget::Category::Metadata)
    }
}

/// The brokers of [`Script::bootstrapped`].
pub(super) const BROKERS: &[(i32, &str)] = &[(1, "one"), (2, "two")];

/// What metadata is to say of a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicIs<'a> {
    pub(super) name: &'a str,
    pub(super) id: u128,
    pub(super) error: ErrorCode,
    /// Leader (-1: none) and epoch of each partition.
    pub(super) leaders: &'a [(i32, i32)],
}

impl<'a> TopicIs<'a> {
    pub(super) const fn known(name: &'a str, leaders: &'a [(i32, i32)]) -> Self {
        Self {
            name,
            id: 0,
            error: ErrorCode::NONE,
            leaders,
        }
    }

    pub(super) const fn failed(name: &'a str, error: ErrorCode) -> Self {
        Self {
            name,
            id: 0,
            error,
            leaders: &[],
        }
    }
}

pub(super) fn metadata(brokers: &[(i32, &str)], topics: &[TopicIs<'_>]) -> MetadataResponse {
    let partition = |(index, (leader, epoch)): (usize, &(i32, i32))| MetadataResponsePartition {
        error_code: if *leader < 0 {
            ErrorCode::LEADER_NOT_AVAILABLE.0
        } else {
            0
        },
        partition_index: i32::try_from(index).unwrap(),
        leader_id: *leader,
        leader_epoch: *epoch,
        ..Default::default()
    };
    MetadataResponse {
        brokers: brokers
            .iter()
            .map(|(id, host)| MetadataResponseBroker {
                node_id: *id,
                host: Str::from(*host),
                port: 9092,
                ..Default::default()
            })
            .collect(),
        topics: topics
            .iter()
            .map(|topic| MetadataResponseTopic {
                error_code: topic.error.0,
                name: Some(Str::from(topic.name)),
                topic_id: Uuid::from(topic.id),
                partitions: topic.leaders.iter().enumerate().map(partition).collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// What a broker of today speaks; `except` replaces single ranges, a maximum of -1 takes an API away.
pub(super) fn versions(except: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    let today = [
        (ApiKey::PRODUCE, 0, 13),
        (ApiKey::FETCH, 4, 18),
        (ApiKey::LIST_OFFSETS, 1, 11),
        (ApiKey::METADATA, 0, 13),
        (ApiKey::FIND_COORDINATOR, 0, 6),
        (ApiKey::HEARTBEAT, 0, 4),
        (ApiKey::API_VERSIONS, 0, 4),
        (ApiKey::INIT_PRODUCER_ID, 0, 6),
    ];
    let api_keys = today
        .into_iter()
        .map(|(api, min, max)| {
            except
                .iter()
                .find(|(key, ..)| *key == api)
                .copied()
                .unwrap_or((api, min, max))
        })
        .filter(|(_, _, max)| *max >= 0)
        .map(|(api, min_version, max_version)| ApiVersion {
            api_key: api.0,
            min_version,
            max_version,
        })
        .collect();
    ApiVersionsResponse {
        api_keys,
        ..Default::default()
    }
}
