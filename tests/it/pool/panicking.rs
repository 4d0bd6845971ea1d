//! Pools on spawners that panic: where they are used, where they are cloned, and with what they own.

use std::sync::Weak;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use taskgroup_conformance::quiet_panic;
#[cfg(feature = "tokio")]
use tokio::runtime;

use super::*;
use crate::brittle::{Bomb, Owning, panic_of};

/// If they were not lost, a child that blocks for a later child would wait for ever.
#[test]
fn a_spawner_whose_clone_panics_loses_the_children() {
    struct Once(Arc<AtomicUsize>);

    impl Clone for Once {
        fn clone(&self) -> Self {
            match self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Self(self.0.clone()),
                Err(_) => quiet_panic("clone"),
            }
        }
    }

    impl Spawner for Once {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            ThreadEach.spawn(future)
        }

        fn for_tasks(&self) -> Option<Self> {
            Some(Self(self.0.clone()))
        }
    }

    watched(|| {
        let group = TaskGroup::new(Pool::new(Once(Arc::default())));
        let child = group.spawn(async { Ok(()) });
        assert!(block_on(child).unwrap_err().is_lost());
        assert!(block_on(group.join()).unwrap_err().is_lost());
    });
}

/// Only one driver can be had then. It stays with a worker that is in a task outside of the pool.
#[cfg(feature = "tokio")]
#[test]
fn a_spawner_whose_second_driver_cannot_be_had_is_served_all_the_same() {
    struct Frail(runtime::Handle, Arc<AtomicBool>);

    impl Clone for Frail {
        fn clone(&self) -> Self {
            if self.1.swap(false, SeqCst) {
                quiet_panic("clone");
            }
            Self(self.0.clone(), self.1.clone())
        }
    }

    impl Spawner for Frail {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            Spawner::spawn(&self.0, future)
        }

        fn for_tasks(&self) -> Option<Self> {
            Some(Self(self.0.clone(), self.1.clone()))
        }

        fn keeps_woken() -> bool {
            runtime::Handle::keeps_woken()
        }
    }

    watched(|| {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let panics = Arc::new(AtomicBool::new(false));
        let (pool, (tell, told)) =
            (Pool::new(Frail(runtime.handle().clone(), panics.clone())), mpsc::channel());
        let launching = runtime.spawn(async move {
            let group = TaskGroup::new(pool);
            panics.store(true, SeqCst);
            group.launch(async move { tell.send(()).unwrap() });
            assert!(!panics.load(SeqCst), "nobody has cloned it");
            told.recv().unwrap();
            group.join().await.unwrap();
        });
        block_on(launching).unwrap();
    });
}

/// A runtime that polls its tasks when it is told to, and whose spawner panics in the end.
#[derive(Default)]
struct ByHand {
    tasks: Mutex<Vec<Boxed<()>>>,
    clone_panics: AtomicBool,
    spawn_panics: AtomicBool,
}

impl ByHand {
    fn take(&self) -> Vec<Boxed<()>> {
        std::mem::take(&mut *self.tasks.lock().unwrap())
    }

    /// A driver begins with its second poll, and starts another one before it runs a child.
    fn run(&self) {
        for _ in 0..4 {
            let mut tasks = self.take();
            tasks.retain_mut(|task| block_on(poll_once(task)).is_none());
            self.tasks.lock().unwrap().extend(tasks);
        }
    }
}

#[derive(Default)]
struct Handle(Arc<ByHand>);

impl Clone for Handle {
    fn clone(&self) -> Self {
        if self.0.clone_panics.load(SeqCst) {
            quiet_panic("clone");
        }
        Self(self.0.clone())
    }
}

impl Spawner for Handle {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.0.spawn_panics.load(SeqCst) {
            quiet_panic("spawn");
        }
        self.0.tasks.lock().unwrap().push(future.boxed());
        adopt(())
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }
}

/// Each driver that is dropped finds out anew that the runtime is gone.
#[test]
fn what_is_pushed_late_to_a_pool_that_died_twice_is_dropped() {
    fn dies(panics: fn(&ByHand) -> &AtomicBool) {
        let (runtime, children) = (Arc::<ByHand>::default(), Ledger::default());
        let pool = Pool::new(Handle(runtime.clone()));
        let task = pool.spawn(children.track(pending()));
        runtime.run();
        assert_eq!((children.read().polls, runtime.tasks.lock().unwrap().len()), (1, 2));
        panics(&runtime).store(true, SeqCst);
        runtime.take().into_iter().for_each(drop);
        assert_eq!(children.read().alive(), 1);
        drop(task);
        while children.read().alive() > 0 {
            thread::yield_now();
        }
    }

    watched(|| {
        dies(|runtime| &runtime.clone_panics);
        dies(|runtime| &runtime.spawn_panics);
    });
}

#[test]
fn no_driver_panics_with_what_its_spawner_owns() {
    watched(|| {
        let runtime = Arc::<ByHand>::default();
        let pool = Pool::new(Owning::new(Handle(runtime.clone())));
        let group = TaskGroup::new(pool.clone());
        group.launch(async {});
        runtime.run();
        block_on(group.join()).unwrap();
        drop(pool);
        let drivers = runtime.take();
        assert_eq!(drivers.len(), 2);
        drop(drivers);
    });
}

#[test]
fn a_spawner_that_panics_where_it_registers_and_where_it_goes() {
    #[derive(Clone)]
    struct Refusing(#[expect(dead_code, reason = "it is dropped")] Arc<Bomb>);

    impl Spawner for Refusing {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            ThreadEach.spawn(future)
        }

        fn register(&self, _: Weak<dyn Dependent>) {
            quiet_panic("register")
        }
    }

    assert_eq!(panic_of(|| Pool::new(Refusing(Arc::new(Bomb)))), "register");
}
