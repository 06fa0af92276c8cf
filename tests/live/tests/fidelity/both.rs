//! Two brokers that are asked the same, and their answers in a form that can be compared.

use bytes::{Bytes, BytesMut};
use klamm::messages::{
    ApiVersionsRequest, InitProducerIdRequest, MetadataRequest, MetadataRequestTopic,
};
use klamm::wire::header::{decode_response, encode_request};
use klamm::wire::{Request, Writer};
use klamm::{Str, Uuid};
use klamm_cluster::{ClusterConfig, GroupConfig, Node, Release, Server};
use klamm_live::admin;
use klamm_live::kafka::{Kafka, Setup};
use klamm_live::process::until;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Topics are created on demand, with one partition; groups are assigned anew at once.
const CREATING: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "true"),
    ("num.partitions", "1"),
    ("group.consumer.assignment.interval.ms", "0"),
];

/// The real broker of all tests, and the cluster in memory of all tests: one node each, with id 0.
fn servers() -> (&'static Kafka, &'static Server) {
    static REAL: OnceLock<Kafka> = OnceLock::new();
    static IN_MEMORY: OnceLock<Server> = OnceLock::new();
    let in_memory = IN_MEMORY.get_or_init(|| {
        let config = ClusterConfig {
            nodes: vec![Node::new(0)],
            default_partitions: 1,
            groups: GroupConfig {
                // As the real one is set up.
                initial_rebalance_delay: klamm::Duration::ZERO,
                consumer_assignment_interval: klamm::Duration::ZERO,
                ..GroupConfig::default()
            },
            ..ClusterConfig::default()
        };
        Server::start(config).expect("a port of 127.0.0.1")
    });
    (REAL.get_or_init(|| Kafka::start(1, CREATING)), in_memory)
}

/// A real cluster of three nodes, and one in memory, with the ids 0 to 2.
fn three_nodes() -> (&'static Kafka, &'static Server) {
    static REAL: OnceLock<Kafka> = OnceLock::new();
    static IN_MEMORY: OnceLock<Server> = OnceLock::new();
    let real = REAL.get_or_init(|| Kafka::start(3, &[]));
    let in_memory = IN_MEMORY.get_or_init(|| {
        let config = ClusterConfig {
            nodes: (0..3).map(Node::new).collect(),
            ..ClusterConfig::default()
        };
        Server::start(config).expect("ports of 127.0.0.1")
    });
    (real, in_memory)
}

/// A real broker of 2.1.1, the oldest that Klamm speaks to, and one in memory that poses as it.
fn old() -> (&'static Kafka, &'static Server) {
    static REAL: OnceLock<Kafka> = OnceLock::new();
    static IN_MEMORY: OnceLock<Server> = OnceLock::new();
    let real = REAL.get_or_init(|| {
        Kafka::set_up(&Setup {
            version: Some("2.1.1"),
            properties: CREATING,
            ..Setup::default()
        })
    });
    let in_memory = IN_MEMORY.get_or_init(|| {
        let node = Node {
            release: Release::V2_1,
            ..Node::new(0)
        };
        let config = ClusterConfig {
            nodes: vec![node],
            default_partitions: 1,
            ..ClusterConfig::default()
        };
        Server::start(config).expect("a port of 127.0.0.1")
    });
    (real, in_memory)
}

/// A broker, and a connection to it.
pub(crate) struct Side {
    /// The addresses of all brokers, by their ids.
    addresses: Vec<String>,
    /// The broker that the socket is connected to.
    address: String,
    socket: TcpStream,
    asked: i32,
    /// The topic of this test.
    pub(crate) topic: String,
    pub(crate) id: Uuid,
    /// What a test remembers of this side.
    pub(crate) kept: BTreeMap<&'static str, i64>,
    /// Further connections, by who talks over them.
    others: BTreeMap<&'static str, TcpStream>,
    /// What this side calls otherwise than the other one does, and by what name the test knows it.
    names: Vec<(String, &'static str)>,
}

impl Side {
    fn new(bootstrap: &str, topic: &str) -> Self {
        let addresses: Vec<_> = bootstrap.split(',').map(str::to_owned).collect();
        let address = addresses[0].clone();
        let socket = open(&address);
        Self {
            addresses,
            address,
            socket,
            asked: 0,
            topic: topic.to_owned(),
            id: Uuid::ZERO,
            kept: BTreeMap::new(),
            others: BTreeMap::new(),
            names: Vec::new(),
        }
    }

    fn create(&mut self, config: &[(&str, &str)]) {
        let replicas = i16::try_from(self.addresses.len()).expect("few");
        let created = admin::create_topic(&self.address, &self.topic, 1, replicas, config);
        assert_eq!(created.expect("an answer"), 0);
        for address in &self.addresses {
            until("all know the leader", Duration::from_secs(30), || {
                let topic = admin::metadata(address, Some(&self.topic)).ok()?.topic?;
                (topic.0 == 0 && topic.1[0] >= 0).then_some(())
            });
        }
    }

