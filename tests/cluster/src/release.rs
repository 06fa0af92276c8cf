//! Owns which versions of which API a broker of a given release offers, and in which rules releases differ.
//!
//! Must not know how any of them is answered.

use klamm::messages::api;
use klamm::{ApiKey, ErrorCode, VersionRange};

use crate::producer_state::UnknownProducer;

/// A release of Apache Kafka that a broker poses as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 2.1: no static members, no fetching from followers, no topic ids.
    V2_1,
    /// 2.8: still with ZooKeeper, no topic ids in Fetch.
    V2_8,
    /// 3.9: the last that spoke all old versions.
    V3_9,
    /// 4.3: the newest that Klamm is written for.
    V4_3,
}

/// A release that does not serve the API, or only if it is told to.
const NONE: i16 = -1;

/// The APIs that a broker of this cluster serves, and their highest versions in 2.1, 2.8, 3.9 and 4.3.
const SERVED: &[(ApiKey, [i16; 4])] = &[
    (ApiKey::PRODUCE, [7, 9, 11, 13]),
    (ApiKey::FETCH, [10, 12, 17, 18]),
    (ApiKey::LIST_OFFSETS, [4, 6, 9, 11]),
    (ApiKey::METADATA, [7, 11, 12, 13]),
    (ApiKey::OFFSET_COMMIT, [6, 8, 9, 10]),
    (ApiKey::OFFSET_FETCH, [5, 7, 9, 10]),
    (ApiKey::FIND_COORDINATOR, [2, 3, 6, 6]),
    (ApiKey::JOIN_GROUP, [3, 7, 9, 9]),
    (ApiKey::HEARTBEAT, [2, 4, 4, 4]),
    (ApiKey::LEAVE_GROUP, [2, 4, 5, 5]),
    (ApiKey::SYNC_GROUP, [2, 5, 5, 5]),
    (ApiKey::DESCRIBE_GROUPS, [2, 5, 5, 6]),
    (ApiKey::LIST_GROUPS, [2, 4, 5, 5]),
    (ApiKey::SASL_HANDSHAKE, [1, 1, 1, 1]),
    (ApiKey::API_VERSIONS, [2, 3, 4, 4]),
    (ApiKey::CREATE_TOPICS, [3, 7, 7, 7]),
    (ApiKey::DELETE_TOPICS, [3, 6, 6, 6]),
    (ApiKey::DELETE_RECORDS, [1, 2, 2, 2]),
    (ApiKey::INIT_PRODUCER_ID, [1, 4, 5, 5]),
    (ApiKey::OFFSET_FOR_LEADER_EPOCH, [2, 4, 4, 4]),
    (ApiKey::SASL_AUTHENTICATE, [0, 2, 2, 2]),
    (ApiKey::CREATE_PARTITIONS, [1, 3, 3, 3]),
    (ApiKey::DELETE_GROUPS, [1, 2, 2, 2]),
    (ApiKey::CONSUMER_GROUP_HEARTBEAT, [NONE, NONE, NONE, 1]),
    (ApiKey::CONSUMER_GROUP_DESCRIBE, [NONE, NONE, NONE, 1]),
];

impl Release {
    /// The newest.
    pub const NEWEST: Self = Self::V4_3;

    /// The versions of `api` that a broker of this release advertises; `None` if it does not serve the API.
    #[must_use]
    pub fn advertised(self, key: ApiKey) -> Option<VersionRange> {
        let mut versions = self.served(key)?;
        if key == ApiKey::PRODUCE {
            // KAFKA-18659: 0 to 2 are advertised for the sake of old clients, and never served.
            versions.min = 0;
        }
        Some(versions)
    }

    /// The versions of `api` that a broker of this release serves.
    #[must_use]
    pub fn served(self, key: ApiKey) -> Option<VersionRange> {
        let (_, highest) = SERVED.iter().find(|(served, _)| *served == key)?;
        let defined = api(key)?.versions;
        let place = match self {
            Self::V2_1 => 0,
            Self::V2_8 => 1,
            Self::V3_9 => 2,
            Self::V4_3 => 3,
        };
        let highest = *highest.get(place)?;
        (highest >= defined.min).then(|| VersionRange::new(defined.min, highest))
    }

    /// All APIs that a broker serves, by their numbers.
    pub fn apis() -> impl Iterator<Item = ApiKey> {
        SERVED.iter().map(|(key, _)| *key)
    }

    /// KIP-360 (2.5): whether a producer of which nothing is known may start with any sequence.
    pub(crate) fn unknown_producer(self) -> UnknownProducer {
        match self {
            Self::V2_1 => UnknownProducer::Refused,
            Self::V2_8 | Self::V3_9 | Self::V4_3 => UnknownProducer::Accepted,
        }
    }

    /// Whether ListOffsets tells leader epochs: 2.1 has the field (KIP-320) and leaves it empty.
    pub(crate) fn tells_epochs(self) -> bool {
        match self {
            Self::V2_1 => false,
            Self::V2_8 | Self::V3_9 | Self::V4_3 => true,
        }
    }

    /// What Metadata says of a topic that it just created: brokers with ZooKeeper knew it at once, but no leader.
    pub(crate) fn just_created(self) -> ErrorCode {
        match self {
            Self::V2_1 | Self::V2_8 => ErrorCode::LEADER_NOT_AVAILABLE,
            Self::V3_9 | Self::V4_3 => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        }
    }
}
