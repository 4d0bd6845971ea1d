#!/usr/bin/env bash
# Runs the server of this example with `wrk` as its client. First it measures requests per second, alternately with and
# without a group. Then it shuts the server down under load; every request that the server has seen must be answered.
#
#     [RUNTIMES=tokio] examples/http/wrk.sh [SECONDS [ROUNDS [SHUTDOWNS]]]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-3} rounds=${2:-7} shutdowns=${3:-20} port=${PORT:-18080}

cargo build --quiet --release --all-features --example http
http=$PWD/target/release/examples/http
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/count.lua" <<'LUA'
done = function(summary)
    local e = summary.errors
    print(string.format("%d %d %d %d", summary.requests, summary.duration / 1000, e.status, e.timeout))
end
LUA

# Starts a server that ends after the given number of seconds, and waits until it listens.
serve() {
    local runtime=$1 seconds=$2 kind=${3:-}
    # shellcheck disable=SC2086 # empty is no argument
    sleep "$seconds" | "$http" "$runtime" serve "$port" $kind >"$work/told" &
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.02; done
}

load() {
    wrk -t 1 -c 32 -d "$1" -s "$work/count.lua" "http://127.0.0.1:$port/$2" | tail -n 1
}

median() {
    sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}

for runtime in ${RUNTIMES:-smol tokio}; do
    rm -f "$work/group" "$work/plain"
    for ((round = 0; round < rounds; round++)); do
        kinds="group plain"
        [ $((round % 2)) = 0 ] || kinds="plain group"
        for kind in $kinds; do
            serve "$runtime" "$((seconds + 1))" "$([ "$kind" = plain ] && echo plain || true)"
            read -r answered millis status timeout <<<"$(load "$seconds" hello)"
            wait
            [ "$status $timeout" = "0 0" ]
            echo "$((answered * 1000 / millis))" >>"$work/$kind"
        done
    done
    ratio=$(paste "$work/group" "$work/plain" | awk '{ printf "%.3f\n", $1 / $2 }' | median)
    echo "$runtime: $(median <"$work/group") requests/s in a group, $(median <"$work/plain") without, $ratio in one round"
done

for runtime in ${RUNTIMES:-smol tokio}; do
    total=0
    for ((time = 0; time < shutdowns; time++)); do
        serve "$runtime" 1
        read -r answered _ status _ <<<"$(load 2 5)"
        wait
        told=$(tail -n 1 "$work/told")
        [ "$told" = "$answered requests seen, 0 connections left, 0 descriptors leaked" ] && [ "$status" = 0 ] || {
            echo "$runtime: $answered requests answered, $status with an error, but $told"
            exit 1
        }
        total=$((total + answered))
    done
    echo "$runtime: $shutdowns shutdowns under load, $total requests seen and answered, none lost, nothing left"
done
