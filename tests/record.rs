//! Record batches, from the builder to the view and back: what is written is read, and what is damaged is an error.

use bytes::{Bytes, BytesMut};
use klamm::record::{
    AppendError, BATCH_HEADER_SIZE, BatchBuilder, BatchError, BatchProducer, BatchView, Batches,
    HeaderRef, Headers, RecordErrorReason, RecordRef, Records, rewrite,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

const PRODUCER: BatchProducer = BatchProducer::Idempotent {
    producer_id: 7,
    producer_epoch: 2,
    base_sequence: 40,
};

fn sealed(records: &[RecordRef<'_>]) -> Bytes {
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 20);
    for record in records {
        let (before, promised) = (builder.size(), builder.size_of_next(record));
        builder.try_append(record).expect("there is room");
        assert_eq!(builder.size() - before, promised);
    }
    builder.finish().expect("there are records").seal(PRODUCER)
}

fn read(batch: &BatchView<'_>) -> Vec<klamm::record::Record> {
    batch
        .records()
        .expect("not compressed")
        .map(|record| record.expect("sound").to_record())
        .collect()
}

/// Reads a whole fetched area as a consumer does, and gives what it is, or why not.
fn read_all(bytes: &[u8]) -> Result<Vec<klamm::record::Record>, String> {
    let mut all = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        batch.check_crc().map_err(|error| error.to_string())?;
        for record in batch.records().map_err(|error| error.to_string())? {
            all.push(record.map_err(|error| error.to_string())?.to_record());
        }
    }
    Ok(all)
}

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
];

fn of_every_shape<'a>() -> Vec<RecordRef<'a>> {
    vec![
        RecordRef::new(1_700_000_000_000, Some(b"key"), Some(b"value")),
        RecordRef::new(1_700_000_000_001, None, Some(b"no key")),
        RecordRef::new(1_699_999_999_999, Some(b"a tombstone"), None),
        RecordRef::new(1_700_000_600_000, None, None),
        RecordRef::new(-1, Some(b""), Some(b"")),
        RecordRef {
            headers: Headers::from(HEADERS),
            ..RecordRef::new(1_700_000_000_000, None, Some(&[0xff; 300]))
        },
    ]
}

#[test]
fn what_is_appended_is_read_back() {
    let records = of_every_shape();
    let bytes = sealed(&records);
    let batch = BatchView::parse(&bytes).unwrap();
    batch.check_crc().unwrap();
    let header = batch.header();
    assert_eq!(
        (
            header.base_offset,
            header.last_offset(),
            header.records_count
        ),
        (0, 5, 6)
    );
    assert_eq!(
        (header.base_timestamp, header.max_timestamp),
        (1_700_000_000_000, 1_700_000_600_000)
    );
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.last_sequence()
        ),
        (7, 2, 40, 45)
    );
    assert_eq!(header.size(), bytes.len());
    let expected: Vec<_> = (0..)
        .zip(&records)
        .map(|(offset, record)| RecordRef { offset, ..*record }.to_record())
        .collect();
    assert_eq!(read(&batch), expected);
    let last = batch.records().unwrap().last().unwrap().unwrap();
    assert_eq!(
        (
            last.headers.len(),
            last.headers.last("trace").unwrap().value
        ),
        (3, None)
    );
}

#[test]
fn a_read_from_the_middle_leaves_out_what_is_below() {
    let mut bytes = sealed(&of_every_shape()).to_vec();
    rewrite::assign_offsets(&mut bytes, 1_000, 4).unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    for from in [0, 999, 1_000, 1_003, 1_005, 1_006, i64::MAX] {
        let offsets: Vec<i64> = batch
            .records()
            .unwrap()
            .starting_at(from)
            .map(|record| record.unwrap().offset)
            .collect();
        assert_eq!(
            offsets,
            (1_000..1_006)
                .filter(|offset| *offset >= from)
                .collect::<Vec<_>>(),
            "from {from}"
        );
    }
}

