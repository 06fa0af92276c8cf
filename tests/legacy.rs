//! Messages of the record formats v0 and v1 are read exactly as Kafka's own Java classes read them, and broken ones are
//! refused.
//!
//! `tests/fixtures/messages.txt` was written by `tests/fixtures/Messages.java`.
#![cfg(all(
    feature = "legacy",
    feature = "gzip",
    feature = "snappy",
    feature = "lz4"
))]

use std::fmt::Write;

use bytes::BytesMut;
use klamm::record::compression::{Compressor, DecompressBuffer, DecompressError, Decompressor};
use klamm::record::{
    BatchError, BatchView, Batches, Codec, RecordError, RecordErrorReason, Records, TimestampType,
    rewrite,
};

const JAVA: &str = include_str!("fixtures/messages.txt");

fn sets() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    JAVA.split("= ")
        .filter(|part| part.contains('\n'))
        .map(|part| {
            let mut lines = part.lines();
            let (name, hex) = (lines.next().expect("a name"), lines.next().expect("bytes"));
            (name, from_hex(hex))
        })
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

/// The file as the Java program prints it, from what we read.
fn describe() -> String {
    let mut text = String::new();
    let (mut decompressor, mut buffer) = (Decompressor::new(), DecompressBuffer::new());
    for (name, bytes) in sets() {
        writeln!(text, "= {name}\n{}", hex(&bytes)).expect("text grows");
        for batch in Batches::new(&bytes) {
            let batch = batch.expect(name);
            batch.check_crc().expect(name);
            let header = batch.header();
            let times = match header.timestamp_type() {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            };
            writeln!(
                text,
                "magic={} last={} next={} codec={} times={times} max={}",
                header.magic,
                header.last_offset(),
                header.next_offset(),
                header.codec(),
                header.max_timestamp
            )
            .expect("text grows");
            decompressor
                .decompress(header.codec(), batch.records_area(), &mut buffer, 1 << 20)
                .expect(name);
            for record in Records::new(header, buffer.as_slice()) {
                let record = record.expect(name);
                assert!(record.headers.is_empty(), "these formats have none");
                let (key, value) = (show(record.key), show(record.value));
                writeln!(text, "{} {} {key} {value}", record.offset, record.timestamp)
                    .expect("text grows");
            }
        }
    }
    text
}

#[test]
fn what_java_writes_in_every_shape_and_codec_is_read_exactly() {
    assert_eq!(sets().count(), 52);
    let read = describe();
    for (read, expected) in read.lines().zip(JAVA.lines()) {
        assert_eq!(read, expected);
    }
    assert_eq!(read.lines().count(), JAVA.lines().count());
}

/// A whole message: offset, attributes, time, key and value.
fn message(magic: u8, offset: i64, attributes: u8, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic == 1 {
        body.extend(1_500_000_000_000_i64.to_be_bytes());
    }
    body.extend((-1_i32).to_be_bytes());
    body.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
    body.extend(value.unwrap_or_default());
    let mut message = offset.to_be_bytes().to_vec();
    message.extend((body.len() as i32 + 4).to_be_bytes());
    message.extend(crc32(&body).to_be_bytes());
    message.extend(body);
    message
}

/// CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

fn wrapper(magic: u8, offset: i64, codec: Codec, set: &[u8]) -> Vec<u8> {
    let mut compressed = BytesMut::new();
    Compressor::new()
        .compress(codec, None, set, &mut compressed)
        .expect("it is compressed");
    message(magic, offset, codec.id(), Some(&compressed))
}

type Read = Result<Vec<(i64, i64)>, RecordError>;

/// Offsets and times of the records of the first batch, read from `start` on.
fn read_from(bytes: &[u8], start: i64) -> Read {
    let batch = BatchView::parse(bytes).expect("a batch");
    batch.check_crc().expect("it is intact");
    let mut buffer = DecompressBuffer::new();
    Decompressor::new()
        .decompress(
            batch.header().codec(),
            batch.records_area(),
            &mut buffer,
            1 << 16,
        )
        .expect("it is decompressed");
    Records::new(batch.header(), buffer.as_slice())
        .starting_at(start)
        .map(|record| record.map(|record| (record.offset, record.timestamp)))
        .collect()
}

fn refused(bytes: &[u8]) -> RecordErrorReason {
    read_from(bytes, 0).expect_err("it is refused").reason
}

fn plain(magic: u8, offset: i64) -> Vec<u8> {
    message(magic, offset, 0, Some(b"value"))
}

