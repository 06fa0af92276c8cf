//! Requests from hand-in to their one answer.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::probe::Heard;
use super::script::{Manner, Script, versions};
use crate::budget::Category;
use crate::cluster::Route;
use crate::connection::{FailureCause, SendOptions, Token};
use crate::engine::{
    CloseCause, CloseMode, ConnectionGroup, ConnectionId, Input, NodeId, RawRequest,
};
use crate::error_code::ErrorCode;
use crate::messages::{
    ApiVersionsRequest, FetchPartitionData, FetchRequest, FetchResponse, FetchableTopicResponse,
    HeartbeatRequest, HeartbeatResponse, InitProducerIdRequest, ListOffsetsPartition,
    ListOffsetsRequest, ListOffsetsTopic, PartitionProduceData, ProduceRequest, TopicProduceData,
};
use crate::time::Duration;
use crate::wire::ApiKey;

const DEFAULT: ConnectionGroup = ConnectionGroup::Default;
const COORDINATION: ConnectionGroup = ConnectionGroup::Coordination;
const NODE: NodeId = NodeId(1);
const TIMEOUT: SendOptions = SendOptions::new(Duration::from_secs(30));

fn heartbeat(s: &mut Script) -> Token {
    let route = Route::Node(NODE, COORDINATION);
    s.command(|_, cx| cx.cluster.send(HeartbeatRequest::default(), route, TIMEOUT))
}

/// A connection to broker 1 over which one heartbeat was sent and answered.
fn ready(s: &mut Script) -> ConnectionId {
    s.bootstrapped();
    let token = heartbeat(s);
    let conn = s.connect(1, COORDINATION);
    answer(s, conn, token);
    conn
}

fn answer(s: &mut Script, conn: ConnectionId, token: Token) {
    s.expect_request::<HeartbeatRequest>(conn);
    s.reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default());
    assert_eq!(s.expect_event(), Heard::Response(token));
    give_back(s);
}

/// Gives back the memory of all responses.
fn give_back(s: &mut Script) {
    s.command(|probe, cx| {
        for response in probe.responses.drain(..) {
            let (frame, held) = response.into_parts();
            drop(frame);
            cx.cluster.release(held);
        }
    });
}

fn produce(bytes: usize) -> ProduceRequest {
    ProduceRequest {
        topic_data: vec![TopicProduceData {
            partition_data: vec![PartitionProduceData {
                records: Some(Bytes::from(vec![7; bytes])),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn failed(token: Token, cause: FailureCause, maybe_applied: bool, heard: Heard) {
    match heard {
        Heard::Failed {
            token: t,
            cause: c,
            maybe_applied: m,
            ..
        } => {
            assert_eq!((t, c, m), (token, cause, maybe_applied));
        }
        other => panic!("not a failure: {other:?}"),
    }
}

fn used(s: &mut Script, category: Category) -> usize {
    s.client.cluster.budget().used(category)
}

#[test]
fn five_requests_are_in_flight_and_the_sixth_waits_for_an_answer() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = ready(&mut s);
    let tokens: Vec<Token> = (0..6).map(|_| heartbeat(&mut s)).collect();
    for _ in 0..5 {
        s.expect_request::<HeartbeatRequest>(conn);
    }
    s.expect_nothing();
    s.reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default());
    s.expect_request::<HeartbeatRequest>(conn);
    assert_eq!(s.expect_event(), Heard::Response(tokens[0]));
    for token in &tokens[1..] {
        s.reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default());
        assert_eq!(s.expect_event(), Heard::Response(*token));
    }
    give_back(&mut s);
    s.finish();
}

#[test]
fn the_clock_of_a_request_runs_from_when_it_is_the_first_unanswered_one() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = ready(&mut s);
    let (first, second) = (heartbeat(&mut s), heartbeat(&mut s));
    s.expect_request::<HeartbeatRequest>(conn);
    s.expect_request::<HeartbeatRequest>(conn);
    let sent = s.now();
    s.at(sent + 20_000);
    s.reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default());
    assert_eq!(s.expect_event(), Heard::Response(first));
    s.at(sent + 50_000).expect_close(conn, CloseMode::Abort);
    s.closed(conn, CloseCause::Local);
    failed(second, FailureCause::TimedOut, true, s.expect_event());
    give_back(&mut s);
    s.finish();
}

#[test]
fn one_overdue_request_takes_those_behind_it_along() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = ready(&mut s);
    let (first, second) = (heartbeat(&mut s), heartbeat(&mut s));
    s.expect_request::<HeartbeatRequest>(conn);
    s.expect_request::<HeartbeatRequest>(conn);
    s.at(30_001).expect_close(conn, CloseMode::Abort);
    s.closed(conn, CloseCause::Local);
    let heard = s.expect_event();
    let error = heard.clone().error();
    assert!(
        error.contains("no answer within 30000 ms") && error.contains("broker 1 (one:9092"),
        "{error}"
    );
    failed(first, FailureCause::TimedOut, true, heard);
    failed(second, FailureCause::Disconnected, true, s.expect_event());
    s.finish();
}

