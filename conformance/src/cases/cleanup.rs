//! Clean-ups, which run after a member has ended in any way.
//!
//! * `cleanup/body.rs`: clean-ups of bodies.
//! * `cleanup/late.rs`: clean-ups that take too long.
//! * `cleanup/over.rs`: clean-ups that are registered when the group is over or the member is gone.

use std::convert::Infallible;
use std::future::pending;

use futures_lite::future::{poll_once, yield_now};
use taskgroup::{AnySpawner, Group, GroupError, TaskGroup, shield};

use crate::cases::slow::Slow;
use crate::ledger::{Gate, Log, Tally};
use crate::spawners::Dropping;
use crate::test::{Test, errors, panic_text};

mod body;
mod late;
mod over;

pub use body::*;
pub use late::*;
pub use over::*;

/// How a child ends after it has registered its clean-ups.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Return,
    Error,
    Panic,
    Stuck,
}

/// Registers a clean-up that takes more than one poll and logs its begin and its end.
fn defer<S: taskgroup::Spawner>(group: &Group<S, &'static str>, log: &Log, line: &'static str) {
    let log = log.clone();
    group.defer(async move {
        log.write(format!("{line} begins"));
        yield_now().await;
        log.write(format!("{line} ends"));
    });
}

/// Launches a child that registers two clean-ups and then adds one to the returned tally.
fn launch(t: &Test, group: &Group<AnySpawner, &'static str>, end: End) -> Tally {
    let begun = Tally::new();
    let (own, log, begin) = (group.clone(), t.log.clone(), begun.clone());
    group.launch(t.child(async move {
        let _gone = log.on_drop("future gone");
        defer(&own, &log, "first");
        defer(&own, &log, "second");
        begin.add();
        match end {
            End::Return => Ok(()),
            End::Error => Err("child"),
            End::Panic => panic!("in the child"),
            End::Stuck => pending().await,
        }
    }));
    begun
}

/// Checks that both clean-ups ran after the child's future was gone, one after the other, the last registered one first.
#[track_caller]
fn all_ran(t: &Test) {
    let lines = ["future gone", "second begins", "second ends", "first begins", "first ends"];
    assert_eq!(t.log.lines(), lines);
}

pub async fn they_run_when_a_child_returns(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    launch(t, &group, End::Return);
    group.join().await.unwrap();
    all_ran(t);
}

pub async fn they_run_when_a_child_fails(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    launch(t, &group, End::Error);
    assert_eq!(errors(&group.join().await.unwrap_err()), ["child"]);
    all_ran(t);
}

pub async fn they_run_when_a_child_panics(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    launch(t, &group, End::Panic);
    assert_eq!(panic_text(group.join()).await, "in the child");
    all_ran(t);
}

pub async fn they_run_when_the_group_is_cancelled(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    launch(t, &group, End::Stuck).take(1).await;
    group.cancel();
    group.join().await.unwrap();
    all_ran(t);
}

pub async fn they_run_when_one_child_is_cancelled(t: &Test) {
    let group = TaskGroup::fallible::<&'static str>(t.spawner());
    let begun = Gate::new();
    let (own, log, open) = (group.group(), t.log.clone(), begun.clone());
    let child = group.spawn(t.child(async move {
        let _gone = log.on_drop("future gone");
        defer(&own, &log, "first");
        defer(&own, &log, "second");
        open.open();
        pending::<Result<(), _>>().await
    }));
    begun.wait().await;
    child.cancel();
    assert!(child.await.unwrap_err().is_cancelled());
    group.join().await.unwrap();
    all_ran(t);
}

pub async fn they_run_when_a_sibling_fails(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    launch(t, &group, End::Stuck).take(1).await;
    group.launch(t.child(async { Err::<(), _>("sibling") }));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["sibling"]);
    all_ran(t);
}

