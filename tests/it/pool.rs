//! What is special about pools: drivers, children that block their driver, and runtimes that go away under a pool.

#[cfg(feature = "async-std")]
mod on_async_std;
#[cfg(feature = "smol")]
mod on_smol;
#[cfg(feature = "tokio")]
mod on_tokio;
mod panicking;
mod spawners;
mod stuck;

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt;
use futures_lite::future::{Boxed, block_on, poll_once, yield_now};
use taskgroup::async_task::{self, Runnable};
use taskgroup::runtime::{Dependent, Timed, Timer};
use taskgroup::{AnyTimedSpawner, Group, Pool, Spawner, Task, TaskGroup, adopt};
use taskgroup_conformance::ledger::{Gate, Ledger, Tally};
use taskgroup_conformance::{Test, panic_text, run, until, watched};

use crate::runtimes;
use taskgroup_conformance::spawners::{Dropping, Inline, ThreadEach, WhereWoken};

/// Counts the drivers: every future that is spawned is a driver.
#[derive(Clone)]
struct Counting<S>(S, Ledger);

impl<S: Spawner> Spawner for Counting<S> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(self.1.track(future))
    }

    fn register(&self, dependent: std::sync::Weak<dyn Dependent>) {
        self.0.register(dependent);
    }

    fn for_tasks(&self) -> Option<Self> {
        self.0.for_tasks().map(|spawner| Self(spawner, self.1.clone()))
    }

    fn has_budget() -> bool {
        S::has_budget()
    }

    fn keeps_woken() -> bool {
        S::keeps_woken()
    }

    fn kick() {
        S::kick();
    }
}

fn counted<S: Spawner>(spawner: S) -> (Pool<Counting<S>>, Ledger) {
    let drivers = Ledger::default();
    (Pool::new(Counting(spawner, drivers.clone())), drivers)
}

/// Waits until at most `n` drivers are left.
async fn at_most(drivers: &Ledger, n: usize) {
    while drivers.read().alive() > n {
        yield_now().await;
    }
}

/// Waits until every driver waits for work.
async fn all_parked<S>(pool: &Pool<S>) {
    loop {
        let text = format!("{pool:?}");
        let number =
            |name| text.split_once(name).and_then(|(_, rest)| rest.split(',').next()).map(str::to_owned);
        if number("drivers: ") == number("parked: ") {
            return;
        }
        yield_now().await;
    }
}

/// Runs every kind of child. Checks that no child and no driver is left when the last handle is dropped.
async fn nothing_is_left<S: Spawner>(t: &Test<S>) {
    let (pool, drivers) = counted(t.spawner());
    let group = TaskGroup::new(pool.clone());
    (0..1_000).for_each(|_| group.launch(t.child(yield_now())));
    let value = group.spawn(t.child(async { Ok(1) }));
    assert_eq!(value.await.unwrap(), 1);
    let sum = group.spawn(t.child(large(yield_now())));
    assert_eq!(sum.await.unwrap(), 4_096);
    group.join().await.unwrap();

    let group = TaskGroup::new(pool);
    (0..1_000).for_each(|_| group.launch(t.stuck()));
    group.launch(t.child(large(pending())));
    assert!(drivers.read().alive() > 0);
    group.cancel();
    // The group has the last handle of the pool.
    group.join().await.unwrap();
    at_most(&drivers, 0).await;
    assert_eq!((t.ledger.read().made, t.ledger.read().alive()), (2_003, 0));
}

/// A cancel queues the children several at a time. All are queued before the code that cancels them goes on, in a child or
/// outside.
#[cfg(any(feature = "smol", feature = "async-std", feature = "tokio"))]
fn whoever_cancels_many_blocks_until_they_are_gone(spawner: impl Spawner) {
    let pool = Pool::new(spawner);
    for many in [1, 2, 256, 257, 2_000] {
        let children = Ledger::default();
        for inside in [false, true] {
            let group = TaskGroup::new(pool.clone());
            let (capture, all_gone) = mpsc::channel::<()>();
            for _ in 0..many {
                let capture = capture.clone();
                group.launch(children.track(async move {
                    let _capture = capture;
                    pending::<()>().await;
                }));
            }
            drop(capture);
            let cancelling = group.group();
            let cancel = move || {
                cancelling.cancel();
                all_gone.recv().unwrap_err();
            };
            if inside {
                group.launch(async move { cancel() });
            } else {
                cancel();
            }
            block_on(group.join()).unwrap();
        }
        assert_eq!((children.read().made, children.read().completed), (2 * many, 0));
    }
}

