//! Owns a line of requests to a group's coordinator, of one kind: one under way at a time, so that they arrive in order,
//! each until it is answered or its time is over.
//!
//! Must not know what the requests say.

use alloc::collections::VecDeque;
use core::fmt;

use crate::cluster::{
    Answer, Capability, Cluster, FailureCause, Reach, RequestError, Route, SendOptions, Token,
};
use crate::engine::{ConnectionGroup, NodeId, OpId, Peer};
use crate::error::{Error, ErrorKind, Step};
use crate::limits::OPERATION_TIMEOUT;
use crate::random::{Backoff, Random};
use crate::time::Duration;
use crate::timer::{RoleTimer, TimerId};
use crate::wire::{Request, Str, VersionRange};

/// What an answer leaves to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Next {
    /// Everything has its result.
    Done,
    /// Some of it is to be asked again.
    Again,
    /// The same, and of whoever the coordinator is by now.
    Elsewhere,
}

/// The answer to a request, decoded, with what it says of throttling heeded (KIP-219).
pub(super) fn open<R: Request>(
    answer: Answer,
    throttled_ms: impl FnOnce(&R::Response) -> i32,
    cluster: &mut Cluster,
) -> Result<R::Response, RequestError> {
    let unreadable = |error| RequestError {
        error,
        // It was sent and answered: what the answer meant is not known.
        maybe_applied: true,
        cause: FailureCause::Disconnected,
    };
    match answer {
        Answer::Response(response) => {
            let (answer, held) = cluster.decode::<R>(response).map_err(unreadable)?;
            cluster.throttle(&held, throttled_ms(&answer));
            cluster.release(held);
            Ok(answer)
        }
        Answer::Failed(failed) => Err(failed),
        // Every request to a coordinator is answered.
        Answer::Sent => Err(unreadable(Error::new(ErrorKind::Protocol))),
    }
}

/// What is asked of a coordinator: of one broker after the other, until each part of it has its result.
pub(super) trait Question: fmt::Debug {
    /// The request that asks it.
    type Request: Capability + fmt::Debug + Send + 'static;
    /// Where it is, for errors.
    const STEP: Step;
    /// The timer after which it is asked again.
    const RETRY: u8;
    /// The timer after which it is given up.
    const DEADLINE: u8;

    /// The highest version that is spoken.
    fn version_max(&self) -> i16;

    /// The request for all that has no result yet.
    fn request(&self, group: &Str, version: i16) -> Self::Request;

    /// The coordinator has answered.
    fn on_answer(&mut self, node: NodeId, answer: <Self::Request as Request>::Response) -> Next;

    /// How long the coordinator wants to be left alone (KIP-219).
    fn throttled_ms(answer: &<Self::Request as Request>::Response) -> i32;

    /// There was no answer.
    fn on_failed(&mut self, failed: &RequestError);

    /// All that has no result yet ends with this error.
    fn give_up(&mut self, error: &Error);

    /// What was last said of what has no result yet.
    fn last_error(&self) -> Option<&Error>;

    /// Whether everything has its result.
    fn is_done(&self) -> bool;
}

/// A question in the line.
#[derive(Debug)]
struct Waiting<Q> {
    op: OpId,
    question: Q,
    deadline: TimerId,
    attempts: u32,
}

#[derive(Debug)]
enum State {
    /// The first in the line is sent as soon as the coordinator can be reached.
    Idle,
    /// Being answered. The question may have been given up meanwhile.
    InFlight { token: Token, op: OpId, to: NodeId },
    /// To be asked again after a while.
    Backoff(TimerId),
}

/// Questions of one kind, in the order in which they came.
#[derive(Debug)]
pub(super) struct Lane<Q> {
    waiting: VecDeque<Waiting<Q>>,
    state: State,
    timeout: Duration,
    backoff: Backoff,
}

impl<Q: Question> Lane<Q> {
    pub(super) const fn new(timeout: Duration, backoff: Backoff) -> Self {
        Self {
            waiting: VecDeque::new(),
            state: State::Idle,
            timeout,
            backoff,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, op: OpId, question: Q, cluster: &mut Cluster) {
        let deadline = cluster.arm(
            cluster.now() + OPERATION_TIMEOUT,
            RoleTimer {
                kind: Q::DEADLINE,
                index: u32::try_from(op.0).unwrap_or(u32::MAX),
                why: "a question to the group's coordinator takes too long",
            },
        );
        self.waiting.push_back(Waiting {
            op,
            question,
            deadline,
            attempts: 0,
        });
    }

    /// The questions that have no result yet.
    pub(super) fn questions_mut(&mut self) -> impl Iterator<Item = &mut Q> {
        self.waiting.iter_mut().map(|waiting| &mut waiting.question)
    }

    /// Whether the coordinator is to be asked something.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Idle) && !self.waiting.is_empty()
    }

