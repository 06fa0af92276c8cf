//! Owns the definitions of producing and transactions. Definitions and nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Records, Str, Uuid, message};
use alloc::vec::Vec;

message! {
    /// Appends record batches to partitions. Version 13 names topics by id only (KIP-516).
    struct ProduceRequest: Request { key: 0, versions: 3..=13, flexible: 9.. } {
        /// The transaction that the records belong to, if any.
        transactional_id: Option<Str>,
        /// Who must have the records before the answer: 0 nobody (and there is no answer), 1 the
        /// leader, -1 all in-sync
        /// replicas.
        acks: i16,
        /// How long the broker may wait for replicas, in milliseconds.
        timeout_ms: i32,
        topic_data: Vec<TopicProduceData>,
    }

    /// One of the `topic_data` of [`ProduceRequest`].
    struct TopicProduceData {
        name: Str [..=12; ignorable],
        topic_id: Uuid [13..; ignorable],
        partition_data: Vec<PartitionProduceData>,
    }

    /// One of the `partition_data` of [`TopicProduceData`].
    struct PartitionProduceData {
        index: i32,
        /// One record batch (format 2 holds exactly one since version 3).
        records: Option<Records>,
    }

    /// The answer to [`ProduceRequest`]; there is none with `acks` 0.
    struct ProduceResponse: Response { key: 0, versions: 3..=13, flexible: 9.. } {
        responses: Vec<TopicProduceResponse>,
        throttle_time_ms: i32,
        node_endpoints: Vec<ProduceNodeEndpoint> [10..] | 0,
    }

    /// One of the `responses` of [`ProduceResponse`].
    struct TopicProduceResponse {
        name: Str [..=12; ignorable],
        topic_id: Uuid [13..; ignorable],
        partition_responses: Vec<PartitionProduceResponse>,
    }

    /// One of the `partition_responses` of [`TopicProduceResponse`].
    struct PartitionProduceResponse {
        index: i32,
        error_code: i16,
        /// The offset of the first record; -1 where the broker knows only that the batch was a duplicate.
        base_offset: i64,
        /// The broker's timestamp, where the topic has `LogAppendTime`; else -1.
        log_append_time_ms: i64 = -1,
        log_start_offset: i64 [5..; ignorable] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8..; ignorable],
        error_message: Option<Str> [8..; ignorable],
        /// The new leader, with `NOT_LEADER_OR_FOLLOWER` (KIP-951).
        current_leader: ProduceLeaderIdAndEpoch [10..] | 0,
    }

    /// A record that was the reason for its batch's refusal (KIP-467).
    struct BatchIndexAndErrorMessage {
        batch_index: i32,
        batch_index_error_message: Option<Str>,
    }

    /// The `current_leader` of [`PartitionProduceResponse`].
    struct ProduceLeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// One of the `node_endpoints` of [`ProduceResponse`].
    struct ProduceNodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }

    /// Asks for a producer id and epoch; with a transactional id it fences earlier producers of that id (KIP-98).
    struct InitProducerIdRequest: Request { key: 22, versions: 0..=6, flexible: 2.., unstable: 6 } {
        /// Null for a producer that is only idempotent.
        transactional_id: Option<Str> = Some(Str::EMPTY),
        transaction_timeout_ms: i32,
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
        enable2_pc: bool [6..],
        keep_prepared_txn: bool [6..],
    }

    /// The answer to [`InitProducerIdRequest`].
    struct InitProducerIdResponse: Response { key: 22, versions: 0..=6, flexible: 2.., unstable: 6 } {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 = -1,
        producer_epoch: i16,
        ongoing_txn_producer_id: i64 [6..] = -1,
        ongoing_txn_producer_epoch: i16 [6..] = -1,
    }

    /// Makes partitions part of a transaction, before the first record is written to them.
    struct AddPartitionsToTxnRequest: Request { key: 24, versions: 0..=5, flexible: 3.. } {
        transactions: Vec<AddPartitionsToTxnTransaction> [4..],
        v3_and_below_transactional_id: Str [..=3],
        v3_and_below_producer_id: i64 [..=3],
        v3_and_below_producer_epoch: i16 [..=3],
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [..=3],
    }

    /// One of the `transactions` of [`AddPartitionsToTxnRequest`].
    struct AddPartitionsToTxnTransaction {
        transactional_id: Str,
        producer_id: i64,
        producer_epoch: i16,
        verify_only: bool,
        topics: Vec<AddPartitionsToTxnTopic>,
    }

    /// One of the `topics` of [`AddPartitionsToTxnTransaction`].
    struct AddPartitionsToTxnTopic {
        name: Str,
        partitions: Vec<i32>,
    }

    /// The answer to [`AddPartitionsToTxnRequest`].
    struct AddPartitionsToTxnResponse: Response { key: 24, versions: 0..=5, flexible: 3.. } {
        throttle_time_ms: i32,
        error_code: i16 [4..; ignorable],
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4..],
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [..=3],
    }

    /// One of the `results_by_transaction` of [`AddPartitionsToTxnResponse`].
    struct AddPartitionsToTxnResult {
        transactional_id: Str,
        topic_results: Vec<AddPartitionsToTxnTopicResult>,
    }

    /// One of the `topic_results` of [`AddPartitionsToTxnResult`].
    struct AddPartitionsToTxnTopicResult {
        name: Str,
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
    }

    /// One of the `results_by_partition` of [`AddPartitionsToTxnTopicResult`].
    struct AddPartitionsToTxnPartitionResult {
        partition_index: i32,
        partition_error_code: i16,
    }

    /// Makes a group's offsets part of a transaction.
    struct AddOffsetsToTxnRequest: Request { key: 25, versions: 0..=4, flexible: 3.. } {
        transactional_id: Str,
        producer_id: i64,
        producer_epoch: i16,
        group_id: Str,
    }

    /// The answer to [`AddOffsetsToTxnRequest`].
    struct AddOffsetsToTxnResponse: Response { key: 25, versions: 0..=4, flexible: 3.. } {
        throttle_time_ms: i32,
        error_code: i16,
    }

    /// Commits or aborts a transaction.
    struct EndTxnRequest: Request { key: 26, versions: 0..=5, flexible: 3.. } {
        transactional_id: Str,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    }

    /// The answer to [`EndTxnRequest`].
    struct EndTxnResponse: Response { key: 26, versions: 0..=5, flexible: 3.. } {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 [5..; ignorable] = -1,
        producer_epoch: i16 [5..; ignorable] = -1,
    }

    /// Asks a leader for the producers that are active in its partitions (KIP-664).
    struct DescribeProducersRequest: Request { key: 61, versions: 0..=0, flexible: 0.. } {
        topics: Vec<DescribeProducersTopicRequest>,
    }

    /// One of the `topics` of [`DescribeProducersRequest`].
    struct DescribeProducersTopicRequest {
        name: Str,
        partition_indexes: Vec<i32>,
    }

    /// The answer to [`DescribeProducersRequest`].
    struct DescribeProducersResponse: Response { key: 61, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        topics: Vec<TopicResponse>,
    }

    /// One of the `topics` of [`DescribeProducersResponse`].
    struct TopicResponse {
        name: Str,
        partitions: Vec<PartitionResponse>,
    }

    /// One of the `partitions` of [`TopicResponse`].
    struct PartitionResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str>,
        active_producers: Vec<ProducerState>,
    }

    /// One of the `active_producers` of [`PartitionResponse`].
    struct ProducerState {
        producer_id: i64,
        producer_epoch: i32,
        last_sequence: i32 = -1,
        last_timestamp: i64 = -1,
        coordinator_epoch: i32,
        current_txn_start_offset: i64 = -1,
    }

    /// Asks a coordinator for the state of transactional ids (KIP-664).
    struct DescribeTransactionsRequest: Request { key: 65, versions: 0..=0, flexible: 0.. } {
        transactional_ids: Vec<Str>,
    }

    /// The answer to [`DescribeTransactionsRequest`].
    struct DescribeTransactionsResponse: Response { key: 65, versions: 0..=0, flexible: 0.. } {
        throttle_time_ms: i32,
        transaction_states: Vec<DescribeTransactionsTransactionState>,
    }

    /// One of the `transaction_states` of [`DescribeTransactionsResponse`].
    struct DescribeTransactionsTransactionState {
        error_code: i16,
        transactional_id: Str,
        transaction_state: Str,
        transaction_timeout_ms: i32,
        transaction_start_time_ms: i64,
        producer_id: i64,
        producer_epoch: i16,
        topics: Vec<DescribeTransactionsTopicData>,
    }

    /// One of the `topics` of [`DescribeTransactionsTransactionState`].
    struct DescribeTransactionsTopicData {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// Asks a broker for the transactions that it coordinates (KIP-664).
    struct ListTransactionsRequest: Request { key: 66, versions: 0..=2, flexible: 0.. } {
        state_filters: Vec<Str>,
        producer_id_filters: Vec<i64>,
        duration_filter: i64 [1..] = -1,
        transactional_id_pattern: Option<Str> [2..],
    }

    /// The answer to [`ListTransactionsRequest`].
    struct ListTransactionsResponse: Response { key: 66, versions: 0..=2, flexible: 0.. } {
        throttle_time_ms: i32,
        error_code: i16,
        unknown_state_filters: Vec<Str>,
        transaction_states: Vec<ListTransactionsTransactionState>,
    }

    /// One of the `transaction_states` of [`ListTransactionsResponse`].
    struct ListTransactionsTransactionState {
        transactional_id: Str,
        producer_id: i64,
        transaction_state: Str,
    }
}
