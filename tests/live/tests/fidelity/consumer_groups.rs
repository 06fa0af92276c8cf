//! Consumer groups (KIP-848): ConsumerGroupHeartbeat, ConsumerGroupDescribe, and commits of an epoch.

use klamm::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatTopicPartitions, ListGroupsRequest,
};
use klamm::{Str, Uuid};
use klamm_live::process::until;
use std::time::Duration;

use crate::both::{Both, Side};
use crate::groups::{commit, ready};
use crate::membership::both_play;

const LIMIT: Duration = Duration::from_secs(30);

/// A member of a group of one topic with one partition.
#[derive(Clone)]
struct Member {
    id: &'static str,
    instance: Option<&'static str>,
    epoch: i32,
    owns: bool,
}

impl Member {
    fn new(id: &'static str) -> Self {
        Self {
            id,
            instance: None,
            epoch: 0,
            owns: false,
        }
    }

    fn request(&self, side: &Side) -> ConsumerGroupHeartbeatRequest {
        let owned = ConsumerGroupHeartbeatTopicPartitions {
            topic_id: side.id,
            partitions: vec![0],
        };
        ConsumerGroupHeartbeatRequest {
            group_id: group(side),
            member_id: Str::from(self.id),
            member_epoch: self.epoch,
            instance_id: self.instance.map(Str::from),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![side.name()]),
            topic_partitions: Some(if self.owns { vec![owned] } else { Vec::new() }),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    /// Says all, and takes over what it is told.
    fn beats(&mut self, side: &mut Side) -> String {
        let request = self.request(side);
        let told = side.response(1, &request);
        if told.error_code == 0 {
            self.epoch = told.member_epoch;
            if let Some(assignment) = &told.assignment {
                self.owns = !assignment.topic_partitions.is_empty();
            }
        }
        side.told(&told)
    }

    /// Only lives.
    fn lives(&self, side: &mut Side) -> String {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group(side),
            member_id: Str::from(self.id),
            member_epoch: self.epoch,
            instance_id: self.instance.map(Str::from),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        side.ask(1, &request)
    }

    fn leaves(&self, side: &mut Side, epoch: i32) -> String {
        let leaving = Self {
            epoch,
            ..self.clone()
        };
        leaving.lives(side)
    }

    fn commits(&self, side: &mut Side, version: i16, epoch: i32) -> String {
        let mut request = commit(side, version, &group(side));
        request.generation_id_or_member_epoch = epoch;
        request.member_id = Str::from(self.id);
        side.ask(version, &request)
    }
}

fn group(side: &Side) -> Str {
    Str::from(format!("{}-consumers", side.topic))
}

/// A coordinator hears of a new topic a moment after the brokers do: until one can have its partition.
fn settled() -> Both {
    let mut both = ready();
    both.each(|side| {
        let scout = Member::new("scout");
        let mut request = scout.request(side);
        request.group_id = Str::from(format!("{}-scouts", side.topic));
        until("the coordinator knows the topic", LIMIT, || {
            let assignment = side.response(1, &request).assignment?;
            (!assignment.topic_partitions.is_empty()).then_some(())
        });
    });
    both
}

fn describe(side: &mut Side, version: i16) -> String {
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group(side)],
        ..ConsumerGroupDescribeRequest::default()
    };
    let mut told = side.response(version, &request);
    for group in &mut told.groups {
        group.members.sort_by_key(|member| member.member_id.clone());
    }
    side.told(&told)
}

