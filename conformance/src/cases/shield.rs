//! Shields: a numbered scenario, and the corner cases that no scenario has.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_lite::future::{or, poll_once, yield_now, zip};
use taskgroup::{AnySpawner, Group, TaskGroup, is_cancelled, scope, shield};

use crate::ledger::{Gate, Log, Tally, Wakes};
use crate::test::{Test, leak};

/// Waits for the gate under a shield, and logs a line at the end of the shield.
async fn section(gate: Gate, begun: Tally, log: Log, line: &'static str) {
    shield(async move {
        begun.add();
        gate.wait().await;
        yield_now().await;
        log.write(line);
    })
    .await;
}

/// Cancels a child in the middle of a shielded section, lets the section end, and joins the group.
async fn cancelled_in_a_section<F>(t: &Test, child: impl FnOnce(Gate, Tally, Log) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let group = TaskGroup::new(t.spawner());
    let (gate, begun) = (Gate::new(), Tally::new());
    group.launch(t.child(child(gate.clone(), begun.clone(), t.log.clone())));
    begun.take(1).await;
    group.cancel();
    assert_eq!(group.len(), 1);
    gate.open();
    group.join().await.unwrap();
}

pub async fn o_87_a_cancel_inside_lets_the_section_end(t: &Test) {
    cancelled_in_a_section(t, |gate, begun, log| async move {
        section(gate, begun, log.clone(), "section").await;
        log.write("up to the next await");
        yield_now().await;
        log.write("not past it");
    })
    .await;
    assert_eq!(t.log.lines(), ["section", "up to the next await"]);
}

/// The closure that makes the body runs as the body.
pub async fn a_shield_that_begins_before_the_first_poll_of_a_body_ends_as_any_other(t: &Test) {
    let (gate, begun) = (Gate::new(), Tally::new());
    let result = scope(t.spawner(), |group: Group<_, Infallible>| {
        let mut section = Box::pin(section(gate.clone(), begun.clone(), t.log.clone(), "section"));
        let polled = section.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the shield has begun");
        let (gate, begun, log) = (gate.clone(), begun.clone(), t.log.clone());
        let (own, waits) = (group.clone(), Tally::new());
        let there = waits.clone();
        group.launch(t.child(async move {
            begun.take(1).await;
            waits.take(1).await;
            own.cancel();
            gate.open();
        }));
        async move {
            there.add();
            section.await;
            log.write("up to the next await");
            pending().await
        }
    });
    assert!(result.await.map(|(): ()| ()).unwrap_err().is_cancelled());
    assert_eq!(t.log.lines(), ["section", "up to the next await"]);
}

pub async fn o_87_sections_back_to_back_both_complete(t: &Test) {
    cancelled_in_a_section(t, |gate, begun, log| async move {
        section(gate.clone(), begun.clone(), log.clone(), "first").await;
        section(gate, begun, log.clone(), "second").await;
        yield_now().await;
        log.write("not past an await");
    })
    .await;
    assert_eq!(t.log.lines(), ["first", "second"]);
}

pub async fn a_shield_in_a_shield_holds_until_the_outer_one_ends(t: &Test) {
    cancelled_in_a_section(t, |gate, begun, log| {
        shield(async move {
            section(gate, begun, log.clone(), "inner").await;
            yield_now().await;
            log.write("outer");
        })
    })
    .await;
    assert_eq!(t.log.lines(), ["inner", "outer"]);
}

pub async fn a_shielded_child_is_woken_once_and_not_spun(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (gate, begun, log) = (Gate::new(), Tally::new(), t.log.clone());
    let (inside, began, polls) = (gate.clone(), begun.clone(), t.ledger.clone());
    group.launch(t.ledger.track(shield(async move { section(inside, began, log, "section").await })));
    begun.take(1).await;
    let before = polls.read().polls;
    for _ in 0..3 {
        group.cancel();
    }
    // Only a wake leads to a poll. There was one wake, for the cancel, and its poll causes no other.
    while polls.read().polls == before {
        yield_now().await;
    }
    for _ in 0..200 {
        yield_now().await;
    }
    assert!(t.restless() || polls.read().polls == before + 1);
    gate.open();
    group.join().await.unwrap();
}

