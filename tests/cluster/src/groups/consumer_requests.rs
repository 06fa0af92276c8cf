//! Owns ConsumerGroupHeartbeat and ConsumerGroupDescribe as requests.
//!
//! Must not know how a group assigns.

use klamm::messages::{
    ConsumerGroupDescribeAssignment, ConsumerGroupDescribeDescribedGroup,
    ConsumerGroupDescribeMember, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
    ConsumerGroupDescribeTopicPartitions, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
};
use klamm::{ErrorCode, Str, TopicPattern, Uuid};

use super::Members;
use super::consumer::assignors::{ASSIGNORS, Partitions};
use super::consumer::{ConsumerGroup, Heartbeat};
use super::describe::CLIENT_HOST;
use crate::cluster::Cluster;
use crate::connection::Call;
use crate::dispatch::Handled;
use crate::random::Purpose;

/// From this version on members choose their ids themselves (KIP-1082).
const OWN_ID_FROM: i16 = 1;
/// What a member is that speaks the protocol of the group, and not the classic one.
const CONSUMER_MEMBER: i8 = 1;

impl Cluster {
    pub(crate) fn serve_consumer_group_heartbeat(
        &mut self,
        mut call: Call,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Option<Handled> {
        let before = call.met.answers.top(crate::faults::Moment::Before);
        let after = call.met.answers.top(crate::faults::Moment::After);
        let beaten = match before {
            Some(error) => Err(error),
            None => self.consumer_heartbeat(&call, &request),
        };
        let beaten = after.map_or(beaten, Err);
        let mut response = beaten.unwrap_or_else(|error| ConsumerGroupHeartbeatResponse {
            error_code: error.0,
            ..ConsumerGroupHeartbeatResponse::default()
        });
        response.throttle_time_ms = self.throttle_ms();
        let outcome = self.answer::<ConsumerGroupHeartbeatRequest>(&call, &response);
        Some((call, outcome))
    }

    fn consumer_heartbeat(
        &mut self,
        call: &Call,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        check(call.version, request)?;
        let id = &request.group_id;
        self.check_coordinator(call.broker, id)?;
        let joins = request.member_epoch == 0;
        if joins {
            self.group_or_new(id);
        }
        let fresh_id = if request.member_id.is_empty() {
            let high = self.random.next(Purpose::MemberId);
            let low = self.random.next(Purpose::MemberId);
            let unique = Uuid::from((u128::from(high) << 64) | u128::from(low));
            Str::from(unique.to_string())
        } else {
            Str::EMPTY
        };
        let view = self.topology.view(call.broker);
        let beat = Heartbeat {
            client_id: &call.client_id,
            fresh_id,
            request,
            topics: &view,
        };
        let (now, config) = (self.now, self.config.groups.clone());
        let beaten = self.with_members(id, |members| {
            let group = members.as_consumer(joins);
            let beaten = group.map_or(Err(ErrorCode::GROUP_ID_NOT_FOUND), |group| {
                group.heartbeat(&beat, now, &config)
            });
            (beaten, Vec::new())
        });
        beaten.unwrap_or(Err(ErrorCode::GROUP_ID_NOT_FOUND))
    }

    pub(crate) fn serve_consumer_group_describe(
        &mut self,
        mut call: Call,
        request: ConsumerGroupDescribeRequest,
    ) -> Option<Handled> {
        let groups = request.group_ids.into_iter();
        let groups = groups.map(|id| self.described_consumer_group(&mut call, id));
        let response = ConsumerGroupDescribeResponse {
            groups: groups.collect(),
            throttle_time_ms: self.throttle_ms(),
        };
        let outcome = self.answer::<ConsumerGroupDescribeRequest>(&call, &response);
        Some((call, outcome))
    }

    fn described_consumer_group(
        &self,
        call: &mut Call,
        id: Str,
    ) -> ConsumerGroupDescribeDescribedGroup {
        let fault = call.met.answers.either_topic(&id);
        let nameless = id.is_empty().then_some(ErrorCode::INVALID_GROUP_ID);
        let wrong = self.check_coordinator(call.broker, &id).err();
        let group = match self.groups.get(&id).map(|group| &group.members) {
            Some(Members::Consumer(group)) => Ok(group),
            Some(Members::Classic(_)) | None => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        };
        let refused = fault.or(nameless).or(wrong);
        match refused.map_or(group, Err) {
            Ok(group) => self.described_members(id, group),
            Err(error) => ConsumerGroupDescribeDescribedGroup {
                error_code: error.0,
                group_id: id,
                ..ConsumerGroupDescribeDescribedGroup::default()
            },
        }
    }

    fn described_members(
        &self,
        id: Str,
        group: &ConsumerGroup,
    ) -> ConsumerGroupDescribeDescribedGroup {
        let members = group.described().map(|member| ConsumerGroupDescribeMember {
            member_id: member.id.clone(),
            instance_id: member.instance.cloned(),
            rack_id: member.rack.cloned(),
            member_epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: Str::from_static(CLIENT_HOST),
            subscribed_topic_names: member.topics,
            subscribed_topic_regex: Some(member.pattern),
            assignment: self.described_assignment(&member.assigned),
            target_assignment: self.described_assignment(&member.target),
            member_type: CONSUMER_MEMBER,
        });
        ConsumerGroupDescribeDescribedGroup {
            group_id: id,
            group_state: Str::from_static(group.state()),
            group_epoch: group.epoch(),
            assignment_epoch: group.assignment_epoch(),
            assignor_name: group.assignor(),
            members: members.collect(),
            ..ConsumerGroupDescribeDescribedGroup::default()
        }
    }

    fn described_assignment(&self, partitions: &Partitions) -> ConsumerGroupDescribeAssignment {
        let image = self.topology.image();
        let topics = partitions.iter().filter_map(|(topic, partitions)| {
            Some(ConsumerGroupDescribeTopicPartitions {
                topic_id: *topic,
                topic_name: Str::from(image.topic_by_id(*topic)?.name.as_str()),
                partitions: partitions.iter().copied().collect(),
            })
        });
        ConsumerGroupDescribeAssignment {
            topic_partitions: topics.collect(),
        }
    }
}

/// What is wrong with a heartbeat whoever sends it.
fn check(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), ErrorCode> {
    let epoch = request.member_epoch;
    let needs_id = version >= OWN_ID_FROM || epoch > 0 || epoch == -1;
    let is_blank = |text: &Option<Str>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let joins_wrongly = epoch == 0
        && (request.rebalance_timeout_ms == -1
            || request
                .topic_partitions
                .as_ref()
                .is_none_or(|owned| !owned.is_empty())
            || (request.subscribed_topic_names.is_none()
                && request.subscribed_topic_regex.is_none()));
    let wrong = (needs_id && request.member_id.trim().is_empty())
        || request.group_id.trim().is_empty()
        || is_blank(&request.instance_id)
        || is_blank(&request.rack_id)
        || joins_wrongly
        || (epoch == -2 && request.instance_id.is_none())
        || epoch < -2;
    if wrong {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let mut assignors = request.server_assignor.iter();
    if assignors.any(|name| !ASSIGNORS.contains(&name.as_str())) {
        return Err(ErrorCode::UNSUPPORTED_ASSIGNOR);
    }
    let mut expressions = request.subscribed_topic_regex.iter();
    if expressions.any(|expression| TopicPattern::parse(expression).is_err()) {
        return Err(ErrorCode::INVALID_REGULAR_EXPRESSION);
    }
    Ok(())
}
