//! Owns what the tasks of a server share: the cluster, and what it wants written.
//!
//! Must not know sockets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use klamm::Instant;
use tokio::sync::Notify;

use crate::NodeId;
use crate::cluster::{Cluster, Output};
use crate::connection::ConnectionKey;

/// What waits to be written to a connection.
#[derive(Debug, Default)]
struct Outbox {
    bytes: VecDeque<Bytes>,
    closed: bool,
    news: Arc<Notify>,
}

/// What a connection's task does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Writes this.
    Write(Bytes),
    /// Reads.
    Read,
    /// Reads nothing for now: the broker has enough.
    Wait,
    /// Closes the socket.
    Close,
}

/// While a request is served, at most about this many bytes of the next ones are taken from a socket.
const READ_AHEAD: usize = 1 << 20;

#[derive(Debug)]
struct State {
    cluster: Cluster,
    outboxes: BTreeMap<ConnectionKey, Outbox>,
    /// When the timer's task wakes by itself.
    armed: Option<Instant>,
}

/// What all tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    started: std::time::Instant,
    /// Tells the timer's task that something is due earlier.
    pub(super) timer: Notify,
    /// Tell the tasks of listeners that their broker may have stopped or started.
    pub(super) brokers: BTreeMap<NodeId, Notify>,
    stop: Notify,
}

impl Shared {
    pub(super) fn new(cluster: Cluster, brokers: Vec<NodeId>) -> Self {
        let brokers = brokers.into_iter().map(|id| (id, Notify::new()));
        Self {
            state: Mutex::new(State {
                cluster,
                outboxes: BTreeMap::new(),
                armed: None,
            }),
            started: std::time::Instant::now(),
            timer: Notify::new(),
            brokers: brokers.collect(),
            stop: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A user's closure that panicked left the cluster between two inputs, which is no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Hands the cluster an input, and its output to those who write it.
    fn input<T>(&self, what: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = what(&mut state.cluster, self.now());
        state.distribute();
        let due = state.cluster.next_deadline();
        if due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed)) {
            self.timer.notify_one();
        }
        result
    }

    /// A user's wishes, after which brokers may have stopped or started.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        let result = self.input(what);
        for broker in self.brokers.values() {
            broker.notify_one();
        }
        result
    }

    /// Fires what is due. Returns how long the timer may sleep.
    pub(super) fn tick(&self) -> Option<std::time::Duration> {
        self.input(Cluster::advance);
        let mut state = self.lock();
        state.armed = state.cluster.next_deadline();
        let now = self.now();
        state.armed.map(|due| due.since(now))
    }

    pub(super) fn is_running(&self, broker: NodeId) -> bool {
        self.lock().cluster.is_running(broker)
    }

    /// A client connected; `None` if the broker does not run.
    pub(super) fn connect(&self, broker: NodeId) -> Option<(ConnectionKey, Arc<Notify>)> {
        let mut state = self.lock();
        let now = self.now();
        let key = state.cluster.connect(broker, now).ok()?;
        let outbox = Outbox::default();
        let news = Arc::clone(&outbox.news);
        state.outboxes.insert(key, outbox);
        Some((key, news))
    }

    pub(super) fn received(&self, key: ConnectionKey, data: &[u8]) {
        self.input(|cluster, now| cluster.receive(key, data, now));
    }

    pub(super) fn sent(&self, key: ConnectionKey) {
        self.input(|cluster, now| cluster.sent(key, now));
    }

    /// The socket is gone.
    pub(super) fn lost(&self, key: ConnectionKey) {
        self.input(|cluster, now| cluster.disconnect(key, now));
        self.lock().outboxes.remove(&key);
    }

    pub(super) fn next(&self, key: ConnectionKey) -> Next {
        let mut state = self.lock();
        let enough = state.cluster.unread(key) > READ_AHEAD && !state.cluster.is_reading(key);
        let Some(outbox) = state.outboxes.get_mut(&key) else {
            return Next::Close;
        };
        match outbox.bytes.pop_front() {
            Some(bytes) => Next::Write(bytes),
            None if outbox.closed => Next::Close,
            None if enough => Next::Wait,
            None => Next::Read,
        }
    }

    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    pub(super) async fn stopped(&self) {
        self.stop.notified().await;
    }
}

impl State {
    fn distribute(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            let (key, bytes) = match output {
                Output::Send { connection, bytes } => (connection, Some(bytes)),
                Output::Close { connection } => (connection, None),
            };
            if let Some(outbox) = self.outboxes.get_mut(&key) {
                match bytes {
                    Some(bytes) => outbox.bytes.extend(bytes),
                    None => outbox.closed = true,
                }
                outbox.news.notify_one();
            }
        }
    }
}
