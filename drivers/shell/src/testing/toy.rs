//! Owns a toy engine: it asks a server one-byte questions over one connection, and counts what the driver does wrong.
//!
//! Must not be lenient: each broken promise of the driver is a panic.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use klamm::record::Codec;
use klamm::recording::{Decoder, Encoder, Recordable, RecordingError};
use klamm::{
    CloseCause, CloseMode, ConnectionGroup, ConnectionId, Duration, Engine, Host, Input, Instant,
    Job, JobId, Output, Peer, ResolveId, Segments, Wake,
};

use super::Fake;
use crate::after::After;
use crate::driver::Driver;
use crate::role::Role;
use crate::security::Security;
use crate::shared::{Clocks, Shared};
use crate::state::State;
use crate::tls::Tls;
use klamm::config::CommonConfig;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// What the toy can be asked for.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// Look the name up, and connect to its first address.
    Connect,
    /// Write these pieces; an answer of one byte is expected.
    Ask(Vec<&'static [u8]>),
    /// The same, but written only after this long.
    AskLater(&'static [u8], Duration),
    /// Close.
    Close(CloseMode),
    /// Compress so many bytes.
    Work(usize),
}

/// What the toy tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Resolved(bool),
    Connected,
    Answer(u8),
    Sent(u64),
    TimedOut,
    Closed(CloseCause, u64),
    Worked,
}

/// The life of the toy's one connection at a time.
#[derive(Default)]
enum Line {
    #[default]
    None,
    Opening,
    Open {
        written: u64,
        credited: u64,
    },
}

#[derive(Default)]
pub(crate) struct Toy {
    outputs: VecDeque<Output<Told>>,
    now: Instant,
    opened: u64,
    line: Line,
    waiting: VecDeque<Instant>,
    later: VecDeque<(Instant, &'static [u8])>,
    jobs: BTreeSet<u64>,
    lookups: BTreeSet<u64>,
    next_id: u64,
    last_wake: Option<Instant>,
}

impl Toy {
    fn conn(&self) -> ConnectionId {
        ConnectionId(self.opened)
    }

    fn tell(&mut self, told: Told) {
        self.outputs.push_back(Output::Event(told));
    }

    fn write(&mut self, pieces: &[&'static [u8]]) {
        let conn = self.conn();
        let Line::Open { written, .. } = &mut self.line else {
            return;
        };
        let data = Segments::new(pieces.iter().map(|piece| (*piece).into()).collect());
        *written += data.len() as u64;
        self.outputs.push_back(Output::Write { conn, data });
        self.waiting.push_back(self.now + PATIENCE);
    }

    fn deadline(&self) -> Option<Instant> {
        let later = self.later.front().map(|(at, _)| *at);
        self.waiting.front().copied().into_iter().chain(later).min()
    }

    fn fire(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, bytes)) = self.later.front().copied() {
            if at > self.now {
                break;
            }
            self.later.pop_front();
            self.write(&[bytes]);
        }
        while self.waiting.front().is_some_and(|at| *at <= self.now) {
            self.waiting.pop_front();
            self.tell(Told::TimedOut);
        }
    }
}

impl Engine for Toy {
    type Command<'a> = Wish;
    type Reply = ();
    type Event = Told;

    fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.now = self.now.max(now);
        match input {
            Input::Resolved { id, result } => {
                assert!(self.lookups.remove(&id.0), "answered twice");
                self.tell(Told::Resolved(result.is_ok()));
                if let Ok(addresses) = result {
                    self.opened += 1;
                    self.line = Line::Opening;
                    self.outputs.push_back(Output::Open {
                        conn: self.conn(),
                        peer: Peer::Bootstrap(0),
                        group: ConnectionGroup::Default,
                        host: Host::from("toy"),
                        port: 1,
                        addr: addresses.first().copied(),
                    });
                }
            }
            Input::Connected { conn } => {
                assert_eq!(conn, self.conn());
                assert!(matches!(self.line, Line::Opening), "connected twice");
                self.line = Line::Open {
                    written: 0,
                    credited: 0,
                };
                self.tell(Told::Connected);
            }
            Input::Received { conn, data } => {
                assert_eq!(conn, self.conn());
                assert!(matches!(self.line, Line::Open { .. }), "read while closed");
                for byte in data {
                    self.waiting.pop_front();
                    self.tell(Told::Answer(*byte));
                }
            }
            Input::Sent { conn, bytes } => {
                assert_eq!(conn, self.conn());
                let Line::Open { written, credited } = &mut self.line else {
                    panic!("credit while closed");
                };
                *credited += bytes;
                assert!(*credited <= *written, "credit for what was not written");
                self.tell(Told::Sent(bytes));
            }
            Input::Closed { conn, cause, sent } => {
                assert_eq!(conn, self.conn());
                match std::mem::take(&mut self.line) {
                    Line::None => panic!("closed twice"),
                    Line::Opening => assert_eq!(sent, 0),
                    Line::Open { written, credited } => {
                        assert!(credited <= sent && sent <= written);
                    }
                }
                self.waiting.clear();
                self.tell(Told::Closed(cause, sent));
            }
            Input::JobDone { id, .. } => {
                assert!(self.jobs.remove(&id.0), "answered twice");
                self.tell(Told::Worked);
            }
            Input::Timeout { .. } => {
                let wake = self.last_wake.take().expect("a tick that nobody asked for");
                assert!(wake <= now, "a tick too early");
            }
        }
        self.fire(now);
    }

    fn command(&mut self, wish: Wish, now: Instant) {
        self.fire(now);
        self.next_id += 1;
        match wish {
            Wish::Connect => {
                self.lookups.insert(self.next_id);
                self.outputs.push_back(Output::Resolve {
                    id: ResolveId(self.next_id),
                    host: Host::from("toy"),
                    port: 1,
                });
            }
            Wish::Ask(pieces) => self.write(&pieces),
            Wish::AskLater(bytes, wait) => self.later.push_back((self.now + wait, bytes)),
            Wish::Close(mode) => {
                let conn = self.conn();
                self.outputs.push_back(Output::Close { conn, mode });
            }
            Wish::Work(size) => {
                self.jobs.insert(self.next_id);
                let job = Job::Compress {
                    codec: Codec::Lz4,
                    level: None,
                    records: vec![0; size].into(),
                };
                self.outputs.push_back(Output::Work {
                    id: JobId(self.next_id),
                    job,
                });
            }
        }
    }

    fn poll_output(&mut self) -> Output<Told> {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let deadline = self.deadline();
        self.last_wake = deadline;
        Output::Idle(deadline.map(|at| {
            assert!(at > self.now);
            Wake { at, why: "toy" }
        }))
    }

    fn needs_drive(&self, armed: Option<Instant>) -> bool {
        let sooner = |at| armed.is_none_or(|armed| at < armed);
        !self.outputs.is_empty() || self.deadline().is_some_and(sooner)
    }
}

