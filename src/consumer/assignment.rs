//! Owns what the user does to partitions: assign, seek, pause, resume.
//!
//! Must not know what follows from it later.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::PartitionKey;
use super::committed::no_group;
use super::partition::{Missing, Partition, Place, Position, State, Target};
use super::role::{ConsumerRole, Cx, Life, Settings};
use super::subscription::Subscription;
use super::supply::Point;
use super::types::{Assignment, ResetReason, Start};
use crate::config::OffsetReset;
use crate::engine::{TopicHandle, TopicPartition};
use crate::error::{Error, ErrorKind};
use crate::group::Group;

impl Settings {
    /// Where a position goes on by policy; `None`: nowhere.
    pub(super) const fn reset_place(&self) -> Option<Place> {
        match self.reset {
            OffsetReset::Earliest => Some(Place::Beginning),
            OffsetReset::Latest => Some(Place::End),
            OffsetReset::None => None,
            OffsetReset::ByDuration(duration) => Some(Place::Since(duration)),
        }
    }
}

impl Start {
    const fn position(self) -> Position {
        match self {
            Self::Offset(offset) => Position::At(Point { offset, epoch: -1 }),
            Self::Beginning => Position::Unknown(Target::Start(Place::Beginning)),
            Self::End => Position::Unknown(Target::Start(Place::End)),
            Self::Committed => Position::Committed,
        }
    }

    /// Refuses an offset that cannot be, and the committed one where nobody commits.
    fn check(self, topic: &str, partition: i32, group: Option<&Group>) -> Result<(), Error> {
        match self {
            Self::Committed if group.is_none() => {
                Err(no_group().on_topic(topic).on_partition(partition))
            }
            Self::Offset(offset) if offset < 0 => Err(Error::new(ErrorKind::OffsetOutOfRange {
                offset,
            })
            .on_topic(topic)
            .on_partition(partition)
            .with_hint(
                "offsets begin at 0; use Start::Beginning or Start::End for the ends of the log",
            )),
            Self::Offset(_) | Self::Beginning | Self::End | Self::Committed => Ok(()),
        }
    }
}

