//! From nothing to a connection that can be used, and every way in which that fails.

use alloc::vec::Vec;

use super::probe::Heard;
use super::script::{Manner, Script, address, versions};
use crate::cluster::Route;
use crate::config::CommonConfig;
use crate::connection::SendOptions;
use crate::engine::{
    CloseCause, CloseMode, ConnectionGroup, ConnectionId, Output, Peer, ResolveError,
};
use crate::error_code::ErrorCode;
use crate::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FindCoordinatorRequest, MetadataRequest,
};
use crate::time::Duration;
use crate::wire::ApiKey;

const BOOTSTRAP: Peer = Peer::Bootstrap(0);
const DEFAULT: ConnectionGroup = ConnectionGroup::Default;

/// A client that wants to send something, and has been told where its bootstrap server is.
fn opening(s: &mut Script) -> ConnectionId {
    s.command(|_, cx| {
        let options = SendOptions::new(Duration::from_secs(300));
        cx.cluster
            .send(FindCoordinatorRequest::default(), Route::Any, options)
    });
    let id = s.expect_resolve("kafka");
    s.resolved(id, &[address(1)]);
    s.expect_open(BOOTSTRAP, DEFAULT, address(1))
}

#[test]
fn a_client_that_wants_nothing_does_nothing() {
    let mut s = Script::new(Manner::PLAIN);
    s.at(3_600_000).expect_nothing();
    s.finish();
}

#[test]
fn the_first_words_are_the_versions() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.connected(conn);
    let asked = s.expect_request::<ApiVersionsRequest>(conn);
    assert_eq!(s.version(conn), 4);
    assert_eq!(asked.client_software_name, "klamm");
    s.reply::<ApiVersionsRequest>(conn, &versions(&[]));
    s.expect_request::<FindCoordinatorRequest>(conn);
    s.finish();
}

#[test]
fn a_broker_that_refuses_the_version_is_asked_in_its_own() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    // The refusal has the body of version 0: a code and the one range (KIP-511).
    s.reply_raw(
        conn,
        &[
            0, 0, 0, 16, 0, 0, 0, 0, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 2,
        ],
    );
    s.expect_request::<ApiVersionsRequest>(conn);
    assert_eq!(s.version(conn), 2);
    s.reply::<ApiVersionsRequest>(conn, &versions(&[]));
    s.expect_request::<FindCoordinatorRequest>(conn);
    s.finish();
}

#[test]
fn a_broker_that_refuses_what_it_offers_is_left() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    s.receive(
        conn,
        &[
            0, 0, 0, 16, 0, 0, 0, 0, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4,
        ],
    );
    s.expect_close(conn, CloseMode::Abort);
    s.closed(conn, CloseCause::Local);
    let error = s.expect_event().error();
    assert!(
        error.contains("ApiVersions") && error.contains("kafka:9092"),
        "{error}"
    );
    s.finish();
}

#[test]
fn any_other_refusal_ends_the_attempt_with_the_code() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    let refusal = ApiVersionsResponse {
        error_code: ErrorCode::INVALID_REQUEST.0,
        ..Default::default()
    };
    s.reply::<ApiVersionsRequest>(conn, &refusal);
    s.expect_close(conn, CloseMode::Abort);
    s.closed(conn, CloseCause::Local);
    let error = s.expect_event().error();
    assert!(error.contains("INVALID_REQUEST (42)"), "{error}");
    s.finish();
}

#[test]
fn a_socket_that_never_connects_is_given_up_and_said_to_be() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.until_output().expect_close(conn, CloseMode::Abort);
    // Ten seconds, give or take a fifth (KIP-601).
    assert!((8_001..=12_001).contains(&s.now()), "{}", s.now());
    s.closed(conn, CloseCause::Local);
    let error = s.expect_event().error();
    assert!(
        error.contains("while connecting") && error.contains("firewall"),
        "{error}"
    );
    s.finish();
}

#[test]
fn a_request_that_found_nobody_says_what_was_tried_last() {
    let mut s = Script::new(Manner::PLAIN);
    s.command(|_, cx| {
        let options = SendOptions::new(Duration::from_millis(20));
        cx.cluster
            .send(FindCoordinatorRequest::default(), Route::Any, options)
    });
    let id = s.expect_resolve("kafka");
    s.resolved(id, &[address(1)]);
    let conn = s.expect_open(BOOTSTRAP, DEFAULT, address(1));
    s.closed(conn, CloseCause::Refused);
    s.expect_event().error();
    let error = s.at(21).expect_event().error();
    assert!(
        error.starts_with(
            "no answer within 20 ms: no broker could be reached: no connection: connection refused"
        ) && error.contains("kafka:9092"),
        "{error}"
    );
    s.finish();
}

