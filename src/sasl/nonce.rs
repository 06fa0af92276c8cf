//! Owns numbers that nobody can guess, derived from the entropy that the engine was made with.
//!
//! Must not know what they are used for. Jitter and choice have generators of their own.

use alloc::string::String;

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A generator of nonces: HMAC-SHA-256 of a counter, keyed with the entropy.
pub(crate) struct Nonces {
    key: [u8; 32],
    drawn: u64,
}

impl core::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Nonces")
    }
}

impl Nonces {
    pub(crate) const fn new(entropy: [u8; 32]) -> Self {
        Self {
            key: entropy,
            drawn: 0,
        }
    }

    /// A nonce of 256 bits, in characters that every mechanism allows.
    pub(crate) fn draw(&mut self) -> String {
        Base64::encode_string(&self.draw_bytes())
    }

    /// The bytes of an id that nobody else has: a UUID of version 4 (RFC 9562 section 5.4).
    pub(crate) fn draw_uuid(&mut self) -> [u8; 16] {
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.draw_bytes();
        let random = u128::from_be_bytes(bytes);
        let (version, variant) = (0xf << 76, 0b11 << 62);
        (random & !version & !variant | 4 << 76 | 0b10 << 62).to_be_bytes()
    }

    fn draw_bytes(&mut self) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            // HMAC takes keys of any length.
            return [0; 32];
        };
        mac.update(b"klamm nonce");
        mac.update(&self.drawn.to_be_bytes());
        self.drawn = self.drawn.saturating_add(1);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike_and_the_same_entropy_gives_the_same() {
        let draw = |entropy| {
            let mut nonces = Nonces::new(entropy);
            [nonces.draw(), nonces.draw()]
        };
        let [first, second] = draw([1; 32]);
        assert_ne!(first, second);
        assert_eq!(draw([1; 32]), [first.clone(), second]);
        assert_ne!(draw([2; 32])[0], first);
        assert_eq!(first.len(), 44);
        assert!(!first.contains(','));
        let [.., version, _, variant, _, _, _, _, _, _, _] = Nonces::new([1; 32]).draw_uuid();
        assert_eq!((version >> 4, variant >> 6), (4, 0b10));
    }
}
