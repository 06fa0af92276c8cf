//! Batches that Kafka's own Java classes wrote are read exactly, and Java reads what Klamm writes.
//!
//! `tests/fixtures/batches.txt` was written by `tests/fixtures/Batches.java`. `tests/fixtures/ours.txt` holds batches
//! that Klamm wrote, and what the same program read in them; they are written anew by
//! `KLAMM_OURS_TO=ours.hex cargo test -p klamm --test fixtures` (again with `--features zstd-c` for those of the C library),
//! and `java … Batches read <ours.hex`. `tests/fixtures/foreign.txt` those that librdkafka and
//! franz-go wrote to a broker, as `tests/live/tests/whole_records.rs` had them do.
#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    any(feature = "zstd", feature = "zstd-c")
))]

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use klamm::record::compression::{Compressor, DecompressBuffer, Decompressor};
use klamm::record::control::{TransactionEnd, end_transaction_marker};
use klamm::record::{
    BatchBuilder, BatchProducer, BatchView, Batches, Codec, HeaderRef, Headers, RecordRef, Records,
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
    let mut text = String::new();
    for (name, bytes) in batches(file) {
        writeln!(text, "= {name}\n{}", hex(&bytes)).expect("text grows");
        describe_batches(&mut text, name, &bytes);
    }
    text
}

fn describe_batches(text: &mut String, name: &str, bytes: &[u8]) {
    let (mut decompressor, mut buffer) = (Decompressor::new(), DecompressBuffer::new());
    for batch in Batches::new(bytes) {
        let batch = batch.expect(name);
        batch.check_crc().expect(name);
        let header = batch.header();
        decompressor
            .decompress(header.codec(), batch.records_area(), &mut buffer, 1 << 20)
            .expect(name);
        describe_header(text, &batch);
        for record in Records::new(header, buffer.as_slice()) {
            describe_record(text, &record.expect(name));
        }
    }
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

/// Those of the Java program's `blocks`.
fn blocks() -> BatchBuilder {
    let value = "It was late evening when K. arrived. ".repeat(30);
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
    for number in 0..200 {
        let key = format!("key-{}", number % 7);
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let record = RecordRef::new(TIME + number, key, value);
        builder.try_append(&record).expect("it fits");
    }
    builder
}

/// That of the Java program's `noise`.
fn noise() -> BatchBuilder {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = (0..1500)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
    let record = RecordRef::new(TIME, None, Some(&noise));
    builder.try_append(&record).expect("it fits");
    builder
}

const IDEMPOTENT: BatchProducer = BatchProducer::Idempotent {
    producer_id: 4001,
    producer_epoch: 3,
    base_sequence: i32::MAX - 2,
};
const TRANSACTIONAL: BatchProducer = BatchProducer::Transactional {
    producer_id: 4001,
    producer_epoch: 3,
    base_sequence: 0,
};

/// The batches of `ours.txt`, as they are written today.
fn ours() -> Vec<(String, Vec<u8>)> {
    let batch = |builder: BatchBuilder, codec, producer| {
        let plain = builder.finish().expect("there are records");
        let batch = match codec {
            Codec::None => plain,
            codec @ (Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd) => plain
                .compress(&mut Compressor::new(), codec, None, BytesMut::new())
                .expect("everything can be compressed"),
        };
        stored(&batch.seal(producer), 1000, 9)
    };
    let mut all = Vec::new();
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        let by_the_c_library = codec == Codec::Zstd && cfg!(feature = "zstd-c");
        let name = if by_the_c_library {
            "zstd-c"
        } else {
            codec.name()
        };
        let mut add = |shape: &str, bytes| all.push((format!("{name}-{shape}"), bytes));
        add("shapes", batch(shapes(), codec, BatchProducer::None));
        add("idempotent", batch(shapes(), codec, IDEMPOTENT));
        if codec == Codec::None {
            add("transactional", batch(shapes(), codec, TRANSACTIONAL));
            let mut late = batch(shapes(), codec, BatchProducer::None);
            rewrite::assign_append_time(&mut late, TIME + 5).expect("a batch");
            add("append-time", late);
        } else {
            add("blocks", batch(blocks(), codec, BatchProducer::None));
            add("noise", batch(noise(), codec, BatchProducer::None));
        }
    }
    for (name, end) in [
        ("marker-abort", TransactionEnd::Abort),
        ("marker-commit", TransactionEnd::Commit),
    ] {
        let marker = end_transaction_marker(end, 4001, 3, 17, TIME);
        all.push((name.to_owned(), stored(&marker, 88, 5)));
    }
    all
}

/// Compressed bytes may change with a codec's next release; what is in them may not, nor anything else.
#[test]
fn what_java_read_is_what_is_written_today() {
    let today = ours();
    if let Ok(file) = std::env::var("KLAMM_OURS_TO") {
        let lines = today
            .iter()
            .map(|(name, bytes)| format!("{name} {}\n", hex(bytes)));
        std::fs::write(file, lines.collect::<String>()).expect("the file can be written");
    }
    assert_eq!(today.len(), 22);
    for (name, bytes) in today {
        let read = batch_of(OURS, &name);
        if name.starts_with("none-") || name.starts_with("marker-") {
            assert_eq!(hex(&bytes), hex(&read), "{name}");
        }
        let [mut today, mut then] = [String::new(), String::new()];
        describe_batches(&mut today, &name, &bytes);
        describe_batches(&mut then, &name, &read);
        assert_same(&today, &then);
    }
}

fn stored(bytes: &Bytes, base_offset: i64, leader_epoch: i32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    rewrite::assign_offsets(&mut bytes, base_offset, leader_epoch).expect("the offsets fit");
    bytes
}

#[test]
fn what_java_writes_uncompressed_is_written_byte_for_byte() {
    for (name, producer) in [
        ("none-shapes", BatchProducer::None),
        ("none-idempotent", IDEMPOTENT),
        ("none-transactional", TRANSACTIONAL),
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
        let batch = end_transaction_marker(end, 4001, 3, 17, TIME);
        assert_eq!(
            hex(&stored(&batch, 88, 5)),
            hex(&batch_of(JAVA, name)),
            "{name}"
        );
    }
}
