//! The results of many children, in the order of completion or of spawning.

use std::future::{Future, pending};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures_core::FusedFuture;
use futures_core::stream::FusedStream;
use futures_lite::StreamExt;
use futures_lite::future::{poll_once, yield_now};
use taskgroup::group::{Racers, Ready};
use taskgroup::{Group, TaskGroup, race, scope, shield};

use crate::cases::crank::{at, cranked};
use crate::ledger::{Capture, Gate, Ledger, Tally, Wakes};
use crate::test::{Test, errors, panic_text, quiet_panic};

mod added;
mod order;
pub use self::added::*;
pub use self::order::*;

pub async fn o_08_a_hundred_children_results_in_spawn_order(t: &Test) {
    let many = t.pick(100, 10);
    let group = TaskGroup::new(t.spawner());
    let results = group.results();
    for number in 0..many {
        results.spawn(t.child(async move {
            for _ in 0..number * 7 % 11 {
                yield_now().await;
            }
            Ok(number)
        }));
    }
    assert_eq!(results.values().await, (0..many).collect::<Vec<_>>());
    group.join().await.unwrap();
}

pub async fn o_09_values_of_failed_children_are_left_out(t: &Test) {
    let group = TaskGroup::builder(t.spawner()).collect().open();
    let results = group.results();
    results.spawn(t.child(async { Err("a") }));
    results.spawn(t.child(async { Ok(1) }));
    results.spawn(t.child(async { Err("b") }));
    assert_eq!(results.values().await, [1]);
    let error = group.join().await.unwrap_err();
    let mut failed = errors(&error);
    failed.sort_unstable();
    assert_eq!(failed, ["a", "b"]);
}

pub async fn o_10_a_panic_of_the_consumer_stops_the_group(t: &Test) {
    let there = &Tally::new();
    let consuming = scope(t.spawner(), |group| async move {
        let mut results = group.results();
        results.spawn(t.child(async { Ok(1) }));
        results.spawn(stuck(t.ledger.clone(), there.clone()));
        let (own, ledger, begun) = (group.clone(), t.ledger.clone(), there.clone());
        group.launch(t.child(async move {
            for _ in 0..3 {
                own.spawn_when_free(stuck(ledger.clone(), begun.clone())).await;
            }
        }));
        assert_eq!(results.next().await.unwrap().unwrap(), 1);
        there.take(2).await;
        assert_eq!(group.len(), 3, "the producer waits for a place");
        quiet_panic("consumer") as Result<(), &str>
    });
    assert_eq!(panic_text(consuming.limit(NonZeroUsize::new(3).unwrap())).await, "consumer");
    assert_eq!((t.ledger.read().started, t.ledger.read().alive()), (4, 0));
}

fn stuck(ledger: Ledger, there: Tally) -> impl Future<Output = Result<u8, &'static str>> + Send {
    ledger.track(async move {
        there.add();
        std::future::pending().await
    })
}

pub async fn results_come_in_the_order_of_completion(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results();
    let gates: Vec<_> = (0..3).map(|_| Gate::new()).collect();
    for (number, gate) in gates.iter().cloned().enumerate() {
        results.spawn(t.child(async move {
            gate.wait().await;
            Ok(number)
        }));
    }
    for number in [2, 0, 1] {
        assert!(poll_once(pin!(results.next())).await.is_none(), "and a dropped `next` loses nothing");
        gates[number].open();
        assert_eq!(results.next().await.unwrap().unwrap(), number);
    }
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 3);
}

pub async fn without_children_they_pend_until_the_group_is_closed(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results::<()>();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let cx = &mut Context::from_waker(&waker);
    let mut next = pin!(results.next());
    assert!(next.as_mut().poll(cx).is_pending());
    assert_eq!(wakes.count(), 0, "it does not ask to be polled again");
    group.close();
    assert_eq!(wakes.count(), 1);
    assert!(next.as_mut().poll(cx).is_ready());
    group.join().await.unwrap();
}

pub async fn between_children_they_pend_and_go_on(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results();
    for number in 0..3 {
        results.spawn(t.child(async move { Ok(number) }));
        assert_eq!(results.next().await.unwrap().unwrap(), number);
        assert!(poll_once(pin!(results.next())).await.is_none());
    }
    assert_eq!(results.outstanding(), 0);
    group.close();
    assert!(results.next().await.is_none());
    group.join().await.unwrap();
}

pub async fn a_closed_group_gives_what_is_outstanding_and_then_the_end(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let results = group.results();
    for _ in 0..5 {
        let opened = gate.clone();
        results.spawn(t.child(async move {
            opened.wait().await;
            Ok(1)
        }));
    }
    group.close();
    assert_eq!(results.outstanding(), 5);
    gate.open();
    assert_eq!(results.map(Result::unwrap).fold(0, |sum, one| sum + one).await, 5);
    group.join().await.unwrap();
}

