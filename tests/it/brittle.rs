//! Values that spawners, hooks and runtimes hand to the crate, and that panic when they are dropped.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_lite::future::block_on;
use taskgroup::future::Scope;
use taskgroup::group::{Ready, Snapshot};
use taskgroup::runtime::{Hooked, SpawnHook, Timed};
use taskgroup::{AnyTimedSpawner, Group, Spawner, Task, TaskGroup, adopt, scope};
use taskgroup_conformance::ledger::{Ledger, Tally};
use taskgroup_conformance::spawners::{Inline, ThreadEach};
use taskgroup_conformance::{quiet_panic, watched};

mod values;

pub(crate) use self::values::*;

/// Its handles panic when they are dropped.
#[derive(Clone)]
struct BadHandles;

impl Spawner for BadHandles {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        adopt((ThreadEach.spawn(future), Bomb))
    }
}

/// What it puts around a child panics when it is dropped.
#[derive(Clone)]
struct BadHook;

impl SpawnHook for BadHook {
    fn wrap<F>(&self, child: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let bomb = Bomb;
        async move {
            let _bomb = &bomb;
            child.await;
        }
    }
}

/// Runs children that end by themselves, before or after their `Task` is stored, and children that are cancelled.
fn children_end_as_ever(spawner: impl Spawner) {
    let (children, begun) = (Ledger::default(), Tally::new());
    let group = TaskGroup::new(spawner);
    for _ in 0..20 {
        let begin = begun.clone();
        group.launch(children.track(async {}));
        group.launch(children.track(async move {
            begin.add();
            pending::<()>().await;
        }));
    }
    block_on(begun.take(20));
    group.cancel();
    block_on(group.join()).unwrap();
    let read = children.read();
    assert_eq!((read.made, read.alive()), (40, 0));
}

#[test]
fn handles_that_are_adopted() {
    watched(|| children_end_as_ever(BadHandles));
}

#[test]
fn wrappers_of_a_hook() {
    watched(|| children_end_as_ever(Hooked::new(ThreadEach, BadHook)));
}

/// smol's executor drops the wrappers at a place where a panic aborts the process.
#[cfg(feature = "smol")]
#[test]
fn wrappers_of_a_hook_on_smol() {
    watched(|| children_end_as_ever(Hooked::new(taskgroup::Smol, BadHook)));
}

#[test]
fn a_spawner_that_goes_with_the_last_results() {
    watched(|| {
        let values = Ledger::default();
        let group = TaskGroup::new(BadSpawner::new());
        let results = group.results();
        for _ in 0..3 {
            let value = (values.capture(), Bomb);
            results.spawn(async move { Ok(value) });
        }
        block_on(group.join()).unwrap();
        assert_eq!(values.read().alive(), 3);
        assert_eq!(panic_of(|| block_on(results.values())), "dropped");
        assert_eq!(values.read().alive(), 0);
    });
}

/// A scope that was not polled. Its body captures a value that panics when it is dropped.
fn opened()
-> Scope<BadSpawner, &'static str, (), impl FnOnce(Group<BadSpawner, &'static str>) -> Boxed, Boxed> {
    let bomb = Bomb;
    scope(BadSpawner::new(), |_| {
        Box::pin(async move {
            drop(bomb);
            Ok(())
        }) as Boxed
    })
}

type Boxed = Pin<Box<dyn Future<Output = Result<(), &'static str>>>>;

#[test]
fn a_clock_beside_what_a_group_begins_with() {
    watched(|| {
        assert_eq!(panic_of(|| block_on(opened().timeout(Duration::ZERO))), "clock");
        let group = TaskGroup::builder::<&str>(BadSpawner::new()).timeout(Duration::ZERO);
        assert_eq!(panic_of(|| group.open()), "clock");
    });
}

