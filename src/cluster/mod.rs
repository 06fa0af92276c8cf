//! The cluster as this client sees it: brokers and how to reach them, topics and their leaders, requests on the way.
//!
//! Owns the pool of connections, metadata, routing, retries of connections, and the engine's shared means: timers,
//! chance, the byte budget, buffers, jobs. Must not know any role: it queues [`ClusterEvent`]s, and whoever is above
//! reads them.

/// What a connection acts on, borrowed from the cluster field by field.
macro_rules! effects {
    ($cluster:ident) => {
        crate::connection::Effects {
            now: $cluster.now,
            budget: &mut $cluster.budget,
            pool: &mut $cluster.pool,
            actions: &mut $cluster.actions,
            reports: &mut $cluster.reports,
            random: &mut $cluster.random,
            nonces: &mut $cluster.nonces,
            metrics: &mut $cluster.metrics,
        }
    };
}

mod capability;
mod metadata;
#[cfg(any(test, feature = "models"))]
mod metadata_model;
mod metrics;
mod pool;
mod refresh;
mod request;
mod routing;
mod settings;
mod slot;
mod status;
mod throttle;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What roles see of a connection: requests that end, never the connection itself.
pub(crate) use crate::connection::{
    Answer, FailureCause, Held, RequestError, Response, SendOptions, Token,
};
pub(crate) use capability::Capability;
#[cfg(test)]
pub(crate) use metadata::Broker;
pub(crate) use metadata::{Topic, TopicState};
#[cfg(any(test, feature = "models"))]
pub(crate) use metadata_model::hold as hold_metadata;
pub(crate) use pool::Reach;
pub(crate) use request::Route;
pub(crate) use settings::Settings;

use crate::budget::{Budget, Category};
use crate::collections::VecMap;
use crate::connection::{Connection, Report};
use crate::engine::{
    ConnectionGroup, ConnectionId, Diagnostic, Input, Job, JobId, JobResult, NodeId, Output,
    ResolveId, TopicHandle, Wake,
};
use crate::error::Error;
use crate::limits::BUFFER_POOL_MAX;
use crate::metrics::ClientMetrics;
use crate::random::{Random, Stream};
use crate::sasl::Nonces;
use crate::time::{Instant, UnixMillis};
use crate::timer::{RoleTimer, TimerId, TimerQueue};
use crate::wire::Uuid;
use crate::wire::pool::BufferPool;
use metadata::Metadata;
use refresh::Refresh;
use request::{Place, Requests};
use routing::Round;
use slot::{Slot, SlotKey};

/// What the cluster has to say to the role above it.
#[derive(Debug)]
pub(crate) enum ClusterEvent {
    /// A request has come to its end.
    Answer { token: Token, answer: Answer },
    /// A timer of the role.
    Timer(RoleTimer),
    /// What is known of topics has changed, or was confirmed.
    Metadata,
    /// A broker that was asked for can take a request.
    Reachable {
        node: NodeId,
        group: ConnectionGroup,
    },
    /// An attempt to get to a broker that was asked for has failed; the next one follows after a backoff.
    Unreachable {
        node: NodeId,
        group: ConnectionGroup,
        error: Error,
    },
    /// A whole round over all servers has failed, or metadata cannot be had.
    NoBroker { error: Error },
    /// Work is done.
    Job { id: JobId, result: JobResult },
    /// After `close`: the last connection is gone.
    Closed,
}

/// Events, and the cluster's own business among them, in the order in which they arose.
#[derive(Debug)]
enum Queued {
    Event(ClusterEvent),
    Answer(Token, Answer),
    Metadata(Token, Answer),
}

/// All that the engine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Role(RoleTimer),
    Connection(ConnectionId),
    Request(Token),
    Slot(SlotKey),
    Patience,
    Metadata,
    MetadataAge,
}

/// Who gets the result of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobOwner {
    Role,
    Connection(ConnectionId),
}

/// Whether the client is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// Sockets are still being closed.
    Closing,
    Closed,
}

/// A connection and its one timer.
#[derive(Debug)]
struct Attached {
    connection: Connection,
    timer: Option<(Instant, TimerId)>,
}

/// The cluster as this client sees it.
#[derive(Debug)]
pub(crate) struct Cluster {
    now: Instant,
    wall: UnixMillis,
    settings: Settings,
    random: Random,
    budget: Budget,
    pool: BufferPool,
    timers: TimerQueue<Timer>,
    actions: VecDeque<Output<()>>,
    events: VecDeque<Queued>,
    reports: Vec<Report>,
    connections: VecMap<ConnectionId, Attached>,
    slots: VecMap<SlotKey, Slot>,
    lookups: VecMap<ResolveId, SlotKey>,
    requests: Requests,
    /// Whether a request for any broker might find one now that found none before.
    unrouted_changed: bool,
    /// Armed while such a request waits for a connection attempt.
    patience: Option<TimerId>,
    round: Round,
    metadata: Metadata,
    refresh: Refresh,
    jobs: VecMap<JobId, JobOwner>,
    nonces: Nonces,
    next_connection: u64,
    next_resolve: u64,
    next_job: u64,
    stale_inputs: u64,
    metrics: ClientMetrics,
    life: Life,
}

