//! Members of a classic group, for conversations about groups.

use bytes::Bytes;
use klamm::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
    LeaveGroupRequest, MemberIdentity, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use klamm::{ErrorCode, Str};
use klamm_cluster::ConnectionKey;

use crate::client::{Conversation, error};

/// The group of all these conversations.
pub(crate) const GROUP: &str = "workers";
/// JoinGroup, SyncGroup and Heartbeat in the versions of a client of today.
const JOIN: i16 = 9;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;

/// A client that is, or wants to be, a member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) over: ConnectionKey,
    pub(crate) id: Str,
    pub(crate) instance: Option<Str>,
    pub(crate) generation: i32,
    pub(crate) protocols: Vec<&'static str>,
}

impl Member {
    /// Without an id, over a connection of its own.
    pub(crate) fn new(talk: &mut Conversation) -> Self {
        let broker = talk.cluster.coordinator_of(GROUP).unwrap();
        Self {
            over: talk.connect(broker),
            id: Str::EMPTY,
            instance: None,
            generation: -1,
            protocols: vec!["range"],
        }
    }

    /// One that the coordinator knows by the name of its instance.
    pub(crate) fn instance(talk: &mut Conversation, name: &str) -> Self {
        Self {
            instance: Some(Str::from(name)),
            ..Self::new(talk)
        }
    }

    pub(crate) fn join_request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter().map(|name| JoinGroupRequestProtocol {
            name: Str::from(*name),
            metadata: Bytes::from(format!("{name} of {}", self.id)),
        });
        JoinGroupRequest {
            group_id: Str::from(GROUP),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Str::from("consumer"),
            protocols: protocols.collect(),
            ..JoinGroupRequest::default()
        }
    }

    /// Asks to join, with the id that it has.
    pub(crate) fn ask_to_join(&self, talk: &mut Conversation) {
        talk.send(self.over, JOIN, &self.join_request());
    }

    /// Gets an id first, then asks to join (KIP-394).
    pub(crate) fn enter(&mut self, talk: &mut Conversation) {
        self.ask_to_join(talk);
        let refused = self.join_answer(talk).unwrap();
        assert_eq!(error(refused.error_code), ErrorCode::MEMBER_ID_REQUIRED);
        self.id = refused.member_id;
        self.ask_to_join(talk);
    }

    pub(crate) fn join_answer(&self, talk: &mut Conversation) -> Option<JoinGroupResponse> {
        let answer = talk.answer::<klamm::messages::JoinGroupRequest>(self.over, JOIN);
        answer.map(|(_, response)| response)
    }

    /// Reads that it is in a generation.
    pub(crate) fn joined(&mut self, talk: &mut Conversation) -> JoinGroupResponse {
        let response = self.join_answer(talk).expect("the generation began");
        assert_eq!(error(response.error_code), ErrorCode::NONE);
        self.id = response.member_id.clone();
        self.generation = response.generation_id;
        response
    }

    pub(crate) fn sync_request(&self, shares: &[(&Member, &'static str)]) -> SyncGroupRequest {
        let assignments = shares
            .iter()
            .map(|(member, share)| SyncGroupRequestAssignment {
                member_id: member.id.clone(),
                assignment: Bytes::from_static(share.as_bytes()),
            });
        SyncGroupRequest {
            group_id: Str::from(GROUP),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Some(Str::from("consumer")),
            protocol_name: Some(Str::from(self.protocols[0])),
            assignments: assignments.collect(),
        }
    }

    /// Asks for its share; a leader brings everybody's.
    pub(crate) fn ask_to_sync(&self, talk: &mut Conversation, shares: &[(&Member, &'static str)]) {
        talk.send(self.over, SYNC, &self.sync_request(shares));
    }

    pub(crate) fn sync_answer(&self, talk: &mut Conversation) -> Option<SyncGroupResponse> {
        let answer = talk.answer::<SyncGroupRequest>(self.over, SYNC);
        answer.map(|(_, response)| response)
    }

    /// The share that it is told.
    pub(crate) fn share(&self, talk: &mut Conversation) -> Result<String, ErrorCode> {
        let response = self.sync_answer(talk).expect("an answer to SyncGroup");
        error(response.error_code).check()?;
        Ok(String::from_utf8(response.assignment.to_vec()).unwrap())
    }

    pub(crate) fn heartbeat(&self, talk: &mut Conversation) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: Str::from(GROUP),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        error(talk.ask(self.over, HEARTBEAT, &request).error_code)
    }

    pub(crate) fn leave(&self, talk: &mut Conversation) -> ErrorCode {
        let request = LeaveGroupRequest {
            group_id: Str::from(GROUP),
            members: vec![MemberIdentity {
                member_id: self.id.clone(),
                group_instance_id: self.instance.clone(),
                ..MemberIdentity::default()
            }],
            ..LeaveGroupRequest::default()
        };
        let response = talk.ask(self.over, 5, &request);
        error(response.members[0].error_code)
    }

    /// Commits offset 7 of partition 0 of topic `t`.
    pub(crate) fn commit(&self, talk: &mut Conversation) -> ErrorCode {
        let request = OffsetCommitRequest {
            group_id: Str::from(GROUP),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: Str::from("t"),
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: 7,
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

/// Two members of a stable group, the leader first: their shares are `first` and `second`.
pub(crate) fn two_members(talk: &mut Conversation) -> (Member, Member) {
    let (mut first, mut second) = (Member::new(talk), Member::new(talk));
    first.enter(talk);
    second.enter(talk);
    talk.pass(6_000);
    stabilise(talk, &mut [&mut first, &mut second]);
    (first, second)
}

/// Members that all got an answer to JoinGroup get their shares: the leader is the first.
pub(crate) fn stabilise(talk: &mut Conversation, members: &mut [&mut Member]) {
    for member in members.iter_mut() {
        member.joined(talk);
    }
    let names = ["first", "second", "third"];
    let shares: Vec<_> = members
        .iter()
        .zip(names)
        .map(|(member, name)| (&**member, name))
        .collect();
    for member in members.iter().skip(1) {
        member.ask_to_sync(talk, &[]);
    }
    members[0].ask_to_sync(talk, &shares);
    for (member, name) in members.iter().zip(names) {
        assert_eq!(member.share(talk), Ok(name.to_owned()));
    }
}
