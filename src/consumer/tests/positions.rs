//! Assign, seek, pause and resume, and what of the time before must not come out after them.

use alloc::vec;

use super::harness::*;
use crate::budget::Category;
use crate::consumer::{Assignment, ReturnEnd, Start};
use crate::error::ErrorKind;
use crate::messages::{ListOffsetsRequest, ListOffsetsResponse};
use crate::wire::ApiKey;

#[test]
fn after_assign_not_one_record_of_the_former_assignment_comes_out() {
    let mut world = World::reading(&[0, 2]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3), batch(3, 3)])]);
    let lent = world.lend().unwrap();
    let in_flight = world.fetch_at(0);
    assert!(world.consumer.is_current(lent.id));

    // The same partition is in both: its position is as this call says.
    world.assign(&[0], Start::Offset(50));
    assert!(!world.consumer.is_current(lent.id));
    assert!(world.lend().is_none());
    assert_eq!(world.position(0), Some(50));
    in_flight.answer(
        &mut world,
        11,
        vec![data(0, &[batch(6, 3)]), data(2, &[batch(0, 3)])],
    );
    assert!(world.lend().is_none(), "the late answer is dropped");

    world.give_back(&lent);
    assert_eq!(world.position(0), Some(50), "a stale return moves nothing");
    let next = world.fetch_at(0);
    assert_eq!(next.wants(), vec![(0, 50)]);
    assert_eq!(next.forgets(), vec![2]);
    next.answer(&mut world, 11, vec![data(0, &[batch(50, 1)])]);
    assert_eq!(world.read_all(), [(0, 50)]);
}

#[test]
fn assigning_nothing_stops_all_fetching_and_frees_all_memory() {
    let mut world = World::reading(&[0, 2]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3)])]);
    let in_flight = world.fetch_at(0);
    world.assign(&[], Start::Beginning);
    assert_eq!(world.consumer.assignment(), vec![]);
    in_flight.answer(&mut world, 11, vec![]);
    assert!(world.is_silent());
    assert_eq!(world.consumer.memory_used(Category::Fetch), 0);
    assert!(world.consumer.position(T, 0).is_err());
}

#[test]
fn no_group_request_is_ever_sent() {
    let mut world = World::reading(&[0, 1, 2, 3]);
    world.assign(&[1], Start::Beginning);
    assert!(
        world
            .asked
            .iter()
            .all(|asked| [ApiKey::FETCH, ApiKey::LIST_OFFSETS].contains(&asked.api))
    );
}

#[test]
fn a_seek_drops_what_is_buffered_and_the_late_answer() {
    let mut world = World::reading(&[0]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3), batch(3, 3)])]);
    let lent = world.lend().unwrap();
    let in_flight = world.fetch_at(0);
    assert_eq!(in_flight.wants(), vec![(0, 6)]);
    world
        .consumer
        .seek(T, 0, Start::Offset(100), world.now)
        .unwrap();
    world.drain();
    assert!(!world.consumer.is_current(lent.id));
    assert_eq!(world.position(0), Some(100));
    in_flight.answer(&mut world, 11, vec![data(0, &[batch(6, 3)])]);
    world.give_back_at(&lent, 2, ReturnEnd::Abandoned);
    assert_eq!(world.position(0), Some(100));
    let next = world.fetch_at(0);
    assert_eq!(next.wants(), vec![(0, 100)]);
    // The batch that holds the offset begins before it.
    next.answer(&mut world, 11, vec![data(0, &[batch(98, 5)])]);
    assert_eq!(world.read_all(), [(0, 100), (0, 101), (0, 102)]);
}

#[test]
fn a_paused_partition_keeps_its_buffer_hands_nothing_out_and_is_not_fetched() {
    let mut world = World::reading(&[0, 2]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3)])]);
    world.consumer.pause(T, 0, world.now).unwrap();
    assert!(world.lend().is_none());
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    let fetch = world.fetch_at(0);
    assert_eq!((fetch.wants(), fetch.forgets()), (vec![], vec![0]));
    assert_eq!(world.status(0), "Paused");
    let _ = world.told();
    world.consumer.resume(T, 0, world.now).unwrap();
    world.drain();
    assert_eq!(world.told(), ["ready"]);
    assert_eq!(world.read_all(), [(0, 0), (0, 1), (0, 2)]);
    fetch.answer(&mut world, 11, vec![]);
    assert_eq!(world.fetch_at(0).wants(), vec![(0, 3)]);
}

#[test]
fn a_batch_lent_before_a_pause_may_be_returned_during_it() {
    let mut world = World::reading(&[0]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3), batch(3, 1)])]);
    let lent = world.lend().unwrap();
    world.consumer.pause(T, 0, world.now).unwrap();
    world.give_back(&lent);
    assert_eq!(world.position(0), Some(3));
    assert!(world.lend().is_none());
}

