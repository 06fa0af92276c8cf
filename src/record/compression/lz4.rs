//! The LZ4 frame format, as far as Kafka uses it.
//!
//! Owns the frame: independent blocks only, which is all that Java's client and broker accept. Writes blocks of 64 KiB
//! without checksums, as Java does; reads whatever else the header may say.
//!
//! Must not know what a batch is.

use alloc::vec::Vec;

use bytes::BytesMut;
use lz4_flex::block::{
    CompressTable, DecompressError as BlockError, compress_into_with_table, decompress_into,
    get_maximum_output_size,
};

use super::{CompressError, DecompressBuffer, DecompressError};
use crate::record::Codec;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// The magic; version 1 with independent blocks; blocks of 64 KiB; the checksum of these two bytes.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
const END_MARK: u32 = 0;
/// Set in a block's length if the block is stored as it is.
const STORED: u32 = 1 << 31;
/// lz4 counts matches in bytes of 255; more than this a block cannot expand.
const MOST_EXPANSION: usize = 256;

const VERSION_MASK: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUM: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 1;
const DICTIONARY: u8 = 1;

const fn corrupt(reason: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Lz4,
        reason,
    }
}

struct Frame {
    block_checksum: bool,
    content_checksum: bool,
    largest_block: usize,
}

/// The frame's header, and what follows it.
fn read_header(input: &[u8]) -> Result<(Frame, &[u8]), DecompressError> {
    let input = input.strip_prefix(&MAGIC).ok_or(corrupt("no lz4 frame"))?;
    let [flags, sizes, ..] = *input else {
        return Err(corrupt("cut off in the header"));
    };
    if flags & (VERSION_MASK | RESERVED) != VERSION_1 || sizes & 0b1000_1111 != 0 {
        return Err(corrupt("a header of another version"));
    }
    if flags & INDEPENDENT == 0 {
        return Err(corrupt(
            "its blocks depend on each other, which Kafka does not allow",
        ));
    }
    if flags & DICTIONARY != 0 {
        return Err(corrupt("it needs a dictionary"));
    }
    let largest_block = match sizes >> 4 {
        4 => BLOCK,
        5 => 256 * 1024,
        6 => 1024 * 1024,
        7 => 4 * 1024 * 1024,
        _ => return Err(corrupt("blocks of an unknown size")),
    };
    let length = if flags & CONTENT_SIZE == 0 { 2 } else { 10 };
    let (descriptor, rest) = input
        .split_at_checked(length)
        .ok_or(corrupt("cut off in the header"))?;
    let (checksum, rest) = rest.split_first().ok_or(corrupt("cut off in the header"))?;
    if !header_checksum_fits(descriptor, *checksum) {
        return Err(corrupt("the checksum of the header does not fit"));
    }
    let frame = Frame {
        block_checksum: flags & BLOCK_CHECKSUM != 0,
        content_checksum: flags & CONTENT_CHECKSUM != 0,
        largest_block,
    };
    Ok((frame, rest))
}

fn header_checksum_fits(descriptor: &[u8], checksum: u8) -> bool {
    let is_of = |bytes: &[u8]| u32::from(checksum) == (xxh32(bytes) >> 8) & 0xff;
    // Within messages of v0 all clients summed up the magic as well, because Java once did (KAFKA-3160).
    #[cfg(feature = "legacy")]
    if is_of(&[&MAGIC, descriptor].concat()) {
        return true;
    }
    is_of(descriptor)
}

fn read_u32(input: &[u8]) -> Result<(u32, &[u8]), DecompressError> {
    let (number, rest) = input.split_first_chunk().ok_or(corrupt("cut off"))?;
    Ok((u32::from_le_bytes(*number), rest))
}

