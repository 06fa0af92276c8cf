//! Zstandard (RFC 8878) in Rust.
//!
//! Owns the bound on the window: it is memory besides the output, and it is never longer than what may come out.
//!
//! Must not know what a batch is.

use bytes::BytesMut;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::{
    encoding::{CompressionLevel, compress_to_vec},
    io::Read,
};

use super::zstd_frame::{Frame, LARGEST_WINDOW, MAGIC, Next, corrupt, read};
use super::{CompressError, DecompressBuffer, DecompressError};

/// A block makes at most this many bytes.
const LARGEST_BLOCK: usize = 128 * 1024;

#[derive(Default)]
pub(super) struct Decoder {
    frames: Option<FrameDecoder>,
}

impl Decoder {
    /// Decompresses all frames, one after the other.
    pub(super) fn decompress(
        &mut self,
        mut input: &[u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<(), DecompressError> {
        // Taken out, so that one that has failed is not used again.
        let mut frames = self.frames.take().unwrap_or_default();
        frames.set_max_window_size(LARGEST_WINDOW.saturating_mul(2));
        loop {
            input = match read(input)? {
                Next::Skipped(rest) => rest,
                Next::Frame(frame) => decompress_frame(&mut frames, &frame, output, limit)?,
            };
            if input.is_empty() {
                self.frames = Some(frames);
                return Ok(());
            }
        }
    }
}

/// Decompresses one frame and gives what follows it.
fn decompress_frame<'a>(
    frames: &mut FrameDecoder,
    frame: &Frame<'a>,
    output: &mut DecompressBuffer,
    limit: usize,
) -> Result<&'a [u8], DecompressError> {
    let start = output.filled();
    let left = limit.saturating_sub(start);
    let declared = frame
        .content_size
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    if let Some(size) = declared.filter(|size| *size > left) {
        return Err(DecompressError::Exhausted {
            needed: start.saturating_add(size),
        });
    }
    let header = header_for(frame, left);
    frames
        .reset(&header[..])
        .map_err(|_| corrupt("a header that cannot be"))?;
    let mut input = frame.blocks;
    loop {
        let finished = frames
            .decode_blocks(&mut input, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|_| corrupt("not a zstd block"))?;
        while frames.can_collect() > 0 {
            let room = output.room(frames.can_collect(), limit);
            if room.is_empty() {
                let needed = limit.saturating_add(frames.can_collect());
                return Err(DecompressError::Exhausted { needed });
            }
            let written = frames.read(room).map_err(|_| corrupt("not readable"))?;
            output.advance(written);
        }
        if finished {
            break;
        }
    }
    if declared.is_some_and(|size| size != output.filled().saturating_sub(start)) {
        return Err(corrupt("it holds another amount than it declares"));
    }
    Ok(input)
}

/// A header that asks for no longer a window than can be filled: `left` bytes, or one block where that is more.
/// The decoder allocates what its header says, so it is given this one.
fn header_for(frame: &Frame<'_>, left: usize) -> [u8; 6] {
    let useful = u64::try_from(left.max(LARGEST_BLOCK)).unwrap_or(u64::MAX);
    let window = frame.window.clamp(1024, useful.max(1024));
    // The next power of two, from 1 KiB (the descriptor's 0) on.
    let exponent = 64u32
        .wrapping_sub(window.wrapping_sub(1).leading_zeros())
        .saturating_sub(10);
    let [m0, m1, m2, m3] = MAGIC;
    [
        m0,
        m1,
        m2,
        m3,
        u8::from(frame.content_checksum) << 2,
        (exponent as u8) << 3,
    ]
}

#[derive(Default)]
pub(super) struct Encoder;

impl Encoder {
    /// There is one level only.
    pub(super) fn compress(
        &mut self,
        _level: i32,
        input: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), CompressError> {
        output.extend_from_slice(&compress_to_vec(input, CompressionLevel::Fastest));
        Ok(())
    }
}
