//! Owns the definitions of the administration of topics, partitions and replicas. Definitions and nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Str, Uuid, message};
use alloc::vec::Vec;

message! {
    /// Creates topics.
    struct CreateTopicsRequest: Request { key: 19, versions: 2..=7, flexible: 5.. } {
        topics: Vec<CreatableTopic>,
        timeout_ms: i32 = 60000,
        validate_only: bool,
    }

    /// One of the `topics` of [`CreateTopicsRequest`].
    struct CreatableTopic {
        name: Str,
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreatableReplicaAssignment>,
        configs: Vec<CreatableTopicConfig>,
    }

    /// One of the `assignments` of [`CreatableTopic`].
    struct CreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    /// One of the `configs` of [`CreatableTopic`].
    struct CreatableTopicConfig {
        name: Str,
        value: Option<Str> = Some(Str::EMPTY),
    }

    /// The answer to [`CreateTopicsRequest`].
    struct CreateTopicsResponse: Response { key: 19, versions: 2..=7, flexible: 5.. } {
        throttle_time_ms: i32,
        topics: Vec<CreatableTopicResult>,
    }

    /// One of the `topics` of [`CreateTopicsResponse`].
    struct CreatableTopicResult {
        name: Str,
        topic_id: Uuid [7..; ignorable],
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        num_partitions: i32 [5..; ignorable] = -1,
        replication_factor: i16 [5..; ignorable] = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5..; ignorable] = Some(Vec::new()),
        topic_config_error_code: i16 [5..; ignorable] | 0,
    }

    /// One of the `configs` of [`CreatableTopicResult`].
    struct CreatableTopicConfigs {
        name: Str,
        value: Option<Str> = Some(Str::EMPTY),
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }

    /// Deletes topics, by name or (from version 6) by id.
    struct DeleteTopicsRequest: Request { key: 20, versions: 1..=6, flexible: 4.. } {
        topics: Vec<DeleteTopicState> [6..],
        topic_names: Vec<Str> [..=5; ignorable],
        timeout_ms: i32,
    }

    /// One of the `topics` of [`DeleteTopicsRequest`].
    struct DeleteTopicState {
        name: Option<Str>,
        topic_id: Uuid,
    }

    /// The answer to [`DeleteTopicsRequest`].
    struct DeleteTopicsResponse: Response { key: 20, versions: 1..=6, flexible: 4.. } {
        throttle_time_ms: i32,
        responses: Vec<DeletableTopicResult>,
    }

    /// One of the `responses` of [`DeleteTopicsResponse`].
    struct DeletableTopicResult {
        name: Option<Str> [..; null 6..] = Some(Str::EMPTY),
        topic_id: Uuid [6..; ignorable],
        error_code: i16,
        error_message: Option<Str> [5..; ignorable],
    }

    /// Raises the start of partitions' logs: what lies before it is gone.
    struct DeleteRecordsRequest: Request { key: 21, versions: 0..=2, flexible: 2.. } {
        topics: Vec<DeleteRecordsTopic>,
        timeout_ms: i32,
    }

    /// One of the `topics` of [`DeleteRecordsRequest`].
    struct DeleteRecordsTopic {
        name: Str,
        partitions: Vec<DeleteRecordsPartition>,
    }

    /// One of the `partitions` of [`DeleteRecordsTopic`].
    struct DeleteRecordsPartition {
        partition_index: i32,
        offset: i64,
    }

    /// The answer to [`DeleteRecordsRequest`].
    struct DeleteRecordsResponse: Response { key: 21, versions: 0..=2, flexible: 2.. } {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResult>,
    }

    /// One of the `topics` of [`DeleteRecordsResponse`].
    struct DeleteRecordsTopicResult {
        name: Str,
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// One of the `partitions` of [`DeleteRecordsTopicResult`].
    struct DeleteRecordsPartitionResult {
        partition_index: i32,
        low_watermark: i64,
        error_code: i16,
    }

    /// Moves replicas between directories of one broker.
    struct AlterReplicaLogDirsRequest: Request { key: 34, versions: 1..=2, flexible: 2.. } {
        dirs: Vec<AlterReplicaLogDir>,
    }

    /// One of the `dirs` of [`AlterReplicaLogDirsRequest`].
    struct AlterReplicaLogDir {
        path: Str,
        topics: Vec<AlterReplicaLogDirTopic>,
    }

    /// One of the `topics` of [`AlterReplicaLogDir`].
    struct AlterReplicaLogDirTopic {
        name: Str,
        partitions: Vec<i32>,
    }

    /// The answer to [`AlterReplicaLogDirsRequest`].
    struct AlterReplicaLogDirsResponse: Response { key: 34, versions: 1..=2, flexible: 2.. } {
        throttle_time_ms: i32,
        results: Vec<AlterReplicaLogDirTopicResult>,
    }

    /// One of the `results` of [`AlterReplicaLogDirsResponse`].
    struct AlterReplicaLogDirTopicResult {
        topic_name: Str,
        partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    /// One of the `partitions` of [`AlterReplicaLogDirTopicResult`].
    struct AlterReplicaLogDirPartitionResult {
        partition_index: i32,
        error_code: i16,
    }

    /// Asks a broker for its log directories and what lies in them.
    struct DescribeLogDirsRequest: Request { key: 35, versions: 1..=5, flexible: 2.. } {
        topics: Option<Vec<DescribableLogDirTopic>> = Some(Vec::new()),
    }

    /// One of the `topics` of [`DescribeLogDirsRequest`].
    struct DescribableLogDirTopic {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// The answer to [`DescribeLogDirsRequest`].
    struct DescribeLogDirsResponse: Response { key: 35, versions: 1..=5, flexible: 2.. } {
        throttle_time_ms: i32,
        error_code: i16 [3..; ignorable],
        results: Vec<DescribeLogDirsResult>,
    }

    /// One of the `results` of [`DescribeLogDirsResponse`].
    struct DescribeLogDirsResult {
        error_code: i16,
        log_dir: Str,
        topics: Vec<DescribeLogDirsTopic>,
        total_bytes: i64 [4..; ignorable] = -1,
        usable_bytes: i64 [4..; ignorable] = -1,
        is_cordoned: bool [5..; ignorable],
    }

    /// One of the `topics` of [`DescribeLogDirsResult`].
    struct DescribeLogDirsTopic {
        name: Str,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    /// One of the `partitions` of [`DescribeLogDirsTopic`].
    struct DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        is_future_key: bool,
    }

    /// Adds partitions to topics.
    struct CreatePartitionsRequest: Request { key: 37, versions: 0..=3, flexible: 2.. } {
        topics: Vec<CreatePartitionsTopic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    /// One of the `topics` of [`CreatePartitionsRequest`].
    struct CreatePartitionsTopic {
        name: Str,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>> = Some(Vec::new()),
    }

    /// One of the `assignments` of [`CreatePartitionsTopic`].
    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }

    /// The answer to [`CreatePartitionsRequest`].
    struct CreatePartitionsResponse: Response { key: 37, versions: 0..=3, flexible: 2.. } {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsTopicResult>,
    }

    /// One of the `results` of [`CreatePartitionsResponse`].
    struct CreatePartitionsTopicResult {
        name: Str,
        error_code: i16,
        error_message: Option<Str>,
    }

    /// Starts the election of leaders: the preferred ones, or unclean ones.
    struct ElectLeadersRequest: Request { key: 43, versions: 0..=2, flexible: 2.. } {
        election_type: i8 [1..],
        topic_partitions: Option<Vec<ElectLeadersTopicPartitions>> = Some(Vec::new()),
        timeout_ms: i32 = 60000,
    }

    /// One of the `topic_partitions` of [`ElectLeadersRequest`].
    struct ElectLeadersTopicPartitions {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// The answer to [`ElectLeadersRequest`].
    struct ElectLeadersResponse: Response { key: 43, versions: 0..=2, flexible: 2.. } {
        throttle_time_ms: i32,
        error_code: i16 [1..],
        replica_election_results: Vec<ReplicaElectionResult>,
    }

    /// One of the `replica_election_results` of [`ElectLeadersResponse`].
    struct ReplicaElectionResult {
        topic: Str,
        partition_result: Vec<PartitionResult>,
    }

    /// One of the `partition_result` of [`ReplicaElectionResult`].
    struct PartitionResult {
        partition_id: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Starts or cancels the move of partitions to other brokers.
    struct AlterPartitionReassignmentsRequest: Request { key: 45, versions: 0..=1, flexible: 0.. } {
        timeout_ms: i32 = 60000,
        allow_replication_factor_change: bool [1..] = true,
        topics: Vec<ReassignableTopic>,
    }

    /// One of the `topics` of [`AlterPartitionReassignmentsRequest`].
    struct ReassignableTopic {
        name: Str,
        partitions: Vec<ReassignablePartition>,
    }

    /// One of the `partitions` of [`ReassignableTopic`].
    struct ReassignablePartition {
        partition_index: i32,
        replicas: Option<Vec<i32>>,
    }

    /// The answer to [`AlterPartitionReassignmentsRequest`].
    struct AlterPartitionReassignmentsResponse: Response { key: 45, versions: 0..=1, flexible: 0.. } {
        throttle_time_ms: i32,
        allow_replication_factor_change: bool [1..; ignorable] = true,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        responses: Vec<ReassignableTopicResponse>,
    }

    /// One of the `responses` of [`AlterPartitionReassignmentsResponse`].
    struct ReassignableTopicResponse {
        name: Str,
        partitions: Vec<ReassignablePartitionResponse>,
    }

    /// One of the `partitions` of [`ReassignableTopicResponse`].
    struct ReassignablePartitionResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
    }

    /// Asks for the moves of partitions that are under way.
    struct ListPartitionReassignmentsRequest: Request { key: 46, versions: 0..=0, flexible: 0.. } {
        timeout_ms: i32 = 60000,
        topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    }

    /// One of the `topics` of [`ListPartitionReassignmentsRequest`].
    struct ListPartitionReassignmentsTopics {
        name: Str,
        partition_indexes: Vec<i32>,
    }

    /// The answer to [`ListPartitionReassignmentsRequest`].
    struct ListPartitionReassignmentsResponse: Response { key: 46, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::EMPTY),
        topics: Vec<OngoingTopicReassignment>,
    }

    /// One of the `topics` of [`ListPartitionReassignmentsResponse`].
    struct OngoingTopicReassignment {
        name: Str,
        partitions: Vec<OngoingPartitionReassignment>,
    }

    /// One of the `partitions` of [`OngoingTopicReassignment`].
    struct OngoingPartitionReassignment {
        partition_index: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32>,
        removing_replicas: Vec<i32>,
    }
}
