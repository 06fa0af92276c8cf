//! What stands around an engine under test: sockets, names, jobs and time, all of them as bad as the choices want, and
//! what must hold at the border whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use klamm::recording::{Recordable, put_output};
use klamm::{
    Category, CloseCause, CloseMode, ConnectionId, Diagnostic, Duration, Input, Instant, Job,
    JobId, JobResult, Output, ResolveError, ResolveId, UnixMillis, Wake,
};

use crate::Choices;

/// What the engines may use in all.
pub(crate) const BUDGET: usize = 4 << 20;
/// Unsent bytes that an engine may put on a socket, and one frame beyond.
const WRITE_WINDOW: u64 = (2 << 20) + (2 << 20);
/// More outputs at once than any input causes.
const OUTPUTS: usize = 10_000;

/// A user of an engine: what it asks for, and what must be true of what it is told.
pub(crate) trait Role: Default {
    type Engine: Recordable;
    fn engine(choices: &mut Choices<'_>) -> Self::Engine;
    fn act(&mut self, engine: &mut Self::Engine, choices: &mut Choices<'_>, now: Instant);
    fn told(&mut self, event: &<Self::Engine as klamm::Engine>::Event);
    fn close(&mut self, engine: &mut Self::Engine, deadline: Instant, now: Instant);
    fn is_closed(&self) -> bool;
    /// Records delivered or batches read: whether the world is one in which anything works at all.
    #[cfg(test)]
    fn achieved(&self) -> u64;
    fn assert_nothing_open(&self);
    /// How many batches were called delivered, by the number of their partition.
    fn acknowledged(&self) -> BTreeMap<i32, u64> {
        BTreeMap::new()
    }
    fn memory(engine: &Self::Engine, category: Category) -> usize;
}

/// The driver's side of a socket.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    pub(crate) host: String,
    pub(crate) connected: bool,
    /// What the engine has written and the socket not accepted.
    pending: Vec<u8>,
    /// What the socket has accepted and the peer not taken.
    pub(crate) accepted: Vec<u8>,
    sent: u64,
    flushing: bool,
    aborted: bool,
}

pub(crate) struct World<R: Role> {
    pub(crate) role: R,
    pub(crate) engine: R::Engine,
    pub(crate) now: Instant,
    pub(crate) sockets: BTreeMap<ConnectionId, Socket>,
    opened: BTreeSet<ConnectionId>,
    resolves: Vec<(ResolveId, u16)>,
    resolved: BTreeSet<ResolveId>,
    jobs: Vec<(JobId, Job)>,
    given: BTreeSet<JobId>,
    pub(crate) wake: Option<Wake>,
    /// How received bytes are cut.
    piece: usize,
    /// Every output, written down, but for the word that an input was stale: of cut bytes each piece is.
    pub(crate) trace: Vec<Vec<u8>>,
}

impl<R: Role> World<R> {
    pub(crate) fn new(choices: &mut Choices<'_>, piece: usize) -> Self {
        let mut world = Self {
            role: R::default(),
            engine: R::engine(choices),
            now: Instant::START,
            sockets: BTreeMap::new(),
            opened: BTreeSet::new(),
            resolves: Vec::new(),
            resolved: BTreeSet::new(),
            jobs: Vec::new(),
            given: BTreeSet::new(),
            wake: None,
            piece,
            trace: Vec::new(),
        };
        world.drain();
        world
    }

    pub(crate) fn wall(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000 + (self.now.as_nanos() / 1_000_000) as i64)
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        klamm::Engine::handle(&mut self.engine, input, self.now);
        self.drain();
    }

    /// Takes all outputs, as a driver does that sleeps until it must not: only if `needs_drive` says so. Where it says
    /// no, there must be nothing to take.
    pub(crate) fn drain(&mut self) {
        use klamm::Engine;
        let armed = self.wake.map(|wake| wake.at);
        let needed = self.engine.needs_drive(armed);
        for taken in 0.. {
            assert!(taken < OUTPUTS, "the outputs do not end");
            let output = self.engine.poll_output();
            if let Output::Idle(wake) = output {
                if !needed {
                    assert_eq!(taken, 0, "outputs that `needs_drive` did not tell of");
                    let earlier =
                        wake.is_some_and(|wake| armed.is_none_or(|armed| wake.at < armed));
                    assert!(
                        !earlier,
                        "a deadline that `needs_drive` did not tell of: {wake:?}, not {armed:?}"
                    );
                }
                self.wake = wake;
                break;
            }
            if !matches!(output, Output::Diagnostic(Diagnostic::StaleInput { .. })) {
                let mut written = Vec::new();
                put_output::<R::Engine>(&output, &mut written);
                self.trace.push(written);
            }
            self.carry_out(output);
        }
        assert!(
            self.wake.is_none_or(|wake| wake.at > self.now),
            "{:?} at {}",
            self.wake,
            self.now
        );
        let armed = self.wake.map(|wake| wake.at);
        assert!(
            !self.engine.needs_drive(armed),
            "drained, and armed for {armed:?}"
        );
        assert_eq!(self.engine.needs_drive(None), armed.is_some());
        let Output::Idle(again) = self.engine.poll_output() else {
            panic!("idle is not idle");
        };
        assert_eq!(again, self.wake);
        let used: usize = Category::ALL
            .iter()
            .map(|category| R::memory(&self.engine, *category))
            .sum();
        assert!(used <= BUDGET, "{used} bytes of {BUDGET}");
    }

