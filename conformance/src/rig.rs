//! The description of the spawner and the runtime on which a case runs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures_lite::future;
use taskgroup::{AnySpawner, Spawner};

/// The host of a case: the future that opens the groups and is not a child itself.
pub type Host<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Describes a spawner under test: how to run a host beside it, and what the cases may rely on.
///
/// A new rig is made for each case. The cases rely only on properties that were stated. Each stated property makes cases
/// stricter, because they then know in which order things happen.
///
/// # Examples
///
/// A runtime that lives as long as the case and has four threads for children:
///
/// ```
/// # #[derive(Clone)]
/// # struct MySpawner;
/// # impl taskgroup::Spawner for MySpawner {
/// #     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> taskgroup::Task<()> {
/// #         taskgroup_conformance::spawners::ThreadEach.spawn(future)
/// #     }
/// # }
/// # struct MyRuntime;
/// # impl MyRuntime {
/// #     fn with_threads(_: usize) -> Self { Self }
/// #     fn spawner(&self) -> MySpawner { MySpawner }
/// #     fn block_on<F: Future>(&self, host: F) -> F::Output { futures_lite::future::block_on(host) }
/// # }
/// use taskgroup_conformance::Rig;
///
/// fn my_runtime() -> Rig<MySpawner> {
///     let runtime = MyRuntime::with_threads(4);
///     Rig::new(runtime.spawner()).workers(4).block_on(move |host| runtime.block_on(host))
/// }
///
/// taskgroup_conformance::suite!(my_runtime, my_runtime);
/// # fn main() {}
/// ```
pub struct Rig<S = AnySpawner> {
    // Dropped before the runtime that `block_on` may own.
    pub(crate) spawner: S,
    pub(crate) block_on: Box<dyn Fn(Host<'_>)>,
    pub(crate) workers: Option<usize>,
    pub(crate) one_thread: bool,
    pub(crate) inline: bool,
    pub(crate) costly: bool,
    pub(crate) restless: bool,
}

impl<S: Spawner> Rig<S> {
    /// Creates a rig that states nothing about the spawner, with a host that blocks its thread.
    pub fn new(spawner: S) -> Self {
        Self {
            spawner,
            block_on: Box::new(|host| future::block_on(host)),
            workers: None,
            one_thread: false,
            inline: false,
            costly: false,
            restless: false,
        }
    }

    /// Sets how a host is run.
    ///
    /// The function may own the runtime, which is then dropped when the case is over.
    pub fn block_on(mut self, block_on: impl Fn(Host<'_>) + 'static) -> Self {
        self.block_on = Box::new(block_on);
        self
    }

    /// States that exactly this many threads poll the children.
    ///
    /// # Panics
    ///
    /// Panics if `threads` is 0.
    pub fn workers(mut self, threads: usize) -> Self {
        assert!(threads > 0, "somebody has to poll the children");
        self.workers = Some(threads);
        self
    }

    /// States that the host and all children share one thread.
    ///
    /// So nothing else happens between two awaits of the host.
    pub fn one_thread(mut self) -> Self {
        self.one_thread = true;
        self.workers(1)
    }

    /// States that `spawn` polls the child.
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// States that each child needs a thread, so that there cannot be many at once.
    pub fn costly(mut self) -> Self {
        self.costly = true;
        self
    }

    /// States that children may be polled without having been woken.
    pub fn restless(mut self) -> Self {
        self.restless = true;
        self
    }

    /// Returns a clone of the spawner.
    pub fn spawner(&self) -> S {
        self.spawner.clone()
    }

    /// Replaces the spawner by another that is built on it, and keeps all that was stated.
    pub fn with_spawner<T: Spawner>(self, spawner: T) -> Rig<T> {
        let Self { block_on, workers, one_thread, inline, costly, restless, .. } = self;
        Rig { spawner, block_on, workers, one_thread, inline, costly, restless }
    }

    /// Erases the type of the spawner.
    pub fn erased(self) -> Rig {
        let spawner = AnySpawner::new(self.spawner());
        self.with_spawner(spawner)
    }
}

impl<S: Spawner> From<S> for Rig<S> {
    fn from(spawner: S) -> Self {
        Self::new(spawner)
    }
}

impl<S> fmt::Debug for Rig<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rig")
            .field("workers", &self.workers)
            .field("one_thread", &self.one_thread)
            .field("inline", &self.inline)
            .field("costly", &self.costly)
            .field("restless", &self.restless)
            .finish_non_exhaustive()
    }
}
