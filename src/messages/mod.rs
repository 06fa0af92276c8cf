//! The messages of the Kafka protocol, in every version: plain structs, each with both directions.
//!
//! They change with every release of Kafka, so they are public behind the feature `messages` and outside semver.
//! This module owns the definitions, one file a family of APIs, and the table of all APIs. It knows the wire, and not
//! what any message is used for.

mod admin;
mod cluster;
mod connection;
mod consumer;
mod embedded;
mod group;
mod producer;
mod share;
mod topics;

pub use admin::*;
pub use cluster::*;
pub use connection::*;
pub use consumer::*;
pub use embedded::*;
pub use group::*;
pub use producer::*;
pub use share::*;
pub use topics::*;

use crate::wire::{ApiKey, Message, Request, VersionRange};

/// Hands the table of all APIs to the macro of that name: `(KEY Request Response, ..)`, where `KEY` is the
/// constant of
/// [`ApiKey`](crate::ApiKey), and the other two are structs of this crate's `messages`.
///
/// Whatever must know every API (dispatch, fuzzing, printing) iterates it, so that none can be forgotten.
/// Tokens after the macro's name come first in what it is handed.
#[cfg_attr(feature = "messages", macro_export)]
macro_rules! for_each_api {
    ($callback:ident $($arguments:tt)*) => {
        $callback! {
            $($arguments)*
            PRODUCE ProduceRequest ProduceResponse,
            FETCH FetchRequest FetchResponse,
            LIST_OFFSETS ListOffsetsRequest ListOffsetsResponse,
            METADATA MetadataRequest MetadataResponse,
            OFFSET_COMMIT OffsetCommitRequest OffsetCommitResponse,
            OFFSET_FETCH OffsetFetchRequest OffsetFetchResponse,
            FIND_COORDINATOR FindCoordinatorRequest FindCoordinatorResponse,
            JOIN_GROUP JoinGroupRequest JoinGroupResponse,
            HEARTBEAT HeartbeatRequest HeartbeatResponse,
            LEAVE_GROUP LeaveGroupRequest LeaveGroupResponse,
            SYNC_GROUP SyncGroupRequest SyncGroupResponse,
            DESCRIBE_GROUPS DescribeGroupsRequest DescribeGroupsResponse,
            LIST_GROUPS ListGroupsRequest ListGroupsResponse,
            SASL_HANDSHAKE SaslHandshakeRequest SaslHandshakeResponse,
            API_VERSIONS ApiVersionsRequest ApiVersionsResponse,
            CREATE_TOPICS CreateTopicsRequest CreateTopicsResponse,
            DELETE_TOPICS DeleteTopicsRequest DeleteTopicsResponse,
            DELETE_RECORDS DeleteRecordsRequest DeleteRecordsResponse,
            INIT_PRODUCER_ID InitProducerIdRequest InitProducerIdResponse,
            OFFSET_FOR_LEADER_EPOCH OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
            ADD_PARTITIONS_TO_TXN AddPartitionsToTxnRequest AddPartitionsToTxnResponse,
            ADD_OFFSETS_TO_TXN AddOffsetsToTxnRequest AddOffsetsToTxnResponse,
            END_TXN EndTxnRequest EndTxnResponse,
            TXN_OFFSET_COMMIT TxnOffsetCommitRequest TxnOffsetCommitResponse,
            DESCRIBE_ACLS DescribeAclsRequest DescribeAclsResponse,
            CREATE_ACLS CreateAclsRequest CreateAclsResponse,
            DELETE_ACLS DeleteAclsRequest DeleteAclsResponse,
            DESCRIBE_CONFIGS DescribeConfigsRequest DescribeConfigsResponse,
            ALTER_CONFIGS AlterConfigsRequest AlterConfigsResponse,
            ALTER_REPLICA_LOG_DIRS AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse,
            DESCRIBE_LOG_DIRS DescribeLogDirsRequest DescribeLogDirsResponse,
            SASL_AUTHENTICATE SaslAuthenticateRequest SaslAuthenticateResponse,
            CREATE_PARTITIONS CreatePartitionsRequest CreatePartitionsResponse,
            CREATE_DELEGATION_TOKEN CreateDelegationTokenRequest CreateDelegationTokenResponse,
            RENEW_DELEGATION_TOKEN RenewDelegationTokenRequest RenewDelegationTokenResponse,
            EXPIRE_DELEGATION_TOKEN ExpireDelegationTokenRequest ExpireDelegationTokenResponse,
            DESCRIBE_DELEGATION_TOKEN DescribeDelegationTokenRequest DescribeDelegationTokenResponse,
            DELETE_GROUPS DeleteGroupsRequest DeleteGroupsResponse,
            ELECT_LEADERS ElectLeadersRequest ElectLeadersResponse,
            INCREMENTAL_ALTER_CONFIGS IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
            ALTER_PARTITION_REASSIGNMENTS AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
            LIST_PARTITION_REASSIGNMENTS ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
            OFFSET_DELETE OffsetDeleteRequest OffsetDeleteResponse,
            DESCRIBE_CLIENT_QUOTAS DescribeClientQuotasRequest DescribeClientQuotasResponse,
            ALTER_CLIENT_QUOTAS AlterClientQuotasRequest AlterClientQuotasResponse,
            DESCRIBE_USER_SCRAM_CREDENTIALS DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
            ALTER_USER_SCRAM_CREDENTIALS AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse,
            DESCRIBE_QUORUM DescribeQuorumRequest DescribeQuorumResponse,
            UPDATE_FEATURES UpdateFeaturesRequest UpdateFeaturesResponse,
            DESCRIBE_CLUSTER DescribeClusterRequest DescribeClusterResponse,
            DESCRIBE_PRODUCERS DescribeProducersRequest DescribeProducersResponse,
            UNREGISTER_BROKER UnregisterBrokerRequest UnregisterBrokerResponse,
            DESCRIBE_TRANSACTIONS DescribeTransactionsRequest DescribeTransactionsResponse,
            LIST_TRANSACTIONS ListTransactionsRequest ListTransactionsResponse,
            CONSUMER_GROUP_HEARTBEAT ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse,
            CONSUMER_GROUP_DESCRIBE ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse,
            GET_TELEMETRY_SUBSCRIPTIONS GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse,
            PUSH_TELEMETRY PushTelemetryRequest PushTelemetryResponse,
            LIST_CONFIG_RESOURCES ListConfigResourcesRequest ListConfigResourcesResponse,
            DESCRIBE_TOPIC_PARTITIONS DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
            SHARE_GROUP_HEARTBEAT ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse,
            SHARE_GROUP_DESCRIBE ShareGroupDescribeRequest ShareGroupDescribeResponse,
            SHARE_FETCH ShareFetchRequest ShareFetchResponse,
            SHARE_ACKNOWLEDGE ShareAcknowledgeRequest ShareAcknowledgeResponse,
            ADD_RAFT_VOTER AddRaftVoterRequest AddRaftVoterResponse,
            REMOVE_RAFT_VOTER RemoveRaftVoterRequest RemoveRaftVoterResponse,
            STREAMS_GROUP_HEARTBEAT StreamsGroupHeartbeatRequest StreamsGroupHeartbeatResponse,
            STREAMS_GROUP_DESCRIBE StreamsGroupDescribeRequest StreamsGroupDescribeResponse,
            DESCRIBE_SHARE_GROUP_OFFSETS DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse,
            ALTER_SHARE_GROUP_OFFSETS AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse,
            DELETE_SHARE_GROUP_OFFSETS DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse,
        }
    };
}

