//! F6: record batches from hostile bytes. F12: which batches a `read_committed` reader leaves out.

use bytes::BytesMut;
use klamm::record::compression::{DecompressBuffer, Decompressor};
use klamm::record::control::{ControlType, TransactionEnd, control_type, end_transaction_marker};
use klamm::record::{
    AbortedTransaction, AbortedTransactions, BATCH_HEADER_SIZE, BatchBuilder, BatchHeader,
    BatchProducer, BatchView, Batches, Codec, HeaderRef, Headers, RecordRef, Records,
    TimestampType, rewrite,
};
use klamm::wire::crc32c;

use crate::Choices;
use crate::memory::measure;

/// What records decompress to at most.
const LIMIT: usize = 1 << 18;

/// F6: a byte that says whether checksums are made to fit, then what a Fetch response brought, or choices for batches.
pub fn f6_batches(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    match mode % 4 {
        0 => read_all(rest),
        1 | 2 => {
            let mut bytes = rest.to_vec();
            fit_checksums(&mut bytes);
            read_all(&bytes);
        }
        _ => build_and_read(&mut Choices::new(rest)),
    }
}

/// Makes the checksum of every batch fit, so that what stands behind it is reached.
pub(crate) fn fit_checksums(mut bytes: &mut [u8]) {
    while bytes.len() >= BATCH_HEADER_SIZE {
        let length = i32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let size = usize::try_from(length).map_or(0, |length| length + 12);
        if size < BATCH_HEADER_SIZE || size > bytes.len() {
            return;
        }
        let (batch, rest) = bytes.split_at_mut(size);
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes = rest;
    }
}

fn read_all(bytes: &[u8]) {
    let mut walked = 0;
    let mut batches = Batches::new(bytes);
    for batch in &mut batches {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                assert!(error.to_string().len() < 1024);
                return;
            }
        };
        let size = batch.as_bytes().len();
        assert_eq!(batch.as_bytes(), &bytes[walked..walked + size]);
        walked += size;
        assert_eq!(batch.header().size(), size);
        let stored = u32::from_be_bytes([
            batch.as_bytes()[17],
            batch.as_bytes()[18],
            batch.as_bytes()[19],
            batch.as_bytes()[20],
        ]);
        let sound = stored == crc32c(&batch.as_bytes()[21..]);
        assert_eq!(batch.check_crc().is_ok(), sound);
        if sound {
            read_batch(&batch);
        }
    }
    assert_eq!(
        batches.rest(),
        &bytes[walked..],
        "what is left is one batch that was cut off"
    );
}

fn read_batch(batch: &BatchView<'_>) {
    let header = batch.header();
    let mut buffer = DecompressBuffer::new();
    let area = if header.codec() == Codec::None {
        batch.records_area()
    } else {
        let done = Decompressor::new().decompress(
            header.codec(),
            batch.records_area(),
            &mut buffer,
            LIMIT,
        );
        if done.is_err() {
            return;
        }
        buffer.as_slice()
    };
    let (lazy, usage) = measure(|| {
        let mut digest = 0_usize;
        let mut end = true;
        for record in Records::new(header, area) {
            match record {
                Ok(record) => digest += 1 + record.headers.iter().count(),
                Err(_) => end = false,
            }
        }
        (digest, end)
    });
    assert_eq!(usage.allocations, 0, "reading records takes no memory");
    let eager = read_records(header, area);
    let count: usize = eager
        .records
        .iter()
        .map(|record| 1 + record.headers.len())
        .sum();
    assert_eq!(lazy, (count, eager.whole));
    let from = header
        .base_offset
        .saturating_add(i64::from(header.last_offset_delta) / 2);
    let mut expected = eager.records.iter();
    for record in Records::new(header, area) {
        let Ok(record) = record else { break };
        assert_same(
            &record,
            expected
                .next()
                .expect("not more than the plain reading finds"),
            area,
        );
        assert!((header.base_offset..=header.last_offset()).contains(&record.offset));
    }
    assert!(expected.next().is_none());
    let later = Records::new(header, area)
        .starting_at(from)
        .filter_map(Result::ok);
    assert!(
        later.eq(Records::new(header, area)
            .filter_map(Result::ok)
            .filter(|record| record.offset >= from))
    );
    let _ = control_type(batch);
    rewritten(batch);
}

/// What a broker changes leaves a batch that can be read.
fn rewritten(batch: &BatchView<'_>) {
    let mut copy = batch.as_bytes().to_vec();
    if rewrite::assign_offsets(&mut copy, 7, 3).is_ok() {
        let view = BatchView::parse(&copy).expect("it was a batch before");
        assert_eq!((view.header().base_offset, view.check_crc()), (7, Ok(())));
    }
    rewrite::assign_append_time(&mut copy, 99).expect("it was a batch before");
    let view = BatchView::parse(&copy).expect("it was a batch before");
    assert_eq!(view.check_crc(), Ok(()));
    assert_eq!(
        (view.header().timestamp_type(), view.header().max_timestamp),
        (TimestampType::LogAppendTime, 99)
    );
}

