//! Connections: versions, order, faults.

use klamm::messages::{ApiVersionsRequest, MetadataRequest, MetadataRequestTopic, ProduceRequest};
use klamm::{ApiKey, Duration, ErrorCode, Str};
use klamm_cluster::{ClusterConfig, ConnectionKey, Moment, Refused, Release, What};

use crate::client::{Conversation, batch, error, fetch, produce};

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let mut talk = Conversation::with(1);
    let broker = talk.connect(1);
    // Header: API 18, version 99, correlation id 7, client id "t", no tags.
    let frame = [0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b't', 0];
    talk.cluster.receive(broker, &frame, talk.now);
    talk.collect();
    let (id, response) = talk.answer::<ApiVersionsRequest>(broker, 0).unwrap();
    assert_eq!(
        (id, error(response.error_code)),
        (7, ErrorCode::UNSUPPORTED_VERSION)
    );
    let offered: Vec<_> = response.api_keys.iter().map(|key| key.api_key).collect();
    assert_eq!(offered, [18]);
}

#[test]
fn a_version_that_the_release_lacks_closes_the_connection() {
    let mut config = ClusterConfig::with_nodes(1);
    config.nodes[0].release = Release::V2_1;
    let mut talk = Conversation::configured(config);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    talk.send(broker, 11, &fetch("t", 0, 0));
    assert_eq!(talk.closed, [broker]);
}

#[test]
fn an_unknown_topic_is_created_and_known_the_next_time() {
    let mut talk = Conversation::with(3);
    let broker = talk.connect(2);
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(Str::from("new")),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let response = talk.ask(broker, 12, &request);
    assert_eq!(response.brokers.len(), 3);
    let code = error(response.topics[0].error_code);
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let response = talk.ask(broker, 12, &request);
    assert_eq!(response.topics[0].error_code, 0);
    assert_eq!(response.topics[0].partitions.len(), 4);
}

#[test]
fn a_stopped_broker_closes_its_connections_and_loses_its_leaderships() {
    let mut talk = Conversation::with(3);
    talk.cluster.create_topic("t", 3).unwrap();
    let stopped = talk.connect(1);
    let running = talk.connect(2);
    talk.cluster.stop_broker(1).unwrap();
    talk.collect();
    assert_eq!(talk.closed, [stopped]);
    assert_eq!(talk.cluster.connect(1, talk.now), Err(Refused::Stopped));
    let response = talk.ask(
        running,
        12,
        &MetadataRequest {
            topics: None,
            ..Default::default()
        },
    );
    let leaders: Vec<_> = response.topics[0]
        .partitions
        .iter()
        .map(|p| p.leader_id)
        .collect();
    assert_eq!(leaders, [2, 2, 3]);
}

#[test]
fn faults_are_met_in_the_order_in_which_they_were_asked_for() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    let refused = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    let timed_out = ErrorCode::REQUEST_TIMED_OUT;
    talk.cluster.on(ApiKey::PRODUCE).answer(refused);
    talk.cluster
        .on(ApiKey::PRODUCE)
        .after(1)
        .apply_and_answer(timed_out);
    talk.cluster
        .on(ApiKey::PRODUCE)
        .after(2)
        .drop_connection(Moment::After);
    let answers: Vec<_> = (0..2)
        .map(|_| error(talk.produce(broker, 1, batch(None, &["a"])).error_code))
        .collect();
    assert_eq!(answers, [refused, timed_out]);
    talk.send(broker, 9, &produce("t", 1, batch(None, &["a"])));
    assert_eq!(talk.closed, [broker]);
    let reader = talk.connect(1);
    assert_eq!(talk.fetch(reader, 0).high_watermark, 2);
}

#[test]
fn a_fault_may_hold_a_request_back_before_or_after_it_takes_effect() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let writer = talk.connect(1);
    let reader = talk.connect(1);
    let delay = Duration::from_millis(100);
    talk.cluster
        .on(ApiKey::PRODUCE)
        .delay(delay, Moment::Before);
    talk.send(writer, 9, &produce("t", 1, batch(None, &["a"])));
    assert_eq!(talk.fetch(reader, 0).high_watermark, 0);
    talk.pass(100);
    assert_eq!(talk.fetch(reader, 0).high_watermark, 1);
    talk.cluster.on(ApiKey::PRODUCE).never_answer(Moment::After);
    talk.send(writer, 9, &produce("t", 1, batch(None, &["b"])));
    assert_eq!(talk.fetch(reader, 0).high_watermark, 2);
    talk.pass(1_000_000);
    let sent = talk.cluster.requests(ApiKey::PRODUCE);
    let answered: Vec<_> = sent.map(|entry| entry.answered.is_some()).collect();
    assert_eq!(answered, [true, false]);
}

