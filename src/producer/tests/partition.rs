//! Transcripts of one partition: records go in, batches are drained, answers come, outcomes are told.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::budget::{Budget, Category};
use crate::engine::NodeId;
use crate::error::{Error, ErrorKind};
use crate::error_code::ErrorCode;
use crate::producer::answer::{Answered, Reply, Surroundings};
use crate::producer::batch::Head;
use crate::producer::outcome::Outcome;
use crate::producer::partition::{Drained, Effects, Partition, Rules, Waits};
use crate::producer::sequence::{Identity, Sequences};
use crate::random::{Backoff, Random, Stream};
use crate::record::{BatchBuilder, BatchView, Codec, RecordRef};
use crate::time::{Duration, Instant};

pub(super) struct Desk {
    pub(super) partition: Partition,
    pub(super) rules: Rules,
    pub(super) now: Instant,
    pub(super) effects: Effects,
    pub(super) budget: Budget,
    random: Random,
    identity: Option<Identity>,
    next_order: u64,
}

impl Desk {
    /// A partition of which the broker has confirmed a batch, before all that is told here.
    pub(super) fn new(idempotent: bool) -> Self {
        let mut desk = Self::unconfirmed(idempotent);
        if let Some(identity) = desk.identity.filter(|_| idempotent) {
            desk.partition.sequences = Sequences::Whole { identity, next: 0 };
        }
        desk
    }

    /// A partition to which nothing was ever written.
    pub(super) fn unconfirmed(idempotent: bool) -> Self {
        Self {
            partition: Partition::new(idempotent),
            rules: Rules {
                linger: Duration::ZERO,
                batch_size: 4_096,
                max_in_flight: 5,
                delivery_timeout: Duration::from_secs(120),
                backoff: Backoff {
                    initial: Duration::from_millis(100),
                    max: Duration::from_secs(1),
                },
                codec: Codec::None,
                level: None,
            },
            now: Instant::from_millis(1_000),
            effects: Effects::default(),
            budget: Budget::new(1 << 20, 1 << 20),
            random: Random::derive(&[9; 32], Stream::Producer),
            identity: Some(Identity {
                producer_id: 7,
                epoch: 0,
            }),
            next_order: 0,
        }
    }

    /// Appends a batch of `records` records; gives its first ticket.
    pub(super) fn batch(&mut self, records: usize) -> u64 {
        let first_ticket = self.partition.next_ticket();
        let mut builder = BatchBuilder::new(BytesMut::new(), self.rules.batch_size);
        for _ in 0..records {
            let record = RecordRef::new(5, None, Some(b"It was late evening when K. arrived."));
            builder.try_append(&record).unwrap();
        }
        self.partition.close_open();
        let charged = builder.size();
        assert!(self.budget.take(Category::Producer, charged));
        let head = Head {
            order: self.next_order,
            created: self.now,
            first_ticket,
            charged,
        };
        self.partition
            .begin(builder, head, self.now + self.rules.linger);
        self.next_order += 1;
        self.partition.count(records);
        first_ticket
    }

    /// Drains a batch, which must be there.
    pub(super) fn drain(&mut self) -> (u64, Bytes) {
        match self.try_drain() {
            Ok(drained) => drained,
            Err(waits) => panic!("nothing to drain: {waits:?}"),
        }
    }

    pub(super) fn try_drain(&mut self) -> Result<(u64, Bytes), Waits> {
        match self.partition.drain(self.now, &self.rules, self.identity) {
            Drained::Batch {
                first_ticket,
                bytes,
                ..
            } => Ok((first_ticket, bytes)),
            Drained::Nothing(waits) => Err(waits),
            Drained::Compress(_) => panic!("compression is off"),
        }
    }

    pub(super) fn reply(&mut self, first_ticket: u64, reply: Reply) {
        let mut around = Surroundings {
            now: self.now,
            rules: &self.rules,
            random: &mut self.random,
            budget: &mut self.budget,
        };
        self.partition
            .replied(first_ticket, reply, &mut around, &mut self.effects);
        self.collect();
    }

