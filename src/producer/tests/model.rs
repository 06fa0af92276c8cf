//! One partition against a naive broker, a lossy connection and a random run of happenings: what was told to be
//! delivered is in the log once, what was rejected is not in it, nothing changes places, and all of it ends.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use proptest::test_runner::RngSeed;

use super::partition::Desk;
use crate::error_code::ErrorCode;
use crate::producer::outcome::Outcome;
use crate::record::{BatchView, add_sequence};

/// What can happen next.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// The application appends a batch.
    Append { records: usize },
    /// The producer sends all that it may.
    Send,
    /// The broker serves the next request of the connection.
    Serve(Fault),
    /// The next answer arrives.
    Answer,
    /// The connection is lost. What the broker did not read yet it may read later.
    Lose,
    /// The broker reads the next request of a lost connection.
    ServeLate,
    /// Time passes.
    Wait { millis: u64 },
}

/// What goes wrong at the broker.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Nothing,
    /// Answered before the append.
    Before(ErrorCode),
    /// Answered in place of success, after the append.
    After(ErrorCode),
}

fn happening() -> impl Strategy<Value = Happening> {
    let fault = prop_oneof![
        6 => Just(Fault::Nothing),
        1 => Just(Fault::Before(ErrorCode::NOT_LEADER_OR_FOLLOWER)),
        1 => Just(Fault::Before(ErrorCode::NOT_ENOUGH_REPLICAS)),
        1 => Just(Fault::Before(ErrorCode::INVALID_RECORD)),
        1 => Just(Fault::Before(ErrorCode::MESSAGE_TOO_LARGE)),
        1 => Just(Fault::Before(ErrorCode::UNKNOWN_SERVER_ERROR)),
        1 => Just(Fault::After(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND)),
        1 => Just(Fault::After(ErrorCode::REQUEST_TIMED_OUT)),
        1 => Just(Fault::After(ErrorCode::NOT_LEADER_OR_FOLLOWER)),
        1 => Just(Fault::After(ErrorCode::UNKNOWN_SERVER_ERROR)),
    ];
    prop_oneof![
        4 => (1usize..5).prop_map(|records| Happening::Append { records }),
        5 => Just(Happening::Send),
        5 => fault.prop_map(Happening::Serve),
        5 => Just(Happening::Answer),
        1 => Just(Happening::Lose),
        1 => Just(Happening::ServeLate),
        3 => (0u64..3_000).prop_map(|millis| Happening::Wait { millis }),
        1 => Just(Happening::Wait { millis: 60_000 }),
    ]
}

/// A broker's log of one partition, with its memory of one producer.
#[derive(Debug, Default)]
struct Broker {
    /// The tickets in the order of their offsets.
    log: Vec<u64>,
    epoch: i16,
    /// First and last sequence and first offset of the last five batches.
    remembered: VecDeque<(i32, i32, i64)>,
}

