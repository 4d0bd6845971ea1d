//! A [`Rig`] for each runtime.

use std::future::Future;

use futures_lite::future::block_on;

use crate::rig::Rig;
use crate::spawners;

/// A rig whose spawner is a value, and whose host needs nothing of the runtime.
macro_rules! plain_rig {
    ($(#[$doc:meta])* $name:ident, $spawner:ty = $value:expr, $workers:expr, $block_on:path $(, $flag:ident)*) => {
        $(#[$doc])*
        pub struct $name;

        impl Rig for $name {
            type Spawner = $spawner;
            $(const $flag: bool = true;)*

            fn workers() -> usize {
                $workers
            }

            fn new() -> Self {
                Self
            }

            fn spawner(&self) -> $spawner {
                $value
            }

            fn block_on<F: Future>(&self, host: F) -> F::Output {
                $block_on(host)
            }
        }
    };
}

plain_rig!(
    /// A thread for each child.
    Threads, spawners::ThreadEach = spawners::ThreadEach, 1, block_on, COSTLY
);
plain_rig!(
    /// The first poll inside of `spawn`.
    Inline, spawners::Inline = spawners::Inline, 1, block_on, INLINE
);
#[cfg(feature = "smol")]
plain_rig!(
    /// smol's global executor.
    SmolGlobal, taskgroup::Smol = taskgroup::Smol, 1, smol::block_on
);
#[cfg(feature = "async-std")]
plain_rig!(
    /// async-std's global executor, with a thread for each core.
    AsyncStd, taskgroup::AsyncStd = taskgroup::AsyncStd,
    std::thread::available_parallelism().unwrap().get(), async_std::task::block_on
);

#[cfg(feature = "smol")]
pub use self::executors::{Executor1, Executor4, Static};
#[cfg(feature = "tokio")]
pub use self::tokio_rigs::{TokioCurrent, TokioMulti};

#[cfg(feature = "smol")]
mod executors {
    use std::sync::{Arc, Mutex};
    use std::thread::{self, JoinHandle};

    use async_executor::{Executor, StaticExecutor};

    use super::*;

    /// An executor of one's own, driven by the thread of the host alone.
    pub struct Executor1(Arc<Executor<'static>>);

    impl Rig for Executor1 {
        type Spawner = Arc<Executor<'static>>;
        const ONE_THREAD: bool = true;

        fn workers() -> usize {
            1
        }

        fn new() -> Self {
            Self(Arc::new(Executor::new()))
        }

        fn spawner(&self) -> Self::Spawner {
            self.0.clone()
        }

        fn block_on<F: Future>(&self, host: F) -> F::Output {
            block_on(self.0.run(host))
        }
    }

    /// An executor of one's own, driven by four threads beside the host's.
    pub struct Executor4 {
        executor: Arc<Executor<'static>>,
        stop: async_channel::Sender<()>,
        threads: Vec<JoinHandle<()>>,
    }

    impl Rig for Executor4 {
        type Spawner = Arc<Executor<'static>>;

        fn workers() -> usize {
            4
        }

        fn new() -> Self {
            let executor = Arc::new(Executor::new());
            let (stop, stopped) = async_channel::bounded::<()>(1);
            let threads = (0..4)
                .map(|_| {
                    let (executor, stopped) = (executor.clone(), stopped.clone());
                    thread::spawn(move || {
                        let _closed = block_on(executor.run(stopped.recv()));
                    })
                })
                .collect();
            Self { executor, stop, threads }
        }

        fn spawner(&self) -> Self::Spawner {
            self.executor.clone()
        }

        fn block_on<F: Future>(&self, host: F) -> F::Output {
            block_on(host)
        }
    }

    impl Drop for Executor4 {
        fn drop(&mut self) {
            self.stop.close();
            self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        }
    }

    /// A static executor, driven by the thread of the host alone.
    pub struct Static(&'static StaticExecutor);

    /// Keeps static executors reachable, so that a leak checker does not take them for lost.
    static REGISTRY: Mutex<Vec<&'static StaticExecutor>> = Mutex::new(Vec::new());

    impl Rig for Static {
        type Spawner = &'static StaticExecutor;
        const ONE_THREAD: bool = true;

        fn workers() -> usize {
            1
        }

        fn new() -> Self {
            let executor: &'static StaticExecutor = Box::leak(Box::new(StaticExecutor::new()));
            REGISTRY.lock().unwrap().push(executor);
            Self(executor)
        }

        fn spawner(&self) -> Self::Spawner {
            self.0
        }

        fn block_on<F: Future>(&self, host: F) -> F::Output {
            block_on(self.0.run(host))
        }
    }
}

#[cfg(feature = "tokio")]
mod tokio_rigs {
    use tokio::runtime::{Builder, Handle, Runtime};

    use super::*;

    /// Tokio with one thread for all, the host's.
    pub struct TokioCurrent(Runtime);

    impl Rig for TokioCurrent {
        type Spawner = Handle;
        const ONE_THREAD: bool = true;

        fn workers() -> usize {
            1
        }

        fn new() -> Self {
            Self(Builder::new_current_thread().enable_all().build().unwrap())
        }

        fn spawner(&self) -> Handle {
            self.0.handle().clone()
        }

        fn block_on<F: Future>(&self, host: F) -> F::Output {
            self.0.block_on(host)
        }
    }

    /// Tokio with `N` workers beside the thread of the host.
    pub struct TokioMulti<const N: usize>(Runtime);

    impl<const N: usize> Rig for TokioMulti<N> {
        type Spawner = Handle;

        fn workers() -> usize {
            N
        }

        fn new() -> Self {
            Self(Builder::new_multi_thread().worker_threads(N).enable_all().build().unwrap())
        }

        fn spawner(&self) -> Handle {
            self.0.handle().clone()
        }

        fn block_on<F: Future>(&self, host: F) -> F::Output {
            self.0.block_on(host)
        }
    }
}

#[cfg(all(feature = "pool", any(feature = "smol", feature = "async-std", feature = "tokio")))]
pub use self::pools::PoolOn;

#[cfg(all(feature = "pool", any(feature = "smol", feature = "async-std", feature = "tokio")))]
mod pools {
    use taskgroup::Pool;

    use super::*;

    /// A pool on another rig's spawner. Its children run on as many drivers at once as that one has workers.
    pub struct PoolOn<R: Rig> {
        pool: Pool<R::Spawner>,
        under: R,
    }

    impl<R: Rig> Rig for PoolOn<R> {
        type Spawner = Pool<R::Spawner>;
        const ONE_THREAD: bool = R::ONE_THREAD;

        fn workers() -> usize {
            R::workers()
        }

        fn new() -> Self {
            let under = R::new();
            Self { pool: Pool::new(under.spawner()), under }
        }

        fn spawner(&self) -> Self::Spawner {
            self.pool.clone()
        }

        fn block_on<F: Future>(&self, host: F) -> F::Output {
            self.under.block_on(host)
        }
    }
}