    /// The broker answers.
    pub(super) fn answer(&mut self, first_ticket: u64, code: ErrorCode, base_offset: i64) {
        self.reply(first_ticket, Reply::Answered(answered(code, base_offset)));
    }

    pub(super) fn ok(&mut self, first_ticket: u64, base_offset: i64) {
        self.answer(first_ticket, ErrorCode::NONE, base_offset);
    }

    pub(super) fn refuse(&mut self, first_ticket: u64, code: ErrorCode) {
        self.answer(first_ticket, code, -1);
    }

    /// The connection is lost after the request may have reached the broker.
    pub(super) fn disconnect(&mut self, first_ticket: u64) {
        self.reply(
            first_ticket,
            Reply::Failed {
                error: Error::new(ErrorKind::Disconnected),
                maybe_applied: true,
                retry: true,
            },
        );
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.partition
            .expire(self.now, &self.rules, None, &mut self.effects);
        self.collect();
    }

    fn collect(&mut self) {
        for freed in self.effects.freed.drain(..) {
            self.budget.give_back(Category::Producer, freed.charged);
        }
    }

    /// The outcomes so far, in short: `0..3 delivered 10`.
    pub(super) fn outcomes(&mut self) -> Vec<(Range<u64>, &'static str, Option<i64>)> {
        self.effects
            .outcomes
            .drain()
            .map(|(tickets, outcome)| match outcome {
                Outcome::Delivered { offset, .. } => (tickets, "delivered", offset),
                Outcome::Rejected(_) => (tickets, "rejected", None),
                Outcome::Unknown(_) => (tickets, "unknown", None),
                Outcome::Sent => (tickets, "sent", None),
            })
            .collect()
    }
}

pub(super) fn answered(code: ErrorCode, base_offset: i64) -> Answered {
    Answered {
        node: NodeId(1),
        code,
        base_offset,
        log_append_time: -1,
        message: None,
        record_errors: Vec::new(),
        leader_known: false,
    }
}

/// Epoch and sequence of a sealed batch, and its number of records.
fn numbers(bytes: &Bytes) -> (i16, i32, i32) {
    let view = BatchView::parse(bytes).unwrap();
    view.check_crc().unwrap();
    let header = view.header();
    (
        header.producer_epoch,
        header.base_sequence,
        header.records_count,
    )
}

