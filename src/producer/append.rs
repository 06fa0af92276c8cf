//! Owns how records get into batches: which partition, which batch, and why one is not accepted.
//!
//! Must not know how batches leave.

use super::batch::Head;
use super::command::{AppendError, Appended, BlockedOn, TopicStatus};
use super::operation::Life;
use super::partitioner::of_key;
use super::role::{Cx, Producer, SlotId, TopicSlots};
use crate::budget::Category;
use crate::cluster::{Topic, TopicState};
use crate::engine::TopicHandle;
use crate::error::{Error, ErrorKind, Step, printable};
use crate::error_code::ErrorCode;
use crate::record::{AppendError as BatchFull, BatchBuilder, Codec, NO_TIMESTAMP, RecordRef};

/// What a builder may take beyond its limit while it writes.
const BUILDER_SLACK: usize = 64;

/// Why a run of records into one batch ended.
enum RunEnd {
    /// The next record goes to another partition.
    Elsewhere,
    /// There is no next record, or no open batch that takes it.
    Full,
}

/// How the records of a call ended before their end.
enum Stop {
    /// The next record goes to another partition.
    Elsewhere,
    /// The next record is not accepted.
    Error(AppendError),
}

impl Producer {
    /// Accepts the longest prefix of `records` that goes to one partition and for which there is memory.
    #[inline]
    pub(crate) fn append(
        &mut self,
        topic: TopicHandle,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
        cx: &mut Cx<'_>,
    ) -> Result<Appended, AppendError> {
        let appended = self.append_some(topic, partition, records, cx);
        if !self.touched.is_empty() {
            self.finish(cx);
        }
        appended
    }

    #[inline]
    fn append_some(
        &mut self,
        topic: TopicHandle,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
        cx: &mut Cx<'_>,
    ) -> Result<Appended, AppendError> {
        if !matches!(self.life, Life::Open) {
            return Err(AppendError::Refused(Error::new(ErrorKind::Closed)));
        }
        loop {
            let (id, index) = self.destination(topic, partition, records, cx)?;
            let Some(first) = self.slot(id).map(|slot| slot.partition.next_ticket()) else {
                return Err(AppendError::Refused(Error::new(ErrorKind::Misuse)));
            };
            let (accepted, stop) = self.fill(id, index, partition.is_none(), records, cx);
            match stop {
                Some(Stop::Elsewhere) if accepted == 0 => {}
                Some(Stop::Error(error)) if accepted == 0 => return Err(error),
                Some(Stop::Elsewhere | Stop::Error(_)) | None => {
                    return Ok(Appended {
                        partition: index,
                        tickets: first..first.saturating_add(accepted),
                    });
                }
            }
        }
    }

    /// Where the first record goes.
    #[inline]
    fn destination(
        &mut self,
        topic: TopicHandle,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
        cx: &mut Cx<'_>,
    ) -> Result<(SlotId, i32), AppendError> {
        let Some((slots, record)) = self.topics.get(topic.0 as usize).zip(records.first()) else {
            return Err(refused_call(records.is_empty()));
        };
        let count = slots.count;
        if count == 0 {
            return Err(self.block_on_metadata(topic, cx));
        }
        let index = match (partition, record.key) {
            (Some(index), _) => index,
            (None, Some(key)) => of_key(key, count),
            (None, None) => match slots.sticky.current(count) {
                Some(index) => index,
                None => self.choose(topic, count, cx),
            },
        };
        let id = usize::try_from(index)
            .ok()
            .filter(|_| index < count)
            .and_then(|index| self.topics.get(topic.0 as usize)?.partitions.get(index));
        match id {
            Some(id) => Ok((*id, index)),
            None => Err(self.unknown_partition(topic, index, count, cx)),
        }
    }

