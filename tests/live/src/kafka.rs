//! A real Apache Kafka of one or three nodes on 127.0.0.1. Knows how brokers are formatted, started and killed.

use crate::admin;
use crate::configure::{self, Ports, Quorum};
use crate::guard::Guard;
use crate::jars::Jars;
use crate::java::{self, OPEN_MODULES, SHORT_LIVED};
use crate::ports;
use crate::process::{Finished, tail, until};
use crate::requests::{self, Connection};
use std::env;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Java on two busy cores: a cluster of three is up in ten seconds, or in a minute.
const START_LIMIT: Duration = Duration::from_secs(120);

/// What a cluster is made of. `..Setup::default()` is one node of the newest version.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// How many nodes; each is broker and controller.
    pub nodes: usize,
    /// Lines for each broker's configuration, which win over this module's.
    pub properties: &'a [(&'a str, &'a str)],
    /// Names of more listeners that each node has, of one node's cluster: see [`Kafka::listener`].
    pub listeners: &'a [&'a str],
    /// The version of Kafka; `None`: the one that `KLAMM_KAFKA_VERSION` names, or the newest.
    pub version: Option<&'a str>,
    /// The most heap that a node may take, as `-Xmx` wants it.
    pub heap: &'a str,
    /// For measurements: let Java compile the broker as it would in production, and log no requests.
    pub measured: bool,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            nodes: 1,
            properties: &[],
            listeners: &[],
            version: None,
            heap: "512m",
            measured: false,
        }
    }
}

/// A running cluster. It ends, and its directory goes, when this is dropped or the process ends, in whichever way.
#[derive(Debug)]
pub struct Kafka {
    jars: Jars,
    directory: PathBuf,
    ports: Vec<u16>,
    listeners: Vec<(String, u16)>,
    heap: String,
    measured: bool,
    /// Behind a lock, so that tests that share a cluster can.
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    nodes: Vec<Node>,
    zookeeper: Option<Child>,
    guard: Guard,
}

#[derive(Debug)]
enum Node {
    Up(Child),
    Frozen(Child),
    Down,
}

impl Kafka {
    /// Formats and starts `nodes` brokers and waits until each of them knows all of them.
    ///
    /// # Panics
    /// If Java, or Maven and the jars, are missing, or a broker does not come up; with what it said.
    pub fn start(nodes: usize, properties: &[(&str, &str)]) -> Kafka {
        Kafka::set_up(&Setup {
            nodes,
            properties,
            ..Setup::default()
        })
    }

