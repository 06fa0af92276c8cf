//! Consumer groups (KIP-848): the coordinator assigns, members follow one heartbeat at a time.

use klamm::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatTopicPartitions, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
};
use klamm::{Duration, ErrorCode, Str};
use klamm_cluster::{ClusterConfig, ConnectionKey, GroupConfig};

use crate::client::{Conversation, error};

const GROUP: &str = "workers";

/// A cluster that assigns anew at once.
fn eager(nodes: u16) -> ClusterConfig {
    ClusterConfig {
        groups: GroupConfig {
            consumer_assignment_interval: Duration::ZERO,
            ..GroupConfig::default()
        },
        ..ClusterConfig::with_nodes(nodes)
    }
}

fn talk() -> (Conversation, ConnectionKey) {
    let mut talk = Conversation::configured(eager(1));
    talk.cluster.create_topic("t", 4).unwrap();
    let over = talk.connect(1);
    (talk, over)
}

/// A member that does what it is told to, when the test lets it.
#[derive(Clone, Debug)]
struct Member {
    over: ConnectionKey,
    id: &'static str,
    instance: Option<&'static str>,
    epoch: i32,
    topics: Vec<&'static str>,
    /// The partitions of the first topic that it owns.
    owned: Vec<i32>,
}

impl Member {
    fn new(over: ConnectionKey, id: &'static str) -> Self {
        Self {
            over,
            id,
            instance: None,
            epoch: 0,
            topics: vec!["t"],
            owned: Vec::new(),
        }
    }

