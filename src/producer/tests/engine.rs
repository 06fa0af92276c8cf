//! One producer on played brokers: records go in, requests come out, answers become outcomes.

use alloc::string::ToString;
use alloc::vec;

use super::desk::Desk;
use crate::config::Acks;
use crate::error::ErrorKind;
use crate::error_code::ErrorCode;
use crate::messages::PartitionProduceResponse;
use crate::producer::{AppendError, BlockedOn, TopicStatus};
use crate::record::RecordRef;
use crate::time::Duration;

#[test]
fn a_record_travels_from_append_to_its_outcome() {
    let mut desk = Desk::new(|_| ());
    desk.create("letters", &[1]);
    let topic = desk.engine.topic("letters", desk.now).unwrap();
    assert_eq!(
        desk.append(topic, 0, 1),
        Err(AppendError::Blocked {
            on: BlockedOn::Metadata
        })
    );
    assert_eq!(desk.told(), ["unblocked Metadata"]);
    let appended = desk.append(topic, 0, 3).unwrap();
    assert_eq!((appended.partition, appended.tickets), (0, 0..3));
    let produced = desk.next();
    assert_eq!((produced.node, produced.version), (1, 13));
    assert_eq!(produced.request.acks, -1);
    let (_, _, header) = produced.batches()[0].clone();
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.records_count
        ),
        (7, 0, 0, 3)
    );
    desk.ok(&produced, 40);
    assert_eq!(desk.told(), ["0: 0..3 delivered at 40"]);
}

#[test]
fn one_request_carries_all_sendable_partitions_of_a_broker_one_batch_each() {
    let (mut desk, topic) = Desk::with_topic(&[1, 2, 1, 1], |config| {
        config.linger = Duration::from_millis(5);
    });
    for partition in [0, 1, 2, 3, 0] {
        desk.append(topic, partition, 1).unwrap();
    }
    assert!(desk.produced.is_empty(), "linger");
    desk.wait(5);
    let mut sent = [desk.next(), desk.next()];
    sent.sort_by_key(|produced| produced.node);
    assert_eq!(sent[0].counts(), [(0, 2), (2, 1), (3, 1)]);
    assert_eq!(sent[1].counts(), [(1, 1)]);
    assert!(desk.produced.is_empty());
}

#[test]
fn a_request_stays_below_its_limit_and_a_large_batch_goes_alone() {
    let (mut desk, topic) = Desk::with_topic(&[1, 1, 1], |config| {
        config.linger = Duration::from_millis(5);
        config.max_request_size = 2_048;
        config.batch_size = 1_024;
    });
    let value = [b'x'; 900];
    let large = [b'x'; 1_900];
    let record = |value| [RecordRef::new(5, None, Some(value))];
    for (partition, records) in [
        (0, record(&value[..])),
        (1, record(&large)),
        (2, record(&value)),
    ] {
        desk.engine
            .append(topic, Some(partition), &records, desk.now)
            .unwrap();
    }
    desk.wait(5);
    let counts: vec::Vec<_> = desk.produced.iter().map(|p| p.counts()).collect();
    assert_eq!(
        counts,
        [vec![(0, 1)], vec![(1, 1)], vec![(2, 1)]],
        "the order of the queue, each with what fits beside it"
    );
}

#[test]
fn a_record_above_the_limit_is_refused_and_names_the_setting() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| config.max_request_size = 2_048);
    let value = vec![b'x'; 5_000];
    let record = RecordRef::new(5, None, Some(&value));
    let Err(AppendError::Refused(error)) = desk.engine.append(topic, Some(0), &[record], desk.now)
    else {
        panic!("accepted");
    };
    assert!(matches!(
        error.kind(),
        ErrorKind::RecordTooLarge {
            size: 5_000..,
            limit: 2_048
        }
    ));
    let text = error.to_string();
    assert!(
        text.contains("max.request.size") && text.contains("letters"),
        "{text}"
    );
}

