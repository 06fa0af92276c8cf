//! Owns the batches of one partition, in the order of their records: which may be drained, what an answer means for
//! them, and when they are given up.
//!
//! Must not know requests, brokers or events: it is told answers, and leaves what follows in [`Effects`].
//!
//! All batches stand in one queue in the order of their tickets and never change places, so a batch that is to be sent
//! again stands in front of those that were not sent yet. Those that were drained are the queue's beginning.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::batch::{Batch, Head, OpenBatch, Sealed, Stage, Transit, Written};
use super::outcome::{Outcome, Outcomes};
use super::sequence::{Break, Identity, Numbered, Sequences, Stamping};
use crate::engine::JobId;
use crate::error::{Error, ErrorKind};
use crate::random::Backoff;
use crate::record::{BatchBuilder, BatchHeader, BatchProducer, Codec, UnsealedBatch, rewrite};
use crate::time::{Duration, Instant};

/// What the configuration says about batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) linger: Duration,
    pub(crate) batch_size: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) delivery_timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) codec: Codec,
    pub(crate) level: Option<i32>,
}

/// What follows from a step, for the producer to carry out.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) outcomes: Outcomes,
    /// Memory that is not needed any more.
    pub(crate) freed: Vec<Freed>,
    /// The orders of batches that have their outcome, one entry a batch.
    pub(crate) resolved: Vec<u64>,
    /// The orders of batches that came in addition, by a split.
    pub(crate) added: Vec<u64>,
    /// The first tickets of such batches that are to be compressed.
    pub(crate) plain: Vec<u64>,
    /// What is known of the leaders is out of date.
    pub(crate) refresh_metadata: bool,
    /// Records that ended [`Outcome::Rejected`] and [`Outcome::Unknown`].
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
}

impl Effects {
    /// Tells an outcome.
    pub(crate) fn tell(&mut self, tickets: core::ops::Range<u64>, outcome: Outcome) {
        let count = tickets.end.saturating_sub(tickets.start);
        match outcome {
            Outcome::Rejected(_) => self.rejected = self.rejected.saturating_add(count),
            Outcome::Unknown(_) => self.unknown = self.unknown.saturating_add(count),
            Outcome::Delivered { .. } | Outcome::Sent => {}
        }
        self.outcomes.push(tickets, outcome);
    }
}

/// Memory that a batch held.
#[derive(Debug)]
pub(crate) struct Freed {
    pub(crate) bytes: Bytes,
    pub(crate) charged: usize,
}

/// A batch that was given up while its request was on the way: its outcome is told, its sequence numbers are not decided.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) first_ticket: u64,
    pub(super) numbered: Numbered,
    memory: Freed,
}

/// Why nothing can be drained now. Each has something that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// There is nothing.
    Empty,
    /// For more records, until then.
    Linger(Instant),
    /// To be sent again, until then.
    Backoff(Instant),
    /// For the answer to what is on its way.
    Answer,
    /// For the codec.
    Compression,
    /// For the producer id.
    ProducerId,
}

/// What [`Partition::drain`] gives.
#[derive(Debug)]
pub(crate) enum Drained {
    /// A batch to be sent; it counts as in flight from now on.
    Batch {
        first_ticket: u64,
        bytes: Bytes,
        records: u64,
        /// Whether it was in a request before.
        again: bool,
    },
    /// The batch that begins with this ticket is due, and is to be compressed first.
    Compress(u64),
    /// Nothing, for this reason.
    Nothing(Waits),
}

/// The batches of one partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) open: Option<OpenBatch>,
    pub(super) batches: VecDeque<Batch>,
    pub(super) lost: Vec<Lost>,
    pub(super) sequences: Sequences,
    next_ticket: u64,
}

impl Partition {
    pub(crate) fn new(idempotent: bool) -> Self {
        Self {
            open: None,
            batches: VecDeque::new(),
            lost: Vec::new(),
            sequences: if idempotent {
                Sequences::Fresh
            } else {
                Sequences::Off
            },
            next_ticket: 0,
        }
    }

    /// The ticket of the next record.
    pub(crate) fn next_ticket(&self) -> u64 {
        self.next_ticket
    }

    /// Counts accepted records.
    #[inline]
    pub(crate) fn count(&mut self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.next_ticket = self.next_ticket.saturating_add(records);
    }

