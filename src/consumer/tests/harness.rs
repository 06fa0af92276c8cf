//! A consumer with brokers played by the test: handshake and metadata are answered by a small model, everything else
//! waits for the test to answer it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use crate::config::ConsumerConfig;
use crate::consumer::{
    Assignment, ConsumerEngine, ConsumerEvent, LentBatch, RebalanceKind, RebalanceReport, Return,
    ReturnEnd, Start,
};
use crate::engine::{CloseCause, ConnectionId, Engine, Input, Output, TopicPartition, Wake};
use crate::group::CommitOutcome;
use crate::messages::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FetchPartitionData, FetchRequest,
    FetchResponse, FetchableTopicResponse, FinalizedFeatureKey, MetadataRequest,
    MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use crate::record::{BatchBuilder, BatchProducer, BatchView, RecordRef, rewrite};
use crate::time::{Duration, Instant, UnixMillis};
use crate::wire::header::{decode_request_body, decode_request_header, encode_response};
use crate::wire::{ApiKey, Reader, Request, Str, Uuid, Writer};

/// The APIs that the brokers have, with their highest versions.
const APIS: [(ApiKey, i16); 13] = [
    (ApiKey::FETCH, 17),
    (ApiKey::LIST_OFFSETS, 10),
    (ApiKey::METADATA, 12),
    (ApiKey::API_VERSIONS, 3),
    (ApiKey::OFFSET_FOR_LEADER_EPOCH, 4),
    (ApiKey::FIND_COORDINATOR, 4),
    (ApiKey::OFFSET_COMMIT, 10),
    (ApiKey::OFFSET_FETCH, 10),
    (ApiKey::JOIN_GROUP, 9),
    (ApiKey::SYNC_GROUP, 5),
    (ApiKey::HEARTBEAT, 4),
    (ApiKey::LEAVE_GROUP, 5),
    (ApiKey::CONSUMER_GROUP_HEARTBEAT, 1),
];

/// The node that answers on each port, from port 9000 on.
const PORT: u16 = 9_000;

/// What brokers say of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Led {
    pub(super) leader: i32,
    pub(super) epoch: i32,
}

/// What brokers say of one topic.
#[derive(Clone, Debug)]
pub(super) struct TopicModel {
    pub(super) id: Uuid,
    pub(super) partitions: Vec<Led>,
}

/// A request that waits for the test.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) conn: ConnectionId,
    pub(super) node: i32,
    pub(super) api: ApiKey,
    pub(super) version: i16,
    correlation: i32,
    body: Bytes,
}

impl Asked {
    pub(super) fn decode<R: Request>(&self) -> R {
        assert_eq!(self.api, R::KEY);
        decode_request_body::<R>(&mut Reader::new(self.body.clone()), self.version).unwrap()
    }
}

struct Socket {
    node: i32,
    written: BytesMut,
    /// Requests that the test has not answered.
    unanswered: usize,
    /// Questions for metadata behind these: a broker answers in order.
    behind: Vec<Asked>,
}

/// A consumer and its world.
pub(super) struct World {
    pub(super) consumer: ConsumerEngine,
    pub(super) now: Instant,
    pub(super) topics: BTreeMap<&'static str, TopicModel>,
    pub(super) events: Vec<ConsumerEvent>,
    pub(super) reports: Vec<RebalanceReport>,
    pub(super) asked: VecDeque<Asked>,
    pub(super) wake: Option<Wake>,
    /// The nodes at which nobody listens.
    pub(super) down: Vec<i32>,
    pub(super) metadata_asked: usize,
    /// How often a socket was asked for.
    pub(super) attempts: usize,
    /// The highest version of Fetch that brokers have.
    pub(super) fetch_version: i16,
    /// The highest version of OffsetFetch that brokers have.
    pub(super) offset_fetch_version: i16,
    /// The highest version of ConsumerGroupHeartbeat that brokers have.
    pub(super) heartbeat_version: i16,
    /// The level of the cluster's feature `group.version`.
    pub(super) group_version: i16,
    sockets: BTreeMap<ConnectionId, Socket>,
}

pub(super) const T: &str = "castle";
pub(super) const ID: Uuid = Uuid([7; 16]);

