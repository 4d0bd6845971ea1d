//! Tries the mutants that `cargo mutants` lists, all of them built together: see `tests/mutants/README.md`.
//!
//! Run it in the crate's folder, and name what is mutated: see [`plan`]. It works on copies in `target/mutants`.

mod plan;
mod rewrite;
mod tree;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use serde_json::Value;

use crate::plan::Plan;
use crate::tree::{Outcome, Tree, output};

/// One change to the source, as `cargo mutants` names it.
pub struct Mutant {
    pub id: usize,
    pub file: String,
    pub name: String,
    /// What replaces the code at `line` and `column`, which are counted from 1.
    pub replacement: String,
    pub line: usize,
    pub column: usize,
    /// Whether the body of a function is replaced.
    pub is_body: bool,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (files, plans) = plan::of(&args.next().unwrap_or("core".into()));
    // Perhaps only some of the files.
    let only: Vec<_> = args.collect();
    let is_meant = |file: &&&str| only.is_empty() || only.iter().any(|only| only == *file);
    let files: &[_] = &files.iter().filter(is_meant).copied().collect::<Vec<_>>();
    let mutants = list(files);
    let mut outcomes: BTreeMap<_, Outcome> = BTreeMap::new();
    for plan in plans {
        let is_left =
            |mutant: &&Mutant| outcomes.get(&mutant.id).is_none_or(|outcome| outcome.kind() == "missed");
        let left: Vec<_> = mutants.iter().filter(is_left).collect();
        outcomes.extend(attempt(plan, files, &left));
    }
    sum_up(files, &mutants, &outcomes);
}

fn attempt(plan: &'static Plan, files: &[&'static str], mutants: &[&Mutant]) -> BTreeMap<usize, Outcome> {
    let mut tree = Tree::copy(plan, files);
    let left_out = tree.build(mutants);
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(BTreeMap::new());
    thread::scope(|threads| {
        for _ in 0..plan.at_once {
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
    outcomes.into_inner().unwrap()
}

fn list(files: &[&str]) -> Vec<Mutant> {
    let files = files.iter().flat_map(|file| ["--file", file]);
    let json = output(
        Command::new("cargo").args(["mutants", "--list", "--json", "--exclude-re", "tests::"]).args(files),
    );
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

fn sum_up(files: &[&str], mutants: &[Mutant], outcomes: &BTreeMap<usize, Outcome>) {
    let kinds: BTreeSet<_> = outcomes.values().map(Outcome::kind).collect();
    for file in files {
        print!("{file}:");
        for kind in &kinds {
            let same = |mutant: &&Mutant| mutant.file == *file && outcomes[&mutant.id].kind() == *kind;
            print!(" {} {kind}", mutants.iter().filter(same).count());
        }
        println!();
    }
}
