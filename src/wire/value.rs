//! Owns how each type of the protocol is read and written. Knows no message.

use super::{
    DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Reader, Str, Uuid, Writer,
};
use alloc::vec::Vec;
use bytes::Bytes;

/// The longest string, in bytes: as many as a 16-bit length can say, also where the length is a variable one.
pub(crate) const MAX_STRING: usize = i16::MAX as usize;

/// The memory that an array reserves at most before its elements have been read.
const RESERVE: usize = 64 * 1024;

/// A byte field that holds record batches.
pub type Records = Bytes;

/// A type of the protocol. The version and its flexibility lie with the reader and the writer.
pub trait Wire: Sized {
    /// The fewest bytes that a value takes in any version.
    const SMALLEST: usize;
    /// How many structs lie within one another, at most.
    const DEPTH: usize;

    /// Appends the value.
    ///
    /// # Errors
    /// The version cannot carry the value.
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError>;

    /// Reads a value.
    ///
    /// # Errors
    /// The bytes hold none.
    fn read(reader: &mut Reader) -> Result<Self, DecodeError>;

    /// Whether the value is null.
    #[inline]
    fn is_null(&self) -> bool {
        false
    }

    /// The fields of a struct; of an array or an option of structs: the struct's. Empty for all others.
    #[cfg(feature = "messages")]
    #[must_use]
    fn describe() -> Vec<super::FieldDescription> {
        Vec::new()
    }
}

/// A type of the protocol that has a null: `Option<Self>` is one, too.
pub trait Nullable: Wire {
    /// Appends the value or null.
    ///
    /// # Errors
    /// The version cannot carry the value.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer) -> Result<(), EncodeError>;

    /// Reads a value or null.
    ///
    /// # Errors
    /// The bytes hold neither.
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError>;
}

macro_rules! numbers {
    ($($type:ty)*) => { $(
        impl Wire for $type {
            const SMALLEST: usize = size_of::<Self>();
            const DEPTH: usize = 0;

            #[inline]
            fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
                writer.raw(&self.to_be_bytes());
                Ok(())
            }

            #[inline]
            fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(reader.array()?))
            }
        }
    )* };
}

numbers! { i8 i16 u16 i32 i64 f64 }

impl Wire for bool {
    const SMALLEST: usize = 1;
    const DEPTH: usize = 0;

    #[inline]
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.raw(&[u8::from(*self)]);
        Ok(())
    }

    /// Every byte but zero is true, as Kafka reads it.
    #[inline]
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let [byte] = reader.array()?;
        Ok(byte != 0)
    }
}

impl Wire for Uuid {
    const SMALLEST: usize = 16;
    const DEPTH: usize = 0;

    #[inline]
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.raw(&self.0);
        Ok(())
    }

    #[inline]
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self(reader.array()?))
    }
}

/// Reads a value of a type that has a null, where none is allowed.
#[inline]
fn not_null<T: Nullable>(reader: &mut Reader) -> Result<T, DecodeError> {
    let at = reader.at();
    match T::read_nullable(reader)? {
        Some(value) => Ok(value),
        None => Err(DecodeError::new(DecodeErrorKind::UnexpectedNull, at)),
    }
}

impl Wire for Str {
    // The length: one byte in flexible versions, two in others.
    const SMALLEST: usize = 1;
    const DEPTH: usize = 0;

    #[inline]
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), writer)
    }

    #[inline]
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        not_null(reader)
    }
}

impl Nullable for Str {
    #[inline]
    fn write_nullable(value: Option<&Self>, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string_length(value.map(|string| string.as_bytes().len()))?;
        if let Some(string) = value {
            writer.raw(string.as_bytes());
        }
        Ok(())
    }

    #[inline]
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        reader.string()
    }
}

impl Wire for Bytes {
    const SMALLEST: usize = 1;
    const DEPTH: usize = 0;

