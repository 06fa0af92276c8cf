//! Commits, and positions that begin where the group has committed.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::harness::*;
use super::offsets::response as listed;

use crate::config::{ConsumerConfig, OffsetReset};
use crate::consumer::{Assignment, ConsumerEvent, Start};
use crate::engine::{ConnectionGroup, OpId, RawRequest, TopicPartition};
use crate::error::ErrorKind;
use crate::error_code::ErrorCode;
use crate::group::{CommitOutcome, OffsetAndMetadata};
use crate::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, ListOffsetsRequest, OffsetCommitRequest,
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponsePartition,
    OffsetFetchResponseTopic, OffsetForLeaderEpochRequest,
};
use crate::time::Duration;
use crate::wire::{ApiKey, Str};

const GROUP: &str = "surveyors";

fn grouped(reset: OffsetReset) -> ConsumerConfig {
    config().group_id(GROUP).auto_offset_reset(reset)
}

fn world() -> World {
    World::new(&grouped(OffsetReset::Earliest))
}

fn offsets(offsets: &[(i32, i64)]) -> Vec<(TopicPartition, OffsetAndMetadata)> {
    offsets
        .iter()
        .map(|(partition, offset)| {
            (
                TopicPartition::new(T, *partition),
                OffsetAndMetadata::new(*offset),
            )
        })
        .collect()
}

impl World {
    pub(super) fn commit(&mut self, what: &[(i32, i64)]) -> OpId {
        let op = self.consumer.commit(offsets(what), self.now).unwrap();
        self.drain();
        op
    }

    /// A broker names the coordinator.
    pub(super) fn name_coordinator(&mut self, node: i32) {
        self.answer_find(node, 0);
    }

    pub(super) fn answer_find(&mut self, node: i32, error_code: i16) {
        let (asked, request) = self.next::<FindCoordinatorRequest>();
        assert_eq!((request.key.as_str(), request.key_type), (GROUP, 0));
        let response = FindCoordinatorResponse {
            error_code,
            node_id: node,
            host: Str::from("localhost"),
            port: 9_000 + node,
            ..FindCoordinatorResponse::default()
        };
        self.answer::<FindCoordinatorRequest>(&asked, &response);
    }

    /// A commit that was sent to this node.
    pub(super) fn committed_at(&mut self, node: i32) -> Asked {
        let (asked, _) = self.next::<OffsetCommitRequest>();
        assert_eq!(asked.node, node);
        asked
    }

    pub(super) fn answer_commit(&mut self, asked: &Asked, codes: &[(i32, i16)]) {
        let partitions = codes
            .iter()
            .map(|(partition, code)| OffsetCommitResponsePartition {
                partition_index: *partition,
                error_code: *code,
            })
            .collect();
        let response = OffsetCommitResponse {
            topics: vec![OffsetCommitResponseTopic {
                name: Str::from(T),
                partitions,
                ..OffsetCommitResponseTopic::default()
            }],
            ..OffsetCommitResponse::default()
        };
        self.answer::<OffsetCommitRequest>(asked, &response);
    }

    /// The coordinator says what is committed: partition, code, offset, leader epoch.
    pub(super) fn answer_committed(
        &mut self,
        partitions: &[(i32, i16, i64, i32)],
    ) -> OffsetFetchRequest {
        let (asked, request) = self.next::<OffsetFetchRequest>();
        let partitions = partitions
            .iter()
            .map(
                |(partition, code, offset, epoch)| OffsetFetchResponsePartition {
                    partition_index: *partition,
                    committed_offset: *offset,
                    committed_leader_epoch: *epoch,
                    metadata: Some(Str::from("so far")),
                    error_code: *code,
                },
            )
            .collect();
        let response = OffsetFetchResponse {
            topics: vec![OffsetFetchResponseTopic {
                name: Str::from(T),
                partitions,
            }],
            ..OffsetFetchResponse::default()
        };
        self.answer::<OffsetFetchRequest>(&asked, &response);
        request
    }
}