#[test]
fn only_what_the_socket_accepted_whole_may_have_been_applied() {
    for missing in 0..3 {
        let mut s = Script::new(Manner::PLAIN);
        let conn = ready(&mut s);
        s.accepting = false;
        let before = s.written(conn);
        let first = heartbeat(&mut s);
        let middle = s.written(conn);
        let second = heartbeat(&mut s);
        let end = s.written(conn);
        s.expect_request::<HeartbeatRequest>(conn);
        s.expect_request::<HeartbeatRequest>(conn);
        let (sent, applied) = match missing {
            0 => (end, [true, true]),
            1 => (middle, [true, false]),
            _ => (middle - 1, [false, false]),
        };
        assert!(before < middle && middle < end);
        s.closed_after(conn, CloseCause::Reset, sent);
        failed(
            first,
            FailureCause::Disconnected,
            applied[0],
            s.expect_event(),
        );
        failed(
            second,
            FailureCause::Disconnected,
            applied[1],
            s.expect_event(),
        );
        s.finish();
    }
}

#[test]
fn credit_that_was_given_outweighs_a_last_word_that_forgets_it() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = ready(&mut s);
    let token = heartbeat(&mut s);
    s.expect_request::<HeartbeatRequest>(conn);
    s.closed_after(conn, CloseCause::Reset, 0);
    failed(token, FailureCause::Disconnected, true, s.expect_event());
    s.finish();
}

#[test]
fn a_request_without_an_answer_ends_when_the_socket_has_it() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    s.accepting = false;
    let options = SendOptions {
        expects_answer: false,
        ..TIMEOUT
    };
    let send = |s: &mut Script| {
        s.command(|_, cx| {
            cx.cluster
                .send(produce(100), Route::Node(NODE, DEFAULT), options)
        })
    };
    let first = send(&mut s);
    let conn = s.connect(1, DEFAULT);
    s.expect_request::<ProduceRequest>(conn);
    let end = s.written(conn);
    s.input(Input::Sent {
        conn,
        bytes: end - 1,
    });
    s.expect_nothing();
    s.input(Input::Sent { conn, bytes: 1 });
    assert_eq!(s.expect_event(), Heard::Sent(first));
    // Of these two, the socket takes one and a half.
    let (second, third) = (send(&mut s), send(&mut s));
    s.expect_request::<ProduceRequest>(conn);
    s.expect_request::<ProduceRequest>(conn);
    let sent = s.written(conn) - 1;
    s.closed_after(conn, CloseCause::Reset, sent);
    assert_eq!(s.expect_event(), Heard::Sent(second));
    failed(third, FailureCause::Disconnected, false, s.expect_event());
    s.finish();
}

#[test]
fn a_socket_that_takes_nothing_is_given_up() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    s.accepting = false;
    let options = SendOptions {
        expects_answer: false,
        ..TIMEOUT
    };
    let token = s.command(|_, cx| {
        cx.cluster
            .send(produce(100), Route::Node(NODE, DEFAULT), options)
    });
    let conn = s.connect(1, DEFAULT);
    s.expect_request::<ProduceRequest>(conn);
    s.at(30_001).expect_close(conn, CloseMode::Abort);
    s.closed_after(conn, CloseCause::Local, 0);
    failed(token, FailureCause::TimedOut, false, s.expect_event());
    s.finish();
}

