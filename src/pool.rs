//! Many small children on a few tasks of the runtime.
//!
//! A child is a plain `async_task`. Its schedule function pushes it onto a [`Queue`](queue::Queue) that all groups of the
//! pool share. [`Driver`](driver::Driver)s, which are tasks of the runtime underneath, run what is queued.
//!
//! # Who owns what
//!
//! ```text
//! Pool, groups ──► Inner ──┬─► S
//!                          └─► Owner ──► Shared ──► queue, the drivers' Tasks; weakly: the groups
//!                                          └─► on Tokio, what starts a driver: as a driver holds it
//! a group with a child on it ──► Owner
//! any other child's future ────► Owner
//! driver ──► Shared; S if it does not own its tasks (`Spawner::for_tasks`), else Inner weakly
//! ```
//!
//! * Handles and children keep the `Owner`. Dropping it closes the pool: the drivers' `Task`s are dropped, which breaks the
//!   cycle from `Shared` to a driver and back. A queued child keeps itself alive through the queue. But then either a driver
//!   will run it, or the pool is dead and somebody drains the queue.
//! * A group keeps the `Owner` for its children here, from the first to the last; their tasks only look at `Shared`
//!   (invariant 6). Only few futures keep the `Owner` themselves: those of children that are not ordinary, that adopt
//!   something, or that came by `spawn_when_free`; those of children on a second pool while the group keeps the first; those
//!   of children of a spawner that wraps a pool; and that of a `Task` without a group.
//! * No child owns `S`, and no driver owns an `S` that may own drivers. So an `Arc<Executor>` goes with the last handle, and
//!   the children go with it, as they do without a pool. Drivers cannot start other drivers then. If somebody keeps the
//!   executor itself, and the last driver is held up by a child, the [watch] runs the others.
//! * `Shared` holds groups weakly. What is left of a group that has ended is swept out when the list has doubled.
//!
//! # Invariants
//!
//! A driver is *on its way* (it looks at the queue first thing in its next poll), *parked*, *at a child*, or *looking*.
//!
//! 1. While anything is queued, some driver is on its way or looking, or the code that pushed is about to wake one. This
//!    does not hold for a dead pool.
//! 2. While a driver is at a child, another driver is on its way, parked or looking. A child may block its thread, so a
//!    driver that is about to run one sees to that first ([`see_to_another`](driver::Driver)). That is why a pool has one driver
//!    more than are polled at once. It is also why the schedule function never has to start a driver: it may run under any
//!    lock, where a refused driver must not be dropped.
//! 3. Any number of pushes sends at most one driver on its way: a push that finds one on its way leaves its child to that
//!    driver. Where a driver on its way may have to wait for a task outside of the pool, as on Tokio, a thread [looks](watch)
//!    whether it comes, and sends another.
//! 4. A dead pool runs nothing. What is pushed to it is dropped by the code that drains the queue, never by the schedule
//!    function. That takes a thread; if none can be had, the child is left there until somebody else pushes. A destructor
//!    may wait for others that are queued: the [watch] sees that nothing moves, and has another thread go on.
//! 5. No lock is held while waking, spawning, or dropping a child or a `Task`.
//! 6. A task that does not keep `Shared`, and looks at it, finds it there. `async-task` schedules a task only while its
//!    future is there, is not being dropped and has not returned. While that is so, its group counts it among the children
//!    here, and keeps the pool. Once the task is queued, somebody may run it, and it may be the last. So code that goes on
//!    looking at `Shared` after that is inside a poll of one of its drivers, has a handle, or has counted `Shared` before
//!    the push ([`Shared::push_uncounted`]).
//! 7. Code that drops many `Task`s holds back what becomes ready by that, and queues it before it does anything that may
//!    wait. No user code runs in between ([`Shared::drop_many`]).
//!
//! The number of drivers is bounded by the runtime: a driver that is not polled stays on its way, and as long as it does, no
//! other is started. The pool keeps as many idle drivers as the machine has threads, and one more. Beyond these, a driver
//! that finds nothing to do ends.
//!
//! # Interleavings that matter
//!
//! * *Parking against pushing.* A push takes the lock of a list and then reads the word. A driver that parks writes the word
//!   and then takes the lock of each list. Whichever of them has that lock first, the other one sees what it did: the driver
//!   is woken, or does not park. A push of many children takes the lock once for all of them, and then reads the word.
//! * *Pushing against arriving.* A push may leave its child to a driver that it finds on its way. That driver takes each
//!   lock once, after it has stopped counting as on its way and before it looks ([`Queue::settle`](queue::Queue::settle)).
//!   So it sees what was left to it, even where it then only looks at how long a list is said to be.
//! * *Two drivers about to run their last finds.* Neither counts as another driver for the other one: only a driver that is
//!   parked or on its way does. At most one of the two starts a driver ([`Word::admit`](word::Word::admit)).
//! * *Retiring against pushing.* A driver retires while enough others are parked. Each of those looked at the queue after it
//!   was counted as parked, and is woken by a later push.
//! * *Retiring against stealing.* The small queues belong to the pool, so a driver that ends leaves nothing behind.
//! * *A driver dropped unasked.* It starts another one in its place, even if one is on its way. The one on its way may be a
//!   task of async-executor that was woken while its executor was dropped, and then nobody polls or drops it. If the runtime
//!   refuses the new driver, which means that it drops it before it got anywhere, the runtime is gone and so is the pool.
//!   This does not wait until the last driver is dropped: another driver may be at a child that blocks for a queued child,
//!   and the runtime waits for both. If a driver that nobody polls or drops is the only one, nobody finds out.
//! * *The last handle goes while a driver starts another.* Then that driver is the last to hold the spawner, and leaves it
//!   to a thread of its own to drop. The spawner is the user's and may wait for its tasks to end, while the driver has a
//!   child in its hands.
//! * *Dying against spawning.* The group is on the list before its first child is started. The list is closed after the word
//!   says *dead*, and a group that comes later is told at once. A group that was told drops every `Task` that it has or that
//!   is stored later. What is started later is dropped, because the word says *dead* by then.
//! * *Dying twice.* Two drivers that are dropped may both find that the runtime is gone. Only the first to say so drains.
//!   The second one must not mark the pool as being drained: with nobody there who drains, what comes later would stay.
//! * *Dying against waking.* A child that was scheduled before its `Task` is dropped may be pushed after the queue is
//!   drained. The code that pushes looks at the word afterwards, and has another thread drain the queue again.
//! * *A driver's `Task` is stored after the driver ended, or after the pool did.* The driver is looked up by its id, under
//!   the lock, and the `Task` is dropped.

