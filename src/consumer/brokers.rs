//! Owns the consumer's view of each broker: the fetch session, the fetch under way, and in which order its partitions
//! are asked for.
//!
//! Must not know what a partition's state is; it orders them by when they were last served.

use alloc::vec::Vec;

use super::BrokerIndex;
use super::partition::Pause;
use super::session::FetchSession;
use super::subscription::Assigned;
use crate::cluster::Token;
use crate::collections::VecMap;
use crate::engine::NodeId;
use crate::error::Error;
use crate::time::{Duration, Instant};

/// A response of about this size is the cheapest to take in (measured); fetches ask for that much, unless the way to
/// the broker is so long that more must be under way.
pub(crate) const FRAME_BYTES: usize = 1 << 20;

/// A full response that took longer than this comes from far away.
const FAR: Duration = Duration::from_millis(20);

/// A fetch that a broker is working on.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) fetch: Token,
    /// The slots of the partitions that it asks for, under the assignment of that time.
    pub(crate) slots: Vec<u32>,
    /// Whether partitions of the broker were left out because enough of their data is buffered.
    pub(crate) left_out: bool,
    pub(crate) max_bytes: usize,
    pub(crate) since: Instant,
}

/// What is going on with a broker's fetches.
///
/// ```text
/// Idle ──▶ Reaching ──▶ Idle ──▶ InFlight ──▶ Idle
///  ▲                                 └──▶ Backoff ──┐
///  └────────────────────────────────────────────────┘
/// ```
#[derive(Clone, Debug)]
pub(crate) enum BrokerState {
    /// Nothing is under way; a fetch goes out as soon as one is wanted.
    Idle,
    /// A request waits for the connection; the last attempt may have failed.
    Reaching(Option<Error>),
    /// A fetch is under way.
    InFlight(Flight),
    /// A fetch failed as a whole.
    Backoff(Pause),
}

/// One broker.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) node: NodeId,
    pub(crate) state: BrokerState,
    pub(crate) session: FetchSession,
    /// The slots of the partitions that are fetched from it, those served longest ago first.
    pub(crate) order: Vec<u32>,
    /// How many bytes a fetch asks for at the most.
    pub(crate) target: usize,
    /// What the next response takes, where that is known to be more.
    pub(crate) least_bytes: usize,
    /// How long a fetch may be parked while other partitions' data is buffered: it must not hold them up.
    pub(crate) lull: Duration,
    /// Failed fetches in a row.
    pub(crate) attempts: u32,
    /// Whether each fetch asks for one partition only, to find the one whose response is too large.
    pub(crate) one_by_one: bool,
    touched: bool,
}

impl Broker {
    /// Takes note of how long a response took and how full it was.
    pub(crate) fn measure(&mut self, flight: &Flight, bytes: usize, now: Instant, most: usize) {
        if now.since(flight.since) > FAR
            && bytes >= flight.max_bytes / 2
            && flight.max_bytes >= self.target
        {
            self.target = self.target.saturating_mul(2).min(most);
        }
    }

    /// The bytes that may be buffered of a partition while more of it is asked for.
    pub(crate) const fn prefetch(&self) -> usize {
        self.target / 2
    }

    /// The next lull while nothing comes: doubling, so that what is held up has been waiting for as long already.
    pub(crate) fn lengthen_lull(&mut self, most: Duration) {
        self.lull = self
            .lull
            .saturating_mul(2)
            .max(Duration::from_millis(1))
            .min(most);
    }

    /// Those served longest ago come first.
    pub(crate) fn order_by_turn(&mut self, assigned: &Assigned) {
        let served = |slot: &u32| assigned.get(*slot).map_or(0, |partition| partition.served);
        self.order.sort_by_key(served);
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, BrokerState::Idle)
    }
}

/// All brokers that led an assigned partition.
#[derive(Debug)]
pub(crate) struct Brokers {
    brokers: Vec<Broker>,
    index: VecMap<NodeId, BrokerIndex>,
    touched: Vec<BrokerIndex>,
    target: usize,
}

impl Brokers {
    pub(crate) const fn new(target: usize) -> Self {
        Self {
            brokers: Vec::new(),
            index: VecMap::new(),
            touched: Vec::new(),
            target,
        }
    }

    /// The broker with this id, new or known.
    pub(crate) fn of(&mut self, node: NodeId) -> BrokerIndex {
        if let Some(index) = self.index.get(&node) {
            return *index;
        }
        let index = BrokerIndex(self.brokers.len());
        self.index.insert(node, index);
        self.brokers.push(Broker {
            node,
            state: BrokerState::Idle,
            session: FetchSession::new(),
            order: Vec::new(),
            target: self.target,
            least_bytes: 0,
            lull: Duration::ZERO,
            attempts: 0,
            one_by_one: false,
            touched: false,
        });
        index
    }

    pub(crate) fn find(&self, node: NodeId) -> Option<BrokerIndex> {
        self.index.get(&node).copied()
    }

    #[inline]
    pub(crate) fn get(&self, index: BrokerIndex) -> Option<&Broker> {
        self.brokers.get(index.0)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: BrokerIndex) -> Option<&mut Broker> {
        self.brokers.get_mut(index.0)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (BrokerIndex, &mut Broker)> {
        self.brokers
            .iter_mut()
            .enumerate()
            .map(|(index, broker)| (BrokerIndex(index), broker))
    }

    /// How many brokers partitions are fetched from, one at the least.
    pub(crate) fn in_use(&self) -> usize {
        let used = self
            .brokers
            .iter()
            .filter(|broker| !broker.order.is_empty());
        used.count().max(1)
    }

    /// Whether any fetch is under way.
    pub(crate) fn any_in_flight(&self) -> bool {
        self.brokers
            .iter()
            .any(|broker| matches!(broker.state, BrokerState::InFlight(_)))
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = BrokerIndex> + use<> {
        (0..self.brokers.len()).map(BrokerIndex)
    }

    /// Something changed that may make a request to this broker due.
    #[inline]
    pub(crate) fn touch(&mut self, index: BrokerIndex) {
        if let Some(broker) = self.brokers.get_mut(index.0)
            && !broker.touched
        {
            broker.touched = true;
            self.touched.push(index);
        }
    }

    /// The next broker to look at.
    #[inline]
    pub(crate) fn next_touched(&mut self) -> Option<BrokerIndex> {
        let index = self.touched.pop()?;
        if let Some(broker) = self.brokers.get_mut(index.0) {
            broker.touched = false;
        }
        Some(index)
    }
}