#[test]
fn a_read_that_begins_within_a_wrapper_leaves_out_what_is_before() {
    let set = [plain(1, 0), plain(1, 1), plain(1, 2)].concat();
    let offsets = |start| -> Vec<i64> {
        let read = read_from(&wrapper(1, 12, Codec::Lz4, &set), start);
        let read = read.expect("it is read");
        read.into_iter().map(|(offset, _)| offset).collect()
    };
    assert_eq!(offsets(0), [10, 11, 12]);
    assert_eq!(offsets(11), [11, 12]);
    assert_eq!(offsets(13), [0_i64; 0]);
}

#[test]
fn a_reading_may_be_left_anywhere_and_gone_on_with() {
    let set = [plain(1, 0), plain(1, 1), plain(1, 2)].concat();
    for (bytes, expected) in [
        (wrapper(1, 12, Codec::Lz4, &set), vec![10, 11, 12]),
        (plain(0, 7), vec![7]),
    ] {
        let (mut buffer, mut offsets) = (DecompressBuffer::new(), Vec::new());
        let batch = BatchView::parse(&bytes).expect("a batch");
        let codec = batch.header().codec();
        Decompressor::new()
            .decompress(codec, batch.records_area(), &mut buffer, 1 << 16)
            .expect("it is decompressed");
        let records = || Records::new(batch.header(), buffer.as_slice());
        let mut mark = records().mark();
        loop {
            let mut resumed = records().resumed_at(mark);
            let Some(record) = resumed.next() else { break };
            offsets.push(record.expect("a record").offset);
            mark = resumed.mark();
        }
        assert_eq!(offsets, expected);
    }
    // What cannot be read cannot be read later either, and is an error once.
    let empty = wrapper(1, 12, Codec::Gzip, &[]);
    let batch = BatchView::parse(&empty).expect("a batch");
    let records = || Records::new(batch.header(), &[]);
    let mut resumed = records().resumed_at(records().mark());
    assert!(matches!(resumed.next(), Some(Err(_))));
    assert_eq!(records().resumed_at(resumed.mark()).next(), None);
}

#[test]
fn a_wrapper_of_v1_may_hold_messages_of_v0_which_have_no_time() {
    let set = [plain(0, 0), plain(1, 1)].concat();
    assert_eq!(
        read_from(&wrapper(1, 5, Codec::Gzip, &set), 0),
        Ok(vec![(4, -1), (5, 1_500_000_000_000)])
    );
}

#[test]
fn a_set_that_no_client_writes_is_refused_with_the_reason() {
    let gzip = |magic, offset, set: &[Vec<u8>]| wrapper(magic, offset, Codec::Gzip, &set.concat());
    let one = |message: Vec<u8>| refused(&gzip(1, 9, &[message]));
    let nested = wrapper(1, 0, Codec::Gzip, &plain(1, 0));
    assert_eq!(one(nested), RecordErrorReason::NestedCompression);
    let mut damaged = plain(1, 0);
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        one(damaged),
        RecordErrorReason::CrcMismatch { .. }
    ));
    assert_eq!(
        one(message(2, 0, 0, Some(b"value"))),
        RecordErrorReason::ForeignMagic { magic: 2 }
    );
    let cut = plain(1, 0)[..20].to_vec();
    assert_eq!(one(cut), RecordErrorReason::Truncated);
    for magic in [0, 1] {
        assert_eq!(refused(&gzip(magic, 9, &[])), RecordErrorReason::Truncated);
        let twice = [plain(magic, 3), plain(magic, 3)];
        assert_eq!(
            refused(&gzip(magic, 3, &twice)),
            RecordErrorReason::OffsetNotAscending { delta: 0 }
        );
    }
    assert_eq!(
        refused(&gzip(0, 9, &[plain(0, 10)])),
        RecordErrorReason::OffsetOutOfBatch { delta: 1 }
    );
    assert_eq!(
        refused(&gzip(1, 0, &[plain(1, 0), plain(1, 1)])),
        RecordErrorReason::OffsetNotAscending { delta: -1 }
    );
    let mut long_key = plain(0, 9);
    long_key[18..22].copy_from_slice(&100_i32.to_be_bytes());
    reseal(&mut long_key);
    assert_eq!(refused(&long_key), RecordErrorReason::Truncated);
    long_key[18..22].copy_from_slice(&(-2_i32).to_be_bytes());
    reseal(&mut long_key);
    let length = -2;
    assert_eq!(
        refused(&long_key),
        RecordErrorReason::NegativeLength { length }
    );
    let mut more = plain(0, 9);
    more[22..26].copy_from_slice(&3_i32.to_be_bytes());
    reseal(&mut more);
    let unused = 2;
    assert_eq!(refused(&more), RecordErrorReason::LengthMismatch { unused });
}

