//! The simulation: what it finds and reports, that it repeats runs, and the crate's own behaviour in it.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod checks;
mod cuts;
mod finds;
mod models;
mod nondeterminism;
mod planted;
#[cfg(feature = "pool")]
mod pool;
mod time;
mod tokens;

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future::yield_now;
use taskgroup::sim::{CheckError, Checker, Sim};

/// A few schedules of each kind.
fn some() -> Checker {
    Checker::new().schedules(200)
}

/// Returns what is wrong with a scenario.
#[track_caller]
fn fault(scenario: impl AsyncFn(Sim)) -> CheckError {
    some().try_check(scenario).expect_err("something is wrong with it")
}

async fn yields(n: u32) {
    for _ in 0..n {
        yield_now().await;
    }
}

/// Counts its other clones that are alive.
#[derive(Clone, Default)]
struct Alive(Rc<Cell<()>>);

impl Alive {
    fn count(&self) -> usize {
        Rc::strong_count(&self.0) - 1
    }
}
