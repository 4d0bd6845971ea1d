//! Executors that have an owner, and go away.

use std::sync::{Arc, Weak};

use async_executor::Executor;
use futures_lite::future::block_on;
#[cfg(feature = "pool")]
use taskgroup::Pool;
use taskgroup::Spawner;

use super::{Runtime, grow_all};

#[path = "../../common/executors.rs"]
mod executors;

#[test]
fn global() {
    grow_all(|| Runtime::lasting(taskgroup::Smol));
}

#[test]
fn executor_1() {
    grow_all(|| executor(0, |executor| executor, |weak| weak));
}

#[test]
fn executor_4() {
    grow_all(|| executor(4, |executor| executor, |weak| weak));
}

#[cfg(feature = "pool")]
#[test]
fn pool() {
    grow_all(|| executor(4, Pool::new, Pool::new));
}

#[test]
fn executor_that_is_not_owned() {
    grow_all(|| Runtime { outlived: true, ..executor(4, |executor| Arc::downgrade(&executor), |weak| weak) });
}

#[cfg(feature = "pool")]
#[test]
fn pool_that_does_not_own() {
    let pool = |executor| Pool::new(Arc::downgrade(&executor));
    grow_all(move || Runtime { outlived: true, ..executor(4, pool, Pool::new) });
}

/// An executor that is driven by the host and `threads` threads, with spawners for the outermost group and for the groups
/// inside.
fn executor<S: Spawner, T: Spawner>(
    threads: usize,
    outermost: fn(Arc<Executor<'static>>) -> S,
    inner: fn(Weak<Executor<'static>>) -> T,
) -> Runtime {
    let executor = Arc::new(Executor::new());
    let weak = Arc::downgrade(&executor);
    Runtime::ending(outermost(executor.clone()), inner(weak.clone()), move |host| {
        let threads = executors::Threads::that_drive(threads, &executor);
        block_on(executor.run(host));
        drop((threads, executor));
        assert!(weak.upgrade().is_none(), "something keeps the executor");
    })
}
