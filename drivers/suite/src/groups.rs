//! Owns what the two connection groups of a broker promise, over real sockets: what a fetch that the broker holds back
//! may not delay, what one socket's end may not take along, and how many sockets there are. Group requests are made by hand.
//!
//! Must not know any runtime. "Not delayed" is read from the broker's own journal: answered while the fetch was not.

use std::collections::BTreeSet;

use bytes::BytesMut;
use klamm::messages::{
    FindCoordinatorRequest, HeartbeatRequest, LeaveGroupRequest, MetadataRequest,
    OffsetCommitRequest,
};
use klamm::wire::{Request, Writer};
use klamm::{ApiKey, ConnectionGroup, NodeId};
use klamm_cluster::{ClusterConfig, ConnectionKey, Moment, RequestEntry, Server};
use klamm_shell::{
    Assignment, Consumer, ConsumerConfig, Duration, RawRequest, RawResponse, Runtime, Start,
};

use crate::{PATIENCE, sleep};

const TOPIC: &str = "letters";

/// A cluster whose topic has a partition on each broker and no record.
fn server(brokers: u16) -> Server {
    let server = Server::start(ClusterConfig::with_nodes(brokers)).expect("free ports");
    server
        .with(|cluster| cluster.create_topic(TOPIC, i32::from(brokers)))
        .expect("a legal name");
    server
}

fn consumer(runtime: &impl Runtime, server: &Server) -> Consumer {
    let config = ConsumerConfig::from_properties([
        ("bootstrap.servers", server.bootstrap().as_str()),
        ("fetch.max.wait.ms", "20000"),
    ]);
    let config = config.expect("a valid configuration");
    Consumer::start(&config, runtime.clone()).expect("a valid configuration")
}

/// A consumer that every one of `brokers` holds a fetch of back for twenty seconds.
async fn parked(runtime: &impl Runtime, server: &Server, brokers: u16) -> Consumer {
    let consumer = consumer(runtime, server);
    let all: Vec<Assignment<'_>> = (0..i32::from(brokers))
        .map(|partition| Assignment {
            topic: TOPIC,
            partition,
            start: Start::Beginning,
        })
        .collect();
    consumer.assign(&all).expect("assigned");
    while unanswered(server, ApiKey::FETCH).len() < usize::from(brokers) {
        sleep(runtime, Duration::from_millis(1)).await;
    }
    consumer
}

fn entries(server: &Server, api: ApiKey) -> Vec<RequestEntry> {
    server.with(|cluster| cluster.requests(api).cloned().collect())
}

/// The connections on which such a request waits.
fn unanswered(server: &Server, api: ApiKey) -> BTreeSet<ConnectionKey> {
    let waiting = entries(server, api)
        .into_iter()
        .filter(|entry| entry.answered.is_none());
    waiting.map(|entry| entry.connection).collect()
}

async fn ask<R: Request>(
    consumer: &Consumer,
    request: &R,
    version: i16,
    to: Option<i32>,
    group: ConnectionGroup,
) -> RawResponse {
    let mut writer = Writer::new(BytesMut::new());
    request.encode(&mut writer, version).expect("encodable");
    let request = RawRequest {
        api: R::KEY,
        version,
        flexible: false,
        body: writer.finish().to_vec().into(),
        to: to.map(NodeId),
        group,
        timeout: PATIENCE,
    };
    match consumer.request(request).await {
        Ok(response) => response,
        Err(error) => panic!("{error}"),
    }
}

async fn heartbeat(consumer: &Consumer, broker: i32) {
    let request = HeartbeatRequest {
        group_id: "surveyors".into(),
        ..HeartbeatRequest::default()
    };
    let group = ConnectionGroup::Coordination;
    ask(consumer, &request, 3, Some(broker), group).await;
}

async fn metadata(consumer: &Consumer, broker: Option<i32>) {
    let request = MetadataRequest::default();
    ask(consumer, &request, 7, broker, ConnectionGroup::Default).await;
}

/// The broker reads a heartbeat, a commit and a leave, and answers them, while it holds a fetch back.
pub async fn a_parked_fetch_delays_nothing_of_the_group(runtime: &impl Runtime) {
    let server = server(1);
    let consumer = parked(runtime, &server, 1).await;
    let group = ConnectionGroup::Coordination;
    for _ in 0..10 {
        heartbeat(&consumer, 1).await;
    }
    let commit = OffsetCommitRequest {
        group_id: "surveyors".into(),
        ..OffsetCommitRequest::default()
    };
    ask(&consumer, &commit, 5, Some(1), group).await;
    let leave = LeaveGroupRequest {
        group_id: "surveyors".into(),
        ..LeaveGroupRequest::default()
    };
    ask(&consumer, &leave, 2, Some(1), group).await;
    let fetching = unanswered(&server, ApiKey::FETCH);
    assert_eq!(fetching.len(), 1, "the fetch is still parked");
    let heartbeats = entries(&server, ApiKey::HEARTBEAT);
    assert_eq!(heartbeats.len(), 10);
    let sockets: BTreeSet<_> = heartbeats.iter().map(|entry| entry.connection).collect();
    assert_eq!(sockets.len(), 1);
    assert!(sockets.is_disjoint(&fetching));
    // Each socket asks for the versions itself.
    let versions = entries(&server, ApiKey::API_VERSIONS);
    for socket in sockets.union(&fetching) {
        assert!(versions.iter().any(|entry| entry.connection == *socket));
    }
}

