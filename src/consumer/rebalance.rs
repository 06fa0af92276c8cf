//! Owns what a rebalance means for the partitions: which go and which come, in which order, and what the user is asked.
//!
//! Must not know how the group comes to its decision.

use alloc::vec::Vec;

use super::PartitionKey;
use super::partition::{Missing, Ownership, Partition, Position, State};
use super::role::{ConsumerRole, Cx, Life, timers};
use super::types::{ConsumerEvent, RebalanceId, RebalanceKind, RebalanceListener, RebalanceReport};
use crate::assignor::{Assignor, RebalanceProtocol};
use crate::collections::VecMap;
use crate::engine::{OpId, TopicHandle, TopicPartition};
use crate::error::{Error, ErrorKind};
use crate::group::{Bid, Departure, Group, MemberChanges, MemberEvent, RebalanceCause};
use crate::time::Instant;
use crate::timer::{RoleTimer, TimerId};
use crate::wire::Str;

/// Until when a step of a rebalance may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    timer: TimerId,
}

/// What follows once partitions have gone.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// The member joins, as it wants to.
    Join,
    /// These come.
    Take(Vec<TopicPartition>),
    /// The member leaves.
    Leave(&'static str),
}

/// What the user is asked, and what follows.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// These slots go.
    Revoked { going: Vec<u32>, after: After },
    /// These slots have come; `released`: others have gone for them to come.
    Assigned { coming: Vec<u32>, released: bool },
    /// These are gone already, for this reason.
    Lost {
        partitions: Vec<TopicPartition>,
        why: Error,
    },
}

/// How far a rebalance is on this side.
///
/// ```text
/// Idle ──partitions go──▶ Committing ──▶ Asking(Revoked) ──▶ join, leave, or ┐
///  ▲  └──all are lost──▶ Asking(Lost)                                        │
///  └─────────────────────── Asking(Assigned) ◀──── partitions come ──────────┘
/// ```
#[derive(Debug)]
pub(super) enum Rebalance {
    Idle,
    /// What was dealt with of the partitions that go is being committed.
    Committing {
        op: OpId,
        going: Vec<u32>,
        after: After,
        until: Deadline,
    },
    /// The user has the word.
    Asking {
        id: RebalanceId,
        question: Question,
        until: Deadline,
    },
}

/// A rebalance that has not come to its end, for the report.
#[derive(Debug)]
pub(super) struct Course {
    cause: RebalanceCause,
    members: Option<MemberChanges>,
    generation: i32,
    revoked: Vec<TopicPartition>,
    assigned: Vec<TopicPartition>,
    began: Instant,
    /// When nothing stood against joining any more; as long as it is not so, when it began.
    joined: Instant,
    /// When the share had come.
    shared: Instant,
}

impl Course {
    const fn new(cause: RebalanceCause, now: Instant) -> Self {
        Self {
            cause,
            members: None,
            generation: -1,
            revoked: Vec::new(),
            assigned: Vec::new(),
            began: now,
            joined: now,
            shared: now,
        }
    }

    fn report(self, now: Instant) -> RebalanceReport {
        RebalanceReport {
            cause: self.cause,
            members: self.members,
            generation: self.generation,
            revoked: self.revoked,
            assigned: self.assigned,
            preparing: self.joined.since(self.began),
            joining: self.shared.since(self.joined),
            taking: now.since(self.shared),
        }
    }
}

impl Rebalance {
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    pub(super) const fn is_asking(&self) -> bool {
        matches!(self, Self::Asking { .. })
    }
}

impl ConsumerRole {
    /// Something happened to the membership.
    pub(super) fn on_member_event(&mut self, event: MemberEvent, cx: &mut Cx<'_>) {
        match event {
            MemberEvent::Assigned(partitions) => self.on_share(partitions, cx),
            MemberEvent::Lost(error) => self.lose_all(error, cx),
            MemberEvent::Failed(error) => {
                self.lose_all(error.clone(), cx);
                self.problem(error, cx);
            }
            MemberEvent::Unwatched(topics) => {
                for topic in topics {
                    self.forget_if_unused(topic, cx);
                }
            }
        }
    }

    /// Has the member join, or take on what it is given, if it wants to and nothing stands against it.
    pub(super) fn advance_rebalance(&mut self, cx: &mut Cx<'_>) {
        while let Some((cause, share)) = self.next_share(cx) {
            let now = cx.now();
            self.course.get_or_insert_with(|| Course::new(cause, now));
            self.on_share(share, cx);
        }
        let Some(group) = self.group.as_mut().filter(|_| self.rebalance.is_idle()) else {
            return;
        };
        group.settle_protocol(cx.cluster);
        let wanted = group.member().wants_to_join();
        let subscribed = self.subscription.topics().is_some();
        let Some(cause) = wanted.filter(|_| subscribed && self.life == Life::Open) else {
            return;
        };
        if !self.has_matched(cx) {
            return;
        }
        self.course = Some(Course::new(cause, cx.now()));
        // Eager members give up everything before they join; others only what they do not want any more (KIP-429, KIP-848).
        let going = match self.protocol() {
            RebalanceProtocol::Eager => self.assigned.taken(),
            RebalanceProtocol::Cooperative => {
                self.slots_where(|role, partition| !role.wants(&partition.topic))
            }
        };
        self.release(going, After::Join, cx);
    }

