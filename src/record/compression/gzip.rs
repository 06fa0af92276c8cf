//! gzip (RFC 1952) around deflate.
//!
//! Owns the members' headers and trailers, so that the deflate state can be used again for the next batch.
//!
//! Must not know what a batch is.

use alloc::vec::Vec;

use bytes::BytesMut;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::{CompressError, DecompressBuffer, DecompressError};
use crate::record::Codec;

/// Magic, deflate, no flags, no time, no extra flags, an unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The window of deflate and the tables of its codes.
pub(super) const WORKING_MEMORY: usize = 64 << 10;

const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

const fn corrupt(reason: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Gzip,
        reason,
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    deflate: Option<Decompress>,
}

impl Decoder {
    /// Decompresses all members, one after the other.
    pub(super) fn decompress(
        &mut self,
        mut input: &[u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<(), DecompressError> {
        loop {
            let start = output.filled();
            input = skip_header(input).ok_or(corrupt("no gzip header"))?;
            input = self.inflate(input, output, limit)?;
            let (trailer, rest) = input
                .split_first_chunk::<8>()
                .ok_or(corrupt("cut off before the trailer"))?;
            let mut crc = Crc::new();
            crc.update(output.filled_from(start));
            let [c0, c1, c2, c3, a0, a1, a2, a3] = *trailer;
            if (crc.sum(), crc.amount())
                != (
                    u32::from_le_bytes([c0, c1, c2, c3]),
                    u32::from_le_bytes([a0, a1, a2, a3]),
                )
            {
                return Err(corrupt("the trailer does not fit the data"));
            }
            if rest.is_empty() {
                return Ok(());
            }
            input = rest;
        }
    }

    /// Decompresses one deflate stream and gives what follows it.
    fn inflate<'a>(
        &mut self,
        mut input: &'a [u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<&'a [u8], DecompressError> {
        let deflate = self.deflate.get_or_insert_with(|| Decompress::new(false));
        deflate.reset(false);
        loop {
            let room = output.room(input.len().saturating_mul(4).max(512), limit);
            // At the limit there is still the end of the stream to be seen, or one byte too many.
            let mut probe = [0; 1];
            let probing = room.is_empty();
            let room = if probing { &mut probe[..] } else { room };
            let (read, written) = (deflate.total_in(), deflate.total_out());
            let status = deflate
                .decompress(input, room, FlushDecompress::None)
                .map_err(|_| corrupt("not a deflate stream"))?;
            let read = usize::try_from(deflate.total_in().wrapping_sub(read)).unwrap_or(usize::MAX);
            let written =
                usize::try_from(deflate.total_out().wrapping_sub(written)).unwrap_or(usize::MAX);
            input = input.get(read..).unwrap_or_default();
            if probing && written > 0 {
                return Err(DecompressError::Exhausted {
                    needed: limit.saturating_add(1),
                });
            }
            output.advance(written);
            match status {
                Status::StreamEnd => return Ok(input),
                Status::Ok | Status::BufError if read == 0 && written == 0 => {
                    return Err(corrupt("cut off"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

/// What follows a member's header.
fn skip_header(input: &[u8]) -> Option<&[u8]> {
    let ([0x1f, 0x8b, 8, flags, _, _, _, _, _, _], mut input) = input.split_first_chunk::<10>()?
    else {
        return None;
    };
    if flags & EXTRA != 0 {
        let (length, rest) = input.split_first_chunk::<2>()?;
        input = rest.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = input.iter().position(|byte| *byte == 0)?;
            input = input.get(end.checked_add(1)?..)?;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        input = input.get(2..)?;
    }
    Some(input)
}

#[derive(Default)]
pub(super) struct Encoder {
    deflate: Option<(i32, Compress)>,
    chunk: Vec<u8>,
}

impl Encoder {
    pub(super) fn compress(
        &mut self,
        level: i32,
        mut input: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), CompressError> {
        let deflate = match &mut self.deflate {
            Some((same, deflate)) if *same == level => deflate,
            other => {
                let compression =
                    u32::try_from(level).map_or(Compression::default(), Compression::new);
                &mut other.insert((level, Compress::new(compression, false))).1
            }
        };
        deflate.reset();
        self.chunk.resize(16 * 1024, 0);
        let mut crc = Crc::new();
        crc.update(input);
        output.extend_from_slice(&HEADER);
        loop {
            let (read, written) = (deflate.total_in(), deflate.total_out());
            let failed = CompressError::Failed {
                codec: Codec::Gzip,
                reason: "deflate made no progress",
            };
            let status = deflate
                .compress(input, &mut self.chunk, FlushCompress::Finish)
                .map_err(|_| failed.clone())?;
            let read = usize::try_from(deflate.total_in().wrapping_sub(read)).unwrap_or(usize::MAX);
            let written =
                usize::try_from(deflate.total_out().wrapping_sub(written)).unwrap_or(usize::MAX);
            input = input.get(read..).unwrap_or_default();
            output.extend_from_slice(self.chunk.get(..written).unwrap_or_default());
            match status {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError if read == 0 && written == 0 => return Err(failed),
                Status::Ok | Status::BufError => {}
            }
        }
        output.extend_from_slice(&crc.sum().to_le_bytes());
        output.extend_from_slice(&crc.amount().to_le_bytes());
        Ok(())
    }
}
