//! Clean-ups of the body of a scope.

use std::convert::Infallible;
use std::future::pending;

use futures_lite::future::{or, yield_now};
use taskgroup::{CancelReason, TaskGroup, scope, shield};

use crate::ledger::{Gate, Log, Tally};
use crate::test::{Test, errors, panic_text};

const RAN: [&str; 2] = ["body gone", "clean-up"];

/// A clean-up that takes more than one poll.
pub(super) async fn clean(log: Log) {
    yield_now().await;
    log.write("clean-up");
}

pub async fn in_a_body_that_returns_it_runs_and_the_scope_waits(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        group.defer(clean(t.log.clone()));
        yield_now().await;
        Ok::<_, Infallible>(5)
    });
    assert_eq!(value.await.unwrap(), 5);
    assert_eq!(t.log.lines(), RAN);
}

pub async fn in_a_body_that_fails_it_runs(t: &Test) {
    let result = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        group.defer(clean(t.log.clone()));
        Err::<(), _>("body")
    });
    assert_eq!(errors(&result.await.unwrap_err()), ["body"]);
    assert_eq!(t.log.lines(), RAN);
}

pub async fn in_a_body_that_panics_it_runs(t: &Test) {
    let result = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        group.defer(clean(t.log.clone()));
        if group.is_empty() {
            panic!("in the body");
        }
        Ok::<_, Infallible>(())
    });
    assert_eq!(panic_text(result).await, "in the body");
    assert_eq!(t.log.lines(), RAN);
}

pub async fn in_a_body_that_is_cut_it_runs(t: &Test) {
    let result = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        group.defer(clean(t.log.clone()));
        group.launch(t.child(async { Err::<(), _>("child") }));
        pending::<Result<(), _>>().await
    });
    assert_eq!(errors(&result.await.unwrap_err()), ["child"]);
    let mut lines = t.log.lines();
    lines.sort_unstable();
    assert_eq!(lines, RAN);
}

pub async fn its_error_outranks_the_value_of_the_body(t: &Test) {
    let result = scope(t.spawner(), |group| async move {
        group.defer(async { Err::<(), _>("clean-up") });
        Ok(5)
    });
    let error = result.await.unwrap_err();
    assert_eq!(errors(&error), ["clean-up"]);
    assert!(matches!(error.reason(), Some(CancelReason::Failed(origin)) if origin.child() == Some(1)));
}

/// The host of the scope is not polled any more, so the scope itself cannot run the clean-up.
pub async fn in_a_body_whose_host_is_cut_it_runs(t: &Test) {
    let (outer, begun) = (TaskGroup::new(t.spawner()), Gate::new());
    let (spawner, open, log) = (t.spawner(), begun.clone(), t.log.clone());
    outer.launch(t.child(async move {
        let _host = log.on_drop("host gone");
        let inside = log.clone();
        let body = scope(spawner, |group| async move {
            group.defer(clean(inside));
            open.open();
            pending::<Result<(), Infallible>>().await
        });
        drop(body.await);
        log.write("the host goes on");
    }));
    begun.wait().await;
    outer.cancel();
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["clean-up", "host gone"]);
}

pub async fn in_a_body_that_ended_before_its_host_was_cut_it_runs(t: &Test) {
    let (outer, begun, gate) = (TaskGroup::new(t.spawner()), Gate::new(), Gate::new());
    let (spawner, open, wait, log) = (t.spawner(), begun.clone(), gate.clone(), t.log.clone());
    outer.launch(t.child(async move {
        let _host = log.on_drop("host gone");
        let inside = log.clone();
        let body = scope(spawner, |group| async move {
            group.defer(async move {
                open.open();
                wait.wait().await;
                clean(inside).await;
            });
            Ok::<_, Infallible>(())
        });
        drop(body.await);
        log.write("the host goes on");
    }));
    begun.wait().await;
    outer.cancel();
    assert_eq!(outer.len(), 1);
    gate.open();
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["clean-up", "host gone"]);
}

pub async fn in_a_body_that_is_cut_after_a_shield_it_runs(t: &Test) {
    let (outer, begun) = (TaskGroup::new(t.spawner()), Gate::new());
    let (spawner, open, log, own) = (t.spawner(), begun.clone(), t.log.clone(), outer.group());
    outer.launch(t.child(async move {
        let inside = log.clone();
        let body = scope(spawner, |group| async move {
            shield(async {
                open.open();
                own.cancelled().await;
                group.defer(clean(inside));
            })
            .await;
            pending::<Result<(), Infallible>>().await
        });
        drop(body.await);
        yield_now().await;
        log.write("not past an await");
    }));
    begun.wait().await;
    outer.cancel();
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["clean-up"]);
}

pub async fn in_a_scope_that_is_given_up_it_runs_and_the_group_around_waits(t: &Test) {
    let outer = TaskGroup::new(t.spawner());
    let (spawner, gate, log, begun) = (t.spawner(), Gate::new(), t.log.clone(), Gate::new());
    let (wait, open) = (gate.clone(), begun.clone());
    outer.launch(t.child(async move {
        let inside = log.clone();
        let body = scope(spawner, |group| async move {
            group.defer(async move {
                wait.wait().await;
                clean(inside).await;
            });
            pending::<Result<(), Infallible>>().await
        });
        or(async { drop(body.await) }, yield_now()).await;
        log.write("the host goes on");
        open.open();
    }));
    begun.wait().await;
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!(outer.len(), 1);
    gate.open();
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["the host goes on", "clean-up"]);
}

pub async fn one_that_is_registered_when_its_member_is_gone_begins_at_once(t: &Test) {
    let outer = TaskGroup::new(t.spawner());
    let (gate, begun, gone) = (Gate::new(), Tally::new(), Gate::new());
    let (own, spawner, ledger, log) = (outer.group(), t.spawner(), t.ledger.clone(), t.log.clone());
    let (wait, there, host_gone) = (gate.clone(), begun.clone(), gone.clone());
    outer.launch(t.child(async move {
        let _gone = OpenOnDrop(host_gone);
        let inner = TaskGroup::new(spawner);
        let mine = there.clone();
        inner.launch(ledger.clone().track(shield(async move {
            mine.add();
            wait.wait().await;
            own.defer(ledger.track(async move { log.write("clean-up") }));
        })));
        // The child inside is polled once, so that its shield has begun. Then the host ends and leaves the child behind.
        while there.is_empty() {
            yield_now().await;
        }
    }));
    gone.wait().await;
    begun.take(1).await;
    assert_eq!(outer.len(), 1, "the host is counted for its group");
    gate.open();
    outer.join().await.unwrap();
    assert_eq!(t.log.lines(), ["clean-up"]);
}

/// Opens a gate when it is dropped.
struct OpenOnDrop(Gate);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}
