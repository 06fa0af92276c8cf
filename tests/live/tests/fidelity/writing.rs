//! Produce and InitProducerId.

use bytes::{Bytes, BytesMut};
use klamm::messages::{
    InitProducerIdRequest, PartitionProduceData, ProduceRequest, TopicProduceData,
};
use klamm::record::compression::Compressor;
use klamm::record::{BatchBuilder, BatchProducer, Codec, RecordRef};
use klamm::wire::crc32c;
use klamm::{Str, Uuid};

use crate::both::{Both, Side};

pub(crate) fn batch_of(producer: BatchProducer, keys: &[Option<&[u8]>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
    for key in keys {
        let record = RecordRef::new(1_790_000_000_000, *key, Some(b"value"));
        builder.try_append(&record).expect("there is room");
    }
    builder.finish().expect("records").seal(producer).to_vec()
}

/// `count` records of nobody in particular.
pub(crate) fn batch(count: usize) -> Vec<u8> {
    batch_of(BatchProducer::None, &vec![None; count])
}

pub(crate) fn idempotent(producer_id: i64, epoch: i16, sequence: i32, count: usize) -> Vec<u8> {
    let producer = BatchProducer::Idempotent {
        producer_id,
        producer_epoch: epoch,
        base_sequence: sequence,
    };
    batch_of(producer, &vec![None; count])
}

pub(crate) fn produce(side: &Side, version: i16, acks: i16, records: Vec<u8>) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: if version < 13 {
                side.name()
            } else {
                Str::EMPTY
            },
            topic_id: if version < 13 { Uuid::ZERO } else { side.id },
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Bytes::from(records)),
            }],
        }],
        ..ProduceRequest::default()
    }
}

