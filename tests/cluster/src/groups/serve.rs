//! Owns JoinGroup, SyncGroup, Heartbeat and LeaveGroup as requests.
//!
//! Must not know how a group decides.

use klamm::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, LeaveGroupRequest, LeaveGroupResponse,
    MemberIdentity, MemberResponse, SyncGroupRequest,
};
use klamm::{ErrorCode, Str};

use super::Members;
use super::classic::{ClassicGroup, Join, Replies, Reply, refused_join, refused_sync};
use crate::cluster::Cluster;
use crate::connection::{Call, State};
use crate::dispatch::Handled;
use crate::faults::Moment;
use crate::random::Purpose;

/// The first version of LeaveGroup for several members (KIP-345).
const MEMBERS_FROM: i16 = 3;
/// From this version on SyncGroup must name protocol and type (KIP-559).
const PROTOCOL_REQUIRED_FROM: i16 = 5;

impl Cluster {
    pub(crate) fn serve_join_group(
        &mut self,
        mut call: Call,
        request: JoinGroupRequest,
    ) -> Option<Handled> {
        let key = call.connection;
        let fault = call.met.answers.top(Moment::Before);
        let refused = fault.or_else(|| self.check_join(&call, &request).err());
        let unknown = !request.member_id.is_empty();
        let id = request.group_id.detached();
        let join = Join {
            waiter: key,
            version: call.version,
            client_id: call.client_id.clone(),
            fresh_id: self.fresh_member_id(&call, &request),
            request,
        };
        self.park(key, State::AwaitingGroup(Box::new(call)));
        let refused = match refused {
            // Only who has no id yet can be the first member.
            None if unknown && self.groups.get(&id).is_none() => Some(ErrorCode::UNKNOWN_MEMBER_ID),
            other => other,
        };
        if let Some(error) = refused {
            let refused = refused_join(join.request.member_id, error);
            self.replies.push_back((key, Reply::Join(refused)));
            return None;
        }
        self.group_or_new(&id);
        let (now, config) = (self.now, self.config.groups.clone());
        self.with_members(&id, |members| match members.as_classic() {
            Some(group) => ((), group.join(&join, now, &config)),
            // Members of both protocols in one group are not modelled.
            None => {
                let error = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
                let refused = refused_join(join.request.member_id.clone(), error);
                ((), vec![(key, Reply::Join(refused))])
            }
        });
        None
    }

    fn check_join(&self, call: &Call, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        let config = &self.config.groups;
        if request.group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let session = super::classic::millis(request.session_timeout_ms);
        if session < config.min_session_timeout || session > config.max_session_timeout {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        self.check_coordinator(call.broker, &request.group_id)
    }

    /// The id for a member that has none: who it is, and something that nobody else has.
    fn fresh_member_id(&mut self, call: &Call, request: &JoinGroupRequest) -> Str {
        if !request.member_id.is_empty() {
            return Str::EMPTY;
        }
        let high = self.random.next(Purpose::MemberId);
        let low = self.random.next(Purpose::MemberId);
        let who = request.group_instance_id.as_ref();
        let who = who.unwrap_or(&call.client_id);
        let unique = format!("{high:016x}{low:016x}");
        // As Java writes a UUID.
        let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &unique[part]);
        Str::from(format!("{who}-{a}-{b}-{c}-{d}-{e}"))
    }

    pub(crate) fn serve_sync_group(
        &mut self,
        mut call: Call,
        request: SyncGroupRequest,
    ) -> Option<Handled> {
        let key = call.connection;
        let fault = call.met.answers.top(Moment::Before);
        let refused = fault.or_else(|| self.check_sync(&call, &request).err());
        self.park(key, State::AwaitingGroup(Box::new(call)));
        let now = self.now;
        let synced = match refused {
            Some(error) => Err(error),
            None => self.with_classic(&request.group_id, |group| {
                ((), group.sync(key, &request, now))
            }),
        };
        if let Err(error) = synced {
            let refused = Reply::Sync(refused_sync(error));
            self.replies.push_back((key, refused));
        }
        None
    }

