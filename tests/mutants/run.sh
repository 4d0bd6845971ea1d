#!/usr/bin/env bash
# Mutants of one file of the core: smol's executor on one thread, and then the simulation.
#
#     tests/mutants/run.sh src/state.rs              # leaves target/mutants/state/mutants.out
#     tests/mutants/run.sh src/state.rs --in-place   # what follows is for `cargo mutants`
#
# It takes `cargo install cargo-mutants --locked`. A file is a shard: each can be run by itself, in its own copy of the tree.
# A mutant costs some seconds, as little but the crate and the cases is compiled for it. Those that the cases let pass are
# tried again against what takes longer.
set -euo pipefail
cd "$(dirname "$0")/../.."

file=${1:?a file in src}
shift

export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin" CARGO_INCREMENTAL=1 RUST_BACKTRACE=0
# A mutant that hangs is caught when the watch-dog bites.
export TASKGROUP_PATIENCE=${TASKGROUP_PATIENCE:-20} TASKGROUP_SCHEDULES=2000 TASKGROUP_TREES=150

out=target/mutants/$(basename "$file" .rs)
mkdir -p "$out"

# What is caught once is not tried again.
against() {
    local tests=() test
    for test in $1; do
        tests+=("--cargo-arg=--test=$test")
    done
    shift
    # It says by its code that some mutants were missed, which the list in its output says as well.
    cargo mutants --file "$file" --output "$out" --iterate --timeout 180 --build-timeout 600 --no-shuffle \
        --colors never "${tests[@]}" "$@" || [[ $? == [23] ]]
}

against "mutants" "$@"
against "sim model snapshot allocations it" "$@"
