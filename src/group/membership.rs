//! Owns the words of a membership: what a member is told to be, and what it has to say.
//!
//! Must not know how it comes about.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::assignor::Assignor;
use crate::config::GroupProtocol;
use crate::engine::{TopicHandle, TopicPartition};
use crate::error::Error;
use crate::random::Backoff;
use crate::time::Duration;
use crate::wire::Str;

/// What a member needs to know of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct MemberSettings {
    /// `group.protocol`.
    pub(crate) protocol: GroupProtocol,
    /// `group.instance.id` (KIP-345).
    pub(crate) instance_id: Option<Str>,
    /// `client.rack` (KIP-881).
    pub(crate) rack: Option<Str>,
    /// `partition.assignment.strategy`, the preferred one first.
    pub(crate) assignors: Vec<Assignor>,
    /// `group.remote.assignor`; none: the coordinator chooses (KIP-848).
    pub(crate) remote_assignor: Option<Str>,
    /// `session.timeout.ms`.
    pub(crate) session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub(crate) heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long a member may take to join again (KIP-62).
    pub(crate) rebalance_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) backoff: Backoff,
}

/// Whether the coordinator has heard the last good-bye. It has, too, where there was nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    Heard,
    /// Nobody knows. Also where the session should be over: a coordinator that has started anew counts it from then.
    Unheard,
}

/// Why a consumer joins its group, once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RebalanceCause {
    /// It has subscribed.
    Subscribed,
    /// It has subscribed to other topics.
    SubscriptionChanged,
    /// The coordinator says so: a member joined, left or fell silent.
    GroupChanged,
    /// A topic of the group was created or deleted, or has another number of partitions. The group's leader notices.
    TopicsChanged,
    /// Partitions that others get were let go of; the next generation gives them away (KIP-429).
    PartitionsReleased,
    /// The group went on without it: its session was over, or it was removed.
    MembershipLost,
}

impl fmt::Display for RebalanceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscribed => "the consumer has subscribed",
            Self::SubscriptionChanged => "the consumer has subscribed to other topics",
            Self::GroupChanged => "the group rebalances",
            Self::TopicsChanged => "topics or their partitions have changed",
            Self::PartitionsReleased => "partitions were released for others",
            Self::MembershipLost => "the membership was lost",
        })
    }
}

/// Who came into a group and who went, by `group.instance.id`, or by member id where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChanges {
    /// Who came.
    pub joined: Vec<Arc<str>>,
    /// Who went, or fell silent.
    pub left: Vec<Arc<str>>,
}

/// Which of Kafka's two protocols a group goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The members share the partitions out, one generation after the other (KIP-62).
    Classic,
    /// The coordinator does, member by member (KIP-848).
    Consumer,
}

/// As whom a member commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) protocol: Protocol,
    /// The generation of the group; by the consumer protocol the epoch of the member.
    pub(crate) generation: i32,
    pub(crate) member_id: Str,
    pub(crate) instance_id: Option<Str>,
}

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// In good order. What a static member has is kept for it, for as long as a session lasts (KIP-345).
    InOrder,
    /// Nobody reads: the group is to go on without it at once.
    Unattended,
}

/// What a member asks for when it joins.
#[derive(Clone, Debug)]
pub(crate) struct Bid {
    pub(crate) topics: Vec<Arc<str>>,
    /// All that match this, where the coordinator matches (KIP-848).
    pub(crate) pattern: Option<Str>,
    /// What it still owns.
    pub(crate) owned: Vec<TopicPartition>,
}

/// What a member has to say to the role above it.
#[derive(Debug)]
pub(crate) enum MemberEvent {
    /// A generation has begun, and this is the member's share.
    Assigned(Vec<TopicPartition>),
    /// Whatever the member owned may be somebody else's by now. It joins again.
    Lost(Error),
    /// The same, and joining again would change nothing.
    Failed(Error),
    /// These topics are of no use to the member any more.
    Unwatched(Vec<TopicHandle>),
}
