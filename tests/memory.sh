#!/usr/bin/env bash
# The suite with every memory access checked, and whatever is left when it is over.
#
#     tests/memory.sh asan       # AddressSanitizer and its leak checker: all of it, with a nightly toolchain
#     tests/memory.sh valgrind   # valgrind's memcheck: all but the largest cases, in five minutes
#
# What follows is passed on to the test binary: `tests/memory.sh asan nesting`.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=${1:?asan or valgrind}
shift

export CARGO_INCREMENTAL=0 RUST_BACKTRACE=0 TASKGROUP_PATIENCE=600

asan() {
    export RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/asan
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1"
    # A target that is named keeps the flags off build scripts. async-task keeps the cell of a task whose schedule function panics.
    cargo +nightly test --target x86_64-unknown-linux-gnu --all-features --test it -- \
        --skip a_schedule_function_that_panics "$@"
    # These two leak on purpose, to see that it is found.
    ASAN_OPTIONS+=":detect_leaks=0" cargo +nightly test --target x86_64-unknown-linux-gnu --all-features \
        --test sim --test model
}

valgrind_memcheck() {
    # One thread runs at a time there, so a case that waits by looking needs the fair scheduler to come to its end.
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=1 --fair-sched=yes \
        --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite"
    # What is left out has ten thousand children or thousands of trees, and would meet the watch-dog.
    cargo test --all-features --test it -- --test-threads=2 "$@" \
        --skip a_schedule_function_that_panics --skip orphans --skip matrix --skip o_07 --skip two_thousand --skip no_wake_up_is_lost \
        --skip no_spawn_is_lost --skip nothing_is_left --skip races
}

case $tool in
asan) asan "$@" ;;
valgrind) valgrind_memcheck "$@" ;;
*)
    echo "asan or valgrind, not '$tool'" >&2
    exit 2
    ;;
esac
