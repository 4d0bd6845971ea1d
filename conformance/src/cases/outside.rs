//! D. Cancellation from outside.

use std::convert::Infallible;
use std::future::{Future, pending};

use futures_lite::future::yield_now;
use taskgroup::error::Origin;
use taskgroup::{CancelReason, Failure, Group, GroupError, Spawner, TaskGroup, scope, shield};

use crate::cases::slow::Slow;
use crate::ledger::Gate;
use crate::test::Test;

/// Returns a child that opens a scope with slow children, and logs when the child and the scope's body are gone.
fn host(
    t: &Test,
    slow: &Slow,
    children: usize,
    rest: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let (spawner, slow) = (t.spawner(), slow.clone());
    t.child(async move {
        let _host = slow.log.on_drop("host");
        let inner = slow.clone();
        let ended = scope(spawner, |group| {
            inner.clone().track(async move {
                let _body = inner.log.on_drop("body");
                (0..children).for_each(|_| group.launch(inner.child("child")));
                inner.begun.add();
                rest.await;
                Ok::<_, Infallible>(())
            })
        });
        drop(ended.await);
        slow.log.write("the host goes on");
        yield_now().await;
    })
}

pub async fn o_32_while_waiting_at_the_exit(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    outer.launch(host(t, &slow, 5, async {}));
    slow.begun.take(6).await;
    slow.seen("body", 1).await;
    outer.cancel();
    slow.only(&["body"]).await;
    assert_eq!(outer.len(), 1);
    slow.gate.open();
    outer.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["body", "child", "child", "child", "child", "child", "host"]);
    assert_eq!(t.ledger.read().completed, 1, "the body");
}

pub async fn o_33_while_the_body_is_still_working(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    outer.launch(host(t, &slow, 5, pending()));
    slow.begun.take(6).await;
    outer.cancel();
    slow.pause().await;
    assert_eq!((slow.log.count("child"), slow.log.count("host"), outer.len()), (0, 0, 1));
    slow.gate.open();
    outer.join().await.unwrap();
    let mut lines = slow.log.lines();
    if !t.one_thread() {
        // The body is a member like the children. If the cancel comes during its poll, it may end first.
        lines[..6].sort_by_key(|line| line == "body");
    }
    assert_eq!(lines, ["child", "child", "child", "child", "child", "body", "host"]);
    assert_eq!(t.ledger.read().completed, 0);
}

pub async fn o_34_group_without_children(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    outer.launch(host(t, &slow, 0, pending()));
    slow.begun.take(1).await;
    let polls = t.ledger.read().polls;
    outer.cancel();
    outer.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["body", "host"]);
    assert_eq!(t.ledger.read().polls, polls, "neither is polled again");
}

/// Returns a child with a scope whose body waits for `clean` under a shield and then fails.
fn host_that_cleans_up(
    t: &Test,
    slow: &Slow,
    clean: &Gate,
    children: usize,
) -> impl Future<Output = Result<(), &'static str>> + Send + 'static {
    let (spawner, slow, clean) = (t.spawner(), slow.clone(), clean.clone());
    t.child(async move {
        let ended = scope(spawner, |group| {
            slow.clone().track(async move {
                let _body = slow.log.on_drop("body");
                (0..children).for_each(|_| group.launch(slow.child("child")));
                slow.shielded(&clean).await;
                Err::<(), _>("clean-up")
            })
        });
        ended.await.map_err(|error| error.into_primary().unwrap())
    })
}

/// Returns the path and the error of a failure that nothing in the inner group was left to look at.
pub fn foreign<E>(failure: &Failure<E>) -> (&[Origin], &'static str) {
    match failure {
        Failure::Foreign { path, error, .. } => (path, error.inspect(|error| *error).expect("a text")),
        _ => panic!("not from a group inside"),
    }
}

pub async fn o_35_the_body_turns_cancellation_into_an_error(t: &Test) {
    error_passed_on_by_the_host(t).await;
    error_that_the_host_cannot_see(t).await;
    error_behind_another_failure(t).await;
}

