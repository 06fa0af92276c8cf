//! Errors of partitions, brokers and data: each has its action, and none holds the others up.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::harness::*;
use super::offsets::response;
use crate::config::{ConsumerConfig, OffsetReset};
use crate::consumer::{Corruption, ReturnEnd, Start};
use crate::error::ErrorKind;
use crate::messages::{
    FetchLeaderIdAndEpoch, FetchNodeEndpoint, FetchRequest, FetchResponse, FetchableTopicResponse,
    ListOffsetsRequest, OffsetForLeaderEpochEndOffset, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use crate::time::Duration;
use crate::wire::Str;

fn resetting(reset: OffsetReset) -> ConsumerConfig {
    config().auto_offset_reset(reset)
}

/// Reads partition 0 up to offset 3 and has its next fetch, from there, under way.
fn at_three(reset: OffsetReset) -> (World, Fetch) {
    let mut world = World::new(&resetting(reset));
    world.assign(&[0, 2], Start::Offset(0));
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3)])]);
    assert_eq!(world.read_all().len(), 3);
    let _ = world.told();
    let fetch = world.fetch_at(0);
    (world, fetch)
}

#[test]
fn an_error_of_one_partition_leaves_the_others_flowing_and_passes() {
    for code in [3, 5, 6, 9, 56, 72, 74, 75, 78, 100, 103] {
        let mut world = World::reading(&[0, 2]);
        world.fetch_at(0).answer(
            &mut world,
            11,
            vec![error(0, code), data(2, &[batch(0, 1)])],
        );
        assert_eq!(world.status(0), "Backoff", "{code}");
        assert_eq!(world.told(), ["ready"], "{code}");
        assert_eq!(world.read_all(), [(2, 0)]);
        let others = world.fetch_at(0);
        assert_eq!((others.wants(), others.forgets()), (vec![(2, 1)], vec![0]));
        world.pass(Duration::from_millis(400));
        others.answer(&mut world, 11, vec![]);
        assert_eq!(world.fetch_at(0).wants(), vec![(0, 0)], "{code}");
    }
}

#[test]
fn an_error_that_is_not_known_is_told_once_and_tried_again() {
    let mut world = World::reading(&[0]);
    for round in 0..3 {
        world
            .fetch_at(0)
            .answer(&mut world, 11, vec![error(0, 9_999)]);
        let told = world.told();
        match round {
            0 => assert_eq!(told.len(), 1, "{told:?}"),
            _ => assert_eq!(told, [""; 0]),
        }
        world.pass(Duration::from_secs(1));
    }
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 1)])]);
    assert_eq!(world.read_all(), [(0, 0)]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![error(0, 9_999)]);
    assert_eq!(
        world.told().len(),
        2,
        "ready, and the error, which is new again"
    );
}

#[test]
fn out_of_range_is_reset_by_policy_and_told_with_both_offsets() {
    for (reset, timestamp) in [
        (OffsetReset::Earliest, -2),
        (OffsetReset::Latest, -1),
        (
            OffsetReset::ByDuration(Duration::from_secs(100)),
            1_699_999_900_000,
        ),
    ] {
        let (mut world, fetch) = at_three(reset);
        fetch.answer(&mut world, 11, vec![error(0, 1)]);
        assert_eq!(world.position(0), None);
        let (asked, request) = world.next::<ListOffsetsRequest>();
        assert_eq!(request.topics[0].partitions[0].timestamp, timestamp);
        world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 0, 77)]));
        assert_eq!(world.told(), ["castle-0: 3 -> 77 OutOfRange"]);
        world.fetch_at(0).answer(&mut world, 11, vec![]);
        assert_eq!(world.fetch_at(0).wants(), vec![(0, 77)]);
    }
}

#[test]
fn by_duration_without_so_young_a_record_goes_to_the_end() {
    let (mut world, fetch) = at_three(OffsetReset::ByDuration(Duration::from_secs(100)));
    fetch.answer(&mut world, 11, vec![error(0, 1)]);
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 0, -1)]));
    // A broker answers in order: first the fetch for the other partition.
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    let (asked, request) = world.next::<ListOffsetsRequest>();
    assert_eq!(request.topics[0].partitions[0].timestamp, -1);
    world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 0, 80)]));
    assert_eq!(world.told(), ["castle-0: 3 -> 80 OutOfRange"]);
}

