//! The users of the engines under test: commands by choice, and a ledger of what was promised.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use klamm::config::{Acks, ConsumerConfig, IsolationLevel, OffsetReset, ProducerConfig};
use klamm::record::compression::{DecompressBuffer, Decompressor};
use klamm::record::{BatchView, Codec, RecordRef, Records};
use klamm::{
    ApiKey, Appended, Assignment, BatchId, Category, ConnectionGroup, ConsumerEngine,
    ConsumerEvent, Corruption, Duration, Instant, LentBatch, NodeId, OffsetAndMetadata, OffsetSpec,
    OpId, Outcome, ProducerEngine, ProducerEvent, RawRequest, RebalanceId, RebalanceListener,
    Return, ReturnEnd, Start, TopicHandle, TopicPartition, UnixMillis,
};

use crate::Choices;
use crate::world::{BUDGET, Role};

/// Topics that the cluster has, one that it has not, and a name that cannot be.
pub(crate) const TOPICS: [&str; 4] = ["t", "u", "nowhere", "no/name"];
const SERVERS: &str = "broker-1:9092,broker-2:9092";

fn request(choices: &mut Choices<'_>) -> RawRequest {
    RawRequest {
        api: ApiKey(*choices.one_of(&[3, 18, 36, 19, 999])),
        version: choices.byte() as i16 % 5,
        flexible: choices.flag(),
        body: Bytes::copy_from_slice(choices.bytes(20)),
        to: choices
            .flag()
            .then(|| NodeId(i32::from(choices.byte() % 4))),
        group: if choices.flag() {
            ConnectionGroup::Coordination
        } else {
            ConnectionGroup::Default
        },
        timeout: Duration::from_millis(choices.number(2)),
    }
}

/// Operations and whether each was answered.
#[derive(Default)]
struct Operations {
    open: BTreeSet<OpId>,
    detached: BTreeSet<OpId>,
}

impl Operations {
    fn began(&mut self, op: OpId) {
        assert!(self.open.insert(op), "{op:?} twice");
    }

    fn ended(&mut self, op: OpId) {
        assert!(
            self.open.remove(&op),
            "{op:?} ended, which nobody waits for"
        );
        assert!(!self.detached.contains(&op), "{op:?} was detached");
    }

    fn detach(&mut self, choices: &mut Choices<'_>) -> OpId {
        let chosen = self.open.iter().nth(choices.below(8)).copied();
        let op = chosen.unwrap_or(OpId(choices.number(1)));
        if self.open.remove(&op) {
            self.detached.insert(op);
        }
        op
    }
}

#[derive(Default)]
pub(crate) struct Producer {
    topics: Vec<TopicHandle>,
    /// The tickets of each partition without an outcome yet.
    waiting: BTreeMap<(u32, i32), BTreeSet<u64>>,
    pub(crate) delivered: BTreeMap<(u32, i32), u64>,
    acknowledged: BTreeMap<i32, u64>,
    operations: Operations,
    closed: bool,
}

impl Producer {
    fn append(&mut self, engine: &mut ProducerEngine, choices: &mut Choices<'_>, now: Instant) {
        let topic = match self.topics.len() {
            0 => TopicHandle::from_index(u32::from(choices.byte())),
            many => self.topics[choices.below(many)],
        };
        let partition = match choices.byte() {
            0..=127 => Some(i32::from(choices.byte() % 3)),
            128..=160 => Some(choices.edgy(32) as i32),
            _ => None,
        };
        let timestamp = if choices.byte() < 240 {
            1_700_000_000_000
        } else {
            choices.edgy(64)
        };
        let times = if choices.byte() > 250 { 4096 } else { 1 };
        let value = choices.bytes(100).repeat(times);
        let key = choices.flag().then(|| choices.bytes(10));
        let record = RecordRef::new(timestamp, key, Some(&value));
        let records = vec![record; 1 + choices.below(5)];
        if let Ok(Appended { partition, tickets }) = engine.append(topic, partition, &records, now)
        {
            assert!(!tickets.is_empty() && tickets.end - tickets.start <= records.len() as u64);
            let waiting = self.waiting.entry((topic.index(), partition)).or_default();
            for ticket in tickets {
                assert!(waiting.insert(ticket), "ticket {ticket} twice");
            }
        }
    }
}

impl Role for Producer {
    type Engine = ProducerEngine;

