//! Owns what a consumer does with the offsets of its group: commits, the user's questions, and positions that begin where
//! the group has committed.
//!
//! Must not know how a coordinator is asked.

use alloc::vec::Vec;

use super::assignment::check_name;
use super::partition::{Loading, Partition, Position, State, Target};
use super::role::{ConsumerRole, Cx};
use super::supply::Point;
use super::types::ConsumerEvent;
use crate::collections::VecMap;
use crate::engine::{OpId, TopicPartition};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::group::{CommittedOffsets, GroupEvent, OffsetAndMetadata};

/// A partition that waits for its committed offset, under the position of that time.
#[derive(Clone, Copy, Debug)]
struct Begins {
    slot: u32,
    version: u64,
}

/// Who waits for what the group has been asked.
#[derive(Debug, Default)]
pub(super) struct GroupOperations {
    /// Operations of the user.
    awaited: VecMap<OpId, ()>,
    /// Questions of partitions that are to begin there.
    begins: VecMap<OpId, Vec<Begins>>,
    /// The slots of partitions whose question is due.
    due: Vec<u32>,
    /// Auto-commits, with what they cover.
    covering: VecMap<OpId, Vec<(TopicPartition, OffsetAndMetadata)>>,
}

impl GroupOperations {
    /// A partition's question is due with the next step.
    pub(super) fn push_due(&mut self, slot: u32) {
        self.due.push(slot);
    }

    /// The assignment that the slots belong to is gone.
    pub(super) fn clear_due(&mut self) {
        self.due.clear();
    }

    pub(super) fn cover(&mut self, op: OpId, what: Vec<(TopicPartition, OffsetAndMetadata)>) {
        self.covering.insert(op, what);
    }

    /// Whether no auto-commit is under way.
    pub(super) fn covers_nothing(&self) -> bool {
        self.covering.is_empty()
    }

    pub(super) const fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Nobody waits for the operation any more; what was sent runs to its end.
    pub(super) fn detach(&mut self, op: OpId) {
        self.awaited.remove(&op);
    }
}

impl ConsumerRole {
    /// Begins a commit.
    ///
    /// # Errors
    /// There is no group, an offset makes no sense, too many commits wait, or the consumer is closed. Nothing changes.
    pub(super) fn commit(
        &mut self,
        offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
        cx: &mut Cx<'_>,
    ) -> Result<OpId, Error> {
        // While it closes, the application may commit what it is asked to let go of.
        if !self.rebalance.is_asking() {
            self.check_open()?;
        }
        for (partition, committed) in &offsets {
            check_name(&partition.topic, partition.partition)?;
            if committed.offset < 0 {
                let kind = ErrorKind::OffsetOutOfRange {
                    offset: committed.offset,
                };
                return Err(Error::new(kind)
                    .in_step(Step::OffsetCommit)
                    .on_topic(&partition.topic)
                    .on_partition(partition.partition)
                    .with_hint("commit the offset after the last record that was dealt with"));
            }
        }
        let op = self.next_op();
        let group = self.group.as_mut().ok_or_else(no_group)?;
        if self.subscription.topics().is_some() && group.member().standing().is_none() {
            return Err(Error::new(ErrorKind::NotAMember)
                .in_step(Step::OffsetCommit)
                .with_hint("commit what is assigned, before it is revoked"));
        }
        group.commit(op, offsets, cx.cluster)?;
        self.group_operations.awaited.insert(op, ());
        self.pump(cx);
        Ok(op)
    }

    /// Begins to look committed offsets up for the user.
    ///
    /// # Errors
    /// There is no group, or the consumer is closed. Nothing changes.
    pub(super) fn committed(
        &mut self,
        partitions: &[TopicPartition],
        cx: &mut Cx<'_>,
    ) -> Result<OpId, Error> {
        self.check_open()?;
        for partition in partitions {
            check_name(&partition.topic, partition.partition)?;
        }
        let op = self.next_op();
        let group = self.group.as_mut().ok_or_else(no_group)?;
        group.load(op, partitions.iter().cloned(), cx.cluster);
        self.group_operations.awaited.insert(op, ());
        self.pump(cx);
        Ok(op)
    }

    /// What is to be committed of the partitions whose positions are known.
    pub(super) fn consumed(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        self.assigned
            .iter()
            .filter_map(|partition| match partition.position {
                Position::Committed | Position::Unknown(_) => None,
                Position::At(point) => Some((partition.name(), point.to_commit())),
            })
            .collect()
    }

    /// Asks the group what is due, and hears what it has to say.
    pub(super) fn pump_group(&mut self, cx: &mut Cx<'_>) {
        self.hear_group(cx);
        self.advance_rebalance(cx);
        if self.group_operations.is_due() {
            self.load_positions(cx);
            self.hear_group(cx);
            self.advance_rebalance(cx);
        }
        self.close_when_committed(cx);
    }

