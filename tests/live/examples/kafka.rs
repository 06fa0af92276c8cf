//! A Kafka to try things on: `cargo run -p klamm-live --features live --example kafka -- [NODES] [key=value ...]`.
//!
//! Prints the address and runs until its standard input ends (or the process is interrupted). With `KLAMM_MEASURED=1` the
//! brokers log no requests and may take 1 GiB of heap, as a measurement wants it.

use klamm_live::kafka::{Kafka, Setup};
use std::env;
use std::io::{self, Read};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let nodes = args.first().and_then(|arg| arg.parse().ok());
    let properties: Vec<(&str, &str)> = args.iter().filter_map(|arg| arg.split_once('=')).collect();
    let measured = env::var_os("KLAMM_MEASURED").is_some();
    let kafka = Kafka::set_up(&Setup {
        nodes: nodes.unwrap_or(1),
        properties: &properties,
        heap: if measured { "1g" } else { "512m" },
        measured,
        ..Setup::default()
    });
    println!("{}", kafka.bootstrap());
    // Whatever ends the input ends the brokers.
    let _ = io::stdin().read_to_end(&mut Vec::new());
}
