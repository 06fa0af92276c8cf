//! Serves a cluster in memory on ports of 127.0.0.1 until standard input ends.
//!
//! `cargo run -p klamm-cluster --features tcp --example serve -- 19092 19093` starts two brokers on these ports; without
//! ports, one on a free one. The first line on standard output is what clients take as `bootstrap.servers`.

use std::io::Read;

use klamm_cluster::{ClusterConfig, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ports: Result<Vec<u16>, _> = std::env::args().skip(1).map(|port| port.parse()).collect();
    let ports = ports?;
    let brokers = u16::try_from(ports.len().max(1))?;
    let config = ClusterConfig::with_nodes(brokers).unrecorded();
    let server = Server::start_on(config, &ports)?;
    println!("{}", server.bootstrap());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
