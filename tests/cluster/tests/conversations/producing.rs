//! Produce: appending, duplicates, replicas.

use klamm::messages::{InitProducerIdRequest, ProduceRequest};
use klamm::{Duration, ErrorCode};
use klamm_cluster::{ClusterConfig, NewTopic, TopicConfig};

use crate::client::{Conversation, batch, error, produce, records};

fn one_broker() -> (Conversation, klamm_cluster::ConnectionKey) {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    (talk, broker)
}

#[test]
fn what_is_produced_can_be_fetched() {
    let (mut talk, broker) = one_broker();
    let produced = talk.produce(broker, 1, batch(None, &["a", "b"]));
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));
    let produced = talk.produce(broker, -1, batch(None, &["c"]));
    assert_eq!((produced.error_code, produced.base_offset), (0, 2));
    let fetched = talk.fetch(broker, 0);
    let expected = [(0, "a"), (1, "b"), (2, "c")].map(|(o, v)| (o, v.to_owned()));
    assert_eq!(records(&fetched), expected);
    assert_eq!(fetched.high_watermark, 3);
}

#[test]
fn a_duplicate_is_answered_with_its_first_offset() {
    let (mut talk, broker) = one_broker();
    let id = talk.ask(
        broker,
        4,
        &InitProducerIdRequest {
            transactional_id: None,
            ..InitProducerIdRequest::default()
        },
    );
    assert_eq!((id.error_code, id.producer_epoch), (0, 0));
    let first = batch(Some((id.producer_id, 0, 0)), &["a", "b"]);
    let second = batch(Some((id.producer_id, 0, 2)), &["c"]);
    assert_eq!(talk.produce(broker, -1, first.clone()).base_offset, 0);
    assert_eq!(talk.produce(broker, -1, second).base_offset, 2);
    assert_eq!(talk.produce(broker, -1, first).base_offset, 0);
    assert_eq!(talk.fetch(broker, 0).high_watermark, 3);
    let gap = batch(Some((id.producer_id, 0, 4)), &["e"]);
    let refused = talk.produce(broker, -1, gap);
    assert_eq!(
        error(refused.error_code),
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
    );
}

#[test]
fn acks_0_has_no_answer_and_its_errors_close_the_connection() {
    let (mut talk, broker) = one_broker();
    talk.send(broker, 9, &produce("t", 0, batch(None, &["a"])));
    assert!(talk.answer::<ProduceRequest>(broker, 9).is_none());
    assert_eq!(talk.fetch(broker, 0).high_watermark, 1);
    talk.send(broker, 9, &produce("unknown", 0, batch(None, &["a"])));
    assert_eq!(talk.closed, [broker]);
}

#[test]
fn acks_all_waits_for_the_replicas_in_sync() {
    let mut talk = Conversation::configured(ClusterConfig {
        replication_delay: Duration::from_millis(10),
        ..ClusterConfig::with_nodes(3)
    });
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    talk.send(broker, 9, &produce("t", -1, batch(None, &["a"])));
    assert!(talk.answer::<ProduceRequest>(broker, 9).is_none());
    talk.pass(9);
    assert!(talk.answer::<ProduceRequest>(broker, 9).is_none());
    talk.pass(1);
    assert!(talk.answer::<ProduceRequest>(broker, 9).is_some());
}

#[test]
fn a_replica_that_does_not_copy_lets_acks_all_time_out_after_the_append() {
    let mut talk = Conversation::with(3);
    talk.cluster.create_topic("t", 1).unwrap();
    talk.cluster.pause_replica("t", 0, 2).unwrap();
    let broker = talk.connect(1);
    talk.send(broker, 9, &produce("t", -1, batch(None, &["a"])));
    talk.pass(1000);
    let (_, mut response) = talk.answer::<ProduceRequest>(broker, 9).unwrap();
    let produced = response.responses.remove(0).partition_responses.remove(0);
    assert_eq!(error(produced.error_code), ErrorCode::REQUEST_TIMED_OUT);
    assert_eq!(talk.fetch(broker, 0).high_watermark, 0);
    talk.cluster.resume_replica("t", 0, 2).unwrap();
    assert_eq!(talk.fetch(broker, 0).high_watermark, 1);
}

#[test]
fn too_few_replicas_in_sync_refuse_acks_all_and_take_acks_1() {
    let mut talk = Conversation::with(3);
    let new = NewTopic {
        partitions: 1,
        replication_factor: 3,
        config: TopicConfig {
            min_insync_replicas: 2,
            ..TopicConfig::default()
        },
    };
    talk.cluster.create_topic_with("t", new).unwrap();
    talk.cluster.stop_broker(2).unwrap();
    talk.cluster.stop_broker(3).unwrap();
    let broker = talk.connect(1);
    let refused = talk.produce(broker, -1, batch(None, &["a"]));
    assert_eq!(error(refused.error_code), ErrorCode::NOT_ENOUGH_REPLICAS);
    let taken = talk.produce(broker, 1, batch(None, &["a"]));
    assert_eq!((taken.error_code, taken.base_offset), (0, 0));
}

#[test]
fn another_broker_names_the_leader() {
    let mut talk = Conversation::with(2);
    let id = talk.cluster.create_topic("t", 1).unwrap();
    let other = talk.connect(2);
    let mut request = produce("t", -1, batch(None, &["a"]));
    request.topic_data[0].topic_id = id;
    request.topic_data[0].name = klamm::Str::EMPTY;
    let response = talk.ask(other, 13, &request);
    let produced = &response.responses[0].partition_responses[0];
    assert_eq!(
        error(produced.error_code),
        ErrorCode::NOT_LEADER_OR_FOLLOWER
    );
    let leader = &produced.current_leader;
    assert_eq!((leader.leader_id, leader.leader_epoch), (1, 0));
    assert_eq!(response.node_endpoints[0].host, *"broker-1");
    assert_eq!(response.responses[0].topic_id, id);
}

#[test]
fn the_id_of_a_deleted_topic_is_unknown() {
    let mut talk = Conversation::with(1);
    let id = talk.cluster.create_topic("t", 1).unwrap();
    talk.cluster.delete_topic("t").unwrap();
    let again = talk.cluster.create_topic("t", 1).unwrap();
    assert_ne!(id, again);
    let broker = talk.connect(1);
    let mut request = produce("t", -1, batch(None, &["a"]));
    request.topic_data[0].topic_id = id;
    let response = talk.ask(broker, 13, &request);
    let produced = &response.responses[0].partition_responses[0];
    assert_eq!(error(produced.error_code), ErrorCode::UNKNOWN_TOPIC_ID);
}
