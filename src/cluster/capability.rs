//! Owns which versions of a request can say what this one says, where its definition alone would let it be lost.
//!
//! Must not know who sends it, nor what a broker offers. What depends on more than the request itself (the features of
//! a cluster, what a session was opened with) is the caller's to say, in its `SendOptions`.

use crate::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ConsumerGroupHeartbeatRequest,
    EndTxnRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest,
    JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest, SyncGroupRequest,
    TxnOffsetCommitRequest,
};
use crate::wire::{Request, Uuid, VersionRange};

/// A request of which it is written down which versions can carry it. None other can be sent.
pub(crate) trait Capability: Request {
    /// The versions in which a broker would understand what this request means.
    fn capable(&self) -> VersionRange;
}

/// In every version that has the fields that are set: the encoder refuses the others.
macro_rules! any_version {
    ($($request:ident)*) => { $(
        impl Capability for $request {
            fn capable(&self) -> VersionRange {
                VersionRange::ANY
            }
        }
    )* };
}

any_version! {
    FindCoordinatorRequest JoinGroupRequest SyncGroupRequest HeartbeatRequest LeaveGroupRequest
    ConsumerGroupHeartbeatRequest
    OffsetForLeaderEpochRequest
    // Version 6 (KIP-939) is not a stable one.
    InitProducerIdRequest
    AddOffsetsToTxnRequest
}

/// Names and ids are ignorable, as each stands for the other: where ids replace names, a topic without an id would
/// lose both (KIP-516, KIP-848).
fn by_name_before(ids_since: i16, mut ids: impl Iterator<Item = Uuid>) -> VersionRange {
    match ids.any(|id| id.is_zero()) {
        true => VersionRange::from_bounds(..ids_since),
        false => VersionRange::ANY,
    }
}

/// What the first protocol of transactions speaks: from the next version on, a broker takes a request for one of the
/// second, which only the features of a cluster allow (KIP-890).
fn first_transaction_protocol(last: i16) -> VersionRange {
    VersionRange::from_bounds(..=last)
}

impl Capability for EndTxnRequest {
    fn capable(&self) -> VersionRange {
        first_transaction_protocol(4)
    }
}

impl Capability for TxnOffsetCommitRequest {
    fn capable(&self) -> VersionRange {
        first_transaction_protocol(4)
    }
}

impl Capability for ProduceRequest {
    fn capable(&self) -> VersionRange {
        match self.transactional_id {
            Some(_) => first_transaction_protocol(11),
            None => by_name_before(13, self.topic_data.iter().map(|topic| topic.topic_id)),
        }
    }
}

impl Capability for FetchRequest {
    fn capable(&self) -> VersionRange {
        let asked = self.topics.iter().map(|topic| topic.topic_id);
        let forgotten = self.forgotten_topics_data.iter();
        by_name_before(13, asked.chain(forgotten.map(|topic| topic.topic_id)))
    }
}

impl Capability for OffsetCommitRequest {
    fn capable(&self) -> VersionRange {
        by_name_before(10, self.topics.iter().map(|topic| topic.topic_id))
    }
}

impl Capability for OffsetFetchRequest {
    fn capable(&self) -> VersionRange {
        let topics = self.groups.iter().flat_map(|group| &group.topics).flatten();
        by_name_before(10, topics.map(|topic| topic.topic_id))
    }
}

impl Capability for MetadataRequest {
    /// Brokers read the ids of a question from version 12 on (KAFKA-14208); before 10 it has none.
    fn capable(&self) -> VersionRange {
        let mut topics = self.topics.iter().flatten();
        match topics.any(|topic| !topic.topic_id.is_zero()) {
            true => VersionRange::from_bounds(12..),
            false => VersionRange::ANY,
        }
    }
}

impl Capability for ListOffsetsRequest {
    /// Timestamps below zero are questions of their own, each of a later version than the one before.
    fn capable(&self) -> VersionRange {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        let since = partitions.map(|partition| match partition.timestamp {
            -3 => 7,      // the greatest timestamp (KIP-734)
            -4 => 8,      // the first offset of the local log (KIP-405)
            -5 => 9,      // the last offset of the tiered log (KIP-1005)
            ..=-6 => 11,  // the first offset not yet in the tiered log (KIP-1023)
            -2..=-1 => 0, // the first and the last one
            0.. => 0,
        });
        VersionRange::from_bounds(since.max().unwrap_or(0)..)
    }
}

