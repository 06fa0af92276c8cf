//! One connection for each peer and group: how it is got, kept, moved, muted and let go.

use super::probe::Heard;
use super::script::{BROKERS, Manner, Script, TopicIs, address};
use crate::cluster::{Reach, Route};
use crate::connection::{FailureCause, SendOptions, Token};
use crate::engine::{
    CloseCause, CloseMode, ConnectionGroup, ConnectionId, Input, NodeId, Output, Peer, ResolveError,
};
use crate::messages::{
    FetchRequest, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest,
    HeartbeatResponse, MetadataRequest,
};
use crate::time::Duration;
use crate::wire::Request;

const DEFAULT: ConnectionGroup = ConnectionGroup::Default;
const COORDINATION: ConnectionGroup = ConnectionGroup::Coordination;
const TIMEOUT: SendOptions = SendOptions::new(Duration::from_secs(30));
const ORDERS: TopicIs<'static> = TopicIs {
    id: 1,
    ..TopicIs::known("orders", &[(1, 5), (2, 5)])
};

fn reach(s: &mut Script, node: i32, group: ConnectionGroup) -> bool {
    s.command(|_, cx| matches!(cx.cluster.reach(NodeId(node), group), Reach::Ready(_)))
}

fn heartbeat(s: &mut Script, node: i32) -> Token {
    let route = Route::Node(NodeId(node), COORDINATION);
    s.command(|_, cx| cx.cluster.send(HeartbeatRequest::default(), route, TIMEOUT))
}

fn fetch(s: &mut Script, node: i32) -> Token {
    let options = SendOptions {
        long_poll: Some(Duration::from_millis(500)),
        ..TIMEOUT
    };
    let route = Route::Node(NodeId(node), DEFAULT);
    s.command(|_, cx| cx.cluster.send(FetchRequest::default(), route, options))
}

fn find_coordinator(s: &mut Script) -> Token {
    s.command(|_, cx| {
        cx.cluster
            .send(FindCoordinatorRequest::default(), Route::Any, TIMEOUT)
    })
}

fn answer<R: Request>(s: &mut Script, conn: ConnectionId, token: Token, response: &R::Response) {
    s.reply::<R>(conn, response);
    assert_eq!(s.expect_event(), Heard::Response(token));
    s.command(|probe, cx| {
        for response in probe.responses.drain(..) {
            let (frame, held) = response.into_parts();
            drop(frame);
            cx.cluster.release(held);
        }
    });
}

#[test]
fn however_many_ask_there_is_one_connection_and_one_word() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    for _ in 0..10 {
        assert!(!reach(&mut s, 1, DEFAULT));
    }
    s.connect(1, DEFAULT);
    assert_eq!(s.expect_event(), Heard::Reachable(NodeId(1), DEFAULT));
    assert!(reach(&mut s, 1, DEFAULT));
    s.expect_nothing();
    s.finish();
}

#[test]
fn a_full_connection_says_when_it_has_room_again() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let tokens: [Token; 5] = core::array::from_fn(|_| heartbeat(&mut s, 1));
    let conn = s.connect(1, COORDINATION);
    for _ in tokens {
        s.expect_request::<HeartbeatRequest>(conn);
    }
    assert!(!reach(&mut s, 1, COORDINATION));
    s.expect_nothing();
    s.reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default());
    assert_eq!(s.expect_event(), Heard::Response(tokens[0]));
    assert_eq!(s.expect_event(), Heard::Reachable(NodeId(1), COORDINATION));
    s.finish();
}