    fn learn_id(&mut self) {
        let ask = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(Str::from(self.topic.as_str())),
                ..MetadataRequestTopic::default()
            }]),
            ..MetadataRequest::default()
        };
        self.id = self.response(12, &ask).topics[0].topic_id;
    }

    fn leader(&self) -> usize {
        let known = admin::metadata(&self.address, Some(&self.topic));
        let topic = known.expect("an answer").topic.expect("the topic");
        usize::try_from(topic.1[0]).expect("a leader")
    }

    /// Talks to the leader of the topic's partition from now on.
    pub(crate) fn talk_to_leader(&mut self) {
        self.talk_to(self.leader());
    }

    /// Talks to a broker that follows the leader from now on.
    pub(crate) fn talk_to_follower(&mut self) {
        self.talk_to((self.leader() + 1) % self.addresses.len());
    }

    fn talk_to(&mut self, node: usize) {
        self.address.clone_from(&self.addresses[node]);
        self.socket = open(&self.address);
    }

    pub(crate) fn name(&self) -> Str {
        Str::from(self.topic.as_str())
    }

    /// The answer to a request, as it is.
    pub(crate) fn response<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_response(version, request)
            .unwrap_or_else(|e| panic!("{} v{version}: {e}", R::KEY))
    }

    fn try_response<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> std::io::Result<R::Response> {
        self.asked += 1;
        write_request(&mut self.socket, version, self.asked, request)?;
        read_response::<R>(&mut self.socket, version)
    }

    /// Sends a request over the connection of `who`, and does not wait for the answer.
    pub(crate) fn say<R: Request>(&mut self, who: &'static str, version: i16, request: &R) {
        self.asked += 1;
        let address = &self.address;
        let socket = self.others.entry(who).or_insert_with(|| open(address));
        write_request(socket, version, self.asked, request).expect("it reads");
    }

    /// Waits for the answer to the request `R` over the connection of `who`.
    pub(crate) fn hear<R: Request>(&mut self, who: &'static str, version: i16) -> R::Response {
        let socket = self.others.get_mut(who).expect("it said something");
        read_response::<R>(socket, version)
            .unwrap_or_else(|e| panic!("{who} hears {} v{version}: {e}", R::KEY))
    }

    /// From now on the test knows by `name` what this side calls `its_own`.
    pub(crate) fn name_it(&mut self, its_own: &str, name: &'static str) {
        self.names.push((its_own.to_owned(), name));
    }

    /// What was heard, to be compared.
    pub(crate) fn told(&self, response: &impl std::fmt::Debug) -> String {
        canonical(&format!("{response:?}"), self)
    }

    /// The answer to a request, to be compared.
    pub(crate) fn ask<R: Request>(&mut self, version: i16, request: &R) -> String {
        match self.try_response(version, request) {
            Ok(response) => canonical(&format!("{response:?}"), self),
            Err(error) => {
                self.socket = open(&self.address);
                let waited = error.kind() == std::io::ErrorKind::WouldBlock;
                String::from(if waited { "no answer" } else { "closed" })
            }
        }
    }

    /// The answer to ApiVersions in a version that the broker does not know, which is in version 0.
    pub(crate) fn raw_api_versions(&mut self, version: i16) -> String {
        let client = Str::from("klamm-live-fidelity");
        let writer = Writer::new(BytesMut::new());
        let request = ApiVersionsRequest {
            client_software_name: Str::from("klamm"),
            client_software_version: Str::from("1"),
        };
        let frame = encode_request(&request, version, 1, Some(&client), writer);
        let frame = frame.expect("a version of this client");
        self.socket.write_all(&frame.to_vec()).expect("it reads");
        let mut size = [0; 4];
        self.socket.read_exact(&mut size).expect("an answer");
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        self.socket.read_exact(&mut answer).expect("an answer");
        let decoded = decode_response::<ApiVersionsRequest>(Bytes::from(answer), 0);
        format!("{:?}", decoded.expect("version 0").1)
    }

    /// A producer id that nobody used.
    pub(crate) fn producer_id(&mut self) -> i64 {
        let ask = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        // A broker takes ids from the controller in blocks, and has none at first.
        until("there is a producer id", Duration::from_secs(30), || {
            let response = self.response(1, &ask);
            (response.error_code == 0).then_some(response.producer_id)
        })
    }
}

fn write_request<R: Request>(
    socket: &mut TcpStream,
    version: i16,
    correlation_id: i32,
    request: &R,
) -> std::io::Result<()> {
    let client = Str::from("klamm-live-fidelity");
    let writer = Writer::new(BytesMut::new());
    let frame = encode_request(request, version, correlation_id, Some(&client), writer);
    let frame = frame.expect("a request that the version can carry");
    socket.write_all(&frame.to_vec())
}

