//! Records into a batch: each is written once, straight into the buffer that is sent.
//!
//! Owns the three stages of a batch that is produced: [`BatchBuilder`] takes records, [`UnsealedBatch`] takes no more
//! and may be compressed, and `seal` patches the header that was reserved in front, after which the bytes never change.
//! Does not know when a batch is full enough or old enough to be sent.

use core::fmt;

use bytes::{Bytes, BytesMut};

use crate::wire::crc32c;
use crate::wire::varint::{MAX_LEN_64, fold_i32, fold_i64, len_i32, len_i64, write_u64};

use super::header::{
    BATCH_HEADER_SIZE, BatchHeader, CONTROL, CRC_START, LENGTH_PREFIX, LOG_APPEND_TIME, MAGIC,
    TRANSACTIONAL,
};
use super::iterate::Records;
use super::types::{Codec, NO_TIMESTAMP, RecordRef};
use super::varint;

/// The longest that the fields in front of a record's key or value can be: length, attributes, timestamp delta, offset
/// delta, and the lengths of a null key and of a value; and room for the longest number behind the last of them.
const PREFIX: usize = 48;

/// Why a record was not appended; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The batch holds records and has no room for this one: it belongs into the next batch.
    Full {
        /// The bytes that the record takes.
        size: usize,
        /// The bytes that are left.
        available: usize,
    },
    /// The record does not fit into an empty batch either.
    TooLarge {
        /// The size of a batch with this record alone, in bytes.
        size: usize,
        /// The limit of the batch.
        limit: usize,
    },
    /// The timestamp is negative and not [`NO_TIMESTAMP`], or too far from the batch's first one to be told apart.
    InvalidTimestamp {
        /// The timestamp.
        timestamp: i64,
    },
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { size, available } => {
                write!(
                    f,
                    "the batch is full: the record takes {size} bytes and {available} are left"
                )
            }
            Self::TooLarge { size, limit } => {
                write!(
                    f,
                    "the record makes a batch of {size} bytes, and a batch may have {limit}"
                )
            }
            Self::InvalidTimestamp { timestamp } => {
                write!(f, "the timestamp {timestamp} is negative or out of range")
            }
        }
    }
}

impl core::error::Error for AppendError {}

/// Who produces a batch: what the broker recognises duplicates and gaps by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchProducer {
    /// Nobody in particular: duplicates are not recognised.
    None,
    /// An idempotent producer.
    Idempotent {
        /// The producer id that the broker gave out.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// The sequence number of the batch's first record.
        base_sequence: i32,
    },
    /// An idempotent producer within a transaction.
    Transactional {
        /// The producer id that the transaction coordinator gave out.
        producer_id: i64,
        /// Its epoch.
        producer_epoch: i16,
        /// The sequence number of the batch's first record.
        base_sequence: i32,
    },
}

impl BatchProducer {
    /// Sets the fields of a header that tell the producer.
    pub(super) fn stamp(self, header: &mut BatchHeader) {
        let (producer_id, producer_epoch, base_sequence, transactional) = match self {
            Self::None => (-1, -1, -1, false),
            Self::Idempotent {
                producer_id,
                producer_epoch,
                base_sequence,
            } => (producer_id, producer_epoch, base_sequence, false),
            Self::Transactional {
                producer_id,
                producer_epoch,
                base_sequence,
            } => (producer_id, producer_epoch, base_sequence, true),
        };
        header.producer_id = producer_id;
        header.producer_epoch = producer_epoch;
        header.base_sequence = base_sequence;
        header.attributes &= !TRANSACTIONAL;
        if transactional {
            header.attributes |= TRANSACTIONAL;
        }
    }
}