    fn engine(choices: &mut Choices<'_>) -> ProducerEngine {
        let mut config = ProducerConfig::bootstrap(SERVERS).expect("two servers");
        config.common.memory_budget = BUDGET;
        config.buffer_memory = *choices.one_of(&[1 << 20, 100_000, 40_000]);
        config.batch_size = *choices.one_of(&[16_384, 200, 1]);
        config.max_request_size = config.buffer_memory;
        config.linger = Duration::from_millis(choices.number(1));
        config.max_in_flight = 1 + choices.below(5);
        config.compression = *choices.one_of(&Codec::ALL);
        (config.acks, config.enable_idempotence) = *choices.one_of(&[
            (Acks::All, true),
            (Acks::All, false),
            (Acks::Leader, false),
            (Acks::None, false),
        ]);
        ProducerEngine::new(
            &config,
            [7; 32],
            Instant::START,
            UnixMillis(1_700_000_000_000),
        )
        .expect("a sound configuration")
    }

    fn act(&mut self, engine: &mut ProducerEngine, choices: &mut Choices<'_>, now: Instant) {
        match choices.below(16) {
            0..=2 => {
                if let Ok(topic) = engine.topic(TOPICS[choices.below(4)], now) {
                    self.topics.push(topic);
                    let _ = engine.topic_status(topic);
                }
            }
            3..=11 => self.append(engine, choices, now),
            12 => self.operations.began(engine.flush(now)),
            13 => self
                .operations
                .began(engine.request(&request(choices), now)),
            14 => engine.detach(self.operations.detach(choices), now),
            _ if choices.byte() == 255 => {
                let deadline = now + Duration::from_millis(choices.number(2));
                self.close(engine, deadline, now);
            }
            _ => {}
        }
    }

    fn told(&mut self, event: &ProducerEvent) {
        match event {
            ProducerEvent::Outcome {
                topic,
                partition,
                tickets,
                outcome,
            } => {
                let key = (topic.index(), *partition);
                let waiting = self.waiting.entry(key).or_default();
                for ticket in tickets.clone() {
                    assert!(
                        waiting.remove(&ticket),
                        "ticket {ticket} of {key:?} had its outcome: {outcome:?}"
                    );
                }
                if let Outcome::Delivered { offset, .. } = outcome {
                    assert!(offset.is_none_or(|offset| offset >= 0), "{outcome:?}");
                    *self.delivered.entry(key).or_default() += tickets.end - tickets.start;
                    *self.acknowledged.entry(*partition).or_default() += 1;
                }
            }
            ProducerEvent::Flushed { op } | ProducerEvent::Response { op, .. } => {
                self.operations.ended(*op)
            }
            ProducerEvent::Closed { op, .. } => {
                self.operations.ended(*op);
                self.closed = true;
            }
            ProducerEvent::Unblocked { .. } => {}
            ProducerEvent::Problem(error) => assert!(error.to_string().len() < 8192),
        }
    }

    fn close(&mut self, engine: &mut ProducerEngine, deadline: Instant, now: Instant) {
        self.operations.began(engine.close(deadline, now));
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    #[cfg(test)]
    fn achieved(&self) -> u64 {
        self.delivered.values().sum()
    }

    fn assert_nothing_open(&self) {
        assert!(
            self.waiting.values().all(BTreeSet::is_empty),
            "tickets without an outcome: {:?}",
            self.waiting
        );
        assert!(
            self.operations.open.is_empty(),
            "operations without an end: {:?}",
            self.operations.open
        );
    }

    fn acknowledged(&self) -> BTreeMap<i32, u64> {
        self.acknowledged.clone()
    }

    fn memory(engine: &ProducerEngine, category: Category) -> usize {
        engine.memory_used(category)
    }
}

#[derive(Default)]
pub(crate) struct Consumer {
    lent: Vec<LentBatch>,
    operations: Operations,
    /// The calls to close that have not ended.
    closing: BTreeSet<OpId>,
    closed: bool,
    read: u64,
    /// What was asked about rebalances last.
    asked: Option<RebalanceId>,
}

fn start(choices: &mut Choices<'_>) -> Start {
    match choices.below(4) {
        0 | 1 => Start::Beginning,
        2 => Start::End,
        _ => Start::Offset(choices.edgy(64)),
    }
}

impl Consumer {
    /// Reads a batch as a reader does, and says how that ended.
    fn read(batch: &LentBatch, choices: &mut Choices<'_>) -> Return {
        let (id, next) = (batch.id, batch.next);
        let corrupt = |corruption| Return {
            id,
            next: batch.start,
            end: ReturnEnd::Corrupt(corruption),
        };
        if choices.byte() > 230 {
            let next = if choices.flag() {
                choices.edgy(64)
            } else {
                batch.start
            };
            let end = match choices.below(3) {
                0 => ReturnEnd::Abandoned,
                1 => ReturnEnd::Read,
                _ => ReturnEnd::Exhausted {
                    needed: choices.number(3) as usize,
                },
            };
            return Return { id, next, end };
        }
        assert!(batch.start < next, "{batch:?}");
        let view = match BatchView::parse(&batch.bytes) {
            Ok(view) => view,
            Err(error) => return corrupt(Corruption::Batch(error)),
        };
        if let Err(error) = view.check_crc() {
            return corrupt(Corruption::Batch(error));
        }
        let (mut buffer, codec) = (DecompressBuffer::new(), view.header().codec());
        let area = if codec == Codec::None {
            view.records_area()
        } else {
            match Decompressor::new().decompress(
                codec,
                view.records_area(),
                &mut buffer,
                batch.allowance,
            ) {
                Ok(()) => buffer.as_slice(),
                Err(klamm::record::compression::DecompressError::Exhausted { needed }) => {
                    return Return {
                        id,
                        next: batch.start,
                        end: ReturnEnd::Exhausted { needed },
                    };
                }
                Err(error) => return corrupt(Corruption::Compression(error.to_string())),
            }
        };
        for record in Records::new(view.header(), area).starting_at(batch.start) {
            if let Err(error) = record {
                return corrupt(Corruption::Record(error));
            }
        }
        Return {
            id,
            next,
            end: ReturnEnd::Read,
        }
    }

