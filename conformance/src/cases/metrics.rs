//! What the counters count, and when.

use std::convert::Infallible;
use std::future::pending;
use std::num::NonZero;
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use taskgroup::group::Metrics;
use taskgroup::{AnySpawner, Group, TaskGroup, scope, shield};

use crate::cases::crank::{at, cranked};
use crate::ledger::{Gate, Tally};
use crate::spawners::Dropping;
use crate::test::{Test, panic_text, quiet_panic};

/// Returns how many children returned, failed, panicked, were cancelled and were lost.
fn ends(metrics: &Metrics) -> [u64; 5] {
    [metrics.returned(), metrics.failed(), metrics.panicked(), metrics.cancelled(), metrics.lost()]
}

fn counted(t: &Test, metrics: &Metrics) -> TaskGroup<AnySpawner, &'static str> {
    TaskGroup::builder(t.spawner()).metrics(metrics).collect().open()
}

/// Keeps the thread busy for some real time, without the clock of a runtime.
fn busy(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        quiet_panic("boom");
    }
}

pub async fn each_child_counts_by_how_it_ended(t: &Test) {
    let metrics = Metrics::new();
    let (group, there) = (counted(t, &metrics), Tally::new());
    group.launch(t.child(async { Ok(()) }));
    group.launch(t.child(async { Ok(()) }));
    group.launch(t.child(async { Err::<(), _>("an error") }));
    group.launch(t.child(async { quiet_panic("a panic") }));
    let cancelled = group.spawn(t.waiting(&there));
    there.take(1).await;
    cancelled.cancel();
    assert_eq!(metrics.spawned(), 5);
    assert_eq!(panic_text(group.join()).await, "a panic");
    assert_eq!(ends(&metrics), [2, 1, 1, 1, 0]);
    assert_eq!((metrics.spawned(), metrics.ended(), metrics.live()), (5, 5, 0));
}

pub async fn a_lost_child_counts_as_lost_and_its_siblings_as_cancelled(t: &Test) {
    let metrics = Metrics::new();
    let (group, there) = (counted(t, &metrics), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    group.on(Dropping).launch(t.child(async { Ok(()) }));
    group.join().await.unwrap_err();
    assert_eq!(ends(&metrics), [0, 0, 0, 1, 1]);
    assert_eq!(metrics.cancels().count(), 1, "nobody asked the one that was lost");
}

pub async fn a_child_that_is_refused_is_counted_as_that_alone(t: &Test) {
    let metrics = Metrics::new();
    let group = counted(t, &metrics);
    group.close();
    group.spawn(t.child(async { Ok(()) })).await.unwrap_err();
    group.launch(t.child(async { Ok(()) }));
    drop(group.try_spawn(t.child(async { Ok(()) })).unwrap_err());
    group.join().await.unwrap();
    assert_eq!((metrics.spawned(), metrics.ended()), (0, 0));
    assert_eq!(metrics.refused(), 2, "the third one was given back");
}

pub async fn a_child_is_live_from_its_spawn_to_its_end(t: &Test) {
    let metrics = Metrics::new();
    let group = TaskGroup::builder::<&str>(t.spawner()).metrics(&metrics).limit(NonZero::<usize>::MIN).open();
    let (gate, there) = (Gate::new(), Tally::new());
    let (opened, began) = (gate.clone(), there.clone());
    let first = group.spawn(t.child(async move {
        began.add();
        opened.wait().await;
        Ok(())
    }));
    there.take(1).await;
    group.launch(t.child(async { Ok(()) }));
    assert_eq!(metrics.live(), 2, "one of them is queued");
    gate.open();
    first.await.unwrap();
    group.join().await.unwrap();
    assert_eq!((metrics.live(), metrics.returned()), (0, 2));
}

pub async fn groups_share_what_they_are_given(t: &Test) {
    let (metrics, rounds) = (Metrics::new(), t.pick(20, 5));
    for _ in 0..rounds {
        let group = counted(t, &metrics);
        (0..5).for_each(|_| group.launch(t.child(async { Ok(()) })));
        group.join().await.unwrap();
    }
    assert_eq!(ends(&metrics), [5 * rounds as u64, 0, 0, 0, 0]);
}

pub async fn groups_inside_inherit_and_may_have_their_own(t: &Test) {
    let (outer, own) = (Metrics::new(), Metrics::new());
    let group = counted(t, &outer);
    let (member, inside) = (group.group(), own.clone());
    let handle = group.spawn(t.child(async move {
        let spawner = member.spawner().clone();
        scope(spawner.clone(), async |group: Group<_, &str>| {
            assert!(group.metrics().is_some());
            group.launch(async { Ok(()) });
            Ok(())
        })
        .await
        .unwrap();
        let separate = scope(spawner.clone(), async |group: Group<_, &str>| {
            group.launch(async { Err::<(), _>("an error") });
            Ok(())
        });
        separate.metrics(&inside).await.unwrap_err();
        let root = TaskGroup::root(spawner);
        assert!(root.metrics().is_none());
        root.launch(async {});
        root.join().await.unwrap();
        Ok(())
    }));
    handle.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(ends(&outer), [2, 0, 0, 0, 0], "the child, and one inside");
    assert_eq!(ends(&own), [0, 1, 0, 0, 0]);
}

pub async fn the_body_of_a_scope_is_not_counted(t: &Test) {
    let metrics = Metrics::new();
    let result = scope(t.spawner(), async |group| {
        group.launch(t.stuck());
        yield_now().await;
        Err::<(), _>("an error")
    });
    result.metrics(&metrics).await.unwrap_err();
    assert_eq!(ends(&metrics), [0, 0, 0, 1, 0]);
}

pub async fn background_children_and_clean_ups_are_counted_and_whoever_keeps_the_deadline_is_not(t: &Test) {
    let metrics = Metrics::new();
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).metrics(&metrics).deadline(at(5)).open();
    group.child().background().launch(t.stuck());
    let member = group.group();
    group.launch(t.child(async move { member.defer(async {}) }));
    group.join().await.unwrap();
    assert_eq!(ends(&metrics), [2, 0, 0, 1, 0]);
    assert_eq!((metrics.spawned(), metrics.live()), (3, 0));
    assert_eq!(crank.sleeps(), 0);
}

