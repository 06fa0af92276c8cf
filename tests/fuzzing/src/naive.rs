//! Second implementations, written from the specifications in the plainest way, to compare with. `None` is any error.

/// A gzip file (RFC 1952), inflated by another crate.
pub(crate) fn gunzip(mut input: &[u8], limit: usize) -> Option<Vec<u8>> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
    let mut all = Vec::new();
    loop {
        input = gzip_body(input)?;
        let mut output = vec![0; limit + 1 - all.len()];
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, read, written) =
            decompress(&mut DecompressorOxide::new(), input, &mut output, 0, flags);
        if status != TINFLStatus::Done {
            return None;
        }
        all.extend_from_slice(&output[..written]);
        let trailer = input.get(read..read + 8)?;
        if trailer[..4] != crc32(&output[..written]).to_le_bytes()
            || trailer[4..] != (written as u32).to_le_bytes()
            || all.len() > limit
        {
            return None;
        }
        input = &input[read + 8..];
        if input.is_empty() {
            return Some(all);
        }
    }
}

fn gzip_body(input: &[u8]) -> Option<&[u8]> {
    let flags = *input.get(3)?;
    if input[..3] != [0x1f, 0x8b, 8] {
        return None;
    }
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16::from_le_bytes([*input.get(at)?, *input.get(at + 1)?]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            at += 1 + input.get(at..)?.iter().position(|byte| *byte == 0)?;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    input.get(at..)
}

/// The checksum of gzip, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

/// snappy: bare blocks, or those in xerial's framing.
pub(crate) fn unsnappy(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    let mut output = Vec::new();
    if !input.starts_with(MAGIC) {
        snappy_block(input, limit, &mut output)?;
        return Some(output);
    }
    let mut at = 0;
    while at < input.len() {
        if input[at..].starts_with(MAGIC) {
            at += 16;
            continue;
        }
        let length = u32::from_be_bytes(input.get(at..at + 4)?.try_into().ok()?) as usize;
        snappy_block(input.get(at + 4..at + 4 + length)?, limit, &mut output)?;
        at += 4 + length;
    }
    (at == input.len()).then_some(output)
}

fn snappy_block(input: &[u8], limit: usize, output: &mut Vec<u8>) -> Option<()> {
    let start = output.len();
    let (mut declared, mut at, mut shift) = (0_u64, 0, 0);
    loop {
        let byte = *input.get(at)?;
        at += 1;
        declared |= u64::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            break;
        }
        if shift > 28 {
            return None;
        }
    }
    let declared = usize::try_from(declared).ok()?;
    if u32::try_from(declared).is_err() || start + declared > limit {
        return None;
    }
    while at < input.len() {
        let tag = usize::from(input[at]);
        at += 1;
        let mut little_endian = |bytes: usize| {
            let number = input.get(at..at + bytes)?;
            at += bytes;
            Some(
                number
                    .iter()
                    .rev()
                    .fold(0, |number, byte| number << 8 | usize::from(*byte)),
            )
        };
        let (length, offset) = match tag & 3 {
            0 => {
                let length = 1 + match tag >> 2 {
                    short @ 0..60 => short,
                    long => little_endian(long - 59)?,
                };
                output.extend_from_slice(input.get(at..at + length)?);
                at += length;
                continue;
            }
            1 => (4 + (tag >> 2 & 7), (tag >> 5) << 8 | little_endian(1)?),
            2 => (1 + (tag >> 2), little_endian(2)?),
            _ => (1 + (tag >> 2), little_endian(4)?),
        };
        copy(output, start, offset, length)?;
        if output.len() > limit {
            return None;
        }
    }
    (output.len() - start == declared).then_some(())
}

/// Appends `length` bytes from `offset` bytes back, which may overlap with what is appended.
fn copy(output: &mut Vec<u8>, start: usize, offset: usize, length: usize) -> Option<()> {
    if offset == 0 || offset > output.len() - start {
        return None;
    }
    for _ in 0..length {
        output.push(output[output.len() - offset]);
    }
    Some(())
}

/// One lz4 frame of independent blocks. Checksums are not looked at: Klamm may refuse more, but read nothing else.
pub(crate) fn unlz4(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    let flags = *input.get(4)?;
    let mut at = if flags & 8 == 0 { 7 } else { 15 };
    let mut output = Vec::new();
    loop {
        let length = u32::from_le_bytes(input.get(at..at + 4)?.try_into().ok()?);
        at += 4;
        if length == 0 {
            return Some(output);
        }
        let size = (length & 0x7fff_ffff) as usize;
        let block = input.get(at..at + size)?;
        at += size;
        if length >> 31 == 1 {
            output.extend_from_slice(block);
        } else {
            lz4_block(block, limit, &mut output)?;
        }
        if flags & 16 != 0 {
            at += 4;
        }
        if output.len() > limit {
            return None;
        }
    }
}

fn lz4_block(input: &[u8], limit: usize, output: &mut Vec<u8>) -> Option<()> {
    let (start, mut at) = (output.len(), 0);
    loop {
        let token = usize::from(*input.get(at)?);
        at += 1;
        let literals = lz4_length(token >> 4, input, &mut at)?;
        output.extend_from_slice(input.get(at..at + literals)?);
        at += literals;
        if at == input.len() {
            return Some(());
        }
        let offset = usize::from(u16::from_le_bytes([*input.get(at)?, *input.get(at + 1)?]));
        at += 2;
        let length = 4 + lz4_length(token & 15, input, &mut at)?;
        if output.len() + length > start + limit + (4 << 20) {
            return None;
        }
        copy(output, start, offset, length)?;
    }
}

fn lz4_length(mut length: usize, input: &[u8], at: &mut usize) -> Option<usize> {
    if length == 15 {
        loop {
            let byte = *input.get(*at)?;
            *at += 1;
            length += usize::from(byte);
            if byte != 255 {
                break;
            }
        }
    }
    Some(length)
}

/// zstd, by the C library.
#[cfg(feature = "peers")]
pub(crate) fn unzstd(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut decoder = zstd::stream::read::Decoder::new(input).ok()?;
    decoder.window_log_max(24).ok()?;
    let mut output = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut output)
        .ok()?;
    (output.len() <= limit).then_some(output)
}