fn read_response<R: Request>(socket: &mut TcpStream, version: i16) -> std::io::Result<R::Response> {
    let mut size = [0; 4];
    socket.read_exact(&mut size)?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    socket.read_exact(&mut answer)?;
    let decoded = decode_response::<R>(Bytes::from(answer), version);
    Ok(decoded.expect("an answer in the request's version").1)
}

fn open(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the broker is there");
    let limit = Some(Duration::from_secs(10));
    socket.set_read_timeout(limit).expect("a TCP socket");
    socket
}

/// A conversation with both.
pub(crate) struct Both {
    sides: [Side; 2],
    differences: Vec<String>,
}

impl Both {
    /// With a topic of one partition that no other test has.
    pub(crate) fn with_topic(config: &[(&str, &str)]) -> Self {
        let mut both = Self::without_topic();
        for side in &mut both.sides {
            side.create(config);
            side.learn_id();
        }
        both
    }

    /// Both of three nodes, with a topic of one partition that all have a replica of.
    pub(crate) fn replicated() -> Self {
        let mut both = Self::of(three_nodes());
        for side in &mut both.sides {
            side.create(&[]);
            side.learn_id();
        }
        both
    }

    /// Both of Kafka 2.1, with a topic of one partition that no other test has.
    pub(crate) fn old() -> Self {
        let mut both = Self::of(old());
        for side in &mut both.sides {
            side.create(&[]);
        }
        both
    }

    /// With a name for a topic that no other test has.
    pub(crate) fn without_topic() -> Self {
        Self::of(servers())
    }

    fn of((kafka, in_memory): (&'static Kafka, &'static Server)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let topic = format!("fidelity-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let sides = [
            Side::new(&kafka.bootstrap(), &topic),
            Side::new(&in_memory.bootstrap(), &topic),
        ];
        Self {
            sides,
            differences: Vec::new(),
        }
    }

    /// Does something with both that is not compared.
    pub(crate) fn each(&mut self, mut what: impl FnMut(&mut Side)) {
        for side in &mut self.sides {
            what(side);
        }
    }

    /// Asks both the same and compares what they say.
    pub(crate) fn same(&mut self, question: &str, mut ask: impl FnMut(&mut Side) -> String) {
        let [real, in_memory] = &mut self.sides;
        let (real, in_memory) = (ask(real), ask(in_memory));
        if real != in_memory {
            let (real, in_memory) = parted(&real, &in_memory);
            let difference =
                format!("{question}\n    Kafka:     {real}\n    in memory: {in_memory}");
            self.differences.push(difference);
        }
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let differences = self.differences.join("\n");
            assert!(differences.is_empty(), "not the same:\n{differences}");
        }
    }
}

/// Where two answers differ, if they have the same form; else both.
fn parted(real: &str, in_memory: &str) -> (String, String) {
    let (ours, theirs): (Vec<_>, Vec<_>) =
        (in_memory.split(", ").collect(), real.split(", ").collect());
    if ours.len() != theirs.len() {
        return (real.to_owned(), in_memory.to_owned());
    }
    let differing = theirs.iter().zip(&ours).filter(|(a, b)| a != b);
    let (theirs, ours): (Vec<_>, Vec<_>) = differing.map(|(a, b)| (*a, *b)).unzip();
    (theirs.join(", "), ours.join(", "))
}

/// An answer without what no two clusters have in common.
fn canonical(answer: &str, side: &Side) -> String {
    let mut text = answer.replace(&side.id.to_string(), "ID");
    for (its_own, name) in &side.names {
        text = text.replace(its_own, name);
    }
    for field in ["error_message", "batch_index_error_message", "cluster_id"] {
        text = without(&text, field, |_| true);
    }
    if side.addresses.len() > 1 {
        // Which brokers have the replicas is nobody's choice.
        for field in ["leader_id", "node_id", "replica_nodes", "isr_nodes"] {
            text = without(&text, field, |value| value != "-1");
        }
    }
    for field in ["port", "host", "log_append_time_ms"] {
        text = without(&text, field, |value| value != "-1" && value != "\"\"");
    }
    text = without(&text, "session_id", |value| value != "0");
    text = without(&text, "producer_id", |value| value != "-1");
    text
}

/// `text` with the values of `field` replaced that `replaced` says.
fn without(text: &str, field: &str, replaced: impl Fn(&str) -> bool) -> String {
    let label = format!("{field}: ");
    let mut rest = text;
    let mut result = String::new();
    while let Some(at) = rest.find(&label) {
        let starts_word = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let (before, after) = rest.split_at(at + label.len());
        result.push_str(before);
        let end = value_end(after);
        let value = &after[..end];
        result.push_str(if starts_word && replaced(value) {
            "_"
        } else {
            value
        });
        rest = &after[end..];
    }
    result + rest
}

/// Where the value ends with which `text` begins: at a comma or a brace outside of quotes and parentheses.
fn value_end(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' => depth += 1,
            ')' | ']' if depth > 0 => depth -= 1,
            ',' | '}' | ' ' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}
