//! The messages against a real broker, in every version that both sides have, over a plain socket and without a client: what
//! schemas and vectors say is one thing, what a broker answers is another.
//!
//! With `KLAMM_CAPTURE_TO` set to a file, the frames of both directions are written there, one for each API and version: what
//! fuzzing starts from (`fuzz/captured.txt`).

use bytes::{Bytes, BytesMut};
use klamm::messages::*;
use klamm::record::{BatchBuilder, BatchProducer, Batches, RecordRef};
use klamm::wire::header::{decode_response, encode_request};
use klamm::wire::{Request, Writer};
use klamm::{ApiKey, Str, Uuid, VersionRange};
use klamm_live::kafka::Kafka;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

/// A connection that asks one question after the other.
struct Asker {
    address: String,
    socket: TcpStream,
    versions: BTreeMap<ApiKey, VersionRange>,
    asked: i32,
}

/// A socket on which no answer is awaited for long.
fn open(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the broker is there");
    socket
        .set_read_timeout(Some(Duration::from_secs(3)))
        .expect("a TCP socket");
    socket
}

impl Asker {
    fn connect(address: &str) -> Asker {
        let socket = open(address);
        let mut asker = Asker {
            address: address.to_owned(),
            socket,
            versions: BTreeMap::new(),
            asked: 0,
        };
        let answer = asker
            .ask(&ApiVersionsRequest::default(), 0)
            .expect("every broker has version 0");
        let range = |api: &ApiVersion| VersionRange {
            min: api.min_version,
            max: api.max_version,
        };
        asker.versions = answer
            .api_keys
            .iter()
            .map(|api| (ApiKey(api.api_key), range(api)))
            .collect();
        asker
    }

    /// The versions that both sides have.
    fn common<R: Request>(&self) -> Vec<i16> {
        let common = self
            .versions
            .get(&R::KEY)
            .and_then(|theirs| theirs.intersection(R::VERSIONS));
        common.map_or_else(Vec::new, |range| range.iter().collect())
    }

    fn ask<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, String> {
        self.asked += 1;
        let client_id = Str::from("klamm-live-messages");
        let frame = encode_request(
            request,
            version,
            self.asked,
            Some(&client_id),
            Writer::new(BytesMut::new()),
        );
        let frame = frame.map_err(|e| format!("not written: {e}"))?;
        let answer = self.exchange(&frame.to_vec());
        let answer = answer.map_err(|e| {
            self.socket = open(&self.address);
            format!("no answer: {e}")
        })?;
        let (correlation_id, response) =
            decode_response::<R>(answer, version).map_err(|e| format!("not read: {e}"))?;
        assert_eq!(correlation_id, self.asked);
        Ok(response)
    }

    fn exchange(&mut self, frame: &[u8]) -> std::io::Result<Bytes> {
        let answer = self.exchange_unseen(frame)?;
        capture(frame, &answer);
        Ok(answer)
    }

    fn exchange_unseen(&mut self, frame: &[u8]) -> std::io::Result<Bytes> {
        self.socket.write_all(frame)?;
        let mut size = [0; 4];
        self.socket.read_exact(&mut size)?;
        let mut answer = Vec::new();
        let size = u64::from(u32::from_be_bytes(size));
        (&mut self.socket).take(size).read_to_end(&mut answer)?;
        Ok(answer.into())
    }
}

/// The longest frame that is kept: a seed of a fuzz target is to be small.
const CAPTURED_MAX: usize = 2_048;

