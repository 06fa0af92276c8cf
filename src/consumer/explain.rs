//! Owns the answer to why a partition does what it does.
//!
//! Must not know how to change anything: it reads.

use alloc::format;
use alloc::string::String;

use super::brokers::BrokerState;
use super::leaders::missing_error;
use super::partition::{Asking, Loading, Missing, Ownership, Partition, State};
use super::rebalance::Rebalance;
use super::role::ConsumerRole;
use super::subscription::Presence;
use super::supply::Hand;
use crate::config::IsolationLevel;
use crate::error::Error;
use crate::group::Group;
use crate::status::{Explanation, PartitionStatus};
use crate::time::Instant;

/// What is behind a status.
struct Why {
    status: PartitionStatus,
    cause: String,
    error: Option<Error>,
    until: Option<Instant>,
}

impl Why {
    fn new(status: PartitionStatus, cause: impl Into<String>) -> Self {
        Self {
            status,
            cause: cause.into(),
            error: None,
            until: None,
        }
    }

    fn from_error(status: PartitionStatus, error: &Error, until: Option<Instant>) -> Self {
        Self {
            status,
            cause: format!("{error}"),
            error: Some(error.clone()),
            until,
        }
    }
}

impl ConsumerRole {
    /// What a partition of a topic that is subscribed to waits for while it is not assigned.
    pub(super) fn explain_unassigned(&self, topic: &str) -> Option<Explanation> {
        let subscribed = self.subscription.topics()?;
        let group = self.group.as_ref().filter(|_| subscribed.wants(topic))?;
        let status = PartitionStatus::AwaitingGroup;
        let trouble = group.member().failure().or_else(|| group.trouble());
        let why = match (subscribed.presence, trouble) {
            (Presence::Away, _) => Why::new(
                status,
                "nobody read for max.poll.interval.ms: the next read joins the group again",
            ),
            (Presence::Reading { .. }, Some(error)) => Why::from_error(status, error, None),
            (Presence::Reading { .. }, None) => Why::new(status, group.member().activity()),
        };
        Some(Explanation {
            status: why.status,
            cause: why.cause,
            error: why.error,
            since: subscribed.since,
            until: why.until,
            position: None,
            fetch_offset: None,
        })
    }

    fn explain_rebalance(&self) -> Why {
        let status = PartitionStatus::AwaitingGroup;
        match &self.rebalance {
            Rebalance::Asking { until, .. } => Why {
                until: Some(until.at),
                ..Why::new(status, "the rebalance listener is at work")
            },
            Rebalance::Committing { .. } | Rebalance::Idle => Why::new(
                status,
                "a rebalance takes it away, once its offset is committed",
            ),
        }
    }

    /// What a partition is doing, and why.
    pub(super) fn explain(&self, partition: &Partition) -> Explanation {
        let why = match self.explain_hand(partition) {
            Some(why) => why,
            None if partition.ownership != Ownership::Owned => self.explain_rebalance(),
            None if partition.paused => Why::new(PartitionStatus::Paused, "paused by the user"),
            None => self.explain_state(partition),
        };
        Explanation {
            status: why.status,
            cause: why.cause,
            error: why.error,
            since: partition.since(),
            until: why.until,
            position: partition.offset(),
            fetch_offset: partition.fetch_point().map(|point| point.offset),
        }
    }

    /// The reader's side comes first: while there is data, it is the reader's turn.
    fn explain_hand(&self, partition: &Partition) -> Option<Why> {
        match partition.supply.hand() {
            Hand::Empty => None,
            Hand::Offered(_) if !partition.is_flowing() => None,
            Hand::Offered(_) => Some(Why::new(PartitionStatus::Buffered, "a batch can be had")),
            Hand::Lent(..) => Some(Why::new(
                PartitionStatus::Lent,
                "a batch is with the reader",
            )),
            Hand::AwaitingMemory(_, needed) => Some(Why::new(
                PartitionStatus::AwaitingMemory,
                format!("the next batch needs {needed} bytes of memory.budget to be decompressed"),
            )),
        }
    }