#[test]
fn the_driver_never_holds_more_than_a_window_but_for_one_large_frame() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let send = |s: &mut Script, bytes| {
        s.command(|_, cx| {
            cx.cluster
                .send(produce(bytes), Route::Node(NODE, DEFAULT), TIMEOUT)
        })
    };
    send(&mut s, 3 << 20);
    let conn = s.connect(1, DEFAULT);
    s.accepting = false;
    // Alone it may be larger than the window of 2 MiB; nothing follows it.
    s.expect_request::<ProduceRequest>(conn);
    let small = [
        send(&mut s, 1 << 20),
        send(&mut s, 1 << 20),
        send(&mut s, 1 << 20),
    ];
    s.expect_nothing();
    s.input(Input::Sent {
        conn,
        bytes: (2 << 20) + 1000,
    });
    s.expect_request::<ProduceRequest>(conn);
    s.expect_nothing();
    // The second fits only when some of this has gone, and the third is behind it.
    s.input(Input::Sent {
        conn,
        bytes: 1 << 20,
    });
    s.expect_request::<ProduceRequest>(conn);
    s.expect_nothing();
    let sent = s.written(conn);
    s.closed_after(conn, CloseCause::Reset, sent);
    assert!(matches!(
        s.expect_event(),
        Heard::Failed {
            maybe_applied: true,
            ..
        }
    ));
    failed(small[0], FailureCause::Disconnected, true, s.expect_event());
    failed(small[1], FailureCause::Disconnected, true, s.expect_event());
    failed(
        small[2],
        FailureCause::Disconnected,
        false,
        s.expect_event(),
    );
    s.finish();
}

fn fetched(bytes: usize) -> FetchResponse {
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: vec![FetchPartitionData {
                records: Some(Bytes::from(vec![7; bytes])),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Sends a fetch with memory for `allowance` bytes.
fn fetch(s: &mut Script, allowance: usize) -> Token {
    s.command(|_, cx| {
        assert!(cx.cluster.budget().take(Category::Fetch, allowance));
        let options = SendOptions {
            allowance,
            long_poll: Some(Duration::from_millis(500)),
            ..TIMEOUT
        };
        cx.cluster
            .send(FetchRequest::default(), Route::Node(NODE, DEFAULT), options)
    })
}

#[test]
fn a_fetch_holds_what_it_brought_and_nothing_of_what_it_did_not() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let token = fetch(&mut s, 1 << 20);
    let conn = s.connect(1, DEFAULT);
    s.expect_request::<FetchRequest>(conn);
    assert_eq!(used(&mut s, Category::Fetch), 1 << 20);
    let bytes = s.encode_reply::<FetchRequest>(conn, &fetched(100_000));
    s.receive(conn, &bytes);
    assert_eq!(s.expect_event(), Heard::Response(token));
    assert_eq!(used(&mut s, Category::Fetch), bytes.len() - 4);
    s.command(|probe, cx| {
        let response = probe.responses.pop().unwrap();
        let (response, held) = cx.cluster.decode::<FetchRequest>(response).unwrap();
        let records = response.responses[0].partitions[0].records.clone();
        assert_eq!(records.unwrap().len(), 100_000);
        cx.cluster.release(held);
    });
    assert_eq!(used(&mut s, Category::Fetch), 0);
    s.finish();
}

#[test]
fn a_fetch_that_brings_more_than_was_set_aside_takes_the_rest() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    fetch(&mut s, 1000);
    let conn = s.connect(1, DEFAULT);
    s.expect_request::<FetchRequest>(conn);
    let bytes = s.encode_reply::<FetchRequest>(conn, &fetched(300_000));
    s.receive(conn, &bytes[..200_000]);
    let so_far = used(&mut s, Category::Fetch);
    assert!((200_000 - 4..=262_144).contains(&so_far), "{so_far}");
    s.receive(conn, &bytes[200_000..]);
    assert_eq!(used(&mut s, Category::Fetch), bytes.len() - 4);
    assert!(matches!(s.expect_event(), Heard::Response(_)));
    give_back(&mut s);
    s.finish();
}

#[test]
fn an_answer_for_which_there_is_no_memory_is_refused_before_it_takes_any() {
    let mut s = Script::with(Manner::PLAIN, |config| config.memory_budget(1_usize << 20));
    s.bootstrapped();
    let token = fetch(&mut s, 1000);
    let conn = s.connect(1, DEFAULT);
    s.expect_request::<FetchRequest>(conn);
    let bytes = s.encode_reply::<FetchRequest>(conn, &fetched(2 << 20));
    s.receive(conn, &bytes);
    s.expect_close(conn, CloseMode::Abort);
    assert_eq!(used(&mut s, Category::Fetch), 1000);
    s.closed(conn, CloseCause::Local);
    let heard = s.expect_event();
    let error = heard.clone().error();
    assert!(
        error.contains("does not fit into memory.budget") && error.contains("while fetching"),
        "{error}"
    );
    failed(token, FailureCause::Disconnected, true, heard);
    assert_eq!(used(&mut s, Category::Fetch), 0);
    s.finish();
}

#[test]
fn a_fetch_that_fails_gives_back_all() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let token = fetch(&mut s, 1 << 20);
    let conn = s.connect(1, DEFAULT);
    s.expect_request::<FetchRequest>(conn);
    let bytes = s.encode_reply::<FetchRequest>(conn, &fetched(3 << 20));
    s.receive(conn, &bytes[..2 << 20]);
    s.closed(conn, CloseCause::Reset);
    failed(token, FailureCause::Disconnected, true, s.expect_event());
    assert_eq!(used(&mut s, Category::Fetch), 0);
    s.finish();
}

