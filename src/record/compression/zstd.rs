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

/// The tables of the codes, and a block's literals and sequences.
const TABLES: usize = 256 << 10;

/// The window is a ring that is filled up to a block beyond it.
pub(super) fn working_memory(limit: usize) -> usize {
    let largest = usize::try_from(LARGEST_WINDOW).unwrap_or(usize::MAX);
    let window = limit.clamp(LARGEST_BLOCK, largest).next_power_of_two();
    window.saturating_add(2 * LARGEST_BLOCK + TABLES)
}

#[derive(Default)]
pub(super) struct Decoder {
    /// With the longest window that it has had.
    kept: Option<(FrameDecoder, u64)>,
}

impl Decoder {
    /// Decompresses all frames, one after the other.
    pub(super) fn decompress(
        &mut self,
        mut input: &[u8],
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<(), DecompressError> {
        loop {
            input = match read(input)? {
                Next::Skipped(rest) => rest,
                Next::Frame(frame) => self.decompress_frame(&frame, output, limit)?,
            };
            if input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Decompresses one frame and gives what follows it.
    fn decompress_frame<'a>(
        &mut self,
        frame: &Frame<'a>,
        output: &mut DecompressBuffer,
        limit: usize,
    ) -> Result<&'a [u8], DecompressError> {
        let window = window_for(frame, limit.saturating_sub(output.filled()));
        // Taken out, so that one that has failed is not used again; and gone before a longer ring is made.
        let (mut frames, longest) = self
            .kept
            .take()
            .filter(|(_, longest)| *longest >= window)
            .unwrap_or_else(|| (FrameDecoder::default(), window));
        frames.set_max_window_size(LARGEST_WINDOW.saturating_mul(2));
        let rest = decompress_frame(&mut frames, frame, window, output, limit)?;
        self.kept = Some((frames, longest));
        Ok(rest)
    }
}

/// Decompresses one frame and gives what follows it.
fn decompress_frame<'a>(
    frames: &mut FrameDecoder,
    frame: &Frame<'a>,
    window: u64,
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
    let header = header_for(frame, window);
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

/// As long a window as can be filled: `left` bytes, or one block where that is more; a power of two, from 1 KiB on.
fn window_for(frame: &Frame<'_>, left: usize) -> u64 {
    let useful = u64::try_from(left.max(LARGEST_BLOCK)).unwrap_or(u64::MAX);
    frame
        .window
        .clamp(1024, useful)
        .checked_next_power_of_two()
        .unwrap_or(u64::MAX)
}

/// The frame's header with this window: the decoder allocates what its header says.
fn header_for(frame: &Frame<'_>, window: u64) -> [u8; 6] {
    // The exponent behind that of 1 KiB.
    let exponent = window.trailing_zeros().saturating_sub(10);
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
