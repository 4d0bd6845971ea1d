//! smol, and the executors it is made of.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_executor::{Executor, LocalExecutor, StaticExecutor};

use crate::runtime::{Adopt, LocalSpawner, SpawnBlocking, Timed, Timer, lazily};
use crate::{Spawner, Task};

/// smol's global executor: children are started with `smol::spawn`.
///
/// It is never shut down, so nothing is ever lost on it. By default it has one thread; the environment variable
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

/// An executor of one's own. It is driven from outside of every group whose children run on it: a member that is cut
/// drives nothing any more. Children do not keep it alive: when its last owner drops it, they are lost.
///
/// Let groups end before it is dropped. One that is dropped while another thread is in the middle of waking a child
/// never drops that child, up to `async-executor` 1.14.1 at least, and so the group of it never ends.
impl Spawner for Arc<Executor<'static>> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Executor::spawn(self, future)
    }
}

/// An executor of one's own that groups do not keep alive. When it is gone, new children are lost at once.
impl Spawner for Weak<Executor<'static>> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.upgrade() {
            Some(executor) => Executor::spawn(&executor, future),
            None => {
                drop(future);
                crate::adopt(())
            }
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

/// An executor for children that stay on the thread that drives it. Like [`Arc<Executor>`](Executor), it is driven from
/// outside of every group whose children run on it, and dropped after them.
impl LocalSpawner for Rc<LocalExecutor<'static>> {
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static,
    {
        LocalExecutor::spawn(self, future)
    }
}

/// The clock of `async-io`, by which all of smol's executors go.
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

/// A sleep of `async-io`'s.
#[derive(Debug)]
pub struct Sleep(smol::Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// Executors go by the clock of [`Smol`], and block on the threads of `smol::unblock`.
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
    Rc<LocalExecutor<'static>>
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
