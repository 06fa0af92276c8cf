//! Owns how a consumer's commands and events look in a recording.
//!
//! Must not know what they do.

use alloc::string::String;
use alloc::vec::Vec;

use super::command::{ConsumerCommand, ConsumerReply};
use super::engine::ConsumerEngine;
use super::lent::BatchId;
use super::types::{
    Assignment, ConsumerEvent, Corruption, LentBatch, OffsetSpec, RebalanceId, RebalanceListener,
    Return, ReturnEnd, Start,
};
use crate::engine::{Engine, OpId, TopicPartition};
use crate::group::OffsetAndMetadata;
use crate::record::Codec;
use crate::recording::{Decoder, Encoder, Recordable, RecordingError};
use crate::time::Instant;

const ASSIGN: u8 = 1;
const SEEK: u8 = 2;
const PAUSE: u8 = 3;
const RESUME: u8 = 4;
const NEXT_BATCH: u8 = 5;
const RETURN: u8 = 6;
const RETURN_AND_NEXT: u8 = 7;
const LIST_OFFSETS: u8 = 8;
const REQUEST: u8 = 9;
const DETACH: u8 = 10;
const CLOSE: u8 = 11;
const COMMIT: u8 = 12;
const COMMITTED: u8 = 13;
const SUBSCRIBE: u8 = 14;
const REBALANCE_DONE: u8 = 15;
const BEGIN_POLL: u8 = 16;
const SUBSCRIBE_PATTERN: u8 = 17;

impl Recordable for ConsumerEngine {
    const ROLE: &'static str = "consumer";

    fn put_command(command: &ConsumerCommand<'_>, out: &mut Encoder<'_>) {
        match command {
            ConsumerCommand::Assign(assignments) => {
                out.put_u8(ASSIGN);
                put_assignments(assignments, out);
            }
            ConsumerCommand::Subscribe { topics, listener } => {
                out.put_u8(SUBSCRIBE);
                put_subscription(topics, *listener, out);
            }
            ConsumerCommand::SubscribePattern { pattern, listener } => {
                out.put_u8(SUBSCRIBE_PATTERN);
                put_pattern(pattern, *listener, out);
            }
            ConsumerCommand::RebalanceDone { id } => {
                out.put_u8(REBALANCE_DONE);
                out.put_u64(id.0);
            }
            ConsumerCommand::BeginPoll => out.put_u8(BEGIN_POLL),
            ConsumerCommand::Seek {
                topic,
                partition,
                to,
            } => {
                out.put_u8(SEEK);
                put_partition(topic, *partition, out);
                put_start(*to, out);
            }
            ConsumerCommand::Pause { topic, partition } => {
                out.put_u8(PAUSE);
                put_partition(topic, *partition, out);
            }
            ConsumerCommand::Resume { topic, partition } => {
                out.put_u8(RESUME);
                put_partition(topic, *partition, out);
            }
            ConsumerCommand::NextBatch => out.put_u8(NEXT_BATCH),
            ConsumerCommand::Return(returned) => {
                out.put_u8(RETURN);
                put_return(returned, out);
            }
            ConsumerCommand::ReturnAndNext(returned) => {
                out.put_u8(RETURN_AND_NEXT);
                put_return(returned, out);
            }
            ConsumerCommand::ListOffsets { spec, partitions } => {
                out.put_u8(LIST_OFFSETS);
                put_spec(*spec, out);
                put_partitions(partitions, out);
            }
            ConsumerCommand::Commit { offsets } => {
                out.put_u8(COMMIT);
                put_offsets(offsets, out);
            }
            ConsumerCommand::Committed { partitions } => {
                out.put_u8(COMMITTED);
                put_partitions(partitions, out);
            }
            ConsumerCommand::Request(request) => {
                out.put_u8(REQUEST);
                out.put_request(request);
            }
            ConsumerCommand::Detach { op } => {
                out.put_u8(DETACH);
                out.put_u64(op.0);
            }
            ConsumerCommand::Close { deadline } => {
                out.put_u8(CLOSE);
                out.put_instant(*deadline);
            }
        }
    }