#[test]
fn a_batch_is_full_at_its_limit_to_the_byte_and_stays_as_it_was() {
    let record = RecordRef::new(5, Some(b"key"), Some(b"value"));
    let limit = BatchBuilder::size_alone(&record) + 13;
    let mut builder = BatchBuilder::new(BytesMut::new(), limit);
    builder.try_append(&record).unwrap();
    let size = builder.size_of_next(&record);
    assert_eq!(size, 15);
    assert_eq!(
        builder.try_append(&record),
        Err(AppendError::Full {
            size,
            available: 13
        })
    );
    assert_eq!((builder.count(), builder.size()), (1, limit - 13));
    let shorter = RecordRef::new(5, Some(b"key"), Some(b"val"));
    builder.try_append(&shorter).unwrap();
    assert_eq!(builder.size(), limit);
    let bytes = builder.finish().unwrap().seal(BatchProducer::None);
    assert_eq!(read(&BatchView::parse(&bytes).unwrap()).len(), 2);
}

#[test]
fn a_record_that_fits_into_no_batch_is_told_apart_from_a_full_one() {
    let record = RecordRef::new(5, None, Some(&[1; 200]));
    let size = BatchBuilder::size_alone(&record);
    let mut builder = BatchBuilder::new(BytesMut::new(), size - 1);
    assert_eq!(
        builder.try_append(&record),
        Err(AppendError::TooLarge {
            size,
            limit: size - 1
        })
    );
    assert!(builder.is_empty());
    assert_eq!(builder.finish().unwrap_err().len(), BATCH_HEADER_SIZE);
    let mut builder = BatchBuilder::new(BytesMut::new(), size);
    assert_eq!(
        builder.try_append(&RecordRef::new(-2, None, None)),
        Err(AppendError::InvalidTimestamp { timestamp: -2 })
    );
    builder.try_append(&record).unwrap();
    assert_eq!(builder.finish().unwrap().seal(PRODUCER).len(), size);
}

#[test]
fn the_buffer_of_a_batch_serves_the_next_one() {
    let mut buffer = BytesMut::with_capacity(4096);
    let place = buffer.as_ptr();
    for _ in 0..3 {
        let mut builder = BatchBuilder::new(buffer, 4000);
        while builder
            .try_append(&RecordRef::new(5, Some(b"key"), Some(b"value")))
            .is_ok()
        {}
        let bytes = builder.finish().unwrap().seal(PRODUCER);
        assert_eq!(bytes.as_ptr(), place);
        buffer = bytes.try_into_mut().expect("nobody else holds it");
        assert!(buffer.capacity() >= 4096);
    }
}

#[test]
fn a_batch_is_split_by_appending_its_records_to_smaller_ones() {
    let bytes = sealed(&of_every_shape());
    let batch = BatchView::parse(&bytes).unwrap();
    let mut halves = Vec::new();
    let mut builder = BatchBuilder::new(BytesMut::new(), 130);
    for record in batch.records().unwrap() {
        let record = record.unwrap();
        if builder.try_append(&record).is_err() {
            halves.push(builder.finish().unwrap().seal(BatchProducer::None));
            builder =
                BatchBuilder::new(BytesMut::new(), BatchBuilder::size_alone(&record).max(130));
            builder.try_append(&record).unwrap();
        }
    }
    halves.push(builder.finish().unwrap().seal(BatchProducer::None));
    assert!(halves.len() > 1);
    let again: Vec<_> = halves
        .iter()
        .flat_map(|half| read(&BatchView::parse(half).unwrap()))
        .collect();
    let whole = read(&batch);
    let without_offsets = |records: Vec<klamm::record::Record>| -> Vec<_> {
        records
            .into_iter()
            .map(|record| klamm::record::Record {
                offset: 0,
                ..record
            })
            .collect()
    };
    assert_eq!(without_offsets(again), without_offsets(whole));
}

