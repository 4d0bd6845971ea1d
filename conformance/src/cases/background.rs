//! Background children, which are cancelled when all other children have ended.

use std::convert::Infallible;
use std::future::pending;
use std::sync::OnceLock;

use futures_lite::future::{poll_once, yield_now, zip};
use taskgroup::group::MemberKind;
use taskgroup::{Group, Spawner, TaskGroup, scope, shield};

use crate::ledger::{Entry, Gate, Tally};
use crate::test::{Test, errors, panic_text, quiet_panic};

pub async fn o_71_leaving_with_children_alive(t: &Test) {
    let (there, left, gate) = (&Tally::new(), &Gate::new(), &Gate::new());
    let value = scope(t.spawner(), |group| async move {
        let (gone, begun) = (t.log.on_drop("background gone"), there.clone());
        group.child().background().launch(t.child(async move {
            let _gone = gone;
            begun.add();
            pending::<()>().await
        }));
        let (gone, opened) = (t.log.on_drop("ordinary gone"), gate.clone());
        group.launch(t.child(async move {
            let _gone = gone;
            opened.wait().await;
        }));
        there.take(1).await;
        left.open();
        Ok::<_, Infallible>(7)
    });
    let outside = async {
        left.wait().await;
        t.step().await;
        assert_eq!(t.log.lines(), [""; 0], "the body is done, and another child lives");
        gate.open();
    };
    assert_eq!(zip(value, outside).await.0.unwrap(), 7, "and its cancel is no error");
    assert_eq!(t.log.lines(), ["ordinary gone", "background gone"]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}

pub async fn they_end_with_the_others_of_a_free_standing_group(t: &Test) {
    let (group, gate, there) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let handle = group.child().background().spawn(t.waiting(&there));
    let opened = gate.clone();
    group.launch(t.child(async move { opened.wait().await }));
    there.take(1).await;
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_none());
    t.step().await;
    assert!(!handle.is_finished(), "another lives");
    gate.open();
    join.await.unwrap();
    assert!(handle.await.unwrap_err().is_cancelled());
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}

pub async fn alone_they_end_at_once(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    (0..3).for_each(|_| group.child().background().launch(t.stuck()));
    group.join().await.unwrap();
    assert_eq!((t.ledger.read().made, t.ledger.read().dropped), (3, 3));
}

pub async fn they_are_neither_counted_nor_waited_for_by_idle(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    group.child().background().launch(t.waiting(&there));
    there.take(1).await;
    assert_eq!((group.len(), group.is_empty()), (0, true));
    group.idle().await;
    assert_eq!(t.ledger.read().alive(), 1);
    group.launch(t.child(async {}));
    group.join().await.unwrap();
}

pub async fn a_failure_of_one_is_a_failure_of_the_group(t: &Test) {
    let (group, there) = (TaskGroup::fallible(t.spawner()), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    group.child().background().launch(t.child(async { Err::<(), _>("broken") }));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["broken"]);
    assert_eq!((t.ledger.read().completed, t.ledger.read().dropped), (1, 2));
}

pub async fn a_panic_of_one_is_resumed(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    group.child().background().launch(t.child(async { quiet_panic("boom") as () }));
    assert_eq!(panic_text(group.join()).await, "boom");
}

pub async fn one_that_ends_by_itself_leaves_its_value(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    group.launch(t.waiting(&there));
    there.take(1).await;
    assert_eq!(group.child().background().spawn(t.child(async { Ok(7) })).await.unwrap(), 7);
    assert_eq!(group.len(), 1, "the others go on");
    group.cancel();
    group.join().await.unwrap();
}

pub async fn a_shielded_one_holds_the_group(t: &Test) {
    let (group, gate, there) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let (opened, begun, log) = (gate.clone(), there.clone(), t.log.clone());
    group.child().background().launch(t.child(shield(async move {
        begun.add();
        opened.wait().await;
        log.write("section done");
    })));
    there.take(1).await;
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_none());
    gate.open();
    join.await.unwrap();
    assert_eq!(t.log.lines(), ["section done"]);
}

