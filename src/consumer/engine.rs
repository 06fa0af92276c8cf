//! Owns the consumer's public face: an engine, and its commands as methods.
//!
//! Must not know any state of its own: everything is in the role and below.

use alloc::vec::Vec;

use super::PartitionKey;
use super::assignment::not_assigned;
use super::command::{ConsumerCommand, ConsumerReply};
use super::lent::BatchId;
use super::partition::Partition;
use super::role::ConsumerRole;
use super::types::{
    Assignment, ConsumerEvent, LentBatch, OffsetSpec, RebalanceId, RebalanceListener, Return, Start,
};
use crate::budget::Category;
use crate::client::Client;
use crate::cluster::Settings;
use crate::config::ConsumerConfig;
use crate::engine::{Engine, Input, OpId, Output, RawRequest, TopicPartition};
use crate::error::Error;
use crate::group::OffsetAndMetadata;
use crate::metrics::ConsumerMetrics;
use crate::status::{Explanation, Status};
use crate::time::{Instant, UnixMillis};

/// A consumer as a pure state machine.
///
/// Batches come out by [`next_batch`](Self::next_batch) and go back by [`return_batch`](Self::return_batch); the
/// position follows what is returned. Everything else is for a driver: see [`Engine`].
#[derive(Debug)]
pub struct ConsumerEngine {
    client: Client<ConsumerRole>,
}

impl ConsumerEngine {
    /// A consumer that has not sent anything yet. `entropy` must be unpredictable and used once; `now` and `wall` are
    /// the driver's clocks.
    ///
    /// # Errors
    /// The configuration is not valid; the error names the key.
    pub fn new(
        config: &ConsumerConfig,
        entropy: [u8; 32],
        now: Instant,
        wall: UnixMillis,
    ) -> Result<Self, Error> {
        config.validate()?;
        let settings = Settings::new(&config.common);
        let role = ConsumerRole::new(config, &entropy);
        Ok(Self {
            client: Client::new(role, settings, entropy, now, wall),
        })
    }

    /// Reads exactly these partitions from now on, instead of those before; none at all stops all fetching. Not one
    /// record of the assignment before comes out afterwards. No group is involved.
    ///
    /// A partition that does not exist is told by [`ConsumerEvent::PartitionError`], and picked up once it does.
    ///
    /// # Errors
    /// A name, number or offset that cannot be, or the consumer is closed. Nothing changes.
    pub fn assign(&mut self, assignments: &[Assignment<'_>], now: Instant) -> Result<(), Error> {
        self.client.step(now, |role, cx| {
            let result = role.assign(assignments, cx);
            role.pump(cx);
            result
        })
    }

    /// Reads topics as a member of the group `group.id`, which shares their partitions out among all members; none at all
    /// leaves the group, as the listener of before has it. Subscribing again replaces the topics of before. The consumer joins by itself, and
    /// [`ConsumerEvent::Rebalance`] tells what comes and goes; each partition begins where the group has committed, or by
    /// `auto.offset.reset`.
    ///
    /// With [`RebalanceListener::Asked`] each such event waits for [`rebalance_done`](Self::rebalance_done), for
    /// `max.poll.interval.ms` at the most. With `enable.auto.commit` what was dealt with (see
    /// [`begin_poll`](Self::begin_poll)) is committed every `auto.commit.interval.ms`, before partitions go, and when the
    /// consumer closes.
    ///
    /// If batches are to be had and nobody calls [`next_batch`](Self::next_batch) for `max.poll.interval.ms`, the consumer
    /// leaves its group, says so by [`ConsumerEvent::Problem`], and joins again with the next call.
    ///
    /// # Errors
    /// [`ErrorKind::NoGroupId`](crate::ErrorKind::NoGroupId) without a `group.id`; a name that cannot be; partitions are
    /// assigned by hand ([`ErrorKind::Misuse`](crate::ErrorKind::Misuse)); the consumer is closed. Nothing changes.
    pub fn subscribe(
        &mut self,
        topics: &[&str],
        listener: RebalanceListener,
        now: Instant,
    ) -> Result<(), Error> {
        self.client.step(now, |role, cx| {
            let result = role.subscribe(topics, listener, cx);
            role.pump(cx);
            result
        })
    }

    /// The same, of all topics that match `pattern`, now and later, but the internal ones. What a pattern may say:
    /// [`TopicPattern`](crate::TopicPattern). By the consumer protocol the coordinator matches, by the classic one this
    /// client, every `metadata.max.age.ms`.
    ///
    /// # Errors
    /// The text is no pattern ([`ErrorKind::Misuse`](crate::ErrorKind::Misuse)), and as [`subscribe`](Self::subscribe).
    /// Nothing changes.
    pub fn subscribe_pattern(
        &mut self,
        pattern: &str,
        listener: RebalanceListener,
        now: Instant,
    ) -> Result<(), Error> {
        self.client.step(now, |role, cx| {
            let result = role.subscribe_pattern(pattern, listener, cx);
            role.pump(cx);
            result
        })
    }

    /// Answers [`ConsumerEvent::Rebalance`]: partitions that come are fetched from here on, and of those that go not one
    /// more record comes out.
    ///
    /// # Errors
    /// It was answered before, its deadline has passed, or it has been overtaken by the loss of all partitions
    /// ([`ErrorKind::Misuse`](crate::ErrorKind::Misuse)). Nothing changes.
    pub fn rebalance_done(&mut self, id: RebalanceId, now: Instant) -> Result<(), Error> {
        self.client
            .step(now, |role, cx| role.rebalance_done(id, cx))
    }

    /// The application comes for more records: it has dealt with what was returned until now, and auto-commit covers that
    /// from here on. Call it before each round of [`next_batch`](Self::next_batch).
    pub fn begin_poll(&mut self, now: Instant) {
        self.client.step(now, |role, _| role.begin_poll());
    }

    /// The partitions that are read.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.client.role.assignment()
    }

