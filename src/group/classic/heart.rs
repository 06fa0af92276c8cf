//! Owns the heartbeats of a member in one generation: when the next one is due, and until when the coordinator believes
//! that the member lives.
//!
//! Must not know what an answer means.

use crate::cluster::{Cluster, Token};
use crate::group::timers;
use crate::time::{Duration, Instant};
use crate::timer::{RoleTimer, TimerId};

/// How far the next heartbeat is.
#[derive(Debug)]
enum Beat {
    /// Due when the timer fires.
    Waiting(TimerId),
    /// To be sent as soon as the coordinator can be reached.
    Due,
    /// On its way since then.
    InFlight { token: Token, sent: Instant },
}

/// The heartbeats of one generation.
#[derive(Debug)]
pub(super) struct Heart {
    beat: Beat,
    /// When the session is over, as far as this side can tell.
    session: TimerId,
    interval: Duration,
    session_timeout: Duration,
}

impl Heart {
    /// The coordinator has just heard of the member.
    pub(super) fn new(
        interval: Duration,
        session_timeout: Duration,
        cluster: &mut Cluster,
    ) -> Self {
        Self {
            beat: Beat::Waiting(arm_beat(interval, cluster)),
            session: arm_session(cluster.now() + session_timeout, cluster),
            interval,
            session_timeout,
        }
    }

    pub(super) const fn is_due(&self) -> bool {
        matches!(self.beat, Beat::Due)
    }

    pub(super) fn awaits(&self, token: Token) -> bool {
        matches!(self.beat, Beat::InFlight { token: own, .. } if own == token)
    }

    /// It has been sent.
    pub(super) fn sent(&mut self, token: Token, cluster: &Cluster) {
        let sent = cluster.now();
        self.beat = Beat::InFlight { token, sent };
    }

    /// The coordinator has answered as one that knows the member: the session lasts from when it was asked.
    pub(super) fn heard(&mut self, cluster: &mut Cluster) {
        if let Beat::InFlight { sent, .. } = self.beat {
            cluster.disarm(self.session);
            self.session = arm_session(sent + self.session_timeout, cluster);
        }
        self.rest(cluster);
    }

    /// The next one comes after the interval.
    pub(super) fn rest(&mut self, cluster: &mut Cluster) {
        self.beat = Beat::Waiting(arm_beat(self.interval, cluster));
    }

    /// It was not answered: sent again as soon as the coordinator can be reached.
    pub(super) const fn again(&mut self) {
        self.beat = Beat::Due;
    }

    pub(super) const fn on_timer(&mut self) {
        if let Beat::Waiting(_) = self.beat {
            self.beat = Beat::Due;
        }
    }

    /// Nothing more is sent.
    pub(super) fn stop(self, cluster: &mut Cluster) {
        cluster.disarm(self.session);
        if let Beat::Waiting(timer) = self.beat {
            cluster.disarm(timer);
        }
    }
}

fn arm_beat(interval: Duration, cluster: &mut Cluster) -> TimerId {
    let timer = RoleTimer {
        kind: timers::HEARTBEAT,
        index: 0,
        why: "a heartbeat is due",
    };
    cluster.arm(cluster.now() + interval, timer)
}

fn arm_session(until: Instant, cluster: &mut Cluster) -> TimerId {
    let timer = RoleTimer {
        kind: timers::SESSION,
        index: 0,
        why: "the coordinator has not answered for a whole session",
    };
    cluster.arm(until, timer)
}
