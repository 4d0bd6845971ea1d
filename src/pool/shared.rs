//! What the drivers, the handles and the children of a pool share.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use async_task::{Runnable, Task};

use super::queue::{Queue, Seat};
use super::watch::Watch;
use super::word::Word;
use crate::spawner::on_pool::TaskPool;
use crate::spawner::{Dependent, Spawner};
use crate::sync::kept::Kept;
#[cfg(taskgroup_loom)]
use crate::sync::kept::{Alive, Mortal};
use crate::sync::lock::{Guard, Lock};
use crate::sync::{Mutex, local, lock};
use crate::unwind::{catch, drop_quietly, wake};

/// How many children are queued at once, where there are many.
const MANY: usize = 256;

/// From this length of the list on, groups are taken out of it that have ended, or that are in it again.
const FEW: usize = 16;

pub(super) struct Shared {
    /// It is dropped before the rest.
    #[cfg(taskgroup_loom)]
    alive: Alive,
    pub(super) word: Word,
    pub(super) queue: Queue,
    drivers: Lock<Drivers>,
    dependents: Mutex<Dependents>,
    /// How many drivers may wait for work.
    pub(super) keep: usize,
    pub(super) watch: Watch,
    /// Starts another driver unless so many are on their way. Says `false` if nobody has a handle of the spawner any more. Set
    /// where drivers may be held up.
    pub(super) starter: OnceLock<Starter>,
}

pub(super) type Starter = Box<dyn Fn(&Arc<Shared>, usize) -> bool + Send + Sync>;

#[cfg(taskgroup_loom)]
impl Mortal for Shared {
    fn alive(&self) -> &Alive {
        &self.alive
    }
}

#[derive(Default)]
struct Drivers {
    last_id: u64,
    /// Those that have not ended, with their `Task` as soon as it is there.
    tasks: Vec<(u64, Option<Task<()>>)>,
    parked: Vec<(u64, Waker)>,
}

struct Dependents {
    dead: bool,
    list: Vec<Weak<dyn Dependent>>,
    sweep_at: usize,
}

/// What became of a driver that found nothing to do.
pub(super) enum Rest {
    Parked,
    /// There is something to do after all.
    Again,
    /// Enough others wait.
    Retired,
}

impl Shared {
    /// The state of a pool for a machine that runs this many threads at once.
    pub(super) fn new(parallelism: usize) -> Self {
        Self {
            word: Word::new(),
            // There is one driver more than threads, which is on its way or waits.
            queue: Queue::new(parallelism + 1),
            drivers: Lock::new(Drivers::default()),
            dependents: Mutex::new(Dependents { dead: false, list: Vec::new(), sweep_at: FEW }),
            keep: parallelism + 1,
            watch: Watch::default(),
            starter: OnceLock::new(),
            #[cfg(taskgroup_loom)]
            alive: Alive::new(),
        }
    }

