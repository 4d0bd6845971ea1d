//! Random trees of operations, in the simulation, against a model of what has to happen.
//!
//! `TASKGROUP_TREES` sets how many. What fails is made smaller, and kept in `tests/model.regressions`, which later runs begin
//! with.
//!
//! ```text
//! TASKGROUP_TREES=100000 cargo test --release --features sim --test model -- --nocapture
//! ```

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod play;
mod program;
mod reference;

use std::cell::{Cell, RefCell};
use std::time::Instant;

use proptest::prelude::any;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use taskgroup::sim::Checker;

use crate::play::play;
use crate::program::{Census, KINDS, programs};

/// How many trees there are if nothing else is said.
const TREES: u32 = 1_200;

#[test]
fn trees_do_what_the_model_says() {
    let trees = std::env::var("TASKGROUP_TREES").map_or(TREES, |trees| trees.parse().unwrap());
    let config = Config {
        cases: trees,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model.regressions"))),
        ..Config::default()
    };
    let (begun, seen) = (Instant::now(), RefCell::new(Vec::new()));
    let result = TestRunner::new(config).run(&(programs(), any::<u64>()), |(program, seed)| {
        let done = Cell::new(Census::default());
        let checker = Checker::new().schedules(4).seed(seed);
        let found = checker.try_check(async |sim| done.set(play(sim, &program).await));
        seen.borrow_mut().push(done.get());
        found.map(drop).map_err(|error| TestCaseError::fail(error.to_string()))
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    tell(&seen.into_inner(), begun);
}

/// Enough was done, and enough of everything.
fn tell(seen: &[Census], begun: Instant) {
    let mut sizes: Vec<_> = seen.iter().map(|census| census.operations).collect();
    sizes.sort();
    let median = sizes[sizes.len() / 2];
    println!("{} trees in {:?}, of {median} operations done in the median", seen.len(), begun.elapsed());
    assert!(median >= 20, "{median} operations");
    for (at, kind) in KINDS.iter().enumerate() {
        let with = seen.iter().filter(|census| census.of[at] > 0).count();
        let percent = with * 100 / seen.len();
        println!("{percent:>3} % with {kind}");
        assert!(percent >= 10, "{kind}");
    }
}
