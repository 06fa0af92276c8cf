//! Owns virtual time: it carries out what clients and cluster want, lets things arrive and go wrong when they are
//! due, and jumps from one event to the next. No threads, no clock, no async.
//!
//! Knows no oracle: it leaves a history behind.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;

use klamm::messages::ProduceRequest;
use klamm::record::BatchView;
use klamm::{
    ApiKey, ConnectionId, Duration, ErrorCode, Input, Instant, JobId, JobResult, ResolveError,
    ResolveId, UnixMillis,
};
use klamm_cluster::{
    Cluster, ClusterConfig, ConnectionKey, Moment, NewTopic, Output as ClusterOutput, PartitionId,
    RequestEntry, TopicConfig, What,
};

use crate::actor::{Actor, Effect};
use crate::batch;
use crate::chance::{Chance, Stream, hash};
use crate::consumer::Consumer;
use crate::group;
use crate::history::{Entry, History, LogRecord, Place, identify};
use crate::ingress;
use crate::member::Member;
use crate::network::{Arrival, Delivery, Network, SocketId};
use crate::producer::Producer;
use crate::scenario::{DRAIN, Fault, FaultKind, ProduceError, Scenario};

/// Steps at one instant: more mean that nothing but the machine gets on.
const STEPS_AT_ONE_INSTANT_MAX: u64 = 5_000_000;

/// The wall clock at the start.
const WALL_START: i64 = 1_700_000_000_000;

/// How long a client may take to close.
const CLOSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Event {
    /// Something arrives at one end of a socket.
    Arrival(SocketId, Arrival),
    /// A client's engine asked to be woken, if it still wants to.
    Wake(usize, u64),
    /// A client's application does something.
    Act(usize),
    /// A name was looked up.
    Resolved(usize, ResolveId, Result<Vec<SocketAddr>, ResolveError>),
    /// Work was done.
    JobDone(usize, JobId, JobResult),
    /// Something is due in the cluster.
    Cluster,
    /// Something goes wrong.
    Fault(usize),
    /// A stopped broker starts again.
    Start(i32),
    /// The last fault is over.
    Heal,
    /// Time is up.
    End,
}

impl Event {
    /// Adds what the event is to a trace.
    fn digest(&self, trace: u64) -> u64 {
        let (tag, number): (u8, u64) = match self {
            Self::Arrival(socket, _) => (1, socket.conn.0),
            Self::Wake(_, number) => (2, *number),
            Self::Act(client) => (3, *client as u64),
            Self::Resolved(_, id, _) => (4, id.0),
            Self::JobDone(_, id, _) => (5, id.0),
            Self::Cluster => (6, 0),
            Self::Fault(index) => (7, *index as u64),
            Self::Start(broker) => (8, u64::from(broker.unsigned_abs())),
            Self::Heal => (9, 0),
            Self::End => (10, 0),
        };
        hash(hash(trace, &[tag]), &number.to_be_bytes())
    }
}

struct Client {
    actor: Box<dyn Actor>,
    armed: Option<Instant>,
    /// Only the last wake counts.
    wake: u64,
    /// When the application acts next.
    acts: Option<Instant>,
    closing: bool,
}

/// What went wrong outside of any oracle: the run itself could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// When.
    pub at: Instant,
    /// What.
    pub what: String,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What happened.
    pub history: History,
    /// A rolling hash over every event and its time: equal runs have equal traces.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// Why the run could not be ended properly, if so.
    pub stuck: Option<Stuck>,
}

struct World {
    now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    cluster: Cluster,
    cluster_armed: Option<Instant>,
    network: Network,
    clients: Vec<Client>,
    at_broker: BTreeMap<SocketId, ConnectionKey>,
    at_client: BTreeMap<ConnectionKey, SocketId>,
    history: History,
    faults: Vec<Fault>,
    jobs: Stream,
    trace: u64,
    events: u64,
    steps_now: u64,
    healed: bool,
    /// How many entries of the history have been looked through for new shares.
    noted: usize,
    stuck: Option<Stuck>,
}

