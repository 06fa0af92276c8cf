//! Owns the way of batches to brokers: which partitions a broker can take something of, the requests, and whose answer is whose.
//!
//! Must not know what an answer means for a batch.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::answer::{Answered, Reply, Surroundings};
use super::partition::{Drained, Waits};
use super::role::{Cx, Producer, SlotId};
use crate::cluster::{Answer, FailureCause, Reach, Response, Route, SendOptions};
use crate::collections::{VecMap, sorted};
use crate::config::Acks;
use crate::engine::{ConnectionGroup, Host, NodeId, TopicHandle};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceData,
};
use crate::wire::Uuid;

/// What waits for one broker.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The partitions to take batches of, first come, first served. An entry holds only while the slot says so too.
    ready: VecDeque<SlotId>,
    /// Why the broker could not be reached at the last attempt.
    pub(super) trouble: Option<Error>,
}

/// A Produce request that is not answered.
#[derive(Debug)]
pub(crate) struct Request {
    node: NodeId,
    entries: Vec<Entry>,
    /// The topics by the ids that they had when the request was made.
    topics: Vec<(Uuid, TopicHandle)>,
}

/// One batch of a request.
#[derive(Clone, Debug)]
struct Entry {
    topic: TopicHandle,
    index: i32,
    slot: SlotId,
    first_ticket: u64,
}

impl Producer {
    /// Looks whether a partition has something to be sent: if so, it queues for its leader; if not, its timer is armed.
    pub(super) fn ready(&mut self, id: SlotId, cx: &mut Cx<'_>) {
        let (now, rules) = (cx.now(), self.rules);
        self.rearm(id, cx);
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        if slot.partition.waits(now, &rules).is_some() {
            slot.queued = None;
            return;
        }
        let leader = cx.cluster.topic(slot.topic).and_then(|topic| {
            let index = usize::try_from(slot.index).ok()?;
            topic.partitions.get(index)?.leader
        });
        let Some(leader) = leader else {
            // `on_metadata` looks again; the delivery timeout ends it.
            slot.queued = None;
            cx.cluster.refresh_metadata();
            return;
        };
        if slot.queued != Some(leader) {
            slot.queued = Some(leader);
            self.nodes
                .get_or_insert_with(leader, Node::default)
                .ready
                .push_back(id);
        }
        if self.touched.last() != Some(&leader) {
            self.touched.push(leader);
        }
    }

    /// Sends a broker what it can take.
    pub(super) fn pump(&mut self, node: NodeId, cx: &mut Cx<'_>) {
        loop {
            self.skip_left(node);
            let Some(waiting) = self.nodes.get(&node) else {
                return;
            };
            if waiting.ready.is_empty() {
                return;
            }
            match cx.cluster.reach(node, ConnectionGroup::Default) {
                Reach::Ready(_) => {}
                Reach::Pending => return,
            }
            if !self.send_one(node, cx) {
                return;
            }
        }
    }

    /// Drops the first entries of a broker's queue that do not hold any more.
    fn skip_left(&mut self, node: NodeId) {
        let Some(waiting) = self.nodes.get_mut(&node) else {
            return;
        };
        while let Some(id) = waiting.ready.front() {
            let holds = self
                .slots
                .get(id.0 as usize)
                .is_some_and(|slot| slot.queued == Some(node));
            if holds {
                break;
            }
            waiting.ready.pop_front();
        }
    }

    /// Brokers for which nothing waits are not tried again and again.
    pub(super) fn forget_idle_nodes(&mut self, cx: &mut Cx<'_>) {
        let slots = &self.slots;
        self.nodes.retain(|node, waiting| {
            waiting.ready.retain(|id| {
                slots
                    .get(id.0 as usize)
                    .is_some_and(|slot| slot.queued == Some(*node))
            });
            if waiting.ready.is_empty() {
                cx.cluster.unreach(*node, ConnectionGroup::Default);
            }
            !waiting.ready.is_empty()
        });
    }

    /// Sends one request with one batch of each partition that has one, as far as they fit; says whether there was one.
    fn send_one(&mut self, node: NodeId, cx: &mut Cx<'_>) -> bool {
        let mut batches: Vec<(Entry, Bytes)> = Vec::new();
        let mut size = 0usize;
        let mut again: Vec<SlotId> = Vec::new();
        while let Some(id) = self.next_ready(node, size) {
            match self.drain(id, cx) {
                Some((entry, bytes)) => {
                    size = size.saturating_add(bytes.len());
                    batches.push((entry, bytes));
                    again.push(id);
                }
                None => continue,
            }
        }
        // Exactly one batch of a partition goes into a request: what is left of it is for the next one.
        for id in again {
            self.ready(id, cx);
        }
        if batches.is_empty() {
            return false;
        }
        self.send_batches(node, batches, cx);
        true
    }