    /// What the coordinator has given the member, once everything of before is done.
    fn next_share(&mut self, cx: &mut Cx<'_>) -> Option<(RebalanceCause, Vec<TopicPartition>)> {
        let is_free = self.life == Life::Open && self.rebalance.is_idle();
        let group = self.group.as_mut().filter(|_| is_free)?;
        group.take_share(cx.cluster)
    }

    /// What is done with partitions before a join: by the classic protocol, what all of the configured assignors support.
    fn protocol(&self) -> RebalanceProtocol {
        if self
            .group
            .as_ref()
            .is_some_and(Group::is_of_consumer_protocol)
        {
            return RebalanceProtocol::Cooperative;
        }
        let assignors = self.settings.assignors.iter().copied();
        assignors
            .map(Assignor::protocol)
            .min()
            .unwrap_or(RebalanceProtocol::Eager)
    }

    fn wants(&self, topic: &str) -> bool {
        let topics = self.subscription.topics();
        topics.is_some_and(|topics| topics.wants(topic))
    }

    fn slots_where(&self, wanted: impl Fn(&Self, &Partition) -> bool) -> Vec<u32> {
        let chosen = |slot: &u32| {
            let partition = self.assigned.get(*slot);
            partition.is_some_and(|partition| wanted(self, partition))
        };
        self.assigned.slots().filter(chosen).collect()
    }

    /// A generation has begun, and these partitions are the member's.
    fn on_share(&mut self, partitions: Vec<TopicPartition>, cx: &mut Cx<'_>) {
        // Who is about to leave takes nothing on.
        if !self.rebalance.is_idle() || self.life != Life::Open {
            return;
        }
        // What was subscribed to when the member joined may not be any more: it joins again for that.
        let wanted = |name: &TopicPartition| name.partition >= 0 && self.wants(&name.topic);
        let share: VecMap<TopicPartition, ()> = partitions
            .into_iter()
            .filter(wanted)
            .map(|partition| (partition, ()))
            .collect();
        let going = self.slots_where(|_, partition| !share.contains_key(&partition.name()));
        let kept: VecMap<TopicPartition, ()> = self
            .assigned
            .iter()
            .map(|partition| (partition.name(), ()))
            .filter(|(name, ())| share.contains_key(name))
            .collect();
        if let (Some(course), Some(group)) = (&mut self.course, &self.group) {
            course.shared = cx.now();
            let standing = group.member().standing();
            course.generation = standing.map_or(-1, |standing| standing.generation);
            course.members = group.member().changes().cloned();
        }
        if let Some(group) = &mut self.group {
            group.on_share(|partition| kept.contains_key(partition), cx.cluster);
        }
        let coming = share.keys().filter(|name| !kept.contains_key(name));
        let coming = coming.cloned().collect();
        self.release(going, After::Take(coming), cx);
    }

    /// Lets partitions go: their offsets are committed, the user is asked, and then it goes on.
    pub(super) fn release(&mut self, going: Vec<u32>, after: After, cx: &mut Cx<'_>) {
        if going.is_empty() {
            return self.go_on_after(after, false, cx);
        }
        for slot in &going {
            if let Some(partition) = self.assigned.get_mut(*slot) {
                partition.ownership = Ownership::Going;
                // It waits for no memory any more.
                partition.supply.feed();
            }
            self.ready.retain(|ready| ready != slot);
            self.stop_starving(*slot, cx);
        }
        let until = self.rebalance_deadline(cx);
        match self.commit_covered(&going, cx) {
            Some(op) => {
                self.rebalance = Rebalance::Committing {
                    op,
                    going,
                    after,
                    until,
                }
            }
            None => self.ask(Question::Revoked { going, after }, until, cx),
        }
    }

    /// The commit of what goes has come to its end, whichever.
    pub(super) fn on_release_committed(&mut self, op: OpId, cx: &mut Cx<'_>) {
        match core::mem::replace(&mut self.rebalance, Rebalance::Idle) {
            Rebalance::Committing {
                op: own,
                going,
                after,
                until,
            } if own == op => self.ask(Question::Revoked { going, after }, until, cx),
            other @ (Rebalance::Idle | Rebalance::Committing { .. } | Rebalance::Asking { .. }) => {
                self.rebalance = other;
            }
        }
    }

