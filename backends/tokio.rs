//! Tokio.

#[path = "tokio/kicker.rs"]
mod kicker;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::rc::{self, Rc};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use crate::runtime::{Adopt, LocalSpawner, SpawnBlocking, Timed, Timer, lazily};
use crate::spawner::adopt::unless;
use crate::{Spawner, Task, adopt};

/// Finds the Tokio runtime to run children on.
///
/// It is not a spawner itself. The spawner is [`tokio::runtime::Handle`], from wherever you have it, or from
/// `Tokio::current()?`.
///
/// # Examples
///
/// ```
/// use taskgroup::{TaskGroup, Tokio};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// runtime.block_on(async {
///     let group = TaskGroup::new(Tokio::current()?);
///     group.launch(async {});
///     group.join().await?;
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
///
/// assert!(Tokio::current().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tokio;

impl Tokio {
    /// Returns the handle of the runtime in whose context this is called.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] if it is called outside any Tokio runtime.
    pub fn current() -> Result<Handle, NoRuntime> {
        Handle::try_current().map_err(|_| NoRuntime(()))
    }
}

/// There is no Tokio runtime here: [`Tokio::current`] was called outside one.
#[derive(Clone, Debug)]
pub struct NoRuntime(());

impl fmt::Display for NoRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not in the context of a Tokio runtime")
    }
}

impl Error for NoRuntime {}

/// Children are Tokio tasks: ids, task-locals, the coop budget, timers and sockets work in them.
///
/// A runtime that has shut down refuses children, and a runtime that shuts down drops them. In both cases they are lost.
impl Spawner for Handle {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        adopt(AbortOnDrop(Handle::spawn(self, future)))
    }

    /// With one thread, a cell is freed where it was made anyway.
    fn keeps_ended(&self) -> bool {
        self.runtime_flavor() != RuntimeFlavor::CurrentThread
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self.clone())
    }

    /// A worker keeps the task that it woke last to itself, until it wakes another one.
    fn keeps_woken() -> bool {
        true
    }

    fn has_budget() -> bool {
        tokio::task::coop::has_budget_remaining()
    }

    fn kick() {
        if let Some(handle) = Handle::try_current()
            .ok()
            .filter(|handle| handle.runtime_flavor() != RuntimeFlavor::CurrentThread)
        {
            // The empty task takes the place of the one that the worker keeps to itself.
            drop(handle.spawn(async {}));
            kicker::kick(&handle);
        }
    }
}

/// Children stay on the thread that drives the set.
///
/// If the set is dropped, they are lost. A child that holds a [`Group`](crate::Group) keeps the set from being dropped: see
/// `rc::Weak` below.
///
/// Drive the set from outside every group whose children run on it. A member that a cancel has stopped is not polled any
/// more, and so drives nothing.
impl LocalSpawner for Rc<LocalSet> {
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static,
    {
        adopt(AbortOnDrop(LocalSet::spawn_local(self, future)))
    }
}

/// A set that groups do not keep alive.
///
/// It is for children that hold a [`Group`](crate::Group): with an [`Rc`](LocalSet) they would keep the set, and the set them.
/// When it is gone, new children are lost at once.
impl LocalSpawner for rc::Weak<LocalSet> {
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static,
    {
        match self.upgrade() {
            Some(set) => set.spawn_local(future),
            None => {
                drop(future);
                adopt(())
            }
        }
    }
}

macro_rules! timed_where_it_is_called {
    ($($set:ty),*) => {
        $(/// The clock of the runtime in whose context this is called.
        ///
        /// # Panics
        ///
        /// `timer` panics outside any Tokio runtime.
        impl Timed for $set {
            type Timer = Handle;

            fn timer(&self) -> Handle {
                Handle::current()
            }
        })*
    };
}

timed_where_it_is_called!(Rc<LocalSet>, rc::Weak<LocalSet>);

impl Timed for Handle {
    type Timer = Self;

    fn timer(&self) -> Self {
        self.clone()
    }
}

/// Tokio's clock, which may be paused.
///
/// # Panics
///
/// The runtime has to have its time driver enabled. Otherwise Tokio panics where a timer is made. For a scope with a
/// deadline, and for a shutdown, that is in the code that polls it. For a free-standing group with a deadline it is in a
/// child: the group is cancelled as lost, and joining it panics, or its hook sees the panic if it supervises.
impl Timer for Handle {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Duration {
        let _clock = self.enter();
        Instant::now().saturating_duration_since(start())
    }

    fn sleep_until(&self, at: Duration) -> Self::Sleep {
        let _clock = self.enter();
        let far = Duration::from_secs(30 * 365 * 24 * 60 * 60);
        tokio::time::sleep_until(start() + at.min(far))
    }
}

/// When the clock of every runtime began. It is earlier than the beginning of any clock that was paused when it was made.
fn start() -> Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let day = Duration::from_secs(24 * 60 * 60);
    let start = START.get_or_init(|| {
        let now = std::time::Instant::now();
        now.checked_sub(day).unwrap_or(now)
    });
    Instant::from_std(*start)
}

impl SpawnBlocking for Handle {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        let runtime = self.clone();
        lazily(move || runtime.spawn_blocking(work))
    }
}

/// A Tokio task that already runs.
impl<T: Send + 'static> Adopt for JoinHandle<T> {
    type Output = T;

    fn run(
        self,
        cancelled: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let mut task = AbortOnDrop(self);
        async move {
            let result = match unless(&mut task.0, cancelled).await {
                Some(result) => result,
                None => {
                    task.0.abort();
                    (&mut task.0).await
                }
            };
            result.map_err(|error| error.try_into_panic().map_or((), |payload| resume_unwind(payload))).ok()
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        if !self.0.is_finished() {
            self.0.abort();
        }
    }
}
