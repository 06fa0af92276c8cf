//! Owns the reading of what came in: how many Produce requests that brokers read had a record in them.
//!
//! Judges nothing, and takes nothing from what the cluster did with them.

use std::collections::{BTreeMap, BTreeSet};

use klamm::messages::{ProduceRequest, TopicProduceData};
use klamm::wire::Request;
use klamm_cluster::Cluster;

use crate::batch;
use crate::history::{Place, RecordId, identify};

/// How often each record came in. A cluster that keeps no frames has read nothing.
pub(crate) fn attempts(cluster: &Cluster) -> BTreeMap<RecordId, u64> {
    let mut attempts = BTreeMap::new();
    for entry in cluster.requests(ProduceRequest::KEY) {
        let Some(Ok(request)) = entry.decode::<ProduceRequest>() else {
            continue;
        };
        for id in records(cluster, &request) {
            *attempts.entry(id).or_default() += 1;
        }
    }
    attempts
}

/// The records of one request, each once.
fn records(cluster: &Cluster, request: &ProduceRequest) -> BTreeSet<RecordId> {
    let mut records = BTreeSet::new();
    for topic in &request.topic_data {
        let Some(name) = name(cluster, topic) else {
            continue;
        };
        for partition in &topic.partition_data {
            let place = Place {
                topic: name.clone(),
                partition: partition.index,
            };
            let bytes = partition.records.clone().unwrap_or_default();
            let read = batch::read(&bytes, usize::MAX).unwrap_or_default();
            records.extend(read.iter().filter_map(|(_, value)| identify(value, &place)));
        }
    }
    records
}

/// Produce v13 and later name topics by id.
fn name(cluster: &Cluster, topic: &TopicProduceData) -> Option<String> {
    match topic.name.is_empty() {
        false => Some(topic.name.to_string()),
        true => Some(cluster.image().topic_by_id(topic.topic_id)?.name.clone()),
    }
}