#[test]
fn without_a_policy_the_partition_is_blocked_until_a_seek() {
    let (mut world, fetch) = at_three(OffsetReset::None);
    fetch.answer(&mut world, 11, vec![error(0, 1)]);
    assert_eq!(world.told(), ["castle-0: offset 3 is out of range"]);
    assert_eq!(world.status(0), "Blocked");
    assert_eq!(world.position(0), Some(3));
    world.pass(Duration::from_secs(60));
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    assert_eq!(world.fetch_at(0).wants(), vec![]);
    world
        .consumer
        .seek(T, 0, Start::Offset(9), world.now)
        .unwrap();
    assert_eq!(world.status(0), "Fetchable");
}

#[test]
fn out_of_range_behind_buffered_data_is_believed_only_when_the_application_is_there() {
    let mut world = World::new(&resetting(OffsetReset::Earliest));
    world.assign(&[0], Start::Offset(0));
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3)])]);
    // The next fetch is for what follows the buffered data.
    world.fetch_at(0).answer(&mut world, 11, vec![error(0, 1)]);
    assert_eq!(world.told(), ["ready"]);
    assert_eq!(world.read_all().len(), 3);
    // The session still has it, at offset 3.
    let again = world.fetch_at(0);
    assert_eq!((again.wants(), again.forgets()), (vec![], vec![]));
    again.answer(&mut world, 11, vec![error(0, 1)]);
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 0, 5)]));
    assert_eq!(world.told(), ["castle-0: 3 -> 5 OutOfRange"]);
}

#[test]
fn a_corrupt_batch_is_one_error_the_position_stays_and_a_seek_skips_it() {
    let mut world = World::reading(&[0, 2]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3), batch(3, 3)])]);
    let lent = world.lend().unwrap();
    let corruption = Corruption::Compression("no codec would write this".to_string());
    world.give_back_at(&lent, 1, ReturnEnd::Corrupt(corruption));
    assert_eq!(
        world.told(),
        ["ready", "castle-0: the batch at offset 1 is corrupt"]
    );
    assert_eq!(
        (world.position(0), world.status(0)),
        (Some(1), "Blocked".into())
    );
    let error = world.consumer.explain(T, 0).unwrap().error.unwrap();
    assert_eq!((error.topic(), error.partition()), (Some(T), Some(0)));
    assert!(world.lend().is_none());
    world.pass(Duration::from_secs(60));
    world
        .consumer
        .seek(T, 0, Start::Offset(3), world.now)
        .unwrap();
    world.drain();
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    let fetch = world.fetch_at(0);
    assert_eq!(fetch.wants(), vec![(0, 3)]);
    fetch.answer(&mut world, 11, vec![data(0, &[batch(3, 3)])]);
    assert_eq!(world.read_all(), [(0, 3), (0, 4), (0, 5)]);
}

#[test]
fn bytes_that_are_no_batch_are_an_error_at_the_position_but_only_once_it_is_there() {
    let mut world = World::reading(&[0]);
    let mut old_format = batch(3, 1).to_vec();
    old_format[16] = 1;
    let old_format = Bytes::from(old_format);
    world.fetch_at(0).answer(
        &mut world,
        11,
        vec![data(0, &[batch(0, 3), old_format.clone()])],
    );
    world.fetch_at(0).answer(
        &mut world,
        11,
        vec![data(0, core::slice::from_ref(&old_format))],
    );
    assert_eq!(world.told(), ["ready"]);
    assert_eq!(world.read_all().len(), 3);
    assert_eq!(world.status(0), "InFlight");
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[old_format])]);
    assert_eq!(world.told(), ["castle-0: the batch at offset 3 is corrupt"]);
    assert_eq!(world.status(0), "Blocked");
}

