//! The pool: parking, the queue, and the last driver. With `--features pool`.
//!
//! The pool thinks that the machine has no threads at all, so that one driver may wait for work and every other one
//! ends as soon as there is none: retiring is part of every model.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::task::{Poll, Waker};

use async_task::Runnable;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};
use taskgroup::{AnySpawner, Pool, Spawner, Task, TaskGroup, adopt, shield};

use super::{Capture, Yield, block_on, bounded};

/// A runtime that can be shut down, with one thread for each of its [`Worker`]s.
#[derive(Clone, Default)]
struct Runtime(Arc<Tasks>);

#[derive(Default)]
struct Tasks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Runnable>,
    /// How many futures are not destroyed.
    live: usize,
    /// Wakes each task that was ever polled, at the end.
    wakers: Vec<Waker>,
    /// Tasks are dropped, not run.
    down: bool,
    /// The threads end when no task is left.
    done: bool,
}

impl Spawner for Runtime {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.0.state.lock().unwrap();
        if state.down {
            drop(state);
            drop(future);
            return adopt(());
        }
        state.live += 1;
        drop(state);
        let (live, tasks) = (Live(self.0.clone()), self.0.clone());
        let mut known = false;
        let mut future = Box::pin(future);
        let (runnable, task) = async_task::spawn(
            std::future::poll_fn(move |cx| {
                if !std::mem::replace(&mut known, true) {
                    live.0.state.lock().unwrap().wakers.push(cx.waker().clone());
                }
                future.as_mut().poll(cx)
            }),
            move |runnable| tasks.push(runnable),
        );
        runnable.schedule();
        task
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl Tasks {
    fn push(&self, runnable: Runnable) {
        self.state.lock().unwrap().queue.push_back(runnable);
        self.changed.notify_all();
    }
}

impl Runtime {
    fn worker(&self) -> JoinHandle<()> {
        let tasks = self.0.clone();
        thread::spawn(move || {
            let mut state = tasks.state.lock().unwrap();
            loop {
                if let Some(runnable) = state.queue.pop_front() {
                    let down = state.down;
                    drop(state);
                    if down {
                        drop(runnable);
                    } else {
                        runnable.run();
                    }
                    state = tasks.state.lock().unwrap();
                } else if state.done && state.live == 0 {
                    return;
                } else {
                    state = tasks.changed.wait(state).unwrap();
                }
            }
        })
    }

    /// Runs on this thread what is scheduled, until nothing is.
    fn run(&self) {
        let next = || self.0.state.lock().unwrap().queue.pop_front();
        while let Some(runnable) = next() {
            runnable.run();
        }
    }

