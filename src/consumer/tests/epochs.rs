//! A member of a group whose coordinator shares the partitions out (KIP-848), heartbeat by heartbeat.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::assigned::*;
use super::harness::*;
use crate::config::GroupProtocol;
use crate::consumer::RebalanceListener::{Asked, Told};
use crate::engine::TopicPartition;
use crate::error::ErrorKind;
use crate::group::{OffsetAndMetadata, RebalanceCause};
use crate::messages::ConsumerGroupHeartbeatRequest;
use crate::time::Duration;
use crate::wire::{ApiKey, Str, Uuid};

const HEARTBEAT: ApiKey = ApiKey::CONSUMER_GROUP_HEARTBEAT;

fn commit(partition: i32, offset: i64) -> Vec<(TopicPartition, OffsetAndMetadata)> {
    vec![(
        TopicPartition::new(T, partition),
        OffsetAndMetadata::new(offset),
    )]
}

#[test]
fn a_member_joins_under_its_own_id_says_everything_once_and_acknowledges_what_it_took_on() {
    let config = modern().client_rack("east").group_remote_assignor("range");
    let mut world = World::new(&config);
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let (asked, request) = world.next::<ConsumerGroupHeartbeatRequest>();
    assert_eq!(
        request,
        ConsumerGroupHeartbeatRequest {
            group_id: Str::from("surveyors"),
            // Chosen by the member (KIP-1082): a UUID as Kafka writes it.
            member_id: request.member_id.clone(),
            member_epoch: 0,
            instance_id: None,
            rack_id: Some(Str::from("east")),
            rebalance_timeout_ms: 300_000,
            subscribed_topic_names: Some(vec![Str::from(T)]),
            subscribed_topic_regex: Some(Str::EMPTY),
            server_assignor: Some(Str::from("range")),
            topic_partitions: Some(Vec::new()),
        }
    );
    assert_eq!((request.member_id.len(), asked.version), (22, 1));
    world.answer::<ConsumerGroupHeartbeatRequest>(&asked, &heard(1, Some(&[1, 2])));
    assert_eq!(world.told(), ["assigned castle-1 castle-2"]);
    // What is held is told at once.
    assert_eq!(world.beat(&heard(1, None)), "in 1, holds [1 2]");
    assert_eq!(
        world.answer_members_offsets(&[1, 2], 0),
        "member: true, in 1"
    );
    assert_eq!(world.position(1), Some(0));
    // From here on nothing is said but that it lives, as often as the coordinator wants to hear it.
    assert_eq!(world.next_beat(&heard(1, None)), "in 1");
    assert_eq!(world.next_beat(&heard(1, None)), "in 1");
    let report = &world.reports[0];
    assert_eq!(report.cause, RebalanceCause::Subscribed);
    assert_eq!((report.generation, report.assigned.len()), (1, 2));
}

#[test]
fn what_goes_is_let_go_of_before_it_is_acknowledged_and_only_then_the_rest_comes() {
    let mut world = World::assigned(&modern(), Asked, &[0, 1]);
    world.done(world.question());
    world.beat(&heard(1, None));
    world.told();
    // Another member is to have partition 1.
    assert_eq!(world.next_beat(&heard(1, Some(&[0]))), "in 1");
    assert_eq!(world.told_keeping(), ["revoked castle-1?"]);
    let question = world.question();
    // As long as the listener is at work, it is still held; heartbeats go on.
    world.consumer.commit(commit(1, 7), world.now).unwrap();
    world.drain();
    let (asked, text) = world.commits();
    assert!(text.ends_with(" in 1: castle-1=7"), "{text}");
    world.answer_commit(&asked, &[(1, 0)]);
    assert_eq!(world.next_beat(&heard(1, None)), "in 1, holds [0 1]");
    world.told();
    world.done(question);
    assert_eq!(world.owned(), [0]);
    assert_eq!(world.beat(&heard(2, Some(&[0, 3]))), "in 1, holds [0]");
    assert_eq!(world.told_keeping(), ["assigned castle-3?"]);
    world.answer_members_offsets(&[3], 0);
    world.done(world.question());
    assert_eq!(world.beat(&heard(2, None)), "in 2, holds [0 3]");
    assert_eq!(world.owned(), [0, 3]);
    let last = world.reports.last().unwrap();
    assert_eq!(last.cause, RebalanceCause::GroupChanged);
    assert_eq!((last.generation, last.assigned.len()), (2, 1));
}