    /// Until when the user may take, at the most: as long as the group waits.
    fn rebalance_deadline(&self, cx: &mut Cx<'_>) -> Deadline {
        let at = cx.now() + self.settings.max_poll_interval;
        let timer = RoleTimer {
            kind: timers::REBALANCE,
            index: 0,
            why: "a rebalance takes too long on this side",
        };
        let timer = cx.cluster.arm(at, timer);
        Deadline { at, timer }
    }

    /// Gives the user the word, if it wants it.
    fn ask(&mut self, question: Question, until: Deadline, cx: &mut Cx<'_>) {
        self.last_rebalance = self.last_rebalance.wrapping_add(1);
        let id = RebalanceId(self.last_rebalance);
        let (kind, partitions) = match &question {
            Question::Revoked { going, .. } => (RebalanceKind::Revoked, self.names(going)),
            Question::Assigned { coming, .. } => (RebalanceKind::Assigned, self.names(coming)),
            Question::Lost { partitions, why } => {
                (RebalanceKind::Lost(why.clone()), partitions.clone())
            }
        };
        let deadline = match self.listener {
            RebalanceListener::Asked => Some(until.at),
            RebalanceListener::Told => None,
        };
        self.rebalance = Rebalance::Asking {
            id,
            question,
            until,
        };
        let event = ConsumerEvent::Rebalance {
            id,
            kind,
            partitions,
            deadline,
        };
        cx.emit(event);
        if deadline.is_none() {
            self.answered(cx);
        }
    }

    fn names(&self, slots: &[u32]) -> Vec<TopicPartition> {
        let name = |slot: &u32| self.assigned.get(*slot).map(Partition::name);
        slots.iter().filter_map(name).collect()
    }

    /// The user has done what it had to do.
    ///
    /// # Errors
    /// Nothing of this name is asked (any more). Nothing changes.
    pub(super) fn rebalance_done(&mut self, id: RebalanceId, cx: &mut Cx<'_>) -> Result<(), Error> {
        match &self.rebalance {
            Rebalance::Asking { id: own, .. } if *own == id => {
                self.answered(cx);
                self.pump(cx);
                Ok(())
            }
            Rebalance::Asking { .. } | Rebalance::Committing { .. } | Rebalance::Idle => {
                Err(Error::new(ErrorKind::Misuse)
                    .with_detail("no such question about a rebalance is open")
                    .with_hint("answer each once, before its deadline"))
            }
        }
    }

    fn answered(&mut self, cx: &mut Cx<'_>) {
        let Rebalance::Asking {
            question, until, ..
        } = core::mem::replace(&mut self.rebalance, Rebalance::Idle)
        else {
            return;
        };
        cx.cluster.disarm(until.timer);
        match question {
            Question::Revoked { going, after } => {
                let revoked = self.names(&going);
                if let Some(course) = &mut self.course {
                    course.revoked.extend(revoked);
                }
                self.let_go(&going, cx);
                let held = self.assignment();
                // Who joins or leaves says so with that.
                if let (After::Take(_), Some(group)) = (&after, &mut self.group) {
                    group.on_released(&held, cx.cluster);
                }
                self.go_on_after(after, true, cx);
            }
            Question::Assigned { coming, released } => {
                self.begin_reading(&coming, cx);
                self.share_taken(released, cx);
            }
            Question::Lost { .. } => {}
        }
    }

    /// What was assigned has been taken on.
    fn share_taken(&mut self, released: bool, cx: &mut Cx<'_>) {
        if let Some(course) = self.course.take() {
            let report = course.report(cx.now());
            let took = (report.preparing)
                .saturating_add(report.joining)
                .saturating_add(report.taking);
            self.metrics.rebalance_total = self.metrics.rebalance_total.saturating_add(1);
            self.metrics.rebalance_latency.record(took);
            cx.emit(ConsumerEvent::Rebalanced(report));
        }
        let held = self.assignment();
        if let Some(group) = &mut self.group {
            group.on_taken(&held, released, cx.cluster);
        }
        self.match_again(cx);
    }

    fn go_on_after(&mut self, after: After, released: bool, cx: &mut Cx<'_>) {
        match after {
            After::Join => self.join(cx),
            After::Take(partitions) if partitions.is_empty() => self.share_taken(released, cx),
            After::Take(partitions) => {
                let coming = self.take_on(&partitions, cx);
                let until = self.rebalance_deadline(cx);
                self.ask(Question::Assigned { coming, released }, until, cx);
            }
            After::Leave(reason) => {
                if let Some(group) = &mut self.group {
                    group.leave(reason, Departure::InOrder, cx.cluster);
                }
                self.want_member_if_present();
            }
        }
    }

