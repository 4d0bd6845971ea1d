//! Results in the order of spawning, whichever child ends first.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::{poll_once, yield_now};
use taskgroup::TaskGroup;

use crate::ledger::Gate;
use crate::test::Test;

pub async fn o_10_callbacks_in_order_work_in_parallel(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results().in_order();
    let gates: Vec<_> = (0..=5).map(|_| Gate::new()).collect();
    for number in 0..5 {
        // Each child lets the child before it end.
        let (opened, next) = (gates[number + 1].clone(), gates[number].clone());
        results.spawn(t.child(async move {
            opened.wait().await;
            next.open();
            Ok(2 * number)
        }));
    }
    assert!(poll_once(pin!(results.next())).await.is_none());
    gates[5].open();
    for number in [0, 2, 4, 6, 8] {
        assert_eq!(results.next().await.unwrap().unwrap(), number);
    }
    group.join().await.unwrap();
}

pub async fn o_10_at_most_the_limit_run(t: &Test) {
    let group = TaskGroup::builder::<&str>(t.spawner()).limit(NonZeroUsize::new(2).unwrap()).open();
    let mut results = group.results().in_order();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for number in 0..10 {
        let (running, most) = (running.clone(), most.clone());
        results.spawn(t.child(async move {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            for _ in 0..10 - number {
                yield_now().await;
            }
            running.fetch_sub(1, SeqCst);
            Ok(number)
        }));
    }
    for number in 0..10 {
        assert_eq!(results.next().await.unwrap().unwrap(), number);
    }
    assert!(most.load(SeqCst) <= 2);
    group.join().await.unwrap();
}

pub async fn those_that_were_taken_before_have_none(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let gates: Vec<_> = (0..6).map(|_| Gate::new()).collect();
    let mut results = group.results();
    for (number, gate) in gates.iter().cloned().enumerate() {
        results.spawn(t.child(async move {
            gate.wait().await;
            Ok(number)
        }));
    }
    for number in [3, 0, 2] {
        gates[number].open();
        assert_eq!(results.next().await.unwrap().unwrap(), number);
    }
    let mut results = results.in_order();
    for number in [1, 4, 5] {
        gates[number].open();
        // The later children are still at work.
        assert_eq!(results.next().await.unwrap().unwrap(), number);
    }
    group.join().await.unwrap();
}

pub async fn a_child_without_a_value_has_its_turn(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results().in_order();
    results.spawn(t.child(async { Ok(0) }));
    results.spawn(t.child(std::future::pending::<Result<_, _>>())).cancel();
    results.spawn(t.child(async { Ok(2) }));
    assert_eq!(results.next().await.unwrap().unwrap(), 0);
    assert!(results.next().await.unwrap().unwrap_err().is_cancelled());
    assert_eq!(results.next().await.unwrap().unwrap(), 2);
    group.join().await.unwrap();
}

pub async fn results_that_wait_for_their_turn_are_outstanding(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let mut results = group.results().in_order();
    let opened = gate.clone();
    results.spawn(t.child(async move {
        opened.wait().await;
        Ok(0)
    }));
    results.spawn(t.child(async move { Ok(1) }));
    while group.len() > 1 {
        yield_now().await;
    }
    assert!(poll_once(pin!(results.next())).await.is_none());
    assert_eq!(results.outstanding(), 2);
    gate.open();
    for number in 0..2 {
        assert_eq!(results.next().await.unwrap().unwrap(), number);
    }
    assert_eq!(results.outstanding(), 0);
    group.join().await.unwrap();
}

pub async fn results_that_wait_for_their_turn_are_freed_with_the_others(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let mut results = group.results().in_order();
    let (first, second, opened) = (t.ledger.capture(), t.ledger.capture(), gate.clone());
    results.spawn(t.child(async move {
        opened.wait().await;
        Ok(first)
    }));
    results.spawn(t.child(async move { Ok(second) }));
    while group.len() > 1 {
        yield_now().await;
    }
    assert!(poll_once(pin!(results.next())).await.is_none(), "it is not its turn");
    assert_eq!(t.ledger.read().alive(), 3);
    drop(results);
    assert_eq!(t.ledger.read().alive(), 2);
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().alive(), 0);
}

pub async fn what_was_taken_before_is_not_waited_for(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results();
    results.spawn(t.child(async { Ok(0) }));
    assert_eq!(results.next().await.unwrap().unwrap(), 0);
    let mut results = results.in_order();
    results.spawn(t.child(async { Ok(1) }));
    assert_eq!(results.next().await.unwrap().unwrap(), 1, "though the group is open");
    group.join().await.unwrap();
}
