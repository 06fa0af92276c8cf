//! What control messages cost: nanoseconds and allocations to encode and to decode one, in memory, on one core.
//!
//! ```text
//! cargo run --release -p klamm-benches --bin messages
//! ```
//!
//! Messages as a client with some hundred partitions sends and gets them, in the newest version. Encoding writes a whole
//! frame, or the body of a response, into a buffer that is used again; decoding reads it from one `Bytes`, as it arrives.
//! Cases take turns for nine rounds, so that whatever else the machine does hits all of them alike; median and best are
//! printed. Allocations are counted once, in a run of their own.

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use klamm::messages::*;
use klamm::wire::{Message, Reader, Writer};
use klamm::{Str, Uuid};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 9;
/// Long enough for the clock, short enough for rounds to take turns.
const ROUND: Duration = Duration::from_millis(20);

/// One message, one way.
struct Case {
    name: String,
    way: &'static str,
    /// The bytes of the message.
    size: usize,
    run: Box<dyn FnMut()>,
    /// Nanoseconds of each round, for one message.
    rounds: Vec<f64>,
    allocations: usize,
    allocated: usize,
}

fn encoded<M: Message>(message: &M, buffer: BytesMut) -> Bytes {
    let mut writer = Writer::new(buffer);
    message
        .encode(&mut writer, M::VERSIONS.max)
        .expect("the newest version says all");
    let segments = writer.finish();
    match segments.as_slice() {
        [whole] => whole.clone(),
        _ => segments.to_vec().into(),
    }
}

fn decoded<M: Message>(bytes: Bytes) -> M {
    let mut reader = Reader::new(bytes);
    let message = M::decode(&mut reader, M::VERSIONS.max).expect("it has been encoded");
    reader.finish().expect("and nothing else");
    message
}

fn both_ways<M: Message + 'static>(what: &str, message: M, cases: &mut Vec<Case>) {
    let bytes = encoded(&message, BytesMut::new());
    assert_eq!(decoded::<M>(bytes.clone()), message);
    let name = format!("{} v{}: {what}", M::NAME, M::VERSIONS.max);
    let mut add = |way, run| {
        cases.push(Case {
            name: name.clone(),
            way,
            size: bytes.len(),
            run,
            rounds: Vec::new(),
            allocations: 0,
            allocated: 0,
        });
    };
    let mut buffer = BytesMut::with_capacity(bytes.len());
    add(
        "encode",
        Box::new(move || {
            let bytes = encoded(black_box(&message), std::mem::take(&mut buffer));
            if let Ok(mut unused) = black_box(bytes).try_into_mut() {
                unused.clear();
                buffer = unused;
            }
        }),
    );
    let bytes = bytes.clone();
    add(
        "decode",
        Box::new(move || {
            black_box(decoded::<M>(black_box(&bytes).clone()));
        }),
    );
}

fn topic(index: usize) -> Str {
    Str::from(format!("orders-of-region-{index}").as_str())
}

fn topic_id(index: usize) -> Uuid {
    Uuid([index as u8 + 1; 16])
}

fn partitions(count: i32) -> Vec<i32> {
    (0..count).collect()
}

fn connecting(cases: &mut Vec<Case>) {
    let request = ApiVersionsRequest {
        client_software_name: "klamm".into(),
        client_software_version: "0.1.0".into(),
    };
    both_ways("asked", request, cases);
    let api_keys = APIS.iter().map(|api| ApiVersion {
        api_key: api.key.0,
        min_version: api.versions.min,
        max_version: api.versions.max,
    });
    let response = ApiVersionsResponse {
        api_keys: api_keys.collect(),
        ..Default::default()
    };
    both_ways("71 APIs", response, cases);
}

fn metadata(topics: usize, of: i32, cases: &mut Vec<Case>) {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: partition_index % 3,
        leader_epoch: 7,
        replica_nodes: vec![0, 1, 2],
        isr_nodes: vec![0, 1, 2],
        ..Default::default()
    };
    let topics_of = |index| MetadataResponseTopic {
        name: Some(topic(index)),
        topic_id: topic_id(index),
        partitions: (0..of).map(partition).collect(),
        ..Default::default()
    };
    let brokers = (0..3).map(|node_id| MetadataResponseBroker {
        node_id,
        host: "broker.example.com".into(),
        port: 9092,
        rack: Some("a".into()),
    });
    let response = MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some("4L6g3nShT-eMCtK--X86sw".into()),
        controller_id: 1,
        topics: (0..topics).map(topics_of).collect(),
        ..Default::default()
    };
    both_ways(&format!("{topics} topics of {of}"), response, cases);
}

