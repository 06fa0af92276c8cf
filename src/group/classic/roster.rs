//! Owns who was in the generations that this member led, and so who came and who went.
//!
//! Must not know why.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::collections::sorted;
use crate::group::membership::MemberChanges;
use crate::messages::JoinGroupResponseMember;

/// The members of a group, as its leader sees them.
#[derive(Debug)]
pub(super) struct Roster {
    /// In order; `None`: another one led.
    members: Option<Vec<Arc<str>>>,
    changes: Option<MemberChanges>,
}

impl Roster {
    pub(super) const fn new() -> Self {
        Self {
            members: None,
            changes: None,
        }
    }

    /// The member leads a generation of these.
    pub(super) fn lead(&mut self, members: &[JoinGroupResponseMember]) {
        // An instance that restarts has another member id (KIP-345).
        let name = |member: &JoinGroupResponseMember| {
            let instance = member.group_instance_id.as_ref();
            Arc::from(instance.unwrap_or(&member.member_id).as_str())
        };
        let now = sorted(members.iter().map(name).collect(), &Ord::cmp);
        self.changes = self.members.take().map(|before| MemberChanges {
            joined: missing(&before, &now),
            left: missing(&now, &before),
        });
        self.members = Some(now);
    }

    /// Another one leads: it alone knows who is in the group.
    pub(super) fn follow(&mut self) {
        *self = Self::new();
    }

    /// Who came and went since the generation before, if the member led both.
    pub(super) const fn changes(&self) -> Option<&MemberChanges> {
        self.changes.as_ref()
    }
}

/// Who of `these` is not in `row`, which is in order.
fn missing(row: &[Arc<str>], these: &[Arc<str>]) -> Vec<Arc<str>> {
    let is_missing = |name: &&Arc<str>| row.binary_search(name).is_err();
    these.iter().filter(is_missing).cloned().collect()
}
