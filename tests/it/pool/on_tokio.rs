//! Pools on Tokio: its workers, its budget, and its end.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures_lite::future::poll_once;
use taskgroup::{AnySpawner, shield};
use tokio::runtime::{Builder, Runtime};
use tokio::task::block_in_place;

use super::*;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn workers(n: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap()
}

/// How many drivers may wait for work at once.
fn kept() -> usize {
    thread::available_parallelism().map_or(1, usize::from) + 1
}

#[test]
fn nothing_is_left() {
    run(runtimes::tokio_current_thread, super::nothing_is_left);
    run(|| runtimes::tokio_workers(2), super::nothing_is_left);
}

/// The group keeps the cells of a few children that have ended, for the next spawns.
#[test]
fn no_driver_is_left_of_a_pool_whose_children_keep_it() {
    watched(|| {
        let (runtime, children) = (workers(2), Ledger::default());
        let group = TaskGroup::new(runtime.handle().clone());
        (0..40).for_each(|_| group.launch(children.track(pending::<()>())));
        let (pool, drivers) = counted(runtime.handle().clone());
        let jobs = group.on(AnySpawner::new(pool));
        block_on(jobs.spawn(children.track(async { Ok(()) }))).unwrap();
        drop(jobs);
        block_on(at_most(&drivers, 0));
        group.cancel();
        block_on(group.join()).unwrap();
        assert_eq!(children.read().completed, 1);
    });
}

#[test]
fn one_driver_more_than_there_are_workers() {
    watched(|| {
        let runtime = workers(2);
        let (pool, drivers) = counted(runtime.handle().clone());
        let group = TaskGroup::new(pool);
        for _ in 0..20_000 {
            group.launch(yield_now());
        }
        block_on(group.join()).unwrap();
        let seen = drivers.read();
        // On a machine with one thread fewer drivers may wait, so some end and others are started.
        let ended = if kept() < 3 { seen.dropped } else { 0 };
        assert!(seen.made - ended <= 3, "{seen:?}");
    });
}

#[test]
fn eight_children_block_in_place_and_wait_for_siblings() {
    watched(|| {
        let (runtime, children) = (workers(2), Ledger::default());
        let (pool, drivers) = counted(runtime.handle().clone());
        let group = TaskGroup::new(pool.clone());
        let (there, (ask, asked)) = (Tally::new(), async_channel::bounded::<()>(1));
        for _ in 0..8 {
            let (there, asked) = (there.clone(), asked.clone());
            group.launch(children.track(async move {
                there.add();
                block_in_place(|| asked.recv_blocking().unwrap_err());
            }));
        }
        group.launch(children.track(async move {
            there.take(8).await;
            drop(ask);
        }));
        block_on(group.join()).unwrap();
        assert_eq!(children.read().completed, 9);
        assert!(drivers.read().made > 8, "{:?}", drivers.read());
        block_on(at_most(&drivers, kept()));
        drop(pool);
        block_on(at_most(&drivers, 0));
    });
}

#[test]
fn a_child_cancels_many_and_blocks_until_they_are_gone() {
    watched(|| whoever_cancels_many_blocks_until_they_are_gone(workers(2).handle().clone()));
}

/// The last handle of the group is dropped before its children begin to block.
#[test]
fn children_block_after_the_last_handle_is_dropped() {
    watched(|| {
        let (runtime, children) = (workers(2), Ledger::default());
        let pool = Pool::new(runtime.handle().clone());
        let ended = taskgroup::scope(pool, |group| {
            let (there, (ask, asked)) = (Tally::new(), async_channel::bounded::<()>(1));
            for _ in 0..8 {
                let (there, asked) = (there.clone(), asked.clone());
                group.launch(children.track(async move {
                    there.add();
                    block_in_place(|| asked.recv_blocking().unwrap_err());
                }));
            }
            group.launch(children.track(async move {
                there.take(8).await;
                drop(ask);
            }));
            async { Ok::<_, std::convert::Infallible>(()) }
        });
        block_on(ended).unwrap();
        assert_eq!((children.read().completed, children.read().alive()), (9, 0));
    });
}

/// Tokio's worker keeps the task that it woke last to itself, and no other worker can steal it while this worker is
/// blocked. Also, another worker may go to sleep at just that moment and miss the wake-up. This is rare, and mostly happens
/// on a busy machine.
#[test]
fn a_child_spawns_ten_siblings_and_then_blocks() {
    watched(|| {
        let runtime = workers(2);
        let pool = Pool::new(runtime.handle().clone());
        (0..1_000).for_each(|_| ten_siblings_while_one_blocks(&pool));
    });
}

/// A worker is kicked whatever the type of the spawner is.
#[test]
fn a_child_on_any_spawner_spawns_ten_siblings_and_then_blocks() {
    watched(|| {
        let runtime = workers(2);
        let pool = Pool::new(AnySpawner::new(runtime.handle().clone()));
        (0..100).for_each(|_| ten_siblings_while_one_blocks(&pool));
    });
}