#[test]
fn versions_that_never_come_fall_under_the_same_timeout() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.at(7_000).connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    s.until_output().expect_close(conn, CloseMode::Abort);
    assert!((8_001..=12_001).contains(&s.now()), "{}", s.now());
    s.closed(conn, CloseCause::Local);
    let error = s.expect_event().error();
    assert!(error.contains("negotiating API versions"), "{error}");
    s.finish();
}

#[test]
fn a_name_that_does_not_exist_is_told_of_and_asked_again_after_a_wait() {
    let mut s = Script::new(Manner::PLAIN);
    s.command(|_, cx| {
        cx.cluster.want_topic("orders");
    });
    let id = s.expect_resolve("kafka");
    s.unresolved(id, ResolveError::NotFound);
    let error = s.expect_event().error();
    assert!(
        error.contains("the name does not exist") && error.contains("kafka:9092"),
        "{error}"
    );
    s.until_output().expect_resolve("kafka");
    assert!((41..=61).contains(&s.now()), "{}", s.now());
    s.finish();
}

#[test]
fn a_lookup_that_is_never_answered_is_given_up_and_its_late_answer_ignored() {
    let mut s = Script::new(Manner::PLAIN);
    s.command(|_, cx| {
        cx.cluster.want_topic("orders");
    });
    let id = s.expect_resolve("kafka");
    s.until_output();
    let error = s.expect_event().error();
    assert!(error.contains("while resolving the name"), "{error}");
    s.resolved(id, &[address(1)]);
    s.expect_nothing();
    assert_eq!(s.client.cluster.stale_inputs(), 1);
    s.finish();
}

#[test]
fn all_addresses_of_a_name_are_tried_before_the_wait() {
    let mut s = Script::new(Manner::PLAIN);
    s.command(|_, cx| {
        cx.cluster.want_topic("orders");
    });
    let id = s.expect_resolve("kafka");
    s.resolved(id, &[address(1), address(2), address(3)]);
    for last in 1..=3 {
        let conn = s.expect_open(BOOTSTRAP, DEFAULT, address(last));
        s.closed(conn, CloseCause::Refused);
    }
    let error = s.expect_event().error();
    assert!(
        error.contains("10.0.0.3") && error.contains("connection refused"),
        "{error}"
    );
    s.until_output().expect_resolve("kafka");
    s.finish();
}

#[test]
fn the_wait_before_a_reconnect_doubles_up_to_a_second() {
    let mut s = Script::new(Manner::PLAIN);
    let mut conn = opening(&mut s);
    for expected in [50, 100, 200, 400, 800, 1_000, 1_000] {
        s.closed(conn, CloseCause::Refused);
        assert!(matches!(s.expect_event(), Heard::NoBroker(_)));
        let before = s.now();
        let id = s.until_output().expect_resolve("kafka");
        let waited = s.now() - before;
        assert!(
            (expected * 8 / 10..=expected * 12 / 10 + 1).contains(&waited),
            "{expected}: {waited}"
        );
        s.resolved(id, &[address(1)]);
        conn = s.expect_open(BOOTSTRAP, DEFAULT, address(1));
    }
    s.finish();
}

#[test]
fn only_a_completed_handshake_ends_the_doubling() {
    let mut s = Script::new(Manner::PLAIN);
    let mut conn = opening(&mut s);
    for _ in 0..5 {
        // Accepted, then closed: a TCP connection alone is no success.
        s.connected(conn);
        s.expect_request::<ApiVersionsRequest>(conn);
        s.closed(conn, CloseCause::EndOfStream);
        let error = s.expect_event().error();
        assert!(error.contains("TLS or SASL"), "{error}");
        let id = s.until_output().expect_resolve("kafka");
        s.resolved(id, &[address(1)]);
        conn = s.expect_open(BOOTSTRAP, DEFAULT, address(1));
    }
    s.handshake(conn);
    s.expect_request::<FindCoordinatorRequest>(conn);
    s.expect_request::<MetadataRequest>(conn);
    s.closed(conn, CloseCause::Reset);
    assert!(matches!(s.expect_event(), Heard::Failed { .. }));
    s.command(|_, cx| {
        let options = SendOptions::new(Duration::from_secs(300));
        cx.cluster
            .send(FindCoordinatorRequest::default(), Route::Any, options)
    });
    let before = s.now();
    s.until_output().expect_resolve("kafka");
    assert!(s.now() - before <= 61, "{}", s.now() - before);
    s.finish();
}

