//! Owns what lies behind the lock: the engine, the users' half and the queues of the connections, and the ways to go
//! one step further.
//!
//! Must not know the runtime: what needs one is left as a chore for the driver's task.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Waker;

use bytes::Bytes;
use klamm::collections::VecMap;
use klamm::{
    CloseCause, CloseMode, ConnectionId, Engine, Host, Input, Instant, Job, JobId, Output,
    ResolveId,
};

use crate::after::After;
use crate::recorder::Recorder;
use crate::role::Role;

/// Jobs up to this size run on the thread that found them, after unlocking: a hand-over to another thread costs about
/// what lz4 needs for this much.
const INLINE_JOB_MAX: usize = 64 << 10;

/// What needs the runtime, and so waits for the driver's task.
pub(crate) enum Chore {
    Resolve {
        id: ResolveId,
        host: Host,
        port: u16,
    },
    Open {
        conn: ConnectionId,
        host: Host,
        port: u16,
        addr: Option<SocketAddr>,
    },
    Work {
        id: JobId,
        job: Job,
    },
}

/// What the engine gave for a connection and its task has not taken yet.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) close: Option<CloseMode>,
    pub(crate) waker: Option<Waker>,
}

/// Whether the client still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// The user is gone; the driver's task has not seen it yet.
    Stopping,
    /// The driver's task has ended.
    Stopped,
}

/// Everything behind the lock.
pub(crate) struct State<R: Role> {
    engine: R::Engine,
    pub(crate) role: R,
    pub(crate) phase: Phase,
    /// The deadline of the last `Idle`.
    due: Option<Instant>,
    /// Until when the driver's task sleeps.
    armed: Option<Instant>,
    driver: Option<Waker>,
    pub(crate) connections: VecMap<ConnectionId, Outbox>,
    chores: VecDeque<Chore>,
    recorder: Option<Recorder>,
}

impl<R: Role> State<R> {
    pub(crate) fn new(engine: R::Engine, role: R, recorder: Option<Recorder>) -> Self {
        Self {
            engine,
            role,
            phase: Phase::Running,
            due: None,
            armed: None,
            driver: None,
            connections: VecMap::new(),
            chores: VecDeque::new(),
            recorder,
        }
    }

    /// A fact for the engine.
    pub(crate) fn input(&mut self, input: Input<'_>, now: Instant) {
        if let Some(recorder) = &mut self.recorder {
            recorder.input(&input, now);
        }
        self.engine.handle(input, now);
    }

    /// A wish of the user.
    #[inline]
    pub(crate) fn command(
        &mut self,
        command: <R::Engine as Engine>::Command<'_>,
        now: Instant,
    ) -> <R::Engine as Engine>::Reply {
        if let Some(recorder) = &mut self.recorder {
            recorder.command::<R::Engine>(&command, now);
        }
        let reply = self.engine.command(command, now);
        if let Some(recorder) = &mut self.recorder {
            recorder.reply::<R::Engine>(&reply);
        }
        reply
    }

    /// What lies ready for a connection; nothing once it has ended.
    pub(crate) fn outbox(&mut self, conn: ConnectionId) -> Option<&mut Outbox> {
        self.connections.get_mut(&conn)
    }

    /// Whether nothing can happen any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// The engine, to look at.
    pub(crate) fn engine(&self) -> &R::Engine {
        &self.engine
    }

    /// Pops every output and puts it where it belongs, all under the one lock that orders them.
    pub(crate) fn drain(&mut self, after: &mut After) {
        loop {
            let output = self.engine.poll_output();
            if let Some(recorder) = &mut self.recorder {
                recorder.output::<R::Engine>(&output);
            }
            match output {
                Output::Resolve { id, host, port } => {
                    self.chores.push_back(Chore::Resolve { id, host, port });
                }
                Output::Open {
                    conn,
                    host,
                    port,
                    addr,
                    peer: _,
                    group: _,
                } => {
                    self.connections.insert(conn, Outbox::default());
                    self.chores.push_back(Chore::Open {
                        conn,
                        host,
                        port,
                        addr,
                    });
                }
                Output::Write { conn, data } => {
                    // A connection that has ended took its queue with it; the engine learns from `Closed`.
                    if let Some(outbox) = self.connections.get_mut(&conn) {
                        outbox.queue.extend(data.iter().cloned());
                        after.wake(outbox.waker.take());
                    }
                }
                Output::Close { conn, mode } => {
                    if let Some(outbox) = self.connections.get_mut(&conn) {
                        outbox.close = Some(mode);
                        after.wake(outbox.waker.take());
                    }
                }
                Output::Work { id, job } if job.size() <= INLINE_JOB_MAX => after.run(id, job),
                Output::Work { id, job } => self.chores.push_back(Chore::Work { id, job }),
                Output::Event(event) => self.role.on_event(event, after),
                Output::Diagnostic(diagnostic) => after.tell(diagnostic),
                Output::Idle(wake) => {
                    self.due = wake.map(|wake| wake.at);
                    return;
                }
            }
        }
    }

    /// Ends a step: drains where the engine asks for it, and wakes the driver's task only where it has to do something
    /// sooner than it would by itself.
    pub(crate) fn end_step(&mut self, after: &mut After) {
        if self.engine.needs_drive(self.armed) {
            self.drain(after);
        }
        let sooner = match (self.due(), self.armed) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(due), Some(armed)) => due < armed,
        };
        if sooner || !self.chores.is_empty() || self.phase == Phase::Stopping {
            after.wake(self.driver.take());
        }
    }

    /// What was recorded since the last time.
    pub(crate) fn take_recorded(&mut self) -> Vec<u8> {
        self.recorder
            .as_mut()
            .map(Recorder::take)
            .unwrap_or_default()
    }

    /// When the driver's task must look again.
    pub(crate) fn due(&self) -> Option<Instant> {
        match (self.due, self.role.deadline()) {
            (Some(engine), Some(role)) => Some(engine.min(role)),
            (engine, role) => engine.or(role),
        }
    }

    /// The driver's task is about to sleep: until when, and who is to be woken if that turns out too long.
    /// Gives the chores.
    pub(crate) fn arm(&mut self, waker: &Waker, after: &mut After) -> VecDeque<Chore> {
        self.armed = self.due();
        after.replace(&mut self.driver, waker);
        std::mem::take(&mut self.chores)
    }

    /// Nothing will be driven any more: the engine is closed, the sockets are told to go, and whoever waits is told.
    pub(crate) fn stop(&mut self, now: Instant, after: &mut After) {
        if self.is_stopped() {
            return;
        }
        self.phase = Phase::Stopped;
        let _ = self.command(R::close(now), now);
        self.drain(after);
        for chore in std::mem::take(&mut self.chores) {
            if let Chore::Open { conn, .. } = chore {
                self.connections.remove(&conn);
                let (cause, sent) = (CloseCause::Local, 0);
                self.input(Input::Closed { conn, cause, sent }, now);
            }
        }
        self.drain(after);
        for outbox in self.connections.values_mut() {
            outbox.close = Some(CloseMode::Abort);
            after.wake(outbox.waker.take());
        }
        self.role.on_stopped(after);
        after.forget(self.driver.take());
    }
}