#[test]
fn an_assignment_that_comes_while_one_is_taken_on_waits_for_it() {
    let mut world = World::assigned(&modern(), Asked, &[0, 1]);
    let first = world.question();
    // Partition 1 was never taken on: that it is not held has to be said all the same, or the coordinator would wait.
    assert_eq!(world.next_beat(&heard(2, Some(&[0]))), "in 1, holds []");
    world.told();
    world.done(first);
    assert_eq!(world.told_keeping(), ["revoked castle-1?"]);
    world.done(world.question());
    assert_eq!(world.beat(&heard(2, None)), "in 2, holds [0]");
    assert_eq!(world.owned(), [0]);
}

#[test]
fn after_a_lost_answer_everything_is_said_again_and_the_assignment_comes_again() {
    let mut world = World::assigned(&modern(), Told, &[0]);
    world.pass(INTERVAL);
    assert!(world.has_asked(HEARTBEAT));
    // The answer with the new assignment is lost on the way.
    world.disconnect(0);
    world.name_coordinator(1);
    let said = world.beat(&heard(2, Some(&[0, 2])));
    assert_eq!(said, "in 1, wants castle within 300000, holds [0]");
    assert_eq!(world.beat(&heard(2, None)), "in 2, holds [0 2]");
    world.answer_members_offsets(&[2], 0);
    assert_eq!(world.owned(), [0, 2]);
    assert_eq!(world.next_beat(&heard(2, None)), "in 2");
}

#[test]
fn a_coordinator_that_moved_is_told_everything_by_the_next_heartbeat_without_a_pause() {
    let mut world = World::assigned(&modern(), Told, &[0]);
    world.next_beat(&refused(16));
    world.name_coordinator(1);
    let (asked, _) = world.next::<ConsumerGroupHeartbeatRequest>();
    assert_eq!(asked.node, 1);
    world.answer::<ConsumerGroupHeartbeatRequest>(&asked, &heard(1, Some(&[0])));
    // It was told what is held, and agrees: there is nothing to acknowledge.
    assert_eq!(world.next_beat(&heard(1, None)), "in 1");
    assert_eq!(world.owned(), [0]);
}

#[test]
fn a_fenced_member_loses_everything_and_joins_again_at_once_under_the_same_id() {
    for code in [110, 25] {
        let mut world = World::assigned(&modern(), Asked, &[0]);
        world.done(world.question());
        world.told();
        let (asked, request) = world.next::<ConsumerGroupHeartbeatRequest>();
        world.answer::<ConsumerGroupHeartbeatRequest>(&asked, &refused(code));
        let told = world.told_keeping();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("lost (") && told[0].ends_with("castle-0?"),
            "{told:?}"
        );
        assert!(world.owned().is_empty());
        // Not before the listener knows.
        assert!(!world.has_asked(HEARTBEAT));
        world.done(world.question());
        let (_, again) = world.next::<ConsumerGroupHeartbeatRequest>();
        assert_eq!(
            (again.member_epoch, &again.member_id),
            (0, &request.member_id)
        );
        assert_eq!(again.topic_partitions, Some(Vec::new()));
    }
}

#[test]
fn a_commit_of_an_epoch_that_has_passed_goes_again_in_the_newest() {
    let mut world = World::assigned(&modern(), Told, &[0]);
    world.told();
    world.consumer.commit(commit(0, 5), world.now).unwrap();
    world.drain();
    let (asked, text) = world.commits();
    assert!(text.ends_with(" in 1: castle-0=5"), "{text}");
    world.pass(INTERVAL);
    world.answer_commit(&asked, &[(0, 113)]);
    world.beat(&heard(4, None));
    world.pass(Duration::from_millis(500));
    let (asked, text) = world.commits();
    assert!(text.ends_with(" in 4: castle-0=5"), "{text}");
    world.answer_commit(&asked, &[(0, 0)]);
    assert_eq!(world.told(), ["committed castle-0"]);
}

#[test]
fn a_question_for_offsets_goes_again_in_the_newest_epoch_too() {
    let mut world = World::new(&modern());
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    world.beat(&heard(1, Some(&[0])));
    world.beat(&heard(3, None));
    assert_eq!(
        world.answer_members_offsets(&[0], 113),
        "member: true, in 1"
    );
    world.pass(Duration::from_millis(500));
    assert_eq!(world.answer_members_offsets(&[0], 0), "member: true, in 3");
    assert_eq!(world.position(0), Some(0));
}

