//! A client that says exactly what a test tells it to.

use bytes::{Bytes, BytesMut};
use klamm::messages::{
    FetchPartition, FetchPartitionData, FetchRequest, FetchResponse, FetchTopic,
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use klamm::record::{BatchBuilder, BatchProducer, Batches, RecordRef};
use klamm::wire::header::{decode_response, encode_request};
use klamm::wire::{Request, Writer};
use klamm::{Duration, ErrorCode, Instant, Str};
use klamm_cluster::{Cluster, ClusterConfig, ConnectionKey, NodeId, Output, What};

/// A cluster, and clients with connections to its brokers.
pub(crate) struct Conversation {
    pub(crate) cluster: Cluster,
    pub(crate) now: Instant,
    correlation_id: i32,
    /// What the brokers sent and nobody read yet.
    inbox: Vec<(ConnectionKey, Bytes)>,
    pub(crate) closed: Vec<ConnectionKey>,
}

impl Conversation {
    /// With `brokers` brokers.
    pub(crate) fn with(brokers: u16) -> Self {
        Self::configured(ClusterConfig::with_nodes(brokers))
    }

    pub(crate) fn configured(config: ClusterConfig) -> Self {
        Self {
            cluster: Cluster::new(config),
            now: Instant::from_millis(1000),
            correlation_id: 0,
            inbox: Vec::new(),
            closed: Vec::new(),
        }
    }

    pub(crate) fn connect(&mut self, broker: NodeId) -> ConnectionKey {
        self.cluster.connect(broker, self.now).unwrap()
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.cluster.advance(self.now);
        self.collect();
    }

    pub(crate) fn collect(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Send { connection, bytes } => {
                    let frame = Bytes::from(bytes.to_vec()).slice(4..);
                    self.inbox.push((connection, frame));
                }
                Output::Close { connection } => self.closed.push(connection),
            }
        }
    }

    /// What happened to partitions, as short words.
    pub(crate) fn happened(&self) -> Vec<String> {
        let told = self
            .cluster
            .history()
            .filter_map(|event| match &event.what {
                What::LeaderChanged {
                    leader,
                    epoch,
                    unclean,
                    ..
                } => Some(format!(
                    "{} leads in epoch {epoch}{}",
                    leader.map_or("nobody".to_owned(), |id| id.to_string()),
                    if *unclean { ", unclean" } else { "" }
                )),
                What::Truncated {
                    broker, from, to, ..
                } => Some(format!("{broker} drops {to}..{from}")),
                What::Duplicate { base_offset, .. } => Some(format!("duplicate of {base_offset}")),
                What::Appended { .. }
                | What::HighWatermark { .. }
                | What::LogStart { .. }
                | What::TopicCreated { .. }
                | What::TopicDeleted { .. }
                | What::Committed { .. }
                | What::GroupChanged { .. }
                | What::Closed { .. }
                | What::Stopped { .. }
                | What::Started { .. } => None,
            });
        told.collect()
    }

    /// Sends a request. Returns its correlation id.
    pub(crate) fn send<R: Request>(
        &mut self,
        over: ConnectionKey,
        version: i16,
        request: &R,
    ) -> i32 {
        self.correlation_id += 1;
        let id = self.correlation_id;
        let client = Str::from("test");
        let frame = encode_request(
            request,
            version,
            id,
            Some(&client),
            Writer::new(BytesMut::new()),
        );
        self.cluster
            .receive(over, &frame.unwrap().to_vec(), self.now);
        self.collect();
        id
    }

    /// All that was sent and not read.
    pub(crate) fn unread(self) -> Vec<(ConnectionKey, Vec<u8>)> {
        let inbox = self.inbox.into_iter();
        inbox.map(|(key, frame)| (key, frame.to_vec())).collect()
    }

    /// The next answer on a connection, if one is there: to the request `R` of that version.
    pub(crate) fn answer<R: Request>(
        &mut self,
        over: ConnectionKey,
        version: i16,
    ) -> Option<(i32, R::Response)> {
        let place = self.inbox.iter().position(|(key, _)| *key == over)?;
        let (_, frame) = self.inbox.remove(place);
        Some(decode_response::<R>(frame, version).unwrap())
    }

    /// Sends a request and reads its answer, which must be there at once.
    pub(crate) fn ask<R: Request>(
        &mut self,
        over: ConnectionKey,
        version: i16,
        request: &R,
    ) -> R::Response {
        let id = self.send(over, version, request);
        let (answered, response) = self.answer::<R>(over, version).expect("an answer at once");
        assert_eq!(answered, id);
        response
    }

    /// Produces a batch of records with these values to partition 0 of topic `t`, and reads the answer.
    pub(crate) fn produce(
        &mut self,
        over: ConnectionKey,
        acks: i16,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let mut response = self.ask(over, 9, &produce("t", acks, batch));
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Fetches partition 0 of topic `t` without waiting, and reads the answer.
    pub(crate) fn fetch(&mut self, over: ConnectionKey, offset: i64) -> FetchPartitionData {
        let mut response = self.ask(over, 12, &fetch("t", offset, 0));
        response.responses.remove(0).partitions.remove(0)
    }
}

/// A batch of an idempotent producer, or of none: (id, epoch, sequence).
pub(crate) fn batch(producer: Option<(i64, i16, i32)>, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
    for value in values {
        let record = RecordRef::new(1_700_000_000_000, None, Some(value.as_bytes()));
        builder.try_append(&record).unwrap();
    }
    let producer = match producer {
        None => BatchProducer::None,
        Some((producer_id, producer_epoch, base_sequence)) => BatchProducer::Idempotent {
            producer_id,
            producer_epoch,
            base_sequence,
        },
    };
    builder.finish().unwrap().seal(producer)
}

/// A batch of records with these timestamps.
pub(crate) fn batch_at(timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
    for timestamp in timestamps {
        let record = RecordRef::new(*timestamp, None, Some(b"value"));
        builder.try_append(&record).unwrap();
    }
    builder.finish().unwrap().seal(BatchProducer::None)
}

pub(crate) fn produce(topic: &str, acks: i16, batch: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: Str::from(topic),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// A full fetch of partition 0 of a topic.
pub(crate) fn fetch(topic: &str, offset: i64, wait_ms: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: Str::from(topic),
            partitions: vec![FetchPartition {
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// The only partition of a Fetch answer.
pub(crate) fn only(mut response: FetchResponse) -> FetchPartitionData {
    assert_eq!(response.responses.len(), 1);
    response.responses.remove(0).partitions.remove(0)
}

/// Offsets and values of the records that were fetched.
pub(crate) fn records(data: &FetchPartitionData) -> Vec<(i64, String)> {
    let bytes = data.records.clone().unwrap_or_default();
    let mut records = Vec::new();
    for batch in Batches::new(&bytes) {
        for record in batch.unwrap().records().unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            records.push((record.offset, value));
        }
    }
    records
}

pub(crate) fn error(code: i16) -> ErrorCode {
    ErrorCode(code)
}