struct Plain<'a> {
    offset: i128,
    timestamp: i128,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

struct Eager<'a> {
    records: Vec<Plain<'a>>,
    /// Whether all records and nothing else could be read.
    whole: bool,
}

/// The format's own description, in numbers that cannot overflow and with a list at the end.
fn read_records<'a>(header: &BatchHeader, area: &'a [u8]) -> Eager<'a> {
    let (mut records, mut rest, mut previous) = (Vec::new(), area, -1);
    for _ in 0..header.records_count {
        let Some((record, delta, after)) = read_record(header, rest) else {
            return Eager {
                records,
                whole: false,
            };
        };
        if delta <= previous || delta > i128::from(header.last_offset_delta) {
            return Eager {
                records,
                whole: false,
            };
        }
        previous = delta;
        rest = after;
        records.push(record);
    }
    Eager {
        records,
        whole: rest.is_empty(),
    }
}

fn read_record<'a>(header: &BatchHeader, area: &'a [u8]) -> Option<(Plain<'a>, i128, &'a [u8])> {
    let (length, rest) = varint(area, 32)?;
    let (mut body, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    body = body.get(1..)?;
    let (time, body) = varint(body, 64)?;
    let (delta, body) = varint(body, 32)?;
    let (key, body) = nullable(body)?;
    let (value, body) = nullable(body)?;
    let (count, mut body) = varint(body, 32)?;
    let mut headers = Vec::new();
    for _ in 0..u32::try_from(count).ok()? {
        let (name, after) = nullable(body)?;
        let (value, after) = nullable(after)?;
        headers.push((name?, value));
        body = after;
    }
    let timestamp = match header.timestamp_type() {
        TimestampType::CreateTime => i128::from(header.base_timestamp) + time,
        TimestampType::LogAppendTime => i128::from(header.max_timestamp),
    };
    let plain = Plain {
        offset: i128::from(header.base_offset) + delta,
        timestamp,
        key,
        value,
        headers,
    };
    (body.is_empty() && i64::try_from(timestamp).is_ok()).then_some((plain, delta, rest))
}

fn nullable(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = varint(bytes, 32)?;
    if length == -1 {
        return Some((None, rest));
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(value), rest))
}

/// A zigzag varint of so many bits: longer forms and larger numbers are none.
fn varint(bytes: &[u8], bits: u32) -> Option<(i128, &[u8])> {
    let longest = bits.div_ceil(7) as usize;
    let end = bytes
        .iter()
        .take(longest)
        .position(|byte| byte & 0x80 == 0)?;
    let number = bytes[..=end]
        .iter()
        .rev()
        .fold(0_u128, |number, byte| number << 7 | u128::from(byte & 127));
    if number >> bits != 0 {
        return None;
    }
    let number = (number >> 1) as i128 ^ -((number & 1) as i128);
    Some((number, &bytes[end + 1..]))
}

fn assert_same(record: &RecordRef<'_>, plain: &Plain<'_>, area: &[u8]) {
    assert_eq!(i128::from(record.offset), plain.offset);
    assert_eq!(i128::from(record.timestamp), plain.timestamp);
    assert_eq!((record.key, record.value), (plain.key, plain.value));
    assert!(
        record
            .headers
            .iter()
            .map(|header| (header.key, header.value))
            .eq(plain.headers.iter().copied())
    );
    for part in [record.key, record.value].into_iter().flatten() {
        assert!(
            area.as_ptr_range().start <= part.as_ptr()
                && part.as_ptr_range().end <= area.as_ptr_range().end
        );
    }
}

/// Any records make a batch that is read as the same records.
fn build_and_read(choices: &mut Choices<'_>) {
    let limit = 61 + choices.below(4096);
    let mut builder = BatchBuilder::new(BytesMut::new(), limit);
    let (mut appended, mut size) = (Vec::new(), BATCH_HEADER_SIZE);
    let pool: Vec<HeaderRef<'_>> = (0..choices.below(4))
        .map(|_| HeaderRef {
            key: choices.bytes(8),
            value: choices.flag().then(|| choices.bytes(8)),
        })
        .collect();
    while !choices.is_empty() && appended.len() < 64 {
        let record = RecordRef {
            offset: 0,
            timestamp: choices.edgy(64),
            key: choices.flag().then(|| choices.bytes(200)),
            value: choices.flag().then(|| choices.bytes(200)),
            headers: Headers::from(&pool[..choices.below(pool.len() + 1)]),
        };
        let added = builder.size_of_next(&record);
        if builder.try_append(&record).is_ok() {
            appended.push(record);
            size += added;
        }
    }
    let Ok(batch) = builder.finish() else {
        assert!(appended.is_empty());
        return;
    };
    let bytes = batch.seal(BatchProducer::None);
    assert!(
        bytes.len() == size && size <= limit,
        "{} {size} {limit}",
        bytes.len()
    );
    let view = BatchView::parse(&bytes).expect("a batch of our own");
    assert_eq!(view.check_crc(), Ok(()));
    let records: Vec<_> = view
        .records()
        .expect("not compressed")
        .map(|record| record.expect("our own"))
        .collect();
    assert_eq!(records.len(), appended.len());
    for (at, (record, appended)) in records.iter().zip(&appended).enumerate() {
        assert_eq!(
            *record,
            RecordRef {
                offset: at as i64,
                ..*appended
            }
        );
    }
    read_all(&bytes);
}

