//! Owns the cluster's randomness: streams of numbers that depend on a seed, a purpose and a count, and on nothing else.
//!
//! Must not know what the numbers are for. One stream a purpose, so that a change in one shifts no other.

/// What a number is drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    TopicId = 1,
    FetchSession = 2,
    MemberId = 3,
}

/// Numbers by seed and purpose.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    seed: u64,
    drawn: [u64; 4],
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            drawn: [0; 4],
        }
    }

    /// The next number for `purpose`.
    pub(crate) fn next(&mut self, purpose: Purpose) -> u64 {
        let stream = purpose as u64;
        let drawn = &mut self.drawn[purpose as usize];
        *drawn += 1;
        mix(mix(self.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(*drawn))
    }
}

/// The finisher of SplitMix64.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_purpose_does_not_shift_another() {
        let mut quiet = Random::new(7);
        let mut busy = Random::new(7);
        for _ in 0..10 {
            busy.next(Purpose::TopicId);
        }
        assert_eq!(
            quiet.next(Purpose::FetchSession),
            busy.next(Purpose::FetchSession)
        );
    }
}