#[test]
fn without_a_group_a_commit_is_an_error_and_nothing_is_asked_of_anybody() {
    let mut world = World::new(&config());
    let commit = world.consumer.commit(offsets(&[(0, 1)]), world.now);
    let looked_up = world
        .consumer
        .committed(&[TopicPartition::new(T, 0)], world.now);
    let start = Assignment {
        topic: T,
        partition: 0,
        start: Start::Committed,
    };
    let assigned = world.consumer.assign(&[start], world.now);
    for error in [
        commit.unwrap_err(),
        looked_up.unwrap_err(),
        assigned.unwrap_err(),
    ] {
        assert_eq!(*error.kind(), ErrorKind::NoGroupId);
        assert!(error.to_string().contains("set group.id"), "{error}");
    }
    world.drain();
    assert!(world.is_silent());
    assert_eq!(world.attempts, 0);
}

#[test]
fn a_commit_goes_to_the_coordinator_over_a_socket_of_its_own_and_names_no_generation() {
    let mut world = world();
    world.assign(&[1], Start::Offset(0));
    let fetch = world.fetch_at(1);
    let committed = OffsetAndMetadata {
        offset: 12,
        leader_epoch: Some(5),
        metadata: "chapter 2".into(),
    };
    let commit = vec![(TopicPartition::new(T, 1), committed)];
    world.consumer.commit(commit, world.now).unwrap();
    world.drain();
    world.name_coordinator(1);
    let (asked, request) = world.next::<OffsetCommitRequest>();
    assert_eq!(asked.node, 1);
    // The fetch that is parked at the same broker does not hold it up.
    assert_ne!(asked.conn, fetch.asked.conn);
    assert_eq!(request.group_id.as_str(), GROUP);
    assert_eq!(request.generation_id_or_member_epoch, -1);
    assert!(request.member_id.is_empty() && request.group_instance_id.is_none());
    let partition = &request.topics[0].partitions[0];
    assert_eq!(
        (
            partition.partition_index,
            partition.committed_offset,
            partition.committed_leader_epoch,
            partition.committed_metadata.as_deref(),
        ),
        (1, 12, 5, Some("chapter 2"))
    );
    world.answer_commit(&asked, &[(1, 0)]);
    assert_eq!(world.told(), ["committed castle-1"]);
}

#[test]
fn what_is_to_be_committed_is_the_position_with_the_epoch_of_what_was_read() {
    let mut world = world();
    world.assign(&[0, 1], Start::Offset(3));
    let fetch = world.fetch_at(0);
    fetch.answer(&mut world, 7, vec![data(0, &[batch(3, 4)])]);
    world.read_all();
    let consumed: Vec<(i32, i64, Option<i32>)> = world
        .consumer
        .consumed()
        .into_iter()
        .map(|(partition, at)| (partition.partition, at.offset, at.leader_epoch))
        .collect();
    assert_eq!(consumed, [(0, 7, Some(5)), (1, 3, None)]);
}

#[test]
fn reading_resumes_where_the_group_has_committed_and_begins_by_policy_where_it_has_not() {
    let mut world = world();
    world.assign(&[0, 1, 2], Start::Committed);
    assert_eq!(world.status(0), "LookingUpOffset");
    assert_eq!(world.position(0), None);
    world.name_coordinator(1);
    // One question for all of them; 0 was committed by somebody who does not tell epochs.
    let request = world.answer_committed(&[(0, 0, 7, -1), (1, 0, -1, -1), (2, 0, 9, 5)]);
    assert!(request.require_stable);
    assert_eq!(request.topics.unwrap()[0].partition_indexes, [0, 1, 2]);
    // Nothing is committed of 1; what is committed of 2 is held against the leader's history.
    let (asked, request) = world.next::<ListOffsetsRequest>();
    assert_eq!(
        (asked.node, request.topics[0].partitions[0].timestamp),
        (1, -2)
    );
    world.answer::<ListOffsetsRequest>(&asked, &listed(&[(1, 0, 100)]));
    let (_, request) = world.next::<OffsetForLeaderEpochRequest>();
    assert_eq!(request.topics[0].partitions[0].partition, 2);
    assert_eq!(world.position(0), Some(7));
    assert_eq!(world.position(1), Some(100));
    assert_eq!(world.position(2), Some(9));
    assert_eq!(world.fetch_at(1).wants(), [(1, 100)]);
    assert_eq!(world.fetch_at(0).wants(), [(0, 7)]);
}