    /// Chooses where the records without a key go next: not where there is no leader, less often where much waits.
    #[cold]
    fn choose(&mut self, topic: TopicHandle, count: i32, cx: &mut Cx<'_>) -> i32 {
        let Some(TopicSlots {
            sticky, partitions, ..
        }) = self.topics.get_mut(topic.0 as usize)
        else {
            return 0;
        };
        let known = cx.cluster.topic(topic);
        let slots = &self.slots;
        sticky.choose(count, &mut self.choice, |index| {
            let index = usize::try_from(index).ok()?;
            let leader = known?.partitions.get(index)?;
            leader.leader.filter(|_| leader.error.is_none())?;
            let slot = slots.get(partitions.get(index)?.0 as usize)?;
            Some(slot.partition.unresolved())
        })
    }

    /// Appends records to one partition as long as they go there. `spread`: the partitioner decides.
    #[inline]
    fn fill(
        &mut self,
        id: SlotId,
        index: i32,
        spread: bool,
        records: &[RecordRef<'_>],
        cx: &mut Cx<'_>,
    ) -> (u64, Option<Stop>) {
        let mut rest = records;
        let mut sticky_bytes = 0usize;
        let stop = loop {
            let (run, end) = self.fill_open(id, index, spread, rest, &mut sticky_bytes);
            rest = rest.get(run..).unwrap_or_default();
            let next = match (end, rest.first()) {
                (RunEnd::Elsewhere, _) => break Some(Stop::Elsewhere),
                (RunEnd::Full, Some(next)) => next,
                (RunEnd::Full, None) => break None,
            };
            let sticky = spread && next.key.is_none();
            match self.put_into_a_new_batch(id, sticky, next, cx) {
                Ok(size) if sticky => sticky_bytes = sticky_bytes.saturating_add(size),
                Ok(_) => {}
                Err(why) => break Some(why),
            }
            rest = rest.get(1..).unwrap_or_default();
        };
        let accepted = records.len().saturating_sub(rest.len());
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            let open = slot.partition.open.as_ref();
            let due = open.is_some_and(|open| open.due <= cx.now());
            if sticky_bytes > 0
                && let Some(slots) = self.topics.get_mut(slot.topic.0 as usize)
            {
                slots
                    .sticky
                    .count(sticky_bytes, self.rules.batch_size, open.is_some());
            }
            if due {
                self.ready(id, cx);
            }
        }
        (u64::try_from(accepted).unwrap_or(u64::MAX), stop)
    }

