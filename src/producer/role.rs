//! Owns the state of a producer and what each happening does to it: the part between the cluster and the partitions.
//!
//! Must not know how requests are built (`sender`), nor what a partition decides.

use alloc::vec::Vec;

use super::command::{BlockedOn, ProducerEvent};
use super::identity::ProducerId;
use super::metrics::count_outcome;
use super::operation::{Life, Operations};
use super::outcome::Outcome;
use super::partition::{Effects, Partition, Rules};
use super::partitioner::Sticky;
use super::sender::{Node, Request};
use crate::budget::Category;
use crate::client::{Context, Role};
use crate::cluster::{Answer, Token, TopicState};
use crate::collections::VecMap;
use crate::config::{Acks, ProducerConfig};
use crate::engine::{ConnectionGroup, JobId, JobResult, NodeId, TopicHandle};
use crate::error::Error;
use crate::metrics::ProducerMetrics;
use crate::random::{Backoff, Random, Stream};
use crate::time::{Duration, Instant};
use crate::timer::{RoleTimer, TimerId};

pub(crate) type Cx<'a> = Context<'a, ProducerEvent>;

/// The kinds of timers of this role.
const TIMER_PARTITION: u8 = 0;
pub(super) const TIMER_PRODUCER_ID: u8 = 1;
pub(super) const TIMER_CLOSE: u8 = 2;

/// How long equal trouble is not told again.
const PROBLEM_PAUSE: Duration = Duration::from_secs(60);

/// Where a partition stands in [`Producer::slots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotId(pub(super) u32);

/// A partition and what the producer keeps beside it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) topic: TopicHandle,
    pub(super) index: i32,
    pub(super) partition: Partition,
    /// In whose queue of partitions to be sent it stands; an entry in another queue means nothing.
    pub(super) queued: Option<NodeId>,
    timer: Option<(Instant, TimerId)>,
}

/// What the producer keeps of a topic.
#[derive(Debug, Default)]
pub(crate) struct TopicSlots {
    /// By index; none while the topic is not known.
    pub(super) partitions: Vec<SlotId>,
    /// How many of them the topic has: fewer than there were, when it was made anew with fewer.
    pub(super) count: i32,
    pub(super) sticky: Sticky,
    pub(super) incarnation: u32,
    /// Whether an append waits for the topic's metadata.
    pub(super) awaited: bool,
}

/// The producer's role on a cluster.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(super) rules: Rules,
    pub(super) acks: Acks,
    pub(super) request_timeout: Duration,
    pub(super) max_request_size: usize,
    pub(super) topics: Vec<TopicSlots>,
    pub(super) slots: Vec<Slot>,
    pub(super) nodes: VecMap<NodeId, Node>,
    pub(super) requests: VecMap<Token, Request>,
    pub(super) jobs: VecMap<JobId, SlotId>,
    pub(super) producer_id: ProducerId,
    pub(super) operations: Operations,
    pub(super) life: Life,
    pub(super) effects: Effects,
    /// The random choices of the partitioner, and the jitter of retries.
    pub(super) choice: Random,
    pub(super) random: Random,
    pub(super) next_order: u64,
    /// Whether an append waits for memory.
    pub(super) memory_awaited: bool,
    /// Brokers that may be able to take something, until the end of this step.
    pub(super) touched: Vec<NodeId>,
    pub(super) metrics: ProducerMetrics,
    problem: Option<(Error, Instant)>,
}

impl Producer {
    pub(crate) fn new(config: &ProducerConfig, entropy: &[u8; 32]) -> Self {
        let idempotent = config.enable_idempotence;
        Self {
            rules: Rules {
                linger: config.linger,
                batch_size: config.batch_size.min(config.max_request_size),
                max_in_flight: config.max_in_flight,
                delivery_timeout: config.delivery_timeout,
                backoff: Backoff {
                    initial: config.common.retry_backoff,
                    max: config.common.retry_backoff_max,
                },
                codec: config.compression,
                level: config.compression_level(),
            },
            acks: config.acks,
            request_timeout: config.common.request_timeout,
            max_request_size: config.max_request_size,
            topics: Vec::new(),
            slots: Vec::new(),
            nodes: VecMap::new(),
            requests: VecMap::new(),
            jobs: VecMap::new(),
            producer_id: if idempotent {
                ProducerId::Unknown
            } else {
                ProducerId::Off
            },
            operations: Operations::default(),
            life: Life::Open,
            effects: Effects::default(),
            choice: Random::derive(entropy, Stream::Partitioner),
            random: Random::derive(entropy, Stream::Producer),
            next_order: 0,
            memory_awaited: false,
            touched: Vec::new(),
            metrics: ProducerMetrics {
                buffer_total_bytes: config.buffer_memory as u64,
                ..ProducerMetrics::default()
            },
            problem: None,
        }
    }

