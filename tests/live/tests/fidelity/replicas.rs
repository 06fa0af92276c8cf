//! Leaders and followers: who serves what, and what the others say.

use klamm::messages::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic, FetchRequest,
    MetadataRequest, MetadataRequestTopic, OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
    OffsetForLeaderTopic,
};

use crate::both::{Both, Side};
use crate::positions::list;
use crate::reading::fetch;
use crate::writing::{batch, produce};

/// A topic with replicas everywhere, and ten records that all of them have.
fn filled() -> Both {
    let mut both = Both::replicated();
    both.each(|side| {
        side.talk_to_leader();
        let request = produce(side, 9, -1, batch(10));
        side.response(9, &request);
    });
    both
}

#[test]
fn a_follower_takes_no_records_and_names_the_leader() {
    let mut both = filled();
    both.each(Side::talk_to_follower);
    for version in [3, 9, 10, 12, 13] {
        both.same(&format!("v{version}"), |side| {
            side.ask(version, &produce(side, version, -1, batch(1)))
        });
    }
}

#[test]
fn a_follower_serves_readers_from_version_11_on() {
    let mut both = filled();
    both.each(|side| {
        side.talk_to_follower();
        // A follower hears of the high watermark with its next fetch.
        let request = fetch(side, 12, 0);
        let what = format!("{} has heard", side.topic);
        klamm_live::process::until(&what, std::time::Duration::from_secs(30), || {
            let response = side.response(12, &request);
            let partition = &response.responses[0].partitions[0];
            (partition.high_watermark == 10).then_some(())
        });
    });
    for version in [4, 7, 10, 11, 12, 15, 16, 17, 18] {
        for offset in [0, 10, 11] {
            both.same(&format!("v{version} from {offset}"), |side| {
                side.ask(version, &fetch(side, version, offset))
            });
        }
    }
    for epoch in [0, 1] {
        both.same(&format!("in epoch {epoch}"), |side| {
            let mut request = fetch(side, 17, 0);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            side.ask(17, &request)
        });
    }
    both.same("committed only", |side| {
        let request = FetchRequest {
            isolation_level: 1,
            ..fetch(side, 12, 0)
        };
        side.ask(12, &request)
    });
}

#[test]
fn a_follower_finds_no_offsets_and_deletes_nothing() {
    let mut both = filled();
    both.each(Side::talk_to_follower);
    for timestamp in [-1, -2, 0] {
        both.same(&format!("the offset of {timestamp}"), |side| {
            side.ask(9, &list(side, timestamp))
        });
    }
    for current in [-1, 0, 1] {
        both.same(
            &format!("the end of an epoch, in epoch {current}"),
            |side| {
                let request = OffsetForLeaderEpochRequest {
                    replica_id: -1,
                    topics: vec![OffsetForLeaderTopic {
                        topic: side.name(),
                        partitions: vec![OffsetForLeaderPartition {
                            partition: 0,
                            current_leader_epoch: current,
                            leader_epoch: 0,
                        }],
                    }],
                };
                side.ask(4, &request)
            },
        );
        both.same(&format!("the latest offset, in epoch {current}"), |side| {
            let mut request = list(side, -1);
            request.topics[0].partitions[0].current_leader_epoch = current;
            side.ask(9, &request)
        });
    }
    both.same("deletion", |side| {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: side.name(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset: 1,
                }],
            }],
            timeout_ms: 1000,
        };
        side.ask(2, &request)
    });
}

#[test]
fn all_tell_the_same_of_a_topic() {
    let mut both = filled();
    let ask = |side: &mut Side| {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(side.name()),
                ..MetadataRequestTopic::default()
            }]),
            ..MetadataRequest::default()
        };
        let response = side.response(12, &request);
        let mut partition = response.topics[0].partitions[0].clone();
        let leads = partition.replica_nodes[0] == partition.leader_id;
        partition.replica_nodes.sort_unstable();
        partition.isr_nodes.sort_unstable();
        format!(
            "{} {} {leads} {:?} {:?} {:?}",
            response.brokers.len(),
            partition.leader_epoch,
            partition.replica_nodes,
            partition.isr_nodes,
            partition.offline_replicas
        )
    };
    both.same("the leader", ask);
    both.each(Side::talk_to_follower);
    both.same("a follower", ask);
}
