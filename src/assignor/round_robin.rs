//! Owns the assignor `roundrobin`: all partitions of all topics, dealt out in turn.
//!
//! Must not know what members had before, or racks.

use crate::collections::sorted;
use alloc::vec::Vec;

use super::group_subscription::{Column, GroupSubscription, Owners};

pub(super) fn assign(group: &GroupSubscription<'_>) -> Owners {
    let mut owners = Owners::new(group.partitions);
    let mut turns = Column::new(group.members.len());
    let order = group.by_instance_id();
    for (turn, member) in order.iter().enumerate() {
        turns.set(*member, turn);
    }
    let mut turn = 0;
    for topic in &group.topics {
        let subscribers: Vec<(usize, usize)> = topic
            .subscribers
            .iter()
            .map(|member| (turns.get(*member), *member))
            .collect();
        let subscribers = sorted(subscribers, &<(usize, usize)>::cmp);
        for partition in topic.partitions.clone() {
            // The next whose turn it is among those who want the topic, around the table.
            let next = subscribers.partition_point(|(at, _)| *at < turn);
            let next = subscribers.get(next).or(subscribers.first());
            let Some((at, member)) = next else {
                continue;
            };
            owners.set(partition, Some(*member));
            turn = at.saturating_add(1) % order.len().max(1);
        }
    }
    owners
}
