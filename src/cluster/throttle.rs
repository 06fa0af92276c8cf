//! Owns which answers' throttle times this client keeps itself (KIP-219).
//!
//! Must not know why a broker throttles.

use super::Cluster;
use crate::connection::Held;
use crate::wire::ApiKey;

/// From this version of an API on the broker answers first and expects silence afterwards; before, it waited itself.
/// For APIs that are not listed it silences the socket in any case, so that keeping the time is safe.
const fn answers_first_since(api: ApiKey) -> i16 {
    match api {
        ApiKey::PRODUCE | ApiKey::METADATA => 6,
        ApiKey::FETCH => 8,
        ApiKey::OFFSET_COMMIT | ApiKey::OFFSET_FETCH => 4,
        ApiKey::LIST_OFFSETS | ApiKey::JOIN_GROUP | ApiKey::CREATE_TOPICS => 3,
        ApiKey::FIND_COORDINATOR
        | ApiKey::HEARTBEAT
        | ApiKey::LEAVE_GROUP
        | ApiKey::SYNC_GROUP
        | ApiKey::API_VERSIONS => 2,
        ApiKey::INIT_PRODUCER_ID
        | ApiKey::ADD_PARTITIONS_TO_TXN
        | ApiKey::ADD_OFFSETS_TO_TXN
        | ApiKey::END_TXN
        | ApiKey::TXN_OFFSET_COMMIT => 1,
        _ => 0,
    }
}

impl Cluster {
    /// Keeps the throttle time that a response announced: nothing is sent on its connection until it is over, and no
    /// clock of a request in flight runs meanwhile.
    pub(crate) fn throttle(&mut self, held: &Held, throttle_time_ms: i32) {
        if throttle_time_ms > 0 && held.version >= answers_first_since(held.api) {
            let now = self.now;
            self.metrics.throttle_total = self.metrics.throttle_total.saturating_add(1);
            self.with_connection(held.connection, |connection, _| {
                connection.throttle(throttle_time_ms, now)
            });
        }
    }
}