#[test]
fn an_unreachable_broker_is_told_of_and_tried_again() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    reach(&mut s, 1, DEFAULT);
    let id = s.expect_resolve("one");
    s.resolved(id, &[address(11)]);
    let conn = s.expect_open(Peer::Broker(NodeId(1)), DEFAULT, address(11));
    s.closed(conn, CloseCause::Refused);
    match s.expect_event() {
        Heard::Unreachable(NodeId(1), DEFAULT, error) => {
            assert!(error.contains("connection refused"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    s.until_output().expect_resolve("one");
    s.until_output();
    s.metadata(bootstrap, BROKERS, &[ORDERS]);
    s.finish();
}

#[test]
fn a_broker_that_metadata_does_not_know_is_waited_for() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    assert!(!reach(&mut s, 3, DEFAULT));
    s.until_output();
    s.metadata(
        bootstrap,
        &[(1, "one"), (2, "two"), (3, "three")],
        &[ORDERS],
    );
    let id = s.expect_resolve("three");
    assert_eq!(s.expect_event(), Heard::Metadata);
    s.resolved(id, &[address(13)]);
    let conn = s.expect_open(Peer::Broker(NodeId(3)), DEFAULT, address(13));
    s.handshake(conn);
    assert_eq!(s.expect_event(), Heard::Reachable(NodeId(3), DEFAULT));
    s.finish();
}

#[test]
fn the_groups_of_a_broker_fail_apart() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let fetched = fetch(&mut s, 1);
    let default = s.connect(1, DEFAULT);
    s.expect_request::<FetchRequest>(default);
    let beat = heartbeat(&mut s, 1);
    let coordination = s.connect(1, COORDINATION);
    s.expect_request::<HeartbeatRequest>(coordination);
    s.closed(default, CloseCause::Reset);
    assert!(matches!(s.expect_event(), Heard::Failed { token, .. } if token == fetched));
    answer::<HeartbeatRequest>(&mut s, coordination, beat, &HeartbeatResponse::default());
    s.finish();
}

/// Nothing that happens to one broker delays another.
#[test]
fn a_broker_that_never_answers_delays_no_other() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    reach(&mut s, 1, DEFAULT);
    let _never = s.expect_resolve("one");
    let beat = heartbeat(&mut s, 2);
    let conn = s.connect(2, COORDINATION);
    s.expect_request::<HeartbeatRequest>(conn);
    answer::<HeartbeatRequest>(&mut s, conn, beat, &HeartbeatResponse::default());
    s.finish();
}

#[test]
fn a_broker_that_moved_is_followed_when_its_last_answer_has_come() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    let first = heartbeat(&mut s, 1);
    let old = s.connect(1, COORDINATION);
    s.expect_request::<HeartbeatRequest>(old);
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.until_output();
    s.metadata(bootstrap, &[(1, "one-moved"), (2, "two")], &[ORDERS]);
    assert_eq!(s.expect_event(), Heard::Metadata);
    let second = heartbeat(&mut s, 1);
    s.expect_nothing();
    answer_then_close(&mut s, old, first);
    s.closed(old, CloseCause::Local);
    let id = s.expect_resolve("one-moved");
    s.resolved(id, &[address(21)]);
    let new = s.expect_open(Peer::Broker(NodeId(1)), COORDINATION, address(21));
    s.handshake(new);
    s.expect_request::<HeartbeatRequest>(new);
    answer::<HeartbeatRequest>(&mut s, new, second, &HeartbeatResponse::default());
    s.finish();
}

fn answer_then_close(s: &mut Script, conn: ConnectionId, token: Token) {
    s.reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default());
    s.expect_close(conn, CloseMode::Flush);
    assert_eq!(s.expect_event(), Heard::Response(token));
    s.command(|probe, cx| {
        let (frame, held) = probe.responses.pop().unwrap().into_parts();
        drop(frame);
        cx.cluster.release(held);
    });
}

#[test]
fn the_connection_of_a_broker_that_left_is_closed() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    reach(&mut s, 1, DEFAULT);
    let conn = s.connect(1, DEFAULT);
    s.expect_event();
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.until_output();
    s.metadata(conn, &[(2, "two")], &[ORDERS]);
    s.expect_close(conn, CloseMode::Flush);
    assert_eq!(s.expect_event(), Heard::Metadata);
    s.closed(conn, CloseCause::Local);
    s.expect_nothing();
    s.finish();
}

#[test]
fn what_has_not_been_reached_yet_is_looked_for_where_it_is_now() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    reach(&mut s, 1, DEFAULT);
    let old = s.expect_resolve("one");
    s.command(|_, cx| cx.cluster.refresh_metadata());
    s.until_output();
    s.metadata(bootstrap, &[(1, "one-moved"), (2, "two")], &[ORDERS]);
    s.expect_resolve("one-moved");
    assert_eq!(s.expect_event(), Heard::Metadata);
    s.resolved(old, &[address(11)]);
    s.expect_nothing();
    assert_eq!(s.client.cluster.stale_inputs(), 1);
    s.finish();
}

#[test]
fn an_idle_connection_is_closed_but_never_one_with_a_request_on_it() {
    let mut s = Script::with(Manner::PLAIN, |config| {
        config
            .connections_max_idle(Duration::from_secs(10))
            .request_timeout(Duration::from_secs(60))
    });
    let bootstrap = s.bootstrapped();
    let token = heartbeat(&mut s, 1);
    let conn = s.connect(1, COORDINATION);
    s.expect_request::<HeartbeatRequest>(conn);
    s.at(10_001).expect_close(bootstrap, CloseMode::Flush);
    s.closed(bootstrap, CloseCause::Local);
    s.at(25_000);
    answer::<HeartbeatRequest>(&mut s, conn, token, &HeartbeatResponse::default());
    s.at(35_000).expect_close(conn, CloseMode::Flush);
    s.closed(conn, CloseCause::Local);
    // Nobody needs it: it is not opened again.
    s.at(200_000).expect_nothing();
    s.finish();
}

