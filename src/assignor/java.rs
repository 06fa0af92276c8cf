//! Owns the orders in which Java's collections hand out strings and partitions: assignors must follow them to come to the
//! result that a Java leader comes to.
//!
//! Must not know what is ordered, or why.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::collections::sort_places;

/// `String.compareTo`: by UTF-16 units, an order that differs from that of UTF-8 above U+D7FF.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// `String.hashCode`.
pub(super) fn hash_of_str(text: &str) -> u32 {
    text.encode_utf16().fold(0_u32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    })
}

/// `TopicPartition.hashCode`, by that of the topic.
pub(super) const fn hash_of_partition(topic: u32, number: u32) -> u32 {
    31_u32
        .wrapping_add(number)
        .wrapping_mul(31)
        .wrapping_add(topic)
}

/// The bucket of a hash in a `HashMap` of so many buckets, a power of two.
const fn bucket(hash: u32, buckets: u32) -> u32 {
    (hash ^ (hash >> 16)) & buckets.wrapping_sub(1)
}

/// The buckets of a `HashMap` that has held up to `entries` at once: it starts with 16 and is doubled when it is more than
/// three quarters full.
fn buckets(entries: usize) -> u32 {
    let mut buckets = 16_u32;
    while entries as u64 * 4 > u64::from(buckets) * 3 && buckets < 1 << 30 {
        buckets *= 2;
    }
    buckets
}

/// The places of `keys` in the order in which a `HashMap` hands them out that got them one by one. Within a bucket that is the
/// order in which they came. (Java makes trees of buckets that hold more than eight: never seen with the ids that brokers give.)
pub(super) fn hash_order<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Vec<usize> {
    let buckets = buckets(keys.len());
    let bucket_of: Vec<u32> = keys.map(|key| bucket(hash_of_str(key), buckets)).collect();
    let mut places: Vec<usize> = (0..bucket_of.len()).collect();
    sort_places(&mut places, &|a, b| bucket_of.get(a).cmp(&bucket_of.get(b)));
    places
}

/// A `HashSet` of which only the first element is ever asked for.
#[derive(Debug, Default)]
pub(super) struct HashedSet {
    /// Hashes and elements, in the order in which they came.
    elements: Vec<(u32, usize)>,
    /// The most that it ever held: it never shrinks.
    most: usize,
}

impl HashedSet {
    pub(super) fn insert(&mut self, hash: u32, element: usize) {
        self.elements.push((hash, element));
        self.most = self.most.max(self.elements.len());
    }

    pub(super) fn remove(&mut self, element: usize) {
        self.elements.retain(|(_, held)| *held != element);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    pub(super) fn first(&self) -> Option<usize> {
        let buckets = buckets(self.most);
        let first = self
            .elements
            .iter()
            .min_by_key(|(hash, _)| bucket(*hash, buckets));
        first.map(|(_, element)| *element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_hash_and_compare_as_in_java() {
        // "Hello".hashCode() and new TopicPartition("Hello", 7).hashCode(), as jshell says.
        assert_eq!(hash_of_str("Hello"), 69_609_650);
        assert_eq!(hash_of_partition(hash_of_str("Hello"), 7), 69_610_828);
        // U+FF5E is one unit, U+1F600 two that begin with a lower one.
        assert!("\u{ff5e}" < "\u{1f600}");
        assert_eq!(compare("\u{ff5e}", "\u{1f600}"), Ordering::Greater);
    }

    #[test]
    fn a_map_is_doubled_when_it_is_more_than_three_quarters_full() {
        assert_eq!(
            [0, 12, 13, 24, 25, 1_000].map(buckets),
            [16, 16, 32, 32, 64, 2_048]
        );
    }

    #[test]
    fn keys_come_by_bucket_and_then_as_they_came() {
        // "Aa" and "BB" have one hash.
        let keys = ["c", "BB", "a", "Aa"];
        assert_eq!(hash_order(keys.into_iter()), [1, 3, 2, 0]);
    }

    #[test]
    fn a_set_that_was_larger_keeps_its_buckets() {
        let mut set = HashedSet::default();
        for element in 0..13 {
            set.insert(20 - element as u32, element);
        }
        // In 32 buckets 8 comes first, and in 16 it would have been 16.
        assert_eq!(set.first(), Some(12));
        for element in 5..13 {
            set.remove(element);
        }
        assert_eq!(set.first(), Some(4));
        assert!(!set.is_empty());
    }
}
