//! Owns the model application of a producer: it sends what its plan says, as soon as it may, and writes down what it
//! is told.
//!
//! Knows no oracle.

use std::collections::{BTreeMap, VecDeque};

use klamm::config::{Acks, ProducerConfig, Server};
use klamm::record::RecordRef;
use klamm::{
    AppendError, BlockedOn, Engine, Input, Instant, Outcome, ProducerEngine, ProducerEvent,
    TopicHandle, UnixMillis,
};

use crate::actor::{Actor, Effect, effect};
use crate::history::{Entry, History, Place, ProducerFacts, RecordId, Told, payload};
use crate::scenario;

/// A producer and its application.
pub struct Producer {
    uid: u32,
    engine: ProducerEngine,
    topics: BTreeMap<String, TopicHandle>,
    names: BTreeMap<TopicHandle, String>,
    plan: VecDeque<scenario::Send>,
    /// The next record, if the engine had no room for it.
    waiting: Waiting,
    next_number: u64,
    /// Records without an outcome, by what the engine calls them.
    open: BTreeMap<(Place, u64), RecordId>,
    accepted: BTreeMap<Place, u64>,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Waiting {
    No,
    For(BlockedOn),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Sending,
    WindingUp,
    Closing,
    Closed,
}

impl Producer {
    /// A producer that has sent nothing yet.
    #[must_use]
    pub fn new(
        uid: u32,
        plan: &scenario::Producer,
        brokers: u16,
        entropy: [u8; 32],
        wall: UnixMillis,
    ) -> Self {
        let config = config(plan, brokers);
        let engine = ProducerEngine::new(&config, entropy, Instant::START, wall)
            .expect("a scenario's configuration is valid");
        Self {
            uid,
            engine,
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            plan: plan.sends.iter().cloned().collect(),
            waiting: Waiting::No,
            next_number: 0,
            open: BTreeMap::new(),
            accepted: BTreeMap::new(),
            phase: Phase::Sending,
        }
    }

    /// What the oracles need to know of a plan.
    #[must_use]
    pub fn facts(plan: &scenario::Producer) -> ProducerFacts {
        ProducerFacts {
            idempotent: plan.idempotent,
            max_in_flight: plan.max_in_flight,
            delivery_timeout: u64::try_from(plan.delivery_timeout.as_nanos()).expect("short"),
        }
    }

    fn topic(&mut self, name: &str, now: Instant) -> TopicHandle {
        if let Some(handle) = self.topics.get(name) {
            return *handle;
        }
        let handle = self.engine.topic(name, now).expect("a valid name");
        self.topics.insert(name.to_owned(), handle);
        self.names.insert(handle, name.to_owned());
        handle
    }

    /// Sends one record of the first due send. Returns whether it was accepted.
    fn send_one(&mut self, now: Instant, history: &mut History) -> bool {
        let Some(send) = self.plan.front().cloned() else {
            return false;
        };
        let handle = self.topic(&send.place.topic, now);
        let id = RecordId {
            producer: self.uid,
            number: self.next_number,
        };
        let value = payload(id, &send.place, send.size);
        let timestamp = i64::try_from(now.as_nanos() / 1_000_000).expect("not that long");
        let record = RecordRef::new(timestamp, None, Some(&value));
        match self
            .engine
            .append(handle, Some(send.place.partition), &[record], now)
        {
            Ok(appended) => {
                assert_eq!(appended.tickets.end - appended.tickets.start, 1);
                assert_eq!(appended.partition, send.place.partition);
                let expected = self.accepted.entry(send.place.clone()).or_default();
                assert_eq!(appended.tickets.start, *expected, "tickets count up");
                *expected += 1;
                self.open
                    .insert((send.place.clone(), appended.tickets.start), id);
                history.push(
                    now,
                    Entry::Accepted {
                        id,
                        place: send.place,
                    },
                );
                self.next_number += 1;
                if let Some(front) = self.plan.front_mut() {
                    front.records -= 1;
                    if front.records == 0 {
                        self.plan.pop_front();
                    }
                }
                true
            }
            Err(AppendError::Blocked { on }) => {
                self.waiting = Waiting::For(on);
                false
            }
            Err(AppendError::Refused(error)) => panic!("a legal record was refused: {error}"),
        }
    }