/// The service waits for the consumer to go, who waits until there can be no more results.
pub async fn whoever_takes_results_learns_that_only_a_shielded_one_is_left(t: &Test) {
    let (outside, group) = (TaskGroup::new(t.spawner()), TaskGroup::new(t.spawner()));
    let (log, lines) = async_channel::unbounded();
    group.child().background().shielded().launch(t.child(async move { while lines.recv().await.is_ok() {} }));
    let mut results = group.results();
    results.spawn(t.child(async { Ok(1) }));
    outside.launch(t.child(async move {
        while let Some(result) = results.next().await {
            log.send(result.unwrap()).await.unwrap();
        }
    }));
    group.join().await.unwrap();
    outside.join().await.unwrap();
}

pub async fn a_failure_of_one_that_is_being_ended_is_a_failure(t: &Test) {
    let (group, there) = (TaskGroup::fallible(t.spawner()), Tally::new());
    let (own, begun) = (group.group(), there.clone());
    group.child().background().launch(t.child(shield(async move {
        begun.add();
        while !own.is_closed() {
            yield_now().await;
        }
        Err::<(), _>("clean-up")
    })));
    there.take(1).await;
    assert_eq!(errors(&group.join().await.unwrap_err()), ["clean-up"]);
}

pub async fn once_they_are_being_ended_nothing_starts(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let (own, begun, ledger, log) = (group.group(), there.clone(), t.ledger.clone(), t.log.clone());
    group.child().background().launch(t.child(shield(async move {
        begun.add();
        while !own.is_closed() {
            yield_now().await;
        }
        assert!(own.try_spawn(ledger.track(async {})).unwrap_err().is_closed());
        let late = own.child().background().try_spawn(ledger.track(async {}));
        assert!(late.unwrap_err().is_closed());
        log.write("refused");
    })));
    there.take(1).await;
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["refused"]);
    let ended = t.ledger.read();
    assert_eq!((ended.made, ended.started, ended.dropped), (3, 1, 3));
}

pub async fn a_closed_group_takes_none(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    group.close();
    assert!(group.child().background().spawn(t.stuck()).await.unwrap_err().is_cancelled());
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 0, started: 0, completed: 0, dropped: 1 });
    group.join().await.unwrap();
}

pub async fn a_child_that_one_of_them_spawns_is_waited_for(t: &Test) {
    let (group, gate, there) = (TaskGroup::new(t.spawner()), Gate::new(), Tally::new());
    let (own, inside, opened, log) = (group.group(), t.ledger.clone(), gate.clone(), t.log.clone());
    let (gone, begun) = (t.log.on_drop("background gone"), there.clone());
    group.child().background().launch(t.child(async move {
        let _gone = gone;
        own.launch(inside.track(async move {
            opened.wait().await;
            log.write("ordinary done");
        }));
        begun.add();
        pending::<()>().await
    }));
    there.take(1).await;
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_none());
    gate.open();
    join.await.unwrap();
    assert_eq!(t.log.lines(), ["ordinary done", "background gone"]);
}

/// A background child that has ended is not counted any more. So the join does not close the group to a clean-up.
pub async fn one_that_has_ended_by_itself_does_not_keep_a_clean_up_from_spawning(t: &Test) {
    let (group, gate) = (TaskGroup::new(t.spawner()), Gate::new());
    group.child().background().launch(t.child(async {}));
    while group.snapshot().members().any(|member| member.kind() == MemberKind::Background) {
        yield_now().await;
    }
    let (member, opened, log) = (group.group(), gate.clone(), t.log.clone());
    group.launch(t.child(async move {
        let late = member.clone();
        member.defer(async move {
            opened.wait().await;
            log.write(if late.try_spawn(async {}).is_ok() { "taken" } else { "refused" });
        });
    }));
    while !group.is_empty() {
        yield_now().await;
    }
    let mut join = group.join();
    assert!(poll_once(&mut join).await.is_none(), "the clean-up goes on");
    gate.open();
    join.await.unwrap();
    assert_eq!(t.log.lines(), ["taken"]);
}

