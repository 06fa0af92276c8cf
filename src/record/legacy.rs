//! The record formats before v2, magic 0 and 1: read, never written. Brokers hand out segments from before Kafka 0.11 as
//! they are stored (KIP-724).
//!
//! Owns their layout. There are no batches in them: a message stands for itself, or it is a wrapper, whose value is a
//! compressed set of messages. Either counts as one batch here.
//!
//! Must not know how a wrapper is decompressed. A wrapper within a wrapper is refused, as in Java.

use crate::wire::crc32;

use super::error::{BatchError, RecordError, RecordErrorReason};
use super::header::{BatchHeader, CODEC_MASK, LENGTH_PREFIX, LOG_APPEND_TIME};
use super::headers::Headers;
use super::iterate::RecordsMark;
use super::types::{Codec, NO_TIMESTAMP, RecordRef, TimestampType};

/// The checksum covers everything from here on.
const CRC_START: usize = 16;
/// v1 put a timestamp (KIP-32) between the attributes and the key.
const V1: i8 = 1;

/// Whether a format's version is one of these.
pub(super) const fn is_legacy(magic: i8) -> bool {
    magic == 0 || magic == V1
}

/// The smallest size of a message, offset and size fields and all.
pub(super) const fn smallest(magic: i8) -> usize {
    // Offset, size, checksum, magic, attributes, and the lengths of key and value.
    let v0 = 8 + 4 + 4 + 1 + 1 + 4 + 4;
    if magic == V1 { v0 + 8 } else { v0 }
}

/// The checksum that a message must have.
pub(super) fn crc(message: &[u8]) -> u32 {
    crc32(message.get(CRC_START..).unwrap_or_default())
}

/// One message of a set.
struct Message<'a> {
    offset: i64,
    crc: u32,
    attributes: u8,
    /// v0 has none.
    timestamp: Option<i64>,
    /// The whole message, offset and size fields and all.
    bytes: &'a [u8],
    /// Key and value with their lengths.
    content: &'a [u8],
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), RecordErrorReason> {
    let (taken, rest) = bytes
        .split_first_chunk()
        .ok_or(RecordErrorReason::Truncated)?;
    Ok((*taken, rest))
}

fn take_nullable(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), RecordErrorReason> {
    let (length, rest) = take(bytes)?;
    match i32::from_be_bytes(length) {
        -1 => Ok((None, rest)),
        length => {
            let size = usize::try_from(length)
                .map_err(|_| RecordErrorReason::NegativeLength { length })?;
            let (value, rest) = rest
                .split_at_checked(size)
                .ok_or(RecordErrorReason::Truncated)?;
            Ok((Some(value), rest))
        }
    }
}

impl<'a> Message<'a> {
    /// The first message of a set, and what follows it.
    fn read(set: &'a [u8]) -> Result<(Self, &'a [u8]), RecordErrorReason> {
        let (offset, rest) = take(set)?;
        let (length, rest) = take(rest)?;
        let length = i32::from_be_bytes(length);
        let size =
            usize::try_from(length).map_err(|_| RecordErrorReason::NegativeLength { length })?;
        let (message, after) = rest
            .split_at_checked(size)
            .ok_or(RecordErrorReason::Truncated)?;
        let (crc, message) = take(message)?;
        let ([magic, attributes], message) = take(message)?;
        let (timestamp, content) = match i8::from_be_bytes([magic]) {
            0 => (None, message),
            V1 => {
                let (timestamp, content) = take(message)?;
                (Some(i64::from_be_bytes(timestamp)), content)
            }
            magic => return Err(RecordErrorReason::ForeignMagic { magic }),
        };
        let bytes = set
            .get(..size.saturating_add(LENGTH_PREFIX))
            .ok_or(RecordErrorReason::Truncated)?;
        let message = Self {
            offset: i64::from_be_bytes(offset),
            crc: u32::from_be_bytes(crc),
            attributes,
            timestamp,
            bytes,
            content,
        };
        Ok((message, after))
    }

    /// Key and value.
    fn content(&self) -> Result<[Option<&'a [u8]>; 2], RecordErrorReason> {
        let (key, rest) = take_nullable(self.content)?;
        let (value, rest) = take_nullable(rest)?;
        if rest.is_empty() {
            Ok([key, value])
        } else {
            let unused = rest.len();
            Err(RecordErrorReason::LengthMismatch { unused })
        }
    }