    fn carry_out(&mut self, output: Output<<R::Engine as klamm::Engine>::Event>) {
        match output {
            Output::Resolve { id, port, .. } => {
                assert!(self.resolved.insert(id), "{id:?} twice");
                self.resolves.push((id, port));
            }
            Output::Open { conn, host, .. } => {
                assert!(self.opened.insert(conn), "{conn} twice");
                self.sockets.insert(
                    conn,
                    Socket {
                        host: host.to_string(),
                        ..Socket::default()
                    },
                );
            }
            Output::Write { conn, data } => {
                let socket = self
                    .sockets
                    .get_mut(&conn)
                    .unwrap_or_else(|| panic!("{conn} is closed"));
                assert!(
                    socket.connected && !socket.flushing && !socket.aborted,
                    "{conn}: {socket:?}"
                );
                assert!(!data.is_empty());
                socket.pending.extend(data.to_vec());
                assert!(socket.pending.len() as u64 <= WRITE_WINDOW, "{conn}");
            }
            Output::Close { conn, mode } => {
                let socket = self
                    .sockets
                    .get_mut(&conn)
                    .unwrap_or_else(|| panic!("{conn} is closed"));
                assert!(!socket.aborted, "{conn} aborted twice");
                match mode {
                    CloseMode::Flush => {
                        assert!(!socket.flushing, "{conn} flushed twice");
                        socket.flushing = true;
                    }
                    CloseMode::Abort => socket.aborted = true,
                }
            }
            Output::Work { id, job } => {
                assert!(self.given.insert(id), "{id:?} twice");
                self.jobs.push((id, job));
            }
            Output::Event(event) => self.role.told(&event),
            Output::Diagnostic(diagnostic) => {
                let text = format!("{diagnostic:?}");
                assert!(text.len() < 16 * 1024, "{} bytes", text.len());
            }
            Output::Idle(_) => unreachable!("it ends the drain"),
        }
    }

    pub(crate) fn act(&mut self, choices: &mut Choices<'_>) {
        self.role.act(&mut self.engine, choices, self.now);
        self.drain();
    }

    /// Time passes to the wake, or by some chosen amount.
    pub(crate) fn pass(&mut self, choices: &mut Choices<'_>) {
        let target = match choices.byte() {
            0..=127 => self.wake.map_or(self.now, |wake| wake.at),
            128..=159 => self.now,
            160..=223 => self.now + Duration::from_millis(choices.number(2)),
            _ => self.now + Duration::from_secs(choices.number(1) * 60),
        };
        self.tick(target);
    }

    pub(crate) fn tick(&mut self, target: Instant) {
        self.now = target.max(self.now);
        let wall = self.wall();
        let before = self.trace.len();
        let due = self.wake.filter(|wake| wake.at <= self.now);
        self.input(Input::Timeout { wall });
        // P3: waking exactly then emits something or moves the deadline.
        if let Some(due) = due {
            let moved = self.wake.is_none_or(|wake| wake.at > due.at);
            assert!(
                moved || self.trace.len() > before,
                "woken for nothing: {due:?}"
            );
        }
    }

    pub(crate) fn resolve(&mut self, choices: &mut Choices<'_>) {
        let which = choices.below(self.resolves.len() + 1);
        let stale = (ResolveId(choices.number(1)), 1);
        let (id, port) = if which < self.resolves.len() {
            self.resolves.remove(which)
        } else if self.resolves.iter().any(|(asked, _)| *asked == stale.0) {
            return;
        } else {
            stale
        };
        let address = |last: u8| SocketAddr::from(([127, 0, 0, last], port));
        let result = match choices.byte() {
            0..=127 => Ok(vec![address(1)]),
            128..=191 => Ok((0..choices.byte() % 5).map(address).collect()),
            192..=223 => Err(ResolveError::NotFound),
            _ => Err(ResolveError::Failed),
        };
        self.input(Input::Resolved { id, result });
    }

