//! Owns what the coordinator says of the simulation's one group: whom it counts, and what was committed.
//!
//! Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use klamm::messages::OffsetCommitRequest;
use klamm::wire::Request;
use klamm::{Duration, Instant};
use klamm_cluster::{Cluster, GroupConfig, What};

use crate::history::{Entry, Place};

/// What the group is called.
pub(crate) const GROUP: &str = "group";

/// How long a member may be silent, by either protocol: short, so that what goes wrong in a scenario lasts longer.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a member says that it lives.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(800);

/// How the cluster coordinates.
pub(crate) fn config() -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay: Duration::from_millis(200),
        min_session_timeout: Duration::from_secs(1),
        consumer_session_timeout: SESSION_TIMEOUT,
        consumer_heartbeat_interval: HEARTBEAT_INTERVAL,
        consumer_assignment_interval: Duration::ZERO,
        ..GroupConfig::default()
    }
}

/// What a member's client calls itself.
pub(crate) fn client_id(member: u32) -> String {
    format!("member-{member}")
}

fn member_of(client_id: &str) -> Option<u32> {
    client_id.strip_prefix("member-")?.parse().ok()
}

/// The members that the coordinator counts.
pub(crate) fn current(cluster: &Cluster) -> BTreeSet<u32> {
    let members = cluster
        .group(GROUP)
        .map_or(Vec::new(), |group| group.members);
    members
        .iter()
        .filter_map(|member| member_of(&member.client_id))
        .collect()
}

/// What was committed, in order, and by whom. A cluster that keeps no requests has forgotten.
pub(crate) fn commits(cluster: &Cluster) -> Vec<(Instant, Entry)> {
    let mut by = BTreeMap::new();
    for entry in cluster.requests(OffsetCommitRequest::KEY) {
        let number = by.len() as u64;
        if let Some(member) = entry.client_id.as_deref().and_then(member_of) {
            by.entry(entry.connection).or_insert((member, number));
        }
    }
    let commits = cluster.history().filter_map(|event| match &event.what {
        What::Committed {
            topic,
            index,
            offset,
            cause,
            ..
        } => Some((
            event.at,
            Entry::Committed {
                by: *by.get(&cause.connection)?,
                place: Place {
                    topic: topic.clone(),
                    partition: *index,
                },
                offset: *offset,
            },
        )),
        What::Appended { .. }
        | What::Duplicate { .. }
        | What::HighWatermark { .. }
        | What::Truncated { .. }
        | What::LeaderChanged { .. }
        | What::LogStart { .. }
        | What::TopicCreated { .. }
        | What::TopicDeleted { .. }
        | What::GroupChanged { .. }
        | What::Closed { .. }
        | What::Stopped { .. }
        | What::Started { .. } => None,
    });
    commits.collect()
}