/// The settings of most tests.
pub(super) fn config() -> ConsumerConfig {
    ConsumerConfig::bootstrap("localhost:9000").unwrap()
}

impl World {
    /// Two brokers; the topic has four partitions, the even ones led by node 0, the odd ones by node 1.
    pub(super) fn new(config: &ConsumerConfig) -> Self {
        let entropy = [3; 32];
        let wall = UnixMillis(1_700_000_000_000);
        let partitions = (0..4)
            .map(|partition| Led {
                leader: partition % 2,
                epoch: 5,
            })
            .collect();
        Self {
            consumer: ConsumerEngine::new(config, entropy, Instant::START, wall).unwrap(),
            now: Instant::START,
            topics: BTreeMap::from([(T, TopicModel { id: ID, partitions })]),
            events: Vec::new(),
            reports: Vec::new(),
            asked: VecDeque::new(),
            wake: None,
            down: Vec::new(),
            metadata_asked: 0,
            attempts: 0,
            fetch_version: 17,
            offset_fetch_version: 10,
            heartbeat_version: 1,
            group_version: 1,
            sockets: BTreeMap::new(),
        }
    }

    /// The usual world, with these partitions assigned from offset 0.
    pub(super) fn reading(partitions: &[i32]) -> Self {
        let mut world = Self::new(&config());
        world.assign(partitions, Start::Offset(0));
        world
    }

    /// The topic has so many partitions, each other one led by the same node.
    pub(super) fn spread(&mut self, partitions: i32) {
        let led = |partition| Led {
            leader: partition % 2,
            epoch: 5,
        };
        let topic = self.topics.get_mut(T).unwrap();
        topic.partitions = (0..partitions).map(led).collect();
    }

    pub(super) fn assign(&mut self, partitions: &[i32], start: Start) {
        let assignments: Vec<Assignment<'_>> = partitions
            .iter()
            .map(|partition| Assignment {
                topic: T,
                partition: *partition,
                start,
            })
            .collect();
        self.consumer.assign(&assignments, self.now).unwrap();
        self.drain();
    }