    /// All names are found, and all jobs done.
    pub(crate) fn serve(&mut self) {
        while let Some((id, port)) = self.resolves.pop() {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            self.input(Input::Resolved {
                id,
                result: Ok(vec![address]),
            });
        }
        while let Some((id, job)) = self.jobs.pop() {
            self.input(Input::JobDone {
                id,
                result: job.run(),
            });
        }
    }

    /// A socket that is there, or now and then one that is not.
    pub(crate) fn any_socket(&self, choices: &mut Choices<'_>) -> ConnectionId {
        let which = choices.below(self.sockets.len() * 4 + 1);
        let known = self.sockets.keys().nth(which / 4).copied();
        known.unwrap_or_else(|| ConnectionId(choices.number(1)))
    }

    pub(crate) fn connect(&mut self, conn: ConnectionId) {
        match self.sockets.get_mut(&conn) {
            Some(socket) if socket.connected || socket.aborted => {}
            Some(socket) => {
                socket.connected = true;
                self.input(Input::Connected { conn });
            }
            None => self.input(Input::Connected { conn }),
        }
    }

    /// The socket accepts some of what was written.
    pub(crate) fn accept(&mut self, conn: ConnectionId, bytes: usize) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return self.input(Input::Sent {
                conn,
                bytes: bytes as u64,
            });
        };
        let bytes = bytes.min(socket.pending.len());
        if bytes == 0 || socket.aborted {
            return;
        }
        socket.accepted.extend(socket.pending.drain(..bytes));
        socket.sent += bytes as u64;
        self.input(Input::Sent {
            conn,
            bytes: bytes as u64,
        });
    }

    /// Bytes of the peer arrive, whole at one time but cut as this world cuts.
    pub(crate) fn receive(&mut self, conn: ConnectionId, data: &[u8]) {
        if self
            .sockets
            .get(&conn)
            .is_some_and(|socket| !socket.connected || socket.aborted)
            || data.is_empty()
        {
            return;
        }
        for piece in data.chunks(self.piece) {
            klamm::Engine::handle(
                &mut self.engine,
                Input::Received { conn, data: piece },
                self.now,
            );
        }
        self.drain();
    }

    pub(crate) fn closed(&mut self, conn: ConnectionId, cause: CloseCause) {
        let sent = self.sockets.remove(&conn).map_or(0, |socket| socket.sent);
        self.input(Input::Closed { conn, cause, sent });
    }

    pub(crate) fn work(&mut self, choices: &mut Choices<'_>) {
        if self.jobs.is_empty() {
            let id = JobId(choices.number(1));
            if !self.given.contains(&id) {
                self.input(Input::JobDone {
                    id,
                    result: JobResult::Refused,
                });
            }
            return;
        }
        let (id, job) = self.jobs.remove(choices.below(self.jobs.len()));
        let result = match choices.byte() {
            0..=199 => job.run(),
            200..=229 => JobResult::Refused,
            _ => JobResult::Compressed(Err("it failed".to_owned())),
        };
        self.input(Input::JobDone { id, result });
    }

    /// Everything ends: after `close`, with a driver that does its part, all is given back by the deadline.
    pub(crate) fn finish(&mut self) {
        let deadline = self.now + Duration::from_secs(5);
        self.role.close(&mut self.engine, deadline, self.now);
        self.drain();
        for step in 0.. {
            assert!(step < 1_000, "it does not close");
            while let Some((id, job)) = self.jobs.pop() {
                self.input(Input::JobDone {
                    id,
                    result: job.run(),
                });
            }
            while let Some((id, _)) = self.resolves.pop() {
                self.input(Input::Resolved {
                    id,
                    result: Err(ResolveError::Failed),
                });
            }
            let done: Vec<_> = self
                .sockets
                .iter()
                .filter(|(_, socket)| socket.flushing || socket.aborted)
                .collect();
            let done: Vec<_> = done.into_iter().map(|(conn, _)| *conn).collect();
            for conn in &done {
                self.accept(*conn, usize::MAX);
                self.closed(*conn, CloseCause::Local);
            }
            if self.role.is_closed() && self.sockets.is_empty() {
                break;
            }
            if done.is_empty() && self.jobs.is_empty() && self.resolves.is_empty() {
                let wake = self.wake.expect("what is not closed waits for something");
                // The user may have closed before, with a deadline of up to 2^16 ms: that one holds.
                assert!(
                    wake.at <= deadline + Duration::from_secs(120),
                    "{wake:?} is long after {deadline}"
                );
                self.tick(wake.at);
            }
        }
        self.role.assert_nothing_open();
        assert_eq!(self.wake, None, "a closed client waits for nothing");
        for category in Category::ALL {
            // What is known of the cluster stays readable.
            if category == Category::Metadata {
                continue;
            }
            assert_eq!(R::memory(&self.engine, category), 0, "{category:?}");
        }
    }
}