    pub(super) fn awaits(&self, token: Token) -> bool {
        matches!(self.state, State::InFlight { token: own, .. } if own == token)
    }

    /// Asks the coordinator, if it can be reached.
    pub(super) fn send(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        let Some(first) = self.waiting.front_mut() else {
            return;
        };
        let version = match cluster.reach(node, ConnectionGroup::Coordination) {
            Reach::Pending => return,
            Reach::Ready(versions) => versions.max_version::<Q::Request>(),
        };
        let max = first.question.version_max();
        let Some(version) = version.map(|version| version.min(max)) else {
            let feature = alloc::format!("{}", <Q::Request as Request>::KEY);
            let error = Error::new(ErrorKind::Unsupported { feature })
                .at_broker(Peer::Broker(node))
                .in_step(Q::STEP);
            return first.question.give_up(&error);
        };
        let mut options = SendOptions::new(self.timeout);
        options.versions = VersionRange::from_bounds(..=version);
        let request = first.question.request(group, version);
        let route = Route::Node(node, ConnectionGroup::Coordination);
        self.state = State::InFlight {
            token: cluster.send(request, route, options),
            op: first.op,
            to: node,
        };
    }

    /// The end of a request.
    pub(super) fn on_answer(
        &mut self,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        let State::InFlight { op, to, .. } = core::mem::replace(&mut self.state, State::Idle)
        else {
            return Next::Done;
        };
        let answer = open::<Q::Request>(answer, Q::throttled_ms, cluster);
        let Some(first) = self.waiting.front_mut().filter(|first| first.op == op) else {
            // It was given up.
            return match answer {
                Ok(_) => Next::Done,
                Err(_) => Next::Elsewhere,
            };
        };
        let next = match answer {
            Ok(answer) => first.question.on_answer(to, answer),
            Err(failed) => match failed.cause {
                FailureCause::Unsupported | FailureCause::Closed => {
                    first.question.on_failed(&failed);
                    first.question.give_up(&failed.error);
                    Next::Done
                }
                FailureCause::Disconnected | FailureCause::TimedOut => {
                    first.question.on_failed(&failed);
                    Next::Elsewhere
                }
            },
        };
        if next != Next::Done {
            let at = cluster.now() + self.backoff.after(first.attempts, random);
            first.attempts = first.attempts.saturating_add(1);
            self.state = State::Backoff(cluster.arm(
                at,
                RoleTimer {
                    kind: Q::RETRY,
                    index: 0,
                    why: "the group's coordinator is asked again",
                },
            ));
        }
        next
    }

    /// The pause is over.
    pub(super) fn on_retry(&mut self) {
        if let State::Backoff(_) = self.state {
            self.state = State::Idle;
        }
    }

    /// A question has taken too long: it ends, also while it is being answered.
    pub(super) fn on_deadline(&mut self, index: u32, trouble: Option<&Error>) {
        let timed_out = || {
            Error::new(ErrorKind::TimedOut {
                after: OPERATION_TIMEOUT,
            })
            .in_step(Q::STEP)
        };
        for waiting in &mut self.waiting {
            if u32::try_from(waiting.op.0).unwrap_or(u32::MAX) == index {
                let last = waiting.question.last_error().or(trouble);
                let error = match last {
                    Some(last) => timed_out().with_detail(last),
                    None => timed_out(),
                };
                if let State::InFlight { op, .. } = self.state
                    && op == waiting.op
                {
                    waiting.question.on_failed(&RequestError {
                        error: error.clone(),
                        maybe_applied: true,
                        cause: FailureCause::TimedOut,
                    });
                }
                waiting.question.give_up(&error);
            }
        }
    }

    /// Nobody will answer: all questions end with this error.
    pub(super) fn give_up(&mut self, error: &Error) {
        for waiting in &mut self.waiting {
            if let State::InFlight { op, .. } = self.state
                && op == waiting.op
            {
                waiting.question.on_failed(&RequestError {
                    error: error.clone(),
                    maybe_applied: true,
                    cause: FailureCause::Closed,
                });
            }
            waiting.question.give_up(error);
        }
    }

    /// The next question that has come to its end.
    pub(super) fn next_done(&mut self, cluster: &mut Cluster) -> Option<(OpId, Q)> {
        let place = self
            .waiting
            .iter()
            .position(|waiting| waiting.question.is_done())?;
        let done = self.waiting.remove(place)?;
        cluster.disarm(done.deadline);
        if place == 0
            && let State::Backoff(timer) = self.state
        {
            // The pause was for this one.
            cluster.disarm(timer);
            self.state = State::Idle;
        }
        Some((done.op, done.question))
    }
}
