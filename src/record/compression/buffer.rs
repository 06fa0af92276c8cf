//! The memory that decompressed records lie in.
//!
//! Owns the rule that it grows to its limit and no further, and that it is set to zero once, when it is new, and not
//! for every batch. Knows no codec.

use alloc::vec::Vec;

use super::DecompressError;

/// Where decompressed bytes go. Used again for the next batch, it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct DecompressBuffer {
    /// Set to zero when it grows, and never again.
    bytes: Vec<u8>,
    filled: usize,
}

#[allow(
    dead_code,
    reason = "which of it is needed depends on the codecs that are built"
)]
impl DecompressBuffer {
    /// A buffer that has no memory yet.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            filled: 0,
        }
    }

    /// What was decompressed last.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// The memory that it takes, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Frees memory beyond `capacity` bytes; what was decompressed is gone.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.filled = 0;
        self.bytes.truncate(capacity);
        self.bytes.shrink_to(capacity);
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Room behind what is filled: `wanted` bytes or more, unless the limit leaves less.
    pub(super) fn room(&mut self, wanted: usize, limit: usize) -> &mut [u8] {
        let needed = self.filled.saturating_add(wanted).min(limit);
        if self.bytes.len() < needed {
            let grown = self.bytes.len().saturating_mul(2).clamp(needed, limit);
            self.bytes
                .reserve_exact(grown.saturating_sub(self.bytes.len()));
            self.bytes.resize(grown, 0);
        }
        let end = self.bytes.len().min(limit);
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }

    /// The room that was written to is filled now.
    pub(super) fn advance(&mut self, written: usize) {
        self.filled = self.filled.saturating_add(written).min(self.bytes.len());
    }

    /// Appends bytes that are not compressed.
    pub(super) fn append(&mut self, bytes: &[u8], limit: usize) -> Result<(), DecompressError> {
        match self.room(bytes.len(), limit).get_mut(..bytes.len()) {
            Some(room) => room.copy_from_slice(bytes),
            None => {
                return Err(DecompressError::Exhausted {
                    needed: self.filled.saturating_add(bytes.len()),
                });
            }
        }
        self.advance(bytes.len());
        Ok(())
    }

    /// The bytes filled from `start` on.
    #[cfg(any(feature = "gzip", feature = "lz4"))]
    pub(super) fn filled_from(&self, start: usize) -> &[u8] {
        self.bytes.get(start..self.filled).unwrap_or_default()
    }
}
