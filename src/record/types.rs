//! Owns the words of the record format: codec, timestamp type, header and record, borrowed and by value.
//!
//! Must not know bytes: how these are laid out is the business of the view and of the builder.

use alloc::vec::Vec;
use core::fmt;
use core::str::Utf8Error;

use bytes::Bytes;

use super::headers::Headers;

/// The timestamp of a record that has none (`-1`, Kafka's `NO_TIMESTAMP`).
pub const NO_TIMESTAMP: i64 = -1;

/// How the records area of a batch is compressed (`compression.type`).
///
/// Reading or writing one needs the Cargo feature of the same name (all are on by default); a codec that is not
/// compiled in is an error that names the feature, never a silent fallback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// snappy in the framing of xerial's snappy-java.
    Snappy,
    /// The LZ4 frame format with independent blocks.
    Lz4,
    /// Zstandard (RFC 8878). Brokers take it from Produce v7 and give it from Fetch v10 on (KIP-110).
    Zstd,
}

impl Codec {
    /// All codecs, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number that stands for the codec in a batch's attributes, 0 to 4.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec of an id, or nothing for an id that no codec has.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Kafka's name of the codec, as `compression.type` spells it; also the name of the Cargo feature.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec that `compression.type` names, or nothing for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who set the timestamps of a batch (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer, when it made each record.
    #[default]
    CreateTime,
    /// The broker, when it appended the batch: all its records have the same time.
    LogAppendTime,
}

/// A record header, borrowed: a name and a value that may be null.
///
/// Names are UTF-8 by Kafka's rules, but nothing on the way checks that, so they are lent as the bytes they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeaderRef<'a> {
    /// The name. Several headers of a record may have the same.
    pub key: &'a [u8],
    /// The value, or `None` for null.
    pub value: Option<&'a [u8]>,
}

impl<'a> HeaderRef<'a> {
    /// A header of this name and value.
    ///
    /// ```
    /// use klamm::record::HeaderRef;
    /// let header = HeaderRef::new("trace", Some(b"4bf92f35"));
    /// assert_eq!(header.key_str(), Ok("trace"));
    /// ```
    pub fn new(key: &'a str, value: Option<&'a [u8]>) -> Self {
        Self {
            key: key.as_bytes(),
            value,
        }
    }

    /// The name as text.
    ///
    /// # Errors
    /// The name is not UTF-8.
    pub fn key_str(&self) -> Result<&'a str, Utf8Error> {
        core::str::from_utf8(self.key)
    }

    /// A copy that owns its bytes.
    pub fn to_header(&self) -> Header {
        Header {
            key: Bytes::copy_from_slice(self.key),
            value: self.value.map(Bytes::copy_from_slice),
        }
    }
}

impl fmt::Debug for HeaderRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", Escaped(self.key), self.value.map(Escaped))
    }
}

/// A record header that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The name.
    pub key: Bytes,
    /// The value, or `None` for null.
    pub value: Option<Bytes>,
}

impl Header {
    /// The same header, borrowed.
    pub fn as_ref(&self) -> HeaderRef<'_> {
        HeaderRef {
            key: &self.key,
            value: self.value.as_deref(),
        }
    }
}

/// A record, borrowed: from the batch that was fetched, or from the caller who wants it appended.
///
/// It is `Copy` and costs nothing to pass on; [`to_record`](Self::to_record) makes a copy that outlives the batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The record's place in its partition. Not looked at when the record is appended: the broker gives it out.
    pub offset: i64,
    /// Milliseconds since 1970, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
    /// The key, or `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value, or `None` for null (a tombstone in a compacted topic).
    pub value: Option<&'a [u8]>,
    /// The headers; usually there are none.
    pub headers: Headers<'a>,
}

impl<'a> RecordRef<'a> {
    /// A record to append, without headers.
    ///
    /// ```
    /// use klamm::record::{HeaderRef, Headers, RecordRef};
    /// let plain = RecordRef::new(1_700_000_000_000, Some(b"key"), Some(b"value"));
    /// let headers = [HeaderRef::new("trace", None)];
    /// let traced = RecordRef { headers: Headers::from(&headers), ..plain };
    /// assert_eq!(traced.headers.len(), 1);
    /// ```
    #[inline]
    pub const fn new(timestamp: i64, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self {
            offset: 0,
            timestamp,
            key,
            value,
            headers: Headers::NONE,
        }
    }

    /// A copy that owns its bytes: one allocation each for the key and the value, and for headers where there are any.
    pub fn to_record(&self) -> Record {
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.map(Bytes::copy_from_slice),
            value: self.value.map(Bytes::copy_from_slice),
            headers: self
                .headers
                .iter()
                .map(|header| header.to_header())
                .collect(),
        }
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRef")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("key", &self.key.map(Escaped))
            .field("value", &self.value.map(Escaped))
            .field("headers", &self.headers)
            .finish()
    }
}

/// A record that owns its bytes and so outlives the batch it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's place in its partition.
    pub offset: i64,
    /// Milliseconds since 1970, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
    /// The key, or `None` for null.
    pub key: Option<Bytes>,
    /// The value, or `None` for null.
    pub value: Option<Bytes>,
    /// The headers, in their order.
    pub headers: Vec<Header>,
}

/// Bytes as text with escapes, the way `Bytes` prints itself.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