/// The first member's number: consumers outside of the group have lower ones.
const MEMBERS_FROM: u32 = 1_000;

/// Runs a scenario to its end.
#[must_use]
pub fn run(scenario: &Scenario) -> Run {
    let config = ClusterConfig::default();
    let all_idempotent = scenario.producers.iter().all(|plan| plan.idempotent);
    let config = match all_idempotent && scenario.members.is_empty() {
        true => config.unrecorded(),
        // Each copy in a log is held against a request that brought it, and commits against what was consumed.
        false => config,
    };
    run_world(scenario, config).0
}

/// Runs a scenario to its end, and tells in lines what the brokers read and did.
#[must_use]
pub fn run_and_tell(scenario: &Scenario) -> (Run, Vec<String>) {
    let (run, cluster) = run_world(scenario, ClusterConfig::default());
    let mut lines: Vec<(Instant, String)> = cluster
        .journal()
        .map(|entry| (entry.at, tell_request(entry)))
        .chain(
            cluster
                .history()
                .map(|event| (event.at, tell_event(&event.what))),
        )
        .collect();
    lines.sort_by_key(|(at, _)| *at);
    let lines = lines
        .into_iter()
        .map(|(at, line)| format!("{at} {line}"))
        .collect();
    (run, lines)
}

fn tell_request(entry: &RequestEntry) -> String {
    let details = match entry.decode::<ProduceRequest>() {
        Some(Ok(request)) => request
            .topic_data
            .iter()
            .flat_map(|topic| &topic.partition_data)
            .map(|partition| {
                let records = partition.records.clone().unwrap_or_default();
                match BatchView::parse(&records) {
                    Ok(view) => format!(
                        " p{} epoch {} sequence {} x{}",
                        partition.index,
                        view.header().producer_epoch,
                        view.header().base_sequence,
                        view.header().records_count
                    ),
                    Err(error) => format!(" p{} {error}", partition.index),
                }
            })
            .collect(),
        Some(Err(error)) => error.to_string(),
        None => String::new(),
    };
    format!(
        "{:?} broker {} {:?} v{} #{}{details}",
        entry.connection, entry.broker, entry.api, entry.version, entry.correlation_id
    )
}

fn tell_event(what: &What) -> String {
    format!("  {what:?}").chars().take(300).collect()
}

fn run_world(scenario: &Scenario, config: ClusterConfig) -> (Run, Cluster) {
    let mut world = World::build(scenario, config);
    while let Some(((at, _), event)) = world.queue.pop_first() {
        if at > world.now {
            world.now = at;
            world.steps_now = 0;
        }
        world.events += 1;
        world.steps_now += 1;
        world.trace = hash(world.trace, &at.as_nanos().to_be_bytes());
        world.trace = event.digest(world.trace);
        if world.steps_now > STEPS_AT_ONE_INSTANT_MAX {
            world.get_stuck("time does not go on".into());
        }
        if matches!(event, Event::End) {
            world.out_of_time();
        }
        world.happen(event);
        if world.stuck.is_some() || world.is_over() {
            break;
        }
    }
    world.finish(scenario)
}

impl World {
    fn build(scenario: &Scenario, config: ClusterConfig) -> Self {
        let chance = Chance::new(scenario.seed);
        let mut cluster = Cluster::new(ClusterConfig {
            seed: scenario.seed,
            auto_create_topics: false,
            replication_delay: scenario.replication_delay,
            start_time: UnixMillis(WALL_START),
            groups: group::config(),
            nodes: ClusterConfig::with_nodes(scenario.brokers).nodes,
            ..config
        });
        for topic in &scenario.topics {
            cluster
                .create_topic_with(
                    &topic.name,
                    NewTopic {
                        partitions: topic.partitions,
                        replication_factor: scenario.replication,
                        config: TopicConfig::default(),
                    },
                )
                .expect("a new topic");
        }
        let mut world = Self {
            now: Instant::START,
            queue: BTreeMap::new(),
            next_event: 0,
            cluster,
            cluster_armed: None,
            network: Network::new(scenario.network.clone(), chance),
            clients: Vec::new(),
            at_broker: BTreeMap::new(),
            at_client: BTreeMap::new(),
            history: History::default(),
            faults: scenario.faults.clone(),
            jobs: chance.stream("jobs", "delay"),
            trace: scenario.seed,
            events: 0,
            steps_now: 0,
            healed: false,
            noted: 0,
            stuck: None,
        };
        world.add_clients(scenario, chance);
        world.schedule_faults(scenario);
        world
    }