/// A child that is too large to be made under the lock of its group.
async fn large(wait: impl Future<Output = ()>) -> Result<usize, Infallible> {
    let held = [1; 4_096];
    wait.await;
    Ok(held.into_iter().sum())
}

#[test]
fn on_threads_nothing_is_left() {
    run(runtimes::threads, nothing_is_left);
}

#[test]
fn where_spawn_polls_nothing_is_left() {
    run(runtimes::inline, nothing_is_left);
}

/// A child that is dropped where its driver is woken takes itself out of the group's table.
#[test]
fn a_cancel_drops_the_children_of_a_pool_where_no_lock_is_held() {
    watched(|| {
        let (pool, drivers) = counted(WhereWoken);
        let (children, group) = (Ledger::default(), TaskGroup::new(pool));
        (0..10).for_each(|_| group.launch(children.track(pending::<()>())));
        group.cancel();
        assert_eq!((children.read().started, children.read().alive()), (10, 0));
        block_on(group.join()).unwrap();
        assert_eq!(drivers.read().alive(), 0);
    });
}

/// Looks at a group whenever it schedules something.
#[derive(Clone, Default)]
struct Looking(Arc<Mutex<Option<Group<ThreadEach>>>>);

impl Spawner for Looking {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (group, (send, queue)) = (self.0.clone(), mpsc::channel::<Runnable>());
        let (runnable, task) = async_task::spawn(future, move |runnable| {
            let looked_at = group.lock().unwrap().clone();
            looked_at.iter().for_each(|group| drop(group.snapshot()));
            drop(send.send(runnable));
        });
        runnable.schedule();
        thread::spawn(move || queue.into_iter().for_each(|runnable| _ = runnable.run()));
        task
    }
}

/// The last child on the pool has the last handle of it. The other driver is dismissed then.
#[test]
fn a_group_lets_go_of_a_pool_where_no_lock_is_held() {
    watched(|| {
        let (children, group) = (Ledger::default(), TaskGroup::new(ThreadEach));
        let spawner = Looking::default();
        let pool = Pool::new(spawner.clone());
        let there = group.on(pool.clone());
        let both = Arc::new(Barrier::new(2));
        let blocks = [(); 2].map(|()| {
            let both = both.clone();
            there.spawn(children.track(async move { _ = both.wait() }))
        });
        blocks.into_iter().for_each(|child| block_on(child).unwrap());
        let (gate, begun) = (Gate::new(), Tally::new());
        let (opened, begin) = (gate.clone(), begun.clone());
        there.launch(children.track(async move {
            begin.add();
            opened.wait().await;
        }));
        block_on(begun.take(1));
        block_on(all_parked(&pool));
        *spawner.0.lock().unwrap() = Some(group.group());
        drop((there, pool));
        gate.open();
        block_on(group.join()).unwrap();
        *spawner.0.lock().unwrap() = None;
        assert_eq!((children.read().completed, children.read().alive()), (3, 0));
    });
}

/// If a busy driver starts another driver, and `spawn` polls that at once, it would start the next driver inside itself.
#[test]
fn where_spawn_polls_drivers_do_not_nest() {
    watched(|| {
        let (pool, drivers) = counted(Inline);
        let (children, there, (release, hold)) = (Ledger::default(), Tally::new(), mpsc::channel());
        let here = there.clone();
        let holding = Inline.spawn(async move {
            yield_now().await;
            here.add();
            let _ = hold.recv();
        });
        // For now nobody runs what is woken.
        block_on(there.take(1));
        let group = TaskGroup::new(pool);
        let (spawn, counted, spawning) = (group.group(), children.clone(), thread::current().id());
        let (let_go, (done, any)) = (release.clone(), mpsc::channel());
        group.launch(async move {
            for _ in 0..20_000 {
                let done = done.clone();
                spawn.launch(counted.track(async move { done.send(()).unwrap_or_default() }));
            }
            if thread::current().id() == spawning {
                let_go.send(()).unwrap();
                any.recv().unwrap();
            }
        });
        let _ = release.send(());
        block_on(group.join()).unwrap();
        drop(holding);
        assert_eq!(children.read().completed, 20_000);
        assert!(drivers.read().made <= 3, "{:?}", drivers.read());
    });
}