    fn join(&mut self, cx: &mut Cx<'_>) {
        let Some(topics) = self.subscription.topics() else {
            return;
        };
        let bid = Bid {
            topics: topics.names.keys().cloned().collect(),
            pattern: topics.pattern().map(|pattern| Str::from(pattern.as_str())),
            owned: self.assigned.iter().map(Partition::name).collect(),
        };
        if let Some(course) = &mut self.course {
            course.joined = cx.now();
        }
        if let Some(group) = &mut self.group {
            group.join(&bid, cx.cluster);
        }
    }

    /// Partitions come, each from where the group has committed; nothing is fetched before the user has heard of them.
    fn take_on(&mut self, partitions: &[TopicPartition], cx: &mut Cx<'_>) -> Vec<u32> {
        let mut coming = Vec::new();
        if let Some(course) = &mut self.course {
            course.assigned = partitions.to_vec();
        }
        for name in partitions {
            let key = PartitionKey {
                topic: cx.cluster.want_topic(&name.topic),
                partition: name.partition,
            };
            let version = self.next_version();
            let topic = name.topic.clone();
            let mut partition = Partition::new(key, topic, Position::Committed, version, cx.now());
            partition.ownership = Ownership::Coming;
            let slot = self.assigned.insert(partition);
            self.go_on(slot, cx);
            coming.push(slot);
        }
        self.refresh_leaders(cx);
        self.watch_missing(cx);
        coming
    }

    /// The user knows of them: they are fetched.
    fn begin_reading(&mut self, coming: &[u32], cx: &mut Cx<'_>) {
        for slot in coming {
            let Some(partition) = self.assigned.get_mut(*slot) else {
                continue;
            };
            partition.ownership = Ownership::Owned;
            if let Some(source) = partition.source() {
                self.brokers.touch(source);
            }
            self.offer(*slot, cx);
        }
    }

    /// The partitions are not the member's any more: not one record of them comes out from here on.
    fn let_go(&mut self, going: &[u32], cx: &mut Cx<'_>) {
        let mut topics: VecMap<TopicHandle, ()> = VecMap::new();
        for slot in going {
            self.discard(*slot, cx);
            let Some(mut partition) = self.assigned.remove(*slot) else {
                continue;
            };
            topics.insert(partition.key.topic, ());
            let nothing = State::AwaitingLeader(Missing::Metadata);
            if let Some(timer) = partition.enter(nothing, cx.now()) {
                cx.cluster.disarm(timer);
            }
        }
        self.reorder();
        self.release_dropped(cx);
        for (topic, ()) in topics {
            self.forget_if_unused(topic, cx);
        }
        self.let_go_of_brokers(cx);
        // It may have been for the memory of these that others waited.
        self.memory_freed(cx);
    }

    /// Ends what is under way; what would have followed.
    pub(super) fn stop_asking(&mut self, cx: &mut Cx<'_>) -> Option<After> {
        self.course = None;
        match core::mem::replace(&mut self.rebalance, Rebalance::Idle) {
            Rebalance::Idle => None,
            Rebalance::Committing { after, until, .. } => {
                cx.cluster.disarm(until.timer);
                Some(after)
            }
            Rebalance::Asking {
                question, until, ..
            } => {
                cx.cluster.disarm(until.timer);
                match question {
                    Question::Revoked { after, .. } => Some(after),
                    Question::Assigned { .. } | Question::Lost { .. } => None,
                }
            }
        }
    }

    /// Whatever was owned may be somebody else's by now. The member joins again once the user has heard.
    fn lose_all(&mut self, why: Error, cx: &mut Cx<'_>) {
        let after = self.stop_asking(cx);
        let all = self.assigned.taken();
        if !all.is_empty() {
            let partitions = self.names(&all);
            self.let_go(&all, cx);
            let until = self.rebalance_deadline(cx);
            self.ask(Question::Lost { partitions, why }, until, cx);
        }
        if let (Some(After::Leave(reason)), Some(group)) = (after, &mut self.group) {
            group.leave(reason, Departure::InOrder, cx.cluster);
        }
    }

    /// The same, where nobody may be there to answer.
    pub(super) fn drop_all(&mut self, why: Error, cx: &mut Cx<'_>) {
        self.stop_asking(cx);
        let all = self.assigned.taken();
        let partitions = self.names(&all);
        self.let_go(&all, cx);
        if !partitions.is_empty() {
            self.last_rebalance = self.last_rebalance.wrapping_add(1);
            cx.emit(ConsumerEvent::Rebalance {
                id: RebalanceId(self.last_rebalance),
                kind: RebalanceKind::Lost(why),
                partitions,
                deadline: None,
            });
        }
    }
}
