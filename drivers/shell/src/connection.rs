//! Owns one socket: the task that opens it, polls both of its directions, and says once that it is closed.
//!
//! Must not know what the bytes mean, nor decide when to close: the engine does.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use klamm::{CloseCause, CloseMode, ConnectionId, Host, Input};

use crate::after::After;
use crate::role::Role;
use crate::runtime::{Runtime, Socket};
use crate::security::Security;
use crate::shared::Shared;
use crate::state::Phase;
use crate::tls::{Secured, failure_of};

/// One read: large enough that a busy connection is read with few calls, small enough to stay in the cache.
const READ_BUFFER: usize = 64 << 10;

/// Pieces of one vectored write.
const SLICES_MAX: usize = 64;

/// Rounds of reading and writing in one poll of the task, before it lets others run.
const ROUNDS_MAX: usize = 32;

/// One incarnation of a socket. Dropped at any time, it says `Closed` once.
pub(crate) struct Connection<RT: Runtime, R: Role> {
    runtime: RT,
    shared: Arc<Shared<R>>,
    security: Security,
    conn: ConnectionId,
    /// Taken from the engine, not yet accepted by the socket.
    writing: VecDeque<Bytes>,
    /// What the socket has accepted in all.
    sent: u64,
    /// Of that, what the engine has not been told yet.
    credit: u64,
    cause: CloseCause,
}

impl<RT: Runtime, R: Role> Connection<RT, R> {
    pub(crate) fn new(
        runtime: RT,
        shared: Arc<Shared<R>>,
        security: Security,
        conn: ConnectionId,
    ) -> Self {
        Self {
            runtime,
            shared,
            security,
            conn,
            writing: VecDeque::new(),
            sent: 0,
            credit: 0,
            cause: CloseCause::Other,
        }
    }

    /// The life of the connection. `Drop` ends it, after the socket is gone.
    pub(crate) async fn run(mut self, host: Host, port: u16, addr: Option<SocketAddr>) {
        self.cause = match self.connect(host, port, addr).await {
            Ok(socket) => {
                self.shared.input(Input::Connected { conn: self.conn });
                let mut open = Open {
                    socket,
                    buffer: vec![0; READ_BUFFER].into_boxed_slice(),
                    received: 0,
                };
                poll_fn(|cx| open.poll(&mut self, cx)).await
            }
            Err(cause) => cause,
        };
    }

    /// Opens the socket, unless the engine closes the connection first.
    async fn connect(
        &mut self,
        host: Host,
        port: u16,
        addr: Option<SocketAddr>,
    ) -> Result<Secured<RT::Socket>, CloseCause> {
        let (runtime, security) = (self.runtime.clone(), self.security.clone());
        let mut connected = pin!(async move {
            let socket = open(&runtime, &host, port, addr).await;
            let socket = socket.map_err(|error| cause_of(&error))?;
            security.secure(socket, &host).await
        });
        poll_fn(|cx| match self.exchange(cx, &[]) {
            Some(CloseMode::Abort | CloseMode::Flush) => Poll::Ready(Err(CloseCause::Local)),
            None => connected.as_mut().poll(cx),
        })
        .await
    }

    /// Tells the engine what was written and read, takes what is to be written now, and asks to be woken for more:
    /// all in one step. Answers whether the connection is to be closed.
    fn exchange(&mut self, cx: &Context<'_>, received: &[u8]) -> Option<CloseMode> {
        let now = self.shared.now();
        let conn = self.conn;
        let mut after = After::default();
        let mut state = self.shared.lock();
        if state.phase == Phase::Stopped {
            return Some(CloseMode::Abort);
        }
        // What this very step gives the connection needs no waking.
        let mut waker = state.outbox(conn).and_then(|outbox| outbox.waker.take());
        let bytes = std::mem::take(&mut self.credit);
        if bytes > 0 {
            state.input(Input::Sent { conn, bytes }, now);
        }
        if !received.is_empty() {
            let data = received;
            state.input(Input::Received { conn, data }, now);
        }
        state.end_step(&mut after);
        after.replace(&mut waker, cx.waker());
        let close = match state.outbox(conn) {
            Some(outbox) => {
                outbox.waker = waker;
                if self.writing.is_empty() {
                    std::mem::swap(&mut self.writing, &mut outbox.queue);
                } else {
                    self.writing.append(&mut outbox.queue);
                }
                outbox.close
            }
            None => Some(CloseMode::Abort),
        };
        drop(state);
        self.shared.finish(&mut after);
        close
    }

