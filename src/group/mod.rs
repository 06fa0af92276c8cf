//! A group as a consumer sees it: who coordinates it, the membership of it, and the offsets that are kept there.
//!
//! It owns the coordinator as a leased fact, the way into the group and out of it, and commits and questions about
//! committed offsets from hand-in to their one result. It must not know partitions' states or fetching: it is told
//! offsets, says what is assigned, and asks the cluster to send requests. The assignors are pure functions below it.

mod asking;
mod classic;
mod commit;
mod consumer;
mod coordinator;
mod lane;
mod load;
mod member;
mod membership;
mod types;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use self::commit::Commit;
use self::coordinator::Coordinator;
use self::lane::{Lane, Next};
use self::load::Load;
use self::member::Member;
use crate::cluster::{Answer, Cluster, Token};
use crate::engine::{ConnectionGroup, NodeId, OpId, TopicHandle, TopicPartition};
use crate::error::{Error, ErrorKind, Step};
use crate::random::Random;
use crate::timer::RoleTimer;
use crate::wire::Str;
pub(crate) use membership::{Bid, Departure, MemberEvent, MemberSettings};
pub use membership::{MemberChanges, RebalanceCause};
pub use types::{CommitOutcome, CommitOutcomes, CommittedOffsets, OffsetAndMetadata};

/// The timers of a group, apart from those of the role that it is part of.
pub(crate) mod timers {
    /// The coordinator may be asked for again.
    pub(crate) const COORDINATOR: u8 = 64;
    /// The first commit may be sent again.
    pub(crate) const COMMIT: u8 = 65;
    /// A commit has taken too long.
    pub(crate) const COMMIT_DEADLINE: u8 = 66;
    /// The first question may be put again.
    pub(crate) const LOAD: u8 = 67;
    /// A question has taken too long.
    pub(crate) const LOAD_DEADLINE: u8 = 68;
    /// A heartbeat is due.
    pub(crate) const HEARTBEAT: u8 = 69;
    /// The member's session is over.
    pub(crate) const SESSION: u8 = 70;
    /// The member may join or leave again.
    pub(crate) const MEMBER_RETRY: u8 = 71;

    /// Whether a timer is one of these.
    pub(crate) const fn owns(kind: u8) -> bool {
        kind >= COORDINATOR
    }
}

/// How many commits may wait: whoever commits faster than the coordinator answers must wait for it.
const COMMITS_MAX: usize = 1_000;

/// What a group has to say to the role above it.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    /// A commit has come to its end.
    Committed { op: OpId, outcomes: CommitOutcomes },
    /// A question about committed offsets has come to its end.
    Loaded { op: OpId, found: CommittedOffsets },
    /// Something happened to the membership.
    Member(MemberEvent),
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    coordinator: Coordinator,
    member: Member,
    commits: Lane<Commit>,
    loads: Lane<Load>,
    events: VecDeque<GroupEvent>,
    random: Random,
}

impl Group {
    /// The group of this id, of which nobody is a member yet.
    pub(crate) fn new(id: &str, settings: MemberSettings, random: Random) -> Self {
        let (request_timeout, backoff) = (settings.request_timeout, settings.backoff);
        Self {
            coordinator: Coordinator::new(Str::from(id), request_timeout, backoff),
            member: Member::new(settings),
            commits: Lane::new(request_timeout, backoff),
            loads: Lane::new(request_timeout, backoff),
            events: VecDeque::new(),
            random,
        }
    }

    /// `group.id`.
    pub(crate) fn id(&self) -> &str {
        self.coordinator.group()
    }

    /// The membership.
    pub(crate) const fn member(&self) -> &Member {
        &self.member
    }

    /// Whether the coordinator shares the partitions out (KIP-848).
    pub(crate) const fn is_of_consumer_protocol(&self) -> bool {
        self.member.is_of_consumer_protocol()
    }

    /// Whether it is for the members to say which topics match a pattern.
    pub(crate) const fn matches_here(&self) -> bool {
        self.member.is_classic()
    }

    /// The consumer is to be a member, or to join again.
    pub(crate) fn want_member(&mut self, cause: RebalanceCause) {
        self.member.want(cause);
    }

    /// Joins, asking for this. What is not in the bid is not held any more.
    pub(crate) fn join(&mut self, bid: &Bid, cluster: &mut Cluster) {
        if self.member.is_of_consumer_protocol() {
            self.rebind(|partition| bid.owned.contains(partition));
        }
        self.member.join(bid, cluster);
        self.pump(cluster);
    }

    /// Leaves the group, if there is a membership.
    pub(crate) fn leave(
        &mut self,
        reason: &'static str,
        departure: Departure,
        cluster: &mut Cluster,
    ) {
        self.member.leave(reason, departure, cluster);
        self.pump(cluster);
    }

