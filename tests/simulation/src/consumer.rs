//! Owns the model application of a consumer: it reads every partition from the beginning, takes its time over each
//! batch, and writes down what it gets.
//!
//! Knows no oracle.

use std::collections::BTreeMap;

use klamm::config::ConsumerConfig;
use klamm::record::compression::DecompressError;
use klamm::{
    Assignment, ConsumerEngine, ConsumerEvent, Corruption, Duration, Engine, Input, Instant,
    LentBatch, Return, ReturnEnd, Start, UnixMillis,
};

use crate::actor::{Actor, Effect, effect};
use crate::batch::{self, Unreadable};
use crate::history::{Entry, History, Place, identify};
use crate::producer::servers;
use crate::scenario::{self, Scenario};

/// A consumer and its application.
pub struct Consumer {
    uid: u32,
    engine: ConsumerEngine,
    per_batch: Duration,
    reading: Reading,
    positions: BTreeMap<Place, i64>,
    phase: Phase,
    problems: Vec<String>,
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

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    WindingUp,
    Closing,
    Closed,
}

impl Consumer {
    /// A consumer that reads all of the scenario's partitions from their beginning.
    #[must_use]
    pub fn new(
        uid: u32,
        plan: &scenario::Consumer,
        scenario: &Scenario,
        entropy: [u8; 32],
        wall: UnixMillis,
        history: &mut History,
    ) -> Self {
        let mut config = ConsumerConfig {
            fetch_max_wait: plan.fetch_max_wait,
            max_partition_fetch_bytes: plan.max_partition_fetch_bytes,
            ..ConsumerConfig::default()
        };
        config.common.bootstrap_servers = servers(scenario.brokers);
        config.common.memory_budget = plan.memory_budget;
        config.common.request_timeout = Duration::from_secs(5);
        let mut engine = ConsumerEngine::new(&config, entropy, Instant::START, wall)
            .expect("a scenario's configuration is valid");
        let places: Vec<Place> = scenario
            .topics
            .iter()
            .flat_map(|topic| {
                (0..topic.partitions).map(|partition| Place {
                    topic: topic.name.clone(),
                    partition,
                })
            })
            .collect();
        let assignments: Vec<Assignment<'_>> = places
            .iter()
            .map(|place| Assignment {
                topic: &place.topic,
                partition: place.partition,
                start: Start::Beginning,
            })
            .collect();
        engine
            .assign(&assignments, Instant::START)
            .expect("a legal assignment");
        for place in &places {
            history.push(
                Instant::START,
                Entry::Positioned {
                    consumer: uid,
                    place: place.clone(),
                    offset: 0,
                },
            );
        }
        Self {
            uid,
            engine,
            per_batch: plan.per_batch,
            reading: Reading::Look,
            positions: places.into_iter().map(|place| (place, 0)).collect(),
            phase: Phase::Reading,
            problems: Vec::new(),
        }
    }

    /// Reads a lent batch as an application would, and gives it back.
    fn read(&mut self, lent: LentBatch, now: Instant, history: &mut History) {
        let place = Place {
            topic: lent.topic.to_string(),
            partition: lent.partition,
        };
        let (records, end) = match records(&lent) {
            Ok(records) => (records, ReturnEnd::Read),
            Err(end) => (Vec::new(), end),
        };
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
        if end == ReturnEnd::Read {
            self.positions.insert(place, lent.next);
        }
        let next = if end == ReturnEnd::Read {
            lent.next
        } else {
            lent.start
        };
        let id = lent.id;
        drop(lent);
        self.engine
            .return_batch(Return { id, next, end }, now)
            .expect("the batch is lent");
    }

