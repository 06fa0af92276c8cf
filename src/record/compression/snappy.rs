//! snappy, in the framing of xerial's snappy-java.
//!
//! Owns that framing: a header of 16 bytes, then blocks of at most 32 KiB behind their length. Reads bare snappy blocks
//! as well, which other clients have written.
//!
//! Must not know what a batch is.

use alloc::vec::Vec;

use bytes::BytesMut;
use snap::raw;

use super::{CompressError, DecompressBuffer, DecompressError};
use crate::record::Codec;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, the version and the oldest version that can read it, both 1.
const HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
const BLOCK: usize = 32 * 1024;
/// snappy's densest element makes 64 bytes of three; more than this a block cannot expand.
const MOST_EXPANSION: usize = 64;

const fn corrupt(reason: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Snappy,
        reason,
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    raw: raw::Decoder,
}

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<(), DecompressError> {
        if !input.starts_with(&MAGIC) {
            return self.block(input, output, limit);
        }
        let mut input = input;
        while !input.is_empty() {
            // Streams may be joined: the next header stands where a length would.
            if input.starts_with(&MAGIC) {
                input = input
                    .get(HEADER.len()..)
                    .ok_or(corrupt("cut off in the header"))?;
                continue;
            }
            let (length, rest) = input
                .split_first_chunk::<4>()
                .ok_or(corrupt("cut off before a block"))?;
            let length = usize::try_from(i32::from_be_bytes(*length))
                .map_err(|_| corrupt("a block of negative length"))?;
            let (block, rest) = rest
                .split_at_checked(length)
                .ok_or(corrupt("cut off in a block"))?;
            self.block(block, output, limit)?;
            input = rest;
        }
        Ok(())
    }

    fn block(
        &mut self,
        block: &[u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<(), DecompressError> {
        let length =
            raw::decompress_len(block).map_err(|_| corrupt("a block that declares no length"))?;
        if block.is_empty() || length > block.len().saturating_mul(MOST_EXPANSION) {
            return Err(corrupt("a block that declares more than it can hold"));
        }
        let needed = output.filled().saturating_add(length);
        let room = output
            .room(length, limit)
            .get_mut(..length)
            .ok_or(DecompressError::Exhausted { needed })?;
        let written = self
            .raw
            .decompress(block, room)
            .map_err(|_| corrupt("not a snappy block"))?;
        output.advance(written);
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct Encoder {
    raw: Option<raw::Encoder>,
    block: Vec<u8>,
}

impl Encoder {
    pub(super) fn compress(
        &mut self,
        input: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), CompressError> {
        let raw = self.raw.get_or_insert_with(raw::Encoder::new);
        self.block.resize(snap::raw::max_compress_len(BLOCK), 0);
        output.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK) {
            let length =
                raw.compress(block, &mut self.block)
                    .map_err(|_| CompressError::Failed {
                        codec: Codec::Snappy,
                        reason: "a block was refused",
                    })?;
            output.extend_from_slice(&(length as u32).to_be_bytes());
            output.extend_from_slice(self.block.get(..length).unwrap_or_default());
        }
        Ok(())
    }
}
