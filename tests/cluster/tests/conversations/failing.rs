//! Brokers that stop, leaders that move, replicas that lag.

use klamm::messages::{
    FetchRequest, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, MetadataRequest,
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic, ProduceRequest,
};
use klamm::{Duration, ErrorCode, Str, Uuid};
use klamm_cluster::{ClusterConfig, ConnectionKey, NewTopic, TopicConfig};

use crate::client::{Conversation, batch, error, fetch, only, produce, records};

/// Three brokers, of which 1 leads partition 0 of topic `t`, and connections to them.
fn three() -> (Conversation, [ConnectionKey; 3]) {
    let mut talk = Conversation::with(3);
    talk.cluster.create_topic("t", 1).unwrap();
    let brokers = [1, 2, 3].map(|id| talk.connect(id));
    (talk, brokers)
}

fn values(talk: &mut Conversation, over: ConnectionKey) -> Vec<String> {
    let fetched = talk.fetch(over, 0);
    records(&fetched)
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn a_new_leader_has_what_was_acknowledged_and_knows_its_producers() {
    let (mut talk, brokers) = three();
    let first = batch(Some((7, 0, 0)), &["a"]);
    assert_eq!(talk.produce(brokers[0], -1, first.clone()).base_offset, 0);
    talk.cluster.stop_broker(1).unwrap();
    assert_eq!(values(&mut talk, brokers[1]), ["a"]);
    assert_eq!(talk.produce(brokers[1], -1, first).base_offset, 0);
    let next = batch(Some((7, 0, 1)), &["b"]);
    assert_eq!(talk.produce(brokers[1], -1, next).base_offset, 1);
    assert_eq!(talk.happened(), ["2 leads in epoch 1", "duplicate of 0"]);
}

#[test]
fn an_unclean_leader_makes_the_others_drop_what_it_lacks() {
    let (mut talk, brokers) = three();
    talk.produce(brokers[0], -1, batch(None, &["a"]));
    talk.cluster.pause_replica("t", 0, 2).unwrap();
    talk.cluster.shrink_isr("t", 0, 2).unwrap();
    let lost = talk.produce(brokers[0], -1, batch(None, &["lost", "lost"]));
    assert_eq!(lost.error_code, 0);
    talk.cluster.elect_unclean("t", 0, 2).unwrap();
    talk.produce(brokers[1], -1, batch(None, &["b"]));
    assert_eq!(values(&mut talk, brokers[1]), ["a", "b"]);
    assert_eq!(values(&mut talk, brokers[2]), ["a", "b"]);
    assert_eq!(
        talk.happened(),
        [
            "2 leads in epoch 1, unclean",
            "1 drops 1..3",
            "3 drops 1..3"
        ]
    );
}

#[test]
fn without_a_replica_in_sync_a_partition_has_no_leader_unless_its_topic_allows_loss() {
    for unclean in [false, true] {
        let mut talk = Conversation::with(2);
        let new = NewTopic {
            partitions: 1,
            replication_factor: 2,
            config: TopicConfig {
                unclean_leader_election: unclean,
                ..TopicConfig::default()
            },
        };
        talk.cluster.create_topic_with("t", new).unwrap();
        talk.cluster.pause_replica("t", 0, 2).unwrap();
        talk.cluster.shrink_isr("t", 0, 2).unwrap();
        let broker = talk.connect(1);
        talk.produce(broker, 1, batch(None, &["a"]));
        talk.cluster.stop_broker(1).unwrap();
        let expected = if unclean {
            "2 leads in epoch 1, unclean"
        } else {
            "nobody leads in epoch 1"
        };
        assert_eq!(talk.happened(), [expected]);
        talk.cluster.start_broker(1).unwrap();
        if !unclean {
            assert_eq!(talk.happened().last().unwrap(), "1 leads in epoch 2");
        }
    }
}

#[test]
fn until_leaderships_move_the_stopped_broker_keeps_them_in_name() {
    let mut talk = Conversation::configured(ClusterConfig {
        failover_delay: Duration::from_millis(100),
        ..ClusterConfig::with_nodes(3)
    });
    talk.cluster.create_topic("t", 1).unwrap();
    let other = talk.connect(2);
    talk.cluster.stop_broker(1).unwrap();
    let ask = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let leader = |talk: &mut Conversation| {
        let response = talk.ask(other, 12, &ask);
        let partition = &response.topics[0].partitions[0];
        (partition.leader_id, error(partition.error_code))
    };
    assert_eq!(leader(&mut talk), (-1, ErrorCode::LEADER_NOT_AVAILABLE));
    talk.pass(100);
    assert_eq!(leader(&mut talk), (2, ErrorCode::NONE));
}

#[test]
fn what_waits_for_replicas_fails_when_the_leader_moves() {
    let (mut talk, brokers) = three();
    talk.cluster.pause_replica("t", 0, 2).unwrap();
    talk.send(brokers[0], 9, &produce("t", -1, batch(None, &["a"])));
    talk.cluster.move_leader("t", 0, 3).unwrap();
    talk.collect();
    let (_, mut response) = talk.answer::<ProduceRequest>(brokers[0], 9).unwrap();
    let produced = response.responses.remove(0).partition_responses.remove(0);
    assert_eq!(
        error(produced.error_code),
        ErrorCode::NOT_LEADER_OR_FOLLOWER
    );
}

#[test]
fn an_older_leader_epoch_is_fenced_and_a_newer_one_unknown() {
    let (mut talk, brokers) = three();
    let id = talk.cluster.image().topic("t").unwrap().id;
    talk.cluster.move_leader("t", 0, 2).unwrap();
    let ask = |epoch, offset| {
        let mut request = fetch("", offset, 0);
        request.topics[0].topic_id = id;
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        request
    };
    let fenced = only(talk.ask(brokers[0], 17, &ask(0, 0)));
    assert_eq!(error(fenced.error_code), ErrorCode::FENCED_LEADER_EPOCH);
    let hint = fenced.current_leader;
    assert_eq!((hint.leader_id, hint.leader_epoch), (2, 1));
    let unknown = only(talk.ask(brokers[0], 17, &ask(2, 0)));
    assert_eq!(error(unknown.error_code), ErrorCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(only(talk.ask(brokers[1], 17, &ask(1, 0))).error_code, 0);
}

#[test]
fn followers_serve_readers_from_fetch_11_on() {
    let (mut talk, brokers) = three();
    talk.produce(brokers[0], -1, batch(None, &["a"]));
    let request = fetch("t", 0, 0);
    let refused = only(talk.ask(brokers[1], 10, &request));
    assert_eq!(error(refused.error_code), ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let served = only(talk.ask(brokers[1], 11, &request));
    assert_eq!(records(&served).len(), 1);
}

#[test]
fn epochs_end_where_their_leaders_ended() {
    let (mut talk, brokers) = three();
    talk.produce(brokers[0], -1, batch(None, &["a", "b"]));
    talk.cluster.move_leader("t", 0, 2).unwrap();
    talk.produce(brokers[1], -1, batch(None, &["c"]));
    let ask = |epoch| OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: Str::from("t"),
            partitions: vec![OffsetForLeaderPartition {
                leader_epoch: epoch,
                ..OffsetForLeaderPartition::default()
            }],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let mut end = |epoch| {
        let response = talk.ask(brokers[1], 4, &ask(epoch));
        let end = &response.topics[0].partitions[0];
        (end.leader_epoch, end.end_offset)
    };
    assert_eq!(end(0), (0, 2));
    assert_eq!(end(1), (1, 3));
    assert_eq!(end(2), (-1, -1));
}

#[test]
fn a_reader_whose_epoch_ended_elsewhere_is_told_where() {
    let (mut talk, brokers) = three();
    talk.produce(brokers[0], -1, batch(None, &["a"]));
    talk.cluster.move_leader("t", 0, 2).unwrap();
    talk.produce(brokers[1], -1, batch(None, &["b", "c"]));
    let mut request = fetch("t", 3, 0);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let told = only(talk.ask(brokers[1], 12, &request));
    let diverging = told.diverging_epoch;
    assert_eq!((diverging.epoch, diverging.end_offset), (0, 1));
}

#[test]
fn a_new_leader_does_not_know_the_latest_offset_before_its_own_epoch_is_replicated() {
    let mut talk = Conversation::configured(ClusterConfig {
        replication_delay: Duration::from_millis(10),
        ..ClusterConfig::with_nodes(2)
    });
    talk.cluster.create_topic("t", 1).unwrap();
    let brokers = [1, 2].map(|id| talk.connect(id));
    talk.send(brokers[0], 9, &produce("t", -1, batch(None, &["a"])));
    // The follower has the record, and has not heard yet that all have it.
    talk.pass(10);
    talk.cluster.move_leader("t", 0, 2).unwrap();
    let ask = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: Str::from("t"),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let latest = |talk: &mut Conversation| {
        let response = talk.ask(brokers[1], 7, &ask);
        let found = &response.topics[0].partitions[0];
        (error(found.error_code), found.offset)
    };
    assert_eq!(latest(&mut talk), (ErrorCode::OFFSET_NOT_AVAILABLE, -1));
    talk.pass(10);
    assert_eq!(latest(&mut talk), (ErrorCode::NONE, 1));
}

#[test]
fn a_broker_with_an_old_picture_tells_old_leaders() {
    let (mut talk, brokers) = three();
    talk.cluster.freeze_metadata(3);
    talk.cluster.move_leader("t", 0, 2).unwrap();
    talk.cluster.create_topic("u", 1).unwrap();
    let ask = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let told = |talk: &mut Conversation, broker| {
        let response = talk.ask(broker, 12, &ask);
        let leader = response.topics[0].partitions[0].leader_id;
        (response.topics.len(), leader)
    };
    assert_eq!(told(&mut talk, brokers[1]), (2, 2));
    assert_eq!(told(&mut talk, brokers[2]), (1, 1));
    talk.cluster.thaw_metadata(3);
    assert_eq!(told(&mut talk, brokers[2]), (2, 2));
}

#[test]
fn a_deleted_topic_wakes_who_waits_for_it() {
    let (mut talk, brokers) = three();
    let id = talk.cluster.image().topic("t").unwrap().id;
    let mut request = fetch("", 0, 10_000);
    request.topics[0].topic_id = id;
    talk.send(brokers[0], 17, &request);
    talk.cluster.delete_topic("t").unwrap();
    talk.collect();
    let (_, response) = talk.answer::<FetchRequest>(brokers[0], 17).unwrap();
    assert_ne!(response.responses[0].topic_id, Uuid::ZERO);
    assert_eq!(
        error(only(response).error_code),
        ErrorCode::UNKNOWN_TOPIC_ID
    );
}
