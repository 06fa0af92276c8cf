//! Owns what is done about each error code of a fetch and of a question about offsets (Kafka's protocol guide, error codes).
//!
//! Must not know how it is done.

use crate::error_code::ErrorCode;

/// What to do about an error of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Try again after a backoff.
    Retry,
    /// The same, with newer metadata.
    Refresh,
    /// The offset does not exist: reset by policy.
    Reset,
    /// There is no such offset: an answer, not a failure.
    NoOffset,
    /// Tell the user, stay where the position is, and wait for a seek.
    Block,
    /// Tell the user, and try again after a backoff: somebody may put it right.
    Report,
}

/// What to do about an error of a partition in a Fetch response.
pub(crate) fn of_fetch(code: ErrorCode) -> Action {
    match code {
        ErrorCode::OFFSET_OUT_OF_RANGE => Action::Reset,
        // The broker found its own log damaged: only a seek leads past it.
        ErrorCode::CORRUPT_MESSAGE | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE => Action::Block,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::LEADER_NOT_AVAILABLE
        | ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::REPLICA_NOT_AVAILABLE
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::KAFKA_STORAGE_ERROR
        | ErrorCode::LISTENER_NOT_FOUND
        | ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::OFFSET_NOT_AVAILABLE
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::INCONSISTENT_TOPIC_ID => Action::Refresh,
        // The broker lags behind the metadata.
        ErrorCode::UNKNOWN_LEADER_EPOCH | ErrorCode::REQUEST_TIMED_OUT => Action::Retry,
        other if other.wants_metadata() => Action::Refresh,
        other if other.is_retriable() => Action::Retry,
        // Also what is not known: nothing is swallowed.
        _ => Action::Report,
    }
}

/// What to do about an error of a partition in a ListOffsets or OffsetForLeaderEpoch response.
pub(crate) fn of_lookup(code: ErrorCode) -> Action {
    match code {
        ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => Action::NoOffset,
        ErrorCode::UNKNOWN_SERVER_ERROR => Action::Retry,
        ErrorCode::UNKNOWN_LEADER_EPOCH | ErrorCode::OFFSET_NOT_AVAILABLE => Action::Refresh,
        other if other.wants_metadata() => Action::Refresh,
        other if other.is_retriable() => Action::Retry,
        _ => Action::Report,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the protocol's table of error codes that concern a fetch.
    #[test]
    fn each_code_of_a_fetch_has_the_action_of_the_table() {
        for (code, action) in [
            (-1, Action::Report),
            (1, Action::Reset),
            (2, Action::Block),
            (3, Action::Refresh),
            (5, Action::Refresh),
            (6, Action::Refresh),
            (7, Action::Retry),
            (9, Action::Refresh),
            (29, Action::Report),
            (56, Action::Refresh),
            (72, Action::Refresh),
            (74, Action::Refresh),
            (75, Action::Retry),
            (76, Action::Block),
            (78, Action::Refresh),
            (100, Action::Refresh),
            (103, Action::Refresh),
            (109, Action::Report),
            (9_999, Action::Report),
        ] {
            assert_eq!(of_fetch(ErrorCode(code)), action, "{code}");
        }
    }

    #[test]
    fn each_code_of_a_lookup_has_the_action_of_the_table() {
        for (code, action) in [
            (-1, Action::Retry),
            (3, Action::Refresh),
            (6, Action::Refresh),
            (29, Action::Report),
            (43, Action::NoOffset),
            (74, Action::Refresh),
            (75, Action::Refresh),
            (78, Action::Refresh),
            (9_999, Action::Report),
        ] {
            assert_eq!(of_lookup(ErrorCode(code)), action, "{code}");
        }
    }
}