impl ConsumerRole {
    /// Reads exactly these partitions from now on.
    ///
    /// # Errors
    /// An assignment makes no sense, or the consumer is closed. Nothing changes.
    pub(super) fn assign(
        &mut self,
        assignments: &[Assignment<'_>],
        cx: &mut Cx<'_>,
    ) -> Result<(), Error> {
        self.check_open()?;
        if let Subscription::Topics(_) = self.subscription {
            return Err(Error::new(ErrorKind::Misuse)
                .with_detail("the consumer is subscribed to topics")
                .with_hint("subscribe to none before assigning partitions by hand"));
        }
        for assignment in assignments {
            assignment
                .start
                .check(assignment.topic, assignment.partition, self.group.as_ref())?;
            check_name(assignment.topic, assignment.partition)?;
        }
        let before = self.unassign(cx);
        self.subscription = match assignments {
            [] => Subscription::None,
            [_, ..] => Subscription::Manual,
        };
        let mut names: Option<(Arc<str>, TopicHandle)> = None;
        for assignment in assignments {
            // Neighbours usually share their topic.
            let (name, topic) = match names.take() {
                Some((name, topic)) if *name == *assignment.topic => (name, topic),
                Some(_) | None => (
                    assignment.topic.into(),
                    cx.cluster.want_topic(assignment.topic),
                ),
            };
            let key = PartitionKey {
                topic,
                partition: assignment.partition,
            };
            let version = self.next_version();
            let partition = Partition::new(
                key,
                Arc::clone(&name),
                assignment.start.position(),
                version,
                cx.now(),
            );
            let slot = self.assigned.insert(partition);
            if let Start::Committed = assignment.start {
                self.go_on(slot, cx);
            }
            names = Some((name, topic));
        }
        for topic in before {
            self.forget_if_unused(topic, cx);
        }
        self.refresh_leaders(cx);
        self.let_go_of_brokers(cx);
        self.watch_missing(cx);
        Ok(())
    }

    /// Lets go of all partitions; the topics that they were of.
    fn unassign(&mut self, cx: &mut Cx<'_>) -> Vec<TopicHandle> {
        self.ready.clear();
        self.starving.clear();
        self.group_operations.clear_due();
        self.fetch_line.clear();
        let mut topics = Vec::new();
        for mut partition in self.assigned.clear() {
            if let Some(timer) = partition.enter(State::AwaitingLeader(Missing::Metadata), cx.now())
            {
                cx.cluster.disarm(timer);
            }
            partition.supply.clear(&mut self.dropped);
            if topics.last() != Some(&partition.key.topic) {
                topics.push(partition.key.topic);
            }
        }
        self.reorder();
        self.release_dropped(cx);
        topics
    }

    /// A topic of which nothing is assigned or asked need not be kept fresh.
    pub(super) fn forget_if_unused(&mut self, topic: TopicHandle, cx: &mut Cx<'_>) {
        let assigned = self
            .assigned
            .iter()
            .any(|partition| partition.key.topic == topic);
        let watched = self.subscription.names(topic)
            || self
                .group
                .as_ref()
                .is_some_and(|group| group.watches(topic));
        if !assigned && !watched && !self.operations.concerns(topic) {
            cx.cluster.forget_topic(topic);
        }
    }

    /// Moves a position. Not one record from before it comes out afterwards.
    ///
    /// # Errors
    /// The partition is not assigned, or the offset makes no sense. Nothing changes.
    pub(super) fn seek(
        &mut self,
        topic: &str,
        partition: i32,
        to: Start,
        cx: &mut Cx<'_>,
    ) -> Result<(), Error> {
        self.check_open()?;
        to.check(topic, partition, self.group.as_ref())?;
        let slot = self.find(topic, partition, cx)?;
        let version = self.next_version();
        self.discard(slot, cx);
        if let Some(partition) = self.assigned.get_mut(slot) {
            partition.version = version;
            partition.position = to.position();
            partition.before = None;
            // Whether the new offset exists is for the leader to say: there is no epoch to hold against its history.
            partition.validated = match to {
                // It comes with the epoch of the record before it.
                Start::Committed => -1,
                Start::Offset(_) | Start::Beginning | Start::End => {
                    partition.leader.map_or(-1, |leader| leader.epoch)
                }
            };
            partition.attempts = 0;
            partition.told = None;
            partition.least_bytes = 0;
            partition.forget_expansion();
        }
        self.go_on(slot, cx);
        self.release_dropped(cx);
        Ok(())
    }

    /// Hands nothing out of a partition, and fetches nothing for it, until it is resumed. What is buffered is kept.
    ///
    /// # Errors
    /// The partition is not assigned.
    pub(super) fn pause(
        &mut self,
        topic: &str,
        partition: i32,
        cx: &mut Cx<'_>,
    ) -> Result<(), Error> {
        self.check_open()?;
        let slot = self.find(topic, partition, cx)?;
        if let Some(partition) = self.assigned.get_mut(slot) {
            partition.paused = true;
            // It asks again for the memory that it waits for once it is lent.
            partition.supply.feed();
        }
        self.ready.retain(|ready| *ready != slot);
        // It may have been the one that all others wait behind.
        self.starving.retain(|starving| *starving != slot);
        self.memory_freed(cx);
        Ok(())
    }

    /// Takes a pause back.
    ///
    /// # Errors
    /// The partition is not assigned.
    pub(super) fn resume(
        &mut self,
        topic: &str,
        partition: i32,
        cx: &mut Cx<'_>,
    ) -> Result<(), Error> {
        self.check_open()?;
        let slot = self.find(topic, partition, cx)?;
        let Some(partition) = self.assigned.get_mut(slot) else {
            return Ok(());
        };
        if core::mem::replace(&mut partition.paused, false) {
            if let Some(source) = partition.source() {
                self.brokers.touch(source);
            }
            self.offer(slot, cx);
        }
        Ok(())
    }

    /// The slot of an assigned partition.
    pub(super) fn find(&self, topic: &str, partition: i32, cx: &Cx<'_>) -> Result<u32, Error> {
        cx.cluster
            .topic_by_name(topic)
            .and_then(|topic| self.assigned.slot(PartitionKey { topic, partition }))
            .ok_or_else(|| not_assigned(topic, partition))
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        match self.life {
            Life::Open => Ok(()),
            Life::Committing { .. } | Life::Closing { .. } | Life::Closed { .. } => {
                Err(Error::new(ErrorKind::Closed))
            }
        }
    }

    pub(super) fn assignment(&self) -> Vec<TopicPartition> {
        match self.subscription {
            Subscription::None => Vec::new(),
            Subscription::Manual | Subscription::Topics(_) => {
                self.assigned.iter().map(Partition::name).collect()
            }
        }
    }
}

/// The error of a partition that is not assigned.
pub(super) fn not_assigned(topic: &str, partition: i32) -> Error {
    Error::new(ErrorKind::NotAssigned)
        .on_topic(topic)
        .on_partition(partition)
        .with_hint("assign the partition first")
}

pub(super) fn check_name(topic: &str, partition: i32) -> Result<(), Error> {
    let misuse = |detail: &'static str| {
        Err(Error::new(ErrorKind::Misuse)
            .with_detail(detail)
            .on_topic(topic)
            .on_partition(partition))
    };
    if topic.is_empty() || topic.len() > 249 {
        return misuse("a topic's name has 1 to 249 characters");
    }
    if partition < 0 {
        return misuse("partitions are counted from 0");
    }
    Ok(())
}

impl core::fmt::Display for ResetReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the leader does not have it (any more)",
            Self::Truncated => "the log was cut back below it, by an unclean leader election",
            Self::TopicRecreated => "the topic was deleted and made again",
        })
    }
}
