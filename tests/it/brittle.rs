//! What spawners and hooks give, and panics when it is dropped.

use std::future::{Future, pending};

use futures_lite::future::block_on;
use taskgroup::runtime::{Hooked, SpawnHook};
use taskgroup::{Spawner, Task, TaskGroup, adopt};
use taskgroup_conformance::ledger::{Ledger, Tally};
use taskgroup_conformance::spawners::ThreadEach;
use taskgroup_conformance::{quiet_panic, watched};

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        quiet_panic("dropped");
    }
}

/// Its handles panic when they are let go of.
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

/// What it puts around children panics when it is dropped.
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

/// Children that end by themselves, before their `Task` is stored or after it, and children that are cancelled.
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

/// Its executor drops them where a panic aborts.
#[cfg(feature = "smol")]
#[test]
fn wrappers_of_a_hook_on_smol() {
    watched(|| children_end_as_ever(Hooked::new(taskgroup::Smol, BadHook)));
}