pub async fn they_are_freed_when_nobody_takes_them_any_more(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let results = group.results();
    let (early, late, opened) = (t.ledger.capture(), t.ledger.capture(), gate.clone());
    results.spawn(t.child(async move { Ok(early) }));
    results.spawn(t.child(async move {
        opened.wait().await;
        Ok(late)
    }));
    while group.len() > 1 {
        yield_now().await;
    }
    assert_eq!(t.ledger.read().alive(), 3, "a value, a child and what it captured");
    drop(results);
    assert_eq!(t.ledger.read().alive(), 2);
    gate.open();
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (2, 0));
}

/// Panics when it is dropped.
struct Bomb(#[expect(dead_code, reason = "held for its destructor")] Capture);

impl Drop for Bomb {
    fn drop(&mut self) {
        quiet_panic("in the value");
    }
}

/// As where a handle is dropped. Before that, all of them are dropped, however they came.
pub async fn a_panic_of_a_value_is_raised_where_they_are_dropped(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results().in_order();
    let value = || {
        let value = Bomb(t.ledger.capture());
        t.child(async move { Ok(value) })
    };
    let ended = async || {
        while group.len() > 1 {
            yield_now().await;
        }
    };
    results.spawn(t.child(pending::<Result<Bomb, _>>()));
    results.spawn(value());
    results.add(group.spawn(value()));
    ended().await;
    // They wait for their turn from now on, and the next one does not.
    assert!(poll_once(results.next()).await.is_none());
    results.spawn(value());
    ended().await;
    assert_eq!(panic_text(async { drop(results) }).await, "in the value");
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (3, 1));
    group.cancel();
    group.join().await.unwrap();
}

pub async fn so_it_is_whether_they_were_spawned_or_added(t: &Test) {
    for added in [false, true] {
        let group = TaskGroup::new(t.spawner());
        let (results, value) = (group.results(), Bomb(t.ledger.capture()));
        let child = t.child(async move { Ok(value) });
        if added {
            results.add(group.spawn(child));
        } else {
            results.spawn(child);
        }
        group.idle().await;
        assert_eq!(panic_text(async { drop(results) }).await, "in the value");
        group.join().await.unwrap();
    }
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (2, 0));
}

pub async fn and_with_whoever_waits_for_them_all(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let results = group.results();
    for _ in 0..2 {
        let value = Bomb(t.ledger.capture());
        results.spawn(t.child(async move { Ok(value) }));
    }
    group.idle().await;
    results.spawn(t.child(pending::<Result<Bomb, _>>()));
    let mut waiting = Box::pin(results.values());
    assert!(poll_once(&mut waiting).await.is_none());
    assert_eq!(panic_text(async { drop(waiting) }).await, "in the value");
    assert_eq!((t.ledger.read().completed, t.ledger.read().alive()), (2, 1));
    group.cancel();
    group.join().await.unwrap();
}

pub async fn a_value_that_comes_too_late_and_panics_is_the_childs_panic(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    let results = group.results();
    let (value, opened) = (Bomb(t.ledger.capture()), gate.clone());
    results.spawn(t.child(async move {
        opened.wait().await;
        Ok(value)
    }));
    drop(results);
    gate.open();
    assert_eq!(panic_text(group.join()).await, "in the value");
    assert_eq!(t.ledger.read().alive(), 0);
}

pub async fn a_child_is_cancelled_by_the_handle_it_was_spawned_with(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let mut results = group.results();
    let child = results.spawn(t.waiting(&there));
    there.take(1).await;
    child.cancel();
    assert!(results.next().await.unwrap().unwrap_err().is_cancelled());
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
}

pub async fn a_refused_child_leaves_no_result(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut results = group.results();
    group.close();
    let refused = results.spawn(t.stuck());
    assert_eq!((refused.id(), results.outstanding()), (None, 0));
    assert!(results.next().await.is_none());
    assert_eq!((t.ledger.read().polls, t.ledger.read().dropped), (0, 1));
    group.join().await.unwrap();
}

pub async fn a_cancelled_group_gives_a_result_for_each_child(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let mut results = group.results();
    (0..3).for_each(|_| drop(results.spawn(t.waiting(&there))));
    there.take(3).await;
    group.cancel();
    for _ in 0..3 {
        assert!(results.next().await.unwrap().unwrap_err().is_cancelled());
    }
    assert!(results.next().await.is_none());
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().dropped, 3);
}