/// F12: choices for a log of a few producers' batches, for where the reader starts, and for the order of the list.
pub fn f12_aborted(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut log = Log::default();
    for _ in 0..choices.below(24) {
        log.step(&mut choices);
    }
    for producer in 0..4 {
        // What is open lies beyond the last stable offset, where no broker sends anything.
        log.end(producer, TransactionEnd::Commit);
    }
    let from = choices.below(log.batches.len() + 1);
    let first = log.batches.get(from).map_or(0, |batch| batch.offset);
    // A broker lists what overlaps with what it sends, in no order, and may say something twice.
    let mut list: Vec<AbortedTransaction> = log
        .aborted
        .iter()
        .filter(|(_, end)| *end >= first)
        .map(|(one, _)| *one)
        .collect();
    for at in 0..list.len() {
        let other = choices.below(list.len());
        list.swap(at, other);
        if choices.byte().is_multiple_of(4) {
            list.push(list[at]);
        }
    }
    let mut filter = AbortedTransactions::new(list);
    for batch in &log.batches[from..] {
        let view = BatchView::parse(&batch.bytes).expect("a batch of our own");
        let visible = match batch.fate {
            Fate::Plain => true,
            Fate::Marker => false,
            Fate::InTransaction(number) => !log.aborts[number],
        };
        assert_eq!(filter.hides(&view), Ok(!visible), "at {}", batch.offset);
    }
}

enum Fate {
    Plain,
    Marker,
    /// The number of its transaction.
    InTransaction(usize),
}

struct Batch {
    offset: i64,
    bytes: Vec<u8>,
    fate: Fate,
}

#[derive(Default)]
struct Log {
    batches: Vec<Batch>,
    next: i64,
    /// The open transaction of each producer: its first offset and its number.
    open: [Option<(i64, usize)>; 4],
    /// Whether each transaction was aborted.
    aborts: Vec<bool>,
    /// With the offset of the marker.
    aborted: Vec<(AbortedTransaction, i64)>,
}

impl Log {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let producer = choices.below(4);
        let records = 1 + choices.below(3);
        match choices.below(8) {
            0 => self.append(records, BatchProducer::None, Fate::Plain),
            1 => self.append(
                records,
                BatchProducer::Idempotent {
                    producer_id: producer as i64,
                    producer_epoch: 0,
                    base_sequence: 0,
                },
                Fate::Plain,
            ),
            2..=5 => {
                let number = match self.open[producer] {
                    Some((_, number)) => number,
                    None => {
                        self.aborts.push(false);
                        self.open[producer] = Some((self.next, self.aborts.len() - 1));
                        self.aborts.len() - 1
                    }
                };
                let producer_id = producer as i64;
                let transactional = BatchProducer::Transactional {
                    producer_id,
                    producer_epoch: 0,
                    base_sequence: 0,
                };
                self.append(records, transactional, Fate::InTransaction(number));
            }
            6 => self.end(producer, TransactionEnd::Abort),
            _ => self.end(producer, TransactionEnd::Commit),
        }
        // Compaction leaves gaps.
        self.next += i64::from(choices.byte() % 2);
    }

    fn append(&mut self, records: usize, producer: BatchProducer, fate: Fate) {
        let mut builder = BatchBuilder::new(BytesMut::new(), 4096);
        for _ in 0..records {
            builder
                .try_append(&RecordRef::new(0, None, Some(b"v")))
                .expect("there is room");
        }
        let bytes = builder
            .finish()
            .expect("it holds records")
            .seal(producer)
            .to_vec();
        self.place(bytes, records as i64, fate);
    }

    fn end(&mut self, producer: usize, end: TransactionEnd) {
        if let Some((first_offset, number)) = self.open[producer].take()
            && end == TransactionEnd::Abort
        {
            self.aborts[number] = true;
            let producer_id = producer as i64;
            self.aborted.push((
                AbortedTransaction {
                    first_offset,
                    producer_id,
                },
                self.next,
            ));
        }
        let bytes = end_transaction_marker(end, producer as i64, 0, 0, 0).to_vec();
        assert_eq!(
            control_type(&BatchView::parse(&bytes).expect("a batch of our own")),
            Ok(Some(match end {
                TransactionEnd::Abort => ControlType::Abort,
                TransactionEnd::Commit => ControlType::Commit,
            }))
        );
        self.place(bytes, 1, Fate::Marker);
    }

    fn place(&mut self, mut bytes: Vec<u8>, records: i64, fate: Fate) {
        rewrite::assign_offsets(&mut bytes, self.next, 0).expect("a batch of our own");
        self.batches.push(Batch {
            offset: self.next,
            bytes,
            fate,
        });
        self.next += records;
    }
}
