//! Owns what is done about each error code of ConsumerGroupHeartbeat.
//!
//! Must not know how it is done.

use crate::error_code::ErrorCode;

/// What to do about an error code of a heartbeat that joins, or keeps a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beating {
    /// Again, after a pause.
    Retry,
    /// Again, to whoever coordinates the group by now.
    Rediscover,
    /// What is owned is lost: join again, under the same id.
    Lose,
    /// The name is still another one's: again, until its session must be over.
    AwaitRelease,
    /// By this protocol there is no way into the group.
    Refuse,
    /// What is owned is lost, and joining again would change nothing.
    Fail,
}

pub(super) fn of_heartbeat(code: ErrorCode) -> Beating {
    match code {
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Beating::Rediscover,
        ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID => Beating::Lose,
        ErrorCode::UNRELEASED_INSTANCE_ID => Beating::AwaitRelease,
        ErrorCode::UNSUPPORTED_VERSION | ErrorCode::GROUP_ID_NOT_FOUND => Beating::Refuse,
        other if other.is_retriable() => Beating::Retry,
        // Also UNSUPPORTED_ASSIGNOR, INVALID_REGULAR_EXPRESSION, GROUP_MAX_SIZE_REACHED, FENCED_INSTANCE_ID,
        // INVALID_REQUEST, GROUP_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED, and what is not known.
        _ => Beating::Fail,
    }
}

/// What to do about an error code of the heartbeat that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It has left, or was no member.
    Left,
    /// Again, after a pause.
    Retry,
    /// Again, to whoever coordinates the group by now.
    Rediscover,
    /// The coordinator will not do it: the session runs out.
    GiveUp,
}

pub(super) fn of_leave(code: ErrorCode) -> Leaving {
    match code {
        ErrorCode::NONE
        | ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::FENCED_MEMBER_EPOCH
        | ErrorCode::GROUP_ID_NOT_FOUND => Leaving::Left,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Leaving::Rediscover,
        other if other.is_retriable() => Leaving::Retry,
        _ => Leaving::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the protocol's table of error codes that concern a member by KIP-848.
    #[test]
    fn each_code_of_a_member_has_the_action_of_the_table() {
        use Beating as B;
        use Leaving as L;
        for (code, heartbeat, leave) in [
            (-1, B::Fail, L::GiveUp),
            (14, B::Retry, L::Retry),
            (15, B::Rediscover, L::Rediscover),
            (16, B::Rediscover, L::Rediscover),
            (24, B::Fail, L::GiveUp),
            (25, B::Lose, L::Left),
            (29, B::Fail, L::GiveUp),
            (30, B::Fail, L::GiveUp),
            (35, B::Refuse, L::GiveUp),
            (42, B::Fail, L::GiveUp),
            (69, B::Refuse, L::Left),
            (81, B::Fail, L::GiveUp),
            (82, B::Fail, L::GiveUp),
            (110, B::Lose, L::Left),
            (111, B::AwaitRelease, L::GiveUp),
            (112, B::Fail, L::GiveUp),
            (128, B::Fail, L::GiveUp),
            (9_999, B::Fail, L::GiveUp),
        ] {
            let code = ErrorCode(code);
            assert_eq!(of_heartbeat(code), heartbeat, "{code}");
            assert_eq!(of_leave(code), leave, "{code}");
        }
    }
}
