//! Owns the choice of a record's partition: by its key as Java does, or sticky for records without one
//! (KIP-480, KIP-794).
//!
//! Must not know what a partition's leader or queue is: it is told which partitions may be chosen, and how much waits there.

use alloc::vec::Vec;

use crate::random::Random;

/// Java's `Utils.murmur2`: what all clients that share a topic by key must agree on.
pub(crate) fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    #[allow(clippy::cast_possible_truncation)]
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = word
            .first_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
}

/// The partition of a key among all `partitions`, also those without a leader: a key never moves for an outage.
pub(crate) fn of_key(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff)
        .checked_rem(partitions)
        .unwrap_or(0)
}

/// Where the records of one topic that have no key go: to one partition until a batch is full, then to another.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    current: Option<i32>,
    /// Bytes that went there since the last switch.
    bytes: usize,
    /// Kept for its memory only.
    weights: Vec<u64>,
}

impl Sticky {
    /// The partition in force, if one was chosen and it still exists.
    pub(crate) fn current(&self, partitions: i32) -> Option<i32> {
        self.current.filter(|current| *current < partitions)
    }

    /// Counts `bytes` that went to the current partition. Once they fill a batch and the batch is not open any more
    /// (or they fill two), the next record goes elsewhere.
    pub(crate) fn count(&mut self, bytes: usize, batch_size: usize, batch_open: bool) {
        self.bytes = self.bytes.saturating_add(bytes);
        // A batch size of 0 means one record a batch (KAFKA-14303: it must not mean "choose for ever").
        let full = batch_size.max(1);
        if self.bytes >= full.saturating_mul(2) || self.bytes >= full && !batch_open {
            self.leave();
        }
    }

    /// The next record goes to a partition that is chosen then.
    pub(crate) fn leave(&mut self) {
        self.current = None;
        self.bytes = 0;
    }

    /// Chooses among the partitions for which `waiting` gives how many batches wait there: those where less waits more
    /// often (KIP-794). Where `waiting` gives nothing for any (none has a leader), among all.
    pub(crate) fn choose(
        &mut self,
        partitions: i32,
        random: &mut Random,
        waiting: impl Fn(i32) -> Option<usize>,
    ) -> i32 {
        let most = (0..partitions).filter_map(&waiting).max();
        let mut sum = 0u64;
        self.weights.clear();
        self.weights.extend((0..partitions).map(|partition| {
            let weight = match (most, waiting(partition)) {
                (Some(most), Some(waiting)) => most.saturating_sub(waiting).saturating_add(1),
                (Some(_), None) => 0,
                (None, _) => 1,
            };
            sum = sum.saturating_add(u64::try_from(weight).unwrap_or(u64::MAX));
            sum
        }));
        let point = u64::from(random.below(u32::try_from(sum).unwrap_or(u32::MAX)));
        let chosen = self.weights.partition_point(|upto| *upto <= point);
        let chosen = i32::try_from(chosen)
            .unwrap_or(0)
            .min(partitions.saturating_sub(1))
            .max(0);
        self.current = Some(chosen);
        self.bytes = 0;
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Printed by `org.apache.kafka.common.utils.Utils.murmur2` of kafka-clients 4.3.1, with `toPositive(hash) % 12`.
    const JAVA: &[(&[u8], i32, i32)] = &[
        (b"", 275_646_681, 9),
        (b"a", -1_563_381_124, 4),
        (b"ab", 316_155_434, 2),
        (b"abc", 479_470_107, 3),
        (b"abcd", -1_323_649_548, 8),
        (b"abcde", 461_995_741, 1),
        (b"21", -973_932_308, 0),
        (b"foobar", -790_332_482, 6),
        (b"a-little-bit-long-string", -985_981_536, 8),
        (b"a-little-bit-longer-string", -1_486_304_829, 11),
        (
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
            5,
        ),
        (b"klamm", 912_380_539, 7),
        (b"The Castle", 483_737_360, 8),
        (&[0xff, 0x80, 0xfe], 957_058_525, 1),
    ];

    #[test]
    fn the_hash_and_the_partition_of_a_key_are_javas() {
        for (key, hash, partition) in JAVA {
            assert_eq!(murmur2(key), *hash, "{key:?}");
            assert_eq!(of_key(key, 12), *partition, "{key:?}");
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(murmur2(&all), -1_948_347_274);
    }

    fn random() -> Random {
        Random::derive(&[3; 32], Stream::Partitioner)
    }

    #[test]
    fn records_without_a_key_stay_until_the_batch_is_full_and_closed() {
        let mut sticky = Sticky::default();
        let first = sticky.choose(4, &mut random(), |_| Some(0));
        sticky.count(99, 100, true);
        assert_eq!(sticky.current(4), Some(first));
        sticky.count(1, 100, true);
        assert_eq!(sticky.current(4), Some(first), "the batch is still open");
        sticky.count(1, 100, false);
        assert_eq!(sticky.current(4), None, "the batch is closed");
    }

    #[test]
    fn an_open_batch_holds_them_for_two_batches_at_the_most() {
        let mut sticky = Sticky::default();
        sticky.choose(4, &mut random(), |_| Some(0));
        sticky.count(200, 100, true);
        assert_eq!(sticky.current(4), None);
    }

    #[test]
    fn with_a_batch_size_of_zero_each_record_may_go_elsewhere() {
        let mut sticky = Sticky::default();
        sticky.choose(4, &mut random(), |_| Some(0));
        sticky.count(70, 0, false);
        assert_eq!(sticky.current(4), None);
    }

    #[test]
    fn a_partition_that_is_gone_is_left() {
        let mut sticky = Sticky::default();
        let mut random = random();
        while sticky.choose(4, &mut random, |_| Some(0)) != 3 {}
        assert_eq!(sticky.current(3), None);
    }

    #[test]
    fn a_partition_without_a_leader_is_not_chosen_while_another_has_one() {
        let mut sticky = Sticky::default();
        let mut random = random();
        for _ in 0..200 {
            assert_eq!(sticky.choose(3, &mut random, |p| (p == 1).then_some(9)), 1);
        }
        let mut seen = [false; 3];
        for _ in 0..200 {
            let chosen = sticky.choose(3, &mut random, |_| None);
            seen[usize::try_from(chosen).unwrap()] = true;
        }
        assert_eq!(seen, [true; 3], "none has a leader: any may be chosen");
    }

    #[test]
    fn a_long_queue_is_chosen_less_often() {
        let mut sticky = Sticky::default();
        let mut random = random();
        let mut counts = [0u32; 2];
        for _ in 0..1_000 {
            let chosen = sticky.choose(2, &mut random, |p| Some(if p == 0 { 9 } else { 0 }));
            counts[usize::try_from(chosen).unwrap()] += 1;
        }
        // Weights 1 and 10.
        assert!(counts[0] < 150 && counts[0] > 40, "{counts:?}");
    }
}
