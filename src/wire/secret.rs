//! Owns values that no log may ever show. Knows not whose secrets they are.

#[cfg(feature = "messages")]
use super::FieldDescription;
use super::{DecodeError, EncodeError, Nullable, Reader, Wire, Writer};
#[cfg(feature = "messages")]
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

/// A value of the protocol that is a password, a key, or as good as one: encoded as what it holds, and never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T>(
    /// The secret itself.
    pub T,
);

impl<T> fmt::Debug for Secret<T> {
    /// Says nothing of the value, not even its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<T> Deref for Secret<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    #[inline]
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Wire> Wire for Secret<T> {
    const SMALLEST: usize = T::SMALLEST;
    const DEPTH: usize = T::DEPTH;

    #[inline]
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.0.write(writer)
    }

    #[inline]
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        T::read(reader).map(Self)
    }

    #[inline]
    fn is_null(&self) -> bool {
        self.0.is_null()
    }

    #[cfg(feature = "messages")]
    fn describe() -> Vec<FieldDescription> {
        T::describe()
    }
}

impl<T: Nullable> Nullable for Secret<T> {
    #[inline]
    fn write_nullable(value: Option<&Self>, writer: &mut Writer) -> Result<(), EncodeError> {
        T::write_nullable(value.map(|secret| &secret.0), writer)
    }

    #[inline]
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        Ok(T::read_nullable(reader)?.map(Self))
    }
}
