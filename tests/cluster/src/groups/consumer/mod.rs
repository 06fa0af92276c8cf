//! Owns a consumer group (KIP-848): its members, its epoch, and the assignment that they move towards, one heartbeat at a time.
//!
//! Must not know connections, frames or other groups. What topics there are is told to it.
//!
//! The group's epoch grows when members, their topics or the topics themselves change; the next heartbeat then makes a new
//! target assignment of that epoch. A member first gives up what it is not to have, then gets what nobody holds any more.

pub(crate) mod assignors;
mod member;

use std::collections::BTreeMap;

use klamm::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use klamm::{ErrorCode, Instant, Str, Uuid};

use crate::config::GroupConfig;
use crate::topology::Image;
use assignors::{ASSIGNORS, Partitions, Wish, assign};
use member::{Member, Stage};

/// The member leaves.
const LEAVE: i32 = -1;
/// The instance leaves for a while: what it has is kept for it (KIP-345).
const LEAVE_FOR_A_WHILE: i32 = -2;

/// A heartbeat.
#[derive(Debug)]
pub(crate) struct Heartbeat<'a> {
    pub(crate) client_id: &'a Str,
    /// The id that the member gets if it has none.
    pub(crate) fresh_id: Str,
    pub(crate) request: &'a ConsumerGroupHeartbeatRequest,
    pub(crate) topics: &'a Image,
}

/// A member as tools see it.
#[derive(Debug)]
pub(crate) struct Described<'a> {
    pub(crate) id: &'a Str,
    pub(crate) instance: Option<&'a Str>,
    pub(crate) rack: Option<&'a Str>,
    pub(crate) client_id: &'a Str,
    pub(crate) epoch: i32,
    pub(crate) topics: Vec<Str>,
    /// A regular expression; empty: none.
    pub(crate) pattern: Str,
    pub(crate) assigned: Partitions,
    pub(crate) target: Partitions,
}

/// A group whose coordinator assigns the partitions.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroup {
    epoch: i32,
    /// The epoch of the target assignment.
    target_epoch: i32,
    /// When the target assignment was made.
    assigned_at: Option<Instant>,
    target: BTreeMap<Str, Partitions>,
    members: BTreeMap<Str, Member>,
    /// The topics that members want, as they were when the epoch last grew.
    topics: BTreeMap<Str, (Uuid, i32)>,
}

impl Default for ConsumerGroup {
    /// Without members. The first one that wants topics makes it epoch 2, as in Kafka.
    fn default() -> Self {
        Self {
            epoch: 1,
            target_epoch: 0,
            assigned_at: None,
            target: BTreeMap::new(),
            members: BTreeMap::new(),
            topics: BTreeMap::new(),
        }
    }
}