    fn drivers(&self) -> Guard<'_, Drivers> {
        self.drivers.lock()
    }

    // ---- children ----

    /// Queues a child, and makes sure that a driver comes. This is the schedule function: nothing is dropped in here.
    #[inline]
    pub(super) fn push<S: Spawner>(self: &Arc<Self>, runnable: Runnable) {
        let here = Here::look();
        self.queue.push(runnable, here.shard(self));
        self.see_to_driver::<S>(here.is_in_child());
    }

    /// The same for a child that does not keep the pool. Once the child is queued it may be run, and after that perhaps
    /// nobody else keeps the pool. What is dropped here is memory at most, because the pool is over by then.
    #[inline]
    pub(super) fn push_uncounted<S: Spawner>(this: &Kept<Self>, runnable: Runnable) {
        let here = Here::look();
        let shard = here.shard(this);
        if shard == Some(HELD) {
            return this.hold(runnable);
        }
        let _kept = shard.is_none().then(|| Arc::clone(this));
        this.queue.push(runnable, shard);
        this.see_to_driver::<S>(here.is_in_child());
    }

    /// Drops the `Task`s of children that do not keep the pool. This queues the children, many in one turn. With a turn for
    /// each, the code that drops them and a driver that keeps step would wait for each other all the time.
    ///
    /// Nobody runs what is held, so nothing may wait meanwhile. Dropping such a `Task` pushes it or does nothing, and calls
    /// nobody.
    fn drop_many<S: Spawner>(self: &Arc<Self>, tasks: Vec<Task<()>>) {
        let mut tasks = tasks.into_iter();
        while tasks.len() > 0 {
            let holding = Stay::begin(self, HELD);
            tasks.by_ref().take(MANY).for_each(drop_quietly);
            drop(holding);
            let _ = HOLDS.try_with(|held| self.queue.push_many(&mut held.borrow_mut()));
            self.see_to_driver::<S>(tasks.len() > 0 || Here::look().is_in_child());
        }
        // The memory of the list goes as well.
        let _ = HOLDS.try_with(RefCell::take);
    }

    #[cold]
    fn hold(&self, runnable: Runnable) {
        let mut runnable = Some(runnable);
        let _ = HOLDS.try_with(|held| held.borrow_mut().extend(runnable.take()));
        if let Some(runnable) = runnable {
            // This thread is going away.
            self.queue.push(runnable, None);
        }
    }

    /// Makes sure that a driver comes after something was queued. If this thread goes on for a while, or may block, the
    /// driver comes to another thread.
    #[inline]
    fn see_to_driver<S: Spawner>(self: &Arc<Self>, goes_on: bool) {
        let seen = self.word.look();
        if seen.is_dead() {
            return self.drain_elsewhere();
        }
        if seen.on_way() == 0 && seen.parked() > 0 && self.wake_one(1) && goes_on {
            kick::<S>();
        } else if S::keeps_woken() || self.watch.is_orphaned() {
            // The child was left to a driver that perhaps does not come.
            self.watch.begin(self);
        }
    }

    // ---- drivers ----

    /// Wakes a driver, unless `enough` are on their way already. Says whether it did.
    pub(super) fn wake_one(&self, enough: usize) -> bool {
        let mut drivers = self.drivers();
        if self.word.look().on_way() >= enough {
            return false;
        }
        let Some((_, waker)) = drivers.parked.pop() else { return false };
        self.word.wake(1);
        drop(drivers);
        wake(waker);
        true
    }

    /// Takes in a new driver unless `enough` are on their way, and returns its id.
    pub(super) fn admit(&self, enough: usize) -> Option<u64> {
        if !self.word.admit(enough) {
            return None;
        }
        let mut drivers = self.drivers();
        drivers.last_id += 1;
        let id = drivers.last_id;
        drivers.tasks.push((id, None));
        Some(id)
    }

    /// Stores the handle of a driver, which may have ended long ago.
    pub(super) fn store(&self, id: u64, task: Task<()>) {
        let mut task = Some(task);
        let mut drivers = self.drivers();
        if !self.word.look().is_over() {
            if let Some((_, place)) = drivers.tasks.iter_mut().find(|(driver, _)| *driver == id) {
                *place = task.take();
            }
        }
        drop(drivers);
        drop_quietly(task);
    }

    /// Parks a driver that has found the queue empty, or lets it go.
    pub(super) fn rest(&self, id: u64, waker: Waker) -> Rest {
        let mut drivers = self.drivers();
        if drivers.parked.len() >= self.keep {
            drop(drivers);
            // Whatever is pushed from now on finds one of the other drivers.
            return Rest::Retired;
        }
        drivers.parked.push((id, waker));
        self.word.park();
        drop(drivers);
        // A push that came before the driver was counted as parked did not wake it.
        if self.queue.is_empty() && !self.word.look().is_over() {
            return Rest::Parked;
        }
        self.unpark(id);
        Rest::Again
    }

    /// A driver that had parked goes on. It may have been woken, or may be polled for no reason.
    pub(super) fn unpark(&self, id: u64) {
        let mut drivers = self.drivers();
        let waiting = drivers.parked.iter().position(|(driver, _)| *driver == id);
        let waker = waiting.map(|at| drivers.parked.remove(at));
        match waiting {
            Some(_) => self.word.unpark(),
            None => self.word.arrive(),
        }
        drop(drivers);
        drop_quietly(waker);
        // Also for a driver that was woken between parking and looking: something may have been left to it meanwhile.
        self.queue.settle();
    }

    /// A driver that was on its way looks at the queue from now on, and sees what was left to it.
    pub(super) fn arrive(&self) {
        self.word.arrive();
        self.queue.settle();
    }

    /// Takes out a driver that has ended.
    pub(super) fn depart(&self, id: u64) {
        let mut drivers = self.drivers();
        let place = drivers.tasks.iter().position(|(driver, _)| *driver == id);
        let gone = place.map(|at| drivers.tasks.swap_remove(at));
        self.word.depart();
        drop(drivers);
        drop_quietly(gone);
    }

    /// Ends all drivers. Those that are at work end by themselves.
    fn dismiss(&self) {
        let mut drivers = self.drivers();
        let parked = std::mem::take(&mut drivers.parked);
        self.word.wake(parked.len());
        let tasks: Vec<_> = drivers.tasks.iter_mut().filter_map(|(_, task)| task.take()).collect();
        drop(drivers);
        // The schedule function of a runtime may panic.
        tasks.into_iter().for_each(drop_quietly);
        // A driver whose `Task` is not stored yet has to notice this by itself.
        parked.into_iter().for_each(|(_, waker)| wake(waker));
    }

    // ---- the end ----

    /// Nothing is left that could spawn, and nothing that could run.
    fn close(&self) {
        self.word.close();
        self.dismiss();
    }

    /// The runtime is gone: every group is told, and everything that is queued is dropped.
    pub(super) fn die(self: &Arc<Self>) {
        if !self.word.die() {
            return;
        }
        // From here on destructors are called that may wait for others that are queued.
        self.watch.begin(self);
        let mut dependents = lock(&self.dependents);
        dependents.dead = true;
        let list = std::mem::take(&mut dependents.list);
        drop(dependents);
        list.iter().for_each(tell_of_loss);
        self.drain();
        self.dismiss();
    }

    /// Drops what is queued in a dead pool. One thread does so, and what comes meanwhile is left to it, unless it is held up.
    pub(super) fn drain(self: &Arc<Self>) {
        let mut seat = Seat::ANY;
        loop {
            while let Some(runnable) = self.queue.pop(&mut seat) {
                self.word.step();
                self.watch.begin(self);
                drop(runnable);
            }
            self.word.end_draining();
            if self.queue.is_empty() || !self.word.begin_draining() {
                return;
            }
        }
    }

    /// Drains on a thread of its own: a schedule function may run under any lock, and destructors must not.
    fn drain_elsewhere(self: &Arc<Self>) {
        if !self.word.begin_draining() {
            return self.watch.begin(self);
        }
        let shared = self.clone();
        if !start_thread("taskgroup-drain", move || shared.drain()) {
            self.word.end_draining();
        }
    }

    // ---- dependents ----

    pub(super) fn register(&self, dependent: Weak<dyn Dependent>) {
        let mut dependents = lock(&self.dependents);
        if dependents.dead {
            drop(dependents);
            return tell_of_loss(&dependent);
        }
        if dependents.list.len() >= dependents.sweep_at {
            // A group that registers again and again is in the list once. The order stays, because simulations rely on it.
            let mut seen = HashSet::new();
            dependents.list.retain(|one| one.strong_count() > 0 && seen.insert(one.as_ptr().cast::<()>()));
            dependents.sweep_at = FEW.max(2 * dependents.list.len());
            let room = dependents.sweep_at;
            dependents.list.shrink_to(room);
        }
        dependents.list.push(dependent);
    }
}

