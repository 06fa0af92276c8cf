//! Owns the users' half of a producer: the slots of outcomes, the lines of those who wait to have a record accepted, and
//! the results of longer operations.
//!
//! Must not block, nor call anybody's code: it lives behind the lock.

use std::collections::HashMap;

use klamm::collections::VecMap;
use klamm::record::RecordRef;
use klamm::{
    AppendError, Appended, BlockedOn, CloseReport, Engine, Error, ErrorKind, Instant, OpId,
    Outcome, ProducerCommand, ProducerEngine, ProducerEvent, ProducerReply, RawResponse, Step,
    TopicHandle,
};

use super::record::Target;
use super::slot::Slots;
use crate::after::After;
use crate::ops::{Operator, Ops};
use crate::role::Role;
use crate::state::State;
use crate::wait::{Line, WaitId, Waits};

/// What an append waits for, and so in which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LineKey {
    Memory,
    Metadata(TopicHandle),
}

/// See the module.
#[derive(Default)]
pub(crate) struct ProducerHub {
    topics: HashMap<Box<str>, TopicHandle>,
    /// By the topic's index, then by partition.
    slots: Vec<Vec<Slots>>,
    waits: Waits,
    lines: VecMap<LineKey, Line>,
    pub(super) flushes: Ops<()>,
    pub(super) responses: Ops<Result<RawResponse, Error>>,
    pub(super) closes: Ops<CloseReport>,
    /// The last trouble that was no record's outcome: what to say to those who waited in vain.
    problem: Option<Error>,
    /// How often the brokers have refused this client, or it them.
    refusals: u64,
}

impl ProducerHub {
    pub(super) fn slots(&mut self, topic: TopicHandle, partition: i32) -> &mut Slots {
        let topic = topic.index() as usize;
        let partition = usize::try_from(partition).unwrap_or(0);
        // Both are counted up from 0 by the engine, which bounds them.
        if self.slots.len() <= topic {
            self.slots.resize_with(topic + 1, Vec::new);
        }
        let partitions = &mut self.slots[topic];
        if partitions.len() <= partition {
            partitions.resize_with(partition + 1, Slots::default);
        }
        &mut partitions[partition]
    }
}

impl Role for ProducerHub {
    type Engine = ProducerEngine;

    fn on_event(&mut self, event: ProducerEvent, after: &mut After) {
        match event {
            ProducerEvent::Outcome {
                topic,
                partition,
                tickets,
                outcome,
            } => self
                .slots(topic, partition)
                .resolve(&tickets, &outcome, after),
            ProducerEvent::Unblocked { on, topic } => {
                let key = match (on, topic) {
                    (BlockedOn::Metadata, Some(topic)) => LineKey::Metadata(topic),
                    (BlockedOn::Memory | BlockedOn::Metadata, _) => LineKey::Memory,
                };
                if let Some(line) = self.lines.get_mut(&key) {
                    line.open(&mut self.waits, after);
                }
            }
            ProducerEvent::Flushed { op } => self.flushes.done(op, (), after),
            ProducerEvent::Response { op, result } => self.responses.done(op, result, after),
            ProducerEvent::Closed { op, report } => self.closes.done(op, report, after),
            ProducerEvent::Problem(error) => {
                after.trouble(&error);
                if is_refusal(&error) {
                    // Waiting longer would not help: whoever waits for a broker is told at once.
                    self.refusals += 1;
                    self.waits.wake_all(after);
                }
                self.problem = Some(error);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.waits.deadline()
    }

    fn expire(&mut self, now: Instant, after: &mut After) {
        self.waits.expire(now, after);
    }

    fn close(now: Instant) -> ProducerCommand<'static> {
        ProducerCommand::Close { deadline: now }
    }

    fn on_stopped(&mut self, after: &mut After) {
        // The engine has given every record its outcome; this is for one that has forgotten.
        let outcome = Outcome::Unknown(Error::new(ErrorKind::Closed));
        for slots in self.slots.iter_mut().flatten() {
            slots.resolve_rest(&outcome, after);
        }
        self.waits.wake_all(after);
        self.flushes.stop(after);
        self.responses.stop(after);
        self.closes.stop(after);
    }
}

/// Whether client and broker do not take each other for who they say they are, which time does not mend.
fn is_refusal(error: &Error) -> bool {
    !error.is_retriable() && matches!(error.step(), Some(Step::Authenticate | Step::Tls))
}

/// How a try to have records accepted ended.
pub(super) enum Tried {
    /// A prefix of them was.
    Accepted(TopicHandle, Appended),
    /// None was, and it is worth waiting.
    Blocked(LineKey),
    /// None was, and none will be.
    Refused(Error),
}

/// The steps of those who want records accepted.
impl State<ProducerHub> {
    /// The handle of a topic.
    pub(super) fn topic(&mut self, target: Target<'_>, now: Instant) -> Result<TopicHandle, Error> {
        let name = match target {
            Target::Handle(handle) => return Ok(handle),
            Target::Name(name) => name,
        };
        if let Some(handle) = self.role.topics.get(name) {
            return Ok(*handle);
        }
        match self.command(ProducerCommand::Topic { name }, now) {
            ProducerReply::Topic(Ok(handle)) => {
                self.role.topics.insert(name.into(), handle);
                Ok(handle)
            }
            ProducerReply::Topic(Err(error)) => Err(error),
            reply @ (ProducerReply::Appended(_) | ProducerReply::Op(_) | ProducerReply::Done) => {
                Err(unexpected(&reply))
            }
        }
    }

