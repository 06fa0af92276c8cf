//! Owns the lookup of the broker that coordinates a group. What is found is a lease: it ends with the first word that
//! the broker is not the one, and with the first failure to get to it.
//!
//! Must not know what is asked of the coordinator.

use crate::cluster::{Answer, Cluster, Route, SendOptions, Token};
use crate::engine::{ConnectionGroup, Host, NodeId};
use crate::error::{Error, ErrorKind, Step, printable};
use crate::error_code::ErrorCode;
use crate::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::random::{Backoff, Random};
use crate::time::Duration;
use crate::timer::RoleTimer;
use crate::wire::{Str, VersionRange};

use super::timers;

/// One group is asked for, so that nothing of the later versions is needed (several: KIP-699).
const VERSION_MAX: i16 = 3;

/// ```text
/// Unknown ──asked for──▶ Finding ──▶ Found ──lost──▶ Unknown
///    ▲                      │          │ unreachable
///    └────── time ────── Backoff ◀─────┘
/// ```
#[derive(Debug)]
enum State {
    /// Asked for as soon as somebody needs it.
    Unknown,
    /// Being asked for.
    Finding(Token),
    /// As far as is known.
    Found(NodeId),
    /// Not found, or not reached; the timer ends it.
    Backoff(Error),
}

/// The coordinator of a group.
#[derive(Debug)]
pub(super) struct Coordinator {
    group: Str,
    state: State,
    /// Failures in a row.
    attempts: u32,
    timeout: Duration,
    backoff: Backoff,
}

impl Coordinator {
    pub(super) const fn new(group: Str, timeout: Duration, backoff: Backoff) -> Self {
        Self {
            group,
            state: State::Unknown,
            attempts: 0,
            timeout,
            backoff,
        }
    }

    pub(super) const fn group(&self) -> &Str {
        &self.group
    }

    /// The coordinator; if it is not known, it is asked for.
    pub(super) fn find(&mut self, cluster: &mut Cluster) -> Option<NodeId> {
        match self.state {
            State::Found(node) => Some(node),
            State::Finding(_) | State::Backoff(_) => None,
            State::Unknown => {
                let request = FindCoordinatorRequest {
                    key: self.group.clone(),
                    ..FindCoordinatorRequest::default()
                };
                let mut options = SendOptions::new(self.timeout);
                options.versions = VersionRange::from_bounds(..=VERSION_MAX);
                self.state = State::Finding(cluster.send(request, Route::Any, options));
                None
            }
        }
    }

    pub(super) fn awaits(&self, token: Token) -> bool {
        matches!(self.state, State::Finding(own) if own == token)
    }

    pub(super) fn is_at(&self, node: NodeId) -> bool {
        matches!(self.state, State::Found(own) if own == node)
    }

    /// Why it is not known.
    pub(super) const fn trouble(&self) -> Option<&Error> {
        match &self.state {
            State::Backoff(error) => Some(error),
            State::Unknown | State::Finding(_) | State::Found(_) => None,
        }
    }

    /// The answer to the lookup.
    ///
    /// # Errors
    /// Looking further is useless: whoever waits must be told.
    pub(super) fn on_answer(
        &mut self,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Result<(), Error> {
        self.state = State::Unknown;
        let response = match answer {
            Answer::Response(response) => response,
            Answer::Failed(failed) => {
                self.back_off(failed.error, random, cluster);
                return Ok(());
            }
            Answer::Sent => return Ok(()),
        };
        let found = match cluster.decode::<FindCoordinatorRequest>(response) {
            Ok((found, held)) => {
                cluster.throttle(&held, found.throttle_time_ms);
                cluster.release(held);
                found
            }
            Err(error) => {
                self.back_off(error, random, cluster);
                return Ok(());
            }
        };
        match ErrorCode(found.error_code).check() {
            Ok(()) => self.on_found(&found, random, cluster),
            Err(code) => {
                let error = self.refused(code, &found);
                if !code.is_retriable() {
                    return Err(error);
                }
                self.back_off(error, random, cluster);
            }
        }
        Ok(())
    }

    fn on_found(
        &mut self,
        found: &FindCoordinatorResponse,
        random: &mut Random,
        cluster: &mut Cluster,
    ) {
        let node = NodeId(found.node_id);
        let port = u16::try_from(found.port).ok().filter(|port| *port != 0);
        match (node.0, port) {
            (0.., Some(port)) if !found.host.is_empty() => {
                cluster.learn_broker(node, Host::from(found.host.as_str()), port);
                self.state = State::Found(node);
            }
            _ => {
                let error = Error::new(ErrorKind::Protocol)
                    .in_step(Step::FindCoordinator)
                    .with_detail("the broker named a coordinator that cannot be reached");
                self.back_off(error, random, cluster);
            }
        }
    }

    fn refused(&self, code: ErrorCode, found: &FindCoordinatorResponse) -> Error {
        let error = Error::new(ErrorKind::Broker(code)).in_step(Step::FindCoordinator);
        let mut detail = alloc::format!("group {}", printable(&self.group));
        if let Some(message) = found.error_message.as_ref().filter(|text| !text.is_empty()) {
            detail = alloc::format!("{detail}: {}", printable(message));
        }
        error.with_detail(detail)
    }

    /// It answered as one does.
    pub(super) const fn confirm(&mut self) {
        self.attempts = 0;
    }

    /// It is another one by now, or the connection is gone: looked for when it is needed next.
    pub(super) fn lose(&mut self, cluster: &mut Cluster) {
        if let State::Found(node) = self.state {
            cluster.unreach(node, ConnectionGroup::Coordination);
            self.state = State::Unknown;
        }
    }

    /// It cannot be reached: looked for after a while.
    pub(super) fn on_unreachable(
        &mut self,
        node: NodeId,
        error: &Error,
        random: &mut Random,
        cluster: &mut Cluster,
    ) {
        if self.is_at(node) {
            self.lose(cluster);
            self.back_off(error.clone(), random, cluster);
        }
    }

    pub(super) fn on_timer(&mut self) {
        if let State::Backoff(_) = self.state {
            self.state = State::Unknown;
        }
    }

    fn back_off(&mut self, error: Error, random: &mut Random, cluster: &mut Cluster) {
        let at = cluster.now() + self.backoff.after(self.attempts, random);
        self.attempts = self.attempts.saturating_add(1);
        cluster.arm(
            at,
            RoleTimer {
                kind: timers::COORDINATOR,
                index: 0,
                why: "the group's coordinator is looked for again",
            },
        );
        self.state = State::Backoff(error);
    }
}
