//! Owns the heartbeat of a member, which joins, tells what has changed, and brings what is assigned.
//!
//! Must not know how a member leaves, nor what is done with an assignment.

use alloc::vec::Vec;

use super::actions::{self, Beating};
use super::assignment::told;
use super::{Asking, Beat, JOINING, Known, Member, SESSION, SINCE, State};
use crate::cluster::{Answer, Cluster, FailureCause, Reach, RequestError, SendOptions};
use crate::engine::{ConnectionGroup, NodeId, Peer};
use crate::error::{Error, ErrorKind, Step, printable};
use crate::error_code::ErrorCode;
use crate::group::asking::{ask, millis};
use crate::group::lane::{Next, open};
use crate::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::random::Random;
use crate::time::Duration;
use crate::wire::Str;

/// However small an interval a coordinator names.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

impl Member {
    pub(super) fn send_heartbeat(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        if !self.is_due() {
            return;
        }
        match cluster.reach(node, ConnectionGroup::Coordination) {
            Reach::Pending => return,
            Reach::Ready(versions) => {
                let version = versions.max_version::<ConsumerGroupHeartbeatRequest>();
                if version.is_none_or(|version| version < SINCE) {
                    let error = unsupported().at_broker(Peer::Broker(node));
                    return self.refuse(error, cluster);
                }
            }
        }
        let request = self.heartbeat(group);
        let options = SendOptions::new(self.settings.request_timeout);
        let Some(token) = ask(request, node, options, cluster) else {
            return;
        };
        // Unless the answer says otherwise.
        self.known = Known::Holding(self.assignment.held().clone());
        if let Some(step) = self.step_mut() {
            *step = Asking::InFlight(token);
        }
    }

