//! Random trees of operations: in the simulation, against a model of what has to happen; and on real runtimes.
//!
//! `TASKGROUP_TREES` sets how many trees there are in the simulation, a hundred or more. A tree that fails is made smaller,
//! and kept in `tests/model.regressions`, with which later runs begin. `TASKGROUP_REAL_TREES` sets how many trees there are
//! on each runtime.
//!
//! ```text
//! TASKGROUP_TREES=100000 TASKGROUP_REAL_TREES=2000 cargo test --release --all-features --test model -- --nocapture
//! ```
//!
//! Faults that were planted and found, without the trees that were kept from before:
//!
//! | Fault | Where it shows |
//! |---|---|
//! | `child.rs`: a child leaves the count before its future is dropped | the simulation, most runtimes |
//! | `scope.rs`: a body is polled without the ambient context, so nothing is linked to it | everywhere |
//! | `member.rs`: a member that is cut does not wait for groups inside | everywhere |
//! | `effects.rs`: a `Task` is dropped under the lock | `real::wherever_woken`, which hangs |
//! | `state.rs`: a group is checked for being open before the lock is taken | most runtimes, with spawns from outside |
//! | `backends/tokio.rs`: a control task polls the native handle | `real::on_tokio`, when the budget is spent: a stack overflow |
//! | `child.rs`: a child that is lost reports that it was cancelled | runtimes that are outlived |
//! | `state.rs`: a child that is lost does not cancel its group | runtimes that are outlived |
//! | `ending.rs`: a join is answered although its member is cut | the simulation |
//! | `spawn.rs`: a child keeps its spawner | `real::on_smol`, when the executor goes away |

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

#[path = "../common/mod.rs"]
mod common;
mod limits;
mod member;
mod play;
mod program;
mod real;
mod reference;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use proptest::prelude::any;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use taskgroup::sim::{Checker, Sim};

use crate::play::{Play, World};
use crate::program::{Census, KINDS, programs};

/// How many trees there are by default.
const TREES: u32 = 1_200;

impl World for Sim {
    type Spawner = Self;
    const SECOND: Duration = Duration::from_secs(1);
    const IN_ORDER: bool = true;

    fn outermost(&self) -> Self {
        self.clone()
    }
}

fn trees() -> u32 {
    std::env::var("TASKGROUP_TREES").map_or(TREES, |trees| trees.parse().unwrap())
}

#[test]
fn trees_do_what_the_model_says() {
    let config = Config {
        cases: trees(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model.regressions"))),
        ..Config::default()
    };
    let (begun, seen) = (Instant::now(), RefCell::new(Vec::new()));
    let result = TestRunner::new(config).run(&(programs(), any::<u64>()), |(program, seed)| {
        let done = Cell::new(Census::default());
        let checker = Checker::new().schedules(4).seed(seed);
        let found = checker.try_check(async |sim: Sim| {
            let play = Play::new(sim.clone());
            play.root(program.clone()).await;
            done.set(play.finish(Duration::ZERO));
            assert_eq!(sim.alive(), 0);
        });
        seen.borrow_mut().push(done.get());
        found.map(drop).map_err(|error| TestCaseError::fail(error.to_string()))
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    tell(&seen.into_inner(), begun);
}

/// Checks that enough operations were done, and enough of every kind.
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