    /// Takes `bytes` bytes off what is being written.
    fn accepted(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.credit += bytes as u64;
        let mut left = bytes;
        while let Some(piece) = self.writing.front_mut() {
            if left < piece.len() {
                piece.advance(left);
                return;
            }
            left -= piece.len();
            self.writing.pop_front();
        }
    }
}

impl<RT: Runtime, R: Role> Drop for Connection<RT, R> {
    fn drop(&mut self) {
        let (conn, cause, sent) = (self.conn, self.cause, self.sent);
        let outbox = self.shared.step(|state, _, now| {
            if state.phase != Phase::Stopped {
                state.input(Input::Closed { conn, cause, sent }, now);
            }
            state.connections.remove(&conn)
        });
        drop(outbox);
    }
}

async fn open<RT: Runtime>(
    runtime: &RT,
    host: &Host,
    port: u16,
    addr: Option<SocketAddr>,
) -> io::Result<RT::Socket> {
    let addr = match addr {
        Some(addr) => addr,
        None => {
            let addresses = runtime.resolve(host.clone(), port).await?;
            *addresses.first().ok_or(io::ErrorKind::AddrNotAvailable)?
        }
    };
    runtime.connect(addr).await
}

/// The connection while its socket is open.
struct Open<S> {
    socket: S,
    buffer: Box<[u8]>,
    /// How much of the buffer the engine has not seen.
    received: usize,
}

/// What one direction of the socket can do now.
enum Progress {
    Made,
    None,
    Ended(CloseCause),
}

impl<S: Socket> Open<S> {
    fn poll<RT: Runtime, R: Role>(
        &mut self,
        connection: &mut Connection<RT, R>,
        cx: &mut Context<'_>,
    ) -> Poll<CloseCause> {
        for _ in 0..ROUNDS_MAX {
            let received = std::mem::take(&mut self.received);
            let data = self.buffer.get(..received).unwrap_or_default();
            match connection.exchange(cx, data) {
                Some(CloseMode::Abort) => return Poll::Ready(CloseCause::Local),
                Some(CloseMode::Flush) if connection.writing.is_empty() => {
                    return self.socket.poll_shutdown(cx).map(|_| CloseCause::Local);
                }
                Some(CloseMode::Flush) | None => {}
            }
            let written = self.write(connection, cx);
            let read = self.read(cx);
            match (written, read) {
                // What the peer said before it went may say why it went.
                (_, Progress::Made) | (Progress::Made, Progress::None) => {}
                (Progress::None, Progress::None) => return Poll::Pending,
                (Progress::Ended(cause), Progress::None) | (_, Progress::Ended(cause)) => {
                    return Poll::Ready(cause);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn write<RT: Runtime, R: Role>(
        &mut self,
        connection: &mut Connection<RT, R>,
        cx: &mut Context<'_>,
    ) -> Progress {
        let mut progress = Progress::None;
        while !connection.writing.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let pieces = connection.writing.len().min(SLICES_MAX);
            for (slice, piece) in slices.iter_mut().zip(&connection.writing) {
                *slice = IoSlice::new(piece);
            }
            let slices = slices.get(..pieces).unwrap_or_default();
            match self.socket.poll_write_vectored(cx, slices) {
                Poll::Ready(Ok(0)) => return Progress::Ended(CloseCause::Other),
                Poll::Ready(Ok(bytes)) => {
                    connection.accepted(bytes);
                    progress = Progress::Made;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Progress::Ended(cause_of(&error)),
                Poll::Pending => break,
            }
        }
        progress
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Progress {
        loop {
            return match self.socket.poll_read(cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => Progress::Ended(CloseCause::EndOfStream),
                Poll::Ready(Ok(bytes)) => {
                    self.received = bytes;
                    Progress::Made
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Poll::Ready(Err(error)) => Progress::Ended(cause_of(&error)),
                Poll::Pending => Progress::None,
            };
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds of `std` are many, and may become more"
)]
pub(crate) fn cause_of(error: &io::Error) -> CloseCause {
    if let Some(cause) = failure_of(error) {
        return cause;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => CloseCause::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => CloseCause::Reset,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            CloseCause::Unreachable
        }
        io::ErrorKind::TimedOut => CloseCause::TimedOut,
        io::ErrorKind::UnexpectedEof => CloseCause::EndOfStream,
        _ => CloseCause::Other,
    }
}
