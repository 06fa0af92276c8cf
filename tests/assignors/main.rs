//! The assignors: against what Java's own made of the same groups, and what must hold whatever members say.

mod group;
mod history;

use std::collections::{BTreeMap, BTreeSet};

use group::Group;
use history::{History, Manners, Size};
use klamm::TopicPartition;
use klamm::assignor::{
    Assignor, LastAssignment, Member, RebalanceProtocol, Subscription, Topics, decode_assignment,
    encode_assignment,
};
use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::test_runner::RngSeed;

const SIZE: Size = Size {
    members: 8,
    topics: 4,
    partitions: 10,
};
const GENERATIONS: usize = 4;

type Assigned = Vec<Vec<TopicPartition>>;

#[test]
fn members_get_what_java_gives_them() {
    let answered = group::parse(include_str!("../fixtures/assignors.txt"));
    for assignor in Assignor::ALL {
        let of = answered.iter().filter(|a| a.group.assignor == assignor);
        assert!(of.count() >= 12, "{assignor}");
    }
    for answered in answered {
        let group = &answered.group;
        assert_eq!(group.answer(), answered.answer, "{}", group.to_text());
    }
}

#[test]
fn names_are_those_of_kafka() {
    let names = Assignor::ALL.map(Assignor::name);
    assert_eq!(
        names,
        ["range", "roundrobin", "sticky", "cooperative-sticky"]
    );
    for assignor in Assignor::ALL {
        assert_eq!(Assignor::parse(assignor.name()), Some(assignor));
        let cooperative = assignor == Assignor::CooperativeSticky;
        let protocol = match cooperative {
            true => RebalanceProtocol::Cooperative,
            false => RebalanceProtocol::Eager,
        };
        assert_eq!(assignor.protocol(), protocol);
    }
    assert_eq!(Assignor::parse("Range"), None);
}

#[test]
fn user_data_is_what_java_writes() {
    let last = LastAssignment {
        generation_id: 7,
        partitions: vec![TopicPartition::new("t", 1), TopicPartition::new("t", 0)],
    };
    let bytes = |assignor: Assignor, last| assignor.user_data(last).map(|data| data.to_vec());
    assert_eq!(bytes(Assignor::Range, Some(&last)), None);
    assert_eq!(bytes(Assignor::Sticky, None), None);
    let sticky = b"\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\x07";
    assert_eq!(bytes(Assignor::Sticky, Some(&last)), Some(sticky.to_vec()));
    let before_any = vec![0xff; 4];
    assert_eq!(bytes(Assignor::CooperativeSticky, None), Some(before_any));
    let seven = vec![0, 0, 0, 7];
    assert_eq!(bytes(Assignor::CooperativeSticky, Some(&last)), Some(seven));
}

#[test]
fn subscriptions_of_other_clients_are_read() {
    let mut newest = Subscription::to(["a", "b"]);
    newest.user_data = Some("hello".into());
    newest.owned_partitions = vec![TopicPartition::new("b", 0), TopicPartition::new("b", 4)];
    newest.generation_id = Some(3);
    newest.rack_id = Some("east".into());
    let bytes = newest.encode().unwrap();
    assert_eq!(Subscription::decode(bytes.clone()).unwrap(), newest);

    // A version of the future, with a field more.
    let future = [&[0, 9][..], &bytes[2..], b"more"].concat();
    assert_eq!(Subscription::decode(future.into()).unwrap(), newest);

    // Fields of its version are missing: the rack; rack and generation; all but those of version 0.
    let mut read = newest.clone();
    read.rack_id = None;
    let cut = |bytes: usize| Subscription::decode(newest.encode().unwrap().slice(..bytes));
    assert_eq!(cut(bytes.len() - 6).unwrap(), read);
    read.generation_id = None;
    assert_eq!(cut(bytes.len() - 10).unwrap(), read);
    read.owned_partitions.clear();
    assert_eq!(cut(bytes.len() - 29).unwrap(), read);

    // Even those.
    assert!(cut(8).is_err());
    assert!(cut(0).is_err());
    assert!(Subscription::decode(vec![0xff; 20].into()).is_err());
}

