//! Owns variable-length integers: seven bits a byte, the lowest first, signed ones folded by zigzag. Knows no reader.
//!
//! The decoders take a slice, and give the value with the number of bytes that it took; `None` says that the slice ends
//! within the number, or that the number does not fit its type.

use bytes::{BufMut, BytesMut};

/// Decodes an unsigned 32-bit integer.
#[inline]
#[must_use]
pub fn decode_u32(bytes: &[u8]) -> Option<(u32, usize)> {
    // One and two bytes are nearly all that there is in a record: lengths up to 8191, small differences.
    match *bytes {
        [low, ..] if low < 0x80 => Some((u32::from(low), 1)),
        [low, high, ..] if high < 0x80 => Some((u32::from(low & 0x7f) | u32::from(high) << 7, 2)),
        _ => {
            let (value, length) = decode_long(bytes, 5)?;
            Some((u32::try_from(value).ok()?, length))
        }
    }
}

/// Decodes a zigzag 32-bit integer.
#[inline]
#[must_use]
pub fn decode_i32(bytes: &[u8]) -> Option<(i32, usize)> {
    let (folded, length) = decode_u32(bytes)?;
    Some((
        (folded >> 1).cast_signed() ^ (folded & 1).cast_signed().wrapping_neg(),
        length,
    ))
}

/// Decodes an unsigned 64-bit integer.
#[inline]
#[must_use]
pub fn decode_u64(bytes: &[u8]) -> Option<(u64, usize)> {
    match *bytes {
        [low, ..] if low < 0x80 => Some((u64::from(low), 1)),
        [low, high, ..] if high < 0x80 => Some((u64::from(low & 0x7f) | u64::from(high) << 7, 2)),
        _ => decode_long(bytes, 10),
    }
}

/// Decodes a zigzag 64-bit integer.
#[inline]
#[must_use]
pub fn decode_i64(bytes: &[u8]) -> Option<(i64, usize)> {
    let (folded, length) = decode_u64(bytes)?;
    Some((
        (folded >> 1).cast_signed() ^ (folded & 1).cast_signed().wrapping_neg(),
        length,
    ))
}

#[cold]
fn decode_long(bytes: &[u8], most: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    let mut shift = 0_u32;
    for (index, &byte) in bytes.iter().take(most).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some((value, index.saturating_add(1)));
        }
        shift = shift.saturating_add(7);
    }
    None
}

/// The most bytes that a 32-bit integer takes.
pub const MAX_LEN_32: usize = 5;
/// The most bytes that a 64-bit integer takes.
pub const MAX_LEN_64: usize = 10;

/// Appends an unsigned 32-bit integer.
#[inline]
pub fn encode_u32(value: u32, to: &mut BytesMut) {
    encode_u64(u64::from(value), to);
}

/// Appends a zigzag 32-bit integer.
#[inline]
pub fn encode_i32(value: i32, to: &mut BytesMut) {
    encode_u64(u64::from(fold_i32(value)), to);
}

/// Appends a zigzag 64-bit integer.
#[inline]
pub fn encode_i64(value: i64, to: &mut BytesMut) {
    encode_u64(fold_i64(value), to);
}

/// Appends an unsigned 64-bit integer.
#[inline]
pub fn encode_u64(value: u64, to: &mut BytesMut) {
    if value < 0x80 {
        to.put_u8(value as u8);
        return;
    }
    let mut bytes = [0; MAX_LEN_64];
    let length = write_u64(value, &mut bytes);
    to.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

/// Writes `value` at the start of `to` and gives the number of bytes that it takes.
#[inline]
#[must_use]
pub fn write_u64(mut value: u64, to: &mut [u8; MAX_LEN_64]) -> usize {
    let mut length = 0_usize;
    for slot in to {
        length = length.saturating_add(1);
        if value < 0x80 {
            *slot = value as u8;
            break;
        }
        *slot = value as u8 | 0x80;
        value >>= 7;
    }
    length
}

/// The number of bytes that an unsigned 32-bit integer takes.
#[inline]
#[must_use]
pub const fn len_u32(value: u32) -> usize {
    len_u64(value as u64)
}

/// The number of bytes that a zigzag 32-bit integer takes.
#[inline]
#[must_use]
pub const fn len_i32(value: i32) -> usize {
    len_u64(fold_i32(value) as u64)
}

/// The number of bytes that a zigzag 64-bit integer takes.
#[inline]
#[must_use]
pub const fn len_i64(value: i64) -> usize {
    len_u64(fold_i64(value))
}

/// The number of bytes that an unsigned 64-bit integer takes.
#[inline]
#[must_use]
pub const fn len_u64(value: u64) -> usize {
    // ceil(bits / 7) for 1 to 64 bits, without a division: 9/64 lies close enough to 1/7.
    let bits = u64::BITS.saturating_sub((value | 1).leading_zeros());
    (bits.saturating_mul(9).saturating_add(64) / 64) as usize
}

/// Folds a signed integer by zigzag: small numbers of either sign become small unsigned ones.
#[inline]
#[must_use]
pub const fn fold_i32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

/// Folds a signed integer by zigzag: small numbers of either sign become small unsigned ones.
#[inline]
#[must_use]
pub const fn fold_i64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn interesting() -> impl Iterator<Item = u64> {
        let powers = (0..64).flat_map(|shift| {
            let power = 1_u64 << shift;
            [power - 1, power, power.wrapping_add(1), !power]
        });
        powers.chain([u64::MAX, u64::MAX - 1, 300])
    }

    #[test]
    fn every_length_comes_back_and_was_announced() {
        for value in interesting() {
            let mut buffer = BytesMut::new();
            encode_u64(value, &mut buffer);
            assert_eq!(len_u64(value), buffer.len(), "{value}");
            assert_eq!(decode_u64(&buffer), Some((value, buffer.len())));
            let signed = value.cast_signed();
            buffer.clear();
            encode_i64(signed, &mut buffer);
            assert_eq!(
                (len_i64(signed), decode_i64(&buffer)),
                (buffer.len(), Some((signed, buffer.len())))
            );
            let small = value as u32;
            buffer.clear();
            encode_u32(small, &mut buffer);
            assert_eq!(
                (len_u32(small), decode_u32(&buffer)),
                (buffer.len(), Some((small, buffer.len())))
            );
            let small = value as i32;
            buffer.clear();
            encode_i32(small, &mut buffer);
            assert_eq!(
                (len_i32(small), decode_i32(&buffer)),
                (buffer.len(), Some((small, buffer.len())))
            );
        }
    }

    #[test]
    fn cut_and_overlong_numbers_are_refused() {
        for value in interesting() {
            let mut buffer = BytesMut::new();
            encode_u64(value, &mut buffer);
            for cut in 0..buffer.len() {
                assert_eq!(decode_u64(&buffer[..cut]), None);
                assert_eq!(decode_u32(&buffer[..cut]), None);
            }
            if value > u64::from(u32::MAX) {
                assert_eq!(decode_u32(&buffer), None, "{value} does not fit 32 bits");
            }
        }
        assert_eq!(
            decode_u32(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
            None,
            "six bytes"
        );
        assert_eq!(decode_u32(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None, "33 bits");
        let eleven: Vec<u8> = [0x80; 10].into_iter().chain([0]).collect();
        assert_eq!(decode_u64(&eleven), None);
        assert_eq!(
            decode_u64(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None,
            "65 bits"
        );
    }
}