    /// Appends to the open batch what fits and goes there. This is the path of nearly every record.
    #[inline]
    fn fill_open(
        &mut self,
        id: SlotId,
        index: i32,
        spread: bool,
        records: &[RecordRef<'_>],
        sticky_bytes: &mut usize,
    ) -> (usize, RunEnd) {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return (0, RunEnd::Elsewhere);
        };
        let Some(slots) = self.topics.get(slot.topic.0 as usize) else {
            return (0, RunEnd::Elsewhere);
        };
        let count = slots.count;
        let sticky_here = slots.sticky.current(count) == Some(index);
        let goes_here = |record: &RecordRef<'_>| {
            !spread
                || record
                    .key
                    .map_or(sticky_here, |key| of_key(key, count) == index)
        };
        let Some(open) = &mut slot.partition.open else {
            let end = match records.first() {
                Some(record) if !goes_here(record) => RunEnd::Elsewhere,
                Some(_) | None => RunEnd::Full,
            };
            return (0, end);
        };
        let mut run = 0usize;
        let mut end = RunEnd::Full;
        for record in records {
            if !goes_here(record) {
                end = RunEnd::Elsewhere;
                break;
            }
            let before = open.builder.size();
            if open.builder.try_append(record).is_err() {
                break;
            }
            if spread && record.key.is_none() {
                let size = open.builder.size().saturating_sub(before);
                *sticky_bytes = sticky_bytes.saturating_add(size);
            }
            run = run.saturating_add(1);
        }
        slot.partition.count(run);
        (run, end)
    }

    #[cold]
    fn put_into_a_new_batch(
        &mut self,
        id: SlotId,
        sticky: bool,
        record: &RecordRef<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<usize, Stop> {
        if record.timestamp < NO_TIMESTAMP {
            let error = Error::new(ErrorKind::Misuse)
                .with_detail(format_args!(
                    "the timestamp {} is negative",
                    record.timestamp
                ))
                .with_hint("give milliseconds since 1970");
            return Err(Stop::Error(AppendError::Refused(error)));
        }
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return Err(Stop::Elsewhere);
        };
        let topic = slot.topic;
        let was_open = slot.partition.open.is_some();
        if was_open {
            self.close_open(id, cx);
            self.ready(id, cx);
            if sticky && let Some(slots) = self.topics.get_mut(topic.0 as usize) {
                slots.sticky.leave();
                return Err(Stop::Elsewhere);
            }
        }
        let (mut builder, charged) = self.builder_for(id, record, cx)?;
        let before = builder.size();
        if let Err(error) = builder.try_append(record) {
            debug_assert!(false, "the batch is made for the record: {error}");
            cx.cluster.budget().give_back(Category::Producer, charged);
            return Err(Stop::Error(AppendError::Refused(refused_by_batch(error))));
        }
        let size = builder.size().saturating_sub(before);
        let now = cx.now();
        let head = Head {
            order: self.next_order,
            created: now,
            first_ticket: 0,
            charged,
        };
        self.next_order = self.next_order.saturating_add(1);
        self.operations.opened();
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            slot.partition.begin(builder, head, now + self.rules.linger);
            slot.partition.count(1);
        }
        self.want_producer_id(cx);
        self.rearm(id, cx);
        Ok(size)
    }

    /// A builder for a batch that begins with `record`, and what it takes of the budget.
    fn builder_for(
        &mut self,
        id: SlotId,
        record: &RecordRef<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(BatchBuilder, usize), Stop> {
        let alone = BatchBuilder::size_alone(record);
        if alone > self.max_request_size {
            let error = too_large(alone, self.max_request_size)
                .with_hint("raise `max.request.size`, or send smaller records");
            return Err(Stop::Error(self.refuse(id, error, cx)));
        }
        let limit = alone.max(self.rules.batch_size);
        let wanted = limit.saturating_add(BUILDER_SLACK);
        let mut buffer = cx.cluster.pool().take(wanted);
        let capacity = buffer.capacity().max(wanted);
        // What compression writes needs memory too, at the most as much.
        let charged = match self.rules.codec {
            Codec::None => capacity,
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => capacity.saturating_mul(2),
        };
        let most = cx.cluster.budget().most(Category::Producer);
        if charged > most {
            cx.cluster.pool().put(buffer);
            let error = too_large(charged, most)
                .with_hint("raise `buffer.memory` (and `memory.budget`), or send smaller records");
            return Err(Stop::Error(self.refuse(id, error, cx)));
        }
        if !cx.cluster.budget().take(Category::Producer, charged) {
            cx.cluster.pool().put(buffer);
            return Err(Stop::Error(self.block_on_memory(cx)));
        }
        buffer.reserve(wanted);
        Ok((BatchBuilder::new(buffer, limit), charged))
    }

    fn refuse(&self, id: SlotId, error: Error, cx: &Cx<'_>) -> AppendError {
        let mut error = error.in_step(Step::Produce);
        if let Some(slot) = self.slot(id) {
            error = error.on_partition(slot.index);
            if let Some(topic) = cx.cluster.topic(slot.topic) {
                error = error.on_topic(&topic.name);
            }
        }
        AppendError::Refused(error)
    }

    /// There is no memory: what is there is sent, however little it is.
    #[cold]
    fn block_on_memory(&mut self, cx: &mut Cx<'_>) -> AppendError {
        if !core::mem::replace(&mut self.memory_awaited, true) {
            self.send_all_open(cx);
        }
        AppendError::Blocked {
            on: BlockedOn::Memory,
        }
    }

    /// Every open batch may be sent from now on.
    pub(super) fn send_all_open(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        for id in self.busy() {
            if let Some(slot) = self.slot_mut(id)
                && let Some(open) = &mut slot.partition.open
            {
                open.due = open.due.min(now);
                self.ready(id, cx);
            }
        }
    }

    #[cold]
    fn block_on_metadata(&mut self, topic: TopicHandle, cx: &mut Cx<'_>) -> AppendError {
        if let Some(known) = cx.cluster.topic(topic)
            && let TopicState::Failed { code, .. } = known.state
            && !code.is_retriable()
        {
            let error = topic_error(code, known);
            // It may be allowed or created by the next call.
            cx.cluster.refresh_metadata();
            return AppendError::Refused(error);
        }
        if let Some(slots) = self.topics.get_mut(topic.0 as usize) {
            slots.awaited = true;
        }
        AppendError::Blocked {
            on: BlockedOn::Metadata,
        }
    }

    #[cold]
    fn unknown_partition(
        &self,
        topic: TopicHandle,
        index: i32,
        partitions: i32,
        cx: &mut Cx<'_>,
    ) -> AppendError {
        // The topic may have grown.
        cx.cluster.refresh_metadata();
        let mut error = Error::new(ErrorKind::UnknownPartition { partitions })
            .in_step(Step::Produce)
            .on_partition(index);
        if let Some(topic) = cx.cluster.topic(topic) {
            error = error.on_topic(&topic.name);
        }
        AppendError::Refused(error.with_hint("choose one below that, or none"))
    }

    /// Withdraws the interest that a `Blocked` registered.
    pub(crate) fn cancel_wait(&mut self, on: BlockedOn, topic: TopicHandle) {
        match on {
            BlockedOn::Memory => self.memory_awaited = false,
            BlockedOn::Metadata => {
                if let Some(slots) = self.topics.get_mut(topic.0 as usize) {
                    slots.awaited = false;
                }
            }
        }
    }
}

