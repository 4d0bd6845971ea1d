//! Pools on executors that have an owner, and that can be dropped.

use async_executor::Executor;
use taskgroup::{AnySpawner, shield};

use super::*;

#[test]
fn nothing_is_left() {
    run(runtimes::smol_executor_4, super::nothing_is_left);
    run(runtimes::smol_executor_1, super::nothing_is_left);
    run(runtimes::smol_static, super::nothing_is_left);
}

/// On one thread one driver works, and one waits for its turn.
#[test]
fn one_driver_more_than_are_polled_at_once() {
    // A static is not leaked, so the leak checker has nothing to report.
    static EXECUTOR: Executor<'static> = Executor::new();
    watched(|| {
        let (pool, drivers) = counted(&EXECUTOR);
        let children = Ledger::default();
        block_on(EXECUTOR.run(async {
            for _ in 0..3 {
                let group = TaskGroup::new(pool.clone());
                for _ in 0..2_000 {
                    let children = children.clone();
                    group.launch(async move {
                        for _ in 0..3 {
                            children.track(yield_now()).await;
                        }
                    });
                }
                group.join().await.unwrap();
            }
            assert_eq!(drivers.read().made, 2);
            drop(pool);
            at_most(&drivers, 0).await;
        }));
        assert_eq!(children.read().completed, 18_000);
    });
}

