//! The headers of one record, as they lie in a batch or as the caller lists them.
//!
//! Owns their encoding. Encoded headers are checked once, when the record is parsed, so that going through them later
//! cannot fail; most records have none, and then nothing is done at all.
//!
//! Must not know the rest of a record.

use core::fmt;

use bytes::BytesMut;

use crate::wire::varint::{encode_i32, len_i32};

use super::error::RecordErrorReason;
use super::types::HeaderRef;
use super::varint;

/// The headers of a record, in their order; several may have the same name.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// `count` headers that [`Headers::parse`] has walked through.
    Encoded {
        count: u32,
        bytes: &'a [u8],
    },
    Listed(&'a [HeaderRef<'a>]),
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Self = Self {
        source: Source::Listed(&[]),
    };

    /// Takes what follows the value of a record: the count, and then exactly that many headers.
    ///
    /// Kept out of line, so that the record without headers stays short.
    #[cold]
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, RecordErrorReason> {
        let (count, bytes) = varint::read_i32(bytes)?;
        let count = u32::try_from(count)
            .map_err(|_| RecordErrorReason::NegativeLength { length: count })?;
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = parse_header(rest)?;
        }
        if rest.is_empty() {
            Ok(Self {
                source: Source::Encoded { count, bytes },
            })
        } else {
            Err(RecordErrorReason::LengthMismatch { unused: rest.len() })
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self.source {
            Source::Encoded { count, .. } => usize::try_from(count).unwrap_or(usize::MAX),
            Source::Listed(headers) => headers.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Goes through the headers in their order.
    pub fn iter(&self) -> HeadersIter<'a> {
        HeadersIter {
            source: self.source,
        }
    }

    /// The last header of this name, which is the one that counts where a name repeats.
    pub fn last(&self, key: &str) -> Option<HeaderRef<'a>> {
        self.iter()
            .filter(|header| header.key == key.as_bytes())
            .last()
    }

    /// The bytes that [`write`](Self::write) writes.
    pub(super) fn encoded_size(&self) -> usize {
        match self.source {
            Source::Encoded { count, bytes } => len_i32(count as i32).saturating_add(bytes.len()),
            Source::Listed(headers) => {
                headers
                    .iter()
                    .fold(varint::size_length(headers.len()), |size, header| {
                        let value = header.value.map_or(0, <[u8]>::len);
                        size.saturating_add(varint::size_length(header.key.len()))
                            .saturating_add(header.key.len())
                            .saturating_add(header.value.map_or(1, |_| varint::size_length(value)))
                            .saturating_add(value)
                    })
            }
        }
    }

    /// Writes the count and the headers. The caller has seen by [`encoded_size`](Self::encoded_size) that they fit.
    pub(super) fn write(&self, buffer: &mut BytesMut) {
        match self.source {
            Source::Encoded { count, bytes } => {
                encode_i32(count as i32, buffer);
                buffer.extend_from_slice(bytes);
            }
            Source::Listed(headers) => {
                encode_i32(headers.len() as i32, buffer);
                for header in headers {
                    encode_i32(header.key.len() as i32, buffer);
                    buffer.extend_from_slice(header.key);
                    varint::write_nullable(buffer, header.value);
                }
            }
        }
    }
}

/// One header, and what follows it.
fn parse_header(bytes: &[u8]) -> Result<(HeaderRef<'_>, &[u8]), RecordErrorReason> {
    let (key, rest) = varint::read_nullable(bytes)?;
    let key = key.ok_or(RecordErrorReason::NegativeLength { length: -1 })?;
    let (value, rest) = varint::read_nullable(rest)?;
    Ok((HeaderRef { key, value }, rest))
}

impl<'a> From<&'a [HeaderRef<'a>]> for Headers<'a> {
    fn from(headers: &'a [HeaderRef<'a>]) -> Self {
        Self {
            source: Source::Listed(headers),
        }
    }
}

impl<'a, const N: usize> From<&'a [HeaderRef<'a>; N]> for Headers<'a> {
    fn from(headers: &'a [HeaderRef<'a>; N]) -> Self {
        Self {
            source: Source::Listed(headers),
        }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = HeaderRef<'a>;
    type IntoIter = HeadersIter<'a>;
    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

impl Default for Headers<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

/// Headers are equal when they are the same names and values in the same order, however they are held.
impl PartialEq for Headers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers<'_> {}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Goes through [`Headers`].
#[derive(Clone)]
pub struct HeadersIter<'a> {
    source: Source<'a>,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = HeaderRef<'a>;

    fn next(&mut self) -> Option<HeaderRef<'a>> {
        match &mut self.source {
            Source::Encoded { count, bytes } => {
                *count = count.checked_sub(1)?;
                // `Headers::parse` has walked over them: they do parse.
                let (header, rest) = parse_header(bytes).ok()?;
                *bytes = rest;
                Some(header)
            }
            Source::Listed(headers) => {
                let (first, rest) = headers.split_first()?;
                *headers = rest;
                Some(*first)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let length = Headers {
            source: self.source,
        }
        .len();
        (length, Some(length))
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}