impl Capability for AddPartitionsToTxnRequest {
    /// From version 4 on brokers speak it among themselves (KIP-890).
    fn capable(&self) -> VersionRange {
        VersionRange::from_bounds(..=3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{
        FetchForgottenTopic, FetchTopic, ListOffsetsPartition, ListOffsetsTopic,
        MetadataRequestTopic, OffsetCommitRequestTopic, OffsetFetchRequestGroup,
        OffsetFetchRequestTopics, TopicProduceData,
    };
    use alloc::string::{String, ToString};
    use alloc::vec;

    const ID: Uuid = Uuid([7; 16]);

    fn capable(request: &impl Capability) -> String {
        request.capable().to_string()
    }

    #[test]
    fn one_topic_without_an_id_keeps_a_request_before_the_versions_that_name_none() {
        let produce = |ids: &[Uuid]| ProduceRequest {
            topic_data: ids
                .iter()
                .map(|&topic_id| TopicProduceData {
                    topic_id,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        assert_eq!(capable(&produce(&[ID, ID])), "0+");
        assert_eq!(capable(&produce(&[ID, Uuid::ZERO])), "0-12");
        let transactional = ProduceRequest {
            transactional_id: Some("payments".into()),
            ..produce(&[])
        };
        assert_eq!(capable(&transactional), "0-11");
        assert_eq!(capable(&EndTxnRequest::default()), "0-4");
        assert_eq!(capable(&TxnOffsetCommitRequest::default()), "0-4");

        let fetch = |asked: Uuid, forgotten: Uuid| FetchRequest {
            topics: vec![FetchTopic {
                topic_id: asked,
                ..Default::default()
            }],
            forgotten_topics_data: vec![FetchForgottenTopic {
                topic_id: forgotten,
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(capable(&fetch(ID, ID)), "0+");
        assert_eq!(capable(&fetch(Uuid::ZERO, ID)), "0-12");
        assert_eq!(capable(&fetch(ID, Uuid::ZERO)), "0-12");
        assert_eq!(capable(&FetchRequest::default()), "0+");

        let commit = |topic_id| OffsetCommitRequest {
            topics: vec![OffsetCommitRequestTopic {
                topic_id,
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(capable(&commit(ID)), "0+");
        assert_eq!(capable(&commit(Uuid::ZERO)), "0-9");

        let committed = |topic_id| OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                topics: Some(vec![OffsetFetchRequestTopics {
                    topic_id,
                    ..Default::default()
                }]),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(capable(&committed(ID)), "0+");
        assert_eq!(capable(&committed(Uuid::ZERO)), "0-9");
    }

    #[test]
    fn metadata_by_id_is_asked_where_brokers_read_the_id() {
        let metadata = |topic_id| MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                topic_id,
                ..Default::default()
            }]),
            ..Default::default()
        };
        assert_eq!(capable(&metadata(Uuid::ZERO)), "0+");
        assert_eq!(capable(&metadata(ID)), "12+");
    }

    #[test]
    fn the_latest_of_the_questions_for_offsets_says_the_version() {
        let offsets = |timestamps: &[i64]| ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                partitions: timestamps
                    .iter()
                    .map(|&timestamp| ListOffsetsPartition {
                        timestamp,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(capable(&offsets(&[])), "0+");
        assert_eq!(capable(&offsets(&[-1, -2, 0, i64::MAX])), "0+");
        assert_eq!(capable(&offsets(&[-1, -3, 0])), "7+");
        assert_eq!(capable(&offsets(&[-4, -3])), "8+");
        assert_eq!(capable(&offsets(&[-5])), "9+");
        assert_eq!(capable(&offsets(&[-6, -1])), "11+");
    }

    #[test]
    fn partitions_join_a_transaction_in_the_versions_that_clients_speak() {
        assert_eq!(capable(&AddPartitionsToTxnRequest::default()), "0-3");
    }
}
