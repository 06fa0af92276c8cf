//! Owns messages that stand behind their own version: the metadata and assignments of classic groups, the keys and
//! values of control records. Knows no message.

use super::{DecodeError, EncodeError, Message, Reader, Wire, Writer};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// Encodes `version`, then the message in it.
///
/// # Errors
/// The version cannot carry the message.
#[inline]
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new(BytesMut::new());
    version.write(&mut writer)?;
    message.encode(&mut writer, version)?;
    // One piece, unless a field was large enough to be taken over by reference.
    let mut pieces: Vec<Bytes> = writer.finish().into_iter().collect();
    match (pieces.pop(), pieces.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            pieces.extend(last);
            Ok(pieces.concat().into())
        }
    }
}

/// Decodes a version, then the message in it; gives both.
///
/// Who wrote the bytes may be newer than this client: a version above the highest known is read as that one, and what
/// follows the known fields is ignored, as versions of such messages only add fields.
///
/// # Errors
/// The bytes are not such a message, or of a version below the lowest.
#[inline]
pub fn decode_versioned<M: Message>(bytes: Bytes) -> Result<(i16, M), DecodeError> {
    let mut reader = Reader::new(bytes);
    let version =
        i16::read(&mut reader).map_err(|error| error.within("version").within(M::NAME))?;
    let message = M::decode(&mut reader, version.min(M::VERSIONS.max))?;
    Ok((version, message))
}
