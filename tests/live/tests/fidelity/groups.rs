//! FindCoordinator, OffsetCommit, OffsetFetch.

use klamm::messages::{
    FindCoordinatorRequest, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
};
use klamm::{Str, Uuid};
use klamm_live::process::until;
use std::time::Duration;

use crate::both::{Both, Side};

fn find(version: i16, key_type: i8) -> FindCoordinatorRequest {
    let key = Str::from("fidelity");
    FindCoordinatorRequest {
        key: if version < 4 { key.clone() } else { Str::EMPTY },
        key_type,
        coordinator_keys: if version < 4 { vec![] } else { vec![key] },
    }
}

/// A real broker makes the topic of offsets first.
pub(crate) fn ready() -> Both {
    let mut both = Both::with_topic(&[]);
    both.each(|side| {
        until("there is a coordinator", Duration::from_secs(60), || {
            let found = side.response(3, &find(3, 0));
            (found.error_code == 0).then_some(())
        });
        until("it has read its offsets", Duration::from_secs(60), || {
            let request = commit(side, 9, "warm-up");
            let response = side.response(9, &request);
            (response.topics[0].partitions[0].error_code == 0).then_some(())
        });
    });
    both
}

pub(crate) fn commit(side: &Side, version: i16, group: &str) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: Str::from(group),
        topics: vec![OffsetCommitRequestTopic {
            name: if version < 10 {
                side.name()
            } else {
                Str::EMPTY
            },
            topic_id: if version < 10 { Uuid::ZERO } else { side.id },
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: i64::from(version),
                committed_leader_epoch: if version < 6 { -1 } else { 3 },
                committed_metadata: Some(Str::from("note")),
                ..OffsetCommitRequestPartition::default()
            }],
        }],
        ..OffsetCommitRequest::default()
    }
}

fn fetch(side: &Side, version: i16, group: &str, all: bool) -> OffsetFetchRequest {
    if version < 8 {
        let topic = OffsetFetchRequestTopic {
            name: side.name(),
            partition_indexes: vec![0, 5],
        };
        return OffsetFetchRequest {
            group_id: Str::from(group),
            topics: if all { None } else { Some(vec![topic]) },
            ..OffsetFetchRequest::default()
        };
    }
    let topic = OffsetFetchRequestTopics {
        name: if version < 10 {
            side.name()
        } else {
            Str::EMPTY
        },
        topic_id: if version < 10 { Uuid::ZERO } else { side.id },
        partition_indexes: vec![0, 5],
    };
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: Str::from(group),
            topics: if all { None } else { Some(vec![topic]) },
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    }
}

#[test]
fn coordinators_are_found_alike() {
    let mut both = ready();
    for version in 0..=6 {
        both.same(&format!("v{version}"), |side| {
            side.ask(version, &find(version, 0))
        });
    }
    for key_type in [2, 3, -1] {
        both.same(&format!("key type {key_type}"), |side| {
            side.ask(4, &find(4, key_type))
        });
    }
}

#[test]
fn offsets_are_committed_and_fetched_alike() {
    let mut both = ready();
    both.same("a group that nobody knows", |side| {
        side.ask(9, &fetch(side, 9, "nobody", false))
    });
    for version in 2..=10 {
        both.same(&format!("commit v{version}"), |side| {
            let group = format!("{}-group", side.topic);
            side.ask(version, &commit(side, version, &group))
        });
        both.same(&format!("fetch v{version}"), |side| {
            let group = format!("{}-group", side.topic);
            side.ask(version, &fetch(side, version, &group, false))
        });
        if version > 2 {
            both.same(&format!("fetch all v{version}"), |side| {
                let group = format!("{}-group", side.topic);
                side.ask(version, &fetch(side, version, &group, true))
            });
        }
    }
}

#[test]
fn commits_are_refused_alike() {
    let mut both = ready();
    for version in [7, 9] {
        both.same(&format!("a generation of nobody, v{version}"), |side| {
            let mut request = commit(side, version, "nobody");
            request.generation_id_or_member_epoch = 1;
            side.ask(version, &request)
        });
    }
    for version in [7, 8, 9] {
        both.same(&format!("a generation, v{version}"), |side| {
            let mut request = commit(side, version, "refused");
            request.generation_id_or_member_epoch = 1;
            side.ask(version, &request)
        });
        both.same(&format!("a member, v{version}"), |side| {
            let mut request = commit(side, version, "refused");
            request.member_id = Str::from("somebody");
            side.ask(version, &request)
        });
        both.same(&format!("an instance, v{version}"), |side| {
            let mut request = commit(side, version, "refused");
            request.group_instance_id = Some(Str::from("somebody"));
            side.ask(version, &request)
        });
    }
    both.same("no name", |side| side.ask(9, &commit(side, 9, "")));
    both.same("an unknown topic", |side| {
        let mut request = commit(side, 9, "refused");
        request.topics[0].name = Str::from("no-such-topic");
        side.ask(9, &request)
    });
    both.same("an unknown id", |side| {
        let mut request = commit(side, 10, "refused");
        request.topics[0].topic_id = Uuid::from(77);
        side.ask(10, &request)
    });
    both.same("an unknown partition", |side| {
        let mut request = commit(side, 9, "refused");
        request.topics[0].partitions[0].partition_index = 9;
        side.ask(9, &request)
    });
    both.same("much metadata", |side| {
        let mut request = commit(side, 9, "refused");
        let text = "x".repeat(4097);
        request.topics[0].partitions[0].committed_metadata = Some(Str::from(text));
        side.ask(9, &request)
    });
    both.same("no metadata", |side| {
        let mut request = commit(side, 9, "refused");
        request.topics[0].partitions[0].committed_metadata = None;
        side.ask(9, &request)
    });
}
