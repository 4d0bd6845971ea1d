//! Clean-ups of the body of a scope.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;

use futures_lite::future::{or, poll_once, yield_now};
use taskgroup::{AnySpawner, CancelReason, Group, TaskGroup, scope, shield};

use crate::ledger::{Gate, Log, Tally};
use crate::test::{Test, errors, panic_text};

const RAN: [&str; 2] = ["body gone", "clean-up"];

/// A clean-up that takes more than a poll.
async fn clean(log: Log) {
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

/// The host of the scope is not polled any more, so the scope cannot see to it.
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
        // Polled once, so that its shield has begun; the host then ends and leaves it behind.
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

/// Registers a clean-up when it is dropped, in whatever poll or destructor of a body that is.
struct Late {
    group: Option<Group<AnySpawner>>,
    begun: Gate,
    gate: Gate,
    log: Log,
}

impl Late {
    fn of(mut self, group: Group<AnySpawner>) -> Self {
        self.group = Some(group);
        self
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let (begun, gate, log) = (self.begun.clone(), self.gate.clone(), self.log.clone());
        self.group.take().expect("it is in a body").defer(async move {
            begun.open();
            gate.wait().await;
            clean(log).await;
        });
    }
}

/// The group around waits for the clean-up that is registered so in a group inside.
async fn waits_around<F>(t: &Test, host: impl FnOnce(Group<AnySpawner>, AnySpawner, Late) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (outer, begun, gate) = (TaskGroup::new(t.spawner()), Gate::new(), Gate::new());
    let late = Late { group: None, begun: begun.clone(), gate: gate.clone(), log: t.log.clone() };
    outer.launch(t.child(host(outer.group(), t.spawner(), late)));
    begun.wait().await;
    let mut join = pin!(outer.join());
    for _ in 0..20 {
        assert!(poll_once(join.as_mut()).await.is_none());
        yield_now().await;
    }
    gate.open();
    join.await.unwrap();
    assert_eq!(t.log.lines(), ["clean-up"]);
}

/// Nothing is left in its group when the cut comes, so that is over then.
pub async fn in_a_body_that_has_just_been_cut_it_is_waited_for_around(t: &Test) {
    waits_around(t, |outer, spawner, late| async move {
        let body = scope(spawner, |group| async move {
            outer.cancel();
            drop(late.of(group));
            pending::<Result<(), Infallible>>().await
        });
        drop(body.await);
    })
    .await;
}

pub async fn in_a_destructor_of_a_body_that_is_cut_it_is_waited_for_around(t: &Test) {
    waits_around(t, |outer, spawner, late| async move {
        let body = scope(spawner, |group| async move {
            let _late = late.of(group);
            outer.cancel();
            pending::<Result<(), Infallible>>().await
        });
        drop(body.await);
    })
    .await;
}

pub async fn in_a_destructor_of_a_body_in_a_body_it_is_waited_for_around(t: &Test) {
    waits_around(t, |outer, spawner, late| async move {
        let inside = spawner.clone();
        let body = scope(spawner, |_group: Group<_>| async move {
            let body = scope(inside, |group| async move {
                let _late = late.of(group);
                outer.cancel();
                pending::<Result<(), Infallible>>().await
            });
            drop(body.await);
            Ok(())
        });
        drop(body.await);
    })
    .await;
}

pub async fn in_a_destructor_of_a_scope_that_is_given_up_it_is_waited_for_around(t: &Test) {
    waits_around(t, |_, spawner, late| async move {
        let body = scope(spawner, |group| async move {
            let _late = late.of(group);
            pending::<Result<(), Infallible>>().await
        });
        or(async { drop(body.await) }, yield_now()).await;
    })
    .await;
}

/// Gives up a scope that its body has handed to the host. Of whichever group it is that has ended well, its link is there again.
async fn carried_out(t: &Test, of_inner: bool) {
    waits_around(t, move |_, spawner, late| async move {
        let inside = spawner.clone();
        let carried = scope(spawner, |around: Group<_>| async move {
            let inner = scope(inside, move |inner| async move {
                let _late = late.of(if of_inner { inner } else { around });
                pending::<Result<(), Infallible>>().await
            });
            let mut inner = Box::pin(async { drop(inner.await) });
            assert!(poll_once(inner.as_mut()).await.is_none());
            Ok::<_, Infallible>(inner)
        });
        drop(carried.await.unwrap());
    })
    .await;
}

pub async fn in_a_scope_that_was_carried_out_of_its_group_it_is_waited_for_around(t: &Test) {
    carried_out(t, true).await;
}

pub async fn in_a_scope_that_was_carried_out_it_is_waited_for_where_its_group_has_ended(t: &Test) {
    carried_out(t, false).await;
}
