//! Owns what the world sees of a client: an engine with its model application around it.
//!
//! Knows no network and no cluster: it gets inputs, and gives outputs that the world carries out.

use std::collections::{BTreeMap, BTreeSet};

use klamm::{
    CloseMode, ConnectionId, Diagnostic, ErrorKind, Host, Input, Instant, Job, JobId, Output,
    ResolveId, Segments, Wake,
};

use crate::history::{Entry, History, Place};

/// A production engine and the application that uses it.
pub trait Actor {
    /// A fact from outside.
    fn input(&mut self, input: Input<'_>, now: Instant);

    /// Whether the engine wants to be drained, or to be woken before `armed`. The driver is lazy: it drains
    /// only when this says so, which is how lost wake-ups are found.
    fn needs_drive(&self, armed: Option<Instant>) -> bool;

    /// The next thing to carry out. Events are for the application, which takes them in here.
    fn next(&mut self, now: Instant, history: &mut History) -> Effect;

    /// The application does what it can now. Returns when it wants to be called again in any case.
    fn act(&mut self, now: Instant, history: &mut History) -> Option<Instant>;

    /// No more faults will come: the application ends what it began.
    fn wind_up(&mut self, now: Instant);

    /// Whether everything that was begun has ended.
    fn is_done(&self) -> bool;

    /// Whether it has read everything up to these offsets.
    fn is_caught_up(&self, ends: &BTreeMap<Place, i64>) -> bool;

    /// Whether it adds to the logs: readers are waited for once no writer is left.
    fn writes(&self) -> bool;

    /// What a member of the group owns that is still there; `None` of everybody else.
    fn owned(&self) -> Option<&BTreeSet<Place>> {
        None
    }

    /// Whether its process has ended: its sockets close, and it never does anything again.
    fn has_crashed(&self) -> bool {
        false
    }

    /// Starts closing; [`is_done`](Self::is_done) then means closed.
    fn close(&mut self, now: Instant, deadline: Instant);

    /// What a person needs to see when it is not done.
    fn describe(&self) -> String;
}

/// What an engine wants done: its outputs without the events.
#[derive(Debug)]
pub enum Effect {
    /// Look a name up.
    Resolve(ResolveId, Host, u16),
    /// Open a socket to this address.
    Open(ConnectionId, Option<core::net::SocketAddr>),
    /// Write.
    Write(ConnectionId, Segments),
    /// Close, after what was written if `flush`.
    Close {
        /// Which connection.
        conn: ConnectionId,
        /// Whether what was written still leaves.
        flush: bool,
    },
    /// Do this elsewhere.
    Work(JobId, Job),
    /// Nothing is left.
    Idle(Option<Wake>),
}

/// An engine's output as an effect; an event is `Err(Some(event))`, and what is only for logs `Err(None)`.
/// A broker of the simulation speaks Kafka: a client that says otherwise is written down.
///
/// # Errors
/// What is not an effect, as said.
pub fn effect<E>(
    output: Output<E>,
    client: impl Fn() -> String,
    now: Instant,
    history: &mut History,
) -> Result<Effect, Option<E>> {
    match output {
        Output::Resolve { id, host, port } => Ok(Effect::Resolve(id, host, port)),
        Output::Open { conn, addr, .. } => Ok(Effect::Open(conn, addr)),
        Output::Write { conn, data } => Ok(Effect::Write(conn, data)),
        Output::Close { conn, mode } => Ok(Effect::Close {
            conn,
            flush: mode == CloseMode::Flush,
        }),
        Output::Work { id, job } => Ok(Effect::Work(id, job)),
        Output::Idle(wake) => Ok(Effect::Idle(wake)),
        Output::Event(event) => Err(Some(event)),
        Output::Diagnostic(Diagnostic::Disconnected {
            error: Some(error), ..
        }) if matches!(
            error.kind(),
            ErrorKind::Protocol | ErrorKind::FrameTooLarge { .. }
        ) =>
        {
            history.push(
                now,
                Entry::Accused {
                    client: client(),
                    what: error.to_string(),
                },
            );
            Err(None)
        }
        Output::Diagnostic(_) => Err(None),
    }
}