#[test]
fn without_a_committed_offset_and_without_a_policy_the_partition_is_blocked_until_a_seek() {
    let mut world = World::new(&grouped(OffsetReset::None));
    world.assign(&[0], Start::Committed);
    world.name_coordinator(0);
    world.answer_committed(&[(0, 0, -1, -1)]);
    assert_eq!(world.told(), ["castle-0: no offset is committed"]);
    assert_eq!(world.status(0), "Blocked");
    world
        .consumer
        .seek(T, 0, Start::Offset(4), world.now)
        .unwrap();
    world.drain();
    assert_eq!(world.fetch_at(0).wants(), [(0, 4)]);
}

#[test]
fn a_seek_while_the_committed_offset_is_asked_for_wins() {
    let mut world = world();
    world.assign(&[0, 2], Start::Committed);
    world.name_coordinator(1);
    world
        .consumer
        .seek(T, 0, Start::Offset(40), world.now)
        .unwrap();
    world.drain();
    assert_eq!(world.fetch_at(0).wants(), [(0, 40)]);
    world.answer_committed(&[(0, 0, 7, -1), (2, 0, 9, -1)]);
    assert_eq!(world.position(0), Some(40));
    assert_eq!(world.position(2), Some(9));
}

#[test]
fn a_seek_back_to_what_is_committed_asks_again() {
    let mut world = world();
    world.assign(&[0], Start::Offset(50));
    world.fetch_at(0);
    world
        .consumer
        .seek(T, 0, Start::Committed, world.now)
        .unwrap();
    world.drain();
    world.name_coordinator(1);
    world.answer_committed(&[(0, 0, 7, -1)]);
    assert_eq!(world.position(0), Some(7));
}

#[test]
fn the_user_can_ask_what_is_committed_also_of_what_is_not_assigned() {
    let mut world = world();
    let partitions = [2, 0, 2].map(|partition| TopicPartition::new(T, partition));
    world.consumer.committed(&partitions, world.now).unwrap();
    world.drain();
    world.name_coordinator(0);
    world.answer_committed(&[(0, 0, 7, -1), (2, 29, -1, -1)]);
    assert_eq!(
        world.told(),
        [
            "committed are castle-0=7 \"so far\" castle-2: the broker answered TOPIC_AUTHORIZATION_FAILED (29)"
        ]
    );
}

#[test]
fn offsets_that_lie_in_an_open_transaction_are_waited_for() {
    let mut world = world();
    world.assign(&[0], Start::Committed);
    world.name_coordinator(0);
    world.answer_committed(&[(0, 88, -1, -1)]);
    assert_eq!(world.told(), [""; 0]);
    world.pass(Duration::from_millis(200));
    world.answer_committed(&[(0, 0, 7, -1)]);
    assert_eq!(world.position(0), Some(7));
}

#[test]
fn a_coordinator_too_old_to_wait_for_transactions_is_asked_without() {
    let mut world = world();
    world.offset_fetch_version = 5;
    world.assign(&[0], Start::Committed);
    world.name_coordinator(0);
    let request = world.answer_committed(&[(0, 0, 7, -1)]);
    assert!(!request.require_stable);
    assert_eq!(world.position(0), Some(7));
}

#[test]
fn commits_arrive_one_after_the_other_in_the_order_in_which_they_were_made() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.commit(&[(0, 2)]);
    world.name_coordinator(1);
    let first = world.committed_at(1);
    assert!(world.is_silent());
    world.answer_commit(&first, &[(0, 14)]);
    // The coordinator loads its group: the second does not overtake the first.
    assert!(world.is_silent());
    world.pass(Duration::from_millis(200));
    for offset in [1, 2] {
        let (asked, request) = world.next::<OffsetCommitRequest>();
        assert_eq!(request.topics[0].partitions[0].committed_offset, offset);
        world.answer_commit(&asked, &[(0, 0)]);
    }
    assert_eq!(world.told(), ["committed castle-0", "committed castle-0"]);
}

