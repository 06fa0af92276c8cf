//! The records of one batch, lent one after the other.
//!
//! Owns the parsing of a record. The records area is plain here: decompressing it, and checking the checksum, came
//! before. Nothing is allocated or copied.
//!
//! Must not know who reads.

use super::error::{RecordError, RecordErrorReason};
use super::header::BatchHeader;
use super::headers::Headers;
#[cfg(feature = "legacy")]
use super::legacy::{self, MessageRecords};
use super::types::{RecordRef, TimestampType};
use super::varint;

/// An iterator over the records of a batch, in the order of their offsets.
///
/// Each is parsed when it is asked for. After an error there is nothing more: the batch is not what it claims to be.
#[derive(Clone, Debug)]
pub struct Records<'a>(Format<'a>);

#[derive(Clone, Debug)]
enum Format<'a> {
    V2(BatchRecords<'a>),
    /// v0 and v1.
    #[cfg(feature = "legacy")]
    Legacy(MessageRecords<'a>),
}

/// A place in the records of a batch: see [`Records::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsMark {
    pub(super) unread: usize,
    /// Of a batch v2 the records left, of messages those read: what their headers tell.
    pub(super) count: u32,
    /// The offset before, as relative as it is in the format.
    pub(super) previous: i64,
}

impl<'a> Records<'a> {
    /// The records of the batch with this header, from its records area as it was before compression.
    pub fn new(header: &BatchHeader, area: &'a [u8]) -> Self {
        #[cfg(feature = "legacy")]
        if legacy::is_legacy(header.magic) {
            return Self(Format::Legacy(MessageRecords::new(header, area)));
        }
        Self(Format::V2(BatchRecords::new(header, area)))
    }

    /// Leaves out the records below `offset`: a fetch from the middle of a batch brings the whole batch.
    #[must_use]
    pub fn starting_at(self, offset: i64) -> Self {
        Self(match self.0 {
            Format::V2(records) => Format::V2(BatchRecords {
                start: offset,
                ..records
            }),
            #[cfg(feature = "legacy")]
            Format::Legacy(records) => Format::Legacy(records.starting_at(offset)),
        })
    }

    /// How far the iteration came, without a borrow of the batch.
    #[inline]
    pub fn mark(&self) -> RecordsMark {
        match &self.0 {
            Format::V2(records) => records.mark(),
            #[cfg(feature = "legacy")]
            Format::Legacy(records) => records.mark(),
        }
    }

    /// Goes on where an iteration over the same area was marked; one of another area gives records of its own, or errors.
    #[inline]
    #[must_use]
    pub fn resumed_at(self, mark: RecordsMark) -> Self {
        Self(match self.0 {
            Format::V2(records) => Format::V2(records.resumed_at(mark)),
            #[cfg(feature = "legacy")]
            Format::Legacy(records) => Format::Legacy(records.resumed_at(mark)),
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Format::V2(records) => records.next(),
            #[cfg(feature = "legacy")]
            Format::Legacy(records) => records.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Format::V2(records) => records.size_hint(),
            #[cfg(feature = "legacy")]
            Format::Legacy(_) => (0, None),
        }
    }
}

/// The records of a batch v2.
#[derive(Clone, Debug)]
struct BatchRecords<'a> {
    rest: &'a [u8],
    left: u32,
    count: u32,
    start: i64,
    base_offset: i64,
    last_offset_delta: i32,
    previous_delta: i32,
    timestamps: Timestamps,
}

#[derive(Clone, Copy, Debug)]
enum Timestamps {
    RelativeTo(i64),
    All(i64),
}

impl<'a> BatchRecords<'a> {
    fn new(header: &BatchHeader, area: &'a [u8]) -> Self {
        let count = u32::try_from(header.records_count).unwrap_or(0);
        Self {
            rest: area,
            left: count,
            count,
            start: i64::MIN,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            previous_delta: -1,
            timestamps: match header.timestamp_type() {
                TimestampType::CreateTime => Timestamps::RelativeTo(header.base_timestamp),
                TimestampType::LogAppendTime => Timestamps::All(header.max_timestamp),
            },
        }
    }

    #[inline]
    fn mark(&self) -> RecordsMark {
        RecordsMark {
            unread: self.rest.len(),
            count: self.left,
            previous: i64::from(self.previous_delta),
        }
    }

    #[inline]
    fn resumed_at(self, mark: RecordsMark) -> Self {
        let read = self.rest.len().saturating_sub(mark.unread);
        Self {
            rest: self.rest.get(read..).unwrap_or(&[]),
            left: mark.count,
            // It was one.
            previous_delta: mark.previous as i32,
            ..self
        }
    }

    /// The next record, whether it is to be left out or not; `left` is not zero.
    #[inline(always)]
    fn parse(&mut self) -> Result<RecordRef<'a>, RecordErrorReason> {
        let (length, rest) = varint::read_i32(self.rest)?;
        let length =
            usize::try_from(length).map_err(|_| RecordErrorReason::NegativeLength { length })?;
        let (record, rest) = rest
            .split_at_checked(length)
            .ok_or(RecordErrorReason::Truncated)?;
        let (_attributes, record) = record.split_first().ok_or(RecordErrorReason::Truncated)?;
        let (timestamp_delta, record) = varint::read_i64(record)?;
        let (delta, record) = varint::read_i32(record)?;
        let (key, record) = varint::read_nullable(record)?;
        let (value, record) = varint::read_nullable(record)?;
        let headers = match record {
            [0] => Headers::NONE,
            _ => Headers::parse(record)?,
        };
        // `previous_delta` starts at -1, so this is also what keeps the delta from being negative.
        if delta <= self.previous_delta {
            return Err(RecordErrorReason::OffsetNotAscending { delta });
        }
        if delta > self.last_offset_delta {
            return Err(RecordErrorReason::OffsetOutOfBatch { delta });
        }
        let timestamp = match self.timestamps {
            Timestamps::RelativeTo(base) => {
                base.checked_add(timestamp_delta)
                    .ok_or(RecordErrorReason::TimestampOverflow {
                        delta: timestamp_delta,
                    })?
            }
            Timestamps::All(timestamp) => timestamp,
        };
        self.rest = rest;
        self.previous_delta = delta;
        // The header was refused if even the last offset overflowed.
        let offset = self.base_offset.wrapping_add(i64::from(delta));
        Ok(RecordRef {
            offset,
            timestamp,
            key,
            value,
            headers,
        })
    }

    #[cold]
    fn fail(
        &mut self,
        index: u32,
        reason: RecordErrorReason,
    ) -> Option<Result<RecordRef<'a>, RecordError>> {
        self.left = 0;
        self.rest = &[];
        Some(Err(RecordError {
            base_offset: self.base_offset,
            index,
            reason,
        }))
    }
}

impl<'a> Iterator for BatchRecords<'a> {
    type Item = Result<RecordRef<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(left) = self.left.checked_sub(1) else {
                if self.rest.is_empty() {
                    return None;
                }
                return self.fail(
                    self.count,
                    RecordErrorReason::TrailingBytes {
                        unused: self.rest.len(),
                    },
                );
            };
            match self.parse() {
                Ok(record) => {
                    self.left = left;
                    if record.offset >= self.start {
                        return Some(Ok(record));
                    }
                }
                Err(reason) => return self.fail(self.count.wrapping_sub(self.left), reason),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One more for the error that may come.
        (
            0,
            usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .checked_add(1),
        )
    }
}
