//! Transcripts: facts and commands go in, outputs are compared.

mod desk;
mod engine;
mod insight;
mod model;
mod operations;
mod partition;
