//! Owns the consumer that users hold.
//!
//! Must not know sockets or tasks: it steps the engine under the lock and waits at its own places.

mod batch;
mod commit;
mod hub;
mod offsets;
mod reader;
mod rebalance;
mod run;
mod subscribe;

use std::future::{Future, poll_fn};
use std::io::Write;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use klamm::config::ConsumerConfig;
use klamm::metrics::ConsumerMetrics;
use klamm::status::Status;
use klamm::{
    Assignment, ConsumerCloseReport, ConsumerCommand, ConsumerEngine, Duration, Error, ErrorKind,
    Explanation, FoundOffsets, Instant, OffsetSpec, RawRequest, RawResponse, Start, TopicPartition,
};

use self::batch::Desk;
pub use self::batch::{Batch, ConsumerRecord, Records};
pub use self::commit::CommitError;
pub(crate) use self::hub::ConsumerHub;
use self::hub::Found;
pub use self::hub::Reset;
pub use self::reader::RecordStream;
pub use self::rebalance::Rebalance;
use self::rebalance::Spawn;
pub use self::run::RunError;
use crate::ops::{Ops, operation};
use crate::options::Options;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::start::start;
use crate::wait::WaitId;

/// Reads records from Kafka.
///
/// It is used from one task or from several: each lent batch is of another partition. When the consumer is dropped,
/// everything ends at once, without waiting; a group finds out that a member is gone by `session.timeout.ms`.
pub struct Consumer {
    desk: Arc<Desk>,
    /// The batch that is read record by record.
    current: Mutex<Option<Batch>>,
    /// Runs a rebalance listener.
    spawn: Spawn,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        drop(self.current().take());
        self.shared().stop();
    }
}

impl Consumer {
    /// Starts a consumer on a runtime. Nothing is asked of any broker before there is a reason.
    ///
    /// # Errors
    /// The configuration is not valid, or the operating system gives no entropy.
    pub fn start(config: &ConsumerConfig, runtime: impl Runtime) -> Result<Self, Error> {
        Self::start_with(config, runtime, Options::new())
    }

