//! Owns writing of the protocol's primitive values into a pooled buffer. Knows no message.

use super::{EncodeError, EncodeErrorKind, Segments, value::MAX_STRING, varint};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

/// Byte fields from this size on become a segment of their own and are not copied: below it the copy is cheaper than
/// one more piece in the vectored write.
const ADOPT: usize = 512;

/// Writes the values of one frame.
///
/// Large byte fields (records) are taken over by reference, as segments of their own; everything else is copied into
/// the buffer that the writer was made with.
#[derive(Debug, Default)]
pub struct Writer {
    /// What lies before `buffer`, in order.
    done: Vec<Piece>,
    buffer: BytesMut,
    /// How many tagged fields enclose this position; within one nothing is taken over, as its size stands before it.
    tag_depth: usize,
    version: i16,
    flexible: bool,
}

#[derive(Debug)]
enum Piece {
    Written(BytesMut),
    Adopted(Bytes),
}

/// The place of a value that is known only later.
#[derive(Debug)]
pub(crate) struct Mark(usize);

impl Writer {
    /// Writes into `buffer`, whose content is dropped and whose capacity is used.
    #[must_use]
    pub fn new(mut buffer: BytesMut) -> Self {
        buffer.clear();
        Self {
            buffer,
            ..Self::default()
        }
    }

    pub(crate) fn set_format(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// The version of the message that is being written.
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

    /// Appends raw bytes.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends raw bytes, by reference where they are many.
    #[inline]
    pub fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() < ADOPT || self.tag_depth > 0 {
            self.raw(bytes);
        } else {
            self.done.push(Piece::Written(self.buffer.split()));
            self.done.push(Piece::Adopted(bytes.clone()));
        }
    }

    /// Appends an unsigned variable-length integer.
    #[inline]
    pub fn uvarint(&mut self, value: u32) {
        varint::encode_u32(value, &mut self.buffer);
    }

    /// Appends a 16-bit string length, or null.
    #[inline]
    pub(crate) fn string_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        match length {
            Some(length) if length > MAX_STRING => Err(too_long(length, MAX_STRING)),
            _ if self.flexible => self.length(length),
            Some(length) => {
                self.buffer.put_i16(length as i16);
                Ok(())
            }
            None => {
                self.buffer.put_i16(-1);
                Ok(())
            }
        }
    }

    /// Appends the 32-bit length of a byte field or the count of an array, or null.
    #[inline]
    pub(crate) fn length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        const MAX: usize = i32::MAX as usize;
        match length {
            Some(length) if length > MAX => return Err(too_long(length, MAX)),
            Some(length) if self.flexible => self.uvarint((length as u32).saturating_add(1)),
            Some(length) => self.buffer.put_i32(length as i32),
            None if self.flexible => self.uvarint(0),
            None => self.buffer.put_i32(-1),
        }
        Ok(())
    }

    /// Starts a tagged field (KIP-482).
    pub(crate) fn begin_tag(&mut self, tag: u32) -> Mark {
        self.uvarint(tag);
        self.tag_depth = self.tag_depth.saturating_add(1);
        Mark(self.buffer.len())
    }

    /// Ends a tagged field: puts its size before it.
    pub(crate) fn end_tag(&mut self, start: &Mark) -> Result<(), EncodeError> {
        let size = self.buffer.len().saturating_sub(start.0);
        let Ok(size_32) = u32::try_from(size) else {
            return Err(too_long(size, u32::MAX as usize));
        };
        // Tagged fields are small: moving them is cheaper than measuring each message first.
        self.uvarint(size_32);
        if let Some(field) = self.buffer.get_mut(start.0..) {
            field.rotate_right(varint::len_u32(size_32));
        }
        self.tag_depth = self.tag_depth.saturating_sub(1);
        Ok(())
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done.iter().fold(self.buffer.len(), |sum, piece| {
            sum.saturating_add(match piece {
                Piece::Written(bytes) => bytes.len(),
                Piece::Adopted(bytes) => bytes.len(),
            })
        })
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a frame: leaves room for its size.
    pub(crate) fn begin_frame(&mut self) {
        self.buffer.put_i32(0);
    }

    /// Ends a frame: puts its size into its first four bytes, and gives its segments.
    pub(crate) fn finish_frame(mut self) -> Result<Segments, EncodeError> {
        let size = self.len().saturating_sub(size_of::<i32>());
        let Ok(prefix) = i32::try_from(size) else {
            return Err(too_long(size, i32::MAX as usize));
        };
        let first = match self.done.first_mut() {
            Some(Piece::Written(bytes)) => bytes,
            Some(Piece::Adopted(_)) | None => &mut self.buffer,
        };
        if let Some(room) = first.first_chunk_mut() {
            *room = prefix.to_be_bytes();
        }
        Ok(self.finish())
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Segments {
        if self.done.is_empty() {
            return self.buffer.freeze().into();
        }
        let mut pieces: Vec<Bytes> = Vec::with_capacity(self.done.len().saturating_add(1));
        pieces.extend(self.done.into_iter().map(|piece| match piece {
            Piece::Written(bytes) => bytes.freeze(),
            Piece::Adopted(bytes) => bytes,
        }));
        pieces.push(self.buffer.freeze());
        Segments::new(pieces)
    }
}

#[cold]
fn too_long(length: usize, max: usize) -> EncodeError {
    EncodeError::new(EncodeErrorKind::TooLong { length, max })
}
