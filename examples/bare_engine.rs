//! The engine without any runtime: a loop by hand over sockets of the standard library. It shows the whole contract between
//! an engine and whoever drives it: drain the outputs to `Idle`, wait for the first of bytes and the deadline, hand it in.
//!
//! ```text
//! cargo run --example bare_engine -- localhost:9092 letters
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use klamm::config::ProducerConfig;
use klamm::record::RecordRef;
use klamm::{
    AppendError, CloseCause, ConnectionId, Engine, Input, Instant, Outcome, Output, ProducerEngine,
    ProducerEvent, ResolveError, UnixMillis,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = words.as_slice() else {
        return Err("usage: bare_engine HOST:PORT TOPIC".into());
    };
    let mut entropy = [0; 32];
    // Whatever is not predictable; here from the hasher's seed of the standard library.
    for byte in &mut entropy {
        use std::hash::{BuildHasher, RandomState};
        *byte = RandomState::new().hash_one(0) as u8;
    }
    let outcomes = produce(bootstrap, topic, &["by", "hand"], entropy)?;
    println!("{outcomes:?}");
    Ok(())
}

/// Time as the engine is told it: both clocks are the driver's.
struct Clock(std::time::Instant);

impl Clock {
    fn now(&self) -> Instant {
        Instant::START + self.0.elapsed()
    }