pub async fn a_shielded_body_does_not_wake_itself(t: &Test) {
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(wakes.clone());
    let mut held = pin!(scope(t.spawner(), async |_: Group<AnySpawner>| {
        shield(pending::<()>()).await;
        Ok(())
    }));
    for _ in 0..3 {
        assert!(held.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(wakes.count(), 0);
}

pub async fn code_under_a_shield_can_see_the_cancel(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (inside, log, begun) = (group.group(), t.log.clone(), Gate::new());
    let open = begun.clone();
    group.launch(t.child(shield(async move {
        assert!(!inside.is_cancelled());
        open.open();
        inside.cancelled().await;
        assert!(inside.is_cancelled());
        log.write("saw it");
    })));
    begun.wait().await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["saw it"]);
}

/// Rounds under a shield, until the member is cancelled.
fn rounds(t: &Test, begun: &Tally) -> impl Future<Output = Result<(), Infallible>> + Send + use<> {
    let begun = begun.clone();
    t.child(shield(async move {
        begun.add();
        while !is_cancelled() {
            yield_now().await;
        }
        Ok(())
    }))
}

pub async fn code_under_a_shield_sees_however_it_was_cancelled(t: &Test) {
    let (group, begun) = (TaskGroup::new(t.spawner()), Tally::new());
    let alone = group.spawn(rounds(t, &begun));
    let keyed = group.keyed();
    let old = keyed.replace("key", rounds(t, &begun));
    begun.take(2).await;
    alone.cancel();
    alone.await.unwrap();
    let new = keyed.replace("key", async { Ok(()) });
    old.await.unwrap();
    new.await.unwrap();

    let body = scope(t.spawner(), |group: Group<_, Infallible>| async move {
        group.child().background().launch(rounds(t, &begun));
        begun.take(1).await;
        Ok(begun)
    });
    let begun = body.await.unwrap();
    let with_group = group.spawn(rounds(t, &begun));
    begun.take(1).await;
    group.cancel();
    with_group.await.unwrap();
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 4);
}

/// In the task of the member that was cancelled, and nowhere else.
pub async fn where_it_is_seen(t: &Test) {
    assert!(!is_cancelled(), "outside");
    let (group, begun, spawner, log) = (TaskGroup::new(t.spawner()), Gate::new(), t.spawner(), t.log.clone());
    let (own, open) = (group.group(), begun.clone());
    let cleanup = t.child(async move { log.write(format!("clean-up {}", is_cancelled())) });
    let (log, seen) = (t.log.clone(), t.child(std::future::ready(())));
    group.launch(t.child(async move {
        own.defer(cleanup);
        shield(async {
            assert!(!is_cancelled());
            open.open();
            own.cancelled().await;
            log.write(format!("shield {}", is_cancelled()));
            let inner = scope(spawner, |inner: Group<_, Infallible>| {
                let log = log.clone();
                async move {
                    log.write(format!("body {}", is_cancelled()));
                    let (own, child) = (inner.clone(), log.clone());
                    inner.launch(async move {
                        seen.await;
                        child.write(format!("child {}, asked {}", is_cancelled(), own.is_stopping()));
                    });
                    Ok(())
                }
            });
            inner.await.unwrap();
        })
        .await;
        log.write(format!("rest {}", is_cancelled()));
    }));
    begun.wait().await;
    group.cancel();
    group.join().await.unwrap();
    let lines = ["shield true", "body true", "child false, asked true", "rest true", "clean-up false"];
    assert_eq!(t.log.lines(), lines);
}

pub async fn a_shield_in_the_body_holds_the_scope(t: &Test) {
    let (gate, begun) = (Gate::new(), Tally::new());
    let result = scope(t.spawner(), |group| async move {
        let (open, began, canceller) = (gate.clone(), begun.clone(), group.clone());
        group.launch(t.child(shield(async move {
            began.take(1).await;
            canceller.cancel();
            open.open();
        })));
        section(gate, begun, t.log.clone(), "section").await;
        t.log.write("up to the next await");
        yield_now().await;
        t.log.write("not past it");
        Ok::<_, Infallible>(())
    });
    assert!(result.await.unwrap_err().is_cancelled());
    assert_eq!(t.log.lines(), ["section", "up to the next await"]);
}

