//! Owns JoinGroup: who becomes a member, and when a generation begins.
//!
//! Must not know assignments.

use std::collections::BTreeMap;

use klamm::messages::JoinGroupRequest;
use klamm::{ErrorCode, Instant, Str};

use super::member::{Member, Waiting};
use super::{ClassicGroup, Initial, Phase, Replies, Reply, Syncs, refused_join, refused_sync};
use crate::config::GroupConfig;
use crate::connection::ConnectionKey;

/// From this version of JoinGroup on a new member is sent away to come back with the id that it is given (KIP-394).
const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// From this version on a static leader that comes back is told not to assign anything (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;

/// A JoinGroup.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) waiter: ConnectionKey,
    pub(crate) version: i16,
    pub(crate) client_id: Str,
    /// The id that the member gets if it has none.
    pub(crate) fresh_id: Str,
    pub(crate) request: JoinGroupRequest,
}

impl ClassicGroup {
    /// A member joins, or joins again.
    pub(crate) fn join(&mut self, join: &Join, now: Instant, config: &GroupConfig) -> Replies {
        let mut replies = Replies::new();
        let id = &join.request.member_id;
        if !self.has_room_for(id, config) {
            self.remove(id, &mut replies);
            let refused = refused_join(Str::EMPTY, ErrorCode::GROUP_MAX_SIZE_REACHED);
            replies.push((join.waiter, Reply::Join(refused)));
        } else if !self.supports(&join.request) {
            let refused = refused_join(id.clone(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
            replies.push((join.waiter, Reply::Join(refused)));
        } else if id.is_empty() {
            self.join_new(join, now, config, &mut replies);
        } else {
            self.join_known(join, now, config, &mut replies);
        }
        replies
    }

    /// `group.max.size`: while members gather it counts those who came, so that the last ones are out.
    fn has_room_for(&self, id: &str, config: &GroupConfig) -> bool {
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                self.member(id).is_some_and(Member::awaits_join)
                    || self.awaiting_join() < config.max_size
            }
            Phase::Completing(_) | Phase::Stable(_) => {
                self.member(id).is_some() || self.members.len() < config.max_size
            }
        }
    }

    fn supports(&self, request: &JoinGroupRequest) -> bool {
        let mut offered = request.protocols.iter();
        if self.is_empty() {
            return !request.protocol_type.is_empty() && offered.len() > 0;
        }
        let all_support = |name: &str| self.members.iter().all(|member| member.supports(name));
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && offered.any(|protocol| all_support(&protocol.name))
    }

    fn join_new(&mut self, join: &Join, now: Instant, config: &GroupConfig, replies: &mut Replies) {
        let id = join.fresh_id.clone();
        let instance = join.request.group_instance_id.as_deref();
        match instance {
            Some(instance) => match self.by_instance(instance) {
                Some(known) => {
                    let known = known.id.clone();
                    self.replace(&known, join, now, config, replies);
                }
                None => self.add(id, join, now, config, replies),
            },
            None if join.version >= MEMBER_ID_REQUIRED_FROM => {
                let until = now + super::member::millis(join.request.session_timeout_ms);
                self.pending.insert(id.clone(), until);
                let refused = refused_join(id, ErrorCode::MEMBER_ID_REQUIRED);
                replies.push((join.waiter, Reply::Join(refused)));
            }
            None => self.add(id, join, now, config, replies),
        }
    }

    fn join_known(
        &mut self,
        join: &Join,
        now: Instant,
        config: &GroupConfig,
        replies: &mut Replies,
    ) {
        let id = &join.request.member_id;
        if self.pending.contains_key(id) {
            return self.add(id.detached(), join, now, config, replies);
        }
        let instance = join.request.group_instance_id.as_deref();
        if let Err(error) = self.check_member(id, instance) {
            let refused = refused_join(id.clone(), error);
            return replies.push((join.waiter, Reply::Join(refused)));
        }
        let unchanged = self.member(id).is_some_and(|member| {
            // Also the order counts, as it is a preference.
            member.protocols == join.request.protocols
        });
        let rebalance = match self.phase {
            // Nobody can be a member of an empty group.
            Phase::Empty => {
                let refused = refused_join(id.clone(), ErrorCode::UNKNOWN_MEMBER_ID);
                return replies.push((join.waiter, Reply::Join(refused)));
            }
            Phase::Preparing { .. } => true,
            // It may have missed the answer.
            Phase::Completing(_) => !unchanged,
            // The leader asks for a rebalance when what it knows of topics changed.
            Phase::Stable(_) => self.is_leader(id) || !unchanged,
        };
        if rebalance {
            self.update(id, join, replies);
            self.prepare_or_complete(now, config, replies);
        } else {
            let members = match self.phase {
                Phase::Stable(_) => Vec::new(),
                Phase::Empty | Phase::Preparing { .. } | Phase::Completing(_) => {
                    self.joined(id).members
                }
            };
            let mut told = self.joined(id);
            told.members = members;
            replies.push((join.waiter, Reply::Join(told)));
        }
    }

