//! Subscriptions by pattern: matched by the coordinator, or by each member.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::assigned::*;
use super::harness::*;
use super::joined::*;
use crate::consumer::RebalanceListener::Told;
use crate::error::ErrorKind;
use crate::messages::ConsumerGroupHeartbeatRequest;
use crate::time::Duration;
use crate::wire::{ApiKey, Str, Uuid};

const GATE: Uuid = Uuid([9; 16]);

fn topic(id: Uuid) -> TopicModel {
    let led = Led {
        leader: 1,
        epoch: 5,
    };
    let partitions = vec![led; 1];
    TopicModel { id, partitions }
}

impl World {
    fn subscribe_pattern(&mut self, pattern: &str) {
        let subscribed = self.consumer.subscribe_pattern(pattern, Told, self.now);
        subscribed.unwrap();
        self.drain();
    }
}

#[test]
fn a_coordinator_that_shares_out_matches_too_and_what_it_gives_is_asked_for_by_its_id() {
    let mut world = World::new(&modern());
    world.topics.insert("gate", topic(GATE));
    world.subscribe_pattern("gate|wall-.*");
    world.name_coordinator(0);
    let (asked, request) = world.next::<ConsumerGroupHeartbeatRequest>();
    assert_eq!(
        request.subscribed_topic_regex,
        Some(Str::from("gate|wall-.*"))
    );
    assert_eq!(request.subscribed_topic_names, Some(Vec::new()));
    let share = heard_of(1, Some(vec![(GATE, vec![0])]));
    world.answer::<ConsumerGroupHeartbeatRequest>(&asked, &share);
    assert_eq!(world.told(), ["assigned gate-0"]);
    // Before its name was known, nothing of it was held.
    assert_eq!(world.beat(&heard(1, None)), "in 1, holds []");
    // Names instead: the pattern is taken back.
    let mut world = World::new(&modern());
    world.subscribe_pattern("gate");
    world.name_coordinator(0);
    world.beat(&heard(1, Some(&[])));
    world.subscribe(&[T], Told);
    let (_, request) = world.next::<ConsumerGroupHeartbeatRequest>();
    assert_eq!(request.subscribed_topic_regex, Some(Str::EMPTY));
    assert_eq!(request.subscribed_topic_names, Some(vec![Str::from(T)]));
}

#[test]
fn a_classic_member_matches_itself_and_joins_again_when_topics_come_and_go() {
    let mut world = World::new(&cooperative());
    world.topics.insert("gate", topic(GATE));
    let offsets = topic(Uuid([8; 16]));
    world.topics.insert("__consumer_offsets", offsets);
    world.subscribe_pattern("castle|(gate|wall).*|__.*");
    world.name_coordinator(0);
    let (asked, _, subscription) = world.joins();
    assert_eq!(subscription.topics, [T.into(), "gate".into()]);
    world.answer_join(&asked, 1, OTHER, Vec::new());
    world.answer_sync(&[0]);
    assert_eq!(world.told(), ["assigned castle-0"]);
    world.begin_at_0(&[0]);

    world.topics.insert("wall-1", topic(Uuid([5; 16])));
    world.topics.insert("moat", topic(Uuid([6; 16])));
    world.lives(Duration::from_secs(301));
    let (asked, request, subscription) = world.joins();
    let reason = "topics or their partitions have changed";
    assert_eq!(request.reason.as_deref(), Some(reason));
    assert_eq!(
        subscription.topics,
        [T.into(), "gate".into(), "wall-1".into()]
    );
    world.answer_join(&asked, 2, OTHER, Vec::new());
    world.answer_sync(&[0]);

    world.topics.remove("gate");
    world.lives(Duration::from_secs(301));
    let (_, _, subscription) = world.joins();
    assert_eq!(subscription.topics, [T.into(), "wall-1".into()]);
    assert_eq!(world.owned(), [0]);
}

#[test]
fn a_pattern_that_cannot_be_read_is_refused_at_once_and_nothing_changes() {
    let mut world = World::new(&modern());
    let refused = world.consumer.subscribe_pattern("gate(", Told, world.now);
    let error = refused.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Misuse);
    assert!(
        error
            .to_string()
            .contains("the pattern `gate(`: `(` without `)`"),
        "{error}"
    );
    world.drain();
    assert!(!world.has_asked(ApiKey::FIND_COORDINATOR));
}
