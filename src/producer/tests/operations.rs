//! Flush, close, compression and requests made by hand.

use alloc::string::ToString;
use alloc::vec;

use bytes::Bytes;

use super::desk::Desk;
use crate::engine::{ConnectionGroup, Engine, Input, Job, JobResult, NodeId, OpId, RawRequest};
use crate::error_code::ErrorCode;
use crate::producer::{AppendError, ProducerCommand, ProducerReply};
use crate::record::Codec;
use crate::time::Duration;
use crate::wire::ApiKey;

fn lingering(config: &mut crate::config::ProducerConfig) {
    config.linger = Duration::from_secs(10);
}

#[test]
fn a_flush_sends_at_once_and_does_not_wait_for_what_comes_later() {
    let (mut desk, topic) = Desk::with_topic(&[1, 2], lingering);
    desk.append(topic, 0, 1).unwrap();
    desk.append(topic, 1, 1).unwrap();
    let op = desk.engine.flush(desk.now);
    desk.run();
    let (first, second) = (desk.next(), desk.next());
    desk.append(topic, 0, 1).unwrap();
    desk.ok(&first, 0);
    assert_eq!(desk.told().len(), 1, "the other is not answered");
    desk.ok(&second, 0);
    let told = desk.told();
    assert_eq!(told.last(), Some(&alloc::format!("flushed {}", op.0)));
}

#[test]
fn a_flush_of_nothing_ends_at_once() {
    let (mut desk, _) = Desk::with_topic(&[1], lingering);
    desk.engine.flush(desk.now);
    desk.run();
    assert_eq!(desk.told(), ["flushed 0"]);
}

#[test]
fn a_flush_waits_for_all_parts_of_a_split_batch() {
    let (mut desk, topic) = Desk::with_topic(&[1], lingering);
    desk.append(topic, 0, 4).unwrap();
    desk.engine.flush(desk.now);
    desk.run();
    let whole = desk.next();
    desk.reply(&whole, ErrorCode::MESSAGE_TOO_LARGE, -1);
    let part = desk.next();
    desk.ok(&part, 0);
    assert_eq!(desk.told(), ["0: 0..2 delivered at 0"]);
    let part = desk.next();
    desk.ok(&part, 2);
    assert_eq!(desk.told(), ["0: 2..4 delivered at 2", "flushed 0"]);
}

#[test]
fn a_detached_flush_is_not_told_about() {
    let (mut desk, topic) = Desk::with_topic(&[1], lingering);
    desk.append(topic, 0, 1).unwrap();
    let op = desk.engine.flush(desk.now);
    desk.run();
    desk.engine.detach(op, desk.now);
    let produced = desk.next();
    desk.ok(&produced, 0);
    assert_eq!(desk.told(), ["0: 0..1 delivered at 0"]);
}

#[test]
fn a_close_delivers_what_it_can_and_leaves_no_socket() {
    let (mut desk, topic) = Desk::with_topic(&[1], lingering);
    desk.append(topic, 0, 1).unwrap();
    desk.engine
        .close(desk.now + Duration::from_secs(5), desk.now);
    desk.run();
    assert!(matches!(
        desk.append(topic, 0, 1),
        Err(AppendError::Refused(_))
    ));
    let produced = desk.next();
    desk.ok(&produced, 0);
    assert_eq!(
        desk.told(),
        ["0: 0..1 delivered at 0", "closed 0: 0 rejected, 0 unknown"]
    );
    assert_eq!(desk.open_sockets(), 0);
    assert_eq!(desk.wake, None, "nothing is left to wake for");
}

#[test]
fn a_close_at_its_deadline_gives_the_rest_an_outcome_and_reports_it() {
    let (mut desk, topic) = Desk::with_topic(&[1, -1], lingering);
    desk.append(topic, 0, 2).unwrap();
    desk.append(topic, 1, 3).unwrap();
    let flush = desk.engine.flush(desk.now);
    desk.engine
        .close(desk.now + Duration::from_secs(5), desk.now);
    desk.run();
    desk.wait(5_000);
    assert_eq!(
        desk.told(),
        [
            "0: 0..2 unknown".to_string(),
            "1: 0..3 rejected".to_string(),
            alloc::format!("flushed {}", flush.0),
            "closed 1: 3 rejected, 2 unknown".to_string()
        ]
    );
    assert_eq!(desk.open_sockets(), 0);
    assert_eq!(desk.wake, None);
}

#[test]
fn a_second_close_is_answered_too_and_the_earlier_deadline_holds() {
    let (mut desk, topic) = Desk::with_topic(&[1], lingering);
    desk.append(topic, 0, 1).unwrap();
    desk.engine
        .close(desk.now + Duration::from_secs(50), desk.now);
    desk.engine
        .close(desk.now + Duration::from_secs(5), desk.now);
    desk.run();
    desk.wait(5_000);
    let closed = [
        "0: 0..1 unknown",
        "closed 0: 0 rejected, 1 unknown",
        "closed 1: 0 rejected, 1 unknown",
    ];
    assert_eq!(desk.told(), closed);
    desk.engine.close(desk.now, desk.now);
    desk.run();
    assert_eq!(desk.told(), ["closed 2: 0 rejected, 1 unknown"]);
}