    fn explain_state(&self, partition: &Partition) -> Why {
        match partition.state() {
            State::Loading(loading) => self.explain_loading(loading),
            State::AwaitingLeader(Missing::Metadata) => Why::new(
                PartitionStatus::AwaitingMetadata,
                "no answer about its topic yet",
            ),
            State::AwaitingLeader(missing) => Why::from_error(
                PartitionStatus::AwaitingMetadata,
                &missing_error(partition, *missing),
                None,
            ),
            State::LookingUp(asking) => self.explain_asking(
                partition,
                asking,
                PartitionStatus::LookingUpOffset,
                "its offset is looked up",
            ),
            State::Validating(asking) => self.explain_asking(
                partition,
                asking,
                PartitionStatus::Validating,
                "its position is held against the leader's history",
            ),
            State::Ready => self.explain_broker(partition),
            State::InFlight { from, .. } => Why::new(
                PartitionStatus::InFlight,
                format!("a fetch from offset {} is under way", from.offset),
            ),
            State::CatchingUp(error) => Why::from_error(PartitionStatus::Fetchable, error, None),
            State::Backoff(pause) => {
                Why::from_error(PartitionStatus::Backoff, &pause.error, Some(pause.until))
            }
            State::Blocked(error) => Why::from_error(PartitionStatus::Blocked, error, None),
        }
    }

    fn explain_loading(&self, loading: &Loading) -> Why {
        let status = PartitionStatus::LookingUpOffset;
        let trouble = self.group.as_ref().and_then(Group::trouble);
        match (loading, trouble) {
            (Loading::Backoff(pause), _) => {
                Why::from_error(status, &pause.error, Some(pause.until))
            }
            (Loading::Due | Loading::UnderWay(_), Some(error)) => {
                Why::from_error(status, error, None)
            }
            (Loading::Due | Loading::UnderWay(_), None) => {
                Why::new(status, "the group's coordinator is asked for its offset")
            }
        }
    }

    fn explain_asking(
        &self,
        partition: &Partition,
        asking: &Asking,
        status: PartitionStatus,
        what: &str,
    ) -> Why {
        match asking {
            Asking::Due => match partition
                .leader
                .and_then(|leader| self.broker_trouble(leader.broker))
            {
                Some(error) => Why::from_error(status, error, None),
                None => Why::new(
                    status,
                    format!("{what}: the leader's connection is awaited"),
                ),
            },
            Asking::InFlight(_) => Why::new(status, what),
            Asking::Backoff(pause) => Why::from_error(status, &pause.error, Some(pause.until)),
        }
    }

    fn explain_broker(&self, partition: &Partition) -> Why {
        let found = |source| Some((source, self.brokers.get(source)?));
        let Some((source, broker)) = partition.source().and_then(found) else {
            return Why::new(PartitionStatus::AwaitingMetadata, "its leader is not known");
        };
        let node = broker.node;
        match &broker.state {
            BrokerState::Reaching(Some(error)) => {
                Why::from_error(PartitionStatus::Fetchable, error, None)
            }
            BrokerState::Reaching(None) => Why::new(
                PartitionStatus::Fetchable,
                format!("the connection to broker {node} is awaited"),
            ),
            BrokerState::Backoff(pause) => {
                Why::from_error(PartitionStatus::Backoff, &pause.error, Some(pause.until))
            }
            BrokerState::InFlight(_) => Why::new(
                PartitionStatus::Fetchable,
                format!("part of the next fetch to broker {node}; one without it is under way"),
            ),
            BrokerState::Idle if self.waits_for_memory(source) => Why::new(
                PartitionStatus::Fetchable,
                "too little of memory.budget is free for a fetch",
            ),
            BrokerState::Idle => Why::new(
                PartitionStatus::Fetchable,
                format!("part of the next fetch to broker {node}"),
            ),
        }
    }

    /// How many offsets lie between the position and the end of what can be read, as last heard.
    pub(super) fn lag(&self, partition: &Partition) -> Option<i64> {
        let end = match self.settings.isolation {
            IsolationLevel::ReadUncommitted => partition.high_watermark,
            IsolationLevel::ReadCommitted => partition.last_stable_offset,
        };
        (end >= 0).then_some(end.saturating_sub(partition.offset()?).max(0))
    }
}
