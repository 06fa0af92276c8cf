//! Klamm on tokio: the adapter that gives the shell sockets, a timer, tasks and clocks.
//!
//! Everything else is re-exported from [`klamm_shell`], where it lives once for all runtimes.
//!
//! ```no_run
//! use klamm_tokio::{ConsumerConfig, Consumer, NewRecord, Producer, ProducerConfig, Start, Tokio};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let producer = Producer::start(&ProducerConfig::bootstrap("localhost:9092")?, Tokio::current())?;
//! let receipt = producer.send(NewRecord::to("orders").key(b"k").value(b"v")).await?;
//! println!("written to partition {} at {:?}", receipt.partition(), receipt.offset());
//!
//! let consumer = Consumer::start(&ConsumerConfig::bootstrap("localhost:9092")?, Tokio::current())?;
//! let (topic, partition, start) = ("orders", receipt.partition(), Start::Beginning);
//! consumer.assign(&[klamm_tokio::Assignment { topic, partition, start }])?;
//! let mut batch = consumer.next_batch().await?;
//! for record in batch.records() {
//!     println!("{}: {:?}", record.offset, record.value);
//! }
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use klamm_shell::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Sleep;

/// The tokio runtime that the calling task runs on, with its I/O and time drivers enabled.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
}

impl Tokio {
    /// The runtime that this code runs on.
    ///
    /// # Panics
    /// There is none: this is not called from a task, nor within [`Handle::enter`].
    #[must_use]
    pub fn current() -> Self {
        Handle::current().into()
    }
}

impl From<Handle> for Tokio {
    fn from(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Runtime for Tokio {
    type Socket = TokioSocket;
    type Timer = TokioTimer;

    async fn resolve(&self, host: Host, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = tokio::net::lookup_host((host.as_str(), port)).await?;
        Ok(addresses.collect())
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<TokioSocket> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(TokioSocket(stream))
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer { sleep: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.handle.spawn_blocking(work));
    }
}

/// A TCP socket of tokio's.
#[derive(Debug)]
pub struct TokioSocket(TcpStream);

impl Socket for TokioSocket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0)
            .poll_read(cx, &mut buf)
            .map_ok(|()| buf.filled().len())
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A timer of tokio's; its resolution is a millisecond.
#[derive(Debug)]
pub struct TokioTimer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer for TokioTimer {
    fn reset(&mut self, at: Instant) {
        // The far future is further than tokio can count; it asks again after a day.
        let wait = at.since(monotonic_clock());
        let deadline = tokio::time::Instant::now() + wait.min(Duration::from_secs(86_400));
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// The README's code is compiled like any other.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The guide's too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
