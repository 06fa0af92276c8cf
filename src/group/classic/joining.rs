//! Owns the way into a generation: JoinGroup, the leader's shares, SyncGroup.
//!
//! Must not know heartbeats beyond that a generation has them.

use alloc::vec::Vec;

use super::actions::{self, Joining};
use super::heart::Heart;
use super::leader::Leadership;
use super::{CONSUMER, Member, State, refused};
use crate::assignor::{Assignor, LastAssignment, Subscription, decode_assignment};
use crate::cluster::{Answer, Cluster, FailureCause, RequestError, SendOptions};
use crate::engine::NodeId;
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::group::asking::{Asking, ask, millis};
use crate::group::lane::{Next, open};
use crate::group::membership::{Bid, MemberEvent, RebalanceCause};
use crate::messages::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, SyncGroupRequest,
    SyncGroupRequestAssignment,
};
use crate::random::Random;
use crate::time::Duration;
use crate::wire::{EncodeError, Str};

/// How much longer than the rebalance may take its answer is awaited, as Java's client does it.
const JOIN_SLACK: Duration = Duration::from_secs(5);

/// A generation that the member has joined.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) generation: i32,
    /// The name of the assignor that all members have.
    protocol: Str,
}

impl Member {
    /// Joins, asking for this. What is not in the bid is not held any more.
    pub(crate) fn join(&mut self, bid: &Bid, cluster: &mut Cluster) {
        let Some(cause) = self.wants_to_join() else {
            return;
        };
        self.wanted = None;
        match self.protocols(bid) {
            Ok(protocols) => self.protocols = protocols,
            Err(error) => {
                let error = Error::new(ErrorKind::Misuse)
                    .in_step(Step::JoinGroup)
                    .with_detail(error);
                return self.fail(error, cluster);
            }
        }
        self.reason = Str::from(alloc::format!("{cause}"));
        let before = match core::mem::replace(&mut self.state, State::Unjoined) {
            State::Stable { heart } => Some(heart),
            State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Sharing { .. }
            | State::Syncing { .. }
            | State::Leaving { .. }
            | State::Failed(_) => None,
        };
        self.state = State::Joining {
            step: Asking::Due,
            before,
        };
    }

    fn protocols(&self, bid: &Bid) -> Result<Vec<JoinGroupRequestProtocol>, EncodeError> {
        let protocol = |assignor: &Assignor| {
            let subscription = Subscription {
                topics: bid.topics.clone(),
                user_data: assignor.user_data(self.last.as_ref()),
                owned_partitions: bid.owned.clone(),
                generation_id: (self.generation >= 0).then_some(self.generation),
                rack_id: self.settings.rack.clone(),
            };
            Ok(JoinGroupRequestProtocol {
                name: Str::from_static(assignor.name()),
                metadata: subscription.encode()?,
            })
        };
        self.settings.assignors.iter().map(protocol).collect()
    }

    /// A request that the coordinator holds back until the members have gathered.
    fn parked(&self) -> SendOptions {
        let wait = self.settings.rebalance_timeout;
        let timeout = self.settings.request_timeout.max(wait + JOIN_SLACK);
        let mut options = SendOptions::new(timeout);
        options.long_poll = Some(wait);
        options
    }