pub async fn they_run_when_the_owner_goes(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    launch(t, &group, End::Stuck).take(1).await;
    drop(group);
    while t.log.count("first ends") == 0 {
        yield_now().await;
    }
    all_ran(t);
}

pub async fn one_registered_under_a_shield_after_the_cancel_runs(t: &Test) {
    let (group, begun) = (TaskGroup::fallible::<&'static str>(t.spawner()), Gate::new());
    let (own, log, open) = (group.group(), t.log.clone(), begun.clone());
    group.launch(t.child(async move {
        let _gone = log.on_drop("future gone");
        shield(async {
            open.open();
            own.cancelled().await;
            defer(&own, &log, "late");
        })
        .await;
        pending::<()>().await;
    }));
    begun.wait().await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["future gone", "late begins", "late ends"]);
}

pub async fn one_registered_in_a_destructor_runs(t: &Test) {
    struct Defers<S: taskgroup::Spawner>(Group<S, &'static str>, Log);

    impl<S: taskgroup::Spawner> Drop for Defers<S> {
        fn drop(&mut self) {
            defer(&self.0, &self.1, "late");
        }
    }

    let (group, begun) = (TaskGroup::fallible(t.spawner()), Gate::new());
    let (defers, open) = (Defers(group.group(), t.log.clone()), begun.clone());
    group.launch(t.child(async move {
        let _defers = defers;
        open.open();
        pending::<()>().await;
    }));
    begun.wait().await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["late begins", "late ends"]);
}

/// Opens a group with a clean-up that waits for a gate. The child that registered the clean-up is gone.
async fn waiting(t: &Test) -> (TaskGroup<AnySpawner>, Slow) {
    let (group, slow) = (TaskGroup::new(t.spawner()), Slow::new(t));
    let (own, inside) = (group.group(), slow.clone());
    group.launch(t.child(async move {
        let cleanup = inside.clone();
        own.defer(inside.track(async move {
            cleanup.begun.add();
            cleanup.gate.wait().await;
            cleanup.log.write("clean-up");
        }));
    }));
    slow.begun.take(1).await;
    (group, slow)
}

pub async fn the_group_waits_for_it_and_does_not_count_it(t: &Test) {
    let (group, slow) = waiting(t).await;
    group.idle().await;
    let mut join = Box::pin(group.join());
    assert!(poll_once(join.as_mut()).await.is_none());
    slow.only(&[]).await;
    slow.gate.open();
    join.await.unwrap();
    assert_eq!(slow.log.lines(), ["clean-up"]);
}

pub async fn a_cancel_does_not_cut_one_that_runs(t: &Test) {
    let (group, slow) = waiting(t).await;
    group.cancel();
    slow.only(&[]).await;
    slow.gate.open();
    group.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["clean-up"]);
}

pub async fn its_error_is_suppressed_behind_what_went_before(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let own = group.group();
    group.launch(t.child(async move {
        own.defer(async { Err::<(), _>("clean-up") });
        Err::<(), _>("child")
    }));
    assert_eq!(errors(&group.join().await.unwrap_err()), ["child", "clean-up"]);
}

pub async fn its_error_is_primary_where_nothing_else_failed(t: &Test) {
    let (group, begun) = (TaskGroup::fallible(t.spawner()), Gate::new());
    let (own, open) = (group.group(), begun.clone());
    group.launch(t.child(async move {
        own.defer(async { Err::<(), _>("clean-up") });
        open.open();
        pending::<()>().await;
    }));
    begun.wait().await;
    group.cancel_with("enough");
    let error = group.join().await.unwrap_err();
    assert_eq!(errors(&error), ["clean-up"]);
    assert_eq!(error.reason().unwrap().to_string(), "cancelled: enough");
}

pub async fn its_panic_is_the_groups_and_the_next_one_runs(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let (own, log) = (group.group(), t.log.clone());
    group.launch(t.child(async move {
        defer(&own, &log, "first");
        own.defer(async { panic!("in the clean-up") });
    }));
    assert_eq!(panic_text(group.join()).await, "in the clean-up");
    assert_eq!(t.log.lines(), ["first begins", "first ends"]);
}