#[test]
fn versions_that_are_not_stable_are_offered_and_not_spoken() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let route = Route::Node(NODE, COORDINATION);
    s.command(|_, cx| {
        cx.cluster
            .send(InitProducerIdRequest::default(), route, TIMEOUT)
    });
    // This broker has version 6, too (KIP-939).
    let conn = s.connect(1, COORDINATION);
    s.expect_request::<InitProducerIdRequest>(conn);
    assert_eq!(s.version(conn), 5);
}

#[test]
fn a_question_that_the_broker_would_not_understand_is_not_put() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let greatest_timestamp = ListOffsetsPartition {
        timestamp: -3,
        ..Default::default()
    };
    let request = ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            partitions: vec![greatest_timestamp],
            ..Default::default()
        }],
        ..Default::default()
    };
    let route = Route::Node(NODE, DEFAULT);
    s.command(|_, cx| cx.cluster.send(request, route, TIMEOUT));
    let conn = s.open(1, DEFAULT);
    s.connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    s.reply::<ApiVersionsRequest>(conn, &versions(&[(ApiKey::LIST_OFFSETS, 1, 4)]));
    let error = s.expect_event().error();
    assert!(
        error.contains("both speak ListOffsets in versions 1-4, but only 7+ can say what is asked"),
        "{error}"
    );
    s.expect_nothing();
    s.finish();
}

#[test]
fn what_is_abandoned_before_it_is_sent_never_is() {
    let mut s = Script::new(Manner::PLAIN);
    ready(&mut s);
    let abandoned = fetch(&mut s, 1 << 20);
    s.command(|_, cx| cx.cluster.abandon(abandoned));
    assert_eq!(used(&mut s, Category::Fetch), 0);
    s.connect(1, DEFAULT);
    s.expect_nothing();
    s.finish();
}

#[test]
fn the_answer_to_what_is_abandoned_in_flight_is_dropped_with_its_memory() {
    let mut s = Script::new(Manner::PLAIN);
    s.bootstrapped();
    let token = fetch(&mut s, 1 << 20);
    let conn = s.connect(1, DEFAULT);
    s.expect_request::<FetchRequest>(conn);
    s.command(|_, cx| cx.cluster.abandon(token));
    s.reply::<FetchRequest>(conn, &fetched(1000));
    s.expect_nothing();
    assert_eq!(used(&mut s, Category::Fetch), 0);
    s.finish();
}

