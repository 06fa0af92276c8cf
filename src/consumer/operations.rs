//! Owns the user's questions about offsets: which partitions are still to be asked, and what was found.
//!
//! Must not know how a question is put.

use alloc::vec::Vec;

use super::PartitionKey;
use super::fetch::Versions;
use super::lookup::{Asked, Who, can_look_up, timestamp_of_spec};
use super::partition::Missing;
use super::role::{ConsumerRole, Cx, Life, timers};
use super::types::{ConsumerEvent, OffsetAndTimestamp, OffsetSpec};
use crate::cluster::Cluster;
use crate::cluster::Token;
use crate::collections::{VecMap, sorted};
use crate::engine::{NodeId, OpId, Peer, TopicPartition};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::limits::OPERATION_TIMEOUT;
use crate::time::{Duration, Instant};
use crate::timer::{RoleTimer, TimerId};

/// How long a topic may be unknown before that is the answer.
const UNKNOWN_AFTER: Duration = Duration::from_secs(3);

/// How far one partition of an operation is.
#[derive(Clone, Debug)]
pub(super) enum EntryState {
    /// To be asked as soon as its leader can be.
    Due,
    /// Asked by this request.
    InFlight(Token),
    /// Asked in vain; the operation's timer makes it due again.
    Backoff(Error),
    /// Answered.
    Done(Result<Option<OffsetAndTimestamp>, Error>),
}

/// One partition of an operation.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: PartitionKey,
    pub(super) name: TopicPartition,
    pub(super) state: EntryState,
}

impl Entry {
    pub(super) fn awaits(&self, token: Token) -> bool {
        matches!(self.state, EntryState::InFlight(own) if own == token)
    }

    pub(super) fn place(&self, error: Error) -> Error {
        error
            .in_step(Step::ListOffsets)
            .on_topic(&self.name.topic)
            .on_partition(self.name.partition)
    }
}

/// A question of the user.
#[derive(Debug)]
struct Operation {
    spec: OffsetSpec,
    entries: Vec<Entry>,
    since: Instant,
    attempts: u32,
    retry: Option<TimerId>,
    deadline: TimerId,
}

/// All questions of the user.
#[derive(Debug)]
pub(super) struct Operations(VecMap<OpId, Operation>);

impl Operations {
    pub(super) const fn new() -> Self {
        Self(VecMap::new())
    }

    pub(super) fn entry(&mut self, op: OpId, index: usize) -> Option<&mut Entry> {
        self.0.get_mut(&op)?.entries.get_mut(index)
    }

    pub(super) fn entries(&mut self, op: OpId) -> impl Iterator<Item = &mut Entry> {
        self.0
            .get_mut(&op)
            .into_iter()
            .flat_map(|operation| &mut operation.entries)
    }

    /// Whether this broker can be asked something.
    pub(super) fn has_due(&self, node: NodeId, cluster: &Cluster) -> bool {
        self.0
            .values()
            .flat_map(|operation| &operation.entries)
            .any(|entry| {
                matches!(entry.state, EntryState::Due)
                    && leader(cluster, entry.key).is_some_and(|(leader, _)| leader == node)
            })
    }

    /// Whether a topic is part of a question.
    pub(super) fn concerns(&self, topic: crate::engine::TopicHandle) -> bool {
        self.0
            .values()
            .flat_map(|operation| &operation.entries)
            .any(|entry| entry.key.topic == topic)
    }
}

fn leader(cluster: &Cluster, key: PartitionKey) -> Option<(NodeId, i32)> {
    let partition = cluster
        .topic(key.topic)?
        .partitions
        .get(usize::try_from(key.partition).ok()?)?;
    Some((partition.leader?, partition.leader_epoch))
}

