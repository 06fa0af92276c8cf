//! Owns the border of the engine: what goes in ([`Input`], commands), what comes out ([`Output`]),
//! and the trait that every driver is generic over.
//!
//! Must not know any role: a producer, a consumer and an admin all pass this border alike.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use crate::error::Error;
use crate::record::Codec;
use crate::record::compression::Compressor;
use crate::sasl::ScramProofs;
use crate::secret::Secret;
use crate::time::{Duration, Instant, UnixMillis};
use crate::wire::{ApiKey, Segments};

/// One whole Kafka client as a pure state machine.
///
/// The same sequence of [`handle`](Engine::handle) and [`command`](Engine::command) calls gives the same sequence
/// of outputs, byte for byte: there is no other way in.
pub trait Engine {
    /// What the user can ask for, as plain data.
    type Command<'a>;
    /// What a command answers at once.
    type Reply;
    /// What the user is told later.
    type Event;

    /// Applies a fact from outside, fires what is due, and settles.
    ///
    /// A `now` earlier than the last one counts as the last one.
    fn handle(&mut self, input: Input<'_>, now: Instant);

    /// Carries out a wish of the user, fires what is due, and settles.
    fn command(&mut self, command: Self::Command<'_>, now: Instant) -> Self::Reply;

    /// Pops one output. Changes nothing else; the deadline can be had only from [`Output::Idle`],
    /// so that nobody can sleep without having drained.
    fn poll_output(&mut self) -> Output<Self::Event>;

    /// Whether a driver that sleeps until `armed` must be woken: output is queued, or a deadline lies before `armed`.
    fn needs_drive(&self, armed: Option<Instant>) -> bool;
}

/// A fact from outside.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Answers [`Output::Resolve`].
    Resolved {
        /// Which question this answers.
        id: ResolveId,
        /// The addresses in the order in which they should be tried, or why there are none.
        result: Result<Vec<SocketAddr>, ResolveError>,
    },
    /// The socket of [`Output::Open`] is connected.
    Connected {
        /// Which incarnation.
        conn: ConnectionId,
    },
    /// Bytes arrived, cut at any place.
    Received {
        /// On which incarnation.
        conn: ConnectionId,
        /// The bytes; the engine copies what it keeps.
        data: &'a [u8],
    },
    /// Write credit: `bytes` more bytes were fully accepted by the socket.
    Sent {
        /// On which incarnation.
        conn: ConnectionId,
        /// How many since the last such input.
        bytes: u64,
    },
    /// The connection's last input, after all its I/O has stopped: exactly one for each [`Output::Open`].
    Closed {
        /// Which incarnation.
        conn: ConnectionId,
        /// Why it ended.
        cause: CloseCause,
        /// How many bytes the socket had accepted in all; only this can prove that a request was never sent.
        sent: u64,
    },
    /// Answers [`Output::Work`]: exactly one for each.
    JobDone {
        /// Which job.
        id: JobId,
        /// Its result.
        result: JobResult,
    },
    /// The driver's tick: the deadline of the last [`Output::Idle`] has come.
    Timeout {
        /// The wall clock now.
        wall: UnixMillis,
    },
}

/// What the engine wants done, or has to say.
#[derive(Clone, Debug)]
pub enum Output<E> {
    /// Look a name up; answered by [`Input::Resolved`].
    Resolve {
        /// Repeated in the answer.
        id: ResolveId,
        /// The name (or literal address).
        host: Host,
        /// The port that belongs to it.
        port: u16,
    },
    /// Open a socket; answered by [`Input::Connected`] and, in any case, one [`Input::Closed`].
    Open {
        /// The new incarnation, never used before.
        conn: ConnectionId,
        /// Whom it is for.
        peer: Peer,
        /// Which of the peer's connection groups it belongs to.
        group: ConnectionGroup,
        /// The name as configured or advertised (TLS verifies it).
        host: Host,
        /// The port.
        port: u16,
        /// The address to try: one incarnation an address. `None`: the driver (a proxy) resolves.
        addr: Option<SocketAddr>,
    },
    /// Write these bytes, after all earlier ones of the same connection.
    Write {
        /// On which incarnation.
        conn: ConnectionId,
        /// The bytes, for one vectored write.
        data: Segments,
    },
    /// Close a socket; answered by [`Input::Closed`].
    Close {
        /// Which incarnation.
        conn: ConnectionId,
        /// How.
        mode: CloseMode,
    },
    /// Work that does not belong under the engine's lock; answered by exactly one [`Input::JobDone`].
    Work {
        /// Repeated in the answer.
        id: JobId,
        /// What to do: call [`Job::run`].
        job: Job,
    },
    /// Something for the user.
    Event(E),
    /// Something for logs and metrics.
    Diagnostic(Diagnostic),
    /// Nothing is left: sleep until the wake, or without one until an input comes.
    Idle(Option<Wake>),
}

/// When to wake the engine, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Always later than the last `now`.
    pub at: Instant,
    /// What is due then, for people who ask why a process wakes up.
    pub why: &'static str,
}

