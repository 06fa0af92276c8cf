//! The cluster in memory beside a real Kafka: the same questions to both, and the same answers.
//!
//! Each test is a conversation that both hear. What no two clusters have in common (ids that are drawn, ports, texts for
//! people) is taken out of the answers; everything else must be equal, error codes and their level above all.

mod both;
mod consumer_groups;
mod groups;
mod membership;
mod old;
mod positions;
mod reading;
mod replicas;
mod topics;
mod writing;
