//! What the client knows of topics, and how often it asks.

use alloc::vec;
use alloc::vec::Vec;

use super::probe::Heard;
use super::script::{BROKERS, Manner, Script, TopicIs, address, metadata, versions};
use crate::budget::Category;
use crate::cluster::{Topic, TopicState};
use crate::engine::{
    CloseCause, ConnectionGroup, ConnectionId, Host, NodeId, Output, Peer, TopicHandle,
};
use crate::error_code::ErrorCode;
use crate::messages::{
    ApiVersionsRequest, MetadataRequest, MetadataResponse, MetadataResponseBroker,
};
use crate::wire::{ApiKey, Str, Uuid};

const ORDERS: &str = "orders";

fn is(id: u128, leaders: &[(i32, i32)]) -> TopicIs<'_> {
    TopicIs {
        id,
        ..TopicIs::known(ORDERS, leaders)
    }
}

fn topic(s: &mut Script) -> Topic {
    let handle = s.client.cluster.topic_by_name(ORDERS).unwrap();
    s.client.cluster.topic(handle).unwrap().clone()
}

/// Leader and epoch of each partition.
fn leaders(s: &mut Script) -> Vec<(Option<i32>, i32)> {
    topic(s)
        .partitions
        .iter()
        .map(|p| (p.leader.map(|node| node.0), p.leader_epoch))
        .collect()
}

/// Asks for metadata anew and answers so.
fn refresh(s: &mut Script, conn: ConnectionId, brokers: &[(i32, &str)], topics: &[TopicIs<'_>]) {
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.wait_for_output();
    s.metadata(conn, brokers, topics);
    assert_eq!(s.expect_event(), Heard::Metadata);
}

#[test]
fn a_topic_is_asked_for_at_once_and_known_by_its_handle() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let known = topic(&mut s);
    assert_eq!(
        (known.state, known.id, known.incarnation),
        (TopicState::Known, Uuid::from(1), 0)
    );
    assert_eq!(leaders(&mut s), [(Some(1), 5), (Some(2), 5)]);
    let handle = s.command(|_, cx| cx.cluster.want_topic(ORDERS));
    s.expect_nothing();
    assert_eq!(s.client.cluster.topic_by_id(&Uuid::from(1)), Some(handle));
    assert_eq!(s.client.cluster.topic(TopicHandle(77)), None);
    s.finish();
}

#[test]
fn topics_that_are_wanted_together_are_asked_for_together_and_new_ones_alone() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    s.command(|_, cx| {
        cx.cluster.want_topic("a");
        cx.cluster.want_topic("b");
        cx.cluster.want_topic("a");
    });
    s.metadata(
        conn,
        BROKERS,
        &[
            TopicIs::known("a", &[(1, 0)]),
            TopicIs::known("b", &[(2, 0)]),
        ],
    );
    assert_eq!(s.expect_event(), Heard::Metadata);
    s.expect_nothing();
    // One that is wanted while a question is unanswered follows it.
    s.command(|_, cx| cx.cluster.want_topic("c"));
    s.command(|_, cx| cx.cluster.want_topic("d"));
    s.metadata(conn, BROKERS, &[TopicIs::known("c", &[(1, 0)])]);
    assert_eq!(s.expect_event(), Heard::Metadata);
    s.metadata(conn, BROKERS, &[TopicIs::known("d", &[(1, 0)])]);
    s.finish();
}

#[test]
fn whether_asking_may_create_a_topic_is_the_users_choice() {
    for allowed in [true, false] {
        let mut s = Script::with(Manner::PLAIN, |config| {
            config.allow_auto_create_topics(allowed)
        });
        let conn = s.bootstrapped();
        s.command(|_, cx| cx.cluster.want_topic("new"));
        let asked = s.expect_request::<MetadataRequest>(conn);
        assert_eq!(asked.allow_auto_topic_creation, allowed);
        s.finish();
    }
}