/// A name or a literal address of a broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

impl Host {
    /// The text as configured or advertised.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Host {
    fn from(host: &str) -> Self {
        Self(host.into())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A broker's id, as the cluster numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whom a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The n-th entry of `bootstrap.servers`: whoever answers there.
    Bootstrap(u16),
    /// A broker by the id that metadata gave it.
    Broker(NodeId),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap(index) => write!(f, "bootstrap server {index}"),
            Self::Broker(node) => write!(f, "broker {node}"),
        }
    }
}

/// Which of a broker's sockets a request takes: a broker serves one request of a connection at a time,
/// so what must not wait behind a long-polling fetch has a socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ConnectionGroup {
    /// Produce, Fetch, metadata, lookups, administration.
    Default = 0,
    /// Group membership, offsets, transactions.
    Coordination = 1,
}

impl fmt::Display for ConnectionGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Coordination => "coordination",
        })
    }
}

/// One incarnation of a socket; never reused, so that an event of an old socket can touch nothing of its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// One name lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveId(pub u64);

/// One piece of work given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A longer operation of the user, answered by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A partition by its topic's name and its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, counted from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A topic as this engine interned it: append by handle searches no map by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicHandle(pub(crate) u32);

impl TopicHandle {
    /// The number behind the handle, for recordings.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }

    /// The handle of a number that [`index`](Self::index) gave; one that the engine never gave out is answered with an error.
    #[must_use]
    pub const fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    NotFound,
    /// The resolver failed or did not answer.
    Failed,
}

/// Why a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The engine asked for it.
    Local,
    /// The peer closed its side.
    EndOfStream,
    /// Nobody listens there.
    Refused,
    /// The peer or the network reset the connection.
    Reset,
    /// There is no route.
    Unreachable,
    /// The operating system gave up waiting.
    TimedOut,
    /// TLS could not be agreed on, or broke.
    Tls(TlsFailure),
    /// Any other failure of the socket.
    Other,
}

/// What went wrong between the two ends of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// Nobody whom this client trusts vouches for the peer's certificate.
    Untrusted,
    /// The peer's certificate is for another name.
    WrongName,
    /// The peer's certificate is not valid any more, or not yet.
    Expired,
    /// The peer does not take this client's certificate, or the lack of one.
    Refused,
    /// The two have no version or cipher in common.
    Incompatible,
    /// What the peer said is not TLS.
    NotTls,
    /// The peer ended the connection during the handshake.
    Ended,
    /// Any other failure.
    Other,
}

impl TlsFailure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Untrusted,
        Self::WrongName,
        Self::Expired,
        Self::Refused,
        Self::Incompatible,
        Self::NotTls,
        Self::Ended,
        Self::Other,
    ];

    /// Whether the next attempt would fail alike, unless somebody changes something.
    #[must_use]
    pub const fn lasts(self) -> bool {
        match self {
            Self::Untrusted
            | Self::WrongName
            | Self::Expired
            | Self::Refused
            | Self::Incompatible
            | Self::NotTls => true,
            Self::Ended | Self::Other => false,
        }
    }

    /// What to try.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Untrusted => {
                "set ssl.ca.location to the certificate of the authority that signed the broker's"
            }
            Self::WrongName => {
                "use a name that the broker's certificate has, in bootstrap.servers or advertised.listeners, or a certificate with this name"
            }
            Self::Expired => "renew the broker's certificate, or set the clock of this host",
            Self::Refused => {
                "the listener may want a client certificate that it trusts: ssl.certificate.location"
            }
            Self::Incompatible => "let the listener speak TLS 1.2 or 1.3",
            Self::NotTls | Self::Ended => {
                "the listener may not speak TLS: set security.protocol to PLAINTEXT or SASL_PLAINTEXT, or use its TLS port"
            }
            Self::Other => "the broker's log says more",
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrusted => "the broker's certificate is not trusted",
            Self::WrongName => "the broker's certificate is for another name",
            Self::Expired => "the broker's certificate has expired, or is not valid yet",
            Self::Refused => "the broker refuses this client's certificate, or the lack of one",
            Self::Incompatible => "no TLS version or cipher in common",
            Self::NotTls => "what answered is not TLS",
            Self::Ended => "closed by the peer during the TLS handshake",
            Self::Other => "TLS failed",
        })
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls(failure) => return failure.fmt(f),
            Self::Local => "closed by this client",
            Self::EndOfStream => "closed by the peer",
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
            Self::Unreachable => "no route to the host",
            Self::TimedOut => "timed out in the network",
            Self::Other => "socket failed",
        })
    }
}

