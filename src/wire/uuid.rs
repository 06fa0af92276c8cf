//! Owns the 128-bit id of topics and members. Knows nothing but its bytes and its text form.

use core::fmt;

/// A 128-bit id, as Kafka gives to topics, directories and members. All zeroes mean that there is none.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(
    /// The sixteen bytes, as they stand on the wire.
    pub [u8; 16],
);

impl Uuid {
    /// The id that stands for "no id".
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl From<u128> for Uuid {
    fn from(value: u128) -> Self {
        Self(value.to_be_bytes())
    }
}

impl From<Uuid> for u128 {
    fn from(value: Uuid) -> Self {
        Self::from_be_bytes(value.0)
    }
}

/// Kafka's own text form: URL-safe base64 of the sixteen bytes, without padding (22 characters).
impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let digit = |sextet: u128| {
            ALPHABET
                .get((sextet & 63) as usize)
                .copied()
                .unwrap_or_default()
                .into()
        };
        let value = u128::from(*self);
        // 128 bits are 21 whole sextets and two bits, which the 22nd character holds in its upper bits.
        for position in 0..21_u32 {
            let shift = 122_u32.saturating_sub(position.saturating_mul(6));
            fmt::Write::write_char(f, digit(value >> shift))?;
        }
        fmt::Write::write_char(f, digit(value << 4))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_is_the_one_kafka_prints() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::from(1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ"); // Uuid.ONE_UUID
        assert_eq!(Uuid::from(u128::MAX).to_string(), "_____________________w");
    }
}
