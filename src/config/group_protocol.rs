//! Owns the choice between Kafka's two group protocols, and which settings belong to one of them alone.
//!
//! Must not know how either of them works.

use alloc::string::String;

use super::ConsumerConfig;
use super::property::config_error;
use super::value::Value;
use crate::assignor::Assignor;
use crate::error::Error;
use crate::time::Duration;

/// By which of Kafka's protocols a consumer is a member of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// [`Consumer`](Self::Consumer) where the coordinator has it, else [`Classic`](Self::Classic).
    Automatic,
    /// The members share the partitions out, all at once: every release has it.
    Classic,
    /// The coordinator shares them out, and members hand over what moves one by one (KIP-848): Kafka 4.0 and later.
    Consumer,
}

impl Value for GroupProtocol {
    const TYPE: &'static str = "automatic, classic or consumer";
    fn parse(text: &str) -> Result<Self, String> {
        // Java takes its names in any case.
        [Self::Automatic, Self::Classic, Self::Consumer]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| "must be `automatic`, `classic` or `consumer`".into())
    }
    fn show(&self) -> String {
        self.name().into()
    }
}

impl GroupProtocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// What a member shares out by, where nobody says otherwise.
pub(super) const ASSIGNORS: [Assignor; 2] = [Assignor::Range, Assignor::CooperativeSticky];
/// `session.timeout.ms`, where nobody says otherwise.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// `heartbeat.interval.ms`, where nobody says otherwise.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

impl ConsumerConfig {
    /// The protocol in force: who names assignors of his own wants the protocol that has them.
    pub(crate) fn protocol(&self) -> GroupProtocol {
        match self.group_protocol {
            GroupProtocol::Automatic if self.has_own_assignors() => GroupProtocol::Classic,
            chosen @ (GroupProtocol::Automatic
            | GroupProtocol::Classic
            | GroupProtocol::Consumer) => chosen,
        }
    }

    fn has_own_assignors(&self) -> bool {
        self.partition_assignment_strategy != ASSIGNORS
    }

    /// A setting that the chosen protocol does not have would be a wish that nobody hears.
    pub(super) fn check_protocol(&self) -> Result<(), Error> {
        let refuse = |key, why| Err(config_error(key, why));
        match self.group_protocol {
            GroupProtocol::Automatic => Ok(()),
            GroupProtocol::Classic if !self.group_remote_assignor.is_empty() => refuse(
                "group.remote.assignor",
                "group.protocol=classic has no remote assignors: set partition.assignment.strategy",
            ),
            GroupProtocol::Classic => Ok(()),
            GroupProtocol::Consumer if self.has_own_assignors() => refuse(
                "partition.assignment.strategy",
                "with group.protocol=consumer the coordinator shares the partitions out: set group.remote.assignor",
            ),
            GroupProtocol::Consumer if self.session_timeout != SESSION_TIMEOUT => refuse(
                "session.timeout.ms",
                "with group.protocol=consumer the broker's group.consumer.session.timeout.ms holds",
            ),
            GroupProtocol::Consumer if self.heartbeat_interval != HEARTBEAT_INTERVAL => refuse(
                "heartbeat.interval.ms",
                "with group.protocol=consumer the broker's group.consumer.heartbeat.interval.ms holds",
            ),
            GroupProtocol::Consumer => Ok(()),
        }
    }
}
