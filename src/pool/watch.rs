//! Looks, a moment later and on a thread of its own, whether a pool has moved on.
//!
//! There are three things that could hold up a whole pool, and that none of its drivers can see:
//!
//! * A driver is on its way and does not come. Tokio leaves a task that is woken on a worker to that worker, and no other one
//!   can take it. If the worker is in a task outside of the pool that computes for long or blocks, the driver waits for that,
//!   and so does everybody who relies on the driver. Then another driver is sent from here, which is no worker.
//! * The last driver is at a child that blocks, and no other one can be started, because nobody has a handle of the spawner any
//!   more. Then the other children are run from here.
//! * The code that empties a dead pool is in a destructor, which waits for something that is still queued. Then another thread
//!   goes on.
//!
//! To be wrong does no harm: a driver comes that finds nothing, or two threads drain. One thread looks after all pools. It ends
//! when it has had none for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::is_simulated;
use super::queue::Seat;
use super::shared::{Shared, start_thread};

/// How long a pool may stand still.
const MOMENT: Duration = Duration::from_millis(10);

/// After so many moments it is not that the machine is busy. Then another driver is started if none can be woken.
const LONG: u32 = 16;

/// How long the thread waits for another pool.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pool that has stood still at this many moments in a row is given up until something is queued again. Until then it is helped
/// less and less often.
const MOST: u32 = 256;

/// Whether somebody looks after a pool.
#[derive(Default)]
pub(super) struct Watch {
    is_watched: AtomicBool,
    /// No driver can be started any more.
    is_orphaned: AtomicBool,
}

struct Watched {
    pool: Weak<Shared>,
    steps: usize,
    /// For how many moments it has stood still.
    still: u32,
}

/// The pools that are looked after; `None` while there is no thread for that.
static POOLS: Mutex<Option<Vec<Watched>>> = Mutex::new(None);
static COME: Condvar = Condvar::new();

fn pools() -> MutexGuard<'static, Option<Vec<Watched>>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Looks after the pool until nothing is left that could be held up.
    #[inline]
    pub(super) fn begin(&self, pool: &Arc<Shared>) {
        if !self.is_watched.load(Ordering::SeqCst) {
            self.start(pool);
        }
    }

    /// Does so from now on whenever something is queued that the last drivers perhaps do not come to.
    #[cold]
    pub(super) fn orphan(&self, pool: &Arc<Shared>) {
        self.is_orphaned.store(true, Ordering::SeqCst);
        self.begin(pool);
    }

    pub(super) fn is_orphaned(&self) -> bool {
        self.is_orphaned.load(Ordering::SeqCst)
    }

    #[cold]
    fn start(&self, pool: &Arc<Shared>) {
        if is_simulated() || self.is_watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let watched = Watched { pool: Arc::downgrade(pool), steps: pool.word.steps(), still: 0 };
        let mut pools = pools();
        let is_there = pools.is_some();
        pools.get_or_insert_default().push(watched);
        drop(pools);
        if is_there {
            COME.notify_one();
        } else if !start_thread("taskgroup-watch", watch) {
            let pools = self::pools().take();
            pools.into_iter().flatten().for_each(|watched| watched.end());
        }
    }
}

impl Watched {
    fn end(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.watch.is_watched.store(false, Ordering::SeqCst);
        }
    }

    /// Looks once, and says whether to look again.
    fn look(&mut self) -> bool {
        let Some(pool) = self.pool.upgrade() else { return false };
        if !pool.could_be_held_up() {
            pool.watch.is_watched.store(false, Ordering::SeqCst);
            // Somebody may have relied on this thread a moment ago.
            return pool.could_be_held_up() && !pool.watch.is_watched.swap(true, Ordering::SeqCst);
        }
        let steps = pool.word.steps();
        if std::mem::replace(&mut self.steps, steps) != steps {
            self.still = 0;
            return true;
        }
        self.still += 1;
        if self.still == MOST {
            pool.watch.is_watched.store(false, Ordering::SeqCst);
            return false;
        }
        if self.still.is_power_of_two() || pool.word.look().is_dead() {
            pool.help(self.still >= LONG);
        }
        true
    }
}

