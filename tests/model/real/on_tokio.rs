//! Runtimes that go away, and tasks whose budget is spent.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

#[cfg(feature = "pool")]
use taskgroup::{AnySpawner, Pool};
use tokio::runtime::{Builder, Handle};
use tokio::task::coop;

use taskgroup_conformance::Host;

use super::{Runtime, grow_all};

#[test]
fn current_thread() {
    grow_all(|| on(Builder::new_current_thread()));
}

#[test]
fn workers_4() {
    grow_all(|| on(with_workers(4)));
}

#[cfg(feature = "pool")]
#[test]
fn pool() {
    grow_all(|| {
        let runtime = on(with_workers(2));
        let pool = AnySpawner::new(Pool::new(runtime.spawner));
        Runtime { inner: pool.clone(), spawner: pool, ..runtime }
    });
}

fn with_workers(n: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(n);
    builder
}

fn on(mut builder: Builder) -> Runtime {
    let runtime = builder.build().unwrap();
    let handle = runtime.handle().clone();
    let run = move |host: Host<'_>| runtime.block_on(host);
    Runtime { strain: spend_the_budget, outlived: true, ..Runtime::ending(handle.clone(), handle, run) }
}

/// Spends what the current task may do before it has to yield, if this is a task.
fn spend_the_budget() {
    let mut cx = Context::from_waker(Waker::noop());
    while Handle::try_current().is_ok() && coop::has_budget_remaining() {
        let _ = pin!(coop::consume_budget()).poll(&mut cx);
    }
}
