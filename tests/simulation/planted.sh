#!/usr/bin/env bash
# Plants one bug at a time (a `cfg(planted = "…")` in the engine) and has the simulation catch it, with the oracle
# that is named for it. Prints a row for each: bug, oracle, the seed that catches it. Fails if one gets away; the table
# stays in planted.txt, and a short scenario for each bug among the regressions.
#
#   tests/simulation/planted.sh [SEEDS]        at most SEEDS seeds for each bug (default 20000)
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-20000}
bugs=(
  "B01 P3 a batch that may be in the log is numbered anew when it is sent again"
  "B04 P4 batch 2 is sent while batch 1 waits for its retry, without idempotence"
  "B06 P5 the delivery timeout says Rejected while the request is on the wire"
  "B07 P5 an answer that leaves open whether the records were written counts as a refusal"
  "B18 G3 auto-commit covers what was fetched and nobody has had yet"
  "B19 C7 a batch that was lent before its partition was revoked still counts"
  "B28 G1 the cooperative assignor gives away what its owner has not let go of"
  "B43 N1 bytes are lost when a frame is split inside its length field"
)
table=tests/simulation/planted.txt
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
for bug in "${bugs[@]}"; do
  read -r name oracles what <<<"$bug"
  caught=$(CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/planted" \
    RUSTFLAGS="--cfg planted=\"$name\"" \
    cargo run --quiet --release -p klamm-simulation -- planted "$name" "$oracles" "$seeds") \
    || { printf '%s  %s\n%s\n' "$name" "$what" "$caught" >&2; exit 1; }
  printf '%s  %-84s %s\n' "$name" "$what" "$caught" | tee -a "$rows"
done
# The first line of what is told is the catch; that a file is new is no part of the table.
grep '^B' "$rows" >"$table"
