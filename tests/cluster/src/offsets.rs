//! Owns ListOffsets and OffsetForLeaderEpoch: where things are in a log.
//!
//! Must not know who reads there.

use std::collections::BTreeMap;

use klamm::ErrorCode;
use klamm::messages::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse, OffsetForLeaderEpochEndOffset, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use klamm::record::BatchView;

use crate::cluster::Cluster;
use crate::connection::Call;
use crate::contents::Contents;
use crate::dispatch::Handled;
use crate::log::StoredBatch;
use crate::replica::Replica;
use crate::topology::TopicRef;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// KIP-734, from version 7.
const MAX_TIMESTAMP: i64 = -3;
/// KIP-405, from version 8. Nothing is tiered, so this is the earliest one.
const EARLIEST_LOCAL: i64 = -4;
/// From here on the names are those of tiered storage, which there is none of.
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// The first version of ListOffsets with leader epochs (KIP-320).
const EPOCHS_FROM: i16 = 4;
/// From this version on a leader that does not know its high watermark yet says so (KIP-207).
const NOT_AVAILABLE_FROM: i16 = 5;

/// A place in a log.
#[derive(Clone, Copy, Debug)]
struct Found {
    offset: i64,
    timestamp: i64,
    epoch: i32,
}

const NOTHING: Found = Found {
    offset: -1,
    timestamp: -1,
    epoch: -1,
};

impl Cluster {
    pub(crate) fn serve_list_offsets(
        &mut self,
        mut call: Call,
        request: ListOffsetsRequest,
    ) -> Option<Handled> {
        let committed_only = request.isolation_level == 1;
        let node = self.topology.node(call.broker);
        let epochs = call.version >= EPOCHS_FROM && node.is_none_or(|n| n.release.tells_epochs());
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let name = TopicRef::Name(topic.name.clone());
            let mut times: BTreeMap<i32, usize> = BTreeMap::new();
            for asked in &topic.partitions {
                *times.entry(asked.partition_index).or_default() += 1;
            }
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let index = asked.partition_index;
                let fault = call.met.answers.either_partition(&topic.name, index);
                let found = match (fault, times.remove(&index)) {
                    // It was asked for before, and answered once for all.
                    (_, None) => continue,
                    (Some(error), Some(_)) => Err(error),
                    (None, Some(2..)) => Err(ErrorCode::INVALID_REQUEST),
                    (None, Some(_)) => self.list_offset(&call, &name, &asked, committed_only),
                };
                partitions.push(listed(epochs, index, found));
            }
            topics.push(ListOffsetsTopicResponse {
                name: topic.name,
                partitions,
            });
        }
        let response = ListOffsetsResponse {
            throttle_time_ms: self.throttle_ms(),
            topics,
        };
        let outcome = self.answer::<ListOffsetsRequest>(&call, &response);
        Some((call, outcome))
    }

    fn list_offset(
        &self,
        call: &Call,
        topic: &TopicRef,
        asked: &ListOffsetsPartition,
        committed_only: bool,
    ) -> Result<Found, ErrorCode> {
        let index = asked.partition_index;
        let epoch = asked.current_leader_epoch;
        let partition = self.led_partition(call.broker, topic, index, epoch)?;
        let replica = self.replica(partition, call.broker);
        let replica = replica.ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        let before = if committed_only {
            replica.last_stable_offset()
        } else {
            replica.high_watermark
        };
        let log = &replica.log;
        // KIP-207: a new leader knows only once its own epoch is replicated what can be read.
        let begun = log.latest_epoch().and_then(|epoch| log.epoch_start(epoch));
        if replica.high_watermark < begun.unwrap_or(0) && asked.timestamp != EARLIEST {
            return Err(if call.version >= NOT_AVAILABLE_FROM {
                ErrorCode::OFFSET_NOT_AVAILABLE
            } else {
                ErrorCode::LEADER_NOT_AVAILABLE
            });
        }
        let at = |offset: i64| Found {
            offset,
            timestamp: -1,
            epoch: log.epoch_at(offset).unwrap_or(-1),
        };
        match asked.timestamp {
            LATEST => Ok(Found {
                epoch: replica.followed_epoch,
                ..at(before)
            }),
            EARLIEST | EARLIEST_LOCAL => Ok(at(log.start_offset())),
            MAX_TIMESTAMP => Ok(greatest_timestamp(replica, before)),
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(NOTHING),
            timestamp => Ok(first_since(replica, timestamp, before)),
        }
    }

    pub(crate) fn serve_offset_for_leader_epoch(
        &mut self,
        mut call: Call,
        request: OffsetForLeaderEpochRequest,
    ) -> Option<Handled> {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let name = TopicRef::Name(topic.topic.clone());
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let fault = call
                    .met
                    .answers
                    .either_partition(&topic.topic, asked.partition);
                partitions.push(match fault {
                    Some(error) => no_epoch_end(&asked, error),
                    None => self
                        .epoch_end(&call, &name, &asked)
                        .unwrap_or_else(|error| no_epoch_end(&asked, error)),
                });
            }
            topics.push(OffsetForLeaderTopicResult {
                topic: topic.topic,
                partitions,
            });
        }
        let response = OffsetForLeaderEpochResponse {
            throttle_time_ms: self.throttle_ms(),
            topics,
        };
        let outcome = self.answer::<OffsetForLeaderEpochRequest>(&call, &response);
        Some((call, outcome))
    }

    fn epoch_end(
        &self,
        call: &Call,
        topic: &TopicRef,
        asked: &OffsetForLeaderPartition,
    ) -> Result<OffsetForLeaderEpochEndOffset, ErrorCode> {
        let (index, epoch) = (asked.partition, asked.current_leader_epoch);
        let partition = self.led_partition(call.broker, topic, index, epoch)?;
        let replica = self.replica(partition, call.broker);
        let replica = replica.ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        let end = replica.log.epoch_end(asked.leader_epoch);
        Ok(OffsetForLeaderEpochEndOffset {
            error_code: 0,
            partition: asked.partition,
            leader_epoch: end.map_or(-1, |end| end.epoch),
            end_offset: end.map_or(-1, |end| end.end_offset),
        })
    }
}

