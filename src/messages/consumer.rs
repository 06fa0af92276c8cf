//! Owns the definitions of reading records, and positions in partitions. Definitions and nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Records, Str, Uuid, message};
use alloc::vec::Vec;

message! {
    /// Asks a broker for records of the partitions that it leads, within a fetch session or without (KIP-227).
    struct FetchRequest: Request { key: 1, versions: 4..=18, flexible: 12.. } {
        replica_id: i32 [..=14] = -1,
        /// How long the broker may hold the request until `min_bytes` have gathered, in milliseconds.
        max_wait_ms: i32,
        /// How many bytes to wait for.
        min_bytes: i32,
        /// How many bytes to answer with; a first batch that is larger comes whole.
        max_bytes: i32 = i32::MAX,
        /// 0 reads all records, 1 those of committed transactions only.
        isolation_level: i8,
        /// The fetch session, or 0 for none (KIP-227).
        session_id: i32 [7..; ignorable],
        /// Which request of the session this is: 0 asks for a new one, -1 ends it or wants none.
        session_epoch: i32 [7..; ignorable] = -1,
        topics: Vec<FetchTopic>,
        forgotten_topics_data: Vec<FetchForgottenTopic> [7..],
        rack_id: Str [11..; ignorable],
        cluster_id: Option<Str> [12..; ignorable] | 0,
        replica_state: FetchReplicaState [15..] | 1,
    }

    /// Who a fetching broker is; consumers leave it at its default.
    struct FetchReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    /// One of the `topics` of [`FetchRequest`].
    struct FetchTopic {
        topic: Str [..=12; ignorable],
        topic_id: Uuid [13..; ignorable],
        partitions: Vec<FetchPartition>,
    }

    /// One of the `partitions` of [`FetchTopic`].
    struct FetchPartition {
        partition: i32,
        /// The leader's epoch that the client knows, or -1 (KIP-320).
        current_leader_epoch: i32 [9..; ignorable] = -1,
        fetch_offset: i64,
        /// The leader's epoch of the last record fetched, or -1.
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..; ignorable] = -1,
        /// How many bytes of this partition to answer with.
        partition_max_bytes: i32,
        replica_directory_id: Uuid [17..; ignorable] | 0,
        high_watermark: i64 [18..; ignorable] | 1 = i64::MAX,
    }

    /// Partitions to be taken out of the fetch session.
    struct FetchForgottenTopic {
        topic: Str [..=12; ignorable],
        topic_id: Uuid [13..; ignorable],
        partitions: Vec<i32>,
    }

    /// The answer to [`FetchRequest`].
    struct FetchResponse: Response { key: 1, versions: 4..=18, flexible: 12.. } {
        throttle_time_ms: i32,
        error_code: i16 [7..; ignorable],
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse>,
        node_endpoints: Vec<FetchNodeEndpoint> [16..] | 0,
    }

    /// One of the `responses` of [`FetchResponse`].
    struct FetchableTopicResponse {
        topic: Str [..=12; ignorable],
        topic_id: Uuid [13..; ignorable],
        partitions: Vec<FetchPartitionData>,
    }

    /// One of the `partitions` of [`FetchableTopicResponse`].
    struct FetchPartitionData {
        partition_index: i32,
        error_code: i16,
        /// Where the records end that all in-sync replicas have.
        high_watermark: i64,
        /// Where the records end before the first open transaction; -1 where it is not known.
        last_stable_offset: i64 = -1,
        log_start_offset: i64 [5..; ignorable] = -1,
        aborted_transactions: Option<Vec<AbortedTransaction>> = Some(Vec::new()),
        /// A nearer replica to fetch from, or -1 (KIP-392).
        preferred_read_replica: i32 [11..] = -1,
        /// Record batches; the first may start before the offset asked for, the last may be cut.
        records: Option<Records>,
        /// Where the log parts from what the client has fetched, with its `last_fetched_epoch`.
        diverging_epoch: FetchEpochEndOffset [12..] | 0,
        current_leader: FetchLeaderIdAndEpoch [12..] | 1,
        snapshot_id: SnapshotId [12..] | 2,
    }

    /// The `diverging_epoch` of [`FetchPartitionData`].
    struct FetchEpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// The `current_leader` of [`FetchPartitionData`].
    struct FetchLeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// The snapshot that a fetching controller should load first; brokers send none to consumers.
    struct SnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    /// A transaction among the fetched records that was aborted: its records are to be skipped.
    struct AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }

    /// One of the `node_endpoints` of [`FetchResponse`].
    struct FetchNodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }

    /// Asks leaders for the offset of a timestamp; negative timestamps stand for the ends of the log.
    struct ListOffsetsRequest: Request { key: 2, versions: 1..=11, flexible: 6.. } {
        replica_id: i32,
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic>,
        timeout_ms: i32 [10..; ignorable],
    }

    /// One of the `topics` of [`ListOffsetsRequest`].
    struct ListOffsetsTopic {
        name: Str,
        partitions: Vec<ListOffsetsPartition>,
    }

    /// One of the `partitions` of [`ListOffsetsTopic`].
    struct ListOffsetsPartition {
        partition_index: i32,
        current_leader_epoch: i32 [4..; ignorable] = -1,
        /// Milliseconds since 1970; or -1 for the end, -2 the start, -3 the record of the largest
        /// timestamp, -4 the start of
        /// what is local, -5 the end of what is tiered, -6 the earliest that waits for upload.
        timestamp: i64,
    }

    /// The answer to [`ListOffsetsRequest`].
    struct ListOffsetsResponse: Response { key: 2, versions: 1..=11, flexible: 6.. } {
        throttle_time_ms: i32 [2..; ignorable],
        topics: Vec<ListOffsetsTopicResponse>,
    }

    /// One of the `topics` of [`ListOffsetsResponse`].
    struct ListOffsetsTopicResponse {
        name: Str,
        partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// One of the `partitions` of [`ListOffsetsTopicResponse`].
    struct ListOffsetsPartitionResponse {
        partition_index: i32,
        error_code: i16,
        timestamp: i64 = -1,
        offset: i64 = -1,
        leader_epoch: i32 [4..] = -1,
    }

    /// Stores positions of a group with its coordinator.
    struct OffsetCommitRequest: Request { key: 8, versions: 2..=10, flexible: 8.. } {
        group_id: Str,
        generation_id_or_member_epoch: i32 = -1,
        member_id: Str,
        group_instance_id: Option<Str> [7..],
        retention_time_ms: i64 [..=4; ignorable] = -1,
        topics: Vec<OffsetCommitRequestTopic>,
    }

    /// One of the `topics` of [`OffsetCommitRequest`].
    struct OffsetCommitRequestTopic {
        name: Str [..=9; ignorable],
        topic_id: Uuid [10..; ignorable],
        partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// One of the `partitions` of [`OffsetCommitRequestTopic`].
    struct OffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [6..; ignorable] = -1,
        committed_metadata: Option<Str> = Some(Str::EMPTY),
    }

    /// The answer to [`OffsetCommitRequest`].
    struct OffsetCommitResponse: Response { key: 8, versions: 2..=10, flexible: 8.. } {
        throttle_time_ms: i32 [3..; ignorable],
        topics: Vec<OffsetCommitResponseTopic>,
    }

    /// One of the `topics` of [`OffsetCommitResponse`].
    struct OffsetCommitResponseTopic {
        name: Str [..=9; ignorable],
        topic_id: Uuid [10..; ignorable],
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// One of the `partitions` of [`OffsetCommitResponseTopic`].
    struct OffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }

    /// Asks a coordinator for the stored positions of one group (to version 7) or several (from 8, KIP-709).
    struct OffsetFetchRequest: Request { key: 9, versions: 1..=10, flexible: 6.. } {
        group_id: Str [..=7],
        topics: Option<Vec<OffsetFetchRequestTopic>> [..=7; null 2..=7] = Some(Vec::new()),
        groups: Vec<OffsetFetchRequestGroup> [8..],
        require_stable: bool [7..],
    }

    /// One of the `topics` of [`OffsetFetchRequest`].
    struct OffsetFetchRequestTopic {
        name: Str,
        partition_indexes: Vec<i32>,
    }

    /// One of the `groups` of [`OffsetFetchRequest`].
    struct OffsetFetchRequestGroup {
        group_id: Str,
        member_id: Option<Str> [9..; ignorable],
        member_epoch: i32 [9..; ignorable] = -1,
        topics: Option<Vec<OffsetFetchRequestTopics>> = Some(Vec::new()),
    }

    /// One of the `topics` of [`OffsetFetchRequestGroup`].
    struct OffsetFetchRequestTopics {
        name: Str [..=9; ignorable],
        topic_id: Uuid [10..; ignorable],
        partition_indexes: Vec<i32>,
    }

    /// The answer to [`OffsetFetchRequest`].
    struct OffsetFetchResponse: Response { key: 9, versions: 1..=10, flexible: 6.. } {
        throttle_time_ms: i32 [3..; ignorable],
        topics: Vec<OffsetFetchResponseTopic> [..=7],
        error_code: i16 [2..=7; ignorable],
        groups: Vec<OffsetFetchResponseGroup> [8..],
    }

    /// One of the `topics` of [`OffsetFetchResponse`].
    struct OffsetFetchResponseTopic {
        name: Str,
        partitions: Vec<OffsetFetchResponsePartition>,
    }

    /// One of the `partitions` of [`OffsetFetchResponseTopic`].
    struct OffsetFetchResponsePartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [5..; ignorable] = -1,
        metadata: Option<Str> = Some(Str::EMPTY),
        error_code: i16,
    }

    /// One of the `groups` of [`OffsetFetchResponse`].
    struct OffsetFetchResponseGroup {
        group_id: Str,
        topics: Vec<OffsetFetchResponseTopics>,
        error_code: i16,
    }

    /// One of the `topics` of [`OffsetFetchResponseGroup`].
    struct OffsetFetchResponseTopics {
        name: Str [..=9; ignorable],
        topic_id: Uuid [10..; ignorable],
        partitions: Vec<OffsetFetchResponsePartitions>,
    }

    /// One of the `partitions` of [`OffsetFetchResponseTopics`].
    struct OffsetFetchResponsePartitions {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 = -1,
        metadata: Option<Str> = Some(Str::EMPTY),
        error_code: i16,
    }

    /// Asks a leader where an epoch ended, to notice a truncated log (KIP-320).
    struct OffsetForLeaderEpochRequest: Request { key: 23, versions: 2..=4, flexible: 4.. } {
        replica_id: i32 [3..; ignorable] = -2,
        topics: Vec<OffsetForLeaderTopic>,
    }

    /// One of the `topics` of [`OffsetForLeaderEpochRequest`].
    struct OffsetForLeaderTopic {
        topic: Str,
        partitions: Vec<OffsetForLeaderPartition>,
    }

    /// One of the `partitions` of [`OffsetForLeaderTopic`].
    struct OffsetForLeaderPartition {
        partition: i32,
        current_leader_epoch: i32 = -1,
        leader_epoch: i32,
    }

    /// The answer to [`OffsetForLeaderEpochRequest`].
    struct OffsetForLeaderEpochResponse: Response { key: 23, versions: 2..=4, flexible: 4.. } {
        throttle_time_ms: i32,
        topics: Vec<OffsetForLeaderTopicResult>,
    }

    /// One of the `topics` of [`OffsetForLeaderEpochResponse`].
    struct OffsetForLeaderTopicResult {
        topic: Str,
        partitions: Vec<OffsetForLeaderEpochEndOffset>,
    }

    /// One of the `partitions` of [`OffsetForLeaderTopicResult`].
    struct OffsetForLeaderEpochEndOffset {
        error_code: i16,
        partition: i32,
        leader_epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// Stores positions of a group that become visible with the transaction's commit.
    struct TxnOffsetCommitRequest: Request { key: 28, versions: 0..=5, flexible: 3.. } {
        transactional_id: Str,
        group_id: Str,
        producer_id: i64,
        producer_epoch: i16,
        generation_id: i32 [3..] = -1,
        member_id: Str [3..],
        group_instance_id: Option<Str> [3..],
        topics: Vec<TxnOffsetCommitRequestTopic>,
    }

    /// One of the `topics` of [`TxnOffsetCommitRequest`].
    struct TxnOffsetCommitRequestTopic {
        name: Str,
        partitions: Vec<TxnOffsetCommitRequestPartition>,
    }

    /// One of the `partitions` of [`TxnOffsetCommitRequestTopic`].
    struct TxnOffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [2..; ignorable] = -1,
        committed_metadata: Option<Str> = Some(Str::EMPTY),
    }

    /// The answer to [`TxnOffsetCommitRequest`].
    struct TxnOffsetCommitResponse: Response { key: 28, versions: 0..=5, flexible: 3.. } {
        throttle_time_ms: i32,
        topics: Vec<TxnOffsetCommitResponseTopic>,
    }

    /// One of the `topics` of [`TxnOffsetCommitResponse`].
    struct TxnOffsetCommitResponseTopic {
        name: Str,
        partitions: Vec<TxnOffsetCommitResponsePartition>,
    }

    /// One of the `partitions` of [`TxnOffsetCommitResponseTopic`].
    struct TxnOffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
