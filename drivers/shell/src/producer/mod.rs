//! Owns the producer that users hold.
//!
//! Must not know sockets or tasks: it steps the engine under the lock and waits at its own slots and lines.

mod delivery;
mod hub;
mod record;
mod slot;

use std::future::poll_fn;
use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll};

use klamm::config::ProducerConfig;
use klamm::metrics::ProducerMetrics;
use klamm::record::{NO_TIMESTAMP, RecordRef};
use klamm::status::Status;
use klamm::{
    Category, CloseReport, Duration, Error, ErrorKind, Instant, ProducerCommand, ProducerEngine,
    RawRequest, RawResponse, TopicHandle, TopicStatus, UnixMillis,
};

use self::delivery::Part;
pub use self::delivery::{
    BatchDelivery, BatchOutcome, BatchRefused, Delivery, NotAccepted, Receipt, SendError,
};
pub(crate) use self::hub::ProducerHub;
use self::hub::{LineKey, Tried};
pub use self::record::{NewRecord, Target};
use self::slot::Place;
use crate::ops::{Ops, operation};
use crate::options::Options;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::start::start;
use crate::state::State;
use crate::wait::WaitId;

/// Writes records to Kafka.
///
/// Clones are handles to one producer, with its own sockets and one `buffer.memory`; records of one partition get to
/// the log in the order in which they were accepted, whichever handle they came by. When the last handle is dropped,
/// everything ends at once, without waiting: what was accepted and has no outcome yet gets one
/// ([`SendError::Rejected`] if it never left). [`close`](Self::close) is the way to end in good order.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared<ProducerHub>>,
    max_block: Duration,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    /// Starts a producer on a runtime. Nothing is asked of any broker before there is a reason.
    ///
    /// # Errors
    /// The configuration is not valid, or the operating system gives no entropy.
    pub fn start(config: &ProducerConfig, runtime: impl Runtime) -> Result<Self, Error> {
        Self::start_with(config, runtime, Options::new())
    }

    /// Starts a producer of which everything that happens to the engine is recorded into `sink`, for a replay. It costs
    /// several times the CPU, and the recording holds all records.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub fn start_recorded(
        config: &ProducerConfig,
        runtime: impl Runtime,
        sink: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start_with(config, runtime, Options::new().record(sink))
    }

    /// Starts a producer with what no property can say: TLS of the user's own making, a source of tokens, a recording.
    ///
    /// # Errors
    /// See [`start`](Self::start); and the files that the `ssl.` properties name cannot be read.
    pub fn start_with(
        config: &ProducerConfig,
        runtime: impl Runtime,
        options: Options,
    ) -> Result<Self, Error> {
        let shared = start(
            runtime,
            ProducerHub::default(),
            &config.common,
            options,
            || config.effective_config(),
            config.ignored(),
            |entropy, now, wall| ProducerEngine::new(config, entropy, now, wall),
        )?;
        let max_block = config.max_block;
        let inner = Arc::new(Inner { shared, max_block });
        Ok(Self { inner })
    }

    /// The handle of a topic, which saves looking its name up for each record. The topic is asked for and kept fresh
    /// from now on.
    ///
    /// # Errors
    /// The name cannot be a topic's.
    pub fn topic(&self, name: &str) -> Result<TopicHandle, Error> {
        self.shared()
            .step(|state, _, now| state.topic(name.into(), now))
    }

    /// How many partitions a topic has, for whoever chooses among them ([`NewRecord::partition`]); `None` while that is
    /// not known. A topic that was sent to, or asked for by [`topic`](Self::topic), is known soon after.
    #[must_use]
    pub fn partitions(&self, topic: TopicHandle) -> Option<i32> {
        match self.shared().lock().engine().topic_status(topic) {
            TopicStatus::Known { partitions } => Some(partitions),
            TopicStatus::Asked | TopicStatus::Failed(_) => None,
        }
    }

    /// What was counted until now, under Kafka's names where Kafka has one. Nothing is counted for it that is not counted
    /// anyway: ask as often as you like.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        self.shared().lock().engine().metrics()
    }

    /// How everything stands: brokers and their sockets, each partition that has records without an outcome and what they
    /// wait for, memory. Printed, it fits a terminal of 80 columns.
    #[must_use]
    pub fn status(&self) -> Status {
        let now = self.shared().now();
        self.shared().lock().engine().status(now)
    }

    /// The wall clock that records without a timestamp get, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        let UnixMillis(millis) = self.shared().wall_at(self.shared().now());
        millis
    }

    /// Sends a record and waits for its outcome.
    ///
    /// Cancel safety: dropped before the record was accepted, it is not sent; after that, it is, and only the outcome
    /// is not told. To know which, use [`enqueue`](Self::enqueue).
    ///
    /// # Errors
    /// The record is not known to be written; the error says whether it may be.
    pub async fn send(&self, record: NewRecord<'_>) -> Result<Receipt, SendError> {
        let delivery = self.enqueue(record).await;
        delivery.map_err(SendError::Rejected)?.await
    }

    /// Has a record accepted, and gives the future of its outcome. Where the topic is not known yet or `buffer.memory`
    /// is full, it waits for `max.block.ms` at the most; those who wait are served in the order in which they came.
    ///
    /// The order in which records of a partition are accepted is their order in the log.
    ///
    /// Cancel safety: dropped before it is ready, the record is not sent.
    ///
    /// # Errors
    /// The record was not accepted: it is not written, and will not be.
    pub async fn enqueue(&self, record: NewRecord<'_>) -> Result<Delivery, Error> {
        let mut waiting = Waiting::new(self);
        poll_fn(|cx| {
            let shared = self.shared();
            waiting.poll_append(cx, |state, place, now| {
                let mut as_ref = record.as_ref();
                if record.timestamp.is_none() {
                    as_ref.timestamp = shared.wall_at(now).0;
                }
                let records = std::slice::from_ref(&as_ref);
                match state.try_append(record.topic, record.partition, records, place, now) {
                    Tried::Accepted(topic, appended) => {
                        Ok(state.deliver_one(topic, appended.partition, appended.tickets.start))
                    }
                    Tried::Blocked(key) => Err(NotYet::Blocked(key)),
                    Tried::Refused(error) => Err(NotYet::Never(error)),
                }
            })
        })
        .await
    }

    /// Has a record accepted at once, or gives it back.
    ///
    /// # Errors
    /// The record is given back with the reason: [`ErrorKind::BufferFull`] when `buffer.memory` is full or others wait
    /// for it, [`ErrorKind::TimedOut`] while the topic is not known yet.
    pub fn try_enqueue<'a>(&self, record: NewRecord<'a>) -> Result<Delivery, NotAccepted<'a>> {
        let result = self.shared().step(|state, _, now| {
            let mut as_ref = record.as_ref();
            if record.timestamp.is_none() {
                as_ref.timestamp = self.shared().wall_at(now).0;
            }
            let records = std::slice::from_ref(&as_ref);
            match state.try_append(record.topic, record.partition, records, None, now) {
                Tried::Accepted(topic, appended) => {
                    Ok(state.deliver_one(topic, appended.partition, appended.tickets.start))
                }
                Tried::Blocked(key) => {
                    let error = state.not_now(key, &as_ref, now);
                    Err(state.place(error, record.topic, record.partition))
                }
                Tried::Refused(error) => Err(error),
            }
        });
        result.map_err(|error| NotAccepted { record, error })
    }

    /// Has many records accepted, and gives one future for all their outcomes: the cheapest way to write. It waits like
    /// [`enqueue`](Self::enqueue), for `max.block.ms` each time.
    ///
    /// Each record has its own timestamp; one without any ([`NO_TIMESTAMP`]) gets the time of this call.
    ///
    /// Cancel safety: records that were accepted before it was dropped are sent, and their outcomes are not told.
    /// [`try_enqueue_all`](Self::try_enqueue_all) tells how many were.
    ///
    /// # Errors
    /// A record was not accepted, nor those after it. Those before it were.
    pub async fn enqueue_all<'a>(
        &self,
        topic: impl Into<Target<'a>>,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
    ) -> Result<BatchDelivery, BatchRefused> {
        let topic = topic.into();
        let mut accepted = BatchDelivery::default();
        while accepted.accepted() < records.len() {
            let mut waiting = Waiting::new(self);
            let result = poll_fn(|cx| {
                waiting.poll_append(cx, |state, place, now| {
                    self.append_some(state, topic, partition, records, &mut accepted, place, now)
                })
            })
            .await;
            if let Err(error) = result {
                return Err(BatchRefused { accepted, error });
            }
        }
        Ok(accepted)
    }

    /// Has as many of the records accepted at once as there is room for. See [`enqueue_all`](Self::enqueue_all).
    ///
    /// # Errors
    /// A record was not accepted, nor those after it; why, says the error, as for [`try_enqueue`](Self::try_enqueue).
    pub fn try_enqueue_all<'a>(
        &self,
        topic: impl Into<Target<'a>>,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
    ) -> Result<BatchDelivery, BatchRefused> {
        let topic = topic.into();
        let mut accepted = BatchDelivery::default();
        let result = self.shared().step(|state, _, now| {
            while let Some(first) = records.get(accepted.accepted()) {
                let all = &mut accepted;
                match self.append_some(state, topic, partition, records, all, None, now) {
                    Ok(()) => {}
                    Err(NotYet::Blocked(key)) => {
                        let error = state.not_now(key, first, now);
                        return Err(state.place(error, topic, partition));
                    }
                    Err(NotYet::Never(error)) => return Err(error),
                }
            }
            Ok(())
        });
        match result {
            Ok(()) => Ok(accepted),
            Err(error) => Err(BatchRefused { accepted, error }),
        }
    }

    /// Appends what the engine takes at once, until all are taken or it takes no more.
    #[allow(clippy::too_many_arguments, reason = "one step of two callers")]
    fn append_some(
        &self,
        state: &mut State<ProducerHub>,
        topic: Target<'_>,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
        accepted: &mut BatchDelivery,
        place: Option<(WaitId, LineKey)>,
        now: Instant,
    ) -> Result<(), NotYet> {
        while let Some(rest) = records.get(accepted.accepted()..)
            && let Some(first) = rest.first()
        {
            let mut stamped = [*first; STAMPED_MAX];
            let rest = if first.timestamp == NO_TIMESTAMP {
                stamp(&mut stamped, rest, self.shared().wall_at(now))
            } else {
                let bare = rest
                    .iter()
                    .position(|record| record.timestamp == NO_TIMESTAMP);
                rest.get(..bare.unwrap_or(rest.len())).unwrap_or_default()
            };
            match state.try_append(topic, partition, rest, place, now) {
                Tried::Accepted(topic, appended) => state.deliver_part(topic, appended, accepted),
                Tried::Blocked(key) => return Err(NotYet::Blocked(key)),
                Tried::Refused(error) => return Err(NotYet::Never(error)),
            }
        }
        Ok(())
    }

    /// Sends what is there without lingering, and waits until every record accepted before has its outcome. It does not
    /// wait for records that are accepted meanwhile.
    ///
    /// Cancel safety: dropped, nothing waits any more; the records are sent all the same.
    ///
    /// # Errors
    /// The producer was dropped or its runtime shut down.
    pub async fn flush(&self) -> Result<(), Error> {
        self.operation(ProducerCommand::Flush, |hub| &mut hub.flushes)
            .await
    }

    /// Sends any request to a broker, by number and bytes, and waits for the answer.
    ///
    /// Cancel safety: dropped, the request runs to its end and its answer is not told.
    ///
    /// # Errors
    /// There was no answer, and why.
    pub async fn request(&self, request: RawRequest) -> Result<RawResponse, Error> {
        self.operation(ProducerCommand::Request(request), |hub| &mut hub.responses)
            .await?
    }

    /// Accepts nothing more, delivers what it can until `within` has passed, and closes all sockets. Every accepted
    /// record has its outcome then; the report counts those that were given up.
    ///
    /// Cancel safety: dropped, the closing goes on.
    ///
    /// # Errors
    /// The runtime shut down first.
    pub async fn close(&self, within: Duration) -> Result<CloseReport, Error> {
        let deadline = self.shared().now() + within;
        self.operation(ProducerCommand::Close { deadline }, |hub| &mut hub.closes)
            .await
    }

    /// One longer operation.
    async fn operation<T>(
        &self,
        command: ProducerCommand<'_>,
        ops: fn(&mut ProducerHub) -> &mut Ops<T>,
    ) -> Result<T, Error> {
        operation(self.shared(), command, ops).await
    }

    fn shared(&self) -> &Arc<Shared<ProducerHub>> {
        &self.inner.shared
    }
}

