//! Owns the way out of a group: LeaveGroup, until it is acknowledged or the session is over anyway.
//!
//! Must not know what the member owned.

use super::actions::{self, Leaving};
use super::{Member, State};
use crate::cluster::{Answer, Cluster, FailureCause, Reach, SendOptions};
use crate::engine::{ConnectionGroup, NodeId};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::group::asking::{Asking, ask};
use crate::group::lane::{Next, open};
use crate::group::membership::Farewell;
use crate::group::timers;
use crate::messages::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use crate::random::Random;
use crate::timer::RoleTimer;
use crate::wire::Str;

/// From this version on several members can be taken out at once, each with its instance id (KIP-345).
const SEVERAL_SINCE: i16 = 3;

impl Member {
    /// Leaves the group. A static member does not say so: it comes back under its name (KIP-345).
    pub(crate) fn leave(&mut self, reason: &'static str, cluster: &mut Cluster) {
        self.wanted = None;
        if let State::Leaving { .. } = self.state {
            return;
        }
        // The coordinator answers in order: the join that it holds back would hold the good-bye back, too.
        if self.is_parked()
            && let Some(Asking::InFlight(token)) = self.step()
        {
            let why = Error::new(ErrorKind::Closed).in_step(Step::LeaveGroup);
            cluster.break_connection(*token, why);
        }
        let may_be_joining = matches!(self.step(), Some(Asking::InFlight(_)));
        self.go_out(State::Outside, cluster);
        if self.settings.instance_id.is_some() {
            return self.left(Farewell::Heard, cluster);
        }
        if self.member_id.is_empty() {
            let farewell = match may_be_joining {
                true => Farewell::Unheard,
                false => Farewell::Heard,
            };
            return self.left(farewell, cluster);
        }
        self.attempts = 0;
        let timer = RoleTimer {
            kind: timers::SESSION,
            index: 0,
            why: "a group that was left forgets the member by itself",
        };
        let session = cluster.arm(cluster.now() + self.settings.session_timeout, timer);
        self.state = State::Leaving {
            step: Asking::Due,
            reason: Str::from_static(reason),
            session,
        };
    }

    /// No member any more; one again if that is wanted meanwhile.
    pub(super) fn left(&mut self, farewell: Farewell, cluster: &mut Cluster) {
        self.farewell = farewell;
        self.member_id = Str::EMPTY;
        self.last = None;
        self.attempts = 0;
        let state = match self.wanted {
            Some(_) => State::Unjoined,
            None => State::Outside,
        };
        self.go_out(state, cluster);
    }

    pub(super) fn send_leave(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        let State::Leaving { reason, .. } = &self.state else {
            return;
        };
        let several = match cluster.reach(node, ConnectionGroup::Coordination) {
            Reach::Pending => return,
            Reach::Ready(versions) => versions
                .max_version::<LeaveGroupRequest>()
                .is_some_and(|version| version >= SEVERAL_SINCE),
        };
        let request = match several {
            true => LeaveGroupRequest {
                group_id: group.clone(),
                members: alloc::vec![MemberIdentity {
                    member_id: self.member_id.clone(),
                    group_instance_id: None,
                    reason: Some(reason.clone()),
                }],
                ..LeaveGroupRequest::default()
            },
            false => LeaveGroupRequest {
                group_id: group.clone(),
                member_id: self.member_id.clone(),
                ..LeaveGroupRequest::default()
            },
        };
        let options = SendOptions::new(self.settings.request_timeout);
        let Some(token) = ask(request, node, options, cluster) else {
            return;
        };
        if let State::Leaving { step, .. } = &mut self.state {
            *step = Asking::InFlight(token);
        }
    }

    pub(super) fn on_leave_answer(
        &mut self,
        answer: Answer,
        random: &mut Random,
        cluster: &mut Cluster,
    ) -> Next {
        let answer = open::<LeaveGroupRequest>(answer, |answer| answer.throttle_time_ms, cluster);
        let (action, next) = match answer {
            Ok(answer) => {
                let action = actions::of_leave(code_of(&answer));
                let next = match action {
                    Leaving::Rediscover => Next::Elsewhere,
                    Leaving::Left | Leaving::Retry | Leaving::GiveUp => Next::Done,
                };
                (action, next)
            }
            Err(failed) => match failed.cause {
                FailureCause::Unsupported | FailureCause::Closed => (Leaving::GiveUp, Next::Done),
                FailureCause::Disconnected | FailureCause::TimedOut => {
                    (Leaving::Retry, Next::Elsewhere)
                }
            },
        };
        match action {
            Leaving::Left => self.left(Farewell::Heard, cluster),
            Leaving::GiveUp => self.left(Farewell::Unheard, cluster),
            Leaving::Retry | Leaving::Rediscover => {
                let pause = self.back_off(random, cluster);
                if let State::Leaving { step, .. } = &mut self.state {
                    *step = pause;
                }
            }
        }
        next
    }
}

/// What the coordinator says: of the request, or of the one member that it names.
fn code_of(answer: &LeaveGroupResponse) -> ErrorCode {
    match (ErrorCode(answer.error_code), answer.members.first()) {
        (ErrorCode::NONE, Some(member)) => ErrorCode(member.error_code),
        (code, Some(_) | None) => code,
    }
}
