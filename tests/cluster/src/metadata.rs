//! Owns Metadata: the picture that a broker has of the cluster, told to clients.
//!
//! Must not know whether the picture is true.

use std::collections::BTreeSet;

use klamm::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use klamm::{ErrorCode, Str};

use crate::NodeId;
use crate::cluster::Cluster;
use crate::connection::Call;
use crate::dispatch::Handled;
use crate::topology::{Image, PartitionState, TopicRef, TopicState, is_legal_name};

/// In version 0 an empty list asks for all topics; later a null does.
const NULL_IS_ALL_FROM: i16 = 1;

impl Cluster {
    pub(crate) fn serve_metadata(
        &mut self,
        mut call: Call,
        request: MetadataRequest,
    ) -> Option<Handled> {
        let asked = request
            .topics
            .filter(|topics| call.version >= NULL_IS_ALL_FROM || !topics.is_empty());
        let view = self.topology.view(call.broker);
        let topics = match asked {
            None => {
                let all: Vec<_> = view.topics().map(|topic| topic.name.clone()).collect();
                let refs = all
                    .iter()
                    .map(|name| TopicRef::Name(Str::from(name.as_str())));
                refs.collect()
            }
            Some(topics) => topic_refs(topics),
        };
        drop(view);
        let mut answered = Vec::with_capacity(topics.len());
        for topic in topics {
            let create = request.allow_auto_topic_creation && self.config.auto_create_topics;
            answered.push(self.topic_metadata(&mut call, &topic, create));
        }
        let view = self.topology.view(call.broker);
        let error = Self::top_fault(&mut call);
        let response = MetadataResponse {
            throttle_time_ms: self.throttle_ms(),
            brokers: view.nodes().map(broker).collect(),
            cluster_id: Some(Str::from(self.config.cluster_id.as_str())),
            controller_id: view.nodes().next().map_or(-1, |node| node.id),
            topics: answered,
            error_code: error.unwrap_or(ErrorCode::NONE).0,
            ..MetadataResponse::default()
        };
        let outcome = self.answer::<MetadataRequest>(&call, &response);
        Some((call, outcome))
    }

    fn topic_metadata(
        &mut self,
        call: &mut Call,
        topic: &TopicRef,
        create: bool,
    ) -> MetadataResponseTopic {
        let view = self.topology.view(call.broker);
        let known = view.find(topic).cloned();
        let name = match (&known, topic) {
            (Some(topic), _) => Some(Str::from(topic.name.as_str())),
            (None, TopicRef::Name(name)) => Some(name.clone()),
            (None, TopicRef::Id(_)) => None,
        };
        let text = name.clone().unwrap_or_default();
        let fault = call.met.answers.either_topic(&text);
        let failed = |error: ErrorCode| MetadataResponseTopic {
            error_code: error.0,
            name: name.clone(),
            topic_id: topic.id(),
            ..MetadataResponseTopic::default()
        };
        if let Some(error) = fault {
            return failed(error);
        }
        if let Some(topic) = known {
            return self.described(call, &view, &topic);
        }
        drop(view);
        match topic {
            TopicRef::Id(_) => failed(ErrorCode::UNKNOWN_TOPIC_ID),
            TopicRef::Name(name) if !is_legal_name(name) => {
                failed(ErrorCode::INVALID_TOPIC_EXCEPTION)
            }
            TopicRef::Name(name) => {
                if create && self.topology.image().topic(name).is_none() {
                    self.auto_create(name);
                    let release = self.topology.node(call.broker).map(|node| node.release);
                    let error = release.map(crate::release::Release::just_created);
                    return failed(error.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
                }
                failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            }
        }
    }

    fn described(
        &self,
        call: &mut Call,
        view: &Image,
        topic: &TopicState,
    ) -> MetadataResponseTopic {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, state) in (0..).zip(&topic.partitions) {
            let mut described = partition(view, index, state);
            let answers = &mut call.met.answers;
            if let Some(error) = answers.either_partition(&topic.name, index) {
                described.error_code = error.0;
                described.leader_id = -1;
            }
            partitions.push(described);
        }
        MetadataResponseTopic {
            name: Some(Str::from(topic.name.as_str())),
            topic_id: topic.id,
            is_internal: topic.name.starts_with("__"),
            partitions,
            ..MetadataResponseTopic::default()
        }
    }
}

/// The topics that a request names, each once. As soon as one is named by id, the names are passed over (KIP-516).
fn topic_refs(topics: Vec<MetadataRequestTopic>) -> Vec<TopicRef> {
    let by_id = topics.iter().any(|topic| !topic.topic_id.is_zero());
    let mut seen = BTreeSet::new();
    let refs = topics.into_iter().filter_map(|topic| match topic.name {
        _ if !topic.topic_id.is_zero() => Some(TopicRef::Id(topic.topic_id)),
        Some(name) if !by_id => Some(TopicRef::Name(name)),
        Some(_) | None => None,
    });
    refs.filter(|topic| seen.insert(topic.clone())).collect()
}

fn broker(node: &crate::config::Node) -> MetadataResponseBroker {
    MetadataResponseBroker {
        node_id: node.id,
        host: Str::from(node.host.as_str()),
        port: i32::from(node.port),
        rack: node.rack.as_deref().map(Str::from),
    }
}

fn partition(view: &Image, index: i32, state: &PartitionState) -> MetadataResponsePartition {
    let leader = state.leader.filter(|id| view.node(*id).is_some());
    let offline = |id: &&NodeId| view.node(**id).is_none();
    let error = if leader.is_some() {
        ErrorCode::NONE
    } else {
        ErrorCode::LEADER_NOT_AVAILABLE
    };
    MetadataResponsePartition {
        error_code: error.0,
        partition_index: index,
        leader_id: leader.unwrap_or(-1),
        leader_epoch: state.leader_epoch,
        replica_nodes: state.replicas.clone(),
        isr_nodes: state.isr.clone(),
        offline_replicas: state.replicas.iter().filter(offline).copied().collect(),
    }
}