pub async fn a_body_that_returns_in_the_poll_its_shield_ends_in_counts(t: &Test) {
    let (gate, begun) = (Gate::new(), Tally::new());
    let result = scope(t.spawner(), |group| async move {
        let (open, began, canceller) = (gate.clone(), begun.clone(), group.clone());
        group.launch(t.child(shield(async move {
            began.take(1).await;
            canceller.cancel();
            open.open();
        })));
        section(gate, begun, t.log.clone(), "section").await;
        Ok::<_, Infallible>(5)
    });
    assert_eq!(result.await.unwrap(), 5);
    assert_eq!(t.log.lines(), ["section"]);
}

/// The host is cut in the poll in which the body ends, so it never reads the outcome of the inner group.
pub async fn a_body_that_returns_in_the_poll_its_shield_ends_in_frees_a_host_that_is_cut(t: &Test) {
    let outer = TaskGroup::new(t.spawner());
    let (around, spawner) = (outer.group(), t.spawner());
    outer.launch(t.child(async move {
        let inner = scope(spawner, |inner| async move {
            shield(async { inner.cancel() }).await;
            around.cancel();
            Ok::<_, Infallible>(())
        });
        drop(inner.await);
        pending::<()>().await;
    }));
    outer.join().await.unwrap();
}

pub async fn a_shield_in_an_inner_body_holds_the_child_that_polls_it(t: &Test) {
    let outer = TaskGroup::new(t.spawner());
    let (gate, begun, log) = (Gate::new(), Tally::new(), t.log.clone());
    let (inside, began, spawner) = (gate.clone(), begun.clone(), t.spawner());
    outer.launch(t.child(async move {
        let inner = scope(spawner, |_| async {
            section(inside, began, log.clone(), "section").await;
            yield_now().await;
            log.write("not past an await");
            Ok::<_, Infallible>(())
        });
        // The poll in which the shield ends is a poll of the host too. It goes on to the host's next await.
        assert!(inner.await.unwrap_err().is_cancelled());
        log.write("up to the next await");
        yield_now().await;
        log.write("not past it");
    }));
    begun.take(1).await;
    outer.cancel();
    gate.open();
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["section", "up to the next await"]);
}

pub async fn a_shield_that_begins_after_the_cut_is_never_polled(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (own, log) = (group.group(), t.log.clone());
    group.launch(t.child(async move {
        own.cancel();
        log.write("before");
        shield(async { log.write("never") }).await;
        log.write("never");
    }));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["before"]);
}

pub async fn a_shield_that_is_dropped_half_way_lets_the_cancel_through(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (give_up, begun, log) = (Gate::new(), Gate::new(), t.log.clone());
    let (lost, open) = (give_up.clone(), begun.clone());
    group.launch(t.child(async move {
        let stuck = shield(async {
            open.open();
            std::future::pending::<()>().await;
        });
        or(stuck, lost.wait()).await;
        log.write("given up");
        yield_now().await;
        log.write("not past an await");
    }));
    begun.wait().await;
    group.cancel();
    assert_eq!(group.len(), 1, "it is still shielded");
    give_up.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["given up"]);
}

pub async fn a_cancel_of_one_shielded_child_waits_as_well(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (gate, begun, log) = (Gate::new(), Tally::new(), t.log.clone());
    let (inside, began) = (gate.clone(), begun.clone());
    let handle = group.spawn(t.child(async move {
        section(inside, began, log, "section").await;
        yield_now().await;
        Ok(1)
    }));
    begun.take(1).await;
    handle.cancel();
    gate.open();
    assert!(handle.await.unwrap_err().is_cancelled());
    assert_eq!(t.log.lines(), ["section"]);
    assert!(!group.is_cancelled());
    group.join().await.unwrap();
}

