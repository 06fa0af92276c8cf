//! Owns what sticky members tell their leader beside their subscriptions: which partitions they had, and since when.
//!
//! Must not know what the leader makes of it.

use alloc::vec::Vec;
use bytes::Bytes;

use super::subscription::{Subscription, by_topic, flat};
use super::{Assignor, LastAssignment};
use crate::engine::TopicPartition;
use crate::messages::{
    CooperativeStickyAssignorUserData, StickyAssignorUserData, StickyAssignorUserDataTopicPartition,
};
use crate::wire::{Message, Reader, Writer};
use bytes::BytesMut;

/// The generation of a member that never was in one.
pub(super) const NO_GENERATION: i32 = -1;

/// What a member says of its last assignment.
pub(super) struct MemberData {
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) generation: i32,
}

/// What a member writes. Nothing where a name is longer than the protocol can say: no broker has such a topic.
pub(super) fn write(assignor: Assignor, last: Option<&LastAssignment>) -> Option<Bytes> {
    match assignor {
        Assignor::Range | Assignor::RoundRobin => None,
        Assignor::Sticky => {
            let last = last?;
            let topics = by_topic(&last.partitions).into_iter();
            encode(&StickyAssignorUserData {
                previous_assignment: topics
                    .map(|(topic, partitions)| StickyAssignorUserDataTopicPartition {
                        topic: topic.into(),
                        partitions,
                    })
                    .collect(),
                generation: last.generation_id,
            })
        }
        Assignor::CooperativeSticky => encode(&CooperativeStickyAssignorUserData {
            generation: last.map_or(NO_GENERATION, |last| last.generation_id),
        }),
    }
}

fn encode<M: Message>(message: &M) -> Option<Bytes> {
    let mut writer = Writer::new(BytesMut::new());
    message.encode(&mut writer, M::VERSIONS.max).ok()?;
    let pieces: Vec<Bytes> = writer.finish().into_iter().collect();
    Some(pieces.concat().into())
}

/// What an eager sticky member had, which is in its user data alone: it has given up everything before it joined. Data that
/// nobody can read is that of a member that had nothing.
pub(super) fn of_sticky(subscription: &Subscription) -> MemberData {
    let none = MemberData {
        partitions: Vec::new(),
        generation: NO_GENERATION,
    };
    let Some(bytes) = &subscription.user_data else {
        return none;
    };
    // Version 0 had no generation (KIP-341), and nothing in the bytes tells which it is.
    let read = [1, 0].into_iter().find_map(|version| {
        StickyAssignorUserData::decode(&mut Reader::new(bytes.clone()), version).ok()
    });
    let Some(data) = read else {
        return none;
    };
    let topics = data.previous_assignment.iter();
    MemberData {
        partitions: flat(topics.map(|t| (&t.topic, &t.partitions[..]))),
        generation: data.generation,
    }
}

/// What a cooperative sticky member has. Its generation is in the subscription from version 2 on, before that in the user data.
pub(super) fn of_cooperative_sticky(subscription: &Subscription) -> MemberData {
    let generation = subscription.generation_id.or_else(|| {
        let mut reader = Reader::new(subscription.user_data.clone()?);
        let data = CooperativeStickyAssignorUserData::decode(&mut reader, 0).ok()?;
        Some(data.generation)
    });
    MemberData {
        partitions: subscription.owned_partitions.clone(),
        generation: generation.unwrap_or(NO_GENERATION),
    }
}
