//! Fetching, lending and returning, as long as nothing goes wrong.

use alloc::vec;
use alloc::vec::Vec;

use super::harness::*;
use crate::budget::Category;
use crate::consumer::{ConsumerEvent, OffsetSpec, ReturnEnd, Start};
use crate::engine::TopicPartition;
use crate::engine::{Engine, Output};
use crate::error::ErrorKind;
use crate::time::Duration;
use crate::wire::Uuid;

#[test]
fn one_fetch_a_broker_asks_for_all_of_its_partitions_and_records_come_out_in_order() {
    let mut world = World::reading(&[0, 1, 2, 3]);
    let (even, odd) = (world.fetch_at(0), world.fetch_at(1));
    assert_eq!(even.wants(), vec![(0, 0), (2, 0)]);
    assert_eq!(odd.wants(), vec![(1, 0), (3, 0)]);
    assert_eq!(even.session(), (0, 0));
    assert_eq!(even.request.topics[0].topic_id, ID);
    assert_eq!(even.request.max_wait_ms, 500);
    assert!(world.is_silent(), "one fetch a broker");
    assert_eq!(world.told(), [""; 0]);

    even.answer(
        &mut world,
        11,
        vec![
            data(0, &[batch(0, 2), batch(2, 1)]),
            data(2, &[batch(0, 1)]),
        ],
    );
    assert_eq!(world.told(), ["ready"]);
    assert_eq!(world.read_all(), [(0, 0), (0, 1), (2, 0), (0, 2)]);
    assert_eq!((world.position(0), world.position(2)), (Some(3), Some(1)));
    drop(odd);
}

#[test]
fn the_next_fetch_names_only_what_changed_and_goes_out_at_once() {
    let mut world = World::reading(&[0, 2]);
    let fetch = world.fetch_at(0);
    fetch.answer(&mut world, 11, vec![data(0, &[batch(0, 5)])]);
    // A little is buffered: the next response is fetched while the reader is busy with it.
    let next = world.fetch_at(0);
    assert_eq!(next.session(), (11, 1));
    assert_eq!(next.wants(), vec![(0, 5)]);
    assert_eq!(next.forgets(), vec![]);
    next.answer(&mut world, 11, vec![data(0, &[batch(5, 5)])]);
    // Two responses wait: the partition is left out now, the other one is not held up.
    let third = world.fetch_at(0);
    assert_eq!(third.wants(), vec![]);
    assert_eq!(third.forgets(), vec![0]);
    assert_eq!(world.read_all().len(), 10);
    third.answer(&mut world, 11, vec![]);
    assert_eq!(world.fetch_at(0).wants(), vec![(0, 10)]);
}

#[test]
fn a_partition_that_is_left_out_is_not_held_up_by_one_that_has_nothing() {
    let mut world = World::reading(&[0, 2]);
    let fetch = world.fetch_at(0);
    let large = sized_batch(0, 10, 100_000);
    fetch.answer(&mut world, 11, vec![data(0, &[large])]);
    // Waits of the fetches that leave partition 0 out: short at first, longer while nobody reads.
    let mut waits = vec![];
    for _ in 0..12 {
        let fetch = world.fetch_at(0);
        waits.push(fetch.request.max_wait_ms);
        fetch.answer(&mut world, 11, vec![]);
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 500, 500]);
    assert_eq!(world.read_all().len(), 10);
    world.fetch_at(0).answer(&mut world, 11, vec![]);
    let together = world.fetch_at(0);
    assert_eq!(together.request.max_wait_ms, 500);
    assert_eq!(together.wants(), vec![(0, 10)]);
}

#[test]
fn ready_is_told_once_for_each_time_that_there_was_nothing() {
    let mut world = World::reading(&[0, 2]);
    let fetch = world.fetch_at(0);
    fetch.answer(&mut world, 11, vec![data(0, &[batch(0, 1), batch(1, 1)])]);
    assert_eq!(world.told(), ["ready"]);
    let first = world.lend().unwrap();
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(2, &[batch(0, 1)])]);
    assert_eq!(
        world.told(),
        [""; 0],
        "nobody was told that there is nothing"
    );
    let second = world.lend().unwrap();
    assert_eq!((first.partition, second.partition), (0, 2));
    assert!(world.lend().is_none());
    world.give_back(&first);
    assert_eq!(world.told(), ["ready"], "the rest of partition 0");
}

#[test]
fn the_fetch_that_brought_data_puts_its_partition_last() {
    let mut world = World::reading(&[0, 2]);
    world
        .fetch_at(0)
        .answer(&mut world, 0, vec![data(0, &[batch(0, 1)])]);
    // Without a session every fetch is full, and shows the order.
    assert_eq!(world.fetch_at(0).wants(), vec![(2, 0), (0, 1)]);
}

#[test]
fn brokers_without_topic_ids_are_asked_by_name() {
    let mut world = World::new(&config());
    world.fetch_version = 11;
    world.assign(&[0], Start::Offset(3));
    let fetch = world.fetch_at(0);
    assert_eq!(fetch.asked.version, 11);
    assert_eq!(fetch.request.topics[0].topic.as_str(), T);
    fetch.answer(&mut world, 4, vec![data(0, &[batch(3, 1)])]);
    assert_eq!(world.read_all(), [(0, 3)]);
}