/// A dependent that panics does not keep the others from being told.
fn tell_of_loss(dependent: &Weak<dyn Dependent>) {
    drop_quietly(catch(|| dependent.upgrade().into_iter().for_each(Dependent::runtime_lost)));
}

/// Lets other threads get at what this one has woken or started. It may be called inside a waker, or just before a child is
/// run.
pub(super) fn kick<S: Spawner>() {
    drop_quietly(catch(S::kick));
}

/// A pool on a pool: its drivers are children of the other one.
impl Dependent for Shared {
    fn runtime_lost(self: Arc<Self>) {
        self.die();
    }
}

/// Kept by handles, and by or for children. When the last of these is gone, so are the drivers.
pub(super) struct Owner<S> {
    pub(super) shared: Arc<Shared>,
    spawner: PhantomData<fn() -> S>,
}

impl<S> Owner<S> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, spawner: PhantomData }
    }
}

impl<S: Spawner> TaskPool for Owner<S> {
    fn drop_many(&self, tasks: Vec<Task<()>>) {
        self.shared.drop_many::<S>(tasks);
    }
}

impl<S> Drop for Owner<S> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

local!(
    /// The pool whose driver is being polled on this thread, by its address, and the driver's shard; or the pool many of
    /// whose `Task`s are being dropped, and [`HELD`]. Memory safety rests on
    /// it: code that finds its pool here need not keep the pool.
    static HERE: Cell<(usize, usize)> = Cell::new((0, 0))
);

