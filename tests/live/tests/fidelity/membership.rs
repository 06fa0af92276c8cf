//! Members of classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, commits of a generation, and what tools see of it.

use bytes::Bytes;
use klamm::Str;
use klamm::messages::{
    ConsumerProtocolSubscription, DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest,
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, LeaveGroupRequest,
    ListGroupsRequest, MemberIdentity, SyncGroupRequest, SyncGroupRequestAssignment,
};
use klamm::wire::encode_versioned;

use crate::both::{Both, Side};
use crate::groups::{commit, ready};

/// The versions that a client of one age speaks.
#[derive(Clone, Copy)]
struct Age {
    join: i16,
    sync: i16,
    heartbeat: i16,
    leave: i16,
    commit: i16,
}

const OLD: Age = Age {
    join: 2,
    sync: 1,
    heartbeat: 1,
    leave: 1,
    commit: 5,
};
const MIDDLE: Age = Age {
    join: 5,
    sync: 3,
    heartbeat: 3,
    leave: 3,
    commit: 7,
};
const NEW: Age = Age {
    join: 9,
    sync: 5,
    heartbeat: 4,
    leave: 5,
    commit: 9,
};

/// A member: who talks, as whom, in which versions.
#[derive(Clone)]
struct Member {
    who: &'static str,
    age: Age,
    id: Str,
    instance: Option<Str>,
    generation: i32,
}

impl Member {
    fn new(who: &'static str, age: Age) -> Self {
        Self {
            who,
            age,
            id: Str::EMPTY,
            instance: None,
            generation: -1,
        }
    }

    fn instance(who: &'static str, age: Age, name: &str) -> Self {
        Self {
            instance: Some(Str::from(name)),
            ..Self::new(who, age)
        }
    }

    fn join_request(&self, side: &Side) -> JoinGroupRequest {
        let subscription = ConsumerProtocolSubscription {
            topics: vec![side.name()],
            ..ConsumerProtocolSubscription::default()
        };
        JoinGroupRequest {
            group_id: group(side),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Str::from("consumer"),
            protocols: vec![JoinGroupRequestProtocol {
                name: Str::from("range"),
                metadata: encode_versioned(&subscription, 1).expect("it fits"),
            }],
            ..JoinGroupRequest::default()
        }
    }

    fn asks_to_join(&self, side: &mut Side) {
        let request = self.join_request(side);
        side.say(self.who, self.age.join, &request);
    }

    /// The answer to JoinGroup. The first id that it brings gets the member's name.
    fn hears_of_join(&mut self, side: &mut Side) -> String {
        let mut told = side.hear::<JoinGroupRequest>(self.who, self.age.join);
        if self.id.is_empty() && !told.member_id.is_empty() {
            side.name_it(&told.member_id, self.who);
        }
        if !told.member_id.is_empty() {
            self.id = told.member_id.clone();
        }
        self.generation = told.generation_id;
        in_order(&mut told, side);
        side.told(&told)
    }

    /// Joins, twice if it has to get an id first.
    fn joins(&mut self, side: &mut Side) -> String {
        self.asks_to_join(side);
        let first = self.hears_of_join(side);
        if self.generation >= 0 {
            return first;
        }
        self.asks_to_join(side);
        first + &self.hears_of_join(side)
    }

