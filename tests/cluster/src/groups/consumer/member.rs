//! Owns a member of a consumer group (KIP-848): what it wants, what it has, and how far it is on its way to what it is to have.
//!
//! Must not know the other members; what they hold is told to it.

use std::collections::{BTreeMap, BTreeSet};

use klamm::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatTopicPartitions};
use klamm::{Duration, ErrorCode, Instant, Str, TopicPattern, Uuid};

use super::assignors::Partitions;
use crate::groups::classic::millis;

/// Partitions with the epochs in which they were assigned, by topic.
pub(super) type Assigned = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has all that it is to have in its epoch.
    Stable,
    /// It is to give these up first.
    Revoking {
        partitions: Assigned,
        until: Instant,
    },
    /// Others hold what it is to get.
    Waiting,
}

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: Str,
    pub(super) instance: Option<Str>,
    pub(super) rack: Option<Str>,
    pub(super) client_id: Str,
    pub(super) rebalance_timeout: Duration,
    pub(super) topics: BTreeSet<Str>,
    /// All that match this, too.
    pub(super) pattern: Option<TopicPattern>,
    pub(super) assignor: Option<Str>,
    /// The epoch that it was told; -2 for an instance that is away for a while.
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) stage: Stage,
    pub(super) assigned: Assigned,
    pub(super) session: Instant,
}

impl Member {
    pub(super) fn new(id: Str, now: Instant) -> Self {
        Self {
            id,
            instance: None,
            rack: None,
            client_id: Str::EMPTY,
            rebalance_timeout: Duration::ZERO,
            topics: BTreeSet::new(),
            pattern: None,
            assignor: None,
            epoch: 0,
            previous_epoch: 0,
            stage: Stage::Stable,
            assigned: Assigned::new(),
            session: now,
        }
    }