#[test]
fn an_unknown_partition_says_how_many_there_are() {
    let (mut desk, topic) = Desk::with_topic(&[1, 2], |_| ());
    for partition in [2, -1] {
        let Err(AppendError::Refused(error)) = desk.append(topic, partition, 1) else {
            panic!("accepted");
        };
        assert_eq!(error.kind(), &ErrorKind::UnknownPartition { partitions: 2 });
    }
}

#[test]
fn a_topic_that_nobody_knows_blocks_and_says_so() {
    let mut desk = Desk::new(|_| ());
    let topic = desk.engine.topic("letters", desk.now).unwrap();
    assert_eq!(desk.engine.topic_status(topic), TopicStatus::Asked);
    desk.run();
    assert!(matches!(
        desk.append(topic, 0, 1),
        Err(AppendError::Blocked { .. })
    ));
    let TopicStatus::Failed(error) = desk.engine.topic_status(topic) else {
        panic!("known");
    };
    assert_eq!(error.kind(), &ErrorKind::UnknownTopic);
    desk.create("letters", &[1]);
    desk.wait(2_000);
    assert_eq!(desk.told(), ["unblocked Metadata"]);
    assert_eq!(
        desk.engine.topic_status(topic),
        TopicStatus::Known { partitions: 1 }
    );
}

#[test]
fn a_topic_that_is_forbidden_is_refused() {
    let mut desk = Desk::new(|_| ());
    desk.create("letters", &[1]);
    let letters = desk.topics.get_mut("letters").unwrap();
    letters.error = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    let topic = desk.engine.topic("letters", desk.now).unwrap();
    assert!(matches!(
        desk.append(topic, 0, 1),
        Err(AppendError::Blocked { .. })
    ));
    assert_eq!(desk.told(), ["unblocked Metadata"]);
    assert!(matches!(
        desk.append(topic, 0, 1),
        Err(AppendError::Refused(_))
    ));
}

#[test]
fn keys_decide_and_a_prefix_goes_to_one_partition() {
    let (mut desk, topic) = Desk::with_topic(&[1; 12], |config| {
        config.linger = Duration::from_millis(5);
    });
    // Java: "a" and "a-little-bit-long-string" go to 4 and 8 of 12, "abcd" to 8, too.
    let record = |key: &'static [u8]| RecordRef::new(5, Some(key), None);
    let records = [
        record(b"abcd"),
        record(b"a-little-bit-long-string"),
        record(b"a"),
        record(b"abcd"),
    ];
    let appended = desk.engine.append(topic, None, &records, desk.now).unwrap();
    assert_eq!((appended.partition, appended.tickets), (8, 0..2));
    let appended = desk
        .engine
        .append(topic, None, &records[2..], desk.now)
        .unwrap();
    assert_eq!((appended.partition, appended.tickets), (4, 0..1));
}

#[test]
fn records_without_a_key_change_the_partition_when_a_batch_is_full() {
    let (mut desk, topic) = Desk::with_topic(&[1; 4], |config| {
        config.linger = Duration::from_millis(5);
        config.batch_size = 1_000;
    });
    let record = RecordRef::new(5, None, Some(&[b'x'; 90]));
    let records = vec![record; 100];
    let mut seen = vec![];
    let mut rest = &records[..];
    while !rest.is_empty() {
        let appended = desk.engine.append(topic, None, rest, desk.now).unwrap();
        let count = appended.tickets.end - appended.tickets.start;
        assert!(count <= 20, "two batches at the most, not {count}");
        seen.push(appended.partition);
        rest = &rest[usize::try_from(count).unwrap()..];
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 1, "{seen:?}");
}

#[test]
fn each_record_has_a_batch_of_its_own_with_a_batch_size_of_zero() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| {
        config.batch_size = 0;
        config.linger = Duration::from_millis(5);
    });
    let record = RecordRef::new(5, None, Some(b"K."));
    let mut accepted = 0;
    while accepted < 3 {
        let appended = desk
            .engine
            .append(topic, None, &[record, record, record], desk.now)
            .unwrap();
        accepted += appended.tickets.end - appended.tickets.start;
    }
    desk.wait(5);
    for offset in 0..3 {
        let produced = desk.next();
        assert_eq!(produced.counts(), [(0, 1)]);
        desk.ok(&produced, offset);
    }
}