/// The shard of a thread that drops many `Task`s of a pool.
const HELD: usize = usize::MAX;

local!(
    /// What such a thread has still to queue.
    static HOLDS: RefCell<Vec<Runnable>> = RefCell::new(Vec::new())
);

/// Where this thread is.
pub(super) struct Here((usize, usize));

impl Here {
    #[inline]
    pub(super) fn look() -> Self {
        // A thread that is going away is nowhere.
        Self(HERE.try_with(Cell::get).unwrap_or_default())
    }

    /// Whether a driver is being polled, of any pool: then this is in one of its children, which may block.
    #[inline]
    pub(super) fn is_in_child(&self) -> bool {
        self.0.0 != 0
    }

    /// The shard of the driver, if it is one of this pool.
    #[inline]
    fn shard(&self, shared: &Arc<Shared>) -> Option<usize> {
        let (pool, shard) = self.0;
        (pool == Arc::as_ptr(shared) as usize).then_some(shard)
    }
}

/// Says where this thread is while a driver is polled on it, or many `Task`s are dropped.
pub(super) struct Stay {
    around: Here,
}

impl Stay {
    pub(super) fn begin(shared: &Arc<Shared>, shard: usize) -> Self {
        let around = Here::look();
        let _ = HERE.try_with(|here| here.set((Arc::as_ptr(shared) as usize, shard)));
        Self { around }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let _ = HERE.try_with(|here| here.set(self.around.0));
    }
}

/// Runs `f` on a new thread, if one can be had.
#[cfg(not(taskgroup_loom))]
pub(super) fn start_thread(name: &str, f: impl FnOnce() + Send + 'static) -> bool {
    std::thread::Builder::new().name(name.into()).spawn(f).is_ok()
}

#[cfg(taskgroup_loom)]
pub(super) fn start_thread(_: &str, f: impl FnOnce() + Send + 'static) -> bool {
    loom::thread::spawn(f);
    true
}

#[cfg(all(test, not(taskgroup_loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Dependent for Told {
        fn runtime_lost(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// When the list has doubled, and no more often.
    #[test]
    fn those_that_have_ended_are_swept_out_and_the_others_told() {
        let shared = Arc::new(Shared::new(1));
        let register = |told: &Arc<Told>| {
            let weak: Weak<Told> = Arc::downgrade(told);
            shared.register(weak);
            let dependents = lock(&shared.dependents);
            (dependents.list.len(), dependents.sweep_at)
        };
        let living: [_; FEW + 1] = std::array::from_fn(|_| Arc::<Told>::default());
        let registered = living.each_ref().map(register);
        assert_eq!((registered[FEW - 1], registered[FEW]), ((FEW, FEW), (FEW + 1, 2 * FEW)));
        let gone: [_; FEW] = std::array::from_fn(|_| register(&Arc::default()));
        assert_eq!((gone[FEW - 2], gone[FEW - 1]), ((2 * FEW, 2 * FEW), (FEW + 2, 2 * FEW + 2)));
        shared.die();
        assert!(living.iter().all(|told| told.0.load(SeqCst) == 1));
    }

    #[test]
    fn groups_that_register_again_and_again_are_few_in_the_list() {
        let (pool, groups) = (Shared::new(1), [Shared::new(1), Shared::new(1)].map(Arc::new));
        for _ in 0..1000 {
            groups.iter().for_each(|group| pool.register(Arc::downgrade(group) as Weak<dyn Dependent>));
        }
        let list = &lock(&pool.dependents).list;
        assert!(list.len() <= FEW, "{}", list.len());
        let other = Arc::downgrade(&groups[1]) as Weak<dyn Dependent>;
        assert!(list.iter().any(|one| one.ptr_eq(&other)), "none is forgotten");
    }
}