    /// Starts a consumer of which everything that happens to the engine is recorded into `sink`, for a replay. It costs
    /// several times the CPU, and the recording holds all records.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub fn start_recorded(
        config: &ConsumerConfig,
        runtime: impl Runtime,
        sink: impl Write + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start_with(config, runtime, Options::new().record(sink))
    }

    /// Starts a consumer with what no property can say: TLS of the user's own making, a source of tokens, a recording.
    ///
    /// # Errors
    /// See [`start`](Self::start); and the files that the `ssl.` properties name cannot be read.
    pub fn start_with(
        config: &ConsumerConfig,
        runtime: impl Runtime,
        options: Options,
    ) -> Result<Self, Error> {
        let moves = Arc::new(AtomicU64::new(0));
        let spawn = rebalance::spawn_on(runtime.clone());
        let shared = start(
            runtime,
            ConsumerHub::new(Arc::clone(&moves)),
            &config.common,
            options,
            || config.effective_config(),
            config.ignored(),
            |entropy, now, wall| ConsumerEngine::new(config, entropy, now, wall),
        )?;
        Ok(Self {
            desk: Arc::new(Desk::new(shared, moves, config.check_crcs)),
            current: Mutex::new(None),
            spawn,
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<ConsumerHub>> {
        &self.desk.shared
    }

    fn current(&self) -> MutexGuard<'_, Option<Batch>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads exactly these partitions from now on, instead of those before; none at all stops all fetching. Not one
    /// record of the assignment before comes out afterwards.
    ///
    /// A partition that does not exist is told as an error by the next read, and picked up once it exists.
    ///
    /// # Errors
    /// A name, number or offset that cannot be, or the consumer is closed. Nothing changes.
    pub fn assign(&self, partitions: &[Assignment<'_>]) -> Result<(), Error> {
        self.move_by(ConsumerCommand::Assign(partitions))
    }

    /// The partitions that are read.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared().lock().engine().assignment()
    }

    /// Goes on reading a partition elsewhere: also the way past a batch that cannot be read. No record from before comes
    /// out afterwards.
    ///
    /// # Errors
    /// The partition is not assigned, the offset is negative, or the consumer is closed. Nothing changes.
    pub fn seek(&self, topic: &str, partition: i32, to: Start) -> Result<(), Error> {
        self.move_by(ConsumerCommand::Seek {
            topic,
            partition,
            to,
        })
    }

    fn move_by(&self, command: ConsumerCommand<'_>) -> Result<(), Error> {
        self.shared().step(|state, _, now| {
            state.done(command, now)?;
            state.role.moved();
            Ok(())
        })
    }

    /// Hands nothing out of a partition, and fetches nothing for it, until it is resumed. A batch that is being read is
    /// read to its end.
    ///
    /// # Errors
    /// The partition is not assigned, or the consumer is closed.
    pub fn pause(&self, topic: &str, partition: i32) -> Result<(), Error> {
        let command = ConsumerCommand::Pause { topic, partition };
        self.shared().step(|state, _, now| state.done(command, now))
    }

    /// Takes a [`pause`](Self::pause) back.
    ///
    /// # Errors
    /// The partition is not assigned, or the consumer is closed.
    pub fn resume(&self, topic: &str, partition: i32) -> Result<(), Error> {
        let command = ConsumerCommand::Resume { topic, partition };
        self.shared().step(|state, _, now| state.done(command, now))
    }

    /// The offset after the last record of a partition that was handed out, or where reading begins; `None` while that
    /// is looked up. A [`Batch`] that is held counts when it goes back.
    ///
    /// # Errors
    /// The partition is not assigned.
    pub fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>, Error> {
        let current = self.current();
        if let Some(batch) = &*current
            && (batch.topic(), batch.partition()) == (topic, partition)
            && !batch.is_stale()
        {
            return Ok(Some(batch.position()));
        }
        drop(current);
        self.shared().lock().engine().position(topic, partition)
    }

    /// How many offsets lie between the position and the end of what can be read, as a broker last said; `None` while
    /// no broker has said it.
    ///
    /// # Errors
    /// The partition is not assigned.
    pub fn lag(&self, topic: &str, partition: i32) -> Result<Option<i64>, Error> {
        self.shared().lock().engine().lag(topic, partition)
    }

    /// What a partition is doing, why, and since when.
    ///
    /// # Errors
    /// The partition is not assigned.
    pub fn explain(&self, topic: &str, partition: i32) -> Result<Explanation, Error> {
        self.shared().lock().engine().explain(topic, partition)
    }

    /// What was counted until now, under Kafka's names where Kafka has one. Nothing is counted for it that is not counted
    /// anyway: ask as often as you like.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        self.shared().lock().engine().metrics()
    }

    /// How everything stands: brokers and their sockets, the group, each partition with its lag and why it does what it
    /// does, memory. Printed, it fits a terminal of 80 columns.
    #[must_use]
    pub fn status(&self) -> Status {
        let now = self.shared().now();
        self.shared().lock().engine().status(now)
    }

    /// The positions that the consumer moved by itself since the last time this was asked: by `auto.offset.reset`, or
    /// because records are gone. At most one entry a partition, from where it was first to where it went last.
    #[must_use]
    pub fn take_resets(&self) -> Vec<Reset> {
        self.shared().lock().role.take_resets()
    }

    /// The next batch of any assigned partition; partitions take turns.
    ///
    /// Cancel safety: dropped, nothing is lost: a batch is lent only by the poll that gives it.
    ///
    /// # Errors
    /// A partition is in trouble, or no broker can be reached. The other partitions flow, so that reading goes on with
    /// the next call, unless the error [is fatal](Error::is_fatal). Each trouble is told once; what it blocks, and for
    /// how long, [`explain`](Self::explain) tells.
    pub fn next_batch(&self) -> impl Future<Output = Result<Batch, Error>> + Send + '_ {
        let mut reading = Reading::new(self, None);
        poll_fn(move |cx| {
            // What `recv` has not handed out of its batch comes out here: while it is held, its partition waits.
            drop(self.current().take());
            reading
                .poll_batch(cx)
                .map(|found| found.unwrap_or_else(closed))
        })
    }

    /// Up to `max` records, as soon as there are any; after `timeout`, none.
    ///
    /// With auto-commit, the records of a call count as dealt with when the next call comes.
    ///
    /// Cancel safety: dropped, nothing is lost: it waits only while it holds no record.
    ///
    /// # Errors
    /// See [`next_batch`](Self::next_batch). Records that were there before the trouble came out before.
    pub async fn poll(&self, max: usize, timeout: Duration) -> Result<Vec<ConsumerRecord>, Error> {
        let deadline = self.shared().now() + timeout;
        let mut reading = Reading::new(self, Some(deadline));
        poll_fn(|cx| reading.poll_records(max, cx)).await
    }

    /// The next record of any assigned partition, owning its bytes.
    ///
    /// Cancel safety: dropped, nothing is lost.
    ///
    /// # Errors
    /// See [`next_batch`](Self::next_batch).
    pub fn recv(&self) -> impl Future<Output = Result<ConsumerRecord, Error>> + Send + '_ {
        let mut reading = Reading::new(self, None);
        poll_fn(move |cx| reading.poll_record(cx))
    }

    /// All records from here on, one after the other. It ends when the consumer is closed.
    #[must_use]
    pub fn stream(&self) -> RecordStream<'_> {
        RecordStream::new(self)
    }

    /// Looks offsets up, each at its partition's leader, within a minute. The partitions need not be assigned.
    ///
    /// Cancel safety: dropped, the answer is not told.
    ///
    /// # Errors
    /// The consumer is closed. Trouble with a partition stands in its place of the answer.
    pub async fn list_offsets(
        &self,
        spec: OffsetSpec,
        partitions: &[TopicPartition],
    ) -> Result<FoundOffsets, Error> {
        let partitions = partitions.to_vec();
        let command = ConsumerCommand::ListOffsets { spec, partitions };
        self.operation(command, |hub| &mut hub.offsets).await
    }

    /// Sends any request to a broker, by number and bytes, and waits for the answer.
    ///
    /// Cancel safety: dropped, the request runs to its end and its answer is not told.
    ///
    /// # Errors
    /// There was no answer, and why.
    pub async fn request(&self, request: RawRequest) -> Result<RawResponse, Error> {
        self.operation(ConsumerCommand::Request(request), |hub| &mut hub.responses)
            .await?
    }

    /// Hands nothing more out and closes all sockets, in good order if `within` allows it. A member of a group commits
    /// what was dealt with (if `enable.auto.commit` is on), has its listener let go of its partitions, and leaves.
    ///
    /// Cancel safety: dropped, the closing goes on.
    ///
    /// # Errors
    /// The runtime shut down first.
    pub async fn close(&self, within: Duration) -> Result<ConsumerCloseReport, Error> {
        drop(self.current().take());
        let deadline = self.shared().now() + within;
        self.operation(ConsumerCommand::Close { deadline }, |hub| &mut hub.closes)
            .await
    }

    /// One longer operation.
    async fn operation<T>(
        &self,
        command: ConsumerCommand<'_>,
        ops: fn(&mut ConsumerHub) -> &mut Ops<T>,
    ) -> Result<T, Error> {
        operation(self.shared(), command, ops).await
    }
}

