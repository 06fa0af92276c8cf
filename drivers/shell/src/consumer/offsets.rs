//! Owns the calls about offsets under the names that Kafka gives them, each a question or a seek of the engine.
//!
//! Must not know how an offset is looked up.

use klamm::collections::VecMap;
use klamm::{ConsumerCommand, Error, FoundOffsets, OffsetSpec, Start, TopicPartition};

use super::Consumer;

impl Consumer {
    /// Goes on reading at the oldest record of each of these partitions; without any, of all that are assigned.
    ///
    /// # Errors
    /// One of them is not assigned, or the consumer is closed. Nothing changes.
    pub fn seek_to_beginning(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.seek_all(partitions, Start::Beginning)
    }

    /// Goes on reading after the newest record of each of these partitions; without any, of all that are assigned.
    ///
    /// # Errors
    /// See [`seek_to_beginning`](Self::seek_to_beginning).
    pub fn seek_to_end(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.seek_all(partitions, Start::End)
    }

    /// Goes on reading where the group `group.id` has committed, in each of these partitions; without any, in all that
    /// are assigned.
    ///
    /// # Errors
    /// See [`seek_to_beginning`](Self::seek_to_beginning); also when there is no `group.id`.
    pub fn seek_to_committed(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.seek_all(partitions, Start::Committed)
    }

    fn seek_all(&self, partitions: &[TopicPartition], to: Start) -> Result<(), Error> {
        self.shared().step(|state, _, now| {
            let all = match partitions {
                [] => state.engine().assignment(),
                [_, ..] => partitions.to_vec(),
            };
            for partition in &all {
                state
                    .engine()
                    .position(&partition.topic, partition.partition)?;
            }
            for TopicPartition { topic, partition } in &all {
                let partition = *partition;
                state.done(
                    ConsumerCommand::Seek {
                        topic,
                        partition,
                        to,
                    },
                    now,
                )?;
            }
            state.role.moved();
            Ok(())
        })
    }

    /// Of each partition the first record that is not older than its time, in milliseconds since 1970; `Ok(None)` where
    /// there is none. The partitions need not be assigned.
    ///
    /// Cancel safety: see [`list_offsets`](Self::list_offsets).
    ///
    /// # Errors
    /// See [`list_offsets`](Self::list_offsets).
    pub async fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
    ) -> Result<FoundOffsets, Error> {
        let mut by_time: VecMap<i64, Vec<TopicPartition>> = VecMap::new();
        for (partition, time) in times {
            by_time
                .get_or_insert_with(*time, Vec::new)
                .push(partition.clone());
        }
        let mut found = FoundOffsets::new();
        for (time, partitions) in by_time {
            let spec = OffsetSpec::Timestamp(time);
            found.extend(self.list_offsets(spec, &partitions).await?);
        }
        Ok(found)
    }

    /// The oldest offset of each partition. The partitions need not be assigned.
    ///
    /// Cancel safety: see [`list_offsets`](Self::list_offsets).
    ///
    /// # Errors
    /// See [`list_offsets`](Self::list_offsets).
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<FoundOffsets, Error> {
        self.list_offsets(OffsetSpec::Earliest, partitions).await
    }

    /// The offset after the newest record of each partition (with `read_committed`: after the newest decided one). The
    /// partitions need not be assigned.
    ///
    /// Cancel safety: see [`list_offsets`](Self::list_offsets).
    ///
    /// # Errors
    /// See [`list_offsets`](Self::list_offsets).
    pub async fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<FoundOffsets, Error> {
        self.list_offsets(OffsetSpec::Latest, partitions).await
    }
}
