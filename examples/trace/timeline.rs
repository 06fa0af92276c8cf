//! What happened on each socket, read from a recording: connections, requests and their answers, and what is to be marked.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use klamm::messages::{FetchRequest, ProduceRequest};
use klamm::recording::{Entry, RecordedOutput, Recording, get_input, get_output};
use klamm::wire::header::{decode_request_body, decode_request_header, request_header_version};
use klamm::wire::{ApiKey, Reader, Request as Message};
use klamm::{ConnectionId, Duration, Input, Instant};

use crate::Result;

/// From then on a wait for an answer that no broker holds back on purpose counts as a stall.
const STALL: Duration = Duration::from_secs(1);

/// All that is drawn.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) title: String,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) marks: Vec<Mark>,
}

/// All connections that were made for one purpose, one after the other.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) connections: Vec<Connection>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: String,
    pub(crate) opened: Instant,
    pub(crate) connected: Option<Instant>,
    pub(crate) closed: Option<(Instant, String)>,
    pub(crate) requests: Vec<Exchange>,
    id: ConnectionId,
    written: Vec<u8>,
    received: Vec<u8>,
    /// The requests that are not answered, by their correlation ids.
    unanswered: VecDeque<(i32, usize)>,
}

/// A request, and its answer if one came.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) api: ApiKey,
    pub(crate) partitions: Option<usize>,
    pub(crate) sent: Instant,
    pub(crate) answered: Option<Instant>,
    pub(crate) request_bytes: usize,
    pub(crate) response_bytes: usize,
}

impl Exchange {
    pub(crate) fn is_stalled(&self, end: Instant) -> bool {
        let held_back = [ApiKey::FETCH, ApiKey::JOIN_GROUP, ApiKey::SYNC_GROUP].contains(&self.api);
        !held_back && self.answered.unwrap_or(end).since(self.sent) >= STALL
    }
}

/// Something to be seen across all lanes, from a time on until another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    pub(crate) what: String,
}

impl Timeline {
    pub(crate) fn of(recording: &Recording<'_>) -> Result<Self> {
        let mut timeline = Self {
            title: recording.header.role.clone(),
            begin: recording.header.now,
            end: recording.header.now,
            ..Self::default()
        };
        for entry in recording.entries() {
            match entry? {
                Entry::Input { now, encoded } => {
                    timeline.end = timeline.end.max(now);
                    timeline.input(get_input(encoded)?);
                }
                Entry::Command { now, .. } => timeline.end = timeline.end.max(now),
                Entry::Reply { .. } => {}
                Entry::Output { encoded } => timeline.output(&get_output(encoded)?),
            }
        }
        timeline.mark_stalls();
        timeline.marks.sort_by_key(|mark| mark.from);
        Ok(timeline)
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = &Exchange> {
        let connections = self.lanes.iter().flat_map(|lane| &lane.connections);
        connections.flat_map(|connection| &connection.requests)
    }

    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connections = self.lanes.iter_mut().flat_map(|lane| &mut lane.connections);
        connections.rev().find(|connection| connection.id == id)
    }

    fn input(&mut self, input: Input<'_>) {
        let now = self.end;
        match input {
            Input::Connected { conn } => {
                if let Some(connection) = self.connection(conn) {
                    connection.connected = Some(now);
                }
            }
            Input::Received { conn, data } => {
                if let Some(connection) = self.connection(conn) {
                    connection.received.extend_from_slice(data);
                    connection.take_answers(now);
                }
            }
            Input::Closed { conn, cause, .. } => {
                if let Some(connection) = self.connection(conn) {
                    connection.closed = Some((now, cause.to_string()));
                }
            }
            Input::Resolved { .. }
            | Input::Sent { .. }
            | Input::JobDone { .. }
            | Input::Timeout { .. } => {}
        }
    }

    fn output(&mut self, output: &RecordedOutput<'_>) {
        let now = self.end;
        match output {
            RecordedOutput::Open {
                conn,
                peer,
                group,
                host,
                port,
            } => {
                let name = lane_name(peer, group);
                let connection = Connection {
                    address: format!("{host}:{port}"),
                    opened: now,
                    connected: None,
                    closed: None,
                    requests: Vec::new(),
                    id: *conn,
                    written: Vec::new(),
                    received: Vec::new(),
                    unanswered: VecDeque::new(),
                };
                match self.lanes.iter_mut().find(|lane| lane.name == name) {
                    Some(lane) => lane.connections.push(connection),
                    None => self.lanes.push(Lane {
                        name,
                        connections: vec![connection],
                    }),
                }
            }
            RecordedOutput::Write { conn, data } => {
                if let Some(connection) = self.connection(*conn) {
                    connection.written.extend_from_slice(data);
                    connection.take_requests(now);
                }
            }
            RecordedOutput::Event(event) => {
                if let Some(what) = rebalance(event) {
                    self.marks.push(Mark {
                        from: now,
                        until: now,
                        what,
                    });
                }
            }
            // What else an engine does is not to be seen on a socket.
            RecordedOutput::Resolve { .. }
            | RecordedOutput::Close { .. }
            | RecordedOutput::Work { .. }
            | RecordedOutput::Diagnostic(_)
            | RecordedOutput::Idle(_) => {}
        }
    }

