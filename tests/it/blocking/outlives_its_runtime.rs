//! The runtime goes away while the work runs: the group waits for the work, and loses nothing.

use taskgroup::future::Join;

use super::*;

/// Joins a group whose children have ended, while the work of one of them runs on.
fn pending_join<S, E: 'static>(group: TaskGroup<S, E>) -> Join<S, E> {
    while !group.is_empty() {
        std::thread::yield_now();
    }
    let mut join = group.join();
    for _ in 0..10 {
        assert!(block_on(poll_once(&mut join)).is_none());
    }
    join
}

/// `until` runs the runtime until a tally is there, and `end` ends it.
fn outlived<S: Spawner + SpawnBlocking, R>(
    spawner: S,
    runtime: R,
    until: fn(&R, &Tally),
    end: fn(R),
    ends: impl FnOnce(&Log) -> Result<Box<dyn Send>, &'static str> + Send + 'static,
    joined: impl FnOnce(Join<S, &'static str>),
) {
    let (group, log) = (TaskGroup::fallible(spawner), Log::default());
    let ending = log.clone();
    let (there, release, work) = held(&log, move || ends(&ending));
    let handle = group.child().name("work").spawn_blocking(work);
    until(&runtime, &there);
    end(runtime);
    assert!(block_on(handle).err().expect("it has no result yet").is_lost());
    let own = group.group();
    let join = pending_join(group);
    let left = own.snapshot().to_string();
    assert!(left.contains("work"), "{left}");
    release.send(()).unwrap();
    joined(join);
    let mut gone = log.lines();
    gone.retain(|line| line.ends_with("gone"));
    assert_eq!(
        gone,
        if log.count("returns") > 0 { vec!["captures gone", "value gone"] } else { vec!["captures gone"] }
    );
}

/// Runs all of it on runtimes that `start` starts.
fn suite<S: Spawner + SpawnBlocking, R: Send + 'static>(
    start: fn() -> (S, R),
    until: fn(&R, &Tally),
    end: fn(R),
) {
    watched(move || {
        let value = |log: &Log| -> Result<Box<dyn Send>, _> {
            log.write("returns");
            Ok(Box::new(log.on_drop("value gone")))
        };
        let (spawner, runtime) = start();
        outlived(spawner, runtime, until, end, value, |join| {
            let error = block_on(join).unwrap_err();
            assert!(error.is_lost() && error.failures().len() == 0, "{error:?}");
        });
        let ((spawner, runtime), broken) = (start(), |_: &Log| Err("broken"));
        outlived(spawner, runtime, until, end, broken, |join| {
            let error = block_on(join).unwrap_err();
            assert_eq!(errors(&error), ["broken"]);
            assert_eq!(error.origin().unwrap().name(), Some("work"));
        });
        let ((spawner, runtime), panics) = (start(), |_: &Log| quiet_panic("boom"));
        outlived(spawner, runtime, until, end, panics, |join| {
            assert_eq!(block_on(panic_text(join)), "boom");
        });
    });
}

/// Not at the same time: an executor of smol that is dropped while another thread wakes a child may keep that child for ever, as
/// the documentation says.
#[cfg(feature = "smol")]
#[test]
fn an_executor_of_smol() {
    let start = || {
        let executor = Arc::new(smol::Executor::new());
        (Arc::downgrade(&executor), executor)
    };
    suite(start, |executor, there| block_on(executor.run(there.take(1))), drop);
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use ::tokio::runtime::{Builder, Runtime};

    use super::*;

    fn until(runtime: &Runtime, there: &Tally) {
        runtime.block_on(there.take(1));
    }

    /// The work ends at about the same time. Whoever comes first, its error is told once, and nothing of it is left.
    fn meets<S: Spawner + SpawnBlocking, R: Send + 'static>(
        start: fn() -> (S, R),
        until: fn(&R, &Tally),
        end: fn(R),
    ) {
        watched(move || rounds(start, until, end));
    }

    fn rounds<S: Spawner + SpawnBlocking, R: Send + 'static>(
        start: fn() -> (S, R),
        until: fn(&R, &Tally),
        end: fn(R),
    ) {
        let ledger = Ledger::default();
        for round in 0..200_u32 {
            let (spawner, runtime) = start();
            let (group, there) = (TaskGroup::fallible(spawner), Tally::new());
            let (begun, captured, returned) = (there.clone(), ledger.capture(), ledger.capture());
            group.spawn_blocking(move || {
                begun.add();
                (0..round % 20 * 100).for_each(|_| std::hint::spin_loop());
                drop(captured);
                Err::<(), _>(returned)
            });
            until(&runtime, &there);
            let ending = std::thread::spawn(move || {
                (0..round % 19 * 100).for_each(|_| std::hint::spin_loop());
                end(runtime);
            });
            let error = block_on(group.join()).unwrap_err();
            assert_eq!((error.failures().len(), ledger.read().alive()), (1, 1));
            drop(error);
            assert_eq!(ledger.read().alive(), 0);
            ending.join().unwrap();
        }
    }

    fn workers() -> Runtime {
        Builder::new_multi_thread().worker_threads(2).build().unwrap()
    }

    #[cfg(feature = "smol")]
    #[test]
    fn services_stay_for_it() {
        watched(|| {
            let (runtime, ledger, log) = (workers(), Ledger::default(), Log::default());
            let group = TaskGroup::fallible::<&str>(taskgroup::Smol);
            group.child().background().launch(ledger.track(pending::<()>()));
            let (there, release, work) = held(&log, || Ok(()));
            let handle = group.on(runtime.handle().clone()).spawn_blocking(work);
            until(&runtime, &there);
            // So it is cut and not lost, and does not cancel the group.
            handle.cancel();
            runtime.shutdown_background();
            assert!(block_on(handle).unwrap_err().is_cancelled());
            let own = group.group();
            let join = pending_join(group);
            assert_eq!(
                (own.is_closed(), ledger.read().alive()),
                (false, 1),
                "the service is not asked to end"
            );
            release.send(()).unwrap();
            block_on(join).unwrap();
        });
    }

    #[test]
    fn two_workers() {
        let start = || {
            let runtime = workers();
            (runtime.handle().clone(), runtime)
        };
        suite(start, until, Runtime::shutdown_background);
        meets(start, until, Runtime::shutdown_background);
    }

    #[test]
    fn on_the_current_thread() {
        let start = || {
            let runtime = Builder::new_current_thread().build().unwrap();
            (runtime.handle().clone(), runtime)
        };
        suite(start, until, Runtime::shutdown_background);
        meets(start, until, Runtime::shutdown_background);
    }

    #[cfg(feature = "pool")]
    #[test]
    fn a_pool() {
        let start = || {
            let runtime = workers();
            (taskgroup::Pool::new(runtime.handle().clone()), runtime)
        };
        suite(start, until, Runtime::shutdown_background);
        meets(start, until, Runtime::shutdown_background);
    }
}
