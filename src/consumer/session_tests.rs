//! Transcripts of a fetch session.

use alloc::vec;

use super::*;
use crate::engine::TopicHandle;

fn at(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicHandle(0),
        partition,
    }
}

fn ask(offset: i64) -> Ask {
    Ask {
        topic_id: Uuid([1; 16]),
        offset,
        leader_epoch: 0,
        max_bytes: 100,
    }
}

fn answer(session: &mut FetchSession, id: i32, listed: &[i32]) -> Result<(), SessionFault> {
    session.on_answer(
        ErrorCode::NONE,
        id,
        listed.iter().map(|partition| Some(at(*partition))),
        false,
    )
}

/// A session with id 7 in which partitions 0 and 1 stand at offset 0.
fn established() -> FetchSession {
    let mut session = FetchSession::new();
    let _ = session.build(&[(at(0), ask(0)), (at(1), ask(0))], true);
    answer(&mut session, 7, &[0, 1]).unwrap();
    session
}

#[test]
fn the_first_request_is_full_and_the_next_names_only_what_changed() {
    let mut session = FetchSession::new();
    let wanted = [(at(0), ask(0)), (at(1), ask(0))];
    let full = session.build(&wanted, true);
    assert_eq!((full.id, full.epoch, full.send.len()), (0, 0, 2));
    answer(&mut session, 7, &[0, 1]).unwrap();

    let next = session.build(&[(at(0), ask(0)), (at(1), ask(5))], true);
    assert_eq!((next.id, next.epoch), (7, 1));
    assert_eq!(next.send, vec![(at(1), ask(5))]);
    assert_eq!(next.forget, vec![]);
}

#[test]
fn a_partition_left_out_is_forgotten_and_comes_back_by_being_sent() {
    let mut session = established();
    let without = session.build(&[(at(1), ask(0))], true);
    assert_eq!(without.send, vec![]);
    assert_eq!(without.forget, vec![(at(0), Uuid([1; 16]))]);
    answer(&mut session, 7, &[]).unwrap();

    let again = session.build(&[(at(0), ask(9)), (at(1), ask(0))], true);
    assert_eq!(again.send, vec![(at(0), ask(9))]);
    assert_eq!(again.forget, vec![]);
}

#[test]
fn a_topic_made_again_is_forgotten_under_its_old_id_and_sent_under_the_new_one() {
    let mut session = established();
    let made_again = Ask {
        topic_id: Uuid([2; 16]),
        ..ask(0)
    };
    let request = session.build(&[(at(0), made_again), (at(1), ask(0))], true);
    assert_eq!(request.forget, vec![(at(0), Uuid([1; 16]))]);
    assert_eq!(request.send, vec![(at(0), made_again)]);
}

#[test]
fn from_names_to_ids_a_session_begins_anew() {
    let mut session = FetchSession::new();
    let _ = session.build(&[(at(0), ask(0))], false);
    answer(&mut session, 7, &[0]).unwrap();
    let request = session.build(&[(at(0), ask(0))], true);
    assert_eq!((request.id, request.epoch, request.send.len()), (7, 0, 1));
}

#[test]
fn the_epoch_wraps_to_one() {
    let mut session = established();
    session.state = State::Established {
        id: 7,
        epoch: i32::MAX,
    };
    let last = session.build(&[(at(0), ask(0)), (at(1), ask(0))], true);
    assert_eq!(last.epoch, i32::MAX);
    answer(&mut session, 7, &[]).unwrap();
    let wrapped = session.build(&[(at(0), ask(0)), (at(1), ask(0))], true);
    assert_eq!((wrapped.id, wrapped.epoch), (7, 1));
}

#[test]
fn each_error_says_which_session_the_next_full_request_replaces() {
    for (error, replaces) in [
        (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0),
        (ErrorCode::INVALID_FETCH_SESSION_EPOCH, 7),
        (ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR, 7),
        (ErrorCode::UNKNOWN_SERVER_ERROR, 7),
    ] {
        let mut session = established();
        let _ = session.build(&[(at(0), ask(3))], true);
        let fault = session.on_answer(error, 0, core::iter::empty(), false);
        assert_eq!(fault, Err(SessionFault::Broker(error)));
        let next = session.build(&[(at(0), ask(3))], true);
        assert_eq!((next.id, next.epoch), (replaces, 0), "{error}");
        assert_eq!(next.send, vec![(at(0), ask(3))]);
    }
}

#[test]
fn an_unanswered_request_leads_to_a_full_one_that_replaces_the_session() {
    let mut session = established();
    let _ = session.build(&[(at(0), ask(3))], true);
    session.on_failure();
    let next = session.build(&[(at(0), ask(3))], true);
    assert_eq!((next.id, next.epoch), (7, 0));
}

#[test]
fn a_full_answer_must_list_exactly_what_was_asked() {
    let cases: [(&[i32], SessionFault); 3] = [
        (&[0], SessionFault::Missing),
        (&[0, 1, 2], SessionFault::Unexpected),
        (&[0, 0], SessionFault::Twice),
    ];
    for (listed, fault) in cases {
        let mut session = FetchSession::new();
        let _ = session.build(&[(at(0), ask(0)), (at(1), ask(0))], true);
        assert_eq!(answer(&mut session, 7, listed), Err(fault));
        let next = session.build(&[(at(0), ask(0))], true);
        assert_eq!((next.id, next.epoch), (0, 0));
    }
}

#[test]
fn a_throttled_broker_may_answer_a_full_request_with_nothing() {
    let mut session = FetchSession::new();
    let _ = session.build(&[(at(0), ask(0))], true);
    session
        .on_answer(ErrorCode::NONE, 0, core::iter::empty(), true)
        .unwrap();
    assert_eq!(session.build(&[(at(0), ask(0))], true).epoch, 0);
}

#[test]
fn an_incremental_answer_may_be_empty_but_names_nothing_foreign() {
    let mut session = established();
    let _ = session.build(&[(at(1), ask(0))], true);
    // Partition 0 was forgotten with this very request.
    assert_eq!(answer(&mut session, 7, &[0]), Err(SessionFault::Unexpected));
    let next = session.build(&[(at(1), ask(0))], true);
    assert_eq!((next.id, next.epoch), (7, 0));
}

#[test]
fn a_session_closed_by_the_broker_still_answered() {
    let mut session = established();
    let _ = session.build(&[(at(0), ask(1)), (at(1), ask(0))], true);
    answer(&mut session, 0, &[0]).unwrap();
    let next = session.build(&[(at(0), ask(2)), (at(1), ask(0))], true);
    assert_eq!((next.id, next.epoch, next.send.len()), (0, 0, 2));
}

#[test]
fn the_answer_of_another_session_is_dropped() {
    let mut session = established();
    let _ = session.build(&[(at(0), ask(1)), (at(1), ask(0))], true);
    assert_eq!(
        answer(&mut session, 8, &[]),
        Err(SessionFault::OtherSession)
    );
}

#[test]
fn only_an_open_session_needs_closing() {
    assert_eq!(FetchSession::new().close(), None);
    let mut session = established();
    assert_eq!(session.close(), Some(7));
    assert_eq!(session.close(), None);
}
