//! Owns the users' half of a consumer: who waits for a batch, what went wrong, and the results of longer operations.
//!
//! Must not block, nor read a batch: it lives behind the lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Context;

use klamm::collections::VecMap;
use klamm::{
    CommitOutcomes, CommittedOffsets, ConsumerCloseReport, ConsumerCommand, ConsumerEngine,
    ConsumerEvent, ConsumerReply, Error, ErrorKind, FoundOffsets, Instant, LentBatch, OpId,
    RawResponse, RebalanceReport, ResetReason, TopicPartition,
};

use super::rebalance::{Notice, Notices};
use crate::after::After;
use crate::ops::{Operator, Ops};
use crate::role::Role;
use crate::state::State;
use crate::wait::{WaitId, Waits};

/// A position that the consumer moved by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Of which partition.
    pub partition: TopicPartition,
    /// Where it was.
    pub from: i64,
    /// Where it is now.
    pub to: i64,
    /// Why.
    pub why: ResetReason,
}

/// How many rebalances are remembered for a user who does not ask.
const REPORTS_MAX: usize = 100;

/// See the module.
pub(crate) struct ConsumerHub {
    pub(super) waits: Waits,
    /// The troubles that were not told yet: the last one of each partition, and the last one of none.
    partition_errors: VecMap<TopicPartition, Error>,
    problem: Option<Error>,
    resets: VecMap<TopicPartition, Reset>,
    pub(super) rebalances: Notices,
    reports: VecDeque<RebalanceReport>,
    pub(super) offsets: Ops<FoundOffsets>,
    pub(super) commits: Ops<CommitOutcomes>,
    pub(super) committed: Ops<CommittedOffsets>,
    pub(super) responses: Ops<Result<RawResponse, Error>>,
    pub(super) closes: Ops<ConsumerCloseReport>,
    /// Nothing is handed out any more.
    closed: bool,
    /// Counts what may have made lent batches stale. Readers look at it for every record, without the lock.
    pub(super) moves: Arc<AtomicU64>,
}

impl ConsumerHub {
    pub(super) fn new(moves: Arc<AtomicU64>) -> Self {
        Self {
            waits: Waits::default(),
            partition_errors: VecMap::new(),
            problem: None,
            resets: VecMap::new(),
            rebalances: Notices::default(),
            reports: VecDeque::new(),
            offsets: Ops::default(),
            commits: Ops::default(),
            committed: Ops::default(),
            responses: Ops::default(),
            closes: Ops::default(),
            closed: false,
            moves,
        }
    }

    /// Lent batches may be stale from here on: their readers must ask.
    pub(super) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Release);
    }

    /// The positions that were moved since the last time this was asked.
    pub(super) fn take_resets(&mut self) -> Vec<Reset> {
        std::mem::take(&mut self.resets).into_values().collect()
    }

    /// The rebalances since the last time this was asked.
    pub(super) fn take_reports(&mut self) -> Vec<RebalanceReport> {
        std::mem::take(&mut self.reports).into()
    }

    /// Whether an error is to be told first.
    pub(super) fn is_in_trouble(&self) -> bool {
        !self.partition_errors.is_empty() || self.problem.is_some()
    }

    fn take_error(&mut self) -> Option<Error> {
        let of_partition = self.partition_errors.pop_first();
        of_partition
            .map(|(_, error)| error)
            .or_else(|| self.problem.take())
    }
}

impl Role for ConsumerHub {
    type Engine = ConsumerEngine;

