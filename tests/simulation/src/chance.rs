//! Owns chance: every decision is a function of (seed, entity, purpose, n), never of what was drawn before,
//! so that taking one event out of a scenario does not reshuffle the rest.
//!
//! Knows nothing of what is decided.

/// The source of a scenario's decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance {
    seed: u64,
}

/// One thing's decisions for one purpose, numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
    count: u64,
}

impl Chance {
    /// The decisions of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The decisions of `entity` for `purpose`.
    #[must_use]
    pub fn stream(self, entity: &str, purpose: &str) -> Stream {
        let mut key = mix(self.seed ^ 0x9e37_79b9_7f4a_7c15);
        for byte in entity.bytes().chain([0]).chain(purpose.bytes()) {
            key = mix(key ^ u64::from(byte));
        }
        Stream { key, count: 0 }
    }
}

impl Stream {
    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.count += 1;
        mix(self.key ^ mix(self.count))
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "{low} is above {high}");
        let span = u128::from(high - low) + 1;
        let scaled = (u128::from(self.any()) * span) >> 64;
        low + u64::try_from(scaled).expect("below the span")
    }

    /// `true` once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.between(1, n) == 1
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = choices.len() as u64 - 1;
        &choices[usize::try_from(self.between(0, last)).expect("an index")]
    }

    /// A number from `low` to `high` whose order of magnitude is as likely as any other's.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let bits = |n: u64| u64::from(64 - n.leading_zeros());
        let size = self.between(bits(low.max(1)), bits(high));
        let top = if size >= 64 {
            u64::MAX
        } else {
            (1 << size) - 1
        };
        let bottom = (1u64 << (size - 1)).max(low);
        self.between(bottom.min(high), top.clamp(low, high))
    }
}

/// A rolling hash, for traces and checksums (FNV-1a, eight bytes at a time).
#[must_use]
pub fn hash(sum: u64, bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(8);
    let mut sum = sum ^ bytes.len() as u64;
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_be_bytes);
        sum = (sum ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }
    chunks.remainder().iter().fold(sum, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014).
const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_depends_on_its_own_number_only() {
        let chance = Chance::new(7);
        let mut network = chance.stream("c1", "delay");
        let first = network.any();
        let mut other = chance.stream("c2", "delay");
        let _ = other.any();
        assert_eq!(chance.stream("c1", "delay").any(), first);
        assert_ne!(Chance::new(8).stream("c1", "delay").any(), first);
    }

    #[test]
    fn bounds_are_both_reached_and_never_passed() {
        let mut stream = Chance::new(1).stream("x", "y");
        let drawn: Vec<u64> = (0..200).map(|_| stream.between(3, 5)).collect();
        assert!((3..=5).all(|n| drawn.contains(&n)));
        assert!(drawn.iter().all(|n| (3..=5).contains(n)));
        assert!((0..500).all(|_| (10..=3_000).contains(&stream.magnitude(10, 3_000))));
    }
}