#[test]
fn a_full_buffer_blocks_and_nothing_is_lost() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| {
        config.linger = Duration::from_secs(10);
        config.batch_size = 16 << 10;
        config.max_request_size = 64 << 10;
        config.buffer_memory = 64 << 10;
    });
    let mut accepted = 0u64;
    let record = RecordRef::new(5, None, Some(&[b'x'; 1_000]));
    let blocked = loop {
        match desk.engine.append(topic, Some(0), &[record], desk.now) {
            Ok(appended) => accepted = appended.tickets.end,
            Err(error) => break error,
        }
    };
    let on = BlockedOn::Memory;
    assert_eq!(blocked, AppendError::Blocked { on });
    desk.run();
    let mut offset = 0;
    while let Some(produced) = desk.produced.pop_front() {
        let count: i32 = produced.counts().iter().map(|(_, count)| count).sum();
        desk.ok(&produced, offset);
        offset += i64::from(count);
    }
    assert_eq!(
        u64::try_from(offset).unwrap(),
        accepted,
        "sent without waiting for more"
    );
    let told = desk.told();
    assert!(told.contains(&"unblocked Memory".to_string()), "{told:?}");
    assert!(
        desk.engine
            .append(topic, Some(0), &[record], desk.now)
            .is_ok()
    );
}

#[test]
fn a_wait_that_was_cancelled_is_not_told_about() {
    let mut desk = Desk::new(|_| ());
    desk.create("letters", &[1]);
    let topic = desk.engine.topic("letters", desk.now).unwrap();
    let record = RecordRef::new(5, None, Some(b"K."));
    let blocked = desk.engine.append(topic, Some(0), &[record], desk.now);
    assert!(matches!(blocked, Err(AppendError::Blocked { .. })));
    desk.engine
        .cancel_wait(BlockedOn::Metadata, topic, desk.now);
    desk.run();
    assert_eq!(desk.told(), [""; 0]);
}

#[test]
fn a_lost_answer_is_followed_by_the_same_bytes() {
    let (mut desk, topic) = Desk::with_topic(&[1], |_| ());
    desk.append(topic, 0, 1).unwrap();
    let founding = desk.next();
    desk.ok(&founding, 0);
    assert_eq!(desk.told(), ["0: 0..1 delivered at 0"]);
    desk.append(topic, 0, 2).unwrap();
    desk.append(topic, 0, 1).unwrap();
    let (first, second) = (desk.next(), desk.next());
    desk.lose(&first);
    desk.wait(2_000);
    let again = desk.next();
    assert_eq!(again.bytes(), first.bytes());
    let too_early: vec::Vec<_> = desk
        .produced
        .iter()
        .map(|p| (p.node, p.batches()))
        .collect();
    assert_eq!(too_early, [], "the second waits behind it");
    desk.ok(&again, 1);
    let again = desk.next();
    assert_eq!(again.bytes(), second.bytes());
    desk.reply(&again, ErrorCode::DUPLICATE_SEQUENCE_NUMBER, -1);
    assert_eq!(desk.told(), ["0: 1..3 delivered at 1", "0: 3..4 delivered"]);
}

#[test]
fn an_answer_that_cannot_be_read_is_no_reason_to_split() {
    let (mut desk, topic) = Desk::with_topic(&[1], |_| ());
    desk.append(topic, 0, 2).unwrap();
    let first = desk.next();
    desk.babble(&first);
    desk.wait(2_000);
    let again = desk.next();
    assert_eq!(again.bytes(), first.bytes());
}

#[test]
fn a_leader_that_moved_is_followed() {
    let (mut desk, topic) = Desk::with_topic(&[1], |_| ());
    desk.wait(60_000);
    desk.append(topic, 0, 1).unwrap();
    let first = desk.next();
    let letters = desk.topics.get_mut("letters").unwrap();
    (letters.leaders, letters.epoch) = (vec![2], 2);
    desk.reply(&first, ErrorCode::NOT_LEADER_OR_FOLLOWER, -1);
    desk.wait(1_000);
    let again = desk.next();
    assert_eq!((again.node, again.bytes()), (2, first.bytes()));
}

