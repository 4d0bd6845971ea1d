//! The contract with a runtime.

use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, Weak};

use async_task::{Runnable, Task};

use crate::adopt::Adopt;
use crate::facts::{Fact, Facts};
use crate::unwind::Quiet;
use crate::word::FEW;

/// Starts futures on a runtime. This is all that a group needs of one.
///
/// # The contract
///
/// A spawner has to keep these promises, and then every group on it keeps its own:
///
/// 1. The future is polled until it is ready, or it is dropped. It is never leaked.
/// 2. Dropping the [`Task`] cancels: the future is dropped soon, and not polled again after that.
/// 3. `spawn` does not block, and does not wait for the future.
/// 4. The future's output is `()` and it does not panic: results, errors and panics go past the runtime.
///
/// It is free in everything else. It may poll the future inside `spawn`, on any thread, drop it at any time (a
/// runtime that shuts down does), or drop it inside `spawn`. A child that is dropped unasked is *lost*, and its
/// group ends with [`CancelReason::Lost`](crate::CancelReason::Lost).
///
/// A runtime whose own handle is an `async_task::Task` hands that out. For any other one there is [`adopt`].
///
/// A group drops the `Task` of a child that is to end, and detaches that of one that has ended: if there is anything around the
/// future, such as a span or a counter, it comes to its end.
///
/// A clone of a spawner is kept in every group value, and in nothing that a child's task holds.
///
/// # Provided methods
///
/// Only `spawn` has to be written. The others are for spawners that are built on spawners, as the feature `pool` has one:
/// they say what such a one has to know of the runtime. A spawner that merely wraps another hands all of them on.
///
/// # Examples
///
/// A thread for each child:
///
/// ```
/// use std::future::Future;
/// use taskgroup::async_task::{self, Runnable};
/// use taskgroup::{Spawner, Task, TaskGroup};
///
/// #[derive(Clone)]
/// struct Threads;
///
/// impl Spawner for Threads {
///     fn spawn<F>(&self, future: F) -> Task<()>
///     where
///         F: Future<Output = ()> + Send + 'static,
///     {
///         let (send, queue) = std::sync::mpsc::channel::<Runnable>();
///         let (runnable, task) = async_task::spawn(future, move |runnable| drop(send.send(runnable)));
///         runnable.schedule();
///         // The queue ends when the task does, as that holds the only sender.
///         std::thread::spawn(move || {
///             for runnable in queue {
///                 runnable.run();
///             }
///         });
///         task
///     }
/// }
///
/// let group = TaskGroup::new(Threads);
/// group.group().launch(async { println!("on a thread of its own") });
/// futures_lite::future::block_on(group.join()).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a spawner",
    label = "not a spawner",
    note = "on smol a spawner is `Smol`, or an `Arc<Executor>` of your own",
    note = "on Tokio it is a `Handle`: `Tokio::current()?` inside of the runtime, else `runtime.handle().clone()`",
    note = "an `Rc<LocalExecutor>` or `Rc<LocalSet>` starts children with `spawn_local` and `launch_local`"
)]
pub trait Spawner: Clone + Send + Sync + 'static {
    /// Starts `future`, and gives the handle that cancels it when dropped.
    ///
    /// # Panics
    ///
    /// A spawner may panic where it cannot start anything at all. It has to drop `future` then. The panic goes to
    /// whoever called `spawn` on the group, which counts the child as lost.
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static;

    /// Takes note of a group that is to be told when the runtime is gone.
    ///
    /// For a spawner that cannot drop futures which wait for something, as it has no list of them. When it finds that
    /// nothing will be polled any more it tells every group it was given, and at once if it has found that before. It
    /// does so with no lock held. A group comes here once, before its first child.
    fn register(&self, dependent: Weak<dyn Dependent>) {
        let _ = dependent;
    }

    /// A clone that tasks on this spawner may keep, or `None` if that could keep their runtime alive for ever.
    ///
    /// `None` is always right: whoever wants to spawn from inside of a task then can do so only while somebody else
    /// keeps the spawner.
    fn for_tasks(&self) -> Option<Self> {
        None
    }

    /// Whether the task that is being polled on this thread may go on to its next piece of work.
    fn has_budget() -> bool {
        true
    }

    /// Whether a group keeps the [`Task`]s of a few children that have ended, and drops them when it spawns the next ones.
    ///
    /// It is for runtimes on which a task that ran on another thread is best freed by the one that spawned it. The child's
    /// future is gone all the same, only its empty cell waits: at most sixteen of them, and none when no child lives.
    fn keeps_ended(&self) -> bool {
        false
    }

    /// Whether `spawn` is two steps. For the crate's own: the first may be taken with the lock of a group in hand.
    #[doc(hidden)]
    fn makes_tasks(_: Inside) -> bool {
        false
    }

    /// Before the first step: whether the group keeps what the tasks of this spawner look at, with one more of them.
    #[doc(hidden)]
    fn keep_for_tasks(&self, kept: &mut OnPool) -> bool {
        let _ = kept;
        false
    }

    /// The first step. It allocates, and that is all: it must neither drop the future nor panic.
    #[doc(hidden)]
    fn make_task<F>(&self, future: F, _: Counted) -> (Runnable, Task<()>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(future);
        unreachable!("not where `makes_tasks` says no")
    }

    /// The second step.
    #[doc(hidden)]
    fn start_task(&self, runnable: Runnable, _: Inside) {
        runnable.schedule();
    }

    /// Called when the task that is being polled on this thread has woken or started another and then may block:
    /// sees that other threads can get at that one.
    fn kick() {}
}

