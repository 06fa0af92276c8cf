//! Owns the two kinds of groups as one: what a coordinator needs of either.
//!
//! Must not know requests.

use klamm::messages::OffsetCommitRequest;
use klamm::{ErrorCode, Instant, Uuid};

use super::classic::{ClassicGroup, Replies};
use super::consumer::ConsumerGroup;
use crate::config::GroupConfig;

/// The first version of OffsetCommit for members with epochs (KIP-848).
const EPOCHS_FROM: i16 = 9;

/// A group's members, by the protocol that they speak.
#[derive(Clone, Debug)]
pub(crate) enum Members {
    Classic(Box<ClassicGroup>),
    Consumer(ConsumerGroup),
}

impl Members {
    /// Kafka's name of the state.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state(),
            Self::Consumer(group) => group.state(),
        }
    }

    /// The generation, or the epoch.
    pub(crate) fn generation(&self) -> i32 {
        match self {
            Self::Classic(group) => group.generation(),
            Self::Consumer(group) => group.epoch(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        match self {
            Self::Classic(group) => {
                let members = group.described();
                members.map(|member| member.member_id.to_string()).collect()
            }
            Self::Consumer(group) => group.described().map(|m| m.id.to_string()).collect(),
        }
    }

    /// When [`advance`](Self::advance) is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Classic(group) => group.deadline(),
            Self::Consumer(group) => group.deadline(),
        }
    }

    /// Lets happen what is due at `now`.
    pub(crate) fn advance(&mut self, now: Instant, config: &GroupConfig) -> Replies {
        match self {
            Self::Classic(group) => group.advance(now, config),
            Self::Consumer(group) => {
                group.advance(now);
                Replies::new()
            }
        }
    }

    /// Another coordinator read the group from the log.
    pub(crate) fn reload(&mut self, now: Instant, config: &GroupConfig) -> Replies {
        match self {
            Self::Classic(group) => group.reload(now),
            Self::Consumer(group) => {
                group.reload(now, config);
                Replies::new()
            }
        }
    }

    /// The classic group, which an empty group of the other kind becomes.
    pub(crate) fn as_classic(&mut self) -> Option<&mut ClassicGroup> {
        if let Self::Consumer(group) = self
            && group.is_empty()
        {
            *self = Self::Classic(Box::default());
        }
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    /// The consumer group; an empty group of the other kind becomes one for a member that joins.
    pub(crate) fn as_consumer(&mut self, joins: bool) -> Option<&mut ConsumerGroup> {
        if let Self::Classic(group) = self
            && group.is_empty()
            && joins
        {
            *self = Self::Consumer(ConsumerGroup::default());
        }
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    /// Whether a commit is taken; of `partitions` all or none.
    pub(crate) fn check_commit(
        &mut self,
        version: i16,
        request: &OffsetCommitRequest,
        partitions: Vec<(Uuid, i32)>,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let (epoch, id) = (request.generation_id_or_member_epoch, &request.member_id);
        match self {
            Self::Classic(group) => {
                group.check_commit(epoch, id, request.group_instance_id.as_deref(), now)
            }
            Self::Consumer(group) if !group.is_empty() && version < EPOCHS_FROM => {
                group.check_member(id)?;
                Err(ErrorCode::UNSUPPORTED_VERSION)
            }
            Self::Consumer(group) => group.check_commit(epoch, id, partitions),
        }
    }
}