    fn take_in(&mut self, event: ProducerEvent, now: Instant, history: &mut History) {
        match event {
            ProducerEvent::Outcome {
                topic,
                partition,
                tickets,
                outcome,
            } => {
                let place = Place {
                    topic: self.names.get(&topic).cloned().unwrap_or_default(),
                    partition,
                };
                for (index, ticket) in tickets.enumerate() {
                    let told = told(&outcome, index);
                    let id = self
                        .open
                        .remove(&(place.clone(), ticket))
                        .unwrap_or(RecordId {
                            producer: self.uid,
                            number: u64::MAX,
                        });
                    history.push(now, Entry::Outcome { id, told });
                }
            }
            ProducerEvent::Unblocked { on, .. } => {
                if self.waiting == Waiting::For(on) {
                    self.waiting = Waiting::No;
                }
            }
            ProducerEvent::Closed { .. } => {
                self.phase = Phase::Closed;
                history.push(now, Entry::ProducerClosed { producer: self.uid });
            }
            ProducerEvent::Flushed { .. }
            | ProducerEvent::Response { .. }
            | ProducerEvent::Problem(_) => {}
        }
    }
}

fn told(outcome: &Outcome, index: usize) -> Told {
    match outcome {
        Outcome::Delivered { offset, .. } => {
            let index = i64::try_from(index).expect("small");
            Told::Delivered(offset.map(|first| first + index))
        }
        Outcome::Rejected(_) => Told::Rejected,
        Outcome::Unknown(_) => Told::Unknown,
        Outcome::Sent => Told::Sent,
    }
}

/// Where a scenario's brokers are found.
#[must_use]
pub fn servers(brokers: u16) -> Vec<Server> {
    (1..=brokers)
        .map(|broker| Server {
            host: format!("broker-{broker}"),
            port: 9092,
        })
        .collect()
}

fn config(plan: &scenario::Producer, brokers: u16) -> ProducerConfig {
    let mut config = ProducerConfig {
        acks: Acks::All,
        enable_idempotence: plan.idempotent,
        max_in_flight: plan.max_in_flight,
        linger: plan.linger,
        batch_size: plan.batch_size,
        buffer_memory: plan.buffer_memory,
        max_request_size: plan.buffer_memory.min(1 << 20),
        compression: plan.compression,
        delivery_timeout: plan.delivery_timeout,
        ..ProducerConfig::default()
    };
    config.common.bootstrap_servers = servers(brokers);
    config.common.request_timeout = plan.request_timeout;
    config
}

impl Actor for Producer {
    fn input(&mut self, input: Input<'_>, now: Instant) {
        self.engine.handle(input, now);
    }

    fn needs_drive(&self, armed: Option<Instant>) -> bool {
        self.engine.needs_drive(armed)
    }

    fn next(&mut self, now: Instant, history: &mut History) -> Effect {
        loop {
            let output = self.engine.poll_output();
            match effect(output, || format!("producer {}", self.uid), now, history) {
                Ok(effect) => return effect,
                Err(Some(event)) => self.take_in(event, now, history),
                Err(None) => {}
            }
        }
    }

    fn act(&mut self, now: Instant, history: &mut History) -> Option<Instant> {
        while self.waiting == Waiting::No
            && matches!(self.phase, Phase::Sending | Phase::WindingUp)
            && self
                .plan
                .front()
                .is_some_and(|send| Instant::START + send.at <= now)
        {
            if !self.send_one(now, history) {
                break;
            }
        }
        let next = self.plan.front().map(|send| Instant::START + send.at)?;
        (next > now).then_some(next)
    }

    fn wind_up(&mut self, _now: Instant) {
        self.phase = Phase::WindingUp;
    }

    fn is_done(&self) -> bool {
        match self.phase {
            Phase::Sending | Phase::Closing => false,
            Phase::WindingUp => self.plan.is_empty() && self.open.is_empty(),
            Phase::Closed => true,
        }
    }

    fn is_caught_up(&self, _ends: &BTreeMap<Place, i64>) -> bool {
        true
    }

    fn writes(&self) -> bool {
        true
    }

    fn close(&mut self, now: Instant, deadline: Instant) {
        self.phase = Phase::Closing;
        let _ = self.engine.close(deadline, now);
    }

    fn describe(&self) -> String {
        format!(
            "producer {}: {:?}, waits: {:?}, {} sends left, {} records open",
            self.uid,
            self.phase,
            self.waiting,
            self.plan.len(),
            self.open.len()
        )
    }
}
