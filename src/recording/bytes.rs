//! Owns how the plain things of a recording look as bytes: numbers little-endian, texts and bytes with their length
//! before them.
//!
//! Must not know what they mean.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::RecordingError;
use crate::time::Instant;

/// Appends plain data to a recording.
#[derive(Debug)]
pub struct Encoder<'a> {
    to: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to `to`.
    pub fn new(to: &'a mut Vec<u8>) -> Self {
        Self { to }
    }

    /// One byte.
    pub fn put_u8(&mut self, value: u8) {
        self.to.push(value);
    }

    /// Four bytes.
    pub fn put_i32(&mut self, value: i32) {
        self.to.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn put_u32(&mut self, value: u32) {
        self.to.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn put_i64(&mut self, value: i64) {
        self.to.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn put_u64(&mut self, value: u64) {
        self.to.extend_from_slice(&value.to_le_bytes());
    }

    /// A count or a length; what does not fit in 32 bits is no length of anything that is recorded.
    pub fn put_count(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.to.extend_from_slice(&count.to_le_bytes());
    }

    /// An instant.
    pub fn put_instant(&mut self, at: Instant) {
        self.put_u64(at.as_nanos());
    }

    /// Bytes with their length.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_count(bytes.len());
        self.to.extend_from_slice(bytes);
    }

    /// Whether there is something, and if so, what.
    pub fn put_option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.put_u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// Whatever has a `Debug` form that tells unequal values apart.
    pub fn put_debug(&mut self, value: &impl fmt::Debug) {
        self.put_bytes(alloc::format!("{value:?}").as_bytes());
    }

    /// Whatever `put` appends, with its length before it.
    pub fn put_sized(&mut self, put: impl FnOnce(&mut Encoder<'_>)) {
        let start = self.to.len();
        self.put_count(0);
        let inner = self.to.len();
        put(&mut Encoder::new(self.to));
        let length = u32::try_from(self.to.len().saturating_sub(inner)).unwrap_or(u32::MAX);
        if let Some(place) = self.to.get_mut(start..inner) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Reads plain data of a recording.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads from the beginning of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// There must be nothing more.
    ///
    /// # Errors
    /// There is.
    pub const fn expect_end(&self) -> Result<(), RecordingError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.error("the end"))
        }
    }

    /// An error about the place that was reached.
    #[must_use]
    pub const fn error(&self, expected: &'static str) -> RecordingError {
        RecordingError {
            expected,
            left: self.rest.len(),
        }
    }

    /// That many bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn get_array<const N: usize>(&mut self) -> Result<[u8; N], RecordingError> {
        let (array, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(self.error("a number"))?;
        self.rest = rest;
        Ok(*array)
    }

    /// One byte.
    ///
    /// # Errors
    /// There is none.
    pub fn get_u8(&mut self) -> Result<u8, RecordingError> {
        self.get_array().map(u8::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn get_i32(&mut self) -> Result<i32, RecordingError> {
        self.get_array().map(i32::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn get_u32(&mut self) -> Result<u32, RecordingError> {
        self.get_array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn get_i64(&mut self) -> Result<i64, RecordingError> {
        self.get_array().map(i64::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn get_u64(&mut self) -> Result<u64, RecordingError> {
        self.get_array().map(u64::from_le_bytes)
    }

    /// An instant.
    ///
    /// # Errors
    /// There is none.
    pub fn get_instant(&mut self) -> Result<Instant, RecordingError> {
        self.get_u64().map(Instant::from_nanos)
    }

    /// Bytes with their length.
    ///
    /// # Errors
    /// There are fewer than the length says.
    pub fn get_bytes(&mut self) -> Result<&'a [u8], RecordingError> {
        let length = usize::try_from(self.get_u32()?).unwrap_or(usize::MAX);
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(self.error("more bytes"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A text with its length.
    ///
    /// # Errors
    /// It is cut off, or not UTF-8.
    pub fn get_str(&mut self) -> Result<&'a str, RecordingError> {
        let bytes = self.get_bytes()?;
        core::str::from_utf8(bytes).map_err(|_| self.error("text in UTF-8"))
    }

    /// A text of its own.
    ///
    /// # Errors
    /// It is cut off, or not UTF-8.
    pub fn get_string(&mut self) -> Result<String, RecordingError> {
        self.get_str().map(String::from)
    }

    /// What [`put_option`](Encoder::put_option) wrote.
    ///
    /// # Errors
    /// It is cut off, or `get` says so.
    pub fn get_option<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, RecordingError>,
    ) -> Result<Option<T>, RecordingError> {
        match self.get_u8()? {
            0 => Ok(None),
            1 => get(self).map(Some),
            _ => Err(self.error("0 or 1")),
        }
    }
}
