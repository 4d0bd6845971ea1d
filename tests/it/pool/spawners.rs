//! Pools on spawners that drop, refuse or panic, or that forward only `spawn`.

use std::sync::Weak;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use taskgroup::async_task::Runnable;
use taskgroup_conformance::quiet_panic;

use super::*;

#[test]
fn a_driver_that_is_dropped_is_replaced() {
    /// Drops every future it has taken when it is told to.
    #[derive(Clone)]
    struct Dropping(Arc<Mutex<Vec<Gate>>>);

    impl Spawner for Dropping {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            let gate = Gate::new();
            self.0.lock().unwrap().push(gate.clone());
            ThreadEach.spawn(async move {
                until(&gate, future).await;
            })
        }

        fn for_tasks(&self) -> Option<Self> {
            Some(self.clone())
        }
    }

    watched(|| {
        let (gates, children, there) = (Arc::default(), Ledger::default(), Tally::new());
        let pool = Pool::new(Dropping(Arc::clone(&gates)));
        let group = TaskGroup::new(pool.clone());
        let go = Gate::new();
        for _ in 0..10 {
            let (there, go) = (there.clone(), go.clone());
            group.launch(children.track(async move {
                there.add();
                go.wait().await;
            }));
        }
        block_on(there.take(10));
        block_on(all_parked(&pool));
        let taken = std::mem::take(&mut *gates.lock().unwrap());
        taken.iter().for_each(Gate::open);
        go.open();
        block_on(group.join()).unwrap();
        assert_eq!((children.read().completed, children.read().alive()), (10, 0));
    });
}

/// The spawner that is given to the tasks of a runtime keeps the runtime in no way, not even by its clock.
#[test]
fn what_tasks_are_given_has_a_clock_of_its_own_where_the_type_is_forgotten() {
    #[derive(Clone)]
    struct Kept(#[expect(dead_code, reason = "it is kept")] Option<Arc<()>>);

    impl Spawner for Kept {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            ThreadEach.spawn(future)
        }

        fn for_tasks(&self) -> Option<Self> {
            Some(Self(None))
        }
    }

    impl Timed for Kept {
        type Timer = Self;

        fn timer(&self) -> Self {
            self.clone()
        }
    }

    impl Timer for Kept {
        type Sleep = Boxed<()>;

        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep_until(&self, _at: Duration) -> Boxed<()> {
            ready(()).boxed()
        }
    }

    let runtime = Arc::new(());
    let spawner = AnyTimedSpawner::new(Kept(Some(runtime.clone())));
    let for_tasks = spawner.for_tasks().unwrap();
    drop(spawner);
    assert_eq!(Arc::strong_count(&runtime), 1);
    drop(for_tasks);
}

/// The handles of its drivers panic when they are dropped.
#[test]
fn a_schedule_function_that_panics_for_a_driver_and_kicks_that_do_are_nobodys() {
    static KICKS: AtomicUsize = AtomicUsize::new(0);

    #[derive(Clone)]
    struct Bad;

    impl Spawner for Bad {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            ThreadEach.spawn(future).detach();
            let (runnable, task) = async_task::spawn(pending(), |_| quiet_panic("handle"));
            runnable.run();
            task
        }

        fn for_tasks(&self) -> Option<Self> {
            Some(self.clone())
        }

        fn kick() {
            KICKS.fetch_add(1, SeqCst);
            quiet_panic("kick");
        }
    }

    watched(|| {
        let (pool, drivers) = counted(Bad);
        let children = Ledger::default();
        while KICKS.load(SeqCst) == 0 {
            let group = TaskGroup::new(pool.clone());
            let (own, track) = (group.group(), children.clone());
            group.launch(children.track(async move {
                (0..10).for_each(|_| own.launch(track.track(async {})));
            }));
            block_on(group.join()).unwrap();
        }
        let read = children.read();
        assert_eq!((read.completed, read.alive()), (read.made, 0));
        block_on(all_parked(&pool));
        drop(pool);
        block_on(at_most(&drivers, 0));
    });
}