    /// A member says anew what it can, and waits for the generation.
    fn update(&mut self, id: &str, join: &Join, replies: &mut Replies) {
        if let Some(member) = self.member_mut(id) {
            member.update(&join.request);
            let before = std::mem::replace(&mut member.waiting, Waiting::Join(join.waiter));
            // Who joined before over another connection is never answered there.
            if let Waiting::Sync(waiter) = before {
                let refused = refused_sync(ErrorCode::REBALANCE_IN_PROGRESS);
                replies.push((waiter, Reply::Sync(refused)));
            }
        }
    }

    fn add(
        &mut self,
        id: Str,
        join: &Join,
        now: Instant,
        config: &GroupConfig,
        replies: &mut Replies,
    ) {
        if let Phase::Preparing {
            initial: Some(initial),
            ..
        } = &mut self.phase
        {
            initial.extended = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.request.protocol_type.detached());
        }
        self.pending.remove(&id);
        let until = now + config.new_member_join_timeout;
        let client_id = join.client_id.detached();
        let mut member = Member::new(id, client_id, &join.request, until);
        member.waiting = Waiting::Join(join.waiter);
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.push(member);
        self.prepare_or_complete(now, config, replies);
    }

    /// KIP-345: an instance comes back under a new member id, and whoever had the old one is fenced.
    fn replace(
        &mut self,
        old: &Str,
        join: &Join,
        now: Instant,
        config: &GroupConfig,
        replies: &mut Replies,
    ) {
        let leader_before = self.leader.clone();
        let id = join.fresh_id.clone();
        let Some(member) = self.member_mut(old) else {
            return;
        };
        let fenced = ErrorCode::FENCED_INSTANCE_ID;
        let waiting = std::mem::replace(&mut member.waiting, Waiting::Join(join.waiter));
        match waiting {
            Waiting::Nothing => {}
            Waiting::Join(waiter) => {
                replies.push((waiter, Reply::Join(refused_join(old.clone(), fenced))));
            }
            Waiting::Sync(waiter) => replies.push((waiter, Reply::Sync(refused_sync(fenced)))),
        }
        member.id = id.clone();
        member.begin_session(now);
        member.update(&join.request);
        if self.is_leader(old) {
            self.leader = Some(id.clone());
        }
        match &mut self.phase {
            Phase::Stable(syncs) => {
                syncs.missing.remove(old);
                if self.protocol != Some(self.vote()) {
                    return self.prepare(now, Some(config), replies);
                }
                if let Some(member) = self.member_mut(&id) {
                    member.waiting = Waiting::Nothing;
                }
                self.persist();
                let mut told = self.joined(&id);
                if join.version >= SKIP_ASSIGNMENT_FROM {
                    told.skip_assignment = self.is_leader(&id);
                } else {
                    // An old client that heard that it leads would assign.
                    told.leader = leader_before.unwrap_or_default();
                    told.members = Vec::new();
                }
                replies.push((join.waiter, Reply::Join(told)));
            }
            // The leader may assign to the old id, so it has to begin again.
            Phase::Completing(_) => self.prepare(now, Some(config), replies),
            Phase::Preparing { .. } => self.complete_if_all_joined(now, replies),
            Phase::Empty => {}
        }
    }

    fn prepare_or_complete(&mut self, now: Instant, config: &GroupConfig, replies: &mut Replies) {
        match self.phase {
            Phase::Empty | Phase::Completing(_) | Phase::Stable(_) => {
                self.prepare(now, Some(config), replies);
            }
            Phase::Preparing { .. } => self.complete_if_all_joined(now, replies),
        }
    }

    /// Begins a rebalance. `config` is there where the group may have been empty.
    pub(super) fn prepare(
        &mut self,
        now: Instant,
        config: Option<&GroupConfig>,
        replies: &mut Replies,
    ) {
        if matches!(self.phase, Phase::Completing(_)) {
            self.refuse_syncs(now, replies);
        }
        let timeout = self.rebalance_timeout();
        match (&self.phase, config) {
            (Phase::Empty, Some(config)) => {
                let delay = config.initial_rebalance_delay;
                let initial = Initial {
                    delay,
                    remaining: timeout.saturating_sub(delay),
                    extended: false,
                };
                self.phase = Phase::Preparing {
                    until: now + delay,
                    initial: Some(initial),
                };
            }
            (_, _) => {
                self.phase = Phase::Preparing {
                    until: now + timeout,
                    initial: None,
                };
                self.complete_if_all_joined(now, replies);
            }
        }
    }

    /// The time to join is up.
    pub(super) fn join_due(&mut self, now: Instant, config: &GroupConfig, replies: &mut Replies) {
        if let Phase::Preparing {
            until,
            initial: Some(initial),
        } = &mut self.phase
            && initial.extended
            && !initial.remaining.is_zero()
        {
            let delay = config.initial_rebalance_delay.min(initial.remaining);
            *until = now + delay;
            *initial = Initial {
                delay,
                remaining: initial.remaining.saturating_sub(initial.delay),
                extended: false,
            };
            return;
        }
        self.complete(now, replies);
    }

    pub(super) fn complete_if_all_joined(&mut self, now: Instant, replies: &mut Replies) {
        // The first rebalance of a group waits its time in any case.
        if matches!(self.phase, Phase::Preparing { initial: None, .. }) && self.all_have_joined() {
            self.complete(now, replies);
        }
    }

    /// Somebody who was waited for is out. In Kafka this ends the first delay of a group too.
    pub(super) fn complete_early(&mut self, now: Instant, replies: &mut Replies) {
        if matches!(self.phase, Phase::Preparing { .. }) && self.all_have_joined() {
            self.complete(now, replies);
        }
    }

    /// Begins a generation with those who are there.
    fn complete(&mut self, now: Instant, replies: &mut Replies) {
        let gone = self.members.iter();
        let gone = gone.filter(|member| !member.awaits_join() && member.instance.is_none());
        let gone: Vec<_> = gone.map(|member| member.id.clone()).collect();
        for id in gone {
            self.remove(&id, replies);
        }
        if !self.members.is_empty() && !self.elect() {
            // Only static members are left, and none of them came: their sessions decide.
            self.phase = Phase::Preparing {
                until: now + self.rebalance_timeout(),
                initial: None,
            };
            return;
        }
        self.generation += 1;
        if self.members.is_empty() {
            self.protocol = None;
            self.phase = Phase::Empty;
            self.persist();
            return;
        }
        self.protocol = Some(self.vote());
        let mut syncs = Syncs {
            until: now + self.rebalance_timeout(),
            ..Syncs::default()
        };
        for place in 0..self.members.len() {
            let id = self.members[place].id.clone();
            let told = self.joined(&id);
            let member = &mut self.members[place];
            if let Waiting::Join(waiter) = member.waiting {
                member.waiting = Waiting::Nothing;
                replies.push((waiter, Reply::Join(told)));
            }
            member.begin_session(now);
            syncs.missing.insert(id);
        }
        self.phase = Phase::Completing(syncs);
    }

    /// Makes sure that the leader is one of those who joined.
    fn elect(&mut self) -> bool {
        let leader = self.leader.as_deref().and_then(|id| self.member(id));
        if leader.is_some_and(Member::awaits_join) {
            return true;
        }
        let mut joined = self.members.iter().filter(|member| member.awaits_join());
        match joined.next() {
            Some(next) => {
                self.leader = Some(next.id.clone());
                true
            }
            None => false,
        }
    }

    /// The protocol that most members prefer among those that all can.
    fn vote(&self) -> Str {
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        for member in &self.members {
            let mut names = member.protocols.iter().map(|protocol| &protocol.name);
            let vote = names.find(|name| self.members.iter().all(|other| other.supports(name)));
            if let Some(vote) = vote {
                *votes.entry(vote).or_default() += 1;
            }
        }
        let chosen = votes.into_iter().max_by_key(|(_, count)| *count);
        chosen.map(|(name, _)| name.detached()).unwrap_or_default()
    }
}