#[test]
fn a_commit_ends_with_the_membership_and_never_goes_out_under_the_next() {
    let mut world = World::assigned(&modern(), Told, &[0]);
    world.consumer.commit(commit(0, 5), world.now).unwrap();
    world.drain();
    let (asked, _) = world.commits();
    world.told();
    world.pass(INTERVAL);
    world.answer_commit(&asked, &[(0, 113)]);
    world.beat(&refused(110));
    let told = world.told();
    assert!(
        told.contains(&"committed castle-0 rejected: not assigned".into()),
        "{told:?}"
    );
    world.beat(&heard(5, Some(&[0])));
    world.pass(Duration::from_secs(2));
    assert!(!world.has_asked(ApiKey::OFFSET_COMMIT));
}

#[test]
fn topics_that_metadata_does_not_name_are_asked_for_by_their_ids_and_the_rest_comes_first() {
    let mut world = World::new(&modern());
    let other = Uuid([9; 16]);
    world.subscribe(&[T, "gate"], Told);
    world.name_coordinator(0);
    world.beat(&heard_of(1, Some(vec![(ID, vec![0]), (other, vec![1])])));
    assert_eq!(world.told(), ["assigned castle-0"]);
    assert_eq!(world.beat(&heard(1, None)), "in 1, holds [0]");
    world.answer_members_offsets(&[0], 0);
    assert_eq!(
        world.consumer.explain("gate", 1).unwrap().cause,
        "the coordinator has assigned topics that no broker has named yet"
    );
    let led = Led {
        leader: 1,
        epoch: 5,
    };
    let gate = TopicModel {
        id: other,
        partitions: vec![led; 2],
    };
    world.topics.insert("gate", gate);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.told(), ["assigned gate-1"]);
    assert_eq!(world.beat(&heard(1, None)), "in 1, holds [0 1]");
}

#[test]
fn another_subscription_is_told_at_once_and_what_is_not_wanted_is_let_go_of_before() {
    let mut world = World::assigned(&modern(), Told, &[0]);
    world.told();
    world.subscribe(&["gate"], Told);
    assert_eq!(world.told(), ["revoked castle-0"]);
    let said = world.beat(&heard(2, Some(&[])));
    assert_eq!(said, "in 1, wants gate within 300000, holds []");
    let report = world.reports.last().unwrap();
    assert_eq!(report.cause, RebalanceCause::SubscriptionChanged);
    assert_eq!(world.next_beat(&heard(2, None)), "in 2");
}

#[test]
fn a_member_leaves_with_its_last_heartbeat_and_a_static_one_only_for_a_while() {
    for (instance, epoch) in [("", -1), ("one", -2)] {
        let mut world = World::assigned(&modern().group_instance_id(instance), Told, &[0]);
        world.told();
        world.subscribe(&[], Told);
        assert_eq!(world.told(), ["revoked castle-0"]);
        assert_eq!(world.beat(&refused(14)), alloc::format!("in {epoch}"));
        // Not heard yet: it is said again.
        world.pass(Duration::from_millis(500));
        assert_eq!(
            world.beat(&heard(epoch, None)),
            alloc::format!("in {epoch}")
        );
        world.pass(Duration::from_secs(60));
        assert!(!world.has_asked(HEARTBEAT));
    }
}

#[test]
fn who_does_not_come_for_its_records_leaves_for_good_also_a_static_member() {
    let config = modern().group_instance_id("one");
    let mut world = World::assigned(&config, Told, &[0]);
    let fetch = world.fetch_at(0);
    fetch.answer(&mut world, 1, vec![data(0, &[batch(0, 3)])]);
    world.told();
    for _ in 0..60 {
        world.pass(INTERVAL);
        if world
            .told_keeping()
            .iter()
            .any(|told| told.starts_with("lost"))
        {
            break;
        }
        world.beat(&heard(1, None));
    }
    assert_eq!(world.beat(&heard(-1, None)), "in -1");
    // The next read is the way back.
    assert!(world.lend().is_none());
    let said = world.beat(&heard(3, Some(&[0])));
    assert!(said.starts_with("in 0, wants castle"), "{said}");
}

#[test]
fn a_name_that_is_still_taken_is_waited_for_as_long_as_a_session_may_last() {
    let mut world = World::new(&modern().group_instance_id("one"));
    world.subscribe(&[T], Told);
    world.name_coordinator(0);
    let begin = world.now;
    while world.told_keeping().is_empty() {
        world.beat(&refused(111));
        world.pass(Duration::from_secs(2));
    }
    let waited = world.now.since(begin).as_secs();
    assert!((90..100).contains(&waited), "{waited}");
    assert_eq!(
        world.told(),
        ["problem: the broker answered UNRELEASED_INSTANCE_ID (111)"]
    );
    assert!(!world.has_asked(HEARTBEAT));
}

