//! Owns the user's longer operations: flush, close, and requests made by hand.
//!
//! Must not know partitions: it counts batches by the order in which they were opened.

use alloc::vec::Vec;

use super::command::{CloseReport, ProducerEvent};
use super::role::{Cx, Producer, TIMER_CLOSE};
use crate::budget::Category;
use crate::cluster::{Answer, Token};
use crate::collections::VecMap;
use crate::engine::{OpId, RawRequest};
use crate::error::{Error, ErrorKind, Step};
use crate::time::Instant;
use crate::timer::{RoleTimer, TimerId};

/// Whether the producer is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// Records are still delivered, until the deadline.
    Flushing {
        closes: Vec<OpId>,
        deadline: Instant,
        timer: TimerId,
    },
    /// Sockets are being closed.
    Closing {
        closes: Vec<OpId>,
        report: CloseReport,
    },
    Closed {
        report: CloseReport,
    },
}

/// A flush waits for the batches that were opened before it.
#[derive(Debug)]
struct Flush {
    op: OpId,
    /// The order of the first batch that it does not wait for.
    barrier: u64,
    unresolved: usize,
}

#[derive(Debug)]
struct Raw {
    op: OpId,
    flexible: bool,
}

/// The operations that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    next: u64,
    flushes: Vec<Flush>,
    requests: VecMap<Token, Raw>,
    /// Batches that have no outcome.
    unresolved: usize,
}

impl Operations {
    fn id(&mut self) -> OpId {
        let op = OpId(self.next);
        self.next = self.next.saturating_add(1);
        op
    }

    /// A batch was opened.
    pub(super) fn opened(&mut self) {
        self.unresolved = self.unresolved.saturating_add(1);
    }

    /// A batch has become two: whoever waits for it waits for both.
    pub(super) fn added(&mut self, order: u64) {
        self.unresolved = self.unresolved.saturating_add(1);
        for flush in self.flushes.iter_mut().filter(|f| order < f.barrier) {
            flush.unresolved = flush.unresolved.saturating_add(1);
        }
    }

    /// A batch has its outcome.
    pub(super) fn resolved(&mut self, order: u64) {
        self.unresolved = self.unresolved.saturating_sub(1);
        for flush in self.flushes.iter_mut().filter(|f| order < f.barrier) {
            flush.unresolved = flush.unresolved.saturating_sub(1);
        }
    }
}

