//! ApiVersions, Metadata, CreateTopics, DeleteTopics, CreatePartitions.

use klamm::messages::{
    ApiVersionsRequest, CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest,
    CreatePartitionsTopic, CreateTopicsRequest, DeleteTopicState, DeleteTopicsRequest,
    MetadataRequest, MetadataRequestTopic,
};
use klamm::{ApiKey, Str, Uuid};
use klamm_cluster::Release;
use klamm_live::process::until;
use std::time::Duration;

use crate::both::{Both, Side};

#[test]
fn the_served_apis_have_the_versions_of_the_real_ones() {
    let mut both = Both::without_topic();
    both.same("v0", |side| {
        let offered = side.response(0, &ApiVersionsRequest::default()).api_keys;
        let served = |key: i16| Release::apis().any(|api| api == ApiKey(key));
        let offered = offered.into_iter().filter(|api| served(api.api_key));
        let mut offered: Vec<_> = offered.collect();
        offered.sort_by_key(|api| api.api_key);
        format!("{offered:?}")
    });
    for (name, version) in [("", ""), ("a b", "1"), ("a", "-1"), ("a", "1.")] {
        both.same(&format!("software `{name}` `{version}`"), |side| {
            let request = ApiVersionsRequest {
                client_software_name: Str::from(name),
                client_software_version: Str::from(version),
            };
            side.ask(3, &request)
        });
    }
}

fn metadata(names: &[&str], ids: &[Uuid], create: bool) -> MetadataRequest {
    let names = names.iter().map(|name| MetadataRequestTopic {
        name: Some(Str::from(*name)),
        ..MetadataRequestTopic::default()
    });
    let ids = ids.iter().map(|id| MetadataRequestTopic {
        topic_id: *id,
        name: None,
    });
    MetadataRequest {
        topics: Some(names.chain(ids).collect()),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    }
}

#[test]
fn metadata_of_a_topic_in_every_version() {
    let mut both = Both::with_topic(&[]);
    for version in 0..=13 {
        both.same(&format!("v{version}"), |side| {
            let topic = side.topic.clone();
            side.ask(version, &metadata(&[&topic], &[], true))
        });
    }
    both.same("an id", |side| {
        side.ask(12, &metadata(&[], &[side.id], true))
    });
    both.same("the same twice", |side| {
        let topic = side.topic.clone();
        side.ask(12, &metadata(&[&topic, &topic], &[], true))
    });
    both.same("a name and an id", |side| {
        let topic = side.topic.clone();
        side.ask(12, &metadata(&[&topic], &[side.id], true))
    });
    both.same("an unknown id", |side| {
        side.ask(12, &metadata(&[], &[Uuid::from(77)], true))
    });
    both.same("nothing", |side| side.ask(12, &metadata(&[], &[], true)));
    both.same("an unknown name", |side| {
        side.ask(12, &metadata(&["no-such-topic"], &[], false))
    });
    for name in ["a b", "", ".", "ä"] {
        both.same(&format!("the name `{name}`"), |side| {
            side.ask(12, &metadata(&[name], &[], true))
        });
    }
}

#[test]
fn a_topic_that_is_created_on_demand_is_not_there_at_once() {
    let mut both = Both::without_topic();
    for version in [4, 9, 12, 13] {
        let ask = |side: &mut Side| {
            let topic = format!("{}-{version}", side.topic);
            let answer = side.response(version, &metadata(&[&topic], &[], true));
            let topic = &answer.topics[0];
            (topic.error_code, topic.partitions.len())
        };
        both.same(&format!("v{version}"), |side| format!("{:?}", ask(side)));
        both.same(&format!("v{version} later"), |side| {
            let there = || Some(ask(side)).filter(|(error, _)| *error == 0);
            let (_, partitions) = until("it is there", Duration::from_secs(30), there);
            partitions.to_string()
        });
    }
}

fn create(side: &Side, partitions: i32, factor: i16, config: (&str, &str)) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: side.name(),
            num_partitions: partitions,
            replication_factor: factor,
            configs: vec![CreatableTopicConfig {
                name: Str::from(config.0),
                value: Some(Str::from(config.1)),
            }],
            ..CreatableTopic::default()
        }],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    }
}

/// What the answers say of the first topic: its error, partitions and replicas.
fn created(side: &mut Side, request: &CreateTopicsRequest) -> String {
    let answer = side.response(7, request).topics.remove(0);
    format!(
        "{} {} {}",
        answer.error_code, answer.num_partitions, answer.replication_factor
    )
}

#[test]
fn topics_are_created_and_refused_alike() {
    let mut both = Both::without_topic();
    let min = ("min.insync.replicas", "1");
    both.same("no partitions", |side| {
        created(side, &create(side, 0, 1, min))
    });
    both.same("partitions below zero", |side| {
        created(side, &create(side, -2, 1, min))
    });
    both.same("no replicas", |side| {
        created(side, &create(side, 1, 0, min))
    });
    both.same("too many replicas", |side| {
        created(side, &create(side, 1, 2, min))
    });
    both.same("a wrong setting", |side| {
        created(side, &create(side, 1, 1, ("max.message.bytes", "many")))
    });
    both.same("only looked at", |side| {
        let mut request = create(side, 3, 1, min);
        request.validate_only = true;
        created(side, &request)
    });
    both.same("created", |side| created(side, &create(side, 3, 1, min)));
    both.same("there already", |side| {
        created(side, &create(side, 3, 1, min))
    });
    both.same("a wrong name", |side| {
        let mut request = create(side, 3, 1, min);
        request.topics[0].name = Str::from("a b");
        created(side, &request)
    });
}

#[test]
fn partitions_are_added_and_topics_deleted_alike() {
    let mut both = Both::with_topic(&[]);
    for count in [1, 0, 3, 2] {
        both.same(&format!("{count} partitions"), |side| {
            let request = CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic {
                    name: side.name(),
                    count,
                    assignments: None,
                }],
                timeout_ms: 10_000,
                validate_only: false,
            };
            side.ask(3, &request)
        });
    }
    let delete = |name: Option<Str>, id| DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name, topic_id: id }],
        topic_names: vec![],
        timeout_ms: 10_000,
    };
    both.same("an unknown name", |side| {
        side.ask(6, &delete(Some(Str::from("no-such-topic")), Uuid::ZERO))
    });
    both.same("an unknown id", |side| {
        side.ask(6, &delete(None, Uuid::from(77)))
    });
    both.same("by id", |side| side.ask(6, &delete(None, side.id)));
    both.same("by id again", |side| side.ask(6, &delete(None, side.id)));
}
