//! A coordinator that shares the partitions out itself (KIP-848), played by the test.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::harness::*;
use crate::config::{ConsumerConfig, GroupProtocol, OffsetReset};
use crate::consumer::RebalanceListener;
use crate::messages::{
    ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeatResponseTopicPartitions,
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use crate::time::Duration;
use crate::wire::{ApiKey, Str, Uuid};

/// The interval that the coordinator asks for.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// A consumer of the group by the consumer protocol, without auto-commit.
pub(super) fn modern() -> ConsumerConfig {
    let config = config().group_id("surveyors");
    let config = config.auto_offset_reset(OffsetReset::Earliest);
    let config = config.enable_auto_commit(false);
    config.group_protocol(GroupProtocol::Consumer)
}

/// A member in this epoch is given these partitions of the usual topic; without any: nothing new.
pub(super) fn heard(epoch: i32, share: Option<&[i32]>) -> ConsumerGroupHeartbeatResponse {
    heard_of(epoch, share.map(|share| vec![(ID, share.to_vec())]))
}

pub(super) fn heard_of(
    epoch: i32,
    share: Option<Vec<(Uuid, Vec<i32>)>>,
) -> ConsumerGroupHeartbeatResponse {
    let topic = |(topic_id, partitions)| ConsumerGroupHeartbeatResponseTopicPartitions {
        topic_id,
        partitions,
    };
    ConsumerGroupHeartbeatResponse {
        member_epoch: epoch,
        heartbeat_interval_ms: 5_000,
        assignment: share.map(|share| ConsumerGroupHeartbeatAssignment {
            topic_partitions: share.into_iter().map(topic).collect(),
        }),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

pub(super) fn refused(error_code: i16) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code,
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

/// What a heartbeat says: its epoch, whether it says everything, and which partitions are held if it says so.
fn said(request: &ConsumerGroupHeartbeatRequest) -> String {
    let mut text = format!("in {}", request.member_epoch);
    match (
        &request.subscribed_topic_names,
        request.rebalance_timeout_ms,
    ) {
        (None, -1) => {}
        (Some(names), timeout) => {
            let names: Vec<&str> = names.iter().map(Str::as_str).collect();
            text += &format!(", wants {} within {timeout}", names.join(" "));
        }
        (None, _) => text += ", a timeout alone",
    }
    if let Some(topics) = &request.topic_partitions {
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        let partitions: Vec<String> = partitions.map(|index| format!("{index}")).collect();
        text += &format!(", holds [{}]", partitions.join(" "));
    }
    text
}

impl World {
    /// The next heartbeat, in short, is answered with this.
    pub(super) fn beat(&mut self, response: &ConsumerGroupHeartbeatResponse) -> String {
        let (asked, request) = self.next::<ConsumerGroupHeartbeatRequest>();
        self.answer::<ConsumerGroupHeartbeatRequest>(&asked, response);
        said(&request)
    }

    /// The interval passes, and the next heartbeat is answered with this.
    pub(super) fn next_beat(&mut self, response: &ConsumerGroupHeartbeatResponse) -> String {
        assert!(!self.has_asked(ApiKey::CONSUMER_GROUP_HEARTBEAT));
        self.pass(INTERVAL);
        self.beat(response)
    }

    /// Subscribes and joins. Who is only told of rebalances has acknowledged the share; who is asked is being asked.
    pub(super) fn assigned(
        config: &ConsumerConfig,
        listener: RebalanceListener,
        share: &[i32],
    ) -> Self {
        let mut world = Self::new(config);
        world.subscribe(&[T], listener);
        world.name_coordinator(0);
        world.beat(&heard(1, Some(share)));
        if listener == RebalanceListener::Told {
            world.beat(&heard(1, None));
        }
        world.answer_members_offsets(share, 0);
        world
    }

    /// The coordinator says what is committed of each of these: offset 0. Returns as whom it was asked.
    pub(super) fn answer_members_offsets(&mut self, of: &[i32], code: i16) -> String {
        let (asked, request) = self.next::<OffsetFetchRequest>();
        let partition = |index: &i32| OffsetFetchResponsePartitions {
            partition_index: *index,
            committed_offset: 0,
            ..OffsetFetchResponsePartitions::default()
        };
        let response = OffsetFetchResponse {
            groups: vec![OffsetFetchResponseGroup {
                group_id: Str::from("surveyors"),
                topics: vec![OffsetFetchResponseTopics {
                    name: Str::from(T),
                    partitions: of.iter().map(partition).collect(),
                    ..OffsetFetchResponseTopics::default()
                }],
                error_code: code,
            }],
            ..OffsetFetchResponse::default()
        };
        self.answer::<OffsetFetchRequest>(&asked, &response);
        assert!(request.require_stable);
        let group = &request.groups[0];
        let is_member = group.member_id.as_ref().is_some_and(|id| id.len() == 22);
        format!("member: {is_member}, in {}", group.member_epoch)
    }
}
