//! Owns a classic group: its members, its generation, and what it waits for.
//!
//! Must not know connections, requests' frames or other groups. Time comes in with each call; answers to requests that waited come out as
//! [`Replies`]. The rules are those of Kafka's `GroupMetadataManager` and `ClassicGroup`.
//!
//! ```text
//!              a member joins            all have joined, or time is up       the leader's SyncGroup
//!   Empty ----------------> Preparing ------------------------> Completing ------------------> Stable
//!     ^                      |  ^  ^                                |                            |
//!     +---- nobody is left --+  |  +---- a member joins, leaves ----+                            |
//!                               +------- or dies, a leader joins again --------------------------+
//! ```

mod join;
mod member;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use klamm::messages::{JoinGroupResponse, JoinGroupResponseMember, SyncGroupResponse};
use klamm::{Duration, ErrorCode, Instant, Str};

use crate::config::GroupConfig;
use crate::connection::ConnectionKey;
pub(crate) use join::Join;
pub(crate) use member::millis;
use member::{Member, Session, Waiting};

/// The answer to a request that waited.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

/// Answers, and over which connections they go.
pub(crate) type Replies = Vec<(ConnectionKey, Reply)>;

/// The first delay of a group (`group.initial.rebalance.delay.ms`), which is extended while members come.
#[derive(Clone, Copy, Debug)]
struct Initial {
    delay: Duration,
    /// What is left of the rebalance timeout after this delay.
    remaining: Duration,
    /// A member came since the delay began.
    extended: bool,
}

/// Members that got an answer to JoinGroup and have not asked for their share yet.
#[derive(Clone, Debug, Default)]
struct Syncs {
    missing: BTreeSet<Str>,
    /// Who is missing then is out.
    until: Instant,
}

#[derive(Clone, Debug, Default)]
enum Phase {
    #[default]
    Empty,
    /// Members join, until all have or the time is up.
    Preparing {
        until: Instant,
        initial: Option<Initial>,
    },
    /// A generation was begun, and its assignment is not known.
    Completing(Syncs),
    Stable(Syncs),
}

/// What outlives the coordinator, because it is in its log.
#[derive(Clone, Debug, Default)]
struct Persisted {
    generation: i32,
    protocol_type: Option<Str>,
    protocol: Option<Str>,
    leader: Option<Str>,
    members: Vec<Member>,
}

/// Something that is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Join,
    Sync,
    Session(Str),
    Pending(Str),
}

/// A group whose members assign the partitions themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClassicGroup {
    phase: Phase,
    generation: i32,
    protocol_type: Option<Str>,
    /// The protocol that the members voted for.
    protocol: Option<Str>,
    leader: Option<Str>,
    /// In the order in which they came.
    members: Vec<Member>,
    /// KIP-394: ids that were given out and have not come back, and until when they may.
    pending: BTreeMap<Str, Instant>,
    persisted: Persisted,
}