    fn sync_request(&self, side: &Side, shares: &[(&Member, &'static str)]) -> SyncGroupRequest {
        let assignments = shares
            .iter()
            .map(|(member, share)| SyncGroupRequestAssignment {
                member_id: member.id.clone(),
                assignment: Bytes::from_static(share.as_bytes()),
            });
        let named = self.age.sync >= 5;
        SyncGroupRequest {
            group_id: group(side),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: named.then(|| Str::from("consumer")),
            protocol_name: named.then(|| Str::from("range")),
            assignments: assignments.collect(),
        }
    }

    fn asks_to_sync(&self, side: &mut Side, shares: &[(&Member, &'static str)]) {
        let request = self.sync_request(side, shares);
        side.say(self.who, self.age.sync, &request);
    }

    fn hears_of_sync(&self, side: &mut Side) -> String {
        let told = side.hear::<SyncGroupRequest>(self.who, self.age.sync);
        side.told(&told)
    }

    fn syncs(&self, side: &mut Side, shares: &[(&Member, &'static str)]) -> String {
        self.asks_to_sync(side, shares);
        self.hears_of_sync(side)
    }

    fn beats(&self, side: &mut Side) -> String {
        let request = HeartbeatRequest {
            group_id: group(side),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        side.ask(self.age.heartbeat, &request)
    }

    fn commits(&self, side: &mut Side) -> String {
        let mut request = commit(side, self.age.commit, &group(side));
        request.generation_id_or_member_epoch = self.generation;
        request.member_id = self.id.clone();
        request.group_instance_id.clone_from(&self.instance);
        side.ask(self.age.commit, &request)
    }

    fn leaves(&self, side: &mut Side) -> String {
        let batched = self.age.leave >= 3;
        let identity = MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            ..MemberIdentity::default()
        };
        let request = LeaveGroupRequest {
            group_id: group(side),
            member_id: if batched { Str::EMPTY } else { self.id.clone() },
            members: if batched { vec![identity] } else { Vec::new() },
        };
        side.ask(self.age.leave, &request)
    }
}

/// Kafka tells members in no particular order.
fn in_order(told: &mut JoinGroupResponse, side: &Side) {
    told.members
        .sort_by_key(|member| side.told(&member.member_id));
}

fn group(side: &Side) -> Str {
    Str::from(format!("{}-members", side.topic))
}

/// The same script for both sides, each with members of its own.
pub(crate) fn both_play(
    both: &mut Both,
    what: &str,
    script: impl Fn(&mut Side) -> Vec<(&'static str, String)>,
) {
    let mut lines: Vec<Vec<(&'static str, String)>> = Vec::new();
    both.each(|side| lines.push(script(side)));
    let [real, in_memory] = &lines[..] else {
        panic!("two sides");
    };
    for ((step, real), (_, in_memory)) in real.iter().zip(in_memory) {
        let mut answers = [real, in_memory].into_iter();
        both.same(&format!("{what}: {step}"), |_| {
            answers.next().expect("two sides").clone()
        });
    }
}

#[test]
fn groups_live_alike() {
    for (what, age) in [("old", OLD), ("middle", MIDDLE), ("new", NEW)] {
        let mut both = ready();
        both_play(&mut both, what, |side| {
            let mut lines = Vec::new();
            let mut line = |step, answer| lines.push((step, answer));
            let (mut a, mut b) = (Member::new("A", age), Member::new("B", age));
            line("A joins", a.joins(side));
            line("A commits too early", a.commits(side));
            line("A syncs", a.syncs(side, &[(&a, "all")]));
            line("A beats", a.beats(side));
            line("A commits", a.commits(side));
            line("stable", describe(side, 6));
            let mut old = a.clone();
            old.generation = 0;
            line("an old generation beats", old.beats(side));
            line("an old generation commits", old.commits(side));
            line("an old generation syncs", old.syncs(side, &[]));
            line("A syncs again", a.syncs(side, &[]));

            if age.join >= 4 {
                b.asks_to_join(side);
                line("B gets an id", b.hears_of_join(side));
                line("B beats with it", b.beats(side));
            }
            b.asks_to_join(side);
            line("waits for B to wait", wait_for(side, "PreparingRebalance"));
            line("A beats, B waits", a.beats(side));
            line("A commits, B waits", a.commits(side));
            line("A syncs, B waits", a.syncs(side, &[]));
            a.asks_to_join(side);
            line("B is in 2", b.hears_of_join(side));
            line("A is in 2", a.hears_of_join(side));
            line("completing", describe(side, 6));
            b.asks_to_sync(side, &[]);
            line("A beats, nothing assigned", a.beats(side));
            line("A commits, nothing assigned", a.commits(side));
            line("A syncs 2", a.syncs(side, &[(&a, "one"), (&b, "two")]));
            line("B syncs 2", b.hears_of_sync(side));
            b.asks_to_join(side);
            line("B joins unchanged", b.hears_of_join(side));
            line("B leaves", b.leaves(side));
            line("B leaves again", b.leaves(side));
            line("B beats though it left", b.beats(side));
            line("A beats, B left", a.beats(side));
            a.asks_to_join(side);
            line("A is in 3", a.hears_of_join(side));
            line("A syncs 3", a.syncs(side, &[]));
            line("delete, not empty", delete(side, 2));
            line("A leaves", a.leaves(side));
            line("empty", describe(side, 6));
            line("A beats though it left", a.beats(side));
            line("A commits though it left", a.commits(side));
            line("A joins though it left", {
                a.asks_to_join(side);
                a.hears_of_join(side)
            });
            line("listed", list(side, 5, &[], &[]));
            line("delete", delete(side, 2));
            line("delete again", delete(side, 2));
            lines
        });
    }
}

#[test]
fn instances_are_fenced_alike() {
    for (what, age) in [
        ("leader comes back", NEW),
        ("old leader comes back", MIDDLE),
    ] {
        let mut both = ready();
        both_play(&mut both, what, |side| {
            let mut lines = Vec::new();
            let mut line = |step, answer| lines.push((step, answer));
            let mut a = Member::instance("A", age, "i");
            line("A joins", a.joins(side));
            line("A syncs", a.syncs(side, &[(&a, "all")]));
            let mut b = Member::instance("B", age, "i");
            line("B is the same instance", b.joins(side));
            line("B syncs", b.syncs(side, &[]));
            line("A beats", a.beats(side));
            line("A commits", a.commits(side));
            line("A syncs again", a.syncs(side, &[]));
            a.asks_to_join(side);
            line("A joins again", {
                let told = side_hears(side, &a);
                side.told(&told)
            });
            line("A leaves", a.leaves(side));
            line("B beats", b.beats(side));
            line("B commits", b.commits(side));
            line("stable", describe(side, 6));
            let operator = Member {
                id: Str::EMPTY,
                ..b.clone()
            };
            if age.leave >= 3 {
                line("an operator takes it out", operator.leaves(side));
                line("and again", operator.leaves(side));
            }
            line("empty", describe(side, 6));
            lines
        });
    }
}

fn side_hears(side: &mut Side, member: &Member) -> JoinGroupResponse {
    side.hear::<JoinGroupRequest>(member.who, member.age.join)
}

#[test]
fn members_are_refused_alike() {
    let mut both = ready();
    both_play(&mut both, "refused", |side| {
        let mut lines = Vec::new();
        let mut line = |step, answer| lines.push((step, answer));
        for age in [OLD, MIDDLE, NEW] {
            let mut nobody = Member::new("nobody", age);
            line("no group beats", nobody.beats(side));
            line("no group leaves", nobody.leaves(side));
            line("no group syncs", nobody.syncs(side, &[]));
            nobody.id = Str::from("nobody-1");
            nobody.generation = 3;
            line("nobody joins", {
                nobody.asks_to_join(side);
                let told = side_hears(side, &nobody);
                side.told(&told)
            });
            line("nobody beats", nobody.beats(side));
            line("nobody commits", nobody.commits(side));
            line("nobody leaves", nobody.leaves(side));
        }
        lines
    });
}

#[test]
fn requests_to_join_are_refused_alike() {
    let mut both = ready();
    both_play(&mut both, "refused", |side| {
        let mut lines = Vec::new();
        let member = Member::new("member", NEW);
        let mut refused = |step, change: &dyn Fn(&mut JoinGroupRequest)| {
            let mut request = member.join_request(side);
            change(&mut request);
            for version in [2, 5, 9] {
                if version < 5 {
                    request.group_instance_id = None;
                }
                side.say("member", version, &request);
                let told = side.hear::<JoinGroupRequest>("member", version);
                lines.push((step, side.told(&told)));
            }
        };
        refused("no group id", &|request| request.group_id = Str::EMPTY);
        refused("a short session", &|request| {
            request.session_timeout_ms = 5_999
        });
        refused("a long session", &|request| {
            request.session_timeout_ms = 1_800_001
        });
        refused("no protocol type", &|request| {
            request.protocol_type = Str::EMPTY
        });
        refused("no protocol", &|request| request.protocols.clear());
        lines
    });
}

#[test]
fn other_protocols_and_other_members_are_refused_alike() {
    let mut both = ready();
    both_play(&mut both, "refused", |side| {
        let mut lines = Vec::new();
        let mut line = |step, answer| lines.push((step, answer));
        let mut a = Member::new("A", NEW);
        line("A joins", a.joins(side));
        let mut other = a.join_request(side);
        other.member_id = Str::EMPTY;
        other.protocols[0].name = Str::from("sticky");
        side.say("B", 9, &other);
        let told = side.hear::<JoinGroupRequest>("B", 9);
        line("another protocol", side.told(&told));
        other.protocols[0].name = Str::from("range");
        other.protocol_type = Str::from("connect");
        side.say("B", 9, &other);
        let told = side.hear::<JoinGroupRequest>("B", 9);
        line("another type", side.told(&told));
        let mut sync = a.sync_request(side, &[]);
        sync.protocol_name = Some(Str::from("sticky"));
        side.say("A", 5, &sync);
        let told = side.hear::<SyncGroupRequest>("A", 5);
        line("sync with another protocol", side.told(&told));
        sync.protocol_name = None;
        side.say("A", 5, &sync);
        let told = side.hear::<SyncGroupRequest>("A", 5);
        line("sync without a protocol", side.told(&told));
        line("A syncs", a.syncs(side, &[(&a, "all")]));
        let nobody = Member::new("nobody", NEW);
        line(
            "a simple commit to a group with members",
            nobody.commits(side),
        );
        a.instance = Some(Str::from("i"));
        line("an instance that is none beats", a.beats(side));
        a.instance = None;
        line("A leaves", a.leaves(side));
        line("a simple commit to an empty group", nobody.commits(side));
        lines
    });
}

#[test]
fn tools_see_groups_alike() {
    let mut both = ready();
    both.each(|side| {
        let mut a = Member::new("A", NEW);
        a.joins(side);
        a.syncs(side, &[(&a, "all")]);
    });
    for version in 0..=6 {
        both.same(&format!("describe v{version}"), |side| {
            describe(side, version)
        });
        both.same(&format!("describe nothing v{version}"), |side| {
            let request = DescribeGroupsRequest {
                groups: vec![Str::from("no-such-group"), Str::EMPTY],
                ..DescribeGroupsRequest::default()
            };
            let mut told = side.response(version, &request);
            told.groups.sort_by_key(|group| group.group_id.clone());
            side.told(&told)
        });
    }
    for version in 0..=5 {
        both.same(&format!("list v{version}"), |side| {
            list(side, version, &[], &[])
        });
    }
    for states in [&["Stable"][..], &["stable", "Empty"], &["Empty"], &["x"]] {
        both.same(&format!("list {states:?}"), |side| {
            list(side, 5, states, &[])
        });
    }
    for types in [&["classic"][..], &["Consumer"], &["consumer", "CLASSIC"]] {
        both.same(&format!("list {types:?}"), |side| list(side, 5, &[], types));
    }
    for version in 0..=2 {
        both.same(&format!("delete v{version}"), |side| delete(side, version));
    }
}

fn describe(side: &mut Side, version: i16) -> String {
    let request = DescribeGroupsRequest {
        groups: vec![group(side)],
        ..DescribeGroupsRequest::default()
    };
    let mut told = side.response(version, &request);
    for group in &mut told.groups {
        group
            .members
            .sort_by_key(|member| side.told(&member.member_id));
    }
    side.told(&told)
}

fn list(side: &mut Side, version: i16, states: &[&str], types: &[&str]) -> String {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|state| Str::from(*state)).collect(),
        types_filter: types.iter().map(|kind| Str::from(*kind)).collect(),
    };
    let mut told = side.response(version, &request);
    let own = group(side);
    told.groups.retain(|group| group.group_id == own);
    side.told(&told)
}

fn delete(side: &mut Side, version: i16) -> String {
    let request = DeleteGroupsRequest {
        groups_names: vec![group(side), Str::from("no-such-group")],
    };
    let mut told = side.response(version, &request);
    told.results.sort_by_key(|result| result.group_id.clone());
    side.told(&told)
}

/// Until the group is in a state: the request that brings it there is answered only later.
fn wait_for(side: &mut Side, state: &str) -> String {
    let limit = std::time::Duration::from_secs(30);
    klamm_live::process::until("the group changes", limit, || {
        describe(side, 5).contains(state).then_some(())
    });
    String::new()
}
