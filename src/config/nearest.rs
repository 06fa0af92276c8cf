//! Owns the guess at what a mistyped key was meant to be.
//!
//! Must not know what the keys are for.

use alloc::vec::Vec;

/// The longest key that is compared: longer text is no typing mistake.
const KEY_MAX: usize = 128;

/// The name nearest to `key`, unless even that is further than a third of the key's length away.
pub(super) fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if key.len() > KEY_MAX {
        return None;
    }
    names
        .map(|name| (distance(key, name), name))
        .min()
        .filter(|(distance, _)| *distance <= key.len().div_ceil(3))
        .map(|(_, name)| name)
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = *cell;
            left = substituted.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_key_and_nonsense_finds_none() {
        let names = ["linger.ms", "batch.size", "acks"];
        assert_eq!(nearest("linger.sm", names.into_iter()), Some("linger.ms"));
        assert_eq!(nearest("batchsize", names.into_iter()), Some("batch.size"));
        assert_eq!(nearest("zzzzzzzz", names.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
