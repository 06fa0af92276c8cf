//! Owns Fetch: what a reader may see of a replica, and how long it waits for more.
//!
//! Must not know how records came into the log.

use std::collections::BTreeSet;

use klamm::messages::{
    AbortedTransaction, FetchEpochEndOffset, FetchLeaderIdAndEpoch, FetchNodeEndpoint,
    FetchPartitionData, FetchRequest, FetchResponse, FetchableTopicResponse,
};
use klamm::{Duration, ErrorCode, Str};

use crate::NodeId;
use crate::cluster::{Cluster, Timer};
use crate::connection::{Call, FetchOrder, ParkedFetch, State};
use crate::dispatch::{Handled, Outcome};
use crate::fetch_session::{Fetched, PartitionFetch, SessionRequest};
use crate::log::EpochEnd;
use crate::produce::topic_ref;
use crate::random::Purpose;
use crate::replica::Replica;
use crate::replication::check_epoch;
use crate::topology::{PartitionId, TopicRef};

/// The first version with topic ids instead of names (KIP-516).
const TOPIC_IDS_FROM: i16 = 13;
/// The first version with sessions (KIP-227).
const SESSIONS_FROM: i16 = 7;
/// The first version in which a follower serves consumers (KIP-392).
const FOLLOWERS_FROM: i16 = 11;
/// The first version whose answer names the new leader (KIP-951).
const LEADER_HINTS_FROM: i16 = 16;
/// `isolation.level=read_committed`.
const READ_COMMITTED: i8 = 1;

/// What of a partition a reader may have.
struct Readable<'a> {
    replica: &'a Replica,
    /// Offsets below this one.
    before: i64,
}

/// Why a reader gets no records.
enum Unreadable {
    /// There is no such partition.
    Unknown(ErrorCode),
    Refused(ErrorCode),
    /// The reader's last epoch ends elsewhere (KIP-595).
    Diverging(EpochEnd),
}

impl Cluster {
    pub(crate) fn serve_fetch(&mut self, mut call: Call, request: FetchRequest) -> Option<Handled> {
        if let Some(error) = Self::top_fault(&mut call) {
            let outcome = self.refuse_fetch(&call, error);
            return Some((call, outcome));
        }
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let order = match self.order(&call, request) {
            Ok(order) => order,
            Err(error) => {
                let outcome = self.refuse_fetch(&call, error);
                return Some((call, outcome));
            }
        };
        self.meet_partition_faults(&mut call, &order);
        if wait.is_zero() || self.is_fetch_ready(&call, &order) {
            let outcome = self.answer_fetch(&mut call, order);
            return Some((call, outcome));
        }
        let key = call.connection;
        let timer = self.timers.arm(self.now + wait, Timer::Connection(key));
        let watched = self.watched(call.broker, &order);
        self.watch(key, &watched);
        let parked = ParkedFetch {
            call,
            order,
            watched,
            timer,
        };
        self.park(key, State::Fetching(Box::new(parked)));
        None
    }

    fn order(&mut self, call: &Call, request: FetchRequest) -> Result<FetchOrder, ErrorCode> {
        let by_id = call.version >= TOPIC_IDS_FROM;
        let mut partitions = Vec::new();
        for topic in request.topics {
            let name = topic_ref(by_id, topic.topic, topic.topic_id);
            partitions.extend(topic.partitions.iter().map(|fetch| PartitionFetch {
                topic: name.clone(),
                index: fetch.partition,
                current_leader_epoch: fetch.current_leader_epoch,
                fetch_offset: fetch.fetch_offset,
                last_fetched_epoch: fetch.last_fetched_epoch,
                max_bytes: fetch.partition_max_bytes,
            }));
        }
        let mut forgotten = Vec::new();
        for topic in request.forgotten_topics_data {
            let name = topic_ref(by_id, topic.topic, topic.topic_id);
            forgotten.extend(topic.partitions.iter().map(|index| (name.clone(), *index)));
        }
        let session = SessionRequest {
            id: request.session_id,
            epoch: if call.version < SESSIONS_FROM {
                -1
            } else {
                request.session_epoch
            },
            by_id,
            partitions,
            forgotten,
        };
        let sessions = self.sessions.entry(call.broker).or_default();
        let context = sessions.open(session, self.now)?;
        let max_bytes = u32::try_from(request.max_bytes).unwrap_or(0);
        Ok(FetchOrder {
            context,
            min_bytes: usize::try_from(request.min_bytes).unwrap_or(0),
            max_bytes: max_bytes.min(self.config.fetch_max_bytes) as usize,
            committed_only: request.isolation_level == READ_COMMITTED,
        })
    }

    /// Remembers the errors that faults put into the answer, so that a parked request has them still.
    fn meet_partition_faults(&self, call: &mut Call, order: &FetchOrder) {
        if call.met.answers.is_empty() {
            return;
        }
        for fetch in order.context.partitions() {
            let name = self.topic_name(&fetch.topic);
            let answers = &mut call.met.answers;
            if let Some(error) = answers.either_partition(&name, fetch.index) {
                answers.settle(&fetch.topic, fetch.index, error);
            }
        }
    }

