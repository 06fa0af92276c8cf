//! Owns commits as users make them: what is committed, and what is said of what could not be.
//!
//! Must not know how a coordinator is asked.

use std::fmt;

use klamm::{
    CommitOutcome, CommitOutcomes, CommittedOffsets, ConsumerCommand, Error, OffsetAndMetadata,
    TopicPartition,
};

use super::{Consumer, ConsumerHub};
use crate::ops::operation;
use crate::shared::Shared;

/// Not everything was committed.
#[derive(Clone, Debug)]
pub enum CommitError {
    /// Nothing was sent, and nothing will be.
    Refused(Error),
    /// What became of each partition: at least one was not committed, or may not have been.
    Incomplete(CommitOutcomes),
}

impl CommitError {
    /// The error of the first partition that was not committed.
    #[must_use]
    pub fn first(&self) -> Option<&Error> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Incomplete(outcomes) => outcomes.iter().find_map(|(_, outcome)| match outcome {
                CommitOutcome::Committed => None,
                CommitOutcome::Rejected(error) | CommitOutcome::Unknown(error) => Some(error),
            }),
        }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Incomplete(outcomes) = self {
            let (mut rejected, mut unknown) = (0, 0);
            for (_, outcome) in outcomes {
                match outcome {
                    CommitOutcome::Committed => {}
                    CommitOutcome::Rejected(_) => rejected += 1,
                    CommitOutcome::Unknown(_) => unknown += 1,
                }
            }
            let of = outcomes.len();
            write!(
                f,
                "of {of} partitions {rejected} were not committed and {unknown} perhaps"
            )?;
            f.write_str(": ")?;
        }
        match self.first() {
            Some(error) => error.fmt(f),
            None => f.write_str("nothing failed"),
        }
    }
}

impl std::error::Error for CommitError {}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Commits offsets.
pub(super) async fn commit_offsets(
    shared: &Shared<ConsumerHub>,
    offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
) -> Result<(), CommitError> {
    let command = ConsumerCommand::Commit { offsets };
    let outcomes = operation(shared, command, |hub| &mut hub.commits).await?;
    let committed = |(_, outcome): &(_, CommitOutcome)| *outcome == CommitOutcome::Committed;
    match outcomes.iter().all(committed) {
        true => Ok(()),
        false => Err(CommitError::Incomplete(outcomes)),
    }
}

impl Consumer {
    /// Commits the [position](Self::position) of every assigned partition for the group `group.id`: everything that was
    /// handed out counts as dealt with, except what lies in a [`Batch`](super::Batch) that is still held.
    ///
    /// Commits are sent in the order in which they are made. A commit whose connection is lost is sent again; what is
    /// not answered within a minute is [`CommitOutcome::Unknown`].
    ///
    /// Cancel safety: dropped, the commit runs to its end, and its result is not told.
    ///
    /// # Errors
    /// There is no `group.id` ([`ErrorKind::NoGroupId`](klamm::ErrorKind::NoGroupId)), the consumer is closed, or not
    /// every partition was committed.
    pub async fn commit(&self) -> Result<(), CommitError> {
        self.commit_offsets(self.consumed()).await
    }

    /// Commits these offsets, each the one after the last record that was dealt with. The partitions need not be
    /// assigned.
    ///
    /// Cancel safety: see [`commit`](Self::commit).
    ///
    /// # Errors
    /// See [`commit`](Self::commit); also a name, number or offset that cannot be.
    pub async fn commit_offsets(
        &self,
        offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
    ) -> Result<(), CommitError> {
        commit_offsets(self.shared(), offsets).await
    }

    /// What the group `group.id` has committed, within a minute. The partitions need not be assigned.
    ///
    /// Cancel safety: dropped, the answer is not told.
    ///
    /// # Errors
    /// There is no `group.id`, or the consumer is closed. Trouble with a partition stands in its place of the answer.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<CommittedOffsets, Error> {
        let partitions = partitions.to_vec();
        let command = ConsumerCommand::Committed { partitions };
        self.operation(command, |hub| &mut hub.committed).await
    }

    /// The positions, as the application knows them: the batch that is read record by record counts as far as it was
    /// read.
    fn consumed(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let current = self.current();
        let mut consumed = self.shared().lock().engine().consumed();
        if let Some(batch) = current.as_ref().filter(|batch| !batch.is_stale())
            && let Some(read) = batch.consumed()
        {
            let of_batch = |(partition, _): &&mut (TopicPartition, _)| {
                (&*partition.topic, partition.partition) == (batch.topic(), batch.partition())
            };
            if let Some((_, offset)) = consumed.iter_mut().find(of_batch) {
                *offset = read;
            }
        }
        consumed
    }
}