#[test]
fn an_epoch_never_goes_back_within_one_topic() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    refresh(&mut s, conn, BROKERS, &[is(1, &[(2, 6), (1, 4)])]);
    assert_eq!(leaders(&mut s), [(Some(2), 6), (Some(2), 5)]);
    s.finish();
}

#[test]
fn epochs_of_old_versions_are_not_trusted() {
    let mut s = Script::new(Manner::PLAIN);
    s.command(|_, cx| cx.cluster.want_topic(ORDERS));
    let id = s.expect_resolve("kafka");
    s.resolved(id, &[address(1)]);
    let conn = s.expect_open(Peer::Bootstrap(0), ConnectionGroup::Default, address(1));
    s.connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    s.reply::<ApiVersionsRequest>(conn, &versions(&[(ApiKey::METADATA, 0, 8)]));
    s.metadata(conn, BROKERS, &[is(0, &[(1, 5)])]);
    assert_eq!(s.expect_event(), Heard::Metadata);
    assert_eq!(leaders(&mut s), [(Some(1), -1)]);
    refresh(&mut s, conn, BROKERS, &[is(0, &[(2, 3)])]);
    assert_eq!(leaders(&mut s), [(Some(2), -1)]);
    s.finish();
}

#[test]
fn an_error_does_not_erase_what_was_known_and_is_asked_about_again() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    refresh(&mut s, conn, BROKERS, &[is(1, &[(-1, 6), (2, 5)])]);
    assert_eq!(leaders(&mut s), [(Some(1), 6), (Some(2), 5)]);
    assert_eq!(
        topic(&mut s).partitions[0].error,
        ErrorCode::LEADER_NOT_AVAILABLE
    );
    s.until_output();
    s.metadata(
        conn,
        BROKERS,
        &[TopicIs::failed(
            ORDERS,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        )],
    );
    assert_eq!(s.expect_event(), Heard::Metadata);
    assert!(matches!(
        topic(&mut s).state,
        TopicState::Failed {
            code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ..
        }
    ));
    assert_eq!(leaders(&mut s), [(Some(1), 6), (Some(2), 5)]);
    s.until_output();
    s.metadata(conn, BROKERS, &[is(1, &[(1, 7), (2, 5)])]);
    assert_eq!(s.expect_event(), Heard::Metadata);
    assert_eq!(topic(&mut s).state, TopicState::Known);
    s.at(250_000).expect_nothing();
    s.finish();
}

#[test]
fn an_error_that_waiting_does_not_mend_is_not_asked_about_again() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    refresh(
        &mut s,
        conn,
        BROKERS,
        &[TopicIs::failed(
            ORDERS,
            ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        )],
    );
    s.at(250_000).expect_nothing();
    // Somebody who wants it now may be luckier.
    s.command(|_, cx| cx.cluster.want_topic(ORDERS));
    s.metadata(conn, BROKERS, &[is(1, &[(1, 5), (2, 5)])]);
    s.finish();
}

#[test]
fn a_topic_never_shrinks_but_a_recreated_one_is_another() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    refresh(&mut s, conn, BROKERS, &[is(1, &[(1, 5)])]);
    assert_eq!(leaders(&mut s), [(Some(1), 5), (Some(2), 5)]);
    refresh(&mut s, conn, BROKERS, &[is(2, &[(2, 0)])]);
    assert_eq!(leaders(&mut s), [(Some(2), 0)]);
    assert_eq!(
        (topic(&mut s).incarnation, topic(&mut s).id),
        (1, Uuid::from(2))
    );
    assert_eq!(s.client.cluster.topic_by_id(&Uuid::from(1)), None);
    // A broker that has not heard of it yet brings the old one back to nobody.
    refresh(&mut s, conn, BROKERS, &[is(1, &[(1, 9), (2, 9)])]);
    assert_eq!(
        (leaders(&mut s), topic(&mut s).incarnation),
        (vec![(Some(2), 0)], 1)
    );
    s.until_output();
    s.metadata(conn, BROKERS, &[is(2, &[(2, 0)])]);
    s.finish();
}

