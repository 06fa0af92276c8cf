//! ListOffsets: where things are.

use klamm::Str;
use klamm::messages::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use klamm_cluster::{ClusterConfig, ConnectionKey, TimestampType, TopicConfig};

use crate::client::{Conversation, batch_at};

fn ask(talk: &mut Conversation, over: ConnectionKey, timestamp: i64) -> (i64, i64, i32) {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: Str::from("t"),
            partitions: vec![ListOffsetsPartition {
                timestamp,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let response = talk.ask(over, 9, &request);
    let found = &response.topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    (found.offset, found.timestamp, found.leader_epoch)
}

#[test]
fn earliest_latest_and_by_timestamp() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    assert_eq!(ask(&mut talk, broker, -3), (-1, -1, -1));
    talk.produce(broker, 1, batch_at(&[1000, 3000, 2000]));
    talk.produce(broker, 1, batch_at(&[2500, 4000]));
    talk.produce(broker, 1, batch_at(&[3500]));
    assert_eq!(ask(&mut talk, broker, -1), (6, -1, 0));
    assert_eq!(ask(&mut talk, broker, -2), (0, -1, 0));
    assert_eq!(ask(&mut talk, broker, -3), (4, 4000, 0));
    assert_eq!(ask(&mut talk, broker, 0), (0, 1000, 0));
    assert_eq!(ask(&mut talk, broker, 1500), (1, 3000, 0));
    assert_eq!(ask(&mut talk, broker, 3001), (4, 4000, 0));
    assert_eq!(ask(&mut talk, broker, 4001), (-1, -1, -1));
    talk.cluster.delete_records("t", 0, 2).unwrap();
    assert_eq!(ask(&mut talk, broker, -2), (2, -1, 0));
    assert_eq!(ask(&mut talk, broker, 0), (2, 2000, 0));
}

#[test]
fn with_log_append_time_all_records_have_the_brokers_time() {
    let mut talk = Conversation::configured(ClusterConfig {
        topic_defaults: TopicConfig {
            timestamp_type: TimestampType::LogAppendTime,
            ..TopicConfig::default()
        },
        ..ClusterConfig::with_nodes(1)
    });
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    let produced = talk.produce(broker, 1, batch_at(&[1, 2]));
    // One second after the start.
    assert_eq!(produced.log_append_time_ms, 1_700_000_001_000);
    let found = ask(&mut talk, broker, 5);
    assert_eq!(found, (0, 1_700_000_001_000, 0));
}

#[test]
fn retention_moves_the_start() {
    let mut talk = Conversation::configured(ClusterConfig {
        topic_defaults: TopicConfig {
            retention_bytes: Some(200),
            ..TopicConfig::default()
        },
        ..ClusterConfig::with_nodes(1)
    });
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    for _ in 0..10 {
        talk.produce(broker, 1, batch_at(&[1, 2]));
    }
    let (start, ..) = ask(&mut talk, broker, -2);
    let partition = talk.cluster.find_partition("t", 0).unwrap();
    let log = talk.cluster.log(partition).unwrap();
    assert!(log.size() <= 200);
    assert_eq!((start, log.end_offset()), (log.start_offset(), 20));
}