#[test]
fn a_response_that_cannot_be_decoded_closes_its_connection_and_names_the_field() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = ready(&mut s);
    let token = heartbeat(&mut s);
    s.expect_request::<HeartbeatRequest>(conn);
    // Header and throttle time are whole, the error code is cut.
    s.reply_raw(conn, &[0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    assert_eq!(s.expect_event(), Heard::Response(token));
    let error = s.command(|probe, cx| {
        let response = probe.responses.pop().unwrap();
        alloc::format!(
            "{}",
            cx.cluster.decode::<HeartbeatRequest>(response).unwrap_err()
        )
    });
    assert!(
        error.contains("HeartbeatResponse.error_code") && error.contains("broker 1 (one:9092"),
        "{error}"
    );
    s.expect_close(conn, CloseMode::Abort);
    s.finish();
}

#[test]
fn bytes_that_nobody_asked_for_close_the_connection() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = ready(&mut s);
    s.receive(conn, &[0, 0, 0, 8, 0, 0, 0, 2]);
    s.expect_close(conn, CloseMode::Abort);
    s.finish();
}

#[test]
fn a_request_that_waits_in_vain_for_a_connection_says_why_there_is_none() {
    let mut s = Script::new(Manner::PLAIN);
    let bootstrap = s.bootstrapped();
    let options = SendOptions::new(Duration::from_millis(40));
    let token = s.command(|_, cx| {
        cx.cluster.send(
            HeartbeatRequest::default(),
            Route::Node(NODE, COORDINATION),
            options,
        )
    });
    let id = s.expect_resolve("one");
    s.unresolved(id, crate::engine::ResolveError::NotFound);
    s.at(41);
    let heard = s.expect_event();
    let error = heard.clone().error();
    assert!(
        error.contains("the name does not exist") && error.contains("broker 1"),
        "{error}"
    );
    failed(token, FailureCause::TimedOut, false, heard);
    let _ = bootstrap;
    s.finish();
}

#[test]
fn any_request_can_be_sent_by_number_and_bytes() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = ready(&mut s);
    let request = RawRequest {
        api: ApiKey::HEARTBEAT,
        version: 4,
        flexible: true,
        body: Bytes::from_static(&[2, b'g', 0, 0, 0, 1, 2, b'm', 0, 0]),
        to: Some(NODE),
        group: COORDINATION,
        timeout: Duration::from_secs(1),
    };
    s.command(|_, cx| cx.cluster.send_raw(&request));
    let asked = s.expect_request::<HeartbeatRequest>(conn);
    assert_eq!((asked.group_id.as_str(), asked.generation_id), ("g", 1));
    let code = ErrorCode::REBALANCE_IN_PROGRESS.0;
    s.reply::<HeartbeatRequest>(
        conn,
        &HeartbeatResponse {
            error_code: code,
            ..Default::default()
        },
    );
    s.expect_event();
    let answer = s.command(|probe, cx| {
        let response = probe.responses.pop().unwrap();
        cx.cluster.decode_raw(response, true).unwrap()
    });
    assert_eq!(answer.node, Some(NODE));
    assert_eq!(&answer.body[..], &[0, 0, 0, 0, 0, 27, 0]);
    s.finish();
}

/// N1, B43: wherever the stream of answers breaks off, what was whole is an answer, the rest has failed, and the next
/// connection begins afresh.
#[test]
fn a_stream_that_breaks_off_anywhere_leaves_nothing_behind() {
    let whole = {
        let mut s = Script::new(Manner::PLAIN);
        let conn = ready(&mut s);
        heartbeat(&mut s);
        s.expect_request::<HeartbeatRequest>(conn);
        s.encode_reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default())
            .len()
    };
    for cut in 0..=2 * whole {
        let mut s = Script::new(Manner::PLAIN);
        let conn = ready(&mut s);
        let tokens = [heartbeat(&mut s), heartbeat(&mut s)];
        let mut stream = Vec::new();
        for _ in tokens {
            s.expect_request::<HeartbeatRequest>(conn);
            stream.extend(s.encode_reply::<HeartbeatRequest>(conn, &HeartbeatResponse::default()));
        }
        s.receive(conn, &stream[..cut]);
        s.closed(conn, CloseCause::Reset);
        for (index, token) in tokens.into_iter().enumerate() {
            match cut >= whole * (index + 1) {
                true => assert_eq!(s.expect_event(), Heard::Response(token)),
                false => failed(token, FailureCause::Disconnected, true, s.expect_event()),
            }
        }
        give_back(&mut s);
        let again = heartbeat(&mut s);
        s.until_output();
        let conn = s.connect(1, COORDINATION);
        answer(&mut s, conn, again);
        s.finish();
    }
}