mod driver;
#[cfg(all(test, taskgroup_loom))]
#[path = "../tests/loom/drivers.rs"]
mod models;
mod queue;
mod shared;
mod watch;
mod word;

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::sync::{Arc, Weak};
use std::{fmt, ptr};

use async_task::{Builder, Runnable, Task};

use self::driver::{Source, start_or_panic};
use self::shared::{Here, Owner, Shared, kick};
use crate::keeping::Keeping;
use crate::runtime::{Adopt, Timed};
use crate::spawner::on_pool::{Counted, Inside, OnPool};
use crate::spawner::{Dependent, SpawnBlocking, Spawner, adopt};
use crate::sync::kept::Kept;
use crate::unwind::{GivesWay, Quiet, catch, drop_quietly};

/// Runs many small children on a few tasks of the runtime.
///
/// All groups on the same pool share its queue and its *drivers*, the tasks that run what is queued. To start or to wake a
/// child is a push onto that queue, which costs less than a task does on most runtimes. A group on a pool keeps every
/// promise that it keeps on the runtime itself. When the runtime goes away, its children are lost.
///
/// Clones are handles of the same pool. When the last handle, group and child are gone, so are the drivers.
///
/// # Which spawner when
///
/// * The runtime's own, `Smol` or `tokio::runtime::Handle`, is for servers and for everything where a child does some work.
///   A child is then a task of the runtime, with all that comes with it.
/// * A pool is for a great many small children: a parallel map, a graph of jobs, actors that mostly wait.
///
/// One pool serves a whole program. Make it once, next to the runtime, and hand out clones.
///
/// # The price
///
/// A child is not a task of the runtime. The children of one driver share what the runtime has for each task:
///
/// * **Names, ids, task-locals, rows in a console** are the driver's, and a child may be on another driver after each await.
///   Tokio's timers and sockets work. `tokio::task::id` names the driver, and so does `async_std::task::current`.
/// * **Tokio's coop budget** is the driver's as well. The driver gives way as soon as the budget is spent, so a child that
///   finds it spent is polled once more for nothing. It also gives way after 256 children, or when they have taken a tenth of a
///   millisecond, which is looked at after 4, 16 and 64 children. Tokio looks at its timers and sockets after 61 polls: with
///   children of a millisecond each, timers are up to a quarter of a second late.
/// * **Children that block** their thread do not hold up others, as long as the runtime has a thread left to poll another
///   driver on. With `block_in_place` it always has one; otherwise it has one while fewer children block than there are
///   threads. A child that never yields occupies a thread for ever. On Tokio there is a rare gap: if a child blocks one
///   worker while the last other worker goes to sleep, work started from outside the pool at that moment waits until one of
///   them is free, as a task of Tokio's would.
/// * **A Tokio task outside of the pool** that starts or wakes a child, and then blocks or computes for long, holds up the pool
///   for some ten milliseconds, or for a fifth of a second if all other drivers are at children that block. A thread of the
///   crate looks after that, and ends when there is nothing to look after.
/// * **On Tokio, no child may block its thread for a task outside of the pool** that another child has just woken, such as the
///   host of its group: a worker keeps the task that was woken last to itself, until the driver gives way.
/// * **Tokio's current-thread runtime** has one thread, so a child that blocks it blocks everything, as it would without a
///   pool.
/// * **Memory.** A pool looks for groups that have ended when new ones are opened on it. Until then it keeps some 550 bytes for
///   each of them: for at most as many as were open at once, or 16. The futures and values of their children are long gone.
/// * **A `Task` that is spawned here by hand**, without a group, learns that the runtime has gone only when it is woken or
///   dropped.
///
/// If a spawner owns its tasks, as `Arc<Executor>` does, the handles and groups of the pool hold it, and the children on the
/// pool do not. When the last of these handles and groups is dropped, the children are lost.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// use taskgroup::{Pool, Smol, scope};
///
/// # smol::block_on(async {
/// let pool = Pool::new(Smol);
/// let sum = scope(pool.clone(), |group| async move {
///     let squares: Vec<_> = (1..=1000u64).map(|n| group.spawn(async move { Ok(n * n) })).collect();
///     let mut sum = 0;
///     for square in squares {
///         sum += square.value().await;
///     }
///     Ok(sum)
/// })
/// .await?;
/// assert_eq!(sum, 333_833_500);
/// # Ok::<(), taskgroup::GroupError<std::convert::Infallible>>(()) }).unwrap();
/// # }
/// ```
///
/// Small jobs on the pool, and one child that is to be a task of the runtime:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// use taskgroup::{Pool, Smol, TaskGroup};
///
/// # smol::block_on(async {
/// let pool = Pool::new(Smol);
/// let jobs = TaskGroup::new(pool.clone());
/// let servers = TaskGroup::new(*pool.spawner());
/// servers.launch(async { println!("a task of smol's") });
/// (0..100).for_each(|_| jobs.launch(async {}));
/// jobs.join().await?;
/// servers.join().await?;
/// # Ok::<(), taskgroup::GroupError<_>>(()) }).unwrap();
/// # }
/// ```
pub struct Pool<S> {
    inner: Arc<Inner<S>>,
}