/// How to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseMode {
    /// Write what is queued, then close. An abort may follow.
    Flush,
    /// Close at once; what is queued is dropped.
    Abort,
}

/// Work for outside the lock: pure, but too long for one step of the engine.
#[derive(Clone, Debug)]
pub enum Job {
    /// Compress the records of one batch.
    Compress {
        /// Which codec.
        codec: Codec,
        /// The codec's level; `None` for Kafka's default (KIP-390).
        level: Option<i32>,
        /// The records area, uncompressed.
        records: Bytes,
    },
    /// Work the proofs of a password out (SCRAM).
    Prove(Box<ScramProofs>),
    /// Get a token for OAUTHBEARER from the user. It is the driver that knows whom to ask: [`run`](Self::run) does not.
    FetchToken,
}

impl Job {
    /// How many bytes it works on: a driver runs small jobs at once, and gives large ones a thread.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Compress { records, .. } => records.len(),
            Self::Prove(proofs) => proofs.size(),
            Self::FetchToken => usize::MAX,
        }
    }

    /// Does the work. It keeps the thread busy for as long as it takes.
    #[must_use]
    pub fn run(&self) -> JobResult {
        self.run_with(&mut Compressor::new())
    }

    /// The same with the working memory of an earlier job; keep one for each thread that runs jobs.
    #[must_use]
    pub fn run_with(&self, compressor: &mut Compressor) -> JobResult {
        match self {
            Self::Compress {
                codec,
                level,
                records,
            } => {
                // Half is a good guess for text; what is more compressible wastes no time on it.
                let mut output = BytesMut::with_capacity(records.len() / 2);
                let done = compressor.compress(*codec, *level, records, &mut output);
                JobResult::Compressed(
                    done.map(|()| output.freeze())
                        .map_err(|error| alloc::format!("{error}")),
                )
            }
            Self::Prove(proofs) => {
                let (proof, server_signature) = proofs.work_out();
                JobResult::Proven {
                    proof,
                    server_signature,
                }
            }
            Self::FetchToken => JobResult::Refused,
        }
    }
}

/// What became of a [`Job`].
#[derive(Clone, Debug)]
pub enum JobResult {
    /// The compressed records area, or why the codec failed.
    Compressed(Result<Bytes, String>),
    /// What proves the client to the broker, and what will prove the broker to the client.
    Proven {
        /// The client's proof.
        proof: Vec<u8>,
        /// The signature that the broker must show.
        server_signature: Vec<u8>,
    },
    /// The token, or why there is none.
    Token(Result<Secret<String>, String>),
    /// The driver could not run the job (it is shutting down).
    Refused,
}

/// Something for logs and metrics; the shell turns it into `tracing` after unlocking.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Diagnostic {
    /// A connection attempt begins.
    Connecting {
        /// The incarnation.
        conn: ConnectionId,
        /// Whom it is for.
        peer: Peer,
        /// Its group.
        group: ConnectionGroup,
    },
    /// The handshake is complete.
    Ready {
        /// The incarnation.
        conn: ConnectionId,
        /// Whom it is for.
        peer: Peer,
        /// Its group.
        group: ConnectionGroup,
    },
    /// A connection ended.
    Disconnected {
        /// The incarnation.
        conn: ConnectionId,
        /// Whom it was for.
        peer: Peer,
        /// Its group.
        group: ConnectionGroup,
        /// What went wrong; `None` where the connection was no longer needed.
        error: Option<Error>,
    },
    /// Metadata was refreshed.
    MetadataUpdated {
        /// How many brokers it names.
        brokers: usize,
        /// How many topics.
        topics: usize,
    },
    /// A request failed and will be tried again.
    Retrying {
        /// What, where and why, for people.
        what: String,
    },
    /// An input named a connection, job or lookup that is not alive; it was ignored.
    StaleInput {
        /// Which input.
        what: &'static str,
    },
}

/// Any request, by number and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRequest {
    /// The API to call.
    pub api: ApiKey,
    /// The version in which the body is encoded.
    pub version: i16,
    /// Whether that version is a flexible one (KIP-482), which decides the header in front of it.
    pub flexible: bool,
    /// The encoded request, without size and header.
    pub body: Bytes,
    /// Which broker to ask; `None` for any.
    pub to: Option<NodeId>,
    /// Over which of the broker's connections; any broker is asked over the default one.
    pub group: ConnectionGroup,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// The answer to a [`RawRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawResponse {
    /// The API that answered.
    pub api: ApiKey,
    /// The version of the body.
    pub version: i16,
    /// The encoded response, without size and header.
    pub body: Bytes,
    /// Who answered; `None` for a bootstrap server, whose id is not known.
    pub node: Option<NodeId>,
}