/// The end of the one socket leaves the other's requests where they are.
pub async fn the_end_of_one_groups_socket_is_nothing_to_the_other(runtime: &impl Runtime) {
    let server = server(1);
    let consumer = parked(runtime, &server, 1).await;
    heartbeat(&consumer, 1).await;
    let fetching = unanswered(&server, ApiKey::FETCH);
    let first = entries(&server, ApiKey::HEARTBEAT)[0].connection;
    server.with(|cluster| cluster.close_connection(first));
    // Until the client knows, a request may meet the old socket.
    loop {
        let request = RawRequest {
            api: ApiKey::HEARTBEAT,
            version: 0,
            flexible: false,
            body: b"\0\x01g\0\0\0\0\0\0".to_vec().into(),
            to: Some(NodeId(1)),
            group: ConnectionGroup::Coordination,
            timeout: PATIENCE,
        };
        if consumer.request(request).await.is_ok() {
            break;
        }
    }
    let last = entries(&server, ApiKey::HEARTBEAT).pop().expect("answered");
    assert_ne!(last.connection, first);
    assert_eq!(unanswered(&server, ApiKey::FETCH), fetching);
}

/// A coordinator is looked for over a socket that no fetch stands on.
pub async fn where_every_broker_holds_a_fetch_the_coordinator_is_found_all_the_same(
    runtime: &impl Runtime,
) {
    let server = server(3);
    let consumer = parked(runtime, &server, 3).await;
    let request = FindCoordinatorRequest {
        key: "surveyors".into(),
        ..FindCoordinatorRequest::default()
    };
    ask(&consumer, &request, 2, None, ConnectionGroup::Default).await;
    let fetching = unanswered(&server, ApiKey::FETCH);
    assert_eq!(fetching.len(), 3, "all fetches are still parked");
    for entry in entries(&server, ApiKey::FIND_COORDINATOR) {
        assert!(!fetching.contains(&entry.connection));
    }
}

/// However many ask at the same time.
pub async fn one_socket_a_broker_and_group_however_many_ask(runtime: &impl Runtime) {
    let server = server(1);
    let consumer = std::sync::Arc::new(consumer(runtime, &server));
    let answered = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for _ in 0..20 {
        let (consumer, answered) = (consumer.clone(), answered.clone());
        runtime.spawn(async move {
            metadata(&consumer, Some(1)).await;
            heartbeat(&consumer, 1).await;
            answered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
    }
    while answered.load(std::sync::atomic::Ordering::SeqCst) < 20 {
        sleep(runtime, Duration::from_millis(1)).await;
    }
    let heartbeats: BTreeSet<_> = entries(&server, ApiKey::HEARTBEAT)
        .iter()
        .map(|entry| entry.connection)
        .collect();
    assert_eq!(heartbeats.len(), 1);
    // The bootstrap server's, and one for each group of the broker.
    let opened = entries(&server, ApiKey::API_VERSIONS).len();
    assert_eq!(opened, 3);
}

/// A broker that reads and never answers.
pub async fn a_broker_that_answers_nothing_delays_no_other(runtime: &impl Runtime) {
    let server = server(3);
    let consumer = std::sync::Arc::new(consumer(runtime, &server));
    metadata(&consumer, None).await;
    server.with(|cluster| {
        let silent = cluster.on(ApiKey::API_VERSIONS).to(2).always();
        silent.never_answer(Moment::Before)
    });
    let stuck = consumer.clone();
    runtime.spawn(async move {
        let request = RawRequest {
            api: ApiKey::METADATA,
            version: 7,
            flexible: false,
            body: b"\xff\xff\xff\xff\0".to_vec().into(),
            to: Some(NodeId(2)),
            group: ConnectionGroup::Default,
            timeout: PATIENCE,
        };
        drop(stuck.request(request).await);
    });
    while unanswered(&server, ApiKey::API_VERSIONS).is_empty() {
        sleep(runtime, Duration::from_millis(1)).await;
    }
    for broker in [1, 3] {
        metadata(&consumer, Some(broker)).await;
        heartbeat(&consumer, broker).await;
    }
    assert!(!unanswered(&server, ApiKey::API_VERSIONS).is_empty());
}

/// With a fetch parked, a heartbeat answered and a socket in the middle of its handshake.
pub async fn a_close_ends_the_sockets_of_every_group(runtime: &impl Runtime) {
    let server = server(3);
    let consumer = parked(runtime, &server, 3).await;
    for broker in 1..=3 {
        heartbeat(&consumer, broker).await;
    }
    let open = || server.with(|cluster| cluster.connections().count());
    assert!(open() >= 6);
    consumer
        .close(Duration::from_secs(5))
        .await
        .expect("closed");
    while open() > 0 {
        sleep(runtime, Duration::from_millis(1)).await;
    }
}
