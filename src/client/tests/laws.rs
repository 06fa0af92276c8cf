//! What holds whatever the client does: the same facts give the same outputs however they are cut, drained or
//! interspersed with echoes of sockets long gone.
//!
//! That idle means idle, that each step gets on, and the exactness of `needs_drive` are checked by the script after every
//! input of every test.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::probe::Heard;
use super::script::{Manner, Script, TopicIs};
use crate::budget::Category;
use crate::cluster::{Reach, Route};
use crate::connection::SendOptions;
use crate::engine::{
    CloseCause, ConnectionGroup, Input, Job, JobId, JobResult, NodeId, Output, RawRequest,
};
use crate::messages::{
    FetchPartitionData, FetchRequest, FetchResponse, FetchableTopicResponse, HeartbeatRequest,
    HeartbeatResponse,
};
use crate::record::Codec;
use crate::time::{Duration, Instant};
use crate::timer::RoleTimer;
use crate::wire::ApiKey;

const ORDERS: TopicIs<'static> = TopicIs {
    id: 1,
    ..TopicIs::known("orders", &[(1, 5), (2, 5)])
};
const TIMEOUT: SendOptions = SendOptions::new(Duration::from_secs(30));

fn heartbeat(s: &mut Script) {
    let route = Route::Node(NodeId(1), ConnectionGroup::Coordination);
    s.command(|_, cx| cx.cluster.send(HeartbeatRequest::default(), route, TIMEOUT));
}

/// A story in which most things happen: lookups, handshakes, pipelined answers to which the role reacts, a large
/// frame, a lost connection, a broker that moves, a timeout.
fn story(manner: Manner) -> Vec<String> {
    let mut s = Script::with(manner, |config| {
        config.connections_max_idle(Duration::from_secs(100))
    });
    let bootstrap = s.bootstrapped();
    for _ in 0..7 {
        heartbeat(&mut s);
    }
    let conn = s.connect(1, ConnectionGroup::Coordination);
    s.client.role.chatty = 4;
    let mut stream = Vec::new();
    for _ in 0..5 {
        s.expect_request::<HeartbeatRequest>(conn);
        stream.extend(s.encode_reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default()));
    }
    s.command(|_, cx| {
        assert!(matches!(
            cx.cluster.reach(NodeId(1), ConnectionGroup::Coordination),
            Reach::Pending
        ));
    });
    s.receive(conn, &stream);
    let mut requests = 0;
    let mut stream = Vec::new();
    for _ in 0..10 {
        match s.next_is_event() {
            true => assert!(matches!(s.expect_event(), Heard::Response(_))),
            false => {
                s.expect_request::<HeartbeatRequest>(conn);
                requests += 1;
                stream.extend(
                    s.encode_reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default()),
                );
            }
        }
    }
    assert_eq!(requests, 5);
    s.at(1_000).receive(conn, &stream);
    large_fetch(&mut s);
    let now = s.now();
    s.pass(now);
    s.command(|_, cx| cx.cluster.refresh_metadata());
    let conn = s.next_write();
    s.metadata(conn, &[(1, "one-moved"), (2, "two")], &[ORDERS]);
    // Much is unanswered: it times out, and is tried again.
    s.pass(70_000);
    s.closed(bootstrap, CloseCause::Reset);
    s.pass(75_000);
    s.finish()
}

fn large_fetch(s: &mut Script) {
    let now = s.now();
    s.pass(now);
    let allowance = 100_000;
    s.command(|_, cx| {
        assert!(cx.cluster.budget().take(Category::Fetch, allowance));
        let options = SendOptions {
            allowance,
            long_poll: Some(Duration::from_millis(500)),
            ..TIMEOUT
        };
        cx.cluster.send(
            FetchRequest::default(),
            Route::Node(NodeId(2), ConnectionGroup::Default),
            options,
        )
    });
    let conn = s.connect(2, ConnectionGroup::Default);
    s.expect_request::<FetchRequest>(conn);
    let records = Some(Bytes::from(vec![7; 300_000]));
    let partitions = vec![FetchPartitionData {
        records,
        ..Default::default()
    }];
    let responses = vec![FetchableTopicResponse {
        partitions,
        ..Default::default()
    }];
    s.reply::<FetchRequest>(
        conn,
        &FetchResponse {
            responses,
            ..Default::default()
        },
    );
    assert!(matches!(s.expect_event(), Heard::Response(_)));
}

fn differs(a: &[String], b: &[String]) -> Option<usize> {
    (0..a.len().max(b.len())).find(|index| a.get(*index) != b.get(*index))
}

#[track_caller]
fn same(manner: Manner) {
    let (plain, other) = (story(Manner::PLAIN), story(manner));
    if let Some(index) = differs(&plain, &other) {
        panic!(
            "{manner:?} differs at {index}:\n{:?}\n{:?}",
            plain.get(index),
            other.get(index)
        );
    }
    assert!(
        plain.len() > 50,
        "the story is too short to prove anything: {}",
        plain.len()
    );
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    same(Manner::PLAIN);
}

#[test]
fn it_makes_no_difference_how_received_bytes_are_cut() {
    for pieces in [1, 2, 3, 5, 8, 13, 1_000, 65_536, 70_000] {
        same(Manner {
            pieces,
            ..Manner::PLAIN
        });
    }
}

#[test]
fn it_makes_no_difference_when_outputs_are_taken() {
    same(Manner {
        eager: true,
        ..Manner::PLAIN
    });
    same(Manner {
        eager: true,
        pieces: 3,
        ..Manner::PLAIN
    });
}

