//! When a deadline counts, and what outranks it.

use std::convert::Infallible;
use std::future::pending;

use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::runtime::{Timed, Timer};
use taskgroup::{AnyTimedSpawner, CancelReason, Group, TaskGroup, scope, shield};

use super::timed_out;
use crate::cases::background::spawning_late;
use crate::cases::crank::{Cranked, at, cranked};
use crate::cases::slow::Slow;
use crate::ledger::{Gate, Tally};
use crate::test::{Test, errors};

pub async fn it_fires_while_only_children_are_left(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let result = scope(spawner, async |group| {
        group.launch(t.waiting(&begun));
        Ok::<_, Infallible>(5)
    });
    let driver = async {
        begun.take(1).await;
        crank.to(1);
    };
    timed_out(zip(result.timeout(at(1)), driver).await.0);
}

pub async fn it_fires_in_a_free_standing_group_that_nobody_joins(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    crank.to(1);
    t.nothing_alive().await;
    assert_eq!(group.reason(), Some(CancelReason::Deadline));
    timed_out(group.join().await);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn when_everybody_has_ended_in_time_it_means_nothing(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
    group.spawn(t.child(async { Ok(()) })).await.unwrap();
    // The deadline passes, but no member is left that it could cut.
    crank.to(2);
    group.join().await.unwrap();
    assert_eq!(crank.sleeps(), 0);
}

/// Returns a group whose deadline has passed and has cut only a background child, so the group can still end well.
async fn passed(t: &Test) -> TaskGroup<Cranked> {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
    group.child().background().launch(t.waiting(&begun));
    begun.take(1).await;
    crank.to(1);
    group.cancelled().await;
    group
}

pub async fn whoever_comes_after_it_was_cut_short_as_well(t: &Test) {
    let spawned = passed(t).await;
    assert!(spawned.spawn(t.child(async { Ok(()) })).await.unwrap_err().is_cancelled());
    timed_out(spawned.join().await);
    let launched = passed(t).await;
    launched.launch(t.child(async {}));
    timed_out(launched.join().await);
    assert_eq!(t.ledger.read().started, 2, "those in the background");
}

pub async fn whoever_is_given_back_was_not(t: &Test) {
    let group = passed(t).await;
    let future = group.try_spawn(t.child(async { Ok(()) })).unwrap_err().into_future();
    group.join().await.unwrap();
    future.await.unwrap();
}

pub async fn nor_was_whoever_comes_to_the_background(t: &Test) {
    let group = passed(t).await;
    group.child().background().launch(t.child(async {}));
    group.join().await.unwrap();
}

pub async fn nor_was_whoever_comes_to_a_closed_group(t: &Test) {
    let group = passed(t).await;
    group.close();
    group.launch(t.child(async {}));
    group.join().await.unwrap();
}

pub async fn it_is_kept_where_the_type_of_the_spawner_is_forgotten(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::builder::<Infallible>(AnyTimedSpawner::new(spawner)).timeout(at(1)).open();
    group.launch(t.waiting(&begun));
    begun.take(1).await;
    crank.to(1);
    timed_out(group.join().await);
}

pub async fn when_only_clean_ups_are_left_it_means_nothing(t: &Test) {
    let (crank, spawner) = cranked(t);
    let slow = Slow::new(t);
    let result = scope(spawner, async |group| {
        let (wait, begun) = (slow.gate.clone(), slow.begun.clone());
        group.defer(t.child(async move {
            begun.add();
            wait.wait().await;
        }));
        Ok::<_, Infallible>(5)
    });
    let driver = async {
        slow.begun.take(1).await;
        crank.to(1);
        slow.pause().await;
        slow.gate.open();
    };
    assert_eq!(zip(result.timeout(at(1)), driver).await.0.unwrap(), 5);
}

pub async fn a_cancel_before_it_is_what_counts(t: &Test) {
    let (crank, spawner) = cranked(t);
    let cut = scope(spawner.clone(), |group| async move {
        group.cancel_with("early");
        pending::<Result<(), Infallible>>().await
    });
    let error = cut.timeout(at(1)).await.unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::Explicit("early".into())));

    let finished = scope(spawner, |group| async move {
        group.launch(t.stuck());
        group.cancel();
        Ok::<_, Infallible>(5)
    });
    assert_eq!(finished.timeout(at(1)).await.unwrap(), 5);
    assert_eq!(crank.sleeps(), 0);
}

/// The child that watches the deadline outlives an explicit cancel, but nothing waits for it.
pub async fn after_a_cancel_nobody_waits_for_it(t: &Test) {
    let (crank, spawner) = cranked(t);
    let outer = TaskGroup::new(t.spawner());
    let cancelled = Gate::new();
    for way in 0..3 {
        let begun = Tally::new();
        let (spawner, stuck, open) = (spawner.clone(), t.waiting(&begun), cancelled.clone());
        outer.launch(t.child(async move {
            let inner = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
            inner.launch(stuck);
            begun.take(1).await;
            inner.cancel();
            match way {
                0 => inner.join().await.unwrap(),
                1 => drop(inner),
                _ => {
                    open.open();
                    pending().await
                }
            }
        }));
        if way == 2 {
            cancelled.wait().await;
            outer.cancel();
        } else {
            outer.idle().await;
        }
    }
    outer.join().await.unwrap();
    assert_eq!((crank.sleeps(), t.ledger.read().alive()), (0, 0));
}