/// How many records without a timestamp are given one at a time.
const STAMPED_MAX: usize = 32;

/// Copies the records at the head of `rest` that have no timestamp, and gives them one.
fn stamp<'a, 'r>(
    stamped: &'a mut [RecordRef<'r>; STAMPED_MAX],
    rest: &[RecordRef<'r>],
    now: UnixMillis,
) -> &'a [RecordRef<'r>] {
    let mut count = 0;
    let bare = rest
        .iter()
        .take_while(|record| record.timestamp == NO_TIMESTAMP);
    for (place, record) in stamped.iter_mut().zip(bare) {
        *place = *record;
        place.timestamp = now.0;
        count += 1;
    }
    stamped.get(..count).unwrap_or_default()
}

/// Why a try did not succeed.
enum NotYet {
    Blocked(LineKey),
    Never(Error),
}

/// Somebody who wants records accepted, and perhaps waits in a line for it. Dropped, the place is given up.
struct Waiting<'a> {
    producer: &'a Producer,
    /// Until when, and how often brokers had refused this client when the wait began.
    since: Option<(Instant, u64)>,
    place: Option<(WaitId, LineKey)>,
}

impl<'a> Waiting<'a> {
    const fn new(producer: &'a Producer) -> Self {
        Self {
            producer,
            since: None,
            place: None,
        }
    }