    /// The next partition of a broker's queue of which a batch fits beside `size` bytes. A batch that is larger than
    /// a request may be goes alone.
    fn next_ready(&mut self, node: NodeId, size: usize) -> Option<SlotId> {
        self.skip_left(node);
        let waiting = self.nodes.get_mut(&node)?;
        let id = *waiting.ready.front()?;
        let slot = self.slots.get_mut(id.0 as usize)?;
        let fits = size.saturating_add(slot.partition.next_size()) <= self.max_request_size;
        if size > 0 && !fits {
            return None;
        }
        waiting.ready.pop_front();
        slot.queued = None;
        Some(id)
    }

    /// Takes a batch of a partition.
    fn drain(&mut self, id: SlotId, cx: &mut Cx<'_>) -> Option<(Entry, Bytes)> {
        let (now, rules, identity) = (cx.now(), self.rules, self.identity());
        let slot = self.slots.get_mut(id.0 as usize)?;
        let (topic, index) = (slot.topic, slot.index);
        match slot.partition.drain(now, &rules, identity) {
            Drained::Batch {
                first_ticket,
                bytes,
                records,
                again,
            } => {
                self.count_batch(records, bytes.len(), again);
                let entry = Entry {
                    topic,
                    index,
                    slot: id,
                    first_ticket,
                };
                Some((entry, bytes))
            }
            Drained::Compress(first_ticket) => {
                self.compress(id, first_ticket, cx);
                None
            }
            Drained::Nothing(Waits::ProducerId) => {
                self.want_another_producer_id(cx);
                None
            }
            Drained::Nothing(
                Waits::Empty
                | Waits::Linger(_)
                | Waits::Backoff(_)
                | Waits::Answer
                | Waits::Compression,
            ) => {
                self.rearm(id, cx);
                None
            }
        }
    }

