#!/usr/bin/env bash
# Builds and runs the programs of the README as a new user would: each in a new crate, with the dependencies that the
# README shows above the program.
set -euo pipefail
cd "$(dirname "$0")/../.."

new=$PWD/target/readme
export CARGO_TARGET_DIR=$new/target
rm -rf "$new"/program-*
mkdir -p "$new"

awk -v new="$new" -v root="$PWD" '
    /^```toml/ { toml = ""; into = "toml"; next }
    /^```rust/ { code = ""; into = "code"; next }
    /^```/ && into == "toml" { into = ""; next }
    /^```/ && into == "code" {
        into = ""
        dir = new "/program-" ++count
        file = code ~ /fn main\(\)/ ? "main.rs" : "lib.rs"
        system("mkdir -p " dir "/src")
        printf "%s", code > (dir "/src/" file)
        printf "[package]\nname = \"program-%d\"\nedition = \"2024\"\n\n%s\n[workspace]\n", count, toml > (dir "/Cargo.toml")
    }
    into == "toml" {
        sub(/taskgroup = "0.1"/, "taskgroup = { version = \"0.1\" }")
        if (/^taskgroup = /) sub(/version = "0.1"/, "path = \"" root "\"")
        toml = toml $0 "\n"
    }
    into == "code" { code = code $0 "\n" }
    /^```/ { into = "" }
' README.md

for program in "$new"/program-*; do
    echo "--- ${program##*/}"
    cd "$program"
    if [ -e src/main.rs ]; then cargo run --quiet; else cargo build --quiet; fi
done
