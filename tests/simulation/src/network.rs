//! Owns the wires: sockets between clients and brokers over which bytes travel in order, in pieces, with delay,
//! and some never arrive.
//!
//! Knows no Kafka. The world tells it what is written and asks it when what arrives.

use std::collections::{BTreeMap, VecDeque};

use klamm::{CloseCause, ConnectionId, Duration, Instant};

use crate::chance::{Chance, Stream, hash};
use crate::scenario;

/// A socket, by its client and the client's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId {
    /// Which client.
    pub client: usize,
    /// Which of its incarnations.
    pub conn: ConnectionId,
}

/// Something that reaches one end of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// At the broker: the client wants to connect.
    Syn,
    /// At the client: it is connected.
    Connected,
    /// At the client: the socket has accepted this many more bytes.
    Credit(u64),
    /// At the broker: bytes.
    ToBroker(Vec<u8>),
    /// At the broker: the client is gone.
    ClientGone,
    /// At the client: bytes.
    ToClient(Vec<u8>),
    /// At the client: the end.
    Closed(CloseCause),
    /// The next thing that travels in this direction is due; whatever delays it, nothing overtakes.
    Due(Direction),
}

impl Arrival {
    /// Adds what arrives to a trace.
    #[must_use]
    pub fn digest(&self, trace: u64) -> u64 {
        match self {
            Self::Syn => hash(trace, b"syn"),
            Self::Connected => hash(trace, b"connected"),
            Self::Credit(bytes) => hash(trace, &bytes.to_be_bytes()),
            Self::ToBroker(bytes) | Self::ToClient(bytes) => hash(trace, bytes),
            Self::ClientGone => hash(trace, b"gone"),
            Self::Closed(cause) => hash(trace, format!("{cause:?}").as_bytes()),
            Self::Due(direction) => hash(trace, &[*direction as u8]),
        }
    }
}

/// Which way something travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    ToBroker,
    /// From the broker.
    ToClient,
}

#[derive(Debug)]
struct Socket {
    broker: i32,
    chance: Stream,
    /// When the last piece in each direction arrives: the next cannot overtake it.
    to_broker_at: Instant,
    to_client_at: Instant,
    accepted_at: Instant,
    /// Bytes that the client's side has accepted so far.
    accepted: u64,
    /// Bytes handed to the client's side in all.
    written: u64,
    /// Bytes that reached the broker.
    delivered: u64,
    /// Of the bytes on the way to the broker, those beyond this never arrive.
    limit: u64,
    client_open: bool,
    broker_open: bool,
    /// What is under way, in order.
    to_broker: VecDeque<Arrival>,
    to_client: VecDeque<Arrival>,
}

impl Socket {
    /// Puts something on its way, to arrive not before `at`, nor before what left earlier.
    fn travel(
        &mut self,
        id: SocketId,
        direction: Direction,
        at: Instant,
        what: Arrival,
        plans: &mut Plans,
    ) {
        let (queue, last) = match direction {
            Direction::ToBroker => (&mut self.to_broker, &mut self.to_broker_at),
            Direction::ToClient => (&mut self.to_client, &mut self.to_client_at),
        };
        queue.push_back(what);
        *last = (*last).max(at);
        plans.push((*last, id, Arrival::Due(direction)));
    }
}

impl Socket {
    /// Something has come to its end of the wire.
    fn arrive(&mut self, arrival: Arrival) -> Delivery {
        match &arrival {
            Arrival::ToBroker(bytes) => {
                let end = self.delivered + bytes.len() as u64;
                if end > self.limit {
                    self.limit = self.delivered;
                    return Delivery::Never;
                }
                self.delivered = end;
            }
            Arrival::Syn | Arrival::ClientGone => {}
            Arrival::Connected | Arrival::ToClient(_) => {
                if !self.client_open || self.limit != u64::MAX {
                    return Delivery::Never;
                }
            }
            Arrival::Credit(bytes) => {
                if !self.client_open {
                    return Delivery::Never;
                }
                self.accepted += bytes;
            }
            Arrival::Closed(_) => {
                if !self.client_open {
                    return Delivery::Never;
                }
                self.client_open = false;
                // What the client's side had not accepted never leaves.
                self.limit = self.limit.min(self.accepted);
            }
            Arrival::Due(_) => return Delivery::Never,
        }
        Delivery::Now(arrival)
    }
}