#[test]
fn nothing_overtakes_the_first_batch_of_all() {
    let mut desk = Desk::unconfirmed(true);
    let (first, second) = (desk.batch(1), desk.batch(1));
    desk.drain();
    assert_eq!(desk.try_drain(), Err(Waits::Answer));
    // A broker that is not the leader yet would take the second one as the first it ever saw, when it is.
    desk.refuse(first, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    desk.wait(1_000);
    assert_eq!(desk.drain().0, first);
    assert_eq!(desk.try_drain(), Err(Waits::Answer));
    desk.ok(first, 0);
    assert_eq!(desk.drain().0, second);
}

#[test]
fn five_batches_are_in_flight_and_the_sixth_waits_for_an_answer() {
    let mut desk = Desk::new(true);
    for expected in 0..5 {
        desk.batch(2);
        let (_, bytes) = desk.drain();
        assert_eq!(numbers(&bytes), (0, expected * 2, 2));
    }
    desk.batch(2);
    assert_eq!(desk.try_drain(), Err(Waits::Answer));
    desk.ok(0, 100);
    assert_eq!(numbers(&desk.drain().1), (0, 10, 2));
    assert_eq!(desk.outcomes(), [(0..2, "delivered", Some(100))]);
}

#[test]
fn the_bytes_are_the_same_however_often_they_are_sent() {
    let mut desk = Desk::new(true);
    let first = desk.batch(3);
    let (_, sent) = desk.drain();
    desk.disconnect(first);
    desk.wait(200);
    let (_, again) = desk.drain();
    assert_eq!(sent, again);
    desk.refuse(first, ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    desk.wait(1_500);
    assert_eq!(desk.drain().1, sent);
    desk.answer(first, ErrorCode::DUPLICATE_SEQUENCE_NUMBER, -1);
    assert_eq!(desk.outcomes(), [(0..3, "delivered", None)]);
    assert!(desk.partition.is_idle());
    assert_eq!(desk.budget.used(Category::Producer), 0);
}

#[test]
fn a_batch_waits_behind_one_that_is_sent_again_also_without_idempotence() {
    for idempotent in [true, false] {
        let mut desk = Desk::new(idempotent);
        let (first, second) = (desk.batch(1), desk.batch(1));
        desk.drain();
        desk.refuse(first, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert!(
            matches!(desk.try_drain(), Err(Waits::Backoff(_))),
            "idempotence {idempotent}"
        );
        desk.wait(200);
        assert_eq!(desk.drain().0, first);
        assert_eq!(desk.drain().0, second);
    }
}

#[test]
fn what_is_sent_again_waits_until_those_behind_it_are_answered_and_then_goes_alone() {
    let mut desk = Desk::new(true);
    let tickets = [desk.batch(1), desk.batch(1), desk.batch(1)];
    for _ in tickets {
        desk.drain();
    }
    desk.refuse(tickets[0], ErrorCode::NOT_LEADER_OR_FOLLOWER);
    desk.wait(200);
    assert_eq!(desk.try_drain(), Err(Waits::Answer));
    desk.refuse(tickets[1], ErrorCode::NOT_LEADER_OR_FOLLOWER);
    desk.refuse(tickets[2], ErrorCode::NOT_LEADER_OR_FOLLOWER);
    desk.wait(2_000);
    for (offset, ticket) in (0..).zip(tickets) {
        assert_eq!(desk.drain().0, ticket);
        assert_eq!(desk.try_drain(), Err(Waits::Answer));
        desk.ok(ticket, offset);
    }
    assert_eq!(desk.outcomes(), [(0..3, "delivered", Some(0))]);
}

#[test]
fn a_leader_that_the_answer_names_is_asked_at_once() {
    let mut desk = Desk::new(true);
    let first = desk.batch(1);
    desk.drain();
    desk.reply(
        first,
        Reply::Answered(Answered {
            leader_known: true,
            ..answered(ErrorCode::NOT_LEADER_OR_FOLLOWER, -1)
        }),
    );
    assert_eq!(desk.drain().0, first);
}

#[test]
fn out_of_order_behind_a_failed_batch_is_sent_again_with_the_same_numbers() {
    let mut desk = Desk::new(true);
    let (first, second) = (desk.batch(2), desk.batch(2));
    desk.drain();
    let (_, sent) = desk.drain();
    desk.refuse(first, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    desk.refuse(second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    desk.wait(2_000);
    assert_eq!(desk.drain().0, first);
    desk.ok(first, 0);
    assert_eq!(desk.drain(), (second, sent));
    desk.ok(second, 2);
    assert_eq!(desk.outcomes(), [(0..4, "delivered", Some(0))]);
}

#[test]
fn out_of_order_of_the_lowest_begins_the_next_epoch_when_nothing_may_be_written() {
    let mut desk = Desk::new(true);
    let (first, second) = (desk.batch(2), desk.batch(3));
    desk.drain();
    desk.drain();
    desk.refuse(first, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    desk.wait(2_000);
    assert_eq!(
        desk.try_drain(),
        Err(Waits::Answer),
        "the second is not decided"
    );
    desk.refuse(second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    desk.wait(2_000);
    assert_eq!(numbers(&desk.drain().1), (1, 0, 2));
    desk.ok(first, 0);
    assert_eq!(numbers(&desk.drain().1), (1, 2, 3));
}

#[test]
fn a_batch_that_may_be_written_is_never_stamped_anew() {
    let mut desk = Desk::new(true);
    let (first, second) = (desk.batch(1), desk.batch(1));
    let (_, sent) = desk.drain();
    desk.drain();
    desk.refuse(first, ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    desk.refuse(second, ErrorCode::INVALID_RECORD);
    assert_eq!(desk.outcomes(), [(1..2, "rejected", None)]);
    let third = desk.batch(1);
    desk.wait(200);
    assert_eq!(desk.drain(), (first, sent), "the old epoch, the same bytes");
    assert_eq!(desk.try_drain(), Err(Waits::Answer));
    desk.ok(first, 4);
    let (ticket, bytes) = desk.drain();
    assert_eq!((ticket, numbers(&bytes)), (third, (1, 0, 1)));
    assert_eq!(desk.outcomes(), [(0..1, "delivered", Some(4))]);
}

#[test]
fn what_cannot_be_decided_ends_unknown_and_then_the_next_epoch_begins() {
    let mut desk = Desk::new(true);
    let first = desk.batch(1);
    let (_, sent) = desk.drain();
    desk.disconnect(first);
    for _ in 0..3 {
        desk.wait(2_000);
        assert_eq!(desk.drain().1, sent);
        desk.refuse(first, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    let second = desk.batch(1);
    desk.wait(114_000);
    assert_eq!(desk.outcomes(), [(0..1, "unknown", None)]);
    let (ticket, bytes) = desk.drain();
    assert_eq!((ticket, numbers(&bytes)), (second, (1, 0, 1)));
}

#[test]
fn a_delivery_timeout_on_the_wire_is_unknown_and_one_before_it_rejected() {
    let mut desk = Desk::new(true);
    desk.batch(1);
    desk.drain();
    desk.batch(1);
    desk.identity = None;
    desk.wait(120_000);
    assert_eq!(
        desk.outcomes(),
        [(0..1, "unknown", None), (1..2, "rejected", None)]
    );
}

#[test]
fn a_batch_that_no_broker_took_is_rejected_at_its_delivery_timeout() {
    let mut desk = Desk::new(true);
    let first = desk.batch(1);
    desk.drain();
    desk.refuse(first, ErrorCode::NOT_ENOUGH_REPLICAS);
    desk.wait(119_999);
    assert_eq!(desk.outcomes(), []);
    desk.wait(1);
    assert_eq!(desk.outcomes(), [(0..1, "rejected", None)]);
}

#[test]
fn after_a_timeout_on_the_wire_no_number_is_given_out_until_it_is_decided() {
    for (code, epoch, sequence) in [
        (ErrorCode::NONE, 0, 1),
        (ErrorCode::REQUEST_TIMED_OUT, 1, 0),
    ] {
        let mut desk = Desk::new(true);
        let first = desk.batch(1);
        desk.drain();
        desk.wait(120_000);
        assert_eq!(desk.outcomes(), [(0..1, "unknown", None)]);
        let second = desk.batch(1);
        assert_eq!(desk.try_drain(), Err(Waits::Answer));
        assert!(desk.budget.used(Category::Producer) > 0, "still held");
        desk.answer(first, code, 0);
        let (ticket, bytes) = desk.drain();
        assert_eq!((ticket, numbers(&bytes)), (second, (epoch, sequence, 1)));
        assert_eq!(desk.outcomes(), [], "one outcome is enough");
        desk.ok(second, 1);
        assert_eq!(desk.budget.used(Category::Producer), 0);
    }
}

#[test]
fn the_numbers_of_a_failed_batch_are_not_used_again_in_its_epoch() {
    let mut desk = Desk::new(true);
    let first = desk.batch(1);
    desk.drain();
    desk.refuse(first, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(desk.outcomes(), [(0..1, "rejected", None)]);
    desk.batch(1);
    assert_eq!(numbers(&desk.drain().1), (1, 0, 1));
}

#[test]
fn a_server_error_proves_nothing() {
    for code in [ErrorCode::UNKNOWN_SERVER_ERROR, ErrorCode(9_999)] {
        let mut desk = Desk::new(true);
        let first = desk.batch(1);
        desk.drain();
        desk.refuse(first, code);
        assert_eq!(desk.outcomes(), [(0..1, "unknown", None)], "{code}");
    }
}

#[test]
fn a_lost_producer_state_begins_the_next_epoch() {
    let mut desk = Desk::new(true);
    let first = desk.batch(1);
    desk.drain();
    desk.ok(first, 0);
    let second = desk.batch(1);
    assert_eq!(numbers(&desk.drain().1), (0, 1, 1));
    desk.refuse(second, ErrorCode::UNKNOWN_PRODUCER_ID);
    desk.wait(200);
    assert_eq!(numbers(&desk.drain().1), (1, 0, 1));
}

#[test]
fn without_a_producer_id_nothing_is_drained_and_its_refusal_is_told() {
    let mut desk = Desk::unconfirmed(true);
    desk.identity = None;
    desk.batch(2);
    assert_eq!(desk.try_drain(), Err(Waits::ProducerId));
    desk.batch(1);
    let error = Error::new(ErrorKind::Broker(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    desk.partition.reject_unstamped(&error, &mut desk.effects);
    assert_eq!(desk.outcomes(), [(0..3, "rejected", None)]);
    assert!(desk.partition.is_idle());
}

#[test]
fn used_up_epochs_need_another_producer_id() {
    let mut desk = Desk::unconfirmed(true);
    desk.identity = Some(Identity {
        producer_id: 7,
        epoch: i16::MAX,
    });
    let first = desk.batch(1);
    desk.drain();
    desk.refuse(first, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    desk.wait(200);
    assert_eq!(desk.try_drain(), Err(Waits::ProducerId));
    assert_eq!(
        desk.partition.sequences,
        Sequences::Spent { producer_id: 7 }
    );
    desk.identity = Some(Identity {
        producer_id: 8,
        epoch: 0,
    });
    assert_eq!(numbers(&desk.drain().1), (0, 0, 1));
}

#[test]
fn a_batch_that_is_too_large_is_split_and_its_parts_keep_the_numbers() {
    let mut desk = Desk::new(true);
    let (first, next) = (desk.batch(6), desk.batch(1));
    desk.drain();
    desk.drain();
    desk.refuse(first, ErrorCode::MESSAGE_TOO_LARGE);
    desk.refuse(next, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(desk.effects.added, [0], "one batch more");
    let (ticket, bytes) = desk.drain();
    assert_eq!((ticket, numbers(&bytes)), (0, (0, 0, 3)));
    assert_eq!(desk.try_drain(), Err(Waits::Answer));
    desk.ok(0, 10);
    let (ticket, bytes) = desk.drain();
    assert_eq!((ticket, numbers(&bytes)), (3, (0, 3, 3)));
    desk.ok(3, 13);
    desk.wait(200);
    let (ticket, bytes) = desk.drain();
    assert_eq!((ticket, numbers(&bytes)), (next, (0, 6, 1)));
    desk.ok(next, 16);
    assert_eq!(desk.outcomes(), [(0..7, "delivered", Some(10))]);
    assert_eq!(desk.budget.used(Category::Producer), 0);
}

#[test]
fn a_batch_that_cannot_be_split_for_want_of_memory_is_kept_and_tried_again() {
    let mut desk = Desk::new(true);
    let first = desk.batch(6);
    desk.drain();
    let free = desk.budget.free(Category::Producer);
    assert!(desk.budget.take(Category::Producer, free));
    desk.refuse(first, ErrorCode::MESSAGE_TOO_LARGE);
    desk.budget.give_back(Category::Producer, free);
    desk.wait(200);
    assert_eq!(desk.drain().0, first);
    desk.refuse(first, ErrorCode::MESSAGE_TOO_LARGE);
    let (ticket, bytes) = desk.drain();
    assert_eq!((ticket, numbers(&bytes)), (0, (0, 0, 3)));
}

#[test]
fn a_single_record_that_is_too_large_is_rejected() {
    let mut desk = Desk::new(true);
    let first = desk.batch(1);
    desk.drain();
    desk.refuse(first, ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(desk.outcomes(), [(0..1, "rejected", None)]);
}

#[test]
fn invalid_records_are_named_and_the_others_fail_for_their_sake() {
    let mut desk = Desk::new(true);
    let first = desk.batch(3);
    desk.drain();
    desk.reply(
        first,
        Reply::Answered(Answered {
            record_errors: [(1, Some("no key".into()))].into(),
            ..answered(ErrorCode::INVALID_RECORD, -1)
        }),
    );
    let told: Vec<_> = desk.effects.outcomes.drain().collect();
    let texts: Vec<_> = told
        .iter()
        .map(|(tickets, outcome)| (tickets.clone(), alloc::format!("{outcome:?}")))
        .collect();
    assert_eq!(texts.len(), 3);
    assert_eq!(texts[1].0, 1..2);
    assert!(texts[1].1.contains("no key"), "{}", texts[1].1);
    assert!(texts[0].1.contains("other records"), "{}", texts[0].1);
}

#[test]
fn a_topic_made_anew_gets_the_next_epoch_and_nothing_that_may_be_in_the_old_one() {
    let mut desk = Desk::new(true);
    let tickets = [desk.batch(1), desk.batch(1), desk.batch(1)];
    for _ in tickets {
        desk.drain();
    }
    desk.disconnect(tickets[0]);
    desk.refuse(tickets[1], ErrorCode::UNKNOWN_TOPIC_ID);
    desk.partition.recreated(&mut desk.effects);
    assert_eq!(desk.outcomes(), [(0..1, "unknown", None)]);
    desk.disconnect(tickets[2]);
    assert_eq!(desk.outcomes(), [(2..3, "unknown", None)]);
    desk.wait(200);
    let (ticket, bytes) = desk.drain();
    assert_eq!((ticket, numbers(&bytes)), (tickets[1], (1, 0, 1)));
}

#[test]
fn a_topic_that_is_unknown_for_a_while_changes_no_number() {
    let mut desk = Desk::new(true);
    let first = desk.batch(1);
    let (_, sent) = desk.drain();
    desk.refuse(first, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    desk.wait(200);
    assert_eq!(desk.drain().1, sent);
}

#[test]
fn without_acks_what_the_socket_took_is_sent() {
    let mut desk = Desk::new(false);
    let first = desk.batch(2);
    desk.drain();
    desk.reply(first, Reply::Sent);
    assert_eq!(desk.outcomes(), [(0..2, "sent", None)]);
}

#[test]
fn every_wait_says_when_or_for_what() {
    let mut desk = Desk::new(true);
    assert_eq!(desk.partition.deadline(desk.now, &desk.rules), None);
    desk.rules.linger = Duration::from_millis(5);
    let first = desk.batch(1);
    let due = desk.now + Duration::from_millis(5);
    assert_eq!(desk.try_drain(), Err(Waits::Linger(due)));
    assert_eq!(
        desk.partition.deadline(desk.now, &desk.rules),
        Some((due, "linger"))
    );
    desk.wait(5);
    desk.drain();
    let expiry = Instant::from_millis(121_000);
    assert_eq!(
        desk.partition.deadline(desk.now, &desk.rules),
        Some((expiry, "delivery timeout"))
    );
    desk.refuse(first, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let deadline = desk.partition.deadline(desk.now, &desk.rules);
    assert!(matches!(deadline, Some((_, "retry of a batch"))));
}
