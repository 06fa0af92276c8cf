//! Owns the cluster's way to real programs: ports on the loopback interface, and the real clock.
//!
//! Must not know the protocol. One thread serves all connections; the cluster is guarded by one mutex, held for one
//! input at a time.

mod socket;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use klamm::UnixMillis;

use crate::cluster::Cluster;
use crate::config::ClusterConfig;
use state::Shared;

/// A cluster that programs reach by TCP, on ports of 127.0.0.1.
///
/// Virtual time is the real one. Dropping the server closes all connections and ports and ends its thread, at once.
///
/// ```
/// use klamm_cluster::{ClusterConfig, Server};
///
/// let server = Server::start(ClusterConfig::with_nodes(3))?;
/// server.with(|cluster| cluster.create_topic("orders", 6))?;
/// println!("bootstrap.servers={}", server.bootstrap());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a cluster, each broker on a free port. What the configuration says of hosts, ports and the start time is
    /// replaced by what is real.
    ///
    /// # Errors
    /// A port cannot be opened, or no thread be started.
    pub fn start(config: ClusterConfig) -> io::Result<Self> {
        Self::start_on(config, &[])
    }

    /// Starts a cluster, the first brokers on `ports`, the others on free ones.
    ///
    /// # Errors
    /// A port cannot be opened, or no thread be started.
    pub fn start_on(mut config: ClusterConfig, ports: &[u16]) -> io::Result<Self> {
        let mut listeners = Vec::with_capacity(config.nodes.len());
        let mut addresses = Vec::with_capacity(config.nodes.len());
        let ports = ports.iter().copied().chain(std::iter::repeat(0));
        for (node, port) in config.nodes.iter_mut().zip(ports) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            let address = listener.local_addr()?;
            node.host = address.ip().to_string();
            node.port = address.port();
            addresses.push(address);
            listeners.push((node.id, address, listener));
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since_1970.map_or(0, |since| since.as_millis());
        config.start_time = UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX));
        config.await_sent = true;
        let brokers = config.nodes.iter().map(|node| node.id).collect();
        let shared = Arc::new(Shared::new(Cluster::new(config), brokers));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(String::from("klamm-cluster"))
            .spawn(move || runtime.block_on(socket::serve(serving, listeners)))?;
        Ok(Self {
            shared,
            addresses,
            thread: Some(thread),
        })
    }

    /// The addresses of all brokers as `bootstrap.servers` wants them.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        addresses.join(",")
    }

    /// The addresses of the brokers, in the order in which they were configured.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Does something with the cluster: controls it, asks for faults, reads what happened. Everything else waits, so
    /// it should be short.
    pub fn with<T>(&self, what: impl FnOnce(&mut Cluster) -> T) -> T {
        self.shared.with(|cluster, now| {
            cluster.advance(now);
            what(cluster)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}
