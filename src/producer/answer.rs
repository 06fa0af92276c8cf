//! Owns what an answer, or its absence, does to a partition's batches.
//!
//! Must not know how the answer came: it is told what the broker said about one batch.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::batch::{Batch, Head, Sealed, Stage, Transit, Written};
use super::outcome::Outcome;
use super::partition::{Effects, Freed, Partition, Rules};
use super::sequence::{Break, Numbered};
use super::verdict::{Verdict, hint, proves_not_appended};
use crate::budget::{Budget, Category};
use crate::engine::NodeId;
use crate::error::{Error, ErrorKind, Step, printable};
use crate::error_code::ErrorCode;
use crate::random::Random;
use crate::record::compression::{DecompressBuffer, Decompressor};
use crate::record::{
    BATCH_HEADER_SIZE, BatchBuilder, BatchHeader, BatchView, Codec, RecordRef, Records,
    UnsealedBatch,
};
use crate::time::Instant;

/// What became of one attempt to send a batch.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The broker answered.
    Answered(Answered),
    /// There is no answer.
    Failed {
        error: Error,
        /// `false` only where it is proven that the broker did not get it.
        maybe_applied: bool,
        /// Whether another attempt can go better.
        retry: bool,
    },
    /// With `acks=0`: the socket has it all.
    Sent,
}

/// What the broker answered about one batch.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) node: NodeId,
    pub(crate) code: ErrorCode,
    pub(crate) base_offset: i64,
    pub(crate) log_append_time: i64,
    pub(crate) message: Option<String>,
    /// The records that are at fault, by their place in the batch (KIP-467).
    pub(crate) record_errors: Vec<(i32, Option<String>)>,
    /// Who leads is known already (KIP-951): there is nothing to wait for.
    pub(crate) leader_known: bool,
}

/// What deciding needs besides the partition.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Instant,
    pub(crate) rules: &'a Rules,
    pub(crate) random: &'a mut Random,
    pub(crate) budget: &'a mut Budget,
}

