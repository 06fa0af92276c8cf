//! A producer engine, and around it brokers that the test plays: they answer the handshake, metadata and producer ids
//! by themselves, and hand each Produce request to the test.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use core::net::SocketAddr;

use crate::config::ProducerConfig;
use crate::engine::{CloseCause, ConnectionId, Engine, Input, Output, Peer, TopicHandle, Wake};
use crate::error_code::ErrorCode;
use crate::messages::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, InitProducerIdRequest,
    InitProducerIdResponse, MetadataRequest, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceResponse,
};
use crate::producer::{
    AppendError, Appended, Outcome, ProducerEngine, ProducerEvent, ProducerReply,
};
use crate::record::{BatchHeader, BatchView, RecordRef};
use crate::time::{Duration, Instant, UnixMillis};
use crate::wire::header::{decode_request_body, decode_request_header, encode_response};
use crate::wire::{ApiKey, Request, Str, Uuid, Writer};

/// A topic of the played cluster: its id, the error that metadata answers, and each partition's leader.
#[derive(Clone, Debug)]
pub(super) struct PlayedTopic {
    pub(super) id: Uuid,
    pub(super) error: ErrorCode,
    pub(super) leaders: Vec<i32>,
    pub(super) epoch: i32,
}

/// A Produce request that the test has not answered.
#[derive(Debug)]
pub(super) struct Produced {
    pub(super) node: i32,
    pub(super) version: i16,
    conn: ConnectionId,
    correlation: i32,
    pub(super) request: ProduceRequest,
}

impl Produced {
    /// Topic name, partition and header of each batch.
    pub(super) fn batches(&self) -> Vec<(Str, i32, BatchHeader)> {
        self.request
            .topic_data
            .iter()
            .flat_map(|topic| {
                topic.partition_data.iter().map(|partition| {
                    let view = BatchView::parse(partition.records.as_ref().unwrap()).unwrap();
                    view.check_crc().unwrap();
                    (topic.name.clone(), partition.index, *view.header())
                })
            })
            .collect()
    }

    /// The partitions of its batches, and how many records each has.
    pub(super) fn counts(&self) -> Vec<(i32, i32)> {
        self.batches()
            .iter()
            .map(|(_, index, header)| (*index, header.records_count))
            .collect()
    }

    /// The bytes of its first batch.
    pub(super) fn bytes(&self) -> Bytes {
        self.request.topic_data[0].partition_data[0]
            .records
            .clone()
            .unwrap()
    }
}

#[derive(Debug)]
struct Socket {
    node: i32,
    received: Vec<u8>,
    sent: u64,
    /// Requests in their order, each with its answer if there is one: a broker answers in order.
    due: VecDeque<(i32, Option<Vec<u8>>)>,
}

pub(super) struct Desk {
    pub(super) engine: ProducerEngine,
    pub(super) now: Instant,
    pub(super) topics: BTreeMap<String, PlayedTopic>,
    pub(super) events: Vec<ProducerEvent>,
    pub(super) produced: VecDeque<Produced>,
    pub(super) jobs: Vec<(crate::engine::JobId, crate::engine::Job)>,
    /// What InitProducerId answers, the last one again and again.
    pub(super) producer_ids: VecDeque<(ErrorCode, i64)>,
    /// Nodes that refuse connections.
    pub(super) down: Vec<i32>,
    /// The highest version of Produce that brokers have.
    pub(super) produce_version: i16,
    /// Writes stay with the driver, which reports none of them as sent.
    pub(super) stuck: bool,
    pub(super) wake: Option<Wake>,
    pub(super) opened: usize,
    sockets: BTreeMap<ConnectionId, Socket>,
}

const NODES: i32 = 2;

impl Desk {
    pub(super) fn new(set: impl FnOnce(&mut ProducerConfig)) -> Self {
        let mut config = ProducerConfig::bootstrap("castle:9092").unwrap();
        config.linger = Duration::ZERO;
        set(&mut config);
        let now = Instant::from_millis(1_000);
        let engine =
            ProducerEngine::new(&config, [7; 32], now, UnixMillis(1_700_000_000_000)).unwrap();
        Self {
            engine,
            now,
            topics: BTreeMap::new(),
            events: Vec::new(),
            produced: VecDeque::new(),
            jobs: Vec::new(),
            producer_ids: [(ErrorCode::NONE, 7)].into(),
            down: Vec::new(),
            produce_version: 13,
            stuck: false,
            wake: None,
            opened: 0,
            sockets: BTreeMap::new(),
        }
    }