impl Producer {
    /// Sends what is there, and tells when all of it has its outcome.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) -> OpId {
        let op = self.operations.id();
        self.operations.flushes.push(Flush {
            op,
            barrier: self.next_order,
            unresolved: self.operations.unresolved,
        });
        self.send_all_open(cx);
        self.finish(cx);
        op
    }

    /// Sends a request of the user.
    pub(crate) fn request(&mut self, request: &RawRequest, cx: &mut Cx<'_>) -> OpId {
        let op = self.operations.id();
        if self.life == Life::Open {
            let token = cx.cluster.send_raw(request);
            let flexible = request.flexible;
            self.operations.requests.insert(token, Raw { op, flexible });
        } else {
            let result = Err(Error::new(ErrorKind::Closed).in_step(Step::Request));
            cx.emit(ProducerEvent::Response { op, result });
        }
        op
    }

    pub(super) fn on_raw_answer(&mut self, token: Token, answer: Answer, cx: &mut Cx<'_>) {
        let Some(Raw { op, flexible }) = self.operations.requests.remove(&token) else {
            return;
        };
        let result = match answer {
            Answer::Response(response) => cx.cluster.decode_raw(response, flexible),
            Answer::Failed(failure) => Err(failure.error),
            Answer::Sent => Err(Error::new(ErrorKind::Protocol).in_step(Step::Request)),
        };
        cx.emit(ProducerEvent::Response { op, result });
    }

    /// Nobody waits for the operation any more. What it set in motion goes on.
    pub(crate) fn detach(&mut self, op: OpId, cx: &mut Cx<'_>) {
        self.operations.flushes.retain(|flush| flush.op != op);
        let token = self
            .operations
            .requests
            .iter()
            .find(|(_, raw)| raw.op == op)
            .map(|(token, _)| *token);
        if let Some(token) = token {
            self.operations.requests.remove(&token);
            cx.cluster.abandon(token);
        }
        match &mut self.life {
            Life::Flushing { closes, .. } | Life::Closing { closes, .. } => {
                closes.retain(|close| *close != op);
            }
            Life::Open | Life::Closed { .. } => {}
        }
        self.finish(cx);
    }

    /// Accepts nothing more, delivers what it can until `deadline`, and closes. Called again, the earlier deadline holds.
    pub(crate) fn close(&mut self, deadline: Instant, cx: &mut Cx<'_>) -> OpId {
        let op = self.operations.id();
        match &mut self.life {
            Life::Open => {
                let timer = arm_close(deadline, cx);
                self.life = Life::Flushing {
                    closes: [op].into(),
                    deadline,
                    timer,
                };
                self.send_all_open(cx);
            }
            Life::Flushing {
                closes,
                deadline: earlier,
                timer,
            } => {
                closes.push(op);
                if deadline < *earlier {
                    cx.cluster.disarm(*timer);
                    *earlier = deadline;
                    *timer = arm_close(deadline, cx);
                }
            }
            Life::Closing { closes, .. } => closes.push(op),
            Life::Closed { report } => {
                let report = *report;
                cx.emit(ProducerEvent::Closed { op, report });
            }
        }
        self.finish(cx);
        op
    }

    /// Tells what has ended.
    pub(super) fn end_operations(&mut self, cx: &mut Cx<'_>) {
        self.operations.flushes.retain(|flush| {
            if flush.unresolved == 0 {
                cx.emit(ProducerEvent::Flushed { op: flush.op });
            }
            flush.unresolved > 0
        });
        if matches!(self.life, Life::Flushing { .. })
            && self.operations.unresolved == 0
            && self.operations.requests.is_empty()
        {
            self.shut(CloseReport::default(), cx);
        }
    }

    /// There is no time left: what has no outcome gets one.
    pub(super) fn on_close_deadline(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.life, Life::Flushing { .. }) {
            return;
        }
        (self.effects.rejected, self.effects.unknown) = (0, 0);
        let error = || {
            Error::new(ErrorKind::Closed)
                .in_step(Step::Close)
                .with_detail("the producer was closed before the records could be delivered")
        };
        for id in self.busy() {
            self.give_up(id, &error, cx);
        }
        let requests = core::mem::take(&mut self.operations.requests);
        let report = CloseReport {
            rejected: self.effects.rejected,
            unknown: self.effects.unknown,
            requests: requests.len(),
        };
        for Raw { op, .. } in requests.into_values() {
            let result = Err(Error::new(ErrorKind::Closed).in_step(Step::Request));
            cx.emit(ProducerEvent::Response { op, result });
        }
        self.end_flushes(cx);
        self.shut(report, cx);
    }

    fn end_flushes(&mut self, cx: &mut Cx<'_>) {
        for Flush { op, unresolved, .. } in self.operations.flushes.drain(..) {
            debug_assert_eq!(unresolved, 0, "a flush waits for a batch that is gone");
            cx.emit(ProducerEvent::Flushed { op });
        }
    }

    /// Closes all sockets. What is still on its way has its outcome already.
    fn shut(&mut self, report: CloseReport, cx: &mut Cx<'_>) {
        let Life::Flushing { closes, timer, .. } = &mut self.life else {
            return;
        };
        cx.cluster.disarm(*timer);
        let closes = core::mem::take(closes);
        self.life = Life::Closing { closes, report };
        self.forget_producer_id(cx);
        self.requests.clear();
        self.nodes.clear();
        self.touched.clear();
        self.jobs.clear();
        for slot in &mut self.slots {
            for freed in slot.partition.forget_lost() {
                cx.cluster
                    .budget()
                    .give_back(Category::Producer, freed.charged);
            }
        }
        for id in self.all_slots() {
            self.rearm(id, cx);
        }
        cx.cluster.close();
    }

    pub(super) fn tell_closed(&mut self, cx: &mut Cx<'_>) {
        if let Life::Closing { closes, report } = &mut self.life {
            let (closes, report) = (core::mem::take(closes), *report);
            self.life = Life::Closed { report };
            for op in closes {
                cx.emit(ProducerEvent::Closed { op, report });
            }
        }
    }
}

fn arm_close(deadline: Instant, cx: &mut Cx<'_>) -> TimerId {
    let timer = RoleTimer {
        kind: TIMER_CLOSE,
        index: 0,
        why: "the deadline of close",
    };
    cx.cluster.arm(deadline, timer)
}