    /// What the coordinator knows is left out (KIP-848).
    fn heartbeat(&self, group: &Str) -> ConsumerGroupHeartbeatRequest {
        let member_epoch = match self.state {
            State::Joined { epoch, .. } => epoch,
            State::Outside
            | State::Unjoined
            | State::Joining { .. }
            | State::Leaving { .. }
            | State::Refused(_)
            | State::Failed(_) => JOINING,
        };
        let held = || told(self.assignment.held());
        let brief = ConsumerGroupHeartbeatRequest {
            group_id: group.clone(),
            member_id: self.member_id.clone(),
            member_epoch,
            instance_id: self.settings.instance_id.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        match &self.known {
            Known::Holding(known) if known == self.assignment.held() => brief,
            Known::Holding(_) | Known::Subscription => ConsumerGroupHeartbeatRequest {
                topic_partitions: Some(held()),
                ..brief
            },
            Known::Nothing => ConsumerGroupHeartbeatRequest {
                rack_id: match member_epoch {
                    JOINING => self.settings.rack.clone(),
                    _ => None,
                },
                rebalance_timeout_ms: millis(self.settings.rebalance_timeout),
                subscribed_topic_names: Some(self.topics.clone()),
                subscribed_topic_regex: Some(self.pattern.clone()),
                server_assignor: self.settings.remote_assignor.clone(),
                // Who joins holds nothing, and has to say so.
                topic_partitions: Some(match member_epoch {
                    JOINING => Vec::new(),
                    _ => held(),
                }),
                ..brief
            },
        }
    }

    pub(super) fn on_heartbeat_answer(
        &mut self,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        let answer = open::<ConsumerGroupHeartbeatRequest>(
            answer,
            |answer| answer.throttle_time_ms,
            cluster,
        );
        match answer {
            Ok(answer) => match ErrorCode(answer.error_code).check() {
                Ok(()) => {
                    self.on_heard(&answer, cluster);
                    Next::Done
                }
                Err(code) => self.on_refused(code, &answer, random, cluster),
            },
            Err(failed) => self.on_lost(failed, random, cluster),
        }
    }

    /// The coordinator has it as a member.
    fn on_heard(&mut self, answer: &ConsumerGroupHeartbeatResponse, cluster: &mut Cluster) {
        self.attempts = 0;
        let interval = u64::try_from(answer.heartbeat_interval_ms).unwrap_or_default();
        let interval = Duration::from_millis(interval).max(SHORTEST_INTERVAL);
        self.state = State::Joined {
            epoch: answer.member_epoch,
            beat: Beat::Asking(Asking::Due),
        };
        if let Some(assignment) = &answer.assignment {
            let news = self.assignment.assign(assignment);
            if let (true, Known::Holding(_)) = (news, &self.known) {
                self.known = Known::Subscription;
            }
        }
        // What has changed while it was under way is told at once; a new assignment is acknowledged when it is held.
        let changed = match &self.known {
            Known::Nothing => true,
            Known::Subscription => false,
            Known::Holding(held) => held != self.assignment.held(),
        };
        if !changed {
            self.rest(interval, cluster);
        }
    }

    /// There was no answer.
    fn on_lost(
        &mut self,
        failed: RequestError,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        // What the coordinator has heard of it is not certain.
        self.known = Known::Nothing;
        match failed.cause {
            FailureCause::Unsupported => {
                self.refuse(unsupported().with_detail(failed.error), cluster);
                Next::Done
            }
            FailureCause::Closed => {
                self.fail(failed.error, cluster);
                Next::Done
            }
            FailureCause::Disconnected | FailureCause::TimedOut => {
                self.ask_again(random, cluster);
                Next::Elsewhere
            }
        }
    }

    fn on_refused(
        &mut self,
        code: ErrorCode,
        answer: &ConsumerGroupHeartbeatResponse,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        // After an error the coordinator is to be told everything again (KIP-848).
        self.known = Known::Nothing;
        let joining = matches!(self.state, State::Joining { .. });
        let error = refused(code, answer);
        match actions::of_heartbeat(code) {
            Beating::Rediscover => {
                self.ask_again(random, cluster);
                return Next::Elsewhere;
            }
            Beating::Retry => self.pause(random, cluster),
            // Who has only just said that it joins is not lost, and does not try for ever without a pause.
            Beating::Lose if joining => self.pause(random, cluster),
            Beating::Lose => self.lose(error, cluster),
            Beating::AwaitRelease => self.await_release(error, random, cluster),
            Beating::Refuse if joining => self.refuse(error, cluster),
            // The group was deleted.
            Beating::Refuse if code == ErrorCode::GROUP_ID_NOT_FOUND => self.lose(error, cluster),
            Beating::Refuse => self.refuse(error, cluster),
            Beating::Fail => self.fail(error, cluster),
        }
        Next::Done
    }

    /// The name is still somebody's whose session may end: who crashed comes back under it. Twice the time that brokers give
    /// a session is enough.
    fn await_release(&mut self, error: Error, random: &mut Random, cluster: &mut Cluster) {
        let now = cluster.now();
        let since = match &mut self.state {
            State::Joining { unreleased, .. } => *unreleased.get_or_insert(now),
            State::Outside
            | State::Unjoined
            | State::Joined { .. }
            | State::Leaving { .. }
            | State::Refused(_)
            | State::Failed(_) => return self.lose(error, cluster),
        };
        if now.since(since) >= SESSION.saturating_mul(2) {
            self.fail(error, cluster);
        } else {
            self.pause(random, cluster);
        }
    }
}

fn unsupported() -> Error {
    let feature = "group.protocol=consumer".into();
    Error::new(ErrorKind::Unsupported { feature })
        .in_step(Step::Heartbeat)
        .with_hint(
            "it takes Kafka 4.0 with the feature group.version=1 and `consumer` in the broker's \
             group.coordinator.rebalance.protocols; set group.protocol=classic",
        )
}

fn refused(code: ErrorCode, answer: &ConsumerGroupHeartbeatResponse) -> Error {
    let error = match code {
        ErrorCode::UNSUPPORTED_VERSION => unsupported(),
        _ => Error::new(ErrorKind::Broker(code)).in_step(Step::Heartbeat),
    };
    let message = answer.error_message.as_ref();
    let error = match message.filter(|message| !message.is_empty()) {
        Some(message) => error.with_detail(printable(message)),
        None => error,
    };
    match code {
        ErrorCode::FENCED_INSTANCE_ID | ErrorCode::UNRELEASED_INSTANCE_ID => {
            error.with_hint("another consumer has the same group.instance.id: give each its own")
        }
        ErrorCode::UNSUPPORTED_ASSIGNOR => error.with_hint(
            "set group.remote.assignor to one of the broker's group.consumer.assignors, or to none",
        ),
        ErrorCode::GROUP_MAX_SIZE_REACHED => {
            error.with_hint("the broker's group.consumer.max.size allows no more members")
        }
        ErrorCode::GROUP_ID_NOT_FOUND => error.with_hint(
            "the group is a classic one that cannot be upgraded (the broker's group.consumer.migration.policy): set \
             group.protocol=classic",
        ),
        _ => error,
    }
}
