//! Owns the producer's public face: an engine, and its commands as methods.
//!
//! Must not know any state of its own: everything is in the role and below.

use super::append::topic_status;
use super::command::{
    AppendError, Appended, BlockedOn, ProducerCommand, ProducerEvent, ProducerReply, TopicStatus,
};
use super::role::Producer;
use crate::budget::Category;
use crate::client::Client;
use crate::cluster::Settings;
use crate::config::ProducerConfig;
use crate::engine::{Engine, Input, OpId, Output, RawRequest, TopicHandle};
use crate::error::Error;
use crate::metrics::ProducerMetrics;
use crate::record::RecordRef;
use crate::status::Status;
use crate::time::{Instant, UnixMillis};

/// A producer as a pure state machine.
///
/// Records go in by [`append`](Self::append), which gives tickets; what became of each ticket comes out as
/// [`ProducerEvent::Outcome`], exactly once. Everything else is for a driver: see [`Engine`].
#[derive(Debug)]
pub struct ProducerEngine {
    client: Client<Producer>,
}

impl ProducerEngine {
    /// A producer that has not sent anything yet. `entropy` must be unpredictable and used once; `now` and `wall` are
    /// the driver's clocks.
    ///
    /// # Errors
    /// The configuration is not valid; the error names the key.
    pub fn new(
        config: &ProducerConfig,
        entropy: [u8; 32],
        now: Instant,
        wall: UnixMillis,
    ) -> Result<Self, Error> {
        config.validate()?;
        let settings = Settings::new(&config.common)
            .max_in_flight(config.max_in_flight)
            .producer_memory(config.buffer_memory);
        let role = Producer::new(config, &entropy);
        Ok(Self {
            client: Client::new(role, settings, entropy, now, wall),
        })
    }

    /// The handle of a topic, which is asked for and kept fresh from now on. The same name gives the same handle.
    ///
    /// # Errors
    /// The name cannot be a topic's: it is empty, too long, or has other characters than `a-z A-Z 0-9 . _ -`.
    pub fn topic(&mut self, name: &str, now: Instant) -> Result<TopicHandle, Error> {
        super::append::check_topic_name(name)?;
        Ok(self.client.step(now, |role, cx| role.topic(name, cx)))
    }

    /// What is known of a topic: for whoever waits for its metadata and wants to say why that took so long.
    #[must_use]
    pub fn topic_status(&self, topic: TopicHandle) -> TopicStatus {
        topic_status(self.client.cluster.topic(topic))
    }

    /// How many bytes of the budget are held for `category` now.
    #[must_use]
    pub fn memory_used(&self, category: Category) -> usize {
        self.client.cluster.memory_used(category)
    }

    /// How many bytes of the budget could be taken for `category` now.
    #[must_use]
    pub fn memory_free(&self, category: Category) -> usize {
        self.client.cluster.memory_free(category)
    }

    /// What was counted until now, and how things stand. It changes nothing, and costs nothing while nobody asks.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        self.client.role.metrics(&self.client.cluster)
    }

    /// How everything stands: brokers and their sockets, each partition that has records without an outcome and what they
    /// wait for, memory. Printed, it fits a terminal. It changes nothing.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        self.client.role.status(&self.client.cluster, now)
    }

    /// Accepts records: the longest prefix that goes to one partition and for which there is memory, at least one.
    ///
    /// Without a `partition` the key decides as in Java; records without a key stay with one partition until a batch
    /// is full. Each record is copied once, into the batch that is sent; nothing is allocated for it.
    ///
    /// # Errors
    /// Nothing was accepted. [`AppendError::Blocked`] registers interest: [`ProducerEvent::Unblocked`] follows.
    /// [`AppendError::Refused`] says what is wrong with the first record or the call.
    #[inline]
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
        now: Instant,
    ) -> Result<Appended, AppendError> {
        self.client
            .step(now, |role, cx| role.append(topic, partition, records, cx))
    }

    /// Withdraws the interest that a [`AppendError::Blocked`] registered, when nobody waits any more.
    pub fn cancel_wait(&mut self, on: BlockedOn, topic: TopicHandle, now: Instant) {
        self.client.step(now, |role, _| role.cancel_wait(on, topic));
    }

    /// Sends what is there without waiting for more; [`ProducerEvent::Flushed`] follows when every record accepted
    /// before has its outcome. It does not wait for later ones.
    pub fn flush(&mut self, now: Instant) -> OpId {
        self.client.step(now, |role, cx| role.flush(cx))
    }

    /// Sends any request; [`ProducerEvent::Response`] follows.
    pub fn request(&mut self, request: &RawRequest, now: Instant) -> OpId {
        self.client.step(now, |role, cx| role.request(request, cx))
    }

    /// Nobody waits for the operation any more: no event follows. What may have reached a broker runs to its end.
    pub fn detach(&mut self, op: OpId, now: Instant) {
        self.client.step(now, |role, cx| role.detach(op, cx));
    }

    /// Accepts nothing more, delivers what it can until `deadline`, gives the rest an outcome, and closes all sockets;
    /// [`ProducerEvent::Closed`] follows and says what was left undone. When called again, the earlier deadline holds.
    pub fn close(&mut self, deadline: Instant, now: Instant) -> OpId {
        self.client.step(now, |role, cx| role.close(deadline, cx))
    }
}

impl Engine for ProducerEngine {
    type Command<'a> = ProducerCommand<'a>;
    type Reply = ProducerReply;
    type Event = ProducerEvent;

    fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.client.handle(input, now);
    }

    fn command(&mut self, command: ProducerCommand<'_>, now: Instant) -> ProducerReply {
        match command {
            ProducerCommand::Topic { name } => ProducerReply::Topic(self.topic(name, now)),
            ProducerCommand::Append {
                topic,
                partition,
                records,
            } => ProducerReply::Appended(self.append(topic, partition, records, now)),
            ProducerCommand::CancelWait { on, topic } => {
                self.cancel_wait(on, topic, now);
                ProducerReply::Done
            }
            ProducerCommand::Flush => ProducerReply::Op(self.flush(now)),
            ProducerCommand::Request(request) => ProducerReply::Op(self.request(&request, now)),
            ProducerCommand::Detach { op } => {
                self.detach(op, now);
                ProducerReply::Done
            }
            ProducerCommand::Close { deadline } => ProducerReply::Op(self.close(deadline, now)),
        }
    }

    fn poll_output(&mut self) -> Output<ProducerEvent> {
        self.client.poll_output()
    }

    fn needs_drive(&self, armed: Option<Instant>) -> bool {
        self.client.needs_drive(armed)
    }
}