#[test]
fn what_only_the_user_can_put_right_is_told_once_with_what_to_do() {
    for (code, hint) in [
        (112, "group.remote.assignor"),
        (81, "group.consumer.max.size"),
        (82, "group.instance.id"),
        (30, ""),
    ] {
        let mut world = World::new(&modern());
        world.subscribe(&[T], Told);
        world.name_coordinator(0);
        world.beat(&refused(code));
        assert_eq!(world.told().len(), 1);
        let error = world.consumer.explain(T, 0).unwrap().error.unwrap();
        assert!(matches!(error.kind(), ErrorKind::Broker(told) if told.0 == code));
        assert!(error.to_string().contains(hint), "{error}");
        world.pass(Duration::from_secs(60));
        assert!(world.is_silent());
        // Subscribing again is the way back.
        world.subscribe(&[T], Told);
        assert!(world.has_asked(HEARTBEAT));
    }
}

#[test]
fn a_broker_without_the_protocol_that_was_asked_for_is_a_clear_error() {
    for (version, code) in [(0, 0), (1, 35), (1, 69)] {
        let mut world = World::new(&modern());
        world.heartbeat_version = version;
        world.subscribe(&[T], Told);
        world.name_coordinator(0);
        if code != 0 {
            world.beat(&refused(code));
        }
        assert_eq!(world.told().len(), 1);
        let error = world
            .consumer
            .explain(T, 0)
            .unwrap()
            .error
            .unwrap()
            .to_string();
        assert!(error.contains("group.protocol=classic"), "{error}");
        assert!(!world.has_asked(HEARTBEAT) && !world.has_asked(ApiKey::JOIN_GROUP));
    }
}

/// A consumer that leaves the protocol to the coordinator.
fn automatic() -> crate::config::ConsumerConfig {
    modern().group_protocol(GroupProtocol::Automatic)
}

#[test]
fn automatic_means_the_consumer_protocol_where_the_cluster_has_agreed_on_it_and_else_the_classic_one()
 {
    let joins = |version, level, config| {
        let mut world = World::new(&config);
        (world.heartbeat_version, world.group_version) = (version, level);
        world.subscribe(&[T], Told);
        world.name_coordinator(0);
        let asked: Vec<ApiKey> = world.asked.iter().map(|asked| asked.api).collect();
        assert_eq!(asked.len(), 1);
        asked[0]
    };
    assert_eq!(joins(1, 1, automatic()), HEARTBEAT);
    assert_eq!(joins(1, 0, automatic()), ApiKey::JOIN_GROUP);
    // The preview of 3.7 to 3.9.
    assert_eq!(joins(0, 1, automatic()), ApiKey::JOIN_GROUP);
    // Who names assignors wants the protocol that has them.
    let strategy = vec![crate::assignor::Assignor::Sticky];
    let named = automatic().partition_assignment_strategy(strategy);
    assert_eq!(joins(1, 1, named), ApiKey::JOIN_GROUP);
}

#[test]
fn a_coordinator_that_turns_out_not_to_have_the_protocol_is_joined_by_the_classic_one() {
    for code in [35, 69] {
        let mut world = World::new(&automatic());
        world.subscribe(&[T], Told);
        world.name_coordinator(0);
        world.beat(&refused(code));
        assert!(world.told().is_empty());
        world.joined(1, &[2]);
        assert_eq!(world.told(), ["assigned castle-2"]);
    }
    // Also in the middle of a membership: what was held may be somebody else's.
    let mut world = World::assigned(&automatic(), Told, &[0]);
    world.told();
    world.next_beat(&refused(35));
    let told = world.told();
    assert!(
        told[0].starts_with("lost (") && told[0].ends_with("castle-0"),
        "{told:?}"
    );
    world.joined(1, &[0]);
    assert_eq!(world.owned(), [0]);
}

#[test]
fn a_consumer_that_does_not_know_its_protocol_yet_closes_and_fails_like_any_other() {
    let mut world = World::new(&automatic());
    world.subscribe(&[T], Told);
    world.consumer.close(world.now + INTERVAL, world.now);
    world.drain();
    assert_eq!(world.told(), ["closed, 0 lent"]);
    let mut world = World::new(&automatic());
    world.subscribe(&[T], Told);
    world.answer_find(0, 30);
    assert_eq!(
        world.told(),
        ["problem: the broker answered GROUP_AUTHORIZATION_FAILED (30)"]
    );
}