    fn wall(&self) -> UnixMillis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A socket, and how many bytes of the engine's it has taken.
struct Socket {
    stream: TcpStream,
    sent: u64,
}

fn produce(
    bootstrap: &str,
    topic: &str,
    values: &[&str],
    entropy: [u8; 32],
) -> Result<Vec<Outcome>> {
    let clock = Clock(std::time::Instant::now());
    let config = ProducerConfig::bootstrap(bootstrap)?;
    let mut engine = ProducerEngine::new(&config, entropy, clock.now(), clock.wall())?;
    let topic = engine.topic(topic, clock.now())?;
    let mut waiting: Vec<RecordRef<'_>> = values
        .iter()
        .map(|value| RecordRef::new(clock.wall().0, None, Some(value.as_bytes())))
        .collect();
    let (mut sockets, mut outcomes, mut unresolved) = (BTreeMap::new(), Vec::new(), values.len());
    while unresolved > 0 {
        // A wish of the user: as many records as go in now.
        if !waiting.is_empty() {
            match engine.append(topic, None, &waiting, clock.now()) {
                Ok(appended) => {
                    let accepted = usize::try_from(appended.tickets.end - appended.tickets.start)?;
                    waiting.drain(..accepted);
                }
                // `Unblocked` follows: an output, after which it is tried again.
                Err(AppendError::Blocked { .. }) => {}
                Err(AppendError::Refused(error)) => return Err(error.into()),
            }
        }
        // What the engine wants done, until it wants nothing more.
        let wake = loop {
            match engine.poll_output() {
                Output::Idle(wake) => break wake,
                Output::Event(event) => {
                    if let ProducerEvent::Outcome {
                        tickets, outcome, ..
                    } = event
                    {
                        unresolved -= usize::try_from(tickets.end - tickets.start)?;
                        outcomes.push(outcome);
                    }
                }
                output @ (Output::Resolve { .. }
                | Output::Open { .. }
                | Output::Write { .. }
                | Output::Close { .. }
                | Output::Work { .. }
                | Output::Diagnostic(_)) => carry_out(output, &mut engine, &mut sockets, &clock),
            }
        };
        // Facts from outside: bytes that have come, or that it is time.
        let moved = read_all(&mut engine, &mut sockets, &clock);
        let now = clock.now();
        if wake.is_some_and(|wake| wake.at <= now) {
            engine.handle(Input::Timeout { wall: clock.wall() }, now);
        } else if !moved {
            // A real driver sleeps until a socket or the deadline wakes it.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(outcomes)
}

fn carry_out(
    output: Output<ProducerEvent>,
    engine: &mut ProducerEngine,
    sockets: &mut BTreeMap<ConnectionId, Socket>,
    clock: &Clock,
) {
    match output {
        Output::Resolve { id, host, port } => {
            let found = (host.as_str(), port).to_socket_addrs();
            let result = found
                .map(Iterator::collect)
                .map_err(|_| ResolveError::Failed);
            engine.handle(Input::Resolved { id, result }, clock.now());
        }
        Output::Open { conn, addr, .. } => {
            let opened = addr
                .ok_or_else(|| std::io::Error::from(ErrorKind::AddrNotAvailable))
                .and_then(|addr| {
                    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
                    stream.set_nonblocking(true)?;
                    Ok(Socket { stream, sent: 0 })
                });
            match opened {
                Ok(socket) => {
                    sockets.insert(conn, socket);
                    engine.handle(Input::Connected { conn }, clock.now());
                }
                Err(_) => closed(conn, 0, CloseCause::Refused, engine, clock),
            }
        }
        Output::Write { conn, data } => {
            let Some(socket) = sockets.get_mut(&conn) else {
                return;
            };
            match write_all(&mut socket.stream, &data.to_vec()) {
                Ok(bytes) => {
                    socket.sent += bytes;
                    engine.handle(Input::Sent { conn, bytes }, clock.now());
                }
                Err(_) => lost(conn, CloseCause::Reset, engine, sockets, clock),
            }
        }
        Output::Close { conn, .. } => lost(conn, CloseCause::Local, engine, sockets, clock),
        Output::Work { id, job } => {
            let result = job.run();
            engine.handle(Input::JobDone { id, result }, clock.now());
        }
        Output::Diagnostic(diagnostic) => eprintln!("{diagnostic:?}"),
        Output::Event(_) | Output::Idle(_) => {}
    }
}

fn write_all(stream: &mut TcpStream, mut data: &[u8]) -> std::io::Result<u64> {
    let all = data.len() as u64;
    while !data.is_empty() {
        match stream.write(data) {
            Ok(bytes) => data = data.get(bytes..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Hands in what has come on any socket, and says whether anything has.
fn read_all(
    engine: &mut ProducerEngine,
    sockets: &mut BTreeMap<ConnectionId, Socket>,
    clock: &Clock,
) -> bool {
    let mut buffer = [0; 65_536];
    let (mut moved, mut ended) = (false, Vec::new());
    for (conn, socket) in sockets.iter_mut() {
        match socket.stream.read(&mut buffer) {
            Ok(0) => ended.push((*conn, CloseCause::EndOfStream)),
            Ok(bytes) => {
                let data = buffer.get(..bytes).unwrap_or_default();
                engine.handle(Input::Received { conn: *conn, data }, clock.now());
                moved = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => ended.push((*conn, CloseCause::Reset)),
        }
    }
    for (conn, cause) in ended {
        lost(conn, cause, engine, sockets, clock);
        moved = true;
    }
    moved
}

/// A socket is gone: exactly one `Closed` for each `Open`, and it says how much was really sent.
fn lost(
    conn: ConnectionId,
    cause: CloseCause,
    engine: &mut ProducerEngine,
    sockets: &mut BTreeMap<ConnectionId, Socket>,
    clock: &Clock,
) {
    if let Some(socket) = sockets.remove(&conn) {
        closed(conn, socket.sent, cause, engine, clock);
    }
}

fn closed(
    conn: ConnectionId,
    sent: u64,
    cause: CloseCause,
    engine: &mut ProducerEngine,
    clock: &Clock,
) {
    engine.handle(Input::Closed { conn, cause, sent }, clock.now());
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_cluster::{ClusterConfig, Server};

    #[test]
    fn a_loop_by_hand_writes_records() -> Result<()> {
        let server = Server::start(ClusterConfig::with_nodes(2))?;
        server.with(|cluster| cluster.create_topic("letters", 1))?;
        let outcomes = produce(&server.bootstrap(), "letters", &["by", "hand"], [7; 32])?;
        let first = Outcome::Delivered {
            offset: Some(0),
            timestamp: None,
        };
        assert_eq!(outcomes, [first]);
        Ok(())
    }
}
