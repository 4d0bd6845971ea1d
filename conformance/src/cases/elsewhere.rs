//! Children on another spawner than their siblings', and spawners without a type.

use std::future::pending;

use futures_lite::future::poll_once;
use taskgroup::{AnySpawner, Spawner, TaskGroup, scope};

use crate::ledger::{Gate, Tally};
use crate::spawners::{Dropping, ThreadEach};
use crate::test::{Test, errors, panic_text, quiet_panic};

pub async fn children_on_two_spawners_are_of_one_group<S: Spawner>(t: &Test<S>) {
    let (group, gate) = (TaskGroup::fallible::<&str>(t.spawner()), Gate::new());
    let child = |number| {
        let opened = gate.clone();
        t.child(async move {
            opened.wait().await;
            Ok(number)
        })
    };
    let (here, there) = (group.spawn(child(1)), group.on(ThreadEach).spawn(child(2)));
    assert_eq!((here.id(), there.id(), group.len()), (Some(1), Some(2), 2));
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_none());
    gate.open();
    join.await.unwrap();
    assert_eq!((here.await.unwrap(), there.await.unwrap()), (1, 2));
}

pub async fn a_failure_on_either_spawner_cancels_the_other<S: Spawner>(t: &Test<S>) {
    let there = Tally::new();
    let group = TaskGroup::fallible(t.spawner());
    group.launch(t.waiting(&there));
    there.take(1).await;
    group.on(ThreadEach).launch(t.child(async { Err::<(), _>("elsewhere") }));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["elsewhere"]);

    let group = TaskGroup::fallible(t.spawner());
    group.on(ThreadEach).launch(t.waiting(&there));
    there.take(1).await;
    group.launch(t.child(async { Err::<(), _>("here") }));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["here"]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (2, 4));
}

pub async fn a_child_lost_elsewhere_ends_the_group<S: Spawner>(t: &Test<S>) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    assert!(group.on(Dropping).spawn(t.stuck()).await.unwrap_err().is_lost());
    assert!(group.join().await.unwrap_err().is_lost());
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (2, 2));
}

pub async fn a_group_on_any_spawner_is_like_every_other<S: Spawner>(t: &Test<S>) {
    let any = AnySpawner::new(t.spawner());
    let sum = scope(any.clone(), |group| async move {
        let (two, three) = (group.spawn(t.child(async { Ok(2) })), group.spawn(t.child(async { Ok(3) })));
        Ok::<_, &str>(two.value().await + three.value().await)
    });
    assert_eq!(sum.await.unwrap(), 5);

    let there = &Tally::new();
    let failed = scope(any, |group| async move {
        group.launch(t.waiting(there));
        there.take(1).await;
        group.launch(t.child(async { Err::<(), _>("broken") }));
        pending::<Result<(), _>>().await
    });
    assert_eq!(errors(&failed.await.unwrap_err()), ["broken"]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (3, 4));
}

pub async fn groups_on_different_spawners_have_one_type<S: Spawner>(t: &Test<S>) {
    let groups = [
        TaskGroup::new(AnySpawner::new(t.spawner())),
        TaskGroup::new(AnySpawner::new(ThreadEach)),
        TaskGroup::new(AnySpawner::new(AnySpawner::new(t.spawner()))),
    ];
    for group in groups {
        group.launch(t.child(async { quiet_panic("boom") as () }));
        assert_eq!(panic_text(group.join()).await, "boom");
    }
    assert_eq!(t.ledger.read().dropped, 3);
}