async fn error_passed_on_by_the_host(t: &Test) {
    let (slow, clean, outer) = (Slow::new(t), Gate::new(), TaskGroup::fallible(t.spawner()));
    outer.launch(host_that_cleans_up(t, &slow, &clean, 0));
    slow.begun.take(1).await;
    outer.cancel_with("outside");
    slow.only(&[]).await;
    clean.open();
    let error = outer.join().await.unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::Explicit("outside".into())));
    assert_eq!((error.primary(), error.failures().len()), (Some(&"clean-up"), 1));
    assert_eq!(t.ledger.read().completed, 2, "body and host, in the poll in which the shield ended");
}

async fn error_that_the_host_cannot_see(t: &Test) {
    let (slow, clean, outer) = (Slow::new(t), Gate::new(), TaskGroup::fallible(t.spawner()));
    let completed = t.ledger.read().completed;
    outer.launch(host_that_cleans_up(t, &slow, &clean, 1));
    slow.begun.take(2).await;
    outer.cancel_with("outside");
    clean.open();
    slow.seen("body", 1).await;
    slow.only(&["body"]).await;
    slow.gate.open();
    let error = outer.join().await.unwrap_err();
    assert_eq!(error.reason(), Some(&CancelReason::Explicit("outside".into())));
    let failures: Vec<_> = error.failures().map(|(_, failure)| failure).collect();
    let [failure] = failures[..] else { panic!("reported {} times", failures.len()) };
    let completed = t.ledger.read().completed - completed;
    // The gate may open while the poll in which the shield ended is still under way. Then the host does see the error.
    if let (Failure::Own(error), false) = (failure, t.one_thread()) {
        assert_eq!((*error, completed), ("clean-up", 2));
        return;
    }
    let (path, error) = foreign(failure);
    assert_eq!((error, completed), ("clean-up", 1), "the body; the host was cut");
    assert!(path[0].is_body() && path[1].child() == Some(1), "{path:?}");
}

async fn error_behind_another_failure(t: &Test) {
    let (slow, clean, outer) = (Slow::new(t), Gate::new(), TaskGroup::fallible(t.spawner()));
    outer.launch(host_that_cleans_up(t, &slow, &clean, 0));
    slow.begun.take(1).await;
    outer.spawn(t.child(async { Err::<(), _>("first") })).await.unwrap_err();
    clean.open();
    let error = outer.join().await.unwrap_err();
    let failures: Vec<_> = error.into_failures().map(|(origin, failure)| (origin.child(), failure)).collect();
    let [(Some(2), Failure::Own("first")), (Some(1), Failure::Own("clean-up"))] = failures[..] else {
        panic!("{failures:?}")
    };
}

pub async fn o_36_child_fails_while_the_body_cleans_up(t: &Test) {
    for body_returns in [true, false] {
        let (slow, at_3, at_5) = (Slow::new(t), Gate::new(), Gate::new());
        let outer = TaskGroup::fallible(t.spawner());
        outer.launch(host_with_both(t, &slow, &at_3, &at_5, body_returns));
        slow.begun.take(2).await;
        outer.cancel();
        slow.only(&[]).await;
        at_3.open();
        slow.seen("child", 1).await;
        slow.only(&["child"]).await;
        assert_eq!(outer.len(), 1);
        at_5.open();
        let error = outer.join().await.unwrap_err();
        let failures: Vec<_> = error.failures().map(|(_, failure)| failure).collect();
        match failures[..] {
            [Failure::Own(error)] => assert_eq!(*error, "boom"),
            // If the child is not yet completely gone in the poll in which the body's shield ends, the host is cut.
            [failure] => assert_eq!(foreign(failure).1, "boom"),
            _ => panic!("reported {} times", failures.len()),
        }
        assert_eq!(slow.log.lines(), ["child", "body", "host"]);
    }
}

