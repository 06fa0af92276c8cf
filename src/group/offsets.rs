//! Owns a group's part in a consumer that assigns partitions itself: which commits and questions are under way, and what
//! became of them.
//!
//! Must not know what a committed offset is used for.

use alloc::collections::VecDeque;

use super::commit::Commit;
use super::coordinator::Coordinator;
use super::lane::{Lane, Next};
use super::load::Load;
use super::timers;
use super::types::{CommitOutcomes, CommittedOffsets, OffsetAndMetadata};
use crate::cluster::{Answer, Cluster, Token};
use crate::engine::{ConnectionGroup, NodeId, OpId, TopicPartition};
use crate::error::{Error, ErrorKind};
use crate::random::{Backoff, Random};
use crate::time::Duration;
use crate::timer::RoleTimer;
use crate::wire::Str;

/// How many commits may wait: whoever commits faster than the coordinator answers must wait for it.
const COMMITS_MAX: usize = 1_000;

/// What a group needs to know of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSettings<'a> {
    /// `group.id`.
    pub(crate) id: &'a str,
    pub(crate) request_timeout: Duration,
    pub(crate) backoff: Backoff,
}

/// What a group has to say to the role above it.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    /// A commit has come to its end.
    Committed { op: OpId, outcomes: CommitOutcomes },
    /// A question about committed offsets has come to its end.
    Loaded { op: OpId, found: CommittedOffsets },
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    coordinator: Coordinator,
    commits: Lane<Commit>,
    loads: Lane<Load>,
    events: VecDeque<GroupEvent>,
    random: Random,
}

impl Group {
    pub(crate) fn new(settings: GroupSettings<'_>, random: Random) -> Self {
        let GroupSettings {
            id,
            request_timeout,
            backoff,
        } = settings;
        Self {
            coordinator: Coordinator::new(Str::from(id), request_timeout, backoff),
            commits: Lane::new(request_timeout, backoff),
            loads: Lane::new(request_timeout, backoff),
            events: VecDeque::new(),
            random,
        }
    }

    /// Begins a commit; they are sent in the order in which they come.
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
        self.commits.push(op, Commit::new(offsets), cluster);
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
        self.loads.push(op, Load::new(partitions), cluster);
        self.pump(cluster);
    }

    /// Why nobody can be asked.
    pub(crate) const fn trouble(&self) -> Option<&Error> {
        self.coordinator.trouble()
    }

    /// Whether no commit is under way.
    pub(crate) fn has_settled(&self) -> bool {
        self.commits.len() == 0
    }

    /// The next thing that the role must hear.
    pub(crate) fn next_event(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    /// Whether a request is one of the group's.
    pub(crate) fn awaits(&self, token: Token) -> bool {
        self.coordinator.awaits(token) || self.commits.awaits(token) || self.loads.awaits(token)
    }

    pub(crate) fn on_answer(&mut self, token: Token, answer: Answer, cluster: &mut Cluster) {
        if self.coordinator.awaits(token) {
            if let Err(error) = self
                .coordinator
                .on_answer(answer, &mut self.random, cluster)
            {
                self.commits.give_up(&error);
                self.loads.give_up(&error);
            }
        } else {
            let next = match self.commits.awaits(token) {
                true => self.commits.on_answer(answer, &mut self.random, cluster),
                false => self.loads.on_answer(answer, &mut self.random, cluster),
            };
            match next {
                Next::Done | Next::Again => self.coordinator.confirm(),
                Next::Elsewhere => self.coordinator.lose(cluster),
            }
        }
        self.pump(cluster);
    }

    pub(crate) fn on_timer(&mut self, timer: RoleTimer, cluster: &mut Cluster) {
        match timer.kind {
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
            let (commits, loads) = (self.commits.is_due(), self.loads.is_due());
            if !commits && !loads {
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
