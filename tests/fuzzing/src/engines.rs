//! F14: a whole engine between a user and a world that do anything in any order. F15: the same on a cluster in memory
//! whose answers are changed on the way.

use std::collections::BTreeMap;

use klamm::messages::{
    APIS, ApiVersion, ApiVersionsResponse, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use klamm::recording::describe_output;
use klamm::wire::{Message, Writer};
use klamm::{ApiKey, CloseCause, ConnectionId, Uuid};
use klamm_cluster::{Cluster, ClusterConfig, ConnectionKey, Output};

use crate::Choices;
use crate::acknowledgements::Acknowledgements;
use crate::messages::subject;
use crate::roles::{Consumer, Producer, TOPICS};
use crate::structured::{choose_response, mutate_response};
use crate::world::{Role, World};

const CAUSES: [CloseCause; 7] = [
    CloseCause::EndOfStream,
    CloseCause::Local,
    CloseCause::Refused,
    CloseCause::Reset,
    CloseCause::Unreachable,
    CloseCause::TimedOut,
    CloseCause::Other,
];

/// F14: a byte that says which engine, then choices for its configuration and for everything that happens.
pub fn f14_engine(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    if which % 2 == 0 {
        twice(rest, anything::<Producer>);
    } else {
        twice(rest, anything::<Consumer>);
    }
}

/// F15: as F14, but what is chosen is how the answers of a sound cluster are changed.
pub fn f15_hostile_cluster(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    if which % 2 == 0 {
        twice(rest, hostile::<Producer>);
    } else {
        twice(rest, hostile::<Consumer>);
    }
}

/// The same inputs give the same outputs, however the received bytes are cut.
fn twice<R: Role>(data: &[u8], run: fn(&[u8], usize) -> World<R>) {
    let (whole, cut) = (run(data, usize::MAX).trace, run(data, 1).trace);
    let differs = (0..whole.len().max(cut.len())).find(|at| whole.get(*at) != cut.get(*at));
    if let Some(at) = differs {
        let describe = |trace: &[Vec<u8>]| -> Vec<String> {
            let written = trace.iter().skip(at.saturating_sub(3)).take(6);
            // Behind the tag and the size.
            written
                .map(|output| describe_output(output.get(5..).unwrap_or_default()))
                .collect()
        };
        panic!("whole: {:#?}\ncut: {:#?}", describe(&whole), describe(&cut));
    }
}

fn anything<R: Role>(data: &[u8], piece: usize) -> World<R> {
    let mut choices = Choices::new(data);
    let mut world = World::<R>::new(&mut choices, piece);
    while !choices.is_empty() {
        let conn = world.any_socket(&mut choices);
        match choices.below(16) {
            0 => world.resolve(&mut choices),
            1 => world.connect(conn),
            2 => {
                let length = choices.number(2) as usize;
                world.accept(conn, length);
            }
            3 => world.closed(conn, *choices.one_of(&CAUSES)),
            4 => {
                let garbage = choices.bytes(40);
                world.receive(conn, garbage);
            }
            5 => world.work(&mut choices),
            6 | 7 => world.pass(&mut choices),
            8..=11 => respond(&mut world, conn, &mut choices),
            _ => world.act(&mut choices),
        }
    }
    world.finish();
    world
}

/// A request, as a peer sees it.
struct Asked {
    key: i16,
    version: i16,
    correlation_id: [u8; 4],
}

/// Takes the next request off a socket.
fn take_request(accepted: &mut Vec<u8>) -> Option<(Asked, Vec<u8>)> {
    let size = u32::from_be_bytes(*accepted.first_chunk()?) as usize;
    if accepted.len() < 4 + size {
        return None;
    }
    let frame: Vec<u8> = accepted.drain(..4 + size).collect();
    let [_, _, _, _, k0, k1, v0, v1, correlation_id @ ..] = *frame.first_chunk::<12>()?;
    let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    Some((
        Asked {
            key,
            version,
            correlation_id,
        },
        frame,
    ))
}

fn frame(asked: &Asked, body: &[u8]) -> Vec<u8> {
    let flexible =
        subject(asked.key).is_some_and(|subject| (subject.response_header)(asked.version) == 1);
    let header = if flexible { &[0][..] } else { &[] };
    let size = (4 + header.len() + body.len()) as u32;
    [&size.to_be_bytes()[..], &asked.correlation_id, header, body].concat()
}

fn encode<M: Message>(message: &M, version: i16) -> Option<Vec<u8>> {
    let mut writer = Writer::default();
    message.encode(&mut writer, version).ok()?;
    Some(writer.finish().to_vec())
}

fn api_versions(version: i16) -> Option<Vec<u8>> {
    let keys = APIS.iter().map(|api| ApiVersion {
        api_key: api.key.0,
        min_version: api.versions.min,
        max_version: api.versions.max,
    });
    encode(
        &ApiVersionsResponse {
            api_keys: keys.collect(),
            ..Default::default()
        },
        version,
    )
}

fn metadata(version: i16) -> Option<Vec<u8>> {
    let broker = |node_id| MetadataResponseBroker {
        node_id,
        host: "127.0.0.1".into(),
        port: 9092 + node_id,
        ..Default::default()
    };
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: 1 + partition_index % 2,
        leader_epoch: 1,
        ..Default::default()
    };
    let topic = |name: &&str| MetadataResponseTopic {
        name: Some((*name).into()),
        topic_id: if version < 10 {
            Uuid::default()
        } else {
            Uuid([name.len() as u8 + name.as_bytes()[0]; 16])
        },
        partitions: (0..3).map(partition).collect(),
        ..Default::default()
    };
    let response = MetadataResponse {
        brokers: vec![broker(1), broker(2)],
        topics: TOPICS[..2].iter().map(topic).collect(),
        ..Default::default()
    };
    encode(&response, version)
}

