//! A rig for each runtime.

#[cfg(feature = "smol")]
use std::sync::{Arc, Mutex};

#[cfg(feature = "smol")]
use async_executor::{Executor, StaticExecutor};
#[cfg(feature = "smol")]
use futures_lite::future::block_on;
#[cfg(feature = "pool")]
use taskgroup::{Pool, Spawner};
use taskgroup_conformance::Rig;
use taskgroup_conformance::spawners::{Inline, Spurious, ThreadEach};
#[cfg(feature = "tokio")]
use tokio::runtime::{Builder, Handle, Runtime};

#[cfg(feature = "smol")]
#[path = "../common/executors.rs"]
mod executors;

/// A thread for each child.
pub fn threads() -> Rig<ThreadEach> {
    Rig::new(ThreadEach).costly()
}

/// The first poll happens inside `spawn`.
pub fn inline() -> Rig<Inline> {
    Rig::new(Inline).workers(1).inline()
}

/// More polls than wake-ups, in random order, and late wake-ups.
pub fn spurious() -> Rig<Spurious> {
    Rig::new(Spurious).restless()
}

/// smol's global executor.
#[cfg(feature = "smol")]
pub fn smol_global() -> Rig<taskgroup::Smol> {
    Rig::new(taskgroup::Smol).workers(1).block_on(|host| smol::block_on(host))
}

/// An executor of the test's own, driven only by the thread of the host.
#[cfg(feature = "smol")]
pub fn smol_executor_1() -> Rig<Arc<Executor<'static>>> {
    let executor = Arc::new(Executor::new());
    Rig::new(executor.clone()).one_thread().block_on(move |host| block_on(executor.run(host)))
}

/// An executor of the test's own, driven by four threads; the host has another thread.
#[cfg(feature = "smol")]
pub fn smol_executor_4() -> Rig<Arc<Executor<'static>>> {
    let executor = Arc::new(Executor::new());
    let threads = executors::Threads::that_drive(4, &executor);
    Rig::new(executor).workers(4).block_on(move |host| threads.block_on(host))
}

/// A static executor, driven only by the thread of the host.
#[cfg(feature = "smol")]
pub fn smol_static() -> Rig<&'static StaticExecutor> {
    let executor = leaked();
    Rig::new(executor).one_thread().block_on(|host| block_on(executor.run(host)))
}

/// async-std's global executor, with a thread for each core.
#[cfg(feature = "async-std")]
pub fn async_std() -> Rig<taskgroup::AsyncStd> {
    let cores = std::thread::available_parallelism().unwrap();
    Rig::new(taskgroup::AsyncStd).workers(cores.get()).block_on(|host| async_std::task::block_on(host))
}

/// Tokio with a single thread, which is the host's.
#[cfg(feature = "tokio")]
pub fn tokio_current_thread() -> Rig<Handle> {
    tokio_on(Builder::new_current_thread().enable_all().build().unwrap()).one_thread()
}

/// Tokio with one worker; the host has another thread.
#[cfg(feature = "tokio")]
pub fn tokio_1_worker() -> Rig<Handle> {
    tokio_workers(1)
}

/// Tokio with four workers; the host has another thread.
#[cfg(feature = "tokio")]
pub fn tokio_4_workers() -> Rig<Handle> {
    tokio_workers(4)
}

#[cfg(feature = "tokio")]
pub fn tokio_workers(n: usize) -> Rig<Handle> {
    tokio_on(Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap()).workers(n)
}

#[cfg(feature = "tokio")]
fn tokio_on(runtime: Runtime) -> Rig<Handle> {
    Rig::new(runtime.handle().clone()).block_on(move |host| runtime.block_on(host))
}

/// A pool on the executor that four threads drive.
#[cfg(all(feature = "pool", feature = "smol"))]
pub fn pool_on_smol() -> Rig<Pool<Arc<Executor<'static>>>> {
    pooled(smol_executor_4())
}

/// A pool on async-std.
#[cfg(all(feature = "pool", feature = "async-std"))]
pub fn pool_on_async_std() -> Rig<Pool<taskgroup::AsyncStd>> {
    pooled(async_std())
}

/// A pool on Tokio with two workers.
#[cfg(all(feature = "pool", feature = "tokio"))]
pub fn pool_on_tokio() -> Rig<Pool<Handle>> {
    pooled(tokio_workers(2))
}

/// A pool on the spawner of another rig. Its children run on as many drivers at once as that rig has workers.
#[cfg(feature = "pool")]
#[allow(dead_code, reason = "a pool is tested on the runtimes that there are")]
fn pooled<S: Spawner>(rig: Rig<S>) -> Rig<Pool<S>> {
    let pool = Pool::new(rig.spawner());
    rig.with_spawner(pool)
}

/// Keeps static executors reachable, so that a leak checker does not report them.
#[cfg(feature = "smol")]
static REGISTRY: Mutex<Vec<&'static StaticExecutor>> = Mutex::new(Vec::new());

#[cfg(feature = "smol")]
fn leaked() -> &'static StaticExecutor {
    let executor: &'static StaticExecutor = Box::leak(Box::new(StaticExecutor::new()));
    REGISTRY.lock().unwrap().push(executor);
    executor
}
