//! Owns how a producer's commands and events look in a recording.
//!
//! Must not know who records, nor where to.

use alloc::vec::Vec;

use super::command::{BlockedOn, ProducerCommand, ProducerEvent, ProducerReply};
use super::engine::ProducerEngine;
use crate::engine::{Engine, OpId, TopicHandle};
use crate::record::{HeaderRef, Headers, RecordRef};
use crate::recording::{Decoder, Encoder, Recordable, RecordingError};
use crate::time::Instant;

const TOPIC: u8 = 1;
const APPEND: u8 = 2;
const CANCEL_WAIT: u8 = 3;
const FLUSH: u8 = 4;
const REQUEST: u8 = 5;
const DETACH: u8 = 6;
const CLOSE: u8 = 7;

impl Recordable for ProducerEngine {
    const ROLE: &'static str = "producer";

    fn put_command(command: &ProducerCommand<'_>, out: &mut Encoder<'_>) {
        match command {
            ProducerCommand::Topic { name } => {
                out.put_u8(TOPIC);
                out.put_bytes(name.as_bytes());
            }
            ProducerCommand::Append {
                topic,
                partition,
                records,
            } => {
                out.put_u8(APPEND);
                put_topic(*topic, out);
                out.put_option(*partition, Encoder::put_i32);
                out.put_count(records.len());
                for record in *records {
                    put_record(record, out);
                }
            }
            ProducerCommand::CancelWait { on, topic } => {
                out.put_u8(CANCEL_WAIT);
                out.put_u8(match on {
                    BlockedOn::Metadata => 0,
                    BlockedOn::Memory => 1,
                });
                put_topic(*topic, out);
            }
            ProducerCommand::Flush => out.put_u8(FLUSH),
            ProducerCommand::Request(request) => {
                out.put_u8(REQUEST);
                out.put_request(request);
            }
            ProducerCommand::Detach { op } => {
                out.put_u8(DETACH);
                out.put_u64(op.0);
            }
            ProducerCommand::Close { deadline } => {
                out.put_u8(CLOSE);
                out.put_instant(*deadline);
            }
        }
    }

    fn replay_command(
        &mut self,
        encoded: &mut Decoder<'_>,
        now: Instant,
    ) -> Result<ProducerReply, RecordingError> {
        let command = match encoded.get_u8()? {
            TOPIC => ProducerCommand::Topic {
                name: encoded.get_str()?,
            },
            APPEND => return self.replay_append(encoded, now),
            CANCEL_WAIT => ProducerCommand::CancelWait {
                on: match encoded.get_u8()? {
                    0 => BlockedOn::Metadata,
                    1 => BlockedOn::Memory,
                    _ => return Err(encoded.error("what an append waits for")),
                },
                topic: get_topic(encoded)?,
            },
            FLUSH => ProducerCommand::Flush,
            REQUEST => ProducerCommand::Request(encoded.get_request()?),
            DETACH => ProducerCommand::Detach {
                op: OpId(encoded.get_u64()?),
            },
            CLOSE => ProducerCommand::Close {
                deadline: encoded.get_instant()?,
            },
            _ => return Err(encoded.error("a command of a producer")),
        };
        Ok(self.command(command, now))
    }

    fn put_reply(reply: &ProducerReply, out: &mut Encoder<'_>) {
        out.put_debug(reply);
    }

    fn put_event(event: &ProducerEvent, out: &mut Encoder<'_>) {
        out.put_debug(event);
    }
}

impl ProducerEngine {
    fn replay_append(
        &mut self,
        encoded: &mut Decoder<'_>,
        now: Instant,
    ) -> Result<ProducerReply, RecordingError> {
        let topic = get_topic(encoded)?;
        let partition = encoded.get_option(|from| from.get_i32())?;
        let count = encoded.get_u32()?;
        // No count of a recording sizes memory: the vectors grow as records are read.
        let mut read = Vec::new();
        let mut headers = Vec::new();
        for _ in 0..count {
            let record = RecordRef::new(
                encoded.get_i64()?,
                get_nullable(encoded)?,
                get_nullable(encoded)?,
            );
            let first = headers.len();
            for _ in 0..encoded.get_u32()? {
                headers.push(HeaderRef {
                    key: encoded.get_bytes()?,
                    value: get_nullable(encoded)?,
                });
            }
            read.push((record, first..headers.len()));
        }
        let records: Vec<RecordRef<'_>> = read
            .into_iter()
            .map(|(record, range)| RecordRef {
                headers: Headers::from(headers.get(range).unwrap_or_default()),
                ..record
            })
            .collect();
        let command = ProducerCommand::Append {
            topic,
            partition,
            records: &records,
        };
        Ok(self.command(command, now))
    }
}

