//! The assignors of classic groups: who of a group's members gets which partitions, as pure functions of what the members say.
//!
//! A member sends its [`Subscription`] with JoinGroup, once for each assignor that it has. The coordinator picks one that all
//! members have and a leader, and sends the leader everybody's subscriptions. The leader's [`Assignor::assign`] shares the
//! partitions out, and SyncGroup brings each member its own ([`encode_assignment`], [`decode_assignment`]). A group may be mixed
//! with other clients: whoever leads it, the result is the one that Java's assignor of that name comes to.
//!
//! It owns the four algorithms of Kafka, and how what they need is written. It must not know a group's state, time or metadata
//! beyond what it is given.

mod constrained;
mod general;
mod group_subscription;
mod java;
mod movements;
mod racks;
mod range;
mod round_robin;
mod sticky;
mod subscription;
mod user_data;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

use self::group_subscription::GroupSubscription;
pub use self::subscription::{Subscription, decode_assignment, encode_assignment};
use crate::engine::TopicPartition;
use crate::wire::Str;

/// How partitions are shared out among the members of a classic group: what Kafka's consumers name in
/// `partition.assignment.strategy`.
///
/// ```
/// use klamm::assignor::{Assignor, Member, Subscription, Topics};
///
/// let lines = Topics::from([("lines".into(), vec![vec![]; 3])]);
/// let members = ["consumer-1", "consumer-2"].map(|id| Member {
///     member_id: id.into(),
///     group_instance_id: None,
///     subscription: Subscription::to(["lines"]),
/// });
/// let [first, second] = &Assignor::Range.assign(&members, &lines)[..] else {
///     panic!("one assignment a member");
/// };
/// assert_eq!(first.len(), 2);
/// assert_eq!(second[0].to_string(), "lines-2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// A row of each topic's partitions for each of its subscribers, so that partitions of one number come together; near their
    /// replicas where racks are known (KIP-881).
    Range,
    /// All partitions of all topics, dealt out in turn.
    RoundRobin,
    /// As even as can be, and then as few moves as can be (KIP-54). Members give up everything before they join.
    Sticky,
    /// The same, where members keep what they have while they join (KIP-429): a partition that moves is given to nobody in the
    /// round that takes it away. The members whose assignment took some join again, and the next round gives it out.
    CooperativeSticky,
}

/// What members do with their partitions while their group is rebalanced (KIP-429).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RebalanceProtocol {
    /// They give up all of them before they join.
    Eager,
    /// They go on with them, and give up what the assignment does not name.
    Cooperative,
}

/// A member of a group, as the coordinator's answer to JoinGroup shows it to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave it.
    pub member_id: Str,
    /// The id that it keeps over restarts, if it has one (KIP-345).
    pub group_instance_id: Option<Str>,
    /// What it wants, and has.
    pub subscription: Subscription,
}

/// The racks of the brokers that have a replica of a partition; brokers that do not say where they are have none.
pub type ReplicaRacks = Vec<Str>;

/// The topics that there are, with their partitions, numbered from 0. Topics that nobody subscribes to do no harm.
pub type Topics = BTreeMap<Arc<str>, Vec<ReplicaRacks>>;

/// What a member got in the last rebalance that it came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAssignment {
    /// The generation of the group at that time.
    pub generation_id: i32,
    /// Its partitions.
    pub partitions: Vec<TopicPartition>,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Range,
        Self::RoundRobin,
        Self::Sticky,
        Self::CooperativeSticky,
    ];

    /// The name by which a group's members agree on it.
    ///
    /// ```
    /// use klamm::assignor::Assignor;
    ///
    /// assert_eq!(Assignor::CooperativeSticky.name(), "cooperative-sticky");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The one of that name; `None` if there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// The most that it supports. A member works by the protocol that *all* of its assignors support, so with `range` beside
    /// `cooperative-sticky` it is eager.
    #[must_use]
    pub const fn protocol(self) -> RebalanceProtocol {
        match self {
            Self::Range | Self::RoundRobin | Self::Sticky => RebalanceProtocol::Eager,
            Self::CooperativeSticky => RebalanceProtocol::Cooperative,
        }
    }

    /// What a member tells the leader beside its subscription, for [`Subscription::user_data`]. `last` is `None` until it has
    /// had an assignment.
    #[must_use]
    pub fn user_data(self, last: Option<&LastAssignment>) -> Option<Bytes> {
        user_data::write(self, last)
    }

    /// Shares out the partitions of all topics that somebody subscribes to: to each member, in their order, its partitions, by
    /// topic and number. A partition is given to one of its topic's subscribers, or, by the cooperative assignor alone, to nobody
    /// in this round.
    ///
    /// The same input gives the same result, on every machine and as in Java; the sticky assignors look at the order of `members`
    /// in rare cases, so that should be the coordinator's.
    #[must_use]
    pub fn assign(self, members: &[Member], topics: &Topics) -> Vec<Vec<TopicPartition>> {
        let group = GroupSubscription::new(members, topics);
        let owners = match self {
            Self::Range => range::assign(&group),
            Self::RoundRobin => round_robin::assign(&group),
            Self::Sticky => sticky::assign(&group),
            Self::CooperativeSticky => sticky::assign_cooperatively(&group),
        };
        group.assignments(&owners)
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
