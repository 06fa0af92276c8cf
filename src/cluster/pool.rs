//! Owns the pool's movements: looking names up, trying addresses, handing requests over, backing off, closing.
//!
//! Must not know which request goes to which broker, nor what metadata says beyond where a broker lives.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::slot::{Link, Location, Slot, SlotKey};
use super::{Attached, Cluster, ClusterEvent, JobOwner, Life, Place, Queued, Timer};
use crate::connection::{Connection, Effects, Handover, Report, Target, Versions};
use crate::engine::{
    CloseCause, ConnectionGroup, ConnectionId, Diagnostic, NodeId, Output, Peer, ResolveError,
    ResolveId,
};
use crate::error::{Error, ErrorKind, Step};

/// Whether a broker can take a request now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach<'a> {
    /// Yes, in these versions.
    Ready(&'a Versions),
    /// Not yet: `Role::on_reachable` or `Role::on_unreachable` follows.
    Pending,
}

impl Cluster {
    /// Asks whether a broker can take a request; if not, gets there and says so.
    pub(crate) fn reach(&mut self, node: NodeId, group: ConnectionGroup) -> Reach<'_> {
        let key = SlotKey {
            peer: Peer::Broker(node),
            group,
        };
        if self.life != Life::Open {
            return Reach::Pending;
        }
        let free = self.attached(key).is_some_and(Connection::is_free);
        let slot = self.slot(key);
        if free && slot.queue.is_empty() {
            slot.awaited = false;
            return match self.attached(key).and_then(Connection::versions) {
                Some(versions) => Reach::Ready(versions),
                None => Reach::Pending,
            };
        }
        slot.awaited = true;
        self.start(key);
        Reach::Pending
    }

    /// Takes a [`reach`](Self::reach) back.
    pub(crate) fn unreach(&mut self, node: NodeId, group: ConnectionGroup) {
        if let Some(slot) = self.slots.get_mut(&SlotKey {
            peer: Peer::Broker(node),
            group,
        }) {
            slot.awaited = false;
        }
    }

    pub(super) fn attached(&self, key: SlotKey) -> Option<&Connection> {
        let conn = self.slots.get(&key)?.link.attached()?;
        Some(&self.connections.get(&conn)?.connection)
    }

    /// The slot, made if it is not there.
    pub(super) fn slot(&mut self, key: SlotKey) -> &mut Slot {
        let location = match key.peer {
            Peer::Broker(node) => self.metadata.broker(node).map(|broker| Location {
                host: broker.host.clone(),
                port: broker.port,
            }),
            Peer::Bootstrap(index) => self.settings.bootstrap.get(usize::from(index)).cloned(),
        };
        self.slots.get_or_insert_with(key, || Slot::new(location))
    }

    /// Puts a request at the end of a slot's queue, and sends it if its turn has come.
    pub(super) fn enqueue(&mut self, key: SlotKey, handover: Handover) {
        let token = handover.token;
        self.place(token, Place::Queued(key));
        let slot = self.slot(key);
        slot.queue.insert(token, handover);
        match slot.link.attached() {
            Some(conn) => self.settle_connection(conn),
            None => self.start(key),
        }
    }

    /// Sets out for the peer, if nobody is on the way and it is known where it lives.
    pub(super) fn start(&mut self, key: SlotKey) {
        let Some(slot) = self.slots.get(&key) else {
            return;
        };
        if !matches!(slot.link, Link::Idle) || self.life != Life::Open {
            return;
        }
        let Some(location) = slot.location.clone() else {
            // The next metadata may say where the broker is.
            self.refresh_metadata();
            return;
        };
        let failures = slot.failures;
        let id = ResolveId(self.next_resolve);
        self.next_resolve = self.next_resolve.saturating_add(1);
        let timeout = self
            .settings
            .setup_timeout
            .after(failures, &mut self.random);
        let timer = self.timers.arm(self.now + timeout, Timer::Slot(key));
        self.lookups.insert(id, key);
        self.actions.push_back(Output::Resolve {
            id,
            host: location.host,
            port: location.port,
        });
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.link = Link::Resolving { id, timer };
            slot.since = self.now;
        }
    }

    /// A name has its addresses, or none.
    pub(super) fn on_resolved(
        &mut self,
        id: ResolveId,
        result: Result<Vec<SocketAddr>, ResolveError>,
    ) {
        let Some(key) = self.lookups.remove(&id) else {
            self.stale("Resolved");
            return;
        };
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        if let Link::Resolving { timer, .. } = core::mem::replace(&mut slot.link, Link::Idle) {
            self.timers.disarm(timer);
        }
        let why = match result {
            Ok(addresses) => match self.try_next(key, addresses.into()) {
                true => return,
                false => "the name has no address",
            },
            Err(ResolveError::NotFound) => "the name does not exist",
            Err(ResolveError::Failed) => "the name could not be resolved",
        };
        let error = self
            .unresolved(key, ErrorKind::Disconnected)
            .with_detail(why);
        self.attempt_failed(key, error);
    }

    fn unresolved(&self, key: SlotKey, kind: ErrorKind) -> Error {
        let error = Error::new(kind)
            .in_step(Step::Resolve)
            .with_hint("check the spelling of the name and the name service of this host");
        match self.slots.get(&key).and_then(|slot| slot.location.as_ref()) {
            Some(Location { host, port }) => {
                error.at_broker(alloc::format!("{} ({host}:{port})", key.peer))
            }
            None => error.at_broker(key.peer),
        }
    }

    /// Opens a connection to the first of `addresses`; says whether there was one.
    fn try_next(&mut self, key: SlotKey, mut left: VecDeque<SocketAddr>) -> bool {
        let Some(slot) = self.slots.get_mut(&key) else {
            return false;
        };
        let (Some(addr), Some(location)) = (left.pop_front(), slot.location.clone()) else {
            return false;
        };
        let failures = slot.failures;
        let conn = ConnectionId(self.next_connection);
        self.next_connection = self.next_connection.saturating_add(1);
        let timeout = self
            .settings
            .setup_timeout
            .after(failures, &mut self.random);
        slot.link = Link::Attached { conn, left };
        let target = Target {
            peer: key.peer,
            group: key.group,
            host: location.host,
            port: location.port,
            addr: Some(addr),
        };
        let settings = self.settings.connection.clone();
        let connection = Connection::open(conn, target, settings, timeout, &mut effects!(self));
        self.connections.insert(
            conn,
            Attached {
                connection,
                timer: None,
            },
        );
        self.settle_connection(conn);
        true
    }

    /// A whole attempt failed: no address led to a usable connection.
    fn attempt_failed(&mut self, key: SlotKey, error: Error) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.last_error = Some(error.clone());
        let awaited = slot.awaited;
        self.back_off(key);
        if let (Peer::Broker(node), true) = (key.peer, awaited) {
            let event = ClusterEvent::Unreachable {
                node,
                group: key.group,
                error: error.clone(),
            };
            self.events.push_back(Queued::Event(event));
        }
        if let Peer::Broker(_) = key.peer {
            self.refresh_metadata();
        }
        self.round_failed(key.peer, error);
    }

    fn back_off(&mut self, key: SlotKey) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        let wait = self
            .settings
            .reconnect
            .after(slot.failures, &mut self.random);
        slot.failures = slot.failures.saturating_add(1);
        let timer = self.timers.arm(self.now + wait, Timer::Slot(key));
        slot.link = Link::Backoff { timer };
        self.unrouted_changed = true;
    }

    /// The slot's deadline: a lookup has taken too long, or the backoff is over.
    pub(super) fn on_slot_timer(&mut self, key: SlotKey) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        match slot.link {
            Link::Resolving { id, .. } => {
                self.lookups.remove(&id);
                let after = self.now.since(slot.since);
                let error = self.unresolved(key, ErrorKind::TimedOut { after });
                self.attempt_failed(key, error);
            }
            Link::Backoff { .. } => {
                slot.link = Link::Idle;
                self.revive(key);
            }
            Link::Idle | Link::Attached { .. } | Link::Retiring { .. } => {}
        }
    }

    /// The slot is idle again: it sets out anew if it is wanted, and is forgotten if it holds nothing.
    fn revive(&mut self, key: SlotKey) {
        self.unrouted_changed = true;
        let Some(slot) = self.slots.get(&key) else {
            return;
        };
        if slot.is_vacant() {
            self.slots.remove(&key);
        } else if slot.is_wanted() {
            self.start(key);
        }
    }

    /// Lets a connection act, and does what follows for those around it.
    pub(super) fn with_connection<T>(
        &mut self,
        id: ConnectionId,
        act: impl FnOnce(&mut Connection, &mut Effects<'_>) -> T,
    ) -> Option<T> {
        let attached = self.connections.get_mut(&id)?;
        let result = act(&mut attached.connection, &mut effects!(self));
        self.settle_connection(id);
        Some(result)
    }

    /// Brings a connection and its slot to rest: ends requests, hands over those whose turn has come, re-arms the timer.
    pub(super) fn settle_connection(&mut self, id: ConnectionId) {
        let key = match self.connections.get(&id) {
            Some(attached) => SlotKey {
                peer: attached.connection.target().peer,
                group: attached.connection.target().group,
            },
            None => return,
        };
        self.take_reports(key);
        while self.hand_over(key, id) {}
        self.tell_reachable(key);
        self.retire_if_quiet(key, id);
        self.sync_timer(id);
    }

    fn take_reports(&mut self, key: SlotKey) {
        let mut reports = core::mem::take(&mut self.reports);
        for report in reports.drain(..) {
            self.unrouted_changed = true;
            match report {
                Report::Ready => {
                    if let Some(slot) = self.slots.get_mut(&key) {
                        slot.failures = 0;
                        slot.last_error = None;
                    }
                    self.round_ended();
                    self.want_brokers();
                }
                Report::Work { conn, job } => {
                    self.work_for(JobOwner::Connection(conn), job);
                }
                Report::Ended {
                    token: Some(token),
                    answer,
                } => self.end(token, answer),
                Report::Ended {
                    token: None,
                    answer,
                } => self.drop_answer(answer),
            }
        }
        self.reports = reports;
    }

    /// Hands the first waiting request over, if the connection is free.
    fn hand_over(&mut self, key: SlotKey, id: ConnectionId) -> bool {
        let (Some(slot), Some(attached)) =
            (self.slots.get_mut(&key), self.connections.get_mut(&id))
        else {
            return false;
        };
        if slot.link.attached() != Some(id) || !attached.connection.is_free() {
            return false;
        }
        let Some((token, handover)) = slot.queue.pop_first() else {
            return false;
        };
        match attached.connection.send(&handover, &mut effects!(self)) {
            Ok(()) => self.place(token, Place::Sent(id)),
            Err(error) => self.fail_unsent(
                &handover,
                error,
                crate::connection::FailureCause::Unsupported,
            ),
        }
        true
    }

    fn tell_reachable(&mut self, key: SlotKey) {
        let free = self.attached(key).is_some_and(Connection::is_free);
        if let (Some(slot), Peer::Broker(node), true) = (self.slots.get_mut(&key), key.peer, free)
            && slot.awaited
            && slot.queue.is_empty()
        {
            slot.awaited = false;
            let event = ClusterEvent::Reachable {
                node,
                group: key.group,
            };
            self.events.push_back(Queued::Event(event));
        }
    }

    fn retire_if_quiet(&mut self, key: SlotKey, id: ConnectionId) {
        let retiring = self
            .slots
            .get(&key)
            .is_some_and(|slot| matches!(slot.link, Link::Retiring { conn } if conn == id));
        if let (true, Some(attached)) = (retiring, self.connections.get_mut(&id))
            && attached.connection.is_quiet()
        {
            attached.connection.close(&mut effects!(self));
        }
    }

    fn sync_timer(&mut self, id: ConnectionId) {
        let Some(attached) = self.connections.get_mut(&id) else {
            return;
        };
        let wanted = attached.connection.deadline().map(|(at, _)| at);
        if attached.timer.map(|(at, _)| at) == wanted {
            return;
        }
        if let Some((_, timer)) = attached.timer.take() {
            self.timers.disarm(timer);
        }
        attached.timer = wanted.map(|at| (at, self.timers.arm(at, Timer::Connection(id))));
    }

    /// A connection's deadline.
    pub(super) fn on_connection_timer(&mut self, id: ConnectionId) {
        if let Some(attached) = self.connections.get_mut(&id) {
            attached.timer = None;
        }
        self.with_connection(id, Connection::on_deadline);
    }

    /// The connection's last input.
    pub(super) fn on_closed(&mut self, id: ConnectionId, cause: CloseCause, sent: u64) {
        let Some(mut attached) = self.connections.remove(&id) else {
            self.stale("Closed");
            return;
        };
        let target = attached.connection.target();
        let key = SlotKey {
            peer: target.peer,
            group: target.group,
        };
        let ended = attached
            .connection
            .on_closed(cause, sent, &mut effects!(self));
        if let Some((_, timer)) = attached.timer {
            self.timers.disarm(timer);
        }
        self.take_reports(key);
        let Some(slot) = self.slots.get_mut(&key) else {
            self.closed_if_empty();
            return;
        };
        match (core::mem::replace(&mut slot.link, Link::Idle), ended.error) {
            (Link::Attached { left, .. }, Some(error)) => {
                slot.last_error = Some(error.clone());
                if ended.was_ready {
                    // Where the broker lives may have changed: the next attempt asks again (KIP-302).
                    self.back_off(key);
                    self.refresh_metadata();
                } else if !self.try_next(key, left) {
                    self.attempt_failed(key, error);
                }
            }
            (Link::Attached { .. } | Link::Retiring { .. }, _) => self.revive(key),
            (Link::Idle | Link::Resolving { .. } | Link::Backoff { .. }, _) => {
                debug_assert!(false, "a connection ended that its slot does not have");
            }
        }
        self.closed_if_empty();
    }

    /// Closes a connection that broke the protocol above its frames.
    pub(super) fn fail_connection(&mut self, id: ConnectionId, error: Error) -> Error {
        let error = match self.connections.get(&id) {
            Some(attached) => error.at_broker(attached.connection.target().name()),
            None => error,
        };
        let why = error.clone();
        self.with_connection(id, |connection, fx| connection.fail(why, fx));
        error
    }

    /// A broker is somewhere else now, or nowhere: what is on its way there ends.
    pub(super) fn relocate(&mut self, key: SlotKey, location: Option<Location>) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        if slot.location == location {
            return;
        }
        slot.location = location;
        slot.failures = 0;
        match core::mem::replace(&mut slot.link, Link::Idle) {
            Link::Idle => {}
            Link::Resolving { id, timer } => {
                self.lookups.remove(&id);
                self.timers.disarm(timer);
            }
            Link::Backoff { timer } => {
                self.timers.disarm(timer);
            }
            Link::Attached { conn, .. } | Link::Retiring { conn } => {
                slot.link = Link::Retiring { conn };
                self.settle_connection(conn);
                return;
            }
        }
        self.revive(key);
    }

    /// Closes everything. What waits is dropped without an answer.
    pub(crate) fn close(&mut self) {
        if self.life != Life::Open {
            return;
        }
        self.life = Life::Closing;
        self.abandon_all();
        self.stop_refreshing();
        if let Some(timer) = self.patience.take() {
            self.timers.disarm(timer);
        }
        for (_, slot) in core::mem::take(&mut self.slots) {
            match slot.link {
                Link::Resolving { timer, .. } | Link::Backoff { timer } => {
                    self.timers.disarm(timer);
                }
                Link::Idle | Link::Attached { .. } | Link::Retiring { .. } => {}
            }
        }
        self.lookups.clear();
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in connections {
            self.with_connection(id, Connection::close);
        }
        self.closed_if_empty();
    }

    fn closed_if_empty(&mut self) {
        if self.life == Life::Closing && self.connections.is_empty() {
            self.life = Life::Closed;
            self.events.push_back(Queued::Event(ClusterEvent::Closed));
        }
    }

    /// An input named something that is not alive.
    pub(super) fn stale(&mut self, what: &'static str) {
        self.stale_inputs = self.stale_inputs.saturating_add(1);
        self.actions
            .push_back(Output::Diagnostic(Diagnostic::StaleInput { what }));
    }
}
