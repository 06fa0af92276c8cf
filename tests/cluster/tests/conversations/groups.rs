//! Classic groups: members come, rebalance, commit, are silent, and leave.

use klamm::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, MemberIdentity,
};
use klamm::{ApiKey, Duration, ErrorCode, Str};
use klamm_cluster::{ClusterConfig, GroupConfig, Moment};

use crate::client::{Conversation, error};
use crate::members::{GROUP, Member, stabilise, two_members};

fn talk() -> Conversation {
    let mut talk = Conversation::with(1);
    talk.cluster.create_topic("t", 2).unwrap();
    talk
}

#[test]
fn two_members_gather_and_share() {
    let mut talk = talk();
    let mut first = Member::new(&mut talk);
    first.enter(&mut talk);
    talk.pass(2_000);
    assert_eq!(first.join_answer(&mut talk), None, "3 s for others to come");
    let mut second = Member::new(&mut talk);
    second.enter(&mut talk);
    talk.pass(1_000);
    assert_eq!(first.join_answer(&mut talk), None, "one came: 3 s more");
    talk.pass(3_000);
    let told = first.joined(&mut talk);
    assert_eq!(told.leader, first.id);
    assert_eq!(told.protocol_name, Some(Str::from("range")));
    let members: Vec<_> = told.members.iter().map(|m| m.member_id.clone()).collect();
    assert_eq!(members, [first.id.clone(), second.id.clone()]);
    let told = second.joined(&mut talk);
    assert_eq!((told.leader, told.members.len()), (first.id.clone(), 0));
    assert_eq!((first.generation, second.generation), (1, 1));

    second.ask_to_sync(&mut talk, &[]);
    assert_eq!(second.sync_answer(&mut talk), None, "nothing is assigned");
    assert_eq!(first.commit(&mut talk), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(first.heartbeat(&mut talk), ErrorCode::NONE);
    first.ask_to_sync(&mut talk, &[(&first, "t-0"), (&second, "t-1")]);
    assert_eq!(first.share(&mut talk), Ok("t-0".into()));
    assert_eq!(second.share(&mut talk), Ok("t-1".into()));
    assert_eq!(first.commit(&mut talk), ErrorCode::NONE);
    let group = talk.cluster.group(GROUP).unwrap();
    assert_eq!((group.state, group.members.len()), ("Stable", 2));
}

#[test]
fn an_old_client_needs_no_id_to_join() {
    let mut talk = talk();
    let member = Member::new(&mut talk);
    talk.send(member.over, 3, &member.join_request());
    talk.pass(3_000);
    let (_, told) = talk.answer::<JoinGroupRequest>(member.over, 3).unwrap();
    assert_eq!((told.error_code, told.generation_id), (0, 1));
    assert_eq!(told.leader, told.member_id);
    assert!(told.member_id.starts_with("test-"), "{}", told.member_id);
}

#[test]
fn a_third_member_makes_the_others_join_again() {
    let mut talk = talk();
    let (mut first, mut second) = two_members(&mut talk);
    let mut third = Member::new(&mut talk);
    third.enter(&mut talk);
    assert_eq!(third.join_answer(&mut talk), None);
    let rebalance = ErrorCode::REBALANCE_IN_PROGRESS;
    assert_eq!(first.heartbeat(&mut talk), rebalance);
    assert_eq!(first.commit(&mut talk), ErrorCode::NONE, "still its own");
    first.ask_to_join(&mut talk);
    assert_eq!(second.heartbeat(&mut talk), rebalance);
    second.ask_to_sync(&mut talk, &[]);
    assert_eq!(second.share(&mut talk), Err(rebalance));
    second.ask_to_join(&mut talk);
    stabilise(&mut talk, &mut [&mut first, &mut second, &mut third]);
    assert_eq!(third.generation, 2);
    let mut stale = third.clone();
    stale.generation = 1;
    assert_eq!(stale.heartbeat(&mut talk), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(stale.commit(&mut talk), ErrorCode::ILLEGAL_GENERATION);
    stale.id = Str::from("nobody");
    assert_eq!(stale.commit(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_follower_that_joins_again_unchanged_stays_in_its_generation() {
    let mut talk = talk();
    let (first, second) = two_members(&mut talk);
    second.ask_to_join(&mut talk);
    let told = second.join_answer(&mut talk).unwrap();
    assert_eq!((told.error_code, told.generation_id), (0, 1));
    first.ask_to_join(&mut talk);
    assert_eq!(first.join_answer(&mut talk), None, "the leader may ask");
    assert_eq!(
        second.heartbeat(&mut talk),
        ErrorCode::REBALANCE_IN_PROGRESS
    );
}

#[test]
fn a_silent_member_is_out_after_its_session() {
    let mut talk = talk();
    let (mut first, second) = two_members(&mut talk);
    talk.pass(9_999);
    assert_eq!(first.heartbeat(&mut talk), ErrorCode::NONE);
    talk.pass(1);
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(second.heartbeat(&mut talk), unknown);
    assert_eq!(first.heartbeat(&mut talk), ErrorCode::REBALANCE_IN_PROGRESS);
    first.ask_to_join(&mut talk);
    stabilise(&mut talk, &mut [&mut first]);
    assert_eq!(first.generation, 2);
    assert_eq!(second.commit(&mut talk), unknown);
}

#[test]
fn a_commit_keeps_a_member_alive() {
    let mut talk = talk();
    let (first, second) = two_members(&mut talk);
    for _ in 0..3 {
        talk.pass(9_000);
        assert_eq!(first.commit(&mut talk), ErrorCode::NONE);
        assert_eq!(second.heartbeat(&mut talk), ErrorCode::NONE);
    }
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut talk = talk();
    let (mut first, second) = two_members(&mut talk);
    first.ask_to_join(&mut talk);
    for _ in 0..12 {
        talk.pass(5_000 - 1);
        assert_eq!(
            second.heartbeat(&mut talk),
            ErrorCode::REBALANCE_IN_PROGRESS
        );
    }
    assert_eq!(first.join_answer(&mut talk), None);
    talk.pass(12);
    assert_eq!(second.heartbeat(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(first.joined(&mut talk).members.len(), 1);
}

#[test]
fn who_does_not_ask_for_its_share_in_time_is_out() {
    let mut talk = talk();
    let (mut first, mut second) = two_members(&mut talk);
    first.ask_to_join(&mut talk);
    second.ask_to_join(&mut talk);
    first.joined(&mut talk);
    second.joined(&mut talk);
    first.ask_to_sync(&mut talk, &[(&first, "t-0")]);
    assert_eq!(first.share(&mut talk), Ok("t-0".into()));
    for _ in 0..10 {
        talk.pass(6_000);
        first.heartbeat(&mut talk);
        second.heartbeat(&mut talk);
    }
    assert_eq!(second.heartbeat(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(first.heartbeat(&mut talk), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn an_id_that_is_never_used_holds_up_nobody_for_long() {
    let mut talk = talk();
    let (mut first, mut second) = two_members(&mut talk);
    let never = Member::new(&mut talk);
    never.ask_to_join(&mut talk);
    first.ask_to_join(&mut talk);
    second.ask_to_join(&mut talk);
    assert_eq!(first.join_answer(&mut talk), None, "the id may come back");
    talk.pass(10_000);
    assert_eq!(first.joined(&mut talk).members.len(), 2);
    second.joined(&mut talk);
}

#[test]
fn a_member_leaves() {
    let mut talk = talk();
    let (mut first, second) = two_members(&mut talk);
    assert_eq!(second.leave(&mut talk), ErrorCode::NONE);
    assert_eq!(second.leave(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(first.heartbeat(&mut talk), ErrorCode::REBALANCE_IN_PROGRESS);
    first.ask_to_join(&mut talk);
    stabilise(&mut talk, &mut [&mut first]);
    let request = LeaveGroupRequest {
        group_id: Str::from(GROUP),
        member_id: first.id.clone(),
        ..LeaveGroupRequest::default()
    };
    assert_eq!(talk.ask(first.over, 2, &request).error_code, 0);
    let group = talk.cluster.group(GROUP).unwrap();
    assert_eq!((group.state, group.generation), ("Empty", 3));
}

#[test]
fn an_instance_comes_back_without_a_rebalance() {
    let mut talk = talk();
    let mut first = Member::instance(&mut talk, "a");
    let mut second = Member::instance(&mut talk, "b");
    first.ask_to_join(&mut talk);
    second.ask_to_join(&mut talk);
    talk.pass(6_000);
    stabilise(&mut talk, &mut [&mut first, &mut second]);

    let mut again = Member::instance(&mut talk, "b");
    again.ask_to_join(&mut talk);
    let told = again.joined(&mut talk);
    assert_eq!((told.generation_id, told.skip_assignment), (1, false));
    assert_ne!(again.id, second.id);
    again.ask_to_sync(&mut talk, &[]);
    assert_eq!(again.share(&mut talk), Ok("second".into()));
    let fenced = ErrorCode::FENCED_INSTANCE_ID;
    assert_eq!(second.heartbeat(&mut talk), fenced);
    assert_eq!(second.commit(&mut talk), fenced);
    second.ask_to_join(&mut talk);
    let refused = second.join_answer(&mut talk).unwrap();
    assert_eq!(error(refused.error_code), fenced);
    assert_eq!(first.heartbeat(&mut talk), ErrorCode::NONE);
}

#[test]
fn a_leader_instance_that_comes_back_is_told_not_to_assign() {
    let mut talk = talk();
    let mut first = Member::instance(&mut talk, "a");
    first.ask_to_join(&mut talk);
    talk.pass(3_000);
    stabilise(&mut talk, &mut [&mut first]);
    let mut again = Member::instance(&mut talk, "a");
    again.ask_to_join(&mut talk);
    let told = again.joined(&mut talk);
    assert_eq!((told.skip_assignment, told.members.len()), (true, 1));
    assert_eq!(told.leader, again.id);
    let old = Member::instance(&mut talk, "a");
    talk.send(old.over, 8, &old.join_request());
    let (_, told) = talk.answer::<JoinGroupRequest>(old.over, 8).unwrap();
    assert_eq!(
        told.leader, again.id,
        "so that an old client does not assign"
    );
    assert_ne!(told.member_id, again.id);
}

#[test]
fn an_operator_takes_an_instance_out() {
    let mut talk = talk();
    let mut first = Member::instance(&mut talk, "a");
    first.ask_to_join(&mut talk);
    talk.pass(3_000);
    stabilise(&mut talk, &mut [&mut first]);
    let identity = |instance: &str| MemberIdentity {
        group_instance_id: Some(Str::from(instance)),
        ..MemberIdentity::default()
    };
    let request = LeaveGroupRequest {
        group_id: Str::from(GROUP),
        members: vec![identity("a"), identity("b")],
        ..LeaveGroupRequest::default()
    };
    let told = talk.ask(first.over, 5, &request);
    let errors: Vec<_> = told.members.iter().map(|m| error(m.error_code)).collect();
    assert_eq!(errors, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(talk.cluster.group(GROUP).unwrap().state, "Empty");
}

#[test]
fn members_vote_for_a_protocol_that_all_can() {
    let mut talk = talk();
    let mut first = Member::new(&mut talk);
    first.protocols = vec!["sticky", "range"];
    let mut second = Member::new(&mut talk);
    second.protocols = vec!["range"];
    first.enter(&mut talk);
    second.enter(&mut talk);
    let mut third = Member::new(&mut talk);
    third.protocols = vec!["roundrobin"];
    third.ask_to_join(&mut talk);
    let refused = third.join_answer(&mut talk).unwrap();
    let inconsistent = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
    assert_eq!(error(refused.error_code), inconsistent);
    talk.pass(6_000);
    let told = first.joined(&mut talk);
    assert_eq!(told.protocol_name, Some(Str::from("range")));
    first.protocols = vec!["sticky"];
    first.ask_to_sync(&mut talk, &[]);
    assert_eq!(first.share(&mut talk), Err(inconsistent));
}

#[test]
fn a_group_has_room_for_as_many_as_it_may() {
    let mut talk = Conversation::configured(ClusterConfig {
        groups: GroupConfig {
            max_size: 1,
            ..GroupConfig::default()
        },
        ..ClusterConfig::default()
    });
    let mut first = Member::new(&mut talk);
    first.enter(&mut talk);
    let second = Member::new(&mut talk);
    second.ask_to_join(&mut talk);
    let refused = second.join_answer(&mut talk).unwrap();
    assert_eq!(error(refused.error_code), ErrorCode::GROUP_MAX_SIZE_REACHED);
}

#[test]
fn a_session_is_as_long_as_the_coordinator_allows() {
    let mut talk = talk();
    let member = Member::new(&mut talk);
    for timeout in [5_999, 1_800_001] {
        let mut request = member.join_request();
        request.session_timeout_ms = timeout;
        let told = talk.ask(member.over, 9, &request);
        assert_eq!(error(told.error_code), ErrorCode::INVALID_SESSION_TIMEOUT);
    }
}

#[test]
fn a_new_coordinator_knows_what_was_in_the_log() {
    let mut talk = Conversation::configured(ClusterConfig {
        groups: GroupConfig {
            load_time: Duration::from_millis(500),
            ..GroupConfig::default()
        },
        ..ClusterConfig::with_nodes(2)
    });
    talk.cluster.create_topic("t", 2).unwrap();
    talk.cluster.move_coordinator(GROUP, 1);
    let (first, mut second) = two_members(&mut talk);
    let mut third = Member::new(&mut talk);
    third.enter(&mut talk);
    first.ask_to_join(&mut talk);
    talk.cluster.move_coordinator(GROUP, 2);
    talk.collect();
    for member in [&first, &third] {
        let refused = member.join_answer(&mut talk).unwrap();
        assert_eq!(error(refused.error_code), ErrorCode::NOT_COORDINATOR);
    }
    assert_eq!(second.heartbeat(&mut talk), ErrorCode::NOT_COORDINATOR);
    second.over = talk.connect(2);
    third.over = talk.connect(2);
    let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    assert_eq!(
        second.heartbeat(&mut talk),
        ErrorCode::NONE,
        "it is believed"
    );
    assert_eq!(second.commit(&mut talk), loading);
    talk.pass(500);
    assert_eq!(
        second.commit(&mut talk),
        ErrorCode::NONE,
        "generation 1 lives"
    );
    assert_eq!(third.heartbeat(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
    talk.pass(9_999);
    assert_eq!(talk.cluster.group(GROUP).unwrap().state, "Stable");
    talk.pass(1);
    assert_ne!(talk.cluster.group(GROUP).unwrap().state, "Stable");
}

#[test]
fn a_group_is_frozen_while_nobody_coordinates_it() {
    let mut talk = talk();
    let (mut first, _) = two_members(&mut talk);
    talk.cluster.stop_broker(1).unwrap();
    talk.pass(60_000);
    talk.cluster.start_broker(1).unwrap();
    first.over = talk.connect(1);
    assert_eq!(first.heartbeat(&mut talk), ErrorCode::NONE);
}

#[test]
fn tools_see_groups_and_delete_empty_ones() {
    let mut talk = talk();
    let (first, second) = two_members(&mut talk);
    let describe = DescribeGroupsRequest {
        groups: vec![Str::from(GROUP), Str::from("nobody")],
        ..DescribeGroupsRequest::default()
    };
    let told = talk.ask(first.over, 6, &describe);
    assert_eq!(told.groups[0].group_state, "Stable");
    assert_eq!(told.groups[0].protocol_data, "range");
    assert_eq!(&told.groups[0].members[1].member_assignment[..], b"second");
    let unknown = error(told.groups[1].error_code);
    assert_eq!(unknown, ErrorCode::GROUP_ID_NOT_FOUND);
    let list = |state: &str| ListGroupsRequest {
        states_filter: vec![Str::from(state)],
        ..ListGroupsRequest::default()
    };
    assert_eq!(talk.ask(first.over, 5, &list("stable")).groups.len(), 1);
    assert_eq!(talk.ask(first.over, 5, &list("Empty")).groups.len(), 0);
    let delete = DeleteGroupsRequest {
        groups_names: vec![Str::from(GROUP)],
    };
    let mut deleted = || error(talk.ask(first.over, 2, &delete).results[0].error_code);
    assert_eq!(deleted(), ErrorCode::NON_EMPTY_GROUP);
    second.leave(&mut talk);
    first.leave(&mut talk);
    let mut deleted = || error(talk.ask(first.over, 2, &delete).results[0].error_code);
    assert_eq!(deleted(), ErrorCode::NONE);
    assert_eq!(deleted(), ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn faults_meet_members_before_and_after() {
    let mut talk = talk();
    let not_coordinator = ErrorCode::NOT_COORDINATOR;
    talk.cluster.on(ApiKey::JOIN_GROUP).answer(not_coordinator);
    let member = Member::new(&mut talk);
    member.ask_to_join(&mut talk);
    let refused = member.join_answer(&mut talk).unwrap();
    assert_eq!(error(refused.error_code), not_coordinator);
    assert_eq!(talk.cluster.group(GROUP), None);
    let (first, mut second) = two_members(&mut talk);
    let fault = talk.cluster.on(ApiKey::LEAVE_GROUP);
    fault.drop_connection(Moment::After);
    let request = LeaveGroupRequest {
        group_id: Str::from(GROUP),
        members: vec![MemberIdentity {
            member_id: second.id.clone(),
            ..MemberIdentity::default()
        }],
        ..LeaveGroupRequest::default()
    };
    talk.send(second.over, 5, &request);
    second.over = talk.connect(1);
    assert_eq!(second.heartbeat(&mut talk), ErrorCode::UNKNOWN_MEMBER_ID);
    let rebalance = ErrorCode::REBALANCE_IN_PROGRESS;
    assert_eq!(first.heartbeat(&mut talk), rebalance);
}