#[test]
fn a_flush_that_takes_too_long_is_an_abort() {
    let mut s = Script::with(Manner::PLAIN, |config| {
        config.connections_max_idle(Duration::from_secs(10))
    });
    let bootstrap = s.bootstrapped();
    s.at(10_001).expect_close(bootstrap, CloseMode::Flush);
    s.at(15_001).expect_close(bootstrap, CloseMode::Abort);
    s.closed(bootstrap, CloseCause::Local);
    s.finish();
}

#[test]
fn a_throttled_connection_is_left_alone_and_its_clocks_stand_still() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let first = heartbeat(&mut s, 1);
    let conn = s.connect(1, COORDINATION);
    s.expect_request::<HeartbeatRequest>(conn);
    let second = heartbeat(&mut s, 1);
    s.expect_request::<HeartbeatRequest>(conn);
    s.reply::<HeartbeatRequest>(
        conn,
        &HeartbeatResponse {
            throttle_time_ms: 40_000,
            ..Default::default()
        },
    );
    assert_eq!(s.expect_event(), Heard::Response(first));
    s.command(|probe, cx| {
        let (response, held) = cx
            .cluster
            .decode::<HeartbeatRequest>(probe.responses.pop().unwrap())
            .unwrap();
        cx.cluster.throttle(&held, response.throttle_time_ms);
        cx.cluster.release(held);
    });
    let third = s.command(|_, cx| {
        let options = SendOptions::new(Duration::from_secs(60));
        cx.cluster.send(
            HeartbeatRequest::default(),
            Route::Node(NodeId(1), COORDINATION),
            options,
        )
    });
    assert!(!reach(&mut s, 1, COORDINATION));
    s.at(40_001).expect_request::<HeartbeatRequest>(conn);
    assert_eq!(s.expect_event(), Heard::Reachable(NodeId(1), COORDINATION));
    // The clock of the second began when the throttling ended.
    s.at(69_000);
    answer::<HeartbeatRequest>(&mut s, conn, second, &HeartbeatResponse::default());
    answer::<HeartbeatRequest>(&mut s, conn, third, &HeartbeatResponse::default());
    s.finish();
}

#[test]
fn what_any_broker_can_answer_goes_to_one_without_a_parked_fetch() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    s.closed(bootstrap, CloseCause::EndOfStream);
    fetch(&mut s, 1);
    let one = s.connect(1, DEFAULT);
    s.expect_request::<FetchRequest>(one);
    reach(&mut s, 2, DEFAULT);
    let two = s.connect(2, DEFAULT);
    s.expect_event();
    for _ in 0..3 {
        let token = find_coordinator(&mut s);
        s.expect_request::<FindCoordinatorRequest>(two);
        answer::<FindCoordinatorRequest>(&mut s, two, token, &FindCoordinatorResponse::default());
    }
    s.finish();
}

#[test]
fn where_all_brokers_have_a_parked_fetch_a_bootstrap_connection_answers() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    for node in [1, 2] {
        fetch(&mut s, node);
        let conn = s.connect(node, DEFAULT);
        s.expect_request::<FetchRequest>(conn);
    }
    let token = find_coordinator(&mut s);
    s.expect_request::<FindCoordinatorRequest>(bootstrap);
    answer::<FindCoordinatorRequest>(
        &mut s,
        bootstrap,
        token,
        &FindCoordinatorResponse::default(),
    );
    s.finish();
}

#[test]
fn where_nobody_else_is_left_the_question_goes_behind_a_parked_fetch() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    let mut conns = [ConnectionId(0); 2];
    for (conn, node) in conns.iter_mut().zip([1, 2]) {
        fetch(&mut s, node);
        *conn = s.connect(node, DEFAULT);
        s.expect_request::<FetchRequest>(*conn);
    }
    s.closed(bootstrap, CloseCause::Reset);
    find_coordinator(&mut s);
    let conn = s.next_write();
    assert!(conns.contains(&conn), "{conn}");
    s.expect_request::<FindCoordinatorRequest>(conn);
    s.finish();
}

