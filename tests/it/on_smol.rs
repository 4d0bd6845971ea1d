//! What is special about smol: executors that have an owner, and that can be dropped.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use async_executor::Executor;
use futures_lite::future::{block_on, poll_once, yield_now};
use taskgroup::{Smol, Spawner, Task, TaskGroup, scope, shield};
use taskgroup_conformance::ledger::{Gate, Ledger, Log, Tally};
use taskgroup_conformance::{Test, run, watched};

use crate::runtimes;

#[test]
fn an_executor_is_dropped_with_live_children() {
    watched(|| {
        let (executor, ledger) = (Arc::new(Executor::new()), Ledger::default());
        let weak = Arc::downgrade(&executor);
        let group = TaskGroup::new(weak.clone());
        for _ in 0..10 {
            group.launch(ledger.track(std::future::pending::<()>()));
            group.launch(ledger.track(shield(std::future::pending::<()>())));
        }
        block_on(executor.run(async {
            for _ in 0..20 {
                yield_now().await;
            }
        }));
        assert_eq!(Arc::strong_count(&executor), 1, "no child owns it");
        drop(executor);
        assert_eq!(ledger.read().alive(), 0);
        assert!(block_on(group.join()).unwrap_err().is_lost());
    });
}

/// A wrapper that kept the spawner would own the executor that owns the wrapper, and nothing would ever be dropped.
#[test]
fn children_do_not_own_their_executor() {
    watched(|| {
        let (executor, ledger) = (Arc::new(Executor::new()), Ledger::default());
        let weak = Arc::downgrade(&executor);
        let group = TaskGroup::new(executor);
        for _ in 0..10 {
            group.launch(ledger.track(std::future::pending::<()>()));
        }
        let handle = group.spawn(ledger.track(std::future::pending::<()>()));
        let canceller = handle.cancel_handle();
        drop(group);
        assert!(weak.upgrade().is_none(), "the last owner was the group");
        assert_eq!(ledger.read().alive(), 0);
        assert!(block_on(handle).is_err());
        canceller.cancel();
    });
}

#[test]
fn an_executor_that_is_gone_loses_what_is_spawned_on_it() {
    watched(|| {
        let ledger = Ledger::default();
        let gone = Arc::downgrade(&Arc::new(Executor::new()));
        let group = TaskGroup::new(gone);
        assert!(block_on(group.spawn(ledger.track(async {}))).unwrap_err().is_lost());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!((ledger.read().polls, ledger.read().alive()), (0, 0));
    });
}

#[test]
fn nested_groups_end_when_their_executor_is_dropped() {
    watched(|| {
        let (executor, ledger, log) = (Arc::new(Executor::new()), Ledger::default(), Log::default());
        let outer = TaskGroup::new(Arc::downgrade(&executor));
        let (spawner, children, gone) = (Arc::downgrade(&executor), ledger.clone(), log.on_drop("host gone"));
        let started = Gate::new();
        let open = started.clone();
        outer.launch(ledger.track(async move {
            let _gone = gone;
            let inner = scope(spawner, |group| async move {
                group.launch(children.track(std::future::pending::<()>()));
                open.open();
                std::future::pending::<Result<(), Infallible>>().await
            });
            let _ = inner.await;
        }));
        block_on(executor.run(started.wait()));
        drop(executor);
        assert_eq!(log.lines(), ["host gone"]);
        assert_eq!(ledger.read().alive(), 0);
        assert!(block_on(outer.join()).is_err());
    });
}

#[test]
fn its_tasks_can_be_adopted() {
    watched(|| {
        smol::block_on(async {
            let ledger = Ledger::default();
            let group = TaskGroup::new(Smol);
            let value = group.adopt(smol::spawn(ledger.track(async { Ok(1) })));
            assert_eq!(value.await.unwrap(), 1);
            let stuck = group.adopt(smol::spawn(ledger.track(std::future::pending::<()>())));
            group.cancel();
            group.join().await.unwrap();
            assert!(stuck.await.unwrap_err().is_cancelled());
            assert_eq!(ledger.read().alive(), 0);
        })
    });
}

/// The executor holds the lock of its task list while it runs the iterator of `spawn_many`, and schedules under that lock.
#[test]
fn a_group_is_spawned_on_from_inside_of_the_executors_own_tasks() {
    watched(|| {
        let executor: Arc<Executor<'static>> = Arc::new(Executor::new());
        let ledger = Ledger::default();
        let group = TaskGroup::new(executor.clone());
        let (spawn, children) = (group.group(), ledger.clone());
        let task = executor.spawn(async move {
            for _ in 0..100 {
                spawn.launch(children.track(yield_now()));
            }
        });
        block_on(executor.run(async {
            task.await;
            group.join().await.unwrap();
        }));
        assert_eq!(ledger.read().completed, 100);
    });
}

/// Awaiting a `Task` of an executor that is gone panics. If the `Task` was adopted, its child is lost instead.
#[test]
fn an_adopted_task_of_an_executor_that_is_dropped_is_lost() {
    watched(|| {
        let (executor, ledger) = (Executor::new(), Ledger::default());
        let group = TaskGroup::new(Smol);
        let handle = group.adopt(executor.spawn(ledger.track(std::future::pending::<()>())));
        drop(executor);
        assert!(block_on(handle).unwrap_err().is_lost());
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!(ledger.read().alive(), 0);
    });
}

/// Its wrapper of a child runs on for a while after the child has ended.
#[derive(Clone)]
struct Around(Arc<Executor<'static>>, Tally);

impl Spawner for Around {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ended = self.1.clone();
        Spawner::spawn(&self.0, async move {
            future.await;
            yield_now().await;
            ended.add();
        })
    }
}

#[test]
fn what_a_spawner_has_put_around_the_children_of_a_crowd_comes_to_its_end() {
    run(runtimes::smol_executor_4, async |t: &Test<_>| {
        for _ in 0..50 {
            let ended = Tally::new();
            let group = TaskGroup::new(Around(t.spawner(), ended.clone()));
            for number in 0..300 {
                if number % 10 == 0 {
                    group.child().name("named").launch(t.child(async {}));
                } else {
                    group.launch(t.child(async {}));
                }
            }
            group.join().await.unwrap();
            ended.take(300).await;
        }
    });
}

/// Its children, not those that are left when the body is destroyed.
#[test]
fn a_scope_that_is_dropped_counts_who_lived() {
    struct Ticks(Arc<Executor<'static>>);
    impl Drop for Ticks {
        fn drop(&mut self) {
            while self.0.try_tick() {}
        }
    }
    watched(|| {
        let (executor, log, ledger) = (Arc::new(Executor::new()), Log::default(), Ledger::default());
        let (ticks, child, hook) = (Ticks(executor.clone()), ledger.clone(), log.clone());
        let opened = scope(executor.clone(), |group| async move {
            let _ticks = ticks;
            group.launch(child.track(std::future::pending::<()>()));
            std::future::pending::<Result<(), Infallible>>().await
        });
        let mut opened = Box::pin(opened.on_abandoned(move |live| hook.write(format!("{live} lived"))));
        assert!(block_on(poll_once(&mut opened)).is_none());
        drop(opened);
        assert_eq!((log.lines(), ledger.read().alive()), (vec!["1 lived".into()], 0));
    });
}
