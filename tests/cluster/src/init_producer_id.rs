//! Owns InitProducerId: producer ids that are never given out twice (KIP-98).
//!
//! Must not know what producers write.

use std::collections::BTreeMap;

use klamm::ErrorCode;
use klamm::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::NodeId;
use crate::cluster::Cluster;
use crate::connection::Call;
use crate::dispatch::Handled;

/// Brokers take ids from the controller in blocks of this size.
const BLOCK: i64 = 1000;

/// The producer ids that were given out.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerIds {
    next_block: i64,
    /// The ids that each broker has left: the next one, and the end of its block.
    blocks: BTreeMap<NodeId, (i64, i64)>,
}

impl ProducerIds {
    /// An id that nobody had.
    fn take(&mut self, broker: NodeId) -> i64 {
        let block = self.blocks.entry(broker).or_default();
        if block.0 == block.1 {
            *block = (self.next_block, self.next_block + BLOCK);
            self.next_block += BLOCK;
        }
        block.0 += 1;
        block.0 - 1
    }
}

impl Cluster {
    pub(crate) fn serve_init_producer_id(
        &mut self,
        mut call: Call,
        request: InitProducerIdRequest,
    ) -> Option<Handled> {
        let fault = Self::top_fault(&mut call);
        let refused = match request.transactional_id.as_deref() {
            None => None,
            Some("") => Some(ErrorCode::INVALID_REQUEST),
            // Transactions are not modelled: nobody is allowed to have one.
            Some(_) => Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        };
        let error = fault.or(refused);
        let response = match error {
            Some(error) => InitProducerIdResponse {
                throttle_time_ms: self.throttle_ms(),
                error_code: error.0,
                producer_epoch: -1,
                ..InitProducerIdResponse::default()
            },
            None => InitProducerIdResponse {
                throttle_time_ms: self.throttle_ms(),
                producer_id: self.producer_ids.take(call.broker),
                producer_epoch: 0,
                ..InitProducerIdResponse::default()
            },
        };
        let outcome = self.answer::<InitProducerIdRequest>(&call, &response);
        Some((call, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_given_out_twice() {
        let mut ids = ProducerIds::default();
        assert_eq!(ids.take(1), 0);
        assert_eq!(ids.take(2), 1000);
        assert_eq!(ids.take(1), 1);
        for _ in 2..1000 {
            ids.take(1);
        }
        assert_eq!(ids.take(1), 2000);
    }
}