/// What only handles and groups hold.
struct Inner<S> {
    owner: Arc<Owner<S>>,
    spawner: S,
}

impl<S: Spawner> Pool<S> {
    /// Makes a pool.
    ///
    /// Its first driver is started with its first child.
    ///
    /// A pool that is made in a child of another pool, or of a group on one, is a pool like any other, with a queue and
    /// drivers of its own; it does not end with that child. If `spawner` is itself a [`Pool`], the drivers of the new pool
    /// are children of that one.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// use taskgroup::{Pool, Smol, TaskGroup};
    ///
    /// let group = TaskGroup::new(Pool::new(Smol));
    /// group.launch(async {});
    /// smol::block_on(group.join())?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(spawner: S) -> Self {
        let (spawner, shared) = (GivesWay::new(spawner), Arc::new(Shared::new(parallelism())));
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        spawner.register(weak);
        let owner = Arc::new(Owner::new(shared));
        Self { inner: Arc::new(Inner { owner, spawner: spawner.into_inner() }) }
    }
}

impl<S> Pool<S> {
    /// Returns the spawner underneath, for children that are to be tasks of the runtime.
    pub fn spawner(&self) -> &S {
        &self.inner.spawner
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.owner.shared
    }
}

/// If the runtime is gone, a child is dropped where it is spawned.
impl<S: Spawner> Spawner for Pool<S> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.shared().word.look().is_dead() {
            // Not as a task, in which a destructor that panics aborts the process.
            drop(future);
            return adopt(());
        }
        // The future keeps the pool that it runs on. Its task does not, because an empty cell of it may be there for a while
        // longer.
        let (future, shared) = (Keeping::new(future, self.inner.owner.clone()), self.shared().clone());
        let (runnable, task) = task(future, move |runnable| shared.push::<S>(runnable));
        self.start_task(runnable, Inside(()));
        task
    }

    fn makes_tasks(&self, _: Inside) -> bool {
        true
    }

    #[inline]
    fn keep_for_tasks(&self, kept: &mut OnPool) -> bool {
        let owner = kept.kept.get_or_insert_with(|| self.inner.owner.clone());
        let is_kept = ptr::addr_eq(Arc::as_ptr(owner), Arc::as_ptr(&self.inner.owner));
        kept.children += usize::from(is_kept);
        is_kept
    }

    #[inline]
    fn make_task<F>(&self, future: F, _: Counted) -> (Runnable, Task<()>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        #[expect(unsafe_code, reason = "to count it would cost each child two locked instructions")]
        // SAFETY: `shared` is looked at where the task is scheduled, which begins while its future is there. As long as the
        // future is there it is counted, and what `keep_for_tasks` gave is kept, which holds the same `Shared`. For what
        // comes after the push, see invariant 6.
        let shared = unsafe { Kept::new(self.shared()) };
        task(future, move |runnable| Shared::push_uncounted::<S>(&shared, runnable))
    }

    #[inline]
    fn start_task(&self, runnable: Runnable, _: Inside) {
        let shared = self.shared();
        if shared.word.look().is_dead() {
            return drop(runnable);
        }
        shared.push::<S>(runnable);
        if shared.word.look().drivers() == 0 {
            let source = match catch(|| self.inner.spawner.for_tasks()) {
                Ok(Some(spawner)) => Source::Own(Quiet::new(spawner)),
                Ok(None) => Source::Handles(Arc::downgrade(&self.inner)),
                Err(payload) => {
                    // As where the spawner refuses the driver: nobody will come for what is queued.
                    shared.die();
                    resume_unwind(payload)
                }
            };
            // With two, the first one never stays with this thread.
            let more = S::keeps_woken() && !is_simulated();
            let another = more.then(|| catch(|| source.clone()).map_err(drop_quietly).ok()).flatten();
            if start_or_panic(&self.inner.spawner, source, shared, 1) && Here::look().is_in_child() {
                kick::<S>();
            }
            match another {
                Some(source) => {
                    source.start(shared, 2);
                    let _ = shared.starter.set(source.into_starter());
                    shared.watch.begin(shared);
                }
                // The first driver is all that can be had.
                None if more => shared.watch.orphan(shared),
                None => {}
            }
        }
    }

    fn register(&self, dependent: Weak<dyn Dependent>) {
        self.shared().register(dependent);
    }

    fn for_tasks(&self) -> Option<Self> {
        self.inner.spawner.for_tasks().map(|_| self.clone())
    }

    fn has_budget() -> bool {
        S::has_budget()
    }

    fn kick() {
        S::kick();
    }
}