#[test]
fn what_is_dropped_before_it_begins() {
    watched(|| {
        assert_eq!(panic_of(opened), "dropped");
        let (group, bomb) = (TaskGroup::new(BadSpawner::new()), Bomb);
        let waiting = group.spawn_when_free(async move { drop(bomb) });
        drop(group);
        assert_eq!(panic_of(|| waiting), "dropped");
    });
}

#[test]
fn a_body_that_is_the_last_to_hold_a_spawner() {
    watched(|| {
        let opened: Scope<_, _, (), _, _> = scope(BadSpawner::new(), |group: Group<_, &str>| async move {
            let _last = group;
            quiet_panic("body")
        });
        assert_eq!(panic_of(|| block_on(opened)), "body");
    });
}

#[test]
fn threads_that_cannot_be_had_for_work() {
    watched(|| {
        let (group, bomb) = (TaskGroup::new(BadSpawner::new()), Bomb);
        let spawning = || group.spawn_blocking(move || drop(bomb));
        assert_eq!(panic_of(spawning), "no threads");
        block_on(group.join()).unwrap();
    });
}

/// It owns something as well.
#[derive(Clone)]
struct OwningHook(#[expect(dead_code, reason = "it is dropped")] Arc<Bomb>);

impl SpawnHook for OwningHook {
    fn wrap<F>(&self, child: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static,
    {
        child
    }
}

#[test]
fn a_hook_that_goes_with_its_spawner() {
    watched(|| {
        let hooked = Hooked::new(Owning::new(ThreadEach), OwningHook(Arc::new(Bomb)));
        assert_eq!(panic_of(|| TaskGroup::new(hooked)), "dropped");
    });
}

#[test]
fn what_names_the_children_of_a_keyed_set_and_goes_with_their_spawner() {
    watched(|| {
        let (group, bomb) = (TaskGroup::new(Owning::new(ThreadEach)), Bomb);
        let keyed = group.keyed().named(move |key: &u32| {
            let _captured = &bomb;
            key.to_string()
        });
        block_on(group.join()).unwrap();
        assert_eq!(panic_of(|| keyed), "dropped");
    });
}

#[test]
fn what_a_warning_captures_and_goes_with_a_spawner() {
    watched(|| {
        let (group, bomb) = (TaskGroup::new(Owning::new(ThreadEach)), Bomb);
        let join = group.join().warn_after(Duration::from_secs(1), move |_| {
            let _captured = &bomb;
        });
        // That of the spawner is contained by the `Join`; and that of the other one goes to nobody.
        unwinds_over(join);
    });
}

#[test]
fn the_signal_of_a_shutdown_that_goes_with_a_spawner_or_a_clock() {
    struct Signal(Bomb);

    impl Future for Signal {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            _ = &self.0;
            Poll::Pending
        }
    }

    watched(|| {
        let group = TaskGroup::<_, Infallible>::new(Owning::new(ThreadEach));
        let shutdown = group.shutdown_when(Signal(Bomb), Duration::ZERO);
        assert_eq!(panic_of(|| drop(shutdown)), "dropped");
        let group = TaskGroup::<_, Infallible>::new(Clockless);
        assert_eq!(panic_of(|| group.shutdown_when(Signal(Bomb), Duration::ZERO)), "no clock");
    });
}

#[test]
fn the_handle_of_a_child_that_is_started_when_there_is_a_place_by_the_last_to_hold_a_spawner() {
    watched(|| {
        let values = Ledger::default();
        let value = values.capture();
        let opened: Scope<_, _, (), _, _> = scope(Owning::new(Inline), |group: Group<_>| async move {
            let waiting = group.spawn_when_free(async move { Ok(value) });
            drop(group);
            drop(waiting.await);
            Ok(())
        });
        assert_eq!(panic_of(|| block_on(opened)), "dropped");
        assert_eq!((values.read().made, values.read().alive()), (1, 0));
    });
}

/// A spawner of which each clone may own something that panics, and with no clock where it is asked for one.
struct Alone(Option<Bomb>);

impl Clone for Alone {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().map(|_| Bomb))
    }
}