    fn assign(engine: &mut ConsumerEngine, choices: &mut Choices<'_>, now: Instant) {
        let assignments: Vec<_> = (0..choices.below(5))
            .map(|_| Assignment {
                topic: TOPICS[[0, 0, 0, 1, 1, 1, 2, 3][choices.below(8)]],
                partition: if choices.byte() > 250 {
                    choices.edgy(32) as i32
                } else {
                    i32::from(choices.byte() % 3)
                },
                start: start(choices),
            })
            .collect();
        let _ = engine.assign(&assignments, now);
        for TopicPartition { topic, partition } in engine.assignment() {
            engine.position(&topic, partition).expect("it is assigned");
            engine.lag(&topic, partition).expect("it is assigned");
        }
    }

    fn use_group(&mut self, engine: &mut ConsumerEngine, choices: &mut Choices<'_>, now: Instant) {
        let (topic, partition) = (TOPICS[choices.below(3)], i32::from(choices.byte() % 3));
        let began = match choices.below(8) {
            4 => {
                let topics = &TOPICS[..choices.below(4)];
                let listener = match choices.flag() {
                    true => RebalanceListener::Asked,
                    false => RebalanceListener::Told,
                };
                return drop(engine.subscribe(topics, listener, now));
            }
            5 | 6 => {
                let id = self.asked.take().unwrap_or(RebalanceId(choices.number(1)));
                return drop(engine.rebalance_done(id, now));
            }
            7 => return engine.begin_poll(now),
            0 => engine.commit(engine.consumed(), now),
            1 => {
                let partition = TopicPartition::new(topic, partition);
                let offset = OffsetAndMetadata::new(choices.edgy(64));
                engine.commit(vec![(partition, offset)], now)
            }
            2 => engine.committed(&[TopicPartition::new(topic, partition)], now),
            _ => return drop(engine.seek(topic, partition, Start::Committed, now)),
        };
        if let Ok(op) = began {
            self.operations.began(op);
        }
    }

    fn give_back(&mut self, engine: &mut ConsumerEngine, choices: &mut Choices<'_>, now: Instant) {
        if self.lent.is_empty() {
            let id = BatchId::from_u64(choices.number(1));
            assert!(
                engine
                    .return_batch(
                        Return {
                            id,
                            next: 0,
                            end: ReturnEnd::Read
                        },
                        now
                    )
                    .is_err()
            );
            return;
        }
        let batch = self.lent.swap_remove(choices.below(self.lent.len()));
        let returned = Self::read(&batch, choices);
        if returned.end == ReturnEnd::Read && returned.next == batch.next {
            self.read += 1;
        }
        drop(batch.bytes);
        if choices.flag() {
            engine.return_batch(returned, now).expect("it is lent");
        } else {
            let (done, next) = engine.return_and_next(returned, now);
            done.expect("it is lent");
            self.lent.extend(next);
        }
    }
}

impl Role for Consumer {
    type Engine = ConsumerEngine;