    fn replay_command(
        &mut self,
        from: &mut Decoder<'_>,
        now: Instant,
    ) -> Result<ConsumerReply, RecordingError> {
        let (mut assignments, mut topics) = (Vec::new(), Vec::new());
        let command = match from.get_u8()? {
            ASSIGN => {
                for _ in 0..from.get_u32()? {
                    assignments.push(get_assignment(from)?);
                }
                ConsumerCommand::Assign(&assignments)
            }
            SUBSCRIBE => {
                let listener = get_listener(from)?;
                for _ in 0..from.get_u32()? {
                    topics.push(from.get_str()?);
                }
                ConsumerCommand::Subscribe {
                    topics: &topics,
                    listener,
                }
            }
            SUBSCRIBE_PATTERN => {
                let listener = get_listener(from)?;
                let pattern = from.get_str()?;
                ConsumerCommand::SubscribePattern { pattern, listener }
            }
            REBALANCE_DONE => ConsumerCommand::RebalanceDone {
                id: RebalanceId(from.get_u64()?),
            },
            BEGIN_POLL => ConsumerCommand::BeginPoll,
            SEEK => {
                let (topic, partition) = get_partition(from)?;
                let to = get_start(from)?;
                ConsumerCommand::Seek {
                    topic,
                    partition,
                    to,
                }
            }
            PAUSE => {
                let (topic, partition) = get_partition(from)?;
                ConsumerCommand::Pause { topic, partition }
            }
            RESUME => {
                let (topic, partition) = get_partition(from)?;
                ConsumerCommand::Resume { topic, partition }
            }
            NEXT_BATCH => ConsumerCommand::NextBatch,
            RETURN => ConsumerCommand::Return(get_return(from)?),
            RETURN_AND_NEXT => ConsumerCommand::ReturnAndNext(get_return(from)?),
            LIST_OFFSETS => {
                let spec = get_spec(from)?;
                let partitions = get_partitions(from)?;
                ConsumerCommand::ListOffsets { spec, partitions }
            }
            COMMIT => ConsumerCommand::Commit {
                offsets: get_offsets(from)?,
            },
            COMMITTED => ConsumerCommand::Committed {
                partitions: get_partitions(from)?,
            },
            REQUEST => ConsumerCommand::Request(from.get_request()?),
            DETACH => ConsumerCommand::Detach {
                op: OpId(from.get_u64()?),
            },
            CLOSE => ConsumerCommand::Close {
                deadline: from.get_instant()?,
            },
            _ => return Err(from.error("a consumer's command")),
        };
        from.expect_end()?;
        Ok(self.command(command, now))
    }

    fn put_reply(reply: &ConsumerReply, out: &mut Encoder<'_>) {
        match reply {
            ConsumerReply::Batch(batch) => {
                out.put_option(batch.as_ref(), |out, batch| put_batch(batch, out))
            }
            ConsumerReply::Returned(done, batch) => {
                out.put_debug(done);
                out.put_option(batch.as_ref(), |out, batch| put_batch(batch, out));
            }
            ConsumerReply::Done(_) | ConsumerReply::Op(_) | ConsumerReply::Begun(_) => {
                out.put_debug(reply)
            }
        }
    }

    fn put_event(event: &ConsumerEvent, out: &mut Encoder<'_>) {
        out.put_debug(event);
    }
}

fn put_partition(topic: &str, partition: i32, out: &mut Encoder<'_>) {
    out.put_bytes(topic.as_bytes());
    out.put_i32(partition);
}

fn get_partition<'a>(from: &mut Decoder<'a>) -> Result<(&'a str, i32), RecordingError> {
    Ok((from.get_str()?, from.get_i32()?))
}

fn get_assignment<'a>(from: &mut Decoder<'a>) -> Result<Assignment<'a>, RecordingError> {
    let (topic, partition) = get_partition(from)?;
    let start = get_start(from)?;
    Ok(Assignment {
        topic,
        partition,
        start,
    })
}

