//! Zstandard by the C library (feature `zstd-c`).
//!
//! Owns the bound on window and output. The library's own formats from before the standard are not compiled in.
//!
//! Must not know what a batch is.

use alloc::vec::Vec;

use bytes::BytesMut;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, compress_bound,
};

use super::zstd_frame::{Next, corrupt, read};
use super::{CompressError, DecompressBuffer, DecompressError};
use crate::record::Codec;

/// 8 MiB, as an exponent of two.
const LARGEST_WINDOW_LOG: u32 = 23;

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
                Next::Frame(_) => decompress_frame(context, input, output, limit)?,
            };
            if input.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Decompresses one frame and gives what follows it.
fn decompress_frame<'a>(
    context: &mut DCtx<'static>,
    input: &'a [u8],
    output: &mut DecompressBuffer,
    limit: usize,
) -> Result<&'a [u8], DecompressError> {
    let refused = |_| corrupt("the context cannot be used");
    context
        .reset(ResetDirective::SessionOnly)
        .map_err(refused)?;
    context
        .set_parameter(DParameter::WindowLogMax(LARGEST_WINDOW_LOG))
        .map_err(refused)?;
    let mut source = InBuffer::around(input);
    loop {
        let room = output.room(input.len().saturating_mul(4).max(4096), limit);
        // At the limit there is still the end of the frame to be seen, or one byte too many.
        let mut probe = [0; 1];
        let probing = room.is_empty();
        let room = if probing { &mut probe[..] } else { room };
        let before = source.pos();
        let mut sink = OutBuffer::around(room);
        let left = context
            .decompress_stream(&mut sink, &mut source)
            .map_err(|_| corrupt("not a zstd frame"))?;
        let written = sink.pos();
        if probing && written > 0 {
            return Err(DecompressError::Exhausted {
                needed: limit.saturating_add(1),
            });
        }
        output.advance(written);
        if left == 0 {
            return Ok(input.get(source.pos()..).unwrap_or_default());
        }
        if written == 0 && source.pos() == before {
            return Err(corrupt("cut off"));
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
