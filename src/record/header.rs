//! The 61 bytes that stand before the records of a batch.
//!
//! Owns where each field lies and which values are possible. Knows nothing of the records.

use super::error::BatchError;
#[cfg(feature = "legacy")]
use super::legacy;
use super::types::{Codec, TimestampType};

/// The size of a batch's header, in bytes.
pub const BATCH_HEADER_SIZE: usize = 61;

/// The base offset and the length field itself, which the length field does not count.
pub(super) const LENGTH_PREFIX: usize = 12;
/// Up to and with the magic byte: as much as tells the format's version.
pub(super) const MAGIC_END: usize = 17;
/// The checksum covers everything from here on, so a broker may set what stands before it.
pub(super) const CRC_START: usize = 21;
/// The format's version, the only one that is written today.
pub(super) const MAGIC: i8 = 2;

pub(super) const CODEC_MASK: i16 = 0b111;
pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
pub(super) const CONTROL: i16 = 1 << 5;
pub(super) const DELETE_HORIZON: i16 = 1 << 6;

/// A record's shortest form: length, attributes, two deltas, two lengths and the header count, a byte each.
const SMALLEST_RECORD: usize = 7;

/// The fields of a batch's header, by their names in Kafka's description of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record that the batch was written with; compaction may have taken it out since.
    pub base_offset: i64,
    /// The bytes after the length field: the batch's size less 12.
    pub batch_length: i32,
    /// The leader's epoch when the batch was appended, -1 from a producer. The checksum does not cover it.
    pub partition_leader_epoch: i32,
    /// The format's version: 2, or with the feature `legacy` also 0 and 1, for which see the module's text.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// The attribute bits as they are; the methods below take them apart.
    pub attributes: i16,
    /// The last offset that the batch was written with, relative to the first.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to.
    pub base_timestamp: i64,
    /// The greatest timestamp; with `LogAppendTime` the one that all records have.
    pub max_timestamp: i64,
    /// The idempotent or transactional producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// How many records there are; compaction may leave none. -1 for compressed messages of the formats v0 and v1, which
    /// do not say.
    pub records_count: i32,
}

impl BatchHeader {
    /// The header of a batch in today's format, without judging it.
    pub(crate) fn of_v2(batch: &[u8]) -> Option<Self> {
        let header = Self::read(batch.first_chunk()?);
        (header.magic == MAGIC).then_some(header)
    }

    /// Reads the fields, without judging them.
    pub(super) fn read(bytes: &[u8; BATCH_HEADER_SIZE]) -> Self {
        Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            magic: i8::from_be_bytes(field(bytes, 16)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            records_count: i32::from_be_bytes(field(bytes, 57)),
        }
    }

    /// Writes the fields.
    pub(super) fn write(&self, bytes: &mut [u8; BATCH_HEADER_SIZE]) {
        put(bytes, 0, self.base_offset.to_be_bytes());
        put(bytes, 8, self.batch_length.to_be_bytes());
        put(bytes, 12, self.partition_leader_epoch.to_be_bytes());
        put(bytes, 16, self.magic.to_be_bytes());
        put(bytes, 17, self.crc.to_be_bytes());
        put(bytes, 21, self.attributes.to_be_bytes());
        put(bytes, 23, self.last_offset_delta.to_be_bytes());
        put(bytes, 27, self.base_timestamp.to_be_bytes());
        put(bytes, 35, self.max_timestamp.to_be_bytes());
        put(bytes, 43, self.producer_id.to_be_bytes());
        put(bytes, 51, self.producer_epoch.to_be_bytes());
        put(bytes, 53, self.base_sequence.to_be_bytes());
        put(bytes, 57, self.records_count.to_be_bytes());
    }

    /// Refuses what cannot be: `area` is the size of the records area.
    pub(super) fn validate(&self, area: usize) -> Result<(), BatchError> {
        let invalid = |field, value| {
            Err(BatchError::InvalidField {
                base_offset: self.base_offset,
                field,
                value,
            })
        };
        let Some(codec) = Codec::from_id(self.codec_id()) else {
            return Err(BatchError::UnknownCodec {
                base_offset: self.base_offset,
                id: self.codec_id(),
            });
        };
        if self.base_offset < 0 {
            return invalid("baseOffset", self.base_offset);
        }
        // The offset after the last one has to be a number too: it is where the next fetch starts.
        let last_offset_delta = i64::from(self.last_offset_delta);
        if last_offset_delta < 0 || last_offset_delta >= i64::MAX.wrapping_sub(self.base_offset) {
            return invalid("lastOffsetDelta", last_offset_delta);
        }
        let count = i64::from(self.records_count);
        if count < 0 || count > last_offset_delta.saturating_add(1) {
            return invalid("recordsCount", count);
        }
        if codec == Codec::None && self.records_count as usize > area / SMALLEST_RECORD {
            return invalid("recordsCount", count);
        }
        Ok(())
    }

    fn codec_id(&self) -> u8 {
        (self.attributes & CODEC_MASK) as u8
    }

    /// How the records area is compressed.
    pub fn codec(&self) -> Codec {
        // An id that no codec has does not get past `validate`.
        Codec::from_id(self.codec_id()).unwrap_or(Codec::None)
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the batch holds a marker of Kafka's own, which no application sees.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// When the batch's tombstones or marker may be removed (KIP-534), in milliseconds since 1970.
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// The last offset that the batch was written with. Compaction keeps it, also when it takes out the record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Where to fetch next when the batch is exhausted.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The sequence number of the last record, or -1 in a batch without a producer. It wraps to 0 after `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            -1
        } else {
            add_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// The records area of the batch that has this header, as [`BatchView::records_area`](super::BatchView::records_area)
    /// gives it.
    #[inline]
    pub fn records_area<'a>(&self, batch: &'a [u8]) -> &'a [u8] {
        #[cfg(feature = "legacy")]
        if legacy::is_legacy(self.magic) {
            return match self.codec() {
                Codec::None => batch,
                Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => {
                    legacy::wrapped(batch).unwrap_or_default()
                }
            };
        }
        batch.get(BATCH_HEADER_SIZE..).unwrap_or_default()
    }

    /// The whole batch's size in bytes, header and all.
    pub fn size(&self) -> usize {
        (self.batch_length.max(0) as usize).saturating_add(LENGTH_PREFIX)
    }
}

/// The sequence number `records` after `sequence`: they wrap to 0 after `i32::MAX` (KIP-98).
///
/// ```
/// use klamm::record::add_sequence;
/// assert_eq!(add_sequence(5, 3), 8);
/// assert_eq!(add_sequence(i32::MAX, 1), 0);
/// ```
pub fn add_sequence(sequence: i32, records: i32) -> i32 {
    sequence.wrapping_add(records) & i32::MAX
}

/// The bytes of a field. Offsets and sizes are constants, so the bounds are settled when this is compiled.
#[inline(always)]
fn field<const N: usize>(bytes: &[u8; BATCH_HEADER_SIZE], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8; BATCH_HEADER_SIZE], at: usize, value: [u8; N]) {
    if let Some(place) = bytes
        .get_mut(at..)
        .and_then(|bytes| bytes.first_chunk_mut())
    {
        *place = value;
    }
}