    /// Carries out everything that the engine wants done, until it is idle.
    pub(super) fn drain(&mut self) {
        loop {
            match self.consumer.poll_output() {
                Output::Resolve { id, port, .. } => {
                    let result = Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]);
                    self.input(Input::Resolved { id, result });
                }
                Output::Open { conn, addr, .. } => {
                    self.attempts += 1;
                    let node = i32::from(addr.unwrap().port() - PORT);
                    if self.down.contains(&node) {
                        self.input(Input::Closed {
                            conn,
                            cause: CloseCause::Refused,
                            sent: 0,
                        });
                    } else {
                        self.sockets.insert(
                            conn,
                            Socket {
                                node,
                                written: BytesMut::new(),
                                unanswered: 0,
                                behind: Vec::new(),
                            },
                        );
                        self.input(Input::Connected { conn });
                    }
                }
                Output::Write { conn, data } => self.written(conn, &data.to_vec()),
                Output::Close { conn, .. } => {
                    self.sockets.remove(&conn);
                    self.asked.retain(|asked| asked.conn != conn);
                    self.input(Input::Closed {
                        conn,
                        cause: CloseCause::Local,
                        sent: 0,
                    });
                }
                Output::Work { .. } => panic!("a consumer gives no work away"),
                Output::Event(ConsumerEvent::Rebalanced(report)) => self.reports.push(report),
                Output::Event(event) => self.events.push(event),
                Output::Diagnostic(_) => {}
                Output::Idle(wake) => {
                    if let Some(wake) = wake {
                        assert!(
                            wake.at > self.now,
                            "a wake that is not later than now: {wake:?}"
                        );
                    }
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.consumer.handle(input, self.now);
    }

    fn written(&mut self, conn: ConnectionId, data: &[u8]) {
        self.input(Input::Sent {
            conn,
            bytes: data.len() as u64,
        });
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        let node = socket.node;
        socket.written.extend_from_slice(data);
        let mut frames = Vec::new();
        while let Some(size) = socket.written.first_chunk::<4>() {
            let size = u32::from_be_bytes(*size) as usize;
            if socket.written.len() < size + 4 {
                break;
            }
            let mut frame = socket.written.split_to(size + 4).freeze();
            frames.push(frame.split_off(4));
        }
        for frame in frames {
            self.arrived(conn, node, frame);
        }
    }

    /// A request arrives at a broker.
    fn arrived(&mut self, conn: ConnectionId, node: i32, frame: Bytes) {
        let api = ApiKey(i16::from_be_bytes([frame[0], frame[1]]));
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let flexible = match api {
            ApiKey::FETCH => version >= 12,
            ApiKey::LIST_OFFSETS => version >= 6,
            ApiKey::METADATA => version >= 9,
            ApiKey::API_VERSIONS => version >= 3,
            ApiKey::OFFSET_FOR_LEADER_EPOCH => version >= 4,
            ApiKey::FIND_COORDINATOR => version >= 3,
            ApiKey::OFFSET_COMMIT => version >= 8,
            ApiKey::OFFSET_FETCH => version >= 6,
            ApiKey::JOIN_GROUP => version >= 6,
            ApiKey::CONSUMER_GROUP_HEARTBEAT => true,
            ApiKey::SYNC_GROUP | ApiKey::HEARTBEAT | ApiKey::LEAVE_GROUP => version >= 4,
            _ => false,
        };
        let version_of_header = if flexible { 2 } else { 1 };
        let (header, mut reader) =
            decode_request_header(frame, |_, _| Some(version_of_header)).unwrap();
        let body = reader.bytes(reader.left()).unwrap();
        let asked = Asked {
            conn,
            node,
            api,
            version,
            correlation: header.correlation_id,
            body,
        };
        match api {
            ApiKey::API_VERSIONS => self.answer_versions(&asked),
            ApiKey::METADATA => match self
                .sockets
                .get_mut(&conn)
                .filter(|socket| socket.unanswered > 0)
            {
                Some(socket) => socket.behind.push(asked),
                None => self.answer_metadata(&asked),
            },
            _ => {
                if let Some(socket) = self.sockets.get_mut(&conn) {
                    socket.unanswered += 1;
                }
                self.asked.push_back(asked);
            }
        }
    }

    fn answer_versions(&mut self, asked: &Asked) {
        let api_keys = APIS
            .iter()
            .map(|(api, max)| ApiVersion {
                api_key: api.0,
                min_version: 0,
                max_version: match *api {
                    ApiKey::CONSUMER_GROUP_HEARTBEAT => self.heartbeat_version,
                    ApiKey::FETCH => self.fetch_version,
                    ApiKey::OFFSET_FETCH => self.offset_fetch_version,
                    _ => *max,
                },
            })
            .collect();
        let response = ApiVersionsResponse {
            api_keys,
            finalized_features: vec![FinalizedFeatureKey {
                name: Str::from("group.version"),
                max_version_level: self.group_version,
                min_version_level: self.group_version,
            }],
            ..ApiVersionsResponse::default()
        };
        self.respond::<ApiVersionsRequest>(asked, &response);
    }

    fn answer_metadata(&mut self, asked: &Asked) {
        self.metadata_asked += 1;
        let request: MetadataRequest = asked.decode();
        let names = request.topics.unwrap_or_else(|| self.all_topics());
        let topics = names
            .iter()
            .map(|topic| {
                let Some(name) = topic.name.clone() else {
                    return self.topic_by_id(topic.topic_id);
                };
                match self.topics.get(name.as_str()) {
                    Some(model) => topic_metadata(name, model),
                    None => MetadataResponseTopic {
                        error_code: 3,
                        name: Some(name),
                        ..MetadataResponseTopic::default()
                    },
                }
            })
            .collect();
        let brokers = (0..2)
            .map(|node| MetadataResponseBroker {
                node_id: node,
                host: Str::from("localhost"),
                port: i32::from(PORT) + node,
                rack: None,
            })
            .collect();
        let response = MetadataResponse {
            brokers,
            topics,
            ..MetadataResponse::default()
        };
        self.respond::<MetadataRequest>(asked, &response);
    }

    fn all_topics(&self) -> Vec<MetadataRequestTopic> {
        let topic = |name: &&str| MetadataRequestTopic {
            name: Some(Str::from(*name)),
            ..MetadataRequestTopic::default()
        };
        self.topics.keys().map(topic).collect()
    }

    fn topic_by_id(&self, topic_id: Uuid) -> MetadataResponseTopic {
        let found = self.topics.iter().find(|(_, model)| model.id == topic_id);
        match found {
            Some((name, model)) => topic_metadata(Str::from(*name), model),
            None => MetadataResponseTopic {
                error_code: 100,
                name: None,
                topic_id,
                ..MetadataResponseTopic::default()
            },
        }
    }

    /// A broker answers.
    pub(super) fn respond<R: Request>(&mut self, asked: &Asked, response: &R::Response) {
        let writer = Writer::new(BytesMut::new());
        let frame =
            encode_response::<R>(response, asked.version, asked.correlation, writer).unwrap();
        let data = frame.to_vec();
        self.input(Input::Received {
            conn: asked.conn,
            data: &data,
        });
    }

    /// A broker answers, and the consumer acts on it.
    pub(super) fn answer<R: Request>(&mut self, asked: &Asked, response: &R::Response) {
        self.respond::<R>(asked, response);
        let socket = self.sockets.get_mut(&asked.conn);
        let behind = socket.map(|socket| {
            socket.unanswered -= 1;
            match socket.unanswered {
                0 => core::mem::take(&mut socket.behind),
                _ => Vec::new(),
            }
        });
        for asked in behind.unwrap_or_default() {
            self.answer_metadata(&asked);
        }
        self.drain();
    }

    /// The next request of this kind that was not looked at.
    pub(super) fn next<R: Request>(&mut self) -> (Asked, R) {
        let place = self.asked.iter().position(|asked| asked.api == R::KEY);
        let Some(asked) = place.and_then(|place| self.asked.remove(place)) else {
            panic!("no {:?} was sent; waiting: {:?}", R::KEY, self.waiting());
        };
        let request = asked.decode();
        (asked, request)
    }

    /// The fetch that was sent, to this node.
    pub(super) fn fetch_at(&mut self, node: i32) -> Fetch {
        let place = self
            .asked
            .iter()
            .position(|asked| asked.api == ApiKey::FETCH && asked.node == node);
        let Some(asked) = place.and_then(|place| self.asked.remove(place)) else {
            panic!(
                "no fetch was sent to node {node}; waiting: {:?}",
                self.waiting()
            );
        };
        Fetch {
            request: asked.decode(),
            asked,
        }
    }

    /// Whether nothing is asked of anybody.
    pub(super) fn is_silent(&self) -> bool {
        self.asked.is_empty()
    }

    fn waiting(&self) -> Vec<String> {
        self.asked
            .iter()
            .map(|asked| format!("{:?} at {}", asked.api, asked.node))
            .collect()
    }

    /// Time passes; everything that is due meanwhile happens at its time.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(wake) = self.wake.filter(|wake| wake.at <= end) {
            self.now = wake.at;
            let wall = UnixMillis(
                1_700_000_000_000 + i64::try_from(self.now.as_nanos() / 1_000_000).unwrap(),
            );
            self.input(Input::Timeout { wall });
            self.drain();
        }
        self.now = end;
    }

    /// The connections to a node break.
    pub(super) fn disconnect(&mut self, node: i32) {
        let broken: Vec<ConnectionId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.node == node)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in broken {
            self.sockets.remove(&conn);
            self.asked.retain(|asked| asked.conn != conn);
            self.input(Input::Closed {
                conn,
                cause: CloseCause::Reset,
                sent: u64::MAX,
            });
        }
        self.drain();
    }

    /// Lends the next batch: partition, offset of its first record that is wanted, offset after it.
    pub(super) fn lend(&mut self) -> Option<LentBatch> {
        let batch = self.consumer.next_batch(self.now);
        self.drain();
        batch
    }

    /// Gives a batch back, read to its end.
    pub(super) fn give_back(&mut self, batch: &LentBatch) {
        self.give_back_at(batch, batch.next, ReturnEnd::Read);
    }

    pub(super) fn give_back_at(&mut self, batch: &LentBatch, next: i64, end: ReturnEnd) {
        let returned = Return {
            id: batch.id,
            next,
            end,
        };
        self.consumer.return_batch(returned, self.now).unwrap();
        self.drain();
    }

    /// Reads everything that can be had: partition and offset of each record.
    pub(super) fn read_all(&mut self) -> Vec<(i32, i64)> {
        let mut read = Vec::new();
        while let Some(batch) = self.lend() {
            let view = BatchView::parse(&batch.bytes).unwrap();
            view.check_crc().unwrap();
            for record in view.records().unwrap() {
                let offset = record.unwrap().offset;
                if offset >= batch.start {
                    read.push((batch.partition, offset));
                }
            }
            self.give_back(&batch);
        }
        read
    }

    pub(super) fn position(&self, partition: i32) -> Option<i64> {
        self.consumer.position(T, partition).unwrap()
    }

    /// What the user was told since this was last asked, in short.
    pub(super) fn told(&mut self) -> Vec<String> {
        core::mem::take(&mut self.events)
            .iter()
            .map(short)
            .collect()
    }

    /// The same, without forgetting it.
    pub(super) fn told_keeping(&self) -> Vec<String> {
        self.events.iter().map(short).collect()
    }

    pub(super) fn status(&self, partition: i32) -> String {
        format!("{:?}", self.consumer.explain(T, partition).unwrap().status)
    }
}

