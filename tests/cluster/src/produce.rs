//! Owns Produce: appending to the partitions that the broker leads, and waiting for their replicas.
//!
//! Must not know how replicas copy; it waits for a high watermark.

use klamm::messages::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse,
    ProduceLeaderIdAndEpoch, ProduceNodeEndpoint, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use klamm::{Duration, ErrorCode, Str};

use crate::NodeId;
use crate::cluster::{Cluster, Timer};
use crate::connection::{Call, ParkedProduce, State};
use crate::dispatch::{Handled, Outcome};
use crate::faults::Moment;
use crate::history::What;
use crate::producer_state::{ProducerBatch, Verdict};
use crate::topology::{PartitionId, TopicRef};
use crate::validate::{By, Invalid, validate};

/// The first version with topic ids instead of names (KIP-516).
const TOPIC_IDS_FROM: i16 = 13;
/// The first version whose answer names the new leader (KIP-951).
const LEADER_HINTS_FROM: i16 = 10;

/// What came of a topic's records.
#[derive(Debug)]
pub(crate) struct ProducedTopic {
    topic: TopicRef,
    partitions: Vec<Produced>,
}

/// What came of the records of one partition.
#[derive(Debug)]
struct Produced {
    index: i32,
    result: Progress,
    /// The error that a fault answers with, whatever came of it.
    fault: Option<ErrorCode>,
}

#[derive(Debug)]
enum Progress {
    /// Not in the log of this partition, if there is one.
    Refused(Option<PartitionId>, Invalid),
    /// In the log, and nothing more is promised.
    Appended(Place),
    /// In the log of the leader; the replicas in sync must have it before `acks=all` is answered.
    Replicating(Place),
}

#[derive(Clone, Copy, Debug)]
struct Place {
    partition: PartitionId,
    leader: NodeId,
    base_offset: i64,
    end_offset: i64,
    append_time: Option<i64>,
}

impl Cluster {
    pub(crate) fn serve_produce(
        &mut self,
        mut call: Call,
        request: ProduceRequest,
    ) -> Option<Handled> {
        let acks = request.acks;
        let mut topics = Vec::with_capacity(request.topic_data.len());
        for topic in request.topic_data {
            let name = topic_ref(call.version >= TOPIC_IDS_FROM, topic.name, topic.topic_id);
            let partitions = topic
                .partition_data
                .into_iter()
                .map(|data| self.produce_partition(&mut call, &name, acks, &data))
                .collect();
            topics.push(ProducedTopic {
                topic: name,
                partitions,
            });
        }
        if acks == 0 {
            return Some((call, unanswered(&topics)));
        }
        if self.is_produced(&topics) {
            let outcome = self.answer_produce(&call, topics);
            return Some((call, outcome));
        }
        self.park_produce(call, topics, request.timeout_ms);
        None
    }

    fn park_produce(&mut self, call: Call, topics: Vec<ProducedTopic>, timeout_ms: i32) {
        let key = call.connection;
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        let timer = self.timers.arm(self.now + timeout, Timer::Connection(key));
        let watched: Vec<_> = places(&topics).map(|place| place.partition).collect();
        self.watch(key, &watched);
        let parked = ParkedProduce {
            call,
            topics,
            watched,
            timer,
        };
        self.park(key, State::Producing(Box::new(parked)));
    }

    fn produce_partition(
        &mut self,
        call: &mut Call,
        topic: &TopicRef,
        acks: i16,
        data: &PartitionProduceData,
    ) -> Produced {
        let name = self.topic_name(topic);
        let answers = &mut call.met.answers;
        if let Some(error) = answers.partition(Moment::Before, &name, data.index) {
            return Produced {
                index: data.index,
                result: Progress::Refused(None, Invalid::request(error, "a fault was asked for")),
                fault: None,
            };
        }
        let fault = answers.partition(Moment::After, &name, data.index);
        let result = match self.append_records(call, topic, acks, data) {
            Ok(place) if acks == -1 => Progress::Replicating(place),
            Ok(place) => Progress::Appended(place),
            Err((partition, invalid)) => Progress::Refused(partition, invalid),
        };
        Produced {
            index: data.index,
            result,
            fault,
        }
    }

    /// The name of a topic, for faults and people; empty for an id that names none.
    pub(crate) fn topic_name(&self, topic: &TopicRef) -> String {
        match topic {
            TopicRef::Name(name) => name.as_str().to_owned(),
            TopicRef::Id(id) => {
                let topic = self.topology.image().topic_by_id(*id);
                topic.map_or_else(String::new, |topic| topic.name.clone())
            }
        }
    }

