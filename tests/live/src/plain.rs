//! A driver of the smallest kind: one thread, sockets asked in turn, no runtime. It brings an engine to a real broker with
//! nothing of the real drivers in between, so that a fault found here is the engine's.

use bytes::Bytes;
use klamm::{
    CloseCause, CloseMode, ConnectionId, Engine, Input, Instant, Output, ResolveError, UnixMillis,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{self, Duration, SystemTime, UNIX_EPOCH};

/// An engine and its sockets.
pub struct Plain<E: Engine> {
    /// The engine, for commands.
    pub engine: E,
    began: time::Instant,
    sockets: BTreeMap<ConnectionId, Socket>,
    events: VecDeque<E::Event>,
}

struct Socket {
    stream: TcpStream,
    unsent: VecDeque<Bytes>,
    sent: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// What is unsent goes out first.
    Flushing,
}

/// The wall clock, as an engine wants it.
pub fn wall() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    UnixMillis(i64::try_from(since.as_millis()).expect("not in this epoch"))
}

impl<E: Engine> Plain<E> {
    /// A driver of `engine`, which was made at [`Instant::START`].
    pub fn new(engine: E) -> Self {
        Plain {
            engine,
            began: time::Instant::now(),
            sockets: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// The time for commands.
    pub fn now(&self) -> Instant {
        Instant::START + self.began.elapsed()
    }

    /// Drives until there is an event, and returns it.
    ///
    /// # Panics
    /// After `limit`, with `what` was awaited.
    pub fn event(&mut self, what: &str, limit: Duration) -> E::Event {
        let deadline = time::Instant::now() + limit;
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            assert!(
                time::Instant::now() < deadline,
                "after {limit:?} still not so: {what}"
            );
            self.drive();
        }
    }

    /// Does what is to be done now; sleeps for a moment if there was nothing.
    pub fn drive(&mut self) {
        let due = self.drain();
        let mut busy = false;
        for conn in self.sockets.keys().copied().collect::<Vec<_>>() {
            busy |= self.write(conn);
            busy |= self.read(conn);
        }
        let now = self.now();
        if due.is_some_and(|due| due <= now) {
            self.engine.handle(Input::Timeout { wall: wall() }, now);
        } else if !busy {
            thread::sleep(Duration::from_micros(200));
        }
        self.drain();
    }

    /// Takes all outputs, and says when the engine wants to be woken.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            let now = self.now();
            match self.engine.poll_output() {
                Output::Resolve { id, host, port } => {
                    let found = (host.as_str(), port).to_socket_addrs();
                    let result = found
                        .map(Iterator::collect)
                        .map_err(|_| ResolveError::NotFound);
                    self.engine.handle(Input::Resolved { id, result }, now);
                }
                Output::Open { conn, addr, .. } => self.open(conn, addr.expect("no proxy"), now),
                Output::Write { conn, data } => {
                    if let Some(socket) = self.sockets.get_mut(&conn) {
                        socket.unsent.extend(data.iter().cloned());
                    }
                }
                Output::Close {
                    conn,
                    mode: CloseMode::Abort,
                } => self.closed(conn, CloseCause::Local),
                Output::Close {
                    conn,
                    mode: CloseMode::Flush,
                } => {
                    if let Some(socket) = self.sockets.get_mut(&conn) {
                        socket.state = State::Flushing;
                    }
                }
                Output::Work { id, job } => self.engine.handle(
                    Input::JobDone {
                        id,
                        result: job.run(),
                    },
                    now,
                ),
                Output::Event(event) => self.events.push_back(event),
                Output::Diagnostic(_) => {}
                Output::Idle(wake) => return wake.map(|wake| wake.at),
            }
        }
    }

    fn open(&mut self, conn: ConnectionId, address: SocketAddr, now: Instant) {
        match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            Ok(stream) => {
                stream.set_nonblocking(true).expect("a TCP socket");
                stream.set_nodelay(true).expect("a TCP socket");
                self.sockets.insert(
                    conn,
                    Socket {
                        stream,
                        unsent: VecDeque::new(),
                        sent: 0,
                        state: State::Open,
                    },
                );
                self.engine.handle(Input::Connected { conn }, now);
            }
            Err(_) => self.engine.handle(
                Input::Closed {
                    conn,
                    cause: CloseCause::Refused,
                    sent: 0,
                },
                now,
            ),
        }
    }

    /// Whether anything was written.
    fn write(&mut self, conn: ConnectionId) -> bool {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return false;
        };
        let Some(piece) = socket.unsent.front_mut() else {
            if socket.state == State::Flushing {
                self.closed(conn, CloseCause::Local);
            }
            return false;
        };
        match socket.stream.write(piece) {
            Ok(count) => {
                drop(piece.split_to(count));
                if piece.is_empty() {
                    socket.unsent.pop_front();
                }
                socket.sent += count as u64;
                let now = self.now();
                self.engine.handle(
                    Input::Sent {
                        conn,
                        bytes: count as u64,
                    },
                    now,
                );
                true
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.closed(conn, CloseCause::Reset);
                true
            }
        }
    }

    /// Whether anything was read.
    fn read(&mut self, conn: ConnectionId) -> bool {
        let mut buffer = [0; 16 * 1024];
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return false;
        };
        match socket.stream.read(&mut buffer) {
            Ok(0) => {
                self.closed(conn, CloseCause::EndOfStream);
                true
            }
            Ok(count) => {
                let now = self.now();
                self.engine.handle(
                    Input::Received {
                        conn,
                        data: &buffer[..count],
                    },
                    now,
                );
                true
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.closed(conn, CloseCause::Reset);
                true
            }
        }
    }

    fn closed(&mut self, conn: ConnectionId, cause: CloseCause) {
        if let Some(socket) = self.sockets.remove(&conn) {
            let now = self.now();
            self.engine.handle(
                Input::Closed {
                    conn,
                    cause,
                    sent: socket.sent,
                },
                now,
            );
        }
    }
}