pub async fn a_cancel_is_timed_from_the_request_to_the_end(t: &Test) {
    const LONG: Duration = Duration::from_millis(2);
    let metrics = Metrics::new();
    let (group, there) = (counted(t, &metrics), Tally::new());
    let (began, soft) = (there.clone(), group.cancelled());
    group.launch(t.child(shield(async move {
        began.add();
        soft.await;
        busy(LONG);
        Ok(())
    })));
    group.launch(t.waiting(&there));
    there.take(2).await;
    assert_eq!(metrics.cancels().count(), 0);
    group.cancel();
    group.join().await.unwrap();
    let cancels = metrics.cancels();
    assert_eq!((ends(&metrics), cancels.count()), ([1, 0, 0, 1, 0], 2), "it returned, and was asked to end");
    assert!(cancels.longest() >= LONG, "{cancels:?}");
    assert!(cancels.total() >= cancels.longest() && cancels.mean() <= Some(cancels.longest()), "{cancels:?}");
}

pub async fn a_cancel_of_one_child_is_timed_from_then(t: &Test) {
    let metrics = Metrics::new();
    let (group, there) = (counted(t, &metrics), Tally::new());
    let child = group.spawn(t.waiting(&there));
    group.launch(t.child(async { Ok(()) }));
    there.take(1).await;
    busy(Duration::from_millis(20));
    let asked = Instant::now();
    child.cancel();
    assert!(child.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    let cancels = metrics.cancels();
    assert_eq!((ends(&metrics), cancels.count()), ([1, 0, 0, 1, 0], 1));
    assert!(cancels.longest() <= asked.elapsed(), "{cancels:?}");
}

pub async fn a_child_that_is_cancelled_twice_is_timed_from_the_first_time(t: &Test) {
    const LONG: Duration = Duration::from_millis(2);
    let metrics = Metrics::new();
    let (group, there, gate) = (counted(t, &metrics), Tally::new(), Gate::new());
    let (begun, opened) = (there.clone(), gate.clone());
    let child = group.spawn(t.child(shield(async move {
        begun.add();
        opened.wait().await;
        Ok(())
    })));
    there.take(1).await;
    child.cancel();
    busy(LONG);
    group.cancel();
    gate.open();
    group.join().await.unwrap();
    let cancels = metrics.cancels();
    assert!(cancels.count() == 1 && cancels.longest() >= LONG, "{cancels:?}");
}

pub async fn the_longest_poll_is_known_and_that_of_the_body_is_none(t: &Test) {
    const LONG: Duration = Duration::from_millis(2);
    let metrics = Metrics::new();
    let began = Instant::now();
    let result = scope(t.spawner(), async |group| {
        group.launch(t.child(async {
            yield_now().await;
            busy(LONG);
            Ok(())
        }));
        Ok::<_, &str>(())
    });
    result.metrics(&metrics).await.unwrap();
    let polls = metrics.polls();
    assert!(polls.longest() >= LONG && polls.longest() <= began.elapsed(), "{polls:?}");
    assert_eq!(polls.count(), t.ledger.read().polls as u64);
}

pub async fn a_child_that_panics_on_its_way_out_counts_once(t: &Test) {
    let metrics = Metrics::new();
    let (group, there) = (counted(t, &metrics), Tally::new());
    let began = there.clone();
    group.launch(t.child(async move {
        let _bomb = Bomb;
        began.add();
        pending::<Result<(), _>>().await
    }));
    group.launch(t.child(async {
        let _bomb = Bomb;
        yield_now().await;
        Err::<(), _>("an error")
    }));
    there.take(1).await;
    group.cancel();
    assert_eq!(panic_text(group.join()).await, "boom");
    assert_eq!((metrics.live(), metrics.ended()), (0, 2));
    assert!(metrics.panicked() >= 1, "{metrics:?}");
}

/// Code that has joined the group finds everything counted, whatever threads the children ended on.
pub async fn all_is_counted_when_the_group_is_joined(t: &Test) {
    let (metrics, many) = (Metrics::new(), t.pick(500, 20) as u64);
    for round in 1..=t.pick(10, 2) as u64 {
        let group = counted(t, &metrics);
        for nth in 0..many {
            group.launch(t.child(async move {
                if nth % 2 == 0 {
                    yield_now().await;
                }
                Ok(())
            }));
        }
        if round % 2 == 0 {
            group.cancel();
        }
        group.join().await.unwrap();
        assert_eq!((metrics.spawned(), metrics.ended(), metrics.live()), (round * many, round * many, 0));
    }
}
