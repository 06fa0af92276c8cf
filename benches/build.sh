#!/usr/bin/env bash
# What Klamm costs to build: a hello world on tokio with the default features, in release, from clean, on two cores.
#
#   benches/build.sh            builds
#   benches/build.sh --lines    only counts the dependencies
#
# Prints the lines of dependencies, seconds by the clock, and processor seconds halved, which other work on the machine
# changes less. Fails with more than 45 lines of dependencies or, by the processor's time, more than 35 seconds.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
most_lines=45 most_seconds=35

mkdir "$dir/src"
cp "$root/Cargo.lock" "$dir"
cat >"$dir/Cargo.toml" <<TOML
[package]
name = "hello"
version = "0.0.0"
edition = "2024"

[dependencies]
klamm-tokio = { path = "$root/drivers/tokio" }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }

[workspace]
TOML
cat >"$dir/src/main.rs" <<'RUST'
use klamm_tokio::{Assignment, Consumer, ConsumerConfig, NewRecord, Producer, ProducerConfig, Start, Tokio};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let producer = Producer::start(&ProducerConfig::bootstrap("localhost:9092")?, Tokio::current())?;
    let receipt = producer.send(NewRecord::to("greetings").value("Hello, world!")).await?;
    let consumer = Consumer::start(&ConsumerConfig::bootstrap("localhost:9092")?, Tokio::current())?;
    let (partition, start) = (receipt.partition(), Start::Beginning);
    consumer.assign(&[Assignment { topic: "greetings", partition, start }])?;
    for record in consumer.next_batch().await?.records() {
        println!("{:?}", record.value);
    }
    Ok(())
}
RUST

cd "$dir"
cargo fetch --quiet
lines=$(cargo tree --prefix none | sort -u | wc -l)
echo "$lines lines of dependencies (at most $most_lines)"
[ "$lines" -le "$most_lines" ] || { echo "too many dependencies" >&2; exit 1; }
[ "${1:-}" != --lines ] || exit 0
export CARGO_TARGET_DIR="$dir/target" CARGO_INCREMENTAL=0
TIMEFORMAT='%R %U %S'
times=$({ time cargo build --release --quiet -j 2 >&2; } 2>&1 | tail -1)
read -r real user system <<<"$times"
[ -x "$dir/target/release/hello" ] || { echo "it was not built" >&2; exit 1; }
halved=$(awk "BEGIN { print ($user + $system) / 2 }")
echo "built in $real s; $halved s of each of two cores (at most $most_seconds)"
awk "BEGIN { exit !($halved <= $most_seconds) }" || { echo "too slow to build" >&2; exit 1; }