pub async fn a_failure_before_it_is_what_counts(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (slow, opened) = (Slow::new(t), async_channel::bounded(1));
    let result = scope(spawner, async |group| {
        opened.0.try_send(group.clone()).unwrap();
        group.launch(slow.child("child"));
        slow.begun.take(1).await;
        Err::<(), _>("body")
    });
    let driver = async {
        let group: Group<_, _> = opened.1.recv().await.unwrap();
        group.cancelled().await;
        crank.to(1);
        slow.pause().await;
        slow.gate.open();
    };
    let error = zip(result.timeout(at(1)), driver).await.0.unwrap_err();
    assert_eq!(errors(&error), ["body"]);
    assert_eq!(error.reason(), Some(&CancelReason::BodyFailed));
}

pub async fn a_childs_error_outranks_it_and_the_reason_is_still_readable(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Tally::new();
    let group = TaskGroup::builder(spawner).timeout(at(1)).open();
    group.launch(t.waiting(&begun));
    let (late, soft) = (begun.clone(), group.cancelled());
    group.launch(t.child(shield(async move {
        late.add();
        soft.await;
        Err::<(), _>("late")
    })));
    begun.take(2).await;
    crank.to(1);
    let error = group.join().await.unwrap_err();
    assert_eq!(errors(&error), ["late"]);
    assert_eq!(error.reason(), Some(&CancelReason::Deadline));
}

/// Runs a body in which `cut` sets a deadline and cancels the group. A shield in the body delays the end.
async fn outranked(t: &Test, cut: impl AsyncFnOnce(&Group<Cranked, Infallible>)) {
    let (crank, spawner) = cranked(t);
    let (gate, opened) = (Gate::new(), async_channel::bounded(1));
    let held = scope(spawner, async |group: Group<Cranked, Infallible>| {
        let cancelled = shield(async {
            cut(&group).await;
            opened.0.try_send(group.clone()).unwrap();
            gate.wait().await;
        });
        cancelled.await;
        pending::<Result<(), _>>().await
    });
    let driver = async {
        let group = opened.1.recv().await.unwrap();
        assert_eq!(group.reason(), Some(CancelReason::Explicit("".into())));
        crank.to(1);
        while group.reason() != Some(CancelReason::Deadline) {
            yield_now().await;
        }
        gate.open();
    };
    timed_out(zip(held, driver).await.0);
}

pub async fn set_later_it_outranks_an_explicit_cancel_that_the_body_holds_up(t: &Test) {
    outranked(t, async |group| {
        group.set_deadline(Some(at(1)));
        group.cancel();
    })
    .await;
}

pub async fn so_it_does_when_it_is_set_after_that_cancel(t: &Test) {
    outranked(t, async |group| {
        group.cancel();
        group.set_deadline(Some(at(1)));
    })
    .await;
}

/// Nothing else is left, so the background children have been told to end already.
pub async fn it_reaches_a_shielded_child_in_the_background(t: &Test) {
    let (crank, spawner) = cranked(t);
    let serve = |group: &Group<Cranked>| {
        let (own, log) = (group.clone(), t.log.clone());
        group.child().background().shielded().launch(t.child(async move {
            own.cancelled().await;
            log.write("cancelled");
        }));
    };
    let closed = async |group: &Group<Cranked>| {
        while !group.is_closed() {
            yield_now().await;
        }
    };
    let group = TaskGroup::builder(spawner.clone()).deadline(at(5)).open();
    serve(&group);
    let own = group.group();
    let driver = async {
        closed(&own).await;
        crank.to(5);
    };
    zip(group.join(), driver).await.0.unwrap();

    // A deadline that is set later.
    let group = TaskGroup::new(spawner.clone());
    serve(&group);
    let own = group.group();
    let driver = async {
        closed(&own).await;
        own.set_deadline(Some(at(7)));
        crank.to(7);
    };
    zip(group.join(), driver).await.0.unwrap();

    let (give, given) = async_channel::bounded(1);
    let result = scope(spawner, async |group| {
        serve(&group);
        give.try_send(group).unwrap();
        Ok::<_, Infallible>(())
    });
    let driver = async {
        closed(&given.recv().await.unwrap()).await;
        crank.to(10);
    };
    zip(result.deadline(at(10)), driver).await.0.unwrap();
    assert_eq!((t.log.count("cancelled"), crank.sleeps()), (3, 0));
}

pub async fn a_shielded_child_is_waited_for(t: &Test) {
    let (crank, spawner) = cranked(t);
    let slow = Slow::new(t);
    let group = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
    group.launch(slow.child("child"));
    slow.begun.take(1).await;
    crank.to(1);
    group.cancelled().await;
    slow.only(&[]).await;
    assert_eq!(group.len(), 1);
    slow.gate.open();
    timed_out(group.join().await);
    assert_eq!(slow.log.lines(), ["child"]);
}