    fn on_event(&mut self, event: ConsumerEvent, after: &mut After) {
        match event {
            ConsumerEvent::Ready => self.waits.wake_all(after),
            ConsumerEvent::PartitionError { partition, error } => {
                after.trouble(&error);
                self.partition_errors.insert(partition, error);
                self.moved();
                self.waits.wake_all(after);
            }
            ConsumerEvent::Reset {
                partition,
                from,
                to,
                why,
            } => {
                self.moved();
                let reset = self.resets.get_or_insert_with(partition.clone(), || Reset {
                    partition,
                    from,
                    to,
                    why,
                });
                (reset.to, reset.why) = (to, why);
            }
            ConsumerEvent::Rebalance {
                id,
                kind,
                partitions,
                deadline,
            } => {
                self.moved();
                self.rebalances.push(Notice {
                    id,
                    kind,
                    partitions,
                    deadline,
                });
                self.rebalances.wake(after);
            }
            ConsumerEvent::Rebalanced(report) => {
                if self.reports.len() >= REPORTS_MAX {
                    self.reports.pop_front();
                }
                self.reports.push_back(report);
            }
            ConsumerEvent::Offsets { op, found } => self.offsets.done(op, found, after),
            ConsumerEvent::Committed { op, outcomes } => self.commits.done(op, outcomes, after),
            ConsumerEvent::CommittedOffsets { op, found } => self.committed.done(op, found, after),
            ConsumerEvent::Response { op, result } => self.responses.done(op, result, after),
            ConsumerEvent::Closed { op, report } => {
                self.closed = true;
                self.closes.done(op, report, after);
                self.waits.wake_all(after);
            }
            ConsumerEvent::Problem(error) => {
                after.trouble(&error);
                self.problem = Some(error);
                self.waits.wake_all(after);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.waits.deadline()
    }

    fn expire(&mut self, now: Instant, after: &mut After) {
        self.waits.expire(now, after);
    }

    fn close(now: Instant) -> ConsumerCommand<'static> {
        ConsumerCommand::Close { deadline: now }
    }

    fn on_stopped(&mut self, after: &mut After) {
        self.moved();
        self.waits.wake_all(after);
        self.rebalances.stop(after);
        self.offsets.stop(after);
        self.commits.stop(after);
        self.committed.stop(after);
        self.responses.stop(after);
        self.closes.stop(after);
    }
}

/// What a reader finds.
pub(super) enum Found {
    Batch(LentBatch, u64),
    Trouble(Error),
    Nothing,
}

impl State<ConsumerHub> {
    /// The application comes for records: those before are dealt with.
    pub(super) fn begin_poll(&mut self, now: Instant) {
        if !self.is_stopped() {
            let _ = self.command(ConsumerCommand::BeginPoll, now);
        }
    }

    /// What there is for a reader now.
    pub(super) fn next(&mut self, now: Instant) -> Found {
        if self.is_stopped() || self.role.closed {
            return Found::Trouble(Error::new(ErrorKind::Closed));
        }
        if let Some(error) = self.role.take_error() {
            return Found::Trouble(error);
        }
        let moves = self.role.moves.load(Ordering::Acquire);
        match self.command(ConsumerCommand::NextBatch, now) {
            ConsumerReply::Batch(Some(lent)) => Found::Batch(lent, moves),
            ConsumerReply::Batch(None) => Found::Nothing,
            reply @ (ConsumerReply::Done(_)
            | ConsumerReply::Returned(..)
            | ConsumerReply::Op(_)
            | ConsumerReply::Begun(_)) => Found::Trouble(unexpected(&reply)),
        }
    }

    /// Waits for something to be found.
    pub(super) fn wait(
        &mut self,
        place: &mut Option<WaitId>,
        deadline: Option<Instant>,
        cx: &Context<'_>,
        after: &mut After,
    ) {
        let waits = &mut self.role.waits;
        let id = *place.get_or_insert_with(|| waits.begin(deadline));
        waits.keep(id, cx, after);
    }

    /// A command that has nothing to say but whether it was carried out.
    pub(super) fn done(&mut self, command: ConsumerCommand<'_>, now: Instant) -> Result<(), Error> {
        match self.command(command, now) {
            ConsumerReply::Done(result) => result,
            reply @ (ConsumerReply::Batch(_)
            | ConsumerReply::Returned(..)
            | ConsumerReply::Op(_)
            | ConsumerReply::Begun(_)) => Err(unexpected(&reply)),
        }
    }
}

impl Operator for ConsumerHub {
    fn begun(reply: ConsumerReply) -> Result<OpId, Error> {
        match reply {
            ConsumerReply::Op(op) => Ok(op),
            ConsumerReply::Begun(begun) => begun,
            reply @ (ConsumerReply::Batch(_)
            | ConsumerReply::Returned(..)
            | ConsumerReply::Done(_)) => Err(unexpected(&reply)),
        }
    }

    fn detach(op: OpId) -> ConsumerCommand<'static> {
        ConsumerCommand::Detach { op }
    }
}

/// An engine answers each command with its own reply; anything else is a mistake in it.
fn unexpected(reply: &ConsumerReply) -> Error {
    Error::new(ErrorKind::Misuse).with_detail(format_args!("unexpected reply {reply:?}"))
}