#[test]
fn one_partition_passes_from_member_to_member_alike() {
    let mut both = settled();
    both_play(&mut both, "pass on", |side| {
        let mut lines = Vec::new();
        let mut line = |step, answer| lines.push((step, answer));
        let (mut a, mut b) = (Member::new("a"), Member::new("b"));
        line("a joins", a.beats(side));
        line("a is stable", describe(side, 1));
        line("a lives", a.lives(side));
        line("a says all", a.beats(side));
        line("a commits", a.commits(side, 9, a.epoch));
        line("a commits in an old version", a.commits(side, 8, a.epoch));
        line("b joins", b.beats(side));
        line("b lives", b.lives(side));
        line("a lives beside b", a.lives(side));
        line("a follows", a.beats(side));
        line("a commits in an old epoch", a.commits(side, 9, a.epoch - 1));
        line("a commits in an epoch to come", a.commits(side, 9, 9));
        line("b commits what is not its own", b.commits(side, 9, b.epoch));
        let mut ahead = a.clone();
        ahead.epoch = 7;
        line("an epoch to come", ahead.lives(side));
        ahead.epoch = a.epoch - 1;
        ahead.owns = false;
        line("the epoch before, owning nothing", ahead.beats(side));
        line("a leaves", a.leaves(side, -1));
        line("a leaves again", a.leaves(side, -1));
        line("a lives though it left", a.lives(side));
        line("b gets it", b.beats(side));
        line("b is stable", describe(side, 0));
        line("b commits", b.commits(side, 9, b.epoch));
        line("listed", {
            let request = ListGroupsRequest {
                types_filter: vec![Str::from("consumer")],
                ..ListGroupsRequest::default()
            };
            let mut told = side.response(5, &request);
            let own = group(side);
            told.groups.retain(|group| group.group_id == own);
            side.told(&told)
        });
        line("b leaves", b.leaves(side, -1));
        line("empty", describe(side, 1));
        line("b commits though it left", b.commits(side, 9, b.epoch));
        line("anybody commits", b.commits(side, 9, -1));
        lines
    });
}

#[test]
fn instances_of_consumer_groups_come_back_alike() {
    let mut both = settled();
    both_play(&mut both, "instance", |side| {
        let mut lines = Vec::new();
        let mut line = |step, answer| lines.push((step, answer));
        let mut a = Member::new("a");
        a.instance = Some("i");
        let mut again = Member::new("a2");
        again.instance = Some("i");
        line("a joins", a.beats(side));
        line("the instance is there", again.beats(side));
        line("a goes for a while", a.leaves(side, -2));
        line("away", describe(side, 1));
        line("it is back", again.beats(side));
        line("a is fenced", a.lives(side));
        line("a leaves", a.leaves(side, -1));
        line("back", describe(side, 1));
        line("it leaves", again.leaves(side, -1));
        line("empty", describe(side, 1));
        lines
    });
}

#[test]
fn heartbeats_are_refused_alike() {
    type Change = fn(&mut ConsumerGroupHeartbeatRequest);
    let cases: [(&str, Change); 12] = [
        ("no group", |r| r.group_id = Str::EMPTY),
        ("no member", |r| r.member_id = Str::EMPTY),
        ("an empty instance", |r| r.instance_id = Some(Str::EMPTY)),
        ("an empty rack", |r| r.rack_id = Some(Str::EMPTY)),
        ("no timeout", |r| r.rebalance_timeout_ms = -1),
        ("nothing of what it owns", |r| r.topic_partitions = None),
        ("no topics", |r| r.subscribed_topic_names = None),
        ("epoch -3", |r| r.member_epoch = -3),
        ("epoch -2 without an instance", |r| r.member_epoch = -2),
        ("epoch 5", |r| r.member_epoch = 5),
        ("another assignor", |r| {
            r.server_assignor = Some(Str::from("best"))
        }),
        ("it owns something", |r| {
            r.topic_partitions = Some(vec![ConsumerGroupHeartbeatTopicPartitions {
                topic_id: Uuid::from(7),
                partitions: vec![0],
            }]);
        }),
    ];
    let mut both = settled();
    for (what, change) in cases {
        both.same(what, |side| {
            let mut request = Member::new("a").request(side);
            change(&mut request);
            side.ask(1, &request)
        });
    }
    both.same("no topic of that name", |side| {
        let mut request = Member::new("a").request(side);
        request.subscribed_topic_names = Some(vec![Str::from("no-such-topic")]);
        side.ask(1, &request)
    });
}
