//! Owns FindCoordinator, OffsetCommit and OffsetFetch: who coordinates, and committed offsets.
//!
//! Must not know logs, nor what makes somebody a member: it asks the group.

use std::collections::BTreeMap;

use klamm::messages::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse, OffsetCommitRequest,
    OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic, OffsetFetchRequest, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use klamm::{ErrorCode, Str, Uuid};

use crate::cluster::Cluster;
use crate::config::Node;
use crate::connection::Call;
use crate::dispatch::Handled;
use crate::faults::Moment;
use crate::groups::Members;
use crate::history::What;
use crate::produce::topic_ref;
use crate::random::mix;
use crate::topology::TopicRef;

/// `offset.metadata.max.bytes`.
const METADATA_MAX: usize = 4096;
/// The first version of FindCoordinator with several keys (KIP-699).
const KEYS_FROM: i16 = 4;
/// The first version of OffsetCommit that says of a group that it is not there (KIP-848).
const NOT_FOUND_FROM: i16 = 9;
/// The first version of OffsetFetch with several groups (KIP-709).
const GROUPS_FROM: i16 = 8;
/// The first version of OffsetCommit and OffsetFetch with topic ids (KIP-848).
const TOPIC_IDS_FROM: i16 = 10;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset: of the next record to be read.
    pub offset: i64,
    /// The leader epoch of the last one that was; -1 if the client did not say.
    pub leader_epoch: i32,
    /// What the client added.
    pub metadata: String,
}

impl Cluster {
    /// The running broker that coordinates `key`.
    pub(crate) fn coordinator(&self, key: &str) -> Option<&Node> {
        let chosen = self.groups.chosen.get(key);
        if let Some(id) = chosen {
            return self.topology.image().node(*id);
        }
        let hash = key
            .bytes()
            .fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
        let nodes: Vec<_> = self.topology.nodes().map(|node| node.id).collect();
        let start = usize::try_from(hash % nodes.len().max(1) as u64).unwrap_or(0);
        let turned = nodes.iter().cycle().skip(start).take(nodes.len());
        let image = self.topology.image();
        turned.filter_map(|id| image.node(*id)).next()
    }

    pub(crate) fn serve_find_coordinator(
        &mut self,
        mut call: Call,
        request: FindCoordinatorRequest,
    ) -> Option<Handled> {
        let keys = if call.version >= KEYS_FROM {
            request.coordinator_keys
        } else {
            vec![request.key]
        };
        let mut coordinators: Vec<_> = keys
            .into_iter()
            .map(|key| self.found_coordinator(&mut call, key, request.key_type))
            .collect();
        let mut response = FindCoordinatorResponse {
            throttle_time_ms: self.throttle_ms(),
            ..FindCoordinatorResponse::default()
        };
        if call.version >= KEYS_FROM {
            response.coordinators = coordinators;
        } else if let Some(only) = coordinators.pop() {
            response.error_code = only.error_code;
            response.error_message = only.error_message;
            response.node_id = only.node_id;
            response.host = only.host;
            response.port = only.port;
        }
        let outcome = self.answer::<FindCoordinatorRequest>(&call, &response);
        Some((call, outcome))
    }

    fn found_coordinator(&self, call: &mut Call, key: Str, key_type: i8) -> Coordinator {
        let fault = call.met.answers.either_topic(&key);
        let illegal = !matches!(key_type, 0 | 1);
        let error = fault.or(illegal.then_some(ErrorCode::INVALID_REQUEST));
        let node = self.coordinator(&key).filter(|_| error.is_none());
        match node {
            Some(node) => Coordinator {
                key,
                node_id: node.id,
                host: Str::from(node.host.as_str()),
                port: i32::from(node.port),
                error_code: 0,
                error_message: None,
            },
            None => Coordinator {
                key,
                node_id: -1,
                host: Str::EMPTY,
                port: -1,
                error_code: error.unwrap_or(ErrorCode::COORDINATOR_NOT_AVAILABLE).0,
                error_message: None,
            },
        }
    }

