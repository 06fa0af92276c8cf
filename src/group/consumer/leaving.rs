//! Owns the way out of a group: the heartbeat that says good-bye, until it is answered or the session is over anyway.
//!
//! Must not know what the member owned.

use super::actions::{self, Leaving};
use super::{Asking, Member, SESSION, State};
use crate::cluster::{Answer, Cluster, FailureCause, SendOptions};
use crate::engine::NodeId;
use crate::error_code::ErrorCode;
use crate::group::asking::ask;
use crate::group::lane::{Next, open};
use crate::group::membership::{Departure, Farewell};
use crate::group::timers;
use crate::messages::ConsumerGroupHeartbeatRequest;
use crate::random::Random;
use crate::timer::RoleTimer;
use crate::wire::Str;

/// The epoch of a member that leaves.
const LEAVING: i32 = -1;
/// The epoch of a static member that leaves: what it has is kept for it (KIP-345).
const LEAVING_FOR_A_WHILE: i32 = -2;

impl Member {
    /// Leaves the group.
    pub(crate) fn leave(&mut self, departure: Departure, cluster: &mut Cluster) {
        self.wanted = None;
        let told = match &self.state {
            State::Leaving { .. } => return,
            State::Joined { .. } => true,
            // Whether an answer came or not: it may be a member already.
            State::Joining { step, .. } => matches!(step, Asking::InFlight(_)) || self.attempts > 0,
            State::Outside | State::Unjoined | State::Refused(_) | State::Failed(_) => false,
        };
        self.go_out(State::Outside, cluster);
        if !told {
            self.farewell = Farewell::Heard;
            return;
        }
        self.attempts = 0;
        let timer = RoleTimer {
            kind: timers::SESSION,
            index: 0,
            why: "a group that was left forgets the member by itself",
        };
        self.state = State::Leaving {
            step: Asking::Due,
            epoch: match (departure, &self.settings.instance_id) {
                (Departure::InOrder, Some(_)) => LEAVING_FOR_A_WHILE,
                (Departure::InOrder, None) | (Departure::Unattended, _) => LEAVING,
            },
            session: cluster.arm(cluster.now() + SESSION, timer),
        };
    }

    /// No member any more; one again if that is wanted meanwhile.
    pub(super) fn left(&mut self, farewell: Farewell, cluster: &mut Cluster) {
        self.farewell = farewell;
        self.attempts = 0;
        let state = match self.wanted {
            Some(_) => State::Unjoined,
            None => State::Outside,
        };
        self.go_out(state, cluster);
    }

    pub(super) fn send_leave(&mut self, node: NodeId, group: &Str, cluster: &mut Cluster) {
        let State::Leaving {
            step: Asking::Due,
            epoch,
            ..
        } = self.state
        else {
            return;
        };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.clone(),
            member_id: self.member_id.clone(),
            member_epoch: epoch,
            instance_id: self.settings.instance_id.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let options = SendOptions::new(self.settings.request_timeout);
        let Some(token) = ask(request, node, options, cluster) else {
            return;
        };
        if let Some(step) = self.step_mut() {
            *step = Asking::InFlight(token);
        }
    }

    pub(super) fn on_leave_answer(
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
        let (action, next) = match answer {
            Ok(answer) => match actions::of_leave(ErrorCode(answer.error_code)) {
                Leaving::Rediscover => (Leaving::Retry, Next::Elsewhere),
                other @ (Leaving::Left | Leaving::Retry | Leaving::GiveUp) => (other, Next::Done),
            },
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
            Leaving::Retry | Leaving::Rediscover => self.pause(random, cluster),
        }
        next
    }
}