pub async fn it_does_not_reach_a_group_opened_under_a_shield(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Gate::new();
    let outer = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
    let (own, open, log) = (outer.group(), begun.clone(), t.log.clone());
    outer.launch(t.child(async move {
        let inner = scope(own.spawner().clone(), |inner| async move {
            open.open();
            own.cancelled().await;
            yield_now().await;
            assert!(!inner.is_cancelled());
            Ok::<_, Infallible>("inner")
        });
        log.write(shield(inner).await.unwrap());
        yield_now().await;
        log.write("not past it");
    }));
    begun.wait().await;
    crank.to(1);
    timed_out(outer.join().await);
    assert_eq!(t.log.lines(), ["inner"]);
}

pub async fn a_deadline_set_under_a_shield_is_kept(t: &Test) {
    let (crank, spawner) = cranked(t);
    let begun = Gate::new();
    let outer = TaskGroup::new(spawner.clone());
    let (open, log) = (begun.clone(), t.log.clone());
    outer.launch(t.child(async move {
        let inner = scope(spawner, |_| async move {
            open.open();
            pending::<Result<(), Infallible>>().await
        });
        timed_out(shield(inner.timeout(at(1))).await);
        log.write("seen");
    }));
    begun.wait().await;
    outer.cancel();
    crank.to(1);
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["seen"]);
}

pub async fn a_group_inside_says_that_it_was_its_parent(t: &Test) {
    let (crank, spawner) = cranked(t);
    let (begun, opened) = (Tally::new(), async_channel::bounded(1));
    let outer = TaskGroup::builder::<Infallible>(spawner.clone()).timeout(at(1)).open();
    let (stuck, give) = (t.waiting(&begun), opened.0.clone());
    outer.launch(t.child(async move {
        let inner = TaskGroup::new(spawner);
        give.try_send(inner.group()).unwrap();
        inner.launch(stuck);
        let _ = inner.join().await;
    }));
    begun.take(1).await;
    crank.to(1);
    timed_out(outer.join().await);
    assert_eq!(opened.1.recv().await.unwrap().reason(), Some(CancelReason::Parent));
}

pub async fn the_earliest_one_around_is_the_one_that_is_told(t: &Test) {
    let (_, spawner) = cranked(t);
    let none = TaskGroup::new(spawner.clone());
    assert_eq!(none.deadline(), None);
    drop(none);
    for (outer, inner, told) in [(5, None, 5), (5, Some(9), 5), (9, Some(5), 5)] {
        let inside = scope(spawner.clone(), |group| async move {
            let opened = match inner {
                Some(inner) => {
                    TaskGroup::builder::<Infallible>(group.spawner().clone()).deadline(at(inner)).open()
                }
                None => TaskGroup::new(group.spawner().clone()),
            };
            let deadline = opened.deadline();
            opened.join().await.unwrap();
            Ok::<_, Infallible>(deadline)
        });
        assert_eq!(inside.deadline(at(outer)).await.unwrap(), Some(at(told)));
    }
}

pub async fn its_timer_is_dropped_however_the_group_ends(t: &Test) {
    let (crank, spawner) = cranked(t);
    for error in [None, Some("child")] {
        let group = TaskGroup::builder(spawner.clone()).timeout(at(1)).open();
        group.launch(t.child(async move { error.map_or(Ok(()), Err) }));
        assert_eq!(group.join().await.is_err(), error.is_some());
        assert_eq!(crank.sleeps(), 0);
    }
    let dropped = TaskGroup::builder::<Infallible>(spawner).timeout(at(1)).open();
    let begun = Tally::new();
    dropped.launch(t.waiting(&begun));
    begun.take(1).await;
    drop(dropped);
    t.nothing_alive().await;
    while crank.sleeps() > 0 {
        yield_now().await;
    }
}

pub async fn a_sleep_begins_when_it_is_asked_for(t: &Test) {
    let (crank, spawner) = cranked(t);
    crank.to(2);
    let mut sleep = spawner.timer().sleep(at(3));
    crank.to(4);
    assert!(poll_once(&mut sleep).await.is_none());
    crank.to(5);
    sleep.await;
}

/// The body opens a group with a shielded child, and returns. That child then spawns into the scope.
pub async fn whoever_keeps_a_deadline_does_not_close_the_group_to_a_group_in_the_body(t: &Test) {
    let (_, spawner) = cranked(t);
    let (left, gate) = (&Gate::new(), &Gate::new());
    let value = scope(spawner, |group| async move {
        group.set_deadline(Some(at(100)));
        let _inner = spawning_late(t, &group, gate).await;
        left.open();
        Ok::<_, Infallible>(())
    });
    let outside = async {
        left.wait().await;
        t.step().await;
        gate.open();
    };
    zip(value, outside).await.0.unwrap();
    assert_eq!(t.log.lines(), ["taken"]);
}
