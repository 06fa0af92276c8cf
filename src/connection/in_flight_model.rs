//! Owns the naive model of what is in flight on a connection: two lists, and for each request since when its clock runs.
//!
//! Must not know how the table keeps them.

use alloc::vec::Vec;

use super::in_flight::{InFlight, Pending};
use super::outgoing::{SendOptions, Token};
use crate::choices::Choices;
use crate::time::{Duration, Instant};
use crate::wire::ApiKey;

#[derive(Clone, Copy, Debug)]
struct Sent {
    token: Option<Token>,
    correlation: i32,
    end: u64,
    timeout: Duration,
}

/// Requests of one kind; only the first one's clock runs.
#[derive(Debug, Default)]
struct Line {
    requests: Vec<Sent>,
    first_since: Instant,
}

impl Line {
    fn push(&mut self, sent: Sent, now: Instant) {
        if self.requests.is_empty() {
            self.began(now);
        }
        self.requests.push(sent);
    }

    fn pop(&mut self, now: Instant) -> Option<Sent> {
        let first = (!self.requests.is_empty()).then(|| self.requests.remove(0))?;
        self.began(now);
        Some(first)
    }

    /// A clock begins now, but not before the silence that was announced has ended.
    fn began(&mut self, now: Instant) {
        self.first_since = self.first_since.max(now);
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.first_since + self.requests.first()?.timeout)
    }
}

fn said(pending: Pending) -> (Option<Token>, i32) {
    (pending.token, pending.correlation)
}

/// The table, and its model beside it.
#[derive(Debug, Default)]
struct Both {
    table: InFlight,
    answers: Line,
    silent: Line,
    /// Of all bytes written, and of those that the socket has taken.
    end: u64,
    accepted: u64,
    count: u32,
}

impl Both {
    fn push(&mut self, now: Instant, choices: &mut Choices<'_>) {
        self.count += 1;
        self.end += 1 + u64::from(choices.byte());
        let (token, end) = (Token(self.count.into()), self.end);
        let correlation = i32::try_from(self.count).unwrap_or(i32::MAX);
        let timeout = Duration::from_millis(u64::from(choices.byte()));
        let options = SendOptions::new(timeout);
        let token = Some(token);
        let pending = Pending::new(token, ApiKey::METADATA, 1, correlation, end, now, &options);
        let expects_answer = choices.flag();
        self.table.push(pending, expects_answer, now);
        let line = match expects_answer {
            true => &mut self.answers,
            false => &mut self.silent,
        };
        line.push(
            Sent {
                token,
                correlation,
                end,
                timeout,
            },
            now,
        );
    }

    fn step(&mut self, now: Instant, choices: &mut Choices<'_>) {
        match choices.below(8) {
            0..=2 => self.push(now, choices),
            3 | 4 => {
                let expected = self.answers.pop(now);
                let expected = expected.map(|sent| (sent.token, sent.correlation));
                assert_eq!(self.table.answered(now).map(said), expected);
            }
            5 => {
                self.accepted += u64::from(choices.byte());
                while let Some(pending) = self.table.sent(self.accepted, now) {
                    assert!(pending.end <= self.accepted);
                    let sent = self.silent.pop(now);
                    let sent = sent.map(|sent| (sent.token, sent.correlation));
                    assert_eq!(Some(said(pending)), sent);
                }
                let first = self.silent.requests.first();
                assert!(first.is_none_or(|sent| sent.end > self.accepted));
            }
            6 => {
                let token = Token(u64::from(choices.byte()));
                self.table.abandon(token);
                let silent = &mut self.silent.requests;
                for sent in self.answers.requests.iter_mut().chain(silent) {
                    sent.token = sent.token.filter(|own| *own != token);
                }
            }
            _ => {
                let until = now + Duration::from_millis(u64::from(choices.byte()));
                self.table.hold_clocks_until(until);
                self.answers.began(until);
                self.silent.began(until);
            }
        }
    }

    fn assert_same(&self, now: Instant) {
        let Self {
            table,
            answers,
            silent,
            ..
        } = self;
        let expected = answers.requests.first().map(|sent| sent.correlation);
        let found = table.expected().map(|expected| expected.correlation);
        assert_eq!(found, expected);
        let deadlines = [answers.deadline(), silent.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        assert_eq!(table.deadline(), deadline);
        let is_overdue = deadline.is_some_and(|at| at <= now);
        assert_eq!(table.overdue(now).is_some(), is_overdue);
        let length = answers.requests.len() + silent.requests.len();
        assert_eq!((table.len(), table.is_empty()), (length, length == 0));
    }

    /// What is left ends in the order of sending.
    fn assert_drained_in_order(mut self) {
        let answers = self.answers.requests.iter().map(|sent| (sent.end, true));
        let silent = self.silent.requests.iter().map(|sent| (sent.end, false));
        let mut left: Vec<(u64, bool)> = answers.chain(silent).collect();
        left.sort_unstable();
        let drained = self.table.drain();
        let drained: Vec<_> = drained
            .map(|(pending, answer)| (pending.end, answer))
            .collect();
        assert_eq!(drained, left);
    }
}

pub(crate) fn hold(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (mut both, mut now) = (Both::default(), Instant::START);
    while !choices.is_empty() {
        now = now + Duration::from_millis(u64::from(choices.byte() % 16));
        both.step(now, &mut choices);
        both.assert_same(now);
    }
    both.assert_drained_in_order();
}