    fn request(&self, talk: &Conversation) -> ConsumerGroupHeartbeatRequest {
        let topic = talk.cluster.image().topic("t").unwrap().id;
        let owned = ConsumerGroupHeartbeatTopicPartitions {
            topic_id: topic,
            partitions: self.owned.clone(),
        };
        ConsumerGroupHeartbeatRequest {
            group_id: Str::from(GROUP),
            member_id: Str::from(self.id),
            member_epoch: self.epoch,
            instance_id: self.instance.map(Str::from),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(self.topics.iter().map(|t| Str::from(*t)).collect()),
            topic_partitions: Some(if self.owned.is_empty() {
                Vec::new()
            } else {
                vec![owned]
            }),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn ask(&self, talk: &mut Conversation) -> ConsumerGroupHeartbeatResponse {
        let request = self.request(talk);
        talk.ask(self.over, 1, &request)
    }

    /// Says all, and takes over what it is told: its epoch and its partitions.
    fn beat(&mut self, talk: &mut Conversation) -> (i32, Vec<i32>) {
        let told = self.ask(talk);
        assert_eq!(error(told.error_code), ErrorCode::NONE);
        self.epoch = told.member_epoch;
        if let Some(assignment) = told.assignment {
            let topics = assignment.topic_partitions.into_iter();
            self.owned = topics.flat_map(|topic| topic.partitions).collect();
        }
        (self.epoch, self.owned.clone())
    }

    fn refused(&self, talk: &mut Conversation) -> ErrorCode {
        error(self.ask(talk).error_code)
    }

    fn leave(&self, talk: &mut Conversation, epoch: i32) -> ErrorCode {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: Str::from(GROUP),
            member_id: Str::from(self.id),
            member_epoch: epoch,
            instance_id: self.instance.map(Str::from),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        error(talk.ask(self.over, 1, &request).error_code)
    }

    fn commit(&self, talk: &mut Conversation, epoch: i32, partition: i32) -> ErrorCode {
        let request = OffsetCommitRequest {
            group_id: Str::from(GROUP),
            generation_id_or_member_epoch: epoch,
            member_id: Str::from(self.id),
            topics: vec![OffsetCommitRequestTopic {
                name: Str::from("t"),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let response = talk.ask(self.over, 9, &request);
        error(response.topics[0].partitions[0].error_code)
    }
}

#[test]
fn partitions_move_only_when_they_are_given_up() {
    let (mut talk, over) = talk();
    let (mut a, mut b) = (Member::new(over, "a"), Member::new(over, "b"));
    assert_eq!(a.beat(&mut talk), (2, vec![0, 1, 2, 3]));
    assert_eq!(b.beat(&mut talk), (3, vec![]), "a has all of them");
    assert_eq!(talk.cluster.group(GROUP).unwrap().state, "Reconciling");
    let still_owned = a.owned.clone();
    assert_eq!(a.beat(&mut talk), (2, vec![0, 1]), "to be given up first");
    a.owned = still_owned;
    assert_eq!(
        a.beat(&mut talk),
        (2, vec![0, 1]),
        "it has not given them up"
    );
    assert_eq!(b.beat(&mut talk), (3, vec![]));
    assert_eq!(a.beat(&mut talk), (3, vec![0, 1]));
    assert_eq!(b.beat(&mut talk), (3, vec![2, 3]));
    let group = talk.cluster.group(GROUP).unwrap();
    assert_eq!((group.state, group.generation), ("Stable", 3));
    assert_eq!(group.protocol.as_deref(), Some("uniform"));
}

#[test]
fn an_answer_may_be_lost_but_no_epoch_made_up() {
    let (mut talk, over) = talk();
    let (mut a, mut b) = (Member::new(over, "a"), Member::new(over, "b"));
    a.beat(&mut talk);
    b.beat(&mut talk);
    a.owned = vec![0, 1];
    let before = a.clone();
    assert_eq!(a.beat(&mut talk).0, 3);
    let mut again = before;
    assert_eq!(again.beat(&mut talk).0, 3, "the answer was lost");
    let fenced = ErrorCode::FENCED_MEMBER_EPOCH;
    again.epoch = 4;
    assert_eq!(again.refused(&mut talk), fenced);
    again.epoch = 2;
    again.owned = vec![0, 1, 2];
    assert_eq!(
        again.refused(&mut talk),
        fenced,
        "that is not its own any more"
    );
    again.id = "nobody";
    assert_eq!(again.refused(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_silent_member_is_fenced_after_its_session() {
    let (mut talk, over) = talk();
    let (mut a, mut b) = (Member::new(over, "a"), Member::new(over, "b"));
    a.beat(&mut talk);
    b.beat(&mut talk);
    talk.pass(44_999);
    b.beat(&mut talk);
    talk.pass(1);
    assert_eq!(a.refused(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(b.beat(&mut talk), (4, vec![0, 1, 2, 3]));
    a.epoch = 0;
    a.owned.clear();
    assert_eq!(
        a.beat(&mut talk).0,
        5,
        "it may come back from the beginning"
    );
}

#[test]
fn who_does_not_give_up_in_time_is_fenced() {
    let (mut talk, over) = talk();
    let (mut a, mut b) = (Member::new(over, "a"), Member::new(over, "b"));
    a.beat(&mut talk);
    b.beat(&mut talk);
    let keeps_all = a.clone();
    for _ in 0..2 {
        keeps_all.ask(&mut talk);
        b.beat(&mut talk);
        talk.pass(30_000);
    }
    assert_eq!(keeps_all.refused(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(b.beat(&mut talk), (4, vec![0, 1, 2, 3]));
}

#[test]
fn topics_that_change_are_assigned_anew() {
    let (mut talk, over) = talk();
    let mut a = Member::new(over, "a");
    a.beat(&mut talk);
    talk.cluster.add_partitions("t", 5).unwrap();
    assert_eq!(a.beat(&mut talk), (3, vec![0, 1, 2, 3, 4]));
    a.topics = vec![];
    assert_eq!(a.beat(&mut talk), (3, vec![]), "it is to give up all");
    assert_eq!(a.beat(&mut talk), (4, vec![]));
}

#[test]
fn an_instance_that_went_for_a_while_gets_back_what_it_had() {
    let (mut talk, over) = talk();
    let mut a = Member::new(over, "a");
    a.instance = Some("i");
    a.beat(&mut talk);
    let mut again = Member::new(over, "a2");
    again.instance = Some("i");
    let unreleased = ErrorCode::UNRELEASED_INSTANCE_ID;
    assert_eq!(again.refused(&mut talk), unreleased);
    assert_eq!(a.leave(&mut talk, -2), ErrorCode::NONE);
    assert_eq!(again.beat(&mut talk), (2, vec![0, 1, 2, 3]));
    assert_eq!(a.refused(&mut talk), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(again.leave(&mut talk, -1), ErrorCode::NONE);
    assert_eq!(talk.cluster.group(GROUP).unwrap().state, "Empty");
}

#[test]
fn commits_are_taken_since_the_partition_was_assigned() {
    let (mut talk, over) = talk();
    let (mut a, mut b) = (Member::new(over, "a"), Member::new(over, "b"));
    a.beat(&mut talk);
    b.beat(&mut talk);
    a.owned = vec![0, 1];
    a.beat(&mut talk);
    b.beat(&mut talk);
    assert_eq!(a.commit(&mut talk, 3, 0), ErrorCode::NONE);
    assert_eq!(
        a.commit(&mut talk, 2, 0),
        ErrorCode::NONE,
        "its own since 2"
    );
    let stale = ErrorCode::STALE_MEMBER_EPOCH;
    assert_eq!(a.commit(&mut talk, 2, 2), stale, "no longer its own");
    assert_eq!(b.commit(&mut talk, 2, 2), stale, "its own since 3");
    assert_eq!(b.commit(&mut talk, 4, 2), stale);
    b.id = "nobody";
    assert_eq!(b.commit(&mut talk, 3, 2), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_heartbeat_that_says_too_little_or_too_much_is_refused() {
    let (mut talk, over) = talk();
    let member = Member::new(over, "a");
    type Change = fn(&mut ConsumerGroupHeartbeatRequest);
    let invalid = ErrorCode::INVALID_REQUEST;
    let cases: [(Change, ErrorCode); 8] = [
        (|r| r.group_id = Str::EMPTY, invalid),
        (|r| r.member_id = Str::EMPTY, invalid),
        (|r| r.instance_id = Some(Str::EMPTY), invalid),
        (|r| r.rebalance_timeout_ms = -1, invalid),
        (|r| r.topic_partitions = None, invalid),
        (|r| r.subscribed_topic_names = None, invalid),
        (|r| r.member_epoch = -3, invalid),
        (
            |r| r.server_assignor = Some(Str::from("best")),
            ErrorCode::UNSUPPORTED_ASSIGNOR,
        ),
    ];
    for (place, (change, expected)) in cases.into_iter().enumerate() {
        let mut request = member.request(&talk);
        change(&mut request);
        let told = talk.ask(over, 1, &request);
        assert_eq!(error(told.error_code), expected, "case {place}");
    }
    let mut later = member;
    later.epoch = 1;
    let unknown = ErrorCode::GROUP_ID_NOT_FOUND;
    assert_eq!(later.refused(&mut talk), unknown);
}

#[test]
fn the_whole_group_is_in_the_coordinators_log() {
    let mut talk = Conversation::configured(eager(2));
    talk.cluster.create_topic("t", 4).unwrap();
    talk.cluster.move_coordinator(GROUP, 1);
    let over = talk.connect(1);
    let mut a = Member::new(over, "a");
    a.beat(&mut talk);
    talk.pass(40_000);
    talk.cluster.move_coordinator(GROUP, 2);
    assert_eq!(a.refused(&mut talk), ErrorCode::NOT_COORDINATOR);
    a.over = talk.connect(2);
    talk.pass(40_000);
    assert_eq!(a.beat(&mut talk), (2, vec![0, 1, 2, 3]), "a new session");
}

#[test]
fn tools_see_consumer_groups() {
    let (mut talk, over) = talk();
    let (mut a, mut b) = (Member::new(over, "a"), Member::new(over, "b"));
    a.beat(&mut talk);
    b.beat(&mut talk);
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![Str::from(GROUP), Str::from("nobody")],
        ..ConsumerGroupDescribeRequest::default()
    };
    let told = talk.ask(over, 1, &request);
    let group = &told.groups[0];
    assert_eq!((group.group_epoch, group.assignment_epoch), (3, 3));
    let target = &group.members[1].target_assignment.topic_partitions[0];
    assert_eq!(
        (target.topic_name.as_str(), target.partitions.len()),
        ("t", 2)
    );
    assert!(group.members[1].assignment.topic_partitions.is_empty());
    let unknown = error(told.groups[1].error_code);
    assert_eq!(unknown, ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn a_target_assignment_stays_for_a_while() {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 4).unwrap();
    let over = talk.connect(1);
    let (mut a, mut b) = (Member::new(over, "a"), Member::new(over, "b"));
    a.beat(&mut talk);
    talk.pass(999);
    assert_eq!(b.beat(&mut talk), (2, vec![]), "none of epoch 3 yet");
    assert_eq!(talk.cluster.group(GROUP).unwrap().state, "Assigning");
    assert_eq!(a.beat(&mut talk), (2, vec![0, 1, 2, 3]));
    talk.pass(1);
    assert_eq!(a.beat(&mut talk), (2, vec![0, 1]), "to be given up");
    assert_eq!(a.beat(&mut talk), (3, vec![0, 1]));
    assert_eq!(b.beat(&mut talk), (3, vec![2, 3]));
}