#[test]
fn a_topic_of_unknown_id_is_asked_for_in_the_last_version_that_has_names() {
    let mut world = World::new(&config());
    world.topics.get_mut(T).unwrap().id = Uuid::ZERO;
    world.assign(&[0], Start::Offset(3));
    let fetch = world.fetch_at(0);
    assert_eq!(fetch.asked.version, 12);
    assert_eq!(fetch.request.topics[0].topic.as_str(), T);
    fetch.answer(&mut world, 4, vec![data(0, &[batch(3, 1)])]);
    assert_eq!(world.read_all(), [(0, 3)]);
    // The session was opened with names, also where the next question names nothing.
    assert_eq!(world.fetch_at(0).asked.version, 12);
}

#[test]
fn a_batch_abandoned_part_way_is_lent_again_from_there() {
    let mut world = World::reading(&[0]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 9)])]);
    let lent = world.lend().unwrap();
    assert_eq!((lent.start, lent.next), (0, 9));
    world.give_back_at(&lent, 4, ReturnEnd::Abandoned);
    assert_eq!(world.position(0), Some(4));
    let again = world.lend().unwrap();
    assert_eq!((again.start, again.next), (4, 9));
    assert_eq!(again.bytes, lent.bytes);
    world.give_back(&again);
    assert_eq!(world.position(0), Some(9));
}

#[test]
fn an_hour_without_records_costs_one_fetch_a_broker_per_longest_wait() {
    let mut world = World::new(&config());
    let partitions: Vec<i32> = (0..100).collect();
    world.spread(100);
    world.assign(&partitions, Start::Offset(0));
    let mut fetches = 0;
    let hour = 2 * 60 * 60;
    for _ in 0..hour {
        for node in 0..2 {
            fetches += 1;
            let fetch = world.fetch_at(node);
            assert_eq!(fetch.request.max_wait_ms, 500);
            assert_eq!(
                fetch.wants().len(),
                if fetch.request.session_epoch == 0 {
                    50
                } else {
                    0
                }
            );
            world.asked.push_back(fetch.asked);
        }
        assert_eq!(world.asked.len(), 2);
        world.pass(Duration::from_millis(500));
        for node in 0..2 {
            let fetch = world.fetch_at(node);
            fetch.answer(&mut world, 10 + node, vec![]);
        }
    }
    assert_eq!(fetches, 2 * hour);
    // Metadata is refreshed every five minutes.
    assert!(world.metadata_asked <= 14, "{}", world.metadata_asked);
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn a_record_is_not_copied_on_its_way_to_the_reader() {
    let mut world = World::reading(&[0]);
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 1), batch(1, 1)])]);
    let first = world.lend().unwrap();
    let end = first.bytes.as_ptr_range().end;
    world.give_back(&first);
    let second = world.lend().unwrap();
    assert_eq!(
        second.bytes.as_ptr(),
        end,
        "both are slices of the same frame"
    );
}

#[test]
fn closing_ends_the_session_and_the_sockets_and_is_told_last() {
    let mut world = World::reading(&[0, 2]);
    world.fetch_at(0).answer(
        &mut world,
        11,
        vec![data(0, &[batch(0, 1)]), data(2, &[batch(0, 1)])],
    );
    let lent = world.lend().unwrap();
    let op = world
        .consumer
        .close(world.now + Duration::from_secs(5), world.now);
    assert_ne!(world.consumer.close(world.now, world.now), op);
    world.drain();
    world.pass(Duration::from_secs(6));
    // Each call has its end.
    assert_eq!(world.told(), ["ready", "closed, 1 lent", "closed, 1 lent"]);
    assert!(world.lend().is_none());
    assert!(world.consumer.assign(&[], world.now).is_err());
    world.give_back(&lent);
    assert_eq!(world.consumer.memory_used(Category::Fetch), 0);
}

#[test]
fn a_lookup_begun_after_the_end_is_answered_at_once() {
    let mut world = World::reading(&[0]);
    world
        .consumer
        .close(world.now + Duration::from_secs(5), world.now);
    world.drain();
    world.pass(Duration::from_secs(6));
    assert_eq!(world.told(), ["closed, 0 lent"]);
    let partitions = [TopicPartition::new(T, 0)];
    let op = world
        .consumer
        .list_offsets(OffsetSpec::Latest, &partitions, world.now);
    let mut events = Vec::new();
    loop {
        let output = world.consumer.poll_output();
        if matches!(output, Output::Idle(None)) {
            break;
        }
        assert!(events.len() < 10, "more than an answer: {events:?}");
        events.push(output);
    }
    let [
        Output::Event(ConsumerEvent::Offsets {
            op: answered,
            found,
        }),
    ] = &events[..]
    else {
        panic!("one answer and nothing to wait for: {events:?}")
    };
    assert_eq!(*answered, op);
    assert_eq!(found[0].1.as_ref().unwrap_err().kind(), &ErrorKind::Closed);
}
