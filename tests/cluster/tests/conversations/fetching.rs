//! Fetch: waiting, limits, sessions.

use klamm::messages::FetchRequest;
use klamm::{ErrorCode, Str};
use klamm_cluster::ConnectionKey;

use crate::client::{Conversation, batch, error, fetch, only, produce, records};

fn one_broker() -> (Conversation, ConnectionKey) {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    (talk, broker)
}

#[test]
fn a_fetch_waits_until_its_time_is_over() {
    let (mut talk, reader) = one_broker();
    talk.send(reader, 12, &fetch("t", 0, 500));
    talk.pass(499);
    assert!(talk.answer::<FetchRequest>(reader, 12).is_none());
    talk.pass(1);
    let (_, response) = talk.answer::<FetchRequest>(reader, 12).unwrap();
    assert_eq!(records(&only(response)), []);
}

#[test]
fn a_fetch_ends_its_wait_when_records_come() {
    let (mut talk, reader) = one_broker();
    let writer = talk.connect(1);
    talk.send(reader, 12, &fetch("t", 0, 500));
    talk.produce(writer, 1, batch(None, &["a"]));
    let (_, response) = talk.answer::<FetchRequest>(reader, 12).unwrap();
    assert_eq!(records(&only(response)), [(0, "a".to_owned())]);
    assert_eq!(talk.cluster.next_deadline(), None);
}

#[test]
fn a_parked_fetch_blocks_what_comes_behind_it() {
    let (mut talk, broker) = one_broker();
    let waiting = talk.send(broker, 12, &fetch("t", 0, 500));
    let behind = talk.send(broker, 9, &produce("t", 1, batch(None, &["a"])));
    assert!(talk.answer::<FetchRequest>(broker, 12).is_none());
    talk.pass(500);
    let (first, _) = talk.answer::<FetchRequest>(broker, 12).unwrap();
    let (second, _) = talk
        .answer::<klamm::messages::ProduceRequest>(broker, 9)
        .unwrap();
    assert_eq!((first, second), (waiting, behind));
}

#[test]
fn the_first_batch_is_whole_and_the_last_may_be_cut() {
    let (mut talk, broker) = one_broker();
    let big = batch(None, &["a", "b", "c", "d"]);
    talk.produce(broker, 1, big.clone());
    talk.produce(broker, 1, big.clone());
    let mut request = fetch("t", 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let fetched = only(talk.ask(broker, 12, &request));
    assert_eq!(fetched.records.unwrap().len(), big.len());
    request.topics[0].partitions[0].partition_max_bytes = big.len() as i32 + 7;
    let fetched = only(talk.ask(broker, 12, &request));
    assert_eq!(fetched.records.clone().unwrap().len(), big.len() + 7);
    assert_eq!(records(&fetched).len(), 4);
}

#[test]
fn a_fetch_from_inside_a_batch_brings_all_of_it() {
    let (mut talk, broker) = one_broker();
    talk.produce(broker, 1, batch(None, &["a", "b", "c"]));
    let fetched = talk.fetch(broker, 2);
    assert_eq!(records(&fetched).first(), Some(&(0, "a".to_owned())));
}

#[test]
fn an_offset_beyond_the_log_is_out_of_range() {
    let (mut talk, broker) = one_broker();
    talk.produce(broker, 1, batch(None, &["a", "b"]));
    let out = ErrorCode::OFFSET_OUT_OF_RANGE;
    assert_eq!(error(talk.fetch(broker, 3).error_code), out);
    assert_eq!(talk.fetch(broker, 2).error_code, 0);
    talk.cluster.delete_records("t", 0, 1).unwrap();
    assert_eq!(error(talk.fetch(broker, 0).error_code), out);
    let fetched = talk.fetch(broker, 1);
    assert_eq!((fetched.error_code, fetched.log_start_offset), (0, 1));
}

#[test]
fn a_session_answers_only_with_news() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    talk.cluster.create_topic("u", 1).unwrap();
    let broker = talk.connect(1);
    let mut full = fetch("t", 0, 0);
    full.session_epoch = 0;
    full.topics.extend(fetch("u", 0, 0).topics);
    let response = talk.ask(broker, 12, &full);
    let id = response.session_id;
    assert_eq!(response.responses.len(), 2);
    assert_ne!(id, 0);
    talk.ask(broker, 9, &produce("u", 1, batch(None, &["a"])));
    let next = FetchRequest {
        session_id: id,
        session_epoch: 1,
        topics: vec![],
        ..full.clone()
    };
    let response = talk.ask(broker, 12, &next);
    assert_eq!(response.session_id, id);
    assert_eq!(response.responses[0].topic, Str::from("u"));
    assert_eq!(records(&only(response)), [(0, "a".to_owned())]);
    talk.cluster.evict_fetch_sessions(1);
    let response = talk.ask(
        broker,
        12,
        &FetchRequest {
            session_epoch: 2,
            ..next
        },
    );
    assert_eq!(
        error(response.error_code),
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND
    );
}

#[test]
fn a_reader_sees_only_what_is_replicated() {
    let mut talk = Conversation::with(3);
    talk.cluster.create_topic("t", 1).unwrap();
    talk.cluster.pause_replica("t", 0, 3).unwrap();
    let broker = talk.connect(1);
    talk.produce(broker, 1, batch(None, &["a"]));
    assert_eq!(records(&talk.fetch(broker, 0)), []);
    talk.cluster.shrink_isr("t", 0, 3).unwrap();
    assert_eq!(records(&talk.fetch(broker, 0)).len(), 1);
}
