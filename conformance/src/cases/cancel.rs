//! G. Explicit cancel.

use std::convert::Infallible;
use std::future::pending;

use futures_lite::future::yield_now;
use taskgroup::{AnySpawner, CancelReason, Group, TaskGroup, scope, shield};

use crate::ledger::{Entry, Gate, Tally};
use crate::test::Test;

fn explicit(message: &'static str) -> CancelReason {
    CancelReason::Explicit(message.into())
}

pub async fn o_56_from_the_body(t: &Test) {
    let there = &Tally::new();
    let cut = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        group.launch(t.waiting(there));
        group.launch(t.waiting(there));
        there.take(2).await;
        group.cancel_with("enough");
        t.log.write("cancelled");
        yield_now().await;
        t.log.write("went on");
        Ok::<_, Infallible>(())
    });
    let error = cut.await.unwrap_err();
    assert!(error.is_cancelled() && error.failures().len() == 0);
    assert_eq!(error.reason(), Some(&explicit("enough")));
    assert_eq!(t.log.lines(), ["cancelled", "body gone"]);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 2, started: 2, completed: 0, dropped: 2 });
}

pub async fn o_57_from_the_body_then_return(t: &Test) {
    let there = &Tally::new();
    let value = scope(t.spawner(), |group| async move {
        group.launch(t.waiting(there));
        group.launch(t.waiting(there));
        there.take(2).await;
        group.cancel();
        Ok::<_, Infallible>(5)
    });
    assert_eq!(value.await.unwrap(), 5);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 2, started: 2, completed: 0, dropped: 2 });
}

/// Returns a child that cancels its own group and would then go on.
fn cancelling(t: &Test, group: Group<AnySpawner>) -> impl Future<Output = ()> + Send + use<> {
    let log = t.log.clone();
    t.child(async move {
        let _gone = log.on_drop("child gone");
        group.cancel();
        log.write("cancelled");
        yield_now().await;
        log.write("went on");
    })
}

pub async fn o_58_from_a_child(t: &Test) {
    let cut = scope(t.spawner(), |group| async move {
        group.launch(cancelling(t, group.clone()));
        pending::<Result<(), Infallible>>().await
    });
    let error = cut.await.unwrap_err();
    assert!(error.is_cancelled() && error.failures().len() == 0);
    assert_eq!(error.reason(), Some(&explicit("")));
    assert_eq!(t.log.lines(), ["cancelled", "child gone"]);
    assert_eq!(t.ledger.read(), Entry { made: 1, polls: 1, started: 1, completed: 0, dropped: 1 });
}

pub async fn o_58_from_a_child_when_no_body_is_left(t: &Test) {
    let value = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let (log, child) = (t.log.clone(), cancelling(t, group.clone()));
        group.launch(async move {
            while log.count("body gone") == 0 {
                yield_now().await;
            }
            child.await;
        });
        Ok::<_, Infallible>(7)
    });
    assert_eq!(value.await.unwrap(), 7, "the body was not cut");

    let group = TaskGroup::new(t.spawner());
    group.launch(cancelling(t, group.group()));
    group.join().await.unwrap();
    assert_eq!(t.log.lines(), ["body gone", "cancelled", "child gone", "cancelled", "child gone"]);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 2, started: 2, completed: 0, dropped: 2 });
}

pub async fn a_child_that_cancels_and_returns_in_one_poll_counts(t: &Test) {
    let group = TaskGroup::fallible::<&str>(t.spawner());
    let own = group.group();
    let handle = group.spawn(t.child(async move {
        own.cancel();
        Ok(3)
    }));
    group.join().await.unwrap();
    assert_eq!(handle.await.unwrap(), 3);

    let group = TaskGroup::fallible(t.spawner());
    let own = group.group();
    let handle = group.spawn(t.child(async move {
        own.cancel();
        Err::<(), _>("broken")
    }));
    let error = group.join().await.unwrap_err();
    assert_eq!((error.primary(), error.reason()), (Some(&"broken"), Some(&explicit(""))));
    assert!(handle.await.unwrap_err().is_failed());
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 2, started: 2, completed: 2, dropped: 2 });
}

pub async fn o_59_before_it_is_open(t: &Test) {
    let cut = scope(t.spawner(), |group| {
        group.cancel_with("too early");
        group.launch(t.stuck());
        assert_eq!(t.ledger.read().alive(), 0, "refused at once");
        t.child(async { Ok::<_, Infallible>(1) })
    });
    let error = cut.await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.reason(), Some(&explicit("too early")));
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 0, started: 0, completed: 0, dropped: 2 });

    let group = TaskGroup::new(t.spawner());
    group.cancel();
    let refused = group.spawn(t.stuck());
    group.join().await.unwrap();
    assert!(refused.await.unwrap_err().is_cancelled());
    assert_eq!(t.ledger.read(), Entry { made: 3, polls: 0, started: 0, completed: 0, dropped: 3 });
}