fn rebalance(kind: &RebalanceKind, partitions: &[TopicPartition], asked: bool) -> String {
    let kind = match kind {
        RebalanceKind::Assigned => "assigned".into(),
        RebalanceKind::Revoked => "revoked".into(),
        RebalanceKind::Lost(why) => format!("lost ({})", why.kind()),
    };
    let names: Vec<String> = partitions.iter().map(|name| format!("{name}")).collect();
    let asked = if asked { "?" } else { "" };
    format!("{kind} {}{asked}", names.join(" "))
}

fn short(event: &ConsumerEvent) -> String {
    match event {
        ConsumerEvent::Ready => "ready".into(),
        ConsumerEvent::PartitionError { partition, error } => {
            format!("{partition}: {}", error.kind())
        }
        ConsumerEvent::Reset {
            partition,
            from,
            to,
            why,
        } => format!("{partition}: {from} -> {to} {why:?}"),
        ConsumerEvent::Rebalance {
            kind,
            partitions,
            deadline,
            ..
        } => rebalance(kind, partitions, deadline.is_some()),
        ConsumerEvent::Rebalanced(report) => format!("rebalanced: {}", report.cause),
        ConsumerEvent::Offsets { found, .. } => {
            let found: Vec<String> = found
                .iter()
                .map(|(partition, result)| match result {
                    Ok(Some(found)) => format!("{partition}={}", found.offset),
                    Ok(None) => format!("{partition}=none"),
                    Err(error) => format!("{partition}: {}", error.kind()),
                })
                .collect();
            format!("offsets {}", found.join(" "))
        }
        ConsumerEvent::Committed { outcomes, .. } => {
            let outcomes: Vec<String> = outcomes
                .iter()
                .map(|(partition, outcome)| match outcome {
                    CommitOutcome::Committed => format!("{partition}"),
                    CommitOutcome::Rejected(error) => {
                        format!("{partition} rejected: {}", error.kind())
                    }
                    CommitOutcome::Unknown(error) => {
                        format!("{partition} unknown: {}", error.kind())
                    }
                })
                .collect();
            format!("committed {}", outcomes.join(" "))
        }
        ConsumerEvent::CommittedOffsets { found, .. } => {
            let found: Vec<String> = found
                .iter()
                .map(|(partition, result)| match result {
                    Ok(Some(found)) => format!("{partition}={} {:?}", found.offset, found.metadata),
                    Ok(None) => format!("{partition}=none"),
                    Err(error) => format!("{partition}: {}", error.kind()),
                })
                .collect();
            format!("committed are {}", found.join(" "))
        }
        ConsumerEvent::Response { result, .. } => format!("response {}", result.is_ok()),
        ConsumerEvent::Closed { report, .. } => {
            let left = if report.left_group {
                ""
            } else {
                ", still a member"
            };
            let uncommitted = report.uncommitted.iter();
            let uncommitted: String = uncommitted
                .map(|(partition, error)| format!(", {partition} not committed: {}", error.kind()))
                .collect();
            format!("closed, {} lent{left}{uncommitted}", report.lent)
        }
        ConsumerEvent::Problem(error) => format!("problem: {}", error.kind()),
    }
}

