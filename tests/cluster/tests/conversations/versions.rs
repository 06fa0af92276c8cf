//! Every version of every API that is served is answered, and an error can be had at each level of each answer.

use klamm::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
    CreatableTopic, CreatePartitionsRequest, CreatePartitionsTopic, CreateTopicsRequest,
    DeleteGroupsRequest, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
    DeleteTopicState, DeleteTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, MemberIdentity,
    MetadataRequest, MetadataRequestTopic, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
    OffsetFetchRequestTopics, OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
    OffsetForLeaderTopic, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
};
use klamm::wire::Request;
use klamm::{ApiKey, ErrorCode, Str, Uuid};
use klamm_cluster::{ConnectionKey, Moment, Release, levels};

use crate::client::{Conversation, batch, fetch, produce};

/// A cluster of two brokers, asked at the leader of partition 0 and at the other one.
struct Sweep {
    talk: Conversation,
    brokers: [ConnectionKey; 2],
    topic: Uuid,
    asked: usize,
}

impl Sweep {
    fn new() -> Self {
        let mut talk = Conversation::with(2);
        let topic = talk.cluster.create_topic("t", 1).unwrap();
        let brokers = [talk.connect(1), talk.connect(2)];
        talk.produce(brokers[0], 1, batch(None, &["a"]));
        Self {
            talk,
            brokers,
            topic,
            asked: 0,
        }
    }

    /// Asks in every version that is served; `shape` fits the request to it.
    fn ask<R: Request>(&mut self, shape: impl Fn(i16, Uuid) -> R) {
        let versions = Release::NEWEST.served(R::KEY).unwrap();
        for version in versions
            .iter()
            .filter(|version| R::STABLE.contains(*version))
        {
            for broker in self.brokers {
                let request = shape(version, self.topic);
                self.talk.ask(broker, version, &request);
                assert_eq!(self.talk.closed, [], "{} v{version}", R::KEY);
            }
        }
        self.inject(&shape);
        self.asked += 1;
    }

    /// An error can be had at each level that the API's answer has.
    fn inject<R: Request>(&mut self, shape: impl Fn(i16, Uuid) -> R) {
        let version = Release::NEWEST
            .served(R::KEY)
            .unwrap()
            .max
            .min(R::STABLE.max);
        let broker = self.brokers[0];
        for level in levels(R::KEY) {
            for moment in [Moment::Before, Moment::After] {
                let error = ErrorCode::POLICY_VIOLATION;
                self.talk
                    .cluster
                    .on(R::KEY)
                    .answer_at(*level, moment, error);
                let request = shape(version, self.topic);
                let answer = format!("{:?}", self.talk.ask(broker, version, &request));
                let errors = answer.matches("error_code: 44").count();
                assert!(errors > 0, "{} {level:?} {moment:?}: {answer}", R::KEY);
            }
        }
    }
}

#[test]
fn every_version_of_every_api_is_answered_and_can_be_answered_with_an_error() {
    let mut sweep = Sweep::new();
    sweep.ask(|version, _| ApiVersionsRequest {
        client_software_name: if version < 3 {
            Str::EMPTY
        } else {
            Str::from("test")
        },
        client_software_version: if version < 3 {
            Str::EMPTY
        } else {
            Str::from("1")
        },
    });
    sweep.ask(|version, topic| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id: if version < 12 { Uuid::ZERO } else { topic },
            name: Some(Str::from("t")),
        }]),
        ..MetadataRequest::default()
    });
    sweep.ask(|version, topic| {
        let mut request = produce("t", -1, batch(None, &["a"]));
        if version >= 13 {
            request.topic_data[0].name = Str::EMPTY;
            request.topic_data[0].topic_id = topic;
        }
        request
    });
    sweep.ask(|version, topic| {
        let mut request = fetch("t", 0, 0);
        request.isolation_level = 1;
        if version >= 13 {
            request.topics[0].topic = Str::EMPTY;
            request.topics[0].topic_id = topic;
        }
        if version >= 7 {
            request.session_epoch = 0;
        }
        request
    });
    sweep.ask(|_, _| SaslHandshakeRequest {
        mechanism: Str::from("PLAIN"),
    });
    sweep.ask(|_, _| SaslAuthenticateRequest::default());
    positions(&mut sweep);
    groups(&mut sweep);
    members(&mut sweep);
    topics(&mut sweep);
    assert_eq!(sweep.asked, Release::apis().count());
}