pub async fn o_60_repeated_and_late(t: &Test) {
    let (there, polled, gate) = (&Tally::new(), Tally::new(), Gate::new());
    let group = TaskGroup::new(t.spawner());
    group.launch(t.waiting(there));
    let (polls, opened) = (polled.clone(), gate.clone());
    group.launch(t.child(shield(polls.polls_of(async move { opened.wait().await }))));
    there.take(1).await;
    polled.take(1).await;

    group.cancel_with("first");
    polled.take(1).await;
    group.cancel_with("second");
    group.cancel_with("third");
    for _ in 0..10 {
        // Gives a superfluous wake-up the time to happen.
        yield_now().await;
    }
    assert!(t.restless() || polled.is_empty(), "woken once");
    gate.open();

    let kept = group.group();
    group.join().await.unwrap();
    kept.cancel_with("late");
    kept.cancel_with("later");
    assert_eq!(kept.reason(), Some(explicit("first")));
    let left = t.ledger.read();
    // The shielded child is polled at first, for the cancel and for the gate. The other child is polled at first only.
    let polls = if t.restless() { left.polls } else { 4 };
    assert_eq!(left, Entry { made: 2, polls, started: 2, completed: 1, dropped: 2 });
}

pub async fn o_60_after_a_plain_end(t: &Test) {
    let group = TaskGroup::new(t.spawner());
    let kept = group.group();
    let handle = group.spawn(t.child(async {}));
    group.join().await.unwrap();
    kept.cancel();
    kept.cancel_with("late");
    assert_eq!((kept.is_cancelled(), kept.reason()), (false, None));
    handle.await.unwrap();
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn o_61_a_child_that_fails_after_the_cancel(t: &Test) {
    let failed = scope(t.spawner(), |group| async move {
        let (inside, gate) = (Gate::new(), Gate::new());
        let (entered, opened) = (inside.clone(), gate.clone());
        group.launch(t.child(shield(async move {
            entered.open();
            opened.wait().await;
            Err::<(), _>("clean-up failed")
        })));
        inside.wait().await;
        group.cancel_with("enough");
        gate.open();
        Ok(())
    });
    let error = failed.await.unwrap_err();
    assert_eq!(error.primary(), Some(&"clean-up failed"));
    assert_eq!(error.failures().len(), 1);
    assert_eq!(error.reason(), Some(&explicit("enough")));
    assert_eq!((t.ledger.read().started, t.ledger.read().completed), (1, 1));
}

pub async fn o_62_cancel_during_spawn(t: &Test) {
    let cut = scope(t.spawner(), |group| async move {
        group.launch(cancelling(t, group.clone()));
        if t.inline() {
            assert!(group.is_cancelled(), "the first poll was within `launch`");
            group.launch(t.stuck());
        }
        if t.one_thread() {
            assert!(!group.is_cancelled(), "no poll was within `launch`");
        }
        pending::<Result<(), Infallible>>().await
    });
    let error = cut.await.unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(t.log.lines(), ["cancelled", "child gone"]);
    let made = if t.inline() { 2 } else { 1 };
    assert_eq!(t.ledger.read(), Entry { made, polls: 1, started: 1, completed: 0, dropped: made });
}

pub async fn o_62_cancel_during_spawn_reaches_siblings(t: &Test) {
    let there = &Tally::new();
    let group = TaskGroup::new(t.spawner());
    group.launch(t.waiting(there));
    there.take(1).await;
    let handle = group.spawn(cancelling(t, group.group()));
    group.join().await.unwrap();
    assert!(handle.await.unwrap_err().is_cancelled());
    assert_eq!(t.log.lines(), ["cancelled", "child gone"]);
    assert_eq!(t.ledger.read(), Entry { made: 2, polls: 2, started: 2, completed: 0, dropped: 2 });
}

pub async fn o_63_reason_is_readable(t: &Test) {
    let (tell, told) = async_channel::bounded(1);
    let failed = scope(t.spawner(), |group| async move {
        let (signal, ready) = (group.clone(), Gate::new());
        let inside = ready.clone();
        group.launch(t.child(shield(async move {
            inside.open();
            signal.cancelled().await;
            tell.try_send(signal.reason()).unwrap();
        })));
        group.launch(t.child(async move {
            ready.wait().await;
            Err::<(), _>("broken")
        }));
        pending::<Result<(), _>>().await
    });
    let error = failed.await.unwrap_err();
    let origin = error.origin().unwrap().clone();
    assert_eq!(origin.child(), Some(2));
    assert_eq!(error.reason(), Some(&CancelReason::Failed(origin)));
    assert_eq!(told.recv().await.unwrap().as_ref(), error.reason(), "seen while it was on its way out");
    assert_eq!(t.ledger.read().completed, 2);
}

pub async fn o_63_no_reason_after_a_plain_end(t: &Test) {
    let ended = scope(t.spawner(), |group| async move {
        group.launch(t.child(async {}));
        Ok::<_, Infallible>(group)
    });
    let group = ended.await.unwrap();
    group.cancelled().await;
    assert_eq!((group.is_cancelled(), group.reason()), (false, None));
    assert_eq!(t.ledger.read().completed, 1);
}