fn host_with_both(
    t: &Test,
    slow: &Slow,
    at_3: &Gate,
    at_5: &Gate,
    body_returns: bool,
) -> impl Future<Output = Result<(), &'static str>> + Send + 'static {
    let (spawner, slow, at_3, at_5) = (t.spawner(), slow.clone(), at_3.clone(), at_5.clone());
    t.child(async move {
        let _host = slow.log.on_drop("host");
        let inner = slow.clone();
        let ended = scope(spawner, |group| {
            inner.clone().track(async move {
                let _body = inner.log.on_drop("body");
                let child = inner.clone();
                group.launch(inner.track(async move {
                    let _child = child.log.on_drop("child");
                    child.shielded(&at_3).await;
                    Err::<(), _>("boom")
                }));
                inner.shielded(&at_5).await;
                if !body_returns {
                    pending::<()>().await;
                }
                Ok(())
            })
        });
        ended.await.map_err(|error: GroupError<_>| error.into_primary().unwrap())
    })
}

pub async fn o_37_error_and_outside_cancel_in_the_same_step(t: &Test) {
    for error_first in [true, false] {
        let (slow, go) = (Slow::new(t), Gate::new());
        let hook = slow.clone();
        let outer =
            TaskGroup::builder::<&str>(t.spawner()).on_failure(move |_, _| hook.log.write("reported")).open();
        let cancel = outer.group();
        let (spawner, host, fails) = (t.spawner(), slow.clone(), go.clone());
        outer.launch(t.child(async move {
            let _host = host.log.on_drop("host");
            let (on_failure, child) = (cancel.clone(), host.clone());
            let body = |group: Group<_, &'static str>| async move {
                group.launch(child.clone().track(async move {
                    child.begun.add();
                    fails.wait().await;
                    if !error_first {
                        cancel.cancel();
                    }
                    Err::<(), _>("boom")
                }));
                Ok(())
            };
            let ended = scope(spawner, body).on_failure(move |_, _| on_failure.cancel()).await;
            host.log.write("the host goes on");
            ended.map_err(|error| error.into_primary().unwrap())
        }));
        slow.begun.take(1).await;
        go.open();
        let error = outer.join().await.unwrap_err();
        let mut lines = slow.log.lines();
        lines.sort();
        assert_eq!(lines, ["host", "reported"], "reported once, and the host does not go on");
        let failures: Vec<_> = error.failures().map(|(_, failure)| foreign(failure)).collect();
        let [(path, "boom")] = failures[..] else { panic!("{failures:?}") };
        assert_eq!((path[0].child(), path[1].child(), path.len()), (Some(1), Some(1), 2));
        assert!(matches!(error.reason(), Some(CancelReason::Explicit(_))));
    }
}

pub async fn o_38_host_keeps_working_after_a_failed_group(t: &Test) {
    let (spawner, slow, timer) = (t.spawner(), Slow::new(t), Gate::new());
    let outer = TaskGroup::fallible::<&str>(t.spawner());
    let (host, wait) = (slow.clone(), timer.clone());
    let sum = outer.spawn(t.child(async move {
        let first = fails(spawner.clone(), &host).await.unwrap_err();
        assert_eq!(first.into_primary().unwrap(), "first");
        host.begun.add();
        wait.wait().await;
        yield_now().await;
        works(spawner, &host).await.map_err(|_| "the second is cut, too")
    }));
    slow.begun.take(1).await;
    assert!(!outer.is_cancelled());
    timer.open();
    assert_eq!(sum.await.unwrap(), 3);
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().completed, 4);

    let again = scope(t.spawner(), |_| async {
        fails(t.spawner(), &slow).await.unwrap_err();
        yield_now().await;
        works(t.spawner(), &slow).await
    });
    assert_eq!(again.await.unwrap(), 3, "likewise in a body");
    assert_eq!(t.ledger.read().completed, 7);
}