/// All sockets.
#[derive(Debug)]
pub struct Network {
    plan: scenario::Network,
    chance: Chance,
    sockets: BTreeMap<SocketId, Socket>,
    /// Until when nothing passes to or from a broker.
    frozen: BTreeMap<i32, Instant>,
    /// Until when everything to and from a broker is lost.
    dark: BTreeMap<i32, Instant>,
}

/// What the world should let happen, and when.
pub type Plans = Vec<(Instant, SocketId, Arrival)>;

impl Network {
    /// A network without sockets.
    #[must_use]
    pub fn new(plan: scenario::Network, chance: Chance) -> Self {
        Self {
            plan,
            chance,
            sockets: BTreeMap::new(),
            frozen: BTreeMap::new(),
            dark: BTreeMap::new(),
        }
    }

    /// Which broker the socket leads to.
    #[must_use]
    pub fn broker(&self, id: SocketId) -> Option<i32> {
        self.sockets.get(&id).map(|socket| socket.broker)
    }

    /// Whether the client has not yet been told of the socket's end.
    #[must_use]
    pub fn is_open(&self, id: SocketId) -> bool {
        self.sockets
            .get(&id)
            .is_some_and(|socket| socket.client_open)
    }

    /// How many sockets clients have open.
    #[must_use]
    pub fn open_sockets(&self, client: usize) -> usize {
        self.sockets
            .iter()
            .filter(|(id, socket)| id.client == client && socket.client_open)
            .count()
    }

    /// The sockets that a client has open.
    pub fn sockets_of(&self, client: usize) -> Vec<SocketId> {
        let own = |(id, socket): (&SocketId, &Socket)| {
            (id.client == client && socket.client_open).then_some(*id)
        };
        self.sockets.iter().filter_map(own).collect()
    }

    /// A client opens a socket.
    pub fn open(&mut self, id: SocketId, broker: i32, now: Instant, plans: &mut Plans) {
        let entity = format!("client-{}-{}", id.client, id.conn.0);
        let socket = Socket {
            broker,
            chance: self.chance.stream(&entity, "network"),
            to_broker_at: now,
            to_client_at: now,
            accepted_at: now,
            accepted: 0,
            written: 0,
            delivered: 0,
            limit: u64::MAX,
            client_open: true,
            broker_open: true,
            to_broker: VecDeque::new(),
            to_client: VecDeque::new(),
        };
        let before = self.sockets.insert(id, socket);
        assert!(before.is_none(), "{id:?} was used before");
        self.send(id, Direction::ToBroker, now, Arrival::Syn, plans);
    }

    /// The broker lets the client in, or refuses it.
    pub fn accept(&mut self, id: SocketId, accepted: bool, now: Instant, plans: &mut Plans) {
        let answer = if accepted {
            Arrival::Connected
        } else {
            Arrival::Closed(CloseCause::Refused)
        };
        self.send(id, Direction::ToClient, now, answer, plans);
    }