/// Nobody outside of the crate can name this, and so neither write nor call what takes it.
#[derive(Debug)]
pub struct Inside(pub(crate) ());

/// Says of a future that its group keeps what [`Spawner::keep_for_tasks`] put there until the future is gone. Made in one place,
/// [`Entry::keep`](crate::entry::Entry::keep), whose caller hands it on with that future to that spawner.
#[derive(Debug)]
pub struct Counted(());

impl Counted {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// What a pool is to the groups that have children on it.
pub(crate) trait TaskPool: Send + Sync {
    /// Drops the [`Task`]s of many of its children. Nothing of a user's runs in here.
    fn drop_many(&self, tasks: Vec<Task<()>>);
}

impl fmt::Debug for dyn TaskPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPool").finish_non_exhaustive()
    }
}

/// What the children of one group on one pool hold of that, all together: the first pool that has any, until it has none.
#[derive(Debug)]
pub struct OnPool {
    pub(crate) kept: Option<Arc<dyn TaskPool>>,
    pub(crate) children: usize,
}

impl OnPool {
    /// None. Not `Default`, by which others could make one of what they cannot name.
    pub(crate) const NOBODY: Self = Self { kept: None, children: 0 };

    /// Whether there are so few that none of them may have been put by.
    #[inline]
    pub(crate) fn are_few(&self) -> bool {
        self.children < FEW
    }

    /// A child is gone: counts it off if it was on the pool, and gives up what was kept for the last one, which is to be dropped
    /// where no lock is held.
    #[inline]
    #[must_use]
    pub(crate) fn leave(&mut self, facts: Facts) -> Option<Arc<dyn TaskPool>> {
        if !facts.is(Fact::ON_POOL) {
            return None;
        }
        self.children -= 1;
        if self.children == 0 { self.kept.take() } else { None }
    }
}

/// Something that has futures on a runtime: a group, or a spawner that is built on another.
pub trait Dependent: Send + Sync {
    /// The runtime is gone: nothing that was spawned on it will be polled again.
    ///
    /// Drops the [`Task`]s of whatever is left there, and of what comes later. Called with no lock held.
    fn runtime_lost(self: Arc<Self>);
}

/// Starts futures that stay on one thread, so that they need not be `Send`.
///
/// The [contract](Spawner#the-contract) is that of a [`Spawner`], and one thing more: the future is polled and dropped on
/// the thread on which it was spawned, also if its `Task` is dropped on another.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// use std::rc::Rc;
/// use taskgroup::{Task, runtime::LocalSpawner};
///
/// #[derive(Clone)]
/// struct Here(Rc<smol::LocalExecutor<'static>>);
///
/// impl LocalSpawner for Here {
///     fn spawn_local<F: Future<Output = ()> + 'static>(&self, future: F) -> Task<()> {
///         self.0.spawn(future)
///     }
/// }
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep futures on one thread",
    label = "not a local spawner",
    note = "on smol it is an `Rc<LocalExecutor>`, on Tokio an `Rc<LocalSet>`; other spawners start children with `spawn` and `launch`"
)]
pub trait LocalSpawner: Clone + 'static {
    /// Starts `future` on this thread, and gives the handle that cancels it when dropped.
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static;
}

/// A spawner whose runtime has threads for work that blocks.
///
/// # Examples
///
/// See [`Group::spawn_blocking`](crate::Group::spawn_blocking). For a runtime of one's own there is
/// [`lazily`](crate::runtime::lazily):
///
/// ```
/// # #[cfg(feature = "smol")] {
/// use taskgroup::runtime::{Adopt, SpawnBlocking, lazily};
///
/// struct Mine;
///
/// impl SpawnBlocking for Mine {
///     fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
///     where
///         W: FnOnce() -> O + Send + 'static,
///         O: Send + 'static,
///     {
///         lazily(move || smol::unblock(work))
///     }
/// }
/// # }
/// ```
pub trait SpawnBlocking {
    /// Makes a task that runs `work` on such a thread. It is started when it is first polled, and not before.
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<Self, W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static;
}

/// Makes the [`Task`] of a child that runs on a runtime with handles of its own.
///
/// `abort_on_drop` is whatever aborts the native task when it is dropped: the native handle, wrapped where that
/// only detaches. It is dropped when the `Task` is.
///
/// The `Task` is for a group, which does nothing with it but drop it. Awaiting it panics, and detaching it aborts.
///
/// The native task stays what it is, polled by its own runtime with its own waker. Its handle is only ever dropped,
/// never polled, and that happens on the thread which drops the `Task`. So dropping it has to be a mere request: it
/// must not wait and must not run the future's destructor under a lock of its own. A panic of it is caught, and nobody is told.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "tokio")] {
/// use taskgroup::{Task, adopt};
///
/// struct AbortOnDrop(tokio::task::JoinHandle<()>);
///
/// impl Drop for AbortOnDrop {
///     fn drop(&mut self) {
///         self.0.abort();
///     }
/// }
///
/// fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task<()> {
///     adopt(AbortOnDrop(tokio::spawn(future)))
/// }
/// # }
/// ```
pub fn adopt<A: Send + Sync + 'static>(abort_on_drop: A) -> Task<()> {
    // Nothing is ever scheduled: the function is there for what it holds, which is dropped with the last of the task. A panic of that
    // would abort.
    let abort_on_drop = Quiet::new(abort_on_drop);
    let (runnable, task) = async_task::spawn(pending(), move |_| {
        let _held = &abort_on_drop;
    });
    drop(runnable);
    task
}