    fn add_clients(&mut self, scenario: &Scenario, chance: Chance) {
        let wall = UnixMillis(WALL_START);
        for (index, plan) in scenario.producers.iter().enumerate() {
            let uid = u32::try_from(index).expect("few");
            let entropy = entropy(chance, &format!("producer-{index}"));
            self.history.producers.insert(uid, Producer::facts(plan));
            self.add_client(Box::new(Producer::new(
                uid,
                plan,
                scenario.brokers,
                entropy,
                wall,
            )));
        }
        for (index, plan) in scenario.consumers.iter().enumerate() {
            let uid = u32::try_from(index).expect("few");
            let entropy = entropy(chance, &format!("consumer-{index}"));
            let consumer = Consumer::new(uid, plan, scenario, entropy, wall, &mut self.history);
            self.add_client(Box::new(consumer));
        }
        for (index, plan) in scenario.members.iter().enumerate() {
            let uid = MEMBERS_FROM + u32::try_from(index).expect("few");
            self.history.members.insert(uid);
            let entropy = entropy(chance, &format!("member-{index}"));
            self.add_client(Box::new(Member::new(uid, plan, scenario, entropy, wall)));
        }
    }

    fn add_client(&mut self, actor: Box<dyn Actor>) {
        let index = self.clients.len();
        self.clients.push(Client {
            actor,
            armed: None,
            wake: 0,
            acts: Some(Instant::START),
            closing: false,
        });
        self.at(Instant::START, Event::Act(index));
    }

    fn schedule_faults(&mut self, scenario: &Scenario) {
        let mut heal = Duration::ZERO;
        for (index, fault) in scenario.faults.iter().enumerate() {
            self.at(Instant::START + fault.at, Event::Fault(index));
            heal = heal.max(fault.at + fault.lasts());
        }
        for member in &scenario.members {
            heal = heal.max(member.joins);
            heal = member.goes.map_or(heal, |(at, _)| heal.max(at));
        }
        for producer in &scenario.producers {
            heal = producer
                .sends
                .iter()
                .map(|send| send.at)
                .fold(heal, Duration::max);
        }
        let heal = Instant::START + heal + Duration::from_nanos(1);
        self.at(heal, Event::Heal);
        self.at(heal + DRAIN, Event::End);
    }

    fn at(&mut self, at: Instant, event: Event) {
        let sequence = self.next_event;
        self.next_event += 1;
        self.queue.insert((at.max(self.now), sequence), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(socket, arrival) => self.arrive(socket, arrival),
            Event::Wake(client, wake) => {
                if self.clients[client].wake == wake {
                    let millis =
                        i64::try_from(self.now.as_nanos() / 1_000_000).expect("not that long");
                    self.clients[client].armed = None;
                    self.input(
                        client,
                        Input::Timeout {
                            wall: UnixMillis(WALL_START + millis),
                        },
                    );
                }
            }
            Event::Act(client) => {
                if self.clients[client].acts == Some(self.now) {
                    self.clients[client].acts = None;
                }
                self.after(client);
            }
            Event::Resolved(client, id, result) => {
                self.input(client, Input::Resolved { id, result })
            }
            Event::JobDone(client, id, result) => self.input(client, Input::JobDone { id, result }),
            Event::Cluster => {
                self.cluster_armed = None;
                self.cluster.advance(self.now);
            }
            Event::Fault(index) => self.go_wrong(index),
            Event::Start(broker) => {
                self.cluster.advance(self.now);
                self.cluster
                    .start_broker(broker)
                    .expect("a broker of the scenario");
            }
            Event::Heal => {
                self.healed = true;
                self.cluster.remove_faults();
                for index in 0..self.clients.len() {
                    self.clients[index].actor.wind_up(self.now);
                    self.after(index);
                }
            }
            Event::End => {}
        }
        self.serve();
        self.note_who_is_counted();
        self.close_those_that_are_done();
    }

