//! A coordinator of a classic group, played by the test.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::harness::*;
use crate::assignor::{Subscription, decode_assignment, encode_assignment};
use crate::config::{ConsumerConfig, OffsetReset};
use crate::consumer::{ConsumerEvent, RebalanceId, RebalanceListener};
use crate::engine::TopicPartition;
use crate::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    JoinGroupResponseMember, LeaveGroupRequest, LeaveGroupResponse, MemberResponse,
    OffsetCommitRequest, SyncGroupRequest, SyncGroupResponse,
};
use crate::time::{Duration, Instant};
use crate::wire::Str;

pub(super) const ME: &str = "klamm-1";
pub(super) const OTHER: &str = "java-1";

/// A consumer of the group, cooperative, without auto-commit.
pub(super) fn cooperative() -> ConsumerConfig {
    let config = config().group_id("surveyors");
    let config = config.auto_offset_reset(OffsetReset::Earliest);
    let config = config.enable_auto_commit(false);
    let strategy = vec![crate::assignor::Assignor::CooperativeSticky];
    config.partition_assignment_strategy(strategy)
}

/// The same, eager.
pub(super) fn eager() -> ConsumerConfig {
    cooperative().partition_assignment_strategy(vec![crate::assignor::Assignor::Range])
}

fn partitions(numbers: &[i32]) -> Vec<TopicPartition> {
    numbers
        .iter()
        .map(|partition| TopicPartition::new(T, *partition))
        .collect()
}

impl World {
    pub(super) fn subscribe(&mut self, topics: &[&str], listener: RebalanceListener) {
        self.consumer.subscribe(topics, listener, self.now).unwrap();
        self.drain();
    }

    /// A join that was sent to node 0, with what it says for its first assignor.
    pub(super) fn joins(&mut self) -> (Asked, JoinGroupRequest, Subscription) {
        let (asked, request) = self.next::<JoinGroupRequest>();
        let metadata = Bytes::copy_from_slice(&request.protocols[0].metadata);
        (asked, request, Subscription::decode(metadata).unwrap())
    }

    pub(super) fn answer_join(
        &mut self,
        asked: &Asked,
        generation: i32,
        leader: &str,
        members: Vec<JoinGroupResponseMember>,
    ) {
        let request: JoinGroupRequest = asked.decode();
        let response = JoinGroupResponse {
            generation_id: generation,
            protocol_type: Some(Str::from("consumer")),
            protocol_name: Some(request.protocols[0].name.clone()),
            leader: Str::from(leader),
            member_id: Str::from(ME),
            members,
            ..JoinGroupResponse::default()
        };
        self.answer::<JoinGroupRequest>(asked, &response);
    }

    pub(super) fn refuse_join(&mut self, asked: &Asked, error_code: i16) {
        let response = JoinGroupResponse {
            error_code,
            member_id: match error_code {
                79 => Str::from(ME),
                _ => Str::EMPTY,
            },
            ..JoinGroupResponse::default()
        };
        self.answer::<JoinGroupRequest>(asked, &response);
    }

    pub(super) fn answer_sync(&mut self, share: &[i32]) -> SyncGroupRequest {
        let (asked, request) = self.next::<SyncGroupRequest>();
        let response = SyncGroupResponse {
            assignment: encode_assignment(&partitions(share)).unwrap(),
            ..SyncGroupResponse::default()
        };
        self.answer::<SyncGroupRequest>(&asked, &response);
        request
    }

    pub(super) fn refuse_sync(&mut self, error_code: i16) {
        let (asked, _) = self.next::<SyncGroupRequest>();
        let response = SyncGroupResponse {
            error_code,
            ..SyncGroupResponse::default()
        };
        self.answer::<SyncGroupRequest>(&asked, &response);
    }

    /// Joins as a follower, up to the share.
    pub(super) fn joined(&mut self, generation: i32, share: &[i32]) {
        let (asked, ..) = self.joins();
        self.answer_join(&asked, generation, OTHER, Vec::new());
        let request = self.answer_sync(share);
        assert_eq!(request.generation_id, generation);
        assert_eq!(request.member_id.as_str(), ME);
        assert!(request.assignments.is_empty());
    }

