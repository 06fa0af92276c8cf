//! Batches that Kafka's own Java classes wrote are read exactly, and Java reads what Klamm writes.
//!
//! `tests/fixtures/batches.txt` was written by `tests/fixtures/Batches.java`. `tests/fixtures/ours.txt` holds batches
//! that Klamm wrote, and what the same program read in them; `tests/fixtures/foreign.txt` those that librdkafka and
//! franz-go wrote to a broker, as `tests/live/tests/whole_records.rs` had them do.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    any(feature = "zstd", feature = "zstd-c")
))]

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use klamm::record::compression::{DecompressBuffer, Decompressor};
use klamm::record::control::{TransactionEnd, end_transaction_marker};
use klamm::record::{
    BatchBuilder, BatchProducer, BatchView, Batches, HeaderRef, Headers, RecordRef, Records,
    TimestampType, rewrite,
};

const JAVA: &str = include_str!("fixtures/batches.txt");
const FOREIGN: &str = include_str!("fixtures/foreign.txt");
const OURS: &str = include_str!("fixtures/ours.txt");

/// Name and bytes of each batch in a file.
fn batches(file: &'static str) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    file.split("= ")
        .filter(|part| part.contains('\n'))
        .map(|part| {
            let mut lines = part.lines();
            (
                lines.next().expect("a name"),
                from_hex(lines.next().expect("its bytes")),
            )
        })
}

fn batch_of(file: &'static str, name: &str) -> Vec<u8> {
    batches(file)
        .find(|(found, _)| *found == name)
        .expect("it is in the file")
        .1
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text grows");
        text
    })
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "~".to_owned(),
        Some(bytes) if bytes.len() > 64 => {
            format!("#{}:{:08x}", bytes.len(), crc32c::crc32c(bytes))
        }
        Some(bytes) => format!("\"{}\"", hex(bytes)),
    }
}

/// A file as the Java program prints it, from what we read.
fn describe(file: &'static str) -> String {
    let (mut text, mut decompressor, mut buffer) =
        (String::new(), Decompressor::new(), DecompressBuffer::new());
    for (name, bytes) in batches(file) {
        writeln!(text, "= {name}\n{}", hex(&bytes)).expect("text grows");
        for batch in Batches::new(&bytes) {
            let batch = batch.expect(name);
            batch.check_crc().expect(name);
            let header = batch.header();
            decompressor
                .decompress(header.codec(), batch.records_area(), &mut buffer, 1 << 20)
                .expect(name);
            describe_header(&mut text, &batch);
            for record in Records::new(header, buffer.as_slice()) {
                describe_record(&mut text, &record.expect(name));
            }
        }
    }
    text
}

fn describe_header(text: &mut String, batch: &BatchView<'_>) {
    let header = batch.header();
    let times = match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let horizon = header
        .delete_horizon()
        .map_or("~".to_owned(), |time| time.to_string());
    writeln!(
        text,
        "base={} last={} next={} leader_epoch={} codec={} times={times} max={} producer={}/{} sequence={}..{} \
         transactional={} control={} horizon={horizon} count={}",
        header.base_offset,
        header.last_offset(),
        header.next_offset(),
        header.partition_leader_epoch,
        header.codec(),
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        header.is_transactional(),
        header.is_control(),
        header.records_count,
    )
    .expect("text grows");
}

fn describe_record(text: &mut String, record: &RecordRef<'_>) {
    write!(
        text,
        "{} {} {} {}",
        record.offset,
        record.timestamp,
        show(record.key),
        show(record.value)
    )
    .expect("text grows");
    for header in record.headers {
        write!(text, " {}={}", show(Some(header.key)), show(header.value)).expect("text grows");
    }
    text.push('\n');
}

fn assert_same(read: &str, expected: &str) {
    for (read, expected) in read.lines().zip(expected.lines()) {
        assert_eq!(read, expected);
    }
    assert_eq!(read.lines().count(), expected.lines().count());
}

#[test]
fn what_java_writes_in_every_shape_and_codec_is_read_exactly() {
    assert_eq!(batches(JAVA).count(), 41);
    assert_same(&describe(JAVA), JAVA);
}

#[test]
fn what_java_read_in_our_batches_is_what_is_in_them() {
    assert_eq!(batches(OURS).count(), 26);
    assert_same(&describe(OURS), OURS);
}