impl Answered {
    fn error(&self) -> Error {
        let mut error = Error::new(ErrorKind::Broker(self.code))
            .at_broker(format_args!("broker {}", self.node))
            .in_step(Step::Produce);
        if let Some(message) = &self.message {
            error = error.with_detail(printable(message));
        }
        match hint(self.code) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl Partition {
    /// Applies what became of the attempt to send the batch that begins with `first_ticket`.
    pub(crate) fn replied(
        &mut self,
        first_ticket: u64,
        reply: Reply,
        around: &mut Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let Some(at) = self.in_flight(first_ticket) else {
            // Given up before.
            let appended = match &reply {
                Reply::Answered(answered) => {
                    effects.refresh_metadata |= answered.code.wants_metadata();
                    matches!(
                        Verdict::of(answered.code),
                        Verdict::Delivered | Verdict::Duplicate
                    )
                }
                Reply::Failed { .. } => false,
                Reply::Sent => true,
            };
            self.find_lost(first_ticket, appended, effects);
            return;
        };
        match reply {
            Reply::Sent => self.succeed(at, Outcome::Sent, effects),
            Reply::Failed {
                error,
                maybe_applied,
                retry,
            } => {
                self.note_attempt(at, maybe_applied);
                effects.refresh_metadata = true;
                if retry {
                    self.retry(at, error, false, around);
                } else {
                    self.fail(at, error, effects);
                }
            }
            Reply::Answered(answered) => self.answered(at, answered, around, effects),
        }
        self.settle(effects);
    }

    fn answered(
        &mut self,
        at: usize,
        answered: Answered,
        around: &mut Surroundings<'_>,
        effects: &mut Effects,
    ) {
        effects.refresh_metadata |= answered.code.wants_metadata();
        let verdict = Verdict::of(answered.code);
        if !matches!(verdict, Verdict::Delivered | Verdict::Duplicate) {
            let maybe = !proves_not_appended(answered.code) && !cfg!(planted = "B07");
            self.note_attempt(at, maybe);
        }
        match verdict {
            Verdict::Delivered | Verdict::Duplicate => {
                let offset = (verdict == Verdict::Delivered && answered.base_offset >= 0)
                    .then_some(answered.base_offset);
                let timestamp = (answered.log_append_time >= 0).then_some(answered.log_append_time);
                if let Some(Numbered::With(stamp)) =
                    self.batches.get(at).map(|batch| batch.numbered)
                {
                    self.sequences.confirm(stamp);
                }
                self.succeed(at, Outcome::Delivered { offset, timestamp }, effects);
            }
            Verdict::Retry => self.retry(at, answered.error(), answered.leader_known, around),
            Verdict::OutOfOrder | Verdict::UnknownProducer => {
                // The lowest of all: nothing before it explains why the broker misses something.
                if at == 0 && self.lost.is_empty() {
                    self.sequences.break_chain(Break::Gap);
                }
                self.retry(at, answered.error(), false, around);
            }
            Verdict::TooLarge => self.too_large(at, &answered, around, effects),
            Verdict::Failed if answered.record_errors.is_empty() => {
                self.fail(at, answered.error(), effects);
            }
            Verdict::Failed => self.fail_by_record(at, &answered, effects),
        }
    }

    /// Remembers whether the attempt that is over may have appended the batch.
    fn note_attempt(&mut self, at: usize, maybe: bool) {
        if maybe && let Some(sealed) = self.sealed_mut(at) {
            sealed.written = Written::Maybe;
        }
    }

    fn sealed_mut(&mut self, at: usize) -> Option<&mut Sealed> {
        match &mut self.batches.get_mut(at)?.stage {
            Stage::Sealed(sealed) => Some(sealed),
            Stage::Sealing { .. } | Stage::Closed(_) => None,
        }
    }

    fn succeed(&mut self, at: usize, outcome: Outcome, effects: &mut Effects) {
        if let Some(batch) = self.batches.get(at) {
            effects.tell(batch.tickets(), outcome);
        }
        self.remove(at, effects);
    }

    fn retry(&mut self, at: usize, error: Error, at_once: bool, around: &mut Surroundings<'_>) {
        let (now, backoff) = (around.now, around.rules.backoff);
        if let Some(sealed) = self.sealed_mut(at) {
            let until = if at_once {
                now
            } else {
                now + backoff.after(sealed.attempts, around.random)
            };
            sealed.attempts = sealed.attempts.saturating_add(1);
            sealed.transit = Transit::Waiting { until };
            sealed.last_error = Some(error);
        }
    }

    /// Ends a batch that is not taken: its sequence numbers are missing from the log, or may be.
    fn fail(&mut self, at: usize, error: Error, effects: &mut Effects) {
        let Some(batch) = self.batches.get(at) else {
            return;
        };
        let outcome = if was_maybe_written(batch) {
            Outcome::Unknown(error)
        } else {
            Outcome::Rejected(error)
        };
        effects.tell(batch.tickets(), outcome);
        self.end_failed(at, effects);
    }

    fn end_failed(&mut self, at: usize, effects: &mut Effects) {
        if self
            .batches
            .get(at)
            .is_some_and(|batch| batch.numbered != Numbered::NotYet)
        {
            self.sequences.break_chain(Break::Gap);
        }
        self.remove(at, effects);
    }

    /// Some records are at fault, and the others are not written for their sake (KIP-467).
    fn fail_by_record(&mut self, at: usize, answered: &Answered, effects: &mut Effects) {
        let Some(batch) = self.batches.get(at) else {
            return;
        };
        if was_maybe_written(batch) {
            return self.fail(at, answered.error(), effects);
        }
        let innocent = answered
            .error()
            .with_detail("not written because other records of its batch are invalid")
            .with_hint("send it again");
        for (ticket, index) in batch.tickets().zip(0i32..) {
            let guilty = answered
                .record_errors
                .iter()
                .find(|(guilty, _)| *guilty == index);
            let error = match guilty {
                Some((_, Some(message))) => answered.error().with_detail(printable(message)),
                Some((_, None)) => answered.error(),
                None => innocent.clone(),
            };
            effects.tell(ticket..ticket.saturating_add(1), Outcome::Rejected(error));
        }
        self.end_failed(at, effects);
    }

    /// In two parts, which keep the sequence numbers; their attempts are counted anew (KIP-126).
    fn too_large(
        &mut self,
        at: usize,
        answered: &Answered,
        around: &mut Surroundings<'_>,
        effects: &mut Effects,
    ) {
        let splittable = self
            .batches
            .get(at)
            .is_some_and(|batch| batch.count > 1 && !was_maybe_written(batch));
        if !splittable {
            return self.fail(at, answered.error(), effects);
        }
        let parts = self
            .batches
            .get(at)
            .and_then(|batch| split(batch, around.rules.batch_size, around.budget));
        let Some(parts) = parts else {
            // No memory for the parts now: the broker will say the same when there is.
            return self.retry(at, answered.error(), false, around);
        };
        let Some(whole) = self.batches.remove(at) else {
            return;
        };
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                effects.added.push(whole.head.order);
            }
            if around.rules.codec != Codec::None {
                effects.plain.push(part.head.first_ticket);
            }
            self.batches.insert(at.saturating_add(index), part);
        }
        effects.freed.push(Freed {
            charged: whole.head.charged,
            bytes: whole.into_bytes(),
        });
    }
}

