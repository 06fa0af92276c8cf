//! Owns how the pool stands, for people.
//!
//! Must not know how any of it came about.

use alloc::vec::Vec;

use super::Cluster;
use super::slot::{Link, Slot};
use crate::engine::ConnectionGroup;
use crate::status::{BrokerStatus, SocketStatus};

impl Cluster {
    /// The name that the brokers know this client by.
    pub(crate) fn client_id(&self) -> &str {
        &self.settings.connection.client_id
    }

    /// Every peer that has a place in the pool, with its two sockets.
    pub(crate) fn brokers_status(&self) -> Vec<BrokerStatus> {
        let mut brokers: Vec<BrokerStatus> = Vec::new();
        // The two sockets of a peer stand side by side.
        for (key, slot) in self.slots.iter() {
            if brokers.last().map(|broker| broker.peer) != Some(key.peer) {
                brokers.push(BrokerStatus {
                    peer: key.peer,
                    address: (slot.location.as_ref())
                        .map(|location| alloc::format!("{}:{}", location.host, location.port)),
                    default: SocketStatus::None,
                    coordination: SocketStatus::None,
                });
            }
            let socket = self.socket_status(slot);
            if let Some(broker) = brokers.last_mut() {
                match key.group {
                    ConnectionGroup::Default => broker.default = socket,
                    ConnectionGroup::Coordination => broker.coordination = socket,
                }
            }
        }
        brokers
    }

    fn socket_status(&self, slot: &Slot) -> SocketStatus {
        match &slot.link {
            Link::Idle => SocketStatus::None,
            Link::Resolving { .. } => SocketStatus::Resolving,
            Link::Attached { conn, .. } => {
                let connection = self.connections.get(conn);
                match connection.and_then(|attached| attached.connection.in_flight()) {
                    Some(in_flight) => SocketStatus::Ready { in_flight },
                    None => SocketStatus::Connecting,
                }
            }
            Link::Retiring { .. } => SocketStatus::Closing,
            Link::Backoff { .. } => SocketStatus::Backoff {
                error: slot.last_error.clone(),
            },
        }
    }
}
