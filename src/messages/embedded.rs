//! Owns the definitions of messages that lie within others or in records: the protocol of classic consumer
//! groups and control records. Definitions and nothing else.
//!
//! Must not know who sends them, or when.

use crate::wire::{Str, message};
use alloc::vec::Vec;
use bytes::Bytes;

message! {
    /// What a member of a classic consumer group tells the group's leader. It stands behind an `i16` that holds its
    /// version; members of one group may speak different ones.
    struct ConsumerProtocolSubscription: Data { versions: 0..=3, flexible: none } {
        topics: Vec<Str>,
        user_data: Option<Bytes>,
        owned_partitions: Vec<ConsumerProtocolSubscriptionTopicPartition> [1..; ignorable],
        generation_id: i32 [2..; ignorable] = -1,
        rack_id: Option<Str> [3..; ignorable],
    }

    /// One of the `owned_partitions` of [`ConsumerProtocolSubscription`].
    struct ConsumerProtocolSubscriptionTopicPartition {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// What the leader of a classic consumer group gives to a member. It stands behind an `i16` that holds
    /// its version.
    struct ConsumerProtocolAssignment: Data { versions: 0..=3, flexible: none } {
        assigned_partitions: Vec<ConsumerProtocolAssignmentTopicPartition>,
        user_data: Option<Bytes>,
    }

    /// One of the `assigned_partitions` of [`ConsumerProtocolAssignment`].
    struct ConsumerProtocolAssignmentTopicPartition {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// The user data in a subscription whose assignor is `sticky`. No version stands before it: version 0 is what lacks the
    /// generation (KIP-341).
    struct StickyAssignorUserData: Data { versions: 0..=1, flexible: none } {
        previous_assignment: Vec<StickyAssignorUserDataTopicPartition>,
        generation: i32 [1..; ignorable] = -1,
    }

    /// One of the `previous_assignment` of [`StickyAssignorUserData`].
    struct StickyAssignorUserDataTopicPartition {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// The user data in a subscription whose assignor is `cooperative-sticky`. No version stands before it.
    struct CooperativeStickyAssignorUserData: Data { versions: 0..=0, flexible: none } {
        generation: i32 = -1,
    }

    /// The value of a control record that ends a transaction. It stands behind an `i16` that holds its version.
    struct EndTxnMarker: Data { versions: 0..=0, flexible: none } {
        coordinator_epoch: i32,
    }

    /// The key of a control record: 0 aborts, 1 commits. It stands behind an `i16` that holds its version.
    struct ControlRecordTypeSchema: Data { versions: 0..=0, flexible: none } {
        type_: i16,
    }
}
