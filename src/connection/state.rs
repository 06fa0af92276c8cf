//! Owns the states of one connection and the transitions between them.
//!
//! ```text
//! Connecting ──connected──▶ Handshaking(step) ──versions──▶ Ready
//!     │                          │                            │
//!     ├──────────close───────────┴────────────────────────────┼──▶ Closing ──closed──▶ Closed
//!     └──────────closed (by the peer or the network)──────────┴──────────────────────▶ Closed
//! ```
//!
//! What only one state has lies inside it, so leaving the state ends it. Must not know what happens on a transition.

use alloc::boxed::Box;

use super::authentication::Authentication;
use super::handshake::HandshakeStep;
use super::in_flight::InFlight;
use super::receive::Receiver;
use super::versions::Versions;
use crate::error::Error;
use crate::time::Instant;

/// Where one connection stands.
#[derive(Debug)]
pub(super) enum State {
    /// The socket is being opened.
    Connecting { deadline: Instant },
    /// A question of the handshake is unanswered.
    Handshaking(Handshaking),
    /// Requests may be sent.
    Ready(Ready),
    /// This client wants the socket gone and waits for its last word.
    Closing(Closing),
    /// The socket is gone.
    Closed,
}

#[derive(Debug)]
pub(super) struct Handshaking {
    pub(super) deadline: Instant,
    pub(super) step: HandshakeStep,
    pub(super) awaited: Awaited,
    pub(super) session: Session,
    pub(super) receiver: Receiver,
}

/// What an authentication, or another step of the handshake, cannot go on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Room on the socket for the question.
    Room,
    /// The answer with this correlation id.
    Answer { correlation: i32 },
    /// The end of work given away.
    Job,
}

/// How long the broker takes this client for who it said it is (KIP-368).
#[derive(Debug)]
pub(super) enum Session {
    /// As long as the connection lives.
    Endless,
    /// Until a while after this, when it has to be renewed.
    RenewAt(Instant),
    /// It is being renewed: no request stands between the questions of the authentication.
    Renewing {
        authentication: Box<Authentication>,
        awaited: Awaited,
        deadline: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) versions: Versions,
    pub(super) receiver: Receiver,
    pub(super) in_flight: InFlight,
    /// Since when nothing is in flight; only then does it say anything.
    pub(super) idle_since: Instant,
    pub(super) session: Session,
    /// Until when the broker wants to hear nothing (KIP-219).
    pub(super) muted_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) why: Why,
    /// What only the socket's last word can resolve.
    pub(super) in_flight: InFlight,
    /// When a flush has taken too long.
    pub(super) abort_at: Option<Instant>,
    pub(super) was_ready: bool,
}

/// Why this client closes a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody needs it any more.
    NotNeeded,
    /// It cannot be used any more; `overdue` is the request that waited too long, if that is why.
    Failed { error: Error, overdue: Option<i32> },
}

impl State {
    /// `Connecting → Handshaking`.
    pub(super) fn move_to_handshaking(&mut self, handshaking: Handshaking) {
        debug_assert!(
            matches!(self, Self::Connecting { .. }),
            "handshake in {}",
            self.name()
        );
        *self = Self::Handshaking(handshaking);
    }

    /// `Handshaking → Ready`.
    pub(super) fn move_to_ready(&mut self, ready: Ready) {
        debug_assert!(
            matches!(self, Self::Handshaking(_)),
            "ready from {}",
            self.name()
        );
        *self = Self::Ready(ready);
    }

    /// `Connecting | Handshaking | Ready → Closing`; gives the receiver that was left, if any.
    pub(super) fn move_to_closing(
        &mut self,
        why: Why,
        abort_at: Option<Instant>,
    ) -> Option<Receiver> {
        let (in_flight, receiver, was_ready) = match core::mem::replace(self, Self::Closed) {
            Self::Connecting { .. } => (InFlight::default(), None, false),
            Self::Handshaking(handshaking) => {
                (InFlight::default(), Some(handshaking.receiver), false)
            }
            Self::Ready(ready) => (ready.in_flight, Some(ready.receiver), true),
            left @ (Self::Closing(_) | Self::Closed) => {
                debug_assert!(false, "closing from {}", left.name());
                *self = left;
                return None;
            }
        };
        *self = Self::Closing(Closing {
            why,
            in_flight,
            abort_at,
            was_ready,
        });
        receiver
    }

    /// Any state but `Closed` → `Closed`; gives the state that was left.
    pub(super) fn move_to_closed(&mut self) -> Self {
        let left = core::mem::replace(self, Self::Closed);
        debug_assert!(!matches!(left, Self::Closed), "closed twice");
        left
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Handshaking(_) => "handshaking",
            Self::Ready(_) => "ready",
            Self::Closing(_) => "closing",
            Self::Closed => "closed",
        }
    }
}
