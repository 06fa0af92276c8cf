//! Creating, changing and deleting topics by requests.

use klamm::messages::{
    CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest, CreatePartitionsTopic,
    CreateTopicsRequest, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
    DeleteTopicState, DeleteTopicsRequest,
};
use klamm::{ErrorCode, Str, Uuid};
use klamm_cluster::ConnectionKey;

use crate::client::{Conversation, batch, error};

fn create(name: &str, partitions: i32, factor: i16) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: Str::from(name),
            num_partitions: partitions,
            replication_factor: factor,
            configs: vec![CreatableTopicConfig {
                name: Str::from("min.insync.replicas"),
                value: Some(Str::from("2")),
            }],
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    }
}

fn create_error(
    talk: &mut Conversation,
    over: ConnectionKey,
    request: &CreateTopicsRequest,
) -> ErrorCode {
    error(talk.ask(over, 7, request).topics[0].error_code)
}

#[test]
fn a_topic_is_created_once_and_as_asked() {
    let mut talk = Conversation::with(3);
    let broker = talk.connect(1);
    let created = talk.ask(broker, 7, &create("t", 2, 3)).topics.remove(0);
    assert_eq!((created.error_code, created.num_partitions), (0, 2));
    let topic = talk.cluster.image().topic("t").unwrap();
    assert_eq!(topic.id, created.topic_id);
    assert_eq!(topic.config.min_insync_replicas, 2);
    assert_eq!(topic.partitions[1].replicas, [2, 3, 1]);
    let again = create_error(&mut talk, broker, &create("t", 2, 3));
    assert_eq!(again, ErrorCode::TOPIC_ALREADY_EXISTS);
}

#[test]
fn what_cannot_be_created_is_refused_by_its_reason() {
    let mut talk = Conversation::with(3);
    let broker = talk.connect(1);
    let mut ask = |request: &CreateTopicsRequest| create_error(&mut talk, broker, request);
    let factor = ErrorCode::INVALID_REPLICATION_FACTOR;
    assert_eq!(ask(&create("t", 1, 4)), factor);
    assert_eq!(ask(&create("t", 0, 1)), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(
        ask(&create("a b", 1, 1)),
        ErrorCode::INVALID_TOPIC_EXCEPTION
    );
    let mut config = create("t", 1, 1);
    config.topics[0].configs[0].value = Some(Str::from("many"));
    assert_eq!(ask(&config), ErrorCode::INVALID_CONFIG);
    let mut validated = create("t", 1, 1);
    validated.validate_only = true;
    assert_eq!(ask(&validated), ErrorCode::NONE);
    assert!(talk.cluster.image().topic("t").is_none());
}

#[test]
fn topics_are_deleted_by_name_or_by_id() {
    let mut talk = Conversation::with(1);
    let broker = talk.connect(1);
    let id = talk.cluster.create_topic("t", 1).unwrap();
    talk.cluster.create_topic("u", 1).unwrap();
    let by_id = DeleteTopicState {
        name: None,
        topic_id: id,
    };
    let by_name = DeleteTopicState {
        name: Some(Str::from("u")),
        topic_id: Uuid::ZERO,
    };
    let request = DeleteTopicsRequest {
        topics: vec![by_id.clone(), by_name, by_id],
        ..DeleteTopicsRequest::default()
    };
    let response = talk.ask(broker, 6, &request);
    let answered: Vec<_> = response
        .responses
        .iter()
        .map(|topic| (topic.name.as_deref(), error(topic.error_code)))
        .collect();
    assert_eq!(
        answered,
        [
            (Some("t"), ErrorCode::NONE),
            (Some("u"), ErrorCode::NONE),
            (None, ErrorCode::UNKNOWN_TOPIC_ID)
        ]
    );
    assert_eq!(talk.cluster.image().topics().count(), 0);
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let mut talk = Conversation::with(2);
    let broker = talk.connect(1);
    talk.cluster.create_topic("t", 2).unwrap();
    let mut ask = |count| {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: Str::from("t"),
                count,
                assignments: None,
            }],
            ..CreatePartitionsRequest::default()
        };
        error(talk.ask(broker, 3, &request).results[0].error_code)
    };
    assert_eq!(ask(2), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(ask(3), ErrorCode::NONE);
    let topic = talk.cluster.image().topic("t").unwrap();
    let leaders: Vec<_> = topic.partitions.iter().map(|p| p.leader).collect();
    assert_eq!(leaders, [Some(1), Some(2), Some(1)]);
}

#[test]
fn records_are_deleted_up_to_the_high_watermark() {
    let mut talk = Conversation::with(1);
    let broker = talk.connect(1);
    talk.cluster.create_topic("t", 1).unwrap();
    talk.produce(broker, 1, batch(None, &["a", "b"]));
    talk.produce(broker, 1, batch(None, &["c"]));
    let mut ask = |offset| {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: Str::from("t"),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset,
                }],
            }],
            ..DeleteRecordsRequest::default()
        };
        let response = talk.ask(broker, 2, &request);
        let deleted = &response.topics[0].partitions[0];
        (error(deleted.error_code), deleted.low_watermark)
    };
    assert_eq!(ask(1), (ErrorCode::NONE, 1));
    assert_eq!(ask(4), (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(ask(-1), (ErrorCode::NONE, 3));
}