/// Without a deadline, reading ends with a batch or an error.
fn closed() -> Result<Batch, Error> {
    Err(Error::new(ErrorKind::Closed))
}

/// Somebody who reads, and perhaps waits. Dropped, the place is given up.
struct Reading<'a> {
    consumer: &'a Consumer,
    deadline: Option<Instant>,
    place: Option<WaitId>,
}

impl<'a> Reading<'a> {
    const fn new(consumer: &'a Consumer, deadline: Option<Instant>) -> Self {
        Self {
            consumer,
            deadline,
            place: None,
        }
    }

    /// The next batch; `None` once the deadline has come.
    fn poll_batch(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Batch, Error>>> {
        let desk = &self.consumer.desk;
        loop {
            let found = desk.shared.step(|state, after, now| {
                state.begin_poll(now);
                let found = state.next(now);
                if matches!(found, Found::Nothing) {
                    if self.deadline.is_some_and(|deadline| deadline <= now) {
                        return None;
                    }
                    state.wait(&mut self.place, self.deadline, cx, after);
                }
                Some(found)
            });
            return match found {
                None => Poll::Ready(None),
                Some(Found::Nothing) => Poll::Pending,
                Some(Found::Trouble(error)) => Poll::Ready(Some(Err(error))),
                Some(Found::Batch(lent, moves)) => match Batch::open(desk, lent, moves) {
                    Some(batch) => Poll::Ready(Some(Ok(batch))),
                    // It went back, and the engine knows what to do: perhaps there is another.
                    None => continue,
                },
            };
        }
    }

    fn poll_record(&mut self, cx: &Context<'_>) -> Poll<Result<ConsumerRecord, Error>> {
        let mut current = self.consumer.current();
        loop {
            if let Some(batch) = &mut *current {
                let record = batch.next_record();
                // With its last record it goes back: who knows when the next call comes.
                if record.is_none() || batch.is_read() {
                    *current = None;
                }
                if let Some(record) = record {
                    return Poll::Ready(Ok(record));
                }
            }
            match self.poll_batch(cx) {
                Poll::Ready(Some(Ok(batch))) => *current = Some(batch),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Err(Error::new(ErrorKind::Closed))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_records(
        &mut self,
        max: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<Vec<ConsumerRecord>, Error>> {
        let mut records = Vec::new();
        let mut current = self.consumer.current();
        // Whatever this call hands out counts as dealt with only when the next one comes, however many batches it takes.
        // Where it begins with a batch of its own, that says so.
        if current.is_some() {
            let shared = self.consumer.shared();
            shared.step(|state, _, now| state.begin_poll(now));
        }
        while records.len() < max {
            if let Some(batch) = &mut *current {
                let record = batch.next_record();
                if record.is_none() || batch.is_read() {
                    *current = None;
                }
                records.extend(record);
                continue;
            }
            if !records.is_empty() {
                // Only what is there, and no trouble: that is for the next call.
                match self.consumer.take_ready() {
                    Some(batch) => *current = Some(batch),
                    None => break,
                }
                continue;
            }
            match self.poll_batch(cx) {
                Poll::Ready(Some(Ok(batch))) => *current = Some(batch),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(records))
    }
}

impl Consumer {
    /// A batch, if one is there and nothing is to be told first.
    fn take_ready(&self) -> Option<Batch> {
        let found = self.shared().step(|state, _, now| {
            if state.role.is_in_trouble() {
                return Found::Nothing;
            }
            state.next(now)
        });
        match found {
            Found::Batch(lent, moves) => Batch::open(&self.desk, lent, moves),
            Found::Trouble(_) | Found::Nothing => None,
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.place.take() {
            self.consumer
                .shared()
                .step(|state, after, _| state.role.waits.end(id, after));
        }
    }
}