/// Decompresses one frame; what follows its end mark is not looked at, as in Java.
pub(super) fn decompress(
    input: &[u8],
    output: &mut DecompressBuffer,
    limit: usize,
) -> Result<(), DecompressError> {
    let (frame, mut input) = read_header(input)?;
    loop {
        let (length, rest) = read_u32(input)?;
        if length == END_MARK {
            if frame.content_checksum && read_u32(rest)?.0 != xxh32(output.as_slice()) {
                return Err(corrupt("the checksum of the content does not fit"));
            }
            return Ok(());
        }
        let size = (length & !STORED) as usize;
        if size > frame.largest_block {
            return Err(corrupt("a block longer than the header allows"));
        }
        let (block, rest) = rest
            .split_at_checked(size)
            .ok_or(corrupt("cut off in a block"))?;
        input = rest;
        if frame.block_checksum {
            let (checksum, rest) = read_u32(input)?;
            input = rest;
            if checksum != xxh32(block) {
                return Err(corrupt("the checksum of a block does not fit"));
            }
        }
        if length & STORED == 0 {
            decompress_block(block, frame.largest_block, output, limit)?;
        } else {
            output.append(block, limit)?;
        }
    }
}

fn decompress_block(
    block: &[u8],
    largest_block: usize,
    output: &mut DecompressBuffer,
    limit: usize,
) -> Result<(), DecompressError> {
    let most = block
        .len()
        .saturating_mul(MOST_EXPANSION)
        .min(largest_block);
    let start = output.filled();
    let room = output.room(most, limit);
    let available = room.len().min(most);
    match decompress_into(block, room.get_mut(..available).unwrap_or_default()) {
        Ok(written) => {
            output.advance(written);
            Ok(())
        }
        Err(BlockError::OutputTooSmall { expected, .. }) if available < most => {
            Err(DecompressError::Exhausted {
                needed: start.saturating_add(expected).max(limit.saturating_add(1)),
            })
        }
        Err(_) => Err(corrupt("not an lz4 block")),
    }
}

#[derive(Default)]
pub(super) struct Encoder {
    table: Option<CompressTable>,
    block: Vec<u8>,
}

impl Encoder {
    pub(super) fn compress(
        &mut self,
        input: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), CompressError> {
        let table = self.table.get_or_insert_with(CompressTable::small);
        self.block.resize(get_maximum_output_size(BLOCK), 0);
        output.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK) {
            let length = compress_into_with_table(block, &mut self.block, table).map_err(|_| {
                CompressError::Failed {
                    codec: Codec::Lz4,
                    reason: "a block was refused",
                }
            })?;
            match self
                .block
                .get(..length)
                .filter(|compressed| compressed.len() < block.len())
            {
                Some(compressed) => {
                    output.extend_from_slice(&(length as u32).to_le_bytes());
                    output.extend_from_slice(compressed);
                }
                None => {
                    output.extend_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
                    output.extend_from_slice(block);
                }
            }
        }
        output.extend_from_slice(&END_MARK.to_le_bytes());
        Ok(())
    }
}

/// XXH32 with seed 0, the frame format's checksum.
fn xxh32(input: &[u8]) -> u32 {
    const P1: u32 = 0x9e37_79b1;
    const P2: u32 = 0x85eb_ca77;
    const P3: u32 = 0xc2b2_ae3d;
    const P4: u32 = 0x27d4_eb2f;
    const P5: u32 = 0x1656_67b1;
    let (stripes, rest) = input.as_chunks::<16>();
    let mut hash = if stripes.is_empty() {
        P5
    } else {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, P1.wrapping_neg()];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<4>().0) {
                let mixed = lane.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P2));
                *lane = mixed.rotate_left(13).wrapping_mul(P1);
            }
        }
        let [a, b, c, d] = lanes;
        let (a, b) = (a.rotate_left(1), b.rotate_left(7));
        a.wrapping_add(b)
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18))
    };
    hash = hash.wrapping_add(input.len() as u32);
    let (words, bytes) = rest.as_chunks::<4>();
    for word in words {
        hash = hash
            .wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P3))
            .rotate_left(17)
            .wrapping_mul(P4);
    }
    for byte in bytes {
        hash = hash
            .wrapping_add(u32::from(*byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(P3);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(
            xxh32(b"Nobody inspects the spammish repetition"),
            0xe229_3b2f
        );
        assert_eq!((xxh32(&HEADER[4..6]) >> 8) as u8, HEADER[6]);
    }
}
