//! Coordinators and committed offsets.

use klamm::messages::{
    FindCoordinatorRequest, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, OffsetFetchRequest, OffsetFetchRequestGroup,
};
use klamm::{ErrorCode, Str};

use crate::client::{Conversation, error};

fn commit(group: &str, topic: &str, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: Str::from(group),
        topics: vec![OffsetCommitRequestTopic {
            name: Str::from(topic),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                committed_metadata: Some(Str::from("note")),
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

fn all_of(group: &str) -> OffsetFetchRequest {
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: Str::from(group),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    }
}

#[test]
fn the_coordinator_keeps_what_was_committed_and_others_do_not() {
    let mut talk = Conversation::with(3);
    talk.cluster.create_topic("t", 1).unwrap();
    let anyone = talk.connect(1);
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![Str::from("g")],
        ..FindCoordinatorRequest::default()
    };
    let found = talk.ask(anyone, 4, &find).coordinators.remove(0).node_id;
    assert_eq!(talk.cluster.coordinator_of("g"), Some(found));
    let coordinator = talk.connect(found);
    let other = talk.connect(found % 3 + 1);
    let ask = |talk: &mut Conversation, over| {
        let response = talk.ask(over, 9, &commit("g", "t", 5));
        error(response.topics[0].partitions[0].error_code)
    };
    assert_eq!(ask(&mut talk, other), ErrorCode::NOT_COORDINATOR);
    assert_eq!(ask(&mut talk, coordinator), ErrorCode::NONE);
    let response = talk.ask(coordinator, 9, &all_of("g"));
    let fetched = &response.groups[0].topics[0].partitions[0];
    assert_eq!(fetched.committed_offset, 5);
    assert_eq!(fetched.metadata, Some(Str::from("note")));
    let response = talk.ask(other, 9, &all_of("g"));
    let code = error(response.groups[0].error_code);
    assert_eq!(code, ErrorCode::NOT_COORDINATOR);
}

#[test]
fn only_commits_without_a_generation_are_taken() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    let mut ask = |request: OffsetCommitRequest| {
        let response = talk.ask(broker, 9, &request);
        error(response.topics[0].partitions[0].error_code)
    };
    let mut generation = commit("g", "t", 1);
    generation.generation_id_or_member_epoch = 1;
    assert_eq!(ask(generation.clone()), ErrorCode::GROUP_ID_NOT_FOUND);
    let mut member = commit("g", "t", 1);
    member.member_id = Str::from("m");
    assert_eq!(ask(member), ErrorCode::NONE);
    assert_eq!(ask(generation), ErrorCode::UNKNOWN_MEMBER_ID);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(ask(commit("g", "u", 1)), unknown);
    let mut large = commit("g", "t", 1);
    large.topics[0].partitions[0].committed_metadata = Some(Str::from("x".repeat(5000)));
    assert_eq!(ask(large), ErrorCode::OFFSET_METADATA_TOO_LARGE);
}

#[test]
fn the_offsets_of_a_deleted_topic_are_forgotten() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 1).unwrap();
    let broker = talk.connect(1);
    talk.ask(broker, 9, &commit("g", "t", 5));
    assert_eq!(talk.cluster.committed("g", "t", 0).unwrap().offset, 5);
    talk.cluster.delete_topic("t").unwrap();
    talk.cluster.create_topic("t", 1).unwrap();
    assert_eq!(talk.cluster.committed("g", "t", 0), None);
}

#[test]
fn a_coordinator_moves_when_its_broker_stops() {
    let mut talk = Conversation::with(2);
    let first = talk.cluster.coordinator_of("g").unwrap();
    talk.cluster.stop_broker(first).unwrap();
    assert_eq!(talk.cluster.coordinator_of("g"), Some(3 - first));
    talk.cluster.move_coordinator("g", first);
    assert_eq!(talk.cluster.coordinator_of("g"), None);
}