    /// Adds to each new share whom the coordinator counts at this moment.
    fn note_who_is_counted(&mut self) {
        let new = self.history.entries.iter_mut().skip(self.noted);
        for (_, entry) in new {
            match entry {
                Entry::Owned { current, .. } => *current = group::current(&self.cluster),
                Entry::Gone {
                    consumer, counted, ..
                } => *counted = group::current(&self.cluster).contains(consumer),
                Entry::Accepted { .. }
                | Entry::Outcome { .. }
                | Entry::ProducerClosed { .. }
                | Entry::Consumed { .. }
                | Entry::Positioned { .. }
                | Entry::GaveUp { .. }
                | Entry::Committed { .. }
                | Entry::Accused { .. } => {}
            }
        }
        self.noted = self.history.entries.len();
    }

    fn input(&mut self, client: usize, input: Input<'_>) {
        self.clients[client].actor.input(input, self.now);
        self.after(client);
    }

    /// After every step of a client: it is drained only if it asks for it, then its application may act.
    fn after(&mut self, client: usize) {
        loop {
            self.steps_now += 1;
            if self.steps_now > STEPS_AT_ONE_INSTANT_MAX {
                self.get_stuck(format!("client {client} never comes to rest"));
                return;
            }
            let actor = &mut self.clients[client].actor;
            let crashed = actor.has_crashed();
            let again = actor.act(self.now, &mut self.history);
            if !crashed && actor.has_crashed() {
                self.close_sockets(client);
                return;
            }
            if let Some(at) = again {
                self.act_at(client, at.max(self.now + Duration::from_nanos(1)));
            }
            let armed = self.clients[client].armed;
            if !self.clients[client].actor.needs_drive(armed) {
                return;
            }
            self.drain(client);
        }
    }

    /// The process of a client has ended: its system closes what it had open.
    fn close_sockets(&mut self, client: usize) {
        let mut plans = Vec::new();
        for socket in self.network.sockets_of(client) {
            self.network
                .client_closes(socket, false, self.now, &mut plans);
        }
        self.plan(plans);
    }

    fn act_at(&mut self, client: usize, at: Instant) {
        if self.clients[client].acts.is_none_or(|acts| at < acts) {
            self.clients[client].acts = Some(at);
            self.at(at, Event::Act(client));
        }
    }

    fn drain(&mut self, client: usize) {
        loop {
            let effect = self.clients[client].actor.next(self.now, &mut self.history);
            match effect {
                Effect::Resolve(id, host, port) => {
                    let result = resolve(host.as_str(), port);
                    let delay = Duration::from_micros(self.jobs.between(1, 2_000));
                    self.at(self.now + delay, Event::Resolved(client, id, result));
                }
                Effect::Open(conn, addr) => self.open(client, conn, addr),
                Effect::Write(conn, data) => {
                    let mut plans = Vec::new();
                    let socket = SocketId { client, conn };
                    self.trace = hash(self.trace, &data.to_vec());
                    self.network
                        .write(socket, &data.to_vec(), self.now, &mut plans);
                    self.plan(plans);
                }
                Effect::Close { conn, flush } => {
                    let mut plans = Vec::new();
                    self.network.client_closes(
                        SocketId { client, conn },
                        flush,
                        self.now,
                        &mut plans,
                    );
                    self.plan(plans);
                }
                Effect::Work(id, job) => {
                    let delay = Duration::from_micros(self.jobs.between(1, 5_000));
                    self.at(self.now + delay, Event::JobDone(client, id, job.run()));
                }
                Effect::Idle(wake) => {
                    self.arm(client, wake);
                    return;
                }
            }
        }
    }