    /// A desk with a topic `letters`, of which each partition is led by one of `leaders`, known to the engine.
    pub(super) fn with_topic(
        leaders: &[i32],
        set: impl FnOnce(&mut ProducerConfig),
    ) -> (Self, TopicHandle) {
        let mut desk = Self::new(set);
        desk.create("letters", leaders);
        let topic = desk.engine.topic("letters", desk.now).unwrap();
        desk.run();
        (desk, topic)
    }

    pub(super) fn create(&mut self, name: &str, leaders: &[i32]) {
        let id = Uuid([u8::try_from(self.topics.len() + 1).unwrap(); 16]);
        let topic = PlayedTopic {
            id,
            error: ErrorCode::NONE,
            leaders: leaders.into(),
            epoch: 1,
        };
        self.topics.insert(name.to_string(), topic);
    }

    pub(super) fn append(
        &mut self,
        topic: TopicHandle,
        partition: i32,
        records: usize,
    ) -> Result<Appended, AppendError> {
        let record = RecordRef::new(5, None, Some(b"It was late evening when K. arrived."));
        let records = alloc::vec![record; records];
        let appended = self
            .engine
            .append(topic, Some(partition), &records, self.now);
        self.run();
        appended
    }

    /// Drains the engine until it is idle; sockets, metadata and producer ids answer by themselves.
    pub(super) fn run(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Resolve { id, .. } => {
                    let result = Ok([SocketAddr::from(([127, 0, 0, 1], 9092))].into());
                    self.engine.handle(Input::Resolved { id, result }, self.now);
                }
                Output::Open { conn, peer, .. } => self.open(conn, peer),
                Output::Write { conn, data } => {
                    for piece in data.iter() {
                        if let Some(socket) = self.sockets.get_mut(&conn) {
                            socket.received.extend_from_slice(piece);
                        }
                    }
                    if !self.stuck {
                        self.accept(conn, data.len() as u64);
                    }
                }
                Output::Close { conn, .. } => {
                    self.close(conn, CloseCause::Local);
                }
                Output::Work { id, job } => self.jobs.push((id, job)),
                Output::Event(event) => self.events.push(event),
                Output::Diagnostic(_) => {}
                Output::Idle(wake) => {
                    if let Some(wake) = wake {
                        assert!(wake.at > self.now, "a wake that is not later: {wake:?}");
                    }
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    fn open(&mut self, conn: ConnectionId, peer: Peer) {
        self.opened += 1;
        let node = match peer {
            Peer::Bootstrap(_) => 0,
            Peer::Broker(node) => node.0,
        };
        let socket = Socket {
            node,
            received: Vec::new(),
            sent: 0,
            due: VecDeque::new(),
        };
        self.sockets.insert(conn, socket);
        if self.down.contains(&node) {
            self.close(conn, CloseCause::Refused);
        } else {
            self.engine.handle(Input::Connected { conn }, self.now);
        }
    }

    /// The socket takes bytes, and the broker reads what is complete.
    fn accept(&mut self, conn: ConnectionId, bytes: u64) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        socket.sent += bytes;
        let node = socket.node;
        let received = core::mem::take(&mut socket.received);
        self.engine.handle(Input::Sent { conn, bytes }, self.now);
        let mut rest = received.as_slice();
        while let Some((size, tail)) = rest.split_first_chunk::<4>() {
            let size = usize::try_from(i32::from_be_bytes(*size)).unwrap();
            let (frame, tail) = tail.split_at(size);
            self.serve(conn, node, Bytes::copy_from_slice(frame));
            rest = tail;
        }
    }

    fn serve(&mut self, conn: ConnectionId, node: i32, frame: Bytes) {
        let header_version = |api: ApiKey, version: i16| {
            Some(match api {
                ApiKey::PRODUCE => request_header::<ProduceRequest>(version),
                ApiKey::METADATA => request_header::<MetadataRequest>(version),
                ApiKey::INIT_PRODUCER_ID => request_header::<InitProducerIdRequest>(version),
                _ => request_header::<ApiVersionsRequest>(version),
            })
        };
        let (header, mut reader) = decode_request_header(frame, header_version).unwrap();
        let (version, correlation) = (header.request_api_version, header.correlation_id);
        if let Some(socket) = self.sockets.get_mut(&conn) {
            socket.due.push_back((correlation, None));
        }
        match ApiKey(header.request_api_key) {
            ApiKey::API_VERSIONS => {
                let response = self.versions();
                self.answer::<ApiVersionsRequest>(conn, version, correlation, &response);
            }
            ApiKey::METADATA => {
                let request: MetadataRequest = decode_request_body(&mut reader, version).unwrap();
                let response = self.metadata(&request);
                self.answer::<MetadataRequest>(conn, version, correlation, &response);
            }
            ApiKey::INIT_PRODUCER_ID => {
                let (code, producer_id) = match self.producer_ids.len() {
                    1 => self.producer_ids[0],
                    _ => self.producer_ids.pop_front().unwrap(),
                };
                let response = InitProducerIdResponse {
                    error_code: code.0,
                    producer_id,
                    ..InitProducerIdResponse::default()
                };
                self.answer::<InitProducerIdRequest>(conn, version, correlation, &response);
            }
            ApiKey::PRODUCE => {
                let request: ProduceRequest = decode_request_body(&mut reader, version).unwrap();
                if request.acks == 0
                    && let Some(socket) = self.sockets.get_mut(&conn)
                {
                    socket.due.pop_back();
                }
                self.produced.push_back(Produced {
                    node,
                    version,
                    conn,
                    correlation,
                    request,
                });
            }
            api => panic!("nobody answers {api:?}"),
        }
    }

    fn versions(&self) -> ApiVersionsResponse {
        let ranges = [
            (ApiKey::PRODUCE, 3, self.produce_version),
            (ApiKey::METADATA, 0, 12),
            (ApiKey::API_VERSIONS, 0, 4),
            (ApiKey::INIT_PRODUCER_ID, 0, 5),
        ];
        ApiVersionsResponse {
            api_keys: ranges
                .into_iter()
                .map(|(api, min_version, max_version)| ApiVersion {
                    api_key: api.0,
                    min_version,
                    max_version,
                })
                .collect(),
            ..ApiVersionsResponse::default()
        }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let asked = request.topics.iter().flatten();
        MetadataResponse {
            brokers: (1..=NODES)
                .map(|node| MetadataResponseBroker {
                    node_id: node,
                    host: Str::from("castle"),
                    port: 9092 + node,
                    ..MetadataResponseBroker::default()
                })
                .collect(),
            topics: asked
                .filter_map(|topic| topic.name.clone())
                .map(|name| self.metadata_of(name))
                .collect(),
            ..MetadataResponse::default()
        }
    }

    fn metadata_of(&self, name: Str) -> MetadataResponseTopic {
        let Some(topic) = self.topics.get(name.as_str()) else {
            return MetadataResponseTopic {
                name: Some(name),
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0,
                ..MetadataResponseTopic::default()
            };
        };
        let partition = |(index, leader): (i32, &i32)| MetadataResponsePartition {
            partition_index: index,
            leader_id: *leader,
            leader_epoch: topic.epoch,
            error_code: if *leader < 0 {
                ErrorCode::LEADER_NOT_AVAILABLE.0
            } else {
                0
            },
            ..MetadataResponsePartition::default()
        };
        MetadataResponseTopic {
            name: Some(name),
            error_code: topic.error.0,
            topic_id: topic.id,
            partitions: (0..).zip(&topic.leaders).map(partition).collect(),
            ..MetadataResponseTopic::default()
        }
    }

    fn answer<R: Request>(
        &mut self,
        conn: ConnectionId,
        version: i16,
        correlation: i32,
        response: &R::Response,
    ) {
        let frame =
            encode_response::<R>(response, version, correlation, Writer::default()).unwrap();
        let frame: Vec<u8> = frame.iter().flatten().copied().collect();
        self.give(conn, correlation, frame);
    }

    /// The broker has the answer to a request; it goes out when all before it have.
    fn give(&mut self, conn: ConnectionId, correlation: i32, frame: Vec<u8>) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        for (due, answer) in &mut socket.due {
            if *due == correlation {
                *answer = Some(frame.clone());
            }
        }
        while let Some(socket) = self.sockets.get_mut(&conn)
            && let Some((_, answer)) = socket.due.front_mut()
            && let Some(data) = answer.take()
        {
            socket.due.pop_front();
            let data = &data;
            self.engine.handle(Input::Received { conn, data }, self.now);
        }
    }

