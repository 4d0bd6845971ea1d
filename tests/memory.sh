#!/usr/bin/env bash
# Runs the suite with every memory access checked, and looks for memory that is left at the end.
#
#     tests/memory.sh asan       # AddressSanitizer and its leak checker: all of it, with a nightly toolchain
#     tests/memory.sh valgrind   # valgrind's memcheck: all but the largest cases, in five minutes
#
# Further arguments are the parts to run: `tests/memory.sh asan pool_on_smol:: blocking::`.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=${1:?asan or valgrind}
shift

export CARGO_INCREMENTAL=0 RUST_BACKTRACE=0 TASKGROUP_PATIENCE=600

asan() {
    export RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/asan
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1"
    # `--target` keeps the flags away from build scripts.
    local it=(cargo +nightly test --quiet --target x86_64-unknown-linux-gnu --all-features --test it --)
    # A process for each part. The leak checker tells threads apart by their numbers. The system gives these out again after 32,768
    # threads, and then the checker takes what a running thread keeps for leaked.
    local parts
    parts=$("${it[@]}" --list | sed -n 's/::.*: test$/::/p' | sort -u)
    (($# > 0)) || set -- $parts
    for part; do
        # One test is skipped because async-task leaks the cell of a task whose schedule function panics, and one because of a
        # spawner that never drops what it is given: that is what the test is about.
        "${it[@]}" --skip a_schedule_function_that_panics --skip the_suite_says_which_promise_is_broken "$part"
    done
    # These two leak on purpose, to check that leaks are found.
    ASAN_OPTIONS+=":detect_leaks=0" cargo +nightly test --target x86_64-unknown-linux-gnu --all-features \
        --test sim --test model
}

valgrind_memcheck() {
    # Under valgrind one thread runs at a time, so a case that waits in a loop ends only with the fair scheduler.
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=1 --fair-sched=yes \
        --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite"
    # Most of the skipped cases have ten thousand children or thousands of trees, and the watch-dog would end them.
    cargo test --all-features --test it -- --test-threads=2 "$@" \
        --skip a_schedule_function_that_panics --skip the_suite_says_which_promise_is_broken \
        --skip orphans --skip matrix --skip o_07 --skip two_thousand --skip no_wake_up_is_lost \
        --skip no_spawn_is_lost --skip nothing_is_left --skip races --skip nobody_who_comes
}

case $tool in
asan) asan "$@" ;;
valgrind) valgrind_memcheck "$@" ;;
*)
    echo "asan or valgrind, not '$tool'" >&2
    exit 2
    ;;
esac
