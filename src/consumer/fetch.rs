//! Owns what is sent to a broker and when: lookups first, then one fetch for all of its partitions that want data, as
//! large as the byte budget allows.
//!
//! Must not know what is done with the answers.

use alloc::vec::Vec;

use super::brokers::{BrokerState, Flight};
use super::partition::{Partition, State};
use super::role::{ConsumerRole, Cx, Pending};
use super::session::{Ask, SessionRequest};
use super::supply::Point;
use super::{BrokerIndex, PartitionKey};
use crate::budget::Category;
use crate::cluster::SendOptions;
use crate::cluster::{Cluster, Reach, Route};
use crate::engine::{ConnectionGroup, NodeId, Peer, TopicHandle};
use crate::error::{Error, ErrorKind, Step};
use crate::messages::{
    FetchForgottenTopic, FetchPartition, FetchRequest, FetchTopic, ListOffsetsRequest,
    OffsetForLeaderEpochRequest,
};
use crate::time::Duration;
use crate::wire::{Str, VersionRange};

/// From this version of Fetch on, topics are named by their ids.
const BY_ID_SINCE: i16 = 13;

/// From this version on, consumers may ask for the end of an epoch with no more than the right to read (KIP-320).
const EPOCHS_SINCE: i16 = 3;

/// What a response takes beside the records: its header, and each partition's fields.
const RESPONSE_OVERHEAD: usize = 128;
const PARTITION_OVERHEAD: usize = 96;

/// The least that is worth a fetch while memory is short.
const FETCH_MIN: usize = 64 << 10;

/// The versions that a broker's connection speaks of what is asked here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions {
    pub(super) fetch: Option<i16>,
    pub(super) list_offsets: Option<i16>,
    pub(super) epochs: bool,
}

/// What became of what was due to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// It was sent, or nothing can be.
    AllDue,
    /// A fetch waits for memory.
    ShortOfMemory,
}

/// A fetch as it is put together.
#[derive(Default)]
struct Wanted {
    asks: Vec<(PartitionKey, Ask)>,
    slots: Vec<(u32, Point)>,
    /// The largest first batch that is known of.
    least_bytes: usize,
    left_out: bool,
    name_bytes: usize,
    ids_known: bool,
}

impl ConsumerRole {
    /// Sends a broker what is due to it.
    pub(super) fn serve(&mut self, index: BrokerIndex, cx: &mut Cx<'_>) {
        let first = self.fetch_line.front().copied();
        match self.send_due(index, cx) {
            Sent::AllDue => self.fetch_line.retain(|waiting| *waiting != index),
            Sent::ShortOfMemory if self.waits_for_memory(index) => {}
            Sent::ShortOfMemory => self.fetch_line.push_back(index),
        }
        if self.fetch_line.front().copied() != first {
            self.touch_fetch_line();
        }
    }

    /// Whether a broker stands in the line for memory.
    pub(super) fn waits_for_memory(&self, index: BrokerIndex) -> bool {
        self.fetch_line.contains(&index)
    }

    /// Has the first in the line for memory looked at.
    pub(super) fn touch_fetch_line(&mut self) {
        if let Some(first) = self.fetch_line.front() {
            self.brokers.touch(*first);
        }
    }

    fn send_due(&mut self, index: BrokerIndex, cx: &mut Cx<'_>) -> Sent {
        let Some(broker) = self.brokers.get(index) else {
            return Sent::AllDue;
        };
        let node = broker.node;
        self.expire_replicas(index, cx);
        let Some(broker) = self.brokers.get(index) else {
            return Sent::AllDue;
        };
        let fetches = broker.is_idle() || matches!(broker.state, BrokerState::Reaching(_));
        let lookups = self.has_due_lookups(index, cx);
        let mut wanted = match fetches {
            true => self.wanted(index),
            false => Wanted::default(),
        };
        if !lookups && wanted.asks.is_empty() {
            return Sent::AllDue;
        }
        let Some(versions) = self.reach(index, node, cx) else {
            return Sent::AllDue;
        };
        if lookups {
            self.send_lookups(index, node, versions, cx);
            // Questions that could not be put may have made other partitions ready.
            if fetches {
                wanted = self.wanted(index);
            }
        }
        match wanted.asks.is_empty() {
            true => Sent::AllDue,
            false => self.send_fetch(index, node, versions, wanted, cx),
        }
    }

