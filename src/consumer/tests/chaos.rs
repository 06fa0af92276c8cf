//! A consumer against brokers that answer late, wrongly, from another place or not at all, and a user who seeks, pauses
//! and returns batches part-way: every record comes out once and in order, and in the end all of them have.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::harness::*;
use super::offsets::response;
use crate::consumer::{LentBatch, ReturnEnd, Start};
use crate::messages::{
    FetchPartitionData, FetchRequest, FetchResponse, FetchableTopicResponse, ListOffsetsRequest,
    OffsetForLeaderEpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};
use crate::random::{Random, Stream};
use crate::record::control::{TransactionEnd, end_transaction_marker};
use crate::record::{BatchView, rewrite};
use crate::time::Duration;
use crate::wire::{ApiKey, Str};

const PARTITIONS: i32 = 4;

/// Codes that pass.
const CODES: [i16; 8] = [-1, 3, 5, 6, 56, 74, 75, 78];

/// A batch of a log.
struct Logged {
    bytes: Bytes,
    next: i64,
}

/// What one broker remembers of the consumer's fetches.
#[derive(Default)]
struct Session {
    id: i32,
    epoch: i32,
    wanted: BTreeMap<i32, i64>,
}

/// Brokers with logs, and a reader.
struct Play {
    world: World,
    random: Random,
    logs: Vec<Vec<Logged>>,
    sessions: [Session; 2],
    next_session: i32,
    lent: Vec<LentBatch>,
    /// Of each partition, the offset that must come next at the earliest.
    expected: Vec<i64>,
    /// Whether brokers do as they should.
    calm: bool,
    records: u32,
}

impl Play {
    fn new(seed: u8) -> Self {
        let mut random = Random::derive(&[seed; 32], Stream::Consumer);
        let logs = (0..PARTITIONS).map(|_| random_log(&mut random)).collect();
        let mut world = World::new(&config());
        world.assign(&[0, 1, 2, 3], Start::Offset(0));
        Self {
            world,
            random,
            logs,
            sessions: Default::default(),
            next_session: 1,
            lent: Vec::new(),
            expected: vec![0; 4],
            calm: false,
            records: 0,
        }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.below(one_in) == 0
    }