#[test]
fn a_broker_that_goes_away_takes_only_its_own_partitions_with_it() {
    let mut world = World::reading(&[0, 1]);
    world.down.push(0);
    world.disconnect(0);
    let odd = world.fetch_at(1);
    odd.answer(&mut world, 21, vec![data(1, &[batch(0, 1)])]);
    assert_eq!(world.read_all(), [(1, 0)]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.status(0), "Fetchable");
    assert!(world.consumer.explain(T, 0).unwrap().error.is_some());
    // The other one leads it now. Metadata says so without anybody's help: the question waits behind a fetch at the
    // one broker that is left, since the bootstrap server is the one that is gone.
    world.topics.get_mut(T).unwrap().partitions[0] = Led {
        leader: 1,
        epoch: 6,
    };
    let mut asked = Vec::new();
    for _ in 0..4 {
        let fetch = world.fetch_at(1);
        asked.extend(fetch.wants());
        world.pass(Duration::from_millis(500));
        fetch.answer(&mut world, 21, vec![]);
    }
    assert_eq!(asked, [(1, 1), (0, 0)]);
    // Nobody needs the other broker any more.
    let attempts = world.attempts;
    let fetch = world.fetch_at(1);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.attempts, attempts);
    drop(fetch);
}

#[test]
fn after_a_lost_connection_the_session_begins_anew_and_nothing_is_lost_or_doubled() {
    let mut world = World::reading(&[0]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3)])]);
    assert_eq!(world.fetch_at(0).session(), (11, 1));
    world.disconnect(0);
    world.pass(Duration::from_secs(1));
    let fetch = world.fetch_at(0);
    assert_eq!((fetch.session(), fetch.wants()), ((11, 0), vec![(0, 3)]));
    fetch.answer(&mut world, 12, vec![data(0, &[batch(3, 1)])]);
    assert_eq!(world.read_all(), [(0, 0), (0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_session_that_the_broker_forgot_is_begun_anew_at_once() {
    let mut world = World::reading(&[0]);
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    let fetch = world.fetch_at(0);
    let evicted = FetchResponse {
        error_code: 70,
        ..FetchResponse::default()
    };
    world.answer::<FetchRequest>(&fetch.asked, &evicted);
    let fetch = world.fetch_at(0);
    assert_eq!((fetch.session(), fetch.wants()), ((0, 0), vec![(0, 0)]));
    // Twice in a row it waits.
    world.answer::<FetchRequest>(&fetch.asked, &evicted);
    assert!(world.is_silent());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.fetch_at(0).session(), (0, 0));
}

#[test]
fn the_hint_of_a_new_leader_is_followed_at_once() {
    let mut world = World::reading(&[0]);
    let fetch = world.fetch_at(0);
    let mut moved = error(0, 6);
    moved.current_leader = FetchLeaderIdAndEpoch {
        leader_id: 1,
        leader_epoch: 6,
    };
    let response = FetchResponse {
        session_id: 11,
        responses: vec![FetchableTopicResponse {
            topic_id: ID,
            partitions: vec![moved],
            ..FetchableTopicResponse::default()
        }],
        node_endpoints: vec![FetchNodeEndpoint {
            node_id: 1,
            host: Str::from("localhost"),
            port: 9_001,
            rack: None,
        }],
        ..FetchResponse::default()
    };
    world.answer::<FetchRequest>(&fetch.asked, &response);
    let fetch = world.fetch_at(1);
    assert_eq!(fetch.wants(), vec![(0, 0)]);
    assert_eq!(
        fetch.request.topics[0].partitions[0].current_leader_epoch,
        6
    );
}

/// Partition 0 was read up to offset 3 under leader epoch 5; now node 1 leads it in epoch 6.
fn new_leader(reset: OffsetReset) -> World {
    let (mut world, fetch) = at_three(reset);
    world.topics.get_mut(T).unwrap().partitions[0] = Led {
        leader: 1,
        epoch: 6,
    };
    fetch.answer(&mut world, 11, vec![error(0, 6)]);
    world.pass(Duration::from_secs(2));
    world
}

fn epoch_end(leader_epoch: i32, end_offset: i64) -> OffsetForLeaderEpochResponse {
    let end = OffsetForLeaderEpochEndOffset {
        partition: 0,
        leader_epoch,
        end_offset,
        ..OffsetForLeaderEpochEndOffset::default()
    };
    OffsetForLeaderEpochResponse {
        topics: vec![OffsetForLeaderTopicResult {
            topic: Str::from(T),
            partitions: vec![end],
        }],
        ..OffsetForLeaderEpochResponse::default()
    }
}

#[test]
fn under_a_new_leader_the_position_is_validated_first() {
    let mut world = new_leader(OffsetReset::Latest);
    let (asked, request) = world.next::<OffsetForLeaderEpochRequest>();
    assert_eq!((asked.node, request.replica_id), (1, -1));
    let partition = &request.topics[0].partitions[0];
    assert_eq!(
        (partition.current_leader_epoch, partition.leader_epoch),
        (6, 5)
    );
    assert_eq!(world.status(0), "Validating");
    world.answer::<OffsetForLeaderEpochRequest>(&asked, &epoch_end(5, 3));
    assert_eq!(world.fetch_at(1).wants(), vec![(0, 3)]);
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn a_log_cut_back_below_the_position_resets_it_to_where_the_histories_part() {
    let mut world = new_leader(OffsetReset::Latest);
    let (asked, _) = world.next::<OffsetForLeaderEpochRequest>();
    world.answer::<OffsetForLeaderEpochRequest>(&asked, &epoch_end(4, 1));
    assert_eq!(world.told(), ["castle-0: 3 -> 1 Truncated"]);
    assert_eq!(world.fetch_at(1).wants(), vec![(0, 1)]);
}

#[test]
fn a_log_cut_back_without_a_policy_is_an_error() {
    let mut world = new_leader(OffsetReset::None);
    let (asked, _) = world.next::<OffsetForLeaderEpochRequest>();
    world.answer::<OffsetForLeaderEpochRequest>(&asked, &epoch_end(4, 1));
    assert_eq!(world.told(), ["castle-0: offset 3 is out of range"]);
    assert_eq!(
        (world.status(0), world.position(0)),
        ("Blocked".into(), Some(3))
    );
}

#[test]
fn a_connection_lost_during_validation_is_no_truncation() {
    let mut world = new_leader(OffsetReset::Earliest);
    let _ = world.next::<OffsetForLeaderEpochRequest>();
    world.disconnect(1);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.position(0), Some(3));
    let (asked, _) = world.next::<OffsetForLeaderEpochRequest>();
    world.answer::<OffsetForLeaderEpochRequest>(&asked, &epoch_end(5, 3));
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn what_is_buffered_of_a_log_cut_back_is_fetched_again_without_a_reset() {
    let mut world = World::reading(&[0]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3), batch(3, 3)])]);
    let fetch = world.fetch_at(0);
    world.topics.get_mut(T).unwrap().partitions[0] = Led {
        leader: 1,
        epoch: 6,
    };
    fetch.answer(&mut world, 11, vec![error(0, 74)]);
    world.pass(Duration::from_secs(2));
    let lent = world.lend().unwrap();
    let (asked, _) = world.next::<OffsetForLeaderEpochRequest>();
    world.answer::<OffsetForLeaderEpochRequest>(&asked, &epoch_end(5, 4));
    assert!(world.lend().is_none(), "the second batch may be gone");
    world.give_back(&lent);
    // The position itself is validated now.
    let (asked, request) = world.next::<OffsetForLeaderEpochRequest>();
    assert_eq!(request.topics[0].partitions[0].leader_epoch, 5);
    world.answer::<OffsetForLeaderEpochRequest>(&asked, &epoch_end(5, 4));
    assert_eq!(world.told(), ["ready"]);
    assert_eq!(world.fetch_at(1).wants(), vec![(0, 3)]);
}

#[test]
fn an_answer_that_cannot_be_decoded_closes_the_connection_and_is_asked_again() {
    let mut world = World::reading(&[0]);
    let fetch = world.fetch_at(0);
    let mut broken = fetch.asked.clone();
    broken.version = 4;
    world.answer::<FetchRequest>(
        &broken,
        &FetchResponse {
            responses: Vec::new(),
            ..FetchResponse::default()
        },
    );
    world.pass(Duration::from_secs(1));
    assert_eq!(world.fetch_at(0).wants(), vec![(0, 0)]);
}

#[test]
fn a_batch_that_the_broker_itself_finds_corrupt_blocks_and_names_the_place() {
    let mut world = World::reading(&[0]);
    world.fetch_at(0).answer(&mut world, 11, vec![error(0, 2)]);
    let error = world.consumer.explain(T, 0).unwrap().error.unwrap();
    assert_eq!(error.kind(), &ErrorKind::Corrupt { offset: 0 });
    assert_eq!((error.topic(), error.partition()), (Some(T), Some(0)));
    assert!(error.hint().unwrap().contains("seek"));
    assert_eq!(world.status(0), "Blocked");
}
