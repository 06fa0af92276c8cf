//! Owns how secrets are encoded: as what they hold. Knows not whose secrets they are.

#[cfg(feature = "messages")]
use super::FieldDescription;
use super::{DecodeError, EncodeError, Nullable, Reader, Wire, Writer};
use crate::secret::Secret;
#[cfg(feature = "messages")]
use alloc::vec::Vec;

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
