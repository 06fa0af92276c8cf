//! Klamm on smol: the adapter that gives the shell sockets, a timer and tasks.
//!
//! Everything else is re-exported from [`klamm_shell`], where it lives once for all runtimes.
//!
//! ```no_run
//! use klamm_smol::{NewRecord, Producer, ProducerConfig, Smol};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! smol::block_on(async {
//!     let producer = Producer::start(&ProducerConfig::bootstrap("localhost:9092")?, Smol)?;
//!     let receipt = producer.send(NewRecord::to("orders").key(b"k").value(b"v")).await?;
//!     println!("written to partition {} at {:?}", receipt.partition(), receipt.offset());
//!     Ok(())
//! })
//! # }
//! ```

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

pub use klamm_shell::*;
use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};

/// The global executor of smol: one a process, with as many threads as `SMOL_THREADS` says, one by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Runtime for Smol {
    type Socket = SmolSocket;
    type Timer = SmolTimer;

    async fn resolve(&self, host: Host, port: u16) -> io::Result<Vec<SocketAddr>> {
        smol::net::resolve((host.as_str(), port)).await
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<SmolSocket> {
        let stream = Async::<TcpStream>::connect(addr).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(SmolSocket(stream))
    }

    fn timer(&self) -> SmolTimer {
        SmolTimer(smol::Timer::never())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        smol::unblock(work).detach();
    }
}

/// A TCP socket on smol's reactor.
#[derive(Debug)]
pub struct SmolSocket(Async<TcpStream>);

impl Socket for SmolSocket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(std::net::Shutdown::Write))
    }
}

/// A timer on smol's reactor.
#[derive(Debug)]
pub struct SmolTimer(smol::Timer);

impl Timer for SmolTimer {
    fn reset(&mut self, at: Instant) {
        self.0.set_after(at.since(monotonic_clock()));
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