#[test]
fn a_close_before_anything_was_reached_ends() {
    let mut desk = Desk::new(|_| ());
    desk.down = vec![0, 1, 2];
    desk.engine.topic("letters", desk.now).unwrap();
    desk.run();
    desk.wait(1_000);
    desk.told();
    desk.engine.close(desk.now, desk.now);
    desk.run();
    desk.wait(60_000);
    assert_eq!(desk.told(), ["closed 0: 0 rejected, 0 unknown"]);
    assert_eq!((desk.open_sockets(), desk.wake), (0, None));
    // A topic that is named now asks for no producer id.
    desk.engine.topic("parcels", desk.now).unwrap();
    desk.run();
    assert_eq!(desk.wake, None);
}

#[test]
fn trouble_without_records_is_told_but_not_again_and_again() {
    let mut desk = Desk::new(|_| ());
    desk.down = vec![0, 1, 2];
    desk.engine.topic("letters", desk.now).unwrap();
    desk.run();
    desk.wait(30_000);
    let told = desk.told();
    assert!(!told.is_empty() && told.len() <= 3, "{told:?}");
}

#[test]
fn a_request_made_by_hand_is_answered() {
    let (mut desk, _) = Desk::with_topic(&[1], |_| ());
    let request = RawRequest {
        api: ApiKey::API_VERSIONS,
        version: 0,
        flexible: false,
        body: Bytes::new(),
        to: Some(NodeId(1)),
        group: ConnectionGroup::Default,
        timeout: Duration::from_secs(5),
    };
    let reply = desk.command(ProducerCommand::Request(request));
    assert_eq!(reply, ProducerReply::Op(OpId(0)));
    assert_eq!(desk.told(), ["response 0 true"]);
}

/// A desk with compression, and a batch of ten records given away to be compressed.
fn compressing() -> (Desk, crate::engine::TopicHandle, Bytes) {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| {
        config.compression = Codec::Snappy;
    });
    desk.append(topic, 0, 10).unwrap();
    assert!(desk.produced.is_empty());
    let Job::Compress { codec, records, .. } = &desk.jobs[0].1 else {
        panic!("{:?}", desk.jobs);
    };
    assert_eq!(*codec, Codec::Snappy);
    let records = records.clone();
    (desk, topic, records)
}

fn finish(desk: &mut Desk, result: JobResult) {
    let (id, job) = desk.jobs.remove(0);
    drop(job);
    desk.engine.handle(Input::JobDone { id, result }, desk.now);
    desk.run();
}

#[test]
fn a_batch_is_compressed_off_the_engine_and_keeps_its_place() {
    let (mut desk, topic, _) = compressing();
    desk.append(topic, 0, 1).unwrap();
    let area = Bytes::from_static(b"small");
    finish(&mut desk, JobResult::Compressed(Ok(area.clone())));
    let first = desk.next();
    let (_, _, header) = first.batches()[0].clone();
    assert_eq!((header.codec(), header.records_count), (Codec::Snappy, 10));
    assert_eq!(&first.bytes()[61..], &area[..]);
    desk.ok(&first, 0);
    finish(&mut desk, JobResult::Refused);
    let second = desk.next();
    let (_, _, header) = second.batches()[0].clone();
    assert_eq!((header.codec(), header.base_sequence), (Codec::None, 10));
}

#[test]
fn what_compression_makes_no_smaller_is_sent_as_it_was() {
    let (mut desk, _, records) = compressing();
    finish(&mut desk, JobResult::Compressed(Ok(records.clone())));
    let produced = desk.next();
    assert_eq!(produced.batches()[0].2.codec(), Codec::None);
    assert_eq!(&produced.bytes()[61..], &records[..]);
}

#[test]
fn a_codec_that_fails_loses_no_record() {
    let (mut desk, _, _) = compressing();
    finish(&mut desk, JobResult::Compressed(Err("no".into())));
    let produced = desk.next();
    assert_eq!(produced.counts(), [(0, 10)]);
    desk.ok(&produced, 0);
    assert_eq!(desk.told(), ["0: 0..10 delivered at 0"]);
}

#[cfg(feature = "lz4")]
#[test]
fn a_compressed_batch_that_is_too_large_is_split_and_compressed_again() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| config.compression = Codec::Lz4);
    desk.append(topic, 0, 40).unwrap();
    let run = |desk: &mut Desk| {
        let result = desk.jobs[0].1.run();
        finish(desk, result);
    };
    run(&mut desk);
    let whole = desk.next();
    assert_eq!(whole.batches()[0].2.codec(), Codec::Lz4);
    desk.reply(&whole, ErrorCode::MESSAGE_TOO_LARGE, -1);
    assert!(desk.produced.is_empty(), "the halves are compressed first");
    run(&mut desk);
    run(&mut desk);
    let mut offset = 0;
    while let Some(part) = desk.produced.pop_front() {
        let (_, _, header) = part.batches()[0].clone();
        assert_eq!(header.codec(), Codec::Lz4);
        assert_eq!(i64::from(header.base_sequence), offset);
        desk.ok(&part, offset);
        offset += i64::from(header.records_count);
    }
    assert_eq!(offset, 40);
    assert_eq!(
        desk.engine.memory_used(crate::budget::Category::Producer),
        0
    );
}

#[test]
fn the_budget_is_whole_again_after_everything_was_answered() {
    use crate::budget::Category;
    let (mut desk, topic, _) = compressing();
    finish(
        &mut desk,
        JobResult::Compressed(Ok(Bytes::from_static(b"small"))),
    );
    let produced = desk.next();
    desk.ok(&produced, 0);
    desk.append(topic, 0, 1).unwrap();
    finish(&mut desk, JobResult::Refused);
    let produced = desk.next();
    desk.ok(&produced, 10);
    assert_eq!(desk.engine.memory_used(Category::Producer), 0);
}