impl ConsumerRole {
    /// Begins to look offsets up.
    pub(super) fn list_offsets(
        &mut self,
        spec: OffsetSpec,
        partitions: &[TopicPartition],
        cx: &mut Cx<'_>,
    ) -> OpId {
        let op = self.next_op();
        // A request may name a partition once only.
        let mut names = sorted(partitions.to_vec(), &TopicPartition::cmp);
        names.dedup();
        let entries = names
            .into_iter()
            .map(|name| Entry {
                key: PartitionKey {
                    topic: cx.cluster.want_topic(&name.topic),
                    partition: name.partition,
                },
                name,
                state: EntryState::Due,
            })
            .collect();
        let deadline = cx.cluster.arm(
            cx.now() + OPERATION_TIMEOUT,
            timer(
                timers::OPERATION_DEADLINE,
                op,
                "a lookup of offsets takes too long",
            ),
        );
        let operation = Operation {
            spec,
            entries,
            since: cx.now(),
            attempts: 0,
            retry: None,
            deadline,
        };
        self.operations.0.insert(op, operation);
        if self.life == Life::Open {
            self.settle_operation(op, cx);
        } else {
            self.end_operation(op, cx);
        }
        op
    }

    /// Metadata may say whom to ask.
    pub(super) fn operations_on_metadata(&mut self, cx: &mut Cx<'_>) {
        let ops: Vec<OpId> = self.operations.0.keys().copied().collect();
        for op in ops {
            self.settle_operation(op, cx);
        }
    }

    /// Has leaders asked, waits where that is needed, or ends.
    pub(super) fn settle_operation(&mut self, op: OpId, cx: &mut Cx<'_>) {
        let Some(operation) = self.operations.0.get_mut(&op) else {
            return;
        };
        let age = cx.now().since(operation.since);
        let (mut done, mut wait) = (true, false);
        for entry in &mut operation.entries {
            if let EntryState::Due = entry.state {
                match leader(cx.cluster, entry.key) {
                    Some((node, _)) => {
                        let index = self.brokers.of(node);
                        self.brokers.touch(index);
                    }
                    None => {
                        wait = true;
                        if let Some(error) = missing(missing_of(cx.cluster, entry.key), age) {
                            entry.state = EntryState::Done(Err(entry.place(error)));
                        }
                    }
                }
            }
            match entry.state {
                EntryState::Done(_) => {}
                EntryState::Backoff(_) => (done, wait) = (false, true),
                EntryState::Due | EntryState::InFlight(_) => done = false,
            }
        }
        if done {
            return self.end_operation(op, cx);
        }
        if wait && operation.retry.is_none() {
            let attempts = operation.attempts;
            operation.attempts = attempts.saturating_add(1);
            let at = cx.now() + self.retry_wait(attempts);
            let armed = cx.cluster.arm(
                at,
                timer(timers::OPERATION, op, "a lookup of offsets is tried again"),
            );
            if let Some(operation) = self.operations.0.get_mut(&op) {
                operation.retry = Some(armed);
            }
        }
    }

    pub(super) fn send_operations(&mut self, node: NodeId, versions: Versions, cx: &mut Cx<'_>) {
        let ops: Vec<OpId> = self.operations.0.keys().copied().collect();
        for op in ops {
            let Some(operation) = self.operations.0.get_mut(&op) else {
                continue;
            };
            let timestamp = timestamp_of_spec(operation.spec);
            let (mut asked, mut questions) = (Vec::new(), Vec::new());
            let mut refused = false;
            for (index, entry) in operation.entries.iter_mut().enumerate() {
                let Some((leader, epoch)) = leader(cx.cluster, entry.key) else {
                    continue;
                };
                if !matches!(entry.state, EntryState::Due) || leader != node {
                    continue;
                }
                if !can_look_up(operation.spec, versions.list_offsets) {
                    let feature = alloc::format!("looking up {:?}", operation.spec);
                    let error = Error::new(ErrorKind::Unsupported { feature })
                        .at_broker(Peer::Broker(node));
                    entry.state = EntryState::Done(Err(entry.place(error)));
                    refused = true;
                    continue;
                }
                asked.push(Asked {
                    key: entry.key,
                    who: Who::Operation(op, index),
                });
                questions.push((entry.key, epoch, timestamp));
            }
            if !questions.is_empty() {
                let indices: Vec<Who> = asked.iter().map(|asked| asked.who).collect();
                let token = self.send_list_offsets(node, &questions, asked, cx);
                for who in indices {
                    if let Who::Operation(op, index) = who
                        && let Some(entry) = self.operations.entry(op, index)
                    {
                        entry.state = EntryState::InFlight(token);
                    }
                }
            }
            if refused {
                self.settle_operation(op, cx);
            }
        }
    }