fn topic_metadata(name: Str, model: &TopicModel) -> MetadataResponseTopic {
    let partitions = model.partitions.iter().zip(0..).map(partition_metadata);
    MetadataResponseTopic {
        is_internal: name.starts_with("__"),
        name: Some(name),
        topic_id: model.id,
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}

fn partition_metadata((led, partition): (&Led, i32)) -> MetadataResponsePartition {
    MetadataResponsePartition {
        error_code: if led.leader < 0 { 5 } else { 0 },
        partition_index: partition,
        leader_id: led.leader,
        leader_epoch: led.epoch,
        replica_nodes: vec![0, 1],
        isr_nodes: vec![0, 1],
        ..MetadataResponsePartition::default()
    }
}

/// A fetch that a broker works on.
pub(super) struct Fetch {
    pub(super) request: FetchRequest,
    pub(super) asked: Asked,
}

impl Fetch {
    /// The partitions that it names, each with the offset asked for.
    pub(super) fn wants(&self) -> Vec<(i32, i64)> {
        self.request
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| (partition.partition, partition.fetch_offset))
            .collect()
    }

    pub(super) fn forgets(&self) -> Vec<i32> {
        self.request
            .forgotten_topics_data
            .iter()
            .flat_map(|topic| topic.partitions.iter().copied())
            .collect()
    }

    pub(super) fn session(&self) -> (i32, i32) {
        (self.request.session_id, self.request.session_epoch)
    }

    /// Answers with these partitions, in the session `id`; a full fetch's others without anything.
    pub(super) fn answer(
        self,
        world: &mut World,
        id: i32,
        mut partitions: Vec<FetchPartitionData>,
    ) {
        if self.request.session_epoch == 0 {
            for (partition, _) in self.wants() {
                if !partitions
                    .iter()
                    .any(|data| data.partition_index == partition)
                {
                    partitions.push(nothing(partition));
                }
            }
        }
        let responses = match partitions.is_empty() {
            true => Vec::new(),
            false => vec![FetchableTopicResponse {
                topic: Str::from(T),
                topic_id: self.topic_id(world),
                partitions,
            }],
        };
        let response = FetchResponse {
            session_id: id,
            responses,
            ..FetchResponse::default()
        };
        world.answer::<FetchRequest>(&self.asked, &response);
    }

    fn topic_id(&self, world: &World) -> Uuid {
        self.request
            .topics
            .first()
            .map_or(world.topics[T].id, |topic| topic.topic_id)
    }
}

