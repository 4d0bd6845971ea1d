//! The contract with a runtime.

pub(crate) mod adopt;
pub(crate) mod any;
pub(crate) mod hook;
#[cfg(all(test, not(taskgroup_loom)))]
pub(crate) mod nowhere;
pub(crate) mod on_pool;
pub(crate) mod timer;

use std::future::{Future, pending};
use std::sync::{Arc, Weak};

use async_task::{Runnable, Task};

use crate::spawner::adopt::Adopt;
use crate::spawner::on_pool::{Counted, Inside, OnPool};
use crate::unwind::Quiet;

/// Starts futures on a runtime.
///
/// This is the only thing that a group needs from a runtime.
///
/// # The contract
///
/// A spawner has to keep promises 1 to 3, and can rely on 4. Then every group on it keeps its own promises:
///
/// 1. The future is polled until it is ready, or it is dropped. It is never leaked.
/// 2. Dropping the [`Task`] cancels the future: it is dropped soon, and is not polled again.
/// 3. `spawn` does not block, and does not wait for the future.
/// 4. The future's output is `()`, and the future does not panic: results, errors and panics do not pass through the
///    runtime.
///
/// Everything else is up to the spawner. It may
///
/// * poll the future inside `spawn`, and on any thread;
/// * drop the future at any time, as a runtime that shuts down does, and even inside `spawn`.
///
/// If the runtime drops a child without having been asked to, that child is *lost*, and its group ends with
/// [`CancelReason::Lost`](crate::CancelReason::Lost).
///
/// If the runtime's own handle is an `async_task::Task`, return that. For any other handle there is [`adopt`].
///
/// To end a child, a group drops its `Task`. If the child has already ended, the group detaches the `Task` instead, so that
/// anything around the future, such as a span or a counter, comes to its end too.
///
/// Every group value keeps a clone of its spawner. Nothing that the crate puts into a child's task does.
///
/// # Provided methods
///
/// Only `spawn` has to be written. The other methods tell groups, and spawners that are built on other spawners, what they have
/// to know about the runtime. A spawner that only wraps another one forwards all of those that are documented here.
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
    note = "on smol (feature `smol`) a spawner is `Smol`, or an `Arc<Executor>` of your own",
    note = "on Tokio (feature `tokio`) it is a `Handle`: `Tokio::current()?` inside of the runtime, else `runtime.handle().clone()`",
    note = "in a borrowing group, start children with its own `launch` and `spawn`, or give it a runtime with `on`",
    note = "an `Rc<LocalExecutor>` or `Rc<LocalSet>` starts children with `spawn_local` and `launch_local`"
)]
pub trait Spawner: Clone + Send + Sync + 'static {
    /// Starts `future`, and returns the handle that cancels it when dropped.
    ///
    /// # Panics
    ///
    /// A spawner may panic if it cannot start anything at all. It has to drop `future` then. The panic reaches the caller
    /// that spawned on the group, and the group counts the child as lost.
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static;

    /// Registers a group that is to be told when the runtime is gone.
    ///
    /// This is for a spawner that cannot drop futures that are waiting, because it keeps no list of them. When it finds that
    /// nothing will be polled any more, it tells every group that was registered. If it has found that before, it tells the
    /// group at once. It holds no lock while it does so. The first thread that spawns a child of a group on this spawner
    /// registers the group before that; another thread may spawn one meanwhile. A group may be registered several times, once
    /// for each handle that [`Group::on`](crate::Group::on) gave.
    fn register(&self, dependent: Weak<dyn Dependent>) {
        let _ = dependent;
    }

    /// Returns a clone that tasks on this spawner may keep, or `None`.
    ///
    /// It is `None` if such a clone could keep the runtime of these tasks alive for ever. `None` is always right: code that
    /// wants to spawn from inside a task can then do so only while somebody else keeps the spawner.
    fn for_tasks(&self) -> Option<Self> {
        None
    }

    /// Says whether the task polled on this thread may start its next piece of work.
    fn has_budget() -> bool {
        true
    }

    /// Says whether a task that is woken or started on one of the runtime's threads may have to wait for the task that is
    /// polled on that thread, although other threads have nothing to do.
    ///
    /// If so, a `Pool` has a thread that looks from outside whether its tasks come.
    fn keeps_woken() -> bool {
        false
    }

    /// Says whether a group keeps the [`Task`]s of a few children that have ended.
    ///
    /// The group lets go of them when it spawns the next children. This is for runtimes on which a task that ran on another
    /// thread is best freed by the thread that spawned it. The child's future is destroyed all the same; only the empty cell
    /// of its task waits. There are at most sixteen of them, and none when no child lives.
    fn keeps_ended(&self) -> bool {
        false
    }

    /// Whether `spawn` consists of two steps. Only for the crate's own spawners: a group may take the first step while it
    /// holds its lock.
    #[doc(hidden)]
    fn makes_tasks(&self, _: Inside) -> bool {
        false
    }

    /// Called before the first step. Has the group keep what the tasks of this spawner look at, and counts one more such
    /// task. Returns whether the group keeps it.
    #[doc(hidden)]
    fn keep_for_tasks(&self, kept: &mut OnPool) -> bool {
        let _ = kept;
        false
    }

    /// The first step. It only allocates: it must neither drop the future nor panic.
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

    /// Lets other threads get at a task that this one has woken or started.
    ///
    /// It is called when the task that is being polled on this thread has woken or started another one, and may block
    /// afterwards.
    fn kick() {}
}