    pub(super) fn on_operation_timer(&mut self, index: u32, cx: &mut Cx<'_>) {
        let op = OpId(u64::from(index));
        if let Some(operation) = self.operations.0.get_mut(&op) {
            operation.retry = None;
            for entry in &mut operation.entries {
                if let EntryState::Backoff(_) = entry.state {
                    entry.state = EntryState::Due;
                }
            }
        }
        self.settle_operation(op, cx);
    }

    pub(super) fn on_operation_deadline(&mut self, index: u32, cx: &mut Cx<'_>) {
        let op = OpId(u64::from(index));
        for entry in self.operations.entries(op) {
            let last = match &entry.state {
                EntryState::Done(_) => continue,
                EntryState::Backoff(error) => Some(error.clone()),
                EntryState::Due | EntryState::InFlight(_) => None,
            };
            let mut error = entry.place(Error::new(ErrorKind::TimedOut {
                after: OPERATION_TIMEOUT,
            }));
            if let Some(last) = last {
                error = error.with_detail(last);
            }
            entry.state = EntryState::Done(Err(error));
        }
        self.end_operation(op, cx);
    }

    fn end_operation(&mut self, op: OpId, cx: &mut Cx<'_>) {
        let Some(operation) = self.drop_operation(op, cx) else {
            return;
        };
        let found = operation
            .entries
            .into_iter()
            .map(|entry| {
                let result = match entry.state {
                    EntryState::Done(result) => result,
                    EntryState::Backoff(error) => Err(error),
                    EntryState::Due | EntryState::InFlight(_) => {
                        Err(Error::new(ErrorKind::Closed).in_step(Step::ListOffsets))
                    }
                };
                (entry.name, result)
            })
            .collect();
        cx.emit(ConsumerEvent::Offsets { op, found });
    }

    /// No question is answered any more.
    pub(super) fn close_operations(&mut self, cx: &mut Cx<'_>) {
        let ops: Vec<OpId> = self.operations.0.keys().copied().collect();
        for op in ops {
            self.end_operation(op, cx);
        }
    }

    /// Nobody waits for the operation any more.
    pub(super) fn detach_operation(&mut self, op: OpId, cx: &mut Cx<'_>) {
        let _ = self.drop_operation(op, cx);
    }

    fn drop_operation(&mut self, op: OpId, cx: &mut Cx<'_>) -> Option<Operation> {
        let operation = self.operations.0.remove(&op)?;
        cx.cluster.disarm(operation.deadline);
        if let Some(retry) = operation.retry {
            cx.cluster.disarm(retry);
        }
        for entry in &operation.entries {
            self.forget_if_unused(entry.key.topic, cx);
        }
        Some(operation)
    }
}

/// What metadata does not have of a partition without a leader.
pub(super) fn missing_of(cluster: &Cluster, key: PartitionKey) -> Missing {
    use crate::cluster::TopicState;
    let Some(topic) = cluster.topic(key.topic) else {
        return Missing::Metadata;
    };
    match topic.state {
        TopicState::Asked { .. } => Missing::Metadata,
        TopicState::Failed { code, .. } => Missing::Topic(code),
        TopicState::Known => {
            match usize::try_from(key.partition).is_ok_and(|index| index < topic.partitions.len()) {
                true => Missing::Leader,
                false => Missing::Partition {
                    partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
                },
            }
        }
    }
}

/// The answer for a partition that is missing, once that is certain enough.
fn missing(missing: Missing, age: Duration) -> Option<Error> {
    match missing {
        Missing::Metadata | Missing::Leader => None,
        Missing::Partition { partitions } => {
            Some(Error::new(ErrorKind::UnknownPartition { partitions }))
        }
        Missing::Topic(code) if code.is_retriable() && age < UNKNOWN_AFTER => None,
        Missing::Topic(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
            Some(Error::new(ErrorKind::UnknownTopic))
        }
        Missing::Topic(code) => Some(Error::new(ErrorKind::Broker(code))),
    }
}

fn timer(kind: u8, op: OpId, why: &'static str) -> RoleTimer {
    RoleTimer {
        kind,
        index: u32::try_from(op.0).unwrap_or(u32::MAX),
        why,
    }
}
