//! Owns the requests that a connection has taken and not yet seen the end of, in the order in which they were sent.
//!
//! Must not know what any request asks for.

use alloc::collections::VecDeque;

use super::outgoing::{SendOptions, Token};
use super::receive::Expected;
use crate::collections::sorted;
use crate::time::{Duration, Instant};
use crate::wire::ApiKey;

/// A request on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// `None` for the connection's own, and once nobody waits for the answer any more.
    pub(super) token: Option<Token>,
    pub(super) api: ApiKey,
    pub(super) version: i16,
    pub(super) correlation: i32,
    /// Where its frame ends in the stream of all bytes of this connection: only when the socket has accepted all
    /// of them may the request have been applied.
    pub(super) end: u64,
    pub(super) since: Instant,
    pub(super) timeout: Duration,
    pub(super) allowance: usize,
    pub(super) long_poll: bool,
}

impl Pending {
    pub(super) fn new(
        token: Option<Token>,
        api: ApiKey,
        version: i16,
        correlation: i32,
        end: u64,
        since: Instant,
        options: &SendOptions,
    ) -> Self {
        Self {
            token,
            api,
            version,
            correlation,
            end,
            since,
            timeout: options.timeout,
            allowance: options.allowance,
            long_poll: options.long_poll.is_some(),
        }
    }
}

/// Requests of one kind in the order in which they will end; the clock runs for the first one only, since the broker
/// serves one at a time.
#[derive(Debug, Default)]
struct Line {
    requests: VecDeque<Pending>,
    first_since: Instant,
}

impl Line {
    fn push(&mut self, request: Pending, now: Instant) {
        if self.requests.is_empty() {
            self.first_since = self.first_since.max(now);
        }
        self.requests.push_back(request);
    }

    fn pop(&mut self, now: Instant) -> Option<Pending> {
        let request = self.requests.pop_front();
        self.first_since = self.first_since.max(now);
        request
    }

    fn deadline(&self) -> Option<Instant> {
        self.requests
            .front()
            .map(|first| self.first_since + first.timeout)
    }

    fn abandon(&mut self, token: Token) {
        for request in &mut self.requests {
            if request.token == Some(token) {
                request.token = None;
            }
        }
    }
}

/// All requests of one connection that have not ended.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// Those that will be answered.
    answers: Line,
    /// Those that will not (acks=0): they end when the socket has taken their bytes.
    silent: Line,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.answers
            .requests
            .len()
            .saturating_add(self.silent.requests.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, request: Pending, expects_answer: bool, now: Instant) {
        match expects_answer {
            true => self.answers.push(request, now),
            false => self.silent.push(request, now),
        }
    }

    /// What the next frame must be.
    pub(super) fn expected(&self) -> Option<Expected> {
        self.answers.requests.front().map(|first| Expected {
            correlation: first.correlation,
            allowance: first.allowance,
        })
    }

    /// The API of the first request that waits for an answer.
    pub(super) fn first_api(&self) -> Option<ApiKey> {
        self.answers.requests.front().map(|first| first.api)
    }

    /// The request that the frame just received answers.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Pending> {
        self.answers.pop(now)
    }

    /// The next request without an answer of which the socket has accepted all bytes.
    pub(super) fn sent(&mut self, sent: u64, now: Instant) -> Option<Pending> {
        let first = self.silent.requests.front()?;
        if first.end > sent {
            return None;
        }
        self.silent.pop(now)
    }

    /// When the first unanswered request has waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.answers.deadline(), self.silent.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The request that [`deadline`](Self::deadline) belongs to.
    pub(super) fn overdue(&self, now: Instant) -> Option<&Pending> {
        [&self.answers, &self.silent]
            .into_iter()
            .find(|line| line.deadline().is_some_and(|at| at <= now))
            .and_then(|line| line.requests.front())
    }

    /// The broker is silent until then, by announcement (KIP-219): no clock runs meanwhile.
    pub(super) fn hold_clocks_until(&mut self, until: Instant) {
        self.answers.first_since = self.answers.first_since.max(until);
        self.silent.first_since = self.silent.first_since.max(until);
    }

    /// Whether the broker may be holding a request back on purpose.
    pub(super) fn is_parked(&self) -> bool {
        self.answers
            .requests
            .iter()
            .any(|request| request.long_poll)
    }

    pub(super) fn abandon(&mut self, token: Token) {
        self.answers.abandon(token);
        self.silent.abandon(token);
    }

    /// Takes all that is left, in the order of sending.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Pending, bool)> + use<> {
        let answers = core::mem::take(&mut self.answers.requests);
        let silent = core::mem::take(&mut self.silent.requests);
        let all: alloc::vec::Vec<(Pending, bool)> = answers
            .into_iter()
            .map(|request| (request, true))
            .chain(silent.into_iter().map(|request| (request, false)))
            .collect();
        sorted(all, &|(a, _), (b, _)| a.end.cmp(&b.end)).into_iter()
    }
}