/// A partition without news.
pub(super) fn nothing(partition: i32) -> FetchPartitionData {
    FetchPartitionData {
        partition_index: partition,
        high_watermark: 1_000,
        last_stable_offset: 1_000,
        log_start_offset: 0,
        records: Some(Bytes::new()),
        ..FetchPartitionData::default()
    }
}

/// A partition with these bytes.
pub(super) fn data(partition: i32, batches: &[Bytes]) -> FetchPartitionData {
    FetchPartitionData {
        records: Some(batches.concat().into()),
        ..nothing(partition)
    }
}

/// A partition with an error.
pub(super) fn error(partition: i32, code: i16) -> FetchPartitionData {
    FetchPartitionData {
        error_code: code,
        high_watermark: -1,
        ..nothing(partition)
    }
}

/// A batch of `count` records from `offset` on, in leader epoch 5.
pub(super) fn batch(offset: i64, count: i32) -> Bytes {
    sized_batch(offset, count, 5)
}

/// A batch of records with values of so many bytes.
pub(super) fn sized_batch(offset: i64, count: i32, value: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 30);
    for _ in 0..count {
        builder
            .try_append(&RecordRef::new(0, None, Some(&vec![b'v'; value])))
            .unwrap();
    }
    let mut bytes = builder.finish().unwrap().seal(BatchProducer::None).to_vec();
    rewrite::assign_offsets(&mut bytes, offset, 5).unwrap();
    bytes.into()
}

/// The same batch, claiming to be compressed with lz4.
pub(super) fn compressed(batch: &Bytes) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[22] |= 3;
    let crc = crate::wire::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}