impl Spawner for Alone {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        ThreadEach.spawn(future)
    }
}

impl Timed for Alone {
    type Timer = Still;

    fn timer(&self) -> Still {
        quiet_panic("no clock")
    }
}

/// A hook that cannot be cloned.
struct Single;

impl Clone for Single {
    fn clone(&self) -> Self {
        quiet_panic("clone")
    }
}

#[test]
fn a_hook_that_panics_where_it_is_cloned() {
    let hooked = ManuallyDrop::new(Hooked::new(Alone(Some(Bomb)), Single));
    assert_eq!(panic_of(|| Hooked::clone(&hooked)), "clone");
}

#[test]
fn a_clock_that_panics_where_it_is_asked_for() {
    watched(|| {
        assert_eq!(panic_of(|| AnyTimedSpawner::new(Alone(Some(Bomb)))), "no clock");
        let (group, bomb) = (TaskGroup::new(Alone(None)), Bomb);
        let warn = move |_: &Snapshot| {
            let _captured = &bomb;
        };
        assert_eq!(panic_of(|| group.join().warn_after(Duration::from_secs(1), warn)), "no clock");
    });
}

#[test]
fn a_child_that_was_ready_before_it_could_be_made() {
    watched(|| {
        let group = TaskGroup::new(ThreadEach);
        let start = || {
            group.start(|ready: Ready<Bomb>| -> std::future::Ready<()> {
                ready.set(Bomb);
                quiet_panic("closure")
            })
        };
        assert_eq!(panic_of(start), "closure");
        group.close();
        let start = || {
            let bomb = Bomb;
            group.start(|ready: Ready<Bomb>| {
                ready.set(Bomb);
                async move { drop(bomb) }
            })
        };
        assert_eq!(panic_of(start), "dropped");
        block_on(group.join()).unwrap();
    });
}

/// As by a destructor that uses a group which has ended meanwhile.
#[test]
fn what_a_closed_group_refuses_while_its_thread_unwinds() {
    struct Uses(Group<ThreadEach>, fn(&Group<ThreadEach>));

    impl Drop for Uses {
        fn drop(&mut self) {
            self.1(&self.0);
        }
    }

    fn future() -> impl Future<Output = ()> + Send {
        let bomb = Bomb;
        async move { drop(bomb) }
    }

    watched(|| {
        let ways: [fn(&Group<ThreadEach>); 5] = [
            |group| group.launch(future()),
            |group| drop(group.spawn(future())),
            |group| drop(group.results().spawn(future())),
            |group| drop(group.keyed().replace(0, future())),
            |group| drop(group.spawn_when_free(future())),
        ];
        for way in ways {
            let group = TaskGroup::new(ThreadEach);
            group.close();
            unwinds_over(Uses(group.group(), way));
            block_on(group.join()).unwrap();
        }
    });
}

struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {}
}

impl Drop for BadWaker {
    fn drop(&mut self) {
        quiet_panic("dropped");
    }
}

/// Polls `waiting` once, and drops it while the thread unwinds from a panic.
fn waits_in_vain(waiting: impl Future) {
    let mut waiting = Box::pin(waiting);
    let waker = Waker::from(Arc::new(BadWaker));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    unwinds_over(waiting);
}

#[test]
fn wakers_of_those_who_wait() {
    watched(|| {
        let group = TaskGroup::new(ThreadEach);
        let mut results = group.results::<()>();
        results.spawn(pending::<()>());
        waits_in_vain(async move { results.next().await });
        waits_in_vain(group.start(|ready: Ready<()>| async move {
            pending::<()>().await;
            ready.set(());
        }));
        waits_in_vain(group.stopping());
        waits_in_vain(group.idle());
        group.cancel();
        block_on(group.join()).unwrap();
    });
}