fn groups(cases: &mut Vec<Case>) {
    let member = "klamm-1-7c5a4e8e-1b1e-4a57-9d3b-0a8d2e0f9c11";
    let subscription = || Bytes::from_static(&[7; 60]);
    let request = JoinGroupRequest {
        group_id: "billing".into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: ["cooperative-sticky", "range"]
            .map(|name| JoinGroupRequestProtocol {
                name: name.into(),
                metadata: subscription(),
            })
            .into(),
        ..Default::default()
    };
    both_ways("two assignors", request, cases);
    let members = (0..20).map(|index| JoinGroupResponseMember {
        member_id: topic(index),
        metadata: subscription(),
        ..Default::default()
    });
    let response = JoinGroupResponse {
        generation_id: 12,
        leader: member.into(),
        member_id: member.into(),
        members: members.collect(),
        ..Default::default()
    };
    both_ways("20 members", response, cases);
    let heartbeat = ConsumerGroupHeartbeatRequest {
        group_id: "billing".into(),
        member_id: member.into(),
        member_epoch: 5,
        ..Default::default()
    };
    both_ways("nothing new", heartbeat, cases);
    let assigned = (0..10).map(|index| ConsumerGroupHeartbeatResponseTopicPartitions {
        topic_id: topic_id(index),
        partitions: partitions(10),
    });
    let response = ConsumerGroupHeartbeatResponse {
        member_id: Some(member.into()),
        member_epoch: 6,
        heartbeat_interval_ms: 5000,
        assignment: Some(ConsumerGroupHeartbeatAssignment {
            topic_partitions: assigned.collect(),
        }),
        ..Default::default()
    };
    both_ways("100 partitions assigned", response, cases);
    let committed = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1_000_000,
        committed_leader_epoch: 7,
        ..Default::default()
    };
    let topics = (0..10).map(|index| OffsetCommitRequestTopic {
        topic_id: topic_id(index),
        partitions: (0..10).map(committed).collect(),
        ..Default::default()
    });
    let commit = OffsetCommitRequest {
        group_id: "billing".into(),
        generation_id_or_member_epoch: 6,
        member_id: member.into(),
        topics: topics.collect(),
        ..Default::default()
    };
    both_ways("100 partitions", commit, cases);
}

fn fetching(cases: &mut Vec<Case>) {
    let fetch = |partition| FetchPartition {
        partition,
        current_leader_epoch: 7,
        fetch_offset: 1_000_000,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let request = |session_epoch, topics: usize| FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        session_id: 77,
        session_epoch,
        topics: (0..topics)
            .map(|index| FetchTopic {
                topic_id: topic_id(index),
                partitions: (0..10).map(fetch).collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    both_ways("a session of 100 begins", request(0, 10), cases);
    both_ways("its partitions are known", request(9, 0), cases);
    let response = FetchResponse {
        session_id: 77,
        ..Default::default()
    };
    both_ways("nothing new", response, cases);
}

fn main() {
    let mut cases = Vec::new();
    connecting(&mut cases);
    metadata(1, 6, &mut cases);
    metadata(1_000, 10, &mut cases);
    groups(&mut cases);
    fetching(&mut cases);
    for case in &mut cases {
        (case.run)();
        let region = Region::new(ALLOCATOR);
        (case.run)();
        let counted = region.change();
        case.allocations = counted.allocations + counted.reallocations;
        case.allocated = counted.bytes_allocated;
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let (began, mut runs) = (Instant::now(), 0_u32);
            while began.elapsed() < ROUND {
                for _ in 0..8 {
                    (case.run)();
                }
                runs += 8;
            }
            let round = began.elapsed().as_nanos() as f64 / f64::from(runs);
            case.rounds.push(round);
        }
    }
    println!(
        "{:<62} {:>7} {:>12} {:>12} {:>12} {:>10}",
        "message", "bytes", "ns, median", "ns, best", "allocations", "bytes"
    );
    for case in &mut cases {
        case.rounds.sort_by(f64::total_cmp);
        println!(
            "{:<62} {:>7} {:>12.0} {:>12.0} {:>12} {:>10}",
            format!("{} {}", case.way, case.name),
            case.size,
            case.rounds[ROUNDS / 2],
            case.rounds[0],
            case.allocations,
            case.allocated
        );
    }
}