/// A batch with `bytes` at `at`, and the checksum that fits.
fn changed(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn batches_are_appended_in_every_version() {
    let mut both = Both::with_topic(&[]);
    for version in 3..=13 {
        both.same(&format!("v{version}"), |side| {
            side.ask(version, &produce(side, version, -1, batch(3)))
        });
    }
    both.same("acks=1", |side| side.ask(9, &produce(side, 9, 1, batch(1))));
    both.same("acks=5", |side| side.ask(9, &produce(side, 9, 5, batch(1))));
}

#[test]
fn what_cannot_be_appended_is_refused_by_the_same_code() {
    let mut both = Both::with_topic(&[("max.message.bytes", "300")]);
    let control = |bits: u8| changed(batch(1), 22, &[bits]);
    let mut corrupt = batch(1);
    corrupt[70] ^= 1;
    let cases = [
        ("nothing", vec![]),
        ("too short for a batch", batch(1)[..50].to_vec()),
        ("cut", batch(1)[..70].to_vec()),
        ("a wrong bit", corrupt),
        ("two batches", [batch(1), batch(1)].concat()),
        (
            "a base offset",
            changed(batch(1), 0, &[0, 0, 0, 0, 0, 0, 0, 9]),
        ),
        ("magic 1", changed(batch(1), 16, &[1])),
        ("magic 3", changed(batch(1), 16, &[3])),
        ("too large", batch(100)),
        ("a count too high", changed(batch(2), 57, &[0, 0, 0, 3])),
        ("a count too low", changed(batch(2), 57, &[0, 0, 0, 1])),
        ("a count below zero", changed(batch(2), 57, &[255, 0, 0, 1])),
        ("last offset too low", changed(batch(2), 23, &[0, 0, 0, 0])),
        ("last offset too high", changed(batch(2), 23, &[0, 0, 0, 2])),
        ("a control batch", control(1 << 5)),
        ("gzip that is none", control(1)),
        ("zstd that is none", control(4)),
        ("codec 5", control(5)),
        (
            "a producer without a sequence",
            changed(batch(1), 43, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
        ),
        ("a gap in the deltas", changed(batch(2), 61 + 13 + 3, &[4])),
        ("bytes behind the records", changed(batch(1), 61, &[22])),
    ];
    for (what, records) in cases {
        both.same(what, |side| {
            side.ask(9, &produce(side, 9, 1, records.clone()))
        });
    }
    both.same("the log is as it was", |side| {
        side.ask(9, &produce(side, 9, 1, batch(1)))
    });
}

#[test]
fn codecs_are_taken_from_the_versions_that_allow_them() {
    let mut both = Both::with_topic(&[]);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
        let record = RecordRef::new(1_790_000_000_000, None, Some(&[b'x'; 1000]));
        builder.try_append(&record).expect("there is room");
        let plain = builder.finish().expect("a record");
        let mut compressor = Compressor::new();
        let sealed = plain
            .compress(&mut compressor, codec, None, BytesMut::new())
            .expect("a codec that is compiled in")
            .seal(BatchProducer::None)
            .to_vec();
        for version in [6, 7] {
            both.same(&format!("{codec} in v{version}"), |side| {
                side.ask(version, &produce(side, version, 1, sealed.clone()))
            });
        }
    }
}

#[test]
fn a_compacted_topic_wants_keys() {
    let mut both = Both::with_topic(&[("cleanup.policy", "compact")]);
    let some: &[Option<&[u8]>] = &[Some(b"a"), None, Some(b"c"), None];
    both.same("some records have none", |side| {
        let records = batch_of(BatchProducer::None, some);
        side.ask(9, &produce(side, 9, 1, records))
    });
    both.same("all have one", |side| {
        let records = batch_of(BatchProducer::None, &[Some(b"a"), Some(b"b")]);
        side.ask(9, &produce(side, 9, 1, records))
    });
}

#[test]
fn unknown_topics_and_partitions() {
    let mut both = Both::with_topic(&[]);
    both.same("a name", |side| {
        let mut request = produce(side, 9, 1, batch(1));
        request.topic_data[0].name = Str::from("no-such-topic");
        side.ask(9, &request)
    });
    both.same("an id", |side| {
        let mut request = produce(side, 13, 1, batch(1));
        request.topic_data[0].topic_id = Uuid::from(77);
        side.ask(13, &request)
    });
    both.same("the id of nothing", |side| {
        let mut request = produce(side, 13, 1, batch(1));
        request.topic_data[0].topic_id = Uuid::ZERO;
        side.ask(13, &request)
    });
    both.same("a partition", |side| {
        let mut request = produce(side, 9, 1, batch(1));
        request.topic_data[0].partition_data[0].index = 7;
        side.ask(9, &request)
    });
}

#[test]
fn sequences_are_checked_alike() {
    let mut both = Both::with_topic(&[]);
    both.each(|side| {
        let id = side.producer_id();
        side.kept.insert("id", id);
    });
    let script = [
        ("no state, any sequence", 0, 17, 3),
        ("the next", 0, 20, 2),
        ("a duplicate", 0, 17, 3),
        ("its start with another length", 0, 17, 2),
        ("a gap", 0, 23, 1),
        ("a step back", 0, 21, 1),
        ("third", 0, 22, 1),
        ("fourth", 0, 23, 1),
        ("fifth", 0, 24, 1),
        ("the oldest of five", 0, 17, 3),
        ("sixth", 0, 25, 1),
        ("older than five", 0, 17, 3),
        ("the oldest of five again", 0, 20, 2),
        ("a new epoch not at zero", 1, 26, 1),
        ("a new epoch at zero", 1, 0, 2),
        ("the old epoch", 0, 26, 1),
        ("a duplicate of the old epoch", 0, 25, 1),
        ("a duplicate of the new epoch", 1, 0, 2),
        ("an epoch further on", 5, 0, 1),
    ];
    for (what, epoch, sequence, count) in script {
        both.same(what, |side| {
            let records = idempotent(side.kept["id"], epoch, sequence, count);
            side.ask(9, &produce(side, 9, -1, records))
        });
    }
}

#[test]
fn sequences_wrap_alike() {
    let mut both = Both::with_topic(&[]);
    both.each(|side| {
        let id = side.producer_id();
        side.kept.insert("id", id);
    });
    for (sequence, count) in [(i32::MAX - 1, 5), (3, 1), (i32::MAX - 1, 5), (5, 1)] {
        both.same(&format!("{sequence}"), |side| {
            let records = idempotent(side.kept["id"], 0, sequence, count);
            side.ask(9, &produce(side, 9, -1, records))
        });
    }
}

#[test]
fn errors_of_acks_0_close_the_connection() {
    let mut both = Both::with_topic(&[]);
    both.same("a wrong bit", |side| {
        let mut records = batch(1);
        records[70] ^= 1;
        side.ask(9, &produce(side, 9, 0, records))
    });
}

#[test]
fn producer_ids_are_given_to_whom_has_no_transactions() {
    let mut both = Both::without_topic();
    both.each(|side| {
        side.producer_id();
    });
    for version in 0..=5 {
        both.same(&format!("v{version}"), |side| {
            let ask = InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: i32::MAX,
                ..InitProducerIdRequest::default()
            };
            side.ask(version, &ask)
        });
    }
    both.same("an id and epoch that it has", |side| {
        let ask = InitProducerIdRequest {
            transactional_id: None,
            producer_id: 5,
            producer_epoch: 3,
            ..InitProducerIdRequest::default()
        };
        side.ask(4, &ask)
    });
    both.same("an empty transactional id", |side| {
        side.ask(4, &InitProducerIdRequest::default())
    });
}
