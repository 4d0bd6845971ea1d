//! The runtimes, with what the contestants need of each.
//!
//! A [`Runtime`] is a value that children may hold, as small as in a program on that runtime. Its [`Host`] stays with
//! `main` and runs the parent, always as a task of the runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use async_executor::{Executor, StaticExecutor, Task};
use async_executors::JoinHandle as NurseryHandle;
use futures_lite::future::{block_on, pending};
use futures_util::FutureExt;
use taskgroup::runtime::Timed;
use taskgroup::{AsyncStd, Spawner};

use crate::contestants::{Competitor, Entry, on_any, on_tokio};

/// The names of all runtimes, in the order in which they run.
pub const NAMES: [&str; 7] = ["smol-1", "smol-2", "static-1", "static-2", "async-std", "tokio-ct", "tokio-2"];

pub trait Runtime: Clone + Send + Sync + 'static {
    /// The spawner for our groups.
    type Spawner: Spawner + Timed;
    /// The runtime's own handle, which is ready with the value.
    type Handle<T: Send + 'static>: Future<Output = T> + Unpin + Send + 'static;

    fn spawner(&self) -> Self::Spawner;

    fn spawn<F>(&self, child: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    fn detach<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Requests the cancel, and does not wait for it.
    fn cancel<T: Send + 'static>(handle: Self::Handle<T>);

    /// Spawns for async_nursery. It has handles of its own. For a runtime that it does not know, it uses the handle of
    /// `futures`. Here it does so for async-std too, because its support for async-std turns on async-std's unstable
    /// features everywhere.
    fn nurse<F>(&self, child: F) -> NurseryHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (child, handle) = child.remote_handle();
        self.detach(child);
        NurseryHandle::remote_handle(handle)
    }
}

pub trait Host {
    type Runtime: Runtime;

    fn runtime(&self) -> Self::Runtime;

    /// The contestants on this runtime.
    fn contestants() -> Vec<Entry<Self::Runtime>>;

    /// Runs `parent` as a task of the runtime.
    fn run<F>(&self, parent: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static;
}

/// Work on a runtime that is only known by its name.
pub trait Visit {
    type Output;

    fn visit<H: Host>(self, host: H) -> Self::Output;
}

/// Starts the runtime with this name, which is one of [`NAMES`].
pub fn start<V: Visit>(name: &str, visit: V) -> V::Output {
    static EXECUTOR: StaticExecutor = StaticExecutor::new();
    match name {
        "smol-1" => visit.visit(Threads::start(Arc::new(Executor::new()), 1)),
        "smol-2" => visit.visit(Threads::start(Arc::new(Executor::new()), 2)),
        "static-1" => visit.visit(Threads::start(&EXECUTOR, 1)),
        "static-2" => visit.visit(Threads::start(&EXECUTOR, 2)),
        "async-std" => visit.visit(AsyncStdHost),
        "tokio-ct" => visit.visit(TokioHost::current_thread()),
        "tokio-2" => visit.visit(TokioHost::two_workers()),
        _ => unreachable!("names are looked up in `NAMES` before"),
    }
}

/// Returns the contestants on the runtime with this name, without starting it.
pub fn lineup(runtime: &str) -> Vec<Competitor> {
    fn lineup<H: Host>() -> Vec<Competitor> {
        H::contestants().iter().map(Entry::competitor).collect()
    }
    match runtime {
        "smol-1" | "smol-2" => lineup::<Threads<Arc<Executor<'static>>>>(),
        "static-1" | "static-2" => lineup::<Threads<&'static StaticExecutor>>(),
        "async-std" => lineup::<AsyncStdHost>(),
        _ => lineup::<TokioHost>(),
    }
}

/// The two executors of smol behind one trait.
pub trait SmolExecutor: Spawner + Timed {
    fn start<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    fn drive<F: Future>(&self, future: F) -> impl Future<Output = F::Output>;
}

impl SmolExecutor for Arc<Executor<'static>> {
    fn start<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        Executor::spawn(self, future)
    }

    fn drive<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        Executor::run(self, future)
    }
}

impl SmolExecutor for &'static StaticExecutor {
    fn start<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        StaticExecutor::spawn(self, future)
    }

    fn drive<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        StaticExecutor::run(self, future)
    }
}