fn found(partition: i32, offset: i64) -> ListOffsetsResponse {
    offsets::response(&[(partition, 0, offset)])
}

use super::offsets;

#[test]
fn the_ends_of_the_log_are_looked_up_at_the_leader_before_anything_is_fetched() {
    for (start, timestamp, offset) in [(Start::Beginning, -2, 17), (Start::End, -1, 99)] {
        let mut world = World::new(&config());
        world.assign(&[1], start);
        assert_eq!(world.position(1), None);
        assert_eq!(world.status(1), "LookingUpOffset");
        let (asked, request) = world.next::<ListOffsetsRequest>();
        assert_eq!(asked.node, 1);
        assert_eq!(request.replica_id, -1);
        let partition = &request.topics[0].partitions[0];
        assert_eq!(
            (partition.timestamp, partition.current_leader_epoch),
            (timestamp, 5)
        );
        assert!(world.is_silent());
        world.answer::<ListOffsetsRequest>(&asked, &found(1, offset));
        assert_eq!(world.position(1), Some(offset));
        assert_eq!(world.fetch_at(1).wants(), vec![(1, offset)]);
        assert_eq!(world.told(), [""; 0], "no reset: the user asked for it");
    }
}

#[test]
fn a_seek_while_the_offset_is_looked_up_wins() {
    let mut world = World::new(&config());
    world.assign(&[0], Start::Beginning);
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world
        .consumer
        .seek(T, 0, Start::Offset(7), world.now)
        .unwrap();
    world.drain();
    world.answer::<ListOffsetsRequest>(&asked, &found(0, 0));
    assert_eq!(world.position(0), Some(7));
    assert_eq!(world.fetch_at(0).wants(), vec![(0, 7)]);
}

#[test]
fn a_negative_offset_from_the_leader_is_no_position() {
    let mut world = World::new(&config());
    world.assign(&[0], Start::Beginning);
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world.answer::<ListOffsetsRequest>(&asked, &found(0, -1));
    assert_eq!(world.position(0), None);
    assert_eq!(world.status(0), "LookingUpOffset");
    assert_eq!(
        world.told(),
        ["castle-0: the peer does not speak Kafka's protocol as expected"]
    );
    world.pass(crate::time::Duration::from_secs(1));
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world.answer::<ListOffsetsRequest>(&asked, &found(0, 4));
    assert_eq!(world.position(0), Some(4));
}

#[test]
fn calls_that_make_no_sense_change_nothing() {
    let mut world = World::reading(&[0]);
    let bad = |topic, partition, start| Assignment {
        topic,
        partition,
        start,
    };
    for assignment in [
        bad(T, 0, Start::Offset(-5)),
        bad(T, -1, Start::Beginning),
        bad("", 0, Start::Beginning),
    ] {
        assert!(world.consumer.assign(&[assignment], world.now).is_err());
        assert_eq!(world.consumer.assignment().len(), 1);
    }
    let error = world
        .consumer
        .seek(T, 3, Start::Beginning, world.now)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.topic(), error.partition()),
        (&ErrorKind::NotAssigned, Some(T), Some(3))
    );
    assert!(
        world
            .consumer
            .seek(T, 0, Start::Offset(-1), world.now)
            .is_err()
    );
    assert!(world.consumer.pause("other", 0, world.now).is_err());
    assert_eq!(world.position(0), Some(0));

    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 3)])]);
    let lent = world.lend().unwrap();
    world.give_back(&lent);
    let twice = crate::consumer::Return {
        id: lent.id,
        next: 3,
        end: ReturnEnd::Read,
    };
    assert_eq!(
        world
            .consumer
            .return_batch(twice, world.now)
            .unwrap_err()
            .kind(),
        &ErrorKind::Misuse
    );
}

#[test]
fn what_is_returned_outside_of_its_batch_counts_as_its_end() {
    let mut world = World::reading(&[0]);
    world
        .consumer
        .seek(T, 0, Start::Offset(2), world.now)
        .unwrap();
    world.drain();
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 9)])]);
    let lent = world.lend().unwrap();
    world.give_back_at(&lent, 0, ReturnEnd::Abandoned);
    assert_eq!(world.position(0), Some(2));
    let lent = world.lend().unwrap();
    world.give_back_at(&lent, 1_000, ReturnEnd::Read);
    assert_eq!(world.position(0), Some(9));
}

#[test]
fn lag_is_what_lies_between_the_position_and_the_end_that_a_broker_named() {
    let mut world = World::reading(&[0]);
    assert_eq!(world.consumer.lag(T, 0), Ok(None));
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 9)])]);
    assert_eq!(world.consumer.lag(T, 0), Ok(Some(1_000)));
    assert_eq!(world.read_all().len(), 9);
    assert_eq!(world.consumer.lag(T, 0), Ok(Some(991)));
}
