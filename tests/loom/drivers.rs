//! The drivers of a pool, run by hand from inside the crate. Through the public API there are too many interleavings.

#[path = "bounded.rs"]
mod bounded;

use std::future::Future;
use std::sync::{Arc, Mutex};

use async_task::{Runnable, Task};
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread::JoinHandle;

use self::bounded::bounded;
use super::driver::{Source, start_or_panic};
use super::shared::{Shared, Stay};
use crate::spawner::Spawner;
use crate::unwind::Quiet;

/// A runtime whose tasks run only when it is told to run them.
#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<Vec<Runnable>>>);

impl Spawner for ByHand {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let scheduled = self.0.clone();
        let (runnable, task) =
            async_task::spawn(future, move |runnable| scheduled.lock().unwrap().push(runnable));
        runnable.schedule();
        task
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl ByHand {
    /// Starts a driver, which looks at the queue when it is next run.
    fn start(&self, shared: &Arc<Shared>) {
        assert!(start_or_panic(self, Source::Own(Quiet::new(self.clone())), shared, usize::MAX));
        self.run();
    }

    /// Runs the driver that was woken last.
    fn run(&self) {
        let woken = self.0.lock().unwrap().pop();
        woken.expect("a driver is on its way").run();
    }

    /// The runtime goes away.
    fn end(&self, shared: &Arc<Shared>) {
        shared.die();
        let woken = std::mem::take(&mut *self.0.lock().unwrap());
        drop(woken);
        assert!(shared.queue.is_empty(), "a dead pool keeps a child");
        let seen = shared.word.look();
        assert_eq!((seen.drivers(), seen.parked(), seen.on_way()), (0, 0, 0));
    }
}

fn child(shared: &Arc<Shared>, future: impl Future<Output = ()> + Send + 'static) -> Runnable {
    let pool = Arc::downgrade(shared);
    let push = move |runnable| pool.upgrade().expect("the model is not over").push::<ByHand>(runnable);
    let (runnable, task) = async_task::spawn(future, push);
    task.detach();
    runnable
}

/// One driver waits. Another one was counted as waiting, and then finds a child: meanwhile more was left to it. The child
/// may block, so whatever else is queued must not be left behind.
///
/// Red if `Shared::unpark` does not settle the queue.
#[test]
fn more_is_left_to_a_driver_that_had_almost_parked() {
    bounded(3, || {
        let (runtime, shared) = (ByHand::default(), Arc::new(Shared::new(1)));
        runtime.start(&shared);
        runtime.run();
        assert_eq!(shared.word.look().parked(), 1);
        runtime.start(&shared);
        let pushing = Arc::new(Mutex::new(Vec::<JoinHandle<()>>::new()));
        let pushers = [None, Some(1)].map(|shard| {
            let (pool, weak, pushing) = (shared.clone(), Arc::downgrade(&shared), pushing.clone());
            let child = child(&shared, async move {
                let all = std::mem::take(&mut *pushing.lock().unwrap());
                let is_first = !all.is_empty();
                all.into_iter().for_each(|thread| thread.join().unwrap());
                let pool = weak.upgrade().expect("the model is not over");
                let is_seen_to = pool.word.look().on_way() > 0 || pool.queue.is_empty();
                assert!(!is_first || is_seen_to, "nobody comes for a child while another one blocks");
            });
            loom::thread::spawn(move || {
                let _in_a_child = shard.map(|shard| Stay::begin(&pool, shard));
                pool.push::<ByHand>(child);
            })
        });
        pushing.lock().unwrap().extend(pushers);
        runtime.run();
        let pushers = std::mem::take(&mut *pushing.lock().unwrap());
        pushers.into_iter().for_each(|thread| thread.join().unwrap());
        runtime.end(&shared);
    });
}

/// Red if `Part::pop_some` unlocks the list that it takes from before it has put the children into the other list.
#[test]
fn a_pool_dies_while_a_driver_takes_several() {
    bounded(3, || {
        let (runtime, shared) = (ByHand::default(), Arc::new(Shared::new(1)));
        runtime.start(&shared);
        for _ in 0..3 {
            shared.queue.push(child(&shared, async {}), None);
        }
        let dying = shared.clone();
        let dies = loom::thread::spawn(move || dying.die());
        runtime.run();
        dies.join().unwrap();
        runtime.end(&shared);
    });
}

/// Two threads find at once that the runtime is gone. What comes later is drained all the same.
///
/// Red if `Word::die` sets `DRAINING` where the pool is dead.
#[test]
fn what_comes_to_a_pool_that_died_twice_is_drained() {
    bounded(3, || {
        let shared = Arc::new(Shared::new(1));
        let dying = shared.clone();
        let dies = loom::thread::spawn(move || dying.die());
        shared.die();
        dies.join().unwrap();
        shared.queue.push(child(&shared, async {}), None);
        assert!(shared.word.begin_draining(), "it is left to nobody");
        drop(shared.queue.pop(&mut shared.queue.seat(1)).expect("it was pushed"));
    });
}

/// The thread that comes second finds that the first one's driver is on its way.
///
/// Red if `Word::admit` admits more drivers than the caller says are enough.
#[test]
fn two_threads_start_one_driver() {
    bounded(3, || {
        let (runtime, shared) = (ByHand::default(), Arc::new(Shared::new(1)));
        let start = |runtime: ByHand, shared: &Arc<Shared>| {
            assert!(
                start_or_panic(&runtime, Source::Own(Quiet::new(runtime.clone())), shared, 1),
                "one is on its way"
            );
        };
        let (other, pool) = (runtime.clone(), shared.clone());
        let starts = loom::thread::spawn(move || start(other, &pool));
        start(runtime.clone(), &shared);
        starts.join().unwrap();
        let seen = shared.word.look();
        assert_eq!((seen.drivers(), seen.on_way()), (1, 1));
        runtime.end(&shared);
    });
}

/// Two drivers wait, and two threads push. The thread that comes second leaves its child to the driver that is on its way.
///
/// Red if `Shared::wake_one` does not look, under the lock, for a driver that is on its way.
#[test]
fn two_pushes_wake_one_driver() {
    bounded(3, || {
        let (runtime, shared) = (ByHand::default(), Arc::new(Shared::new(1)));
        (0..2).for_each(|_| runtime.start(&shared));
        (0..2).for_each(|_| runtime.run());
        assert_eq!(shared.word.look().parked(), 2);
        let (child, pool) = (|| child(&shared, async {}), shared.clone());
        let (first, second) = (child(), child());
        let pushes = loom::thread::spawn(move || pool.push::<ByHand>(first));
        shared.push::<ByHand>(second);
        pushes.join().unwrap();
        assert_eq!((shared.word.look().on_way(), shared.word.look().parked()), (1, 1));
        runtime.end(&shared);
    });
}

/// A pool that seems to stand still is helped, while a push wakes the driver as well.
///
/// Red if `Shared::wake_one` does not count the driver as woken.
#[test]
fn a_pool_is_helped_that_moves_on() {
    bounded(3, || {
        let (runtime, shared) = (ByHand::default(), Arc::new(Shared::new(1)));
        runtime.start(&shared);
        runtime.run();
        // Then whoever helps runs what is queued, if the driver does not.
        shared.watch.orphan(&shared);
        let (helped, ran) = (shared.clone(), Arc::new(Mutex::new(0)));
        let helper = loom::thread::spawn(move || helped.help(false));
        let counted = ran.clone();
        shared.push::<ByHand>(child(&shared, async move { *counted.lock().unwrap() += 1 }));
        helper.join().unwrap();
        while shared.word.look().on_way() > 0 {
            runtime.run();
        }
        assert_eq!(*ran.lock().unwrap(), 1);
        runtime.end(&shared);
    });
}

/// Counts itself when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Another thread drains as well, because the first one seems to be held up. What comes meanwhile is left to either of them.
///
/// Red if `Shared::drain` does not look again after it has ended draining.
#[test]
fn two_threads_drain() {
    bounded(3, || {
        let (shared, dropped) = (Arc::new(Shared::new(1)), Arc::new(AtomicUsize::new(0)));
        let child = || {
            let capture = Dropped(dropped.clone());
            child(&shared, async move { drop(capture) })
        };
        shared.queue.push(child(), None);
        let (helped, late) = (shared.clone(), child());
        let helper = loom::thread::spawn(move || {
            if helped.word.look().is_dead() {
                helped.help(false);
            }
            helped.push::<ByHand>(late);
        });
        shared.die();
        helper.join().unwrap();
        while dropped.load(SeqCst) < 2 {
            loom::thread::yield_now();
        }
    });
}