/// Something that has futures on a runtime.
///
/// This is a group, or a spawner that is built on another one.
pub trait Dependent: Send + Sync {
    /// Is called when the runtime is gone.
    ///
    /// Nothing that was spawned on it will be polled again. This drops the [`Task`]s of everything that is left there, and
    /// of everything that comes later. No lock is held during the call.
    fn runtime_lost(self: Arc<Self>);
}

/// Starts futures that stay on one thread, so that they need not be `Send`.
///
/// The [contract](Spawner#the-contract) is that of a [`Spawner`], with one addition: the future is polled and dropped on the
/// thread on which it was spawned, even if its `Task` is dropped on another thread.
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
    note = "on smol it is an `Rc<LocalExecutor>` (feature `smol`), on Tokio an `Rc<LocalSet>` (feature `tokio`); other spawners start children with `spawn` and `launch`"
)]
pub trait LocalSpawner: Clone + 'static {
    /// Starts `future` on this thread, and returns the handle that cancels it when dropped.
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static;
}

/// A spawner whose runtime has threads for work that blocks.
///
/// # Examples
///
/// See [`Group::spawn_blocking`](crate::Group::spawn_blocking). For a runtime of your own there is
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no threads for work that blocks",
    label = "no such threads",
    note = "the spawners of smol, async-std and Tokio have them, and so has a `Pool`; from an `AnySpawner`, use `group.on(runtime)`"
)]
pub trait SpawnBlocking {
    /// Makes a task that runs `work` on such a thread.
    ///
    /// The task starts when it is first polled, not before.
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<Self, W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static;
}

/// Makes the [`Task`] of a child whose runtime has handles of its own.
///
/// `abort_on_drop` is a value that aborts the native task when it is dropped: the native handle itself, or a wrapper around
/// it if dropping the handle only detaches. It is dropped when the `Task` is.
///
/// The `Task` is for a group, which never awaits it. Awaiting it panics, and detaching it aborts.
///
/// The native task stays a task of its own runtime, which polls it with its own waker. `abort_on_drop` is never polled, only
/// dropped, on the thread that drops the `Task`. So its destructor has to be a plain request: it must not wait, and it must
/// not run the future's destructor while it holds a lock of its own. If it panics, the panic is caught and not reported to
/// anybody.
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
    // Nothing is ever scheduled: the schedule function is there only to hold `abort_on_drop`, which is dropped with the last
    // reference to the task. A panic there would abort the process.
    let abort_on_drop = Quiet::new(abort_on_drop);
    let (runnable, task) = async_task::spawn(pending(), move |_| {
        let _held = &abort_on_drop;
    });
    drop(runnable);
    task
}
