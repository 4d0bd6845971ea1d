//! Many small children on a few tasks of the runtime.
//!
//! A child is a plain `async_task`. Its schedule function pushes it onto a [`Queue`](queue::Queue) that all groups
//! of the pool share, and [`Driver`]s, which are tasks of the runtime underneath, run what is queued.
//!
//! # Who owns what
//!
//! ```text
//! Pool, groups ──► Inner ──┬─► S
//!                          └─► Owner ──► Shared ──► queue, the drivers' Tasks; weakly: the groups
//! a group with a child on it ──► Owner
//! any other child's future ────► Owner
//! driver ──► Shared; S if it does not own its tasks (`Spawner::for_tasks`), else Inner weakly
//! ```
//!
//! * `Owner` is kept by handles and children. Its drop closes the pool: the drivers' `Task`s are dropped, which
//!   cuts the circle from `Shared` to a driver and back. A child that is queued keeps itself by way of the queue,
//!   but then there is a driver that will run it, or the pool is dead and somebody drains it.
//! * A group keeps the `Owner` for its children here, from the first to the last; their tasks only look at `Shared` (invariant 6).
//!   Few have a future that keeps it: those that are not ordinary children, or adopt something, or came by `spawn_when_free`;
//!   those on a second pool while the first is kept; those of a spawner that wraps a pool; and a `Task` without a group.
//! * No child owns `S`, and no driver owns an `S` that may own drivers. So an `Arc<Executor>` goes with the last
//!   handle, and the children with it, as they do without a pool. Drivers then cannot start others, as there is
//!   nothing left to start them on.
//! * `Shared` holds groups weakly. What is left of one that has ended is swept out when the list has doubled.
//!
//! # Invariants
//!
//! A driver is *on its way* (it looks at the queue first thing in its next poll), *parked*, *at a child*, or
//! *looking*.
//!
//! 1. While anything is queued, some driver is on its way or looking, or whoever pushed it is about to wake one,
//!    unless the pool is dead.
//! 2. While a driver is at a child, another is on its way, parked or looking. A child may block its thread: so
//!    whoever is about to run one sees to that first ([`Driver::see_to_another`]). That is why a pool has one
//!    driver more than are polled at once, and why the schedule function never has to start one: it may run under
//!    any lock, where a refused driver must not be dropped.
//! 3. At most one driver is sent on its way by whatever number of pushes: those that find one leave it to that.
//! 4. A dead pool runs nothing. What is pushed to it is dropped by the one who drains, never by the schedule
//!    function. That takes a thread; where none can be had it is left until somebody else pushes.
//! 5. No lock is held while waking, spawning, or dropping a child or a `Task`.
//! 6. Whoever looks at `Shared` from a task that does not keep it finds it there. async-task schedules a task only while its
//!    future is there and is not being dropped, and has not returned; until then its group counts it among those here, and
//!    keeps the pool. Once it is queued somebody may run it, and it may be the last: whoever goes on looking at `Shared` is
//!    inside of a poll of one of its drivers, has a handle, or has counted it before ([`Shared::push_uncounted`]).
//! 7. Whoever drops many `Task`s holds what that makes ready, and queues it before it does anything that may wait: nothing of a
//!    user's runs in between ([`Shared::drop_many`]).
//!
//! The number of drivers is bounded by the runtime: one that is not polled stays on its way, and as long as it does
//! no other is started. Beyond the threads of the machine, and one, those that find nothing to do end.
//!
//! # Interleavings that matter
//!
//! * *Parking against pushing.* Who pushes takes the lock of a list and then reads the word; who parks writes the word
//!   and then takes the lock of each list. Whichever of them has that lock first, the other one sees what it did: the
//!   driver is woken, or does not park.
//!   Who pushes many does so with one turn, and then looks.
//! * *Pushing against arriving.* Who pushes may leave it to a driver that it finds on its way. That one takes each
//!   lock once after it has stopped counting as such, and before it looks ([`Queue::settle`](queue::Queue::settle)):
//!   so it sees what was left to it, also where it then only looks at how long a list is said to be.
//! * *Two drivers about to run their last finds.* Neither counts as another for the other one: only what is parked
//!   or on its way does. At most one of them starts a driver ([`Word::admit`](word::Word::admit)).
//! * *Retiring against pushing.* A driver retires while enough others are parked. Each of those looked at the queue
//!   after it was counted as parked, and is woken by whoever pushes later.
//! * *Retiring against stealing.* The small queues are the pool's, so a driver that ends leaves nothing behind.
//! * *A driver dropped unasked.* It starts another in its place, also if one is on its way: that one may be a task of
//!   async-executor's that was woken while its executor was dropped, and then nobody polls or drops it. If the runtime
//!   refuses the new one, which is to drop it before it got anywhere, the runtime is gone and so is the pool. This does
//!   not wait for the last driver to be dropped, as another one may be at a child that blocks for one that is queued,
//!   and the runtime waits for both. If a driver that nobody polls or drops is the only one, nobody finds out.
//! * *The last handle goes while a driver starts another.* Then that driver is the last to hold the spawner, and leaves it to a thread of
//!   its own: it is the user's, may wait for its tasks to end, and the driver has a child in its hands.
//! * *Dying against spawning.* The group is on the list before its first child is started. The list is closed after
//!   the word says *dead*, and a group that comes later is told at once. A group that was told drops every `Task`
//!   that it has or that is stored later; what is started later is dropped, as the word says *dead* by then.
//! * *Dying against waking.* A child that was scheduled before its `Task` is dropped may be pushed after the queue
//!   is drained. Who pushes looks at the word afterwards, and has it drained again, by another thread.
//! * *The driver's `Task` is stored after it ended, or after the pool did.* It is looked up by its id, under the
//!   lock, and dropped.

