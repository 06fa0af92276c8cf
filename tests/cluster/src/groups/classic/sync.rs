//! Owns what members of a generation ask for: SyncGroup, Heartbeat, LeaveGroup, and whether they may commit.
//!
//! Must not know what an assignment says.

use bytes::Bytes;
use klamm::messages::{
    HeartbeatRequest, MemberIdentity, MemberResponse, SyncGroupRequest, SyncGroupResponse,
};
use klamm::{ErrorCode, Instant, Str};

use super::member::Waiting;
use super::{ClassicGroup, Phase, Replies, Reply, refused_sync};
use crate::connection::ConnectionKey;

impl ClassicGroup {
    /// A member asks for its share; the leader brings everybody's.
    pub(crate) fn sync(
        &mut self,
        waiter: ConnectionKey,
        request: &SyncGroupRequest,
        now: Instant,
    ) -> Replies {
        let mut replies = Replies::new();
        let id = &request.member_id;
        if let Err(error) = self.check_sync(request) {
            replies.push((waiter, Reply::Sync(refused_sync(error))));
            return replies;
        }
        match &mut self.phase {
            Phase::Empty => {
                let refused = refused_sync(ErrorCode::UNKNOWN_MEMBER_ID);
                replies.push((waiter, Reply::Sync(refused)));
            }
            Phase::Preparing { .. } => {
                let refused = refused_sync(ErrorCode::REBALANCE_IN_PROGRESS);
                replies.push((waiter, Reply::Sync(refused)));
            }
            Phase::Completing(syncs) => {
                syncs.missing.remove(id);
                if let Some(member) = self.member_mut(id) {
                    member.waiting = Waiting::Sync(waiter);
                }
                if self.is_leader(id) {
                    self.assign(request, now, &mut replies);
                }
            }
            Phase::Stable(syncs) => {
                syncs.missing.remove(id);
                let assignment = self.member(id).map(|member| member.assignment.clone());
                let told = self.synced(assignment.unwrap_or_default());
                replies.push((waiter, Reply::Sync(told)));
            }
        }
        replies
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        if self.is_empty() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |said: &Option<Str>, known: &Option<Str>| {
            said.is_some() && known.is_some() && said != known
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    /// Hands out what the leader brought; who is not named gets nothing.
    fn assign(&mut self, request: &SyncGroupRequest, now: Instant, replies: &mut Replies) {
        for member in &mut self.members {
            let mut brought = request.assignments.iter();
            let share = brought.find(|share| share.member_id == member.id);
            member.assignment = share.map_or_else(Bytes::new, |share| share.assignment.clone());
        }
        for place in 0..self.members.len() {
            let told = self.synced(self.members[place].assignment.clone());
            let member = &mut self.members[place];
            if let Waiting::Sync(waiter) = member.waiting {
                member.waiting = Waiting::Nothing;
                member.begin_session(now);
                replies.push((waiter, Reply::Sync(told)));
            }
        }
        if let Phase::Completing(syncs) = &mut self.phase {
            self.phase = Phase::Stable(std::mem::take(syncs));
        }
        self.persist();
    }

    fn synced(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
            ..SyncGroupResponse::default()
        }
    }

    /// A rebalance came before the assignment.
    pub(super) fn refuse_syncs(&mut self, now: Instant, replies: &mut Replies) {
        for member in &mut self.members {
            member.assignment = Bytes::new();
            if let Waiting::Sync(waiter) = member.waiting {
                member.waiting = Waiting::Nothing;
                member.begin_session(now);
                let refused = refused_sync(ErrorCode::REBALANCE_IN_PROGRESS);
                replies.push((waiter, Reply::Sync(refused)));
            }
        }
    }

    /// Who has not asked for its share until now is out.
    pub(super) fn sync_due(&mut self, now: Instant, replies: &mut Replies) {
        let (Phase::Completing(syncs) | Phase::Stable(syncs)) = &mut self.phase else {
            return;
        };
        for id in std::mem::take(&mut syncs.missing) {
            self.remove(&id, replies);
        }
        self.prepare(now, None, replies);
    }

    /// A member lives; the error tells it of a rebalance.
    pub(crate) fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let id = &request.member_id;
        self.check_member(id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        if let Some(member) = self.member_mut(id) {
            member.renew_session(now);
        }
        match self.phase {
            Phase::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Phase::Preparing { .. } => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::Completing(_) | Phase::Stable(_) => Ok(()),
        }
    }

    /// Members leave, or an operator takes instances out.
    pub(crate) fn leave(
        &mut self,
        leaving: &[MemberIdentity],
        now: Instant,
    ) -> (Vec<MemberResponse>, Replies) {
        let mut replies = Replies::new();
        let mut told = Vec::with_capacity(leaving.len());
        for identity in leaving {
            let left = self.leave_one(identity, &mut replies);
            told.push(MemberResponse {
                member_id: identity.member_id.clone(),
                group_instance_id: identity.group_instance_id.clone(),
                error_code: left.err().unwrap_or(ErrorCode::NONE).0,
            });
        }
        if told.iter().any(|member| member.error_code == 0) {
            self.rebalance_without(now, &mut replies);
        }
        (told, replies)
    }

    fn leave_one(
        &mut self,
        identity: &MemberIdentity,
        replies: &mut Replies,
    ) -> Result<(), ErrorCode> {
        let id = &identity.member_id;
        let instance = identity.group_instance_id.as_deref();
        let leaving = if id.is_empty() {
            // By its instance alone, as an operator takes a static member out.
            let known = instance.and_then(|instance| self.by_instance(instance));
            known.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?.id.clone()
        } else {
            if !self.pending.contains_key(id) {
                self.check_member(id, instance)?;
            }
            id.clone()
        };
        self.remove(&leaving, replies);
        Ok(())
    }

    /// Whether a commit of this member and generation is taken. One that is keeps the member alive.
    pub(crate) fn check_commit(
        &mut self,
        generation: i32,
        id: &str,
        instance: Option<&str>,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation >= 0 || !id.is_empty() || instance.is_some() {
            self.check_member(id, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
        } else {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        match self.phase {
            // It knows of the generation, but owns nothing in it yet.
            Phase::Completing(_) => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::Stable(_) | Phase::Preparing { .. } => {
                if let Some(member) = self.member_mut(id) {
                    member.renew_session(now);
                }
                Ok(())
            }
            Phase::Empty => Ok(()),
        }
    }
}
