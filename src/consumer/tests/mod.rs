//! Transcripts of the whole consumer: bytes and commands in, bytes and events out, with brokers that say what the
//! test has them say.

mod assigned;
mod chaos;
mod committed;
mod epochs;
mod harness;
mod insight;
mod joined;
mod leaving;
mod membership;
mod memory;
mod metadata;
mod offsets;
mod patterns;
mod positions;
mod reading;
mod replicas;
mod trouble;
