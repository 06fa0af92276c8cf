//! The way out of a group, auto-commit, and readers who do not come.

use alloc::vec;

use super::harness::*;
use super::joined::*;
use crate::config::ConsumerConfig;
use crate::consumer::RebalanceListener::{Asked, Told};
use crate::consumer::Start;
use crate::time::Duration;
use crate::wire::ApiKey;

/// A member that commits by itself.
fn committing() -> ConsumerConfig {
    cooperative().enable_auto_commit(true)
}

/// A member that has partition 0 with the batches 0 to 2 and 3 to 5 to be lent.
fn with_two_batches(config: &ConsumerConfig) -> World {
    let mut world = World::member_of(config, Told, &[0]);
    world.answer_committed(&[(0, 0, 0, -1)]);
    let fetch = world.fetch_at(0);
    fetch.answer(&mut world, 1, vec![data(0, &[batch(0, 3), batch(3, 3)])]);
    world.told();
    world
}

impl World {
    fn begin_poll(&mut self) {
        self.consumer.begin_poll(self.now);
    }

    fn read_one(&mut self) {
        let batch = self.lend().unwrap();
        self.give_back(&batch);
    }

    fn close(&mut self, within: Duration) {
        self.consumer.close(self.now + within, self.now);
        self.drain();
    }
}

#[test]
fn auto_commit_covers_what_was_handed_out_before_the_current_poll() {
    let mut world = with_two_batches(&committing());
    world.begin_poll();
    world.read_one();
    world.lives(Duration::from_secs(5));
    // The first batch is still being dealt with, for all that anybody knows, and 0 is what is committed already.
    assert!(!world.has_asked(ApiKey::OFFSET_COMMIT));
    world.begin_poll();
    world.read_one();
    world.lives(Duration::from_secs(5));
    let (asked, text) = world.commits();
    assert_eq!(text, "klamm-1 in 1: castle-0=3");
    world.answer_commit(&asked, &[(0, 0)]);
    // Nothing new: nothing is committed, and nobody is told of what went well.
    world.lives(Duration::from_secs(10));
    assert!(!world.has_asked(ApiKey::OFFSET_COMMIT));
    assert!(world.told().is_empty());
}

#[test]
fn an_auto_commit_that_fails_is_told() {
    let mut world = with_two_batches(&committing());
    world.read_one();
    world.begin_poll();
    world.lives(Duration::from_secs(5));
    let (asked, _) = world.commits();
    world.answer_commit(&asked, &[(0, 29)]);
    assert_eq!(
        world.told(),
        ["problem: the broker answered TOPIC_AUTHORIZATION_FAILED (29)"]
    );
}

#[test]
fn before_partitions_go_what_was_dealt_with_is_committed() {
    let mut world = with_two_batches(
        &committing().partition_assignment_strategy(vec![crate::assignor::Assignor::Range]),
    );
    world.begin_poll();
    world.read_one();
    world.begin_poll();
    world.read_one();
    world.pass(Duration::from_secs(3));
    world.answer_heartbeat(27);
    let (asked, text) = world.commits();
    assert_eq!(text, "klamm-1 in 1: castle-0=3");
    // Neither is anything more lent nor does the member join before that has its answer.
    assert!(world.lend().is_none());
    assert!(world.told().is_empty() && !world.has_asked(ApiKey::JOIN_GROUP));
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(world.told(), ["revoked castle-0"]);
    world.joins();
}

#[test]
fn closing_commits_lets_go_and_leaves() {
    let mut world = with_two_batches(&committing());
    world.begin_poll();
    world.read_one();
    world.close(Duration::from_secs(10));
    // Who closes is done with what it was given.
    let (asked, text) = world.commits();
    assert_eq!(text, "klamm-1 in 1: castle-0=3");
    assert!(!world.has_asked(ApiKey::LEAVE_GROUP));
    world.answer_commit(&asked, &[(0, 0)]);
    let leave = world.answer_leave(0);
    assert_eq!(leave.members[0].member_id.as_str(), ME);
    assert_eq!(
        leave.members[0].reason.as_deref(),
        Some("the consumer closes")
    );
    assert_eq!(world.told(), ["revoked castle-0", "closed, 0 lent"]);
}

#[test]
fn closing_says_what_could_not_be_committed() {
    let closing = || {
        let mut world = with_two_batches(&committing());
        world.begin_poll();
        world.read_one();
        world.close(Duration::from_secs(10));
        let (asked, _) = world.commits();
        (world, asked)
    };
    let (mut world, asked) = closing();
    world.answer_commit(&asked, &[(0, 29)]);
    world.answer_leave(0);
    let refused = "castle-0 not committed: the broker answered TOPIC_AUTHORIZATION_FAILED (29)";
    assert_eq!(
        world.told().last().unwrap(),
        &alloc::format!("closed, 0 lent, {refused}")
    );
    // An answer that does not come in time.
    let (mut world, _) = closing();
    world.pass(Duration::from_secs(10));
    let told = world.told();
    let unknown = "closed, 0 lent, still a member, castle-0 not committed: ";
    assert!(told.last().unwrap().starts_with(unknown), "{told:?}");
}