pub async fn join_next_does_not_wait_in_an_open_group_where_nothing_is_outstanding(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (mut plain, mut ordered) = (group.results(), group.results().in_order());
    assert!(plain.join_next().await.is_none() && ordered.join_next().await.is_none(), "nothing was spawned");
    for batch in [10, 20] {
        for number in 0..3 {
            plain.spawn(t.child(async move { Ok(batch + number) }));
            ordered.spawn(t.child(async move { Ok(batch + number) }));
        }
        for turn in 0..3 {
            plain.join_next().await.unwrap().unwrap();
            assert_eq!(ordered.join_next().await.unwrap().unwrap(), batch + turn);
        }
        assert!(plain.join_next().await.is_none() && ordered.join_next().await.is_none());
    }
    let mut waits = pin!(plain.next());
    assert!(poll_once(&mut waits).await.is_none(), "more may come");
    group.join().await.unwrap();
}

pub async fn try_join_next_takes_what_is_there(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let gates = [Gate::new(), Gate::new()];
    let (mut plain, mut ordered) = (group.results(), group.results().in_order());
    assert!(plain.try_join_next().is_none() && ordered.try_join_next().is_none(), "nothing was spawned");
    for (number, gate) in gates.iter().enumerate() {
        for results in [&plain, &*ordered] {
            let gate = gate.clone();
            results.spawn(t.child(async move {
                gate.wait().await;
                Ok(number)
            }));
        }
    }
    assert!(plain.try_join_next().is_none() && ordered.try_join_next().is_none(), "all live");
    gates[1].open();
    while group.len() > 2 {
        t.step().await;
    }
    assert_eq!(plain.try_join_next().unwrap().unwrap(), 1);
    assert!(plain.try_join_next().is_none() && ordered.try_join_next().is_none(), "the first ones live");
    assert_eq!((plain.outstanding(), ordered.outstanding()), (1, 2));
    gates[0].open();
    group.idle().await;
    assert_eq!([0, 1].map(|_| ordered.try_join_next().unwrap().unwrap()), [0, 1]);
    assert_eq!(plain.join_next().await.unwrap().unwrap(), 0);
    assert!(plain.try_join_next().is_none() && ordered.try_join_next().is_none(), "all were taken");
    assert_eq!((plain.outstanding(), ordered.outstanding()), (0, 0));
    group.join().await.unwrap();
}

pub async fn what_is_over_says_so_to_select(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let mut handle = group.spawn(t.child(async {}));
    assert!(!handle.is_terminated());
    (&mut handle).await.unwrap();
    assert!(handle.is_terminated(), "it must not be awaited again");
    let mut cancelling = group.spawn(t.child(async {})).cancel_on_drop();
    assert!(!FusedFuture::is_terminated(&cancelling));
    (&mut cancelling).await.unwrap();
    assert!(FusedFuture::is_terminated(&cancelling), "nor this one");
    let mut value = group.spawn(t.child(async { Ok(7) })).value();
    assert!(!value.is_terminated());
    assert_eq!((&mut value).await, 7);
    assert!(value.is_terminated());
    let mut start = group.start(|ready: Ready<()>| t.child(async move { ready.set(()) }));
    assert!(!start.is_terminated());
    (&mut start).await.unwrap();
    assert!(start.is_terminated());
    let mut section = pin!(shield(async {}));
    assert!(!section.is_terminated());
    section.as_mut().await;
    assert!(section.is_terminated());
    let mut inside = pin!(scope(t.spawner(), async |_: Group<_>| Ok(())));
    assert!(!inside.is_terminated());
    inside.as_mut().await.unwrap();
    assert!(inside.is_terminated());
    let mut won = pin!(race(t.spawner(), async |racers: Racers<_, _>| {
        racers.finish_with(7);
        Ok(())
    }));
    assert!(!won.is_terminated());
    assert_eq!(won.as_mut().await.unwrap(), 7);
    assert!(won.is_terminated());
    let (mut plain, mut ordered) = (group.results(), group.results().in_order());
    plain.spawn(t.child(async { Ok(1) }));
    ordered.spawn(t.child(async { Ok(1) }));
    ordered.spawn(t.child(async { Ok(2) }));
    assert!(!plain.is_terminated() && !ordered.is_terminated());
    plain.next().await.unwrap().unwrap();
    ordered.next().await.unwrap().unwrap();
    assert!(!plain.is_terminated(), "more may come");
    group.close();
    assert!(plain.is_terminated() && !ordered.is_terminated(), "one is left there");
    ordered.next().await.unwrap().unwrap();
    assert!(ordered.is_terminated());
    let mut join = group.join();
    assert!(!join.is_terminated());
    (&mut join).await.unwrap();
    assert!(join.is_terminated());
    let mut shutdown = TaskGroup::new(cranked(t).1).shutdown(at(1));
    assert!(!shutdown.is_terminated());
    (&mut shutdown).await.unwrap();
    assert!(shutdown.is_terminated());
}