    fn take_in(&mut self, event: ConsumerEvent, now: Instant, history: &mut History) {
        match event {
            ConsumerEvent::Ready => {
                if matches!(self.reading, Reading::Wait) {
                    self.reading = Reading::Look;
                }
            }
            ConsumerEvent::Reset { partition, to, .. } => {
                let place = Place {
                    topic: partition.topic.to_string(),
                    partition: partition.partition,
                };
                self.positions.insert(place.clone(), to);
                history.push(
                    now,
                    Entry::Positioned {
                        consumer: self.uid,
                        place,
                        offset: to,
                    },
                );
            }
            ConsumerEvent::PartitionError { partition, error } => {
                self.problems.push(format!("{partition}: {error}"));
            }
            ConsumerEvent::Closed { .. } => self.phase = Phase::Closed,
            ConsumerEvent::Offsets { .. }
            | ConsumerEvent::Committed { .. }
            | ConsumerEvent::CommittedOffsets { .. }
            | ConsumerEvent::Rebalance { .. }
            | ConsumerEvent::Rebalanced(_)
            | ConsumerEvent::Response { .. }
            | ConsumerEvent::Problem(_) => {}
        }
    }
}

/// The offsets and values of a batch's records from its start on.
pub(crate) fn records(lent: &LentBatch) -> Result<Vec<(i64, Vec<u8>)>, ReturnEnd> {
    // What is not compressed needs no allowance: it is borrowed.
    let limit = if lent.allowance == 0 {
        usize::MAX
    } else {
        lent.allowance
    };
    match batch::read(&lent.bytes, limit) {
        Ok(records) => Ok(records
            .into_iter()
            .filter(|(offset, _)| *offset >= lent.start)
            .collect()),
        Err(Unreadable::Compressed(DecompressError::Exhausted { needed })) => {
            Err(ReturnEnd::Exhausted { needed })
        }
        Err(Unreadable::Compressed(error)) => Err(ReturnEnd::Corrupt(Corruption::Compression(
            error.to_string(),
        ))),
        Err(Unreadable::Batch(error)) => Err(ReturnEnd::Corrupt(Corruption::Batch(error))),
        Err(Unreadable::Record(error)) => Err(ReturnEnd::Corrupt(Corruption::Record(error))),
    }
}

impl Actor for Consumer {
    fn input(&mut self, input: Input<'_>, now: Instant) {
        self.engine.handle(input, now);
    }

    fn needs_drive(&self, armed: Option<Instant>) -> bool {
        self.engine.needs_drive(armed)
    }

    fn next(&mut self, now: Instant, history: &mut History) -> Effect {
        loop {
            let output = self.engine.poll_output();
            match effect(output, || format!("consumer {}", self.uid), now, history) {
                Ok(effect) => return effect,
                Err(Some(event)) => self.take_in(event, now, history),
                Err(None) => {}
            }
        }
    }

    fn act(&mut self, now: Instant, history: &mut History) -> Option<Instant> {
        if !matches!(self.phase, Phase::Reading | Phase::WindingUp) {
            return None;
        }
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
            Reading::Look => match self.engine.next_batch(now) {
                Some(lent) => {
                    let until = now + self.per_batch;
                    self.reading = Reading::Busy(Box::new(lent), until);
                    Some(until)
                }
                None => {
                    self.reading = Reading::Wait;
                    None
                }
            },
        }
    }

    fn wind_up(&mut self, _now: Instant) {
        self.phase = Phase::WindingUp;
    }

    fn is_done(&self) -> bool {
        match self.phase {
            Phase::Reading | Phase::Closing => false,
            Phase::WindingUp => matches!(self.reading, Reading::Wait),
            Phase::Closed => true,
        }
    }

    fn is_caught_up(&self, ends: &BTreeMap<Place, i64>) -> bool {
        ends.iter().all(|(place, end)| {
            self.positions
                .get(place)
                .is_some_and(|position| position >= end)
        })
    }

    fn writes(&self) -> bool {
        false
    }

    fn close(&mut self, now: Instant, deadline: Instant) {
        self.phase = Phase::Closing;
        let _ = self.engine.close(deadline, now);
    }

    fn describe(&self) -> String {
        let explained: Vec<String> = self
            .positions
            .iter()
            .map(|(place, position)| {
                format!(
                    "{place} at {position}: {:?}",
                    self.engine.explain(&place.topic, place.partition)
                )
            })
            .collect();
        format!(
            "consumer {}: {:?}, {:?}\n  {}\n  {}",
            self.uid,
            self.phase,
            self.reading,
            explained.join("\n  "),
            self.problems.join("\n  ")
        )
    }
}