#[test]
fn while_it_closes_the_listener_is_asked_and_may_commit() {
    let mut world = World::member_of(&cooperative(), Asked, &[0]);
    let assigned = world.question();
    world.done(assigned);
    world.answer_committed(&[(0, 0, 4, 5)]);
    world.told();
    world.close(Duration::from_secs(10));
    let revoked = world.question();
    world.commit(&[(0, 4)]);
    let (asked, _) = world.commits();
    world.done(revoked);
    // The good-bye waits for the commit.
    assert!(!world.has_asked(ApiKey::LEAVE_GROUP));
    world.answer_commit(&asked, &[(0, 0)]);
    world.answer_leave(25);
    assert_eq!(
        world.told(),
        ["revoked castle-0?", "committed castle-0", "closed, 0 lent"]
    );
}

#[test]
fn leaving_is_tried_again_until_it_is_heard_or_the_deadline_comes() {
    let mut world = World::member_of(&cooperative(), Told, &[]);
    world.close(Duration::from_secs(20));
    world.answer_leave(14);
    world.pass(Duration::from_secs(1));
    world.answer_leave(16);
    world.pass(Duration::from_secs(1));
    world.name_coordinator(1);
    let (asked, _) = world.next::<crate::messages::LeaveGroupRequest>();
    assert_eq!(asked.node, 1);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.told(), ["closed, 0 lent, still a member"]);
}

#[test]
fn a_join_that_is_parked_does_not_hold_the_good_bye_up() {
    let mut world = World::new(&cooperative());
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let (asked, ..) = world.joins();
    world.refuse_join(&asked, 79);
    let (parked, ..) = world.joins();
    world.close(Duration::from_secs(10));
    world.pass(Duration::from_secs(1));
    if world.has_asked(ApiKey::FIND_COORDINATOR) {
        world.name_coordinator(0);
    }
    let (asked, request) = world.next::<crate::messages::LeaveGroupRequest>();
    assert_ne!(asked.conn, parked.conn);
    assert_eq!(request.members[0].member_id.as_str(), ME);
}

#[test]
fn a_static_member_closes_without_a_word_and_its_place_is_kept() {
    let mut world = World::member_of(&cooperative().group_instance_id("k"), Told, &[0]);
    world.begin_at_0(&[0]);
    world.told();
    world.close(Duration::from_secs(10));
    assert!(!world.has_asked(ApiKey::LEAVE_GROUP));
    assert_eq!(world.told(), ["revoked castle-0", "closed, 0 lent"]);
}

#[test]
fn who_subscribes_to_nothing_leaves_and_may_come_back() {
    let mut world = World::member_of(&cooperative(), Told, &[0]);
    world.begin_at_0(&[0]);
    world.told();
    world.subscribe(&[], Told);
    assert_eq!(world.told(), ["revoked castle-0"]);
    // Back before the good-bye was answered.
    world.subscribe(&[T], Told);
    assert!(!world.has_asked(ApiKey::JOIN_GROUP));
    world.answer_leave(0);
    let (_, request, _) = world.joins();
    assert!(request.member_id.is_empty());
}

#[test]
fn who_does_not_come_for_its_records_leaves_the_group_until_it_reads_again() {
    let config = cooperative().max_poll_interval(Duration::from_secs(20));
    let mut world = with_two_batches(&config);
    world.lives(Duration::from_secs(15));
    world.read_one();
    world.lives(Duration::from_secs(19));
    assert_eq!(world.owned(), [0]);
    world.lives(Duration::from_secs(1));
    assert!(world.owned().is_empty());
    let told = world.told();
    assert!(
        told.contains(&"problem: nobody read for 20000 ms".into()),
        "{told:?}"
    );
    assert!(
        told.contains(&"lost (nobody read for 20000 ms) castle-0".into()),
        "{told:?}"
    );
    let leave = world.answer_leave(0);
    assert_eq!(
        leave.members[0].reason.as_deref(),
        Some("nobody has read for max.poll.interval.ms")
    );
    world.pass(Duration::from_secs(60));
    assert!(!world.has_asked(ApiKey::JOIN_GROUP));
    assert_eq!(
        world.consumer.explain(T, 0).unwrap().status,
        crate::status::PartitionStatus::AwaitingGroup
    );
    assert!(world.lend().is_none());
    world.joined(2, &[0]);
    assert_eq!(world.owned(), [0]);
}

#[test]
fn who_waits_for_records_that_do_not_come_is_there() {
    let config = cooperative().max_poll_interval(Duration::from_secs(20));
    let mut world = World::member_of(&config, Told, &[0]);
    world.answer_committed(&[(0, 0, 0, -1)]);
    assert!(world.lend().is_none());
    world.lives(Duration::from_secs(100));
    assert_eq!(world.owned(), [0]);
    world
        .consumer
        .seek(T, 0, Start::Offset(0), world.now)
        .unwrap();
}