impl ConsumerGroup {
    /// Kafka's name of the state.
    pub(crate) fn state(&self) -> &'static str {
        let mut members = self.members.values();
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if members.all(|member| member.is_reconciled(self.target_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn assignment_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// The assignor that most members ask for.
    pub(crate) fn assignor(&self) -> Str {
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        let voters = self.members.values();
        for vote in voters.filter_map(|member| member.assignor.as_ref()) {
            *votes.entry(vote).or_default() += 1;
        }
        let chosen = votes.into_iter().max_by_key(|(_, count)| *count);
        chosen.map_or(Str::from_static(ASSIGNORS[0]), |(name, _)| name.clone())
    }

    pub(crate) fn described(&self) -> impl Iterator<Item = Described<'_>> {
        self.members.values().map(|member| Described {
            id: &member.id,
            instance: member.instance.as_ref(),
            rack: member.rack.as_ref(),
            client_id: &member.client_id,
            epoch: member.epoch,
            topics: member.topics.iter().cloned().collect(),
            pattern: member
                .pattern
                .as_ref()
                .map_or(Str::EMPTY, |pattern| Str::from(pattern.as_str())),
            assigned: assigned(member),
            target: self.target.get(&member.id).cloned().unwrap_or_default(),
        })
    }

    /// A member joins, lives, changes or leaves.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Heartbeat<'_>,
        now: Instant,
        config: &GroupConfig,
    ) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let request = beat.request;
        if matches!(request.member_epoch, LEAVE | LEAVE_FOR_A_WHILE) {
            return self.leave(request);
        }
        let is_member = self.members.contains_key(&request.member_id);
        if !is_member && self.members.len() >= config.max_size {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        let id = self.admit(beat, now)?;
        let Some(member) = self.members.get_mut(&id) else {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        };
        let before = member.assigned.clone();
        let changed = member.update(beat.client_id, request);
        member.session = now + config.consumer_session_timeout;
        self.note_topics(beat.topics, changed);
        let interval = config.consumer_assignment_interval;
        let waits = self.assigned_at.is_some_and(|at| now < at + interval);
        if self.epoch > self.target_epoch && !waits {
            self.assign();
            self.assigned_at = Some(now);
        }
        self.reconcile(&id, request, changed, now);
        let Some(member) = self.members.get(&id) else {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        };
        let whole = request.rebalance_timeout_ms != -1
            && request.subscribed_topic_names.is_some()
            && request.topic_partitions.is_some();
        let tells = request.member_epoch == 0 || whole || member.assigned != before;
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(id),
            member_epoch: member.epoch,
            heartbeat_interval_ms: i32::try_from(config.consumer_heartbeat_interval.as_millis())
                .unwrap_or(i32::MAX),
            assignment: tells.then(|| told(&assigned(member))),
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// Who sends the heartbeat: a member, or one that becomes it by epoch 0.
    fn admit(&mut self, beat: &Heartbeat<'_>, now: Instant) -> Result<Str, ErrorCode> {
        let request = beat.request;
        let joins = request.member_epoch == 0;
        let id = if request.member_id.is_empty() {
            beat.fresh_id.clone()
        } else {
            request.member_id.detached()
        };
        let known = request.instance_id.as_ref().and_then(|instance| {
            let mut members = self.members.values();
            members.find(|member| member.instance.as_ref() == Some(instance))
        });
        match (&request.instance_id, known, joins) {
            (None, _, true) | (Some(_), None, true) => {
                let new = Member::new(id.clone(), now);
                self.members.entry(id.clone()).or_insert(new);
            }
            (None, _, false) => {
                let member = self.members.get(&id);
                member
                    .ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
                    .check_epoch(request)?;
            }
            (Some(_), None, false) => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            (Some(_), Some(known), true) => {
                if known.epoch != LEAVE_FOR_A_WHILE {
                    return Err(ErrorCode::UNRELEASED_INSTANCE_ID);
                }
                let old = known.id.clone();
                self.replace(&old, &id);
            }
            (Some(_), Some(known), false) => {
                if known.id != id {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
                known.check_epoch(request)?;
            }
        }
        Ok(id)
    }

    /// An instance comes back under another member id, to what it had.
    fn replace(&mut self, old: &Str, new: &Str) {
        if let Some(mut member) = self.members.remove(old) {
            member.id = new.clone();
            member.epoch = 0;
            member.previous_epoch = 0;
            self.members.insert(new.clone(), member);
        }
        if let Some(target) = self.target.remove(old) {
            self.target.insert(new.clone(), target);
        }
    }

    fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let id = match &request.instance_id {
            None => &request.member_id,
            Some(instance) => {
                let mut members = self.members.values();
                let known = members.find(|member| member.instance.as_ref() == Some(instance));
                let known = known.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
                if known.id != request.member_id {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
                &request.member_id
            }
        };
        let member = self.members.get_mut(id);
        let member = member.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if request.instance_id.is_some() && request.member_epoch == LEAVE_FOR_A_WHILE {
            member.epoch = LEAVE_FOR_A_WHILE;
            member.stage = Stage::Stable;
            for epoch in member.assigned.values_mut().flat_map(BTreeMap::values_mut) {
                *epoch = 0;
            }
        } else {
            self.fence(&request.member_id);
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// A member is out, and the others are to have what it had.
    fn fence(&mut self, id: &Str) {
        if self.members.remove(id).is_some() {
            self.target.remove(id);
            self.epoch += 1;
        }
    }

    /// Looks whether members want other topics than before, or the topics are others.
    fn note_topics(&mut self, image: &Image, changed: bool) {
        let wanted = |name: &str| self.members.values().any(|member| member.wants(name));
        let wanted = image.topics().filter(|topic| wanted(&topic.name));
        let topics: BTreeMap<_, _> = wanted
            .map(|topic| {
                let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                (Str::from(topic.name.as_str()), (topic.id, count))
            })
            .collect();
        if changed || topics != self.topics {
            self.topics = topics;
            self.epoch += 1;
        }
    }

    /// Makes the target assignment of the group's epoch.
    fn assign(&mut self) {
        let wishes: Vec<_> = self
            .members
            .values()
            .map(|member| Wish {
                member: &member.id,
                instance: member.instance.as_ref(),
                topics: self.topics_of(member),
                before: self.target.get(&member.id).cloned().unwrap_or_default(),
            })
            .collect();
        let target = assign(&self.assignor(), &wishes);
        self.target = target;
        self.target_epoch = self.epoch;
    }

    fn topics_of(&self, member: &Member) -> BTreeMap<Uuid, i32> {
        let topics = self.topics.iter();
        topics
            .filter(|(name, _)| member.wants(name))
            .map(|(_, topic)| *topic)
            .collect()
    }

    fn reconcile(
        &mut self,
        id: &Str,
        request: &ConsumerGroupHeartbeatRequest,
        changed: bool,
        now: Instant,
    ) {
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        if changed || !member.is_reconciled(self.target_epoch) {
            let mut target = self.target.get(id).cloned().unwrap_or_default();
            let topics = self.topics_of(&member);
            target.retain(|topic, _| topics.contains_key(topic));
            let others = &self.members;
            let is_held = |topic, index| others.values().any(|other| other.holds(topic, index));
            let owned = request.topic_partitions.as_deref();
            member.reconcile(&target, self.target_epoch, owned, is_held, now);
        }
        self.members.insert(id.clone(), member);
    }

    fn next_due(&self) -> Option<(Instant, Str)> {
        let ends = self.members.values().map(|member| {
            let end = match &member.stage {
                Stage::Revoking { until, .. } => member.session.min(*until),
                Stage::Stable | Stage::Waiting => member.session,
            };
            (end, member.id.clone())
        });
        ends.min()
    }

    /// When [`advance`](Self::advance) is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next_due().map(|(at, _)| at)
    }

    /// Members that were silent for too long, or did not give up what they were told to, are out.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some((at, id)) = self.next_due()
            && at <= now
        {
            self.fence(&id);
        }
    }

    /// Another coordinator read the group from the log, where all of it is; sessions begin anew.
    pub(crate) fn reload(&mut self, now: Instant, config: &GroupConfig) {
        for member in self.members.values_mut() {
            member.session = now + config.consumer_session_timeout;
            if let Stage::Revoking { until, .. } = &mut member.stage {
                *until = now + member.rebalance_timeout;
            }
        }
    }

    /// Whether commits in `epoch` are taken from the member; then for which partitions.
    pub(crate) fn check_commit(
        &self,
        epoch: i32,
        id: &str,
        partitions: impl IntoIterator<Item = (Uuid, i32)>,
    ) -> Result<(), ErrorCode> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let may = |(topic, index)| member.may_commit(epoch, topic, index);
        if epoch > member.epoch || !partitions.into_iter().all(may) {
            return Err(ErrorCode::STALE_MEMBER_EPOCH);
        }
        Ok(())
    }

    /// Whether there is such a member.
    pub(crate) fn check_member(&self, id: &str) -> Result<(), ErrorCode> {
        let member = self.members.get(id);
        member.map(|_| ()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// Whether the member may ask for offsets in `epoch`; who names no member may.
    pub(crate) fn check_fetch(&self, epoch: i32, id: Option<&str>) -> Result<(), ErrorCode> {
        match id {
            None if epoch < 0 => Ok(()),
            id => {
                let member = self.members.get(id.unwrap_or_default());
                let member = member.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
                if member.epoch == epoch {
                    Ok(())
                } else {
                    Err(ErrorCode::STALE_MEMBER_EPOCH)
                }
            }
        }
    }
}

fn assigned(member: &Member) -> Partitions {
    let assigned = member.assigned.iter();
    assigned
        .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
        .collect()
}

fn told(assigned: &Partitions) -> klamm::messages::ConsumerGroupHeartbeatAssignment {
    let topics = assigned.iter().map(|(topic, partitions)| {
        klamm::messages::ConsumerGroupHeartbeatResponseTopicPartitions {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
        }
    });
    klamm::messages::ConsumerGroupHeartbeatAssignment {
        topic_partitions: topics.collect(),
    }
}