/// No thread drives the executor, so the first driver stays on its way.
#[test]
fn threads_that_spawn_at_once_start_one_driver() {
    watched(|| {
        for _ in 0..300 {
            let executor = Arc::new(Executor::new());
            let (pool, drivers) = counted(Arc::downgrade(&executor));
            let (children, start) = (Ledger::default(), Arc::new(std::sync::Barrier::new(3)));
            let group = TaskGroup::new(pool);
            let threads = [(); 3].map(|()| {
                let (group, start, children) = (group.group(), start.clone(), children.clone());
                thread::spawn(move || {
                    start.wait();
                    group.launch(children.track(async {}));
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(drivers.read().made, 1);
            block_on(executor.run(group.join())).unwrap();
            assert_eq!(children.read().completed, 3);
        }
    });
}

/// Each child except the last blocks one of the four threads.
#[test]
fn children_block_their_threads_and_wait_for_a_sibling() {
    watched(|| {
        let (rig, children) = (runtimes::smol_executor_4(), Ledger::default());
        let (pool, drivers) = counted(rig.spawner());
        let group = TaskGroup::new(pool);
        let (there, (ask, asked)) = (Tally::new(), async_channel::bounded::<()>(1));
        for _ in 0..3 {
            let (there, asked) = (there.clone(), asked.clone());
            group.launch(children.track(async move {
                there.add();
                let _closed = asked.recv_blocking();
            }));
        }
        block_on(there.take(3));
        group.launch(children.track(async move { drop(ask) }));
        block_on(group.join()).unwrap();
        assert_eq!(children.read().completed, 4);
        block_on(at_most(&drivers, 0));
    });
}

#[test]
fn a_child_cancels_many_and_blocks_until_they_are_gone() {
    watched(|| whoever_cancels_many_blocks_until_they_are_gone(runtimes::smol_executor_4().spawner()));
}

/// No driver can be started for those that are still queued.
#[test]
fn children_that_outlive_the_last_handle_block_for_each_other() {
    watched(|| {
        let most = thread::available_parallelism().map_or(1, usize::from) + 4;
        let (executor, children) = (Arc::new(Executor::new()), Ledger::default());
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let threads = (0..most).map(|_| {
            let (executor, stopped) = (executor.clone(), stopped.clone());
            thread::spawn(move || block_on(executor.run(stopped.recv())))
        });
        let threads: Vec<_> = threads.collect();
        let group = TaskGroup::new(Pool::new(executor));
        let (there, gate, all) = (Tally::new(), Gate::new(), Arc::new(std::sync::Barrier::new(most)));
        for _ in 0..most {
            let (begun, wait, all) = (there.clone(), gate.clone(), all.clone());
            group.launch(children.track(shield(async move {
                begun.add();
                wait.wait().await;
                all.wait();
            })));
        }
        block_on(there.take(most));
        drop(group);
        gate.open();
        while children.read().alive() > 0 {
            thread::yield_now();
        }
        drop(stop);
        threads.into_iter().for_each(|thread| assert!(thread.join().unwrap().is_err()));
        assert_eq!(children.read().completed, most);
    });
}

/// They are not held up, so they stay where they are.
#[test]
fn children_that_outlive_the_last_handle_stay_on_the_executor() {
    watched(|| {
        let (executor, children) = (Arc::new(Executor::new()), Ledger::default());
        let threads = Arc::new(Mutex::new(std::collections::HashSet::new()));
        let scope = taskgroup::scope(Pool::new(executor.clone()), async |group| {
            for _ in 0..1_000 {
                let threads = threads.clone();
                group.launch(children.track(async move {
                    for _ in 0..3 {
                        threads.lock().unwrap().insert(thread::current().id());
                        yield_now().await;
                    }
                }));
            }
            Ok::<_, Infallible>(())
        });
        block_on(executor.run(scope)).unwrap();
        assert_eq!(children.read().completed, 1_000);
        // On a busy machine some may seem to be.
        assert!(threads.lock().unwrap().len() < 10, "{threads:?}");
    });
}

/// A runtime looks at its timers and sockets after so and so many polls of its tasks.
#[test]
fn children_that_take_long_have_short_turns() {
    watched(|| {
        let executor = Arc::new(Executor::new());
        let (group, children) = (TaskGroup::new(Pool::new(executor.clone())), Ledger::default());
        for _ in 0..64 {
            group.launch(children.track(async {
                let begun = std::time::Instant::now();
                while begun.elapsed() < Duration::from_millis(1) {}
            }));
        }
        let (mut before, mut longest) = (0, 0);
        while before < 64 {
            assert!(executor.try_tick(), "children are queued");
            let now = children.read().completed;
            longest = longest.max(now - before);
            before = now;
        }
        assert!(longest <= 4, "{longest} in one turn");
        block_on(group.join()).unwrap();
    });
}

#[test]
fn an_executor_is_dropped_with_live_children() {
    watched(|| {
        let (executor, children) = (Arc::new(Executor::new()), Ledger::default());
        let (pool, drivers) = counted(Arc::downgrade(&executor));
        let group = TaskGroup::new(pool.clone());
        for _ in 0..10 {
            group.launch(children.track(pending::<()>()));
            group.launch(children.track(shield(pending::<()>())));
        }
        block_on(executor.run(async {
            for _ in 0..20 {
                yield_now().await;
            }
        }));
        let idle = children.read().polls;
        assert_eq!(idle, 20);
        (0..10).for_each(|_| group.launch(children.track(async {})));
        assert_eq!(Arc::strong_count(&executor), 1, "no child and no driver owns it");
        drop(executor);
        assert_eq!((children.read().alive(), children.read().polls), (0, idle));
        assert_eq!(drivers.read().alive(), 0);
        assert!(block_on(group.join()).unwrap_err().is_lost());

        let late = TaskGroup::new(pool);
        assert!(block_on(late.spawn(children.track(async {}))).unwrap_err().is_lost());
        assert!(block_on(late.join()).unwrap_err().is_lost());
        assert_eq!((children.read().alive(), children.read().polls), (0, idle));
    });
}

#[test]
fn neither_children_nor_drivers_own_their_executor() {
    watched(|| {
        let (executor, children) = (Arc::new(Executor::new()), Ledger::default());
        let weak = Arc::downgrade(&executor);
        let (pool, drivers) = counted(executor);
        let group = TaskGroup::new(pool);
        for _ in 0..10 {
            group.launch(children.track(pending::<()>()));
        }
        let executor = weak.upgrade().unwrap();
        block_on(executor.run(async {
            while children.read().polls < 10 {
                yield_now().await;
            }
        }));
        drop(executor);
        let handle = group.spawn(children.track(pending::<()>()));
        drop(group);
        assert!(weak.upgrade().is_none(), "the last owner was the group");
        assert_eq!((children.read().alive(), drivers.read().alive()), (0, 0));
        assert!(block_on(handle).is_err());
    });
}

/// The group still has a child elsewhere, and that child waits until the drivers are gone.
#[test]
fn no_driver_is_left_when_the_last_handle_and_the_last_child_on_the_pool_are_gone() {
    watched(|| {
        let (rig, children) = (runtimes::smol_executor_4(), Ledger::default());
        let group = TaskGroup::new(rig.spawner());
        let (member, on_pool) = (group.group(), children.clone());
        group.launch(children.track(async move {
            let executor = Arc::new(Executor::new());
            let (pool, drivers) = counted(Arc::downgrade(&executor));
            let jobs = member.on(pool);
            (0..3).for_each(|_| jobs.launch(on_pool.track(async {})));
            drop(jobs);
            while !executor.is_empty() {
                executor.tick().await;
            }
            assert_eq!(drivers.read().alive(), 0);
        }));
        block_on(group.join()).unwrap();
        assert_eq!(children.read().completed, 4);
    });
}

/// Many children on the pool end while another thread holds the table. The pool is kept by a group, or by each child.
#[test]
fn no_driver_is_left_when_the_last_of_many_on_the_pool_are_gone_in_a_crowd() {
    fn none_is_left<S: Spawner>(wrap: fn(Pool<Counting<Arc<Executor<'static>>>>) -> S) {
        for _ in 0..20 {
            let (rig, children) = (runtimes::smol_executor_4(), Ledger::default());
            let (pool, drivers) = counted(rig.spawner());
            let group = TaskGroup::new(rig.spawner());
            (0..70).for_each(|_| group.launch(children.track(pending::<()>())));
            let jobs = group.on(wrap(pool));
            (0..5_000).for_each(|_| jobs.launch(children.track(async {})));
            drop(jobs);
            block_on(at_most(&drivers, 0));
            group.cancel();
            block_on(group.join()).unwrap();
            assert_eq!((children.read().completed, children.read().alive()), (5_000, 0));
        }
    }
    watched(|| none_is_left(|pool| pool));
    watched(|| none_is_left(AnySpawner::new));
}

/// The drivers of a pool keep what its spawner owns, here the executor on which the other child runs.
#[test]
fn a_pool_that_is_not_used_any_more_keeps_no_other_child_of_the_group() {
    #[derive(Clone)]
    struct App(Arc<Executor<'static>>, #[expect(dead_code, reason = "it is kept")] Arc<Executor<'static>>);

    impl Spawner for App {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            self.0.spawn(future)
        }

        fn for_tasks(&self) -> Option<Self> {
            Some(self.clone())
        }
    }

    watched(|| {
        let (rig, children) = (runtimes::smol_executor_4(), Ledger::default());
        let (spawner, executor) = (rig.spawner(), Arc::new(Executor::new()));
        let group = TaskGroup::new(spawner.clone());
        group.on(Arc::downgrade(&executor)).launch(children.track(pending::<()>()));
        let jobs = group.on(Pool::new(App(spawner, executor.clone())));
        block_on(jobs.spawn(children.track(async { Ok(()) }))).unwrap();
        drop((jobs, group, executor));
        block_on(at_most(&children, 0));
        assert_eq!(children.read().completed, 1);
    });
}

/// A handle of the pool that a child keeps does not keep the children of a dead pool.
#[test]
fn groups_inside_groups_end_when_their_executor_is_dropped() {
    watched(|| {
        let (executor, children, started) = (Arc::new(Executor::new()), Ledger::default(), Gate::new());
        let pool = Pool::new(Arc::downgrade(&executor));
        let outer = TaskGroup::new(pool.clone());
        let (counted, open, inside) = (children.clone(), started.clone(), pool.clone());
        outer.launch(children.track(async move {
            let inner = TaskGroup::new(inside.clone());
            let own = TaskGroup::root(Pool::new(inside));
            for group in [&inner, &*Box::new(own)] as [&dyn Launch; 2] {
                group.launch_stuck(&counted);
            }
            yield_now().await;
            open.open();
            pending::<()>().await;
        }));
        block_on(executor.run(started.wait()));
        drop(executor);
        assert!(block_on(outer.join()).unwrap_err().is_lost());
        assert_eq!(children.read().alive(), 0);
    });
}

trait Launch {
    fn launch_stuck(&self, ledger: &Ledger);
}

impl<S: Spawner> Launch for TaskGroup<S> {
    fn launch_stuck(&self, ledger: &Ledger) {
        self.launch(ledger.track(pending::<()>()));
    }
}

/// The pool on top learns from the pool below that the executor is gone, because its drivers are children there.
#[test]
fn a_pool_on_a_pool_ends_with_the_executor() {
    watched(|| {
        let (executor, children) = (Arc::new(Executor::new()), Ledger::default());
        let pool = Pool::new(Pool::new(Arc::downgrade(&executor)));
        let group = TaskGroup::new(pool.clone());
        (0..10).for_each(|_| group.launch(children.track(pending::<()>())));
        block_on(executor.run(async {
            while children.read().polls < 10 {
                yield_now().await;
            }
        }));
        drop(executor);
        assert_eq!(children.read().alive(), 0);
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert!(format!("{pool:?}").contains("gone: true"));
    });
}

/// Children are woken and spawned by threads that do not know that the executor goes away.
#[test]
fn an_executor_is_dropped_while_children_are_woken() {
    watched(|| {
        for round in 0..300 {
            let (executor, children) = (Arc::new(Executor::new()), Ledger::default());
            let pool = Pool::new(Arc::downgrade(&executor));
            let (wake, woken) = async_channel::bounded::<()>(1_000);
            let group = TaskGroup::new(pool);
            for _ in 0..20 {
                let woken = woken.clone();
                group.launch(children.track(async move {
                    while woken.recv().await.is_ok() {}
                    pending::<()>().await
                }));
            }
            block_on(executor.run(async {
                while children.read().polls < 20 {
                    yield_now().await;
                }
            }));
            let (spawn, others) = (group.group(), Ledger::default());
            let counted = others.clone();
            let waking = thread::spawn(move || while wake.try_send(()).is_ok() {});
            let spawning = thread::spawn(move || {
                while let Ok(handle) = spawn.try_spawn(counted.track(pending::<()>())) {
                    drop(handle);
                    if counted.read().made > 1_000 {
                        break;
                    }
                }
            });
            for _ in 0..round % 50 {
                executor.try_tick();
            }
            drop(executor);
            assert!(block_on(group.join()).unwrap_err().is_lost());
            assert_eq!(children.read().alive(), 0);
            waking.join().unwrap();
            spawning.join().unwrap();
            assert_eq!(others.read().alive(), 0);
        }
    });
}

/// A future that was spawned by hand cannot be reached while it waits. It is dropped when it is woken, or with its `Task`.
#[test]
fn tasks_spawned_by_hand_go_when_they_are_woken_or_dropped() {
    watched(|| {
        let (executor, futures) = (Arc::new(Executor::new()), Ledger::default());
        let pool = Pool::new(Arc::downgrade(&executor));
        let go = Gate::new();
        let wait = go.clone();
        let woken = pool.spawn(futures.track(async move { wait.wait().await }));
        let dropped = pool.spawn(futures.track(pending::<()>()));
        block_on(executor.run(async {
            while futures.read().polls < 2 {
                yield_now().await;
            }
        }));
        drop(executor);
        assert_eq!(futures.read().alive(), 2);
        go.open();
        drop(dropped);
        block_on(at_most(&futures, 0));
        assert_eq!(block_on(woken.fallible()), None);
    });
}
