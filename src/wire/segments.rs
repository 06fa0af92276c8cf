//! Owns the bytes of one frame to be written, as the few pieces that they lie in. Knows nothing of what they say.

use alloc::{vec, vec::Vec};
use bytes::Bytes;
use core::{fmt, slice};

/// The bytes of a frame in the few pieces that they lie in, for one vectored write.
///
/// Equality is that of the bytes, wherever the pieces end.
#[derive(Clone, Default)]
pub struct Segments(Inner);

#[derive(Clone)]
enum Inner {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Default for Inner {
    fn default() -> Self {
        Self::One(Bytes::new())
    }
}

impl Segments {
    /// The pieces, which stand in this order on the wire. Empty ones are dropped.
    #[must_use]
    pub fn new(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        match pieces.len() {
            0 | 1 => Self(Inner::One(pieces.pop().unwrap_or_default())),
            _ => Self(Inner::Many(pieces)),
        }
    }

    /// The number of bytes in all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter()
            .fold(0, |sum, piece| sum.saturating_add(piece.len()))
    }

    /// Whether there is no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().iter().all(Bytes::is_empty)
    }

    /// The pieces in order. None is empty, except where there is only one.
    pub fn iter(&self) -> slice::Iter<'_, Bytes> {
        self.as_slice().iter()
    }

    /// The pieces as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[Bytes] {
        match &self.0 {
            Inner::One(bytes) => slice::from_ref(bytes),
            Inner::Many(pieces) => pieces,
        }
    }

    /// All bytes, copied into one vector.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_slice().concat()
    }
}

impl From<Bytes> for Segments {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::One(bytes))
    }
}

impl From<Vec<u8>> for Segments {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        match self.0 {
            Inner::One(bytes) => vec![bytes].into_iter(),
            Inner::Many(pieces) => pieces.into_iter(),
        }
    }
}

impl<'a> IntoIterator for &'a Segments {
    type Item = &'a Bytes;
    type IntoIter = slice::Iter<'a, Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Segments {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |segments: &'_ Self| segments.len();
        bytes(self) == bytes(other) && self.iter().flatten().eq(other.iter().flatten())
    }
}

impl Eq for Segments {}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: a frame may hold a password.
        write!(f, "Segments({} bytes in {})", self.len(), self.iter().len())
    }
}
