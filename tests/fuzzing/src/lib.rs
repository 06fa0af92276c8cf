//! The bodies of all fuzz targets: each takes any bytes and panics if Klamm breaks a promise.
//!
//! `fuzz/` runs them under libFuzzer, `tests/corpora.rs` over what was found before, and the program of this crate with
//! a plain mutating loop that needs no nightly Rust.

mod acknowledgements;
mod assignors;
mod batches;
mod codecs;
mod corpus;
mod engines;
mod framer;
pub mod hostile;
mod machines;
pub mod memory;
mod messages;
mod naive;
#[cfg(feature = "peers")]
mod peers;
mod roles;
mod seeds;
mod settings;
mod structured;
mod world;

pub use batches::{f6_batches, f12_aborted};
pub use codecs::f7_codecs;
pub use corpus::Corpus;
pub use engines::{f14_engine, f15_hostile_cluster};
pub use framer::f1_framer;
pub use klamm::models::Choices;
pub use machines::{f10_metadata, f13_machines};
pub use messages::{f2_response, f3_request, f9_group_blob};
#[cfg(feature = "peers")]
pub use peers::f5_peer_codec;
pub use settings::{f16_config, f17_error_code, f18_secrets};
pub use structured::f4_structured;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its body and of its corpus.
    pub name: &'static str,
    /// Takes any bytes; panics if Klamm breaks a promise.
    pub body: fn(&[u8]),
    /// Where to start: inputs that other files of the project hold.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many changed inputs a check tries: about ten seconds of one core, but counted, so that what passed once passes again.
    pub cases: u64,
}

macro_rules! targets {
    ($($(#[$attribute:meta])* $name:ident $seeds:ident $cases:literal,)*) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$($(#[$attribute])* Target {
            name: stringify!($name),
            body: $name,
            seeds: seeds::$seeds,
            cases: $cases,
        }),*];
    };
}

targets! {
    f1_framer frames 5_000_000,
    f2_response responses 6_000_000,
    f3_request requests 5_000_000,
    f4_structured choices 2_000_000,
    #[cfg(feature = "peers")] f5_peer_codec bodies 1_000_000,
    f6_batches batches 8_000_000,
    f7_codecs compressed 1_000_000,
    f9_group_blob blobs 8_000_000,
    f10_metadata choices 50_000,
    f12_aborted choices 1_500_000,
    f13_machines choices 100_000,
    f14_engine stories 50_000,
    f15_hostile_cluster stories 20_000,
    f16_config configurations 300_000,
    f17_error_code error_codes 400_000,
    f18_secrets choices 200_000,
}