    /// Sleeps exactly as the engine says.
    fn arm(&mut self, client: usize, wake: Option<klamm::Wake>) {
        self.clients[client].wake += 1;
        self.clients[client].armed = wake.map(|wake| wake.at);
        if let Some(wake) = wake {
            if wake.at <= self.now {
                self.get_stuck(format!(
                    "client {client} wants to be woken at once: {}",
                    wake.why
                ));
                return;
            }
            let number = self.clients[client].wake;
            self.at(wake.at, Event::Wake(client, number));
        }
    }

    fn open(&mut self, client: usize, conn: ConnectionId, addr: Option<SocketAddr>) {
        let socket = SocketId { client, conn };
        let broker = addr.map_or(0, |addr| match addr.ip() {
            IpAddr::V4(ip) => i32::from(ip.octets()[3]),
            IpAddr::V6(_) => 0,
        });
        let mut plans = Vec::new();
        self.network.open(socket, broker, self.now, &mut plans);
        self.plan(plans);
    }

    fn plan(&mut self, plans: Vec<(Instant, SocketId, Arrival)>) {
        for (at, socket, arrival) in plans {
            self.at(at, Event::Arrival(socket, arrival));
        }
    }

    fn arrive(&mut self, socket: SocketId, due: Arrival) {
        let arrival = match self.network.deliver(socket, due.clone(), self.now) {
            Delivery::Never => return,
            Delivery::Later(at) => {
                self.at(at, Event::Arrival(socket, due));
                return;
            }
            Delivery::Now(arrival) => arrival,
        };
        self.trace = arrival.digest(self.trace);
        let conn = socket.conn;
        match arrival {
            Arrival::Syn => self.knock(socket),
            Arrival::ToBroker(bytes) => {
                if let Some(key) = self.at_broker.get(&socket) {
                    self.cluster.receive(*key, &bytes, self.now);
                }
            }
            Arrival::ClientGone => {
                if let Some(key) = self.at_broker.remove(&socket) {
                    self.at_client.remove(&key);
                    self.cluster.disconnect(key, self.now);
                }
            }
            Arrival::Due(_) => {}
            Arrival::Connected => self.input(socket.client, Input::Connected { conn }),
            Arrival::Credit(bytes) => self.input(socket.client, Input::Sent { conn, bytes }),
            Arrival::ToClient(data) => {
                self.input(socket.client, Input::Received { conn, data: &data })
            }
            Arrival::Closed(cause) => {
                let mut plans = Vec::new();
                self.network.let_go(socket, self.now, &mut plans);
                self.plan(plans);
                let sent = self.network.accepted(socket);
                self.input(socket.client, Input::Closed { conn, cause, sent });
            }
        }
    }

    /// A client's first packet reaches the broker.
    fn knock(&mut self, socket: SocketId) {
        if !self.network.is_open(socket) {
            return;
        }
        let broker = self.network.broker(socket).unwrap_or(0);
        let accepted = match self.cluster.connect(broker, self.now) {
            Ok(key) => {
                self.at_broker.insert(socket, key);
                self.at_client.insert(key, socket);
                true
            }
            Err(_) => false,
        };
        let mut plans = Vec::new();
        self.network.accept(socket, accepted, self.now, &mut plans);
        self.plan(plans);
    }

