//! Owns reading of the protocol's primitive values from a frame, and every limit against hostile ones: no length or
//! count is believed before the bytes left could hold it. Knows no message.

use super::{DecodeError, DecodeErrorKind, Str, value::MAX_STRING, varint};
use bytes::Bytes;

/// More tagged fields in one section than any message will have; a bound on the work that unknown ones cost.
const MAX_TAGS: u32 = 1024;

/// Memory that decoded arrays may take in all, for each byte of the frame and beyond; an error takes a little, too.
/// Honest content stays below: thousands of names of three letters take some eight bytes of memory for each byte on
/// the wire, and all else less.
const MEMORY_PER_BYTE: usize = 8;
const MEMORY_BASE: usize = 15 << 10;

/// Reads the values of one frame.
///
/// Strings and byte fields are slices of the frame: they copy nothing and keep it in memory. A reader is cheap to make,
/// never panics and never reserves more memory than the bytes at hand could fill.
#[derive(Debug, Clone)]
pub struct Reader {
    frame: Bytes,
    at: usize,
    /// Where the frame ends, or the tagged field that is being read. Never beyond the frame's end.
    end: usize,
    memory: usize,
    version: i16,
    flexible: bool,
}

impl Reader {
    /// Reads `frame` (without its size prefix) from the start.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        let end = frame.len();
        let memory = end
            .saturating_mul(MEMORY_PER_BYTE)
            .saturating_add(MEMORY_BASE);
        Self {
            frame,
            at: 0,
            end,
            memory,
            version: 0,
            flexible: false,
        }
    }

    /// Sets how many bytes of memory the arrays that are read from here on may take in all.
    /// By default it is 15 KiB and eight times the frame.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    pub(crate) fn set_format(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// The version of the message that is being read.
    #[inline]
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether that version is a flexible one (KIP-482).
    #[inline]
    #[must_use]
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// The position in the frame, in bytes.
    #[inline]
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    #[inline]
    #[must_use]
    pub fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Trailing`] where bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.error(DecodeErrorKind::Trailing { left })),
        }
    }

    #[cold]
    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.at)
    }

    #[cold]
    fn cut(&self, needed: usize) -> DecodeError {
        let left = self.left();
        self.error(DecodeErrorKind::Cut { needed, left })
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        self.frame.get(self.at..self.end).unwrap_or_default()
    }

    /// Reads `N` raw bytes.
    ///
    /// # Errors
    /// Fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest().first_chunk::<N>().copied() {
            Some(bytes) => {
                self.at = self.at.saturating_add(N);
                Ok(bytes)
            }
            None => Err(self.cut(N)),
        }
    }

    /// Reads `length` raw bytes, as a slice of the frame.
    ///
    /// # Errors
    /// Fewer are left.
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        match self.at.checked_add(length) {
            Some(to) if to <= self.end => {
                let bytes = self.frame.slice(self.at..to);
                self.at = to;
                Ok(bytes)
            }
            _ => Err(self.cut(length)),
        }
    }

    /// Skips `length` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    #[inline]
    pub fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        match self.at.checked_add(length) {
            Some(to) if to <= self.end => {
                self.at = to;
                Ok(())
            }
            _ => Err(self.cut(length)),
        }
    }

    /// Reads an unsigned variable-length integer of 32 bits.
    ///
    /// # Errors
    /// The bytes end within it, or it is too large.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        match varint::decode_u32(self.rest()) {
            Some((value, length)) => {
                self.at = self.at.saturating_add(length);
                Ok(value)
            }
            None if self.left() < varint::MAX_LEN_32 => {
                let needed = self.left().saturating_add(1);
                Err(self.cut(needed))
            }
            None => Err(self.error(DecodeErrorKind::VarintTooLong)),
        }
    }

    /// Reads a length as flexible versions write it (one more, zero for null) or as a plain number that `plain` reads.
    #[inline]
    fn length(
        &mut self,
        plain: impl FnOnce(&mut Self) -> Result<i32, DecodeError>,
    ) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return Ok((self.uvarint()? as usize).checked_sub(1));
        }
        let at = self.at;
        match plain(self)? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(DecodeError::new(
                    DecodeErrorKind::NegativeLength(length.into()),
                    at,
                )),
            },
        }
    }

    /// Reads a 16-bit length, then a string of it.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Option<Str>, DecodeError> {
        let start = self.at;
        let Some(length) = self.length(|r| Ok(i16::from_be_bytes(r.array()?).into()))? else {
            return Ok(None);
        };
        if length > MAX_STRING {
            return Err(DecodeError::new(
                DecodeErrorKind::StringTooLong { length },
                start,
            ));
        }
        let at = self.at;
        match Str::from_utf8(self.bytes(length)?) {
            Ok(string) => Ok(Some(string)),
            Err(_) => Err(DecodeError::new(DecodeErrorKind::NotUtf8, at)),
        }
    }

    /// Reads a 32-bit length, then as many bytes.
    #[inline]
    pub(crate) fn byte_field(&mut self) -> Result<Option<Bytes>, DecodeError> {
        match self.length(|r| Ok(i32::from_be_bytes(r.array()?)))? {
            Some(length) => Ok(Some(self.bytes(length)?)),
            None => Ok(None),
        }
    }

    /// Reads the count of an array whose elements take at least `smallest` bytes on the wire and `memory` in memory.
    #[inline]
    pub(crate) fn count(
        &mut self,
        smallest: usize,
        memory: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let at = self.at;
        let Some(count) = self.length(|r| Ok(i32::from_be_bytes(r.array()?)))? else {
            return Ok(None);
        };
        let left = self.left();
        if count.saturating_mul(smallest) > left {
            return Err(DecodeError::new(
                DecodeErrorKind::Count {
                    count,
                    smallest,
                    left,
                },
                at,
            ));
        }
        let needed = count.saturating_mul(memory);
        match self.memory.checked_sub(needed) {
            Some(memory) => self.memory = memory,
            None => {
                let allowed = self.memory;
                return Err(DecodeError::new(
                    DecodeErrorKind::TooMuchMemory { needed, allowed },
                    at,
                ));
            }
        }
        Ok(Some(count))
    }

    /// Starts a section of tagged fields (KIP-482).
    #[inline]
    pub(crate) fn tags(&mut self) -> Result<Tags, DecodeError> {
        let left = self.uvarint()?;
        if left > MAX_TAGS {
            return Err(self.error(DecodeErrorKind::TooManyTags(left)));
        }
        Ok(Tags {
            left,
            previous: None,
        })
    }

    /// Narrows the reader to a tagged field of `size` bytes; gives what [`Reader::leave`] takes.
    pub(crate) fn enter(&mut self, size: usize) -> Result<usize, DecodeError> {
        match self.at.checked_add(size) {
            Some(to) if to <= self.end => Ok(core::mem::replace(&mut self.end, to)),
            _ => Err(self.cut(size)),
        }
    }

    /// Ends a tagged field, which must have been read to its end.
    pub(crate) fn leave(&mut self, outer: usize) -> Result<(), DecodeError> {
        self.finish()?;
        self.end = outer;
        Ok(())
    }
}

/// What is left of a section of tagged fields.
#[derive(Debug)]
pub(crate) struct Tags {
    left: u32,
    previous: Option<u32>,
}

impl Tags {
    /// The next field's tag and size in bytes; its payload must then be read or skipped.
    #[inline]
    pub(crate) fn next(
        &mut self,
        reader: &mut Reader,
    ) -> Result<Option<(u32, usize)>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let at = reader.at;
        let tag = reader.uvarint()?;
        // Ascending order also means that no tag comes twice.
        if let Some(previous) = self.previous.filter(|previous| *previous >= tag) {
            return Err(DecodeError::new(
                DecodeErrorKind::TagOrder { tag, previous },
                at,
            ));
        }
        self.previous = Some(tag);
        Ok(Some((tag, reader.uvarint()? as usize)))
    }
}