#[test]
fn a_batch_that_was_cut_off_ends_the_walk_and_alone_it_is_an_error() {
    let one = sealed(&of_every_shape());
    let two = [one.as_ref(), one.as_ref()].concat();
    for cut in one.len()..two.len() {
        let mut batches = Batches::new(&two[..cut]);
        assert!(batches.next().unwrap().is_ok());
        assert_eq!(batches.next(), None, "cut at {cut}");
        assert_eq!(batches.rest().len(), cut - one.len());
    }
    assert_eq!(Batches::new(&two).filter(|batch| batch.is_ok()).count(), 2);
    assert_eq!(Batches::new(&[]).next(), None);
    for cut in 1..one.len() {
        let needed = if cut < 12 { 17 } else { one.len() as u64 };
        let mut batches = Batches::new(&one[..cut]);
        assert_eq!(
            batches.next(),
            Some(Err(BatchError::Incomplete {
                needed,
                available: cut
            }))
        );
        assert_eq!(batches.next(), None);
    }
}

/// With the feature they are read, for which see tests/legacy.rs.
#[cfg(not(feature = "legacy"))]
#[test]
fn a_format_before_v2_is_refused_with_the_feature_that_reads_it() {
    for magic in [0, 1] {
        let mut bytes = sealed(&of_every_shape()).to_vec();
        bytes[16] = magic;
        let error = BatchView::parse(&bytes).expect_err("it is not read");
        assert_eq!(
            error.to_string(),
            format!(
                "the batch at offset 0 is of the old record format v{magic}: build klamm with its Cargo feature `legacy` \
                 to read it"
            )
        );
    }
}

#[test]
fn other_formats_and_impossible_headers_are_named() {
    let sealed = sealed(&of_every_shape());
    for magic in [3, -1] {
        let mut bytes = sealed.to_vec();
        bytes[16] = magic as u8;
        assert_eq!(
            BatchView::parse(&bytes),
            Err(BatchError::UnsupportedMagic {
                base_offset: 0,
                magic
            })
        );
    }
    for length in [-1, i32::MIN, 0, 48] {
        let mut bytes = sealed.to_vec();
        bytes[8..12].copy_from_slice(&i32::to_be_bytes(length));
        assert_eq!(
            BatchView::parse(&bytes),
            Err(BatchError::InvalidLength {
                base_offset: 0,
                length
            })
        );
    }
    let with = |at: usize, field: &[u8]| {
        let mut bytes = sealed.to_vec();
        bytes[at..at + field.len()].copy_from_slice(field);
        // Impossible, but not damaged: the checksum fits.
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        BatchView::parse(&bytes).map(|_| ())
    };
    let invalid = |field, value| {
        Err(BatchError::InvalidField {
            base_offset: 0,
            field,
            value,
        })
    };
    assert_eq!(
        with(21, &5i16.to_be_bytes()),
        Err(BatchError::UnknownCodec {
            base_offset: 0,
            id: 5
        })
    );
    assert_eq!(
        with(23, &(-1i32).to_be_bytes()),
        invalid("lastOffsetDelta", -1)
    );
    assert_eq!(
        with(57, &(-1i32).to_be_bytes()),
        invalid("recordsCount", -1)
    );
    assert_eq!(with(57, &7i32.to_be_bytes()), invalid("recordsCount", 7));
    let mut damaged = sealed.to_vec();
    damaged[57] = 0x80;
    assert!(matches!(
        BatchView::parse(&damaged),
        Err(BatchError::CrcMismatch { base_offset: 0, .. })
    ));
}

#[test]
fn every_damaged_byte_is_an_error_or_changes_what_the_checksum_does_not_cover() {
    let good = sealed(&of_every_shape());
    let records = read_all(&good).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << bit;
            match read_all(&bytes) {
                Err(_) => {}
                // The base offset and the leader's epoch.
                Ok(read) if at < 8 => assert_eq!(read.len(), records.len()),
                Ok(read) => assert!(
                    (12..16).contains(&at) && read == records,
                    "byte {at}, bit {bit}"
                ),
            }
        }
    }
}