/// One message for each direction, API and version.
type Captured = BTreeMap<(&'static str, i16, i16), Vec<u8>>;

/// Frames without their size, by direction, API and version.
static CAPTURED: Mutex<Captured> = Mutex::new(BTreeMap::new());

/// Keeps the longest frame of each kind that is short enough, and writes all down.
fn capture(request: &[u8], answer: &[u8]) {
    let Some(path) = std::env::var_os("KLAMM_CAPTURE_TO") else {
        return;
    };
    let [_, _, _, _, k0, k1, v0, v1, ..] = *request else {
        return;
    };
    let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    let mut captured = CAPTURED.lock().expect("no other test has panicked");
    for (direction, frame) in [("request", &request[4..]), ("response", answer)] {
        let kept = captured.entry((direction, key, version)).or_default();
        if (kept.len()..=CAPTURED_MAX).contains(&frame.len()) {
            *kept = frame.to_vec();
        }
    }
    let line = |((direction, key, version), frame): (&(&str, i16, i16), &Vec<u8>)| {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{direction} {key} {version} {hex}\n")
    };
    let lines: String = captured
        .iter()
        .filter(|(_, frame)| !frame.is_empty())
        .map(line)
        .collect();
    std::fs::write(path, lines).expect("the file can be written");
}

/// A request that asks for as little as possible and changes nothing; `None`: not to be asked in this version.
trait Harmless: Request {
    fn harmless(_version: i16) -> Option<Self> {
        Some(Self::default())
    }
}

macro_rules! harmless {
    ($($key:ident $request:ident $response:ident,)*) => { $( harmless!(one $request); )* };
    // With acks=0 there is no answer.
    (one ProduceRequest) => {
        harmless!(ProduceRequest, _version, Some(ProduceRequest { acks: -1, timeout_ms: 1000, ..Self::default() }));
    };
    // Brokers of version 3 never answer a list of no groups.
    (one OffsetFetchRequest) => {
        harmless!(OffsetFetchRequest, version, {
            let group = OffsetFetchRequestGroup { group_id: Str::from("nobody"), ..OffsetFetchRequestGroup::default() };
            let groups = if version < 8 { Vec::new() } else { vec![group] };
            Some(OffsetFetchRequest { groups, ..Self::default() })
        });
    };
    // 0 is no kind of resource, operation or permission, and 1 is any: at 0 the broker hangs up.
    (one DescribeAclsRequest) => {
        harmless!(DescribeAclsRequest, _version, Some(DescribeAclsRequest {
            resource_type_filter: 1,
            pattern_type_filter: 1,
            operation: 1,
            permission_type: 1,
            ..Self::default()
        }));
    };
    // From v4 on it is what brokers say to each other, and an empty one is never answered.
    (one AddPartitionsToTxnRequest) => {
        harmless!(AddPartitionsToTxnRequest, version, (version < 4).then(Self::default));
    };
    // It would take node 0, the only one, out of the cluster.
    (one UnregisterBrokerRequest) => {
        harmless!(UnregisterBrokerRequest, _version, None);
    };
    (one $request:ident) => {
        impl Harmless for $request {}
    };
    ($request:ident, $version:ident, $body:expr) => {
        impl Harmless for $request {
            fn harmless($version: i16) -> Option<Self> {
                $body
            }
        }
    };
}
klamm::for_each_api!(harmless);

#[test]
fn a_broker_answers_every_api_in_every_version() {
    let kafka = Kafka::start(1, &[]);
    let mut asker = Asker::connect(&kafka.address(0));
    let mut wrong = Vec::new();
    let mut answered = 0;
    macro_rules! ask_all {
        ($($key:ident $request:ident $response:ident,)*) => { $(
            for version in asker.common::<$request>() {
                match $request::harmless(version).map(|request| asker.ask(&request, version)) {
                    Some(Ok(_)) => answered += 1,
                    Some(Err(e)) => wrong.push(format!("{} v{version}: {e}", stringify!($request))),
                    None => {}
                }
            }
        )* };
    }
    klamm::for_each_api!(ask_all);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(answered > 90, "only {answered} answers");
}

/// The name and id of a topic, which must be there.
fn topic_id(asker: &mut Asker, name: &str) -> Uuid {
    let topic = MetadataRequestTopic {
        name: Some(Str::from(name)),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        ..MetadataRequest::default()
    };
    let newest = *asker
        .common::<MetadataRequest>()
        .last()
        .expect("every broker has Metadata");
    let answer = asker.ask(&request, newest).expect("an answer");
    assert_eq!(answer.topics[0].error_code, 0);
    answer.topics[0].topic_id
}

#[test]
fn records_go_out_and_come_back_in_every_version() {
    let kafka = Kafka::shared();
    let name = kafka.topic("messages", 1);
    let mut asker = Asker::connect(&kafka.address(0));
    let topic_id = topic_id(&mut asker, &name);

    let versions = asker.common::<ProduceRequest>();
    let mut written = Vec::new();
    for version in &versions {
        let value = format!("in Produce v{version}");
        let base = produce(&mut asker, *version, &name, topic_id, &value);
        assert_eq!(
            usize::try_from(base),
            Ok(written.len()),
            "Produce v{version}"
        );
        written.push(value);
    }
    for version in asker.common::<FetchRequest>() {
        assert_eq!(
            fetch(&mut asker, version, &name, topic_id),
            written,
            "Fetch v{version}"
        );
    }
    for version in asker.common::<ListOffsetsRequest>() {
        let end = end_offset(&mut asker, version, &name);
        assert_eq!(
            usize::try_from(end),
            Ok(written.len()),
            "ListOffsets v{version}"
        );
    }
}

/// Produces one record and returns the offset that the broker gave it.
fn produce(asker: &mut Asker, version: i16, name: &str, topic_id: Uuid, value: &str) -> i64 {
    let mut batch = BatchBuilder::new(BytesMut::new(), 1024);
    let record = RecordRef::new(1_700_000_000_000, None, Some(value.as_bytes()));
    batch.try_append(&record).expect("room");
    let records = batch.finish().expect("not empty").seal(BatchProducer::None);
    let partition = PartitionProduceData {
        index: 0,
        records: Some(records),
    };
    let topic = TopicProduceData {
        name: Str::from(name),
        topic_id,
        partition_data: vec![partition],
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 5000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    };
    let answer = asker.ask(&request, version).expect("an answer");
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, 0, "Produce v{version}");
    partition.base_offset
}

/// Fetches all values of the topic.
fn fetch(asker: &mut Asker, version: i16, name: &str, topic_id: Uuid) -> Vec<String> {
    let partition = FetchPartition {
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: Str::from(name),
        topic_id,
        partitions: vec![partition],
    };
    let request = FetchRequest {
        min_bytes: 1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let answer = asker.ask(&request, version).expect("an answer");
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0, "Fetch v{version}");
    let mut values = Vec::new();
    for batch in Batches::new(partition.records.as_ref().expect("records")) {
        for record in batch.expect("a batch").records().expect("records") {
            let value = record.expect("a record").value.expect("a value");
            values.push(String::from_utf8_lossy(value).into_owned());
        }
    }
    values
}

/// Where the next record of the topic will be.
fn end_offset(asker: &mut Asker, version: i16, name: &str) -> i64 {
    let partition = ListOffsetsPartition {
        timestamp: -1,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: Str::from(name),
        partitions: vec![partition],
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![topic],
        ..ListOffsetsRequest::default()
    };
    let answer = asker.ask(&request, version).expect("an answer");
    answer.topics[0].partitions[0].offset
}