    /// Subscribes and joins, up to the first share.
    pub(super) fn member_of(
        config: &ConsumerConfig,
        listener: RebalanceListener,
        share: &[i32],
    ) -> Self {
        let mut world = Self::new(config);
        world.subscribe(&[T], listener);
        world.name_coordinator(0);
        world.joined(1, share);
        world
    }

    /// Offset 0 is committed of these: they are fetched from there.
    pub(super) fn begin_at_0(&mut self, of: &[i32]) {
        let all: Vec<_> = of.iter().map(|partition| (*partition, 0, 0, -1)).collect();
        self.answer_committed(&all);
    }

    pub(super) fn answer_heartbeat(&mut self, error_code: i16) -> HeartbeatRequest {
        let (asked, request) = self.next::<HeartbeatRequest>();
        let response = HeartbeatResponse {
            error_code,
            ..HeartbeatResponse::default()
        };
        self.answer::<HeartbeatRequest>(&asked, &response);
        request
    }

    /// The next heartbeat is answered with this.
    pub(super) fn beats(&mut self, error_code: i16) {
        self.pass(Duration::from_secs(3));
        self.answer_heartbeat(error_code);
    }

    /// Time passes, and the coordinator hears that the member lives.
    pub(super) fn lives(&mut self, duration: Duration) {
        for _ in 0..duration.as_secs() {
            self.pass(Duration::from_secs(1));
            while self.has_asked(crate::wire::ApiKey::HEARTBEAT) {
                self.answer_heartbeat(0);
            }
        }
    }

    pub(super) fn answer_leave(&mut self, error_code: i16) -> LeaveGroupRequest {
        let (asked, request) = self.next::<LeaveGroupRequest>();
        let response = LeaveGroupResponse {
            members: vec![MemberResponse {
                error_code,
                ..MemberResponse::default()
            }],
            ..LeaveGroupResponse::default()
        };
        self.answer::<LeaveGroupRequest>(&asked, &response);
        request
    }

    /// A commit that was sent: generation, member, and each partition with its offset.
    pub(super) fn commits(&mut self) -> (Asked, String) {
        let (asked, request) = self.next::<OffsetCommitRequest>();
        let mut text = format!(
            "{} in {}:",
            request.member_id, request.generation_id_or_member_epoch
        );
        for topic in &request.topics {
            for partition in &topic.partitions {
                let offset = partition.committed_offset;
                text += &format!(" {}-{}={offset}", topic.name, partition.partition_index);
            }
        }
        (asked, text)
    }

    /// What the consumer asked last about a rebalance, and until when.
    pub(super) fn asked_last(&self) -> (RebalanceId, Option<Instant>) {
        let asked = self.events.iter().rev().find_map(|event| {
            if let ConsumerEvent::Rebalance { id, deadline, .. } = event {
                return Some((*id, *deadline));
            }
            None
        });
        asked.unwrap()
    }

    pub(super) fn question(&self) -> RebalanceId {
        self.asked_last().0
    }

    pub(super) fn done(&mut self, id: RebalanceId) {
        self.consumer.rebalance_done(id, self.now).unwrap();
        self.drain();
    }

    pub(super) fn has_asked(&self, api: crate::wire::ApiKey) -> bool {
        self.asked.iter().any(|asked| asked.api == api)
    }

    pub(super) fn owned(&self) -> Vec<i32> {
        let assignment = self.consumer.assignment();
        assignment.iter().map(|name| name.partition).collect()
    }
}

/// Another member, as the leader sees it.
pub(super) fn member(id: &str, subscription: &Subscription) -> JoinGroupResponseMember {
    JoinGroupResponseMember {
        member_id: Str::from(id),
        metadata: subscription.encode().unwrap(),
        ..JoinGroupResponseMember::default()
    }
}

/// Who is given what, in a leader's SyncGroup.
pub(super) fn shares(request: &SyncGroupRequest) -> Vec<(String, Vec<i32>)> {
    let share = |bytes: &Bytes| {
        let partitions = decode_assignment(Bytes::copy_from_slice(bytes)).unwrap();
        partitions.iter().map(|name| name.partition).collect()
    };
    let assignments = request.assignments.iter();
    assignments
        .map(|given| (given.member_id.as_str().into(), share(&given.assignment)))
        .collect()
}
