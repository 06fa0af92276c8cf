//! A broker that poses as Kafka 2.1, beside one that is.

use klamm::ApiKey;
use klamm::messages::{ApiVersionsRequest, MetadataRequest, MetadataRequestTopic};
use klamm::{Str, Uuid};
use klamm_cluster::Release;
use klamm_live::process::until;
use std::time::Duration;

use crate::both::{Both, Side};
use crate::positions::list;
use crate::reading::fetch;
use crate::writing::{batch, idempotent, produce};

#[test]
fn it_offers_what_2_1_offers() {
    let mut both = Both::old();
    both.same("the highest versions", |side| {
        let offered = side.response(0, &ApiVersionsRequest::default()).api_keys;
        let offered = offered.into_iter().filter_map(|api| {
            let key = ApiKey(api.api_key);
            let served = Release::apis().any(|served| served == key);
            served.then_some((key, api.max_version))
        });
        let mut offered: Vec<_> = offered.collect();
        offered.sort();
        format!("{offered:?}")
    });
    both.same("a version that it has not", |side| side.raw_api_versions(3));
    both.same("a Fetch that it has not", |side| {
        side.ask(11, &fetch(side, 11, 0))
    });
}

#[test]
fn it_writes_and_reads_as_2_1_does() {
    let mut both = Both::old();
    for version in 3..=7 {
        both.same(&format!("Produce v{version}"), |side| {
            side.ask(version, &produce(side, version, -1, batch(3)))
        });
    }
    for version in 4..=10 {
        for offset in [0, 4, 15, 16] {
            both.same(&format!("Fetch v{version} from {offset}"), |side| {
                side.ask(version, &fetch(side, version, offset))
            });
        }
    }
    for version in 1..=4 {
        for timestamp in [-1, -2, 0] {
            both.same(&format!("ListOffsets v{version} of {timestamp}"), |side| {
                side.ask(version, &list(side, timestamp))
            });
        }
    }
}

#[test]
fn a_producer_without_state_starts_at_zero() {
    let mut both = Both::old();
    both.each(|side| {
        let id = side.producer_id();
        side.kept.insert("id", id);
    });
    for (epoch, sequence, count) in [
        (0, 5, 1),
        (0, 0, 2),
        (0, 0, 2),
        (0, 3, 1),
        (0, 2, 1),
        (1, 3, 1),
        (1, 0, 1),
    ] {
        both.same(&format!("epoch {epoch}, sequence {sequence}"), |side| {
            let records = idempotent(side.kept["id"], epoch, sequence, count);
            side.ask(7, &produce(side, 7, -1, records))
        });
    }
}

#[test]
fn a_topic_that_is_created_on_demand_has_no_leader_at_once() {
    let mut both = Both::old();
    let ask = |side: &mut Side| {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(Str::from(format!("{}-new", side.topic))),
                topic_id: Uuid::ZERO,
            }]),
            ..MetadataRequest::default()
        };
        let answer = side.response(7, &request);
        let topic = &answer.topics[0];
        (topic.error_code, topic.partitions.len())
    };
    both.same("created", |side| format!("{:?}", ask(side)));
    both.same("there", |side| {
        let there = || Some(ask(side)).filter(|(error, _)| *error == 0);
        let (_, partitions) = until("it is there", Duration::from_secs(30), there);
        partitions.to_string()
    });
}
