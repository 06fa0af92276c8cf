//! Owns auto-commit: what of the positions has been dealt with, when it is committed, and what is said of a failure.
//!
//! Must not know how a commit is made.

use alloc::vec::Vec;

use super::partition::{Ownership, Partition};
use super::role::{ConsumerRole, Cx, Life, timers};
use super::supply::Point;
use crate::engine::{OpId, TopicPartition};
use crate::error::ErrorKind;
use crate::error_code::ErrorCode;
use crate::group::{CommitOutcome, CommitOutcomes, OffsetAndMetadata};
use crate::timer::{RoleTimer, TimerId};

impl Point {
    /// As a group commits it.
    pub(super) fn to_commit(self) -> OffsetAndMetadata {
        OffsetAndMetadata {
            leader_epoch: (self.epoch >= 0).then_some(self.epoch),
            ..OffsetAndMetadata::new(self.offset)
        }
    }
}

impl ConsumerRole {
    /// Has what was dealt with committed every now and then, if that is wanted.
    pub(super) fn watch_covered(&self, cx: &mut Cx<'_>) -> Option<TimerId> {
        let interval = self.settings.auto_commit?;
        let timer = RoleTimer {
            kind: timers::AUTO_COMMIT,
            index: 0,
            why: "auto-commit is due",
        };
        Some(cx.cluster.arm(cx.now() + interval, timer))
    }

    pub(super) fn on_auto_commit_timer(&mut self, cx: &mut Cx<'_>) {
        let timer = self.watch_covered(cx);
        if let Some(topics) = self.subscription.topics_mut() {
            topics.commit_timer = timer;
        }
        // A slow commit is not overtaken, and what a rebalance takes has its commit already.
        if self.rebalance.is_idle() && self.group_operations.covers_nothing() {
            let all = self.assigned.taken();
            self.commit_covered(&all, cx);
        }
    }

    /// Commits what was dealt with of these slots; `None` if there is nothing to be committed.
    pub(super) fn commit_covered(&mut self, slots: &[u32], cx: &mut Cx<'_>) -> Option<OpId> {
        self.settings.auto_commit?;
        let covered: Vec<(TopicPartition, OffsetAndMetadata)> = slots
            .iter()
            .filter_map(|slot| self.to_cover(self.assigned.get(*slot)?))
            .collect();
        if covered.is_empty() {
            return None;
        }
        let op = self.next_op();
        let group = self.group.as_mut()?;
        group.member().standing()?;
        match group.commit(op, covered.iter().cloned(), cx.cluster) {
            Ok(()) => {
                self.group_operations.cover(op, covered);
                Some(op)
            }
            Err(error) => {
                self.problem(error, cx);
                None
            }
        }
    }

    fn to_cover(&self, partition: &Partition) -> Option<(TopicPartition, OffsetAndMetadata)> {
        match partition.ownership {
            Ownership::Coming => None,
            Ownership::Owned | Ownership::Going if cfg!(planted = "B18") => partition
                .fetch_point()
                .map(|point| (partition.name(), point.to_commit())),
            Ownership::Owned | Ownership::Going => partition
                .covered(self.polls)
                .filter(|point| point.offset != partition.committed)
                .map(|point| (partition.name(), point.to_commit())),
        }
    }

    /// An auto-commit has come to its end.
    pub(super) fn on_covered(
        &mut self,
        covered: Vec<(TopicPartition, OffsetAndMetadata)>,
        outcomes: &CommitOutcomes,
        cx: &mut Cx<'_>,
    ) {
        for (name, outcome) in outcomes {
            match outcome {
                CommitOutcome::Committed => {
                    let offset = covered.iter().find(|(own, _)| own == name);
                    let slot = self.find(&name.topic, name.partition, cx).ok();
                    if let (Some((_, committed)), Some(partition)) =
                        (offset, slot.and_then(|slot| self.assigned.get_mut(slot)))
                    {
                        partition.committed = committed.offset;
                    }
                }
                CommitOutcome::Rejected(error) | CommitOutcome::Unknown(error) => {
                    if self.life != Life::Open {
                        self.uncommitted.push((name.clone(), error.clone()));
                    } else if !is_of_the_group(error.kind()) {
                        self.problem(error.clone(), cx);
                    }
                }
            }
        }
    }
}

/// Whether a rebalance, which is told in its own words, is all that there is to say.
fn is_of_the_group(kind: &ErrorKind) -> bool {
    let codes = [
        ErrorCode::REBALANCE_IN_PROGRESS,
        ErrorCode::ILLEGAL_GENERATION,
        ErrorCode::UNKNOWN_MEMBER_ID,
    ];
    if let ErrorKind::Broker(code) = kind {
        codes.contains(code)
    } else {
        *kind == ErrorKind::NotAssigned || *kind == ErrorKind::Closed
    }
}