#[test]
fn the_least_loaded_broker_answers() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let mut conns = [ConnectionId(0); 2];
    for (conn, node) in conns.iter_mut().zip([1, 2]) {
        reach(&mut s, node, DEFAULT);
        *conn = s.connect(node, DEFAULT);
        s.expect_event();
    }
    let mut sent = [0, 0];
    for _ in 0..6 {
        find_coordinator(&mut s);
        match s.next() {
            Output::Write { conn, .. } if conn == conns[0] => sent[0] += 1,
            Output::Write { conn, .. } if conn == conns[1] => sent[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, [3, 3]);
    s.finish();
}

/// M1: neither the bootstrap servers nor the learnt brokers are tried alone.
#[test]
fn when_all_are_down_learnt_brokers_and_bootstrap_servers_are_tried_until_one_is_up() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    s.closed(bootstrap, CloseCause::Reset);
    s.command(|_, cx| cx.cluster.refresh_metadata());
    let mut tried = alloc::collections::BTreeMap::<alloc::string::String, u32>::new();
    while tried.len() < 3 || tried.values().any(|times| *times < 4) {
        match s.next_whenever() {
            Output::Resolve { id, host, .. } => {
                *tried.entry(host.as_str().into()).or_default() += 1;
                s.unresolved(id, ResolveError::Failed);
            }
            Output::Event(Heard::NoBroker(error)) => {
                assert!(error.contains("none of 3 brokers"), "{error}")
            }
            other => panic!("{other:?}"),
        }
        assert!(s.now() < 60_000, "not all are tried: {tried:?}");
    }
    // At a backoff of a second nobody is tried more often than that.
    assert!(
        tried
            .values()
            .all(|times| u64::from(*times) <= s.now() / 400 + 4),
        "{tried:?} in {} ms",
        s.now()
    );
    loop {
        match s.next_whenever() {
            Output::Resolve { id, .. } => s.resolved(id, &[address(1)]),
            Output::Open { conn, .. } => s.connected(conn),
            Output::Write { conn, .. } => {
                s.closed(conn, CloseCause::Reset);
                break;
            }
            Output::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
    s.finish();
}

#[test]
fn closing_drops_what_waits_and_ends_when_the_last_socket_has() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    heartbeat(&mut s, 1);
    let coordination = s.connect(1, COORDINATION);
    s.expect_request::<HeartbeatRequest>(coordination);
    reach(&mut s, 2, DEFAULT);
    let id = s.expect_resolve("two");
    s.resolved(id, &[address(12)]);
    let connecting = s.expect_open(Peer::Broker(NodeId(2)), DEFAULT, address(12));
    s.command(|_, cx| cx.cluster.close());
    s.expect_close(bootstrap, CloseMode::Flush);
    s.expect_close(coordination, CloseMode::Flush);
    s.expect_close(connecting, CloseMode::Abort);
    s.closed(bootstrap, CloseCause::Local);
    s.closed(connecting, CloseCause::Local);
    s.expect_nothing();
    s.closed(coordination, CloseCause::Local);
    assert_eq!(s.expect_event(), Heard::Closed);
    let late = heartbeat(&mut s, 1);
    match s.expect_event() {
        Heard::Failed {
            token,
            cause: FailureCause::Closed,
            maybe_applied: false,
            ..
        } => assert_eq!(token, late),
        other => panic!("{other:?}"),
    }
    s.expect_nothing();
    s.finish();
}

#[test]
fn a_close_while_the_socket_connects_ends_with_its_last_word_whatever_comes_between() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    reach(&mut s, 2, DEFAULT);
    let id = s.expect_resolve("two");
    s.resolved(id, &[address(12)]);
    let conn = s.expect_open(Peer::Broker(NodeId(2)), DEFAULT, address(12));
    s.command(|_, cx| cx.cluster.close());
    s.next();
    s.expect_close(conn, CloseMode::Abort);
    s.connected(conn);
    s.receive(conn, b"what nobody reads");
    s.input(Input::Sent { conn, bytes: 7 });
    s.expect_nothing();
    assert_eq!(s.client.cluster.stale_inputs(), 0);
    s.finish();
}

#[test]
fn a_lost_connection_is_reopened_only_if_somebody_needs_it() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    reach(&mut s, 1, DEFAULT);
    let conn = s.connect(1, DEFAULT);
    s.expect_event();
    s.closed(conn, CloseCause::EndOfStream);
    // Metadata is asked for, since the broker may be gone; but nobody connects to it.
    s.until_output()
        .expect_request::<MetadataRequest>(bootstrap);
    s.reply::<MetadataRequest>(bootstrap, &super::script::metadata(BROKERS, &[ORDERS]));
    assert_eq!(s.expect_event(), Heard::Metadata);
    s.at(100_000).expect_nothing();
    s.finish();
}