/// A batch that takes records.
///
/// The buffer is lent by a pool: hand in one that has room for the whole batch, and nothing is allocated. It comes
/// back by [`into_buffer`](Self::into_buffer), or by `Bytes::try_into_mut` when the sealed batch is not needed any more.
///
/// ```
/// use bytes::BytesMut;
/// use klamm::record::{AppendError, BatchBuilder, BatchProducer, RecordRef};
///
/// let mut builder = BatchBuilder::new(BytesMut::with_capacity(16 * 1024), 16 * 1024);
/// let record = RecordRef::new(1_700_000_000_000, Some(b"K."), Some(b"It was late evening when K. arrived."));
/// while builder.try_append(&record).is_ok() {}
/// assert!(matches!(builder.try_append(&record), Err(AppendError::Full { .. })));
///
/// let batch = builder.finish().expect("it holds records");
/// let bytes = batch.seal(BatchProducer::Idempotent { producer_id: 7, producer_epoch: 0, base_sequence: 0 });
/// assert!(bytes.len() <= 16 * 1024);
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: BytesMut,
    limit: usize,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch in `buffer`, what `buffer` held is gone. No record is taken that makes the batch, before
    /// compression, longer than `limit` bytes.
    pub fn new(mut buffer: BytesMut, limit: usize) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&[0; BATCH_HEADER_SIZE]);
        // The length field of a batch is an i32; a field within it that fits into the limit fits into one, too.
        let limit = limit.min(i32::MAX as usize);
        Self {
            buffer,
            limit,
            count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// The size of a batch that holds `record` alone, in bytes: the limit that it takes to append the record at all.
    pub fn size_alone(record: &RecordRef<'_>) -> usize {
        BATCH_HEADER_SIZE.saturating_add(RecordSize::of(record, 0, 0).total)
    }

    /// The bytes that `record` would add to the batch as it is now, exactly. Timestamps that no batch can hold count
    /// as the longest.
    pub fn size_of_next(&self, record: &RecordRef<'_>) -> usize {
        let timestamp_delta = if self.count == 0 {
            0
        } else {
            record.timestamp.saturating_sub(self.base_timestamp)
        };
        RecordSize::of(record, timestamp_delta, self.count).total
    }

    /// Appends a record. Its offset is not looked at: records are numbered in the order in which they are appended.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing has changed then.
    #[inline]
    pub fn try_append(&mut self, record: &RecordRef<'_>) -> Result<(), AppendError> {
        let timestamp = record.timestamp;
        let base_timestamp = if self.count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        let Some(timestamp_delta) = timestamp
            .checked_sub(base_timestamp)
            .filter(|_| timestamp >= NO_TIMESTAMP)
        else {
            return Err(AppendError::InvalidTimestamp { timestamp });
        };
        let size = RecordSize::of(record, timestamp_delta, self.count);
        let end = self.buffer.len().saturating_add(size.total);
        if end > self.limit {
            return Err(self.refuse(size.total));
        }
        // A record takes bytes, and all bytes fit into an i32: so does the count.
        self.write(record, timestamp_delta, size);
        self.count = self.count.wrapping_add(1);
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        Ok(())
    }

    #[cold]
    fn refuse(&self, size: usize) -> AppendError {
        if self.count == 0 {
            AppendError::TooLarge {
                size: size.saturating_add(BATCH_HEADER_SIZE),
                limit: self.limit,
            }
        } else {
            AppendError::Full {
                size,
                available: self.limit.saturating_sub(self.buffer.len()),
            }
        }
    }

    #[inline]
    fn write(&mut self, record: &RecordRef<'_>, timestamp_delta: i64, size: RecordSize) {
        let buffer = &mut self.buffer;
        buffer.reserve(size.total.saturating_add(PREFIX));
        let count = self.count;
        write_fields(buffer, |fields| {
            fields.varint(u64::from(fold_i32(size.fields as i32)));
            fields.byte(0);
            fields.varint(fold_i64(timestamp_delta));
            fields.varint(u64::from(fold_i32(count)));
            match record.key {
                Some(key) => fields.varint(u64::from(fold_i32(key.len() as i32))),
                None => {
                    fields.varint(u64::from(fold_i32(-1)));
                    fields.nullable_length(record.value);
                }
            }
        });
        if let Some(key) = record.key {
            buffer.extend_from_slice(key);
            write_fields(buffer, |fields| fields.nullable_length(record.value));
        }
        if let Some(value) = record.value {
            buffer.extend_from_slice(value);
        }
        if record.headers.is_empty() {
            buffer.extend_from_slice(&[0]);
        } else {
            record.headers.write(buffer);
        }
    }

    /// How many records it holds.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the batch as it is now, uncompressed, in bytes; with the header.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// The size up to which it takes records, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes no more records.
    ///
    /// # Errors
    /// There are no records, and so there is no batch: the buffer comes back.
    pub fn finish(self) -> Result<UnsealedBatch, BytesMut> {
        let Some(last_offset_delta) = self.count.checked_sub(1).filter(|delta| *delta >= 0) else {
            return Err(self.buffer);
        };
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: 0,
            last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records_count: self.count,
        };
        Ok(UnsealedBatch {
            buffer: self.buffer,
            header,
        })
    }

    /// Gives up the batch and gives back its buffer.
    pub fn into_buffer(self) -> BytesMut {
        self.buffer
    }
}