impl ClassicGroup {
    /// Kafka's name of the state.
    pub(crate) fn state(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::Preparing { .. } => "PreparingRebalance",
            Phase::Completing(_) => "CompletingRebalance",
            Phase::Stable(_) => "Stable",
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.phase, Phase::Empty)
    }

    pub(crate) fn is_stable(&self) -> bool {
        matches!(self.phase, Phase::Stable(_))
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn leader(&self) -> Option<&Str> {
        self.leader.as_ref()
    }

    pub(crate) fn protocol_type(&self) -> Option<&Str> {
        self.protocol_type.as_ref()
    }

    pub(crate) fn protocol(&self) -> Option<&Str> {
        self.protocol.as_ref()
    }

    /// The members as tools see them: subscriptions only of a stable group, assignments as they were given last.
    pub(crate) fn described(&self) -> impl Iterator<Item = Described<'_>> {
        let stable = self.is_stable();
        self.members.iter().map(move |member| Described {
            member_id: &member.id,
            instance_id: member.instance.as_ref(),
            client_id: &member.client_id,
            metadata: match &self.protocol {
                Some(protocol) if stable => member.metadata(protocol),
                Some(_) | None => bytes::Bytes::new(),
            },
            assignment: member.assignment.clone(),
        })
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.members.iter().position(|member| member.id == *id)
    }

    fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }

    fn member_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == *id)
    }

    fn by_instance(&self, instance: &str) -> Option<&Member> {
        let mut members = self.members.iter();
        members.find(|member| member.instance.as_deref() == Some(instance))
    }

    fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// KIP-345: the instance must belong to the member id, and the member must be one.
    fn check_member(&self, id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.by_instance(instance) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(member) if member.id != *id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        let member = self.member(id);
        member.map(|_| ()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// The longest of all members' timeouts.
    fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.iter().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or(Duration::ZERO)
    }

    fn all_have_joined(&self) -> bool {
        self.pending.is_empty() && self.members.iter().all(Member::awaits_join)
    }

    fn awaiting_join(&self) -> usize {
        let waiting = self.members.iter().filter(|member| member.awaits_join());
        waiting.count()
    }

    /// What a member is told of the generation: the leader also of all members.
    fn joined(&self, id: &Str) -> JoinGroupResponse {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|member| JoinGroupResponseMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance.clone(),
            metadata: member.metadata(protocol),
        });
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: id.clone(),
            members: if self.is_leader(id) {
                members.collect()
            } else {
                Vec::new()
            },
            ..JoinGroupResponse::default()
        }
    }

    /// Takes a member out, and tells its JoinGroup, if one waits.
    fn remove(&mut self, id: &str, replies: &mut Replies) {
        self.pending.remove(id);
        if let Phase::Completing(syncs) | Phase::Stable(syncs) = &mut self.phase {
            syncs.missing.remove(id);
        }
        let Some(place) = self.place(id) else {
            return;
        };
        let removed = self.members.remove(place);
        match removed.waiting {
            Waiting::Join(waiter) => {
                // Kafka lets a member that was taken out while it joined try again under a new id.
                let refused = refused_join(Str::EMPTY, ErrorCode::UNKNOWN_MEMBER_ID);
                replies.push((waiter, Reply::Join(refused)));
            }
            // Kafka never answers the SyncGroup of a member that is gone.
            Waiting::Sync(_) | Waiting::Nothing => {}
        }
        if self.is_leader(&removed.id) {
            self.leader = self.members.first().map(|member| member.id.clone());
        }
    }

    /// What is due next.
    fn next_due(&self) -> Option<(Instant, Due)> {
        let phase = match &self.phase {
            Phase::Preparing { until, .. } => Some((*until, Due::Join)),
            Phase::Completing(syncs) | Phase::Stable(syncs) if !syncs.missing.is_empty() => {
                Some((syncs.until, Due::Sync))
            }
            Phase::Empty | Phase::Completing(_) | Phase::Stable(_) => None,
        };
        let sessions = self.members.iter().filter_map(|member| {
            let end = member.session_end()?;
            Some((end, Due::Session(member.id.clone())))
        });
        let pending = self.pending.iter();
        let pending = pending.map(|(id, until)| (*until, Due::Pending(id.clone())));
        phase.into_iter().chain(sessions).chain(pending).min()
    }

    /// When [`advance`](Self::advance) is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next_due().map(|(at, _)| at)
    }

    /// Lets happen what is due at `now`.
    pub(crate) fn advance(&mut self, now: Instant, config: &GroupConfig) -> Replies {
        let mut replies = Replies::new();
        while let Some((at, due)) = self.next_due()
            && at <= now
        {
            match due {
                Due::Join => self.join_due(now, config, &mut replies),
                Due::Sync => self.sync_due(now, &mut replies),
                Due::Session(id) => self.session_over(&id, now, &mut replies),
                Due::Pending(id) => {
                    self.remove(&id, &mut replies);
                    self.complete_early(now, &mut replies);
                }
            }
        }
        replies
    }

    fn session_over(&mut self, id: &Str, now: Instant, replies: &mut Replies) {
        let Some(member) = self.member_mut(id) else {
            return;
        };
        let satisfied = match (member.session, member.waiting) {
            // A member that joined for the first time may be gone for good, also while it waits.
            (Session::New { .. }, _) | (_, Waiting::Nothing) => false,
            (_, Waiting::Join(_) | Waiting::Sync(_)) => true,
        };
        if satisfied {
            member.session = Session::Satisfied;
            return;
        }
        self.remove(id, replies);
        match self.phase {
            Phase::Completing(_) | Phase::Stable(_) => self.prepare(now, None, replies),
            Phase::Preparing { .. } => self.complete_early(now, replies),
            Phase::Empty => {}
        }
    }

    /// Members left: the others rebalance.
    fn rebalance_without(&mut self, now: Instant, replies: &mut Replies) {
        match self.phase {
            Phase::Completing(_) | Phase::Stable(_) => self.prepare(now, None, replies),
            Phase::Preparing { .. } => self.complete_if_all_joined(now, replies),
            Phase::Empty => {}
        }
    }

    /// The coordinator is another one, or none any more: those who wait are told so. What was in its log is left, and
    /// the sessions of members begin anew.
    pub(crate) fn reload(&mut self, now: Instant) -> Replies {
        let waiting = self
            .members
            .iter()
            .filter_map(|member| match member.waiting {
                Waiting::Nothing => None,
                Waiting::Join(waiter) => {
                    let refused = refused_join(member.id.clone(), ErrorCode::NOT_COORDINATOR);
                    Some((waiter, Reply::Join(refused)))
                }
                Waiting::Sync(waiter) => {
                    let refused = refused_sync(ErrorCode::NOT_COORDINATOR);
                    Some((waiter, Reply::Sync(refused)))
                }
            });
        let replies = waiting.collect();
        let persisted = self.persisted.clone();
        *self = Self {
            phase: if persisted.members.is_empty() {
                Phase::Empty
            } else {
                Phase::Stable(Syncs::default())
            },
            generation: persisted.generation,
            protocol_type: persisted.protocol_type.clone(),
            protocol: persisted.protocol.clone(),
            leader: persisted.leader.clone(),
            members: persisted.members.clone(),
            pending: BTreeMap::new(),
            persisted,
        };
        for member in &mut self.members {
            member.begin_session(now);
        }
        replies
    }

    /// Writes the group to the coordinator's log.
    fn persist(&mut self) {
        let members = self.members.iter().map(|member| Member {
            waiting: Waiting::Nothing,
            ..member.clone()
        });
        self.persisted = Persisted {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        };
    }
}

/// A member as tools see it.
#[derive(Debug)]
pub(crate) struct Described<'a> {
    pub(crate) member_id: &'a Str,
    pub(crate) instance_id: Option<&'a Str>,
    pub(crate) client_id: &'a Str,
    pub(crate) metadata: bytes::Bytes,
    pub(crate) assignment: bytes::Bytes,
}

/// A JoinGroup is refused.
pub(crate) fn refused_join(member_id: Str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.0,
        member_id,
        ..JoinGroupResponse::default()
    }
}

/// A SyncGroup is refused.
pub(crate) fn refused_sync(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: error.0,
        ..SyncGroupResponse::default()
    }
}