/// Nobody is a member, so all are answered at once.
fn members(sweep: &mut Sweep) {
    sweep.ask(|version, _| JoinGroupRequest {
        group_id: Str::from("g"),
        group_instance_id: (version >= 5).then(|| Str::from("i")),
        ..JoinGroupRequest::default()
    });
    sweep.ask(|version, _| SyncGroupRequest {
        group_id: Str::from("g"),
        protocol_type: (version >= 5).then(|| Str::from("consumer")),
        protocol_name: (version >= 5).then(|| Str::from("range")),
        ..SyncGroupRequest::default()
    });
    sweep.ask(|_, _| HeartbeatRequest {
        group_id: Str::from("g"),
        ..HeartbeatRequest::default()
    });
    sweep.ask(|version, _| LeaveGroupRequest {
        group_id: Str::from("g"),
        members: if version < 3 {
            Vec::new()
        } else {
            vec![MemberIdentity::default()]
        },
        ..LeaveGroupRequest::default()
    });
    sweep.ask(|_, _| DescribeGroupsRequest {
        groups: vec![Str::from("g")],
        ..DescribeGroupsRequest::default()
    });
    sweep.ask(|_, _| ListGroupsRequest::default());
    sweep.ask(|_, _| ConsumerGroupHeartbeatRequest::default());
    sweep.ask(|_, _| ConsumerGroupDescribeRequest {
        group_ids: vec![Str::from("g")],
        ..ConsumerGroupDescribeRequest::default()
    });
    sweep.ask(|_, _| DeleteGroupsRequest {
        groups_names: vec![Str::from("g")],
    });
}

fn positions(sweep: &mut Sweep) {
    sweep.ask(|version, _| ListOffsetsRequest {
        replica_id: -1,
        isolation_level: i8::from(version >= 2),
        topics: vec![ListOffsetsTopic {
            name: Str::from("t"),
            partitions: (-6..=5)
                .map(|timestamp| ListOffsetsPartition {
                    timestamp,
                    ..ListOffsetsPartition::default()
                })
                .collect(),
        }],
        ..ListOffsetsRequest::default()
    });
    sweep.ask(|_, _| OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: Str::from("t"),
            partitions: vec![OffsetForLeaderPartition::default()],
        }],
        ..OffsetForLeaderEpochRequest::default()
    });
    sweep.ask(|_, _| InitProducerIdRequest {
        transactional_id: None,
        ..InitProducerIdRequest::default()
    });
}

fn groups(sweep: &mut Sweep) {
    sweep.ask(|version, _| FindCoordinatorRequest {
        key: if version < 4 {
            Str::from("g")
        } else {
            Str::EMPTY
        },
        coordinator_keys: if version < 4 {
            vec![]
        } else {
            vec![Str::from("g")]
        },
        ..FindCoordinatorRequest::default()
    });
    sweep.ask(|version, topic| OffsetCommitRequest {
        group_id: Str::from("g"),
        topics: vec![OffsetCommitRequestTopic {
            name: if version < 10 {
                Str::from("t")
            } else {
                Str::EMPTY
            },
            topic_id: if version < 10 { Uuid::ZERO } else { topic },
            partitions: vec![OffsetCommitRequestPartition::default()],
        }],
        ..OffsetCommitRequest::default()
    });
    sweep.ask(|version, topic| {
        if version < 8 {
            return OffsetFetchRequest {
                group_id: Str::from("g"),
                topics: Some(vec![OffsetFetchRequestTopic {
                    name: Str::from("t"),
                    partition_indexes: vec![0],
                }]),
                ..OffsetFetchRequest::default()
            };
        }
        OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: Str::from("g"),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: if version < 10 {
                        Str::from("t")
                    } else {
                        Str::EMPTY
                    },
                    topic_id: if version < 10 { Uuid::ZERO } else { topic },
                    partition_indexes: vec![0],
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        }
    });
}

fn topics(sweep: &mut Sweep) {
    sweep.ask(|version, _| CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: Str::from(format!("created-{version}")),
            num_partitions: 1,
            replication_factor: 2,
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    });
    sweep.ask(|version, _| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: Str::from("t"),
            count: i32::from(version) + 2,
            assignments: None,
        }],
        ..CreatePartitionsRequest::default()
    });
    sweep.ask(|_, _| DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: Str::from("t"),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: -1,
            }],
        }],
        ..DeleteRecordsRequest::default()
    });
    sweep.ask(|version, _| {
        let name = Str::from(format!("created-{}", version + 1));
        let state = DeleteTopicState {
            name: Some(name.clone()),
            topic_id: Uuid::ZERO,
        };
        DeleteTopicsRequest {
            topics: if version < 6 { vec![] } else { vec![state] },
            topic_names: if version < 6 { vec![name] } else { vec![] },
            timeout_ms: 0,
        }
    });
}

#[test]
fn produce_is_advertised_from_0_and_served_from_3() {
    let newest = Release::NEWEST;
    assert_eq!(newest.advertised(ApiKey::PRODUCE).map(|v| v.min), Some(0));
    assert_eq!(newest.served(ApiKey::PRODUCE).map(|v| v.min), Some(3));
}
