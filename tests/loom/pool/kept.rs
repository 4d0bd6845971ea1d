//! What keeps a pool: its children, in a group that does not belong to that pool alone.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use taskgroup::{AnySpawner, Pool, TaskGroup, shield};

use super::runtime::{Runtime, Turn};
use crate::{Capture, block_on, bounded};

/// The group keeps the first pool, and the child on the second pool keeps that pool.
///
/// Red if `Pool::keep_for_tasks` says that a pool is kept where another one is.
#[test]
fn a_group_has_children_on_two_pools() {
    bounded(2, || {
        let (runtime, alive) = (Runtime::default(), Arc::new(AtomicUsize::new(0)));
        let worker = runtime.worker();
        let (turn, capture) = (Arc::new(Turn::default()), Capture::new(&alive));
        let group = TaskGroup::new(Pool::new(runtime.clone()));
        group.launch(async {});
        group.on(Pool::new(runtime.clone())).launch(turn.holds(capture));
        turn.is_here();
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
        runtime.finish(worker);
    });
}

/// The group goes on with a child elsewhere, and nobody looks at the group. When a child on the pool ends, the table may be
/// locked. Then nothing keeps the pool.
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

/// Red if children on a pool are put by as all others are, or if `State::end` or `State::note_few` does not see that they
/// are few.
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

/// The future of a child on the pool is gone, while a group that the child has opened elsewhere goes on.
///
/// Red if `State::end_with_effects` counts the child off the pool only when it is freed.
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
