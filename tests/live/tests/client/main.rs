//! Klamm on tokio against a real Kafka of one node: codecs and Java's own tools, commits, groups, bad input, damaged data, topics that come and
//! go, and which request takes which connection.

mod bad_input;
mod codecs;
mod commits;
mod common;
mod connections;
mod consumer_protocol;
mod damage;
mod groups;
mod members;
mod recreated;