    pub(super) fn send_join(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        let request = JoinGroupRequest {
            group_id: group.clone(),
            session_timeout_ms: millis(self.settings.session_timeout),
            rebalance_timeout_ms: millis(self.settings.rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: self.settings.instance_id.clone(),
            protocol_type: Str::from_static(CONSUMER),
            protocols: self.protocols.clone(),
            reason: Some(self.reason.clone()),
        };
        let Some(token) = ask(request, node, self.parked(), cluster) else {
            return;
        };
        if let State::Joining { step, before } = &mut self.state {
            *step = Asking::InFlight(token);
            // Whoever waits in a join need not say that it lives.
            if let Some(heart) = before.take() {
                heart.stop(cluster);
            }
        }
    }

    pub(super) fn on_join_answer(
        &mut self,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        let answer = open::<JoinGroupRequest>(answer, |answer| answer.throttle_time_ms, cluster);
        match answer {
            Err(failed) => self.on_join_lost(failed, random, cluster),
            Ok(answer) => match ErrorCode(answer.error_code).check() {
                Ok(()) => self.on_joined(answer, cluster),
                Err(code) => {
                    if code == ErrorCode::MEMBER_ID_REQUIRED {
                        self.member_id = Str::from(answer.member_id.as_str());
                    }
                    self.on_join_refused(code, Step::JoinGroup, random, cluster)
                }
            },
        }
    }

    /// There was no answer.
    fn on_join_lost(
        &mut self,
        failed: RequestError,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        match failed.cause {
            FailureCause::Unsupported | FailureCause::Closed => {
                self.fail(failed.error, cluster);
                Next::Done
            }
            FailureCause::Disconnected | FailureCause::TimedOut => {
                let step = self.back_off(random, cluster);
                self.join_again(step, cluster);
                Next::Elsewhere
            }
        }
    }

    fn on_join_refused(
        &mut self,
        code: ErrorCode,
        step: Step,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        let error = refused(code, step);
        let action = actions::of_join(code);
        match action {
            // An answer without an id would be asked for again and again.
            Joining::TakeMemberId if !self.member_id.is_empty() && step == Step::JoinGroup => {
                self.join_again(Asking::Due, cluster);
            }
            Joining::TakeMemberId | Joining::Retry | Joining::Rediscover => {
                let step = self.back_off(random, cluster);
                self.join_again(step, cluster);
            }
            Joining::LoseGeneration => self.lose(error, cluster),
            Joining::LoseMember => {
                self.member_id = Str::EMPTY;
                self.lose(error, cluster);
            }
            Joining::Fail => self.fail(error, cluster),
        }
        match action {
            Joining::Rediscover => Next::Elsewhere,
            Joining::TakeMemberId
            | Joining::Retry
            | Joining::LoseGeneration
            | Joining::LoseMember
            | Joining::Fail => Next::Done,
        }
    }

    /// The same bid once more: what is owned stays owned, until the group says otherwise.
    fn join_again(&mut self, step: Asking, cluster: &mut Cluster) {
        let again = State::Joining { step, before: None };
        if let State::Syncing { heart, .. } = core::mem::replace(&mut self.state, again) {
            heart.stop(cluster);
        }
    }

    fn on_joined(&mut self, answer: JoinGroupResponse, cluster: &mut Cluster) -> Next {
        let protocol = answer.protocol_name.unwrap_or_default();
        let known = |assignor: &&Assignor| *assignor.name() == *protocol;
        let assignor = self
            .settings
            .assignors
            .iter()
            .copied()
            .find(|own| known(&own));
        let kind = answer.protocol_type.as_ref();
        let (true, Some(assignor)) = (kind.is_none_or(|kind| *kind == *CONSUMER), assignor) else {
            let error = refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, Step::JoinGroup);
            self.fail(error, cluster);
            return Next::Done;
        };
        self.member_id = Str::from(answer.member_id.as_str());
        let joined = Joined {
            generation: answer.generation_id,
            protocol: Str::from_static(assignor.name()),
        };
        let (interval, session) = (
            self.settings.heartbeat_interval,
            self.settings.session_timeout,
        );
        let heart = Heart::new(interval, session, cluster);
        if answer.leader != answer.member_id {
            let unwatched = self.watched.clear();
            self.unwatch(unwatched);
            self.roster.follow();
            self.sync(joined, Vec::new(), heart);
            return Next::Done;
        }
        self.roster.lead(&answer.members);
        match Leadership::new(assignor, answer.members, answer.skip_assignment, cluster) {
            Ok(leadership) => {
                self.state = State::Sharing {
                    joined,
                    leadership,
                    heart,
                };
                self.share_out(cluster);
            }
            Err(error) => {
                heart.stop(cluster);
                self.fail(unreadable(error, Step::JoinGroup), cluster);
            }
        }
        Next::Done
    }