/// Answers the next request on a socket, with anything that is a response.
fn respond<R: Role>(world: &mut World<R>, conn: ConnectionId, choices: &mut Choices<'_>) {
    world.connect(conn);
    world.accept(conn, usize::MAX);
    let Some(socket) = world.sockets.get_mut(&conn) else {
        return;
    };
    let Some((mut asked, _)) = take_request(&mut socket.accepted) else {
        return;
    };
    let sane = choices.byte() < 224;
    let body = match ApiKey(asked.key) {
        ApiKey::API_VERSIONS if sane => api_versions(asked.version),
        ApiKey::METADATA if sane => metadata(asked.version),
        _ => choose_response(asked.key, asked.version, choices),
    };
    if choices.byte() == 255 {
        asked.correlation_id[3] ^= choices.byte();
    }
    if let Some(body) = body {
        world.receive(conn, &frame(&asked, &body));
    }
}

/// A sound cluster behind a network that changes what it carries.
struct Hostile<R: Role> {
    world: World<R>,
    cluster: Cluster,
    keys: BTreeMap<ConnectionId, ConnectionKey>,
    /// What was asked over each connection and not answered.
    asked: BTreeMap<ConnectionId, Vec<Asked>>,
    acknowledgements: Acknowledgements,
    /// How many answers of 256 are changed.
    hostility: u8,
}

fn hostile<R: Role>(data: &[u8], piece: usize) -> World<R> {
    let mut choices = Choices::new(data);
    let mut cluster = Cluster::new(ClusterConfig::with_nodes(2));
    for topic in &TOPICS[..2] {
        cluster.create_topic(topic, 3).expect("a new topic");
        for batch in crate::seeds::plain_batches() {
            let partition = i32::from(choices.byte() % 3);
            // Java's fixtures that a leader would not take, such as control batches, are left out.
            let _ = cluster.append_batch(topic, partition, batch);
        }
    }
    let world = World::<R>::new(&mut choices, piece);
    let mut hostile = Hostile {
        world,
        cluster,
        keys: BTreeMap::new(),
        asked: BTreeMap::new(),
        acknowledgements: Acknowledgements::default(),
        hostility: *choices.one_of(&[4, 16, 64, 128]),
    };
    while !choices.is_empty() {
        match choices.below(16) {
            0..=6 => {
                for _ in 0..=choices.below(8) {
                    hostile.carry(&mut choices);
                }
            }
            7 => {
                let wake = hostile.world.wake.map_or(hostile.world.now, |wake| wake.at);
                hostile.world.tick(wake);
                hostile.cluster.advance(hostile.world.now);
            }
            8..=12 => hostile.world.act(&mut choices),
            13 => hostile.world.work(&mut choices),
            14 => hostile.trouble(&mut choices),
            _ => {
                hostile.world.pass(&mut choices);
                hostile.cluster.advance(hostile.world.now);
            }
        }
    }
    hostile.world.finish();
    let acknowledged = hostile.world.role.acknowledged();
    hostile.acknowledgements.assert_cover(&acknowledged);
    hostile.world
}