#[test]
fn the_leader_that_an_answer_names_is_asked_without_a_wait() {
    let (mut desk, topic) = Desk::with_topic(&[1], |_| ());
    desk.append(topic, 0, 1).unwrap();
    let first = desk.next();
    desk.reply_with(&first, |_| {
        let mut response = PartitionProduceResponse {
            error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER.0,
            ..PartitionProduceResponse::default()
        };
        response.current_leader.leader_id = 2;
        response.current_leader.leader_epoch = 5;
        response
    });
    assert_eq!(desk.next().node, 2);
}

#[test]
fn a_partition_without_a_leader_waits_and_others_flow() {
    let (mut desk, topic) = Desk::with_topic(&[1, -1], |_| ());
    desk.append(topic, 1, 1).unwrap();
    desk.append(topic, 0, 1).unwrap();
    let flowing = desk.next();
    assert_eq!(flowing.counts(), [(0, 1)]);
    desk.ok(&flowing, 0);
    desk.wait(60_000);
    let letters = desk.topics.get_mut("letters").unwrap();
    (letters.leaders, letters.epoch) = (vec![1, 2], 2);
    desk.wait(5_000);
    let sent = desk.produced.iter().any(|p| p.counts() == [(1, 1)]);
    assert!(sent, "sent as soon as there is a leader");
}

#[test]
fn a_dead_broker_delays_no_other_and_its_records_expire_as_rejected() {
    let (mut desk, topic) = Desk::with_topic(&[1, 2], |_| ());
    desk.down = vec![2];
    desk.lose_node(2);
    desk.append(topic, 1, 1).unwrap();
    desk.append(topic, 0, 1).unwrap();
    let produced = desk.next();
    assert_eq!(produced.counts(), [(0, 1)]);
    desk.ok(&produced, 0);
    assert_eq!(desk.told(), ["0: 0..1 delivered at 0"]);
    desk.wait(120_000);
    let outcomes = desk.told();
    assert_eq!(outcomes.last().unwrap(), "1: 0..1 rejected");
}

#[test]
fn a_request_that_the_socket_never_took_proves_that_nothing_was_written() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| {
        config.delivery_timeout = Duration::from_secs(31);
    });
    desk.append(topic, 0, 1).unwrap();
    let produced = desk.next();
    desk.ok(&produced, 0);
    desk.told();
    desk.stuck = true;
    desk.append(topic, 0, 1).unwrap();
    desk.down = vec![1, 2, 0];
    desk.lose_node(1);
    desk.wait(31_000);
    let told = desk.told();
    assert!(told.contains(&"0: 1..2 rejected".to_string()), "{told:?}");
}

#[test]
fn an_answer_that_never_comes_ends_unknown_at_the_delivery_timeout() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| {
        config.delivery_timeout = Duration::from_secs(31);
    });
    desk.append(topic, 0, 1).unwrap();
    desk.wait(30_999);
    assert_eq!(desk.told(), [""; 0]);
    desk.wait(1);
    assert_eq!(desk.told(), ["0: 0..1 unknown"]);
}

#[test]
fn topics_without_an_id_are_named() {
    let mut desk = Desk::new(|_| ());
    desk.create("letters", &[1]);
    desk.topics.get_mut("letters").unwrap().id = crate::wire::Uuid::ZERO;
    let topic = desk.engine.topic("letters", desk.now).unwrap();
    desk.run();
    desk.append(topic, 0, 1).unwrap();
    let produced = desk.next();
    assert_eq!(produced.version, 12);
    assert_eq!(produced.batches()[0].0.as_str(), "letters");
    desk.ok(&produced, 0);
    assert_eq!(desk.told(), ["0: 0..1 delivered at 0"]);
}