/// Whether an attempt before or including the one just answered may have appended it.
fn was_maybe_written(batch: &Batch) -> bool {
    match &batch.stage {
        Stage::Sealed(sealed) => sealed.written == Written::Maybe,
        Stage::Sealing { .. } | Stage::Closed(_) => false,
    }
}

/// Splits a sealed batch in about two halves, which are not compressed. `None` where there is no memory for that.
fn split(batch: &Batch, batch_size: usize, budget: &mut Budget) -> Option<Vec<Batch>> {
    let Stage::Sealed(sealed) = &batch.stage else {
        return None;
    };
    let view = BatchView::parse(&sealed.bytes).ok()?;
    let codec = view.header().codec();
    if codec == Codec::None {
        return split_area(batch, view.header(), view.records_area(), 1, budget);
    }
    // A batch of several records was not filled beyond `batch.size` before it was compressed.
    if !budget.take(Category::Producer, batch_size) {
        return None;
    }
    let mut plain = DecompressBuffer::new();
    let parts = Decompressor::new()
        .decompress(codec, view.records_area(), &mut plain, batch_size)
        .ok()
        // What compression writes needs memory too, at the most as much.
        .and_then(|()| split_area(batch, view.header(), plain.as_slice(), 2, budget));
    budget.give_back(Category::Producer, batch_size);
    parts
}

fn split_area(
    batch: &Batch,
    header: &BatchHeader,
    area: &[u8],
    copies: usize,
    budget: &mut Budget,
) -> Option<Vec<Batch>> {
    let half = BATCH_HEADER_SIZE.saturating_add(area.len() / 2);
    // Two halves; a large record in the middle may make it three parts.
    let needed = area
        .len()
        .saturating_add(BATCH_HEADER_SIZE.saturating_mul(3))
        .saturating_mul(copies);
    if !budget.take(Category::Producer, needed) {
        return None;
    }
    let mut parts: Vec<UnsealedBatch> = Vec::new();
    let mut builder: Option<BatchBuilder> = None;
    for record in Records::new(header, area).flatten() {
        if let Some(builder) = &mut builder
            && builder.try_append(&record).is_ok()
        {
            continue;
        }
        parts.extend(builder.take().and_then(|full| full.finish().ok()));
        builder = Some(begin(half, &record));
    }
    parts.extend(builder.and_then(|last| last.finish().ok()));
    Some(share(batch, parts, copies, needed))
}

fn begin(limit: usize, record: &RecordRef<'_>) -> BatchBuilder {
    let limit = limit.max(BatchBuilder::size_alone(record));
    let mut builder = BatchBuilder::new(BytesMut::with_capacity(limit), limit);
    let fits = builder.try_append(record);
    debug_assert!(fits.is_ok(), "the limit is made for it");
    builder
}

/// Gives each part its tickets, its sequence numbers and its part of the memory charged.
fn share(whole: &Batch, parts: Vec<UnsealedBatch>, copies: usize, charged: usize) -> Vec<Batch> {
    let mut first_ticket = whole.head.first_ticket;
    let mut numbered = whole.numbered;
    let mut rest = charged;
    let last = parts.len().saturating_sub(1);
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let count = i32::try_from(part.count()).unwrap_or(i32::MAX);
            let charged = if index == last {
                rest
            } else {
                part.size().saturating_mul(copies).min(rest)
            };
            rest = rest.saturating_sub(charged);
            let batch = Batch {
                head: Head {
                    order: whole.head.order,
                    created: whole.head.created,
                    first_ticket,
                    charged,
                },
                count,
                numbered,
                stage: Stage::Closed(part),
            };
            first_ticket = first_ticket.saturating_add(u64::try_from(count).unwrap_or(0));
            numbered = numbered.after(count);
            batch
        })
        .collect()
}