fn put_assignments(assignments: &[Assignment<'_>], out: &mut Encoder<'_>) {
    out.put_count(assignments.len());
    for assignment in assignments {
        put_partition(assignment.topic, assignment.partition, out);
        put_start(assignment.start, out);
    }
}

fn put_subscription(topics: &[&str], listener: RebalanceListener, out: &mut Encoder<'_>) {
    put_listener(listener, out);
    out.put_count(topics.len());
    for topic in topics {
        out.put_bytes(topic.as_bytes());
    }
}

fn put_pattern(pattern: &str, listener: RebalanceListener, out: &mut Encoder<'_>) {
    put_listener(listener, out);
    out.put_bytes(pattern.as_bytes());
}

fn put_listener(listener: RebalanceListener, out: &mut Encoder<'_>) {
    out.put_u8(match listener {
        RebalanceListener::Told => 0,
        RebalanceListener::Asked => 1,
    });
}

fn get_listener(from: &mut Decoder<'_>) -> Result<RebalanceListener, RecordingError> {
    match from.get_u8()? {
        0 => Ok(RebalanceListener::Told),
        1 => Ok(RebalanceListener::Asked),
        _ => Err(from.error("a rebalance listener")),
    }
}

/// Offsets that are committed.
type Offsets = Vec<(TopicPartition, OffsetAndMetadata)>;

fn put_offsets(offsets: &Offsets, out: &mut Encoder<'_>) {
    out.put_count(offsets.len());
    for (partition, committed) in offsets {
        put_partition(&partition.topic, partition.partition, out);
        out.put_i64(committed.offset);
        out.put_i32(committed.leader_epoch.unwrap_or(-1));
        out.put_bytes(committed.metadata.as_bytes());
    }
}

fn get_offsets(from: &mut Decoder<'_>) -> Result<Offsets, RecordingError> {
    let mut offsets = Vec::new();
    for _ in 0..from.get_u32()? {
        let (topic, partition) = get_partition(from)?;
        let committed = OffsetAndMetadata {
            offset: from.get_i64()?,
            leader_epoch: Some(from.get_i32()?).filter(|epoch| *epoch >= 0),
            metadata: String::from(from.get_str()?),
        };
        offsets.push((TopicPartition::new(topic, partition), committed));
    }
    Ok(offsets)
}

fn put_partitions(partitions: &[TopicPartition], out: &mut Encoder<'_>) {
    out.put_count(partitions.len());
    for partition in partitions {
        put_partition(&partition.topic, partition.partition, out);
    }
}

fn get_partitions(from: &mut Decoder<'_>) -> Result<Vec<TopicPartition>, RecordingError> {
    let mut partitions = Vec::new();
    for _ in 0..from.get_u32()? {
        let (topic, partition) = get_partition(from)?;
        partitions.push(TopicPartition::new(topic, partition));
    }
    Ok(partitions)
}

/// All that the reader gets, the records themselves too.
fn put_batch(batch: &LentBatch, out: &mut Encoder<'_>) {
    let LentBatch {
        id,
        topic,
        handle,
        partition,
        bytes,
        start,
        next,
        allowance,
        high_watermark,
    } = batch;
    out.put_u64(id.as_u64());
    put_partition(topic, *partition, out);
    out.put_u64(u64::from(handle.index()));
    out.put_bytes(bytes);
    for offset in [start, next, high_watermark] {
        out.put_i64(*offset);
    }
    out.put_u64(*allowance as u64);
}

fn put_start(start: Start, out: &mut Encoder<'_>) {
    match start {
        Start::Offset(offset) => {
            out.put_u8(0);
            out.put_i64(offset);
        }
        Start::Beginning => out.put_u8(1),
        Start::End => out.put_u8(2),
        Start::Committed => out.put_u8(3),
    }
}

fn get_start(from: &mut Decoder<'_>) -> Result<Start, RecordingError> {
    match from.get_u8()? {
        0 => Ok(Start::Offset(from.get_i64()?)),
        1 => Ok(Start::Beginning),
        2 => Ok(Start::End),
        3 => Ok(Start::Committed),
        _ => Err(from.error("where to begin")),
    }
}

fn put_spec(spec: OffsetSpec, out: &mut Encoder<'_>) {
    match spec {
        OffsetSpec::Earliest => out.put_u8(0),
        OffsetSpec::Latest => out.put_u8(1),
        OffsetSpec::MaxTimestamp => out.put_u8(2),
        OffsetSpec::Timestamp(timestamp) => {
            out.put_u8(3);
            out.put_i64(timestamp);
        }
    }
}

fn get_spec(from: &mut Decoder<'_>) -> Result<OffsetSpec, RecordingError> {
    match from.get_u8()? {
        0 => Ok(OffsetSpec::Earliest),
        1 => Ok(OffsetSpec::Latest),
        2 => Ok(OffsetSpec::MaxTimestamp),
        3 => Ok(OffsetSpec::Timestamp(from.get_i64()?)),
        _ => Err(from.error("which offset")),
    }
}

fn put_return(returned: &Return, out: &mut Encoder<'_>) {
    out.put_u64(returned.id.as_u64());
    out.put_i64(returned.next);
    match &returned.end {
        ReturnEnd::Read => out.put_u8(0),
        ReturnEnd::Abandoned => out.put_u8(1),
        ReturnEnd::Exhausted { needed } => {
            out.put_u8(2);
            out.put_u64(*needed as u64);
        }
        // What is wrong reaches nothing but the text of an error.
        ReturnEnd::Corrupt(corruption) => {
            out.put_u8(3);
            out.put_bytes(alloc::format!("{corruption}").as_bytes());
        }
        ReturnEnd::NotCompiled { codec } => {
            out.put_u8(4);
            out.put_u8(codec.id());
        }
    }
}

fn get_return(from: &mut Decoder<'_>) -> Result<Return, RecordingError> {
    Ok(Return {
        id: BatchId::from_u64(from.get_u64()?),
        next: from.get_i64()?,
        end: match from.get_u8()? {
            0 => ReturnEnd::Read,
            1 => ReturnEnd::Abandoned,
            2 => ReturnEnd::Exhausted {
                needed: usize::try_from(from.get_u64()?).unwrap_or(usize::MAX),
            },
            3 => ReturnEnd::Corrupt(Corruption::Compression(String::from(from.get_str()?))),
            4 => ReturnEnd::NotCompiled {
                codec: Codec::from_id(from.get_u8()?).ok_or_else(|| from.error("a codec"))?,
            },
            _ => return Err(from.error("how reading ended")),
        },
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::config::ConsumerConfig;
    use crate::engine::{ConnectionGroup, Output, RawRequest};
    use crate::time::{Duration, UnixMillis};
    use crate::wire::ApiKey;

    fn engine() -> ConsumerEngine {
        let config = ConsumerConfig::bootstrap("castle:9092")
            .unwrap()
            .group_id("surveyors");
        ConsumerEngine::new(&config, [7; 32], Instant::START, UnixMillis(0)).unwrap()
    }

    fn outputs(engine: &mut ConsumerEngine) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let output = engine.poll_output();
            let mut bytes = Vec::new();
            crate::recording::put_output::<ConsumerEngine>(&output, &mut bytes);
            all.push(bytes);
            if let Output::Idle(_) = output {
                return all;
            }
        }
    }

    const ASSIGNMENTS: [Assignment<'_>; 3] = [
        Assignment {
            topic: "t",
            partition: 0,
            start: Start::Offset(5),
        },
        Assignment {
            topic: "t",
            partition: 1,
            start: Start::Beginning,
        },
        Assignment {
            topic: "u",
            partition: 0,
            start: Start::End,
        },
    ];

    /// What members of a group say, too.
    fn of_a_member() -> Vec<ConsumerCommand<'static>> {
        vec![
            ConsumerCommand::Assign(&[]),
            ConsumerCommand::Subscribe {
                topics: &["t", "u"],
                listener: RebalanceListener::Asked,
            },
            ConsumerCommand::SubscribePattern {
                pattern: "t.*",
                listener: RebalanceListener::Told,
            },
            ConsumerCommand::RebalanceDone { id: RebalanceId(1) },
        ]
    }

    fn commands() -> Vec<ConsumerCommand<'static>> {
        let returned = |end| Return {
            id: BatchId::from_u64(9),
            next: 4,
            end,
        };
        let request = RawRequest {
            api: ApiKey::METADATA,
            version: 9,
            flexible: true,
            body: bytes::Bytes::from_static(b"body"),
            to: None,
            group: ConnectionGroup::Default,
            timeout: Duration::from_secs(1),
        };
        vec![
            ConsumerCommand::Assign(&ASSIGNMENTS),
            ConsumerCommand::Seek {
                topic: "t",
                partition: 1,
                to: Start::Offset(3),
            },
            ConsumerCommand::Pause {
                topic: "t",
                partition: 0,
            },
            ConsumerCommand::Resume {
                topic: "t",
                partition: 0,
            },
            ConsumerCommand::BeginPoll,
            ConsumerCommand::NextBatch,
            ConsumerCommand::Return(returned(ReturnEnd::Read)),
            ConsumerCommand::Return(returned(ReturnEnd::Abandoned)),
            ConsumerCommand::ReturnAndNext(returned(ReturnEnd::Exhausted { needed: 77 })),
            ConsumerCommand::Return(returned(ReturnEnd::NotCompiled { codec: Codec::Zstd })),
            ConsumerCommand::Return(returned(ReturnEnd::Corrupt(Corruption::Compression(
                "bad".into(),
            )))),
            ConsumerCommand::ListOffsets {
                spec: OffsetSpec::Timestamp(8),
                partitions: vec![TopicPartition::new("v", 3)],
            },
            ConsumerCommand::Seek {
                topic: "t",
                partition: 1,
                to: Start::Committed,
            },
            ConsumerCommand::Commit {
                offsets: vec![
                    (
                        TopicPartition::new("t", 1),
                        OffsetAndMetadata {
                            offset: 12,
                            leader_epoch: Some(3),
                            metadata: "so far".into(),
                        },
                    ),
                    (TopicPartition::new("u", 0), OffsetAndMetadata::new(0)),
                ],
            },
            ConsumerCommand::Committed {
                partitions: vec![TopicPartition::new("t", 1)],
            },
            ConsumerCommand::Request(request),
            ConsumerCommand::Detach { op: OpId(1) },
            ConsumerCommand::Close {
                deadline: Instant::from_millis(5),
            },
        ]
    }

    #[test]
    fn every_command_comes_back_as_it_was_and_does_the_same() {
        let (mut original, mut replayed) = (engine(), engine());
        let all = of_a_member().into_iter().chain(commands());
        for (command, at) in all.zip(1..) {
            let now = Instant::from_millis(at);
            let (mut written, mut again) = (Vec::new(), Vec::new());
            ConsumerEngine::put_command(&command, &mut Encoder::new(&mut written));
            ConsumerEngine::put_command(&command, &mut Encoder::new(&mut again));
            assert_eq!(written, again);
            let reply = original.command(command, now);
            let mut encoded = Decoder::new(&written);
            let replied = replayed.replay_command(&mut encoded, now).unwrap();
            assert!(encoded.is_empty());
            let (mut written_reply, mut replied_again) = (Vec::new(), Vec::new());
            ConsumerEngine::put_reply(&reply, &mut Encoder::new(&mut written_reply));
            ConsumerEngine::put_reply(&replied, &mut Encoder::new(&mut replied_again));
            assert_eq!(written_reply, replied_again);
            assert_eq!(outputs(&mut original), outputs(&mut replayed));
            assert_eq!(original.assignment(), replayed.assignment());
            for cut in 0..written.len() {
                assert!(
                    engine()
                        .replay_command(&mut Decoder::new(&written[..cut]), now)
                        .is_err()
                );
            }
        }
    }
}