/// What the cluster knows of a topic, for the user.
pub(crate) fn topic_status(topic: Option<&Topic>) -> TopicStatus {
    let Some(topic) = topic else {
        return TopicStatus::Failed(
            Error::new(ErrorKind::Misuse).with_detail("this producer gave no such handle out"),
        );
    };
    match topic.state {
        TopicState::Asked { .. } => TopicStatus::Asked,
        TopicState::Failed { code, .. } if topic.partitions.is_empty() => {
            TopicStatus::Failed(topic_error(code, topic))
        }
        TopicState::Known | TopicState::Failed { .. } => TopicStatus::Known {
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        },
    }
}

fn topic_error(code: ErrorCode, topic: &Topic) -> Error {
    let error = match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID => {
            Error::new(ErrorKind::UnknownTopic)
                .with_hint("create the topic, or allow its creation (`allow.auto.create.topics`, and the broker's `auto.create.topics.enable`)")
        }
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => Error::new(ErrorKind::Broker(code))
            .with_hint("allow this client to describe and write the topic (ACL)"),
        ErrorCode::INVALID_TOPIC_EXCEPTION => Error::new(ErrorKind::Broker(code))
            .with_hint("a topic's name has 1 to 249 of the characters a-z A-Z 0-9 . _ -"),
        code => Error::new(ErrorKind::Broker(code)),
    };
    error.in_step(Step::Metadata).on_topic(&topic.name)
}

/// Refuses a name that no broker would take, before anybody is asked.
pub(super) fn check_topic_name(name: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=249).contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".." {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Broker(ErrorCode::INVALID_TOPIC_EXCEPTION))
            .in_step(Step::Produce)
            .on_topic(&printable(name))
            .with_detail("this is no name of a topic")
            .with_hint("a topic's name has 1 to 249 of the characters a-z A-Z 0-9 . _ -"),
    )
}

fn too_large(size: usize, limit: usize) -> Error {
    Error::new(ErrorKind::RecordTooLarge { size, limit })
}

#[cold]
fn refused_call(no_records: bool) -> AppendError {
    let error = Error::new(ErrorKind::Misuse);
    AppendError::Refused(if no_records {
        error.with_detail("there is no record to append")
    } else {
        error.with_detail("this producer gave no such topic handle out")
    })
}

fn refused_by_batch(error: BatchFull) -> Error {
    match error {
        BatchFull::Full { size, available } => too_large(size, available),
        BatchFull::TooLarge { size, limit } => too_large(size, limit),
        BatchFull::InvalidTimestamp { .. } => Error::new(ErrorKind::Misuse).with_detail(error),
    }
}