/// All handles are dropped while a driver is about to start another. That driver is then the last owner of the spawner.
#[test]
fn no_driver_is_where_a_spawner_ends() {
    /// Its tasks run on named threads, and its destructor panics. From its second task on, it waits for the gate.
    struct Named {
        tasks: AtomicUsize,
        begun: Tally,
        gate: Gate,
        ended_on: mpsc::Sender<Option<String>>,
    }

    impl Drop for Named {
        fn drop(&mut self) {
            self.ended_on.send(thread::current().name().map(str::to_owned)).unwrap();
            quiet_panic("spawner");
        }
    }

    #[derive(Clone)]
    struct Shared(Arc<Named>);

    impl Spawner for Shared {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            let named = &self.0;
            if named.tasks.fetch_add(1, SeqCst) > 0 {
                named.begun.add();
                block_on(named.gate.wait());
            }
            let run = thread::Builder::new().name("driver".into());
            let (runnable, task) = async_task::spawn(future, |runnable: Runnable| {
                runnable.run();
            });
            run.spawn(move || runnable.run()).unwrap();
            task
        }
    }

    watched(|| {
        let (begun, gate, (ended_on, told)) = (Tally::new(), Gate::new(), mpsc::channel());
        let named = Named { tasks: AtomicUsize::new(0), begun: begun.clone(), gate: gate.clone(), ended_on };
        let group = TaskGroup::new(Pool::new(Shared(Arc::new(named))));
        let child = group.spawn(async { Ok(7) });
        block_on(begun.take(1));
        drop(group);
        gate.open();
        assert_eq!(told.recv().unwrap().as_deref(), Some("taskgroup-pool"));
        assert!(block_on(child).unwrap_err().is_cancelled());
    });
}

#[test]
fn a_spawner_that_drops_drivers_loses_the_children() {
    watched(|| {
        let children = Ledger::default();
        let pool = Pool::new(Dropping);
        for _ in 0..3 {
            let group = TaskGroup::new(pool.clone());
            let child = group.spawn(children.track(async {}));
            assert!(block_on(child).unwrap_err().is_lost());
            assert!(block_on(group.join()).unwrap_err().is_lost());
        }
        assert_eq!((children.read().made, children.read().polls, children.read().alive()), (3, 0, 0));
        assert!(format!("{pool:?}").contains("gone: true"));
    });
}

#[test]
fn whoever_registers_is_told_once_and_at_once_if_it_is_late() {
    struct Told(Ledger);

    impl Dependent for Told {
        fn runtime_lost(self: Arc<Self>) {
            drop(self.0.capture());
        }
    }

    watched(|| {
        let pool = Pool::new(Dropping);
        let told = Ledger::default();
        let [early, gone, late] = [(); 3].map(|()| Arc::new(Told(told.clone())));
        let register = |told: &Arc<Told>| {
            let weak: std::sync::Weak<Told> = Arc::downgrade(told);
            pool.register(weak);
        };
        register(&early);
        register(&gone);
        drop(gone);
        assert_eq!(told.read().made, 0);
        drop(pool.spawn(async {}));
        assert_eq!(told.read().made, 1);
        register(&late);
        drop(pool.spawn(async {}));
        assert_eq!(told.read().made, 2);
    });
}