    fn mark_stalls(&mut self) {
        let end = self.end;
        let stalls: BTreeMap<Instant, Mark> = self
            .requests()
            .filter(|exchange| exchange.is_stalled(end))
            .map(|exchange| {
                let until = exchange.answered.unwrap_or(end);
                let what = format!("stall: {} waits", exchange.api);
                (
                    exchange.sent,
                    Mark {
                        from: exchange.sent,
                        until,
                        what,
                    },
                )
            })
            .collect();
        self.marks.extend(stalls.into_values());
    }
}

/// `Broker(NodeId(1))` and `Default`, for people.
fn lane_name(peer: &str, group: &str) -> String {
    let number: String = peer
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '-')
        .collect();
    let peer = match peer.starts_with("Bootstrap") {
        true => format!("bootstrap {number}"),
        false => format!("broker {number}"),
    };
    format!("{peer}, {}", group.to_lowercase())
}

/// What an event says of a rebalance.
fn rebalance(event: &str) -> Option<String> {
    let rest = event.strip_prefix("Rebalance {")?;
    let kinds = [
        ("Assigned", "assigned"),
        ("Revoked", "revoked"),
        ("Lost", "lost"),
    ];
    let (_, kind) = kinds
        .into_iter()
        .find(|(kind, _)| rest.contains(&format!("kind: {kind}")))?;
    let partitions = rest.matches("TopicPartition {").count();
    Some(format!("rebalance: {kind} {partitions}"))
}

/// Takes the first frame off, without its size, if all of it is there.
fn frame(bytes: &mut Vec<u8>) -> Option<Bytes> {
    let size = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let rest = bytes.split_off((size + 4).min(bytes.len()));
    if bytes.len() < size + 4 {
        bytes.extend(rest);
        return None;
    }
    let frame = Bytes::from(std::mem::replace(bytes, rest));
    Some(frame.slice(4..))
}

impl Connection {
    fn take_requests(&mut self, now: Instant) {
        while let Some(frame) = frame(&mut self.written) {
            let Some([k0, k1, v0, v1, c0, c1, c2, c3]) = frame.first_chunk().copied() else {
                continue;
            };
            let api = ApiKey(i16::from_be_bytes([k0, k1]));
            let version = i16::from_be_bytes([v0, v1]);
            let correlation = i32::from_be_bytes([c0, c1, c2, c3]);
            self.unanswered
                .push_back((correlation, self.requests.len()));
            self.requests.push(Exchange {
                api,
                partitions: partitions(api, version, &frame),
                sent: now,
                answered: None,
                request_bytes: frame.len() + 4,
                response_bytes: 0,
            });
        }
    }

    fn take_answers(&mut self, now: Instant) {
        while let Some(frame) = frame(&mut self.received) {
            let correlation = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
            // Those before it get no answer (acks=0).
            while let Some((asked, place)) = self.unanswered.pop_front() {
                if Some(asked) == correlation {
                    if let Some(exchange) = self.requests.get_mut(place) {
                        exchange.answered = Some(now);
                        exchange.response_bytes = frame.len() + 4;
                    }
                    break;
                }
            }
        }
    }
}

/// How many partitions a request is about, for the two whose bars are most of a picture.
fn partitions(api: ApiKey, version: i16, frame: &Bytes) -> Option<usize> {
    fn body<M: Message>(version: i16, frame: &Bytes) -> Option<M> {
        let header = |_, _| Some(request_header_version::<M>(version));
        let (_, mut reader): (_, Reader) = decode_request_header(frame.clone(), header).ok()?;
        decode_request_body::<M>(&mut reader, version).ok()
    }
    match api {
        ApiKey::FETCH => {
            let request: FetchRequest = body(version, frame)?;
            Some(
                request
                    .topics
                    .iter()
                    .map(|topic| topic.partitions.len())
                    .sum(),
            )
        }
        ApiKey::PRODUCE => {
            let request: ProduceRequest = body(version, frame)?;
            Some(
                request
                    .topic_data
                    .iter()
                    .map(|topic| topic.partition_data.len())
                    .sum(),
            )
        }
        _ => None,
    }
}