    fn some_partition(&mut self) -> i32 {
        self.random.below(4).cast_signed()
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..=4 => self.answer_oldest(),
            5 | 6 => self.lend(),
            7 | 8 => self.give_back(),
            9 => {
                let millis = u64::from(self.random.below(700));
                self.world.pass(Duration::from_millis(millis));
            }
            _ if self.calm => {}
            10 => self.user(),
            _ => self.trouble(),
        }
    }

    fn user(&mut self) {
        let (partition, now) = (self.some_partition(), self.world.now);
        match self.random.below(3) {
            0 => self.world.consumer.pause(T, partition, now).unwrap(),
            1 => self.world.consumer.resume(T, partition, now).unwrap(),
            _ => self.seek(partition),
        }
        self.world.drain();
    }

    fn seek(&mut self, partition: i32) {
        let index = usize::try_from(partition).unwrap();
        let end = self.logs[index].last().map_or(0, |logged| logged.next);
        let to = i64::from(self.random.below(u32::try_from(end).unwrap() + 1));
        let now = self.world.now;
        self.world
            .consumer
            .seek(T, partition, Start::Offset(to), now)
            .unwrap();
        self.expected[index] = to;
    }

    fn trouble(&mut self) {
        match self.random.below(3) {
            0 => {
                let node = self.random.below(2).cast_signed();
                self.world.disconnect(node);
            }
            1 => {
                let index = usize::try_from(self.some_partition()).unwrap();
                let led = &mut self.world.topics.get_mut(T).unwrap().partitions[index];
                *led = Led {
                    leader: 1 - led.leader,
                    epoch: led.epoch + 1,
                };
            }
            // The broker makes room for others' sessions.
            _ => self.sessions[self.random.below(2) as usize] = Session::default(),
        }
    }

    fn lend(&mut self) {
        self.lent.extend(self.world.lend());
    }

    fn give_back(&mut self) {
        if self.lent.is_empty() {
            return;
        }
        let many = u32::try_from(self.lent.len()).unwrap();
        let batch = self.lent.swap_remove(self.random.below(many) as usize);
        let stop = match self.chance(4) {
            true => batch.start + i64::from(self.random.below(3)),
            false => batch.next,
        };
        let current = self.world.consumer.is_current(batch.id);
        if current {
            self.read(&batch, stop);
        }
        let end = if stop < batch.next {
            ReturnEnd::Abandoned
        } else {
            ReturnEnd::Read
        };
        self.world.give_back_at(&batch, stop, end);
        let position = self.world.position(batch.partition);
        assert!(!current || position >= Some(stop.min(batch.next)));
    }

    /// Reads a batch up to `stop`: exactly what the log has there, from where the last one ended.
    fn read(&mut self, batch: &LentBatch, stop: i64) {
        let index = usize::try_from(batch.partition).unwrap();
        let view = BatchView::parse(&batch.bytes).unwrap();
        view.check_crc().unwrap();
        let from = self.expected[index];
        assert!(
            batch.start >= from,
            "offset {} again after {from}",
            batch.start
        );
        let skipped = self.logs[index]
            .iter()
            .filter(|logged| logged.next > from && logged.next <= batch.start)
            .any(|logged| is_visible(&logged.bytes));
        assert!(
            !skipped,
            "records from {from} to {} never came",
            batch.start
        );
        for record in view.records().unwrap() {
            let offset = record.unwrap().offset;
            self.records += u32::from(offset >= batch.start && offset < stop);
        }
        self.expected[index] = stop.clamp(batch.start, batch.next);
    }

    fn answer_oldest(&mut self) {
        let Some(asked) = self.world.asked.pop_front() else {
            return;
        };
        match asked.api {
            ApiKey::FETCH => self.answer_fetch(&asked),
            ApiKey::LIST_OFFSETS => {
                let request: ListOffsetsRequest = asked.decode();
                let answers: Vec<(i32, i16, i64)> = request.topics[0]
                    .partitions
                    .iter()
                    .map(|asked| (asked.partition_index, 0, 0))
                    .collect();
                self.world
                    .answer::<ListOffsetsRequest>(&asked, &response(&answers));
            }
            _ => self.answer_epochs(&asked),
        }
    }

    fn answer_epochs(&mut self, asked: &Asked) {
        let request: OffsetForLeaderEpochRequest = asked.decode();
        let partitions = request.topics[0]
            .partitions
            .iter()
            .map(|question| {
                let code = self.code(
                    question.partition,
                    question.current_leader_epoch,
                    asked.node,
                );
                let log = &self.logs[usize::try_from(question.partition).unwrap()];
                OffsetForLeaderEpochEndOffset {
                    error_code: code,
                    partition: question.partition,
                    leader_epoch: question.leader_epoch,
                    end_offset: log.last().map_or(0, |logged| logged.next),
                }
            })
            .collect();
        let response = OffsetForLeaderEpochResponse {
            topics: vec![OffsetForLeaderTopicResult {
                topic: Str::from(T),
                partitions,
            }],
            ..OffsetForLeaderEpochResponse::default()
        };
        self.world
            .answer::<OffsetForLeaderEpochRequest>(asked, &response);
    }

    /// The error that a broker answers for a partition, 0 for none.
    fn code(&mut self, partition: i32, epoch: i32, node: i32) -> i16 {
        let led = self.world.topics[T].partitions[usize::try_from(partition).unwrap()];
        if led.leader != node {
            return 6;
        }
        match epoch {
            _ if epoch < led.epoch => 74,
            _ if !self.calm && self.chance(10) => CODES[self.random.below(8) as usize],
            _ => 0,
        }
    }

    fn answer_fetch(&mut self, asked: &Asked) {
        let request: FetchRequest = asked.decode();
        let node = usize::try_from(asked.node).unwrap();
        let full = request.session_epoch == 0;
        let session = &mut self.sessions[node];
        if full {
            *session = Session {
                id: self.next_session,
                ..Session::default()
            };
            self.next_session += 1;
        } else if session.id != request.session_id || session.epoch != request.session_epoch {
            let gone = FetchResponse {
                error_code: 70,
                ..FetchResponse::default()
            };
            return self.world.answer::<FetchRequest>(asked, &gone);
        }
        session.epoch += 1;
        for topic in &request.forgotten_topics_data {
            for partition in &topic.partitions {
                assert!(
                    session.wanted.remove(partition).is_some(),
                    "forgets what it never asked for"
                );
            }
        }
        let mut epochs = BTreeMap::new();
        for partition in request.topics.iter().flat_map(|topic| &topic.partitions) {
            session
                .wanted
                .insert(partition.partition, partition.fetch_offset);
            epochs.insert(partition.partition, partition.current_leader_epoch);
        }
        let id = session.id;
        let wanted: Vec<(i32, i64)> = session
            .wanted
            .iter()
            .map(|(partition, offset)| (*partition, *offset))
            .collect();
        self.serve_all(asked, id, full, &wanted, &epochs);
    }

    fn serve_all(
        &mut self,
        asked: &Asked,
        id: i32,
        full: bool,
        wanted: &[(i32, i64)],
        epochs: &BTreeMap<i32, i32>,
    ) {
        let mut partitions = Vec::new();
        for (partition, offset) in wanted.iter().copied() {
            let data = self.serve(
                partition,
                offset,
                epochs.get(&partition).copied().unwrap_or(i32::MAX),
                asked.node,
            );
            if full
                || data.error_code != 0
                || data
                    .records
                    .as_ref()
                    .is_some_and(|records| !records.is_empty())
            {
                partitions.push(data);
            }
        }
        let responses = match partitions.is_empty() {
            true => vec![],
            false => vec![FetchableTopicResponse {
                topic_id: ID,
                partitions,
                ..FetchableTopicResponse::default()
            }],
        };
        let response = FetchResponse {
            session_id: id,
            responses,
            ..FetchResponse::default()
        };
        self.world.answer::<FetchRequest>(asked, &response);
    }

    fn serve(&mut self, partition: i32, offset: i64, epoch: i32, node: i32) -> FetchPartitionData {
        match self.code(partition, epoch, node) {
            0 => {}
            code => return error(partition, code),
        }
        let many = 1 + self.random.below(5) as usize;
        let cut = self.random.below(3) as usize;
        let log = &self.logs[usize::try_from(partition).unwrap()];
        let end = log.last().map_or(0, |logged| logged.next);
        assert!(
            offset <= end,
            "partition {partition} is asked for offset {offset}, after its end {end}"
        );
        let batches: Vec<Bytes> = log
            .iter()
            .filter(|logged| logged.next > offset)
            .take(many)
            .map(|logged| logged.bytes.clone())
            .collect();
        let bytes = batches.concat();
        // A response may end within a batch, but not within the first one.
        let whole = batches.first().map_or(0, Bytes::len);
        let bytes =
            Bytes::from(bytes).slice(..whole.max(batches.concat().len().saturating_sub(cut * 40)));
        FetchPartitionData {
            records: Some(bytes),
            ..nothing(partition)
        }
    }

    /// All goes well from here on; everything must come out.
    fn heal(&mut self) {
        self.calm = true;
        for partition in 0..PARTITIONS {
            self.world
                .consumer
                .resume(T, partition, self.world.now)
                .unwrap();
        }
        self.world.drain();
        for _ in 0..4_000 {
            if self.is_done() {
                return;
            }
            self.step();
        }
        for partition in 0..PARTITIONS {
            let explained = self.world.consumer.explain(T, partition).unwrap();
            assert!(self.is_done(), "partition {partition}: {explained:?}");
        }
    }

    fn is_done(&self) -> bool {
        let ends = self
            .logs
            .iter()
            .map(|log| log.last().map(|logged| logged.next));
        self.lent.is_empty()
            && ends
                .zip(0..)
                .all(|(end, partition)| self.world.position(partition) == end)
    }
}

