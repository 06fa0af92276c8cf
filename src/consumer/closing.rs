//! Owns what belongs to no partition: requests by hand, trouble of the whole client, and the end.
//!
//! Must not know partitions' states.

use alloc::vec;

use super::lent::BatchId;
use super::role::{ConsumerRole, Cx, Life, Pending, timers};
use super::types::{ConsumerCloseReport, ConsumerEvent};
use crate::engine::{OpId, RawRequest};
use crate::error::{Error, ErrorKind, Step};
use crate::group::Group;
use crate::time::{Duration, Instant};
use crate::timer::RoleTimer;

/// How long the same trouble is not told again.
const PROBLEM_AGAIN: Duration = Duration::from_secs(60);

impl ConsumerRole {
    pub(super) fn request(&mut self, request: &RawRequest, cx: &mut Cx<'_>) -> OpId {
        let op = self.next_op();
        if self.life == Life::Open {
            let token = cx.cluster.send_raw(request);
            let flexible = request.flexible;
            self.pending
                .insert(token, Pending::Request { op, flexible });
        } else {
            let result = Err(closed().in_step(Step::Request));
            cx.emit(ConsumerEvent::Response { op, result });
        }
        op
    }

    pub(super) fn detach(&mut self, op: OpId, cx: &mut Cx<'_>) {
        self.detach_operation(op, cx);
        self.group_operations.detach(op);
        let token = self
            .pending
            .iter()
            .find_map(|(token, pending)| match pending {
                Pending::Request { op: own, .. } => (*own == op).then_some(*token),
                Pending::Fetch(_)
                | Pending::EndSession
                | Pending::Lookup(_)
                | Pending::Validation(_) => None,
            });
        if let Some(token) = token {
            self.pending.remove(&token);
            cx.cluster.abandon(token);
        }
    }

    pub(super) fn is_current(&self, batch: BatchId) -> bool {
        self.lent.get(batch).is_some_and(|lent| {
            self.assigned
                .get(lent.partition)
                .is_some_and(|partition| partition.version == lent.version)
                || cfg!(planted = "B19")
        })
    }

    /// Tells the user of trouble that belongs to no partition; of each kind once a minute at the most.
    pub(super) fn problem(&mut self, error: Error, cx: &mut Cx<'_>) {
        let now = cx.now();
        self.problems
            .retain(|(_, told)| now.since(*told) < PROBLEM_AGAIN);
        if self.problems.iter().all(|(kind, _)| kind != error.kind()) {
            self.problems.push((error.kind().clone(), now));
            cx.emit(ConsumerEvent::Problem(error));
        }
    }

    pub(super) fn close(&mut self, deadline: Instant, cx: &mut Cx<'_>) -> OpId {
        let op = self.next_op();
        match &mut self.life {
            Life::Open => {
                self.life = Life::Committing { closes: vec![op] };
                self.begin_closing(cx);
            }
            // Of several deadlines the earliest holds.
            Life::Committing { closes } | Life::Closing { closes } => closes.push(op),
            Life::Closed { report } => {
                let report = report.clone();
                cx.emit(ConsumerEvent::Closed { op, report });
                return op;
            }
        }
        let why = "closing has taken too long";
        cx.cluster.arm(
            deadline,
            RoleTimer {
                kind: timers::CLOSE,
                index: 0,
                why,
            },
        );
        self.close_when_committed(cx);
        op
    }

    fn begin_closing(&mut self, cx: &mut Cx<'_>) {
        self.end_sessions(cx);
        self.ready.clear();
        self.starving.clear();
        for slot in self.assigned.slots() {
            if let Some(partition) = self.assigned.get_mut(slot) {
                partition.supply.clear(&mut self.dropped);
            }
        }
        self.release_dropped(cx);
        // Requests of the user end with an answer, too.
        for pending in core::mem::take(&mut self.pending).into_values() {
            if let Pending::Request { op, .. } = pending {
                let result = Err(closed().in_step(Step::Request));
                cx.emit(ConsumerEvent::Response { op, result });
            }
        }
        self.close_operations(cx);
        if let Some(group) = &mut self.group {
            group.close_loads(&closed(), cx.cluster);
        }
        if self.subscription.topics().is_some() {
            // Who closes has dealt with what it was given.
            self.begin_poll();
            self.leave_group("the consumer closes", cx);
        }
        self.pump_group(cx);
    }

    /// Closes the sockets, as soon as no commit is under way any more and the group knows that the member is gone.
    pub(super) fn close_when_committed(&mut self, cx: &mut Cx<'_>) {
        let is_done = |group: &Group| group.has_committed() && group.member().is_known_to_be_gone();
        if self.rebalance.is_idle() && self.group.as_ref().is_none_or(is_done) {
            self.close_sockets(cx);
        }
    }

    fn close_sockets(&mut self, cx: &mut Cx<'_>) {
        if let Life::Committing { closes } = &mut self.life {
            let closes = core::mem::take(closes);
            self.life = Life::Closing { closes };
            cx.cluster.close();
        }
    }

    /// The last socket is gone, or the deadline has come.
    pub(super) fn finish_closing(&mut self, cx: &mut Cx<'_>) {
        if let (Life::Committing { .. }, Some(group)) = (&self.life, &mut self.group) {
            group.close(&closed(), cx.cluster);
            self.pump_group(cx);
            self.stop_asking(cx);
            self.close_sockets(cx);
        }
        if let Life::Closing { closes } = &mut self.life {
            let closes = core::mem::take(closes);
            let report = ConsumerCloseReport {
                lent: self.lent.len(),
                left_group: self
                    .group
                    .as_ref()
                    .is_none_or(|group| group.member().is_outside()),
                uncommitted: core::mem::take(&mut self.uncommitted),
            };
            for op in closes {
                let report = report.clone();
                cx.emit(ConsumerEvent::Closed { op, report });
            }
            self.life = Life::Closed { report };
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed)
}