fn ten_siblings_while_one_blocks(pool: &Pool<impl Spawner>) {
    let (children, (done, all)) = (Ledger::default(), mpsc::channel());
    let group = TaskGroup::new(pool.clone());
    let (spawn, counted) = (group.group(), children.clone());
    group.launch(async move {
        for _ in 0..10 {
            let done = done.clone();
            spawn.launch(counted.track(async move { done.send(()).unwrap() }));
        }
        (0..10).for_each(|_| all.recv().unwrap());
    });
    block_on(group.join()).unwrap();
    assert_eq!(children.read().completed, 10);
}

/// The sibling is a child of another pool. The worker that is about to block wakes the driver of that pool as well.
/// The driver that this task starts or wakes stays with its worker, which does not come back to it.
#[test]
fn a_task_outside_launches_a_child_and_then_blocks() {
    watched(|| {
        for (is_new, is_busy) in [(true, false), (false, false), (false, true)] {
            let runtime = workers(4);
            let pool = Pool::new(runtime.handle().clone());
            let group = TaskGroup::new(pool.clone());
            if !is_new {
                block_on(group.spawn(async { Ok(()) })).unwrap();
                block_on(all_parked(&pool));
            }
            // While it blocks, only one driver waits.
            let (release, hold) = mpsc::channel::<()>();
            if is_busy {
                let begun = Gate::new();
                let open = begun.clone();
                group.launch(async move {
                    open.open();
                    hold.recv().unwrap_err();
                });
                block_on(begun.wait());
            }
            let (launched, (tell, told)) = (Gate::new(), mpsc::channel::<()>());
            let (inside, open) = (group.group(), launched.clone());
            let outside = runtime.spawn(async move {
                inside.launch(async {});
                open.open();
                told.recv().unwrap_err();
            });
            block_on(launched.wait());
            let other = TaskGroup::new(pool);
            other.launch(async move { drop(tell) });
            block_on(outside).unwrap();
            drop(release);
            block_on(other.join()).unwrap();
            block_on(group.join()).unwrap();
        }
    });
}

/// Waits in its destructor until the other side of the channel is dropped.
struct WaitsInDrop(mpsc::Receiver<()>);

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        self.0.recv().unwrap_err();
    }
}

#[test]
fn destructors_wait_for_siblings_while_the_runtime_goes() {
    watched(|| {
        let (runtime, children) = (workers(2), Ledger::default());
        let group = TaskGroup::new(Pool::new(runtime.handle().clone()));
        let there = Tally::new();
        // Those that come first wait for those that come later.
        let (mut next, mut captures) = (None, Vec::new());
        for _ in 0..5 {
            let (held, gone) = mpsc::channel();
            captures.push((next.replace(WaitsInDrop(gone)), held));
        }
        for captures in captures.into_iter().rev() {
            let begun = there.clone();
            group.launch(children.track(async move {
                let _captures = captures;
                begun.add();
                pending::<()>().await
            }));
        }
        block_on(there.take(5));
        drop(runtime);
        assert!(block_on(group.join()).is_err());
        assert_eq!(children.read().alive(), 0);
    });
}

#[test]
fn a_child_starts_one_on_another_pool_and_then_blocks() {
    watched(|| {
        let runtime = workers(2);
        let [pool, other] = [(); 2].map(|()| Pool::new(runtime.handle().clone()));
        for _ in 0..200 {
            let (children, (done, end)) = (Ledger::default(), mpsc::channel());
            let (group, others) = (TaskGroup::new(pool.clone()), TaskGroup::new(other.clone()));
            let (spawn, counted) = (others.group(), children.clone());
            group.launch(async move {
                spawn.launch(counted.track(async move { done.send(()).unwrap() }));
                end.recv().unwrap();
            });
            block_on(group.join()).unwrap();
            block_on(others.join()).unwrap();
            assert_eq!(children.read().completed, 1);
        }
    });
}

#[test]
fn a_child_that_never_yields_holds_up_nobody_else() {
    watched(|| {
        let (runtime, children) = (workers(2), Ledger::default());
        let group = TaskGroup::new(Pool::new(runtime.handle().clone()));
        let (enough, there) = (Arc::new(AtomicBool::new(false)), Tally::new());
        let (flag, here) = (enough.clone(), there.clone());
        group.launch(children.track(async move {
            here.add();
            while !flag.load(SeqCst) {
                std::hint::spin_loop();
            }
        }));
        block_on(there.take(1));
        let others = TaskGroup::new(group.spawner().clone());
        (0..1_000).for_each(|_| others.launch(children.track(yield_now())));
        block_on(others.join()).unwrap();
        assert_eq!(children.read().completed, 1_000);
        enough.store(true, SeqCst);
        block_on(group.join()).unwrap();
    });
}

