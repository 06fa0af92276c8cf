//! Owns what the shell relies on in a [`Runtime`], clause by clause, against sockets and threads of the standard library.
//!
//! Must not know Kafka.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, Read, Result, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use klamm_shell::{Duration, Host, Instant, Runtime, Socket, Timer};

use crate::{sleep, within};

/// A waker that only remembers.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A peer on a thread of its own, and the near end of the connection to it.
async fn connected<RT: Runtime, T: Send + 'static>(
    runtime: &RT,
    peer: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (RT::Socket, JoinHandle<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let peer = std::thread::spawn(move || peer(listener.accept().expect("connected").0));
    let socket = runtime.connect(address).await.expect("somebody listens");
    (socket, peer)
}

async fn read(socket: &mut impl Socket, buf: &mut [u8]) -> Result<usize> {
    poll_fn(|cx| socket.poll_read(cx, buf)).await
}

async fn write(socket: &mut impl Socket, bufs: &[IoSlice<'_>]) -> Result<usize> {
    poll_fn(|cx| socket.poll_write_vectored(cx, bufs)).await
}

fn host(name: &str) -> Host {
    Host::from(name)
}

/// Literal addresses of both families, in the port that was asked for.
pub async fn a_literal_address_is_answered_without_asking_anybody(runtime: &impl Runtime) {
    let v4 = runtime.resolve(host("192.0.2.7"), 9092).await;
    assert_eq!(
        v4.expect("a literal"),
        [SocketAddr::from(([192, 0, 2, 7], 9092))]
    );
    let v6 = runtime.resolve(host("2001:db8::7"), 9093).await;
    let expected: Ipv6Addr = "2001:db8::7".parse().expect("a literal");
    assert_eq!(v6.expect("a literal"), [SocketAddr::from((expected, 9093))]);
}

/// A name that every host has.
pub async fn a_name_of_this_host_has_its_addresses(runtime: &impl Runtime) {
    let addresses = runtime
        .resolve(host("localhost"), 7)
        .await
        .expect("every host has it");
    assert!(!addresses.is_empty());
    assert!(
        addresses
            .iter()
            .all(|addr| addr.ip().is_loopback() && addr.port() == 7)
    );
}

/// RFC 6761 keeps `.invalid` from ever existing.
pub async fn a_name_that_does_not_exist_is_an_error(runtime: &impl Runtime) {
    assert!(runtime.resolve(host("broker.invalid"), 9092).await.is_err());
}

/// The kind of the error tells.
pub async fn a_port_without_a_listener_refuses(runtime: &impl Runtime) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = runtime
        .connect(address)
        .await
        .err()
        .expect("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// Dropping the future ends the attempt, wherever it stood.
pub async fn an_attempt_to_connect_can_be_given_up(runtime: &impl Runtime) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    for polls in 0..3 {
        let mut attempt = Box::pin(runtime.connect(address));
        poll_fn(|cx| {
            for _ in 0..polls {
                if attempt.as_mut().poll(cx).is_ready() {
                    attempt = Box::pin(runtime.connect(address));
                }
            }
            Poll::Ready(())
        })
        .await;
    }
    // The listener still serves whoever means it.
    runtime.connect(address).await.expect("somebody listens");
}

/// More than any socket buffers, in slices of every size, echoed by a peer that reads in small pieces.
pub async fn bytes_go_both_ways_whole_and_in_order(runtime: &impl Runtime) {
    const SIZE: usize = 3 << 20;
    let (mut socket, peer) = connected(runtime, |mut stream| {
        let mut buffer = [0; 1_500];
        loop {
            let bytes = stream.read(&mut buffer).expect("readable");
            if bytes == 0 {
                return;
            }
            stream.write_all(&buffer[..bytes]).expect("writable");
        }
    })
    .await;
    let sent: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let mut received = Vec::with_capacity(SIZE);
    let mut at = 0;
    let mut buffer = vec![0; 10_000];
    poll_fn(|cx| {
        while at < SIZE {
            let (head, rest) = sent[at..].split_at((SIZE - at).min(at % 777 + 1));
            let mut slices = vec![IoSlice::new(head)];
            if !rest.is_empty() {
                slices.push(IoSlice::new(&rest[..rest.len().min(60_000)]));
            }
            match socket.poll_write_vectored(cx, &slices) {
                Poll::Ready(bytes) => at += bytes.expect("writable"),
                Poll::Pending => break,
            }
        }
        while received.len() < SIZE {
            match socket.poll_read(cx, &mut buffer) {
                Poll::Ready(bytes) => {
                    let bytes = bytes.expect("readable");
                    assert!(bytes > 0, "the end after {} bytes", received.len());
                    received.extend_from_slice(&buffer[..bytes]);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    })
    .await;
    assert!(received == sent, "the bytes came back changed");
    drop(socket);
    peer.join().expect("the peer saw the end");
}

/// A half-closed connection, as a flush at the end of a connection makes it.
pub async fn after_the_shutdown_the_peer_sees_the_end_and_can_still_talk(runtime: &impl Runtime) {
    let (mut socket, peer) = connected(runtime, |mut stream| {
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("readable");
        stream.write_all(b"bye").expect("writable");
        heard
    })
    .await;
    assert_eq!(
        write(&mut socket, &[IoSlice::new(b"hello")]).await.ok(),
        Some(5)
    );
    poll_fn(|cx| socket.poll_shutdown(cx))
        .await
        .expect("shut down");
    let mut buffer = [0; 16];
    let mut heard = Vec::new();
    loop {
        let bytes = read(&mut socket, &mut buffer).await.expect("readable");
        if bytes == 0 {
            break;
        }
        heard.extend_from_slice(&buffer[..bytes]);
    }
    assert_eq!(heard, b"bye");
    assert_eq!(peer.join().expect("heard"), b"hello");
}

/// A socket closed with unread bytes in it resets the connection.
pub async fn a_reset_is_an_error(runtime: &impl Runtime) {
    let (mut socket, peer) = connected(runtime, |stream| {
        let mut one = [0; 1];
        stream.peek(&mut one).expect("something came");
    })
    .await;
    let _ = write(&mut socket, &[IoSlice::new(b"unread")]).await;
    let error = read(&mut socket, &mut [0; 16])
        .await
        .expect_err("the connection is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    peer.join().expect("ended");
}

/// No task of the runtime keeps it open.
pub async fn a_dropped_socket_is_closed(runtime: &impl Runtime) {
    let (socket, peer) = connected(runtime, |mut stream| stream.read(&mut [0; 1])).await;
    drop(socket);
    assert_eq!(peer.join().expect("ended").expect("the end"), 0);
}

/// A task may be polled with another waker each time, and by a combinator with several.
pub async fn the_last_waker_is_the_one_that_is_woken(runtime: &impl Runtime) {
    let (go, went): (_, Receiver<()>) = channel();
    let (mut socket, peer) = connected(runtime, move |mut stream| {
        went.recv().expect("the test goes on");
        stream.write_all(b"x").expect("writable");
        // The connection stays open until the test is over.
        let _ = went.recv();
    })
    .await;
    let stale = Waker::from(Arc::new(Flag::default()));
    let mut buffer = [0; 1];
    let first = socket.poll_read(&mut Context::from_waker(&stale), &mut buffer);
    assert!(first.is_pending());
    let mut told = false;
    let bytes = poll_fn(|cx| {
        let polled = socket.poll_read(cx, &mut buffer);
        if polled.is_pending() && !told {
            told = true;
            go.send(()).expect("the peer waits");
        }
        polled
    })
    .await;
    assert_eq!(bytes.expect("readable"), 1);
    drop(go);
    peer.join().expect("ended");
}

/// The shell relies on "not before": the engine is asked for its deadline's work only once.
pub async fn a_timer_fires_when_its_instant_has_come_and_not_before<RT: Runtime>(runtime: &RT) {
    for millis in [0, 1, 3, 20] {
        let at = runtime.now() + Duration::from_millis(millis) + Duration::from_nanos(1);
        let mut timer = runtime.timer();
        timer.reset(at);
        poll_fn(|cx| timer.poll_expired(cx)).await;
        // Timers may count in whole milliseconds.
        assert!(runtime.now() + Duration::from_millis(1) >= at);
    }
}

/// Whatever it was set to before, and also after it has fired.
pub async fn a_timer_can_be_set_again_to_sooner_and_to_later<RT: Runtime>(runtime: &RT) {
    let mut timer = runtime.timer();
    timer.reset(runtime.now() + Duration::from_secs(3_600));
    let first = poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await;
    assert!(first.is_pending());
    for _ in 0..3 {
        timer.reset(runtime.now() + Duration::from_millis(2));
        poll_fn(|cx| timer.poll_expired(cx)).await;
    }
    timer.reset(runtime.now() + Duration::from_millis(1));
    timer.reset(runtime.now() + Duration::from_secs(3_600));
    let fired = poll_fn(|cx| timer.poll_expired(cx));
    assert_eq!(
        within(runtime, Duration::from_millis(50), fired).await,
        None
    );
}

/// The ends of time.
pub async fn a_timer_set_to_the_past_fires_at_once_and_one_in_the_far_future_never<RT: Runtime>(
    runtime: &RT,
) {
    let mut timer = runtime.timer();
    timer.reset(Instant::START);
    poll_fn(|cx| timer.poll_expired(cx)).await;
    timer.reset(Instant::FAR_FUTURE);
    let fired = poll_fn(|cx| timer.poll_expired(cx));
    assert_eq!(
        within(runtime, Duration::from_millis(20), fired).await,
        None
    );
}

/// Neither keeps the other, nor the caller, from running.
pub async fn tasks_run_beside_each_other_and_blocking_work_beside_them<RT: Runtime>(runtime: &RT) {
    let done = Arc::new(AtomicUsize::new(0));
    let (release, held) = channel();
    let blocking = Arc::clone(&done);
    runtime.spawn_blocking(move || {
        held.recv().expect("the tasks ran meanwhile");
        blocking.fetch_add(100, Ordering::SeqCst);
    });
    for _ in 0..10 {
        let (done, own) = (Arc::clone(&done), runtime.clone());
        runtime.spawn(async move {
            sleep(&own, Duration::from_millis(1)).await;
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    while done.load(Ordering::SeqCst) < 10 {
        sleep(runtime, Duration::from_millis(1)).await;
    }
    release.send(()).expect("the work waits");
    while done.load(Ordering::SeqCst) < 110 {
        sleep(runtime, Duration::from_millis(1)).await;
    }
}

/// The monotonic one never back; the other is that of everybody.
pub async fn the_clocks_go_forward<RT: Runtime>(runtime: &RT) {
    let (then, wall) = (runtime.now(), runtime.wall());
    sleep(runtime, Duration::from_millis(5)).await;
    assert!(runtime.now() > then);
    assert!(runtime.wall() >= wall);
    // 2020-01-01 in milliseconds.
    assert!(wall.0 > 1_577_836_800_000);
}