    fn codec_id(&self) -> u8 {
        self.attributes & CODEC_MASK as u8
    }
}

/// What the one message in `bytes` says in the words of a batch's header. Its first offset is that of its last record:
/// a wrapper tells no other. Nothing if it is shorter than any.
pub(super) fn header(bytes: &[u8], magic: i8) -> Option<BatchHeader> {
    let (message, _) = Message::read(bytes).ok()?;
    let attributes = i16::from(message.attributes) & CODEC_MASK;
    let append_time = i16::from(message.attributes) & LOG_APPEND_TIME;
    let timestamp = message.timestamp.unwrap_or(NO_TIMESTAMP);
    Some(BatchHeader {
        base_offset: message.offset,
        batch_length: bytes.len().saturating_sub(LENGTH_PREFIX) as i32,
        partition_leader_epoch: -1,
        magic,
        crc: message.crc,
        attributes: match magic {
            V1 => attributes | append_time,
            _ => attributes,
        },
        last_offset_delta: 0,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records_count: if attributes == 0 { 1 } else { -1 },
    })
}

/// Refuses what cannot be, but for what is wrong with the records themselves.
pub(super) fn validate(header: &BatchHeader, bytes: &[u8]) -> Result<(), BatchError> {
    let base_offset = header.base_offset;
    if base_offset < 0 || base_offset == i64::MAX {
        return Err(BatchError::InvalidField {
            base_offset,
            field: "offset",
            value: base_offset,
        });
    }
    // zstd is younger than these formats.
    match Codec::from_id((header.attributes & CODEC_MASK) as u8) {
        Some(Codec::None) => Ok(()),
        Some(Codec::Gzip | Codec::Snappy | Codec::Lz4) if wrapped(bytes).is_none() => {
            Err(BatchError::InvalidField {
                base_offset,
                field: "value",
                value: -1,
            })
        }
        Some(Codec::Gzip | Codec::Snappy | Codec::Lz4) => Ok(()),
        Some(Codec::Zstd) | None => Err(BatchError::UnknownCodec {
            base_offset,
            id: (header.attributes & CODEC_MASK) as u8,
        }),
    }
}

/// The value of a wrapper.
pub(super) fn wrapped(bytes: &[u8]) -> Option<&[u8]> {
    let (message, _) = Message::read(bytes).ok()?;
    let [_, value] = message.content().ok()?;
    value
}

/// The messages of a set, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a> {
    rest: &'a [u8],
    place: Place,
    /// What is added to the offsets in the set.
    base: i64,
    /// The last offset of the set, which none is above.
    last: i64,
    /// The offset before.
    previous: i64,
    /// The wrapper's own time, if it was set when the broker appended it.
    append_time: Option<i64>,
}

/// Where the messages of a set stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The one message is no wrapper. Its checksum is that of the batch.
    Bare,
    /// Within a wrapper, each with a checksum of its own.
    Wrapped,
}

impl<'a> Messages<'a> {
    /// The messages of the batch with this header: itself, or what it wraps, decompressed.
    fn new(header: &BatchHeader, set: &'a [u8]) -> Result<Self, RecordErrorReason> {
        let last = header.base_offset;
        let (place, base) = match header.codec() {
            Codec::None => (Place::Bare, 0),
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => {
                let last_within = last_offset(set)?;
                // KIP-31: within a wrapper of v1 offsets are relative, and the wrapper has that of the last.
                let base = match header.magic {
                    V1 => last.saturating_sub(last_within),
                    _ => 0,
                };
                (Place::Wrapped, base)
            }
        };
        Ok(Self {
            rest: set,
            place,
            base,
            last,
            previous: -1,
            append_time: (header.timestamp_type() == TimestampType::LogAppendTime)
                .then_some(header.max_timestamp),
        })
    }