    fn reach(&mut self, index: BrokerIndex, node: NodeId, cx: &mut Cx<'_>) -> Option<Versions> {
        let versions = match cx.cluster.reach(node, ConnectionGroup::Default) {
            Reach::Ready(versions) => Some(Versions {
                fetch: versions.max_version::<FetchRequest>(),
                list_offsets: versions.max_version::<ListOffsetsRequest>(),
                epochs: versions
                    .max_version::<OffsetForLeaderEpochRequest>()
                    .is_some_and(|version| version >= EPOCHS_SINCE),
            }),
            Reach::Pending => None,
        };
        if let Some(broker) = self.brokers.get_mut(index) {
            match (&broker.state, versions) {
                (BrokerState::Idle, None) => broker.state = BrokerState::Reaching(None),
                (BrokerState::Reaching(_), Some(_)) => broker.state = BrokerState::Idle,
                (BrokerState::Idle, Some(_))
                | (BrokerState::Reaching(_), None)
                | (BrokerState::InFlight(_) | BrokerState::Backoff(_), _) => {}
            }
        }
        versions
    }

    /// The partitions of a broker that want data, those served longest ago first.
    fn wanted(&self, index: BrokerIndex) -> Wanted {
        let mut wanted = Wanted {
            ids_known: true,
            ..Wanted::default()
        };
        let Some(broker) = self.brokers.get(index) else {
            return wanted;
        };
        for slot in &broker.order {
            let Some(partition) = self.assigned.get(*slot) else {
                continue;
            };
            let (State::Ready, Some(from)) = (partition.state(), partition.fetch_point()) else {
                continue;
            };
            if !partition.has_room(broker.prefetch()) {
                wanted.left_out |= partition.is_flowing();
                continue;
            }
            if broker.one_by_one && !wanted.asks.is_empty() {
                break;
            }
            let max_bytes = self.settings.partition_max_bytes.max(partition.least_bytes);
            let ask = Ask {
                topic_id: partition.topic_id,
                offset: from.offset,
                leader_epoch: partition.leader.map_or(-1, |leader| leader.epoch),
                max_bytes: i32::try_from(max_bytes).unwrap_or(i32::MAX),
            };
            wanted.asks.push((partition.key, ask));
            wanted.slots.push((*slot, from));
            wanted.least_bytes = wanted.least_bytes.max(partition.least_bytes);
            wanted.name_bytes = wanted.name_bytes.saturating_add(partition.topic.len());
            wanted.ids_known &= !partition.topic_id.is_zero();
        }
        wanted
    }

    fn send_fetch(
        &mut self,
        index: BrokerIndex,
        node: NodeId,
        versions: Versions,
        wanted: Wanted,
        cx: &mut Cx<'_>,
    ) -> Sent {
        let Some(version) = versions.fetch else {
            let error = Error::new(ErrorKind::Unsupported {
                feature: "Fetch in a version that this client speaks".into(),
            });
            self.fetch_unsupported(
                index,
                error.at_broker(Peer::Broker(node)).in_step(Step::Fetch),
                cx,
            );
            return Sent::AllDue;
        };
        let overhead = RESPONSE_OVERHEAD
            .saturating_add(wanted.asks.len().saturating_mul(PARTITION_OVERHEAD))
            .saturating_add(wanted.name_bytes);
        let Some((allowance, max_bytes)) = self.reserve(index, overhead, wanted.least_bytes, cx)
        else {
            return Sent::ShortOfMemory;
        };
        let by_id = wanted.ids_known && version >= BY_ID_SINCE;
        let Some(broker) = self.brokers.get_mut(index) else {
            return Sent::AllDue;
        };
        let max_wait = match wanted.left_out {
            true => broker.lull.min(self.settings.max_wait),
            false => self.settings.max_wait,
        };
        let session = broker.session.build(&wanted.asks, by_id);
        let request = self.fetch_request(&session, by_id, max_wait, max_bytes, cx.cluster);
        let mut options = SendOptions::new(self.settings.request_timeout);
        if !by_id {
            // Also when nothing in it has changed: a session stays with what it was opened with (KIP-516).
            options.versions = VersionRange::from_bounds(..BY_ID_SINCE);
        }
        options.allowance = allowance;
        options.long_poll = Some(max_wait);
        let fetch = cx.cluster.send(
            request,
            Route::Node(node, ConnectionGroup::Default),
            options,
        );
        self.pending.insert(fetch, Pending::Fetch(index));
        let now = cx.now();
        for (slot, from) in &wanted.slots {
            if let Some(partition) = self.assigned.get_mut(*slot) {
                let leader_epoch = partition.leader.map_or(-1, |leader| leader.epoch);
                let state = State::InFlight {
                    fetch,
                    from: *from,
                    leader_epoch,
                };
                // From `Ready`, so that there is no pause to disarm.
                let _ = partition.enter(state, now);
            }
        }
        if let Some(broker) = self.brokers.get_mut(index) {
            broker.state = BrokerState::InFlight(Flight {
                fetch,
                slots: wanted.slots.iter().map(|(slot, _)| *slot).collect(),
                left_out: wanted.left_out,
                max_bytes,
                since: now,
            });
        }
        Sent::AllDue
    }

