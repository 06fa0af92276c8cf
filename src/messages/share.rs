//! Owns the definitions of share groups (KIP-932). Definitions and nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Records, Str, Uuid, message};
use alloc::vec::Vec;

message! {
    /// Joins, keeps or leaves a membership in a share group (KIP-932).
    struct ShareGroupHeartbeatRequest: Request { key: 76, versions: 1..=1, flexible: 1.. } {
        group_id: Str,
        member_id: Str,
        member_epoch: i32,
        rack_id: Option<Str>,
        subscribed_topic_names: Option<Vec<Str>>,
    }

    /// The answer to [`ShareGroupHeartbeatRequest`].
    struct ShareGroupHeartbeatResponse: Response { key: 76, versions: 1..=1, flexible: 1.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        member_id: Option<Str>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<ShareGroupHeartbeatAssignment>,
    }

    /// The `assignment` of [`ShareGroupHeartbeatResponse`].
    struct ShareGroupHeartbeatAssignment {
        topic_partitions: Vec<ShareGroupHeartbeatTopicPartitions>,
    }

    /// One of the `topic_partitions` of [`ShareGroupHeartbeatAssignment`].
    struct ShareGroupHeartbeatTopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// Asks for the state and the members of share groups (KIP-932).
    struct ShareGroupDescribeRequest: Request { key: 77, versions: 1..=1, flexible: 1.. } {
        group_ids: Vec<Str>,
        include_authorized_operations: bool,
    }

    /// The answer to [`ShareGroupDescribeRequest`].
    struct ShareGroupDescribeResponse: Response { key: 77, versions: 1..=1, flexible: 1.. } {
        throttle_time_ms: i32,
        groups: Vec<ShareGroupDescribeDescribedGroup>,
    }

    /// One of the `groups` of [`ShareGroupDescribeResponse`].
    struct ShareGroupDescribeDescribedGroup {
        error_code: i16,
        error_message: Option<Str>,
        group_id: Str,
        group_state: Str,
        group_epoch: i32,
        assignment_epoch: i32,
        assignor_name: Str,
        members: Vec<ShareGroupDescribeMember>,
        authorized_operations: i32 = i32::MIN,
    }

    /// One of the `members` of [`ShareGroupDescribeDescribedGroup`].
    struct ShareGroupDescribeMember {
        member_id: Str,
        rack_id: Option<Str>,
        member_epoch: i32,
        client_id: Str,
        client_host: Str,
        subscribed_topic_names: Vec<Str>,
        assignment: ShareGroupDescribeAssignment,
    }

    /// The `assignment` of [`ShareGroupDescribeMember`].
    struct ShareGroupDescribeAssignment {
        topic_partitions: Vec<ShareGroupDescribeTopicPartitions>,
    }

    /// One of the `topic_partitions` of [`ShareGroupDescribeAssignment`].
    struct ShareGroupDescribeTopicPartitions {
        topic_id: Uuid,
        topic_name: Str,
        partitions: Vec<i32>,
    }

    /// Acquires records of partitions for a share group, and acknowledges earlier ones on the way (KIP-932).
    struct ShareFetchRequest: Request { key: 78, versions: 1..=2, flexible: 1.. } {
        group_id: Option<Str>,
        member_id: Option<Str> = Some(Str::EMPTY),
        share_session_epoch: i32,
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 = i32::MAX,
        max_records: i32,
        batch_size: i32,
        share_acquire_mode: i8 [2..; ignorable],
        is_renew_ack: bool [2..],
        topics: Vec<ShareFetchTopic>,
        forgotten_topics_data: Vec<ShareFetchForgottenTopic>,
    }

    /// One of the `topics` of [`ShareFetchRequest`].
    struct ShareFetchTopic {
        topic_id: Uuid,
        partitions: Vec<ShareFetchPartition>,
    }

    /// One of the `partitions` of [`ShareFetchTopic`].
    struct ShareFetchPartition {
        partition_index: i32,
        acknowledgement_batches: Vec<ShareFetchAcknowledgementBatch>,
    }

    /// One of the `acknowledgement_batches` of [`ShareFetchPartition`].
    struct ShareFetchAcknowledgementBatch {
        first_offset: i64,
        last_offset: i64,
        acknowledge_types: Vec<i8>,
    }

    /// One of the `forgotten_topics_data` of [`ShareFetchRequest`].
    struct ShareFetchForgottenTopic {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }

    /// The answer to [`ShareFetchRequest`].
    struct ShareFetchResponse: Response { key: 78, versions: 1..=2, flexible: 1.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        acquisition_lock_timeout_ms: i32,
        responses: Vec<ShareFetchableTopicResponse>,
        node_endpoints: Vec<ShareFetchNodeEndpoint>,
    }

    /// One of the `responses` of [`ShareFetchResponse`].
    struct ShareFetchableTopicResponse {
        topic_id: Uuid,
        partitions: Vec<ShareFetchPartitionData>,
    }

    /// One of the `partitions` of [`ShareFetchableTopicResponse`].
    struct ShareFetchPartitionData {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str>,
        acknowledge_error_code: i16,
        acknowledge_error_message: Option<Str>,
        current_leader: ShareFetchLeaderIdAndEpoch,
        records: Records,
        acquired_records: Vec<AcquiredRecords>,
    }

    /// The `current_leader` of [`ShareFetchPartitionData`].
    struct ShareFetchLeaderIdAndEpoch {
        leader_id: i32,
        leader_epoch: i32,
    }

    /// One of the `acquired_records` of [`ShareFetchPartitionData`].
    struct AcquiredRecords {
        first_offset: i64,
        last_offset: i64,
        delivery_count: i16,
    }

    /// One of the `node_endpoints` of [`ShareFetchResponse`].
    struct ShareFetchNodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }

    /// Acknowledges records that a share group's member had acquired (KIP-932).
    struct ShareAcknowledgeRequest: Request { key: 79, versions: 1..=2, flexible: 1.. } {
        group_id: Option<Str>,
        member_id: Option<Str> = Some(Str::EMPTY),
        share_session_epoch: i32,
        is_renew_ack: bool [2..],
        topics: Vec<AcknowledgeTopic>,
    }

    /// One of the `topics` of [`ShareAcknowledgeRequest`].
    struct AcknowledgeTopic {
        topic_id: Uuid,
        partitions: Vec<AcknowledgePartition>,
    }

    /// One of the `partitions` of [`AcknowledgeTopic`].
    struct AcknowledgePartition {
        partition_index: i32,
        acknowledgement_batches: Vec<ShareAcknowledgeAcknowledgementBatch>,
    }

    /// One of the `acknowledgement_batches` of [`AcknowledgePartition`].
    struct ShareAcknowledgeAcknowledgementBatch {
        first_offset: i64,
        last_offset: i64,
        acknowledge_types: Vec<i8>,
    }

    /// The answer to [`ShareAcknowledgeRequest`].
    struct ShareAcknowledgeResponse: Response { key: 79, versions: 1..=2, flexible: 1.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        acquisition_lock_timeout_ms: i32 [2..; ignorable],
        responses: Vec<ShareAcknowledgeTopicResponse>,
        node_endpoints: Vec<ShareAcknowledgeNodeEndpoint>,
    }

    /// One of the `responses` of [`ShareAcknowledgeResponse`].
    struct ShareAcknowledgeTopicResponse {
        topic_id: Uuid,
        partitions: Vec<ShareAcknowledgePartitionData>,
    }

    /// One of the `partitions` of [`ShareAcknowledgeTopicResponse`].
    struct ShareAcknowledgePartitionData {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str>,
        current_leader: ShareAcknowledgeLeaderIdAndEpoch,
    }

    /// The `current_leader` of [`ShareAcknowledgePartitionData`].
    struct ShareAcknowledgeLeaderIdAndEpoch {
        leader_id: i32,
        leader_epoch: i32,
    }

    /// One of the `node_endpoints` of [`ShareAcknowledgeResponse`].
    struct ShareAcknowledgeNodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }

    /// Asks for the start offsets of share groups.
    struct DescribeShareGroupOffsetsRequest: Request { key: 90, versions: 0..=1, flexible: 0.. } {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup>,
    }

    /// One of the `groups` of [`DescribeShareGroupOffsetsRequest`].
    struct DescribeShareGroupOffsetsRequestGroup {
        group_id: Str,
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>> = Some(Vec::new()),
    }

    /// One of the `topics` of [`DescribeShareGroupOffsetsRequestGroup`].
    struct DescribeShareGroupOffsetsRequestTopic {
        topic_name: Str,
        partitions: Vec<i32>,
    }

    /// The answer to [`DescribeShareGroupOffsetsRequest`].
    struct DescribeShareGroupOffsetsResponse: Response { key: 90, versions: 0..=1, flexible: 0.. } {
        throttle_time_ms: i32,
        groups: Vec<DescribeShareGroupOffsetsResponseGroup>,
    }

    /// One of the `groups` of [`DescribeShareGroupOffsetsResponse`].
    struct DescribeShareGroupOffsetsResponseGroup {
        group_id: Str,
        topics: Vec<DescribeShareGroupOffsetsResponseTopic>,
        error_code: i16,
        error_message: Option<Str>,
    }

    /// One of the `topics` of [`DescribeShareGroupOffsetsResponseGroup`].
    struct DescribeShareGroupOffsetsResponseTopic {
        topic_name: Str,
        topic_id: Uuid,
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition>,
    }

    /// One of the `partitions` of [`DescribeShareGroupOffsetsResponseTopic`].
    struct DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32,
        start_offset: i64,
        leader_epoch: i32,
        lag: i64 [1..; ignorable] = -1,
        error_code: i16,
        error_message: Option<Str>,
    }

    /// Sets the start offsets of a share group without members.
    struct AlterShareGroupOffsetsRequest: Request { key: 91, versions: 0..=0, flexible: 0.. } {
        group_id: Str,
        topics: Vec<AlterShareGroupOffsetsRequestTopic>,
    }

    /// One of the `topics` of [`AlterShareGroupOffsetsRequest`].
    struct AlterShareGroupOffsetsRequestTopic {
        topic_name: Str,
        partitions: Vec<AlterShareGroupOffsetsRequestPartition>,
    }

    /// One of the `partitions` of [`AlterShareGroupOffsetsRequestTopic`].
    struct AlterShareGroupOffsetsRequestPartition {
        partition_index: i32,
        start_offset: i64,
    }

    /// The answer to [`AlterShareGroupOffsetsRequest`].
    struct AlterShareGroupOffsetsResponse: Response { key: 91, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        responses: Vec<AlterShareGroupOffsetsResponseTopic>,
    }

    /// One of the `responses` of [`AlterShareGroupOffsetsResponse`].
    struct AlterShareGroupOffsetsResponseTopic {
        topic_name: Str,
        topic_id: Uuid,
        partitions: Vec<AlterShareGroupOffsetsResponsePartition>,
    }

    /// One of the `partitions` of [`AlterShareGroupOffsetsResponseTopic`].
    struct AlterShareGroupOffsetsResponsePartition {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str>,
    }

    /// Deletes the start offsets of a share group without members.
    struct DeleteShareGroupOffsetsRequest: Request { key: 92, versions: 0..=0, flexible: 0.. } {
        group_id: Str,
        topics: Vec<DeleteShareGroupOffsetsRequestTopic>,
    }

    /// One of the `topics` of [`DeleteShareGroupOffsetsRequest`].
    struct DeleteShareGroupOffsetsRequestTopic {
        topic_name: Str,
    }

    /// The answer to [`DeleteShareGroupOffsetsRequest`].
    struct DeleteShareGroupOffsetsResponse: Response { key: 92, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        responses: Vec<DeleteShareGroupOffsetsResponseTopic>,
    }

    /// One of the `responses` of [`DeleteShareGroupOffsetsResponse`].
    struct DeleteShareGroupOffsetsResponseTopic {
        topic_name: Str,
        topic_id: Uuid,
        error_code: i16,
        error_message: Option<Str>,
    }
}
