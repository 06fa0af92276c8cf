//! Owns the cluster's state and its border: bytes and the time come in, bytes and closed connections go out.
//!
//! Must not know how any API is served, nor how replicas follow; it calls those who do, and sees to it that each input
//! is done with before the next one comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use klamm::{ApiKey, Instant, Segments, Str};

use crate::NodeId;
use crate::config::ClusterConfig;
use crate::connection::{Call, Connection, ConnectionKey, State};
use crate::contents::Contents;
use crate::faults::{FaultId, Faults, Injection};
use crate::fetch_session::FetchSessions;
use crate::groups::Groups;
use crate::groups::classic::Reply;
use crate::history::{History, What};
use crate::init_producer_id::ProducerIds;
use crate::journal::Journal;
use crate::random::Random;
use crate::replica::Replica;
use crate::timers::Timers;
use crate::topology::{PartitionId, Topology};

/// What the cluster does to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for the client.
    Send {
        /// Over this connection.
        connection: ConnectionKey,
        /// These bytes: one whole response.
        bytes: Segments,
    },
    /// The broker closed the connection; what was sent before may still be read.
    Close {
        /// This connection, which is not heard of again.
        connection: ConnectionKey,
    },
}

/// Why a connection was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such broker.
    UnknownBroker,
    /// The broker does not run.
    Stopped,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownBroker => "there is no such broker",
            Self::Stopped => "the broker does not run",
        })
    }
}

impl std::error::Error for Refused {}

/// What is due at a time.
#[derive(Clone, Debug)]
pub(crate) enum Timer {
    /// What a connection waits for has lasted long enough.
    Connection(ConnectionKey),
    /// A follower copies from its leader.
    Copy(PartitionId, NodeId),
    /// A stopped broker loses its leaderships.
    Failover(NodeId),
    /// Something in a group.
    Group(Str),
}

/// A Kafka cluster in memory: brokers, topics, logs, connections.
///
/// It does no I/O and has no clock: every input comes with the time, all output is [polled](Cluster::poll_output), and
/// [`next_deadline`](Cluster::next_deadline) says when to come back at the latest. The same inputs give the same
/// outputs. Time never goes back: an older `now` counts as the newest one seen.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) config: ClusterConfig,
    pub(crate) now: Instant,
    pub(crate) random: Random,
    pub(crate) topology: Topology,
    pub(crate) replicas: BTreeMap<PartitionId, BTreeMap<NodeId, Replica>>,
    pub(crate) sessions: BTreeMap<NodeId, FetchSessions>,
    pub(crate) groups: Groups,
    /// Answers of groups that are not delivered yet.
    pub(crate) replies: VecDeque<(ConnectionKey, Reply)>,
    pub(crate) contents: Contents,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) connections: BTreeMap<ConnectionKey, Connection>,
    opened: u64,
    pub(crate) timers: Timers<Timer>,
    /// Connections whose request waits for news of a partition.
    pub(crate) watchers: BTreeMap<PartitionId, BTreeSet<ConnectionKey>>,
    /// Partitions with news.
    pub(crate) news: BTreeSet<PartitionId>,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) history: History,
    output: VecDeque<Output>,
}

impl Cluster {
    /// A cluster whose brokers all run and which has no topics.
    #[must_use]
    pub fn new(config: ClusterConfig) -> Self {
        Self {
            now: Instant::START,
            random: Random::new(config.seed),
            topology: Topology::new(&config.nodes),
            replicas: BTreeMap::new(),
            sessions: BTreeMap::new(),
            groups: Groups::default(),
            replies: VecDeque::new(),
            contents: Contents::default(),
            producer_ids: ProducerIds::default(),
            connections: BTreeMap::new(),
            opened: 0,
            timers: Timers::new(),
            watchers: BTreeMap::new(),
            news: BTreeSet::new(),
            faults: Faults::default(),
            journal: Journal::new(&config.record),
            history: History::new(config.record.events),
            output: VecDeque::new(),
            config,
        }
    }

    /// A client connects to `broker`.
    ///
    /// # Errors
    /// The broker does not run, or there is none.
    pub fn connect(&mut self, broker: NodeId, now: Instant) -> Result<ConnectionKey, Refused> {
        self.pass_time(now);
        if self.topology.node(broker).is_none() {
            return Err(Refused::UnknownBroker);
        }
        if !self.topology.is_alive(broker) {
            return Err(Refused::Stopped);
        }
        self.opened += 1;
        let key = ConnectionKey(self.opened);
        self.connections.insert(key, Connection::new(broker));
        Ok(key)
    }