impl<X: SmolExecutor> Runtime for X {
    type Spawner = X;
    type Handle<T: Send + 'static> = Task<T>;

    fn spawner(&self) -> X {
        self.clone()
    }

    fn spawn<F>(&self, child: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.start(child)
    }

    fn detach<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(child).detach();
    }

    fn cancel<T: Send + 'static>(handle: Task<T>) {
        drop(handle);
    }
}

/// An executor on one thread, which is the calling one, or on several threads that do nothing else.
struct Threads<X> {
    executor: X,
    threads: usize,
}

impl<X: SmolExecutor> Threads<X> {
    fn start(executor: X, threads: usize) -> Self {
        // With one thread, that thread stays the only one: malloc is cheaper in such a process.
        for _ in (0..threads).filter(|_| threads > 1) {
            let executor = executor.clone();
            thread::spawn(move || block_on(executor.drive(pending::<()>())));
        }
        Self { executor, threads }
    }
}

impl<X: SmolExecutor> Host for Threads<X> {
    type Runtime = X;

    fn runtime(&self) -> X {
        self.executor.clone()
    }

    fn contestants() -> Vec<Entry<X>> {
        on_any()
    }

    fn run<F>(&self, parent: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let parent = self.executor.start(parent);
        if self.threads > 1 { block_on(parent) } else { block_on(self.executor.drive(parent)) }
    }
}

/// async-std, with the number of threads that its environment variable sets: two, see `passes`.
#[derive(Clone)]
pub struct OnAsyncStd;

impl Runtime for OnAsyncStd {
    type Spawner = AsyncStd;
    type Handle<T: Send + 'static> = async_std::task::JoinHandle<T>;

    fn spawner(&self) -> AsyncStd {
        AsyncStd
    }

    fn spawn<F>(&self, child: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        async_std::task::spawn(child)
    }

    fn detach<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        async_std::task::spawn(child);
    }

    fn cancel<T: Send + 'static>(handle: Self::Handle<T>) {
        // The first poll requests the cancel.
        let _ = std::pin::pin!(handle.cancel()).poll(&mut Context::from_waker(Waker::noop()));
    }
}

struct AsyncStdHost;

impl Host for AsyncStdHost {
    type Runtime = OnAsyncStd;

    fn runtime(&self) -> OnAsyncStd {
        OnAsyncStd
    }

    fn contestants() -> Vec<Entry<OnAsyncStd>> {
        on_any()
    }

    fn run<F>(&self, parent: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        block_on(async_std::task::spawn(parent))
    }
}

/// The Tokio runtime of the calling thread.
#[derive(Clone)]
pub struct OnTokio;

impl Runtime for OnTokio {
    type Spawner = tokio::runtime::Handle;
    type Handle<T: Send + 'static> = TokioHandle<T>;

    fn spawner(&self) -> tokio::runtime::Handle {
        tokio::runtime::Handle::current()
    }

    fn spawn<F>(&self, child: F) -> TokioHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        TokioHandle(tokio::spawn(child))
    }

    fn detach<F>(&self, child: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(child);
    }

    fn cancel<T: Send + 'static>(handle: TokioHandle<T>) {
        handle.0.abort();
    }

    fn nurse<F>(&self, child: F) -> NurseryHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        NurseryHandle::tokio(tokio::spawn(child))
    }
}

/// Tokio's handle of a child that is known to end by itself when the handle is awaited.
pub struct TokioHandle<T>(tokio::task::JoinHandle<T>);

impl<T> Future for TokioHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.expect("neither aborted nor panicked"))
    }
}

struct TokioHost(tokio::runtime::Runtime);

impl TokioHost {
    fn current_thread() -> Self {
        Self(tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"))
    }

    fn two_workers() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self(builder.worker_threads(2).enable_all().build().expect("a runtime"))
    }
}

impl Host for TokioHost {
    type Runtime = OnTokio;

    fn runtime(&self) -> OnTokio {
        OnTokio
    }

    fn contestants() -> Vec<Entry<OnTokio>> {
        on_tokio()
    }

    fn run<F>(&self, parent: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.0.block_on(async { tokio::spawn(parent).await.expect("the parent ends") })
    }
}