    /// A batch takes the records that come next.
    pub(crate) fn begin(&mut self, builder: BatchBuilder, mut head: Head, due: Instant) {
        debug_assert!(self.open.is_none(), "two batches take records");
        head.first_ticket = self.next_ticket;
        self.open = Some(OpenBatch { builder, head, due });
    }

    /// The size of the batch that [`drain`](Self::drain) would take, in bytes.
    pub(crate) fn next_size(&self) -> usize {
        match (self.batches.get(self.candidate()), &self.open) {
            (Some(batch), _) => batch.size(),
            (None, Some(open)) => open.builder.size(),
            (None, None) => 0,
        }
    }

    /// Whether every record has its outcome and no memory is held.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none() && self.batches.is_empty() && self.lost.is_empty()
    }

    /// The oldest batch.
    pub(crate) fn oldest(&self) -> Option<&Head> {
        let oldest = self.batches.front().map(|batch| &batch.head);
        oldest.or(self.open.as_ref().map(|open| &open.head))
    }

    /// Why the last attempt with the oldest batch failed, if it did.
    pub(crate) fn last_error(&self) -> Option<&Error> {
        self.batches.front().and_then(Batch::last_error)
    }

    /// How many batches have no outcome yet.
    pub(crate) fn unresolved(&self) -> usize {
        self.batches
            .len()
            .saturating_add(usize::from(self.open.is_some()))
    }

    /// The open batch takes no more records and joins the queue; gives its first ticket.
    pub(crate) fn close_open(&mut self) -> Option<u64> {
        let open = self.open.take()?;
        let first_ticket = open.head.first_ticket;
        let batch = open.builder.finish().ok()?;
        self.batches.push_back(Batch {
            head: open.head,
            count: i32::try_from(batch.count()).unwrap_or(i32::MAX),
            numbered: Numbered::NotYet,
            stage: Stage::Closed(batch),
        });
        Some(first_ticket)
    }

    /// Takes the records of a closed batch out to be compressed; it keeps its place.
    pub(super) fn begin_sealing(&mut self, first_ticket: u64, begin: impl FnOnce(&Bytes) -> JobId) {
        let at = self
            .batches
            .iter()
            .position(|batch| batch.head.first_ticket == first_ticket);
        let Some((at, mut batch)) = at.and_then(|at| Some((at, self.batches.remove(at)?))) else {
            return;
        };
        batch.stage = match batch.stage {
            Stage::Closed(closed) => {
                let (header, plain) = closed.into_shared();
                let job = begin(&plain);
                Stage::Sealing { job, header, plain }
            }
            stage @ (Stage::Sealing { .. } | Stage::Sealed(_)) => stage,
        };
        self.batches.insert(at, batch);
    }

    /// The batch that a job compresses is replaced by what `done` makes of it.
    pub(super) fn end_sealing(
        &mut self,
        ended: JobId,
        done: impl FnOnce(&mut Head, BatchHeader, Bytes) -> UnsealedBatch,
    ) {
        let at = self
            .batches
            .iter()
            .position(|batch| matches!(batch.stage, Stage::Sealing { job, .. } if job == ended));
        let Some((at, mut batch)) = at.and_then(|at| Some((at, self.batches.remove(at)?))) else {
            return;
        };
        batch.stage = match batch.stage {
            Stage::Sealing { header, plain, .. } => {
                Stage::Closed(done(&mut batch.head, header, plain))
            }
            stage @ (Stage::Closed(_) | Stage::Sealed(_)) => stage,
        };
        self.batches.insert(at, batch);
    }

    /// Forgets the batches that were given up while on their way: nobody will answer any more.
    pub(crate) fn forget_lost(&mut self) -> impl Iterator<Item = Freed> + '_ {
        self.lost.drain(..).map(|lost| lost.memory)
    }

    /// The first batch that is not in flight; the length of the queue if all are.
    fn candidate(&self) -> usize {
        self.batches
            .iter()
            .position(|batch| !batch.is_in_flight())
            .unwrap_or(self.batches.len())
    }

    /// A batch overtakes one that waits for its retry.
    #[cfg(planted = "B04")]
    fn overtaking(&self, at: usize, now: Instant) -> usize {
        let waits = |batch: &Batch| match &batch.stage {
            Stage::Sealed(Sealed {
                transit: Transit::Waiting { until },
                ..
            }) => *until > now,
            Stage::Sealed(_) | Stage::Closed(_) | Stage::Sealing { .. } => false,
        };
        match self.batches.get(at) {
            Some(batch) if !self.sequences.are_on() && waits(batch) => self.batches.len(),
            Some(_) | None => at,
        }
    }

    fn unanswered(&self) -> usize {
        let in_flight = self
            .batches
            .iter()
            .take_while(|batch| batch.is_resent())
            .filter(|batch| batch.is_in_flight())
            .count();
        in_flight.saturating_add(self.lost.len())
    }

    /// Why nothing can be drained, or `None` when something can (as far as this partition knows).
    pub(crate) fn waits(&self, now: Instant, rules: &Rules) -> Option<Waits> {
        let at = self.candidate();
        #[cfg(planted = "B04")]
        let at = self.overtaking(at, now);
        let Some(batch) = self.batches.get(at) else {
            return match &self.open {
                Some(open) if open.due > now => Some(Waits::Linger(open.due)),
                Some(_) => self.fresh_waits(at, rules),
                None if self.unanswered() > 0 => Some(Waits::Answer),
                None => Some(Waits::Empty),
            };
        };
        if let Stage::Sealing { .. } = batch.stage {
            return Some(Waits::Compression);
        }
        if !batch.is_resent() {
            return self.fresh_waits(at, rules);
        }
        // What is sent again is the lowest of its partition and alone: whatever happened to those behind it is answered
        // first, also by a leader that is none any more.
        if self.unanswered() > 0 {
            return Some(Waits::Answer);
        }
        match &batch.stage {
            Stage::Sealed(Sealed {
                transit: Transit::Waiting { until },
                ..
            }) if *until > now => Some(Waits::Backoff(*until)),
            Stage::Sealed(_) | Stage::Closed(_) | Stage::Sealing { .. } => None,
        }
    }

    /// The same for a batch that was never drained, with `ahead` batches before it.
    fn fresh_waits(&self, ahead: usize, rules: &Rules) -> Option<Waits> {
        let undecided =
            self.sequences.broken().is_some() || (self.sequences.are_on() && !self.lost.is_empty());
        #[cfg(planted = "B04")]
        let ahead = if self.sequences.are_on() {
            ahead
        } else {
            self.unanswered()
        };
        // A broker remembers as many batches as may be unanswered: one given up while on its way counts too.
        let full = ahead.saturating_add(self.lost.len()) >= rules.max_in_flight;
        let founding = self.sequences.is_founding() && ahead > 0;
        (undecided || full || founding).then_some(Waits::Answer)
    }

    /// When something is due here without anybody else's doing, and what.
    pub(crate) fn deadline(&self, now: Instant, rules: &Rules) -> Option<(Instant, &'static str)> {
        let expiry = self
            .oldest()
            .map(|head| (head.deadline(rules.delivery_timeout), "delivery timeout"));
        let wait = match self.waits(now, rules) {
            Some(Waits::Linger(due)) => Some((due, "linger")),
            Some(Waits::Backoff(until)) => Some((until, "retry of a batch")),
            Some(Waits::Empty | Waits::Answer | Waits::Compression | Waits::ProducerId) | None => {
                None
            }
        };
        match (expiry, wait) {
            (Some(expiry), Some(wait)) => Some(if wait.0 < expiry.0 { wait } else { expiry }),
            (expiry, wait) => expiry.or(wait),
        }
    }

    /// Takes the next batch to be sent, if one may be. `identity` is the producer id that the engine has now.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        rules: &Rules,
        identity: Option<Identity>,
    ) -> Drained {
        if let Some(waits) = self.waits(now, rules) {
            return Drained::Nothing(waits);
        }
        let at = self.candidate();
        #[cfg(planted = "B04")]
        let at = self.overtaking(at, now);
        if at == self.batches.len()
            && let Some(first_ticket) = self.close_open()
            && rules.codec != Codec::None
        {
            return Drained::Compress(first_ticket);
        }
        let Some(mut batch) = self.batches.remove(at) else {
            return Drained::Nothing(Waits::Empty);
        };
        let first_ticket = batch.head.first_ticket;
        let anew = batch.numbered == Numbered::NotYet;
        #[cfg(planted = "B01")]
        let anew = anew || batch.may_be_written();
        if anew {
            match self.sequences.stamp(batch.count, identity) {
                Stamping::Plain => batch.numbered = Numbered::Plain,
                Stamping::Stamped(stamp) => batch.numbered = Numbered::With(stamp),
                Stamping::NeedsProducerId => {
                    self.batches.insert(at, batch);
                    return Drained::Nothing(Waits::ProducerId);
                }
                Stamping::Wait => {
                    self.batches.insert(at, batch);
                    return Drained::Nothing(Waits::Answer);
                }
            }
        }
        let again = matches!(batch.stage, Stage::Sealed(_));
        let records = u64::try_from(batch.count).unwrap_or(0);
        let batch = seal(batch, anew);
        let bytes = match &batch.stage {
            Stage::Sealed(sealed) => sealed.bytes.clone(),
            Stage::Sealing { .. } | Stage::Closed(_) => Bytes::new(),
        };
        self.batches.insert(at, batch);
        Drained::Batch {
            first_ticket,
            bytes,
            records,
            again,
        }
    }

    /// Where the batch in flight is that begins with `first_ticket`.
    pub(super) fn in_flight(&self, first_ticket: u64) -> Option<usize> {
        self.batches
            .iter()
            .position(|batch| batch.head.first_ticket == first_ticket && batch.is_in_flight())
    }

    /// Ends a batch: its outcomes are told by the caller.
    pub(super) fn remove(&mut self, at: usize, effects: &mut Effects) {
        if let Some(batch) = self.batches.remove(at) {
            effects.resolved.push(batch.head.order);
            effects.freed.push(Freed {
                charged: batch.head.charged,
                bytes: batch.into_bytes(),
            });
        }
    }

    /// Ends what is older than the delivery timeout.
    ///
    /// `trouble` is why the leader could not be reached.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        rules: &Rules,
        trouble: Option<&Error>,
        effects: &mut Effects,
    ) {
        let error = || {
            let error = Error::new(ErrorKind::TimedOut {
                after: rules.delivery_timeout,
            })
            .with_hint("raise `delivery.timeout.ms`, or see why the leader does not answer");
            match trouble {
                Some(trouble) => error.caused_by("the leader cannot be reached", trouble),
                None => error.with_detail("`delivery.timeout.ms` is over"),
            }
        };
        self.give_up(
            |head| head.deadline(rules.delivery_timeout) <= now,
            &error,
            effects,
        );
    }

    /// Ends the batches, oldest first, as long as `ends` says so: `Unknown` where a broker may have the batch.
    pub(crate) fn give_up(
        &mut self,
        ends: impl Fn(&Head) -> bool,
        error: &dyn Fn() -> Error,
        effects: &mut Effects,
    ) {
        while self.batches.front().is_some_and(|batch| ends(&batch.head)) {
            let Some(batch) = self.batches.pop_front() else {
                break;
            };
            let why = match batch.last_error() {
                Some(last) => error().with_detail(format_args!("the last attempt: {last}")),
                None => error(),
            };
            let possibly = batch.may_be_written() && !cfg!(planted = "B06");
            let outcome = if possibly {
                Outcome::Unknown(why)
            } else {
                Outcome::Rejected(why)
            };
            effects.tell(batch.tickets(), outcome);
            effects.resolved.push(batch.head.order);
            let (in_flight, numbered, first_ticket) = (
                batch.is_in_flight(),
                batch.numbered,
                batch.head.first_ticket,
            );
            let memory = Freed {
                charged: batch.head.charged,
                bytes: batch.into_bytes(),
            };
            if in_flight {
                // Its answer decides whether the chain of sequence numbers is whole.
                self.lost.push(Lost {
                    first_ticket,
                    numbered,
                    memory,
                });
            } else {
                effects.freed.push(memory);
                if numbered != Numbered::NotYet {
                    self.sequences.break_chain(Break::Gap);
                }
            }
        }
        if self.batches.is_empty()
            && let Some(open) = self.open.take_if(|open| ends(&open.head))
        {
            self.reject_open(open, error(), effects);
        }
        self.settle(effects);
    }

    fn reject_open(&mut self, open: OpenBatch, error: Error, effects: &mut Effects) {
        let count = u64::try_from(open.builder.count()).unwrap_or(0);
        let first = open.head.first_ticket;
        effects.tell(first..first.saturating_add(count), Outcome::Rejected(error));
        effects.resolved.push(open.head.order);
        effects.freed.push(Freed {
            charged: open.head.charged,
            bytes: open.builder.into_buffer().freeze(),
        });
    }

    /// Ends every batch that needs a producer id and will not get one.
    pub(crate) fn reject_unstamped(&mut self, error: &Error, effects: &mut Effects) {
        let mut at = 0;
        while let Some(batch) = self.batches.get(at) {
            if batch.numbered != Numbered::NotYet || batch.may_be_written() {
                at = at.saturating_add(1);
                continue;
            }
            effects.tell(batch.tickets(), Outcome::Rejected(error.clone()));
            self.remove(at, effects);
        }
        if let Some(open) = self.open.take() {
            self.reject_open(open, error.clone(), effects);
        }
    }

    /// The topic was deleted and created again.
    pub(crate) fn recreated(&mut self, effects: &mut Effects) {
        self.sequences.break_chain(Break::Recreated);
        self.settle(effects);
    }

    /// Forgets a lost batch whose request is answered; `appended` when the answer says so.
    pub(super) fn find_lost(&mut self, first_ticket: u64, appended: bool, effects: &mut Effects) {
        let Some(at) = self
            .lost
            .iter()
            .position(|lost| lost.first_ticket == first_ticket)
        else {
            return;
        };
        let lost = self.lost.remove(at);
        effects.freed.push(lost.memory);
        if lost.numbered != Numbered::NotYet && !appended {
            self.sequences.break_chain(Break::Gap);
        }
        self.settle(effects);
    }

    /// Begins the next epoch, where the chain is broken and nothing unresolved may have been appended.
    ///
    /// Java begins it at once and stamps batches anew that may be in the log, which writes them twice.
    pub(super) fn settle(&mut self, effects: &mut Effects) {
        let Some(why) = self.sequences.broken() else {
            return;
        };
        if why == Break::Recreated {
            self.give_up_on_the_old_topic(effects);
        }
        let undecided = self
            .batches
            .iter()
            .take_while(|batch| batch.is_resent())
            .any(Batch::may_be_written);
        if undecided || !self.lost.is_empty() {
            return;
        }
        for batch in &mut self.batches {
            batch.numbered = Numbered::NotYet;
        }
        self.sequences.bump();
    }

    fn give_up_on_the_old_topic(&mut self, effects: &mut Effects) {
        let mut at = 0;
        while let Some(batch) = self.batches.get(at).filter(|batch| batch.is_resent()) {
            if batch.is_in_flight() || !batch.may_be_written() {
                at = at.saturating_add(1);
                continue;
            }
            let error = Error::new(ErrorKind::UnknownTopic)
                .with_detail(
                    "the topic was deleted and created again while the batch was unanswered",
                )
                .with_hint("the records may have been in the topic that was deleted");
            effects.tell(batch.tickets(), Outcome::Unknown(error));
            self.remove(at, effects);
        }
    }
}

