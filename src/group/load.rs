//! Owns a question about committed offsets, and what is found for each of its partitions.
//!
//! Must not know when it is sent, or to whom.

use alloc::string::String;
use alloc::vec::Vec;

use super::lane::{Next, Question};
use super::membership::{Protocol, Standing};
use super::timers;
use super::types::{CommittedOffsets, OffsetAndMetadata};
use crate::cluster::RequestError;
use crate::collections::VecMap;
use crate::engine::{NodeId, Peer, TopicPartition};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use crate::wire::Str;

/// From this version on a coordinator can be told to wait for offsets that lie in an open transaction (KIP-447).
const STABLE_SINCE: i16 = 7;
/// From this version on several groups can be asked for at once, so that each is a part of its own (KIP-709).
const SEVERAL_SINCE: i16 = 8;

/// How far one partition is.
#[derive(Debug)]
enum Progress {
    Open { last: Option<Error> },
    Done(Result<Option<OffsetAndMetadata>, Error>),
}

/// A question about committed offsets.
#[derive(Debug)]
pub(super) struct Load {
    /// As whom a member of a group of the consumer protocol asks (KIP-848).
    standing: Option<Standing>,
    entries: VecMap<TopicPartition, Progress>,
}

/// What to do about an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The same coordinator will say it later.
    Retry,
    /// Another broker coordinates the group.
    Rediscover,
    /// That is the answer.
    Refuse,
}

fn action(code: ErrorCode) -> Action {
    match code {
        ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::NOT_COORDINATOR
        | ErrorCode::REQUEST_TIMED_OUT => Action::Rediscover,
        // What is asked about does not exist: no offset can be committed for it.
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Action::Refuse,
        // The epoch that the member has by then may be the right one (KIP-848).
        ErrorCode::STALE_MEMBER_EPOCH => Action::Retry,
        other if other.is_retriable() => Action::Retry,
        _ => Action::Refuse,
    }
}

/// What a coordinator says of one partition.
struct Found<'a> {
    code: ErrorCode,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<&'a Str>,
}

impl Load {
    pub(super) fn new(
        standing: Option<Standing>,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Self {
        let open = |partition| (partition, Progress::Open { last: None });
        Self {
            standing: standing.filter(|standing| standing.protocol == Protocol::Consumer),
            entries: partitions.into_iter().map(open).collect(),
        }
    }

    /// The member goes on in this epoch.
    pub(super) fn renew(&mut self, newest: &Standing) {
        if let Some(standing) = &mut self.standing {
            standing.clone_from(newest);
        }
    }

    /// What was found.
    pub(super) fn found(self) -> CommittedOffsets {
        self.entries
            .into_iter()
            .map(|(partition, progress)| {
                let result = match progress {
                    Progress::Done(result) => result,
                    Progress::Open { .. } => {
                        Err(Error::new(ErrorKind::Closed).in_step(Step::OffsetFetch))
                    }
                };
                (partition, result)
            })
            .collect()
    }

    fn open(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut Progress)> {
        self.entries
            .iter_mut()
            .filter(|(_, progress)| matches!(progress, Progress::Open { .. }))
    }
}

impl Progress {
    fn on_found(&mut self, partition: &TopicPartition, node: NodeId, found: &Found<'_>) -> Next {
        if found.code.is_none() {
            let offset = (found.offset >= 0).then(|| OffsetAndMetadata {
                offset: found.offset,
                leader_epoch: (found.leader_epoch >= 0).then_some(found.leader_epoch),
                metadata: found
                    .metadata
                    .map(|metadata| String::from(metadata.as_str()))
                    .unwrap_or_default(),
            });
            *self = Self::Done(Ok(offset));
            return Next::Done;
        }
        let error = place(Error::new(ErrorKind::Broker(found.code)), partition)
            .at_broker(Peer::Broker(node));
        let action = action(found.code);
        *self = match action {
            Action::Retry | Action::Rediscover => Self::Open { last: Some(error) },
            Action::Refuse => Self::Done(Err(error)),
        };
        match action {
            Action::Retry => Next::Again,
            Action::Rediscover => Next::Elsewhere,
            Action::Refuse => Next::Done,
        }
    }
}

/// What an answer says of each partition, in either of its shapes: of one group, or of several (KIP-709).
fn found(answer: &OffsetFetchResponse) -> VecMap<(&str, i32), Found<'_>> {
    let one = answer.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|of| {
            let metadata = of.metadata.as_ref();
            let offset = (of.committed_offset, of.committed_leader_epoch, metadata);
            (
                (topic.name.as_str(), of.partition_index),
                of.error_code,
                offset,
            )
        })
    });
    let several = answer.groups.iter().flat_map(|group| &group.topics);
    let several = several.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|of| {
            let metadata = of.metadata.as_ref();
            let offset = (of.committed_offset, of.committed_leader_epoch, metadata);
            (
                (topic.name.as_str(), of.partition_index),
                of.error_code,
                offset,
            )
        })
    });
    let found = |(key, code, (offset, leader_epoch, metadata))| {
        let code = ErrorCode(code);
        let found = Found {
            code,
            offset,
            leader_epoch,
            metadata,
        };
        (key, found)
    };
    one.chain(several).map(found).collect()
}

