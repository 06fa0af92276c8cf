//! Owns the requests that change topics: CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords.
//!
//! Must not know how a topic is kept; it asks the controls.

use klamm::messages::{
    CreatableTopic, CreatableTopicResult, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopicResult, CreateTopicsRequest, CreateTopicsResponse, DeletableTopicResult,
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteRecordsTopicResult, DeleteTopicState, DeleteTopicsRequest,
    DeleteTopicsResponse,
};
use klamm::{ErrorCode, Str, Uuid};

use crate::cluster::Cluster;
use crate::config::{TimestampType, TopicConfig};
use crate::connection::Call;
use crate::control::{ControlError, NewTopic};
use crate::dispatch::Handled;
use crate::faults::Moment;
use crate::topology::TopicRef;

/// The first version of DeleteTopics in which topics come with ids (KIP-516).
const STATES_FROM: i16 = 6;

impl Cluster {
    pub(crate) fn serve_create_topics(
        &mut self,
        mut call: Call,
        request: CreateTopicsRequest,
    ) -> Option<Handled> {
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let answers = &mut call.met.answers;
            let before = answers.topic(Moment::Before, &topic.name);
            let after = answers.topic(Moment::After, &topic.name);
            let created = match before {
                Some(error) => Err((error, String::new())),
                None => self.create_requested(topic, request.validate_only),
            };
            let created = after.map_or(created, |error| Err((error, String::new())));
            results.push(self.creation_result(topic, created));
        }
        let response = CreateTopicsResponse {
            throttle_time_ms: self.throttle_ms(),
            topics: results,
        };
        let outcome = self.answer::<CreateTopicsRequest>(&call, &response);
        Some((call, outcome))
    }

    fn create_requested(
        &mut self,
        topic: &CreatableTopic,
        validate_only: bool,
    ) -> Result<Uuid, (ErrorCode, String)> {
        let config = self.requested_config(topic)?;
        if self.topology.image().topic(&topic.name).is_some() {
            return Err(refusal(&ControlError::TopicExists(topic.name.to_string())));
        }
        let nodes = self.topology.nodes().count();
        let factor = match topic.replication_factor {
            -1 => self
                .config
                .default_replication_factor
                .min(nodes_as_factor(nodes)),
            factor => factor,
        };
        let partitions = match topic.num_partitions {
            -1 => self.config.default_partitions,
            partitions => partitions,
        };
        if topic.assignments.is_empty() {
            if factor < 1 || usize::try_from(factor).unwrap_or(0) > nodes {
                let message = format!("{nodes} brokers cannot hold {factor} replicas");
                return Err((ErrorCode::INVALID_REPLICATION_FACTOR, message));
            }
            if partitions < 1 {
                return Err(refusal(&ControlError::IllegalCount(partitions)));
            }
        }
        if validate_only {
            return Ok(Uuid::ZERO);
        }
        let created = if topic.assignments.is_empty() {
            self.create_topic_with(
                &topic.name,
                NewTopic {
                    partitions,
                    replication_factor: factor,
                    config,
                },
            )
        } else {
            let mut assignments = topic.assignments.clone();
            assignments.sort_by_key(|assignment| assignment.partition_index);
            let places = assignments
                .into_iter()
                .map(|assignment| assignment.broker_ids);
            self.add_topic(&topic.name, places.collect(), config)
        };
        created.map_err(|error| refusal(&error))
    }

    fn requested_config(&self, topic: &CreatableTopic) -> Result<TopicConfig, (ErrorCode, String)> {
        let mut config = self.config.topic_defaults.clone();
        for entry in &topic.configs {
            let value = entry.value.as_deref().unwrap_or_default();
            if !set_config(&mut config, &entry.name, value) {
                let message = format!("`{value}` is not possible for {}", entry.name);
                return Err((ErrorCode::INVALID_CONFIG, message));
            }
        }
        Ok(config)
    }

    fn creation_result(
        &self,
        topic: &CreatableTopic,
        created: Result<Uuid, (ErrorCode, String)>,
    ) -> CreatableTopicResult {
        match created {
            Ok(id) => {
                let state = self.topology.image().topic_by_id(id);
                let partitions = state.map_or(topic.num_partitions, |state| {
                    i32::try_from(state.partitions.len()).unwrap_or(i32::MAX)
                });
                let first = state.and_then(|state| state.partitions.first());
                let factor = first.map_or(topic.replication_factor, |first| {
                    nodes_as_factor(first.replicas.len())
                });
                CreatableTopicResult {
                    name: topic.name.clone(),
                    topic_id: id,
                    error_message: None,
                    num_partitions: partitions,
                    replication_factor: factor,
                    ..CreatableTopicResult::default()
                }
            }
            Err((error, message)) => CreatableTopicResult {
                name: topic.name.clone(),
                error_code: error.0,
                error_message: Some(Str::from(message)),
                ..CreatableTopicResult::default()
            },
        }
    }

    pub(crate) fn serve_delete_topics(
        &mut self,
        mut call: Call,
        request: DeleteTopicsRequest,
    ) -> Option<Handled> {
        let topics: Vec<_> = if call.version >= STATES_FROM {
            request.topics
        } else {
            let names = request.topic_names.into_iter();
            let state = |name| DeleteTopicState {
                name: Some(name),
                topic_id: Uuid::ZERO,
            };
            names.map(state).collect()
        };
        let responses = topics
            .into_iter()
            .map(|topic| self.delete_requested(&mut call, topic))
            .collect();
        let response = DeleteTopicsResponse {
            throttle_time_ms: self.throttle_ms(),
            responses,
        };
        let outcome = self.answer::<DeleteTopicsRequest>(&call, &response);
        Some((call, outcome))
    }

    fn delete_requested(
        &mut self,
        call: &mut Call,
        topic: DeleteTopicState,
    ) -> DeletableTopicResult {
        let (reference, unknown) = match &topic.name {
            Some(name) => (
                TopicRef::Name(name.clone()),
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ),
            None => (TopicRef::Id(topic.topic_id), ErrorCode::UNKNOWN_TOPIC_ID),
        };
        let known = self.topology.image().find(&reference);
        let known = known.map(|topic| (topic.name.clone(), topic.id));
        let name = self.topic_name(&reference);
        let before = call.met.answers.topic(Moment::Before, &name);
        let after = call.met.answers.topic(Moment::After, &name);
        let error = match (before, &known) {
            (Some(error), _) => error,
            (None, None) => unknown,
            (None, Some((name, _))) => {
                let deleted = self.delete_topic(name);
                deleted
                    .err()
                    .map_or(ErrorCode::NONE, |error| refusal(&error).0)
            }
        };
        let error = after.unwrap_or(error);
        let id = known.as_ref().map_or(topic.topic_id, |(_, id)| *id);
        DeletableTopicResult {
            name: known.map(|(name, _)| Str::from(name)).or(topic.name),
            topic_id: id,
            error_code: error.0,
            error_message: None,
        }
    }

    pub(crate) fn serve_create_partitions(
        &mut self,
        mut call: Call,
        request: CreatePartitionsRequest,
    ) -> Option<Handled> {
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let before = call.met.answers.topic(Moment::Before, &topic.name);
            let after = call.met.answers.topic(Moment::After, &topic.name);
            let (error, message) = match before {
                Some(error) => (error, None),
                None if request.validate_only => (ErrorCode::NONE, None),
                None => match self.add_partitions(&topic.name, topic.count) {
                    Ok(()) => (ErrorCode::NONE, None),
                    Err(error) => {
                        let (code, message) = refusal(&error);
                        (code, Some(Str::from(message)))
                    }
                },
            };
            results.push(CreatePartitionsTopicResult {
                name: topic.name,
                error_code: after.unwrap_or(error).0,
                error_message: message,
            });
        }
        let response = CreatePartitionsResponse {
            throttle_time_ms: self.throttle_ms(),
            results,
        };
        let outcome = self.answer::<CreatePartitionsRequest>(&call, &response);
        Some((call, outcome))
    }

    pub(crate) fn serve_delete_records(
        &mut self,
        mut call: Call,
        request: DeleteRecordsRequest,
    ) -> Option<Handled> {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let index = asked.partition_index;
                let before = call
                    .met
                    .answers
                    .partition(Moment::Before, &topic.name, index);
                let after = call
                    .met
                    .answers
                    .partition(Moment::After, &topic.name, index);
                let deleted = match before {
                    Some(error) => Err(error),
                    None => self.delete_asked(&call, &topic.name, asked),
                };
                let deleted = after.map_or(deleted, Err);
                partitions.push(DeleteRecordsPartitionResult {
                    partition_index: index,
                    low_watermark: deleted.unwrap_or(-1),
                    error_code: deleted.err().unwrap_or(ErrorCode::NONE).0,
                });
            }
            topics.push(DeleteRecordsTopicResult {
                name: topic.name,
                partitions,
            });
        }
        let response = DeleteRecordsResponse {
            throttle_time_ms: self.throttle_ms(),
            topics,
        };
        let outcome = self.answer::<DeleteRecordsRequest>(&call, &response);
        Some((call, outcome))
    }

    fn delete_asked(
        &mut self,
        call: &Call,
        topic: &Str,
        asked: &DeleteRecordsPartition,
    ) -> Result<i64, ErrorCode> {
        let name = TopicRef::Name(topic.clone());
        let partition = self.led_partition(call.broker, &name, asked.partition_index, -1)?;
        let replica = self.replica(partition, call.broker);
        let replica = replica.ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        // -1 stands for the high watermark.
        let offset = match asked.offset {
            -1 => replica.high_watermark,
            offset => offset,
        };
        if !(0..=replica.high_watermark).contains(&offset) {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        self.move_log_start(partition, offset);
        let replica = self.replica(partition, call.broker);
        Ok(replica.map_or(-1, |replica| replica.log.start_offset()))
    }
}