    /// Bytes of the client arrive. Bytes for a connection that is closed are ignored.
    pub fn receive(&mut self, connection: ConnectionKey, data: &[u8], now: Instant) {
        self.pass_time(now);
        if let Some(known) = self.connections.get_mut(&connection) {
            known.receive(data);
            self.read_requests(connection);
            self.settle();
        }
    }

    /// All output for `connection` so far has left. To be said only if the cluster is
    /// [told to wait for it](ClusterConfig::await_sent).
    pub fn sent(&mut self, connection: ConnectionKey, now: Instant) {
        self.pass_time(now);
        let state = self.connections.get(&connection).map(|known| &known.state);
        if matches!(state, Some(State::Sending)) {
            self.mute(connection);
            self.read_requests(connection);
            self.settle();
        }
    }

    /// The client closed the connection, or it was lost. Nothing is sent over it any more.
    ///
    /// A request that was read stays in effect, but one that waits to be served does not take effect any more.
    pub fn disconnect(&mut self, connection: ConnectionKey, now: Instant) {
        self.pass_time(now);
        self.forget_connection(connection);
        self.settle();
    }

    /// Time passes: all that is due at `now` happens.
    pub fn advance(&mut self, now: Instant) {
        self.pass_time(now);
        self.settle();
    }

    /// What the cluster does next to the outside, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`advance`](Cluster::advance) is to be called at the latest; `None` if nothing is ever due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How many bytes of the connection were received and not read yet.
    #[must_use]
    pub fn unread(&self, connection: ConnectionKey) -> usize {
        let known = self.connections.get(&connection);
        known.map_or(0, Connection::unread)
    }

    /// Whether the broker reads from the connection: it does not while a request is served, so a driver that then
    /// leaves the bytes in the socket behaves like one.
    #[must_use]
    pub fn is_reading(&self, connection: ConnectionKey) -> bool {
        let known = self.connections.get(&connection);
        known.is_some_and(|known| matches!(known.state, State::Reading))
    }