pub async fn they_stay_for_the_clean_ups_of_the_others(t: &Test) {
    let (there, gate) = (&Tally::new(), Gate::new());
    scope(t.spawner(), |group| async move {
        let (gone, begun) = (t.log.on_drop("background gone"), there.clone());
        group.child().background().launch(t.child(async move {
            let _gone = gone;
            begun.add();
            pending::<()>().await
        }));
        there.take(1).await;
        let (member, opened, log) = (group.clone(), gate.clone(), t.log.clone());
        group.launch(t.child(async move {
            let inner = member.clone();
            member.defer(async move {
                opened.wait().await;
                log.write("clean-up");
                // A clean-up of a clean-up of an ordinary child.
                inner.defer(async move {
                    yield_now().await;
                    log.write("second clean-up");
                });
            });
        }));
        let log = t.log.clone();
        group.defer(async move {
            yield_now().await;
            log.write("clean-up of the body");
            gate.open();
        });
        Ok::<_, Infallible>(())
    })
    .await
    .unwrap();
    assert_eq!(t.log.lines(), ["clean-up of the body", "clean-up", "second clean-up", "background gone"]);
}

pub async fn their_own_clean_ups_do_not_keep_them(t: &Test) {
    let (group, there) = (TaskGroup::new(t.spawner()), Tally::new());
    let (own, begun, log) = (group.group(), there.clone(), t.log.clone());
    group.child().background().launch(t.child(async move {
        let inner = own.clone();
        own.defer(async move {
            inner.defer(async move {
                yield_now().await;
                log.write("second clean-up");
            });
        });
        begun.add();
        pending::<()>().await
    }));
    there.take(1).await;
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["second clean-up"]);
}

/// Opens a group with a shielded child, which spawns into the group around when the gate opens.
pub async fn spawning_late<S: Spawner>(t: &Test, group: &Group<S>, gate: &Gate) -> TaskGroup<S> {
    let (inner, there) = (TaskGroup::new(group.spawner().clone()), Tally::new());
    let (late, begun, open, log) = (group.clone(), there.clone(), gate.clone(), t.log.clone());
    inner.launch(t.child(shield(async move {
        begun.add();
        open.wait().await;
        log.write(if late.try_spawn(async {}).is_ok() { "taken" } else { "refused" });
    })));
    there.take(1).await;
    inner
}

/// The body opens a group with a shielded child, and returns. That child then spawns into the scope.
pub async fn only_a_living_one_keeps_a_group_in_the_body_from_spawning(t: &Test) {
    for lives in [true, false] {
        let (left, gate, opened) = (&Gate::new(), &Gate::new(), &OnceLock::new());
        let value = scope(t.spawner(), |group| async move {
            let ends = Gate::new();
            let end = ends.clone();
            group.child().background().launch(t.child(async move { end.wait().await }));
            if !lives {
                ends.open();
                while group.snapshot().members().any(|member| member.kind() == MemberKind::Background) {
                    yield_now().await;
                }
            }
            let _inner = spawning_late(t, &group, gate).await;
            // The background child stays for this one, and no longer.
            group.defer(yield_now());
            opened.set(group).ok();
            left.open();
            Ok::<_, Infallible>(())
        });
        let outside = async {
            left.wait().await;
            t.step().await;
            while lives && !opened.get().is_some_and(Group::is_closed) {
                yield_now().await;
            }
            gate.open();
        };
        zip(value, outside).await.0.unwrap();
    }
    assert_eq!(t.log.lines(), ["refused", "taken"]);
}