    /// What the coordinator has assigned and is to be taken on, and why it comes, where it comes by the coordinator alone.
    pub(crate) fn take_share(
        &mut self,
        cluster: &mut Cluster,
    ) -> Option<(RebalanceCause, Vec<TopicPartition>)> {
        if !self.member.has_share() {
            return None;
        }
        let share = self.member.take_share(cluster);
        if share.is_none() {
            // It may be held already: that is acknowledged.
            self.pump(cluster);
        }
        share
    }

    /// Asks the coordinator which protocol it has, if the member needs to know.
    pub(crate) fn settle_protocol(&mut self, cluster: &mut Cluster) {
        if self.member.awaits_protocol() {
            self.pump(cluster);
        }
    }

    /// A share has come, of which the member has kept these partitions. Where that is a generation of the whole group, commits
    /// that wait go with it, or end; where it is not, what goes can be committed until it is released.
    pub(crate) fn on_share(
        &mut self,
        keeps: impl Fn(&TopicPartition) -> bool,
        cluster: &mut Cluster,
    ) {
        if !self.member.is_of_consumer_protocol() {
            self.rebind(keeps);
        }
        self.pump(cluster);
    }

    /// Partitions have been let go of; these are still held.
    pub(crate) fn on_released(&mut self, held: &[TopicPartition], cluster: &mut Cluster) {
        if self.member.is_of_consumer_protocol() {
            self.rebind(|partition| held.contains(partition));
        }
        self.member.on_released(held, cluster);
        self.pump(cluster);
    }

    /// A share has been taken on; these are held. `released`: others have gone for it.
    pub(crate) fn on_taken(
        &mut self,
        held: &[TopicPartition],
        released: bool,
        cluster: &mut Cluster,
    ) {
        self.member.on_taken(held, released, cluster);
        self.pump(cluster);
    }

    /// Commits that wait belong to what was held: what is kept goes on under the member's standing, the rest ends.
    fn rebind(&mut self, keeps: impl Fn(&TopicPartition) -> bool) {
        if let Some(standing) = self.member.standing() {
            for commit in self.commits.questions_mut() {
                commit.rebind(&standing, &keeps);
            }
        }
    }

    /// By the consumer protocol an epoch is the member's alone: what waits goes on with the newest one, and what it was to
    /// commit ends with the membership (KIP-848).
    fn follow_epoch(&mut self, was_member: bool) {
        match self.member.standing() {
            Some(standing) => {
                for commit in self.commits.questions_mut() {
                    commit.renew(&standing);
                }
                for load in self.loads.questions_mut() {
                    load.renew(&standing);
                }
            }
            None if was_member && !self.member.is_leaving() => {
                let error = Error::new(ErrorKind::NotAssigned).in_step(Step::OffsetCommit);
                self.commits.give_up(&error.with_hint(
                    "the group went on without this member: whoever has the partition now goes on from the commit before",
                ));
            }
            None => {}
        }
    }

    /// Begins a commit; they are sent in the order in which they come. A member commits as such.
    ///
    /// # Errors
    /// Too many wait already. Nothing changes.
    pub(crate) fn commit(
        &mut self,
        op: OpId,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
        cluster: &mut Cluster,
    ) -> Result<(), Error> {
        if self.commits.len() >= COMMITS_MAX {
            return Err(Error::new(ErrorKind::Misuse)
                .with_detail(alloc::format!("{COMMITS_MAX} commits wait already"))
                .with_hint("await a commit before the next one is made"));
        }
        let commit = Commit::new(self.member.standing(), offsets);
        self.commits.push(op, commit, cluster);
        self.pump(cluster);
        Ok(())
    }

    /// Begins to look committed offsets up.
    pub(crate) fn load(
        &mut self,
        op: OpId,
        partitions: impl IntoIterator<Item = TopicPartition>,
        cluster: &mut Cluster,
    ) {
        let load = Load::new(self.member.standing(), partitions);
        self.loads.push(op, load, cluster);
        self.pump(cluster);
    }

    /// Why nobody can be asked.
    pub(crate) const fn trouble(&self) -> Option<&Error> {
        self.coordinator.trouble()
    }

    /// Whether no commit is under way.
    pub(crate) fn has_committed(&self) -> bool {
        self.commits.len() == 0
    }

    /// Whether a topic must stay known for the group's sake.
    pub(crate) fn watches(&self, topic: TopicHandle) -> bool {
        self.member.watches(topic)
    }

    /// The next thing that the role must hear.
    pub(crate) fn next_event(&mut self) -> Option<GroupEvent> {
        let of_member = |member: &mut Member| member.next_event().map(GroupEvent::Member);
        self.events
            .pop_front()
            .or_else(|| of_member(&mut self.member))
    }

