//! Owns what is written down while a scenario runs: what the applications asked for and were told, and what the
//! cluster's logs hold in the end.
//!
//! Knows no engine and judges nothing: that is the oracles' work.

use std::collections::{BTreeMap, BTreeSet};

use klamm::Instant;

use crate::chance::hash;

/// A partition, by the names that applications use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A record's identity: which producer sent it, and as its how manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// The producer.
    pub producer: u32,
    /// Counted from 0 over all partitions.
    pub number: u64,
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} of producer {}", self.number, self.producer)
    }
}

/// What a producer was told of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is in the log, at this offset; without one if the broker only confirmed a duplicate.
    Delivered(Option<i64>),
    /// It is not in the log and never will be.
    Rejected,
    /// It may be in the log.
    Unknown,
    /// `acks=0`: it left.
    Sent,
}

/// One thing that happened at the border between an application and its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A producer accepted a record.
    Accepted {
        /// Which record.
        id: RecordId,
        /// For where.
        place: Place,
    },
    /// A producer told what became of a record.
    Outcome {
        /// Which record.
        id: RecordId,
        /// What it said.
        told: Told,
    },
    /// A producer was closed: nothing may be left open.
    ProducerClosed {
        /// Which.
        producer: u32,
    },
    /// A consumer handed a record out.
    Consumed {
        /// Which consumer.
        consumer: u32,
        /// From where.
        place: Place,
        /// At which offset.
        offset: i64,
        /// Which record, or `None` if its bytes are not what any producer sent.
        id: Option<RecordId>,
    },
    /// A consumer was told to go on at this offset, or said that it does.
    Positioned {
        /// Which consumer.
        consumer: u32,
        /// Where.
        place: Place,
        /// The offset.
        offset: i64,
    },
    /// Partitions came to a member of the group: it may read them from here on.
    Owned {
        /// Which member.
        consumer: u32,
        /// What it got.
        places: Vec<Place>,
        /// The members that the coordinator counted then.
        current: BTreeSet<u32>,
    },
    /// Partitions are no member's own any more: not one record of them may come out.
    GaveUp {
        /// Which member.
        consumer: u32,
        /// What went.
        places: Vec<Place>,
        /// Whether they went without asking it.
        lost: bool,
    },
    /// A member is gone, and has nothing any more.
    Gone {
        /// Which member.
        consumer: u32,
        /// Whether it was told that the group knows.
        left: bool,
        /// Whether the coordinator counted it then.
        counted: bool,
    },
    /// The coordinator wrote down an offset of the group.
    Committed {
        /// Which member said so, and a number of the connection that it came over.
        by: (u32, u64),
        /// Of where.
        place: Place,
        /// Which.
        offset: i64,
    },
    /// A client closed a connection because the broker, which speaks Kafka, seemed not to.
    Accused {
        /// Which client.
        client: String,
        /// What it said.
        what: String,
    },
}

/// How a producer was set up, as far as the oracles care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFacts {
    /// Whether the broker recognises its resent batches.
    pub idempotent: bool,
    /// How many of its batches may be unanswered at once.
    pub max_in_flight: usize,
    /// From being accepted to the outcome, in nanoseconds.
    pub delivery_timeout: u64,
}

/// One record of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its offset.
    pub offset: i64,
    /// Which record, or `None` if its bytes are not what any producer sent.
    pub id: Option<RecordId>,
}

/// Everything the oracles judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What happened, in order.
    pub entries: Vec<(Instant, Entry)>,
    /// How each producer was set up.
    pub producers: BTreeMap<u32, ProducerFacts>,
    /// How many Produce requests that a broker read had a record in them, where a producer is not idempotent.
    pub attempts: BTreeMap<RecordId, u64>,
    /// What each partition's log holds in the end, after everything still under way has arrived.
    pub logs: BTreeMap<Place, Vec<LogRecord>>,
    /// The consumers that are members of the group.
    pub members: BTreeSet<u32>,
    /// Whether a member was there to the end.
    pub group_lives: bool,
    /// Whether nothing went wrong.
    pub faultless: bool,
    /// Whether the consumers were given the time to read everything.
    pub drained: bool,
}

impl History {
    /// Writes one entry down.
    pub fn push(&mut self, at: Instant, entry: Entry) {
        self.entries.push((at, entry));
    }
}

const PAYLOAD_MAGIC: u32 = 0x6b6c_616d;

/// The value of a record: its identity, where it belongs, filler up to `size`, and a checksum over all of it.
#[must_use]
pub fn payload(id: RecordId, place: &Place, size: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(size.max(32));
    value.extend(PAYLOAD_MAGIC.to_be_bytes());
    value.extend(id.producer.to_be_bytes());
    value.extend(id.number.to_be_bytes());
    value.extend(checksum(place.topic.as_bytes()).to_be_bytes());
    value.extend(place.partition.to_be_bytes());
    while value.len() + 8 < size {
        value.push((value.len() as u64 ^ id.number) as u8);
    }
    let sum = checksum(&value);
    value.extend(sum.to_be_bytes());
    value
}

/// Whose record this is, if it is one that was sent to `place` and no bit of it has changed.
#[must_use]
pub fn identify(value: &[u8], place: &Place) -> Option<RecordId> {
    let (body, sum) = value.split_last_chunk::<8>()?;
    let (magic, rest) = body.split_first_chunk::<4>()?;
    let (producer, rest) = rest.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (topic, rest) = rest.split_first_chunk::<8>()?;
    let (partition, _) = rest.split_first_chunk::<4>()?;
    let intact = checksum(body) == u64::from_be_bytes(*sum)
        && u32::from_be_bytes(*magic) == PAYLOAD_MAGIC
        && u64::from_be_bytes(*topic) == checksum(place.topic.as_bytes())
        && i32::from_be_bytes(*partition) == place.partition;
    intact.then(|| RecordId {
        producer: u32::from_be_bytes(*producer),
        number: u64::from_be_bytes(*number),
    })
}

fn checksum(bytes: &[u8]) -> u64 {
    hash(0xcbf2_9ce4_8422_2325, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_recognised_only_whole_and_at_its_place() {
        let place = Place {
            topic: "t".into(),
            partition: 1,
        };
        let id = RecordId {
            producer: 3,
            number: 9,
        };
        let mut value = payload(id, &place, 100);
        assert_eq!(identify(&value, &place), Some(id));
        let elsewhere = Place {
            partition: 2,
            ..place.clone()
        };
        assert_eq!(identify(&value, &elsewhere), None);
        value[50] ^= 1;
        assert_eq!(identify(&value, &place), None);
        assert_eq!(identify(b"", &place), None);
    }
}
