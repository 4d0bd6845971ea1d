//! Tries the mutants that `cargo mutants` lists, all of them built together: see `tests/mutants/README.md`.
//!
//! Run in the crate's folder. It works on a copy in `target/mutants/together`.

mod rewrite;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use serde_json::Value;

use crate::tree::{Outcome, Tree};

/// What is mutated. Not `ended.rs`: on one thread no child finds the table taken, so it is for the model checker.
const FILES: [&str; 7] = [
    "src/state.rs",
    "src/table.rs",
    "src/entry.rs",
    "src/ticket.rs",
    "src/child.rs",
    "src/group.rs",
    "src/handle.rs",
];

/// How many are tried at a time. Those that hang need no processor.
const AT_ONCE: usize = 6;

/// No mutant has this id.
const NONE: usize = 0;

/// One change to the source, as `cargo mutants` names it.
pub struct Mutant {
    pub id: usize,
    pub file: String,
    pub name: String,
    /// What is put in the place of what is at `line` and `column`, counted from 1.
    pub replacement: String,
    pub line: usize,
    pub column: usize,
    /// Whether the body of a function is replaced.
    pub is_body: bool,
}

fn main() {
    let mutants = list();
    let tree = Tree::copy();
    let left_out = tree.build(&mutants);
    let without = tree.run(NONE);
    assert_eq!(without.kind(), "missed", "without a mutant: {without}");
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(BTreeMap::new());
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some(mutant) = mutants.get(next.fetch_add(1, Relaxed)) {
                    let outcome = match left_out.get(&mutant.id) {
                        Some(why) => why.clone(),
                        None => tree.run(mutant.id),
                    };
                    println!("{outcome} {}", mutant.name);
                    outcomes.lock().unwrap().insert(mutant.id, outcome);
                }
            });
        }
    });
    sum_up(&mutants, &outcomes.into_inner().unwrap());
}

fn list() -> Vec<Mutant> {
    let files = FILES.iter().flat_map(|file| ["--file", file]);
    let json = tree::output("cargo", ["mutants", "--list", "--json"].into_iter().chain(files));
    let list: Vec<Value> = serde_json::from_str(&json).expect("cargo-mutants writes JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_string();
    let number = |value: &Value| value.as_u64().expect("a number") as usize;
    let mutant = |(at, value): (usize, &Value)| Mutant {
        id: at + 1,
        file: text(&value["file"]),
        name: text(&value["name"]),
        replacement: text(&value["replacement"]),
        line: number(&value["span"]["start"]["line"]),
        column: number(&value["span"]["start"]["column"]),
        is_body: value["genre"] == "FnValue",
    };
    list.iter().enumerate().map(mutant).collect()
}

fn sum_up(mutants: &[Mutant], outcomes: &BTreeMap<usize, Outcome>) {
    let kinds: BTreeSet<_> = outcomes.values().map(Outcome::kind).collect();
    for file in FILES {
        print!("{file}:");
        for kind in &kinds {
            let same = |mutant: &&Mutant| mutant.file == file && outcomes[&mutant.id].kind() == *kind;
            print!(" {} {kind}", mutants.iter().filter(same).count());
        }
        println!();
    }
}