#[test]
fn a_throttled_connection_is_answered_at_once_and_read_from_later() {
    let mut talk = Conversation::configured(ClusterConfig {
        throttle_time: Duration::from_millis(50),
        ..ClusterConfig::with_nodes(1)
    });
    let broker = talk.connect(1);
    let ask = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let response = talk.ask(broker, 12, &ask);
    assert_eq!(response.throttle_time_ms, 50);
    talk.send(broker, 12, &ask);
    talk.pass(49);
    assert!(talk.answer::<MetadataRequest>(broker, 12).is_none());
    talk.pass(1);
    assert!(talk.answer::<MetadataRequest>(broker, 12).is_some());
}

#[test]
fn a_cluster_told_to_wait_reads_the_next_request_when_the_answer_left() {
    let mut talk = Conversation::configured(ClusterConfig {
        await_sent: true,
        ..ClusterConfig::with_nodes(1)
    });
    let broker = talk.connect(1);
    let ask = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    talk.send(broker, 12, &ask);
    talk.send(broker, 12, &ask);
    assert!(talk.answer::<MetadataRequest>(broker, 12).is_some());
    assert!(!talk.cluster.is_reading(broker));
    assert!(talk.answer::<MetadataRequest>(broker, 12).is_none());
    talk.cluster.sent(broker, talk.now);
    talk.collect();
    assert!(talk.answer::<MetadataRequest>(broker, 12).is_some());
}

#[test]
fn a_frame_that_is_no_request_closes_the_connection_and_says_why() {
    let mut talk = Conversation::with(1);
    let broker = talk.connect(1);
    talk.cluster
        .receive(broker, b"GET / HTTP/1.1\r\n\r\n", talk.now);
    talk.collect();
    assert_eq!(talk.closed, [broker]);
    let last = talk.cluster.history().last().map(|event| &event.what);
    let said = matches!(last, Some(What::Closed { why, .. }) if why.contains("1195725856 bytes"));
    assert!(said, "{last:?}");
}

#[test]
fn a_fault_of_a_partition_meets_only_requests_that_name_it() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    talk.cluster.create_topic("u", 1).unwrap();
    let broker = talk.connect(1);
    let refused = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    let produces = talk.cluster.on(ApiKey::PRODUCE);
    let fault = produces.partition("u", 0).answer(refused);
    assert_eq!(talk.produce(broker, 1, batch(None, &["a"])).error_code, 0);
    assert_eq!(talk.cluster.fault_hits(fault), 0);
    let request = produce("u", 1, batch(None, &["a"]));
    let mut code = || {
        let response = talk.ask(broker, 9, &request);
        error(response.responses[0].partition_responses[0].error_code)
    };
    assert_eq!((code(), code()), (refused, ErrorCode::NONE));
    assert_eq!(talk.cluster.fault_hits(fault), 1);
}

#[test]
fn what_clients_sent_can_be_read() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    talk.produce(broker, -1, batch(None, &["a"]));
    let sent: Vec<_> = talk.cluster.requests(ApiKey::PRODUCE).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].version, sent[0].broker), (9, 1));
    assert_eq!(sent[0].client_id.as_deref(), Some("test"));
    let request = sent[0].decode::<ProduceRequest>().unwrap().unwrap();
    assert_eq!(request.acks, -1);
    assert!(sent[0].decode::<MetadataRequest>().is_none());
}

/// What a cluster with this seed sends in a conversation with topics, sessions and time.
fn sent_with(seed: u64) -> Vec<(ConnectionKey, Vec<u8>)> {
    let mut talk = Conversation::configured(ClusterConfig {
        seed,
        replication_delay: Duration::from_millis(3),
        ..ClusterConfig::with_nodes(3)
    });
    let brokers = [1, 2, 3].map(|id| talk.connect(id));
    for name in ["t", "u", "v"] {
        talk.cluster.create_topic(name, 2).unwrap();
    }
    let mut full = fetch("t", 0, 20);
    full.session_epoch = 0;
    for broker in brokers {
        talk.send(
            broker,
            12,
            &MetadataRequest {
                topics: None,
                ..MetadataRequest::default()
            },
        );
        talk.send(broker, 12, &full);
        talk.pass(1);
        talk.send(broker, 9, &produce("t", -1, batch(None, &["a"])));
    }
    talk.cluster.stop_broker(2).unwrap();
    talk.pass(1000);
    talk.unread()
}

#[test]
fn the_same_inputs_give_the_same_outputs_and_another_seed_others() {
    assert_eq!(sent_with(7), sent_with(7));
    assert_ne!(sent_with(7), sent_with(8));
}