    pub(super) fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id.0 as usize)
    }

    pub(super) fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(id.0 as usize)
    }

    /// All partitions of which records have no outcome yet.
    pub(super) fn busy(&self) -> Vec<SlotId> {
        self.all_slots()
            .zip(&self.slots)
            .filter(|(_, slot)| !slot.partition.is_idle())
            .map(|(id, _)| id)
            .collect()
    }

    /// Asks for a topic and interns it.
    pub(crate) fn topic(&mut self, name: &str, cx: &mut Cx<'_>) -> TopicHandle {
        let topic = cx.cluster.want_topic(name);
        let count = (topic.0 as usize).saturating_add(1);
        if self.topics.len() < count {
            self.topics.resize_with(count, TopicSlots::default);
        }
        self.take_over(topic, cx);
        self.want_producer_id(cx);
        topic
    }

    /// Takes over what the cluster knows of a topic's partitions.
    fn take_over(&mut self, topic: TopicHandle, cx: &mut Cx<'_>) {
        let (Some(known), Some(slots)) = (
            cx.cluster.topic(topic),
            self.topics.get_mut(topic.0 as usize),
        ) else {
            return;
        };
        let usable = match known.state {
            TopicState::Known => !known.partitions.is_empty(),
            TopicState::Failed { code, .. } => !code.is_retriable(),
            TopicState::Asked { .. } => false,
        };
        let recreated = slots.incarnation != known.incarnation;
        slots.incarnation = known.incarnation;
        slots.count = i32::try_from(known.partitions.len()).unwrap_or(i32::MAX);
        for index in slots.partitions.len()..known.partitions.len() {
            slots
                .partitions
                .push(SlotId(u32::try_from(self.slots.len()).unwrap_or(u32::MAX)));
            self.slots.push(Slot {
                topic,
                index: i32::try_from(index).unwrap_or(i32::MAX),
                partition: Partition::new(self.producer_id != ProducerId::Off),
                queued: None,
                timer: None,
            });
        }
        if usable && core::mem::take(&mut slots.awaited) {
            cx.emit(ProducerEvent::Unblocked {
                on: BlockedOn::Metadata,
                topic: Some(topic),
            });
        }
        if recreated {
            for id in self.slots_of(topic) {
                self.act(id, cx, |partition, effects| partition.recreated(effects));
            }
        }
    }

    pub(super) fn all_slots(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).map(SlotId)
    }

    /// Ends all that waits in a partition.
    pub(super) fn give_up(&mut self, id: SlotId, error: &dyn Fn() -> Error, cx: &mut Cx<'_>) {
        self.act(id, cx, |partition, effects| {
            partition.give_up(|_| true, error, effects);
        });
    }

    fn slots_of(&self, topic: TopicHandle) -> Vec<SlotId> {
        self.topics
            .get(topic.0 as usize)
            .map(|slots| slots.partitions.clone())
            .unwrap_or_default()
    }

    /// Lets something happen to a partition, and does what follows for those around it.
    pub(super) fn act(
        &mut self,
        id: SlotId,
        cx: &mut Cx<'_>,
        happens: impl FnOnce(&mut Partition, &mut Effects),
    ) {
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            happens(&mut slot.partition, &mut self.effects);
        }
        self.carry_out(id, cx);
        self.ready(id, cx);
    }

    /// Carries out what a partition left in the effects.
    pub(super) fn carry_out(&mut self, id: SlotId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get(id.0 as usize) else {
            return;
        };
        let (topic, partition) = (slot.topic, slot.index);
        for (tickets, outcome) in self.effects.outcomes.drain() {
            count_outcome(&mut self.metrics, &tickets, &outcome);
            let outcome = match outcome {
                Outcome::Rejected(error) => Outcome::Rejected(place(error, topic, partition, cx)),
                Outcome::Unknown(error) => Outcome::Unknown(place(error, topic, partition, cx)),
                Outcome::Delivered { .. } | Outcome::Sent => outcome,
            };
            cx.emit(ProducerEvent::Outcome {
                topic,
                partition,
                tickets,
                outcome,
            });
        }
        for freed in self.effects.freed.drain(..) {
            cx.cluster
                .budget()
                .give_back(Category::Producer, freed.charged);
            cx.cluster.pool().recycle(freed.bytes);
        }
        for order in self.effects.added.drain(..) {
            self.operations.added(order);
        }
        for order in self.effects.resolved.drain(..) {
            self.operations.resolved(order);
        }
        if core::mem::take(&mut self.effects.refresh_metadata) {
            cx.cluster.refresh_metadata();
        }
        for first_ticket in core::mem::take(&mut self.effects.plain) {
            self.compress(id, first_ticket, cx);
        }
    }

    /// Arms the partition's timer for what is due there next. One that is armed for earlier stays: it looks again.
    pub(super) fn rearm(&mut self, id: SlotId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        let deadline = slot.partition.deadline(cx.now(), &self.rules);
        match (slot.timer, deadline) {
            (None, None) => {}
            (Some((armed, _)), Some((at, _))) if armed <= at => {}
            (armed, deadline) => {
                if let Some((_, timer)) = armed {
                    cx.cluster.disarm(timer);
                }
                slot.timer = deadline.map(|(at, why)| {
                    let timer = RoleTimer {
                        kind: TIMER_PARTITION,
                        index: id.0,
                        why,
                    };
                    (at, cx.cluster.arm(at, timer))
                });
            }
        }
    }

    fn on_partition_timer(&mut self, id: SlotId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        slot.timer = None;
        let node = slot.queued;
        let trouble = node
            .and_then(|node| self.nodes.get(&node))
            .and_then(|node| node.trouble.clone());
        let (now, rules) = (cx.now(), self.rules);
        self.act(id, cx, |partition, effects| {
            partition.expire(now, &rules, trouble.as_ref(), effects);
        });
    }

    /// What every step ends with.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        while let Some(node) = self.touched.pop() {
            self.pump(node, cx);
        }
        self.end_operations(cx);
    }

    /// Tells trouble that is no record's outcome, but the same not again and again.
    pub(super) fn tell_problem(&mut self, error: Error, cx: &mut Cx<'_>) {
        let told = self.problem.as_ref().is_some_and(|(last, at)| {
            last.kind() == error.kind() && cx.now().since(*at) < PROBLEM_PAUSE
        });
        if !told {
            self.problem = Some((error.clone(), cx.now()));
            cx.emit(ProducerEvent::Problem(error));
        }
    }
}