    #[inline]
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), writer)
    }

    #[inline]
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        not_null(reader)
    }
}

impl Nullable for Bytes {
    #[inline]
    fn write_nullable(value: Option<&Self>, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.length(value.map(Self::len))?;
        if let Some(bytes) = value {
            writer.shared(bytes);
        }
        Ok(())
    }

    #[inline]
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        reader.byte_field()
    }
}

impl<T: Wire> Wire for Vec<T> {
    const SMALLEST: usize = 1;
    const DEPTH: usize = T::DEPTH;

    #[inline]
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), writer)
    }

    #[inline]
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        not_null(reader)
    }

    #[cfg(feature = "messages")]
    fn describe() -> Vec<super::FieldDescription> {
        T::describe()
    }
}

impl<T: Wire> Nullable for Vec<T> {
    #[inline]
    fn write_nullable(value: Option<&Self>, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.length(value.map(Self::len))?;
        for (index, element) in value.into_iter().flatten().enumerate() {
            if let Err(error) = element.write(writer) {
                return Err(error.element(index));
            }
        }
        Ok(())
    }

    #[inline]
    fn read_nullable(reader: &mut Reader) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.count(T::SMALLEST, size_of::<T>())? else {
            return Ok(None);
        };
        let mut elements =
            Self::with_capacity(count.min(RESERVE.checked_div(size_of::<T>()).unwrap_or(count)));
        for index in 0..count {
            match T::read(reader) {
                Ok(element) => {
                    if elements.len() == elements.capacity() {
                        // Twice as much, but never more than the count that the reader has granted.
                        let left = count.saturating_sub(index);
                        elements.reserve_exact(left.min(elements.len().max(1)));
                    }
                    elements.push(element);
                }
                Err(error) => return Err(error.element(index)),
            }
        }
        Ok(Some(elements))
    }
}

impl<T: Nullable> Wire for Option<T> {
    const SMALLEST: usize = 1;
    const DEPTH: usize = T::DEPTH;

    #[inline]
    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), writer)
    }

    #[inline]
    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        T::read_nullable(reader)
    }

    #[inline]
    fn is_null(&self) -> bool {
        self.is_none()
    }

    #[cfg(feature = "messages")]
    fn describe() -> Vec<super::FieldDescription> {
        T::describe()
    }
}

/// Appends a struct that may be null (KIP-893): a byte that says whether it is there, then the struct.
#[inline]
pub(crate) fn write_nullable_struct<T: Wire>(
    value: Option<&T>,
    writer: &mut Writer,
) -> Result<(), EncodeError> {
    match value {
        Some(value) => {
            1_i8.write(writer)?;
            value.write(writer)
        }
        None => (-1_i8).write(writer),
    }
}

/// Reads a struct that may be null (KIP-893).
#[inline]
pub(crate) fn read_nullable_struct<T: Wire>(reader: &mut Reader) -> Result<Option<T>, DecodeError> {
    let at = reader.at();
    match i8::read(reader)? {
        1 => Ok(Some(T::read(reader)?)),
        -1 => Ok(None),
        byte => Err(DecodeError::new(DecodeErrorKind::NotAPresence(byte), at)),
    }
}

/// Refuses to write a null that the version does not allow.
#[inline]
pub(crate) fn check_written(
    allowed: bool,
    value: &impl Wire,
    writer: &Writer,
) -> Result<(), EncodeError> {
    if value.is_null() && !allowed {
        let version = writer.version();
        return Err(EncodeError::new(EncodeErrorKind::UnexpectedNull {
            version,
        }));
    }
    Ok(())
}

/// Refuses a null that was read from `at` on and that the version does not allow.
#[inline]
pub(crate) fn check_read<T: Wire>(allowed: bool, value: T, at: usize) -> Result<T, DecodeError> {
    if value.is_null() && !allowed {
        return Err(DecodeError::new(DecodeErrorKind::UnexpectedNull, at));
    }
    Ok(value)
}