#[test]
fn every_damaged_byte_of_the_records_is_an_error_or_a_record_without_a_panic() {
    let good = sealed(&of_every_shape());
    let header = *BatchView::parse(&good).unwrap().header();
    for at in BATCH_HEADER_SIZE..good.len() {
        for byte in 0..=255 {
            let mut area = good[BATCH_HEADER_SIZE..].to_vec();
            area[at - BATCH_HEADER_SIZE] = byte;
            let mut records = Records::new(&header, &area);
            let mut offsets = Vec::new();
            for record in records.by_ref() {
                match record {
                    Ok(record) => offsets.push(record.offset),
                    Err(error) => assert_eq!(error.index as usize, offsets.len()),
                }
            }
            assert!(records.next().is_none());
            assert!(offsets.is_sorted() && offsets.iter().all(|offset| (0..=5).contains(offset)));
        }
    }
}

#[test]
fn a_count_that_does_not_fit_the_records_is_an_error() {
    let good = sealed(&of_every_shape());
    let batch = BatchView::parse(&good).unwrap();
    let mut header = *batch.header();
    header.records_count = 5;
    let error = Records::new(&header, batch.records_area())
        .last()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error.reason, RecordErrorReason::TrailingBytes { .. }) && error.index == 5);
    header.records_count = 7;
    let error = Records::new(&header, batch.records_area())
        .last()
        .unwrap()
        .unwrap_err();
    assert_eq!(
        (error.reason, error.index),
        (RecordErrorReason::InvalidVarint, 6)
    );
}

/// A record that owns what it lends, of any shape.
type Shape = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

fn shape() -> impl Strategy<Value = Shape> {
    let bytes = |most| option::of(vec(any::<u8>(), 0..most));
    let headers = vec((vec(any::<u8>(), 0..20), bytes(20)), 0..4);
    let timestamp = prop_oneof![
        Just(-1),
        0..i64::MAX,
        1_700_000_000_000..1_700_000_001_000i64
    ];
    (timestamp, bytes(20), bytes(300), headers)
}

proptest! {
    #[test]
    fn whatever_is_appended_is_read_back(shapes in vec(shape(), 1..100), base_offset in 0..i64::MAX - 100) {
        let headers: Vec<Vec<HeaderRef<'_>>> = shapes
            .iter()
            .map(|shape| {
                shape.3.iter().map(|(key, value)| HeaderRef { key, value: value.as_deref() }).collect()
            })
            .collect();
        let records: Vec<RecordRef<'_>> = shapes
            .iter()
            .zip(&headers)
            .map(|((timestamp, key, value, _), headers)| RecordRef {
                headers: Headers::from(headers.as_slice()),
                ..RecordRef::new(*timestamp, key.as_deref(), value.as_deref())
            })
            .collect();
        let mut bytes = sealed(&records).to_vec();
        rewrite::assign_offsets(&mut bytes, base_offset, 1).unwrap();
        let batch = BatchView::parse(&bytes).unwrap();
        batch.check_crc().unwrap();
        prop_assert_eq!(batch.header().max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap());
        let read: Vec<RecordRef<'_>> = batch.records().unwrap().map(|record| record.unwrap()).collect();
        let expected: Vec<RecordRef<'_>> =
            (base_offset..).zip(&records).map(|(offset, record)| RecordRef { offset, ..*record }).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn any_bytes_are_batches_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read_all(&bytes);
    }
}

#[test]
fn a_timestamp_out_of_range_is_refused_and_the_widest_one_is_read_back() {
    let at = |timestamp| RecordRef::new(timestamp, None, None);
    let mut builder = BatchBuilder::new(BytesMut::new(), 1 << 10);
    builder.try_append(&at(-1)).unwrap();
    let timestamp = i64::MAX;
    let refused = builder.try_append(&at(timestamp));
    assert_eq!(refused, Err(AppendError::InvalidTimestamp { timestamp }));
    builder.try_append(&at(i64::MAX - 1)).unwrap();
    let bytes = builder.finish().unwrap().seal(PRODUCER);
    let read = read(&BatchView::parse(&bytes).unwrap());
    assert_eq!([read[0].timestamp, read[1].timestamp], [-1, i64::MAX - 1]);
}
