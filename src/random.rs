//! Owns chance: small generators for jitter and choice, one stream a component, all derived from the entropy
//! that the engine was made with.
//!
//! Must not know who draws or why. Not for secrets: what others must not guess needs a cryptographic generator.

use crate::time::Duration;

/// A small generator (PCG-XSH-RR 64/32, O'Neill 2014) for jitter, choice and tie-breaks.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
    increment: u64,
}

/// Which component draws: each has a stream of its own, so that a new draw in one does not reshuffle the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Stream {
    /// Jitter of reconnects and metadata retries.
    Cluster = 1,
    /// The partitioner of records without a key.
    Partitioner = 2,
    /// Jitter of produce retries.
    Producer = 3,
    /// Jitter of fetch retries.
    Consumer = 4,
    /// Jitter of retries at a group's coordinator.
    Group = 5,
}

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

impl Random {
    /// The stream of one component of an engine made with `entropy`.
    pub(crate) fn derive(entropy: &[u8; 32], stream: Stream) -> Self {
        // FNV-1a over all 32 bytes, so that no part of the entropy is ignored.
        let seed = entropy
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let mut random = Self {
            state: 0,
            increment: ((stream as u64) << 1) | 1,
        };
        let _ = random.next_u32();
        random.state = random.state.wrapping_add(seed);
        let _ = random.next_u32();
        random
    }

    /// Any number.
    pub(crate) fn next_u32(&mut self) -> u32 {
        let old = self.state;
        self.state = old.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
        #[allow(clippy::cast_possible_truncation)]
        let xorshifted = (((old >> 18) ^ old) >> 27) as u32;
        xorshifted.rotate_right((old >> 59) as u32)
    }

    /// A number from 0 to `bound - 1`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // Lemire's multiplication: bias below 2^-32 * bound, which no use here can notice.
        ((u64::from(self.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// `duration` times a factor from 0.8 to 1.2 (KIP-580).
    pub(crate) fn jitter(&mut self, duration: Duration) -> Duration {
        let factor = 800 + u64::from(self.below(401));
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 1_200);
        Duration::from_nanos(nanos.saturating_mul(factor) / 1_000)
    }
}

/// Exponential backoff with jitter (KIP-580): `min(max, initial * 2^attempts)` times 0.8 to 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// The wait after `attempts` failures in a row, counted from 0.
    pub(crate) fn after(&self, attempts: u32, random: &mut Random) -> Duration {
        let factor = 1u32.checked_shl(attempts.min(30)).unwrap_or(u32::MAX);
        random.jitter(self.initial.saturating_mul(factor).min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_entropy_gives_the_same_numbers_and_streams_differ() {
        let draw = |stream| {
            let mut random = Random::derive(&[7; 32], stream);
            [random.next_u32(), random.next_u32(), random.next_u32()]
        };
        assert_eq!(draw(Stream::Cluster), draw(Stream::Cluster));
        assert_ne!(draw(Stream::Cluster), draw(Stream::Producer));
    }

    #[test]
    fn a_bound_is_never_reached() {
        let mut random = Random::derive(&[1; 32], Stream::Cluster);
        assert!((0..1_000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn backoff_doubles_up_to_its_maximum_within_a_fifth() {
        let mut random = Random::derive(&[1; 32], Stream::Cluster);
        let backoff = Backoff {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
        };
        for (attempts, expected) in [
            (0, 100),
            (1, 200),
            (2, 400),
            (3, 800),
            (4, 1_000),
            (99, 1_000),
        ] {
            let wait = backoff.after(attempts, &mut random).as_millis();
            assert!(
                (expected * 8 / 10..=expected * 12 / 10).contains(&wait),
                "{attempts}: {wait}"
            );
        }
    }
}