fn put_topic(topic: TopicHandle, out: &mut Encoder<'_>) {
    out.put_u64(u64::from(topic.index()));
}

fn get_topic(from: &mut Decoder<'_>) -> Result<TopicHandle, RecordingError> {
    let index = from.get_u64()?;
    let index = u32::try_from(index).map_err(|_| from.error("a handle of a topic"))?;
    Ok(TopicHandle::from_index(index))
}

fn put_record(record: &RecordRef<'_>, out: &mut Encoder<'_>) {
    out.put_i64(record.timestamp);
    out.put_option(record.key, Encoder::put_bytes);
    out.put_option(record.value, Encoder::put_bytes);
    out.put_count(record.headers.len());
    for header in record.headers.iter() {
        out.put_bytes(header.key);
        out.put_option(header.value, Encoder::put_bytes);
    }
}

fn get_nullable<'a>(from: &mut Decoder<'a>) -> Result<Option<&'a [u8]>, RecordingError> {
    from.get_option(Decoder::get_bytes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::ProducerConfig;
    use crate::engine::{ConnectionGroup, NodeId, Output, RawRequest};
    use crate::time::{Duration, UnixMillis};
    use crate::wire::ApiKey;

    fn engine() -> ProducerEngine {
        let config = ProducerConfig::bootstrap("castle:9092").unwrap();
        ProducerEngine::new(&config, [7; 32], Instant::START, UnixMillis(0)).unwrap()
    }

    /// The outputs until the engine is idle, as a recording has them.
    fn outputs(engine: &mut ProducerEngine) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let output = engine.poll_output();
            crate::recording::put_output::<ProducerEngine>(&output, &mut all);
            if matches!(output, Output::Idle(_)) {
                return all;
            }
        }
    }

    #[test]
    fn every_command_is_read_back_as_it_was_and_has_the_same_effect() {
        let headers = [
            HeaderRef::new("trace", Some(b"4bf92f35")),
            HeaderRef::new("empty", None),
        ];
        let records = [
            RecordRef::new(5, Some(b"K."), None),
            RecordRef {
                headers: Headers::from(&headers),
                ..RecordRef::new(-1, None, Some(b""))
            },
        ];
        let request = RawRequest {
            api: ApiKey::API_VERSIONS,
            version: 0,
            flexible: false,
            body: Bytes::from_static(b"body"),
            to: Some(NodeId(3)),
            group: ConnectionGroup::Coordination,
            timeout: Duration::from_secs(5),
        };
        let topic = TopicHandle::from_index(0);
        let commands = [
            ProducerCommand::Topic { name: "letters" },
            ProducerCommand::Append {
                topic,
                partition: Some(2),
                records: &records,
            },
            ProducerCommand::CancelWait {
                on: BlockedOn::Memory,
                topic,
            },
            ProducerCommand::Flush,
            ProducerCommand::Request(request),
            ProducerCommand::Detach { op: OpId(1) },
            ProducerCommand::Close {
                deadline: Instant::from_millis(9),
            },
        ];
        let (mut live, mut replayed) = (engine(), engine());
        for command in commands {
            let mut bytes = Vec::new();
            ProducerEngine::put_command(&command, &mut Encoder::new(&mut bytes));
            let now = Instant::from_millis(1);
            let mut again = Vec::new();
            let mut decoder = Decoder::new(&bytes);
            replayed.replay_command(&mut decoder, now).unwrap();
            assert!(decoder.is_empty(), "{command:?}");
            ProducerEngine::put_command(&command, &mut Encoder::new(&mut again));
            assert_eq!(again, bytes);
            live.command(command, now);
            assert_eq!(outputs(&mut live), outputs(&mut replayed));
        }
    }

    #[test]
    fn a_recording_that_is_cut_off_or_damaged_does_nothing() {
        let mut bytes = Vec::new();
        let command = ProducerCommand::Append {
            topic: TopicHandle::from_index(0),
            partition: None,
            records: &[RecordRef::new(5, Some(b"K."), Some(b"Castle"))],
        };
        ProducerEngine::put_command(&command, &mut Encoder::new(&mut bytes));
        for length in 0..bytes.len() {
            let cut = bytes.get(..length).unwrap();
            let mut decoder = Decoder::new(cut);
            assert!(
                engine()
                    .replay_command(&mut decoder, Instant::START)
                    .is_err()
            );
        }
        let mut decoder = Decoder::new(&[99]);
        assert!(
            engine()
                .replay_command(&mut decoder, Instant::START)
                .is_err()
        );
    }
}