impl Cluster {
    pub(crate) fn new(
        settings: Settings,
        entropy: [u8; 32],
        now: Instant,
        wall: UnixMillis,
    ) -> Self {
        let budget = Budget::new(settings.memory_budget, settings.producer_memory);
        let pool = BufferPool::new((settings.memory_budget / 16).min(BUFFER_POOL_MAX));
        Self {
            now,
            wall,
            settings,
            random: Random::derive(&entropy, Stream::Cluster),
            budget,
            pool,
            timers: TimerQueue::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            reports: Vec::new(),
            connections: VecMap::new(),
            slots: VecMap::new(),
            lookups: VecMap::new(),
            requests: Requests::default(),
            unrouted_changed: false,
            patience: None,
            round: Round::default(),
            metadata: Metadata::default(),
            refresh: Refresh::new(),
            jobs: VecMap::new(),
            nonces: Nonces::new(entropy),
            next_connection: 0,
            next_resolve: 0,
            next_job: 0,
            stale_inputs: 0,
            metrics: ClientMetrics::default(),
            life: Life::Open,
        }
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// An id that nobody else has, and nobody can guess.
    pub(crate) fn draw_uuid(&mut self) -> Uuid {
        Uuid(self.nonces.draw_uuid())
    }

    pub(crate) const fn wall(&self) -> UnixMillis {
        self.wall
    }

    /// Time goes on; never back.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(crate) const fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// How many bytes of the budget are in use for this.
    pub(crate) fn memory_used(&self, category: Category) -> usize {
        self.budget.used(category)
    }

    /// How many bytes of the budget could be taken for this.
    pub(crate) fn memory_free(&self, category: Category) -> usize {
        self.budget.free(category)
    }

    pub(crate) const fn pool(&mut self) -> &mut BufferPool {
        &mut self.pool
    }

    pub(crate) fn arm(&mut self, at: Instant, timer: RoleTimer) -> TimerId {
        self.timers.arm(at, Timer::Role(timer))
    }

    pub(crate) fn disarm(&mut self, timer: TimerId) {
        self.timers.disarm(timer);
    }

    /// Nothing is waited for any more: all connections are gone, and none will be made.
    pub(crate) fn disarm_all(&mut self) {
        self.timers.clear();
    }

    pub(crate) fn topic(&self, handle: TopicHandle) -> Option<&Topic> {
        self.metadata.topic(handle)
    }

    pub(crate) fn topic_by_id(&self, id: &Uuid) -> Option<TopicHandle> {
        self.metadata.topic_by_id(id)
    }

    pub(crate) fn topic_by_name(&self, name: &str) -> Option<TopicHandle> {
        self.metadata.topic_by_name(name)
    }

    /// Whether metadata says where a broker is.
    pub(crate) fn knows_broker(&self, node: NodeId) -> bool {
        self.metadata.broker(node).is_some()
    }

    #[cfg(test)]
    pub(crate) fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.metadata.brokers()
    }

    /// Gives work away; exactly one [`ClusterEvent::Job`] follows.
    pub(crate) fn work(&mut self, job: Job) -> JobId {
        self.work_for(JobOwner::Role, job)
    }

    fn work_for(&mut self, owner: JobOwner, job: Job) -> JobId {
        let id = JobId(self.next_job);
        self.next_job = self.next_job.saturating_add(1);
        self.jobs.insert(id, owner);
        self.actions.push_back(Output::Work { id, job });
        id
    }

    pub(crate) fn diagnostic(&mut self, diagnostic: Diagnostic) {
        self.actions.push_back(Output::Diagnostic(diagnostic));
    }

    /// Whether `close` has run to its end.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    /// Inputs that named something that is not alive.
    #[cfg(test)]
    pub(crate) const fn stale_inputs(&self) -> u64 {
        self.stale_inputs
    }