pub async fn a_group_opened_in_it_afterwards_is_asked_to_end(t: &Test) {
    let (group, gate, there, inside) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new(), Tally::new());
    let (opened, begun, inner_there) = (gate.clone(), there.clone(), inside.clone());
    let (spawner, log) = (t.spawner(), t.log.clone());
    let child = group.spawn(t.child(shield(async move {
        begun.add();
        opened.wait().await;
        let inner = TaskGroup::new(spawner);
        let asked = inner.stopping();
        inner_there.add();
        inner.launch(async move {
            asked.await;
            log.write("asked");
        });
        inner.join().await.unwrap();
    })));
    there.take(1).await;
    child.cancel();
    gate.open();
    inside.take(1).await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["asked"]);
}

pub async fn spawning_under_a_shield_does_not_shield_the_child(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (spawner, spawned, log) = (group.group(), Gate::new(), t.log.clone());
    let (gone, inner) = (t.log.on_drop("child gone"), t.ledger.clone());
    let open = spawned.clone();
    group.launch(t.child(shield(async move {
        spawner.launch(inner.track(async move {
            let _gone = gone;
            std::future::pending::<()>().await
        }));
        open.open();
        while log.count("child gone") == 0 {
            yield_now().await;
        }
        log.write("section");
    })));
    spawned.wait().await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["child gone", "section"]);
}

pub async fn a_leaked_shield_holds_its_member_only_until_that_ends(t: &Test) {
    async fn leak_one() {
        let mut leaked = Box::pin(shield(std::future::pending::<()>()));
        assert!(poll_once(leaked.as_mut()).await.is_none());
        leak(leaked);
    }

    let (begun, gate) = (Gate::new(), Gate::new());
    let value = scope(t.spawner(), |group| async move {
        let (open, wait) = (begun.clone(), gate.clone());
        let child = group.spawn(t.child(async move {
            leak_one().await;
            open.open();
            wait.wait().await;
            Ok(())
        }));
        leak_one().await;
        begun.wait().await;
        child.cancel();
        group.cancel();
        gate.open();
        child.await.unwrap();
        Ok::<_, Infallible>(7)
    });
    assert_eq!(value.await.unwrap(), 7);
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn a_shield_that_outlives_its_child_is_not_that_of_the_next(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (give, moved) = async_channel::bounded(1);
    group.launch(t.child(async move {
        let mut shielded = Box::pin(shield(pending::<()>()));
        assert!(poll_once(&mut shielded).await.is_none());
        give.send(shielded).await.unwrap();
    }));
    group.idle().await;
    // The second child gets the slot that the first child had.
    let (gate, begun) = (Gate::new(), Tally::new());
    group.launch(t.child(section(gate.clone(), begun.clone(), t.log.clone(), "section")));
    begun.take(1).await;
    drop(moved.recv().await.unwrap());
    group.cancel();
    gate.open();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["section"]);
}