/// Closes pools while their drivers are in any state, and while their last child may be ending.
#[test]
fn pools_come_and_go() {
    watched(|| {
        for _ in 0..200 {
            let (pool, drivers) = counted(ThreadEach);
            let group = TaskGroup::new(pool);
            group.launch(yield_now());
            let handle = group.spawn(async { Ok(1) });
            drop(group);
            let _ = block_on(handle);
            block_on(at_most(&drivers, 0));
        }
    });
}

/// Again and again the first child finds that its pool has no driver, while others are about to find the same.
#[test]
fn a_pool_is_first_used_from_everywhere() {
    watched(|| {
        for _ in 0..100 {
            let (pool, drivers) = counted(ThreadEach);
            let start = Arc::new(std::sync::Barrier::new(3));
            let threads = [(); 3].map(|()| {
                let (pool, start) = (pool.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    let group = TaskGroup::new(pool);
                    group.launch(async {});
                    block_on(group.join()).unwrap();
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            drop(pool);
            block_on(at_most(&drivers, 0));
        }
    });
}

#[test]
fn a_pool_inside_of_a_child_of_a_pool() {
    watched(|| {
        let (pool, drivers) = counted(ThreadEach);
        let (outer, children) = (TaskGroup::new(pool.clone()), Ledger::default());
        let (inside, counted) = (pool.clone(), children.clone());
        let inner = outer.spawn(children.track(async move {
            let inner = Pool::new(inside);
            let group = TaskGroup::new(inner.clone());
            (0..100).for_each(|_| group.launch(counted.track(yield_now())));
            group.join().await.unwrap();
            Ok(inner)
        }));
        let inner = block_on(inner).unwrap();
        block_on(outer.join()).unwrap();
        // The inner pool has outlived the child that made it.
        let group = TaskGroup::new(inner);
        group.launch(children.track(async {}));
        block_on(group.join()).unwrap();
        assert_eq!((children.read().completed, children.read().alive()), (102, 0));
        drop(pool);
        block_on(at_most(&drivers, 0));
    });
}

/// A child waits. A thread that no runtime knows has its waker, and wakes it only once each time.
#[test]
fn no_wake_up_is_lost() {
    watched(|| {
        let (pool, drivers) = counted(ThreadEach);
        let threads = [(); 2].map(|()| {
            let pool = pool.clone();
            thread::spawn(move || {
                let group = TaskGroup::new(pool);
                let (ask, asked) = async_channel::bounded::<()>(1);
                let (answer, answered) = mpsc::channel();
                group.launch(async move {
                    while asked.recv().await.is_ok() {
                        answer.send(()).unwrap();
                    }
                });
                for _ in 0..10_000 {
                    ask.try_send(()).unwrap();
                    answered.recv().unwrap();
                }
                drop(ask);
                block_on(group.join()).unwrap();
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(pool);
        block_on(at_most(&drivers, 0));
    });
}

/// Each group has one child, so every driver is parked when the next child comes.
#[test]
fn no_spawn_is_lost() {
    watched(|| {
        let (pool, children) = (Pool::new(ThreadEach), Ledger::default());
        let threads = [(); 3].map(|()| {
            let (pool, children) = (pool.clone(), children.clone());
            thread::spawn(move || {
                for _ in 0..3_000 {
                    let group = TaskGroup::new(pool.clone());
                    group.launch(children.track(async {}));
                    block_on(group.join()).unwrap();
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((children.read().completed, children.read().alive()), (9_000, 0));
    });
}
