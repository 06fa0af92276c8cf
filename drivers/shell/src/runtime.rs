//! Owns what the shell asks of an async runtime: sockets, a timer, tasks and clocks, as small traits without any
//! runtime's types.
//!
//! Must not know Kafka, the engine's roles, or which runtime it is.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use klamm::{Host, Instant, UnixMillis};

use crate::clock::{monotonic_clock, wall_clock};

/// A runtime, as the shell needs it. An adapter is some hundred lines.
///
/// Clones are handles to the same runtime.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A connected TCP socket.
    type Socket: Socket;
    /// A timer that can be set again and again.
    type Timer: Timer;

    /// Looks `host` up: the addresses in the order in which they should be tried.
    ///
    /// A literal address is answered without asking anybody.
    fn resolve(
        &self,
        host: Host,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Opens a TCP connection with `TCP_NODELAY` set. Dropping the future gives the attempt up.
    fn connect(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// A timer that is not set.
    fn timer(&self) -> Self::Timer;

    /// Runs a task beside the caller. A runtime that shuts down may drop the task at any await point.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs work that keeps a thread busy. A runtime that shuts down may drop it instead.
    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static);

    /// Monotonic time since a start of the runtime's choice; the same clock that its timers go by.
    fn now(&self) -> Instant {
        monotonic_clock()
    }

    /// The wall clock.
    fn wall(&self) -> UnixMillis {
        wall_clock()
    }
}

/// A connected TCP socket, polled by one task for both directions.
///
/// As everywhere: `Pending` means that the task of `cx` is woken once it is worth polling again.
pub trait Socket: Send + 'static {
    /// Reads into `buf`, which is not empty, and says how much; 0 is the end of the stream.
    ///
    /// # Errors
    /// The socket is of no use any more.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes a prefix of `bufs`, of which none is empty, and says how many bytes.
    ///
    /// # Errors
    /// The socket is of no use any more, though bytes of the peer may still lie in it.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Ends the direction to the peer.
    ///
    /// # Errors
    /// The peer did not wait for it.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// One timer of one task.
pub trait Timer: Send + 'static {
    /// Sets the timer, whatever it was set to before.
    fn reset(&mut self, at: Instant);

    /// Whether the instant has come. Not polled while the timer is not set; after `Ready` not before the next
    /// [`reset`](Timer::reset).
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}
