//! Owns a commit: what it asks of the coordinator, and what becomes of each of its partitions.
//!
//! Must not know when it is sent, or to whom.

use alloc::vec::Vec;

use super::lane::{Next, Question};
use super::membership::{Protocol, Standing};
use super::timers;
use super::types::{CommitOutcome, CommitOutcomes, OffsetAndMetadata};
use crate::cluster::RequestError;
use crate::collections::VecMap;
use crate::engine::{NodeId, Peer, TopicPartition};
use crate::error::{Error, ErrorKind, Step};
use crate::error_code::ErrorCode;
use crate::messages::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use crate::wire::Str;

/// How far one partition is.
#[derive(Debug)]
enum Progress {
    /// To be sent, or sent.
    Open {
        /// Whether a request before may have been applied.
        maybe_applied: bool,
        last: Option<Error>,
    },
    Done(CommitOutcome),
}

#[derive(Debug)]
struct Entry {
    offset: OffsetAndMetadata,
    progress: Progress,
}

/// A commit.
#[derive(Debug)]
pub(super) struct Commit {
    /// As whom it is made; `None`: by a consumer that is no member of its group.
    standing: Option<Standing>,
    entries: VecMap<TopicPartition, Entry>,
}

/// What to do about an error code of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The same coordinator will do it later.
    Retry,
    /// The same, but whether it was not done this time is not certain.
    RetryUnsure,
    /// Another broker coordinates the group. The old one may have written it down before it noticed.
    Rediscover,
    /// It is not done.
    Reject,
    /// Nobody knows.
    Unsure,
}

fn action(code: ErrorCode) -> Action {
    match code {
        // What coordinators make of a write that was too slow, or too little replicated.
        ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::NOT_COORDINATOR
        | ErrorCode::REQUEST_TIMED_OUT => Action::Rediscover,
        ErrorCode::UNKNOWN_SERVER_ERROR => Action::Unsure,
        // Refused before anything was written. The epoch that a member has by then may be the right one (KIP-848).
        ErrorCode::STALE_MEMBER_EPOCH
        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID => Action::Retry,
        other if other.is_retriable() => Action::RetryUnsure,
        _ => Action::Reject,
    }
}

impl Commit {
    /// A commit of these offsets; of two for the same partition the later one wins.
    pub(super) fn new(
        standing: Option<Standing>,
        offsets: impl IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>,
    ) -> Self {
        let open = |(partition, offset)| {
            let progress = Progress::Open {
                maybe_applied: false,
                last: None,
            };
            (partition, Entry { offset, progress })
        };
        Self {
            standing,
            entries: offsets.into_iter().map(open).collect(),
        }
    }

    /// A generation has begun. The commit belongs to the assignment before: only what the member has kept since can be
    /// committed in the new one.
    pub(super) fn rebind(&mut self, standing: &Standing, keeps: impl Fn(&TopicPartition) -> bool) {
        if self.standing.is_none() {
            return;
        }
        self.standing = Some(standing.clone());
        for (partition, entry) in self.open() {
            if !keeps(partition) {
                let error = Error::new(ErrorKind::NotAssigned).with_hint(
                    "the partition was revoked before its commit could be sent: whoever has it now goes on from the \
                     commit before",
                );
                entry.end(place(error, partition));
            }
        }
    }

    /// The member goes on in this epoch.
    pub(super) fn renew(&mut self, newest: &Standing) {
        if let Some(standing) = &mut self.standing
            && standing.protocol == Protocol::Consumer
        {
            standing.clone_from(newest);
        }
    }

    /// What became of it.
    pub(super) fn outcomes(self) -> CommitOutcomes {
        self.entries
            .into_iter()
            .map(|(partition, entry)| {
                let outcome = match entry.progress {
                    Progress::Done(outcome) => outcome,
                    Progress::Open { .. } => CommitOutcome::Unknown(
                        Error::new(ErrorKind::Closed).in_step(Step::OffsetCommit),
                    ),
                };
                (partition, outcome)
            })
            .collect()
    }

    fn open(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut Entry)> {
        self.entries
            .iter_mut()
            .filter(|(_, entry)| matches!(entry.progress, Progress::Open { .. }))
    }
}

impl Entry {
    fn on_code(
        &mut self,
        partition: &TopicPartition,
        node: NodeId,
        code: ErrorCode,
        member: bool,
    ) -> Next {
        let Progress::Open {
            maybe_applied,
            last,
        } = &mut self.progress
        else {
            return Next::Done;
        };
        if code.is_none() {
            self.progress = Progress::Done(CommitOutcome::Committed);
            return Next::Done;
        }
        let error =
            place(Error::new(ErrorKind::Broker(code)), partition).at_broker(Peer::Broker(node));
        let action = action(code);
        match action {
            Action::Retry => *last = Some(error),
            Action::RetryUnsure | Action::Rediscover => {
                *maybe_applied = true;
                *last = Some(error);
            }
            Action::Unsure => self.progress = Progress::Done(CommitOutcome::Unknown(error)),
            Action::Reject => {
                let error = match code {
                    ErrorCode::UNKNOWN_MEMBER_ID
                    | ErrorCode::ILLEGAL_GENERATION
                    | ErrorCode::FENCED_MEMBER_EPOCH
                        if member => error.with_hint(
                        "the group went on without this member: whoever has the partition now goes on from the commit \
                         before",
                    ),
                    ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => error.with_hint(
                        "the group has members: a consumer that assigns partitions itself can commit only in a group \
                         that has none",
                    ),
                    ErrorCode::REBALANCE_IN_PROGRESS => {
                        error.with_hint("the group rebalances: commit again when that is over, if the partition is still assigned")
                    }
                    ErrorCode::OFFSET_METADATA_TOO_LARGE => {
                        error.with_hint("shorten the metadata, or raise the broker's offset.metadata.max.bytes")
                    }
                    _ => error,
                };
                self.end(error);
            }
        }
        match action {
            Action::Retry | Action::RetryUnsure => Next::Again,
            Action::Rediscover => Next::Elsewhere,
            Action::Reject | Action::Unsure => Next::Done,
        }
    }

