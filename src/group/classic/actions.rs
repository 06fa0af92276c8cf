//! Owns what is done about each error code that a member of a classic group is answered with.
//!
//! Must not know how it is done.

use crate::error_code::ErrorCode;

/// What to do about an error code of JoinGroup or SyncGroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joining {
    /// Join with the member id that came with the refusal, at once (KIP-394).
    TakeMemberId,
    /// Join again after a pause.
    Retry,
    /// The same, at whoever coordinates the group by now.
    Rediscover,
    /// What is owned is lost; the member id is still good.
    LoseGeneration,
    /// What is owned is lost, and so is the member id.
    LoseMember,
    /// Joining again would change nothing.
    Fail,
}

pub(super) fn of_join(code: ErrorCode) -> Joining {
    match code {
        ErrorCode::MEMBER_ID_REQUIRED => Joining::TakeMemberId,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Joining::Rediscover,
        ErrorCode::REBALANCE_IN_PROGRESS => Joining::Retry,
        ErrorCode::ILLEGAL_GENERATION => Joining::LoseGeneration,
        ErrorCode::UNKNOWN_MEMBER_ID => Joining::LoseMember,
        other if other.is_retriable() => Joining::Retry,
        // Also INCONSISTENT_GROUP_PROTOCOL, INVALID_SESSION_TIMEOUT, GROUP_MAX_SIZE_REACHED, FENCED_INSTANCE_ID,
        // GROUP_AUTHORIZATION_FAILED, and what is not known.
        _ => Joining::Fail,
    }
}

/// What to do about an error code of Heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beating {
    /// The group rebalances: join again.
    Rejoin,
    /// With the next heartbeat it may be better.
    Ignore,
    /// The next heartbeat goes to whoever coordinates the group by now.
    Rediscover,
    /// What is owned is lost; the member id is still good.
    LoseGeneration,
    /// What is owned is lost, and so is the member id.
    LoseMember,
    /// What is owned is lost, and joining again would change nothing.
    Fail,
}

pub(super) fn of_heartbeat(code: ErrorCode) -> Beating {
    match code {
        ErrorCode::REBALANCE_IN_PROGRESS => Beating::Rejoin,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Beating::Rediscover,
        ErrorCode::ILLEGAL_GENERATION => Beating::LoseGeneration,
        ErrorCode::UNKNOWN_MEMBER_ID => Beating::LoseMember,
        other if other.is_retriable() => Beating::Ignore,
        _ => Beating::Fail,
    }
}

/// What to do about an error code of LeaveGroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It has left, or was no member.
    Left,
    /// Ask again after a pause.
    Retry,
    /// The same, at whoever coordinates the group by now.
    Rediscover,
    /// The coordinator will not do it: the session runs out.
    GiveUp,
}

pub(super) fn of_leave(code: ErrorCode) -> Leaving {
    match code {
        ErrorCode::NONE | ErrorCode::UNKNOWN_MEMBER_ID => Leaving::Left,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Leaving::Rediscover,
        other if other.is_retriable() => Leaving::Retry,
        _ => Leaving::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the protocol's table of error codes that concern a member of a classic group.
    #[test]
    fn each_code_of_a_member_has_the_action_of_the_table() {
        use Beating as B;
        use Joining as J;
        use Leaving as L;
        for (code, join, heartbeat, leave) in [
            (-1, J::Fail, B::Fail, L::GiveUp),
            (14, J::Retry, B::Ignore, L::Retry),
            (15, J::Rediscover, B::Rediscover, L::Rediscover),
            (16, J::Rediscover, B::Rediscover, L::Rediscover),
            (22, J::LoseGeneration, B::LoseGeneration, L::GiveUp),
            (23, J::Fail, B::Fail, L::GiveUp),
            (24, J::Fail, B::Fail, L::GiveUp),
            (25, J::LoseMember, B::LoseMember, L::Left),
            (26, J::Fail, B::Fail, L::GiveUp),
            (27, J::Retry, B::Rejoin, L::GiveUp),
            (30, J::Fail, B::Fail, L::GiveUp),
            (79, J::TakeMemberId, B::Fail, L::GiveUp),
            (81, J::Fail, B::Fail, L::GiveUp),
            (82, J::Fail, B::Fail, L::GiveUp),
            (9_999, J::Fail, B::Fail, L::GiveUp),
        ] {
            let code = ErrorCode(code);
            assert_eq!(of_join(code), join, "{code}");
            assert_eq!(of_heartbeat(code), heartbeat, "{code}");
            assert_eq!(of_leave(code), leave, "{code}");
        }
    }
}