mod driver;
#[cfg(all(test, taskgroup_loom))]
#[path = "../../tests/loom/drivers.rs"]
mod models;
mod queue;
mod shared;
mod word;

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::{Arc, Weak};
use std::{fmt, ptr};

use async_task::{Builder, Runnable, Task};

use self::driver::{Source, start_or_panic};
use self::shared::{Here, Owner, Shared, kick};
use crate::keeping::Keeping;
use crate::kept::Kept;
use crate::runtime::{Adopt, Timed};
use crate::spawner::{Counted, Dependent, Inside, OnPool, SpawnBlocking, Spawner, adopt};
use crate::unwind::catch;

/// Runs many small children on a few tasks of the runtime.
///
/// Every group on the same pool shares its queue and its *drivers*, the tasks that run what is queued. Starting and
/// waking a child is a push onto that queue, which costs less than a task of most runtimes does. A group on a pool
/// keeps every promise that it keeps on the runtime itself; when the runtime goes away, its children are lost.
///
/// Clones are handles of one pool. When the last handle, group and child are gone, so are the drivers.
///
/// # Which spawner when
///
/// * The runtime's own, `Smol` or `tokio::runtime::Handle`, for servers and everything where a child does some
///   work: a child then is a task of the runtime, with all that comes with it.
/// * A pool for a great many small children: a parallel map, a graph of jobs, actors that mostly wait.
///
/// One pool serves a whole program. Make it once, next to the runtime, and hand out clones.
///
/// # The price
///
/// A child is not a task of the runtime. What the runtime has for each task, the children of one driver share:
///
/// * **Names, ids, task-locals, rows in a console** are the driver's, and a child may find itself on another driver
///   after each await. Tokio's timers and sockets work; `tokio::task::id` names the driver, and
///   `async_std::task::current` too.
/// * **Tokio's coop budget** is the driver's as well. It gives way as soon as that is spent, so a child that finds
///   it spent is polled once more for nothing.
/// * **Children that block** their thread hold up nobody, as long as the runtime has a thread left to poll another
///   driver on: with `block_in_place` always, otherwise while fewer children block than there are threads. A child
///   that never yields takes a thread for good. Tokio leaves a gap there: what is started from outside of the pool in the very
///   moment in which one worker is blocked by a child and the last other one goes to sleep waits for one of them, like a task of Tokio's.
/// * **Tokio's current-thread runtime** has one thread, so a child that blocks it blocks everything, as it would
///   without a pool.
/// * **A `Task` that is spawned here by hand**, without a group, learns of the end of the runtime only when it is
///   woken or dropped.
///
/// A spawner that owns its tasks, such as `Arc<Executor>`, is held by the handles and groups of the pool, and not
/// by what runs on it. When the last of those is dropped, the children are lost.
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
/// Small jobs on the pool, and one that wants to be a task of the runtime:
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
    /// Makes a pool. Its first driver is started with its first child.
    ///
    /// In a child of another pool, or of a group on one, this is a pool like any other, with a queue and drivers of
    /// its own; nothing ends it with that child. Over a [`Pool`] it is a pool whose drivers are that one's
    /// children.
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
        let shared = Arc::new(Shared::new(parallelism()));
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        spawner.register(weak);
        Self { inner: Arc::new(Inner { owner: Arc::new(Owner::new(shared)), spawner }) }
    }
}

impl<S> Pool<S> {
    /// The spawner underneath, for children that are to be tasks of the runtime.
    pub fn spawner(&self) -> &S {
        &self.inner.spawner
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.owner.shared
    }
}

/// Over a runtime that is gone, a child is dropped where it is spawned.
impl<S: Spawner> Spawner for Pool<S> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.shared().word.look().is_dead() {
            // Not as a task, where a destructor that panics aborts.
            drop(future);
            return adopt(());
        }
        // The future keeps the pool it runs on, and not its task, of which an empty cell may be there for a while longer.
        let (future, shared) = (Keeping::new(future, self.inner.owner.clone()), self.shared().clone());
        let (runnable, task) = task(future, move |runnable| shared.push::<S>(runnable));
        self.start_task(runnable, Inside(()));
        task
    }

    fn makes_tasks(_: Inside) -> bool {
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
        // SAFETY: this is looked at where the task is scheduled, which begins while its future is there. As long as that is so the
        // future is counted, and what `keep_for_tasks` gave is kept, which holds the same; from the push on see invariant 6.
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
                Ok(Some(spawner)) => Source::Own(spawner),
                Ok(None) => Source::Handles(Arc::downgrade(&self.inner)),
                Err(payload) => {
                    // As where it refuses the driver: nobody comes for what is queued.
                    shared.die();
                    resume_unwind(payload)
                }
            };
            if start_or_panic(&self.inner.spawner, source, shared, 1) && Here::look().is_in_child() {
                kick::<S>();
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
    // What panics all the same must not take a driver with it.
    Builder::new().propagate_panic(true).spawn(|()| future, push)
}

/// How many threads the machine runs at once. Asking it takes longer than a child does.
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
