//! Whole records between Klamm and other people's clients, in every codec and through a real broker: what librdkafka and
//! franz-go write Klamm reads exactly, and what Klamm writes they and Java read exactly.
//!
//! What the others wrote is kept in `tests/fixtures/foreign.txt`, for tests without a broker. To write it anew:
//! ```text
//! KLAMM_FOREIGN_BATCHES=$PWD/foreign.hex cargo test -p klamm-live --features live --test whole_records of_others
//! java -cp 'libs/*:out' Batches read <foreign.hex >tests/fixtures/foreign.txt     (see tests/fixtures/Batches.java)
//! ```

use bytes::{Bytes, BytesMut};
use klamm::Str;
use klamm::messages::*;
use klamm::record::compression::{Compressor, DecompressBuffer, Decompressor};
use klamm::record::{
    BatchBuilder, BatchProducer, Batches, Codec, HeaderRef, Headers, RecordRef, Records,
};
use klamm::wire::Writer;
use klamm::wire::header::{decode_response, encode_request};
use klamm_live::java::class;
use klamm_live::kafka::Kafka;
use klamm_live::whole_records::Foreign;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIME: i64 = 1_700_000_000_000;

/// A record as it is written down for the other clients: see `foreign/librdkafka.py`.
fn line(record: &RecordRef<'_>) -> String {
    let show = |field: Option<&[u8]>| {
        field.map_or("~".to_owned(), |bytes| {
            let digits = bytes.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("text grows");
                text
            });
            format!("\"{digits}\"")
        })
    };
    let (key, value) = (show(record.key), show(record.value));
    let mut line = format!("{} {key} {value}", record.timestamp);
    for header in record.headers {
        let (name, value) = (show(Some(header.key)), show(header.value));
        write!(line, " {name}={value}").expect("text grows");
    }
    line
}