/// The clock of the runtime underneath.
impl<S: Timed> Timed for Pool<S> {
    type Timer = S::Timer;

    fn timer(&self) -> S::Timer {
        self.spawner().timer()
    }
}

/// Work that blocks goes to the threads that the runtime underneath has for it.
impl<S: SpawnBlocking> SpawnBlocking for Pool<S> {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<S, W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        self.spawner().spawn_blocking(work)
    }
}

impl<S> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S> UnwindSafe for Pool<S> {}
impl<S> RefUnwindSafe for Pool<S> {}

impl<S> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.shared().word.look();
        f.debug_struct("Pool")
            .field("drivers", &seen.drivers())
            .field("parked", &seen.parked())
            .field("gone", &seen.is_dead())
            .finish_non_exhaustive()
    }
}

/// Makes the task of a child.
#[inline]
fn task<F>(future: F, push: impl Fn(Runnable) + Send + Sync + 'static) -> (Runnable, Task<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    // A child that panics in spite of everything must not take a driver with it.
    Builder::new().propagate_panic(true).spawn(|()| future, push)
}

/// Whether what happens on this thread is simulated, so that no real time may decide what comes next.
fn is_simulated() -> bool {
    let is_simulated = cfg!(taskgroup_loom);
    #[cfg(feature = "sim")]
    let is_simulated = is_simulated || crate::sim::birth::is_here();
    is_simulated
}

/// How many threads the machine runs at once. It is kept, because asking for it takes longer than a child does.
#[cfg(not(taskgroup_loom))]
fn parallelism() -> usize {
    static PARALLELISM: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *PARALLELISM.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// So few that drivers retire in every model.
#[cfg(taskgroup_loom)]
fn parallelism() -> usize {
    0
}