impl Broker {
    fn append(&mut self, first_ticket: u64, bytes: &Bytes) -> (ErrorCode, i64) {
        let view = BatchView::parse(bytes).unwrap();
        view.check_crc().unwrap();
        let header = view.header();
        let (first, last) = (header.base_sequence, header.last_sequence());
        let offset = i64::try_from(self.log.len()).unwrap();
        if header.producer_epoch >= 0 {
            if header.producer_epoch < self.epoch {
                return (ErrorCode::INVALID_PRODUCER_EPOCH, -1);
            }
            if header.producer_epoch > self.epoch {
                if first != 0 {
                    return (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
                }
                self.epoch = header.producer_epoch;
                self.remembered.clear();
            }
            let known = self
                .remembered
                .iter()
                .find(|(f, l, _)| (*f, *l) == (first, last));
            if let Some((_, _, offset)) = known {
                return (ErrorCode::NONE, *offset);
            }
            // A broker that knows nothing of the producer takes any number as its first.
            let expected = match self.remembered.back() {
                Some((_, last, _)) => add_sequence(*last, 1),
                None => first,
            };
            if first != expected {
                return (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
            }
            self.remembered.push_back((first, last, offset));
            if self.remembered.len() > 5 {
                self.remembered.pop_front();
            }
        }
        let count = u64::try_from(header.records_count).unwrap();
        self.log.extend(first_ticket..first_ticket + count);
        (ErrorCode::NONE, offset)
    }
}

struct World {
    desk: Desk,
    broker: Broker,
    idempotent: bool,
    accepted: u64,
    /// Requests that the broker has not read, of the connection in use and of lost ones.
    wire: VecDeque<(u64, Bytes)>,
    late: VecDeque<(u64, Bytes)>,
    answers: VecDeque<(u64, ErrorCode, i64)>,
    outcomes: BTreeMap<u64, Outcome>,
}

impl World {
    fn new(idempotent: bool) -> Self {
        Self {
            desk: Desk::unconfirmed(idempotent),
            broker: Broker::default(),
            idempotent,
            accepted: 0,
            wire: VecDeque::new(),
            late: VecDeque::new(),
            answers: VecDeque::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// The first batches of all are special to a broker that knows nothing yet: there are two on their way if may be.
    fn begin(&mut self) {
        self.happen(Happening::Append { records: 1 });
        self.happen(Happening::Append { records: 2 });
        self.happen(Happening::Send);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Append { records } => {
                self.desk.batch(records);
                self.accepted += records as u64;
            }
            Happening::Send => {
                while let Ok(sent) = self.desk.try_drain() {
                    self.wire.push_back(sent);
                    let unanswered = self.wire.len() + self.answers.len();
                    assert!(unanswered <= 5, "{unanswered} batches unanswered");
                }
            }
            Happening::Serve(fault) => {
                if let Some((ticket, bytes)) = self.wire.pop_front() {
                    let (code, offset) = self.serve(ticket, &bytes, fault);
                    self.answers.push_back((ticket, code, offset));
                }
            }
            Happening::Answer => {
                if let Some((ticket, code, offset)) = self.answers.pop_front() {
                    self.desk.answer(ticket, code, offset);
                }
            }
            Happening::Lose => {
                let answered: Vec<u64> = self.answers.drain(..).map(|(t, _, _)| t).collect();
                let unread: Vec<u64> = self.wire.iter().map(|(t, _)| *t).collect();
                self.late.extend(self.wire.drain(..));
                for ticket in answered.into_iter().chain(unread) {
                    self.desk.disconnect(ticket);
                }
            }
            Happening::ServeLate => {
                if let Some((ticket, bytes)) = self.late.pop_front() {
                    self.broker.append(ticket, &bytes);
                }
            }
            Happening::Wait { millis } => self.desk.wait(millis),
        }
        self.collect();
    }

    fn serve(&mut self, ticket: u64, bytes: &Bytes, fault: Fault) -> (ErrorCode, i64) {
        match fault {
            Fault::Nothing => self.broker.append(ticket, bytes),
            Fault::Before(code) => (code, -1),
            Fault::After(instead) => match self.broker.append(ticket, bytes) {
                (ErrorCode::NONE, _) => (instead, -1),
                refused => refused,
            },
        }
    }

    fn collect(&mut self) {
        for (tickets, outcome) in self.desk.effects.outcomes.drain() {
            for (distance, ticket) in (0..).zip(tickets) {
                let mut outcome = outcome.clone();
                if let Outcome::Delivered {
                    offset: Some(offset),
                    ..
                } = &mut outcome
                {
                    *offset += distance;
                }
                assert!(
                    self.outcomes.insert(ticket, outcome).is_none(),
                    "ticket {ticket} has two outcomes"
                );
            }
        }
    }

    /// Nothing goes wrong any more; then everything is checked.
    fn heal_and_check(mut self) {
        for _ in 0..300 {
            for happening in [
                Happening::Send,
                Happening::Serve(Fault::Nothing),
                Happening::Answer,
                Happening::ServeLate,
                Happening::Wait { millis: 500 },
            ] {
                self.happen(happening);
            }
        }
        assert!(self.desk.partition.is_idle(), "something never ends");
        assert_eq!(
            self.desk.budget.used(crate::budget::Category::Producer),
            0,
            "memory is lost"
        );
        assert_eq!(self.outcomes.len() as u64, self.accepted);
        for (ticket, outcome) in &self.outcomes {
            let places = self.broker.log.iter().filter(|t| *t == ticket).count();
            match outcome {
                Outcome::Delivered { offset, .. } => {
                    assert!(places >= 1, "ticket {ticket} is delivered and not there");
                    if let Some(offset) = offset {
                        let place = usize::try_from(*offset).unwrap();
                        assert_eq!(self.broker.log[place], *ticket);
                    }
                }
                Outcome::Rejected(_) => {
                    assert_eq!(places, 0, "ticket {ticket} is rejected and there");
                }
                Outcome::Unknown(_) => {}
                Outcome::Sent => panic!("acks are on"),
            }
            assert!(
                places <= 1 || !self.idempotent,
                "ticket {ticket} is there {places} times"
            );
        }
        if self.idempotent {
            assert!(self.broker.log.is_sorted(), "{:?}", self.broker.log);
        }
    }
}

/// The same runs every time, and no files.
fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(1926),
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_idempotent_partition_writes_each_record_once_in_order_and_tells_the_truth(
        happenings in vec(happening(), 0..120)
    ) {
        let mut world = World::new(true);
        world.begin();
        happenings.into_iter().for_each(|happening| world.happen(happening));
        world.heal_and_check();
    }

    #[test]
    fn without_idempotence_nothing_is_lost_and_no_rejection_is_a_lie(
        happenings in vec(happening(), 0..120)
    ) {
        let mut world = World::new(false);
        world.begin();
        happenings.into_iter().for_each(|happening| world.happen(happening));
        world.heal_and_check();
    }
}
