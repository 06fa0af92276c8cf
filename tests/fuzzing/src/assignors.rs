//! What a leader makes of subscriptions that two members have written as they like.

use bytes::Bytes;
use klamm::assignor::{Assignor, Member, Subscription, Topics};
use klamm::{Str, TopicPartition};

use crate::memory::measure;

/// The first byte says where, in 256ths, the first member's subscription ends and the second's begins.
pub(crate) fn check_group(data: &[u8]) {
    let Some((at, blobs)) = data.split_first() else {
        return;
    };
    let (first, second) = blobs.split_at(blobs.len() * usize::from(*at) / 256);
    let (Some(first), Some(second)) = (decode(first), decode(second)) else {
        return;
    };
    let topics: Topics = first
        .topics
        .iter()
        .chain(&second.topics)
        .take(16)
        .map(|topic| (topic.clone(), racks(topic.len())))
        .collect();
    let third = Subscription {
        topics: topics.keys().cloned().collect(),
        ..Subscription::default()
    };
    let members = [("first", first), ("second", second), ("third", third)];
    let members = members.map(|(id, subscription)| Member {
        member_id: id.into(),
        group_instance_id: None,
        subscription,
    });
    for assignor in Assignor::ALL {
        check_assigned(&members, &topics, assignor);
    }
}

/// A topic of a few partitions; the last has no replicas.
fn racks(partitions: usize) -> Vec<Vec<Str>> {
    let rack = |number: usize| vec!["east".into(), ["", "west"][number % 2].into()];
    (0..partitions % 5).map(rack).chain([vec![]]).collect()
}

fn decode(blob: &[u8]) -> Option<Subscription> {
    let copy = Bytes::copy_from_slice(blob);
    let (subscription, usage) = measure(|| Subscription::decode(copy));
    // A partition of four bytes takes 24; a topic's name of two as much again, and all but once more while it is read.
    assert!(
        usage.peak <= 64 * blob.len() + 16 * 1024,
        "{} bytes took {usage:?}",
        blob.len()
    );
    let subscription = subscription.ok()?;
    let written = subscription.encode().expect("what was read can be written");
    let again = Subscription::decode(written).expect("what was written can be read");
    assert_eq!(again.generation_id, subscription.generation_id);
    Some(subscription)
}

/// Partitions that are there, each to one subscriber of its topic.
fn check_assigned(members: &[Member], topics: &Topics, assignor: Assignor) {
    let assigned = assignor.assign(members, topics);
    assert_eq!(assigned.len(), members.len());
    for (member, partitions) in members.iter().zip(&assigned) {
        for TopicPartition { topic, partition } in partitions {
            assert!(member.subscription.topics.contains(topic));
            assert!((0..topics[topic].len() as i32).contains(partition));
        }
    }
    let mut all: Vec<&TopicPartition> = assigned.iter().flatten().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "{assignor}");
    let there: usize = topics.values().map(Vec::len).sum();
    assert!(count == there || assignor == Assignor::CooperativeSticky);
}
