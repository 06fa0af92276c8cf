//! Conversations with the brokers of the cluster in memory: what is asked, and what is answered.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod commits;
mod connections;
mod consumer_groups;
mod failing;
mod fetching;
mod groups;
mod members;
mod positions;
mod producing;
mod topics;
mod transactions;
mod versions;