    /// The next Produce request.
    pub(super) fn next(&mut self) -> Produced {
        self.produced.pop_front().expect("no Produce request")
    }

    /// Answers a request: for each of its batches in order, `answer` gives the partition's answer.
    pub(super) fn reply_with(
        &mut self,
        produced: &Produced,
        mut answer: impl FnMut(i32) -> PartitionProduceResponse,
    ) {
        let responses = produced
            .request
            .topic_data
            .iter()
            .map(|topic| TopicProduceResponse {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partition_responses: topic
                    .partition_data
                    .iter()
                    .map(|partition| PartitionProduceResponse {
                        index: partition.index,
                        ..answer(partition.index)
                    })
                    .collect(),
            })
            .collect();
        let response = ProduceResponse {
            responses,
            ..ProduceResponse::default()
        };
        self.answer::<ProduceRequest>(
            produced.conn,
            produced.version,
            produced.correlation,
            &response,
        );
        self.run();
    }

    pub(super) fn reply(&mut self, produced: &Produced, code: ErrorCode, base_offset: i64) {
        self.reply_with(produced, |_| PartitionProduceResponse {
            error_code: code.0,
            base_offset,
            ..PartitionProduceResponse::default()
        });
    }

    pub(super) fn ok(&mut self, produced: &Produced, base_offset: i64) {
        self.reply(produced, ErrorCode::NONE, base_offset);
    }

