//! Klamm against a real Apache Kafka: what the live tests share.
//!
//! The tests need `--features live`, so that `cargo test --workspace` needs no Java. This crate starts brokers from Apache's
//! own jars (`kafka::Kafka`), runs Kafka's own tools (`java::tool`) and other people's clients, and reads from the
//! brokers' request logs what each connection carried (`requests`). It knows nothing of how Klamm works inside.
//!
//! Everything here is for tests: what goes wrong panics, with what was being done and what the other program said.
#![cfg(feature = "live")]

pub mod admin;
mod configure;
pub mod ends;
pub mod foreign;
mod guard;
mod jars;
pub mod java;
pub mod kafka;
pub mod plain;
mod ports;
pub mod process;
pub mod requests;
pub mod runtime;
pub mod schemas;
pub mod whole_records;