    fn poll_append<T>(
        &mut self,
        cx: &Context<'_>,
        mut append: impl FnMut(
            &mut State<ProducerHub>,
            Option<(WaitId, LineKey)>,
            Instant,
        ) -> Result<T, NotYet>,
    ) -> Poll<Result<T, Error>> {
        let max_block = self.producer.inner.max_block;
        self.producer.shared().step(|state, after, now| {
            if state.is_stopped() {
                return Poll::Ready(Err(Error::new(ErrorKind::Closed)));
            }
            let key = match append(state, self.place, now) {
                Ok(value) => {
                    state.leave(self.place.take(), now, after);
                    return Poll::Ready(Ok(value));
                }
                Err(NotYet::Never(error)) => {
                    state.leave(self.place.take(), now, after);
                    return Poll::Ready(Err(error));
                }
                Err(NotYet::Blocked(key)) => key,
            };
            let (deadline, refusals) = *self
                .since
                .get_or_insert_with(|| (now + max_block, state.refusals()));
            if let Some(error) = state.refused_since(key, refusals) {
                state.leave(self.place.take(), now, after);
                return Poll::Ready(Err(error));
            }
            if now >= deadline {
                state.leave(self.place.take(), now, after);
                let error = state.blocked_too_long(key, max_block);
                return Poll::Ready(Err(error));
            }
            state.wait_in_line(&mut self.place, key, deadline, cx, after);
            Poll::Pending
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.producer.shared().step(|state, after, now| {
                state.leave(self.place.take(), now, after);
            });
        }
    }
}

impl State<ProducerHub> {
    fn deliver_one(&mut self, topic: TopicHandle, partition: i32, ticket: u64) -> Delivery {
        let slot = self.role.slots(topic, partition).one(ticket);
        Delivery {
            partition,
            ticket,
            slot,
            place: Place::default(),
        }
    }