#[test]
fn a_driver_gives_way_when_the_budget_is_spent() {
    watched(|| {
        let children = Ledger::default();
        let runtime = current_thread();
        let group = TaskGroup::new(Pool::new(runtime.handle().clone()));
        runtime.block_on(async {
            for _ in 0..1_000 {
                let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
                (0..50).for_each(|n| send.send(n).unwrap());
                group.launch(children.track(async move {
                    for _ in 0..50 {
                        receive.recv().await.unwrap();
                    }
                }));
            }
            group.join().await.unwrap();
        });
        let polls = children.read().polls;
        // A budget is about 128: one child in two or three finds it spent, once.
        assert!((1_000..1_500).contains(&polls), "{polls} polls");
    });
}

#[test]
fn a_runtime_shuts_down_mid_flight() {
    watched(|| {
        for round in 0..30 {
            let runtime = if round % 2 == 0 { current_thread() } else { workers(2) };
            let children = Ledger::default();
            let (pool, drivers) = counted(runtime.handle().clone());
            let group = TaskGroup::new(pool.clone());
            let there = Tally::new();
            for n in 0..40 {
                let (here, spawn, counted) = (there.clone(), pool.clone(), children.clone());
                group.launch(children.track(async move {
                    here.add();
                    match n % 4 {
                        0 => pending().await,
                        1 => shield(pending()).await,
                        2 => {
                            let inner = TaskGroup::new(spawn);
                            inner.launch(counted.track(pending::<()>()));
                            // It may be told that the inner group is lost before it is dropped itself.
                            let _ = inner.join().await;
                        }
                        _ => loop {
                            yield_now().await;
                        },
                    }
                }));
            }
            runtime.block_on(there.take(round));
            drop(runtime);
            assert!(block_on(group.join()).unwrap_err().is_lost());
            block_on(at_most(&children, 0));
            assert_eq!(drivers.read().alive(), 0);

            // The handle of the pool outlives the runtime.
            let late = TaskGroup::new(pool);
            let child = late.spawn(children.track(async {}));
            assert!(block_on(child).unwrap_err().is_lost());
            assert!(block_on(late.join()).unwrap_err().is_lost());
            assert_eq!((children.read().alive(), drivers.read().alive()), (0, 0));
        }
    });
}

/// The runtime waits for the child that blocks. That child waits for a queued child, which waits for a driver.
#[test]
fn a_runtime_shuts_down_under_a_child_that_blocks_for_a_sibling() {
    watched(|| {
        for idle in [true, false] {
            let (runtime, children, there) = (workers(2), Ledger::default(), Tally::new());
            let group = TaskGroup::new(Pool::new(runtime.handle().clone()));
            let (ask, asked) = async_channel::bounded::<()>(1);
            let (here, sibling) = (there.clone(), there.clone());
            group.launch(children.track(async move {
                here.add();
                let _closed = block_in_place(|| asked.recv_blocking());
            }));
            group.launch(children.track(async move {
                let _ask = ask;
                sibling.add();
                if idle {
                    pending::<()>().await;
                }
                loop {
                    yield_now().await;
                }
            }));
            block_on(there.take(2));
            drop(runtime);
            assert!(block_on(group.join()).unwrap_err().is_lost());
            block_on(at_most(&children, 0));
        }
    });
}

#[test]
fn a_pool_over_a_runtime_that_has_shut_down() {
    watched(|| {
        let children = Ledger::default();
        for runtime in [current_thread(), workers(1)] {
            let pool = Pool::new(runtime.handle().clone());
            drop(runtime);
            let group = TaskGroup::new(pool);
            let child = group.spawn(children.track(async {}));
            assert!(block_on(child).unwrap_err().is_lost());
            assert!(block_on(group.join()).unwrap_err().is_lost());
        }
        assert_eq!((children.read().polls, children.read().alive()), (0, 0));
    });
}

/// A waker that drops what it wakes, as an event's may: the schedule function of a dead pool must not drop anything.
#[test]
fn a_dead_pool_drops_nothing_where_a_child_is_woken() {
    watched(|| {
        let (runtime, futures) = (current_thread(), Ledger::default());
        let pool = Pool::new(runtime.handle().clone());
        let wakers = Arc::new(Mutex::new(Vec::new()));
        let kept = wakers.clone();
        struct Locks(Arc<Mutex<Vec<std::task::Waker>>>);
        impl Drop for Locks {
            fn drop(&mut self) {
                drop(self.0.lock().unwrap());
            }
        }
        let locks = Locks(wakers.clone());
        let task = pool.spawn(futures.track(async move {
            let _locks = locks;
            std::future::poll_fn::<(), _>(|cx| {
                kept.lock().unwrap().push(cx.waker().clone());
                std::task::Poll::Pending
            })
            .await;
        }));
        runtime.block_on(async {
            while futures.read().polls == 0 {
                yield_now().await;
            }
        });
        drop(runtime);
        // The lock is held while the child is woken, and the child's destructor takes the same lock.
        let held = wakers.lock().unwrap();
        held[0].wake_by_ref();
        assert!(block_on(poll_once(pending::<()>())).is_none());
        drop(held);
        block_on(at_most(&futures, 0));
        drop(task);
    });
}