    fn send_batches(&mut self, node: NodeId, batches: Vec<(Entry, Bytes)>, cx: &mut Cx<'_>) {
        // Stable: the order of partitions within a topic stays that of the queue.
        let batches = sorted(batches, &|(a, _), (b, _)| a.topic.cmp(&b.topic));
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        let mut entries: Vec<Entry> = Vec::with_capacity(batches.len());
        let mut topics: Vec<(Uuid, TopicHandle)> = Vec::new();
        for (entry, bytes) in batches {
            let data = PartitionProduceData {
                index: entry.index,
                records: Some(bytes),
            };
            let begun = entries.last().is_some_and(|last| last.topic == entry.topic);
            match topic_data.last_mut().filter(|_| begun) {
                Some(topic) => topic.partition_data.push(data),
                None => {
                    let topic = cx.cluster.topic(entry.topic);
                    let topic_id = topic.map(|topic| topic.id).unwrap_or_default();
                    topics.push((topic_id, entry.topic));
                    topic_data.push(TopicProduceData {
                        name: topic.map(|topic| topic.name.clone()).unwrap_or_default(),
                        topic_id,
                        partition_data: [data].into(),
                    });
                }
            }
            entries.push(entry);
        }
        let request = ProduceRequest {
            transactional_id: None,
            acks: self.acks.as_i16(),
            timeout_ms: i32::try_from(self.request_timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data,
        };
        let options = SendOptions {
            expects_answer: self.acks != Acks::None,
            ..SendOptions::new(self.request_timeout)
        };
        let route = Route::Node(node, ConnectionGroup::Default);
        let token = cx.cluster.send(request, route, options);
        let request = Request {
            node,
            entries,
            topics,
        };
        self.requests.insert(token, request);
    }

    /// A Produce request has ended.
    pub(super) fn on_produced(&mut self, request: Request, answer: Answer, cx: &mut Cx<'_>) {
        match answer {
            Answer::Response(response) => self.on_response(request, response, cx),
            Answer::Sent => {
                for entry in request.entries {
                    self.reply(&entry, Reply::Sent, cx);
                }
            }
            Answer::Failed(failure) => {
                // With acks=0 a retry could write twice what is promised at most once.
                let hopeless = match failure.cause {
                    FailureCause::Unsupported => true,
                    FailureCause::Disconnected | FailureCause::TimedOut | FailureCause::Closed => {
                        self.acks == Acks::None && failure.maybe_applied
                    }
                };
                self.fail_all(
                    request.entries,
                    &failure.error,
                    failure.maybe_applied,
                    !hopeless,
                    cx,
                );
            }
        }
    }

    fn fail_all(
        &mut self,
        entries: Vec<Entry>,
        error: &Error,
        maybe_applied: bool,
        retry: bool,
        cx: &mut Cx<'_>,
    ) {
        for entry in entries {
            let reply = Reply::Failed {
                error: error.clone(),
                maybe_applied,
                retry,
            };
            self.reply(&entry, reply, cx);
        }
    }

    fn reply(&mut self, entry: &Entry, reply: Reply, cx: &mut Cx<'_>) {
        if let Some(slot) = self.slots.get_mut(entry.slot.0 as usize) {
            let mut around = Surroundings {
                now: cx.now(),
                rules: &self.rules,
                random: &mut self.random,
                budget: cx.cluster.budget(),
            };
            slot.partition
                .replied(entry.first_ticket, reply, &mut around, &mut self.effects);
        }
        self.carry_out(entry.slot, cx);
        self.ready(entry.slot, cx);
    }

    fn on_response(&mut self, request: Request, response: Response, cx: &mut Cx<'_>) {
        let Request {
            node,
            entries,
            topics,
        } = request;
        let (response, held) = match cx.cluster.decode::<ProduceRequest>(response) {
            Ok(decoded) => decoded,
            // Its batches may be written: the same bytes again find out (never split, P11).
            Err(error) => return self.fail_all(entries, &error, true, true, cx),
        };
        cx.cluster.throttle(&held, response.throttle_time_ms);
        let mut open = Unanswered::new(entries);
        for topic in &response.responses {
            let handle = if topic.topic_id.is_zero() {
                cx.cluster.topic_by_name(&topic.name)
            } else {
                // Not the cluster's knowledge of today: a topic that was recreated meanwhile has another id.
                let asked = topics.iter().find(|(id, _)| *id == topic.topic_id);
                asked.map(|(_, handle)| *handle)
            };
            for partition in &topic.partition_responses {
                if let Some(entry) = open.take(handle, partition.index) {
                    let answered = self.answered(node, &entry, partition, &response, cx);
                    self.reply(&entry, Reply::Answered(answered), cx);
                }
            }
        }
        drop(response);
        cx.cluster.release(held);
        let error = Error::new(ErrorKind::Protocol)
            .at_broker(format_args!("broker {node}"))
            .in_step(Step::Produce)
            .with_detail("the answer leaves a partition of the request out");
        self.fail_all(open.rest(), &error, true, true, cx);
    }

    fn answered(
        &mut self,
        node: NodeId,
        entry: &Entry,
        partition: &PartitionProduceResponse,
        response: &ProduceResponse,
        cx: &mut Cx<'_>,
    ) -> Answered {
        let code = ErrorCode(partition.error_code);
        let leader = &partition.current_leader;
        let leader_known = !code.is_none() && leader.leader_id >= 0 && {
            let endpoint = response
                .node_endpoints
                .iter()
                .find(|endpoint| endpoint.node_id == leader.leader_id)
                .and_then(|endpoint| {
                    let port = u16::try_from(endpoint.port).ok()?;
                    Some((Host::from(endpoint.host.as_str()), port))
                });
            cx.cluster.apply_leader_hint(
                entry.topic,
                entry.index,
                NodeId(leader.leader_id),
                leader.leader_epoch,
                endpoint,
            )
        };
        Answered {
            node,
            code,
            base_offset: partition.base_offset,
            log_append_time: partition.log_append_time_ms,
            message: partition
                .error_message
                .as_ref()
                .map(|text| text.as_str().into()),
            record_errors: partition
                .record_errors
                .iter()
                .map(|error| {
                    let message = error.batch_index_error_message.as_ref();
                    (error.batch_index, message.map(|text| text.as_str().into()))
                })
                .collect(),
            leader_known,
        }
    }
}

/// The batches of a request of which the answer was not read yet. A broker answers in the order of the request,
/// but nothing obliges it to.
struct Unanswered {
    entries: VecMap<(TopicHandle, i32), Option<Entry>>,
}

impl Unanswered {
    fn new(entries: Vec<Entry>) -> Self {
        let entries = entries
            .into_iter()
            .map(|entry| ((entry.topic, entry.index), Some(entry)))
            .collect();
        Self { entries }
    }

    fn take(&mut self, topic: Option<TopicHandle>, index: i32) -> Option<Entry> {
        self.entries.get_mut(&(topic?, index))?.take()
    }

    fn rest(self) -> Vec<Entry> {
        self.entries.into_values().flatten().collect()
    }
}
