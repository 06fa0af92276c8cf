//! The way into a group, and what rebalances do to what is read.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::harness::*;
use super::joined::*;
use crate::assignor::Subscription;
use crate::consumer::RebalanceListener::{Asked, Told};
use crate::consumer::{Assignment, RebalanceListener, Start};
use crate::engine::TopicPartition;
use crate::error::ErrorKind;
use crate::group::{OffsetAndMetadata, RebalanceCause};
use crate::messages::SyncGroupRequest;
use crate::time::Duration;
use crate::wire::{ApiKey, Str};

#[test]
fn a_member_joins_with_the_id_that_it_is_given_and_reads_what_its_leader_gives_it() {
    let mut world = World::new(&cooperative());
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let (first, request, subscription) = world.joins();
    assert_eq!(first.node, 0);
    assert_eq!(request.group_id.as_str(), "surveyors");
    assert!(request.member_id.is_empty() && request.group_instance_id.is_none());
    assert_eq!(
        (request.session_timeout_ms, request.rebalance_timeout_ms),
        (45_000, 300_000)
    );
    assert_eq!(request.protocol_type.as_str(), "consumer");
    assert_eq!(request.protocols[0].name.as_str(), "cooperative-sticky");
    assert_eq!(
        request.reason.as_deref(),
        Some("the consumer has subscribed")
    );
    assert_eq!(subscription.topics, [T.into()]);
    // KIP-394: the id first, then the place in the group.
    world.refuse_join(&first, 79);
    let (second, request, _) = world.joins();
    assert_eq!(request.member_id.as_str(), ME);
    world.answer_join(&second, 1, OTHER, Vec::new());
    world.answer_sync(&[1, 2]);
    assert_eq!(world.told(), ["assigned castle-1 castle-2"]);
    assert_eq!(world.owned(), [1, 2]);
    // Each begins where the group has committed, or by policy.
    world.answer_committed(&[(1, 0, 7, 5), (2, 0, -1, -1)]);
    assert_eq!(world.position(1), Some(7));
    assert_eq!(world.status(2), "LookingUpOffset");
}

#[test]
fn a_leader_shares_out_what_all_members_want_also_topics_that_it_does_not_read() {
    let mut world = World::new(&eager());
    let gate = TopicModel {
        id: crate::wire::Uuid([9; 16]),
        partitions: vec![
            Led {
                leader: 0,
                epoch: 5
            };
            2
        ],
    };
    world.topics.insert("gate", gate);
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let (asked, _, mine) = world.joins();
    let members = vec![
        member(ME, &mine),
        member(OTHER, &Subscription::to([T, "gate"])),
    ];
    world.answer_join(&asked, 4, ME, members);
    let (_, request) = world.next::<SyncGroupRequest>();
    assert_eq!(request.protocol_name.as_deref(), Some("range"));
    assert_eq!(
        shares(&request),
        [
            (ME.to_string(), vec![2, 3]),
            (OTHER.to_string(), vec![0, 1, 0, 1])
        ]
    );
}

#[test]
fn a_leader_reports_who_came_and_who_went_since_the_generation_before() {
    let mut world = World::new(&cooperative());
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let (asked, _, mine) = world.joins();
    let members = vec![member(ME, &mine), member(OTHER, &mine)];
    world.answer_join(&asked, 1, ME, members);
    world.answer_sync(&[0]);
    world.begin_at_0(&[0]);
    // Of those before it knows nothing.
    assert_eq!(world.reports.remove(0).members, None);
    world.beats(27);
    let (asked, _, mine) = world.joins();
    let members = vec![member(ME, &mine), member("kcat-1", &mine)];
    world.answer_join(&asked, 2, ME, members);
    world.answer_sync(&[0]);
    let changes = world.reports.remove(0).members.unwrap();
    assert_eq!(changes.joined, ["kcat-1".into()]);
    assert_eq!(changes.left, [OTHER.into()]);
    // Who follows does not know.
    world.beats(27);
    world.joined(3, &[0]);
    assert_eq!(world.reports.remove(0).members, None);
}

