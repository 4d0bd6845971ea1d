//! The pool: parking, the queue, and the last driver. With `--features pool`.
//!
//! In these models the pool takes the machine for one that runs no threads at all. So one driver may wait for work, and
//! every other driver ends as soon as there is none: retiring is part of every model.

#[path = "pool/kept.rs"]
mod kept;
#[path = "pool/runtime.rs"]
mod runtime;

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use taskgroup::{Pool, Spawner, TaskGroup, shield};

use self::runtime::{Runtime, Turn};
use super::{Capture, Yield, block_on, bounded};

/// One driver has run the first child and finds nothing more. Nor does the driver that was started to take over.
///
/// Red if `Shared::rest` does not look at the queue again once the driver is counted as parked, or looks only at the
/// recorded lengths of the lists. Also red if a driver that has arrived does not settle the queue.
#[test]
fn a_push_meets_drivers_that_park() {
    bounded(2, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let workers = [runtime.worker(), runtime.worker()];
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        for _ in 0..2 {
            let capture = Capture::new(&alive);
            group.launch(async move { drop(capture) });
        }
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        for worker in workers {
            runtime.finish(worker);
        }
    });
}

/// Red if the last driver that waits retires as well.
#[test]
fn a_wake_meets_a_driver_that_parks() {
    bounded(3, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        let capture = Capture::new(&alive);
        let turn = Arc::new(Turn::default());
        group.launch(turn.holds(capture));
        turn.is_here();
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        runtime.finish(worker);
    });
}

/// Red if a driver that has arrived does not settle the queue.
#[test]
fn two_threads_push_at_once() {
    bounded(2, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        let (outside, capture) = (group.group(), Capture::new(&alive));
        let other = thread::spawn(move || outside.launch(async move { drop(capture) }));
        let capture = Capture::new(&alive);
        group.launch(async move { drop(capture) });
        other.join().unwrap();
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        runtime.finish(worker);
    });
}

/// A child is entered together with its `Task`: a cancel finds both or neither.
///
/// Red if the lock is released before the `Task` is in its slot, and nobody then checks whether the child was cut. Also red
/// if `Shared::drop_many` looks for a driver before it queues what it holds, or does not look at all.
#[test]
fn a_cancel_meets_a_child_that_is_being_entered() {
    bounded(2, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        let outside = group.group();
        let cancelling = thread::spawn(move || outside.cancel());
        let capture = Capture::new(&alive);
        group.launch(async move {
            let _capture = capture;
            std::future::pending::<()>().await
        });
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        cancelling.join().unwrap();
        runtime.finish(worker);
    });
}

/// The child blocks its thread for a sibling, which another driver has to run.
///
/// Red if `Driver::see_to_another` starts no driver.
#[test]
fn a_child_blocks_for_a_sibling() {
    bounded(2, || {
        let runtime = Runtime::default();
        let workers = [runtime.worker(), runtime.worker()];
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        let (spawn, done) = (group.group(), Arc::new((Mutex::new(false), Condvar::new())));
        group.launch(async move {
            let told = done.clone();
            spawn.launch(async move {
                *told.0.lock().unwrap() = true;
                told.1.notify_all();
            });
            let mut is_done = done.0.lock().unwrap();
            while !*is_done {
                is_done = done.1.wait(is_done).unwrap();
            }
        });
        block_on(group.join()).unwrap();
        for worker in workers {
            runtime.finish(worker);
        }
    });
}

/// Red if `Shared::die` tells nobody, or if a driver that is dropped stays counted as on its way.
#[test]
fn a_spawn_meets_the_last_driver() {
    bounded(3, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        let capture = Capture::new(&alive);
        group.launch(async move {
            let _capture = capture;
            std::future::pending::<()>().await
        });
        runtime.shut_down();
        let capture = Capture::new(&alive);
        group.launch(async move {
            let _capture = capture;
            std::future::pending::<()>().await
        });
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(alive.load(SeqCst), 0);
        runtime.finish(worker);
    });
}

/// The second child may run before the first one is spawned. The spawn of the first child puts the group into the pool's
/// list.
///
/// Red if `Shared::drain` does not look at the queue again when it has ended.
#[test]
fn a_group_becomes_known_while_the_last_driver_is_dropped() {
    bounded(2, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        let (second, capture, ending) = (group.group(), Capture::new(&alive), runtime.clone());
        let other = thread::spawn(move || {
            second.launch(async move {
                let _capture = capture;
                shield(std::future::pending::<()>()).await
            });
            drop(second);
            ending.shut_down();
        });
        let capture = Capture::new(&alive);
        group.launch(async move {
            let _capture = capture;
            std::future::pending::<()>().await
        });
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(alive.load(SeqCst), 0);
        other.join().unwrap();
        runtime.finish(worker);
    });
}

/// Red if what is pushed to a dead pool is left there.
#[test]
fn a_wake_meets_the_last_driver() {
    bounded(3, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        let capture = Capture::new(&alive);
        let turn = Arc::new(Turn::default());
        let waits = turn.clone();
        group.launch(async move {
            let _capture = capture;
            waits.come().await;
            std::future::pending::<()>().await
        });
        let waking = thread::spawn(move || turn.is_here());
        runtime.shut_down();
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(alive.load(SeqCst), 0);
        waking.join().unwrap();
        runtime.finish(worker);
    });
}

/// Red if the last owner does not dismiss the drivers.
#[test]
fn the_last_handle_is_dropped_while_a_child_ends() {
    bounded(3, || {
        let runtime = Runtime::default();
        let worker = runtime.worker();
        let task = Pool::new(runtime.clone()).spawn(Yield(false));
        block_on(task);
        runtime.finish(worker);
    });
}

/// No handle is left, so the child ends the pool, while the thread outside that has woken the child still looks at the
/// pool.
///
/// Red if `Shared::push_uncounted` does not count the pool before it pushes.
#[test]
fn a_wake_meets_the_end_of_a_pool() {
    bounded(3, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let (turn, capture) = (Arc::new(Turn::default()), Capture::new(&alive));
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        group.launch(shield(turn.holds(capture)));
        turn.is_awaited();
        // The child is cancelled, and goes on under its shield.
        drop(group);
        turn.is_here();
        runtime.finish(worker);
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// The same, but the thread that wakes has run a driver before, and is not inside it any more.
///
/// Red if `Stay` leaves the pool behind on its thread: the thread would then assume that a driver keeps the pool.
#[test]
fn a_wake_from_where_a_driver_has_run_meets_the_end_of_a_pool() {
    bounded(3, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let (turn, capture) = (Arc::new(Turn::default()), Capture::new(&alive));
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        group.launch(shield(turn.holds(capture)));
        runtime.run();
        turn.is_awaited();
        let worker = runtime.worker();
        drop(group);
        turn.is_here();
        runtime.finish(worker);
        assert_eq!(alive.load(SeqCst), 0);
    });
}