    /// Does something with a group that has members of the classic protocol.
    fn with_classic<T>(
        &mut self,
        id: &Str,
        what: impl FnOnce(&mut ClassicGroup) -> (T, Replies),
    ) -> Result<T, ErrorCode> {
        let done = self.with_members(id, |members| match members {
            Members::Classic(group) => {
                let (result, replies) = what(group);
                (Ok(result), replies)
            }
            Members::Consumer(_) => (Err(ErrorCode::UNKNOWN_MEMBER_ID), Vec::new()),
        });
        done.unwrap_or(Err(ErrorCode::UNKNOWN_MEMBER_ID))
    }

    fn check_sync(&self, call: &Call, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        let named = request.protocol_type.is_some() && request.protocol_name.is_some();
        if call.version >= PROTOCOL_REQUIRED_FROM && !named {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if request.group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.check_coordinator(call.broker, &request.group_id)
    }

    pub(crate) fn serve_heartbeat(
        &mut self,
        mut call: Call,
        request: HeartbeatRequest,
    ) -> Option<Handled> {
        let before = call.met.answers.top(Moment::Before);
        let after = call.met.answers.top(Moment::After);
        let beaten = match before {
            Some(error) => Err(error),
            None => self.heartbeat(&call, &request),
        };
        let beaten = after.map_or(beaten, Err);
        let response = HeartbeatResponse {
            throttle_time_ms: self.throttle_ms(),
            error_code: beaten.err().unwrap_or(ErrorCode::NONE).0,
        };
        let outcome = self.answer::<HeartbeatRequest>(&call, &response);
        Some((call, outcome))
    }

    fn heartbeat(&mut self, call: &Call, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        match self.check_coordinator(call.broker, &request.group_id) {
            // Whoever asks is believed until the group is loaded.
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => return Ok(()),
            checked => checked?,
        }
        let now = self.now;
        self.with_classic(&request.group_id, |group| {
            (group.heartbeat(request, now), Vec::new())
        })?
    }

    pub(crate) fn serve_leave_group(
        &mut self,
        mut call: Call,
        request: LeaveGroupRequest,
    ) -> Option<Handled> {
        let before = call.met.answers.top(Moment::Before);
        let after = call.met.answers.top(Moment::After);
        let leaving = if call.version >= MEMBERS_FROM {
            request.members
        } else {
            vec![MemberIdentity {
                member_id: request.member_id,
                ..MemberIdentity::default()
            }]
        };
        let left = match before {
            Some(error) => Err(error),
            None => self.leave(&call, &request.group_id, &leaving),
        };
        let left = after.map_or(left, Err);
        let mut response = LeaveGroupResponse {
            throttle_time_ms: self.throttle_ms(),
            error_code: left.as_ref().err().map_or(0, |error| error.0),
            members: left.unwrap_or_default(),
        };
        if call.version < MEMBERS_FROM {
            // The only member's error is that of all.
            let member = response.members.drain(..).next();
            let error = member.map_or(0, |member| member.error_code);
            response.error_code = response.error_code.max(error);
        }
        let outcome = self.answer::<LeaveGroupRequest>(&call, &response);
        Some((call, outcome))
    }

    fn leave(
        &mut self,
        call: &Call,
        group: &Str,
        leaving: &[MemberIdentity],
    ) -> Result<Vec<MemberResponse>, ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.check_coordinator(call.broker, group)?;
        let now = self.now;
        let left = self.with_classic(group, |group| group.leave(leaving, now));
        Ok(left.unwrap_or_else(|_| {
            let unknown = leaving.iter().map(|identity| MemberResponse {
                member_id: identity.member_id.clone(),
                group_instance_id: identity.group_instance_id.clone(),
                error_code: ErrorCode::UNKNOWN_MEMBER_ID.0,
            });
            unknown.collect()
        }))
    }
}