    /// The client writes.
    pub fn write(&mut self, id: SocketId, bytes: &[u8], now: Instant, plans: &mut Plans) {
        let piece_max = self.plan.piece_max;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(socket) = self
                .sockets
                .get_mut(&id)
                .filter(|socket| socket.client_open)
            else {
                return;
            };
            let length = socket.chance.between(1, piece_max).min(rest.len() as u64);
            let (piece, others) = rest.split_at(usize::try_from(length).expect("a length"));
            rest = others;
            let pause = Duration::from_nanos(socket.chance.between(0, 50_000));
            socket.accepted_at = socket.accepted_at.max(now) + pause;
            let accepted_at = socket.accepted_at;
            socket.written += length;
            plans.push((accepted_at, id, Arrival::Credit(length)));
            let piece = Arrival::ToBroker(piece.to_vec());
            self.send(id, Direction::ToBroker, accepted_at, piece, plans);
        }
    }

    /// The broker writes.
    pub fn answer(&mut self, id: SocketId, bytes: &[u8], now: Instant, plans: &mut Plans) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(socket) = self
                .sockets
                .get_mut(&id)
                .filter(|socket| socket.broker_open)
            else {
                return;
            };
            let length = socket
                .chance
                .between(1, self.plan.piece_max)
                .min(rest.len() as u64);
            let (piece, others) = rest.split_at(usize::try_from(length).expect("a length"));
            rest = others;
            let piece = Arrival::ToClient(piece.to_vec());
            self.send(id, Direction::ToClient, now, piece, plans);
        }
    }

    /// The broker closes its side, after what it has written.
    pub fn broker_closes(&mut self, id: SocketId, now: Instant, plans: &mut Plans) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.broker_open = false;
        }
        let end = Arrival::Closed(CloseCause::EndOfStream);
        self.send(id, Direction::ToClient, now, end, plans);
    }

    /// The client closes its side. With `flush` what it has written still leaves.
    pub fn client_closes(&mut self, id: SocketId, flush: bool, now: Instant, plans: &mut Plans) {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return;
        };
        let at = if flush {
            socket.accepted_at.max(now)
        } else {
            now
        };
        plans.push((at, id, Arrival::Closed(CloseCause::Local)));
    }

    /// Every connection to the broker is reset: of what is under way to it, some prefix may still arrive.
    pub fn reset(&mut self, broker: i32, now: Instant, plans: &mut Plans) {
        for (id, socket) in &mut self.sockets {
            if socket.broker == broker && socket.client_open {
                socket.limit = socket
                    .chance
                    .between(socket.delivered, socket.accepted.max(socket.delivered));
                socket.broker_open = false;
                plans.push((now, *id, Arrival::Closed(CloseCause::Reset)));
                plans.push((socket.to_broker_at.max(now), *id, Arrival::ClientGone));
            }
        }
    }

    /// Nothing passes to or from the broker until then; afterwards it arrives.
    pub fn freeze(&mut self, broker: i32, until: Instant) {
        let entry = self.frozen.entry(broker).or_default();
        *entry = (*entry).max(until);
    }

    /// Everything to or from the broker is lost until then.
    pub fn black_hole(&mut self, broker: i32, until: Instant) {
        let entry = self.dark.entry(broker).or_default();
        *entry = (*entry).max(until);
    }

    /// Something is due: what arrives, now or at another time, if anything.
    pub fn deliver(&mut self, id: SocketId, due: Arrival, now: Instant) -> Delivery {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return Delivery::Never;
        };
        let Arrival::Due(direction) = due else {
            return socket.arrive(due);
        };
        if let Some(until) = self
            .frozen
            .get(&socket.broker)
            .filter(|until| **until > now)
        {
            return Delivery::Later(*until);
        }
        let queue = match direction {
            Direction::ToBroker => &mut socket.to_broker,
            Direction::ToClient => &mut socket.to_client,
        };
        if let Some(until) = self.dark.get(&socket.broker).filter(|until| **until > now) {
            // A broker finds out at last that nobody is there.
            if queue.front() == Some(&Arrival::ClientGone) {
                return Delivery::Later(*until);
            }
            // What was lost once can never be made up for: the stream ends here.
            queue.pop_front();
            socket.limit = socket.limit.min(socket.delivered);
            socket.broker_open = false;
            return Delivery::Never;
        }
        match queue.pop_front() {
            Some(arrival) => socket.arrive(arrival),
            None => Delivery::Never,
        }
    }

    /// How many bytes the client's side had accepted when it ended.
    #[must_use]
    pub fn accepted(&self, id: SocketId) -> u64 {
        self.sockets.get(&id).map_or(0, |socket| socket.accepted)
    }

    /// The client has let go: the broker learns it after everything that was sent before.
    pub fn let_go(&mut self, id: SocketId, now: Instant, plans: &mut Plans) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.travel(id, Direction::ToBroker, now, Arrival::ClientGone, plans);
        }
    }

    fn send(
        &mut self,
        id: SocketId,
        direction: Direction,
        now: Instant,
        what: Arrival,
        plans: &mut Plans,
    ) {
        if let Some(at) = self.passes(id, now)
            && let Some(socket) = self.sockets.get_mut(&id)
        {
            socket.travel(id, direction, at, what, plans);
        }
    }

    /// When something that leaves now arrives.
    fn passes(&mut self, id: SocketId, now: Instant) -> Option<Instant> {
        let socket = self.sockets.get_mut(&id)?;
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).expect("short");
        let delay = socket
            .chance
            .between(nanos(self.plan.delay_min), nanos(self.plan.delay_max));
        Some(now + Duration::from_nanos(delay))
    }
}

/// What becomes of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is there.
    Now(Arrival),
    /// Not before then.
    Later(Instant),
    /// It is lost.
    Never,
}