/// How many bytes a record takes.
#[derive(Clone, Copy)]
struct RecordSize {
    /// What the record's own length field says.
    fields: usize,
    /// With the length field.
    total: usize,
}

impl RecordSize {
    #[inline(always)]
    fn of(record: &RecordRef<'_>, timestamp_delta: i64, offset_delta: i32) -> Self {
        let headers = if record.headers.is_empty() {
            1
        } else {
            record.headers.encoded_size()
        };
        let fields = len_i64(timestamp_delta)
            .saturating_add(len_i32(offset_delta))
            .saturating_add(nullable_size(record.key))
            .saturating_add(nullable_size(record.value))
            .saturating_add(headers)
            .saturating_add(1);
        Self {
            fields,
            total: varint::size_length(fields).saturating_add(fields),
        }
    }
}

#[inline(always)]
fn nullable_size(value: Option<&[u8]>) -> usize {
    value.map_or(1, |value| {
        varint::size_length(value.len()).saturating_add(value.len())
    })
}

/// Room for the small fields, at the end of the buffer.
struct Fields<'a> {
    place: &'a mut [u8; PREFIX],
    used: usize,
}

impl Fields<'_> {
    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.place.get_mut(self.used) {
            *place = byte;
        }
        self.used = self.used.wrapping_add(1);
    }

    #[inline(always)]
    fn varint(&mut self, folded: u64) {
        let rest = self.place.get_mut(self.used..).unwrap_or_default();
        if let Some(place) = rest.first_chunk_mut::<MAX_LEN_64>() {
            self.used = self.used.wrapping_add(write_u64(folded, place));
        }
    }

    #[inline(always)]
    fn nullable_length(&mut self, value: Option<&[u8]>) {
        let length = value.map_or(-1, |value| value.len() as i32);
        self.varint(u64::from(fold_i32(length)));
    }
}

/// Appends a few small fields: room for all that they can be in one store, then the rest is taken back.
#[inline(always)]
fn write_fields(buffer: &mut BytesMut, fill: impl FnOnce(&mut Fields<'_>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; PREFIX]);
    let mut used = 0;
    if let Some(place) = buffer
        .get_mut(start..)
        .and_then(|rest| rest.first_chunk_mut())
    {
        let mut fields = Fields { place, used: 0 };
        fill(&mut fields);
        used = fields.used;
    }
    buffer.truncate(start.saturating_add(used));
}

/// A batch with all its records, which has no producer and no checksum yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsealedBatch {
    /// Room for the header, then the records area.
    buffer: BytesMut,
    header: BatchHeader,
}

impl UnsealedBatch {
    /// How many records it holds.
    pub fn count(&self) -> usize {
        self.header.records_count as usize
    }