    /// Carries out what the cluster wants, and arms its next deadline.
    fn serve(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            let mut plans = Vec::new();
            match output {
                ClusterOutput::Send { connection, bytes } => {
                    if let Some(socket) = self.at_client.get(&connection) {
                        self.network
                            .answer(*socket, &bytes.to_vec(), self.now, &mut plans);
                    }
                }
                ClusterOutput::Close { connection } => {
                    if let Some(socket) = self.at_client.remove(&connection) {
                        self.at_broker.remove(&socket);
                        self.network.broker_closes(socket, self.now, &mut plans);
                    }
                }
            }
            self.plan(plans);
        }
        let next = self.cluster.next_deadline();
        if let Some(at) = next
            && self.cluster_armed.is_none_or(|armed| at < armed)
        {
            self.cluster_armed = Some(at);
            self.at(at, Event::Cluster);
        }
    }

    fn go_wrong(&mut self, index: usize) {
        let now = self.now;
        self.cluster.advance(now);
        match self.faults[index].kind.clone() {
            FaultKind::Reset { broker } => {
                let mut plans = Vec::new();
                self.network.reset(broker, now, &mut plans);
                self.plan(plans);
            }
            FaultKind::Stop { broker, down } => {
                self.cluster
                    .stop_broker(broker)
                    .expect("a broker of the scenario");
                self.at(now + down, Event::Start(broker));
            }
            FaultKind::Freeze { broker, still } => self.network.freeze(broker, now + still),
            FaultKind::BlackHole { broker, dark } => self.network.black_hole(broker, now + dark),
            FaultKind::MoveLeader { place } => self.move_leader(&place),
            FaultKind::ProduceError { error, applied } => {
                let fault = self.cluster.on(ApiKey::PRODUCE);
                let error = code(error);
                if applied {
                    fault.apply_and_answer(error);
                } else {
                    fault.answer(error);
                }
            }
            FaultKind::ProduceDropped { applied } => {
                let moment = if applied {
                    Moment::After
                } else {
                    Moment::Before
                };
                self.cluster.on(ApiKey::PRODUCE).drop_connection(moment);
            }
        }
    }

    /// To the next replica in sync; where there is none, the fault does nothing.
    fn move_leader(&mut self, place: &Place) {
        let Ok(id) = self.cluster.find_partition(&place.topic, place.partition) else {
            return;
        };
        let next = self.cluster.image().partition(id).and_then(|partition| {
            let mut in_sync = partition.isr.iter().copied();
            in_sync.find(|broker| {
                Some(*broker) != partition.leader && self.cluster.is_running(*broker)
            })
        });
        if let Some(broker) = next {
            self.cluster
                .move_leader(&place.topic, place.partition, broker)
                .expect("a replica in sync can lead");
        }
    }

    /// First the writers end, then, once nothing of theirs is under way any more, the readers.
    fn close_those_that_are_done(&mut self) {
        if !self.healed {
            return;
        }
        self.close_where(|client, _| client.actor.writes());
        if self.writers_are_gone() {
            let ends = self.log_ends();
            let group_is_done = self.group_is_done(&ends);
            self.close_where(|client, _| {
                !client.actor.writes()
                    && client.actor.is_caught_up(&ends)
                    && (group_is_done || client.actor.owned().is_none())
            });
        }
    }

    /// Every partition is one member's, and all members have read everything; or no member is left.
    fn group_is_done(&self, ends: &BTreeMap<Place, i64>) -> bool {
        let members: Vec<&Client> = self
            .clients
            .iter()
            .filter(|client| client.actor.owned().is_some())
            .collect();
        let owned: Vec<&Place> = members
            .iter()
            .filter_map(|client| client.actor.owned())
            .flatten()
            .collect();
        members.is_empty()
            || owned.len() == ends.len()
                && ends.keys().all(|place| owned.contains(&place))
                && members
                    .iter()
                    .all(|client| client.actor.is_done() && client.actor.is_caught_up(ends))
    }

    fn close_where(&mut self, may_close: impl Fn(&Client, usize) -> bool) {
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            if !client.closing && client.actor.is_done() && may_close(client, index) {
                self.clients[index].closing = true;
                let deadline = self.now + CLOSE;
                self.clients[index].actor.close(self.now, deadline);
                self.after(index);
            }
        }
    }

    /// No producer is left, and nothing that one wrote is still on its way.
    fn writers_are_gone(&self) -> bool {
        self.clients.iter().enumerate().all(|(index, client)| {
            !client.actor.writes()
                || client.closing
                    && client.actor.is_done()
                    && !self.at_broker.keys().any(|socket| socket.client == index)
        })
    }

    fn is_over(&self) -> bool {
        self.healed
            && self.writers_are_gone()
            && self.clients.iter().enumerate().all(|(index, client)| {
                client.closing && client.actor.is_done() && self.network.open_sockets(index) == 0
            })
    }

    fn get_stuck(&mut self, what: String) {
        if self.stuck.is_none() {
            let clients: Vec<String> = self.clients.iter().map(|c| c.actor.describe()).collect();
            let sockets: Vec<String> = (0..self.clients.len())
                .map(|index| {
                    let at_broker = self.at_broker.keys().filter(|s| s.client == index).count();
                    format!("{}/{at_broker}", self.network.open_sockets(index))
                })
                .collect();
            self.stuck = Some(Stuck {
                at: self.now,
                what: format!(
                    "{what}\n{}\nsockets open at each client, and at brokers: {}\nlog ends: {:?}",
                    clients.join("\n"),
                    sockets.join(" "),
                    self.log_ends()
                ),
            });
        }
    }

    fn out_of_time(&mut self) {
        self.get_stuck(format!(
            "not done {} s after the last fault",
            DRAIN.as_secs()
        ));
    }

    /// Where each partition's leader has its log's end: it is asked after every event, so nothing is read for it.
    fn log_ends(&self) -> BTreeMap<Place, i64> {
        let end = |(place, id)| {
            let log = self.cluster.log(id);
            (place, log.map_or(0, |log| log.end_offset()))
        };
        self.partitions().map(end).collect()
    }

    /// What each partition's leader holds.
    fn truth(&self) -> BTreeMap<Place, Vec<LogRecord>> {
        let log = |(place, id)| {
            let log = self.log(id, &place);
            (place, log)
        };
        self.partitions().map(log).collect()
    }

    fn partitions(&self) -> impl Iterator<Item = (Place, PartitionId)> {
        let topics = self.cluster.image().topics();
        let places = topics.flat_map(|topic| {
            (0..).zip(&topic.partitions).map(|(partition, _)| Place {
                topic: topic.name.to_string(),
                partition,
            })
        });
        places.filter_map(|place| {
            let id = self
                .cluster
                .find_partition(&place.topic, place.partition)
                .ok()?;
            Some((place, id))
        })
    }

    fn log(&self, id: PartitionId, place: &Place) -> Vec<LogRecord> {
        let batches = self
            .cluster
            .log(id)
            .into_iter()
            .flat_map(|log| log.batches());
        let mut records = Vec::new();
        for stored in batches {
            let read =
                batch::read(&stored.bytes, usize::MAX).expect("a broker keeps only valid batches");
            records.extend(read.into_iter().map(|(offset, value)| LogRecord {
                offset,
                id: identify(&value, place),
            }));
        }
        records
    }

    fn finish(mut self, scenario: &Scenario) -> (Run, Cluster) {
        self.history.logs = self.truth();
        if scenario.producers.iter().any(|plan| !plan.idempotent) {
            self.history.attempts = ingress::attempts(&self.cluster);
        }
        self.history.entries.extend(group::commits(&self.cluster));
        self.history.entries.sort_by_key(|(at, _)| *at);
        self.history.group_lives = scenario.members.iter().any(|plan| plan.goes.is_none());
        self.history.faultless = scenario.faults.is_empty();
        let readers = scenario.consumers.len() + scenario.members.len();
        self.history.drained = self.stuck.is_none() && readers > 0;
        let run = Run {
            history: self.history,
            trace: self.trace,
            events: self.events,
            stuck: self.stuck,
        };
        (run, self.cluster)
    }
}

fn entropy(chance: Chance, entity: &str) -> [u8; 32] {
    let mut stream = chance.stream(entity, "entropy");
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&stream.any().to_be_bytes());
    }
    bytes
}

/// `broker-3` is 10.0.0.3; nothing else has an address.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let number: u8 = host
        .strip_prefix("broker-")
        .and_then(|number| number.parse().ok())
        .ok_or(ResolveError::NotFound)?;
    Ok(vec![SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)),
        port,
    )])
}

const fn code(error: ProduceError) -> ErrorCode {
    match error {
        ProduceError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ProduceError::NotEnoughReplicas => ErrorCode::NOT_ENOUGH_REPLICAS,
        ProduceError::NotEnoughReplicasAfterAppend => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ProduceError::RequestTimedOut => ErrorCode::REQUEST_TIMED_OUT,
        ProduceError::UnknownTopic => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ProduceError::Storage => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}
