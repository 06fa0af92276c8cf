//! Topics, partitions and leaders that are missing, come late, or change.

use alloc::vec;

use super::harness::*;
use super::offsets::response;
use crate::config::OffsetReset;
use crate::consumer::{Assignment, Start};
use crate::engine::{Engine, Input};
use crate::error::ErrorKind;
use crate::messages::ListOffsetsRequest;
use crate::time::{Duration, UnixMillis};
use crate::wire::Uuid;

#[test]
fn a_partition_that_does_not_exist_is_told_with_how_many_there_are_and_the_others_flow() {
    let mut world = World::reading(&[0, 9]);
    assert_eq!(
        world.told(),
        ["castle-9: no such partition: the topic has 4"]
    );
    assert_eq!(world.status(9), "AwaitingMetadata");
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(0, &[batch(0, 1)])]);
    assert_eq!(world.read_all(), [(0, 0)]);
}

#[test]
fn a_partition_that_is_added_later_is_picked_up() {
    let mut world = World::reading(&[5]);
    let _ = world.told();
    let led = Led {
        leader: 0,
        epoch: 0,
    };
    world
        .topics
        .get_mut(T)
        .unwrap()
        .partitions
        .extend([led, led]);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.fetch_at(0).wants(), vec![(5, 0)]);
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn a_topic_that_does_not_exist_is_told_after_a_while_and_picked_up_once_it_does() {
    let mut world = World::new(&config());
    let model = world.topics.remove(T).unwrap();
    world.assign(&[0, 1], Start::Offset(0));
    assert_eq!(world.told(), [""; 0]);
    world.pass(Duration::from_secs(10));
    assert_eq!(
        world.told(),
        [
            "castle-0: the topic does not exist",
            "castle-1: the topic does not exist"
        ]
    );
    let explained = world.consumer.explain(T, 0).unwrap();
    assert_eq!(explained.error.unwrap().kind(), &ErrorKind::UnknownTopic);
    world.topics.insert(T, model);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.fetch_at(0).wants(), vec![(0, 0)]);
    assert_eq!(world.fetch_at(1).wants(), vec![(1, 0)]);
}

#[test]
fn nothing_is_told_after_the_end_though_sockets_outlive_it() {
    let mut world = World::new(&config());
    world.topics.remove(T).unwrap();
    world.assign(&[0], Start::Offset(0));
    // The driver is slow: the deadline comes, and that of the missing topic, before the sockets are gone.
    world.consumer.close(world.now, world.now);
    for seconds in [1, 10, 60] {
        let at = world.now + Duration::from_secs(seconds);
        world.consumer.handle(
            Input::Timeout {
                wall: UnixMillis(0),
            },
            at,
        );
    }
    world.drain();
    assert_eq!(world.told(), ["closed, 0 lent"]);
}

#[test]
fn a_partition_without_a_leader_waits_while_the_others_flow() {
    let mut world = World::new(&config());
    world.topics.get_mut(T).unwrap().partitions[0].leader = -1;
    world.assign(&[0, 2], Start::Offset(0));
    world
        .fetch_at(0)
        .answer(&mut world, 11, vec![data(2, &[batch(0, 1)])]);
    assert_eq!(world.read_all(), [(2, 0)]);
    assert_eq!(world.status(0), "AwaitingMetadata");
    world.pass(Duration::from_secs(59));
    assert_eq!(world.told(), ["ready"]);
    world.pass(Duration::from_secs(10));
    assert_eq!(
        world.told(),
        ["castle-0: the broker answered LEADER_NOT_AVAILABLE (5)"]
    );
    world.topics.get_mut(T).unwrap().partitions[0].leader = 1;
    world.pass(Duration::from_secs(2));
    assert_eq!(world.fetch_at(1).wants(), vec![(0, 0)]);
}

#[test]
fn several_topics_in_one_call() {
    let mut world = World::new(&config());
    let other = TopicModel {
        id: Uuid([8; 16]),
        partitions: vec![Led {
            leader: 0,
            epoch: 1,
        }],
    };
    world.topics.insert("village", other);
    let of = |topic, partition| Assignment {
        topic,
        partition,
        start: Start::Offset(1),
    };
    let assignments = [of(T, 0), of("village", 0), of(T, 2)];
    world.consumer.assign(&assignments, world.now).unwrap();
    world.drain();
    let fetch = world.fetch_at(0);
    let topics: alloc::vec::Vec<Uuid> = fetch
        .request
        .topics
        .iter()
        .map(|topic| topic.topic_id)
        .collect();
    assert_eq!(
        topics,
        [ID, Uuid([8; 16]), ID],
        "in the order of the assignment"
    );
    assert_eq!(world.consumer.assignment().len(), 3);
}

#[test]
fn a_topic_made_again_begins_by_policy_and_is_told() {
    let mut world = World::new(&config().auto_offset_reset(OffsetReset::Earliest));
    world.assign(&[0], Start::Offset(40));
    let fetch = world.fetch_at(0);
    world.topics.get_mut(T).unwrap().id = Uuid([9; 16]);
    world.topics.get_mut(T).unwrap().partitions[0].epoch = 0;
    fetch.answer(&mut world, 11, vec![error(0, 100)]);
    world.pass(Duration::from_secs(2));
    let (asked, request) = world.next::<ListOffsetsRequest>();
    assert_eq!(request.topics[0].partitions[0].timestamp, -2);
    world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 0, 0)]));
    assert_eq!(world.told(), ["castle-0: 40 -> 0 TopicRecreated"]);
    let fetch = world.fetch_at(0);
    assert_eq!(fetch.request.topics[0].topic_id, Uuid([9; 16]));
    assert_eq!(fetch.wants(), vec![(0, 0)]);
}

#[test]
fn an_unreachable_cluster_is_a_problem_of_which_each_kind_is_told_once_a_minute() {
    let mut world = World::new(&config());
    world.down = vec![0, 1];
    world.assign(&[0], Start::Offset(0));
    world.pass(Duration::from_secs(59));
    assert_eq!(
        world.told(),
        [
            "problem: no connection",
            "problem: no answer within 30000 ms"
        ]
    );
    world.pass(Duration::from_secs(10));
    assert!(
        world
            .told()
            .iter()
            .any(|told| told.starts_with("castle-0: no answer"))
    );
    world.down.clear();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.fetch_at(0).wants(), vec![(0, 0)]);
}
