//! Fetching from the closest replica (KIP-392): where to and for how long, and that only the leader's word moves a
//! position.

use alloc::vec;

use super::harness::*;
use super::offsets::response as listed;
use crate::consumer::Start;
use crate::messages::{FetchPartitionData, ListOffsetsRequest};
use crate::time::Duration;

/// The leader names a replica instead of sending data.
fn named(partition: i32, replica: i32) -> FetchPartitionData {
    FetchPartitionData {
        preferred_read_replica: replica,
        high_watermark: 1_000,
        ..nothing(partition)
    }
}

/// Partition 0, which node 0 leads, is fetched from node 1.
fn at_the_replica() -> (World, Fetch) {
    let mut world = World::new(&config().client_rack("cellar"));
    world.assign(&[0], Start::Offset(0));
    let fetch = world.fetch_at(0);
    assert_eq!(fetch.request.rack_id.as_str(), "cellar");
    // Without a session the next one names everything.
    fetch.answer(&mut world, 0, vec![named(0, 1)]);
    let fetch = world.fetch_at(1);
    assert!(world.is_silent());
    (world, fetch)
}

#[test]
fn fetches_go_to_the_replica_that_the_leader_names_and_records_come_from_there() {
    let (mut world, fetch) = at_the_replica();
    assert_eq!(fetch.wants(), [(0, 0)]);
    assert_eq!(
        fetch.request.topics[0].partitions[0].current_leader_epoch,
        5
    );
    fetch.answer(&mut world, 21, vec![data(0, &[batch(0, 3)])]);
    assert_eq!(world.read_all(), [(0, 0), (0, 1), (0, 2)]);
    let next = world.fetch_at(1);
    assert_eq!((next.wants(), next.session()), (vec![(0, 3)], (21, 1)));
    assert!(world.is_silent());
}

#[test]
fn out_of_range_at_the_replica_resets_nothing_and_the_leader_is_asked() {
    let (mut world, fetch) = at_the_replica();
    fetch.answer(&mut world, 21, vec![error(0, 1)]);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.told(), [""; 0]);
    assert_eq!(world.position(0), Some(0));
    let fetch = world.fetch_at(0);
    // What the leader says counts.
    fetch.answer(&mut world, 11, vec![error(0, 1)]);
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world.answer::<ListOffsetsRequest>(&asked, &listed(&[(0, 0, 40)]));
    assert_eq!(world.told(), ["castle-0: 0 -> 40 OutOfRange"]);
}

#[test]
fn any_other_error_of_the_replica_leads_back_to_the_leader_too() {
    for code in [3, 6, 9, 74, 78] {
        let (mut world, fetch) = at_the_replica();
        fetch.answer(&mut world, 21, vec![error(0, code)]);
        world.pass(Duration::from_millis(400));
        assert_eq!(world.fetch_at(0).wants(), [(0, 0)], "{code}");
    }
}

#[test]
fn a_replica_that_nobody_knows_is_not_waited_for() {
    let mut world = World::reading(&[0]);
    world.fetch_at(0).answer(&mut world, 0, vec![named(0, 77)]);
    assert_eq!(world.fetch_at(0).wants(), [(0, 0)]);
}

#[test]
fn a_replica_whose_connection_is_lost_is_left() {
    let (mut world, _) = at_the_replica();
    world.down = vec![1];
    world.disconnect(1);
    assert_eq!(world.fetch_at(0).wants(), [(0, 0)]);
}

#[test]
fn a_replica_that_cannot_be_reached_is_left() {
    let mut world = World::new(&config());
    world.down = vec![1];
    world.assign(&[0], Start::Offset(0));
    world.fetch_at(0).answer(&mut world, 0, vec![named(0, 1)]);
    assert_eq!(world.fetch_at(0).wants(), [(0, 0)]);
}

#[test]
fn the_leader_is_asked_again_when_metadata_is_old_and_never_while_a_fetch_is_under_way() {
    let (mut world, fetch) = at_the_replica();
    world.pass(Duration::from_secs(10));
    fetch.answer(&mut world, 21, vec![]);
    let fetch = world.fetch_at(1);
    let mut patient = config().client_rack("cellar");
    patient.common.metadata_max_age = Duration::from_secs(5);
    drop(fetch);

    let mut world = World::new(&patient);
    world.assign(&[0], Start::Offset(0));
    world.fetch_at(0).answer(&mut world, 11, vec![named(0, 1)]);
    let fetch = world.fetch_at(1);
    world.pass(Duration::from_secs(6));
    assert!(world.is_silent());
    fetch.answer(&mut world, 21, vec![data(0, &[batch(0, 2)])]);
    assert_eq!(world.read_all(), [(0, 0), (0, 1)]);
    assert_eq!(world.fetch_at(0).wants(), [(0, 2)]);
}

#[test]
fn what_only_the_leader_can_answer_is_asked_of_it() {
    let (mut world, _) = at_the_replica();
    world.consumer.seek(T, 0, Start::End, world.now).unwrap();
    world.drain();
    let (asked, _) = world.next::<ListOffsetsRequest>();
    assert_eq!(asked.node, 0);
    world.answer::<ListOffsetsRequest>(&asked, &listed(&[(0, 0, 40)]));
    assert_eq!(world.fetch_at(0).wants(), [(0, 40)]);
}