impl<R: Role> Hostile<R> {
    /// Names are found, sockets connect, and everything written reaches the brokers; answers come back.
    fn carry(&mut self, choices: &mut Choices<'_>) {
        self.world.serve();
        let conns: Vec<_> = self.world.sockets.keys().copied().collect();
        for conn in conns {
            self.connect(conn);
            self.world.accept(conn, usize::MAX);
            let (Some(socket), Some(key)) =
                (self.world.sockets.get_mut(&conn), self.keys.get(&conn))
            else {
                continue;
            };
            while let Some((asked, bytes)) = take_request(&mut socket.accepted) {
                self.acknowledgements
                    .asked(conn, asked.correlation_id, &bytes);
                self.asked.entry(conn).or_default().push(asked);
                self.cluster.receive(*key, &bytes, self.world.now);
            }
        }
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Send { connection, bytes } => {
                    self.answer(connection, &bytes.to_vec(), choices)
                }
                Output::Close { connection } => {
                    if let Some(conn) = self.conn_of(connection) {
                        self.close(conn, CloseCause::EndOfStream);
                    }
                }
            }
        }
    }

    fn conn_of(&self, connection: ConnectionKey) -> Option<ConnectionId> {
        let found = self.keys.iter().find(|(_, key)| **key == connection)?;
        Some(*found.0)
    }

    fn connect(&mut self, conn: ConnectionId) {
        let Some(socket) = self.world.sockets.get(&conn) else {
            return;
        };
        if socket.connected {
            return;
        }
        let number = socket
            .host
            .strip_prefix("broker-")
            .and_then(|number| number.parse().ok());
        let broker = number.unwrap_or(0);
        match self.cluster.connect(broker, self.world.now) {
            Ok(key) => {
                self.keys.insert(conn, key);
                self.world.connect(conn);
            }
            Err(_) => self.world.closed(conn, CloseCause::Refused),
        }
    }

    fn close(&mut self, conn: ConnectionId, cause: CloseCause) {
        if let Some(key) = self.keys.remove(&conn) {
            self.cluster.disconnect(key, self.world.now);
        }
        self.asked.remove(&conn);
        if self.world.sockets.contains_key(&conn) {
            self.world.closed(conn, cause);
        }
    }

    /// An answer travels to the client, and something may happen to it.
    fn answer(&mut self, connection: ConnectionKey, bytes: &[u8], choices: &mut Choices<'_>) {
        let Some(conn) = self.conn_of(connection) else {
            return;
        };
        let asked = self.asked.entry(conn).or_default();
        let Some(at) = asked
            .iter()
            .position(|asked| bytes.get(4..8) == Some(&asked.correlation_id))
        else {
            return;
        };
        let asked = asked.remove(at);
        if choices.byte() >= self.hostility {
            return self.receive(conn, bytes);
        }
        let changed = match choices.byte() {
            0..=223 => {
                let header = frame(&asked, &[]).len();
                let body = mutate_response(asked.key, asked.version, &bytes[header..], choices);
                body.map_or_else(|| bytes.to_vec(), |body| frame(&asked, &body))
            }
            224..=239 => {
                let mut changed = bytes.to_vec();
                for _ in 0..=choices.below(4) {
                    let at = choices.number(2) as usize % changed.len();
                    changed[at] = choices.byte();
                }
                changed
            }
            240..=245 => bytes[..choices.number(2) as usize % bytes.len()].to_vec(),
            246..=250 => bytes.repeat(2),
            _ => return,
        };
        self.receive(conn, &changed);
    }

    fn receive(&mut self, conn: ConnectionId, bytes: &[u8]) {
        self.acknowledgements.received(conn, bytes);
        self.world.receive(conn, bytes);
    }

    /// What happens to brokers and connections.
    fn trouble(&mut self, choices: &mut Choices<'_>) {
        let (topic, partition) = (TOPICS[choices.below(2)], i32::from(choices.byte() % 3));
        match choices.below(8) {
            0..=2 => {
                let conn = self.world.any_socket(choices);
                self.close(conn, *choices.one_of(&CAUSES));
            }
            3 => drop(self.cluster.move_leader(
                topic,
                partition,
                1 + i32::from(choices.byte() % 2),
            )),
            4 => drop(
                self.cluster
                    .delete_records(topic, partition, choices.edgy(64)),
            ),
            5 => drop(self.cluster.delete_topic(topic)),
            6 => drop(self.cluster.create_topic(topic, 3)),
            _ => {
                self.cluster.evict_fetch_sessions(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands around the engines lets them work, or the targets prove nothing.
    #[test]
    fn records_are_delivered_and_batches_read() {
        let achieved = |run: fn(&[u8]) -> u64| -> u64 {
            let seeds = crate::seeds::stories();
            seeds.iter().map(|seed| run(&seed[1..])).sum()
        };
        let delivered = achieved(|seed| hostile::<Producer>(seed, 100).role.achieved());
        let read = achieved(|seed| hostile::<Consumer>(seed, 100).role.achieved());
        assert!(
            delivered > 100 && read > 20,
            "{delivered} delivered, {read} read"
        );
    }
}
