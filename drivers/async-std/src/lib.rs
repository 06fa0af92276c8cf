//! Klamm on async-std: the adapter that gives the shell sockets, a timer and tasks.
//!
//! Everything else is re-exported from [`klamm_shell`], where it lives once for all runtimes. async-std is no longer
//! maintained (RUSTSEC-2025-0052): a new program is better off on tokio or smol.
//!
//! ```no_run
//! use klamm_async_std::{AsyncStd, NewRecord, Producer, ProducerConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! async_std::task::block_on(async {
//!     let producer = Producer::start(&ProducerConfig::bootstrap("localhost:9092")?, AsyncStd)?;
//!     let receipt = producer.send(NewRecord::to("orders").key(b"k").value(b"v")).await?;
//!     println!("written to partition {} at {:?}", receipt.partition(), receipt.offset());
//!     Ok(())
//! })
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_std::io::{Read, Write};
use async_std::net::{TcpStream, ToSocketAddrs};
use async_std::task;
pub use klamm_shell::*;

/// The runtime of async-std: one a process, started by whoever uses it first.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Socket = AsyncStdSocket;
    type Timer = AsyncStdTimer;

    async fn resolve(&self, host: Host, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = (host.as_str(), port).to_socket_addrs().await?;
        Ok(addresses.collect())
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<AsyncStdSocket> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(AsyncStdSocket(stream))
    }

    fn timer(&self) -> AsyncStdTimer {
        AsyncStdTimer(None)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(task::spawn(task));
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        drop(task::spawn_blocking(work));
    }
}

/// A TCP socket of async-std's.
#[derive(Debug)]
pub struct AsyncStdSocket(TcpStream);

impl Socket for AsyncStdSocket {
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
        Poll::Ready(self.0.shutdown(std::net::Shutdown::Write))
    }
}

/// A timer of async-std's, which has none that can be set again: each setting is a new sleep.
pub struct AsyncStdTimer(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl fmt::Debug for AsyncStdTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStdTimer")
            .field("is_set", &self.0.is_some())
            .finish()
    }
}

impl Timer for AsyncStdTimer {
    fn reset(&mut self, at: Instant) {
        self.0 = Some(Box::pin(task::sleep(at.since(monotonic_clock()))));
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