    fn deliver_part(
        &mut self,
        topic: TopicHandle,
        appended: klamm::Appended,
        accepted: &mut BatchDelivery,
    ) {
        let first = accepted.accepted();
        let slots = self.role.slots(topic, appended.partition);
        let slot = slots.range(appended.tickets.clone());
        accepted.parts.push(Part {
            first,
            partition: appended.partition,
            tickets: appended.tickets,
            slot,
            place: Place::default(),
        });
    }

    /// Adds to an error where the record was to go.
    fn place(&self, error: Error, topic: Target<'_>, partition: Option<i32>) -> Error {
        let name = match topic {
            Target::Name(name) => name,
            Target::Handle(handle) => self.topic_name(handle),
        };
        let error = error.on_topic(name);
        match partition {
            Some(partition) => error.on_partition(partition),
            None => error,
        }
    }

    /// What to say to one who does not want to wait.
    fn not_now(&mut self, key: LineKey, record: &RecordRef<'_>, now: Instant) -> Error {
        self.withdraw(key, now);
        match key {
            LineKey::Memory => {
                let needed =
                    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                let free = self.engine().memory_free(Category::Producer);
                Error::new(ErrorKind::BufferFull { needed, free })
                    .in_step(klamm::Step::Produce)
                    .with_hint("wait with `enqueue`, produce more slowly, or raise `buffer.memory`")
            }
            LineKey::Metadata(topic) => Error::new(ErrorKind::TimedOut {
                after: Duration::ZERO,
            })
            .in_step(klamm::Step::Metadata)
            .on_topic(self.topic_name(topic))
            .with_hint("the topic is being asked for: try again, or wait with `enqueue`"),
        }
    }
}