#[test]
fn assignments_of_other_clients_are_read() {
    let partitions = vec![TopicPartition::new("a", 1), TopicPartition::new("b", 0)];
    let bytes = encode_assignment(&partitions).unwrap();
    assert_eq!(decode_assignment(bytes.clone()).unwrap(), partitions);
    let future = [&[0, 9][..], &bytes[2..], b"more"].concat();
    assert_eq!(decode_assignment(future.into()).unwrap(), partitions);
    let nothing = encode_assignment(&[]).unwrap();
    assert_eq!(decode_assignment(nothing).unwrap(), []);
    assert!(decode_assignment(Vec::new().into()).is_err());
}

#[test]
fn a_group_of_a_thousand_is_dealt_with() {
    let topics: Topics = (0..10)
        .map(|topic| (format!("topic-{topic}").into(), vec![Vec::new(); 1_000]))
        .collect();
    for assignor in Assignor::ALL {
        for equal in [true, false] {
            let mut members: Vec<Member> = (0..1_000)
                .map(|id| Member {
                    member_id: format!("member-{id}").into(),
                    group_instance_id: None,
                    subscription: Subscription {
                        topics: topics
                            .keys()
                            .take(9 + usize::from(equal || id > 500))
                            .cloned()
                            .collect(),
                        ..Subscription::default()
                    },
                })
                .collect();
            let first = assignor.assign(&members, &topics);
            assert_eq!(first.iter().flatten().count(), 10_000);
            // The first hundred leave.
            for (member, partitions) in members.iter_mut().zip(first) {
                let last = LastAssignment {
                    generation_id: 1,
                    partitions,
                };
                member.subscription.user_data = assignor.user_data(Some(&last));
                member.subscription.generation_id = Some(1);
                member.subscription.owned_partitions = last.partitions;
            }
            let second = assignor.assign(&members[100..], &topics);
            assert_eq!(second.iter().flatten().count(), 10_000, "{assignor}");
        }
    }
}

/// Runs a group through some generations.
fn groups(
    assignor: Assignor,
    manners: Manners,
    seed: u64,
) -> impl Iterator<Item = (Group, Assigned)> {
    let mut history = History::new(assignor, manners, SIZE, seed);
    (0..GENERATIONS).map(move |_| {
        let group = history.next_group();
        let assigned = assignor.assign(&group.members, &group.topics);
        (group, assigned)
    })
}

/// Whose each partition is.
fn owners(assigned: &Assigned) -> BTreeMap<&TopicPartition, usize> {
    let mut owners = BTreeMap::new();
    for (member, partitions) in assigned.iter().enumerate() {
        for partition in partitions {
            let before = owners.insert(partition, member);
            assert_eq!(before, None, "{partition} has two owners");
        }
    }
    owners
}

/// All partitions that somebody subscribes to.
fn wanted(group: &Group) -> BTreeSet<TopicPartition> {
    let members = group.members.iter();
    let topics: BTreeSet<_> = members.flat_map(|m| &m.subscription.topics).collect();
    topics
        .into_iter()
        .filter_map(|topic| Some((topic, group.topics.get(topic)?.len() as i32)))
        .flat_map(|(topic, count)| (0..count).map(|number| TopicPartition::new(topic, number)))
        .collect()
}

fn subscribes(group: &Group, member: usize, partition: &TopicPartition) -> bool {
    let topics = &group.members[member].subscription.topics;
    topics.contains(&partition.topic)
}

fn all_subscribe_to_the_same(group: &Group) -> bool {
    let mut topics = group.members.iter().map(|m| &m.subscription.topics);
    let first = topics.next();
    topics.all(|topics| Some(topics) == first)
}

fn assert_each_goes_to_one_subscriber(group: &Group, assigned: &Assigned) {
    assert_eq!(assigned.len(), group.members.len());
    let owners = owners(assigned);
    for (partition, member) in &owners {
        assert!(subscribes(group, *member, partition), "{partition}");
    }
    let wanted = wanted(group);
    if group.assignor != Assignor::CooperativeSticky {
        assert!(owners.into_keys().eq(&wanted));
        return;
    }
    assert!(owners.keys().all(|partition| wanted.contains(partition)));
    // What nobody got somebody still has.
    let members = group.members.iter();
    let owned: BTreeSet<_> = members
        .flat_map(|m| &m.subscription.owned_partitions)
        .collect();
    for partition in &wanted {
        assert!(owners.contains_key(partition) || owned.contains(partition));
    }
}