    fn sync(&mut self, joined: Joined, shares: Vec<SyncGroupRequestAssignment>, heart: Heart) {
        self.state = State::Syncing {
            joined,
            shares,
            step: Asking::Due,
            heart,
        };
    }

    /// Makes the shares, once everything is known that they hang on.
    pub(super) fn share_out(&mut self, cluster: &mut Cluster) {
        let State::Sharing { leadership, .. } = &self.state else {
            return;
        };
        if !leadership.is_ready(cluster) {
            return;
        }
        let shares = leadership.share_out(cluster);
        match (shares, core::mem::replace(&mut self.state, State::Unjoined)) {
            (Ok((shares, watched)), State::Sharing { joined, heart, .. }) => {
                let mut unwatched = core::mem::replace(&mut self.watched, watched).clear();
                unwatched.retain(|topic| !self.watched.contains(*topic));
                self.unwatch(unwatched);
                self.sync(joined, shares, heart);
            }
            (Err(error), state) => {
                self.state = state;
                let error = Error::new(ErrorKind::Misuse)
                    .in_step(Step::SyncGroup)
                    .with_detail(error);
                self.fail(error, cluster);
            }
            (Ok(_), state) => self.state = state,
        }
    }

    pub(super) fn send_sync(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        let State::Syncing { joined, shares, .. } = &self.state else {
            return;
        };
        let request = SyncGroupRequest {
            group_id: group.clone(),
            generation_id: joined.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.settings.instance_id.clone(),
            protocol_type: Some(Str::from_static(CONSUMER)),
            protocol_name: Some(joined.protocol.clone()),
            assignments: shares.clone(),
        };
        let Some(token) = ask(request, node, self.parked(), cluster) else {
            return;
        };
        if let State::Syncing { step, .. } = &mut self.state {
            *step = Asking::InFlight(token);
        }
    }

    pub(super) fn on_sync_answer(
        &mut self,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        let answer = open::<SyncGroupRequest>(answer, |answer| answer.throttle_time_ms, cluster);
        let answer = match answer {
            Err(failed) => return self.on_join_lost(failed, random, cluster),
            Ok(answer) => answer,
        };
        if let Err(code) = ErrorCode(answer.error_code).check() {
            return self.on_join_refused(code, Step::SyncGroup, random, cluster);
        }
        let partitions = match decode_assignment(answer.assignment) {
            Ok(partitions) => partitions,
            Err(error) => {
                self.fail(unreadable(error, Step::SyncGroup), cluster);
                return Next::Done;
            }
        };
        match core::mem::replace(&mut self.state, State::Unjoined) {
            State::Syncing { joined, heart, .. } => {
                heart.stop(cluster);
                let (interval, session) = (
                    self.settings.heartbeat_interval,
                    self.settings.session_timeout,
                );
                let heart = Heart::new(interval, session, cluster);
                self.generation = joined.generation;
                self.attempts = 0;
                self.last = Some(LastAssignment {
                    generation_id: joined.generation,
                    partitions: partitions.clone(),
                });
                self.state = State::Stable { heart };
                self.events.push_back(MemberEvent::Assigned(partitions));
                // What has happened since the shares were made.
                if self.watched.has_changed(cluster) {
                    self.want(RebalanceCause::TopicsChanged);
                }
            }
            other @ (State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Sharing { .. }
            | State::Stable { .. }
            | State::Leaving { .. }
            | State::Failed(_)) => self.state = other,
        }
        Next::Done
    }
}

fn unreadable(error: impl core::fmt::Display, step: Step) -> Error {
    Error::new(ErrorKind::Protocol)
        .in_step(step)
        .with_detail(error)
        .with_hint("another member of the group, or the broker, breaks the protocol of consumers")
}