#[test]
fn only_what_has_no_result_yet_is_sent_again() {
    let mut world = world();
    world.commit(&[(0, 1), (1, 1), (2, 1)]);
    world.name_coordinator(1);
    let asked = world.committed_at(1);
    world.answer_commit(&asked, &[(0, 0), (1, 12), (2, 14)]);
    world.pass(Duration::from_millis(200));
    let (asked, request) = world.next::<OffsetCommitRequest>();
    assert_eq!(request.topics[0].partitions.len(), 1);
    world.answer_commit(&asked, &[(2, 0)]);
    assert_eq!(
        world.told(),
        [
            "committed castle-0 castle-1 rejected: the broker answered OFFSET_METADATA_TOO_LARGE (12) castle-2"
        ]
    );
}

#[test]
fn a_coordinator_that_has_moved_is_found_again() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(0);
    let asked = world.committed_at(0);
    world.answer_commit(&asked, &[(0, 16)]);
    world.pass(Duration::from_millis(200));
    world.name_coordinator(1);
    let asked = world.committed_at(1);
    world.answer_commit(&asked, &[(0, 0)]);
    // It is kept for the next one.
    world.commit(&[(0, 2)]);
    let asked = world.committed_at(1);
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(world.told(), ["committed castle-0", "committed castle-0"]);
}

#[test]
fn a_commit_whose_connection_is_lost_is_sent_again() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    world.committed_at(1);
    world.disconnect(1);
    assert_eq!(world.told(), [""; 0]);
    world.pass(Duration::from_millis(500));
    world.name_coordinator(0);
    let asked = world.committed_at(0);
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(world.told(), ["committed castle-0"]);
}

#[test]
fn what_may_have_been_committed_and_is_refused_afterwards_is_unknown() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    world.committed_at(1);
    world.disconnect(1);
    world.pass(Duration::from_millis(500));
    world.name_coordinator(0);
    let asked = world.committed_at(0);
    world.answer_commit(&asked, &[(0, 30)]);
    assert_eq!(
        world.told(),
        ["committed castle-0 unknown: the broker answered GROUP_AUTHORIZATION_FAILED (30)"]
    );
}

#[test]
fn a_commit_that_nobody_answers_ends_within_a_minute_as_unknown_and_one_never_sent_as_rejected() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    world.committed_at(1);
    world.commit(&[(0, 2)]);
    world.disconnect(1);
    world.down = vec![0, 1];
    world.pass(Duration::from_secs(61));
    let outcomes: Vec<CommitOutcome> = world
        .events
        .iter()
        .filter_map(|event| {
            if let ConsumerEvent::Committed { outcomes, .. } = event {
                return Some(outcomes[0].1.clone());
            }
            None
        })
        .collect();
    let [
        CommitOutcome::Unknown(first),
        CommitOutcome::Rejected(second),
    ] = &outcomes[..]
    else {
        panic!("{outcomes:?}");
    };
    for error in [first, second] {
        let after = Duration::from_secs(60);
        assert_eq!(*error.kind(), ErrorKind::TimedOut { after });
        assert_eq!((error.topic(), error.partition()), (Some(T), Some(0)));
    }
}

#[test]
fn a_group_with_members_takes_no_commit_of_somebody_who_is_none() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    let asked = world.committed_at(1);
    world.answer_commit(&asked, &[(0, 25)]);
    let Some(ConsumerEvent::Committed { outcomes, .. }) = world.events.last() else {
        panic!("{:?}", world.events);
    };
    let CommitOutcome::Rejected(error) = &outcomes[0].1 else {
        panic!("{outcomes:?}");
    };
    assert!(
        error.to_string().contains("the group has members"),
        "{error}"
    );
}

#[test]
fn a_group_that_may_not_be_used_ends_what_waits_and_a_missing_coordinator_does_not() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.answer_find(-1, 15);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.told(), [""; 0]);
    world.answer_find(-1, 30);
    assert_eq!(
        world.told(),
        ["committed castle-0 rejected: the broker answered GROUP_AUTHORIZATION_FAILED (30)"]
    );
}

#[test]
fn a_position_whose_group_may_not_be_used_is_told_and_asked_for_again() {
    let mut world = world();
    world.assign(&[0], Start::Committed);
    world.answer_find(-1, 30);
    assert_eq!(
        world.told(),
        ["castle-0: the broker answered GROUP_AUTHORIZATION_FAILED (30)"]
    );
    world.pass(Duration::from_millis(200));
    world.name_coordinator(0);
    world.answer_committed(&[(0, 0, 7, -1)]);
    assert_eq!(world.position(0), Some(7));
}