    pub(crate) fn serve_offset_commit(
        &mut self,
        mut call: Call,
        request: OffsetCommitRequest,
    ) -> Option<Handled> {
        let by_id = call.version >= TOPIC_IDS_FROM;
        let group = request.group_id.clone();
        let allowed = self.check_commit(&call, &request);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let name = topic_ref(by_id, topic.name, topic.topic_id);
            let partitions = topic
                .partitions
                .iter()
                .map(|commit| {
                    let error = self.meet_commit(&mut call, &group, &name, commit, allowed);
                    OffsetCommitResponsePartition {
                        partition_index: commit.partition_index,
                        error_code: error.err().unwrap_or(ErrorCode::NONE).0,
                    }
                })
                .collect();
            topics.push(OffsetCommitResponseTopic {
                name: name.name(),
                topic_id: name.id(),
                partitions,
            });
        }
        let response = OffsetCommitResponse {
            throttle_time_ms: self.throttle_ms(),
            topics,
        };
        let outcome = self.answer::<OffsetCommitRequest>(&call, &response);
        Some((call, outcome))
    }

    /// Whether the group takes the commit: a member of its generation, or anybody while it has no members.
    fn check_commit(
        &mut self,
        call: &Call,
        request: &OffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let id = &request.group_id;
        self.check_coordinator(call.broker, id)?;
        let generation = request.generation_id_or_member_epoch;
        if self.groups.get(id).is_none() {
            if generation >= 0 && call.version >= NOT_FOUND_FROM {
                return Err(ErrorCode::GROUP_ID_NOT_FOUND);
            } else if generation >= 0 {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
            self.group_or_new(id);
        }
        let now = self.now;
        let partitions = self.committed_partitions(call, request);
        let checked = self.with_members(id, |members| {
            let checked = members.check_commit(call.version, request, partitions, now);
            (checked, Vec::new())
        });
        checked.unwrap_or(Err(ErrorCode::GROUP_ID_NOT_FOUND))
    }

    /// The partitions of a commit that there are.
    fn committed_partitions(&self, call: &Call, request: &OffsetCommitRequest) -> Vec<(Uuid, i32)> {
        let image = self.topology.image();
        let topics = request.topics.iter().filter_map(|topic| {
            let by_id = call.version >= TOPIC_IDS_FROM;
            let known = image.find(&topic_ref(by_id, topic.name.clone(), topic.topic_id))?;
            let partitions = topic.partitions.iter();
            Some(partitions.map(|partition| (known.id, partition.partition_index)))
        });
        topics.flatten().collect()
    }

    /// Commits, unless a fault or the group says no.
    fn meet_commit(
        &mut self,
        call: &mut Call,
        group: &Str,
        topic: &TopicRef,
        commit: &OffsetCommitRequestPartition,
        allowed: Result<(), ErrorCode>,
    ) -> Result<(), ErrorCode> {
        let index = commit.partition_index;
        let name = self.topic_name(topic);
        let answers = &mut call.met.answers;
        if let Some(error) = answers.partition(Moment::Before, &name, index) {
            return Err(error);
        }
        let fault = answers.partition(Moment::After, &name, index);
        // A broker looks for the partition before it asks the coordinator.
        let known = self.known_partition(call.broker, topic, index);
        let allowed = known.map(|_| ()).and(allowed);
        let committed = allowed.and_then(|()| self.commit(call, group, topic, commit));
        fault.map_or(committed, Err)
    }

    fn commit(
        &mut self,
        call: &Call,
        group: &Str,
        topic: &TopicRef,
        commit: &OffsetCommitRequestPartition,
    ) -> Result<(), ErrorCode> {
        let index = commit.partition_index;
        let name = self.topic_name(topic);
        let metadata = commit.committed_metadata.as_deref().unwrap_or_default();
        if metadata.len() > METADATA_MAX {
            return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
        }
        let committed = CommittedOffset {
            offset: commit.committed_offset,
            leader_epoch: commit.committed_leader_epoch,
            metadata: metadata.to_owned(),
        };
        self.note(What::Committed {
            group: group.to_string(),
            topic: name.clone(),
            index,
            offset: committed.offset,
            cause: call.cause(),
        });
        let offsets = &mut self.group_or_new(group).offsets;
        offsets.insert((name, index), committed);
        Ok(())
    }

    pub(crate) fn serve_offset_fetch(
        &mut self,
        mut call: Call,
        request: OffsetFetchRequest,
    ) -> Option<Handled> {
        let mut response = OffsetFetchResponse {
            throttle_time_ms: self.throttle_ms(),
            ..OffsetFetchResponse::default()
        };
        if call.version >= GROUPS_FROM {
            for group in request.groups {
                let member = (group.member_id, group.member_epoch);
                let answered = self.fetch_offsets(&mut call, group.group_id, &member, group.topics);
                response.groups.push(answered);
            }
        } else {
            let topics = request.topics.map(|topics| {
                let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
                    name: topic.name,
                    partition_indexes: topic.partition_indexes,
                    ..OffsetFetchRequestTopics::default()
                });
                topics.collect()
            });
            let answered = self.fetch_offsets(&mut call, request.group_id, &(None, -1), topics);
            response.error_code = answered.error_code;
            response.topics = answered.topics.into_iter().map(old_topic).collect();
        }
        let outcome = self.answer::<OffsetFetchRequest>(&call, &response);
        Some((call, outcome))
    }

    fn fetch_offsets(
        &self,
        call: &mut Call,
        group: Str,
        member: &(Option<Str>, i32),
        topics: Option<Vec<OffsetFetchRequestTopics>>,
    ) -> OffsetFetchResponseGroup {
        let by_id = call.version >= TOPIC_IDS_FROM;
        let fault = call.met.answers.either_topic(&group);
        let (id, epoch) = member;
        let wrong = self.check_coordinator(call.broker, &group).and_then(|()| {
            match self.groups.get(&group).map(|group| &group.members) {
                Some(Members::Consumer(group)) => group.check_fetch(*epoch, id.as_deref()),
                Some(Members::Classic(_)) | None => Ok(()),
            }
        });
        let wrong = wrong.err();
        if let Some(error) = fault.or(wrong) {
            // Version 1 has no place for an error but the partitions.
            let asked = topics.filter(|_| call.version < 2).unwrap_or_default();
            let refused = |index| fetched(index, Err(error));
            return OffsetFetchResponseGroup {
                group_id: group,
                topics: asked.into_iter().map(|topic| all(topic, refused)).collect(),
                error_code: error.0,
            };
        }
        let topics = topics.unwrap_or_else(|| self.committed_topics(&group, by_id));
        let topics = topics.into_iter().map(|topic| {
            let reference = topic_ref(by_id, topic.name.clone(), topic.topic_id);
            let name = self.topic_name(&reference);
            all(topic, |index| {
                let fault = call.met.answers.either_partition(&name, index);
                let committed = self.groups.committed(&group, &name, index);
                match fault {
                    Some(error) => fetched(index, Err(error)),
                    None if by_id && name.is_empty() => {
                        fetched(index, Err(ErrorCode::UNKNOWN_TOPIC_ID))
                    }
                    None => fetched(index, Ok(committed)),
                }
            })
        });
        OffsetFetchResponseGroup {
            topics: topics.collect(),
            group_id: group.clone(),
            error_code: 0,
        }
    }

    /// All partitions for which the group committed something, as if they had been asked for.
    fn committed_topics(&self, group: &str, by_id: bool) -> Vec<OffsetFetchRequestTopics> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        let offsets = self.groups.get(group).map(|group| group.offsets.keys());
        for (name, index) in offsets.into_iter().flatten() {
            topics.entry(name).or_default().push(*index);
        }
        let image = self.topology.image();
        let topics = topics.into_iter().filter_map(|(name, partition_indexes)| {
            Some(OffsetFetchRequestTopics {
                name: Str::from(name),
                topic_id: if by_id {
                    image.topic(name)?.id
                } else {
                    klamm::Uuid::ZERO
                },
                partition_indexes,
            })
        });
        topics.collect()
    }
}

fn all(
    topic: OffsetFetchRequestTopics,
    answer: impl FnMut(i32) -> OffsetFetchResponsePartitions,
) -> OffsetFetchResponseTopics {
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.into_iter().map(answer).collect(),
    }
}

fn fetched(
    index: i32,
    committed: Result<Option<&CommittedOffset>, ErrorCode>,
) -> OffsetFetchResponsePartitions {
    let error = committed.err().unwrap_or(ErrorCode::NONE);
    let committed = committed.ok().flatten();
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(committed.map_or(Str::EMPTY, |c| Str::from(c.metadata.as_str()))),
        error_code: error.0,
    }
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter();
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
            .collect(),
    }
}