    /// Ends in the way that an error proves.
    fn end(&mut self, error: Error) {
        if let Progress::Open { maybe_applied, .. } = self.progress {
            self.progress = Progress::Done(match maybe_applied {
                true => CommitOutcome::Unknown(error),
                false => CommitOutcome::Rejected(error),
            });
        }
    }
}

fn place(error: Error, partition: &TopicPartition) -> Error {
    error
        .in_step(Step::OffsetCommit)
        .on_topic(&partition.topic)
        .on_partition(partition.partition)
}

impl Question for Commit {
    type Request = OffsetCommitRequest;
    const STEP: Step = Step::OffsetCommit;
    const RETRY: u8 = timers::COMMIT;
    const DEADLINE: u8 = timers::COMMIT_DEADLINE;

    /// By name: ids (version 10) are of use only where all of them are known.
    fn version_max(&self) -> i16 {
        9
    }

    fn request(&self, group: &Str, _version: i16) -> OffsetCommitRequest {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (partition, entry) in self.entries.iter() {
            if let Progress::Done(_) = entry.progress {
                continue;
            }
            let asked = OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: entry.offset.offset,
                committed_leader_epoch: entry.offset.leader_epoch.unwrap_or(-1),
                committed_metadata: Some(Str::from(entry.offset.metadata.as_str())),
            };
            match topics.last_mut() {
                Some(topic) if *topic.name == *partition.topic => topic.partitions.push(asked),
                Some(_) | None => topics.push(OffsetCommitRequestTopic {
                    name: Str::from(&*partition.topic),
                    partitions: alloc::vec![asked],
                    ..OffsetCommitRequestTopic::default()
                }),
            }
        }
        let request = OffsetCommitRequest {
            group_id: group.clone(),
            topics,
            ..OffsetCommitRequest::default()
        };
        match &self.standing {
            None => request,
            Some(standing) => OffsetCommitRequest {
                generation_id_or_member_epoch: standing.generation,
                member_id: standing.member_id.clone(),
                group_instance_id: standing.instance_id.clone(),
                ..request
            },
        }
    }

    fn on_answer(&mut self, node: NodeId, answer: OffsetCommitResponse) -> Next {
        let mut codes = Vec::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let key = (topic.name.as_str(), partition.partition_index);
                codes.push((key, ErrorCode(partition.error_code)));
            }
        }
        let codes: VecMap<_, _> = codes.into_iter().collect();
        let mut next = Next::Done;
        let member = self.standing.is_some();
        for (partition, entry) in self.open() {
            let code = codes.get(&(&*partition.topic, partition.partition));
            // A coordinator that leaves a partition out has not answered for it.
            let code = code.copied().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR);
            next = next.max(entry.on_code(partition, node, code, member));
        }
        next
    }

    fn throttled_ms(answer: &OffsetCommitResponse) -> i32 {
        answer.throttle_time_ms
    }

    fn on_failed(&mut self, failed: &RequestError) {
        for (partition, entry) in self.open() {
            if let Progress::Open {
                maybe_applied,
                last,
            } = &mut entry.progress
            {
                *maybe_applied |= failed.maybe_applied;
                *last = Some(place(failed.error.clone(), partition));
            }
        }
    }

    fn give_up(&mut self, error: &Error) {
        for (partition, entry) in self.open() {
            entry.end(place(error.clone(), partition));
        }
    }

    fn last_error(&self) -> Option<&Error> {
        self.entries
            .values()
            .find_map(|entry| match &entry.progress {
                Progress::Open { last, .. } => last.as_ref(),
                Progress::Done(_) => None,
            })
    }

    fn is_done(&self) -> bool {
        let done = |entry: &Entry| matches!(entry.progress, Progress::Done(_));
        self.entries.values().all(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the protocol's table of error codes that concern a commit.
    #[test]
    fn each_code_of_a_commit_has_the_action_of_the_table() {
        for (code, expected) in [
            (-1, Action::Unsure),
            (3, Action::Retry),
            (7, Action::Rediscover),
            (12, Action::Reject),
            (14, Action::Retry),
            (15, Action::Rediscover),
            (16, Action::Rediscover),
            (22, Action::Reject),
            (24, Action::Reject),
            (25, Action::Reject),
            (27, Action::Reject),
            (28, Action::Reject),
            (29, Action::Reject),
            (30, Action::Reject),
            (69, Action::Reject),
            (82, Action::Reject),
            (100, Action::Retry),
            (113, Action::Retry),
            (9_999, Action::Reject),
        ] {
            assert_eq!(action(ErrorCode(code)), expected, "{code}");
        }
    }
}
