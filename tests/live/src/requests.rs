//! What each connection of a broker carried, from the broker's own request log.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One connection, as the broker saw it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The broker's node id.
    pub node: usize,
    /// The broker's own name for it: both addresses and a counter. Never reused.
    pub name: String,
    /// The client id of its first request.
    pub client_id: String,
    /// The client software's name and version, as it told the broker in ApiVersions; known from the request after it.
    pub software: String,
    /// How often each API was called on it, by Kafka's names: `METADATA`, `PRODUCE`.
    pub calls: BTreeMap<String, usize>,
}

/// Reads `log`, the request log of `node`: the connections of clients of which the id begins with `client_id`, in the order
/// in which their first requests were answered. Requests that are still held, long polls, are not in it.
///
/// # Panics
/// If the log cannot be read, or is not as Kafka writes it.
pub(crate) fn read(node: usize, log: &Path, client_id: &str) -> Vec<Connection> {
    let text = fs::read_to_string(log)
        .unwrap_or_else(|e| panic!("the request log {}: {e}", log.display()));
    let mut connections: Vec<Connection> = Vec::new();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        let Some((_, json)) = line.split_once("Completed request:") else {
            continue;
        };
        let request: Value =
            serde_json::from_str(json).unwrap_or_else(|e| panic!("{e} in the request log: {line}"));
        let header = &request["requestHeader"];
        let id = header["clientId"].as_str().unwrap_or("");
        if !id.starts_with(client_id) {
            continue;
        }
        let name = request["connection"]
            .as_str()
            .expect("a logged request names its connection");
        let api = header["requestApiKeyName"]
            .as_str()
            .expect("a logged request names its API");
        let at = connections
            .iter()
            .position(|c| c.name == name)
            .unwrap_or_else(|| {
                connections.push(Connection {
                    node,
                    name: name.to_owned(),
                    client_id: id.to_owned(),
                    software: String::new(),
                    calls: BTreeMap::new(),
                });
                connections.len() - 1
            });
        let software = &request["clientInformation"];
        let part = |key: &str| software[key].as_str().unwrap_or("unknown");
        connections[at].software = format!("{} {}", part("softwareName"), part("softwareVersion"));
        *connections[at].calls.entry(api.to_owned()).or_default() += 1;
    }
    connections
}