/// Calls `use_them` with all that a record can have and can lack; for codecs also with enough for several of their blocks,
/// and with what none can make shorter.
fn with_records<T>(codec: Codec, use_them: impl FnOnce(&[RecordRef<'_>]) -> T) -> T {
    let headers = [
        HeaderRef::new("trace", Some(b"4bf92f35")),
        HeaderRef::new("größe", Some(b"")),
        HeaderRef::new("trace", None),
    ];
    let (long, late) = (
        [b'x'; 300],
        "It was late evening when K. arrived. ".repeat(30),
    );
    let noise: Vec<u8> = (0..1500_u32)
        .scan(0x9e37_79b9_u32, |state, _| {
            *state ^= *state << 13;
            *state ^= *state >> 17;
            *state ^= *state << 5;
            Some(b'!' + (*state % 90) as u8)
        })
        .collect();
    let mut records = vec![
        RecordRef::new(TIME, Some(b"key"), Some(b"value")),
        RecordRef::new(TIME + 1, None, Some(b"no key")),
        RecordRef::new(TIME - 1, Some(b"a tombstone"), None),
        RecordRef::new(TIME + 600_000, None, None),
        RecordRef::new(TIME, Some(b""), Some(b"")),
        RecordRef {
            headers: Headers::from(&headers[..]),
            ..RecordRef::new(TIME, Some(b"with headers"), Some(&long))
        },
    ];
    if codec != Codec::None {
        records.push(RecordRef::new(TIME, None, Some(&noise)));
        let late = RecordRef::new(TIME, Some(b"many"), Some(late.as_bytes()));
        records.extend([late; 150]);
    }
    use_them(&records)
}

fn numbered(lines: &[String]) -> Vec<String> {
    (0..)
        .zip(lines)
        .map(|(offset, line): (i64, _)| format!("{offset} {line}"))
        .collect()
}

/// What Klamm reads in whole batches, and their codecs.
fn read(segment: &[u8]) -> (Vec<String>, Vec<Codec>) {
    let (mut lines, mut codecs) = (Vec::new(), Vec::new());
    let (mut decompressor, mut buffer) = (Decompressor::new(), DecompressBuffer::new());
    for batch in Batches::new(segment) {
        let batch = batch.expect("a whole batch");
        batch.check_crc().expect("the checksum fits");
        codecs.push(batch.header().codec());
        decompressor
            .decompress(
                batch.header().codec(),
                batch.records_area(),
                &mut buffer,
                1 << 20,
            )
            .expect("decompressed");
        for record in Records::new(batch.header(), buffer.as_slice()) {
            let record = record.expect("a record");
            lines.push(format!("{} {}", record.offset, line(&record)));
        }
    }
    (lines, codecs)
}

#[test]
fn klamm_reads_the_batches_of_others() {
    let kafka = Kafka::shared();
    let mut kept = String::new();
    for foreign in Foreign::ALL {
        for codec in Codec::ALL {
            let lines: Vec<String> =
                with_records(codec, |records| records.iter().map(line).collect());
            let topic = kafka.topic("others", 1);
            foreign.produce(&kafka.bootstrap(), &topic, codec.name(), &lines);
            let directory = kafka.log_directory(0, &topic, 0);
            let segment = std::fs::read(directory.join("00000000000000000000.log"));
            let segment = segment.expect("a segment");
            let (read, codecs) = read(&segment);
            assert_eq!(read, numbered(&lines), "{foreign:?} {codec}");
            assert!(codecs.iter().all(|of_batch| *of_batch == codec));
            write!(kept, "{}-{codec} ", foreign.name()).expect("text grows");
            for byte in &segment {
                write!(kept, "{byte:02x}").expect("text grows");
            }
            kept.push('\n');
        }
    }
    if let Some(file) = std::env::var_os("KLAMM_FOREIGN_BATCHES") {
        std::fs::write(file, kept).expect("the file can be written");
    }
}

/// Produces one batch to partition 0 of the topic.
fn produce(address: &str, topic: &str, batch: Bytes) {
    const VERSION: i16 = 9;
    let partition = PartitionProduceData {
        records: Some(batch),
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: Str::from(topic),
            partition_data: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let frame = encode_request(&request, VERSION, 1, None, Writer::new(BytesMut::new()));
    let mut socket = TcpStream::connect(address).expect("the broker is there");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a TCP socket");
    socket
        .write_all(&frame.expect("it can be said").to_vec())
        .expect("sent");
    let mut size = [0; 4];
    socket.read_exact(&mut size).expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    socket.read_exact(&mut answer).expect("all of it");
    let (_, response) =
        decode_response::<ProduceRequest>(answer.into(), VERSION).expect("an answer");
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(
        (partition.error_code, partition.base_offset),
        (0, 0),
        "{partition:?}"
    );
}

/// What Java's console consumer prints of a record.
fn as_java_prints((offset, record): (i64, &RecordRef<'_>)) -> String {
    let text = |field: Option<&[u8]>| {
        field.map_or("~".to_owned(), |bytes| {
            String::from_utf8_lossy(bytes).into_owned()
        })
    };
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|header| format!("{}:{}", text(Some(header.key)), text(header.value)))
        .collect();
    let headers = if headers.is_empty() {
        "NO_HEADERS".to_owned()
    } else {
        headers.join(",")
    };
    format!(
        "CreateTime:{}\tOffset:{offset}\t{headers}\t{}\t{}",
        record.timestamp,
        text(record.key),
        text(record.value)
    )
}

#[test]
fn others_read_the_batches_of_klamm() {
    let kafka = Kafka::shared();
    let mut compressor = Compressor::new();
    for codec in Codec::ALL {
        with_records(codec, |records| {
            let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
            for record in records {
                builder.try_append(record).expect("there is room");
            }
            let plain = builder.finish().expect("there are records");
            let batch = if codec == Codec::None {
                plain
            } else {
                plain
                    .compress(&mut compressor, codec, None, BytesMut::new())
                    .expect("compressed")
            };
            let topic = kafka.topic("ours", 1);
            produce(&kafka.address(0), &topic, batch.seal(BatchProducer::None));

            let lines: Vec<String> = records.iter().map(line).collect();
            for foreign in Foreign::ALL {
                let read = foreign.consume(&kafka.bootstrap(), &topic, records.len());
                assert_eq!(read, numbered(&lines), "{foreign:?} {codec}");
            }
            let count = records.len().to_string();
            let mut args = vec!["--topic", &topic, "--from-beginning"];
            args.extend(["--max-messages", &count, "--timeout-ms", "30000"]);
            for property in [
                "print.timestamp=true",
                "print.offset=true",
                "print.headers=true",
                "print.key=true",
                "null.literal=~",
            ] {
                args.extend(["--formatter-property", property]);
            }
            let printed = kafka.tool(class::CONSOLE_CONSUMER, &args, b"");
            let expected: Vec<String> = (0..).zip(records).map(as_java_prints).collect();
            assert_eq!(printed.lines(), expected, "Java {codec}");
        });
    }
}