impl Shared {
    /// Whether anything is queued that relies on whoever drains, on a driver that is on its way, or on those at their children.
    fn could_be_held_up(&self) -> bool {
        let seen = self.word.look();
        (seen.is_dead() || seen.on_way() > 0 || seen.parked() == 0) && !self.queue.is_empty()
    }

    /// The pool stands still: has another driver come, or another thread drain or run what is queued.
    pub(super) fn help(self: &Arc<Self>, for_long: bool) {
        let shared = self.clone();
        if self.word.look().is_dead() {
            start_thread("taskgroup-drain", move || shared.drain());
            return;
        }
        // More than could be polled at once need not be on their way.
        let enough = self.keep + 1;
        if self.wake_one(enough) {
            return;
        }
        let is_gone = match self.starter.get() {
            Some(start) => for_long && !start(self, enough),
            // Otherwise the first driver is just being started.
            None => self.watch.is_orphaned(),
        };
        if is_gone {
            start_thread("taskgroup-help", move || shared.run_queued());
        }
    }

    /// Does what a driver does, where none can be started.
    fn run_queued(self: &Arc<Self>) {
        let mut seat = Seat::ANY;
        while !self.word.look().is_over() {
            let Some(runnable) = self.queue.pop(&mut seat) else { return };
            self.word.step();
            // This child may block as well.
            self.watch.begin(self);
            runnable.run();
        }
    }
}

/// What the thread does.
fn watch() {
    let has_none = |pools: &mut Option<Vec<_>>| pools.as_ref().is_none_or(Vec::is_empty);
    loop {
        let waited = COME.wait_timeout_while(self::pools(), PATIENCE, has_none);
        let (mut pools, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            *pools = None;
            return;
        }
        drop(pools);
        thread::sleep(MOMENT);
        // What comes meanwhile is put into a new list.
        let mut looked = self::pools().replace(Vec::new()).unwrap_or_default();
        looked.retain_mut(Watched::look);
        self::pools().get_or_insert_default().append(&mut looked);
    }
}

#[cfg(all(test, not(taskgroup_loom)))]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::super::driver::Source;
    use super::*;
    use crate::spawner::nowhere::Nowhere;
    use crate::unwind::Quiet;

    /// Queues a child that tells when it is run.
    fn queue(pool: &Arc<Shared>) -> Receiver<()> {
        let (tell, told) = channel();
        let (runnable, task) = async_task::spawn(async move { tell.send(()).unwrap() }, drop);
        task.detach();
        pool.push::<Nowhere>(runnable);
        told
    }

    #[test]
    fn a_pool_in_which_nothing_is_queued_is_let_go() {
        let pool = Arc::new(Shared::new(1));
        pool.watch.is_watched.store(true, Ordering::SeqCst);
        let mut watched = Watched { pool: Arc::downgrade(&pool), steps: pool.word.steps(), still: 0 };
        assert!(!watched.look());
        assert!(!pool.watch.is_watched.load(Ordering::SeqCst));
    }

    #[test]
    fn what_is_queued_late_where_no_driver_can_be_started_is_run() {
        let pool = Arc::new(Shared::new(1));
        pool.watch.orphan(&pool);
        while pool.watch.is_watched.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        queue(&pool).recv_timeout(Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn what_is_queued_where_the_spawner_is_gone_is_run_by_whoever_helps() {
        let pool = Arc::new(Shared::new(1));
        let told = queue(&pool);
        assert!(pool.starter.set(Source::<Nowhere>::Handles(Weak::new()).into_starter()).is_ok());
        pool.help(true);
        told.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// Otherwise children would run outside of the runtime.
    #[test]
    fn what_is_queued_before_the_first_driver_is_started_is_not_run_by_whoever_helps() {
        let pool = Arc::new(Shared::new(1));
        let told = queue(&pool);
        pool.help(true);
        told.recv_timeout(Duration::from_millis(200)).unwrap_err();
        pool.watch.orphan(&pool);
        pool.help(true);
        told.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// Nor here.
    #[test]
    fn a_spawner_that_is_there_is_not_gone() {
        let start = Source::Own(Quiet::new(Nowhere)).into_starter();
        assert!(start(&Arc::new(Shared::new(1)), 1));
    }
}
