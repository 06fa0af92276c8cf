//! Owns the table of what an answer's error code means for a batch.
//!
//! Must not know the batch, its partition or its history.

use crate::error_code::ErrorCode;

/// What the broker's answer says about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Written.
    Delivered,
    /// Written by an earlier attempt; where, the broker does not remember.
    Duplicate,
    /// The same bytes again, later.
    Retry,
    /// The broker misses the batches before this one.
    OutOfOrder,
    /// The broker knows nothing of this producer any more.
    UnknownProducer,
    /// Too large as a whole: in parts, if it has any (KIP-126).
    TooLarge,
    /// Not taken, and trying again changes nothing.
    Failed,
}

impl Verdict {
    pub(crate) fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NONE => Self::Delivered,
            ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Self::Duplicate,
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER => Self::OutOfOrder,
            ErrorCode::UNKNOWN_PRODUCER_ID => Self::UnknownProducer,
            ErrorCode::MESSAGE_TOO_LARGE => Self::TooLarge,
            code if code.is_retriable() => Self::Retry,
            _ => Self::Failed,
        }
    }
}

/// Whether the code proves that this attempt appended nothing: the broker checks these before it appends.
///
/// All others may come after the append. NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION and KAFKA_STORAGE_ERROR are
/// answered too when leadership, topic or disk went away while the broker waited for its followers; a codes that this
/// version does not know proves nothing.
pub(crate) fn proves_not_appended(code: ErrorCode) -> bool {
    const BEFORE_APPEND: &[ErrorCode] = &[
        ErrorCode::CORRUPT_MESSAGE,
        ErrorCode::MESSAGE_TOO_LARGE,
        ErrorCode::INVALID_TOPIC_EXCEPTION,
        ErrorCode::RECORD_LIST_TOO_LARGE,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::INVALID_REQUIRED_ACKS,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode::INVALID_TIMESTAMP,
        ErrorCode::UNSUPPORTED_VERSION,
        ErrorCode::INVALID_REQUEST,
        ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ErrorCode::POLICY_VIOLATION,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::UNKNOWN_PRODUCER_ID,
        ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        ErrorCode::INVALID_RECORD,
        ErrorCode::PRODUCER_FENCED,
        ErrorCode::UNKNOWN_TOPIC_ID,
    ];
    BEFORE_APPEND.contains(&code)
}

/// What the user can do about a code, where there is something.
pub(crate) fn hint(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => {
            "raise max.message.bytes of the topic, or send smaller records"
        }
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
            "allow this client to write to the topic (ACL: Write on the topic)"
        }
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED => {
            "allow this client to write idempotently (ACL: IdempotentWrite on the cluster), or set enable.idempotence=false"
        }
        ErrorCode::INVALID_TIMESTAMP => {
            "the topic bounds timestamps (message.timestamp.before.max.ms, message.timestamp.after.max.ms): check the clock"
        }
        ErrorCode::UNSUPPORTED_COMPRESSION_TYPE => {
            "choose another compression.type: the broker does not take this one"
        }
        ErrorCode::INVALID_RECORD => {
            "the topic's settings forbid the record (a compacted topic needs a key)"
        }
        ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND => {
            "fewer replicas are in sync than the topic's min.insync.replicas: check the brokers"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_code_is_delivered_retried_or_fails_and_the_rules_of_idempotence_have_their_own() {
        let of = |verdict| -> Vec<i16> {
            ErrorCode::KNOWN
                .iter()
                .filter(|code| Verdict::of(**code) == verdict)
                .map(|code| code.0)
                .collect()
        };
        assert_eq!(of(Verdict::Delivered), [0]);
        assert_eq!(of(Verdict::TooLarge), [10]);
        assert_eq!(of(Verdict::OutOfOrder), [45]);
        assert_eq!(of(Verdict::Duplicate), [46]);
        assert_eq!(of(Verdict::UnknownProducer), [59]);
        let retried = of(Verdict::Retry);
        for code in [2, 3, 5, 6, 7, 13, 19, 20, 51, 56, 74, 75, 100] {
            assert!(retried.contains(&code), "{code}");
        }
        for code in [-1, 8, 17, 18, 21, 29, 31, 32, 35, 42, 47, 76, 87] {
            assert!(!retried.contains(&code), "{code}");
        }
        assert_eq!(Verdict::of(ErrorCode(9_999)), Verdict::Failed);
    }

    #[test]
    fn what_can_be_answered_after_an_append_proves_nothing() {
        for code in [-1, 3, 5, 6, 7, 13, 20, 56, 74, 9_999] {
            assert!(!proves_not_appended(ErrorCode(code)), "{code}");
        }
        for code in [10, 19, 29, 45, 47, 87] {
            assert!(proves_not_appended(ErrorCode(code)), "{code}");
        }
    }
}