/// Sticky shares differ by one at most, and those of roundrobin, where all subscribe to the same topics.
fn assert_even(group: &Group, assigned: &Assigned) {
    let even = match group.assignor {
        Assignor::Range | Assignor::CooperativeSticky => false,
        Assignor::RoundRobin | Assignor::Sticky => all_subscribe_to_the_same(group),
    };
    let counts = || assigned.iter().map(Vec::len);
    assert!(!even || counts().max() <= counts().min().map(|least| least + 1));
}

/// Range's shares of each topic differ by one at most.
fn assert_rows_are_even(group: &Group, assigned: &Assigned) {
    if group.assignor != Assignor::Range {
        return;
    }
    for topic in group.topics.keys() {
        let of_topic = |partitions: &Vec<TopicPartition>| {
            partitions.iter().filter(|p| p.topic == *topic).count()
        };
        let subscribers = group.members.iter().zip(assigned);
        let counts: Vec<usize> = subscribers
            .filter(|(member, _)| member.subscription.topics.contains(topic))
            .map(|(_, partitions)| of_topic(partitions))
            .collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(most.copied() <= least.map(|least| least + 1), "{topic}");
    }
}

/// Nobody gets what one other member says to have.
fn assert_nothing_is_taken_and_given_at_once(group: &Group, assigned: &Assigned) {
    let mut claims = BTreeMap::<_, BTreeSet<usize>>::new();
    for (member, claimant) in group.members.iter().enumerate() {
        for partition in &claimant.subscription.owned_partitions {
            claims.entry(partition).or_default().insert(member);
        }
    }
    let owners = owners(assigned);
    for (partition, claimants) in claims {
        let owner = owners.get(partition);
        let taken = owner.is_some_and(|owner| !claimants.contains(owner));
        assert!(!taken, "{partition} goes from {claimants:?} to {owner:?}");
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(15),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn each_partition_goes_to_one_subscriber_and_shares_are_even(seed in any::<u64>()) {
        for assignor in Assignor::ALL {
            for manners in [Manners::Good, Manners::Bad] {
                for (group, assigned) in groups(assignor, manners, seed) {
                    assert_each_goes_to_one_subscriber(&group, &assigned);
                    assert_even(&group, &assigned);
                    assert_rows_are_even(&group, &assigned);
                }
            }
        }
    }

    #[test]
    fn a_cooperative_partition_is_not_given_away_in_the_round_that_takes_it(seed in any::<u64>()) {
        for manners in [Manners::Good, Manners::Bad] {
            for (group, assigned) in groups(Assignor::CooperativeSticky, manners, seed) {
                assert_nothing_is_taken_and_given_at_once(&group, &assigned);
            }
        }
    }

    #[test]
    fn no_more_is_moved_than_even_shares_need(members in 1_usize..9, partitions in 0_usize..40, joins in any::<bool>()) {
        let topics = Topics::from([("lines".into(), vec![vec![]; partitions])]);
        let mut group: Vec<Member> = (0..=members)
            .map(|id| Member {
                member_id: format!("member-{id}").into(),
                group_instance_id: None,
                subscription: Subscription::to(["lines"]),
            })
            .collect();
        let newcomer = group.pop().expect("one more");
        let first = Assignor::Sticky.assign(&group, &topics);
        for (member, partitions) in group.iter_mut().zip(first) {
            let last = LastAssignment { generation_id: 1, partitions };
            member.subscription.user_data = Assignor::Sticky.user_data(Some(&last));
            member.subscription.generation_id = Some(1);
        }
        let before = Assignor::Sticky.assign(&group, &topics);
        let lost = match joins {
            // A newcomer takes its share from the others.
            true => { group.push(newcomer); partitions / (members + 1) }
            // What the last one had is left.
            false if members > 1 => { group.pop(); before[members - 1].len() }
            false => 0,
        };
        let after = Assignor::Sticky.assign(&group, &topics);
        let (before, after) = (owners(&before), owners(&after));
        let moved = before.iter().filter(|(partition, owner)| after[*partition] != **owner);
        assert_eq!(moved.count(), lost);
    }
}
