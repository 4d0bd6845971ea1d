//! smol, and the executors it is made of.

use std::future::Future;
use std::pin::Pin;
use std::rc::{self, Rc};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_executor::{Executor, LocalExecutor, StaticExecutor};

use crate::runtime::{Adopt, LocalSpawner, SpawnBlocking, Timed, Timer, lazily};
use crate::{Spawner, Task};

/// smol's global executor: children are started with `smol::spawn`.
///
/// The executor is never shut down, so no child is ever lost on it. By default it has one thread; the environment variable
/// `SMOL_THREADS` sets another number.
///
/// # Examples
///
/// ```
/// use taskgroup::{Smol, TaskGroup};
///
/// let group = TaskGroup::new(Smol);
/// group.launch(async {});
/// smol::block_on(group.join()).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Smol;

impl Spawner for Smol {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        smol::spawn(future)
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(*self)
    }
}

/// An executor of your own.
///
/// Children do not keep it alive: when its last owner drops it, they are lost.
///
/// Drive the executor from outside every group whose children run on it. A member that a cancel has stopped is not polled
/// any more, and so drives nothing.
///
/// Let groups end before the executor is dropped. If it is dropped while another thread is in the middle of waking a child,
/// it never drops that child, and so the child's group never ends. This is so up to `async-executor` 1.14.1 at least.
impl Spawner for Arc<Executor<'static>> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Executor::spawn(self, future)
    }
}

/// An executor of your own that groups do not keep alive.
///
/// When it is gone, new children are lost at once. Let groups end before the executor is dropped, as with an
/// [`Arc<Executor>`](Executor).
impl Spawner for Weak<Executor<'static>> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.upgrade() {
            Some(executor) => Executor::spawn(&executor, future),
            None => lose(future),
        }
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// An executor that lives as long as the program.
impl Spawner for &'static Executor<'static> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Executor::spawn(self, future)
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self)
    }
}

/// The fastest of smol's executors.
impl Spawner for &'static StaticExecutor {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        StaticExecutor::spawn(self, future)
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self)
    }
}

/// An executor for children that stay on the thread that drives it.
///
/// As with [`Arc<Executor>`](Executor), drive it from outside every group whose children run on it, and drop it after these
/// groups have ended. A child that holds a [`Group`](crate::Group) keeps it alive: see `rc::Weak` below.
impl LocalSpawner for Rc<LocalExecutor<'static>> {
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static,
    {
        LocalExecutor::spawn(self, future)
    }
}

/// An executor for children that stay on the thread that drives it, which groups do not keep alive.
///
/// It is for children that hold a [`Group`](crate::Group): with an [`Rc`](LocalExecutor) they would keep the executor, and the
/// executor them. When it is gone, new children are lost at once.
impl LocalSpawner for rc::Weak<LocalExecutor<'static>> {
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static,
    {
        match self.upgrade() {
            Some(executor) => LocalExecutor::spawn(&executor, future),
            None => lose(future),
        }
    }
}

/// Gives a task whose child is lost.
fn lose(future: impl Sized) -> Task<()> {
    drop(future);
    crate::adopt(())
}

impl Timed for Smol {
    type Timer = Self;

    fn timer(&self) -> Self {
        *self
    }
}

/// The clock of `async-io`, which all of smol's executors use.
impl Timer for Smol {
    type Sleep = Sleep;

    fn now(&self) -> Duration {
        start().elapsed()
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        Sleep(start().checked_add(at).map_or_else(smol::Timer::never, smol::Timer::at))
    }
}

/// When the clock of [`Smol`] began.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// A sleep by the clock of `async-io`.
#[derive(Debug)]
pub struct Sleep(smol::Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// Executors use the clock of [`Smol`], and run work that blocks on the threads of `smol::unblock`.
macro_rules! like_smol {
    ($($executor:ty),*) => {
        $(impl Timed for $executor {
            type Timer = Smol;

            fn timer(&self) -> Smol {
                Smol
            }
        }

        impl SpawnBlocking for $executor {
            fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
            where
                W: FnOnce() -> O + Send + 'static,
                O: Send + 'static,
            {
                Smol.spawn_blocking(work)
            }
        })*
    };
}

like_smol!(
    Arc<Executor<'static>>,
    Weak<Executor<'static>>,
    &'static Executor<'static>,
    &'static StaticExecutor,
    Rc<LocalExecutor<'static>>,
    rc::Weak<LocalExecutor<'static>>
);

impl SpawnBlocking for Smol {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        lazily(move || smol::unblock(work))
    }
}