/// Seals a batch at its first draining, and puts it in flight. The bytes of a sealed one change only where it got a
/// number of another epoch, which only batches get that are proven not to be in the log.
fn seal(batch: Batch, anew: bool) -> Batch {
    let producer = batch.numbered.producer();
    let sealed = match batch.stage {
        Stage::Sealed(sealed) => Sealed {
            bytes: if anew {
                restamp(sealed.bytes, producer)
            } else {
                sealed.bytes
            },
            transit: Transit::InFlight,
            ..sealed
        },
        Stage::Closed(unsealed) => first_sealed(unsealed, producer),
        Stage::Sealing { header, plain, .. } => {
            first_sealed(UnsealedBatch::from_shared(header, plain), producer)
        }
    };
    Batch {
        stage: Stage::Sealed(sealed),
        ..batch
    }
}

fn first_sealed(batch: UnsealedBatch, producer: BatchProducer) -> Sealed {
    Sealed {
        bytes: batch.seal(producer),
        attempts: 0,
        written: Written::No,
        transit: Transit::InFlight,
        last_error: None,
    }
}

fn restamp(bytes: Bytes, producer: BatchProducer) -> Bytes {
    // A driver may still hold the old bytes: then these are others.
    let mut bytes = bytes
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let written = rewrite::assign_producer(&mut bytes, producer);
    debug_assert!(written.is_ok(), "a batch of our own has a header");
    bytes.freeze()
}
