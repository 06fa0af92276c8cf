//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use klamm::Str;
use klamm::messages::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic, ListOffsetsPartition,
    ListOffsetsRequest, ListOffsetsTopic, OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
    OffsetForLeaderTopic,
};

use crate::both::{Both, Side};
use crate::writing::{batch, produce};

pub(crate) fn list(side: &Side, timestamp: i64) -> ListOffsetsRequest {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: side.name(),
            partitions: vec![ListOffsetsPartition {
                timestamp,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    }
}

const THEN: i64 = 1_790_000_000_000;

#[test]
fn offsets_are_found_alike() {
    let mut both = Both::with_topic(&[]);
    let ask = |both: &mut Both, when: &str| {
        // Below version 7 a broker has none of the newer names.
        for (version, lowest) in [
            (1, -2),
            (4, -2),
            (5, -2),
            (7, -3),
            (8, -4),
            (9, -5),
            (10, -5),
            (11, -6),
        ] {
            for timestamp in (lowest..=0).chain([THEN, THEN + 1]) {
                both.same(&format!("{timestamp} in v{version}, {when}"), |side| {
                    side.ask(version, &list(side, timestamp))
                });
            }
        }
    };
    ask(&mut both, "empty");
    both.each(|side| {
        let request = produce(side, 9, -1, batch(10));
        side.response(9, &request);
    });
    ask(&mut both, "filled");
    both.same("an older epoch than any", |side| {
        let mut request = list(side, -1);
        request.topics[0].partitions[0].current_leader_epoch = 7;
        side.ask(7, &request)
    });
    both.same("an unknown topic", |side| {
        let mut request = list(side, -1);
        request.topics[0].name = Str::from("no-such-topic");
        side.ask(7, &request)
    });
    both.same("an unknown partition", |side| {
        let mut request = list(side, -1);
        request.topics[0].partitions[0].partition_index = 3;
        side.ask(7, &request)
    });
    both.same("a partition twice", |side| {
        let mut request = list(side, -1);
        let again = request.topics[0].partitions[0].clone();
        request.topics[0].partitions.push(again);
        side.ask(7, &request)
    });
}

#[test]
fn epochs_end_alike() {
    let mut both = Both::with_topic(&[]);
    both.each(|side| {
        let request = produce(side, 9, -1, batch(10));
        side.response(9, &request);
    });
    for version in 2..=4 {
        for (current, epoch) in [(-1, 0), (-1, 1), (-1, -1), (0, 0), (1, 0)] {
            both.same(&format!("v{version} {current} {epoch}"), |side| {
                let request = OffsetForLeaderEpochRequest {
                    replica_id: -1,
                    topics: vec![OffsetForLeaderTopic {
                        topic: side.name(),
                        partitions: vec![OffsetForLeaderPartition {
                            partition: 0,
                            current_leader_epoch: current,
                            leader_epoch: epoch,
                        }],
                    }],
                };
                side.ask(version, &request)
            });
        }
    }
}

#[test]
fn records_are_deleted_alike() {
    let mut both = Both::with_topic(&[]);
    both.each(|side| {
        let request = produce(side, 9, -1, batch(10));
        side.response(9, &request);
    });
    for offset in [4, 2, 11, -2, -1] {
        both.same(&format!("before {offset}"), |side| {
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: side.name(),
                    partitions: vec![DeleteRecordsPartition {
                        partition_index: 0,
                        offset,
                    }],
                }],
                timeout_ms: 1000,
            };
            side.ask(2, &request)
        });
        for timestamp in [-2, -1, 0] {
            both.same(&format!("then {timestamp}"), |side| {
                side.ask(9, &list(side, timestamp))
            });
        }
    }
}
