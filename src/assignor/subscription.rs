//! Owns what members of a classic group tell its leader and are told by it, and how it is written: ConsumerProtocolSubscription
//! and ConsumerProtocolAssignment.
//!
//! Must not know any assignor.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::collections::{VecMap, sorted};
use crate::engine::TopicPartition;
use crate::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolAssignmentTopicPartition,
    ConsumerProtocolSubscription, ConsumerProtocolSubscriptionTopicPartition,
};
use crate::wire::{
    DecodeError, EncodeError, Message, Reader, Str, decode_versioned, encode_versioned,
};

/// What a member of a classic group tells the group's leader with its JoinGroup, once for each of its assignors.
///
/// ```
/// use klamm::TopicPartition;
/// use klamm::assignor::Subscription;
///
/// let mut subscription = Subscription::to(["lines"]);
/// subscription.owned_partitions = vec![TopicPartition::new("lines", 3)];
/// subscription.generation_id = Some(17);
/// let metadata = subscription.encode()?;
/// assert_eq!(Subscription::decode(metadata)?, subscription);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics that it wants to read; none where a pattern matches nothing yet.
    pub topics: Vec<Arc<str>>,
    /// What its assignor wants to tell the leader's: see [`Assignor::user_data`](super::Assignor::user_data).
    pub user_data: Option<Bytes>,
    /// The partitions that it has and would like to keep (version 1 and later, KIP-429). An eager member has given up all of its
    /// own before it joins, so it has none here.
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it got them (version 2 and later, KIP-792); `None` before the first one.
    pub generation_id: Option<i32>,
    /// The rack that the member is in, if it says so: `client.rack` (version 3 and later, KIP-881).
    pub rack_id: Option<Str>,
}

impl Subscription {
    /// A subscription to `topics`, and nothing else.
    #[must_use]
    pub fn to<'a>(topics: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            topics: topics.into_iter().map(Arc::from).collect(),
            ..Self::default()
        }
    }

    /// The bytes for JoinGroup, in the newest version: those who know only older ones read the fields that they know.
    ///
    /// # Errors
    /// A name or the whole is longer than the protocol can say.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let topics = sorted(self.topics.iter().collect(), &<&Arc<str>>::cmp);
        let message = ConsumerProtocolSubscription {
            topics: topics
                .into_iter()
                .map(|topic| Str::from(&**topic))
                .collect(),
            user_data: self.user_data.clone(),
            owned_partitions: by_topic(&self.owned_partitions)
                .into_iter()
                .map(
                    |(topic, partitions)| ConsumerProtocolSubscriptionTopicPartition {
                        topic: topic.into(),
                        partitions,
                    },
                )
                .collect(),
            generation_id: self.generation_id.unwrap_or(-1),
            rack_id: self.rack_id.clone(),
        };
        encode_versioned(&message, ConsumerProtocolSubscription::VERSIONS.max)
    }

    /// What another member has written, in whatever version. Some clients write a version without all of its fields: then those
    /// of the newest version that is complete are read.
    ///
    /// # Errors
    /// The bytes are a subscription of no version.
    pub fn decode(metadata: Bytes) -> Result<Self, DecodeError> {
        let message = match decode_versioned(metadata.clone()) {
            Ok((_, message)) => message,
            Err(error) => decode_older(metadata).ok_or(error)?,
        };
        Ok(Self::read(message))
    }

    fn read(message: ConsumerProtocolSubscription) -> Self {
        let topics = message.topics.iter().map(|topic| Arc::from(&**topic));
        let owned = message.owned_partitions.iter();
        Self {
            topics: topics.collect(),
            user_data: message.user_data,
            owned_partitions: flat(owned.map(|t| (&t.topic, &t.partitions[..]))),
            generation_id: Some(message.generation_id).filter(|generation| *generation >= 0),
            rack_id: message.rack_id.filter(|rack| !rack.is_empty()),
        }
    }
}

/// What is behind the version, read as the newest version that it has all fields of.
fn decode_older(metadata: Bytes) -> Option<ConsumerProtocolSubscription> {
    let mut reader = Reader::new(metadata.clone());
    let version = i16::from_be_bytes(reader.array().ok()?);
    let older = 0..version.clamp(0, ConsumerProtocolSubscription::VERSIONS.max);
    older.rev().find_map(|version| {
        let mut reader = Reader::new(metadata.clone());
        reader.skip(2).ok()?;
        ConsumerProtocolSubscription::decode(&mut reader, version).ok()
    })
}

/// The bytes that tell a member its `partitions`, for SyncGroup, in the newest version.
///
/// # Errors
/// A name or the whole is longer than the protocol can say.
pub fn encode_assignment(partitions: &[TopicPartition]) -> Result<Bytes, EncodeError> {
    let message = ConsumerProtocolAssignment {
        assigned_partitions: by_topic(partitions)
            .into_iter()
            .map(
                |(topic, partitions)| ConsumerProtocolAssignmentTopicPartition {
                    topic: topic.into(),
                    partitions,
                },
            )
            .collect(),
        user_data: None,
    };
    encode_versioned(&message, ConsumerProtocolAssignment::VERSIONS.max)
}

/// The partitions that a leader, of whatever version, gives to a member. The assignor's user data is left out: none of Kafka's
/// assignors gives any.
///
/// # Errors
/// The bytes are no assignment. An empty one is an error too: a leader that gives nothing to a member says so.
pub fn decode_assignment(assignment: Bytes) -> Result<Vec<TopicPartition>, DecodeError> {
    let (_, message) = decode_versioned::<ConsumerProtocolAssignment>(assignment)?;
    let assigned = message.assigned_partitions.iter();
    Ok(flat(assigned.map(|t| (&t.topic, &t.partitions[..]))))
}

/// The numbers of the partitions of each topic, both in order.
pub(super) fn by_topic(partitions: &[TopicPartition]) -> VecMap<&str, Vec<i32>> {
    let mut topics = VecMap::new();
    for partition in sorted(partitions.iter().collect(), &<&TopicPartition>::cmp) {
        topics
            .get_or_insert_with(&*partition.topic, Vec::new)
            .push(partition.partition);
    }
    topics
}

/// The partitions of topics, one by one.
pub(super) fn flat<'a>(topics: impl Iterator<Item = (&'a Str, &'a [i32])>) -> Vec<TopicPartition> {
    let mut partitions = Vec::new();
    for (topic, numbers) in topics {
        let topic: Arc<str> = Arc::from(&**topic);
        partitions.extend(numbers.iter().map(|&partition| TopicPartition {
            topic: Arc::clone(&topic),
            partition,
        }));
    }
    partitions
}
