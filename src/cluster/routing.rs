//! Owns the choice of a broker for requests that any may answer, the search for one when none is connected, and the
//! word to the user when a whole round of that search has failed.
//!
//! Must not know what the requests ask for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::slot::{Link, SlotKey};
use super::{Cluster, ClusterEvent, Queued, Timer};
use crate::collections::VecMap;
use crate::engine::{ConnectionGroup, Peer};
use crate::error::{Error, ErrorKind};
use crate::limits::CONNECT_PATIENCE;
use crate::time::Instant;

/// The peers that failed since the last one that worked.
#[derive(Debug, Default)]
pub(super) struct Round {
    failed: VecMap<Peer, Error>,
}

/// What to do with a request that any broker may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Send it over this connection.
    Send(SlotKey),
    /// Somebody will be free soon.
    Wait,
    /// Somebody is on the way; it is not waited for longer than this before another is tried, too.
    WaitUntil(Instant),
    /// Set out for this peer.
    Connect(SlotKey),
    /// All are backing off; their timers say when to look again.
    Nobody,
}

/// What a look at some peers found.
#[derive(Debug, Default)]
struct Survey {
    /// The least number of requests in flight on a free connection, and who has it.
    least: Option<usize>,
    free: Vec<SlotKey>,
    /// Somebody is ready, but at the cap.
    busy: bool,
    /// When the last one that is on the way set out.
    connecting_since: Option<Instant>,
    /// Nobody is on the way to these.
    idle: Vec<SlotKey>,
    /// These could take a request, but may be holding one back on purpose.
    parked: Vec<SlotKey>,
}

fn default_key(peer: Peer) -> SlotKey {
    SlotKey {
        peer,
        group: ConnectionGroup::Default,
    }
}

impl Cluster {
    /// Sends what any broker may answer, as far as there are brokers.
    pub(super) fn route_unrouted(&mut self) {
        self.unrouted_changed = false;
        if let Some(timer) = self.patience.take() {
            self.timers.disarm(timer);
        }
        while let Some(token) = self.requests.unrouted.first_key().copied() {
            match self.choose() {
                Choice::Send(key) => {
                    let Some(handover) = self.requests.unrouted.remove(&token) else {
                        return;
                    };
                    self.enqueue(key, handover);
                }
                Choice::Connect(key) => {
                    self.slot(key);
                    self.start(key);
                }
                Choice::WaitUntil(at) => {
                    self.patience = Some(self.timers.arm(at, Timer::Patience));
                    return;
                }
                Choice::Wait | Choice::Nobody => return,
            }
        }
    }

    fn choose(&mut self) -> Choice {
        let brokers = self.survey(self.broker_peers());
        let bootstrap = self.survey(self.bootstrap_peers());
        if let Some(key) = self
            .any_of(&brokers.free)
            .or_else(|| self.any_of(&bootstrap.free))
        {
            return Choice::Send(key);
        }
        if brokers.busy || bootstrap.busy {
            return Choice::Wait;
        }
        // A peer that swallows packets must not stand before all others until its setup times out.
        let since = brokers.connecting_since.max(bootstrap.connecting_since);
        if let Some(until) = since
            .map(|since| since + CONNECT_PATIENCE)
            .filter(|until| *until > self.now)
        {
            return Choice::WaitUntil(until);
        }
        match self
            .any_of(&brokers.idle)
            .or_else(|| self.any_of(&bootstrap.idle))
        {
            Some(key) => Choice::Connect(key),
            // A consumer that waits for records has a fetch parked with every broker, all of the time: what the broker
            // holds back for a moment is better than what never goes.
            None => match self.any_of(&brokers.parked) {
                Some(key) => Choice::Send(key),
                None => Choice::Nobody,
            },
        }
    }

    fn broker_peers(&self) -> Vec<Peer> {
        self.metadata
            .brokers()
            .map(|broker| Peer::Broker(broker.id))
            .collect()
    }

    fn bootstrap_peers(&self) -> Vec<Peer> {
        (0..=u16::MAX)
            .zip(&self.settings.bootstrap)
            .map(|(index, _)| Peer::Bootstrap(index))
            .collect()
    }

    fn survey(&self, peers: Vec<Peer>) -> Survey {
        let mut survey = Survey::default();
        for key in peers.into_iter().map(default_key) {
            let Some(slot) = self.slots.get(&key) else {
                survey.idle.push(key);
                continue;
            };
            match &slot.link {
                Link::Idle => survey.idle.push(key),
                Link::Resolving { .. } => survey.set_out(slot.since),
                Link::Attached { conn, .. } => {
                    if let Some(attached) = self.connections.get(conn) {
                        let connection = &attached.connection;
                        if connection.is_setting_up() {
                            survey.set_out(slot.since);
                        }
                        let free = connection.is_free() && slot.queue.is_empty();
                        match connection.load() {
                            Some(load) => survey.ready(key, load, free),
                            None if free => survey.parked.push(key),
                            None => {}
                        }
                    }
                }
                Link::Retiring { .. } | Link::Backoff { .. } => {}
            }
        }
        survey
    }

    /// One of them by chance, so that many clients do not all choose the same.
    fn any_of(&mut self, keys: &[SlotKey]) -> Option<SlotKey> {
        match keys {
            [] => None,
            [only] => Some(*only),
            many => {
                let bound = u32::try_from(many.len()).unwrap_or(u32::MAX);
                many.get(self.random.below(bound) as usize).copied()
            }
        }
    }

    /// A peer could not be reached. Once that holds for all of them, the user must learn of it.
    pub(super) fn round_failed(&mut self, peer: Peer, error: Error) {
        self.round.failed.insert(peer, error);
        let all = self
            .broker_peers()
            .into_iter()
            .chain(self.bootstrap_peers())
            .all(|peer| self.round.failed.contains_key(&peer));
        if all {
            let error = no_broker(core::mem::take(&mut self.round.failed));
            self.events
                .push_back(Queued::Event(ClusterEvent::NoBroker { error }));
        }
    }

    /// Somebody works.
    pub(super) fn round_ended(&mut self) {
        self.round.failed.clear();
    }
}

impl Survey {
    fn set_out(&mut self, since: Instant) {
        self.connecting_since = self.connecting_since.max(Some(since));
    }

    fn ready(&mut self, key: SlotKey, load: usize, free: bool) {
        self.busy |= !free;
        if !free {
            return;
        }
        match self.least {
            Some(least) if least < load => {}
            Some(least) if least == load => self.free.push(key),
            Some(_) | None => {
                self.least = Some(load);
                self.free.clear();
                self.free.push(key);
            }
        }
    }
}

/// One error for a whole round: where every peer failed, and what to try.
fn no_broker(failed: VecMap<Peer, Error>) -> Error {
    let mut errors: Vec<Error> = failed.into_values().collect();
    if errors.len() <= 1 {
        return errors
            .pop()
            .unwrap_or_else(|| Error::new(ErrorKind::Disconnected));
    }
    let alike = errors
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.kind() == b.kind()));
    let kind = match errors.first() {
        Some(first) if alike => first.kind().clone(),
        Some(_) | None => ErrorKind::Disconnected,
    };
    let places: Vec<String> = errors.iter().map(|error| format!("{error}")).collect();
    let error = Error::new(kind)
        .with_detail(format!(
            "none of {} brokers can be used: {}",
            errors.len(),
            places.join("; ")
        ))
        .with_hint("check bootstrap.servers and that the brokers run and can be reached from here");
    match errors.first().and_then(Error::step) {
        Some(step) if errors.iter().all(|error| error.step() == Some(step)) => error.in_step(step),
        Some(_) | None => error,
    }
}
