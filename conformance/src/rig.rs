//! What a case runs on.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures_lite::future;
use taskgroup::{AnySpawner, Spawner};

/// The host of a case: the future that opens the groups, and is no child itself.
pub type Host<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A spawner under test, how a host runs beside it, and what is known of both.
///
/// A new one is made for each case. Nothing is taken for granted that was not said: what is said makes cases stricter, as
/// they then know in which order things happen.
///
/// # Examples
///
/// A runtime that lives as long as the case, and has four threads for children:
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
    /// A spawner of which nothing is known, and a host that blocks its thread.
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

    /// How a host is run. The function may own the runtime, which is dropped when the case is over.
    pub fn block_on(mut self, block_on: impl Fn(Host<'_>) + 'static) -> Self {
        self.block_on = Box::new(block_on);
        self
    }

    /// Says that children are polled by exactly so many threads.
    ///
    /// # Panics
    ///
    /// If `threads` is 0.
    pub fn workers(mut self, threads: usize) -> Self {
        assert!(threads > 0, "somebody has to poll the children");
        self.workers = Some(threads);
        self
    }

    /// Says that the host and all children share one thread, so that nothing happens between two awaits of the host.
    pub fn one_thread(mut self) -> Self {
        self.one_thread = true;
        self.workers(1)
    }

    /// Says that `spawn` polls.
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// Says that a child costs a thread, so that there cannot be many at once.
    pub fn costly(mut self) -> Self {
        self.costly = true;
        self
    }

    /// Says that children may be polled without having been woken.
    pub fn restless(mut self) -> Self {
        self.restless = true;
        self
    }

    /// A clone of the spawner.
    pub fn spawner(&self) -> S {
        self.spawner.clone()
    }

    /// Puts another spawner in the place of this one, of which all that was said holds too: one that is built on it.
    pub fn with_spawner<T: Spawner>(self, spawner: T) -> Rig<T> {
        let Self { block_on, workers, one_thread, inline, costly, restless, .. } = self;
        Rig { spawner, block_on, workers, one_thread, inline, costly, restless }
    }

    /// Forgets the spawner's type.
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