    /// Goes on reading a partition elsewhere. What is buffered or lent of it is stale from here on: a stale batch must
    /// not be read further, and its return only frees memory. Also the way past a batch that cannot be read.
    ///
    /// # Errors
    /// The partition is not assigned, the offset is negative, or the consumer is closed. Nothing changes.
    pub fn seek(
        &mut self,
        topic: &str,
        partition: i32,
        to: Start,
        now: Instant,
    ) -> Result<(), Error> {
        self.client.step(now, |role, cx| {
            let result = role.seek(topic, partition, to, cx);
            role.pump(cx);
            result
        })
    }

    /// Hands nothing out of a partition, and fetches nothing for it, until it is resumed. A batch that is lent stays
    /// lent; what is buffered is kept.
    ///
    /// # Errors
    /// The partition is not assigned, or the consumer is closed.
    pub fn pause(&mut self, topic: &str, partition: i32, now: Instant) -> Result<(), Error> {
        self.client
            .step(now, |role, cx| role.pause(topic, partition, cx))
    }

    /// Takes a [`pause`](Self::pause) back.
    ///
    /// # Errors
    /// The partition is not assigned, or the consumer is closed.
    pub fn resume(&mut self, topic: &str, partition: i32, now: Instant) -> Result<(), Error> {
        self.client.step(now, |role, cx| {
            let result = role.resume(topic, partition, cx);
            role.pump(cx);
            result
        })
    }

    /// The next offset for the application; `None` while it is looked up.
    ///
    /// # Errors
    /// The partition is not assigned.
    pub fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>, Error> {
        self.find(topic, partition).map(Partition::offset)
    }

    /// How many offsets lie between the position and the end of what can be read, as a broker last said; `None` while
    /// no broker has said it.
    ///
    /// # Errors
    /// The partition is not assigned.
    pub fn lag(&self, topic: &str, partition: i32) -> Result<Option<i64>, Error> {
        self.find(topic, partition)
            .map(|partition| self.client.role.lag(partition))
    }

    /// What a partition is doing, why, and since when; also one that is not assigned, of a topic that is subscribed to.
    ///
    /// # Errors
    /// The partition is not assigned, and its topic not subscribed to.
    pub fn explain(&self, topic: &str, partition: i32) -> Result<Explanation, Error> {
        match self.find(topic, partition) {
            Ok(partition) => Ok(self.client.role.explain(partition)),
            Err(error) => self.client.role.explain_unassigned(topic).ok_or(error),
        }
    }