    /// Drops every task.
    fn shut_down(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.down = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Blocks until so many futures are left.
    fn until(&self, live: usize) {
        let mut state = self.0.state.lock().unwrap();
        while state.live > live {
            state = self.0.changed.wait(state).unwrap();
        }
    }

    /// Lets the workers end, which they do when no task is left: a driver that stays is a deadlock.
    fn finish(&self, worker: JoinHandle<()>) {
        let mut state = self.0.state.lock().unwrap();
        state.done = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        drop(wakers);
        self.0.changed.notify_all();
        worker.join().unwrap();
    }
}

/// Counts a future off that is destroyed.
struct Live(Arc<Tasks>);

impl Drop for Live {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.live -= 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

/// One driver has run the first child and finds nothing more, nor does the one that came to take over.
///
/// Red if `Shared::rest` does not look at the queue again once the driver is counted as parked, or only at how long the lists
/// are said to be; or if a driver that has arrived does not settle the queue.
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
        let waits = turn.clone();
        group.launch(async move {
            waits.come().await;
            drop(capture);
        });
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
/// Red if the lock is let go before the `Task` is in its slot, and nobody looks then whether the child was cut.
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
/// Red if `Driver::see_to_another` starts nobody.
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

/// Red if nobody is told in `Shared::die`, or if a driver that is dropped stays counted as on its way.
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

/// The second child may run before the first one is spawned, with which the group comes to the pool's list.
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

/// No handle is left, so the child ends the pool, which whoever has woken it from outside still looks at.
///
/// Red if `Shared::push_uncounted` does not count the pool before it pushes.
#[test]
fn a_wake_meets_the_end_of_a_pool() {
    bounded(3, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let (turn, capture) = (Arc::new(Turn::default()), Capture::new(&alive));
        let waits = turn.clone();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        group.launch(shield(async move {
            waits.come().await;
            drop(capture);
        }));
        turn.is_awaited();
        // The child is cancelled, and goes on under its shield.
        drop(group);
        turn.is_here();
        runtime.finish(worker);
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// The same where the one that wakes has run a driver before, and is not inside of it any more.
///
/// Red if `Polling` leaves the pool behind on its thread: it would take it that a driver keeps it.
#[test]
fn a_wake_from_where_a_driver_has_run_meets_the_end_of_a_pool() {
    bounded(3, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let (turn, capture) = (Arc::new(Turn::default()), Capture::new(&alive));
        let waits = turn.clone();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        group.launch(shield(async move {
            waits.come().await;
            drop(capture);
        }));
        runtime.run();
        turn.is_awaited();
        let worker = runtime.worker();
        drop(group);
        turn.is_here();
        runtime.finish(worker);
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// The group keeps the first pool, and the child on the other one keeps that.
///
/// Red if `Pool::keep_for_tasks` says that it is kept where another one is.
#[test]
fn a_group_has_children_on_two_pools() {
    bounded(2, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let (turn, capture) = (Arc::new(Turn::default()), Capture::new(&alive));
        let waits = turn.clone();
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        group.launch(async {});
        group.on(Pool::new(runtime.clone())).launch(async move {
            waits.come().await;
            drop(capture);
        });
        turn.is_here();
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        runtime.finish(worker);
    });
}

/// The group goes on with a child elsewhere, nobody looks at it, and its table may be taken when one on the pool ends: then
/// nothing keeps the pool.
fn nobody_is_left_on_the_pool(launch: fn(&TaskGroup<Runtime>, Pool<Runtime>)) {
    bounded(2, move || {
        let runtime = Runtime::default();
        let (worker, turn) = (runtime.worker(), Arc::new(Turn::default()));
        let waits = turn.clone();
        let group = TaskGroup::new(runtime.clone());
        group.launch(async move { waits.come().await });
        launch(&group, Pool::new(runtime.clone()));
        assert!(group.reason().is_none());
        runtime.until(1);
        turn.is_here();
        block_on(group.join()).unwrap();
        runtime.finish(worker);
    });
}

/// Red if those on a pool are put by as all others are, or if `State::end` or `State::note_few` does not see that they are few.
#[test]
fn the_last_children_on_a_pool_end_in_a_crowd() {
    nobody_is_left_on_the_pool(|group, pool| {
        let jobs = group.on(pool);
        (0..3).for_each(|_| jobs.launch(async {}));
    });
}

/// Red if `ChildBuilder::enter` takes the ticket before the group keeps the pool.
#[test]
fn a_child_on_a_pool_leaves_its_result_in_a_crowd() {
    nobody_is_left_on_the_pool(|group, pool| drop(group.on(pool).results::<()>().spawn(async {})));
}

/// Red if the task of such a child keeps the pool, and not its future.
#[test]
fn a_child_on_a_pool_that_is_wrapped_ends_in_a_crowd() {
    nobody_is_left_on_the_pool(|group, pool| group.on(AnySpawner::new(pool)).launch(async {}));
}

/// The future of a child on the pool is gone, and a group that it has opened elsewhere goes on.
///
/// Red if `State::end_with_effects` counts it off the pool only when it is freed.
#[test]
fn a_child_on_a_pool_is_gone_with_a_group_inside() {
    bounded(2, || {
        let runtime = Runtime::default();
        let (worker, turn) = (runtime.worker(), Arc::new(Turn::default()));
        let (waits, elsewhere) = (turn.clone(), runtime.clone());
        let group = TaskGroup::new(runtime.clone());
        group.on(Pool::new(runtime.clone())).launch(async move {
            let (inner, begun) = (TaskGroup::new(elsewhere), Arc::new(Turn::default()));
            let begins = begun.clone();
            inner.launch(shield(async move {
                begins.is_here();
                waits.come().await;
            }));
            begun.come().await;
        });
        runtime.until(1);
        turn.is_here();
        block_on(group.join()).unwrap();
        runtime.finish(worker);
    });
}

/// Something that one child waits for.
#[derive(Default)]
struct Turn(Mutex<(bool, Option<Waker>)>, Condvar);

impl Turn {
    async fn come(&self) {
        std::future::poll_fn(|cx| {
            let mut turn = self.0.lock().unwrap();
            if turn.0 {
                return Poll::Ready(());
            }
            turn.1 = Some(cx.waker().clone());
            self.1.notify_all();
            Poll::Pending
        })
        .await
    }

    /// Blocks until somebody waits.
    fn is_awaited(&self) {
        let mut turn = self.0.lock().unwrap();
        while turn.1.is_none() {
            turn = self.1.wait(turn).unwrap();
        }
    }

    fn is_here(&self) {
        let mut turn = self.0.lock().unwrap();
        turn.0 = true;
        let waker = turn.1.take();
        drop(turn);
        waker.into_iter().for_each(Waker::wake);
    }
}