#[test]
fn a_broker_without_acks_is_not_waited_for() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| {
        config.enable_idempotence = false;
        config.acks = Acks::None;
    });
    desk.append(topic, 0, 2).unwrap();
    let produced = desk.next();
    assert_eq!(produced.request.acks, 0);
    assert_eq!(produced.batches()[0].2.producer_id, -1);
    assert_eq!(desk.told(), ["0: 0..2 sent"]);
}

#[test]
fn a_producer_id_is_asked_for_again_until_there_is_one() {
    let (mut desk, topic) = {
        let mut desk = Desk::new(|_| ());
        desk.producer_ids = [
            (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, -1),
            (ErrorCode::NONE, 9),
        ]
        .into();
        desk.create("letters", &[1]);
        let topic = desk.engine.topic("letters", desk.now).unwrap();
        desk.run();
        (desk, topic)
    };
    desk.append(topic, 0, 1).unwrap();
    assert!(desk.produced.is_empty());
    desk.wait(200);
    assert_eq!(desk.next().batches()[0].2.producer_id, 9);
}

#[test]
fn a_producer_id_that_is_refused_rejects_the_records_and_the_next_append_asks_again() {
    let mut desk = Desk::new(|config| config.linger = Duration::from_millis(5));
    desk.producer_ids = [
        (ErrorCode::CLUSTER_AUTHORIZATION_FAILED, -1),
        (ErrorCode::CLUSTER_AUTHORIZATION_FAILED, -1),
        (ErrorCode::NONE, 9),
    ]
    .into();
    desk.create("letters", &[1]);
    let topic = desk.engine.topic("letters", desk.now).unwrap();
    desk.run();
    desk.append(topic, 0, 2).unwrap();
    assert_eq!(desk.told(), ["0: 0..2 rejected"]);
    desk.append(topic, 0, 1).unwrap();
    desk.wait(5);
    assert_eq!(desk.next().batches()[0].2.producer_id, 9);
}

#[test]
fn a_topic_made_anew_is_written_with_the_next_epoch() {
    let (mut desk, topic) = Desk::with_topic(&[1], |_| ());
    desk.append(topic, 0, 1).unwrap();
    let produced = desk.next();
    desk.ok(&produced, 0);
    desk.wait(60_000);
    desk.append(topic, 0, 1).unwrap();
    let lost = desk.next();
    desk.topics.get_mut("letters").unwrap().id = crate::wire::Uuid([9; 16]);
    desk.reply(&lost, ErrorCode::UNKNOWN_TOPIC_ID, -1);
    desk.wait(2_000);
    let again = desk.next();
    let (_, _, header) = again.batches()[0].clone();
    assert_eq!((header.producer_epoch, header.base_sequence), (1, 0));
    assert_eq!(
        again.request.topic_data[0].topic_id,
        crate::wire::Uuid([9; 16])
    );
}

#[test]
fn a_topic_made_anew_with_fewer_partitions_has_no_more_of_them() {
    let (mut desk, topic) = Desk::with_topic(&[1, 1, 1], |_| ());
    desk.wait(60_000);
    desk.create("letters", &[1]);
    let letters = desk.topics.get_mut("letters").unwrap();
    letters.id = crate::wire::Uuid([9; 16]);
    desk.append(topic, 0, 1).unwrap();
    let produced = desk.next();
    desk.reply(&produced, ErrorCode::UNKNOWN_TOPIC_ID, -1);
    desk.wait(2_000);
    let Err(AppendError::Refused(error)) = desk.append(topic, 2, 1) else {
        panic!("accepted");
    };
    assert_eq!(error.kind(), &ErrorKind::UnknownPartition { partitions: 1 });
}

#[test]
fn nothing_wakes_an_idle_producer_but_its_upkeep() {
    let (mut desk, topic) = Desk::with_topic(&[1], |config| {
        config.linger = Duration::from_millis(5);
    });
    desk.append(topic, 0, 1).unwrap();
    desk.wait(5);
    let produced = desk.next();
    desk.ok(&produced, 0);
    let wake = desk.wake.unwrap();
    assert!(
        wake.at.since(desk.now) > Duration::from_secs(100),
        "{wake:?}"
    );
}