    /// Whether a request is one of the group's.
    pub(crate) fn awaits(&self, token: Token) -> bool {
        self.coordinator.awaits(token)
            || self.commits.awaits(token)
            || self.loads.awaits(token)
            || self.member.awaits(token)
    }

    pub(crate) fn on_answer(&mut self, token: Token, answer: Answer, cluster: &mut Cluster) {
        if self.coordinator.awaits(token) {
            if let Err(error) = self
                .coordinator
                .on_answer(answer, &mut self.random, cluster)
            {
                self.commits.give_up(&error);
                self.loads.give_up(&error);
                self.member.fail(error, cluster);
            }
        } else {
            let was_member = self.member.standing().is_some();
            let random = &mut self.random;
            let next = if self.commits.awaits(token) {
                self.commits.on_answer(answer, random, cluster)
            } else if self.loads.awaits(token) {
                self.loads.on_answer(answer, random, cluster)
            } else {
                self.member.on_answer(token, answer, random, cluster)
            };
            match next {
                Next::Done | Next::Again => self.coordinator.confirm(),
                Next::Elsewhere => self.coordinator.lose(cluster),
            }
            if self.member.is_of_consumer_protocol() {
                self.follow_epoch(was_member);
            }
        }
        self.pump(cluster);
    }

    pub(crate) fn on_timer(&mut self, timer: RoleTimer, cluster: &mut Cluster) {
        match timer.kind {
            timers::HEARTBEAT | timers::SESSION | timers::MEMBER_RETRY => {
                self.member.on_timer(timer.kind, cluster)
            }
            timers::COORDINATOR => self.coordinator.on_timer(),
            timers::COMMIT => self.commits.on_retry(),
            timers::LOAD => self.loads.on_retry(),
            timers::COMMIT_DEADLINE => self
                .commits
                .on_deadline(timer.index, self.coordinator.trouble()),
            timers::LOAD_DEADLINE => self
                .loads
                .on_deadline(timer.index, self.coordinator.trouble()),
            _ => {}
        }
        self.pump(cluster);
    }

    /// What is known of topics has changed.
    pub(crate) fn on_metadata(&mut self, cluster: &mut Cluster) {
        self.member.on_metadata(cluster);
        self.pump(cluster);
    }

    pub(crate) fn on_reachable(
        &mut self,
        node: NodeId,
        group: ConnectionGroup,
        cluster: &mut Cluster,
    ) {
        if group == ConnectionGroup::Coordination && self.coordinator.is_at(node) {
            self.pump(cluster);
        }
    }

    pub(crate) fn on_unreachable(
        &mut self,
        node: NodeId,
        group: ConnectionGroup,
        error: &Error,
        cluster: &mut Cluster,
    ) {
        if group == ConnectionGroup::Coordination {
            self.coordinator
                .on_unreachable(node, error, &mut self.random, cluster);
        }
    }

    /// Nothing more is asked: what has no result yet ends with this error.
    pub(crate) fn close(&mut self, error: &Error, cluster: &mut Cluster) {
        self.commits.give_up(error);
        self.loads.give_up(error);
        self.collect(cluster);
    }

    /// No more questions are answered; commits run to their end.
    pub(crate) fn close_loads(&mut self, error: &Error, cluster: &mut Cluster) {
        self.loads.give_up(error);
        self.collect(cluster);
    }

    /// Takes out what has come to its end, and asks what is due.
    fn pump(&mut self, cluster: &mut Cluster) {
        loop {
            self.collect(cluster);
            // The coordinator holds the answer back until the members have gathered: what stood behind it would wait, too.
            if self.member.is_parked() {
                return;
            }
            // In which generation a commit can be made is not known before the next one has begun.
            let commits = self.commits.is_due() && !self.member.is_between_generations();
            // Who leaves commits first.
            let member =
                self.member.is_due() && (!self.member.is_leaving() || self.commits.len() == 0);
            let loads = self.loads.is_due();
            if !commits && !loads && !member {
                return;
            }
            let Some(node) = self.coordinator.find(cluster) else {
                return;
            };
            let group = self.coordinator.group();
            if commits {
                self.commits.send(node, group, cluster);
            }
            if loads {
                self.loads.send(node, group, cluster);
            }
            if member {
                self.member.send(node, group, cluster);
            }
            if !self.collect(cluster) {
                return;
            }
        }
    }

    /// Whether anything had come to its end.
    fn collect(&mut self, cluster: &mut Cluster) -> bool {
        let before = self.events.len();
        while let Some((op, commit)) = self.commits.next_done(cluster) {
            let outcomes = commit.outcomes();
            self.events
                .push_back(GroupEvent::Committed { op, outcomes });
        }
        while let Some((op, load)) = self.loads.next_done(cluster) {
            let found = load.found();
            self.events.push_back(GroupEvent::Loaded { op, found });
        }
        self.events.len() > before
    }
}
