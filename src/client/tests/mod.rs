//! Transcripts of a bare client: what passes the border of the engine, without any role's own behaviour.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected is a failure, whatever it is"
)]

mod probe;
mod script;

mod chaos;
mod connecting;
mod laws;
mod metadata;
mod pool;
mod requests;