    fn watched(&self, broker: NodeId, order: &FetchOrder) -> Vec<PartitionId> {
        let known = order.context.partitions().iter().filter_map(|fetch| {
            let known = self.known_partition(broker, &fetch.topic, fetch.index);
            known.ok().map(|(id, _)| id)
        });
        known.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn readable(
        &self,
        call: &Call,
        fetch: &PartitionFetch,
        committed_only: bool,
    ) -> Result<Readable<'_>, Unreadable> {
        if let Some(error) = call.met.answers.settled(&fetch.topic, fetch.index) {
            return Err(Unreadable::Refused(error));
        }
        let known = self.known_partition(call.broker, &fetch.topic, fetch.index);
        let (partition, state) = known.map_err(Unreadable::Unknown)?;
        let replica = self.replica(partition, call.broker);
        let replica = replica.ok_or(Unreadable::Refused(ErrorCode::NOT_LEADER_OR_FOLLOWER))?;
        check_epoch(fetch.current_leader_epoch, state.leader_epoch).map_err(Unreadable::Refused)?;
        if state.leader != Some(call.broker) && call.version < FOLLOWERS_FROM {
            return Err(Unreadable::Refused(ErrorCode::NOT_LEADER_OR_FOLLOWER));
        }
        if fetch.last_fetched_epoch >= 0 {
            check_divergence(replica, fetch)?;
        }
        let log = &replica.log;
        if !(log.start_offset()..=log.end_offset()).contains(&fetch.fetch_offset) {
            return Err(Unreadable::Refused(ErrorCode::OFFSET_OUT_OF_RANGE));
        }
        let before = if committed_only {
            replica.last_stable_offset()
        } else {
            replica.high_watermark
        };
        Ok(Readable { replica, before })
    }

    /// Whether a Fetch need not wait: it has enough bytes, or news that is no record.
    pub(crate) fn is_fetch_ready(&self, call: &Call, order: &FetchOrder) -> bool {
        let partitions = order.context.partitions();
        let mut found = 0;
        for fetch in partitions {
            let Ok(readable) = self.readable(call, fetch, order.committed_only) else {
                return true;
            };
            let most = partition_limit(fetch, order.max_bytes.saturating_sub(found));
            let (from, before) = (fetch.fetch_offset, readable.before);
            let log = &readable.replica.log;
            found += log.read_size(from, before, most, found == 0);
        }
        partitions.is_empty() || found >= order.min_bytes
    }

    /// Answers a Fetch with what is there.
    pub(crate) fn complete_fetch(&mut self, mut call: Call, order: FetchOrder) {
        let outcome = self.answer_fetch(&mut call, order);
        self.finish(call, outcome);
    }

    fn answer_fetch(&mut self, call: &mut Call, order: FetchOrder) -> Outcome {
        let mut left = order.max_bytes;
        let mut empty = true;
        let mut fetched = Vec::with_capacity(order.context.partitions().len());
        for fetch in order.context.partitions() {
            let found = self.read(call, fetch, order.committed_only, left, empty);
            empty &= found.records.is_empty();
            left = left.saturating_sub(found.records.len());
            fetched.push(found);
        }
        let fresh_id = self.fresh_session_id(call.broker);
        let slots = self.config.fetch_session_slots;
        let slots = if call.version < SESSIONS_FROM {
            0
        } else {
            slots
        };
        let sessions = self.sessions.entry(call.broker).or_default();
        let (session_id, told) = sessions.answer(order.context, fetched, slots, fresh_id, self.now);
        let response = self.fetch_response(session_id, told);
        self.answer::<FetchRequest>(call, &response)
    }

    fn fresh_session_id(&mut self, broker: NodeId) -> i32 {
        loop {
            let drawn = self.random.next(Purpose::FetchSession);
            let id = i32::try_from(drawn >> 33).unwrap_or_default();
            let sessions = self.sessions.entry(broker).or_default();
            if id > 0 && !sessions.contains(id) {
                return id;
            }
        }
    }

    fn read(
        &self,
        call: &Call,
        fetch: &PartitionFetch,
        committed_only: bool,
        left: usize,
        at_least_one: bool,
    ) -> Fetched {
        let readable = match self.readable(call, fetch, committed_only) {
            Ok(readable) => readable,
            Err(Unreadable::Unknown(error)) => {
                return Fetched {
                    aborted: Some(Vec::new()),
                    ..Fetched::refused(fetch, error)
                };
            }
            Err(Unreadable::Refused(error)) => return self.refuse_partition(call, fetch, error),
            Err(Unreadable::Diverging(end)) => return self.diverge(call, fetch, end),
        };
        let replica = readable.replica;
        let most = partition_limit(fetch, left);
        let from = fetch.fetch_offset;
        let records = replica.log.read(from, readable.before, most, at_least_one);
        Fetched {
            high_watermark: replica.high_watermark,
            last_stable_offset: replica.last_stable_offset(),
            log_start_offset: replica.log.start_offset(),
            aborted: committed_only.then(|| replica.log.aborted(from, readable.before)),
            records,
            ..Fetched::refused(fetch, ErrorCode::NONE)
        }
    }

