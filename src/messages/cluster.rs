//! Owns the definitions of the cluster itself: brokers, topics and their leaders, the quorum, features.
//! Definitions and nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Str, Uuid, message};
use alloc::vec::Vec;

message! {
    /// Asks any broker for the brokers, the topics and who leads their partitions.
    struct MetadataRequest: Request { key: 3, versions: 0..=13, flexible: 9.. } {
        /// The topics; null for all of them (in version 0: an empty array).
        topics: Option<Vec<MetadataRequestTopic>> [..; null 1..] = Some(Vec::new()),
        /// Whether the broker may create topics that it does not know.
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// One of the `topics` of [`MetadataRequest`].
    struct MetadataRequestTopic {
        topic_id: Uuid [10..; ignorable],
        name: Option<Str> [..; null 10..] = Some(Str::EMPTY),
    }

    /// The answer to [`MetadataRequest`]: what the broker knows of the cluster, which may be old.
    struct MetadataResponse: Response { key: 3, versions: 0..=13, flexible: 9.. } {
        throttle_time_ms: i32 [3..; ignorable],
        brokers: Vec<MetadataResponseBroker>,
        cluster_id: Option<Str> [2..; ignorable],
        controller_id: i32 [1..; ignorable] = -1,
        topics: Vec<MetadataResponseTopic>,
        cluster_authorized_operations: i32 [8..=10] = i32::MIN,
        error_code: i16 [13..; ignorable],
    }

    /// One of the `brokers` of [`MetadataResponse`].
    struct MetadataResponseBroker {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str> [1..; ignorable],
    }

    /// One of the `topics` of [`MetadataResponse`].
    struct MetadataResponseTopic {
        error_code: i16,
        name: Option<Str> [..; null 12..] = Some(Str::EMPTY),
        topic_id: Uuid [10..; ignorable],
        is_internal: bool [1..; ignorable],
        partitions: Vec<MetadataResponsePartition>,
        topic_authorized_operations: i32 [8..] = i32::MIN,
    }

    /// One of the `partitions` of [`MetadataResponseTopic`].
    struct MetadataResponsePartition {
        error_code: i16,
        partition_index: i32,
        /// The leader's node, or -1 while there is none.
        leader_id: i32,
        /// The leader's epoch, or -1.
        leader_epoch: i32 [7..; ignorable] = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [5..; ignorable],
    }

    /// Asks for the state of the controllers' Raft quorum.
    struct DescribeQuorumRequest: Request { key: 55, versions: 0..=2, flexible: 0.. } {
        topics: Vec<DescribeQuorumTopicData>,
    }

    /// One of the `topics` of [`DescribeQuorumRequest`].
    struct DescribeQuorumTopicData {
        topic_name: Str,
        partitions: Vec<DescribeQuorumPartitionData>,
    }

    /// One of the `partitions` of [`DescribeQuorumTopicData`].
    struct DescribeQuorumPartitionData {
        partition_index: i32,
    }

    /// The answer to [`DescribeQuorumRequest`].
    struct DescribeQuorumResponse: Response { key: 55, versions: 0..=2, flexible: 0.. } {
        error_code: i16,
        error_message: Option<Str> [2..; ignorable] = Some(Str::EMPTY),
        topics: Vec<DescribeQuorumResponseTopicData>,
        nodes: Vec<Node> [2..],
    }

    /// One of the `topics` of [`DescribeQuorumResponse`].
    struct DescribeQuorumResponseTopicData {
        topic_name: Str,
        partitions: Vec<DescribeQuorumResponsePartitionData>,
    }

    /// One of the `partitions` of [`DescribeQuorumResponseTopicData`].
    struct DescribeQuorumResponsePartitionData {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str> [2..; ignorable] = Some(Str::EMPTY),
        leader_id: i32,
        leader_epoch: i32,
        high_watermark: i64,
        current_voters: Vec<DescribeQuorumReplicaState>,
        observers: Vec<DescribeQuorumReplicaState>,
    }

    /// One of the `current_voters` of [`DescribeQuorumResponsePartitionData`].
    struct DescribeQuorumReplicaState {
        replica_id: i32,
        replica_directory_id: Uuid [2..],
        log_end_offset: i64,
        last_fetch_timestamp: i64 [1..; ignorable] = -1,
        last_caught_up_timestamp: i64 [1..; ignorable] = -1,
    }

    /// One of the `nodes` of [`DescribeQuorumResponse`].
    struct Node {
        node_id: i32,
        listeners: Vec<DescribeQuorumListener>,
    }

    /// One of the `listeners` of [`Node`].
    struct DescribeQuorumListener {
        name: Str,
        host: Str,
        port: u16,
    }

    /// Raises or lowers the cluster's finalized feature levels (KIP-584).
    struct UpdateFeaturesRequest: Request { key: 57, versions: 0..=2, flexible: 0.. } {
        timeout_ms: i32 = 60000,
        feature_updates: Vec<FeatureUpdateKey>,
        validate_only: bool [1..],
    }

    /// One of the `feature_updates` of [`UpdateFeaturesRequest`].
    struct FeatureUpdateKey {
        feature: Str,
        max_version_level: i16,
        allow_downgrade: bool [..=0],
        upgrade_type: i8 [1..] = 1,
    }

    /// The answer to [`UpdateFeaturesRequest`].
    struct UpdateFeaturesResponse: Response { key: 57, versions: 0..=2, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        results: Vec<UpdatableFeatureResult> [..=1; ignorable],
    }

    /// One of the `results` of [`UpdateFeaturesResponse`].
    struct UpdatableFeatureResult {
        feature: Str,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Asks for the cluster's id, controller and brokers; controllers answer it, too (KIP-919).
    struct DescribeClusterRequest: Request { key: 60, versions: 0..=2, flexible: 0.. } {
        include_cluster_authorized_operations: bool,
        endpoint_type: i8 [1..] = 1,
        include_fenced_brokers: bool [2..],
    }

    /// The answer to [`DescribeClusterRequest`].
    struct DescribeClusterResponse: Response { key: 60, versions: 0..=2, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        endpoint_type: i8 [1..] = 1,
        cluster_id: Str,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker>,
        cluster_authorized_operations: i32 = i32::MIN,
    }

    /// One of the `brokers` of [`DescribeClusterResponse`].
    struct DescribeClusterBroker {
        broker_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
        is_fenced: bool [2..],
    }

    /// Takes a broker that is gone out of the cluster's metadata.
    struct UnregisterBrokerRequest: Request { key: 64, versions: 0..=0, flexible: 0.. } {
        broker_id: i32,
    }

    /// The answer to [`UnregisterBrokerRequest`].
    struct UnregisterBrokerResponse: Response { key: 64, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Asks for topics' partitions in pages (KIP-966).
    struct DescribeTopicPartitionsRequest: Request { key: 75, versions: 0..=0, flexible: 0.. } {
        topics: Vec<DescribeTopicPartitionsTopicRequest>,
        response_partition_limit: i32 = 2000,
        cursor: Option<DescribeTopicPartitionsCursor>,
    }

    /// One of the `topics` of [`DescribeTopicPartitionsRequest`].
    struct DescribeTopicPartitionsTopicRequest {
        name: Str,
    }

    /// The `cursor` of [`DescribeTopicPartitionsRequest`].
    struct DescribeTopicPartitionsCursor {
        topic_name: Str,
        partition_index: i32,
    }

    /// The answer to [`DescribeTopicPartitionsRequest`].
    struct DescribeTopicPartitionsResponse: Response { key: 75, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        topics: Vec<DescribeTopicPartitionsResponseTopic>,
        next_cursor: Option<DescribeTopicPartitionsResponseCursor>,
    }

    /// One of the `topics` of [`DescribeTopicPartitionsResponse`].
    struct DescribeTopicPartitionsResponseTopic {
        error_code: i16,
        name: Option<Str> = Some(Str::EMPTY),
        topic_id: Uuid,
        is_internal: bool,
        partitions: Vec<DescribeTopicPartitionsResponsePartition>,
        topic_authorized_operations: i32 = i32::MIN,
    }

    /// One of the `partitions` of [`DescribeTopicPartitionsResponseTopic`].
    struct DescribeTopicPartitionsResponsePartition {
        error_code: i16,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        eligible_leader_replicas: Option<Vec<i32>>,
        last_known_elr: Option<Vec<i32>>,
        offline_replicas: Vec<i32>,
    }

    /// The `next_cursor` of [`DescribeTopicPartitionsResponse`].
    struct DescribeTopicPartitionsResponseCursor {
        topic_name: Str,
        partition_index: i32,
    }

    /// Adds a controller to the Raft quorum (KIP-853).
    struct AddRaftVoterRequest: Request { key: 80, versions: 0..=1, flexible: 0.. } {
        cluster_id: Option<Str> = Some(Str::EMPTY),
        timeout_ms: i32,
        voter_id: i32,
        voter_directory_id: Uuid,
        listeners: Vec<AddRaftVoterListener>,
        ack_when_committed: bool [1..] = true,
    }

    /// One of the `listeners` of [`AddRaftVoterRequest`].
    struct AddRaftVoterListener {
        name: Str,
        host: Str,
        port: u16,
    }

    /// The answer to [`AddRaftVoterRequest`].
    struct AddRaftVoterResponse: Response { key: 80, versions: 0..=1, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Removes a controller from the Raft quorum (KIP-853).
    struct RemoveRaftVoterRequest: Request { key: 81, versions: 0..=0, flexible: 0.. } {
        cluster_id: Option<Str> = Some(Str::EMPTY),
        voter_id: i32,
        voter_directory_id: Uuid,
    }

    /// The answer to [`RemoveRaftVoterRequest`].
    struct RemoveRaftVoterResponse: Response { key: 81, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }
}