    /// Takes the memory for a response before it is asked for: what is taken, and what is left of it for records.
    fn reserve(
        &mut self,
        index: BrokerIndex,
        overhead: usize,
        least_batch: usize,
        cx: &mut Cx<'_>,
    ) -> Option<(usize, usize)> {
        let broker = self.brokers.get(index)?;
        let share = Self::fetch_share(cx);
        // Each broker gets its part, so that all can be asked at once.
        let part = (share / self.brokers.in_use()).max(FETCH_MIN);
        let target = broker
            .target
            .min(part.saturating_sub(overhead))
            .max(least_batch)
            .min(share.saturating_sub(overhead));
        let least = FETCH_MIN
            .min(target)
            .max(least_batch)
            .saturating_add(overhead)
            .max(broker.least_bytes)
            .min(share);
        let budget = cx.cluster.budget();
        let free = share
            .saturating_sub(budget.used(Category::Fetch))
            .min(budget.free(Category::Fetch));
        let allowance = target.saturating_add(overhead).max(least).min(free);
        let in_turn = self.fetch_line.front().is_none_or(|first| *first == index);
        // What waits for memory to be decompressed comes first: reading it is what frees memory.
        if allowance < least
            || !in_turn
            || !self.starving.is_empty()
            || !budget.take(Category::Fetch, allowance)
        {
            budget.refuse();
            return None;
        }
        Some((
            allowance,
            allowance.saturating_sub(overhead).clamp(1, target.max(1)),
        ))
    }

    fn fetch_request(
        &self,
        session: &SessionRequest,
        by_id: bool,
        max_wait: Duration,
        max_bytes: usize,
        cluster: &Cluster,
    ) -> FetchRequest {
        let name = |topic: TopicHandle| match by_id {
            true => Str::EMPTY,
            false => cluster
                .topic(topic)
                .map(|topic| topic.name.clone())
                .unwrap_or_default(),
        };
        let topics = group(&session.send, |(key, ask)| (key.topic, ask.topic_id))
            .filter_map(|asks| {
                let (key, ask) = asks.first()?;
                Some(FetchTopic {
                    topic: name(key.topic),
                    topic_id: ask.topic_id,
                    partitions: asks
                        .iter()
                        .map(|(key, ask)| fetch_partition(key.partition, ask))
                        .collect(),
                })
            })
            .collect();
        let forgotten_topics_data =
            group(&session.forget, |(key, topic_id)| (key.topic, *topic_id))
                .filter_map(|forgotten| {
                    let (key, topic_id) = forgotten.first()?;
                    Some(FetchForgottenTopic {
                        topic: name(key.topic),
                        topic_id: *topic_id,
                        partitions: forgotten.iter().map(|(key, _)| key.partition).collect(),
                    })
                })
                .collect();
        FetchRequest {
            replica_id: -1,
            max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.settings.min_bytes,
            max_bytes: i32::try_from(max_bytes).unwrap_or(i32::MAX),
            isolation_level: self.settings.isolation.as_i8(),
            session_id: session.id,
            session_epoch: session.epoch,
            topics,
            forgotten_topics_data,
            rack_id: self.settings.rack.clone(),
            ..FetchRequest::default()
        }
    }

    /// Ends the fetch sessions that brokers hold for this client, where that costs no wait.
    pub(super) fn end_sessions(&mut self, cx: &mut Cx<'_>) {
        for index in self.brokers.indices() {
            let Some(broker) = self.brokers.get_mut(index) else {
                continue;
            };
            let (true, Some(id)) = (broker.is_idle(), broker.session.close()) else {
                continue;
            };
            let node = broker.node;
            if let Reach::Ready(_) = cx.cluster.reach(node, ConnectionGroup::Default) {
                let session = SessionRequest {
                    id,
                    epoch: -1,
                    ..SessionRequest::default()
                };
                let request = self.fetch_request(&session, true, Duration::ZERO, 0, cx.cluster);
                let options = SendOptions::new(self.settings.request_timeout);
                let token = cx.cluster.send(
                    request,
                    Route::Node(node, ConnectionGroup::Default),
                    options,
                );
                self.pending.insert(token, Pending::EndSession);
            }
        }
    }
}

impl Partition {
    /// Whether a fetch that the broker could send now would have this partition in it.
    pub(super) fn wants_fetch(&self, prefetch: usize) -> bool {
        matches!(self.state(), State::Ready) && self.has_room(prefetch)
    }
}

fn fetch_partition(partition: i32, ask: &Ask) -> FetchPartition {
    FetchPartition {
        partition,
        current_leader_epoch: ask.leader_epoch,
        fetch_offset: ask.offset,
        partition_max_bytes: ask.max_bytes,
        ..FetchPartition::default()
    }
}

/// Runs of neighbours with the same topic. The order stays: a broker fills its answer in the order of the request.
pub(super) fn group<'a, T, K: PartialEq>(
    items: &'a [T],
    key: impl Fn(&T) -> K + 'a,
) -> impl Iterator<Item = &'a [T]> {
    items.chunk_by(move |a, b| key(a) == key(b))
}
