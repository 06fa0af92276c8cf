//! Owns the settings that every kind of client has.
//!
//! Must not know what a producer or a consumer adds.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::property::config_error;
use super::security::SecurityProtocol;
use super::settings;
use super::value::Value;
use crate::error::Error;
use crate::sasl::SaslMechanism;
use crate::secret::Secret;
use crate::time::Duration;

/// The longest text that a request can carry: its length is an i16.
pub(super) const LONGEST_TEXT: i64 = 32_767;

/// One entry of `bootstrap.servers`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// A name or a literal address.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

impl core::fmt::Display for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Server {
    /// Reads `host:port` or `[v6-address]:port`.
    fn parse(text: &str) -> Result<Self, String> {
        let shape = || alloc::format!("`{}` must read host:port", crate::error::printable(text));
        // Java's scheme prefixes (PLAINTEXT://) are accepted and mean nothing.
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = text.rsplit_once(':').ok_or_else(shape)?;
        let port: u16 = port.parse().map_err(|_| shape())?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(shape)?,
            None if host.contains(':') => {
                return Err(alloc::format!(
                    "{}: an IPv6 address stands in brackets",
                    shape()
                ));
            }
            None => host,
        };
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "[]/".contains(c);
        if host.is_empty() || host.contains(is_odd) || port == 0 {
            return Err(shape());
        }
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

impl Value for Vec<Server> {
    const TYPE: &'static str = "host:port,host:port,…";
    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(Server::parse)
            .collect()
    }
    fn show(&self) -> String {
        let servers: Vec<String> = self.iter().map(ToString::to_string).collect();
        servers.join(",")
    }
}

settings! {
    /// What every kind of client needs.
    pub struct CommonConfig {
        /// Where to look for the cluster first: any of its brokers. All are tried; the rest is learnt from them.
        "bootstrap.servers" ["metadata.broker.list"] bootstrap_servers: Vec<Server> = Vec::new();
        /// The name under which the brokers log this client's requests and count them against quotas.
        "client.id" client_id: String = String::from("klamm"), 0..=LONGEST_TEXT;
        /// The bytes that the client may hold in all: buffered records, partial frames, fetched and handed-out data,
        /// decompressed data and metadata. `buffer.memory` is the producer's share of it.
        "memory.budget" memory_budget: usize = 256 << 20, 1 << 20..=i64::MAX;
        /// How long an answer may take, from when the request is the first one unanswered on its connection.
        /// When it is over, the connection is closed, since answers come in order.
        "request.timeout.ms" ["socket.timeout.ms"] request_timeout: Duration = Duration::from_secs(30), 1..=i64::MAX;
        /// How long name lookup, TCP, TLS, authentication and version negotiation may take together, at first.
        /// It doubles with each failure in a row.
        "socket.connection.setup.timeout.ms" connection_setup_timeout: Duration = Duration::from_secs(10), 1..=i64::MAX;
        /// What the setup timeout grows to at the most.
        "socket.connection.setup.timeout.max.ms" connection_setup_timeout_max: Duration = Duration::from_secs(30);
        /// The wait before a failed connection is tried again, at first. It doubles with each failure in a row.
        "reconnect.backoff.ms" reconnect_backoff: Duration = Duration::from_millis(50), 1..=i64::MAX;
        /// What the wait before a reconnect grows to at the most.
        "reconnect.backoff.max.ms" reconnect_backoff_max: Duration = Duration::from_secs(1);
        /// The wait before a failed request is tried again, at first. It doubles with each failure in a row.
        "retry.backoff.ms" retry_backoff: Duration = Duration::from_millis(100), 1..=i64::MAX;
        /// What the wait before a retry grows to at the most.
        "retry.backoff.max.ms" retry_backoff_max: Duration = Duration::from_secs(1);
        /// How old the knowledge of topics and leaders may get before it is asked for again.
        "metadata.max.age.ms" ["topic.metadata.refresh.interval.ms"] metadata_max_age: Duration = Duration::from_secs(300), 1..=i64::MAX;
        /// How long a connection may be idle before it is closed.
        "connections.max.idle.ms" connections_max_idle: Duration = Duration::from_secs(540), 1..=i64::MAX;
        /// How the listeners are spoken to: in the clear or in TLS, with or without authentication.
        "security.protocol" security_protocol: SecurityProtocol = SecurityProtocol::Plaintext;
        /// How this client proves who it is, where `security.protocol` has SASL in it.
        "sasl.mechanism" ["sasl.mechanisms"] sasl_mechanism: Option<SaslMechanism> = None;
        /// The user's name, for PLAIN and SCRAM.
        "sasl.username" sasl_username: String = String::new();
        /// The user's password, for PLAIN and SCRAM. It is shown nowhere.
        "sasl.password" sasl_password: Secret<String> = Secret(String::new());
        /// Whether PLAIN and OAUTHBEARER may show their secrets to everybody on the way, for lack of TLS.
        "sasl.allow.without.tls" sasl_allow_without_tls: bool = false;
        /// A file of PEM certificates: who may vouch for the brokers. Empty: whom this host trusts.
        "ssl.ca.location" ["ssl.truststore.location"] ssl_ca_location: String = String::new();
        /// A file of PEM certificates that this client shows, its own first. Empty: it shows none.
        "ssl.certificate.location" ssl_certificate_location: String = String::new();
        /// A file with the PEM private key that belongs to `ssl.certificate.location`. Empty: it is in that same file.
        "ssl.key.location" ssl_key_location: String = String::new();
        /// Whether asking for a topic may create it, where the broker allows that too.
        "allow.auto.create.topics" allow_auto_create_topics: bool = true;
    }
}

impl CommonConfig {
    /// A configuration for the cluster behind `servers` (`host:port,host:port`).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when an entry is not `host:port`.
    pub fn bootstrap(servers: &str) -> Result<Self, Error> {
        let servers: Vec<Server> =
            Value::parse(servers).map_err(|why| config_error("bootstrap.servers", why))?;
        Ok(Self::default().bootstrap_servers(servers))
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.bootstrap_servers.is_empty() {
            return Err(config_error(
                "bootstrap.servers",
                "at least one host:port is needed",
            ));
        }
        if self.bootstrap_servers.len() > usize::from(u16::MAX) {
            return Err(config_error("bootstrap.servers", "at most 65,535 entries"));
        }
        self.check_security()?;
        for (key, value, least_key, least) in [
            (
                "socket.connection.setup.timeout.max.ms",
                self.connection_setup_timeout_max,
                "socket.connection.setup.timeout.ms",
                self.connection_setup_timeout,
            ),
            (
                "reconnect.backoff.max.ms",
                self.reconnect_backoff_max,
                "reconnect.backoff.ms",
                self.reconnect_backoff,
            ),
            (
                "retry.backoff.max.ms",
                self.retry_backoff_max,
                "retry.backoff.ms",
                self.retry_backoff,
            ),
        ] {
            if value < least {
                return Err(config_error(
                    key,
                    alloc::format!("must not be below {least_key}"),
                ));
            }
        }
        Ok(())
    }
}
