//! Owns the model application of a group's member: it subscribes to everything, takes its time over each batch and each
//! rebalance, and at some time leaves or crashes.
//!
//! Knows no oracle.

use std::collections::{BTreeMap, BTreeSet};

use klamm::assignor::Assignor;
use klamm::config::{ConsumerConfig, GroupProtocol, OffsetReset};
use klamm::{
    ConsumerEngine, ConsumerEvent, Duration, Engine, Input, Instant, LentBatch, RebalanceId,
    RebalanceKind, RebalanceListener, Return, ReturnEnd, TopicPartition, UnixMillis,
};

use crate::actor::{Actor, Effect, effect};
use crate::consumer::records;
use crate::group::{GROUP, HEARTBEAT_INTERVAL, SESSION_TIMEOUT, client_id};
use crate::history::{Entry, History, Place, identify};
use crate::producer::servers;
use crate::scenario::{self, Going, Protocol, Scenario};

/// How long a member that leaves waits for its group to know.
const LEAVE: Duration = Duration::from_secs(10);

/// A member and its application.
pub struct Member {
    uid: u32,
    plan: scenario::Member,
    topics: Vec<String>,
    engine: ConsumerEngine,
    life: Life,
    reading: Reading,
    /// Rebalances that the application has not answered yet, and when it will.
    asked: BTreeMap<RebalanceId, (Instant, RebalanceKind, Vec<Place>)>,
    owned: BTreeSet<Place>,
    problems: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Life {
    /// It has not subscribed yet.
    Ahead,
    Member,
    /// No more faults come; it reads on.
    WindingUp,
    Closing,
    /// It is gone; whether it crashed.
    Gone {
        crashed: bool,
    },
}

#[derive(Debug)]
enum Reading {
    /// There may be something.
    Look,
    /// There was nothing; the engine says when there is.
    Wait,
    /// Works on a batch until then.
    Busy(Box<LentBatch>, Instant),
}

impl Member {
    /// A member that will subscribe to all of the scenario's topics.
    #[must_use]
    pub fn new(
        uid: u32,
        plan: &scenario::Member,
        scenario: &Scenario,
        entropy: [u8; 32],
        wall: UnixMillis,
    ) -> Self {
        let (group_protocol, assignor) = match plan.protocol {
            Protocol::Eager => (GroupProtocol::Classic, Assignor::Range),
            Protocol::Cooperative => (GroupProtocol::Classic, Assignor::CooperativeSticky),
            Protocol::Consumer => (GroupProtocol::Consumer, Assignor::Range),
        };
        let mut config = ConsumerConfig {
            group_id: GROUP.into(),
            group_instance_id: plan
                .instance
                .map_or_else(String::new, |number| format!("instance-{number}")),
            group_protocol,
            enable_auto_commit: plan.auto_commit,
            auto_commit_interval: Duration::from_secs(1),
            auto_offset_reset: OffsetReset::Earliest,
            max_poll_interval: Duration::from_secs(30),
            ..ConsumerConfig::default()
        };
        // By the consumer protocol these are the coordinator's to say.
        if group_protocol == GroupProtocol::Classic {
            config.partition_assignment_strategy = vec![assignor];
            config.session_timeout = SESSION_TIMEOUT;
            config.heartbeat_interval = HEARTBEAT_INTERVAL;
        }
        config.common.client_id = client_id(uid);
        config.common.bootstrap_servers = servers(scenario.brokers);
        config.common.request_timeout = Duration::from_secs(5);
        let engine = ConsumerEngine::new(&config, entropy, Instant::START, wall)
            .expect("a scenario's configuration is valid");
        Self {
            uid,
            plan: plan.clone(),
            topics: scenario.topics.iter().map(|t| t.name.clone()).collect(),
            engine,
            life: Life::Ahead,
            reading: Reading::Look,
            asked: BTreeMap::new(),
            owned: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    fn subscribe(&mut self, now: Instant) {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let listener = match self.plan.listener {
            Some(_) => RebalanceListener::Asked,
            None => RebalanceListener::Told,
        };
        self.engine
            .subscribe(&topics, listener, now)
            .expect("a legal subscription");
    }

    /// Reads a lent batch as an application would, unless it was taken away meanwhile, and gives it back.
    fn read(&mut self, lent: LentBatch, now: Instant, history: &mut History) {
        let place = Place {
            topic: lent.topic.to_string(),
            partition: lent.partition,
        };
        let current = self.engine.is_current(lent.id);
        let (next, end) = match records(&lent) {
            Ok(_) if !current => (lent.start, ReturnEnd::Read),
            Ok(records) => {
                for (offset, value) in records {
                    history.push(
                        now,
                        Entry::Consumed {
                            consumer: self.uid,
                            place: place.clone(),
                            offset,
                            id: identify(&value, &place),
                        },
                    );
                }
                (lent.next, ReturnEnd::Read)
            }
            Err(end) => (lent.start, end),
        };
        let id = lent.id;
        drop(lent);
        self.engine
            .return_batch(Return { id, next, end }, now)
            .expect("the batch is lent");
    }

    fn rebalance(
        &mut self,
        kind: &RebalanceKind,
        places: Vec<Place>,
        now: Instant,
        history: &mut History,
    ) {
        let consumer = self.uid;
        match kind {
            RebalanceKind::Assigned => {
                self.owned.extend(places.iter().cloned());
                // Whom the coordinator counts, the world adds: here, and where somebody goes.
                let current = BTreeSet::new();
                history.push(
                    now,
                    Entry::Owned {
                        consumer,
                        places,
                        current,
                    },
                );
            }
            RebalanceKind::Revoked | RebalanceKind::Lost(_) => {
                self.owned.retain(|place| !places.contains(place));
                let lost = matches!(kind, RebalanceKind::Lost(_));
                history.push(
                    now,
                    Entry::GaveUp {
                        consumer,
                        places,
                        lost,
                    },
                );
            }
        }
    }

    fn take_in(&mut self, event: ConsumerEvent, now: Instant, history: &mut History) {
        match event {
            ConsumerEvent::Ready => {
                if matches!(self.reading, Reading::Wait) {
                    self.reading = Reading::Look;
                }
            }
            ConsumerEvent::Rebalance {
                id,
                kind,
                partitions,
                deadline,
            } => {
                let places = partitions.iter().map(place).collect();
                match (deadline, self.plan.listener) {
                    (Some(_), Some(takes)) => {
                        // What goes may still be read until the answer; what comes is not read before it.
                        self.asked.insert(id, (now + takes, kind, places));
                    }
                    _ => {
                        if matches!(kind, RebalanceKind::Lost(_)) {
                            self.asked.clear();
                        }
                        self.rebalance(&kind, places, now, history);
                    }
                }
            }
            ConsumerEvent::PartitionError { partition, error } => {
                self.problems.push(format!("{partition}: {error}"));
            }
            ConsumerEvent::Problem(error) => self.problems.push(error.to_string()),
            ConsumerEvent::Closed { report, .. } => {
                self.life = Life::Gone { crashed: false };
                self.owned.clear();
                history.push(
                    now,
                    Entry::Gone {
                        consumer: self.uid,
                        // A static member's place is kept for it.
                        left: report.left_group && self.plan.instance.is_none(),
                        counted: false,
                    },
                );
            }
            ConsumerEvent::Reset { .. }
            | ConsumerEvent::Offsets { .. }
            | ConsumerEvent::Committed { .. }
            | ConsumerEvent::CommittedOffsets { .. }
            | ConsumerEvent::Rebalanced(_)
            | ConsumerEvent::Response { .. } => {}
        }
    }

    /// Answers what is due. Returns when the next answer is.
    fn answer(&mut self, now: Instant, history: &mut History) -> Option<Instant> {
        while let Some((id, (at, ..))) = self.asked.first_key_value() {
            let (id, at) = (*id, *at);
            if at > now {
                return Some(at);
            }
            let (_, kind, places) = self.asked.remove(&id).expect("it is there");
            self.rebalance(&kind, places, now, history);
            if let Err(error) = self.engine.rebalance_done(id, now) {
                self.problems.push(error.to_string());
            }
        }
        None
    }

    /// One round of reading. Returns when to come again.
    fn read_on(&mut self, now: Instant, history: &mut History) -> Option<Instant> {
        match core::mem::replace(&mut self.reading, Reading::Look) {
            Reading::Wait => {
                self.reading = Reading::Wait;
                None
            }
            Reading::Busy(lent, until) if until > now => {
                self.reading = Reading::Busy(lent, until);
                Some(until)
            }
            Reading::Busy(lent, _) => {
                self.read(*lent, now, history);
                Some(now)
            }
            Reading::Look => {
                self.engine.begin_poll(now);
                match self.engine.next_batch(now) {
                    Some(lent) => {
                        let until = now + self.plan.per_batch;
                        self.reading = Reading::Busy(Box::new(lent), until);
                        Some(until)
                    }
                    None => {
                        self.reading = Reading::Wait;
                        None
                    }
                }
            }
        }
    }

    /// Goes, if it is time to. Returns when it is.
    fn go(&mut self, now: Instant, history: &mut History) -> Option<Instant> {
        let (after, going) = self.plan.goes?;
        let at = Instant::START + after;
        if at > now {
            return Some(at);
        }
        match going {
            Going::Leaves => self.leave(now, now + LEAVE),
            Going::Crashes => {
                self.life = Life::Gone { crashed: true };
                self.owned.clear();
                self.asked.clear();
                history.push(
                    now,
                    Entry::Gone {
                        consumer: self.uid,
                        left: false,
                        counted: false,
                    },
                );
            }
        }
        None
    }

    fn leave(&mut self, now: Instant, deadline: Instant) {
        self.life = Life::Closing;
        // Whoever closes reads no more: what it works on is given back unread.
        if let Reading::Busy(lent, _) = core::mem::replace(&mut self.reading, Reading::Wait) {
            let (id, next) = (lent.id, lent.start);
            drop(lent);
            let end = ReturnEnd::Read;
            self.engine
                .return_batch(Return { id, next, end }, now)
                .expect("the batch is lent");
        }
        let _ = self.engine.close(deadline, now);
    }
}

fn place(partition: &TopicPartition) -> Place {
    Place {
        topic: partition.topic.to_string(),
        partition: partition.partition,
    }
}

impl Actor for Member {
    fn input(&mut self, input: Input<'_>, now: Instant) {
        if !self.has_crashed() {
            self.engine.handle(input, now);
        }
    }

    fn needs_drive(&self, armed: Option<Instant>) -> bool {
        !self.has_crashed() && self.engine.needs_drive(armed)
    }

    fn next(&mut self, now: Instant, history: &mut History) -> Effect {
        loop {
            let output = self.engine.poll_output();
            match effect(output, || client_id(self.uid), now, history) {
                Ok(effect) => return effect,
                Err(Some(event)) => self.take_in(event, now, history),
                Err(None) => {}
            }
        }
    }

    fn act(&mut self, now: Instant, history: &mut History) -> Option<Instant> {
        match self.life {
            Life::Ahead => {
                let joins = Instant::START + self.plan.joins;
                if joins > now {
                    return Some(joins);
                }
                self.life = Life::Member;
                self.subscribe(now);
                Some(now)
            }
            Life::Member | Life::WindingUp => {
                let goes = self.go(now, history);
                if !matches!(self.life, Life::Member | Life::WindingUp) {
                    return None;
                }
                let answers = self.answer(now, history);
                let reads = self.read_on(now, history);
                [goes, answers, reads].into_iter().flatten().min()
            }
            Life::Closing => self.answer(now, history),
            Life::Gone { .. } => None,
        }
    }

    fn wind_up(&mut self, _now: Instant) {
        if self.life == Life::Member {
            self.life = Life::WindingUp;
        }
    }

    fn is_done(&self) -> bool {
        match self.life {
            Life::Ahead | Life::Member | Life::Closing => false,
            Life::WindingUp => {
                self.plan.goes.is_none()
                    && self.asked.is_empty()
                    && matches!(self.reading, Reading::Wait)
            }
            Life::Gone { .. } => true,
        }
    }

    fn is_caught_up(&self, ends: &BTreeMap<Place, i64>) -> bool {
        self.owned.iter().all(|place| {
            let position = self.engine.position(&place.topic, place.partition);
            let end = ends.get(place).copied().unwrap_or_default();
            position.is_ok_and(|position| position.is_some_and(|position| position >= end))
        })
    }

    fn owned(&self) -> Option<&BTreeSet<Place>> {
        match self.life {
            Life::Ahead | Life::Member | Life::WindingUp => Some(&self.owned),
            Life::Closing | Life::Gone { .. } => None,
        }
    }

    fn has_crashed(&self) -> bool {
        self.life == Life::Gone { crashed: true }
    }

    fn writes(&self) -> bool {
        false
    }

    fn close(&mut self, now: Instant, deadline: Instant) {
        if matches!(self.life, Life::WindingUp) {
            self.leave(now, deadline);
        }
    }

    fn describe(&self) -> String {
        let explained: Vec<String> = self
            .owned
            .iter()
            .map(|place| {
                let why = self.engine.explain(&place.topic, place.partition);
                format!("{place}: {why:?}")
            })
            .collect();
        format!(
            "member {}: {:?}, {:?}, {} to answer\n  {}\n  {}",
            self.uid,
            self.life,
            self.reading,
            self.asked.len(),
            explained.join("\n  "),
            self.problems.join("\n  ")
        )
    }
}