#[test]
fn the_leader_joins_again_when_a_topic_grows_or_comes_to_be() {
    let mut world = World::new(&eager());
    world.subscribe(&[T, "bridge"], Told);
    world.name_coordinator(0);
    let (asked, _, mine) = world.joins();
    world.answer_join(&asked, 1, ME, vec![member(ME, &mine)]);
    world.answer_sync(&[0, 1, 2, 3]);
    let begin: Vec<_> = (0..4).map(|partition| (partition, 0, 0, -1)).collect();
    world.answer_committed(&begin);
    world.spread(5);
    world.lives(Duration::from_secs(300));
    let told = world.told();
    let revoked = "revoked castle-0 castle-1 castle-2 castle-3".into();
    assert!(told.contains(&revoked), "{told:?}");
    let (_, request, _) = world.joins();
    let reason = "topics or their partitions have changed";
    assert_eq!(request.reason.as_deref(), Some(reason));
}

#[test]
fn nothing_is_sent_behind_a_join_or_a_sync_that_the_coordinator_holds_back() {
    let mut world = World::member_of(&cooperative(), Told, &[0]);
    world.begin_at_0(&[0]);
    world.beats(27);
    let (join, ..) = world.joins();
    world.consumer.commit(commit(0, 5), world.now).unwrap();
    let asked = [TopicPartition::new(T, 3)];
    world.consumer.committed(&asked, world.now).unwrap();
    // Far longer than a session: none of it ends, and no heartbeat is due.
    world.pass(Duration::from_secs(50));
    for api in [
        ApiKey::HEARTBEAT,
        ApiKey::OFFSET_COMMIT,
        ApiKey::OFFSET_FETCH,
    ] {
        assert!(!world.has_asked(api), "{api:?}");
    }
    world.answer_join(&join, 2, OTHER, Vec::new());
    // The commit waits for the generation that it can be made in; the question goes before the sync is parked.
    world.answer_committed(&[(3, 0, -1, -1)]);
    let (sync, _) = world.next::<SyncGroupRequest>();
    world.pass(Duration::from_secs(5));
    assert!(!world.has_asked(ApiKey::HEARTBEAT) && !world.has_asked(ApiKey::OFFSET_COMMIT));
    let response = crate::messages::SyncGroupResponse {
        assignment: crate::assignor::encode_assignment(&[TopicPartition::new(T, 0)]).unwrap(),
        ..Default::default()
    };
    world.answer::<SyncGroupRequest>(&sync, &response);
    let (_, text) = world.commits();
    assert_eq!(text, "klamm-1 in 2: castle-0=5");
}

fn commit(partition: i32, offset: i64) -> Vec<(TopicPartition, OffsetAndMetadata)> {
    vec![(
        TopicPartition::new(T, partition),
        OffsetAndMetadata::new(offset),
    )]
}

#[test]
fn a_commit_belongs_to_its_assignment_what_is_revoked_meanwhile_is_not_committed() {
    let mut world = World::member_of(&cooperative(), Told, &[0, 1]);
    world.begin_at_0(&[0, 1]);
    world.beats(27);
    let (join, ..) = world.joins();
    let both = [commit(0, 5), commit(1, 6)].concat();
    world.consumer.commit(both, world.now).unwrap();
    world.told();
    world.answer_join(&join, 2, OTHER, Vec::new());
    world.answer_sync(&[0]);
    let (asked, text) = world.commits();
    assert_eq!(text, "klamm-1 in 2: castle-0=5");
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(
        world.told(),
        [
            "revoked castle-1",
            "committed castle-0 castle-1 rejected: not assigned"
        ]
    );
}

