//! Owns the collections of which the engine needs many: a map in one sorted queue, and sorting and gathering whose code all
//! types share.
//!
//! Public for Klamm's own drivers alone, outside semver. Must not know what they hold. The standard library's B-trees and sorts are made anew for each type that they are used with,
//! some ten thousand lines of intermediate code each time: half of what it took to build the engine. What may hold thousands of
//! entries in no order of arrival stays in a B-tree.

use alloc::collections::{VecDeque, vec_deque};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Sorts places of a table by what stands there; equal ones stay in their order.
pub fn sort_places(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

/// Sorts; equal ones stay in their order.
pub fn sorted<T>(items: Vec<T>, compare: &dyn Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut places: Vec<usize> = (0..items.len()).collect();
    sort_places(&mut places, &|a, b| {
        items
            .get(a)
            .zip(items.get(b))
            .map_or(Ordering::Equal, |(a, b)| compare(a, b))
    });
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    places
        .into_iter()
        .filter_map(|place| items.get_mut(place)?.take())
        .collect()
}

/// What `collect` makes, by putting in one item after the other: a B-tree's own `collect` sorts first.
pub fn gather<T, C: Default + Extend<T>>(items: impl IntoIterator<Item = T>) -> C {
    let mut collection = C::default();
    collection.extend(items);
    collection
}

/// A map from `K` to `V` in one sorted queue, in the keys' order: for keys that count up, of which the oldest go first, and for few
/// entries. A lookup halves; putting in or taking out moves the shorter side, so that the front and the end cost nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VecMap<K, V>(VecDeque<(K, V)>);

impl<K, V> Default for VecMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> VecMap<K, V> {
    #[must_use]
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    #[must_use]
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    #[must_use]
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Keeps what `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.0.into_iter().map(|(_, value)| value)
    }

    #[must_use]
    pub fn first_key(&self) -> Option<&K> {
        self.0.front().map(|(key, _)| key)
    }

    /// Takes the entry of the least key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        self.0.pop_front()
    }
}

impl<K: Ord, V> VecMap<K, V> {
    /// Where the key is, or where it would go.
    fn position(&self, key: &K) -> Result<usize, usize> {
        match self.0.back() {
            Some((last, _)) if last < key => Err(self.0.len()),
            _ => self.0.binary_search_by(|(other, _)| other.cmp(key)),
        }
    }

    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.position(key).is_ok()
    }

    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let (_, value) = self.0.get(self.position(key).ok()?)?;
        Some(value)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.position(key).ok()?;
        let (_, value) = self.0.get_mut(at)?;
        Some(value)
    }

    /// Puts a value in, and gives back the one that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.position(&key) {
            Ok(at) => {
                let (_, old) = self.0.get_mut(at)?;
                Some(core::mem::replace(old, value))
            }
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// The value, made and put in if there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.position(&key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key, make()));
                at
            }
        };
        // It was found there, or has just been put there.
        &mut self.0[at].1
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.position(key).ok()?;
        self.0.remove(at).map(|(_, value)| value)
    }
}

impl<K, V> IntoIterator for VecMap<K, V> {
    type Item = (K, V);
    type IntoIter = vec_deque::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Of two entries with one key the later stays.
impl<K: Ord, V> FromIterator<(K, V)> for VecMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        // In order, each one is put in at the end, in whatever order a peer has named them.
        for (key, value) in sorted(entries.into_iter().collect(), &|(a, _), (b, _)| a.cmp(b)) {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use proptest::test_runner::RngSeed;

    use super::{VecMap, gather, sort_places, sorted};

    fn config() -> ProptestConfig {
        ProptestConfig {
            rng_seed: RngSeed::Fixed(1815),
            failure_persistence: None,
            ..ProptestConfig::with_cases(300)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_map_in_a_queue_does_what_a_tree_does(steps in vec((0..7_u8, 0..12_u8, any::<u32>()), 0..200)) {
            let mut map = VecMap::new();
            let mut tree = BTreeMap::new();
            for (step, key, value) in steps {
                match step {
                    0 | 1 => prop_assert_eq!(map.insert(key, value), tree.insert(key, value)),
                    2 => prop_assert_eq!(map.remove(&key), tree.remove(&key)),
                    3 => prop_assert_eq!(map.pop_first(), tree.pop_first()),
                    4 => prop_assert_eq!(map.get_or_insert_with(key, || value), tree.entry(key).or_insert(value)),
                    5 => prop_assert_eq!(map.get_mut(&key), tree.get_mut(&key)),
                    _ => {
                        map.retain(|other, _| other % 4 != key % 4);
                        tree.retain(|other, _| other % 4 != key % 4);
                    }
                }
                prop_assert!(map.iter().eq(tree.iter()));
                prop_assert_eq!(map.get(&key), tree.get(&key));
                prop_assert_eq!(map.first_key(), tree.keys().next());
            }
        }

        #[test]
        fn what_is_gathered_in_any_order_is_in_the_keys_order_and_the_later_stays(
            entries in vec((0..20_u8, any::<u32>()), 0..60),
        ) {
            let map: VecMap<_, _> = entries.iter().copied().collect();
            let tree: BTreeMap<_, _> = entries.iter().copied().collect();
            prop_assert!(map.iter().eq(tree.iter()));
            prop_assert_eq!(gather::<_, BTreeMap<_, _>>(entries), tree);
        }

        #[test]
        fn sorting_keeps_the_order_of_equals(items in vec((0..5_u8, any::<u8>()), 0..60)) {
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            let mut places: Vec<usize> = (0..items.len()).collect();
            sort_places(&mut places, &|a, b| items[a].0.cmp(&items[b].0));
            prop_assert!(places.iter().map(|place| &items[*place]).eq(&expected));
            prop_assert_eq!(sorted(items, &|(a, _), (b, _)| a.cmp(b)), expected);
        }
    }
}