    /// Bytes that are no answer.
    pub(super) fn babble(&mut self, produced: &Produced) {
        let mut frame = [0, 0, 0, 8].to_vec();
        frame.extend_from_slice(&produced.correlation.to_be_bytes());
        frame.extend_from_slice(&[0xff; 4]);
        self.give(produced.conn, produced.correlation, frame);
        self.run();
    }

    /// The connection of a request is lost.
    pub(super) fn lose(&mut self, produced: &Produced) {
        self.close(produced.conn, CloseCause::Reset);
        self.run();
    }

    /// All connections to a node are lost, whatever they had accepted.
    pub(super) fn lose_node(&mut self, node: i32) {
        let lost: Vec<ConnectionId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.node == node)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in lost {
            self.close(conn, CloseCause::Reset);
        }
        self.run();
    }

    fn close(&mut self, conn: ConnectionId, cause: CloseCause) {
        if let Some(socket) = self.sockets.remove(&conn) {
            let sent = socket.sent;
            self.engine
                .handle(Input::Closed { conn, cause, sent }, self.now);
        }
    }

    /// Lets time pass: the engine is woken whenever it asked for it, and at the end.
    pub(super) fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        let mut wakes = 0;
        while let Some(wake) = self.wake.filter(|wake| wake.at <= end) {
            self.now = wake.at;
            self.tick();
            wakes += 1;
            assert!(wakes < 10_000, "a busy loop: {wake:?}");
        }
        self.now = end;
        self.tick();
    }

    fn tick(&mut self) {
        let wall = UnixMillis(1_700_000_000_000);
        self.engine.handle(Input::Timeout { wall }, self.now);
        self.run();
    }

    /// The events so far, in short.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.events
            .drain(..)
            .map(|event| match event {
                ProducerEvent::Outcome {
                    partition,
                    tickets,
                    outcome,
                    ..
                } => {
                    let outcome = match outcome {
                        Outcome::Delivered {
                            offset: Some(offset),
                            ..
                        } => alloc::format!("delivered at {offset}"),
                        Outcome::Delivered { offset: None, .. } => "delivered".to_string(),
                        Outcome::Rejected(_) => "rejected".to_string(),
                        Outcome::Unknown(_) => "unknown".to_string(),
                        Outcome::Sent => "sent".to_string(),
                    };
                    alloc::format!("{partition}: {tickets:?} {outcome}")
                }
                ProducerEvent::Unblocked { on, .. } => alloc::format!("unblocked {on:?}"),
                ProducerEvent::Flushed { op } => alloc::format!("flushed {}", op.0),
                ProducerEvent::Response { op, result } => {
                    alloc::format!("response {} {}", op.0, result.is_ok())
                }
                ProducerEvent::Closed { op, report } => {
                    let (rejected, unknown) = (report.rejected, report.unknown);
                    alloc::format!("closed {}: {rejected} rejected, {unknown} unknown", op.0)
                }
                ProducerEvent::Problem(error) => alloc::format!("problem: {}", error.kind()),
            })
            .collect()
    }

    /// How many sockets are open.
    pub(super) fn open_sockets(&self) -> usize {
        self.sockets.len()
    }

    /// A command as plain data.
    pub(super) fn command(
        &mut self,
        command: crate::producer::ProducerCommand<'_>,
    ) -> ProducerReply {
        let reply = self.engine.command(command, self.now);
        self.run();
        reply
    }
}

fn request_header<R: Request>(version: i16) -> i16 {
    crate::wire::header::request_header_version::<R>(version)
}