    /// Takes over what a heartbeat says; null means "as before". Returns whether it wants other topics now.
    pub(super) fn update(
        &mut self,
        client_id: &Str,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> bool {
        self.client_id = client_id.detached();
        let keep = |known: &mut Option<Str>, said: &Option<Str>| {
            if let Some(said) = said {
                *known = Some(said.detached());
            }
        };
        keep(&mut self.instance, &request.instance_id);
        keep(&mut self.rack, &request.rack_id);
        keep(&mut self.assignor, &request.server_assignor);
        if request.rebalance_timeout_ms != -1 {
            self.rebalance_timeout = millis(request.rebalance_timeout_ms);
        }
        let before = (self.topics.clone(), self.pattern.clone());
        if let Some(names) = &request.subscribed_topic_names {
            self.topics = names.iter().map(Str::detached).collect();
        }
        if let Some(expression) = &request.subscribed_topic_regex {
            // An empty one takes the one before back; one that cannot be read was refused.
            let expression = Some(expression).filter(|expression| !expression.is_empty());
            self.pattern = expression.and_then(|text| TopicPattern::parse(text).ok());
        }
        before != (self.topics.clone(), self.pattern.clone())
    }

    /// Whether it wants a topic.
    pub(super) fn wants(&self, topic: &str) -> bool {
        let pattern = self.pattern.as_ref();
        self.topics.contains(topic) || pattern.is_some_and(|pattern| pattern.matches(topic))
    }

    /// KIP-848: a newer epoch was never told, and an older one only counts if the answer with the newer may be lost.
    pub(super) fn check_epoch(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let epoch = request.member_epoch;
        if epoch == 0 || epoch == self.epoch {
            return Ok(());
        }
        let within = |owned: &ConsumerGroupHeartbeatTopicPartitions| {
            let assigned = self.assigned.get(&owned.topic_id);
            let mut partitions = owned.partitions.iter();
            assigned.is_some_and(|assigned| partitions.all(|index| assigned.contains_key(index)))
        };
        let owned = request.topic_partitions.as_deref();
        if epoch == self.previous_epoch && owned.is_some_and(|owned| owned.iter().all(within)) {
            return Ok(());
        }
        Err(ErrorCode::FENCED_MEMBER_EPOCH)
    }

    /// Whether it has all that it is to have in the epoch of the assignment.
    pub(super) fn is_reconciled(&self, target_epoch: i32) -> bool {
        self.epoch == target_epoch && self.stage == Stage::Stable
    }

    /// All that nobody else may have: what it has, and what it has not given up.
    pub(super) fn holds(&self, topic: Uuid, index: i32) -> bool {
        let held = |assigned: &Assigned| {
            let of_topic = assigned.get(&topic);
            of_topic.is_some_and(|partitions| partitions.contains_key(&index))
        };
        held(&self.assigned) || self.is_revoking(topic, index)
    }

    fn is_revoking(&self, topic: Uuid, index: i32) -> bool {
        match &self.stage {
            Stage::Revoking { partitions, .. } => partitions
                .get(&topic)
                .is_some_and(|revoking| revoking.contains_key(&index)),
            Stage::Stable | Stage::Waiting => false,
        }
    }

    /// Goes on towards `target`, as far as what it owns and what others hold allows.
    pub(super) fn reconcile(
        &mut self,
        target: &Partitions,
        target_epoch: i32,
        owned: Option<&[ConsumerGroupHeartbeatTopicPartitions]>,
        is_held: impl Fn(Uuid, i32) -> bool,
        now: Instant,
    ) {
        if let Stage::Revoking { partitions, .. } = &self.stage
            && owns_any(owned, partitions)
        {
            return;
        }
        let mut kept = Assigned::new();
        let mut revoked = Assigned::new();
        for (topic, partitions) in &self.assigned {
            for (index, epoch) in partitions {
                let wanted = target.get(topic).is_some_and(|set| set.contains(index));
                let place = if wanted { &mut kept } else { &mut revoked };
                place.entry(*topic).or_default().insert(*index, *epoch);
            }
        }
        if !revoked.is_empty() && owns_any(owned, &revoked) {
            self.assigned = kept;
            self.stage = Stage::Revoking {
                partitions: revoked,
                until: now + self.rebalance_timeout,
            };
            return;
        }
        let mut waiting = false;
        for (topic, set) in target {
            for index in set {
                let has = kept.get(topic).is_some_and(|has| has.contains_key(index));
                if has {
                    continue;
                }
                if is_held(*topic, *index) {
                    waiting = true;
                } else {
                    kept.entry(*topic).or_default().insert(*index, target_epoch);
                }
            }
        }
        self.assigned = kept;
        self.stage = if waiting {
            Stage::Waiting
        } else {
            Stage::Stable
        };
        if self.epoch != target_epoch {
            self.previous_epoch = self.epoch;
            self.epoch = target_epoch;
        }
    }

    /// Whether a commit in `epoch` is taken for a partition: that of the member, or one since it was assigned.
    pub(super) fn may_commit(&self, epoch: i32, topic: Uuid, index: i32) -> bool {
        let since = |assigned: &Assigned| assigned.get(&topic)?.get(&index).copied();
        let revoking = match &self.stage {
            Stage::Revoking { partitions, .. } => since(partitions),
            Stage::Stable | Stage::Waiting => None,
        };
        epoch == self.epoch
            || since(&self.assigned)
                .or(revoking)
                .is_some_and(|since| epoch >= since)
    }
}

/// Whether the member says that it still owns some of these; who says nothing does.
fn owns_any(
    owned: Option<&[ConsumerGroupHeartbeatTopicPartitions]>,
    partitions: &Assigned,
) -> bool {
    let Some(owned) = owned else {
        return true;
    };
    owned.iter().any(|owned| {
        let of_topic = partitions.get(&owned.topic_id);
        let mut indices = owned.partitions.iter();
        of_topic.is_some_and(|asked| indices.any(|index| asked.contains_key(index)))
    })
}