    /// Asks for a fault: what follows says which of the requests to `api` it meets, and what happens to them.
    pub fn on(&mut self, api: ApiKey) -> Injection<'_> {
        Injection::new(&mut self.faults, api)
    }

    /// Ends a fault. Returns whether there was one.
    pub fn remove_fault(&mut self, fault: FaultId) -> bool {
        self.faults.remove(fault)
    }

    /// Ends all faults.
    pub fn remove_faults(&mut self) {
        self.faults.clear();
    }

    /// How many requests met the fault.
    #[must_use]
    pub fn fault_hits(&self, fault: FaultId) -> u64 {
        self.faults.hits(fault)
    }

    /// Milliseconds since 1970 on the brokers' clocks.
    pub(crate) fn wall(&self) -> i64 {
        let passed = self.now.as_nanos() / 1_000_000;
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        self.config.start_time.0.saturating_add(passed)
    }

    pub(crate) fn note(&mut self, what: What) {
        self.history.note(self.now, what);
    }

    pub(crate) fn emit(&mut self, connection: ConnectionKey, bytes: Segments) {
        self.output.push_back(Output::Send { connection, bytes });
    }

    /// Closes a connection from the broker's side.
    pub(crate) fn close(&mut self, connection: ConnectionKey, why: &str) {
        if let Some(closed) = self.forget_connection(connection) {
            let broker = closed.broker;
            let why = why.to_owned();
            self.note(What::Closed {
                connection,
                broker,
                why,
            });
            self.output.push_back(Output::Close { connection });
        }
    }

    fn forget_connection(&mut self, key: ConnectionKey) -> Option<Connection> {
        let connection = self.connections.remove(&key)?;
        match &connection.state {
            State::Fetching(parked) => {
                self.timers.cancel(parked.timer);
                let watched = parked.watched.clone();
                self.unwatch(key, &watched);
            }
            State::Producing(parked) => {
                self.timers.cancel(parked.timer);
                let watched = parked.watched.clone();
                self.unwatch(key, &watched);
            }
            State::Reading
            | State::Held(_)
            | State::AwaitingGroup(_)
            | State::Answering(_)
            | State::Silent
            | State::Sending
            | State::Muted => {}
        }
        Some(connection)
    }

    pub(crate) fn watch(&mut self, key: ConnectionKey, partitions: &[PartitionId]) {
        for partition in partitions {
            self.watchers.entry(*partition).or_default().insert(key);
        }
    }

    pub(crate) fn unwatch(&mut self, key: ConnectionKey, partitions: &[PartitionId]) {
        for partition in partitions {
            if let Some(keys) = self.watchers.get_mut(partition) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.watchers.remove(partition);
                }
            }
        }
    }

    /// Lets happen what is due up to `now`, each at its own time.
    pub(crate) fn pass_time(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.pop(now.max(self.now)) {
            self.now = self.now.max(at);
            match timer {
                Timer::Connection(key) => self.connection_due(key),
                Timer::Copy(partition, follower) => self.copy_due(partition, follower),
                Timer::Failover(broker) => self.fail_over(broker),
                Timer::Group(group) => self.group_due(&group),
            }
            self.settle();
        }
        self.now = self.now.max(now);
    }

    fn connection_due(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        match std::mem::replace(&mut connection.state, State::Reading) {
            State::Held(held) => {
                let (call, reader) = *held;
                self.serve(call, reader);
            }
            State::Answering(answering) => {
                let (call, bytes) = *answering;
                self.send(call, bytes);
            }
            State::Fetching(parked) => {
                self.unwatch(key, &parked.watched);
                self.complete_fetch(parked.call, parked.order);
            }
            State::Producing(parked) => {
                self.unwatch(key, &parked.watched);
                self.complete_produce(parked.call, parked.topics);
            }
            State::Muted | State::Reading => {}
            other @ (State::AwaitingGroup(_) | State::Silent | State::Sending) => {
                connection.state = other;
            }
        }
        self.read_requests(key);
    }

    /// Wakes those who wait for news or for their group, until there is nothing new.
    pub(crate) fn settle(&mut self) {
        loop {
            if let Some((key, reply)) = self.replies.pop_front() {
                self.deliver(key, reply);
            } else if let Some(partition) = self.news.pop_first() {
                let keys = self.watchers.get(&partition).cloned();
                for key in keys.into_iter().flatten() {
                    self.reconsider(key);
                }
            } else {
                return;
            }
        }
    }

    /// Looks whether what a parked request waits for is there.
    fn reconsider(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get(&key) else {
            return;
        };
        let ready = match &connection.state {
            State::Fetching(parked) => self.is_fetch_ready(&parked.call, &parked.order),
            State::Producing(parked) => self.is_produced(&parked.topics),
            State::Reading
            | State::Held(_)
            | State::AwaitingGroup(_)
            | State::Answering(_)
            | State::Silent
            | State::Sending
            | State::Muted => false,
        };
        if !ready {
            return;
        }
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        match std::mem::replace(&mut connection.state, State::Reading) {
            State::Fetching(parked) => {
                self.timers.cancel(parked.timer);
                self.unwatch(key, &parked.watched);
                self.complete_fetch(parked.call, parked.order);
            }
            State::Producing(parked) => {
                self.timers.cancel(parked.timer);
                self.unwatch(key, &parked.watched);
                self.complete_produce(parked.call, parked.topics);
            }
            other @ (State::Reading
            | State::Held(_)
            | State::AwaitingGroup(_)
            | State::Answering(_)
            | State::Silent
            | State::Sending
            | State::Muted) => connection.state = other,
        }
        self.read_requests(key);
    }

    /// Puts a connection into `state`, from which a timer at `at` wakes it.
    pub(crate) fn park(&mut self, call_connection: ConnectionKey, state: State) {
        if let Some(connection) = self.connections.get_mut(&call_connection) {
            connection.state = state;
        }
    }

    /// Hands out an answer.
    pub(crate) fn send(&mut self, call: Call, bytes: Segments) {
        let key = call.connection;
        self.journal.answered(call.entry, self.now, bytes.len());
        self.emit(key, bytes);
        if self.config.await_sent {
            self.park(key, State::Sending);
        } else {
            self.mute(key);
        }
    }

    /// The answer left: the next request is read when the throttle time is over.
    fn mute(&mut self, key: ConnectionKey) {
        let throttle = self.config.throttle_time;
        if throttle.is_zero() {
            self.park(key, State::Reading);
        } else {
            self.timers.arm(self.now + throttle, Timer::Connection(key));
            self.park(key, State::Muted);
        }
    }
}