/// Makes the checksum of a message fit again.
fn reseal(message: &mut [u8]) {
    let crc = crc32(&message[16..]);
    message[12..16].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn a_message_that_cannot_be_is_refused_as_damaged_or_by_the_field() {
    let no_value = message(1, 7, Codec::Gzip.id(), None);
    assert_eq!(
        BatchView::parse(&no_value),
        Err(BatchError::InvalidField {
            base_offset: 7,
            field: "value",
            value: -1
        })
    );
    for id in [4, 5, 7] {
        let base_offset = 7;
        assert_eq!(
            BatchView::parse(&message(0, 7, id, Some(b"value"))),
            Err(BatchError::UnknownCodec { base_offset, id })
        );
    }
    for offset in [-1, i64::MAX] {
        assert!(matches!(
            BatchView::parse(&plain(1, offset)),
            Err(BatchError::InvalidField {
                field: "offset",
                ..
            })
        ));
    }
    let mut damaged = message(0, 7, 7, Some(b"value"));
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        BatchView::parse(&damaged),
        Err(BatchError::CrcMismatch { base_offset: 7, .. })
    ));
    for (magic, smallest) in [(0, 26), (1, 34)] {
        let mut short = message(magic, 7, 0, None);
        assert_eq!(short.len(), smallest);
        assert!(BatchView::parse(&short).is_ok());
        let length = smallest as i32 - 12 - 1;
        short[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(
            BatchView::parse(&short),
            Err(BatchError::InvalidLength {
                base_offset: 7,
                length
            })
        );
    }
}

#[test]
fn a_message_that_is_cut_off_ends_the_walk() {
    let both = [plain(0, 3), plain(1, 4)].concat();
    for cut in 1..both.len() - plain(0, 3).len() {
        let mut walk = Batches::new(&both[..both.len() - cut]);
        assert_eq!(walk.next().unwrap().unwrap().header().next_offset(), 4);
        assert!(walk.next().is_none());
    }
    for cut in 1..plain(0, 3).len() {
        let error = Batches::new(&both[..cut]).next().unwrap();
        assert!(matches!(error, Err(BatchError::Incomplete { .. })));
    }
}

#[test]
fn what_is_decompressed_is_bounded() {
    let bomb = vec![0; 10 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let bytes = wrapper(1, 9, codec, &bomb);
        let batch = BatchView::parse(&bytes).expect("a batch");
        let mut buffer = DecompressBuffer::new();
        let refused =
            Decompressor::new().decompress(codec, batch.records_area(), &mut buffer, 100_000);
        assert!(matches!(refused, Err(DecompressError::Exhausted { .. })));
        assert!(buffer.capacity() <= 100_000);
    }
}

#[test]
fn nothing_old_is_rewritten() {
    let mut old = plain(1, 3);
    let before = old.clone();
    assert_eq!(
        rewrite::assign_offsets(&mut old, 5, 1),
        Err(BatchError::UnsupportedMagic {
            base_offset: 3,
            magic: 1
        })
    );
    assert!(rewrite::assign_append_time(&mut old, 5).is_err());
    assert_eq!(old, before);
}

/// Every fixture with every byte changed and every length cut: refused or read, within bounds, and never a panic.
#[test]
fn damage_anywhere_is_an_error_or_other_records_and_never_a_panic() {
    let mut decompressor = Decompressor::new();
    let mut buffer = DecompressBuffer::new();
    let mut read = |bytes: &[u8]| {
        let mut records = 0;
        for batch in Batches::new(bytes).map_while(Result::ok) {
            let (header, area) = (batch.header(), batch.records_area());
            let codec = header.codec();
            if decompressor
                .decompress(codec, area, &mut buffer, 1 << 18)
                .is_ok()
            {
                let all = Records::new(header, buffer.as_slice());
                records += all.filter(Result::is_ok).count();
            }
        }
        records
    };
    for (name, bytes) in sets().filter(|(_, bytes)| bytes.len() < 700) {
        assert!(read(&bytes) > 0, "{name}");
        for at in 0..bytes.len() {
            read(&bytes[..at]);
            for change in [0x01, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert!(read(&changed) <= 256, "{name} at {at}");
            }
        }
    }
}
