//! A runtime of one's own: whatever can read, write, wait and run tasks can carry a client. This one is the smallest that
//! there is: a thread for each task, and one more that looks around every millisecond. Real ones wait for the operating
//! system instead; see the crates `klamm-tokio`, `klamm-smol` and `klamm-async-std`, which are as long.
//!
//! ```text
//! cargo run --example runtime -- localhost:9092 letters
//! ```

use std::error::Error;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use klamm_tokio::{
    Duration, Host, Instant, NewRecord, Producer, ProducerConfig, Receipt, Runtime, Socket, Timer,
    monotonic_clock,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = words.as_slice() else {
        return Err("usage: runtime HOST:PORT TOPIC".into());
    };
    println!("{:?}", block_on(send(bootstrap, topic))?);
    Ok(())
}

async fn send(bootstrap: &str, topic: &str) -> Result<Receipt> {
    let producer = Producer::start(&ProducerConfig::bootstrap(bootstrap)?, Threads)?;
    let receipt = producer
        .send(NewRecord::to(topic).value("without any runtime"))
        .await?;
    producer.close(Duration::from_secs(10)).await?;
    Ok(receipt)
}

/// The runtime. Copies of it are the same one.
#[derive(Clone, Copy)]
struct Threads;

impl Runtime for Threads {
    type Socket = Stream;
    type Timer = Alarm;

    async fn resolve(&self, host: Host, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Stream(stream))
    }

    fn timer(&self) -> Alarm {
        Alarm(Instant::FAR_FUTURE)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        thread::spawn(|| block_on(task));
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        thread::spawn(work);
    }
}

/// Runs a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}

/// Wakes the task a little later, when it may look again. Both directions of a socket may wait at the same time: each has a
/// place of its own here.
fn look_again(cx: &Context<'_>) {
    static WAITING: OnceLock<Arc<Mutex<Vec<Waker>>>> = OnceLock::new();
    let waiting = WAITING.get_or_init(|| {
        let waiting = Arc::new(Mutex::new(Vec::<Waker>::new()));
        let all = Arc::clone(&waiting);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(1));
                let now = std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner));
                now.into_iter().for_each(Waker::wake);
            }
        });
        waiting
    });
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
}

/// What a call that would block is answered with.
fn ready<T>(result: io::Result<T>, cx: &Context<'_>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            look_again(cx);
            Poll::Pending
        }
        result => Poll::Ready(result),
    }
}

struct Stream(TcpStream);

impl Socket for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        ready(self.0.read(buf), cx)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready(self.0.write_vectored(bufs), cx)
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

struct Alarm(Instant);

impl Timer for Alarm {
    fn reset(&mut self, at: Instant) {
        self.0 = at;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if monotonic_clock() >= self.0 {
            return Poll::Ready(());
        }
        look_again(cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_cluster::{ClusterConfig, Server};

    #[test]
    fn a_client_runs_on_threads_alone() -> Result<()> {
        let server = Server::start(ClusterConfig::with_nodes(1))?;
        server.with(|cluster| cluster.create_topic("letters", 1))?;
        let receipt = block_on(send(&server.bootstrap(), "letters"))?;
        assert_eq!((receipt.partition(), receipt.offset()), (0, Some(0)));
        Ok(())
    }
}