    /// What was counted until now, and how things stand. It changes nothing, and costs nothing while nobody asks.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        self.client.role.metrics(&self.client.cluster)
    }

    /// How everything stands: brokers and their sockets, the group, each partition and why it does what it does, memory.
    /// Printed, it fits a terminal. It changes nothing.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        self.client.role.status(&self.client.cluster, now)
    }

    fn find(&self, topic: &str, partition: i32) -> Result<&Partition, Error> {
        self.client
            .cluster
            .topic_by_name(topic)
            .and_then(|topic| {
                self.client
                    .role
                    .assigned
                    .find(PartitionKey { topic, partition })
            })
            .ok_or_else(|| not_assigned(topic, partition))
    }

    /// Lends the next batch; partitions take turns. After `None`, [`ConsumerEvent::Ready`] tells when there is one.
    #[inline]
    pub fn next_batch(&mut self, now: Instant) -> Option<LentBatch> {
        self.client.step(now, |role, cx| {
            let batch = role.next_batch(cx);
            role.pump(cx);
            batch
        })
    }

    /// Takes a batch back, read to its end or part-way. Drop its bytes first, so that their memory can be used again.
    ///
    /// # Errors
    /// The batch is not lent (any more). Nothing changes.
    #[inline]
    pub fn return_batch(&mut self, returned: Return, now: Instant) -> Result<(), Error> {
        self.client.step(now, |role, cx| {
            let result = role.return_batch(returned, cx);
            role.pump(cx);
            result
        })
    }

    /// [`return_batch`](Self::return_batch) and [`next_batch`](Self::next_batch) in one step. A return that fails does
    /// not keep the next batch back.
    #[inline]
    pub fn return_and_next(
        &mut self,
        returned: Return,
        now: Instant,
    ) -> (Result<(), Error>, Option<LentBatch>) {
        self.client.step(now, |role, cx| {
            let result = role.return_batch(returned, cx);
            let batch = role.next_batch(cx);
            role.pump(cx);
            (result, batch)
        })
    }

    /// Whether a lent batch may still be read: neither its partition was assigned anew nor its position moved since.
    #[must_use]
    pub fn is_current(&self, batch: BatchId) -> bool {
        self.client.role.is_current(batch)
    }

    /// Looks offsets up, each at its partition's leader; [`ConsumerEvent::Offsets`] follows, within a minute. The
    /// partitions need not be assigned.
    pub fn list_offsets(
        &mut self,
        spec: OffsetSpec,
        partitions: &[TopicPartition],
        now: Instant,
    ) -> OpId {
        self.client.step(now, |role, cx| {
            let op = role.list_offsets(spec, partitions, cx);
            role.pump(cx);
            op
        })
    }

    /// Commits offsets for the group `group.id`; [`ConsumerEvent::Committed`] follows, within a minute. Commits are sent
    /// in the order in which they are made. The partitions need not be assigned.
    ///
    /// A commit whose connection is lost is sent again. Where no answer comes in time it ends as
    /// [`CommitOutcome::Unknown`](crate::CommitOutcome::Unknown). A member's commit belongs to the assignment of when it
    /// is made: what is revoked before it could be sent is not committed. Without a subscription it works only while the
    /// group has no members, which the coordinator checks.
    ///
    /// # Errors
    /// [`ErrorKind::NoGroupId`](crate::ErrorKind::NoGroupId) without a `group.id`;
    /// [`ErrorKind::NotAMember`](crate::ErrorKind::NotAMember) with a subscription, while nothing is owned; a name, number or offset that cannot
    /// be; too many commits that wait already; the consumer is closed. Nothing changes.
    pub fn commit(
        &mut self,
        offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
        now: Instant,
    ) -> Result<OpId, Error> {
        self.client.step(now, |role, cx| role.commit(offsets, cx))
    }

    /// What is to be committed for the partitions whose positions are known: everything that was returned.
    #[must_use]
    pub fn consumed(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        self.client.role.consumed()
    }

    /// Looks up what the group `group.id` has committed; [`ConsumerEvent::CommittedOffsets`] follows, within a minute.
    ///
    /// # Errors
    /// [`ErrorKind::NoGroupId`](crate::ErrorKind::NoGroupId) without a `group.id`, or the consumer is closed.
    pub fn committed(
        &mut self,
        partitions: &[TopicPartition],
        now: Instant,
    ) -> Result<OpId, Error> {
        self.client
            .step(now, |role, cx| role.committed(partitions, cx))
    }

    /// Sends any request; [`ConsumerEvent::Response`] follows.
    pub fn request(&mut self, request: &RawRequest, now: Instant) -> OpId {
        self.client.step(now, |role, cx| role.request(request, cx))
    }

    /// Nobody waits for the result of an operation any more: no event follows, and its place is freed.
    pub fn detach(&mut self, op: OpId, now: Instant) {
        self.client.step(now, |role, cx| role.detach(op, cx));
    }

    /// Closes the consumer: nothing more is handed out, positions stay readable, and [`ConsumerEvent::Closed`] is the
    /// last event, not later than `deadline`. Each call is an operation of its own, with its own end.
    pub fn close(&mut self, deadline: Instant, now: Instant) -> OpId {
        self.client.step(now, |role, cx| role.close(deadline, cx))
    }

    /// How many bytes of `memory.budget` are in use for this.
    #[must_use]
    pub fn memory_used(&self, category: Category) -> usize {
        self.client.cluster.memory_used(category)
    }
}

