//! Owns a cluster in memory at the far end of the scripted runtime's sockets, in the same virtual time.
//!
//! Must not be asked for anything that takes real time.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use klamm::Instant;
use klamm::config::{ConsumerConfig, ProducerConfig};
use klamm_cluster::{Cluster, ClusterConfig, ConnectionKey, Output};

use super::{Fake, Flag, Pipe, Step};
use crate::consumer::Consumer;
use crate::options::Options;
use crate::producer::Producer;
use crate::runtime::Runtime;

/// How the town's network treats bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// It carries them as they are.
    Kind,
    /// It carries a few at a time, and wakes everybody for nothing.
    Petty,
}

pub(crate) struct Town {
    pub(crate) fake: Fake,
    pub(crate) cluster: Cluster,
    network: Network,
    lines: BTreeMap<ConnectionKey, Arc<Mutex<Pipe>>>,
    /// How many bytes the brokers have said.
    pub(crate) said: usize,
    /// Which of these bytes is the first one that is lost, with the connection that it comes on.
    pub(crate) cut: Option<usize>,
}

impl Town {
    pub(crate) fn new(network: Network) -> Self {
        Self::of(network, ClusterConfig::with_nodes(1))
    }

    pub(crate) fn of(network: Network, config: ClusterConfig) -> Self {
        let fake = Fake::default();
        fake.open_house();
        let mut cluster = Cluster::new(config);
        cluster.create_topic("letters", 1).expect("a new topic");
        Self {
            fake,
            cluster,
            network,
            lines: BTreeMap::new(),
            said: 0,
            cut: None,
        }
    }

    pub(crate) fn producer(&self, more: &[(&str, &str)]) -> Producer {
        self.producer_with(more, Options::new())
    }

    pub(crate) fn producer_with(&self, more: &[(&str, &str)], options: Options) -> Producer {
        let properties = [("bootstrap.servers", "broker-1:9092")];
        let properties = properties.iter().chain(more).copied();
        let config = ProducerConfig::from_properties(properties).expect("a configuration");
        Producer::start_with(&config, self.fake.clone(), options).expect("a producer")
    }

    pub(crate) fn consumer(&self) -> Consumer {
        let config = ConsumerConfig::bootstrap("broker-1:9092")
            .expect("a configuration")
            .group_id("readers");
        Consumer::start(&config, self.fake.clone()).expect("a consumer")
    }

    /// Moves bytes both ways and runs who was woken, until all is quiet.
    pub(crate) fn settle(&mut self) {
        loop {
            match self.network {
                Network::Kind => self.fake.settle(),
                Network::Petty => self.fake.wake_all(),
            }
            if !self.carry() {
                return;
            }
        }
    }

    /// Answers whether anything moved.
    fn carry(&mut self) -> bool {
        let now = self.fake.now();
        let mut moved = false;
        for (address, pipe) in self.fake.accepted() {
            let std::net::IpAddr::V4(ip) = address.ip() else {
                continue;
            };
            let node = i32::from(ip.octets()[3]);
            let key = self.cluster.connect(node, now).expect("a broker that runs");
            self.lines.insert(key, pipe);
            moved = true;
        }
        for (key, pipe) in &self.lines {
            let bytes = Pipe::take_written(pipe);
            if !bytes.is_empty() {
                self.cluster.receive(*key, &bytes, now);
                moved = true;
            }
        }
        self.cluster.advance(now);
        while let Some(output) = self.cluster.poll_output() {
            moved = true;
            match output {
                Output::Send { connection, bytes } => self.deliver(connection, &bytes.to_vec()),
                Output::Close { connection } => {
                    if let Some(pipe) = self.lines.remove(&connection) {
                        Pipe::push_read(&pipe, Step::End);
                    }
                }
            }
        }
        let gone: Vec<ConnectionKey> = self
            .lines
            .iter()
            .filter(|(_, pipe)| pipe.lock().unwrap().dropped)
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            self.lines.remove(&key);
            self.cluster.disconnect(key, now);
        }
        moved
    }

    fn deliver(&mut self, connection: ConnectionKey, bytes: &[u8]) {
        let Some(pipe) = self.lines.get(&connection) else {
            return;
        };
        let kept = self.cut.and_then(|cut| cut.checked_sub(self.said));
        let kept = kept.filter(|kept| *kept < bytes.len());
        self.said += bytes.len();
        let bytes = &bytes[..kept.unwrap_or(bytes.len())];
        let piece = match self.network {
            Network::Kind => bytes.len(),
            Network::Petty => 7,
        };
        for piece in bytes.chunks(piece.max(1)) {
            Pipe::push_read(pipe, Step::Bytes(piece.to_vec()));
        }
        if kept.is_some() {
            self.lose(connection);
        }
    }

    /// A connection is cut, for both sides.
    fn lose(&mut self, connection: ConnectionKey) {
        if let Some(pipe) = self.lines.remove(&connection) {
            Pipe::push_read(&pipe, Step::End);
            let now = self.fake.now();
            self.cluster.disconnect(connection, now);
        }
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.lines.len()
    }

    /// The brokers hang up, all of them.
    pub(crate) fn hang_up(&mut self) {
        let all: Vec<ConnectionKey> = self.lines.keys().copied().collect();
        for connection in all {
            self.lose(connection);
        }
        self.settle();
    }

    /// When something happens next by itself.
    fn next(&self) -> Option<Instant> {
        let deadlines = [self.fake.next_timer(), self.cluster.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Lets time pass until the next thing happens.
    fn pass(&mut self) {
        let at = self.next().expect("the town stands still");
        self.fake.fire(at);
        self.settle();
    }

    /// Lets time pass, and all that happens in it.
    pub(crate) fn wait(&mut self, duration: klamm::Duration) {
        let end = self.fake.now() + duration;
        loop {
            while self.fake.run_blocking() > 0 {
                self.settle();
            }
            match self.next() {
                Some(at) if at <= end => self.pass(),
                Some(_) | None => break,
            }
        }
        self.fake.fire(end);
        self.settle();
    }

    /// Runs the future to its end.
    pub(crate) fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        self.poll_times(future.as_mut(), usize::MAX)
            .expect("an end")
    }

    /// Polls the future so often, each time after it was woken; it is dropped by the caller. Gives its end if it came.
    pub(crate) fn poll_times<T>(
        &mut self,
        mut future: Pin<&mut impl Future<Output = T>>,
        times: usize,
    ) -> Option<T> {
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        for _ in 0..times {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(value);
            }
            self.settle();
            while !flag.take() {
                if self.fake.run_blocking() > 0 {
                    self.settle();
                } else {
                    self.pass();
                }
            }
        }
        None
    }
}
