//! Owns what the cluster is told by the configuration, in the form in which it is used.
//!
//! Must not know how a user writes it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::slot::Location;
use crate::config::CommonConfig;
use crate::connection::ConnectionSettings;
use crate::engine::Host;
use crate::random::Backoff;
use crate::time::Duration;
use crate::wire::Str;

/// What the cluster is told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(super) bootstrap: Vec<Location>,
    pub(super) connection: ConnectionSettings,
    pub(super) setup_timeout: Backoff,
    pub(super) reconnect: Backoff,
    pub(super) retry: Backoff,
    pub(super) request_timeout: Duration,
    pub(super) metadata_max_age: Duration,
    pub(super) allow_auto_create_topics: bool,
    pub(super) memory_budget: usize,
    pub(super) producer_memory: usize,
}

impl Settings {
    /// The settings of a client that produces nothing and sends five requests ahead.
    pub(crate) fn new(config: &CommonConfig) -> Self {
        Self {
            bootstrap: config
                .bootstrap_servers
                .iter()
                .map(|server| Location {
                    host: Host::from(server.host.as_str()),
                    port: server.port,
                })
                .collect(),
            connection: ConnectionSettings {
                client_id: Str::from(config.client_id.as_str()),
                max_in_flight: 5,
                max_idle: config.connections_max_idle,
                credentials: config.credentials().map(Arc::new),
            },
            setup_timeout: Backoff {
                initial: config.connection_setup_timeout,
                max: config.connection_setup_timeout_max,
            },
            reconnect: Backoff {
                initial: config.reconnect_backoff,
                max: config.reconnect_backoff_max,
            },
            retry: Backoff {
                initial: config.retry_backoff,
                max: config.retry_backoff_max,
            },
            request_timeout: config.request_timeout,
            metadata_max_age: config.metadata_max_age,
            allow_auto_create_topics: config.allow_auto_create_topics,
            memory_budget: config.memory_budget,
            producer_memory: 0,
        }
    }

    /// How many requests may be unanswered on one connection.
    pub(crate) fn max_in_flight(mut self, requests: usize) -> Self {
        self.connection.max_in_flight = requests.max(1);
        self
    }

    /// The producer's share of the budget.
    pub(crate) fn producer_memory(mut self, bytes: usize) -> Self {
        self.producer_memory = bytes;
        self
    }
}