fn is_visible(bytes: &[u8]) -> bool {
    let view = BatchView::parse(bytes).unwrap();
    !view.header().is_control() && view.header().records_count > 0
}

fn random_log(random: &mut Random) -> Vec<Logged> {
    let mut log = Vec::new();
    let mut offset = 0;
    for _ in 0..30 {
        offset += i64::from(random.below(2) * random.below(4));
        let bytes = match random.below(6) {
            0 => {
                let mut marker =
                    end_transaction_marker(TransactionEnd::Commit, 9, 0, 0, 0).to_vec();
                rewrite::assign_offsets(&mut marker, offset, 5).unwrap();
                marker.into()
            }
            _ => batch(offset, 1 + random.below(5).cast_signed()),
        };
        let next = BatchView::parse(&bytes).unwrap().header().next_offset();
        log.push(Logged { bytes, next });
        offset = next;
    }
    log
}

#[test]
fn every_record_comes_out_once_and_in_order_whatever_happens_and_in_the_end_all_have() {
    let mut records = 0;
    for seed in 0..60 {
        let mut play = Play::new(seed);
        for _ in 0..600 {
            play.step();
        }
        play.heal();
        records += play.records;
        for index in 0..4 {
            let end = play.logs[index].last().unwrap().next;
            let rest = play.logs[index]
                .iter()
                .filter(|logged| logged.next > play.expected[index] && logged.next <= end);
            assert!(
                !rest.into_iter().any(|logged| is_visible(&logged.bytes)),
                "seed {seed}: partition {index} misses records"
            );
        }
        let told = play.world.told();
        assert!(
            !told
                .iter()
                .any(|told| told.contains("->") || told.contains("corrupt")),
            "seed {seed}: {told:?}"
        );
    }
    assert!(records > 10_000, "{records}");
}