#[test]
fn a_coordinator_that_cannot_be_reached_is_let_go_of() {
    let mut world = world();
    world.down = vec![1];
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    world.pass(Duration::from_millis(200));
    world.name_coordinator(0);
    let asked = world.committed_at(0);
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(world.told(), ["committed castle-0"]);
}

#[test]
fn a_commit_that_nobody_waits_for_still_runs_and_keeps_its_place() {
    let mut world = world();
    let op = world.commit(&[(0, 1)]);
    world.commit(&[(0, 2)]);
    world.consumer.detach(op, world.now);
    world.name_coordinator(1);
    for offset in [1, 2] {
        let (asked, request) = world.next::<OffsetCommitRequest>();
        assert_eq!(request.topics[0].partitions[0].committed_offset, offset);
        world.answer_commit(&asked, &[(0, 0)]);
    }
    assert_eq!(world.told(), ["committed castle-0"]);
}

#[test]
fn closing_waits_for_commits_under_way_until_its_deadline() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    let asked = world.committed_at(1);
    let deadline = world.now + Duration::from_secs(1);
    world.consumer.close(deadline, world.now);
    world.drain();
    assert_eq!(world.told(), [""; 0]);
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(world.told(), ["committed castle-0", "closed, 0 lent"]);

    let mut world = self::world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    world.committed_at(1);
    let deadline = world.now + Duration::from_secs(1);
    world.consumer.close(deadline, world.now);
    world.drain();
    world.pass(Duration::from_secs(2));
    assert_eq!(
        world.told(),
        [
            "committed castle-0 unknown: the client is closed",
            "closed, 0 lent",
        ]
    );
    assert!(world.wake.is_none());
}

#[test]
fn while_commits_are_awaited_requests_end_and_an_earlier_deadline_holds() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    world.committed_at(1);
    let begun = world.now;
    let op = world
        .consumer
        .close(begun + Duration::from_secs(9), world.now);
    let request = RawRequest {
        api: ApiKey::METADATA,
        version: 1,
        flexible: false,
        body: Bytes::from_static(&[0; 4]),
        to: None,
        group: ConnectionGroup::Default,
        timeout: Duration::from_secs(30),
    };
    world.consumer.request(&request, world.now);
    world.drain();
    assert_eq!(world.told(), ["response false"]);
    let again = world
        .consumer
        .close(begun + Duration::from_secs(1), world.now);
    assert_ne!(again, op);
    world.drain();
    world.pass(Duration::from_secs(1));
    assert_eq!(
        world.told(),
        [
            "committed castle-0 unknown: the client is closed",
            "closed, 0 lent",
            "closed, 0 lent",
        ]
    );
    assert!(world.wake.is_none());
}

#[test]
fn a_commit_that_waits_for_its_retry_is_sent_again_while_closing() {
    let mut world = world();
    world.commit(&[(0, 1)]);
    world.name_coordinator(1);
    let asked = world.committed_at(1);
    let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.0;
    world.answer_commit(&asked, &[(0, loading)]);
    let deadline = world.now + Duration::from_secs(10);
    world.consumer.close(deadline, world.now);
    world.drain();
    world.pass(Duration::from_secs(1));
    let asked = world.committed_at(1);
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(world.told(), ["committed castle-0", "closed, 0 lent"]);
}

#[test]
fn commits_that_make_no_sense_change_nothing_and_an_empty_one_is_done_at_once() {
    let mut world = world();
    assert_eq!(
        *world
            .consumer
            .commit(offsets(&[(0, -1)]), world.now)
            .unwrap_err()
            .kind(),
        ErrorKind::OffsetOutOfRange { offset: -1 }
    );
    assert_eq!(
        *world
            .consumer
            .commit(offsets(&[(-1, 1)]), world.now)
            .unwrap_err()
            .kind(),
        ErrorKind::Misuse
    );
    world.commit(&[]);
    assert_eq!(world.told(), ["committed "]);
    assert!(world.is_silent());
    for offset in 0..1_000 {
        world.commit(&[(0, offset)]);
    }
    let one_more = world.consumer.commit(offsets(&[(0, 1_000)]), world.now);
    assert_eq!(*one_more.unwrap_err().kind(), ErrorKind::Misuse);
}