    fn append_records(
        &mut self,
        call: &Call,
        topic: &TopicRef,
        acks: i16,
        data: &PartitionProduceData,
    ) -> Result<Place, (Option<PartitionId>, Invalid)> {
        if !(-1..=1).contains(&acks) {
            let invalid = Invalid::request(ErrorCode::INVALID_REQUIRED_ACKS, "");
            return Err((None, invalid));
        }
        let led = self.led_partition(call.broker, topic, data.index, -1);
        let partition = led.map_err(|error| (None, Invalid::request(error, "")))?;
        self.append_to(call, partition, acks, data)
            .map_err(|invalid| (Some(partition), invalid))
    }

    fn append_to(
        &mut self,
        call: &Call,
        partition: PartitionId,
        acks: i16,
        data: &PartitionProduceData,
    ) -> Result<Place, Invalid> {
        let leader = call.broker;
        let config = self.topic_config(partition);
        let records = data.records.as_ref();
        let header = validate(records, call.version, &config, &mut self.contents)?;
        let in_sync = self.in_sync(partition);
        if acks == -1 && in_sync < config.min_insync_replicas {
            let message = format!(
                "{in_sync} replicas are in sync, min.insync.replicas is {}",
                config.min_insync_replicas
            );
            return Err(Invalid::log(ErrorCode::NOT_ENOUGH_REPLICAS, message));
        }
        let node = self.topology.node(leader);
        let rule = node.map(|node| node.release.unknown_producer());
        let verdict = match (self.replica(partition, leader), rule) {
            (Some(replica), Some(rule)) => replica.producers.check(&header, rule),
            (None, _) | (_, None) => Verdict::Refuse(ErrorCode::KAFKA_STORAGE_ERROR),
        };
        match verdict {
            Verdict::Refuse(error) => Err(Invalid::log(error, "")),
            Verdict::Duplicate(batch) => Ok(self.note_duplicate(call, partition, &batch)),
            Verdict::Append => {
                let records = records.map(AsRef::as_ref).unwrap_or_default();
                let appended = self.append(partition, leader, records, Some(call.cause()));
                let appended = appended
                    .map_err(|e| Invalid::log(ErrorCode::CORRUPT_MESSAGE, e.to_string()))?;
                Ok(Place {
                    partition,
                    leader,
                    base_offset: appended.base_offset,
                    end_offset: appended.end_offset,
                    append_time: appended.append_time,
                })
            }
        }
    }

    fn note_duplicate(
        &mut self,
        call: &Call,
        partition: PartitionId,
        batch: &ProducerBatch,
    ) -> Place {
        self.note(What::Duplicate {
            partition,
            broker: call.broker,
            base_offset: batch.first_offset,
            cause: call.cause(),
        });
        Place {
            partition,
            leader: call.broker,
            base_offset: batch.first_offset,
            end_offset: batch.last_offset + 1,
            // A duplicate is answered with its own timestamp there, whosever clock that was.
            append_time: Some(batch.timestamp),
        }
    }

    fn in_sync(&self, partition: PartitionId) -> usize {
        let state = self.topology.image().partition(partition);
        state.map_or(0, |state| state.isr.len())
    }

