//! Owns the definitions of groups of consumers, classic and new (KIP-848), and of streams. Definitions and
//! nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Str, Uuid, message};
use alloc::vec::Vec;
use bytes::Bytes;

message! {
    /// Asks which broker coordinates a group, a transactional id or a share group's partition (several from
    /// 4, KIP-699).
    struct FindCoordinatorRequest: Request { key: 10, versions: 0..=6, flexible: 3.. } {
        key: Str [..=3],
        key_type: i8 [1..],
        coordinator_keys: Vec<Str> [4..],
    }

    /// The answer to [`FindCoordinatorRequest`].
    struct FindCoordinatorResponse: Response { key: 10, versions: 0..=6, flexible: 3.. } {
        throttle_time_ms: i32 [1..; ignorable],
        error_code: i16 [..=3],
        error_message: Option<Str> [1..=3; ignorable] = Some(Str::EMPTY),
        node_id: i32 [..=3],
        host: Str [..=3],
        port: i32 [..=3],
        coordinators: Vec<Coordinator> [4..],
    }

    /// One of the `coordinators` of [`FindCoordinatorResponse`].
    struct Coordinator {
        key: Str,
        node_id: i32,
        host: Str,
        port: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Joins a classic group, or joins it again for a rebalance. Answered when the members have gathered.
    struct JoinGroupRequest: Request { key: 11, versions: 0..=9, flexible: 6.. } {
        group_id: Str,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32 [1..; ignorable] = -1,
        member_id: Str,
        group_instance_id: Option<Str> [5..],
        protocol_type: Str,
        /// The assignors that the member can work with, the preferred one first, each with its subscription.
        protocols: Vec<JoinGroupRequestProtocol>,
        reason: Option<Str> [8..; ignorable],
    }

    /// One of the `protocols` of [`JoinGroupRequest`].
    struct JoinGroupRequestProtocol {
        name: Str,
        metadata: Bytes,
    }

    /// The answer to [`JoinGroupRequest`]. Only the leader gets the members.
    struct JoinGroupResponse: Response { key: 11, versions: 0..=9, flexible: 6.. } {
        throttle_time_ms: i32 [2..; ignorable],
        error_code: i16,
        generation_id: i32 = -1,
        protocol_type: Option<Str> [7..; ignorable],
        protocol_name: Option<Str> [..; null 7..] = Some(Str::EMPTY),
        leader: Str,
        skip_assignment: bool [9..],
        member_id: Str,
        members: Vec<JoinGroupResponseMember>,
    }

    /// One of the `members` of [`JoinGroupResponse`].
    struct JoinGroupResponseMember {
        member_id: Str,
        group_instance_id: Option<Str> [5..; ignorable],
        metadata: Bytes,
    }

    /// Tells the coordinator that a member of a classic group lives; the answer tells of rebalances.
    struct HeartbeatRequest: Request { key: 12, versions: 0..=4, flexible: 4.. } {
        group_id: Str,
        generation_id: i32,
        member_id: Str,
        group_instance_id: Option<Str> [3..],
    }

    /// The answer to [`HeartbeatRequest`].
    struct HeartbeatResponse: Response { key: 12, versions: 0..=4, flexible: 4.. } {
        throttle_time_ms: i32 [1..; ignorable],
        error_code: i16,
    }

    /// Takes members out of a classic group.
    struct LeaveGroupRequest: Request { key: 13, versions: 0..=5, flexible: 4.. } {
        group_id: Str,
        member_id: Str [..=2],
        members: Vec<MemberIdentity> [3..],
    }

    /// One of the `members` of [`LeaveGroupRequest`].
    struct MemberIdentity {
        member_id: Str,
        group_instance_id: Option<Str>,
        reason: Option<Str> [5..; ignorable],
    }

    /// The answer to [`LeaveGroupRequest`].
    struct LeaveGroupResponse: Response { key: 13, versions: 0..=5, flexible: 4.. } {
        throttle_time_ms: i32 [1..; ignorable],
        error_code: i16,
        members: Vec<MemberResponse> [3..],
    }

    /// One of the `members` of [`LeaveGroupResponse`].
    struct MemberResponse {
        member_id: Str,
        group_instance_id: Option<Str> = Some(Str::EMPTY),
        error_code: i16,
    }

    /// Asks for the member's share after a rebalance; the leader's brings everybody's.
    struct SyncGroupRequest: Request { key: 14, versions: 0..=5, flexible: 4.. } {
        group_id: Str,
        generation_id: i32,
        member_id: Str,
        group_instance_id: Option<Str> [3..],
        protocol_type: Option<Str> [5..; ignorable],
        protocol_name: Option<Str> [5..; ignorable],
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// One of the `assignments` of [`SyncGroupRequest`].
    struct SyncGroupRequestAssignment {
        member_id: Str,
        assignment: Bytes,
    }

    /// The answer to [`SyncGroupRequest`].
    struct SyncGroupResponse: Response { key: 14, versions: 0..=5, flexible: 4.. } {
        throttle_time_ms: i32 [1..; ignorable],
        error_code: i16,
        protocol_type: Option<Str> [5..; ignorable],
        protocol_name: Option<Str> [5..; ignorable],
        assignment: Bytes,
    }

    /// Asks for the state and the members of classic groups.
    struct DescribeGroupsRequest: Request { key: 15, versions: 0..=6, flexible: 5.. } {
        groups: Vec<Str>,
        include_authorized_operations: bool [3..],
    }

    /// The answer to [`DescribeGroupsRequest`].
    struct DescribeGroupsResponse: Response { key: 15, versions: 0..=6, flexible: 5.. } {
        throttle_time_ms: i32 [1..; ignorable],
        groups: Vec<DescribeGroupsDescribedGroup>,
    }

    /// One of the `groups` of [`DescribeGroupsResponse`].
    struct DescribeGroupsDescribedGroup {
        error_code: i16,
        error_message: Option<Str> [6..],
        group_id: Str,
        group_state: Str,
        protocol_type: Str,
        protocol_data: Str,
        members: Vec<DescribedGroupMember>,
        authorized_operations: i32 [3..] = i32::MIN,
    }

    /// One of the `members` of [`DescribeGroupsDescribedGroup`].
    struct DescribedGroupMember {
        member_id: Str,
        group_instance_id: Option<Str> [4..; ignorable],
        client_id: Str,
        client_host: Str,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }

    /// Asks a broker for the groups that it coordinates.
    struct ListGroupsRequest: Request { key: 16, versions: 0..=5, flexible: 3.. } {
        states_filter: Vec<Str> [4..],
        types_filter: Vec<Str> [5..],
    }

    /// The answer to [`ListGroupsRequest`].
    struct ListGroupsResponse: Response { key: 16, versions: 0..=5, flexible: 3.. } {
        throttle_time_ms: i32 [1..; ignorable],
        error_code: i16,
        groups: Vec<ListedGroup>,
    }

    /// One of the `groups` of [`ListGroupsResponse`].
    struct ListedGroup {
        group_id: Str,
        protocol_type: Str,
        group_state: Str [4..; ignorable],
        group_type: Str [5..; ignorable],
    }

    /// Deletes groups that have no members.
    struct DeleteGroupsRequest: Request { key: 42, versions: 0..=2, flexible: 2.. } {
        groups_names: Vec<Str>,
    }

    /// The answer to [`DeleteGroupsRequest`].
    struct DeleteGroupsResponse: Response { key: 42, versions: 0..=2, flexible: 2.. } {
        throttle_time_ms: i32,
        results: Vec<DeletableGroupResult>,
    }

    /// One of the `results` of [`DeleteGroupsResponse`].
    struct DeletableGroupResult {
        group_id: Str,
        error_code: i16,
    }

    /// Deletes stored positions of a group.
    struct OffsetDeleteRequest: Request { key: 47, versions: 0..=0, flexible: none } {
        group_id: Str,
        topics: Vec<OffsetDeleteRequestTopic>,
    }

    /// One of the `topics` of [`OffsetDeleteRequest`].
    struct OffsetDeleteRequestTopic {
        name: Str,
        partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// One of the `partitions` of [`OffsetDeleteRequestTopic`].
    struct OffsetDeleteRequestPartition {
        partition_index: i32,
    }

    /// The answer to [`OffsetDeleteRequest`].
    struct OffsetDeleteResponse: Response { key: 47, versions: 0..=0, flexible: none } {
        error_code: i16,
        throttle_time_ms: i32,
        topics: Vec<OffsetDeleteResponseTopic>,
    }

    /// One of the `topics` of [`OffsetDeleteResponse`].
    struct OffsetDeleteResponseTopic {
        name: Str,
        partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// One of the `partitions` of [`OffsetDeleteResponseTopic`].
    struct OffsetDeleteResponsePartition {
        partition_index: i32,
        error_code: i16,
    }

    /// Joins, keeps, changes or leaves a membership in a new-style consumer group (KIP-848). Null and -1
    /// mean "as before".
    struct ConsumerGroupHeartbeatRequest: Request { key: 68, versions: 0..=1, flexible: 0.. } {
        group_id: Str,
        member_id: Str,
        /// The epoch that the member knows; 0 joins, -1 leaves, -2 leaves for a while (static members).
        member_epoch: i32,
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<Str>>,
        subscribed_topic_regex: Option<Str> [1..],
        server_assignor: Option<Str>,
        topic_partitions: Option<Vec<ConsumerGroupHeartbeatTopicPartitions>>,
    }

    /// One of the `topic_partitions` of [`ConsumerGroupHeartbeatRequest`].
    struct ConsumerGroupHeartbeatTopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// The answer to [`ConsumerGroupHeartbeatRequest`].
    struct ConsumerGroupHeartbeatResponse: Response { key: 68, versions: 0..=1, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        member_id: Option<Str>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<ConsumerGroupHeartbeatAssignment>,
    }

    /// The `assignment` of [`ConsumerGroupHeartbeatResponse`].
    struct ConsumerGroupHeartbeatAssignment {
        topic_partitions: Vec<ConsumerGroupHeartbeatResponseTopicPartitions>,
    }

    /// One of the `topic_partitions` of [`ConsumerGroupHeartbeatAssignment`].
    struct ConsumerGroupHeartbeatResponseTopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// Asks for the state and the members of new-style consumer groups (KIP-848).
    struct ConsumerGroupDescribeRequest: Request { key: 69, versions: 0..=1, flexible: 0.. } {
        group_ids: Vec<Str>,
        include_authorized_operations: bool,
    }

    /// The answer to [`ConsumerGroupDescribeRequest`].
    struct ConsumerGroupDescribeResponse: Response { key: 69, versions: 0..=1, flexible: 0.. } {
        throttle_time_ms: i32,
        groups: Vec<ConsumerGroupDescribeDescribedGroup>,
    }

    /// One of the `groups` of [`ConsumerGroupDescribeResponse`].
    struct ConsumerGroupDescribeDescribedGroup {
        error_code: i16,
        error_message: Option<Str>,
        group_id: Str,
        group_state: Str,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: Str,
        members: Vec<ConsumerGroupDescribeMember>,
        authorized_operations: i32 = i32::MIN,
    }

    /// One of the `members` of [`ConsumerGroupDescribeDescribedGroup`].
    struct ConsumerGroupDescribeMember {
        member_id: Str,
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        member_epoch: i32,
        client_id: Str,
        client_host: Str,
        subscribed_topic_names: Vec<Str>,
        subscribed_topic_regex: Option<Str>,
        assignment: ConsumerGroupDescribeAssignment,
        target_assignment: ConsumerGroupDescribeAssignment,
        member_type: i8 [1..; ignorable] = -1,
    }

    /// The `assignment` of [`ConsumerGroupDescribeMember`].
    struct ConsumerGroupDescribeAssignment {
        topic_partitions: Vec<ConsumerGroupDescribeTopicPartitions>,
    }

    /// One of the `topic_partitions` of [`ConsumerGroupDescribeAssignment`].
    struct ConsumerGroupDescribeTopicPartitions {
        topic_id: Uuid,
        topic_name: Str,
        partitions: Vec<i32>,
    }

    /// Joins, keeps or leaves a membership in a group of Kafka Streams (KIP-1071).
    struct StreamsGroupHeartbeatRequest: Request { key: 88, versions: 0..=0, flexible: 0.. } {
        group_id: Str,
        member_id: Str,
        member_epoch: i32,
        endpoint_information_epoch: i32,
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        rebalance_timeout_ms: i32 = -1,
        topology: Option<StreamsGroupHeartbeatTopology>,
        active_tasks: Option<Vec<StreamsGroupHeartbeatTaskIds>>,
        standby_tasks: Option<Vec<StreamsGroupHeartbeatTaskIds>>,
        warmup_tasks: Option<Vec<StreamsGroupHeartbeatTaskIds>>,
        process_id: Option<Str>,
        user_endpoint: Option<StreamsGroupHeartbeatEndpoint>,
        client_tags: Option<Vec<StreamsGroupHeartbeatKeyValue>>,
        task_offsets: Option<Vec<StreamsGroupHeartbeatTaskOffset>>,
        task_end_offsets: Option<Vec<StreamsGroupHeartbeatTaskOffset>>,
        shutdown_application: bool,
    }

    /// The `topology` of [`StreamsGroupHeartbeatRequest`].
    struct StreamsGroupHeartbeatTopology {
        epoch: i32,
        subtopologies: Vec<StreamsGroupHeartbeatSubtopology>,
    }

    /// One of the `subtopologies` of [`StreamsGroupHeartbeatTopology`].
    struct StreamsGroupHeartbeatSubtopology {
        subtopology_id: Str,
        source_topics: Vec<Str>,
        source_topic_regex: Vec<Str>,
        state_changelog_topics: Vec<StreamsGroupHeartbeatTopicInfo>,
        repartition_sink_topics: Vec<Str>,
        repartition_source_topics: Vec<StreamsGroupHeartbeatTopicInfo>,
        copartition_groups: Vec<CopartitionGroup>,
    }

    /// One of the `state_changelog_topics` of [`StreamsGroupHeartbeatSubtopology`].
    struct StreamsGroupHeartbeatTopicInfo {
        name: Str,
        partitions: i32,
        replication_factor: i16,
        topic_configs: Vec<StreamsGroupHeartbeatKeyValue>,
    }

    /// One of the `topic_configs` of [`StreamsGroupHeartbeatTopicInfo`].
    struct StreamsGroupHeartbeatKeyValue {
        key: Str,
        value: Str,
    }

    /// One of the `copartition_groups` of [`StreamsGroupHeartbeatSubtopology`].
    struct CopartitionGroup {
        source_topics: Vec<i16>,
        source_topic_regex: Vec<i16>,
        repartition_source_topics: Vec<i16>,
    }

    /// One of the `active_tasks` of [`StreamsGroupHeartbeatRequest`].
    struct StreamsGroupHeartbeatTaskIds {
        subtopology_id: Str,
        partitions: Vec<i32>,
    }

    /// The `user_endpoint` of [`StreamsGroupHeartbeatRequest`].
    struct StreamsGroupHeartbeatEndpoint {
        host: Str,
        port: u16,
    }

    /// One of the `task_offsets` of [`StreamsGroupHeartbeatRequest`].
    struct StreamsGroupHeartbeatTaskOffset {
        subtopology_id: Str,
        partition: i32,
        offset: i64,
    }

    /// The answer to [`StreamsGroupHeartbeatRequest`].
    struct StreamsGroupHeartbeatResponse: Response { key: 88, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        member_id: Str,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        acceptable_recovery_lag: i32,
        task_offset_interval_ms: i32,
        status: Option<Vec<Status>> = Some(Vec::new()),
        active_tasks: Option<Vec<StreamsGroupHeartbeatResponseTaskIds>>,
        standby_tasks: Option<Vec<StreamsGroupHeartbeatResponseTaskIds>>,
        warmup_tasks: Option<Vec<StreamsGroupHeartbeatResponseTaskIds>>,
        endpoint_information_epoch: i32,
        partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
    }

    /// One of the `status` of [`StreamsGroupHeartbeatResponse`].
    struct Status {
        status_code: i8,
        status_detail: Str,
    }

    /// One of the `active_tasks` of [`StreamsGroupHeartbeatResponse`].
    struct StreamsGroupHeartbeatResponseTaskIds {
        subtopology_id: Str,
        partitions: Vec<i32>,
    }

    /// One of the `partitions_by_user_endpoint` of [`StreamsGroupHeartbeatResponse`].
    struct EndpointToPartitions {
        user_endpoint: StreamsGroupHeartbeatResponseEndpoint,
        active_partitions: Vec<TopicPartition>,
        standby_partitions: Vec<TopicPartition>,
    }

    /// The `user_endpoint` of [`EndpointToPartitions`].
    struct StreamsGroupHeartbeatResponseEndpoint {
        host: Str,
        port: u16,
    }

    /// One of the `active_partitions` of [`EndpointToPartitions`].
    struct TopicPartition {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// Asks for the state and the members of groups of Kafka Streams (KIP-1071).
    struct StreamsGroupDescribeRequest: Request { key: 89, versions: 0..=0, flexible: 0.. } {
        group_ids: Vec<Str>,
        include_authorized_operations: bool,
    }

    /// The answer to [`StreamsGroupDescribeRequest`].
    struct StreamsGroupDescribeResponse: Response { key: 89, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        groups: Vec<StreamsGroupDescribeDescribedGroup>,
    }

    /// One of the `groups` of [`StreamsGroupDescribeResponse`].
    struct StreamsGroupDescribeDescribedGroup {
        error_code: i16,
        error_message: Option<Str>,
        group_id: Str,
        group_state: Str,
        group_epoch: i32,
        assignment_epoch: i32,
        topology: Option<StreamsGroupDescribeTopology>,
        members: Vec<StreamsGroupDescribeMember>,
        authorized_operations: i32 = i32::MIN,
    }

    /// The `topology` of [`StreamsGroupDescribeDescribedGroup`].
    struct StreamsGroupDescribeTopology {
        epoch: i32,
        subtopologies: Option<Vec<StreamsGroupDescribeSubtopology>>,
    }

    /// One of the `subtopologies` of [`StreamsGroupDescribeTopology`].
    struct StreamsGroupDescribeSubtopology {
        subtopology_id: Str,
        source_topics: Vec<Str>,
        repartition_sink_topics: Vec<Str>,
        state_changelog_topics: Vec<StreamsGroupDescribeTopicInfo>,
        repartition_source_topics: Vec<StreamsGroupDescribeTopicInfo>,
    }

    /// One of the `state_changelog_topics` of [`StreamsGroupDescribeSubtopology`].
    struct StreamsGroupDescribeTopicInfo {
        name: Str,
        partitions: i32,
        replication_factor: i16,
        topic_configs: Vec<StreamsGroupDescribeKeyValue>,
    }

    /// One of the `topic_configs` of [`StreamsGroupDescribeTopicInfo`].
    struct StreamsGroupDescribeKeyValue {
        key: Str,
        value: Str,
    }

    /// One of the `members` of [`StreamsGroupDescribeDescribedGroup`].
    struct StreamsGroupDescribeMember {
        member_id: Str,
        member_epoch: i32,
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        client_id: Str,
        client_host: Str,
        topology_epoch: i32,
        process_id: Str,
        user_endpoint: Option<StreamsGroupDescribeEndpoint>,
        client_tags: Vec<StreamsGroupDescribeKeyValue>,
        task_offsets: Vec<StreamsGroupDescribeTaskOffset>,
        task_end_offsets: Vec<StreamsGroupDescribeTaskOffset>,
        assignment: StreamsGroupDescribeAssignment,
        target_assignment: StreamsGroupDescribeAssignment,
        is_classic: bool,
    }

    /// The `user_endpoint` of [`StreamsGroupDescribeMember`].
    struct StreamsGroupDescribeEndpoint {
        host: Str,
        port: u16,
    }

    /// One of the `task_offsets` of [`StreamsGroupDescribeMember`].
    struct StreamsGroupDescribeTaskOffset {
        subtopology_id: Str,
        partition: i32,
        offset: i64,
    }

    /// The `assignment` of [`StreamsGroupDescribeMember`].
    struct StreamsGroupDescribeAssignment {
        active_tasks: Vec<StreamsGroupDescribeTaskIds>,
        standby_tasks: Vec<StreamsGroupDescribeTaskIds>,
        warmup_tasks: Vec<StreamsGroupDescribeTaskIds>,
    }

    /// One of the `active_tasks` of [`StreamsGroupDescribeAssignment`].
    struct StreamsGroupDescribeTaskIds {
        subtopology_id: Str,
        partitions: Vec<i32>,
    }
}
