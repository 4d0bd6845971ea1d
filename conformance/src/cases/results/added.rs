//! Handles that are added to results.

use std::task::{Context, Waker};

use futures_lite::future::{poll_once, yield_now};
use taskgroup::{AnySpawner, Group, JoinError, JoinHandle, TaskGroup};

use crate::ledger::{Gate, Tally};
use crate::test::{Test, panic_text, quiet_panic};

/// Spawns a child that gives the value when the gate opens.
fn gated<E, T>(t: &Test, group: &Group<AnySpawner, E>, begun: &Tally, gate: &Gate, value: T) -> JoinHandle<T>
where
    E: Send + 'static,
    T: Send + 'static,
{
    let (begun, gate) = (begun.clone(), gate.clone());
    group.spawn(t.child(async move {
        begun.add();
        gate.wait().await;
        Ok(value)
    }))
}

pub async fn a_handle_that_was_added_is_like_the_others(t: &Test) {
    let group = TaskGroup::builder::<&str>(t.spawner()).collect().open();
    let (mut results, gate) = (group.results(), Gate::new());
    let early = group.spawn(t.child(async { Ok(0) }));
    while !early.is_finished() {
        yield_now().await;
    }
    results.add(early);
    let opened = gate.clone();
    results.add(group.child().name("late").spawn(t.child(async move {
        opened.wait().await;
        Ok(1)
    })));
    results.spawn(t.child(async { Ok(2) }));
    assert_eq!(results.outstanding(), 3);
    let first = [results.next().await.unwrap().unwrap(), results.next().await.unwrap().unwrap()];
    assert_eq!((first, results.outstanding()), ([0, 2], 1));
    let mut next = Box::pin(results.join_next());
    assert!(poll_once(next.as_mut()).await.is_none());
    gate.open();
    assert_eq!(next.await.unwrap().unwrap(), 1);
    assert!(results.join_next().await.is_none());
    group.join().await.unwrap();
}

pub async fn their_order_is_that_of_adding(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (mut results, gate) = (group.results().in_order(), Gate::new());
    results.add(gated(t, &group, &Tally::new(), &gate, 0));
    results.spawn(t.child(async { Ok(1) }));
    results.add(group.spawn(t.child(async { Ok(2) })));
    t.step().await;
    assert!(poll_once(results.next()).await.is_none(), "it is the turn of the first");
    gate.open();
    for number in 0..3 {
        assert_eq!(results.next().await.unwrap().unwrap(), number);
    }

    let results = group.results();
    (0..t.pick(100, 10)).for_each(|number| match number % 2 {
        0 => results.add(group.spawn(t.child(async move { Ok(number) }))),
        _ => drop(results.spawn(t.child(async move { Ok(number) }))),
    });
    assert!(results.values().await.is_sorted());
    group.join().await.unwrap();
}

pub async fn an_added_child_without_a_value_is_named(t: &Test) {
    let group = TaskGroup::builder::<&str>(t.spawner()).collect().open();
    let mut results = group.results();
    results.add(group.child().name("broken").spawn(t.child(async { Err::<u32, _>("an error") })));
    let failed: JoinError = results.next().await.unwrap().unwrap_err();
    assert!(failed.is_failed());
    assert_eq!(failed.origin().unwrap().name(), Some("broken"));
    group.cancel();
    results.add(group.spawn(t.child(async { Ok(1) })));
    let refused = results.next().await.unwrap().unwrap_err();
    assert!(refused.is_cancelled() && refused.origin().is_none());
    assert!(results.next().await.is_none());
    group.join().await.unwrap_err();
}

pub async fn dropped_results_give_up_the_values_of_added_children(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (results, gate, there) = (group.results(), Gate::new(), Tally::new());
    for _ in 0..3 {
        results.add(gated(t, &group, &there, &gate, t.ledger.capture()));
    }
    there.take(3).await;
    drop(results);
    gate.open();
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (3, 0));
}

/// As of any value that nobody takes.
pub async fn nor_is_a_panic_of_such_a_value_lost(t: &Test) {
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            quiet_panic("a value that nobody took");
        }
    }
    let group = TaskGroup::new(t.spawner());
    let (results, gate, there) = (group.results(), Gate::new(), Tally::new());
    results.add(gated(t, &group, &there, &gate, Value));
    there.take(1).await;
    drop(results);
    gate.open();
    assert_eq!(panic_text(group.join()).await, "a value that nobody took");
}

pub async fn a_handle_that_has_given_its_result_cannot_be_added(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut handle = group.spawn(t.child(async { Ok(1) }));
    assert_eq!((&mut handle).await.unwrap(), 1);
    let results = group.results();
    let text = panic_text(async { results.add(handle) }).await;
    assert!(text.contains("after it had given its result"), "{text}");
    assert_eq!(results.outstanding(), 0);
    group.join().await.unwrap();
}

/// A handle that was polled before wakes the results, and not whoever polled it.
pub async fn a_handle_that_was_awaited_can_be_added(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let gate = Gate::new();
    let mut handle = gated(t, &group, &Tally::new(), &gate, 1);
    assert!(std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut results = group.results();
    results.add(handle);
    gate.open();
    assert_eq!(results.next().await.unwrap().unwrap(), 1);
    group.join().await.unwrap();
}