#[test]
fn an_answer_without_brokers_counts_as_none() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.wait_for_output();
    s.metadata(conn, &[], &[is(1, &[(2, 9), (2, 9)])]);
    let error = s.expect_event().error();
    assert!(error.contains("names no broker"), "{error}");
    assert_eq!(leaders(&mut s), [(Some(1), 5), (Some(2), 5)]);
    assert_eq!(s.client.cluster.brokers().count(), 2);
    s.until_output();
    s.metadata(conn, BROKERS, &[is(1, &[(1, 5), (2, 5)])]);
    s.finish();
}

#[test]
fn brokers_that_nobody_can_reach_are_no_brokers() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.wait_for_output();
    s.expect_request::<MetadataRequest>(conn);
    let mut answer = metadata(
        &[(1, "one"), (2, ""), (-7, "seven"), (4, "four"), (5, "five")],
        &[is(1, &[(1, 5)])],
    );
    answer.brokers[3].port = 0;
    answer.brokers[4].port = 70_000;
    s.reply::<MetadataRequest>(conn, &answer);
    let ids: Vec<NodeId> = s.client.cluster.brokers().map(|broker| broker.id).collect();
    assert_eq!(ids, [NodeId(1)]);
    s.finish();
}

/// M3: answers that bring nothing new are asked for ever more rarely.
#[test]
fn asking_for_what_does_not_change_slows_down_to_once_a_second() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    let mut last = s.now();
    let mut waits = Vec::new();
    for _ in 0..8 {
        refresh(&mut s, conn, BROKERS, &[is(1, &[(1, 5), (2, 5)])]);
        waits.push(s.now() - last);
        last = s.now();
    }
    for (waited, expected) in waits
        .iter()
        .zip([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000])
    {
        assert!(
            (expected * 8 / 10 - 1..=expected * 12 / 10 + 1).contains(waited),
            "{waits:?}"
        );
    }
    // News ends it.
    refresh(&mut s, conn, BROKERS, &[is(1, &[(2, 6), (2, 5)])]);
    last = s.now();
    refresh(&mut s, conn, BROKERS, &[is(1, &[(2, 6), (2, 5)])]);
    assert!(s.now() - last <= 121, "{}", s.now() - last);
    s.finish();
}

#[test]
fn what_is_old_is_asked_for_again() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    s.at(300_001);
    s.metadata(conn, BROKERS, &[is(1, &[(1, 5), (2, 5)])]);
    assert_eq!(s.expect_event(), Heard::Metadata);
    let handle = s.client.cluster.topic_by_name(ORDERS).unwrap();
    s.command(|_, cx| cx.cluster.forget_topic(handle));
    s.at(600_001);
    s.metadata(conn, BROKERS, &[]);
    s.finish();
}

#[test]
fn a_hint_of_a_new_leader_is_taken_only_if_it_is_newer_and_leads_somewhere() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let topic = s.client.cluster.topic_by_name(ORDERS).unwrap();
    let mut hint = |partition, leader, epoch, endpoint: Option<&str>| {
        let endpoint = endpoint.map(|host| (Host::from(host), 9092));
        let news = s.command(|_, cx| {
            cx.cluster
                .apply_leader_hint(topic, partition, NodeId(leader), epoch, endpoint)
        });
        if news {
            assert_eq!(s.expect_event(), Heard::Metadata);
        }
        s.expect_nothing();
        news
    };
    assert!(!hint(0, 2, 5, None), "the same epoch");
    assert!(!hint(0, 2, -1, None), "no epoch");
    assert!(!hint(0, -1, 6, Some("x")), "no leader");
    assert!(!hint(0, 9, 6, None), "an unknown broker");
    assert!(!hint(7, 2, 6, None), "an unknown partition");
    assert!(hint(0, 2, 6, None));
    assert!(hint(1, 9, 6, Some("nine")));
    assert_eq!(leaders(&mut s), [(Some(2), 6), (Some(9), 6)]);
    s.command(|_, cx| {
        let _ = cx.cluster.reach(NodeId(9), ConnectionGroup::Default);
    });
    s.expect_resolve("nine");
    s.finish();
}

