#!/usr/bin/env bash
# Throughput of one worker by record size, with the deduplication window and without, in turns in one run.
#
#   cargo build --release && benches/ingest.sh
#   EVENTS   events a run (default 1,000,000)       RUNS  runs of each kind (default 3)
#   BLUELAKE the binary (default target/release/bluelake, below CARGO_TARGET_DIR if that is set)
#
# Prints a Markdown table: medians, and the ratio of the two. Uses a Kinesis in memory on 127.0.0.1 and a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."

bluelake="${BLUELAKE:-${CARGO_TARGET_DIR:-target}/release/bluelake}"
events="${EVENTS:-1000000}"
runs="${RUNS:-3}"
port="${PORT:-4599}"
folder="$(mktemp -d)"
server=
clear() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"; }
trap clear EXIT

export AWS_ENDPOINT_URL_KINESIS="http://127.0.0.1:$port" AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=embedded AWS_SECRET_ACCESS_KEY=embedded
# Kinesis gives 2 MB/s of a shard; the server in memory has no such limit.
export BLUELAKE_INGEST_SHARD_RATE=1GB

field() { python3 -c "import json,sys; print($1)" <"$2"; }
median() { sort -g | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

printf '%s events a run, %s runs of each kind, %s cores\n\n' "$events" "$runs" "$(nproc)"
printf '| events a record | bytes a record | window | events/s | MB/s | ratio |\n| --- | --- | --- | --- | --- | --- |\n'
for aggregate in 1 10 100; do
    "$bluelake" dev-kinesis --port "$port" >"$folder/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
    more=()
    [ "$aggregate" -eq 1 ] || more=(--aggregate "$aggregate")
    "$bluelake" generate --events "$events" --bad-rate 0.01 --duplicate-rate 0.01 --to kinesis "${more[@]}" >/dev/null 2>&1
    for _ in $(seq "$runs"); do
        for window in 15m 0s; do
            rm -rf "$folder/lake"
            "$bluelake" --lake "$folder/lake" ingest --once --init --dedup-window "$window" --json >"$folder/$window.json" 2>/dev/null
            total='sum(stream["%s"] for stream in result["streams"])'
            read_result="(lambda result: $(printf "$total" received) / result['seconds'])(json.load(sys.stdin))"
            field "$read_result" "$folder/$window.json" >>"$folder/$aggregate-$window.rates"
        done
    done
    size="$(field "(lambda result: round(sum(stream['bytes'] for stream in result['streams']) / sum(stream['records'] for stream in result['streams'])))(json.load(sys.stdin))" "$folder/15m.json")"
    per_event="$(field "(lambda result: sum(stream['bytes'] for stream in result['streams']) / sum(stream['received'] for stream in result['streams']))(json.load(sys.stdin))" "$folder/15m.json")"
    with="$(median <"$folder/$aggregate-15m.rates")"
    without="$(median <"$folder/$aggregate-0s.rates")"
    awk -v n="$aggregate" -v size="$size" -v with="$with" -v without="$without" -v bytes="$per_event" 'BEGIN {
        printf "| %d | %d | 15 min | %d | %.1f | %.2f |\n", n, size, with, with * bytes / 1e6, with / without
        printf "| %d | %d | none | %d | %.1f | 1 |\n", n, size, without, without * bytes / 1e6
    }'
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
done