    /// Applies a fact. Of received bytes it takes one frame at the most and says how many it took: the rest is handed in
    /// again after the frame has had its effect, so that it makes no difference how the bytes were cut.
    pub(crate) fn handle(&mut self, input: Input<'_>) -> usize {
        match input {
            Input::Resolved { id, result } => self.on_resolved(id, result),
            Input::Connected { conn } => {
                if self.with_connection(conn, Connection::on_connected) != Some(true) {
                    self.stale("Connected");
                }
            }
            Input::Received { conn, data } => {
                let mut left = data;
                if self
                    .with_connection(conn, |connection, fx| connection.on_received(&mut left, fx))
                    .is_none()
                {
                    self.stale("Received");
                    left = &[];
                }
                let taken = data.len().saturating_sub(left.len());
                let total = &mut self.metrics.incoming_byte_total;
                *total = total.saturating_add(taken as u64);
                return taken;
            }
            Input::Sent { conn, bytes } => {
                if self
                    .with_connection(conn, |connection, fx| connection.on_sent(bytes, fx))
                    .is_none()
                {
                    self.stale("Sent");
                } else {
                    let total = &mut self.metrics.outgoing_byte_total;
                    *total = total.saturating_add(bytes);
                }
            }
            Input::Closed { conn, cause, sent } => self.on_closed(conn, cause, sent),
            Input::JobDone { id, result } => match self.jobs.remove(&id) {
                Some(JobOwner::Role) => self
                    .events
                    .push_back(Queued::Event(ClusterEvent::Job { id, result })),
                // The connection may be gone, and then nobody wants the result.
                Some(JobOwner::Connection(conn)) => {
                    self.with_connection(conn, |connection, fx| connection.on_job(result, fx));
                }
                None => self.stale("JobDone"),
            },
            Input::Timeout { wall } => self.wall = wall,
        }
        0
    }

    /// Whether nothing is left to do at this instant.
    pub(crate) fn is_settled(&self) -> bool {
        self.events.is_empty()
            && !self.unrouted_changed
            && !self.refresh.is_due()
            && self.timers.next().is_none_or(|(at, _)| at > self.now)
    }

    /// The next thing that the role must hear. The cluster's own business is done on the way.
    pub(crate) fn next_event(&mut self) -> Option<ClusterEvent> {
        loop {
            match self.events.pop_front() {
                Some(Queued::Event(event)) => return Some(event),
                Some(Queued::Answer(token, answer)) => {
                    return Some(ClusterEvent::Answer { token, answer });
                }
                Some(Queued::Metadata(token, answer)) => self.on_metadata_answer(token, answer),
                None if self.refresh.is_due() => self.advance_refresh(),
                None if self.unrouted_changed => self.route_unrouted(),
                None => match self.timers.pop_due(self.now)? {
                    Timer::Role(timer) => return Some(ClusterEvent::Timer(timer)),
                    Timer::Connection(id) => self.on_connection_timer(id),
                    Timer::Request(token) => self.on_wait_over(token),
                    Timer::Slot(key) => self.on_slot_timer(key),
                    Timer::Patience => {
                        self.patience = None;
                        self.unrouted_changed = true;
                    }
                    Timer::Metadata => self.on_metadata_timer(),
                    Timer::MetadataAge => self.on_metadata_age(),
                },
            }
        }
    }

    /// Queues the mark of an event for the user among the actions.
    pub(crate) fn mark_event(&mut self) {
        self.actions.push_back(Output::Event(()));
    }

    /// The next action, or the mark of an event.
    pub(crate) fn next_action(&mut self) -> Option<Output<()>> {
        self.actions.pop_front()
    }

    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The next deadline.
    pub(crate) fn wake(&self) -> Option<Wake> {
        let (at, timer) = self.timers.next()?;
        let why = match timer {
            Timer::Role(timer) => timer.why,
            Timer::Connection(id) => self
                .connections
                .get(id)
                .and_then(|attached| attached.connection.deadline())
                .map_or("connection", |(_, why)| why),
            Timer::Request(_) => "a request waits for a connection",
            Timer::Slot(_) => "reconnect or lookup",
            Timer::Patience => "another broker is tried, too",
            Timer::Metadata => "metadata refresh",
            Timer::MetadataAge => "metadata has become old",
        };
        Some(Wake { at, why })
    }

    /// Whether a refusal or a return of memory has to be looked at.
    pub(crate) fn budget_changed(&self, short_at: Option<usize>) -> bool {
        self.budget.was_refused() || short_at.is_some_and(|level| self.budget.used_total() < level)
    }

    /// Whether memory was given back since something was refused; a refusal is noted at the level of this moment, so
    /// that a role which takes and gives back in vain is not called for ever.
    pub(crate) fn budget_freed(&mut self, short_at: &mut Option<usize>) -> bool {
        let used = self.budget.used_total();
        let freed = short_at.is_some_and(|level| used < level);
        if self.budget.take_refused() {
            *short_at = Some(short_at.map_or(used, |level| level.max(used)));
        }
        if freed {
            *short_at = None;
        }
        freed
    }

    /// The next deadline, without the reason.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }
}