/// Its member is not being polled then, so no end of a poll comes that could cut it.
pub async fn a_shield_that_a_sibling_drops_lets_the_cancel_through(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let ((give, moved), told) = (async_channel::bounded(1), Tally::new());
    let tell = told.clone();
    let handle = group.spawn(t.child(async move {
        let mut shielded = Box::pin(shield(pending::<()>()));
        assert!(poll_once(&mut shielded).await.is_none());
        give.send(shielded).await.unwrap();
        poll_fn(|_| if is_cancelled() { Poll::Ready(()) } else { Poll::Pending }).await;
        tell.add();
        pending::<Result<(), _>>().await
    }));
    let shielded = moved.recv().await.unwrap();
    handle.cancel();
    told.take(1).await;
    assert!(!handle.is_finished(), "it is still shielded");
    group.launch(t.child(async move { drop(shielded) }));
    assert!(handle.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
}

/// Whoever polls the scope is woken, and drops the body.
pub async fn a_shield_of_the_body_that_is_dropped_elsewhere_lets_the_cancel_through(t: &Test) {
    let (give, moved) = async_channel::bounded(1);
    let mut ended = pin!(scope(t.spawner(), |group: Group<_, Infallible>| async move {
        let mut shielded = Box::pin(shield(pending::<()>()));
        assert!(poll_once(&mut shielded).await.is_none());
        give.send((group, shielded)).await.unwrap();
        pending::<Result<(), _>>().await
    }));
    assert!(poll_once(ended.as_mut()).await.is_none());
    let (group, shielded) = moved.recv().await.unwrap();
    group.cancel();
    drop(group);
    assert!(poll_once(ended.as_mut()).await.is_none(), "it is still shielded");
    // The cancel has woken whoever polls the scope, which is this task.
    yield_now().await;
    let (ended, ()) = zip(ended, async { drop(shielded) }).await;
    assert!(ended.unwrap_err().is_cancelled());
}

pub async fn a_shield_says_whether_it_is_held(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.launch(t.child(async {
        let mut shielded = Box::pin(shield(yield_now()));
        assert_eq!(format!("{shielded:?}"), "Shield { held: false, .. }");
        assert!(poll_once(&mut shielded).await.is_none());
        assert_eq!(format!("{shielded:?}"), "Shield { held: true, .. }");
        shielded.as_mut().await;
        assert_eq!(format!("{shielded:?}"), "Shield { held: false, .. }");
    }));
    group.join().await.unwrap();
}

pub async fn outside_of_any_group_a_shield_only_runs_its_future(t: &Test) {
    let mut shielded = pin!(shield(t.child(async {
        yield_now().await;
        3
    })));
    let first = poll_fn(|cx| Poll::Ready(shielded.as_mut().poll(cx).is_pending()));
    assert!(first.await);
    assert_eq!(shielded.await, 3);
}

pub async fn a_group_opened_under_an_earlier_shield_is_reached_under_a_later_one(t: &Test) {
    let (outer, begun) = (TaskGroup::new(t.spawner()), Gate::new());
    let (open, spawner, ledger) = (begun.clone(), t.spawner(), t.ledger.clone());
    outer.launch(t.child(async move {
        let inner = shield(async { TaskGroup::new(spawner) }).await;
        inner.launch(ledger.track(std::future::pending::<()>()));
        let ended = shield(async {
            open.open();
            inner.join().await
        });
        assert!(ended.await.unwrap_err().is_cancelled());
    }));
    begun.wait().await;
    outer.cancel();
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().dropped, 2);
}

pub async fn a_child_that_is_shielded_from_the_start_runs_to_its_end(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let (gate, log) = (Gate::new(), t.log.clone());
    let opened = gate.clone();
    let child = group.child().shielded().spawn(t.child(async move {
        opened.wait().await;
        yield_now().await;
        log.write("done");
        Ok(7)
    }));
    // Perhaps before its first poll.
    child.cancel();
    group.cancel();
    assert_eq!(group.len(), 1);
    let mut join = group.join();
    t.step().await;
    assert!(poll_once(&mut join).await.is_none(), "nobody drops it");
    gate.open();
    assert_eq!(child.await.unwrap(), 7);
    join.await.unwrap();
    assert_eq!((t.log.lines(), t.ledger.read().completed), (vec!["done".into()], 1));
}

pub async fn under_a_limit_it_needs_no_place(t: &Test) {
    let one = std::num::NonZero::new(1).unwrap();
    let group = TaskGroup::builder::<Infallible>(t.spawner()).limit(one).open();
    let there = Tally::new();
    group.launch(t.waiting(&there));
    there.take(1).await;
    assert_eq!(group.child().shielded().spawn(t.child(async { Ok(1) })).await.unwrap(), 1);
    assert_eq!(group.child().shielded().try_spawn(t.child(async { Ok(2) })).unwrap().await.unwrap(), 2);
    assert_eq!(group.child().shielded().spawn_when_free(t.child(async { Ok(3) })).await.await.unwrap(), 3);
    let queued = group.spawn(t.child(async {}));
    group.cancel();
    assert!(queued.await.is_err());
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 3);
}

pub async fn once_the_group_is_cancelled_it_is_refused(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.cancel();
    assert!(group.child().shielded().spawn(t.stuck()).await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    assert_eq!(t.ledger.read().started, 0);
}

pub async fn a_group_inside_it_is_only_asked_to_end(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let (own, begun, log) = (group.group(), there.clone(), t.log.clone());
    group.child().shielded().launch(t.child(async move {
        let inner = TaskGroup::new(own.spawner().clone());
        let stopping = inner.stopping();
        inner.launch(async move {
            begun.add();
            stopping.await;
            yield_now().await;
            log.write("asked");
        });
        inner.join().await.unwrap();
    }));
    there.take(1).await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["asked"]);
}