fn no_epoch_end(
    asked: &OffsetForLeaderPartition,
    error: ErrorCode,
) -> OffsetForLeaderEpochEndOffset {
    OffsetForLeaderEpochEndOffset {
        error_code: error.0,
        partition: asked.partition,
        leader_epoch: -1,
        end_offset: -1,
    }
}

fn listed(
    epochs: bool,
    index: i32,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (error, found) = match found {
        Ok(found) => (ErrorCode::NONE, found),
        Err(error) => (error, NOTHING),
    };
    ListOffsetsPartitionResponse {
        partition_index: index,
        error_code: error.0,
        timestamp: found.timestamp,
        offset: found.offset,
        leader_epoch: if epochs { found.epoch } else { -1 },
    }
}

/// The first record of a batch from offset `start` on that is not older than `timestamp`.
fn first_in(batch: &StoredBatch, start: i64, timestamp: i64) -> Option<(i64, i64)> {
    let mut contents = Contents::default();
    let view = BatchView::parse(&batch.bytes).ok()?;
    let records = contents.records(&view).ok()?;
    let Some(records) = records else {
        // Too large to be looked into: it counts as one place.
        let header = &batch.header;
        return Some((header.base_offset.max(start), header.max_timestamp));
    };
    let mut readable = records.starting_at(start).map_while(Result::ok);
    let found = readable.find(|record| record.timestamp >= timestamp)?;
    Some((found.offset, found.timestamp))
}

/// The first record below `before` that is not older than `timestamp`.
fn first_since(replica: &Replica, timestamp: i64, before: i64) -> Found {
    let log = &replica.log;
    let start = log.start_offset();
    let candidates = log
        .batches_from(start, before)
        .filter(|batch| batch.header.max_timestamp >= timestamp);
    for batch in candidates {
        if let Some((offset, at)) = first_in(batch, start, timestamp) {
            return found(batch, offset, at);
        }
    }
    NOTHING
}

/// The first record below `before` with the greatest timestamp of all.
fn greatest_timestamp(replica: &Replica, before: i64) -> Found {
    let log = &replica.log;
    let batches = log.batches_from(log.start_offset(), before);
    let Some(greatest) = batches.map(|batch| batch.header.max_timestamp).max() else {
        return NOTHING;
    };
    first_since(replica, greatest, before)
}

fn found(batch: &StoredBatch, offset: i64, timestamp: i64) -> Found {
    Found {
        offset,
        timestamp,
        epoch: batch.header.partition_leader_epoch,
    }
}