/// What negotiation needs to know of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Its number.
    pub key: ApiKey,
    /// The versions of its messages that are defined here.
    pub versions: VersionRange,
    /// Those among them that Kafka calls stable.
    pub stable: VersionRange,
    /// The first version of the flexible encoding, if any.
    pub flexible_from: Option<i16>,
}

macro_rules! table {
    ($($key:ident $request:ident $response:ident,)*) => {
        /// All APIs that a client may call, by their numbers.
        pub const APIS: &[Api] = &[$(
            Api {
                key: ApiKey::$key,
                versions: <$request as Message>::VERSIONS,
                stable: <$request as Message>::STABLE,
                flexible_from: <$request as Message>::FLEXIBLE_FROM,
            },
        )*];

        $(
            const _: () = {
                // The definitions' own numbers say the same.
                assert!(matches!(<$request as Message>::API, Some(ApiKey(key)) if key == ApiKey::$key.0));
                assert!(matches!(<$response as Message>::API, Some(ApiKey(key)) if key == ApiKey::$key.0));
                // The table has one range for both.
                let (asked, answered) = (<$request as Message>::VERSIONS, <$response as Message>::VERSIONS);
                assert!(asked.min == answered.min && asked.max == answered.max);
                assert!(match (<$request as Message>::FLEXIBLE_FROM, <$response as Message>::FLEXIBLE_FROM) {
                    (Some(asked), Some(answered)) => asked == answered,
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                });
            };

            impl Request for $request {
                const KEY: ApiKey = ApiKey::$key;
                type Response = $response;
            }
        )*
    };
}

