//! Owns how one question of a member is put to the coordinator until it is answered, whatever it asks.
//!
//! Must not know what an answer means.

use super::timers;
use crate::cluster::{Capability, Cluster, Reach, Route, SendOptions, Token};
use crate::engine::{ConnectionGroup, NodeId};
use crate::random::{Backoff, Random};
use crate::time::Duration;
use crate::timer::{RoleTimer, TimerId};
use crate::wire::VersionRange;

/// How far a question to the coordinator is that is put until it is answered.
#[derive(Debug)]
pub(super) enum Asking {
    /// To be asked as soon as the coordinator can be.
    Due,
    /// Asked by this request.
    InFlight(Token),
    /// Asked in vain.
    Backoff(TimerId),
}

impl Asking {
    pub(super) fn stop(self, cluster: &mut Cluster) {
        match self {
            Self::Backoff(timer) => cluster.disarm(timer),
            Self::Due | Self::InFlight(_) => {}
        }
    }

    pub(super) fn awaits(&self, token: Token) -> bool {
        matches!(self, Self::InFlight(own) if *own == token)
    }
}

/// A pause after a question was asked in vain, longer with each in a row.
pub(super) fn back_off(
    attempts: &mut u32,
    backoff: Backoff,
    random: &mut Random,
    cluster: &mut Cluster,
) -> Asking {
    let at = cluster.now() + backoff.after(*attempts, random);
    *attempts = attempts.saturating_add(1);
    let timer = RoleTimer {
        kind: timers::MEMBER_RETRY,
        index: 0,
        why: "the group's coordinator is asked again",
    };
    Asking::Backoff(cluster.arm(at, timer))
}

/// Sends a request of a member, if the coordinator can be reached.
pub(super) fn ask<R: Capability + Send + 'static>(
    request: R,
    node: NodeId,
    mut options: SendOptions,
    cluster: &mut Cluster,
) -> Option<Token> {
    if let Reach::Pending = cluster.reach(node, ConnectionGroup::Coordination) {
        return None;
    }
    options.versions = VersionRange::from_bounds(..=R::VERSIONS.max);
    let route = Route::Node(node, ConnectionGroup::Coordination);
    Some(cluster.send(request, route, options))
}

/// As requests carry a time.
pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