#[test]
fn echoes_of_what_is_gone_change_nothing() {
    same(Manner {
        stale: true,
        ..Manner::PLAIN
    });
    same(Manner {
        stale: true,
        eager: true,
        pieces: 11,
    });
}

#[test]
fn the_comparison_finds_a_difference() {
    let plain = story(Manner::PLAIN);
    let mut other = plain.clone();
    other.swap(20, 21);
    assert_eq!(differs(&plain, &other), Some(20));
    other.swap(20, 21);
    other.pop();
    assert_eq!(differs(&plain, &other), Some(plain.len() - 1));
}

#[test]
fn an_echo_of_a_socket_does_nothing_to_its_successor() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    heartbeat(&mut s);
    let old = s.connect(1, ConnectionGroup::Coordination);
    s.expect_request::<HeartbeatRequest>(old);
    s.closed(old, CloseCause::Reset);
    assert!(matches!(s.expect_event(), Heard::Failed { .. }));
    heartbeat(&mut s);
    s.until_output();
    let new = s.connect(1, ConnectionGroup::Coordination);
    s.expect_request::<HeartbeatRequest>(new);
    for echo in [
        Input::Connected { conn: old },
        Input::Received {
            conn: old,
            data: &[0, 0, 0, 8, 0, 0, 0, 1, 9, 9, 9, 9],
        },
        Input::Sent {
            conn: old,
            bytes: 1000,
        },
        Input::Closed {
            conn: old,
            cause: CloseCause::Reset,
            sent: 1000,
        },
    ] {
        s.input(echo);
        s.expect_nothing();
    }
    assert_eq!(s.client.cluster.stale_inputs(), 4);
    s.reply::<HeartbeatRequest>(new, &HeartbeatResponse::default());
    assert!(matches!(s.expect_event(), Heard::Response(_)));
    s.finish();
}

#[test]
fn an_older_now_counts_as_the_last_one() {
    let mut s = Script::new(Manner::PLAIN);
    s.at(5_000);
    s.command(|_, cx| assert_eq!(cx.now(), Instant::from_millis(5_000)));
    let now = s.client.step(Instant::from_millis(3), |_, cx| cx.now());
    assert_eq!(now, Instant::from_millis(5_000));
}

#[test]
fn timers_of_the_role_fire_in_order_and_at_once_if_they_are_due() {
    let mut s = Script::new(Manner {
        eager: true,
        ..Manner::PLAIN
    });
    let timer = |kind| RoleTimer {
        kind,
        index: 0,
        why: "a test",
    };
    s.command(|_, cx| {
        cx.cluster.arm(Instant::from_millis(500), timer(2));
        cx.cluster.arm(Instant::from_millis(400), timer(1));
        cx.cluster.arm(Instant::from_millis(500), timer(3));
        let gone = cx.cluster.arm(Instant::from_millis(450), timer(9));
        cx.cluster.disarm(gone);
        cx.cluster.arm(Instant::START, timer(0));
    });
    assert_eq!(s.expect_event(), Heard::Timer(0));
    s.at(400);
    assert_eq!(s.expect_event(), Heard::Timer(1));
    s.at(500);
    assert_eq!(s.expect_event(), Heard::Timer(2));
    assert_eq!(s.expect_event(), Heard::Timer(3));
    s.finish();
}

#[test]
fn a_job_is_done_once() {
    let mut s = Script::new(Manner::PLAIN);
    let job = Job::Compress {
        codec: Codec::Gzip,
        level: None,
        records: Bytes::from_static(b"abc"),
    };
    let id = s.command(|_, cx| cx.cluster.work(job));
    assert!(matches!(s.next(), Output::Work { id: i, .. } if i == id));
    s.input(Input::JobDone {
        id,
        result: JobResult::Refused,
    });
    assert_eq!(s.expect_event(), Heard::Job(id));
    s.input(Input::JobDone {
        id,
        result: JobResult::Refused,
    });
    s.input(Input::JobDone {
        id: JobId(77),
        result: JobResult::Refused,
    });
    s.expect_nothing();
    assert_eq!(s.client.cluster.stale_inputs(), 2);
}

#[test]
fn memory_that_comes_back_is_told_of_once_and_never_for_ever() {
    let mut s = Script::new(Manner::PLAIN);
    s.client.role.greedy = true;
    s.command(|_, cx| {
        let budget = cx.cluster.budget();
        assert!(budget.take(Category::Fetch, 1000));
        let most = budget.most(Category::Fetch);
        assert!(!budget.take(Category::Fetch, most));
    });
    s.expect_nothing();
    s.command(|_, cx| cx.cluster.budget().give_back(Category::Fetch, 400));
    assert_eq!(s.expect_event(), Heard::BudgetFreed);
    s.expect_nothing();
    s.command(|_, cx| cx.cluster.budget().give_back(Category::Fetch, 600));
    assert_eq!(s.expect_event(), Heard::BudgetFreed);
    s.finish();
}

#[test]
fn a_raw_request_goes_to_any_broker_over_the_default_connection() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    let request = RawRequest {
        api: ApiKey::HEARTBEAT,
        version: 0,
        flexible: false,
        body: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0]),
        to: None,
        group: ConnectionGroup::Default,
        timeout: Duration::from_secs(1),
    };
    s.command(|_, cx| cx.cluster.send_raw(&request));
    s.expect_request::<HeartbeatRequest>(bootstrap);
    s.finish();
}