    /// The next message; there is one.
    fn parse(&mut self) -> Result<RecordRef<'a>, RecordErrorReason> {
        let (message, rest) = Message::read(self.rest)?;
        if self.place == Place::Wrapped {
            let computed = crc(message.bytes);
            if message.crc != computed {
                let stored = message.crc;
                return Err(RecordErrorReason::CrcMismatch { stored, computed });
            }
            if message.codec_id() != Codec::None.id() {
                return Err(RecordErrorReason::NestedCompression);
            }
        }
        let [key, value] = message.content()?;
        let offset = self.base.saturating_add(message.offset);
        // What an error says is relative to the first offset of the batch, which here is its last.
        let delta = offset.saturating_sub(self.last);
        let delta = delta.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        if offset > self.last {
            return Err(RecordErrorReason::OffsetOutOfBatch { delta });
        }
        // `previous` starts at -1, so this is also what keeps the offset from being negative.
        if offset <= self.previous {
            return Err(RecordErrorReason::OffsetNotAscending { delta });
        }
        self.rest = rest;
        self.previous = offset;
        let timestamp = message.timestamp.map(|own| self.append_time.unwrap_or(own));
        Ok(RecordRef {
            offset,
            timestamp: timestamp.unwrap_or(NO_TIMESTAMP),
            key,
            value,
            headers: Headers::NONE,
        })
    }
}

/// The offset of the last message of a set, which is not empty.
fn last_offset(mut set: &[u8]) -> Result<i64, RecordErrorReason> {
    loop {
        let (message, rest) = Message::read(set)?;
        if rest.is_empty() {
            return Ok(message.offset);
        }
        set = rest;
    }
}

/// The records of one message or wrapper, in the order of their offsets.
#[derive(Clone, Debug)]
pub(super) struct MessageRecords<'a> {
    base_offset: i64,
    start: i64,
    index: u32,
    state: State<'a>,
}

/// How far the records have been lent.
#[derive(Clone, Debug)]
enum State<'a> {
    /// There may be more.
    Reading(Messages<'a>),
    /// Nothing can be read at all.
    Unreadable(RecordErrorReason),
    /// There is nothing more.
    Over,
}

impl<'a> MessageRecords<'a> {
    pub(super) fn new(header: &BatchHeader, set: &'a [u8]) -> Self {
        Self {
            base_offset: header.base_offset,
            start: i64::MIN,
            index: 0,
            state: match Messages::new(header, set) {
                Ok(messages) => State::Reading(messages),
                Err(reason) => State::Unreadable(reason),
            },
        }
    }

    pub(super) fn starting_at(self, offset: i64) -> Self {
        Self {
            start: offset,
            ..self
        }
    }

    pub(super) fn mark(&self) -> RecordsMark {
        let (unread, previous) = match &self.state {
            State::Reading(messages) => (messages.rest.len(), messages.previous),
            State::Unreadable(_) => (usize::MAX, -1),
            State::Over => (0, -1),
        };
        RecordsMark {
            unread,
            count: self.index,
            previous,
        }
    }

    pub(super) fn resumed_at(self, mark: RecordsMark) -> Self {
        let state = match self.state {
            State::Reading(_) | State::Unreadable(_) if mark.unread == 0 => State::Over,
            State::Reading(messages) => {
                let read = messages.rest.len().saturating_sub(mark.unread);
                State::Reading(Messages {
                    rest: messages.rest.get(read..).unwrap_or_default(),
                    previous: mark.previous,
                    ..messages
                })
            }
            state @ (State::Unreadable(_) | State::Over) => state,
        };
        Self {
            index: mark.count,
            state,
            ..self
        }
    }

    fn fail(&mut self, reason: RecordErrorReason) -> Option<Result<RecordRef<'a>, RecordError>> {
        self.state = State::Over;
        Some(Err(RecordError {
            base_offset: self.base_offset,
            index: self.index,
            reason,
        }))
    }
}

impl<'a> Iterator for MessageRecords<'a> {
    type Item = Result<RecordRef<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = match &mut self.state {
                State::Reading(messages) if messages.rest.is_empty() => {
                    self.state = State::Over;
                    return None;
                }
                State::Reading(messages) => messages.parse(),
                State::Unreadable(reason) => Err(*reason),
                State::Over => return None,
            };
            match record {
                Ok(record) => {
                    self.index = self.index.saturating_add(1);
                    if record.offset >= self.start {
                        return Some(Ok(record));
                    }
                }
                Err(reason) => return self.fail(reason),
            }
        }
    }
}
