//! Groups with so many living children that the group removes ended children several at a time.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures_lite::future::yield_now;
use taskgroup::TaskGroup;

use crate::cases::crank::{at, cranked};
use crate::cases::time::timed_out;
use crate::ledger::Tally;
use crate::test::Test;

/// How many children live all the time.
const CROWD: usize = 100;

/// Opens a group with a crowd of children that do not end by themselves.
async fn crowded(t: &Test) -> TaskGroup<taskgroup::AnySpawner> {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    (0..CROWD).for_each(|_| group.launch(t.waiting(&there)));
    there.take(CROWD).await;
    group
}

/// Waits until only the crowd is counted.
async fn crowd_alone(group: &TaskGroup<taskgroup::AnySpawner>) {
    while group.len() > CROWD {
        yield_now().await;
    }
    assert_eq!(group.len(), CROWD);
}

pub async fn whoever_ends_among_many_is_not_counted(t: &Test) {
    let group = crowded(t).await;
    for _ in 0..1_000 {
        group.launch(t.child(async {}));
        group.launch(t.child(yield_now()));
    }
    crowd_alone(&group).await;
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (2_000, CROWD));
    group.cancel();
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (2_000 + CROWD, 2_000 + CROWD));
}

pub async fn all_of_a_crowd_end_while_it_is_joined(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    for _ in 0..1_000 {
        group.launch(t.child(async {
            yield_now().await;
            yield_now().await;
        }));
    }
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (1_000, 0));
}

pub async fn a_crowd_is_cancelled_while_it_ends(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    for _ in 0..1_000 {
        let begun = there.clone();
        group.launch(t.child(async move {
            begun.add();
            yield_now().await;
        }));
    }
    there.take(200).await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (1_000, 1_000));
}

pub async fn some_of_a_crowd_are_cancelled_as_they_end(t: &Test) {
    let group = crowded(t).await;
    for _ in 0..500 {
        let child = group.spawn(t.child(async {
            yield_now().await;
            Ok(())
        }));
        group.launch(t.child(async {}));
        child.cancel();
        let result = child.await;
        assert!(result.is_ok() || result.unwrap_err().is_cancelled());
    }
    crowd_alone(&group).await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().dropped, 1_000 + CROWD);
}

pub async fn clean_ups_in_a_crowd_run_when_their_children_have_ended(t: &Test) {
    let (group, cleaned) = (crowded(t).await, Tally::new());
    for _ in 0..100 {
        let (member, cleans) = (group.group(), cleaned.clone());
        group.launch(t.child(async move {
            member.defer(async move { cleans.add() });
            yield_now().await;
        }));
        group.launch(t.child(async {}));
    }
    cleaned.take(100).await;
    group.cancel();
    group.join().await.unwrap();
}

pub async fn groups_opened_in_a_crowd_are_cancelled_when_their_children_have_ended(t: &Test) {
    let (group, opened) = (crowded(t).await, Arc::<Mutex<Vec<_>>>::default());
    for _ in 0..50 {
        let (spawner, stuck, owners) = (t.spawner(), t.stuck(), opened.clone());
        group.launch(t.child(async move {
            let inner = TaskGroup::new(spawner);
            inner.launch(stuck);
            owners.lock().unwrap().push(inner);
        }));
        group.launch(t.child(async {}));
    }
    while t.ledger.read().alive() > CROWD {
        yield_now().await;
    }
    let owners = std::mem::take(&mut *opened.lock().unwrap());
    assert!(owners.iter().all(|inner| inner.is_cancelled()));
    drop(owners);
    group.cancel();
    group.join().await.unwrap();
}

pub async fn a_deadline_passes_while_a_crowd_ends(t: &Test) {
    for _ in 0..10 {
        let ((crank, spawner), there) = (cranked(t), Tally::new());
        let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
        (0..CROWD).for_each(|_| group.launch(t.waiting(&there)));
        there.take(CROWD).await;
        for number in 0..500 {
            group.launch(t.child(async {}));
            if number == 250 {
                crank.to(1);
            }
        }
        timed_out(group.join().await);
        assert_eq!(t.ledger.read().alive(), 0);
    }
}
