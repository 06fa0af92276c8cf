//! Owns buffers that are not in use, so that memory once touched is used again instead of fetched afresh (fresh memory
//! costs twice the whole decode). The last one given back is the first one taken: it is the one most likely in the cache.
//!
//! Knows nothing of what they held. What is in use is accounted for by its user; what lies here is bounded by the
//! pool's own limits.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// Buffers below this are cheaper to allocate than to keep.
const KEPT_MIN: usize = 4 << 10;

/// A buffer may be this many times larger than what is asked for; a larger one would hide memory from whoever counts
/// it, and a string of a small response that somebody keeps would hold a megabyte.
const SLACK: usize = 4;

/// Buffers that a pool keeps at the most, so that looking for one that fits stays short.
const BUFFERS_MAX: usize = 64;

/// A stack of empty buffers that keep their capacity, bounded in number and in bytes.
#[derive(Debug)]
pub struct BufferPool {
    buffers: Vec<BytesMut>,
    held: usize,
    limit: usize,
}

impl BufferPool {
    /// A pool that keeps at most `limit` bytes; what is beyond is freed.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            buffers: Vec::new(),
            held: 0,
            limit,
        }
    }

    /// An empty buffer, with capacity for `wanted` bytes if one lies here, else without any: the caller grows it
    /// when it has the right to.
    #[must_use]
    pub fn take(&mut self, wanted: usize) -> BytesMut {
        let most = wanted.saturating_mul(SLACK);
        let fitting = |buffer: &BytesMut| buffer.capacity() >= wanted && buffer.capacity() <= most;
        match self.buffers.iter().rposition(fitting) {
            Some(index) => {
                let buffer = self.buffers.remove(index);
                self.held = self.held.saturating_sub(buffer.capacity());
                buffer
            }
            None => BytesMut::new(),
        }
    }

    /// Keeps a buffer for the next user, if there is room; its content is dropped.
    pub fn put(&mut self, mut buffer: BytesMut) {
        buffer.clear();
        let capacity = buffer.capacity();
        if capacity >= KEPT_MIN
            && capacity <= self.limit.saturating_sub(self.held)
            && self.buffers.len() < BUFFERS_MAX
        {
            self.held = self.held.saturating_add(capacity);
            self.buffers.push(buffer);
        }
    }

    /// Puts the buffer below `bytes` back, if nobody else holds a part of it; says whether that was so.
    pub fn recycle(&mut self, bytes: Bytes) -> bool {
        match bytes.try_into_mut() {
            Ok(buffer) => {
                self.put(buffer);
                true
            }
            Err(_) => false,
        }
    }

    /// The bytes of capacity that lie here.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_used_again_with_its_memory() {
        let mut pool = BufferPool::new(1 << 20);
        let mut buffer = BytesMut::with_capacity(64 << 10);
        buffer.extend_from_slice(&[7; 1000]);
        let address = buffer.as_ptr();
        assert!(pool.recycle(buffer.freeze()));
        let again = pool.take(60 << 10);
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), address);
        assert_eq!(pool.held(), 0);
    }

    #[test]
    fn the_last_buffer_comes_back_first() {
        let mut pool = BufferPool::new(1 << 20);
        pool.put(BytesMut::with_capacity(10_000));
        pool.put(BytesMut::with_capacity(30_000));
        assert_eq!(pool.held(), 40_000);
        assert_eq!((pool.take(9_000).capacity(), pool.held()), (30_000, 10_000));
    }

    #[test]
    fn a_buffer_that_somebody_still_reads_is_not_reused() {
        let mut pool = BufferPool::new(1 << 20);
        let bytes = BytesMut::from(&[7; 8192][..]).freeze();
        let part = bytes.slice(100..200);
        assert!(!pool.recycle(bytes), "a part of it is still held");
        assert_eq!((pool.held(), part.len()), (0, 100));
        assert!(pool.recycle(part), "the last part brings it back");
        assert_eq!(pool.held(), 8092, "all from its beginning on");
    }

    #[test]
    fn the_pool_keeps_its_limits_and_gives_no_giant_for_a_small_wish() {
        let mut pool = BufferPool::new(100 << 10);
        pool.put(BytesMut::with_capacity(64 << 10));
        pool.put(BytesMut::with_capacity(64 << 10));
        pool.put(BytesMut::with_capacity(100));
        pool.put(BytesMut::new());
        assert_eq!(pool.held(), 64 << 10);
        assert_eq!(pool.take(100).capacity(), 0);
        assert_eq!(pool.take(64 << 10).capacity(), 64 << 10);
        let mut pool = BufferPool::new(usize::MAX);
        for _ in 0..2 * BUFFERS_MAX {
            pool.put(BytesMut::with_capacity(KEPT_MIN));
        }
        assert_eq!(pool.held(), BUFFERS_MAX * KEPT_MIN);
    }

    #[test]
    fn static_bytes_are_nobodys_buffer() {
        assert!(!BufferPool::new(100).recycle(Bytes::from_static(b"x")));
    }
}