    fn engine(choices: &mut Choices<'_>) -> ConsumerEngine {
        let mut config = ConsumerConfig::bootstrap(SERVERS).expect("two servers");
        config.common.memory_budget = BUDGET;
        config.group_id = "fuzzers".into();
        config.auto_offset_reset = *choices.one_of(&[
            OffsetReset::Earliest,
            OffsetReset::Latest,
            OffsetReset::None,
        ]);
        config.isolation_level = *choices.one_of(&[
            IsolationLevel::ReadUncommitted,
            IsolationLevel::ReadCommitted,
        ]);
        config.max_poll_interval = Duration::from_secs(10);
        config.fetch_max_bytes = *choices.one_of(&[1 << 20, 10_000, 1]);
        config.max_partition_fetch_bytes = *choices.one_of(&[1 << 20, 10_000, 1]);
        ConsumerEngine::new(
            &config,
            [7; 32],
            Instant::START,
            UnixMillis(1_700_000_000_000),
        )
        .expect("a sound configuration")
    }

    fn act(&mut self, engine: &mut ConsumerEngine, choices: &mut Choices<'_>, now: Instant) {
        let (topic, partition) = (TOPICS[choices.below(2)], i32::from(choices.byte() % 3));
        match choices.below(16) {
            0 | 1 => Self::assign(engine, choices, now),
            2 => drop(engine.seek(topic, partition, start(choices), now)),
            3 => drop(engine.pause(topic, partition, now)),
            4 => drop(engine.resume(topic, partition, now)),
            5..=8 => self.lent.extend(engine.next_batch(now)),
            9..=11 => self.give_back(engine, choices, now),
            12 => {
                let spec = match choices.below(4) {
                    0 => OffsetSpec::Earliest,
                    1 => OffsetSpec::Latest,
                    2 => OffsetSpec::MaxTimestamp,
                    _ => OffsetSpec::Timestamp(choices.edgy(64)),
                };
                let partitions = vec![
                    TopicPartition::new(TOPICS[choices.below(4)], partition);
                    choices.below(3)
                ];
                self.operations
                    .began(engine.list_offsets(spec, &partitions, now));
            }
            13 => self
                .operations
                .began(engine.request(&request(choices), now)),
            14 => engine.detach(self.operations.detach(choices), now),
            _ if choices.byte() == 255 => {
                let deadline = now + Duration::from_millis(choices.number(2));
                self.close(engine, deadline, now);
            }
            _ => self.use_group(engine, choices, now),
        }
        for TopicPartition { topic, partition } in engine.assignment() {
            let explained = engine.explain(&topic, partition).expect("it is assigned");
            assert!(
                explained.since <= now && !explained.cause.is_empty(),
                "{explained:?}"
            );
        }
    }

    fn told(&mut self, event: &ConsumerEvent) {
        match event {
            ConsumerEvent::Offsets { op, .. }
            | ConsumerEvent::Committed { op, .. }
            | ConsumerEvent::CommittedOffsets { op, .. }
            | ConsumerEvent::Response { op, .. } => self.operations.ended(*op),
            ConsumerEvent::Closed { op, .. } => {
                assert!(self.closing.remove(op), "{event:?}");
                self.closed = true;
            }
            ConsumerEvent::Rebalance {
                id,
                partitions,
                deadline,
                ..
            } => {
                assert!(!self.closed && !partitions.is_empty(), "{event:?}");
                self.asked = deadline.map(|_| *id);
            }
            ConsumerEvent::Ready | ConsumerEvent::Reset { .. } | ConsumerEvent::Rebalanced(_) => {
                assert!(!self.closed, "{event:?}")
            }
            ConsumerEvent::PartitionError { error, .. } | ConsumerEvent::Problem(error) => {
                assert!(!self.closed, "{event:?}");
                assert!(error.to_string().len() < 8192);
            }
        }
    }

    fn close(&mut self, engine: &mut ConsumerEngine, deadline: Instant, now: Instant) {
        for batch in self.lent.drain(..) {
            let returned = Return {
                id: batch.id,
                next: batch.start,
                end: ReturnEnd::Abandoned,
            };
            drop(batch.bytes);
            engine.return_batch(returned, now).expect("it is lent");
        }
        assert!(self.closing.insert(engine.close(deadline, now)));
    }

    fn is_closed(&self) -> bool {
        self.closed && self.closing.is_empty()
    }

    #[cfg(test)]
    fn achieved(&self) -> u64 {
        self.read
    }

    fn assert_nothing_open(&self) {
        assert!(self.lent.is_empty());
        assert!(
            self.operations.open.is_empty(),
            "operations without an end: {:?}",
            self.operations.open
        );
    }

    fn memory(engine: &ConsumerEngine, category: Category) -> usize {
        engine.memory_used(category)
    }
}
