//! Zstandard by the C library (feature `zstd-c`).
//!
//! Owns the bound on the output, which is the window, too. The library's own formats from before the standard are not compiled in.
//!
//! Must not know what a batch is.

use alloc::vec::Vec;

use bytes::BytesMut;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, ErrorCode, compress_bound, find_frame_compressed_size,
};

use super::zstd_frame::{Next, corrupt, read};
use super::{CompressError, DecompressBuffer, DecompressError};
use crate::record::Codec;

/// What the context takes. A frame is decompressed in one go, so that the output is its window, and there is no other.
const CONTEXT: usize = 256 << 10;

/// `ZSTD_error_dstSize_tooSmall`, which has had its number since version 1.3.1.
const TOO_SMALL: ErrorCode = 0_usize.wrapping_sub(70);

pub(super) const fn working_memory(_limit: usize) -> usize {
    CONTEXT
}

#[derive(Default)]
pub(super) struct Decoder {
    context: Option<DCtx<'static>>,
}

impl Decoder {
    /// Decompresses all frames, one after the other.
    pub(super) fn decompress(
        &mut self,
        mut input: &[u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<(), DecompressError> {
        let context = self.context.get_or_insert_with(DCtx::create);
        loop {
            input = match read(input)? {
                Next::Skipped(rest) => rest,
                Next::Frame(frame) => {
                    let size = find_frame_compressed_size(input).map_err(|_| corrupt("cut off"))?;
                    let (whole, rest) = input.split_at_checked(size).ok_or(corrupt("cut off"))?;
                    decompress_frame(context, whole, frame.content_size, output, limit)?;
                    rest
                }
            };
            if input.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Decompresses one frame. One that does not say how much it holds is tried again with more room.
fn decompress_frame(
    context: &mut DCtx<'static>,
    frame: &[u8],
    declared: Option<u64>,
    output: &mut DecompressBuffer,
    limit: usize,
) -> Result<(), DecompressError> {
    let start = output.filled();
    let mut wanted = match declared {
        Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
        None => frame.len().saturating_mul(4).max(4096),
    };
    let exhausted = |wanted: usize| DecompressError::Exhausted {
        needed: start.saturating_add(wanted),
    };
    if declared.is_some() && wanted > limit.saturating_sub(start) {
        return Err(exhausted(wanted));
    }
    loop {
        let room = output.room(wanted, limit);
        let size = room.len();
        match context.decompress(room, frame) {
            Ok(written) => {
                output.advance(written);
                return Ok(());
            }
            Err(TOO_SMALL) if size < wanted => {
                return Err(exhausted(size.saturating_add(1)));
            }
            Err(TOO_SMALL) => wanted = size.saturating_mul(2).max(1),
            Err(_) => return Err(corrupt("not a zstd frame")),
        }
    }
}

#[derive(Default)]
pub(super) struct Encoder {
    context: Option<CCtx<'static>>,
    frame: Vec<u8>,
}

impl Encoder {
    pub(super) fn compress(
        &mut self,
        level: i32,
        input: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), CompressError> {
        let failed = |_| CompressError::Failed {
            codec: Codec::Zstd,
            reason: "the C library refused",
        };
        let context = self.context.get_or_insert_with(CCtx::create);
        context
            .set_parameter(CParameter::CompressionLevel(level))
            .map_err(failed)?;
        let most = compress_bound(input.len());
        if self.frame.len() < most {
            self.frame.resize(most, 0);
        }
        let length = context
            .compress2(&mut self.frame[..], input)
            .map_err(failed)?;
        output.extend_from_slice(self.frame.get(..length).unwrap_or_default());
        Ok(())
    }
}