for_each_api!(table);

// `api` looks a number up by halves.
const _: () = {
    let mut at = 1;
    while at < APIS.len() {
        assert!(APIS[at - 1].key.0 < APIS[at].key.0);
        at += 1;
    }
};

/// The stable versions of `R`, from its line of the table. Where there is none, nothing compiles.
pub(crate) const fn stable_versions<R: Request>() -> VersionRange {
    const {
        let mut at = 0;
        while APIS[at].key.0 != R::KEY.0 {
            at += 1;
        }
        APIS[at].stable
    }
}

/// What is known of the API of that number.
#[must_use]
pub fn api(key: ApiKey) -> Option<&'static Api> {
    let index = APIS.binary_search_by_key(&key, |api| api.key).ok()?;
    APIS.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Reader, Secret, Str, Writer};
    use alloc::format;
    use alloc::vec;

    const PASSWORD: &str = "tr0ub4dor";

    fn bytes() -> Secret<bytes::Bytes> {
        bytes::Bytes::from_static(PASSWORD.as_bytes()).into()
    }

    fn text() -> Option<Secret<Str>> {
        Some(Secret(PASSWORD.into()))
    }

    /// Prints a message in which a field is set to the password, before and after its way over the wire.
    fn assert_not_printed<M: Message>(message: &M) {
        let mut writer = Writer::default();
        let version = M::VERSIONS.max;
        message.encode(&mut writer, version).unwrap();
        let mut reader = Reader::new(writer.finish().to_vec().into());
        let read = M::decode(&mut reader, version).unwrap();
        assert_eq!(&read, message, "what is not printed is not lost");
        let printed = format!("{message:?} {message:#?} {read:?}");
        assert!(printed.contains("(secret)"), "{printed}");
        // As text, and as the numbers that a list of bytes would be.
        for shown in [PASSWORD, "116, 114, 48", "116,\n"] {
            assert!(!printed.contains(shown), "{printed}");
        }
    }

    #[test]
    fn what_proves_who_somebody_is_is_never_printed() {
        assert_not_printed(&SaslAuthenticateRequest {
            auth_bytes: bytes(),
        });
        assert_not_printed(&SaslAuthenticateResponse {
            auth_bytes: bytes(),
            ..Default::default()
        });
        assert_not_printed(&CreateDelegationTokenResponse {
            hmac: bytes(),
            ..Default::default()
        });
        assert_not_printed(&RenewDelegationTokenRequest {
            hmac: bytes(),
            ..Default::default()
        });
        assert_not_printed(&ExpireDelegationTokenRequest {
            hmac: bytes(),
            ..Default::default()
        });
        assert_not_printed(&DescribeDelegationTokenResponse {
            tokens: vec![DescribedDelegationToken {
                hmac: bytes(),
                ..Default::default()
            }],
            ..Default::default()
        });
    }

    #[test]
    fn what_passwords_are_set_to_is_never_printed() {
        assert_not_printed(&AlterUserScramCredentialsRequest {
            upsertions: vec![ScramCredentialUpsertion {
                salt: bytes(),
                salted_password: bytes(),
                ..Default::default()
            }],
            ..Default::default()
        });
        assert_not_printed(&AlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                configs: vec![AlterConfigsAlterableConfig {
                    value: text(),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        });
        assert_not_printed(&IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                configs: vec![IncrementalAlterConfigsAlterableConfig {
                    value: text(),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        });
    }
}
