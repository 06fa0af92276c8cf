//! What a record is made of: signed varints, and bytes that may be null behind their length.
//!
//! Owns how these lie in a record. What a varint is, is the wire's business.
//!
//! Must not know what a record means.

use bytes::BytesMut;

use crate::wire::varint;

use super::error::RecordErrorReason;

/// A varint, and what follows it.
#[inline(always)]
pub(super) fn read_i32(bytes: &[u8]) -> Result<(i32, &[u8]), RecordErrorReason> {
    let (value, length) = varint::decode_i32(bytes).ok_or(RecordErrorReason::InvalidVarint)?;
    Ok((value, bytes.get(length..).unwrap_or_default()))
}

/// A varlong, and what follows it.
#[inline(always)]
pub(super) fn read_i64(bytes: &[u8]) -> Result<(i64, &[u8]), RecordErrorReason> {
    let (value, length) = varint::decode_i64(bytes).ok_or(RecordErrorReason::InvalidVarint)?;
    Ok((value, bytes.get(length..).unwrap_or_default()))
}

/// A length and that many bytes (`-1`: null), and what follows them.
#[inline(always)]
pub(super) fn read_nullable(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), RecordErrorReason> {
    let (length, rest) = read_i32(bytes)?;
    match usize::try_from(length) {
        Ok(length) => match rest.split_at_checked(length) {
            Some((value, rest)) => Ok((Some(value), rest)),
            None => Err(RecordErrorReason::Truncated),
        },
        Err(_) if length == -1 => Ok((None, rest)),
        Err(_) => Err(RecordErrorReason::NegativeLength { length }),
    }
}

/// The bytes that a length takes; one over `i32::MAX`, which no field can carry, counts as the longest.
#[inline(always)]
pub(super) fn size_length(length: usize) -> usize {
    i32::try_from(length).map_or(varint::MAX_LEN_32, varint::len_i32)
}

/// Writes a length and that many bytes, or `-1` for null.
pub(super) fn write_nullable(buffer: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            varint::encode_i32(value.len() as i32, buffer);
            buffer.extend_from_slice(value);
        }
        None => varint::encode_i32(-1, buffer),
    }
}
