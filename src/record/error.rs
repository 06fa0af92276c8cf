//! Owns what can be wrong with a batch or with a record in it: every error says where (which batch, which record) and
//! what was found.
//!
//! Must not know which topic and partition it was: the caller does, and adds it.

use core::fmt;

use super::types::Codec;

/// Why a batch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes hold the beginning of a batch and nothing complete. A broker sends at least one whole batch whatever
    /// the limits of the fetch were (KIP-74), so this is no matter of asking for more.
    Incomplete {
        /// The batch's size, or as much of it as has to be there before its size is known.
        needed: u64,
        /// The bytes that are there.
        available: usize,
    },
    /// The length field is smaller than any batch.
    InvalidLength {
        /// The batch's first offset.
        base_offset: i64,
        /// The length that it claims, in bytes after the length field.
        length: i32,
    },
    /// The batch is of the format v0 or v1, which only the Cargo feature `legacy` reads, or of one that does not exist
    /// yet.
    UnsupportedMagic {
        /// The batch's first offset (of v0 and v1: its last).
        base_offset: i64,
        /// The format's version.
        magic: i8,
    },
    /// The checksum does not fit the bytes: they were damaged on a disk or on the way.
    CrcMismatch {
        /// The batch's first offset.
        base_offset: i64,
        /// The checksum in the header: CRC-32C, in the formats v0 and v1 CRC-32.
        stored: u32,
        /// That of the bytes.
        computed: u32,
    },
    /// The attributes name a codec that does not exist.
    UnknownCodec {
        /// The batch's first offset.
        base_offset: i64,
        /// The codec's id, 5 to 7; in the formats v0 and v1 also zstd's.
        id: u8,
    },
    /// A header field holds a value that no broker can have written. The checksum fits.
    InvalidField {
        /// The batch's first offset.
        base_offset: i64,
        /// The field, by its name in Kafka's description of the format.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// A control batch whose record is none of a control batch.
    InvalidControlRecord {
        /// The batch's first offset.
        base_offset: i64,
    },
    /// The records area is compressed and has to be decompressed before it is read.
    Compressed {
        /// The batch's first offset.
        base_offset: i64,
        /// With what.
        codec: Codec,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { needed, available } => {
                write!(
                    f,
                    "no complete record batch: {available} bytes of at least {needed}"
                )
            }
            Self::InvalidLength {
                base_offset,
                length,
            } => {
                write!(
                    f,
                    "the batch at offset {base_offset} claims a length of {length}, smaller than any batch"
                )
            }
            Self::UnsupportedMagic {
                base_offset,
                magic: magic @ (0 | 1),
            } => {
                write!(
                    f,
                    "the batch at offset {base_offset} is of the old record format v{magic}: build klamm with its Cargo \
                     feature `legacy` to read it"
                )
            }
            Self::UnsupportedMagic { base_offset, magic } => {
                write!(
                    f,
                    "the batch at offset {base_offset} is of record format v{magic}, which is not known; v2 is"
                )
            }
            Self::CrcMismatch {
                base_offset,
                stored,
                computed,
            } => write!(
                f,
                "the batch at offset {base_offset} is damaged: its checksum is {computed:#010x}, its header says {stored:#010x}"
            ),
            Self::UnknownCodec { base_offset, id } => {
                write!(
                    f,
                    "the batch at offset {base_offset} is compressed by codec {id}, which is not known"
                )
            }
            Self::InvalidField {
                base_offset,
                field,
                value,
            } => {
                write!(
                    f,
                    "the batch at offset {base_offset} has {field} {value}, which cannot be"
                )
            }
            Self::InvalidControlRecord { base_offset } => {
                write!(
                    f,
                    "the control batch at offset {base_offset} holds no control record"
                )
            }
            Self::Compressed { base_offset, codec } => {
                write!(
                    f,
                    "the batch at offset {base_offset} is compressed with {codec} and was not decompressed"
                )
            }
        }
    }
}

impl core::error::Error for BatchError {}

/// Why a record cannot be read. What precedes it in the batch is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The first offset of the batch.
    pub base_offset: i64,
    /// Which record of the batch, counted from 0.
    pub index: u32,
    /// What is wrong with it.
    pub reason: RecordErrorReason,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "record {} of the batch at offset {}: {}",
            self.index, self.base_offset, self.reason
        )
    }
}

impl core::error::Error for RecordError {}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordErrorReason {
    /// The bytes end within it.
    Truncated,
    /// A number in it is cut off, or longer than its type allows.
    InvalidVarint,
    /// A length or count is negative where there is no null.
    NegativeLength {
        /// The length.
        length: i32,
    },
    /// The fields end before the record's length does.
    LengthMismatch {
        /// The bytes left over.
        unused: usize,
    },
    /// The offset lies outside of the batch.
    OffsetOutOfBatch {
        /// The offset, relative to the batch's first.
        delta: i32,
    },
    /// The offset is not above the one before it.
    OffsetNotAscending {
        /// The offset, relative to the batch's first.
        delta: i32,
    },
    /// The timestamp does not fit into 64 bits.
    TimestampOverflow {
        /// The timestamp, relative to the batch's base timestamp.
        delta: i64,
    },
    /// The checksum of a message of the formats v0 and v1 does not fit.
    CrcMismatch {
        /// The CRC-32 in the message.
        stored: u32,
        /// The CRC-32 of its bytes.
        computed: u32,
    },
    /// A message of the formats v0 and v1 wraps one of another format.
    ForeignMagic {
        /// The version of that format.
        magic: i8,
    },
    /// A compressed message of the formats v0 and v1 lies within another.
    NestedCompression,
    /// Bytes follow the last record that the header counts.
    TrailingBytes {
        /// How many.
        unused: usize,
    },
}

impl fmt::Display for RecordErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end within it"),
            Self::InvalidVarint => f.write_str("a number in it is cut off or too long"),
            Self::NegativeLength { length } => write!(f, "a length in it is {length}"),
            Self::LengthMismatch { unused } => {
                write!(f, "{unused} bytes are left over after its last field")
            }
            Self::OffsetOutOfBatch { delta } => {
                write!(f, "its offset delta {delta} lies outside of the batch")
            }
            Self::OffsetNotAscending { delta } => {
                write!(f, "its offset delta {delta} is not above the one before it")
            }
            Self::TimestampOverflow { delta } => write!(f, "its timestamp delta {delta} overflows"),
            Self::CrcMismatch { stored, computed } => write!(
                f,
                "it is damaged: its checksum is {computed:#010x}, it says {stored:#010x}"
            ),
            Self::ForeignMagic { magic } => {
                write!(f, "it is of record format v{magic} within another format")
            }
            Self::NestedCompression => f.write_str("it is compressed within a compressed message"),
            Self::TrailingBytes { unused } => write!(f, "{unused} bytes follow the last record"),
        }
    }
}