impl Recordable for Toy {
    const ROLE: &'static str = "toy";

    fn put_command(command: &Wish, out: &mut Encoder<'_>) {
        out.put_debug(command);
    }

    fn replay_command(
        &mut self,
        from: &mut Decoder<'_>,
        now: Instant,
    ) -> Result<(), RecordingError> {
        let wish = match from.get_str()? {
            "Connect" => Wish::Connect,
            "Ask([[112, 105], [110, 103]])" => Wish::Ask(vec![b"pi", b"ng"]),
            _ => return Err(from.error("a wish that the test makes")),
        };
        self.command(wish, now);
        Ok(())
    }

    fn put_reply((): &(), _: &mut Encoder<'_>) {}

    fn put_event(event: &Told, out: &mut Encoder<'_>) {
        out.put_debug(event);
    }
}

/// The users' half of the toy: it keeps what it is told.
#[derive(Default)]
pub(crate) struct Listener {
    told: VecDeque<Told>,
    waker: Option<Waker>,
    stopped: bool,
}

impl Role for Listener {
    type Engine = Toy;

    fn on_event(&mut self, told: Told, after: &mut After) {
        self.told.push_back(told);
        after.wake(self.waker.take());
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn expire(&mut self, _: Instant, _: &mut After) {}

    fn close(_: Instant) -> Wish {
        Wish::Close(CloseMode::Abort)
    }

    fn on_stopped(&mut self, after: &mut After) {
        self.stopped = true;
        after.wake(self.waker.take());
    }
}

/// A client of the toy engine.
pub(crate) struct ToyClient {
    pub(crate) shared: Arc<Shared<Listener>>,
}

impl ToyClient {
    pub(crate) fn start(fake: &Fake) -> Self {
        Self::start_recorded(fake, None)
    }

    pub(crate) fn start_recorded(
        fake: &Fake,
        sink: Option<Box<dyn std::io::Write + Send>>,
    ) -> Self {
        let recorder = sink
            .is_some()
            .then(|| crate::recorder::Recorder::new(Vec::new()));
        let state = State::new(Toy::default(), Listener::default(), recorder);
        let shared = Shared::new(state, Clocks::of(fake), sink);
        let security = Security::new(&CommonConfig::default(), None, Tls::new);
        let security = security.expect("nothing is asked for");
        Driver::start(fake.clone(), Arc::clone(&shared), security);
        Self { shared }
    }

    pub(crate) fn wish(&self, wish: Wish) {
        self.shared.step(|state, _, now| state.command(wish, now));
    }

    /// Connects over a name.
    pub(crate) fn connect(&self, fake: &Fake) {
        fake.will_resolve(Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1))]));
        self.wish(Wish::Connect);
        fake.settle();
    }

    /// The next thing that is told. `None`: there will be no more.
    pub(crate) fn next(&self) -> impl Future<Output = Option<Told>> + '_ {
        std::future::poll_fn(|cx| self.poll_next(cx))
    }

    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Told>> {
        self.shared.step(|state, after, _| {
            let listener = &mut state.role;
            match listener.told.pop_front() {
                Some(told) => Poll::Ready(Some(told)),
                None if listener.stopped => Poll::Ready(None),
                None => {
                    after.replace(&mut listener.waker, cx.waker());
                    Poll::Pending
                }
            }
        })
    }

    /// Everything that was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.shared
            .step(|state, _, _| state.role.told.drain(..).collect())
    }
}

impl Drop for ToyClient {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