    /// Tries to have records accepted, unless others are before. `place` is the own place in a line.
    pub(super) fn try_append(
        &mut self,
        target: Target<'_>,
        partition: Option<i32>,
        records: &[RecordRef<'_>],
        place: Option<(WaitId, LineKey)>,
        now: Instant,
    ) -> Tried {
        let topic = match self.topic(target, now) {
            Ok(topic) => topic,
            Err(error) => return Tried::Refused(error),
        };
        if !self.role.lines.is_empty()
            && let Some(key) = self.is_behind(topic, place)
        {
            return Tried::Blocked(key);
        }
        let append = ProducerCommand::Append {
            topic,
            partition,
            records,
        };
        match self.command(append, now) {
            ProducerReply::Appended(Ok(appended)) => Tried::Accepted(topic, appended),
            ProducerReply::Appended(Err(AppendError::Blocked { on })) => Tried::Blocked(match on {
                BlockedOn::Memory => LineKey::Memory,
                BlockedOn::Metadata => LineKey::Metadata(topic),
            }),
            ProducerReply::Appended(Err(AppendError::Refused(error))) => Tried::Refused(error),
            reply @ (ProducerReply::Topic(_) | ProducerReply::Op(_) | ProducerReply::Done) => {
                Tried::Refused(unexpected(&reply))
            }
        }
    }

    /// The line in which somebody else is served first.
    fn is_behind(&self, topic: TopicHandle, place: Option<(WaitId, LineKey)>) -> Option<LineKey> {
        for key in [LineKey::Memory, LineKey::Metadata(topic)] {
            let Some(line) = self.role.lines.get(&key) else {
                continue;
            };
            let own_turn = place.is_some_and(|(id, own)| own == key && line.may_try(id));
            if !line.is_empty() && !own_turn {
                return Some(key);
            }
        }
        None
    }

    /// Goes to the end of a line, or stays at its head after a try in vain.
    pub(super) fn wait_in_line(
        &mut self,
        place: &mut Option<(WaitId, LineKey)>,
        key: LineKey,
        deadline: Instant,
        cx: &std::task::Context<'_>,
        after: &mut After,
    ) {
        let hub = &mut self.role;
        let id = match *place {
            Some((id, own)) if own == key => {
                let line = hub.lines.get_or_insert_with(key, Line::default);
                if line.may_try(id) {
                    line.close();
                }
                id
            }
            other => {
                let id = match other {
                    Some((id, old)) => {
                        hub.leave_line(id, old, after);
                        id
                    }
                    None => hub.waits.begin(Some(deadline)),
                };
                hub.lines.get_or_insert_with(key, Line::default).join(id);
                id
            }
        };
        *place = Some((id, key));
        hub.waits.keep(id, cx, after);
    }

    /// Gives up the place, served or not. Where nobody waits any more, the engine need not say anything either.
    pub(super) fn leave(
        &mut self,
        place: Option<(WaitId, LineKey)>,
        now: Instant,
        after: &mut After,
    ) {
        let Some((id, key)) = place else { return };
        self.role.waits.end(id, after);
        if self.role.leave_line(id, key, after) {
            self.cancel_wait(key, now);
        }
    }

    /// How many refusals there were: a later number means that there was one since.
    pub(super) const fn refusals(&self) -> u64 {
        self.role.refusals
    }

    /// What to say to one who waits for a broker, if it was refused since there were `seen` refusals.
    pub(super) fn refused_since(&self, key: LineKey, seen: u64) -> Option<Error> {
        match key {
            LineKey::Memory => None,
            LineKey::Metadata(_) if self.role.refusals == seen => None,
            LineKey::Metadata(_) => self.role.problem.clone(),
        }
    }

    /// What to say to one who waited for `max.block.ms` in vain.
    pub(super) fn blocked_too_long(&self, key: LineKey, after: klamm::Duration) -> Error {
        let timed_out = Error::new(ErrorKind::TimedOut { after });
        let error = match key {
            LineKey::Memory => timed_out
                .in_step(Step::Produce)
                .with_detail("`buffer.memory` stayed full")
                .with_hint("produce more slowly, or raise `buffer.memory` or `max.block.ms`"),
            LineKey::Metadata(topic) => {
                use klamm::TopicStatus;
                let name = self.topic_name(topic);
                match self.engine().topic_status(topic) {
                    TopicStatus::Failed(error) => return error,
                    TopicStatus::Known { .. } | TopicStatus::Asked => timed_out
                        .in_step(Step::Metadata)
                        .on_topic(name)
                        .with_hint("check `bootstrap.servers`, or raise `max.block.ms`"),
                }
            }
        };
        match (&self.role.problem, key) {
            (Some(problem), LineKey::Metadata(_)) => {
                error.caused_by("no broker could be reached", problem)
            }
            (Some(_) | None, _) => error,
        }
    }

    /// The name behind a handle, for errors.
    pub(super) fn topic_name(&self, handle: TopicHandle) -> &str {
        let topics = self.role.topics.iter();
        let mut names = topics.filter(|(_, known)| **known == handle);
        names.next().map_or("?", |(name, _)| name)
    }

    /// Nobody waits on behalf of a call that does not wait. If nobody else does, the engine need not say anything.
    pub(super) fn withdraw(&mut self, key: LineKey, now: Instant) {
        if !self.role.lines.contains_key(&key) {
            self.cancel_wait(key, now);
        }
    }

    fn cancel_wait(&mut self, key: LineKey, now: Instant) {
        let (on, topic) = match key {
            LineKey::Memory => (BlockedOn::Memory, TopicHandle::from_index(0)),
            LineKey::Metadata(topic) => (BlockedOn::Metadata, topic),
        };
        let _ = self.command(ProducerCommand::CancelWait { on, topic }, now);
    }
}

impl ProducerHub {
    /// Leaves a line. Answers whether nobody is left in it.
    fn leave_line(&mut self, id: WaitId, key: LineKey, after: &mut After) -> bool {
        let Some(line) = self.lines.get_mut(&key) else {
            return false;
        };
        line.leave(id, &mut self.waits, after);
        if line.is_empty() {
            self.lines.remove(&key);
            return true;
        }
        false
    }
}

impl Operator for ProducerHub {
    fn begun(reply: <ProducerEngine as Engine>::Reply) -> Result<OpId, Error> {
        match reply {
            ProducerReply::Op(op) => Ok(op),
            reply
            @ (ProducerReply::Topic(_) | ProducerReply::Appended(_) | ProducerReply::Done) => {
                Err(unexpected(&reply))
            }
        }
    }

    fn detach(op: OpId) -> ProducerCommand<'static> {
        ProducerCommand::Detach { op }
    }
}

/// An engine answers each command with its own reply; anything else is a mistake in it.
fn unexpected(reply: &<ProducerEngine as Engine>::Reply) -> Error {
    Error::new(ErrorKind::Misuse).with_detail(format_args!("unexpected reply {reply:?}"))
}
