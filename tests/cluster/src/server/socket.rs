//! Owns the sockets of a server: accepting, reading, writing, closing.
//!
//! Must not know the cluster but through what the tasks share.

use std::future::Future;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::state::{Next, Shared};
use crate::NodeId;
use crate::connection::ConnectionKey;

/// How much is read at once.
const READ: usize = 64 * 1024;
/// How long a broker waits that cannot have its port or a socket, before it tries once more.
const PORT_RETRY: Duration = Duration::from_millis(20);

/// Serves until the server is dropped.
pub(super) async fn serve(shared: Arc<Shared>, listeners: Vec<(NodeId, SocketAddr, StdListener)>) {
    for (broker, address, listener) in listeners {
        tokio::spawn(listen(Arc::clone(&shared), broker, address, listener));
    }
    tokio::spawn(keep_time(Arc::clone(&shared)));
    shared.stopped().await;
}

/// Lets happen what is due.
async fn keep_time(shared: Arc<Shared>) {
    loop {
        let earlier = shared.timer.notified();
        match shared.tick() {
            Some(wait) => {
                first(earlier, tokio::time::sleep(wait)).await;
            }
            None => earlier.await,
        }
    }
}

/// Accepts the connections of one broker, as long as it runs.
async fn listen(shared: Arc<Shared>, broker: NodeId, address: SocketAddr, listener: StdListener) {
    let Some(changed) = shared.brokers.get(&broker) else {
        return;
    };
    let listener = listener.set_nonblocking(true).map(|()| listener);
    let mut listener = listener.and_then(TcpListener::from_std).ok();
    loop {
        if !shared.is_running(broker) {
            // The port is closed, so that clients are refused.
            listener = None;
            changed.notified().await;
            continue;
        }
        let Some(open) = &listener else {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(PORT_RETRY).await;
            }
            continue;
        };
        match first(open.accept(), changed.notified()).await {
            First::Left(Ok((socket, _))) => {
                if let Some((key, news)) = shared.connect(broker) {
                    tokio::spawn(converse(Arc::clone(&shared), key, news, socket));
                }
            }
            // Out of descriptors, most likely: others have to close first.
            First::Left(Err(_)) => tokio::time::sleep(PORT_RETRY).await,
            First::Right(()) => {}
        }
    }
}

/// Serves one connection until either side closes it.
async fn converse(
    shared: Arc<Shared>,
    key: ConnectionKey,
    news: Arc<Notify>,
    mut socket: TcpStream,
) {
    // Small answers should leave at once; a socket that cannot do so is still a socket.
    drop(socket.set_nodelay(true));
    let mut buffer = vec![0; READ];
    let mut wrote = false;
    loop {
        match shared.next(key) {
            Next::Write(bytes) => {
                if socket.write_all(&bytes).await.is_err() {
                    break;
                }
                wrote = true;
            }
            Next::Close => {
                // What was written before is still to be read, so no reset.
                drop(socket.shutdown().await);
                break;
            }
            Next::Read | Next::Wait if wrote => {
                wrote = false;
                shared.sent(key);
            }
            Next::Read => match first(news.notified(), socket.read(&mut buffer)).await {
                First::Left(()) => {}
                First::Right(Ok(length)) if length > 0 => {
                    shared.received(key, buffer.get(..length).unwrap_or_default());
                }
                First::Right(Ok(_) | Err(_)) => break,
            },
            Next::Wait => news.notified().await,
        }
    }
    shared.lost(key);
}

/// Which of two futures was ready first.
enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for the first of two; the other is dropped. The left one is asked first.
async fn first<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let mut left = pin!(left);
    let mut right = pin!(right);
    std::future::poll_fn(|context| {
        let left: Pin<&mut _> = left.as_mut();
        if let Poll::Ready(done) = left.poll(context) {
            return Poll::Ready(First::Left(done));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}