    fn diverge(&self, call: &Call, fetch: &PartitionFetch, end: EpochEnd) -> Fetched {
        let refused = Fetched {
            diverging: Some(end),
            ..Fetched::refused(fetch, ErrorCode::NONE)
        };
        let known = self.known_partition(call.broker, &fetch.topic, fetch.index);
        let replica = known
            .ok()
            .and_then(|(partition, _)| self.replica(partition, call.broker));
        match replica {
            Some(replica) => Fetched {
                high_watermark: replica.high_watermark,
                last_stable_offset: replica.last_stable_offset(),
                log_start_offset: replica.log.start_offset(),
                ..refused
            },
            None => refused,
        }
    }

    fn refuse_partition(&self, call: &Call, fetch: &PartitionFetch, error: ErrorCode) -> Fetched {
        let hinted = matches!(
            error,
            ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH
        );
        let current_leader = if hinted && call.version >= LEADER_HINTS_FROM {
            self.leader_hint(call.broker, &fetch.topic, fetch.index)
        } else {
            None
        };
        Fetched {
            current_leader,
            ..Fetched::refused(fetch, error)
        }
    }

    fn refuse_fetch(&self, call: &Call, error: ErrorCode) -> Outcome {
        let response = FetchResponse {
            throttle_time_ms: self.throttle_ms(),
            error_code: error.0,
            ..FetchResponse::default()
        };
        self.answer::<FetchRequest>(call, &response)
    }

    fn fetch_response(&self, session_id: i32, fetched: Vec<Fetched>) -> FetchResponse {
        let hinted: Vec<_> = fetched
            .iter()
            .filter_map(|found| found.current_leader.map(|(leader, _)| leader))
            .collect();
        let node_endpoints = self.hinted_nodes(&hinted).map(|node| FetchNodeEndpoint {
            node_id: node.id,
            host: Str::from(node.host.as_str()),
            port: i32::from(node.port),
            rack: node.rack.as_deref().map(Str::from),
        });
        let mut responses: Vec<(TopicRef, Vec<FetchPartitionData>)> = Vec::new();
        for found in fetched {
            // Partitions keep their order; only neighbours of one topic share its entry.
            let topic = found.topic.clone();
            let data = partition_data(found);
            match responses.last_mut() {
                Some((last, partitions)) if *last == topic => partitions.push(data),
                Some(_) | None => responses.push((topic, vec![data])),
            }
        }
        let topics = responses.into_iter();
        FetchResponse {
            throttle_time_ms: self.throttle_ms(),
            error_code: 0,
            session_id,
            responses: topics
                .map(|(topic, partitions)| FetchableTopicResponse {
                    topic: topic.name(),
                    topic_id: topic.id(),
                    partitions,
                })
                .collect(),
            node_endpoints: node_endpoints.collect(),
        }
    }
}

fn partition_data(found: Fetched) -> FetchPartitionData {
    let diverging = found.diverging.map(|end| FetchEpochEndOffset {
        epoch: end.epoch,
        end_offset: end.end_offset,
    });
    let leader = found
        .current_leader
        .map(|(id, epoch)| FetchLeaderIdAndEpoch {
            leader_id: id,
            leader_epoch: epoch,
        });
    let aborted = found.aborted.map(|aborted| {
        let entries = aborted.into_iter().map(|aborted| AbortedTransaction {
            producer_id: aborted.producer_id,
            first_offset: aborted.first_offset,
        });
        entries.collect()
    });
    FetchPartitionData {
        partition_index: found.index,
        error_code: found.error.0,
        high_watermark: found.high_watermark,
        last_stable_offset: found.last_stable_offset,
        log_start_offset: found.log_start_offset,
        aborted_transactions: aborted,
        records: Some(found.records),
        diverging_epoch: diverging.unwrap_or_default(),
        current_leader: leader.unwrap_or_default(),
        ..FetchPartitionData::default()
    }
}

/// The most bytes that a partition may bring of those that are `left`.
fn partition_limit(fetch: &PartitionFetch, left: usize) -> usize {
    usize::try_from(fetch.max_bytes).unwrap_or(0).min(left)
}

/// KIP-595: whether the reader's last epoch ends in this log where the reader thinks.
fn check_divergence(replica: &Replica, fetch: &PartitionFetch) -> Result<(), Unreadable> {
    let end = replica.log.epoch_end(fetch.last_fetched_epoch);
    let end = end.ok_or(Unreadable::Refused(ErrorCode::OFFSET_OUT_OF_RANGE))?;
    if end.epoch < fetch.last_fetched_epoch || end.end_offset < fetch.fetch_offset {
        return Err(Unreadable::Diverging(end));
    }
    Ok(())
}
