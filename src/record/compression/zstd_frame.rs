//! The header of a Zstandard frame (RFC 8878, 3.1.1.1), judged before anything is decoded.
//!
//! Owns what Kafka's readers refuse: dictionaries, formats older than the standard, and windows that would cost more
//! memory than a batch is worth.
//!
//! Must not know how a frame is decoded.

use super::DecompressError;
use crate::record::Codec;

pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Of a skippable frame, whose first byte may be 0x50 to 0x5f.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// The largest window that is read: what the standard recommends every decoder to support.
pub(super) const LARGEST_WINDOW: u64 = 8 << 20;

const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 3;
const SINGLE_SEGMENT: u8 = 1 << 5;

pub(super) const fn corrupt(reason: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Zstd,
        reason,
    }
}

/// What comes next in the input.
pub(super) enum Next<'a> {
    /// A frame that holds nothing; this is what follows it.
    Skipped(&'a [u8]),
    Frame(Frame<'a>),
}

/// A frame with data.
#[cfg_attr(
    feature = "zstd-c",
    allow(dead_code, reason = "C reads the header again")
)]
pub(super) struct Frame<'a> {
    pub(super) content_checksum: bool,
    /// How far back a match may reach, in bytes.
    pub(super) window: u64,
    pub(super) content_size: Option<u64>,
    /// What follows the header.
    pub(super) blocks: &'a [u8],
}

/// Reads the header that `input` starts with.
pub(super) fn read(input: &[u8]) -> Result<Next<'_>, DecompressError> {
    let (magic, rest) = input
        .split_first_chunk::<4>()
        .ok_or(corrupt("cut off before a frame"))?;
    if let [0x50..=0x5f, rest_of_magic @ ..] = magic
        && *rest_of_magic == SKIPPABLE
    {
        let (length, rest) = rest
            .split_first_chunk::<4>()
            .ok_or(corrupt("cut off in a frame to skip"))?;
        let rest = usize::try_from(u32::from_le_bytes(*length))
            .ok()
            .and_then(|length| rest.get(length..));
        return rest
            .map(Next::Skipped)
            .ok_or(corrupt("cut off in a frame to skip"));
    }
    if *magic != MAGIC {
        return Err(corrupt("no zstd frame of the standard's format"));
    }
    read_descriptor(rest).map(Next::Frame)
}

fn read_descriptor(input: &[u8]) -> Result<Frame<'_>, DecompressError> {
    let cut_off = corrupt("cut off in the header");
    let (&flags, mut input) = input.split_first().ok_or(cut_off)?;
    if flags & RESERVED != 0 {
        return Err(corrupt("a header of another version"));
    }
    let single_segment = flags & SINGLE_SEGMENT != 0;
    let mut window = 0;
    if !single_segment {
        let (&descriptor, rest) = input.split_first().ok_or(cut_off)?;
        let base = 1u64.wrapping_shl(u32::from(descriptor >> 3).wrapping_add(10));
        window = base.wrapping_add((base >> 3).wrapping_mul(u64::from(descriptor & 7)));
        input = rest;
    }
    if flags & 3 != 0 {
        return Err(corrupt("it needs a dictionary"));
    }
    let length = match flags >> 6 {
        0 if single_segment => 1,
        0 => 0,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let (field, blocks) = input.split_at_checked(length).ok_or(cut_off)?;
    let value = field
        .iter()
        .rev()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let content_size = match length {
        0 => None,
        2 => Some(value.wrapping_add(256)),
        _ => Some(value),
    };
    if single_segment {
        window = content_size.unwrap_or(0);
    }
    if window > LARGEST_WINDOW {
        return Err(corrupt("a window over 8 MiB"));
    }
    Ok(Frame {
        content_checksum: flags & CONTENT_CHECKSUM != 0,
        window,
        content_size,
        blocks,
    })
}
