//! Owns CRC-32C (Castagnoli), the checksum of record batches, and the CRC-32 of the messages before them. Knows nothing
//! but bytes.

/// The CRC-32C of `bytes`.
#[inline]
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The CRC-32C of what `crc` is the checksum of, followed by `bytes`.
#[cfg(feature = "std")]
#[inline]
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// The CRC-32C of what `crc` is the checksum of, followed by `bytes`.
#[cfg(not(feature = "std"))]
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    table::append::<{ table::CASTAGNOLI }>(crc, bytes)
}

/// The CRC-32 (IEEE) of `bytes`: what old segments are checked by, so a table will do.
#[cfg(feature = "legacy")]
#[must_use]
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    table::append::<{ table::IEEE }>(0, bytes)
}

/// Without the standard library nothing tells what the processor can do, so a table does it.
#[cfg(any(test, not(feature = "std"), feature = "legacy"))]
mod table {
    #[cfg(any(test, not(feature = "std")))]
    pub(super) const CASTAGNOLI: u32 = 0x82f6_3b78;
    #[cfg(any(test, feature = "legacy"))]
    pub(super) const IEEE: u32 = 0xedb8_8320;

    struct Table<const POLYNOMIAL: u32>;

    impl<const POLYNOMIAL: u32> Table<POLYNOMIAL> {
        #[allow(
            clippy::indexing_slicing,
            clippy::arithmetic_side_effects,
            reason = "evaluated by the compiler"
        )]
        const BYTES: [u32; 256] = {
            let mut table = [0; 256];
            let mut byte = 0;
            while byte < 256 {
                let mut crc = byte as u32;
                let mut bit = 0;
                while bit < 8 {
                    crc = (crc >> 1) ^ (if crc & 1 == 1 { POLYNOMIAL } else { 0 });
                    bit += 1;
                }
                table[byte] = crc;
                byte += 1;
            }
            table
        };
    }

    pub(super) fn append<const POLYNOMIAL: u32>(crc: u32, bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!crc, |crc, byte| {
            let [low, ..] = (crc ^ u32::from(*byte)).to_le_bytes();
            // A byte is always within the table of 256.
            let entry = Table::<POLYNOMIAL>::BYTES.get(usize::from(low));
            (crc >> 8) ^ entry.copied().unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of every catalogue of CRCs, and one vector of RFC 3720, B.4.
    #[test]
    fn known_values() {
        for crc in [crc32c_append, table::append::<{ table::CASTAGNOLI }>] {
            assert_eq!(crc(0, b"123456789"), 0xe306_9283);
            assert_eq!(crc(0, &[0xff; 32]), 0x62a8_ab43);
            assert_eq!(crc(0, b""), 0);
            assert_eq!(crc(crc(0, b"1234"), b"56789"), 0xe306_9283);
        }
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let ieee = table::append::<{ table::IEEE }>(0, b"123456789");
        assert_eq!(ieee, 0xcbf4_3926);
    }
}
