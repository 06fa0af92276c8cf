//! Owns the assignors of the coordinator (KIP-848): `uniform` and `range`.
//!
//! Must not know epochs or heartbeats. Each takes what members want and have, and says what each is to have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use klamm::{Str, Uuid};

/// Partitions, by topic.
pub(crate) type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// A member, as an assignor sees it.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) member: &'a Str,
    pub(super) instance: Option<&'a Str>,
    /// The topics that it subscribed to and that exist, with their numbers of partitions.
    pub(super) topics: BTreeMap<Uuid, i32>,
    /// What it was to have before.
    pub(super) before: Partitions,
}

/// The assignors by name, the default one first.
pub(crate) const ASSIGNORS: [&str; 2] = ["uniform", "range"];

/// What each member is to have.
pub(super) fn assign(assignor: &str, wishes: &[Wish<'_>]) -> BTreeMap<Str, Partitions> {
    if assignor == "range" {
        range(wishes)
    } else {
        uniform(wishes)
    }
}

/// Each topic is cut into as many runs as it has subscribers, in the order of instances, then members.
fn range(wishes: &[Wish<'_>]) -> BTreeMap<Str, Partitions> {
    let mut sorted: Vec<_> = wishes.iter().collect();
    sorted.sort_by_key(|wish| (wish.instance.is_none(), wish.instance, wish.member));
    let mut result: BTreeMap<Str, Partitions> = BTreeMap::new();
    let topics: BTreeMap<Uuid, i32> = wishes.iter().flat_map(|w| w.topics.clone()).collect();
    for (topic, count) in topics {
        let subscribers = sorted.iter().filter(|w| w.topics.contains_key(&topic));
        let subscribers: Vec<_> = subscribers.collect();
        let number = i32::try_from(subscribers.len()).unwrap_or(i32::MAX);
        let (quota, mut extra) = (count / number, count % number);
        let mut start = 0;
        for wish in subscribers {
            let end = start + quota + i32::from(extra > 0);
            extra = (extra - 1).max(0);
            if start < end {
                let share = result.entry(wish.member.clone()).or_default();
                share.insert(topic, (start..end).collect());
            }
            start = end;
        }
    }
    result
}

/// As even as it can be, and each member keeps what it had where that is possible.
fn uniform(wishes: &[Wish<'_>]) -> BTreeMap<Str, Partitions> {
    let mut free: BTreeSet<(Uuid, i32)> = wishes
        .iter()
        .flat_map(|wish| &wish.topics)
        .flat_map(|(topic, count)| (0..*count).map(|index| (*topic, index)))
        .collect();
    let all_alike = wishes
        .windows(2)
        .all(|pair| pair[0].topics == pair[1].topics);
    let (quota, mut extra) = (
        free.len() / wishes.len().max(1),
        free.len() % wishes.len().max(1),
    );
    let mut shares: BTreeMap<&Str, Vec<(Uuid, i32)>> = BTreeMap::new();
    for wish in wishes {
        let before = wish.before.iter();
        let before = before.flat_map(|(topic, set)| set.iter().map(|index| (*topic, *index)));
        let wanted = before.filter(|(topic, _)| wish.topics.contains_key(topic));
        let mut kept: Vec<_> = wanted.filter(|place| free.contains(place)).collect();
        if all_alike {
            let most = quota + usize::from(extra > 0);
            kept.truncate(most);
            extra -= usize::from(extra > 0 && kept.len() == most && most > quota);
        }
        for place in &kept {
            free.remove(place);
        }
        shares.insert(wish.member, kept);
    }
    hand_out(wishes, &mut shares, free.into_iter().collect());
    even_out(wishes, &mut shares);
    let mut result: BTreeMap<Str, Partitions> = BTreeMap::new();
    for (member, places) in shares {
        let share = result.entry(member.clone()).or_default();
        for (topic, index) in places {
            share.entry(topic).or_default().insert(index);
        }
    }
    result
}

/// Each partition that nobody has goes to the subscriber with the fewest.
fn hand_out(
    wishes: &[Wish<'_>],
    shares: &mut BTreeMap<&Str, Vec<(Uuid, i32)>>,
    mut free: VecDeque<(Uuid, i32)>,
) {
    while let Some(place) = free.pop_front() {
        let subscribers = wishes.iter().filter(|w| w.topics.contains_key(&place.0));
        let poorest = subscribers.min_by_key(|w| shares.get(w.member).map_or(0, Vec::len));
        if let Some(share) = poorest.and_then(|wish| shares.get_mut(wish.member)) {
            share.push(place);
        }
    }
}

/// Partitions move from who has most to who has two fewer, while there is such a pair.
fn even_out(wishes: &[Wish<'_>], shares: &mut BTreeMap<&Str, Vec<(Uuid, i32)>>) {
    let size = |shares: &BTreeMap<&Str, Vec<(Uuid, i32)>>, member: &Str| {
        shares.get(member).map_or(0, Vec::len)
    };
    loop {
        let mut moved = None;
        for rich in wishes {
            for poor in wishes {
                if size(shares, rich.member) < size(shares, poor.member) + 2 {
                    continue;
                }
                let places = shares.get(rich.member).into_iter().flatten();
                let last = places
                    .rev()
                    .find(|place| poor.topics.contains_key(&place.0));
                moved = moved.or(last.map(|place| (rich.member, poor.member, *place)));
            }
        }
        let Some((rich, poor, place)) = moved else {
            return;
        };
        if let Some(share) = shares.get_mut(rich) {
            share.retain(|had| *had != place);
        }
        if let Some(share) = shares.get_mut(poor) {
            share.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(
        assignor: &str,
        members: &[(&str, &[(u128, i32)])],
        before: &[(&str, &[i32])],
    ) -> Vec<String> {
        let names: Vec<Str> = members.iter().map(|(name, _)| Str::from(*name)).collect();
        let wishes: Vec<_> = members
            .iter()
            .zip(&names)
            .map(|((name, topics), member)| Wish {
                member,
                instance: None,
                topics: topics
                    .iter()
                    .map(|(id, count)| (Uuid::from(*id), *count))
                    .collect(),
                before: before
                    .iter()
                    .filter(|(had, _)| had == name)
                    .map(|(_, places)| (Uuid::from(1), places.iter().copied().collect()))
                    .collect(),
            })
            .collect();
        let assigned = assign(assignor, &wishes);
        let told = assigned.iter().map(|(member, share)| {
            let places: Vec<_> = share.values().map(|set| format!("{set:?}")).collect();
            format!("{member}{}", places.concat())
        });
        told.collect()
    }

    #[test]
    fn range_cuts_each_topic_into_runs() {
        let both: &[_] = &[(1, 5), (2, 1)];
        let told = sizes("range", &[("a", both), ("b", both)], &[]);
        assert_eq!(told, ["a{0, 1, 2}{0}", "b{3, 4}"]);
        let told = sizes("range", &[("a", &[(1, 4)]), ("b", &[(1, 4), (2, 2)])], &[]);
        assert_eq!(told, ["a{0, 1}", "b{2, 3}{0, 1}"]);
    }

    #[test]
    fn uniform_is_even_over_all_topics() {
        let both: &[_] = &[(1, 3), (2, 3)];
        let told = sizes("uniform", &[("a", both), ("b", both)], &[]);
        assert_eq!(told, ["a{0, 2}{1}", "b{1}{0, 2}"]);
    }

    #[test]
    fn uniform_lets_members_keep_what_they_had() {
        let one: &[_] = &[(1, 4)];
        let had: &[(&str, &[i32])] = &[("a", &[0, 1, 2, 3])];
        assert_eq!(
            sizes("uniform", &[("a", one), ("b", one)], had),
            ["a{0, 1}", "b{2, 3}"]
        );
        let had: &[(&str, &[i32])] = &[("b", &[0, 3])];
        assert_eq!(
            sizes("uniform", &[("a", one), ("b", one)], had),
            ["a{1, 2}", "b{0, 3}"]
        );
    }

    #[test]
    fn uniform_does_what_it_can_where_subscriptions_differ() {
        let told = sizes(
            "uniform",
            &[("a", &[(1, 2)]), ("b", &[(1, 2), (2, 2)])],
            &[],
        );
        assert_eq!(told, ["a{0, 1}", "b{0, 1}"]);
    }
}