    /// Asks for the committed offsets of all partitions that are to begin there, in one request.
    fn load_positions(&mut self, cx: &mut Cx<'_>) {
        let op = self.next_op();
        let (mut begins, mut partitions) = (Vec::new(), Vec::new());
        for slot in core::mem::take(&mut self.group_operations.due) {
            let Some(partition) = self.assigned.get_mut(slot) else {
                continue;
            };
            if let State::Loading(Loading::Due) = partition.state() {
                // From `Due`, so that there is no pause to disarm.
                let _ = partition.enter(State::Loading(Loading::UnderWay(op)), cx.cluster.now());
                let version = partition.version;
                begins.push(Begins { slot, version });
                partitions.push(partition.name());
            }
        }
        if let Some(group) = self.group.as_mut().filter(|_| !begins.is_empty()) {
            self.group_operations.begins.insert(op, begins);
            group.load(op, partitions, cx.cluster);
        }
    }

    /// Hears what the group has to say.
    fn hear_group(&mut self, cx: &mut Cx<'_>) {
        while let Some(event) = self.group.as_mut().and_then(|group| group.next_event()) {
            match event {
                GroupEvent::Committed { op, outcomes } => {
                    if self.group_operations.awaited.remove(&op).is_some() {
                        cx.emit(ConsumerEvent::Committed { op, outcomes });
                    } else if let Some(covered) = self.group_operations.covering.remove(&op) {
                        self.on_covered(covered, &outcomes, cx);
                        self.on_release_committed(op, cx);
                    }
                }
                GroupEvent::Member(event) => self.on_member_event(event, cx),
                GroupEvent::Loaded { op, found } => {
                    if self.group_operations.awaited.remove(&op).is_some() {
                        cx.emit(ConsumerEvent::CommittedOffsets { op, found });
                    } else if let Some(begins) = self.group_operations.begins.remove(&op) {
                        self.on_loaded(op, &begins, found, cx);
                    }
                }
            }
        }
    }

    fn on_loaded(&mut self, op: OpId, begins: &[Begins], found: CommittedOffsets, cx: &mut Cx<'_>) {
        let found: VecMap<TopicPartition, _> = found.into_iter().collect();
        for Begins { slot, version } in begins.iter().copied() {
            let waits = |partition: &&Partition| {
                let waits = matches!(partition.state(), State::Loading(Loading::UnderWay(own)) if *own == op);
                waits && partition.version == version
            };
            let Some(partition) = self.assigned.get(slot).filter(waits) else {
                continue;
            };
            match found.get(&partition.name()) {
                Some(Ok(Some(committed))) => self.begin_at(slot, committed, cx),
                Some(Ok(None)) | None => self.begin_by_policy(slot, cx),
                Some(Err(error)) => self.on_load_failed(slot, error, cx),
            }
        }
        self.watch_missing(cx);
    }

    fn begin_at(&mut self, slot: u32, committed: &OffsetAndMetadata, cx: &mut Cx<'_>) {
        let version = self.next_version();
        if let Some(partition) = self.assigned.get_mut(slot) {
            partition.version = version;
            // Its epoch is held against the leader's history before anything is fetched (KIP-320).
            partition.position = Position::At(Point {
                offset: committed.offset,
                epoch: committed.leader_epoch.unwrap_or(-1),
            });
            partition.committed = committed.offset;
            partition.attempts = 0;
            partition.told = None;
            self.go_on(slot, cx);
        }
    }

    /// Nothing is committed.
    fn begin_by_policy(&mut self, slot: u32, cx: &mut Cx<'_>) {
        let place = self.settings.reset_place();
        let Some(partition) = self.assigned.get_mut(slot) else {
            return;
        };
        match place {
            Some(place) => {
                partition.position = Position::Unknown(Target::Start(place));
                self.go_on(slot, cx);
            }
            None => {
                let error = Error::new(ErrorKind::NoCommittedOffset).with_hint(
                    "seek to where reading is to begin, or set auto.offset.reset to earliest or latest",
                );
                let error = partition.place(error, Step::OffsetFetch);
                self.block(slot, error, cx);
            }
        }
    }

    /// Somebody may put it right: it is told, and asked again.
    fn on_load_failed(&mut self, slot: u32, error: &Error, cx: &mut Cx<'_>) {
        let code = if let ErrorKind::Broker(code) = error.kind() {
            *code
        } else {
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        };
        self.report(slot, code, error.clone(), cx);
        self.back_off(
            slot,
            error.clone(),
            |pause| State::Loading(Loading::Backoff(pause)),
            cx,
        );
    }
}

/// The error of a call that needs a group.
pub(super) fn no_group() -> Error {
    Error::new(ErrorKind::NoGroupId).with_hint("set group.id")
}