#[test]
fn the_panic_of_a_spawner_goes_to_whoever_spawns_first() {
    /// Panics in `for_tasks` or in `spawn`.
    #[derive(Clone)]
    struct Panicking(bool);

    impl Spawner for Panicking {
        fn spawn<F>(&self, _future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            panic!("no threads left")
        }

        fn for_tasks(&self) -> Option<Self> {
            assert!(!self.0, "no threads left");
            None
        }
    }

    /// Another dependent that is told of the loss.
    struct Bad;

    impl Dependent for Bad {
        fn runtime_lost(self: Arc<Self>) {
            quiet_panic("told of the loss");
        }
    }

    watched(|| {
        for before in [true, false] {
            let children = Ledger::default();
            let (pool, bad) = (Pool::new(Panicking(before)), Arc::new(Bad));
            let told: Weak<Bad> = Arc::downgrade(&bad);
            pool.register(told);
            let group = TaskGroup::new(pool);
            let spawn = group.group();
            let child = children.track(async {});
            assert_eq!(block_on(panic_text(async move { spawn.launch(child) })), "no threads left");
            assert!(block_on(group.join()).unwrap_err().is_lost());
            assert_eq!((children.read().polls, children.read().alive()), (0, 0));
        }
    });
}

/// A driver that cannot start another driver to take over runs its children nevertheless.
#[test]
fn a_spawner_that_is_gone_leaves_its_drivers() {
    /// Has no `for_tasks`: only a handle of the pool can spawn on it, and no task can.
    #[derive(Clone)]
    struct Once(Ledger);

    impl Spawner for Once {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            ThreadEach.spawn(self.0.track(future))
        }
    }

    watched(|| {
        let (drivers, children) = (Ledger::default(), Ledger::default());
        let pool = Pool::new(Once(drivers.clone()));
        let go = Gate::new();
        let (wait, nested) = (go.clone(), children.clone());
        let task = pool.spawn(children.track(async move {
            wait.wait().await;
            nested.track(yield_now()).await;
        }));
        drop(pool);
        go.open();
        block_on(task);
        assert_eq!((children.read().completed, children.read().alive()), (2, 0));
        block_on(at_most(&drivers, 0));
    });
}

#[test]
fn what_panics_without_a_group_around_it_takes_no_driver_along() {
    watched(|| {
        let (pool, drivers) = counted(ThreadEach);
        let task = pool.spawn(async { panic!("by hand") });
        assert_eq!(block_on(panic_text(task)), "by hand");
        // If the last handle of the pool were dropped, its drivers would end as well.
        let group = TaskGroup::new(pool.clone());
        group.launch(async {});
        block_on(group.join()).unwrap();
        assert_eq!(drivers.read().completed, 0);
        drop(pool);
    });
}

/// The group is told when it has no child yet, and when its child's `Task` is not stored yet.
#[test]
fn a_spawner_may_tell_a_group_whenever_it_likes() {
    /// Tells each group of a loss as soon as the group registers, and leaves the child alone.
    #[derive(Clone)]
    struct Telling(Ledger);

    impl Spawner for Telling {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            ThreadEach.spawn(future)
        }

        fn register(&self, group: std::sync::Weak<dyn Dependent>) {
            self.0.capture();
            group.upgrade().unwrap().runtime_lost();
        }
    }

    watched(|| {
        let (told, children) = (Ledger::default(), Ledger::default());
        let group = TaskGroup::new(Telling(told.clone()));
        assert_eq!(told.read().made, 0, "it has no child");
        group.launch(children.track(pending::<()>()));
        group.launch(children.track(pending::<()>()));
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!((told.read().made, children.read().alive()), (1, 0));
    });
}

/// A wrapper that forwards only `spawn` is still a spawner: it knows nothing of what it is never told.
#[test]
fn a_wrapped_pool_runs_children() {
    #[derive(Clone)]
    struct Wrapped(Pool<ThreadEach>);

    impl Spawner for Wrapped {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            self.0.spawn(future)
        }
    }

    watched(|| {
        let children = Ledger::default();
        let group = TaskGroup::new(Wrapped(Pool::new(ThreadEach)));
        (0..10).for_each(|_| group.launch(children.track(yield_now())));
        block_on(group.join()).unwrap();
        assert_eq!(children.read().completed, 10);
        drop(adopt(()));
    });
}