impl Engine for ConsumerEngine {
    type Command<'a> = ConsumerCommand<'a>;
    type Reply = ConsumerReply;
    type Event = ConsumerEvent;

    fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.client.handle(input, now);
    }

    fn command(&mut self, command: ConsumerCommand<'_>, now: Instant) -> ConsumerReply {
        match command {
            ConsumerCommand::Assign(assignments) => {
                ConsumerReply::Done(self.assign(assignments, now))
            }
            ConsumerCommand::Subscribe { topics, listener } => {
                ConsumerReply::Done(self.subscribe(topics, listener, now))
            }
            ConsumerCommand::SubscribePattern { pattern, listener } => {
                ConsumerReply::Done(self.subscribe_pattern(pattern, listener, now))
            }
            ConsumerCommand::RebalanceDone { id } => {
                ConsumerReply::Done(self.rebalance_done(id, now))
            }
            ConsumerCommand::BeginPoll => {
                self.begin_poll(now);
                ConsumerReply::Done(Ok(()))
            }
            ConsumerCommand::Seek {
                topic,
                partition,
                to,
            } => ConsumerReply::Done(self.seek(topic, partition, to, now)),
            ConsumerCommand::Pause { topic, partition } => {
                ConsumerReply::Done(self.pause(topic, partition, now))
            }
            ConsumerCommand::Resume { topic, partition } => {
                ConsumerReply::Done(self.resume(topic, partition, now))
            }
            ConsumerCommand::NextBatch => ConsumerReply::Batch(self.next_batch(now)),
            ConsumerCommand::Return(returned) => {
                ConsumerReply::Done(self.return_batch(returned, now))
            }
            ConsumerCommand::ReturnAndNext(returned) => {
                let (result, batch) = self.return_and_next(returned, now);
                ConsumerReply::Returned(result, batch)
            }
            ConsumerCommand::ListOffsets { spec, partitions } => {
                ConsumerReply::Op(self.list_offsets(spec, &partitions, now))
            }
            ConsumerCommand::Commit { offsets } => ConsumerReply::Begun(self.commit(offsets, now)),
            ConsumerCommand::Committed { partitions } => {
                ConsumerReply::Begun(self.committed(&partitions, now))
            }
            ConsumerCommand::Request(request) => ConsumerReply::Op(self.request(&request, now)),
            ConsumerCommand::Detach { op } => {
                self.detach(op, now);
                ConsumerReply::Done(Ok(()))
            }
            ConsumerCommand::Close { deadline } => ConsumerReply::Op(self.close(deadline, now)),
        }
    }

    fn poll_output(&mut self) -> Output<ConsumerEvent> {
        self.client.poll_output()
    }

    fn needs_drive(&self, armed: Option<Instant>) -> bool {
        self.client.needs_drive(armed)
    }
}