/// Says of an error where it happened.
pub(super) fn place(error: Error, topic: TopicHandle, partition: i32, cx: &Cx<'_>) -> Error {
    match cx.cluster.topic(topic) {
        Some(topic) => error.on_topic(&topic.name).on_partition(partition),
        None => error.on_partition(partition),
    }
}

impl Role for Producer {
    type Event = ProducerEvent;

    fn on_answer(&mut self, token: Token, answer: Answer, cx: &mut Cx<'_>) {
        if let Some(request) = self.requests.remove(&token) {
            self.on_produced(request, answer, cx);
        } else if matches!(self.producer_id, ProducerId::Asked { token: asked, .. } if asked == token)
        {
            self.on_producer_id(answer, cx);
        } else {
            self.on_raw_answer(token, answer, cx);
        }
        self.finish(cx);
    }

    fn on_timer(&mut self, timer: RoleTimer, cx: &mut Cx<'_>) {
        match timer.kind {
            TIMER_PARTITION => self.on_partition_timer(SlotId(timer.index), cx),
            TIMER_PRODUCER_ID => self.ask_producer_id(cx),
            TIMER_CLOSE => self.on_close_deadline(cx),
            kind => debug_assert!(false, "a timer of no kind: {kind}"),
        }
        self.finish(cx);
    }

    fn on_metadata(&mut self, cx: &mut Cx<'_>) {
        for topic in 0..u32::try_from(self.topics.len()).unwrap_or(u32::MAX) {
            self.take_over(TopicHandle(topic), cx);
        }
        for id in self.busy() {
            self.ready(id, cx);
        }
        self.forget_idle_nodes(cx);
        self.finish(cx);
    }

    fn on_reachable(&mut self, node: NodeId, _: ConnectionGroup, cx: &mut Cx<'_>) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.trouble = None;
        }
        self.touched.push(node);
        self.finish(cx);
    }

    fn on_unreachable(&mut self, node: NodeId, _: ConnectionGroup, error: &Error, cx: &mut Cx<'_>) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.trouble = Some(error.clone());
        }
        // Somebody else may lead by now.
        cx.cluster.refresh_metadata();
    }

    fn on_no_broker(&mut self, error: &Error, cx: &mut Cx<'_>) {
        self.tell_problem(error.clone(), cx);
    }

    fn on_job(&mut self, id: JobId, result: JobResult, cx: &mut Cx<'_>) {
        self.on_compressed(id, result, cx);
        self.finish(cx);
    }

    fn on_budget_freed(&mut self, cx: &mut Cx<'_>) {
        if core::mem::take(&mut self.memory_awaited) {
            cx.emit(ProducerEvent::Unblocked {
                on: BlockedOn::Memory,
                topic: None,
            });
        }
    }

    fn on_closed(&mut self, cx: &mut Cx<'_>) {
        self.tell_closed(cx);
    }
}
