//! Record batches against Kafka's own code, without a client in between: Java reads a segment file that Klamm wrote, and Klamm
//! one that a broker wrote.

use bytes::BytesMut;
use klamm::record::compression::{Compressor, DecompressBuffer, Decompressor};
use klamm::record::{
    BatchBuilder, BatchProducer, Batches, Codec, HeaderRef, Headers, RecordRef, Records, rewrite,
};
use klamm_live::java::{self, class};
use klamm_live::kafka::Kafka;
use std::fs;

const TIME: i64 = 1_700_000_000_000;

/// All that a record can have, and all that it can lack.
fn records<'a>(headers: &'a [HeaderRef<'a>], long: &'a [u8]) -> Vec<RecordRef<'a>> {
    vec![
        RecordRef::new(TIME, Some(b"key"), Some(b"value")),
        RecordRef::new(TIME + 5_000_000, None, Some(b"no key, and later")),
        RecordRef::new(TIME - 7, Some(b"tombstone"), None),
        RecordRef::new(TIME, Some(b""), Some(b"")),
        RecordRef {
            headers: Headers::from(headers),
            ..RecordRef::new(TIME, Some(b"with headers"), Some(b"one of them null"))
        },
        RecordRef::new(TIME, Some(b"long"), Some(long)),
    ]
}

/// What Java's DumpLogSegments prints of a record.
fn as_java_prints(offset: i64, record: &RecordRef<'_>) -> String {
    let size = |field: Option<&[u8]>| field.map_or(-1, |f| i64::try_from(f.len()).expect("short"));
    let keys: Vec<String> = record
        .headers
        .iter()
        .map(|header| text(Some(header.key)))
        .collect();
    let mut line = format!(
        "| offset: {offset} CreateTime: {} keySize: {} valueSize: {} sequence: -1 headerKeys: [{}]",
        record.timestamp,
        size(record.key),
        size(record.value),
        keys.join(",")
    );
    if record.key.is_some() {
        line += &format!(" key: {}", text(record.key));
    }
    if record.value.is_some() {
        line += &format!(" payload: {}", text(record.value));
    }
    line
}

#[test]
fn java_reads_the_batches_that_klamm_writes() {
    let headers = [
        HeaderRef::new("trace", Some(b"1")),
        HeaderRef::new("none", None),
    ];
    let long = b"klamm ".repeat(50_000);
    let records = records(&headers, &long);
    let (mut segment, mut compressor) = (Vec::new(), Compressor::new());
    let mut expected = Vec::new();
    let mut next = 0;
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
        for record in &records {
            builder.try_append(record).expect("room for all");
            expected.push(as_java_prints(next, record));
            next += 1;
        }
        let plain = builder.finish().expect("not empty");
        let batch = match codec {
            Codec::None => plain,
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => plain
                .compress(&mut compressor, codec, None, BytesMut::new())
                .expect("compressed"),
        };
        let mut batch = batch.seal(BatchProducer::None).to_vec();
        let base = next - i64::try_from(records.len()).expect("few");
        rewrite::assign_offsets(&mut batch, base, 0).expect("a whole batch");
        segment.extend(batch);
    }
    let directory = std::env::temp_dir().join(format!("klamm-live-records-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("temporary files can be written");
    let file = directory.join("00000000000000000000.log");
    fs::write(&file, &segment).expect("temporary files can be written");

    let args = ["--print-data-log", "--files", &file.display().to_string()];
    let dump = java::tool(class::DUMP_LOG_SEGMENTS, &args, b"");

    fs::remove_dir_all(&directory).expect("a directory of this process");
    let printed: Vec<&str> = dump
        .stdout
        .lines()
        .filter(|line| line.starts_with("| offset"))
        .collect();
    assert_eq!(printed, expected);
    for codec in Codec::ALL {
        let of_codec = format!("compresscodec: {codec} ");
        let batch = dump.stdout.lines().find(|line| line.contains(&of_codec));
        let batch = batch.unwrap_or_else(|| panic!("no batch with {of_codec}in {}", dump.stdout));
        assert!(batch.ends_with("isvalid: true"), "{batch}");
    }
}

fn text(field: Option<&[u8]>) -> String {
    field.map_or("null".to_owned(), |bytes| {
        String::from_utf8_lossy(bytes).into_owned()
    })
}

#[test]
fn klamm_reads_the_batches_that_java_writes() {
    let kafka = Kafka::shared();
    let (mut decompressor, mut buffer) = (Decompressor::new(), DecompressBuffer::new());
    let long = "klamm ".repeat(50_000);
    let lines = format!(
        "trace:1,none:NULL\tkey\tvalue\nNULL\tNULL\tno key\nNULL\ttombstone\tNULL\nNULL\t\t\nNULL\tlong\t{long}\n"
    );
    for codec in Codec::ALL {
        let topic = kafka.topic("records", 1);
        let mut args = vec!["--topic", &topic, "--compression-codec", codec.name()];
        for property in ["parse.key=true", "parse.headers=true", "null.marker=NULL"] {
            args.extend(["--reader-property", property]);
        }
        kafka.tool(class::CONSOLE_PRODUCER, &args, lines.as_bytes());

        let segment = fs::read(
            kafka
                .log_directory(0, &topic, 0)
                .join("00000000000000000000.log"),
        )
        .expect("a segment");
        let mut read = Vec::new();
        for batch in Batches::new(&segment) {
            let batch = batch.expect("a whole batch");
            batch.check_crc().expect("the checksum that Java wrote");
            assert_eq!(batch.header().codec(), codec);
            let area = batch.records_area();
            decompressor
                .decompress(codec, area, &mut buffer, 1 << 20)
                .expect("decompressed");
            for record in Records::new(batch.header(), buffer.as_slice()) {
                let record = record.expect("a record");
                let headers: Vec<_> = record
                    .headers
                    .iter()
                    .map(|h| (text(Some(h.key)), text(h.value)))
                    .collect();
                read.push((record.offset, text(record.key), text(record.value), headers));
            }
        }
        let headers = vec![
            ("trace".to_owned(), "1".to_owned()),
            ("none".to_owned(), "null".to_owned()),
        ];
        let expected = [
            ("key", "value"),
            ("null", "no key"),
            ("tombstone", "null"),
            ("", ""),
            ("long", &long),
        ];
        let expected: Vec<_> = (0_i64..)
            .zip(expected)
            .map(|(offset, (key, value))| {
                let headers = if offset == 0 {
                    headers.clone()
                } else {
                    Vec::new()
                };
                (offset, key.to_owned(), value.to_owned(), headers)
            })
            .collect();
        assert_eq!(read, expected, "{codec}");
    }
}