fn place(error: Error, partition: &TopicPartition) -> Error {
    error
        .in_step(Step::OffsetFetch)
        .on_topic(&partition.topic)
        .on_partition(partition.partition)
}

impl Question for Load {
    type Request = OffsetFetchRequest;
    const STEP: Step = Step::OffsetFetch;
    const RETRY: u8 = timers::LOAD;
    const DEADLINE: u8 = timers::LOAD_DEADLINE;

    /// By name: ids (version 10) are of use only where all of them are known. Of one group, and for nobody in particular,
    /// nothing of the versions after 7 is needed.
    fn version_max(&self) -> i16 {
        match self.standing {
            Some(_) => 9,
            None => 7,
        }
    }

    fn request(&self, group: &Str, version: i16) -> OffsetFetchRequest {
        let mut topics: Vec<OffsetFetchRequestTopic> = Vec::new();
        for (partition, progress) in self.entries.iter() {
            if let Progress::Done(_) = progress {
                continue;
            }
            match topics.last_mut() {
                Some(topic) if *topic.name == *partition.topic => {
                    topic.partition_indexes.push(partition.partition)
                }
                Some(_) | None => topics.push(OffsetFetchRequestTopic {
                    name: Str::from(&*partition.topic),
                    partition_indexes: alloc::vec![partition.partition],
                }),
            }
        }
        let require_stable = version >= STABLE_SINCE;
        if version < SEVERAL_SINCE {
            return OffsetFetchRequest {
                group_id: group.clone(),
                topics: Some(topics),
                require_stable,
                ..OffsetFetchRequest::default()
            };
        }
        let standing = self.standing.as_ref();
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        OffsetFetchRequest {
            groups: alloc::vec![OffsetFetchRequestGroup {
                group_id: group.clone(),
                member_id: standing.map(|standing| standing.member_id.clone()),
                member_epoch: standing.map_or(-1, |standing| standing.generation),
                topics: Some(topics.collect()),
            }],
            require_stable,
            ..OffsetFetchRequest::default()
        }
    }

    fn on_answer(&mut self, node: NodeId, answer: OffsetFetchResponse) -> Next {
        let whole = match answer.groups.first() {
            Some(group) => ErrorCode(group.error_code),
            None => ErrorCode(answer.error_code),
        };
        let all = found(&answer);
        let mut next = Next::Done;
        for (partition, progress) in self.open() {
            let found = all.get(&(&*partition.topic, partition.partition));
            // A coordinator that leaves a partition out has not answered for it.
            let refused = Found {
                code: if whole.is_none() {
                    ErrorCode::UNKNOWN_SERVER_ERROR
                } else {
                    whole
                },
                offset: -1,
                leader_epoch: -1,
                metadata: None,
            };
            let found = found.filter(|_| whole.is_none()).unwrap_or(&refused);
            next = next.max(progress.on_found(partition, node, found));
        }
        next
    }

    fn throttled_ms(answer: &OffsetFetchResponse) -> i32 {
        answer.throttle_time_ms
    }

    fn on_failed(&mut self, failed: &RequestError) {
        for (partition, progress) in self.open() {
            let last = Some(place(failed.error.clone(), partition));
            *progress = Progress::Open { last };
        }
    }

    fn give_up(&mut self, error: &Error) {
        for (partition, progress) in self.open() {
            *progress = Progress::Done(Err(place(error.clone(), partition)));
        }
    }

    fn last_error(&self) -> Option<&Error> {
        self.entries.values().find_map(|progress| match progress {
            Progress::Open { last } => last.as_ref(),
            Progress::Done(_) => None,
        })
    }

    fn is_done(&self) -> bool {
        let done = |progress: &Progress| matches!(progress, Progress::Done(_));
        self.entries.values().all(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the protocol's table of error codes that concern committed offsets.
    #[test]
    fn each_code_of_a_load_has_the_action_of_the_table() {
        for (code, expected) in [
            (-1, Action::Refuse),
            (3, Action::Refuse),
            (7, Action::Rediscover),
            (14, Action::Retry),
            (15, Action::Rediscover),
            (16, Action::Rediscover),
            (29, Action::Refuse),
            (30, Action::Refuse),
            (69, Action::Refuse),
            (88, Action::Retry),
            (113, Action::Retry),
            (9_999, Action::Refuse),
        ] {
            assert_eq!(action(ErrorCode(code)), expected, "{code}");
        }
    }
}