#[test]
fn an_eager_member_gives_up_everything_before_it_joins_and_the_listener_may_commit_first() {
    let mut world = World::member_of(&eager(), Asked, &[0, 1]);
    assert_eq!(world.told_keeping(), ["assigned castle-0 castle-1?"]);
    // Nothing is fetched before the answer; a seek is heard.
    world.begin_at_0(&[1]);
    world
        .consumer
        .seek(T, 0, Start::Offset(4), world.now)
        .unwrap();
    world.drain();
    assert!(!world.has_asked(ApiKey::FETCH));
    assert_eq!(world.status(0), "AwaitingGroup");
    let assigned = world.question();
    world.done(assigned);
    let fetch = world.fetch_at(0);
    assert_eq!(fetch.wants(), [(0, 4)]);
    fetch.answer(&mut world, 1, vec![data(0, &[batch(4, 3), batch(7, 3)])]);
    let lent = world.lend().unwrap();

    world.beats(27);
    assert_eq!(
        world.told_keeping().last().unwrap(),
        "revoked castle-0 castle-1?"
    );
    // The listener is at work: nothing more is lent, heartbeats go on, offsets can be committed.
    assert!(world.lend().is_none());
    world.give_back(&lent);
    assert_eq!(world.position(0), Some(7));
    assert!(world.lend().is_none());
    assert!(!world.has_asked(ApiKey::JOIN_GROUP));
    world.consumer.commit(commit(0, 7), world.now).unwrap();
    world.drain();
    let (asked, text) = world.commits();
    assert_eq!(text, "klamm-1 in 1: castle-0=7");
    world.answer_commit(&asked, &[(0, 0)]);
    world.beats(27);
    let revoked = world.question();
    world.done(revoked);
    assert!(world.owned().is_empty());
    let (_, request, subscription) = world.joins();
    assert_eq!(request.reason.as_deref(), Some("the group rebalances"));
    assert!(subscription.owned_partitions.is_empty());
    // A second answer is a mistake, and changes nothing.
    let again = world.consumer.rebalance_done(revoked, world.now);
    assert_eq!(*again.unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn a_cooperative_member_reads_on_while_it_joins_and_joins_again_for_what_it_gave_up() {
    let mut world = World::member_of(&cooperative(), Asked, &[0, 1]);
    let assigned = world.question();
    world.done(assigned);
    world.answer_committed(&[(0, 0, 0, -1), (1, 0, 0, -1)]);
    let fetch = world.fetch_at(1);
    world.beats(27);
    let (join, _, subscription) = world.joins();
    assert_eq!(subscription.owned_partitions.len(), 2);
    assert_eq!(subscription.generation_id, Some(1));
    // While the join is parked, records flow.
    fetch.answer(&mut world, 1, vec![data(1, &[batch(0, 3), batch(3, 3)])]);
    let kept = world.lend().unwrap();
    world.events.clear();
    world.answer_join(&join, 2, OTHER, Vec::new());
    world.answer_sync(&[0, 2]);
    assert_eq!(world.told_keeping(), ["revoked castle-1?"]);
    assert!(world.consumer.is_current(kept.id));
    let revoked = world.question();
    world.done(revoked);
    // From here on not one record of it comes out, whoever holds the batch.
    assert!(!world.consumer.is_current(kept.id));
    world.give_back(&kept);
    assert!(world.lend().is_none());
    assert_eq!(world.owned(), [0, 2]);
    assert_eq!(world.told_keeping().last().unwrap(), "assigned castle-2?");
    assert!(!world.has_asked(ApiKey::JOIN_GROUP));
    let assigned = world.question();
    world.done(assigned);
    let (_, request, subscription) = world.joins();
    assert_eq!(
        request.reason.as_deref(),
        Some("partitions were released for others")
    );
    assert_eq!(subscription.owned_partitions.len(), 2);
    assert_eq!(subscription.generation_id, Some(2));
}

#[test]
fn a_member_that_the_group_forgot_loses_everything_and_joins_under_a_new_id() {
    for (code, id) in [(25, ""), (22, ME)] {
        let mut world = World::member_of(&cooperative(), Asked, &[0, 1]);
        let assigned = world.question();
        world.done(assigned);
        world.begin_at_0(&[0, 1]);
        world.told();
        world.beats(code);
        // Gone at once: nothing can be read or committed, and the user hears why.
        assert!(world.owned().is_empty());
        let lost = world.question();
        let told = world.told();
        assert!(told[0].starts_with("lost (the broker answered"), "{told:?}");
        assert!(told[0].ends_with("castle-0 castle-1?"), "{told:?}");
        let refused = world.consumer.commit(commit(0, 5), world.now);
        assert_eq!(*refused.unwrap_err().kind(), ErrorKind::NotAMember);
        assert!(!world.has_asked(ApiKey::JOIN_GROUP));
        world.done(lost);
        let (_, request, subscription) = world.joins();
        assert_eq!(request.member_id.as_str(), id);
        assert!(subscription.owned_partitions.is_empty());
        assert_eq!(request.reason.as_deref(), Some("the membership was lost"));
    }
}

#[test]
fn a_coordinator_that_moves_or_restarts_costs_no_rebalance() {
    let mut world = World::member_of(&cooperative(), Told, &[0]);
    world.begin_at_0(&[0]);
    world.told();
    for code in [14, 15, 16] {
        world.beats(code);
        if code != 14 {
            world.name_coordinator(1);
            world.answer_heartbeat(0);
            world.beats(16);
            world.name_coordinator(0);
            world.answer_heartbeat(0);
        }
    }
    world.pass(Duration::from_secs(3));
    assert!(world.has_asked(ApiKey::HEARTBEAT));
    world.disconnect(0);
    world.pass(Duration::from_secs(1));
    world.name_coordinator(0);
    world.pass(Duration::from_secs(1));
    let beat = world.answer_heartbeat(0);
    assert_eq!((beat.generation_id, beat.member_id.as_str()), (1, ME));
    assert_eq!(world.owned(), [0]);
    assert!(!world.has_asked(ApiKey::JOIN_GROUP));
}

#[test]
fn a_session_without_any_answer_ends_the_membership_on_this_side_too() {
    let mut world = World::member_of(&cooperative(), Told, &[0]);
    world.begin_at_0(&[0]);
    world.told();
    world.beats(0);
    world.pass(Duration::from_secs(44));
    assert_eq!(world.owned(), [0]);
    world.pass(Duration::from_secs(1));
    assert!(world.owned().is_empty());
    assert!(
        world
            .told()
            .contains(&"lost (no answer within 45000 ms) castle-0".into())
    );
}

#[test]
fn what_nobody_can_put_right_by_joining_again_is_told_and_the_next_subscription_is_the_way_back() {
    for code in [23, 24, 26, 30, 81, 82, 9_999] {
        let mut world = World::new(&cooperative());
        world.subscribe(&[T], Told);
        world.name_coordinator(0);
        let (asked, ..) = world.joins();
        world.refuse_join(&asked, code);
        let told = world.told();
        assert!(
            told[0].starts_with("problem: the broker answered"),
            "{told:?}"
        );
        let explanation = world.consumer.explain(T, 0).unwrap();
        assert!(explanation.error.is_some(), "{explanation:?}");
        world.pass(Duration::from_secs(60));
        assert!(!world.has_asked(ApiKey::JOIN_GROUP));
        world.subscribe(&[T], Told);
        world.joins();
    }
}

#[test]
fn a_join_that_may_succeed_later_is_made_again() {
    let mut world = World::new(&cooperative());
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    for code in [14, 27, 7] {
        let (asked, ..) = world.joins();
        world.refuse_join(&asked, code);
        assert!(!world.has_asked(ApiKey::JOIN_GROUP));
        world.pass(Duration::from_secs(2));
    }
    let (asked, ..) = world.joins();
    world.refuse_join(&asked, 16);
    world.pass(Duration::from_secs(2));
    world.name_coordinator(1);
    let (asked, ..) = world.joins();
    assert_eq!(asked.node, 1);
    world.answer_join(&asked, 3, OTHER, Vec::new());
    world.refuse_sync(27);
    world.pass(Duration::from_secs(2));
    world.joined(4, &[0]);
    assert_eq!(world.owned(), [0]);
}

#[test]
fn an_answer_that_is_no_consumers_ends_the_membership_and_says_so() {
    let mut world = World::new(&cooperative());
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let (asked, ..) = world.joins();
    let nonsense = crate::messages::JoinGroupResponseMember {
        member_id: Str::from(ME),
        metadata: bytes::Bytes::from_static(&[0, 1, 0]),
        ..Default::default()
    };
    world.answer_join(&asked, 1, ME, vec![nonsense]);
    assert!(world.told()[0].starts_with("problem: the peer does not speak"));
    assert!(!world.has_asked(ApiKey::SYNC_GROUP));
}

#[test]
fn assigning_by_hand_and_subscribing_exclude_each_other() {
    let mut world = World::new(&config());
    let refused = world.consumer.subscribe(&[T], Told, world.now);
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::NoGroupId);
    let mut world = World::new(&cooperative());
    world.assign(&[0], Start::Offset(0));
    let refused = world.consumer.subscribe(&[T], Told, world.now);
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Misuse);
    world.assign(&[], Start::Offset(0));
    world.subscribe(&[T], Told);
    let assignment = Assignment {
        topic: T,
        partition: 0,
        start: Start::Beginning,
    };
    let refused = world.consumer.assign(&[assignment], world.now);
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn a_static_member_says_its_name_everywhere() {
    let config = cooperative().group_instance_id("the-surveyor");
    let mut world = World::new(&config);
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let (asked, request, _) = world.joins();
    let name = Some("the-surveyor");
    assert_eq!(request.group_instance_id.as_deref(), name);
    world.answer_join(&asked, 1, OTHER, Vec::new());
    let sync = world.answer_sync(&[0]);
    assert_eq!(sync.group_instance_id.as_deref(), name);
    world.begin_at_0(&[0]);
    world.pass(Duration::from_secs(3));
    let beat = world.answer_heartbeat(82);
    assert_eq!(beat.group_instance_id.as_deref(), name);
    let told = world.told();
    assert!(told.iter().any(|told| told.starts_with("lost")), "{told:?}");
    assert!(
        told.iter().any(|told| told.starts_with("problem")),
        "{told:?}"
    );
    world.pass(Duration::from_secs(60));
    assert!(!world.has_asked(ApiKey::JOIN_GROUP));
}

#[test]
fn other_topics_mean_another_join_and_what_is_not_wanted_goes_first() {
    let mut world = World::member_of(&cooperative(), Told, &[0, 1]);
    world.begin_at_0(&[0, 1]);
    world.told();
    world.subscribe(&["gate"], Told);
    assert_eq!(world.told(), ["revoked castle-0 castle-1"]);
    let (_, request, subscription) = world.joins();
    assert_eq!(subscription.topics, ["gate".into()]);
    assert!(subscription.owned_partitions.is_empty());
    let reason = "the consumer has subscribed to other topics";
    assert_eq!(request.reason.as_deref(), Some(reason));
}

#[test]
fn a_listener_that_never_answers_loses_everything_at_the_deadline() {
    let config = cooperative().max_poll_interval(Duration::from_secs(10));
    let mut world = World::member_of(&config, RebalanceListener::Asked, &[0]);
    let (_, deadline) = world.asked_last();
    assert_eq!(deadline, Some(world.now + Duration::from_secs(10)));
    world.begin_at_0(&[0]);
    world.told();
    for _ in 0..3 {
        world.beats(0);
    }
    world.pass(Duration::from_secs(1));
    assert!(world.owned().is_empty());
    assert_eq!(
        world.told(),
        [
            "lost (nobody read for 10000 ms) castle-0",
            "problem: nobody read for 10000 ms"
        ]
    );
    world.answer_leave(0);
    // With the next read it joins again.
    world.pass(Duration::from_secs(60));
    assert!(!world.has_asked(ApiKey::JOIN_GROUP));
    assert!(world.lend().is_none());
    world.joins();
}

#[test]
fn every_rebalance_is_reported_with_what_it_took() {
    let mut world = World::member_of(&eager(), Asked, &[0, 1]);
    let assigned = world.question();
    world.pass(Duration::from_secs(1));
    world.done(assigned);
    let first = world.reports.pop().unwrap();
    assert_eq!(
        (first.cause, first.generation),
        (RebalanceCause::Subscribed, 1)
    );
    assert_eq!((first.revoked.len(), first.assigned.len()), (0, 2));
    assert_eq!(first.taking, Duration::from_secs(1));
    world.begin_at_0(&[0, 1]);
    world.pass(Duration::from_secs(2));
    world.answer_heartbeat(27);
    let revoked = world.question();
    world.pass(Duration::from_secs(2));
    world.done(revoked);
    let (join, ..) = world.joins();
    world.pass(Duration::from_secs(7));
    world.answer_join(&join, 2, OTHER, Vec::new());
    world.answer_sync(&[1]);
    assert!(world.reports.is_empty());
    let assigned = world.question();
    world.done(assigned);
    let second = world.reports.pop().unwrap();
    assert_eq!(
        (second.cause, second.generation),
        (RebalanceCause::GroupChanged, 2)
    );
    assert_eq!((second.revoked.len(), second.assigned.len()), (2, 1));
    let seconds = [second.preparing, second.joining, second.taking];
    assert_eq!(seconds.map(|took| took.as_secs()), [2, 7, 0]);
}