    /// Formats and starts what `setup` says.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    pub fn set_up(setup: &Setup<'_>) -> Kafka {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let jars = setup
            .version
            .map_or_else(Jars::of_environment, Jars::of_version);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("klamm-live-{}-{count}", std::process::id()));
        fs::create_dir_all(&directory).expect("the directory for temporary files can be written");
        let kafka = Kafka {
            running: Mutex::new(Running {
                nodes: (0..setup.nodes).map(|_| Node::Down).collect(),
                zookeeper: None,
                guard: Guard::new(&directory),
            }),
            ports: (0..setup.nodes).map(|_| ports::free()).collect(),
            listeners: setup
                .listeners
                .iter()
                .map(|name| ((*name).to_owned(), ports::free()))
                .collect(),
            jars,
            directory,
            heap: setup.heap.to_owned(),
            measured: setup.measured,
        };
        let quorum = if kafka.jars.zookeeper() {
            kafka.start_zookeeper()
        } else {
            Quorum::Kraft
        };
        let homes: Vec<PathBuf> = (0..setup.nodes).map(|node| kafka.home(node)).collect();
        let listeners: Vec<Ports> = kafka
            .ports
            .iter()
            .map(|broker| Ports {
                broker: *broker,
                controller: ports::free(),
            })
            .collect();
        configure::configure(
            &kafka.jars,
            &homes,
            &listeners,
            quorum,
            &kafka.listeners,
            !setup.measured,
            setup.properties,
        );
        for node in 0..setup.nodes {
            kafka.start_node(node);
        }
        for node in 0..setup.nodes {
            kafka.await_node(node);
        }
        kafka
    }

    /// The cluster of one node that the tests of a test binary share. It logs requests. Use topics of your own.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::start(1, &[]))
    }

    /// All brokers' addresses, as `bootstrap.servers` wants them.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = (0..self.ports.len())
            .map(|node| self.address(node))
            .collect();
        addresses.join(",")
    }

    /// The address of one broker.
    pub fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.ports[node])
    }

    /// The port of one of the listeners that the setup named.
    ///
    /// # Panics
    /// If it named none such.
    pub fn listener(&self, name: &str) -> u16 {
        let found = self.listeners.iter().find(|(known, _)| known == name);
        found.expect("a listener of the setup").1
    }

    /// Kills a broker (SIGKILL) and waits for its end. Nothing if it is down.
    pub fn kill(&self, node: usize) {
        let mut running = self.running();
        match std::mem::replace(&mut running.nodes[node], Node::Down) {
            Node::Up(mut child) | Node::Frozen(mut child) => end(&mut child),
            Node::Down => {}
        }
        running.tell_guard();
    }

    /// Starts a broker that is down, with the data that it has. Does not wait: see [`Kafka::await_node`].
    ///
    /// # Panics
    /// If it is up.
    pub fn start_node(&self, node: usize) {
        let home = self.home(node);
        let mut running = self.running();
        assert!(
            matches!(running.nodes[node], Node::Down),
            "node {node} is up"
        );
        let properties = home.join("server.properties");
        running.nodes[node] =
            Node::Up(self.spawn(&home, "kafka.Kafka", &[&properties.display().to_string()]));
        running.tell_guard();
    }

    /// Starts every broker that is down, and waits for all.
    ///
    /// # Panics
    /// As [`Kafka::await_node`].
    pub fn start_all(&self) {
        let is_down = |node: &usize| matches!(self.running().nodes[*node], Node::Down);
        let down: Vec<usize> = (0..self.ports.len()).filter(is_down).collect();
        down.iter().for_each(|node| self.start_node(*node));
        (0..self.ports.len()).for_each(|node| self.await_node(node));
    }

    /// Waits until a broker answers and knows of as many brokers as are up.
    ///
    /// # Panics
    /// If it ends, or is not there after two minutes; with what it said.
    pub fn await_node(&self, node: usize) {
        let address = self.address(node);
        until(
            &format!("node {node} at {address} knows all that are up"),
            START_LIMIT,
            || {
                let up = {
                    let mut running = self.running();
                    if let Node::Up(child) = &mut running.nodes[node]
                        && let Some(status) = child.try_wait().expect("a child of this process")
                    {
                        panic!("node {node} ended ({status}):\n{}", self.said(node));
                    }
                    running
                        .nodes
                        .iter()
                        .filter(|n| matches!(n, Node::Up(_)))
                        .count()
                };
                admin::metadata(&address, None)
                    .is_ok_and(|m| m.brokers.len() >= up)
                    .then_some(())
            },
        );
    }

    /// Stops a broker without its knowledge (SIGSTOP): its sockets stay open and it answers nothing.
    ///
    /// # Panics
    /// If it is not up.
    pub fn freeze(&self, node: usize) {
        let mut running = self.running();
        running.nodes[node] = match std::mem::replace(&mut running.nodes[node], Node::Down) {
            Node::Up(child) => {
                signal("STOP", child.id());
                Node::Frozen(child)
            }
            Node::Frozen(_) | Node::Down => panic!("node {node} is not up"),
        };
    }

    /// Lets a frozen broker go on.
    ///
    /// # Panics
    /// If it is not frozen.
    pub fn thaw(&self, node: usize) {
        let mut running = self.running();
        running.nodes[node] = match std::mem::replace(&mut running.nodes[node], Node::Down) {
            Node::Frozen(child) => {
                signal("CONT", child.id());
                Node::Up(child)
            }
            Node::Up(_) | Node::Down => panic!("node {node} is not frozen"),
        };
    }

    /// Kills all of it and removes its directory, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }

    /// Creates a topic with a name that begins with `prefix` and that no other test has, and returns it.
    ///
    /// # Panics
    /// As [`Kafka::create_topic`].
    pub fn topic(&self, prefix: &str, partitions: i32) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.create_topic(&name, partitions, &[]);
        name
    }

    /// Creates a topic, replicated to all brokers up to three, and waits until every broker that is up knows its leaders.
    ///
    /// # Panics
    /// If the cluster refuses, or the leaders are not there after a while.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let replicas = i16::try_from(self.ports.len().min(3)).expect("at most three");
        /// With ZooKeeper, a topic that all brokers have forgotten is not deleted whole yet.
        const TOPIC_ALREADY_EXISTS: i16 = 36;
        let error = until(&format!("{name} can be created"), START_LIMIT, || {
            let error = self.ask("creates a topic", |address| {
                admin::create_topic(address, name, partitions, replicas, config)
            });
            (error != TOPIC_ALREADY_EXISTS).then_some(error)
        });
        assert_eq!(error, 0, "error code of CreateTopics for {name}");
        for node in self.nodes_up() {
            until(
                &format!("node {node} knows the leaders of {name}"),
                START_LIMIT,
                || {
                    let (error, leaders) = admin::metadata(&self.address(node), Some(name))
                        .ok()?
                        .topic?;
                    let led = leaders.iter().filter(|leader| **leader >= 0).count();
                    (error == 0 && i32::try_from(led) == Ok(partitions)).then_some(())
                },
            );
        }
    }

    /// Deletes a topic and waits until every broker that is up has forgotten it.
    ///
    /// # Panics
    /// If the cluster refuses, or still knows it after a while.
    pub fn delete_topic(&self, name: &str) {
        /// Kafka's error code for a topic that is not there.
        const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
        let error = self.ask("deletes a topic", |address| {
            admin::delete_topic(address, name)
        });
        assert_eq!(error, 0, "error code of DeleteTopics for {name}");
        for node in self.nodes_up() {
            until(
                &format!("node {node} has forgotten {name}"),
                START_LIMIT,
                || {
                    let (error, _) = admin::metadata(&self.address(node), Some(name))
                        .ok()?
                        .topic?;
                    (error == UNKNOWN_TOPIC_OR_PARTITION).then_some(())
                },
            );
        }
    }

    /// The node that leads a partition.
    ///
    /// # Panics
    /// If there is none after a while.
    pub fn leader(&self, topic: &str, partition: usize) -> usize {
        until(
            &format!("{topic}-{partition} has a leader"),
            START_LIMIT,
            || {
                let node = *self.nodes_up().first()?;
                let (_, leaders) = admin::metadata(&self.address(node), Some(topic))
                    .ok()?
                    .topic?;
                usize::try_from(*leaders.get(partition)?).ok()
            },
        )
    }

    /// Waits until another node than `former` leads a partition.
    ///
    /// # Panics
    /// If none does after a while.
    pub fn await_new_leader(&self, topic: &str, partition: usize, former: usize) {
        until(
            &format!("another node than {former} leads {topic}-{partition}"),
            START_LIMIT,
            || (self.leader(topic, partition) != former).then_some(()),
        );
    }

    /// Runs one of Kafka's own tools against this cluster: [`java::class`] has their names. `--bootstrap-server` is added.
    ///
    /// # Panics
    /// As [`java::tool`].
    pub fn tool(&self, class: &str, args: &[&str], stdin: &[u8]) -> Finished {
        let bootstrap = self.bootstrap();
        java::tool(
            class,
            &[&["--bootstrap-server", &bootstrap], args].concat(),
            stdin,
        )
    }

    /// Where `node` keeps a partition: the directory with its segment files.
    pub fn log_directory(&self, node: usize, topic: &str, partition: usize) -> PathBuf {
        self.home(node)
            .join("data")
            .join(format!("{topic}-{partition}"))
    }

    /// What the connections of clients of which the id begins with `client_id` have carried, on all nodes: requests that
    /// were answered, so not those that are held.
    ///
    /// # Panics
    /// If this cluster was set up to be measured: it logs none.
    pub fn requests(&self, client_id: &str) -> Vec<Connection> {
        assert!(
            !self.measured,
            "a cluster that is measured logs no requests"
        );
        let of_node = |node| requests::read(node, &self.home(node).join("requests.log"), client_id);
        (0..self.ports.len()).flat_map(of_node).collect()
    }

    /// What a broker wrote to its log: its errors.
    pub fn said(&self, node: usize) -> String {
        tail(&fs::read_to_string(self.home(node).join("log")).unwrap_or_default())
    }

    /// The nodes that are up and not frozen.
    fn nodes_up(&self) -> Vec<usize> {
        let running = self.running();
        (0..self.ports.len())
            .filter(|node| matches!(running.nodes[*node], Node::Up(_)))
            .collect()
    }

    /// Asks one broker after the other until one answers.
    fn ask<T>(&self, what: &str, question: impl Fn(&str) -> std::io::Result<T>) -> T {
        until(
            &format!("a broker of {} {what}", self.bootstrap()),
            START_LIMIT,
            || {
                self.nodes_up()
                    .into_iter()
                    .find_map(|node| question(&self.address(node)).ok())
            },
        )
    }

    fn start_zookeeper(&self) -> Quorum {
        let port = ports::free();
        let home = self.directory.join("zookeeper");
        fs::create_dir_all(&home).expect("a directory of this process");
        configure::write_logging(&home, false);
        let data = home.join("data").display().to_string();
        let class = "org.apache.zookeeper.server.ZooKeeperServerMain";
        let mut running = self.running();
        running.zookeeper = Some(self.spawn(&home, class, &[&port.to_string(), &data]));
        running.tell_guard();
        until(
            &format!("ZooKeeper listens on port {port}"),
            START_LIMIT,
            || TcpStream::connect(("127.0.0.1", port)).ok(),
        );
        Quorum::ZooKeeper(port)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn home(&self, node: usize) -> PathBuf {
        self.directory.join(format!("node{node}"))
    }

    fn spawn(&self, home: &Path, class: &str, args: &[&str]) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(home.join("log"))
            .expect("a directory of this process");
        let mut command = java::java(&self.jars);
        command.arg(format!("-Xmx{}", self.heap)).args(OPEN_MODULES);
        if !self.measured {
            command.args(SHORT_LIVED);
        }
        command
            .arg("-Dzookeeper.jmx.log4j.disable=true")
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                home.join("log4j2.properties").display()
            ))
            .arg(class)
            .args(args)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a file that is open"))
            .stdout(log)
            .spawn()
            .expect("java starts: it was found before")
    }
}

impl Running {
    /// Who is to die with this process.
    fn tell_guard(&mut self) {
        let of_node = |node: &Node| match node {
            Node::Up(child) | Node::Frozen(child) => Some(child.id()),
            Node::Down => None,
        };
        let zookeeper = self.zookeeper.as_ref().map(Child::id);
        let living: Vec<u32> = self
            .nodes
            .iter()
            .filter_map(of_node)
            .chain(zookeeper)
            .collect();
        self.guard.set(&living);
    }
}

impl Drop for Running {
    /// The brokers first, so that they are reaped; the guard then finds nobody to kill and removes the directory.
    fn drop(&mut self) {
        for node in &mut self.nodes {
            match std::mem::replace(node, Node::Down) {
                Node::Up(mut child) | Node::Frozen(mut child) => end(&mut child),
                Node::Down => {}
            }
        }
        if let Some(mut zookeeper) = self.zookeeper.take() {
            end(&mut zookeeper);
        }
        self.tell_guard();
    }
}

/// Kills it, frozen or not, and waits for its end.
fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// The shell's own kill: the program of that name is not everywhere.
fn signal(name: &str, process: u32) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()])
        .status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "signal {name} to process {process} failed"
    );
}