/// Runs a scope with a child that fails and a child that is stuck.
async fn fails(spawner: impl Spawner, slow: &Slow) -> Result<(), GroupError<&'static str>> {
    scope(spawner, |group| async move {
        group.launch(slow.track(pending::<()>()));
        group.launch(slow.track(async { Err::<(), _>("first") }));
        pending().await
    })
    .await
}

/// Runs a scope with two children whose values add up to 3.
async fn works(spawner: impl Spawner, slow: &Slow) -> Result<u32, GroupError<Infallible>> {
    scope(spawner, |group| async move {
        let one = group.spawn(slow.track(async {
            yield_now().await;
            Ok(1)
        }));
        let two = group.spawn(slow.track(async { Ok(2) }));
        Ok(one.value().await + two.value().await)
    })
    .await
}

pub async fn o_39_second_outside_cancel_during_the_wait(t: &Test) {
    let ticks = [Gate::new(), Gate::new(), Gate::new()];
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let (spawner, host, cleaning) = (t.spawner(), slow.clone(), ticks.clone());
    let handle = outer.spawn(t.child(async move {
        let _host = host.log.on_drop("host");
        let child = host.clone();
        let body = |group: Group<_>| async move {
            group.launch(child.clone().track(async move {
                let _child = child.log.on_drop("child");
                shield(async {
                    child.begun.add();
                    for tick in &cleaning {
                        tick.wait().await;
                    }
                    child.log.write("cleaned up");
                })
                .await;
                yield_now().await;
                child.log.write("the child goes on");
            }));
            Ok(())
        };
        drop(scope(spawner, body).await);
        host.log.write("the host goes on");
    }));
    slow.begun.take(1).await;
    outer.cancel_with("first");
    ticks[0].open();
    slow.only(&[]).await;
    outer.cancel_with("second");
    handle.cancel();
    ticks[1].open();
    slow.only(&[]).await;
    assert!(!handle.is_finished());
    ticks[2].open();
    let group = outer.group();
    outer.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["cleaned up", "child", "host"]);
    assert_eq!(group.reason(), Some(CancelReason::Explicit("first".into())));
    assert!(handle.await.unwrap_err().is_cancelled());
}

/// A group that outlives the child that opened it refuses children, and its join reports that.
pub async fn whoever_is_launched_into_a_group_whose_opener_is_gone_was_cut_short(t: &Test) {
    let (outer, spawner) = (TaskGroup::new(t.spawner()), t.spawner());
    let opened = outer.spawn(t.child(async move { Ok(TaskGroup::new(spawner)) })).await.unwrap();
    opened.cancelled().await;
    opened.launch(t.child(async {}));
    let error = opened.join().await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.reason(), Some(&CancelReason::Parent));
    outer.join().await.unwrap();
    assert_eq!(t.ledger.read().started, 1);
}

pub async fn o_40_a_group_born_cancelled(t: &Test) {
    let (slow, outer) = (Slow::new(t), TaskGroup::new(t.spawner()));
    let (group, spawner, child) = (outer.group(), t.spawner(), slow.clone());
    outer.launch(t.child(async move {
        let _gone = child.log.on_drop("child");
        group.cancel();
        let born_late = TaskGroup::new(spawner.clone());
        assert_eq!(born_late.reason(), Some(CancelReason::Parent));
        assert!(born_late.try_spawn(child.track(async {})).unwrap_err().is_cancelled());

        let inner = child.clone();
        let body = move |nested: Group<_>| {
            inner.log.write("the body is made");
            inner.clone().track(async move {
                nested.launch(inner.child("first"));
                nested.launch(inner.child("second"));
                Ok::<_, Infallible>(())
            })
        };
        drop(scope(spawner, body).await);
        child.log.write("the child goes on");
    }));
    outer.join().await.unwrap();
    assert_eq!(slow.log.lines(), ["child"]);
    let ledger = t.ledger.read();
    assert_eq!((ledger.started, ledger.completed), (1, 0), "the child alone, and not to its end");
}