#[test]
fn what_librdkafka_and_franz_go_write_in_every_codec_is_read_exactly() {
    let names: Vec<&str> = batches(FOREIGN).map(|(name, _)| name).collect();
    let expected = ["librdkafka", "franz-go"].map(|client| {
        ["none", "gzip", "snappy", "lz4", "zstd"].map(|codec| format!("{client}-{codec}"))
    });
    assert_eq!(names, expected.concat());
    assert_same(&describe(FOREIGN), FOREIGN);
    // They were given the same records.
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let [librdkafka, franz_go] = ["librdkafka", "franz-go"]
            .map(|client| records_of(FOREIGN, &format!("{client}-{codec}")));
        assert_eq!(librdkafka, franz_go);
        assert_eq!(librdkafka[0].lines().count(), 157);
    }
}

/// The lines of the records, for each batch of this shape.
fn records_of(file: &'static str, shape: &str) -> Vec<String> {
    file.split("= ")
        .filter(|part| {
            part.lines()
                .next()
                .is_some_and(|name| name.ends_with(shape))
        })
        .map(|part| part.lines().skip(3).collect::<Vec<_>>().join("\n"))
        .collect()
}

#[test]
fn the_same_records_are_the_same_to_java_whoever_wrote_them_and_in_every_codec() {
    // Five codecs of Java, and five of ours and the C library's zstd.
    for (shape, java, ours) in [("-shapes", 5, 6), ("-idempotent", 5, 6)] {
        let all = [records_of(JAVA, shape), records_of(OURS, shape)];
        assert_eq!([all[0].len(), all[1].len()], [java, ours]);
        assert!(all[0][0].lines().count() == 6);
        assert!(all.iter().flatten().all(|records| *records == all[0][0]));
    }
    for (shape, lines) in [("-blocks", 200), ("-noise", 1)] {
        let offsets_and_rest = |records: &String| -> Vec<String> {
            let rest = records
                .lines()
                .map(|line| line.split_once(' ').expect("fields").1.to_owned());
            rest.collect()
        };
        let (java, ours) = (records_of(JAVA, shape), records_of(OURS, shape));
        assert_eq!((java.len(), ours.len()), (4, 5));
        let expected = offsets_and_rest(&java[0]);
        assert_eq!(expected.len(), lines);
        assert!(
            java.iter()
                .chain(&ours)
                .all(|records| offsets_and_rest(records) == expected)
        );
    }
}

const TIME: i64 = 1_700_000_000_000;

/// The records of the Java program's `shapes`.
fn shapes() -> BatchBuilder {
    const LONG: [u8; 300] = [b'x'; 300];
    const HEADERS: &[HeaderRef<'static>] = &[
        HeaderRef {
            key: b"trace",
            value: Some(b"4bf92f35"),
        },
        HeaderRef {
            key: b"",
            value: Some(b""),
        },
        HeaderRef {
            key: b"trace",
            value: None,
        },
        HeaderRef {
            key: "größe".as_bytes(),
            value: Some(b"\0\x01\x02"),
        },
    ];
    let with_headers = RecordRef::new(TIME, Some(b"with headers"), Some(&LONG));
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 16);
    for record in [
        RecordRef::new(TIME, Some(b"key"), Some(b"value")),
        RecordRef::new(TIME + 1, None, Some(b"no key")),
        RecordRef::new(TIME - 1, Some(b"a tombstone"), None),
        RecordRef::new(TIME + 600_000, None, None),
        RecordRef::new(TIME + 100_000_000_000, Some(b""), Some(b"")),
        RecordRef {
            headers: Headers::from(HEADERS),
            ..with_headers
        },
    ] {
        builder.try_append(&record).expect("there is room");
    }
    builder
}

fn stored(bytes: &Bytes, base_offset: i64, leader_epoch: i32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    rewrite::assign_offsets(&mut bytes, base_offset, leader_epoch).expect("the offsets fit");
    bytes
}

#[test]
fn what_java_writes_uncompressed_is_written_byte_for_byte() {
    let (producer_id, producer_epoch) = (4001, 3);
    let idempotent = BatchProducer::Idempotent {
        producer_id,
        producer_epoch,
        base_sequence: i32::MAX - 2,
    };
    let transactional = BatchProducer::Transactional {
        producer_id,
        producer_epoch,
        base_sequence: 0,
    };
    for (name, producer) in [
        ("none-shapes", BatchProducer::None),
        ("none-idempotent", idempotent),
        ("none-transactional", transactional),
    ] {
        let batch = shapes().finish().expect("there are records").seal(producer);
        assert_eq!(
            hex(&stored(&batch, 1000, 9)),
            hex(&batch_of(JAVA, name)),
            "{name}"
        );
    }
    for (name, end) in [
        ("marker-abort", TransactionEnd::Abort),
        ("marker-commit", TransactionEnd::Commit),
    ] {
        let batch = end_transaction_marker(end, producer_id, producer_epoch, 17, TIME);
        assert_eq!(
            hex(&stored(&batch, 88, 5)),
            hex(&batch_of(JAVA, name)),
            "{name}"
        );
    }
}
