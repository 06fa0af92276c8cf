//! Owns producing: what to ask of which broker, and what became of every record.
//!
//! Must not know sockets or connections: it asks the cluster to reach a node and to send a request.

mod answer;
mod append;
mod batch;
mod command;
mod compress;
mod engine;
mod identity;
mod metrics;
mod operation;
mod outcome;
mod partition;
mod partitioner;
mod recording;
mod role;
mod sender;
mod sequence;
#[cfg(any(test, feature = "models"))]
mod sequence_model;
mod status;
mod verdict;

#[cfg(test)]
mod tests;

pub use command::{
    AppendError, Appended, BlockedOn, CloseReport, ProducerCommand, ProducerEvent, ProducerReply,
    TopicStatus,
};
pub use engine::ProducerEngine;
pub use outcome::Outcome;
#[cfg(any(test, feature = "models"))]
pub(crate) use sequence_model::hold as hold_sequences;