fn nodes_as_factor(count: usize) -> i16 {
    i16::try_from(count).unwrap_or(i16::MAX)
}

/// Sets what is modelled; other settings of Kafka are taken and have no effect.
fn set_config(config: &mut TopicConfig, name: &str, value: &str) -> bool {
    match name {
        "min.insync.replicas" => set(&mut config.min_insync_replicas, value),
        "max.message.bytes" => set(&mut config.max_message_bytes, value),
        "unclean.leader.election.enable" => set(&mut config.unclean_leader_election, value),
        "retention.bytes" if value == "-1" => {
            config.retention_bytes = None;
            true
        }
        "retention.bytes" => {
            let mut bytes = 0;
            let legal = set(&mut bytes, value);
            config.retention_bytes = Some(bytes);
            legal
        }
        "cleanup.policy" => {
            config.compacted = value.split(',').any(|policy| policy == "compact");
            true
        }
        "message.timestamp.type" => match value {
            "CreateTime" => {
                config.timestamp_type = TimestampType::CreateTime;
                true
            }
            "LogAppendTime" => {
                config.timestamp_type = TimestampType::LogAppendTime;
                true
            }
            _ => false,
        },
        _ => true,
    }
}

fn set<T: std::str::FromStr>(setting: &mut T, value: &str) -> bool {
    match value.parse() {
        Ok(parsed) => {
            *setting = parsed;
            true
        }
        Err(_) => false,
    }
}

/// How Kafka names what a control could not do.
fn refusal(error: &ControlError) -> (ErrorCode, String) {
    let code = match error {
        ControlError::UnknownTopic(_) | ControlError::UnknownPartition(..) => {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        }
        ControlError::TopicExists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
        ControlError::IllegalName(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        ControlError::IllegalCount(_) => ErrorCode::INVALID_PARTITIONS,
        ControlError::UnknownBroker(_)
        | ControlError::Stopped(_)
        | ControlError::NoReplica(_)
        | ControlError::NotInSync(_)
        | ControlError::Leaderless
        | ControlError::IllegalBatch(_) => ErrorCode::INVALID_REQUEST,
    };
    (code, error.to_string())
}
