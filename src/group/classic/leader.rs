//! Owns the leader's part: whose subscriptions are to be served, which topics that takes, and the shares.
//!
//! Must not know how partitions are shared out, nor who is told.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::assignor::{Assignor, Member, Subscription, Topics, encode_assignment};
use crate::cluster::{Cluster, TopicState};
use crate::collections::{VecMap, gather};
use crate::engine::TopicHandle;
use crate::error_code::ErrorCode;
use crate::messages::{JoinGroupResponseMember, SyncGroupRequestAssignment};
use crate::wire::{DecodeError, EncodeError, Str};

/// The topics of all members, each with the number of its partitions when the shares were made.
#[derive(Debug)]
pub(super) struct Watched(VecMap<TopicHandle, usize>);

impl Watched {
    pub(super) const fn new() -> Self {
        Self(VecMap::new())
    }

    pub(super) fn contains(&self, topic: TopicHandle) -> bool {
        self.0.contains_key(&topic)
    }

    /// Whether the shares would be others now.
    pub(super) fn has_changed(&self, cluster: &Cluster) -> bool {
        self.0
            .iter()
            .any(|(topic, before)| partitions(*topic, cluster).is_some_and(|now| now != *before))
    }

    /// Watches nothing any more.
    pub(super) fn clear(&mut self) -> Vec<TopicHandle> {
        core::mem::take(&mut self.0)
            .into_iter()
            .map(|(topic, _)| topic)
            .collect()
    }
}

/// How many partitions a topic has; `None` while that is not known. Of a topic that does not exist nothing is shared out.
fn partitions(topic: TopicHandle, cluster: &Cluster) -> Option<usize> {
    let topic = cluster.topic(topic)?;
    match topic.state {
        TopicState::Asked { .. } => None,
        TopicState::Failed { code, .. } if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Some(0),
        TopicState::Known | TopicState::Failed { .. } => Some(topic.partitions.len()),
    }
}

/// What the leader of a generation has to do.
#[derive(Debug)]
pub(super) struct Leadership {
    assignor: Assignor,
    members: Vec<Member>,
    topics: BTreeMap<Arc<str>, TopicHandle>,
    /// The coordinator keeps the shares that it has (KIP-814): the topics are watched all the same.
    skip: bool,
}

impl Leadership {
    /// Takes on the subscriptions of all members, and asks for their topics.
    ///
    /// # Errors
    /// A member's subscription cannot be read.
    pub(super) fn new(
        assignor: Assignor,
        members: Vec<JoinGroupResponseMember>,
        skip: bool,
        cluster: &mut Cluster,
    ) -> Result<Self, DecodeError> {
        let members: Vec<Member> = members
            .into_iter()
            .map(|member| {
                Ok(Member {
                    // Copied, so that the answer's buffer is free again.
                    member_id: Str::from(member.member_id.as_str()),
                    group_instance_id: member.group_instance_id.map(|id| Str::from(id.as_str())),
                    subscription: Subscription::decode(Bytes::copy_from_slice(&member.metadata))?,
                })
            })
            .collect::<Result<_, _>>()?;
        let names = members
            .iter()
            .flat_map(|member| &member.subscription.topics);
        // Whatever cannot be a topic's name is nobody's.
        let names = names.filter(|name| (1..=249).contains(&name.len()));
        let topics = gather(names.map(|name| (name.clone(), cluster.want_topic(name))));
        Ok(Self {
            assignor,
            members,
            topics,
            skip,
        })
    }

    pub(super) fn concerns(&self, topic: TopicHandle) -> bool {
        self.topics.values().any(|own| *own == topic)
    }

    /// The topics that are asked for.
    pub(super) fn topics(&self) -> impl Iterator<Item = TopicHandle> + '_ {
        self.topics.values().copied()
    }

    /// Whether all that must be known is known.
    pub(super) fn is_ready(&self, cluster: &Cluster) -> bool {
        self.topics()
            .all(|topic| partitions(topic, cluster).is_some())
    }

    /// The shares, and what they hang on.
    ///
    /// # Errors
    /// A share cannot be written down.
    pub(super) fn share_out(
        &self,
        cluster: &Cluster,
    ) -> Result<(Vec<SyncGroupRequestAssignment>, Watched), EncodeError> {
        let count = |topic: &TopicHandle| partitions(*topic, cluster).unwrap_or_default();
        let watched = Watched(
            self.topics
                .values()
                .map(|topic| (*topic, count(topic)))
                .collect(),
        );
        if self.skip {
            return Ok((Vec::new(), watched));
        }
        // Where replicas are is not kept: without racks the assignors share out by numbers alone.
        let topics: Topics = gather(
            self.topics
                .iter()
                .map(|(name, topic)| (Arc::clone(name), alloc::vec![Vec::new(); count(topic)])),
        );
        let shares = self.assignor.assign(&self.members, &topics);
        let shares = self.members.iter().zip(shares).map(|(member, share)| {
            Ok(SyncGroupRequestAssignment {
                member_id: member.member_id.clone(),
                assignment: encode_assignment(&share)?,
            })
        });
        Ok((shares.collect::<Result<_, _>>()?, watched))
    }
}