#[test]
fn limits_hold_against_a_broker_that_knows_none() {
    let brokers = |count: i32| {
        (0..count)
            .map(|node_id| MetadataResponseBroker {
                node_id,
                host: Str::from_static("x"),
                port: 1,
                ..Default::default()
            })
            .collect()
    };
    let too_many_brokers = MetadataResponse {
        brokers: brokers(10_001),
        ..Default::default()
    };
    let leaders = vec![(1, 1); 32_000];
    let too_large = metadata(BROKERS, &[is(1, &leaders)]);
    for (response, words) in [
        (too_many_brokers, "over the limit of 10000"),
        (too_large, "metadata does not fit into memory.budget"),
    ] {
        let mut s = Script::with(Manner::PLAIN, |config| config.memory_budget(1_usize << 20));
        let conn = s.bootstrapped();
        let before = s.client.cluster.budget().used(Category::Metadata);
        s.command(|_, cx| cx.cluster.refresh_metadata());
        s.wait_for_output();
        s.expect_request::<MetadataRequest>(conn);
        s.reply::<MetadataRequest>(conn, &response);
        let error = s.expect_event().error();
        assert!(error.contains(words), "{error}");
        assert_eq!(s.client.cluster.budget().used(Category::Metadata), before);
        s.finish();
    }
}

#[test]
fn partitions_beyond_their_own_number_are_ignored() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.wait_for_output();
    s.expect_request::<MetadataRequest>(conn);
    let mut answer = metadata(BROKERS, &[is(1, &[(2, 7), (2, 7)])]);
    answer.topics[0].partitions[0].partition_index = i32::MAX;
    answer.topics[0].partitions[1].partition_index = -3;
    s.reply::<MetadataRequest>(conn, &answer);
    assert_eq!(s.expect_event(), Heard::Metadata);
    assert_eq!(leaders(&mut s), [(Some(1), 5), (Some(2), 5)]);
    s.finish();
}

/// KIP-1102: a broker that says so sends the client back to its bootstrap servers.
#[test]
fn a_broker_can_send_the_client_back_to_its_bootstrap_servers() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    s.command(|_, cx| {
        let _ = cx.cluster.reach(NodeId(1), ConnectionGroup::Default);
    });
    let conn = s.connect(1, ConnectionGroup::Default);
    s.expect_event();
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.wait_for_output();
    s.expect_request::<MetadataRequest>(conn);
    let code = ErrorCode::REBOOTSTRAP_REQUIRED.0;
    s.reply::<MetadataRequest>(
        conn,
        &MetadataResponse {
            error_code: code,
            ..Default::default()
        },
    );
    s.expect_close(conn, crate::engine::CloseMode::Flush);
    assert!(s.expect_event().error().contains("REBOOTSTRAP_REQUIRED"));
    assert_eq!(leaders(&mut s), [(Some(1), 5), (Some(2), 5)]);
    s.closed(conn, CloseCause::Local);
    s.until_output();
    s.metadata(bootstrap, BROKERS, &[is(1, &[(1, 5), (2, 5)])]);
    s.finish();
}

#[test]
fn a_metadata_answer_that_is_lost_is_asked_for_again_elsewhere() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = s.bootstrapped();
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.wait_for_output();
    s.expect_request::<MetadataRequest>(conn);
    s.closed(conn, CloseCause::Reset);
    match s.next_whenever() {
        Output::Resolve { host, .. } => assert!(["one", "two"].contains(&host.as_str()), "{host}"),
        other => panic!("nobody else is asked: {other:?}"),
    }
    s.finish();
}
