//! Klamm's engines against the cluster in memory, in virtual time, under faults.
//!
//! A scenario is plain data, generated from a seed, or written in a file that people read; the world runs it with the production engines, a network that
//! splits, delays and resets, and a driver that drains an engine only when the engine asks for it; the oracles judge
//! the history that it leaves.

pub mod actor;
pub mod batch;
pub mod chance;
pub mod consumer;
mod group;
mod group_oracles;
pub mod history;
pub mod hunt;
mod ingress;
pub mod member;
pub mod network;
pub mod oracles;
pub mod producer;
pub mod scenario;
pub mod script;
pub mod shrink;
pub mod world;
