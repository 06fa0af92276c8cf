//! A group as a consumer sees it: who coordinates it, the membership of it, and the offsets that are kept there.
//!
//! It owns the coordinator as a leased fact, the way into the group and out of it, and commits and questions about
//! committed offsets from hand-in to their one result. It must not know partitions' states or fetching: it is told
//! offsets, says what is assigned, and asks the cluster to send requests. The assignors are pure functions below it.

mod commit;
mod coordinator;
mod lane;
mod load;
mod member;
mod offsets;
mod types;

pub use member::RebalanceCause;
pub(crate) use member::{Bid, MemberEvent, MemberSettings};
pub(crate) use offsets::{Group, GroupEvent};
pub use types::{CommitOutcome, CommitOutcomes, CommittedOffsets, OffsetAndMetadata};

/// The timers of a group, apart from those of the role that it is part of.
pub(crate) mod timers {
    /// The coordinator may be asked for again.
    pub(crate) const COORDINATOR: u8 = 64;
    /// The first commit may be sent again.
    pub(crate) const COMMIT: u8 = 65;
    /// A commit has taken too long.
    pub(crate) const COMMIT_DEADLINE: u8 = 66;
    /// The first question may be put again.
    pub(crate) const LOAD: u8 = 67;
    /// A question has taken too long.
    pub(crate) const LOAD_DEADLINE: u8 = 68;
    /// A heartbeat is due.
    pub(crate) const HEARTBEAT: u8 = 69;
    /// The member's session is over.
    pub(crate) const SESSION: u8 = 70;
    /// The member may join or leave again.
    pub(crate) const MEMBER_RETRY: u8 = 71;

    /// Whether a timer is one of these.
    pub(crate) const fn owns(kind: u8) -> bool {
        kind >= COORDINATOR
    }
}