pub async fn one_that_its_runtime_drops_is_lost_and_the_next_one_runs(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let (own, log, lost) = (group.group(), t.log.clone(), t.child(async {}));
    group.launch(t.child(async move {
        defer(&own, &log, "first");
        own.on(Dropping).defer(lost);
        pending::<()>().await;
    }));
    assert!(group.join().await.unwrap_err().is_lost());
    assert_eq!(t.log.lines(), ["first begins", "first ends"]);
    assert_eq!(t.ledger.read().started, 1, "the child alone");
}

pub async fn one_registered_inside_for_a_group_around_runs_after_the_member_there(t: &Test) {
    let outer = TaskGroup::fallible(t.spawner());
    let (own, log, ledger) = (outer.group(), t.log.clone(), t.ledger.clone());
    outer.launch(t.child(async move {
        let _host = log.on_drop("host gone");
        let inner = TaskGroup::new(own.spawner().clone());
        let (around, inside) = (own.clone(), log.clone());
        inner.launch(ledger.track(async move {
            let _gone = inside.on_drop("child gone");
            defer(&around, &inside, "clean-up");
        }));
        inner.join().await.unwrap();
        yield_now().await;
    }));
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["child gone", "host gone", "clean-up begins", "clean-up ends"]);
}

pub async fn one_that_registers_another_is_followed_by_it(t: &Test) {
    let group = TaskGroup::fallible(t.spawner());
    let (own, log) = (group.group(), t.log.clone());
    group.launch(t.child(async move {
        let (again, inside) = (own.clone(), log.clone());
        own.defer(async move {
            defer(&again, &inside, "second");
            inside.write("first");
        });
    }));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["first", "second begins", "second ends"]);
}

pub async fn it_may_spawn_unless_the_group_is_cancelled(t: &Test) {
    for cancelled in [false, true] {
        let (group, spawned) = (TaskGroup::new(t.spawner()), t.child(async { Ok::<_, Infallible>(()) }));
        let (own, log) = (group.group(), t.log.clone());
        group.launch(t.child(async move {
            let again = own.clone();
            own.defer(async move {
                log.write(match again.try_spawn(spawned) {
                    Ok(child) => child.await.map_or("cut", |()| "taken"),
                    Err(refused) => {
                        if refused.is_cancelled() {
                            "cancelled"
                        } else {
                            "closed"
                        }
                    }
                });
            });
            if cancelled {
                own.cancel();
                pending::<()>().await;
            }
        }));
        group.join().await.unwrap();
    }
    assert_eq!(t.log.lines(), ["taken", "cancelled"]);
}

pub async fn it_may_open_a_group_of_its_own(t: &Test) {
    let (group, begun) = (TaskGroup::fallible::<&str>(t.spawner()), Gate::new());
    let (own, log, ledger, open) = (group.group(), t.log.clone(), t.ledger.clone(), begun.clone());
    group.launch(t.child(async move {
        let spawner = own.spawner().clone();
        own.defer(async move {
            let inner = TaskGroup::new(spawner);
            let inside = log.clone();
            inner.launch(ledger.track(async move {
                yield_now().await;
                inside.write("child of the clean-up");
            }));
            inner.join().await.map_err(|_: GroupError<Infallible>| "cut")?;
            log.write("clean-up");
            Ok(())
        });
        open.open();
        pending::<()>().await;
    }));
    begun.wait().await;
    group.cancel();
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["child of the clean-up", "clean-up"]);
}

pub async fn registering_one_outside_of_the_group_panics(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let text = panic_text(async { group.defer(async {}) }).await;
    assert_eq!(text, "a clean-up was registered outside of the group: it has no member to run after");
    group.join().await.unwrap();
}