#[test]
fn a_peer_that_is_not_kafka_is_named_by_what_it_looks_like() {
    for (bytes, looks_like) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "an HTTP server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server"),
        (
            &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32],
            "a TLS listener",
        ),
    ] {
        for cut in 0..bytes.len().min(9) {
            let mut s = Script::new(Manner::PLAIN);
            let conn = opening(&mut s);
            s.connected(conn);
            s.expect_request::<ApiVersionsRequest>(conn);
            s.receive(conn, &bytes[..cut]);
            s.receive(conn, &bytes[cut..]);
            s.expect_close(conn, CloseMode::Abort);
            s.closed(conn, CloseCause::Local);
            let error = s.expect_event().error();
            assert!(
                error.contains(looks_like) && error.contains("kafka:9092"),
                "{error}"
            );
            s.finish();
        }
    }
}

#[test]
fn frames_before_the_handshake_are_small_and_have_room_for_an_id() {
    for (size, words) in [
        (512 * 1024 + 1, "over the limit of 524288"),
        (-1, "a frame of -1 bytes"),
        (3, "no room for a correlation id"),
    ] {
        let mut s = Script::new(Manner::PLAIN);
        let conn = opening(&mut s);
        s.connected(conn);
        s.expect_request::<ApiVersionsRequest>(conn);
        s.receive(conn, &i32::to_be_bytes(size));
        s.expect_close(conn, CloseMode::Abort);
        s.closed(conn, CloseCause::Local);
        let error = s.expect_event().error();
        assert!(error.contains(words), "{error}");
        // Where, at which step, and what to do.
        assert!(error.contains("while negotiating API versions"), "{error}");
        assert!(error.contains("check that the port is"), "{error}");
        s.finish();
    }
}

#[test]
fn an_answer_with_another_id_closes_the_connection() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    s.receive(conn, &[0, 0, 0, 6, 0, 0, 0, 9, 0, 0]);
    s.expect_close(conn, CloseMode::Abort);
    s.closed(conn, CloseCause::Local);
    let error = s.expect_event().error();
    assert!(
        error.contains("an answer to request 9 came where that to 0 was due"),
        "{error}"
    );
    s.finish();
}

#[test]
fn every_server_is_tried_and_one_error_tells_of_all() {
    let mut s = Script::with(Manner::PLAIN, |config| {
        let servers = CommonConfig::bootstrap("a:1,b:2,c:3").unwrap();
        config.bootstrap_servers(servers.bootstrap_servers)
    });
    s.command(|_, cx| {
        cx.cluster.want_topic("orders");
    });
    let mut tried = Vec::new();
    for _ in 0..3 {
        let (id, host) = match s.next() {
            Output::Resolve { id, host, .. } => (id, host),
            other => panic!("{other:?}"),
        };
        tried.push(alloc::string::String::from(host.as_str()));
        s.unresolved(id, ResolveError::NotFound);
    }
    tried.sort();
    assert_eq!(tried, ["a", "b", "c"]);
    let error = s.expect_event().error();
    for part in [
        "none of 3 brokers",
        "(a:1)",
        "(b:2)",
        "(c:3)",
        "check bootstrap.servers",
    ] {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
    s.finish();
}

#[test]
fn an_api_that_the_broker_lacks_fails_the_request_and_nothing_else() {
    let mut s = Script::new(Manner::PLAIN);
    let conn = opening(&mut s);
    s.connected(conn);
    s.expect_request::<ApiVersionsRequest>(conn);
    s.reply::<ApiVersionsRequest>(conn, &versions(&[(ApiKey::FIND_COORDINATOR, 9, 12)]));
    s.expect_request::<MetadataRequest>(conn);
    let error = s.expect_event().error();
    assert!(
        error.contains("in versions 0-6, the broker in 9-12"),
        "{error}"
    );
    s.expect_nothing();
    s.finish();
}

/// A server that swallows packets does not stand before the others until its setup times out.
#[test]
fn while_one_server_does_not_answer_the_next_is_tried_too() {
    let mut s = Script::with(Manner::PLAIN, |config| {
        let servers = CommonConfig::bootstrap("a:1,b:2,c:3").unwrap();
        config.bootstrap_servers(servers.bootstrap_servers)
    });
    s.command(|_, cx| {
        cx.cluster.want_topic("orders");
    });
    let mut conns = Vec::new();
    for (last, seconds) in [(1, 0), (2, 1), (3, 2)] {
        if seconds > 0 {
            s.at(seconds * 1_000 + 1);
        }
        let Output::Resolve { id, .. } = s.next() else {
            panic!("nobody is looked for at {seconds} s");
        };
        s.resolved(id, &[address(last)]);
        match s.next() {
            Output::Open { conn, .. } => conns.push(conn),
            other => panic!("{other:?}"),
        }
    }
    s.at(5_000).handshake(conns[1]);
    s.expect_request::<MetadataRequest>(conns[1]);
    s.finish();
}