    /// How the records area is compressed.
    pub fn codec(&self) -> Codec {
        self.header.codec()
    }

    /// The batch's size in bytes, with the header.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// The greatest timestamp of its records, in milliseconds since 1970.
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp
    }

    /// What follows the header.
    pub fn records_area(&self) -> &[u8] {
        self.buffer.get(BATCH_HEADER_SIZE..).unwrap_or(&[])
    }

    /// The records, if they are not compressed yet; their offsets count from 0.
    pub fn records(&self) -> Option<Records<'_>> {
        (self.codec() == Codec::None).then(|| Records::new(&self.header, self.records_area()))
    }

    /// The same batch with another records area: `buffer` holds room for the header and then the records of this
    /// batch compressed with `codec`.
    pub(super) fn with_area(&self, codec: Codec, buffer: BytesMut) -> Self {
        let mut header = self.header;
        header.attributes |= i16::from(codec.id());
        Self { buffer, header }
    }

    /// Writes the header and the checksum: from here on the bytes do not change.
    ///
    /// The base offset is 0 and the leader epoch -1, as the broker wants them from a producer.
    pub fn seal(self, producer: BatchProducer) -> Bytes {
        let mut header = self.header;
        producer.stamp(&mut header);
        seal(self.buffer, header)
    }

    /// The same for what only brokers write: other attributes, and the control batches.
    pub(super) fn seal_control(mut self, producer: BatchProducer) -> Bytes {
        self.header.attributes |= CONTROL;
        self.seal(producer)
    }

    /// Gives up the batch and gives back its buffer.
    pub fn into_buffer(self) -> BytesMut {
        self.buffer
    }

    /// The batch as its header and its shared bytes (room for the header, then the records area), so that the area can
    /// be compressed elsewhere without being copied first.
    pub(crate) fn into_shared(self) -> (BatchHeader, Bytes) {
        (self.header, self.buffer.freeze())
    }

    /// The batch that [`into_shared`](Self::into_shared) gave away. Copied only where somebody still holds the bytes.
    pub(crate) fn from_shared(header: BatchHeader, bytes: Bytes) -> Self {
        let buffer = bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        Self { buffer, header }
    }

    /// The batch of this header with `area`, its records as `codec` compressed them, in `buffer`, of which the former
    /// content is gone.
    pub(crate) fn from_compressed(
        mut header: BatchHeader,
        codec: Codec,
        area: &[u8],
        mut buffer: BytesMut,
    ) -> Self {
        header.attributes |= i16::from(codec.id());
        buffer.clear();
        buffer.extend_from_slice(&[0; BATCH_HEADER_SIZE]);
        buffer.extend_from_slice(area);
        Self { buffer, header }
    }
}

/// Patches the header and computes the checksum.
fn seal(mut buffer: BytesMut, mut header: BatchHeader) -> Bytes {
    header.batch_length =
        i32::try_from(buffer.len().saturating_sub(LENGTH_PREFIX)).unwrap_or(i32::MAX);
    patch(&mut buffer, &mut header);
    buffer.freeze()
}

/// Writes a header over the beginning of a batch, with the checksum that then fits.
pub(super) fn patch(batch: &mut [u8], header: &mut BatchHeader) {
    write_header(batch, header);
    header.crc = crc32c(batch.get(CRC_START..).unwrap_or(&[]));
    write_header(batch, header);
}

/// Writes a header over the beginning of a batch, as it is.
pub(super) fn write_header(batch: &mut [u8], header: &BatchHeader) {
    if let Some(place) = batch.first_chunk_mut() {
        header.write(place);
    }
}

/// The attribute bit of a timestamp type that a broker sets.
pub(super) fn set_log_append_time(header: &mut BatchHeader, timestamp: i64) {
    header.attributes |= LOG_APPEND_TIME;
    header.max_timestamp = timestamp;
}