    /// What became of records that wait for replicas: an error or `NONE`; nothing as long as they wait.
    fn replicated(&self, place: &Place) -> Option<ErrorCode> {
        let leads = self
            .leader(place.partition)
            .filter(|(leader, _)| *leader == place.leader);
        let Some((_, replica)) = leads else {
            return Some(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        };
        if replica.high_watermark < place.end_offset {
            return None;
        }
        let config = self.topic_config(place.partition);
        if self.in_sync(place.partition) < config.min_insync_replicas {
            Some(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND)
        } else {
            Some(ErrorCode::NONE)
        }
    }

    /// Whether nothing of a Produce waits any more.
    pub(crate) fn is_produced(&self, topics: &[ProducedTopic]) -> bool {
        places(topics).all(|place| self.replicated(place).is_some())
    }

    /// Answers a Produce; what is not replicated has timed out.
    pub(crate) fn complete_produce(&mut self, call: Call, topics: Vec<ProducedTopic>) {
        let outcome = self.answer_produce(&call, topics);
        self.finish(call, outcome);
    }

    fn answer_produce(&self, call: &Call, topics: Vec<ProducedTopic>) -> Outcome {
        let mut hinted = Vec::new();
        let responses = topics
            .into_iter()
            .map(|topic| TopicProduceResponse {
                partition_responses: topic
                    .partitions
                    .iter()
                    .map(|produced| self.produced(call, &topic.topic, produced, &mut hinted))
                    .collect(),
                name: topic.topic.name(),
                topic_id: topic.topic.id(),
            })
            .collect();
        let response = ProduceResponse {
            responses,
            throttle_time_ms: self.throttle_ms(),
            node_endpoints: self.endpoints(&hinted),
        };
        self.answer::<ProduceRequest>(call, &response)
    }

    fn produced(
        &self,
        call: &Call,
        topic: &TopicRef,
        produced: &Produced,
        hinted: &mut Vec<NodeId>,
    ) -> PartitionProduceResponse {
        let refused =
            |error: ErrorCode, message: &str, records: &[(i32, String)]| PartitionProduceResponse {
                index: produced.index,
                error_code: error.0,
                base_offset: -1,
                record_errors: records.iter().map(record_error).collect(),
                error_message: (!message.is_empty()).then(|| Str::from(message)),
                ..PartitionProduceResponse::default()
            };
        let (error, place) = match &produced.result {
            Progress::Refused(_, invalid) => (invalid.error, None),
            Progress::Appended(place) => (ErrorCode::NONE, Some(place)),
            Progress::Replicating(place) => {
                let error = self.replicated(place);
                (error.unwrap_or(ErrorCode::REQUEST_TIMED_OUT), Some(place))
            }
        };
        let error = produced.fault.unwrap_or(error);
        let mut response = match (&produced.result, place) {
            (Progress::Refused(partition, invalid), _) => PartitionProduceResponse {
                log_start_offset: match (invalid.by, partition) {
                    (By::Log, Some(partition)) => self.log_start(*partition, call.broker),
                    (By::Log, None) | (By::Broker, _) => -1,
                },
                ..refused(error, &invalid.message, &invalid.records)
            },
            (_, Some(place)) if error.is_none() => PartitionProduceResponse {
                index: produced.index,
                base_offset: place.base_offset,
                log_append_time_ms: place.append_time.unwrap_or(-1),
                log_start_offset: self.log_start(place.partition, place.leader),
                ..PartitionProduceResponse::default()
            },
            _ => refused(error, "", &[]),
        };
        if error == ErrorCode::NOT_LEADER_OR_FOLLOWER
            && call.version >= LEADER_HINTS_FROM
            && let Some((leader, leader_epoch)) =
                self.leader_hint(call.broker, topic, produced.index)
        {
            response.current_leader = ProduceLeaderIdAndEpoch {
                leader_id: leader,
                leader_epoch,
            };
            hinted.push(leader);
        }
        response
    }

    fn log_start(&self, partition: PartitionId, broker: NodeId) -> i64 {
        self.replica(partition, broker)
            .map_or(-1, |replica| replica.log.start_offset())
    }

    /// KIP-951: who leads the partition, as far as `broker` knows.
    pub(crate) fn leader_hint(
        &self,
        broker: NodeId,
        topic: &TopicRef,
        index: i32,
    ) -> Option<(NodeId, i32)> {
        let view = self.topology.view(broker);
        let state = view.find(topic)?.partition(index)?;
        Some((state.leader?, state.leader_epoch))
    }

    fn endpoints(&self, hinted: &[NodeId]) -> Vec<ProduceNodeEndpoint> {
        self.hinted_nodes(hinted)
            .map(|node| ProduceNodeEndpoint {
                node_id: node.id,
                host: Str::from(node.host.as_str()),
                port: i32::from(node.port),
                rack: node.rack.as_deref().map(Str::from),
            })
            .collect()
    }

    /// The brokers among `hinted`, each once.
    pub(crate) fn hinted_nodes(
        &self,
        hinted: &[NodeId],
    ) -> impl Iterator<Item = &crate::config::Node> {
        self.topology
            .nodes()
            .filter(|node| hinted.contains(&node.id))
    }
}

/// A topic as a request names it.
pub(crate) fn topic_ref(by_id: bool, name: Str, id: klamm::Uuid) -> TopicRef {
    if by_id {
        TopicRef::Id(id)
    } else {
        TopicRef::Name(name)
    }
}

fn record_error((index, message): &(i32, String)) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage {
        batch_index: *index,
        batch_index_error_message: Some(Str::from(message.as_str())),
    }
}

/// Where records wait for replicas.
fn places(topics: &[ProducedTopic]) -> impl Iterator<Item = &Place> {
    let produced = topics.iter().flat_map(|topic| &topic.partitions);
    produced.filter_map(|produced| match &produced.result {
        Progress::Replicating(place) => Some(place),
        Progress::Refused(..) | Progress::Appended(_) => None,
    })
}

/// `acks=0` has no answer; a broker tells of errors by closing the connection.
fn unanswered(topics: &[ProducedTopic]) -> Outcome {
    let produced = topics.iter().flat_map(|topic| &topic.partitions);
    for produced in produced {
        let error = match (&produced.result, produced.fault) {
            (_, Some(error)) => error,
            (Progress::Refused(_, invalid), None) => invalid.error,
            (Progress::Appended(_) | Progress::Replicating(_), None) => continue,
        };
        return Outcome::Close(format!("Produce with acks=0 failed: {error}"));
    }
    Outcome::Nothing
}
