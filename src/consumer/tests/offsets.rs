//! Offsets that the user asks for.

use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::harness::*;
use crate::consumer::{OffsetSpec, Start};
use crate::engine::TopicPartition;
use crate::messages::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::time::Duration;
use crate::wire::Str;

/// An answer of partition, error code and offset.
pub(super) fn response(partitions: &[(i32, i16, i64)]) -> ListOffsetsResponse {
    let partitions = partitions
        .iter()
        .map(|(partition, code, offset)| ListOffsetsPartitionResponse {
            partition_index: *partition,
            error_code: *code,
            timestamp: -1,
            offset: *offset,
            leader_epoch: 5,
        })
        .collect();
    ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: Str::from(T),
            partitions,
        }],
        ..ListOffsetsResponse::default()
    }
}

fn partitions(numbers: &[i32]) -> Vec<TopicPartition> {
    numbers
        .iter()
        .map(|partition| TopicPartition::new(T, *partition))
        .collect()
}

#[test]
fn each_leader_is_asked_once_and_one_event_answers_all() {
    let mut world = World::new(&config());
    world.consumer.list_offsets(
        OffsetSpec::Timestamp(1234),
        &partitions(&[0, 1, 2, 0]),
        world.now,
    );
    world.drain();
    let (first, request) = world.next::<ListOffsetsRequest>();
    assert_eq!(
        request.topics[0].partitions.len(),
        if first.node == 0 { 2 } else { 1 }
    );
    assert!(
        request.topics[0]
            .partitions
            .iter()
            .all(|partition| partition.timestamp == 1234)
    );
    let (second, _) = world.next::<ListOffsetsRequest>();
    assert!(world.is_silent());
    for asked in [first, second] {
        let answer = match asked.node {
            0 => response(&[(0, 0, 10), (2, 0, -1)]),
            _ => response(&[(1, 0, 11)]),
        };
        world.answer::<ListOffsetsRequest>(&asked, &answer);
    }
    assert_eq!(
        world.told(),
        ["offsets castle-0=10 castle-1=11 castle-2=none"]
    );
}

#[test]
fn a_leader_that_moved_is_asked_again_and_what_cannot_be_answered_is_an_error() {
    let mut world = World::new(&config());
    world
        .consumer
        .list_offsets(OffsetSpec::Latest, &partitions(&[0, 2, 9]), world.now);
    world.drain();
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world.topics.get_mut(T).unwrap().partitions[2] = Led {
        leader: 1,
        epoch: 6,
    };
    world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 29, -1), (2, 6, -1)]));
    world.pass(Duration::from_secs(1));
    let (asked, request) = world.next::<ListOffsetsRequest>();
    assert_eq!(asked.node, 1);
    assert_eq!(request.topics[0].partitions[0].current_leader_epoch, 6);
    world.answer::<ListOffsetsRequest>(&asked, &response(&[(2, 0, 42)]));
    assert_eq!(
        world.told(),
        [
            "offsets castle-0: the broker answered TOPIC_AUTHORIZATION_FAILED (29) castle-2=42 \
          castle-9: no such partition: the topic has 4"
        ]
    );
}

#[test]
fn a_topic_that_does_not_exist_is_an_answer_after_a_while() {
    let mut world = World::new(&config());
    world.consumer.list_offsets(
        OffsetSpec::Latest,
        &[TopicPartition::new("nowhere", 0)],
        world.now,
    );
    world.drain();
    assert_eq!(world.told(), [""; 0]);
    world.pass(Duration::from_secs(5));
    assert_eq!(
        world.told(),
        ["offsets nowhere-0: the topic does not exist"]
    );
}

#[test]
fn an_operation_of_no_partitions_is_answered_at_once_and_a_detached_one_never() {
    let mut world = World::new(&config());
    world
        .consumer
        .list_offsets(OffsetSpec::Latest, &[], world.now);
    world.drain();
    assert_eq!(world.told(), ["offsets "]);
    let op = world
        .consumer
        .list_offsets(OffsetSpec::Latest, &partitions(&[0]), world.now);
    world.drain();
    let (asked, _) = world.next::<ListOffsetsRequest>();
    world.consumer.detach(op, world.now);
    world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 0, 10)]));
    world.pass(Duration::from_secs(100));
    assert_eq!(world.told(), [""; 0]);
}

#[test]
fn a_lookup_that_nobody_answers_ends_with_an_error() {
    let mut world = World::new(&config());
    world
        .consumer
        .list_offsets(OffsetSpec::Latest, &partitions(&[0]), world.now);
    world.drain();
    world.pass(Duration::from_secs(61));
    let told = world.told();
    assert!(
        told.contains(&"offsets castle-0: no answer within 60000 ms".to_string()),
        "{told:?}"
    );
}

#[test]
fn an_operation_and_a_partition_ask_for_the_same_without_getting_mixed_up() {
    let mut world = World::new(&config());
    world.assign(&[0], Start::Beginning);
    world
        .consumer
        .list_offsets(OffsetSpec::Latest, &partitions(&[0]), world.now);
    world.drain();
    for _ in 0..2 {
        let (asked, request) = world.next::<ListOffsetsRequest>();
        let offset = if request.topics[0].partitions[0].timestamp == -2 {
            3
        } else {
            30
        };
        world.answer::<ListOffsetsRequest>(&asked, &response(&[(0, 0, offset)]));
    }
    assert_eq!(world.position(0), Some(3));
    assert_eq!(world.told(), [format!("offsets {T}-0=30")]);
}
