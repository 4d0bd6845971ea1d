//! B. A child fails.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::pin::Pin;

use futures_lite::future::{poll_once, yield_now};
use taskgroup::error::Origin;
use taskgroup::{AnySpawner, CancelReason, Failure, Group, GroupError, Spawner, TaskGroup, scope, shield};

use crate::ledger::{Capture, Entry, Gate, Ledger, Log, Tally, Tracked};
use crate::test::{Test, errors, tell};

mod several;

pub use self::several::*;

pub type Fails = Result<(), &'static str>;

/// Returns a child that fails when the gate opens.
pub fn fails_at(
    t: &Test,
    gate: &Gate,
    error: &'static str,
) -> Tracked<impl Future<Output = Fails> + Send + use<>> {
    let gate = gate.clone();
    t.child(async move {
        gate.wait().await;
        Err(error)
    })
}

/// Returns a child that adds one to `begun` at its first poll, never ends by itself, and logs "gone" when it is dropped.
pub fn stuck(t: &Test, log: &Log, begun: &Tally) -> Tracked<impl Future<Output = ()> + Send + use<>> {
    let (gone, begun) = (log.on_drop("gone"), begun.clone());
    t.child(async move {
        let _gone = gone;
        begun.add();
        pending().await
    })
}

#[track_caller]
fn assert_failed_child(error: &GroupError<&'static str>, id: u64) {
    assert_eq!(error.origin().unwrap().child(), Some(id));
    assert_eq!(error.reason(), Some(&CancelReason::Failed(error.origin().unwrap().clone())));
}

pub async fn o_11_failure_cancels_the_sibling(t: &Test) {
    let host = async {
        scope(t.spawner(), |group| async move {
            let (begun, gate) = (Tally::new(), Gate::new());
            group.launch(fails_at(t, &gate, "a"));
            group.launch(stuck(t, &t.log, &begun));
            begun.take(1).await;
            gate.open();
            Ok(())
        })
        .await?;
        t.log.write("after the group");
        Ok::<_, GroupError<_>>(())
    };
    let error = host.await.unwrap_err();
    assert_eq!(errors(&error), ["a"]);
    assert_failed_child(&error, 1);
    assert_eq!(t.log.lines(), ["gone"]);
    let Entry { started, completed, dropped, .. } = t.ledger.read();
    assert_eq!((started, completed, dropped), (2, 1, 2));
}

pub async fn o_12_failure_cuts_the_body_short(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let gate = Gate::new();
        for _ in 0..3 {
            group.launch(fails_at(t, &gate, "failed"));
        }
        let stuck = group.spawn(t.stuck());
        gate.open();
        let _ = stuck.await;
        // The handle may have become ready during a poll that began before the failure.
        yield_now().await;
        t.log.write("body went on");
        Ok(())
    })
    .await
    .unwrap_err();
    let failed = errors(&error);
    assert!(failed.iter().all(|error| *error == "failed"));
    match t.one_at_a_time() {
        true => assert_eq!(failed.len(), 1),
        false => assert!((1..=3).contains(&failed.len())),
    }
    assert_eq!(t.log.lines(), ["body gone"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (failed.len(), 4));
}

pub async fn o_13_failure_after_the_body_has_returned(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let log = t.log.clone();
        group.launch(t.child(async move {
            while log.count("body gone") == 0 {
                yield_now().await;
            }
            log.write("child fails");
            Err::<(), _>("late")
        }));
        Ok((5, t.ledger.capture(), t.log.on_drop("value gone")))
    })
    .await
    .map(|(value, ..)| value)
    .unwrap_err();
    assert_eq!(errors(&error), ["late"]);
    assert_failed_child(&error, 1);
    assert_eq!(t.log.lines(), ["body gone", "child fails", "value gone"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (1, 2));
}

pub async fn o_14_either_order_of_failing(t: &Test) {
    for first_fails in [true, false] {
        let (log, gate, begun) = (&Log::default(), &Gate::new(), &Tally::new());
        let error = scope(t.spawner(), |group| async move {
            let failing = || group.spawn(fails_at(t, gate, "failed"));
            let other = || group.spawn(stuck(t, log, begun));
            let (first, second) = if first_fails {
                (failing(), other())
            } else {
                let other = other();
                (other, failing())
            };
            begun.take(1).await;
            gate.open();
            first.value().await;
            second.value().await;
            Ok(())
        })
        .await
        .unwrap_err();
        log.write("host saw it");
        assert_eq!(errors(&error), ["failed"]);
        assert_failed_child(&error, if first_fails { 1 } else { 2 });
        assert_eq!(log.lines(), ["gone", "host saw it"]);
    }
    let Entry { started, completed, dropped, .. } = t.ledger.read();
    assert_eq!((started, completed, dropped), (4, 2, 4));
}

/// Launches three children that log their names when the gate opens, and fail with them. The gate opens when all wait.
async fn three_fail_at_once(t: &Test, group: Group<AnySpawner, &'static str>) -> Fails {
    let (begun, gate) = (Tally::new(), Gate::new());
    for name in ["e1", "e2", "e3"] {
        let (log, begun, gate) = (t.log.clone(), begun.clone(), gate.clone());
        group.launch(t.child(async move {
            begun.add();
            gate.wait().await;
            log.write(name);
            Err::<(), _>(name)
        }));
    }
    begun.take(3).await;
    gate.open();
    Ok(())
}

pub async fn o_15_three_fail_in_one_step(t: &Test) {
    let error = scope(t.spawner(), |group| three_fail_at_once(t, group)).await.unwrap_err();
    let failed = errors(&error);
    assert_failed_child(
        &error,
        ["e1", "e2", "e3"].iter().position(|name| *name == failed[0]).unwrap() as u64 + 1,
    );
    let Entry { polls, completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (failed.len(), 3));
    if t.one_thread() || t.inline() {
        assert_eq!(failed, ["e1"]);
        assert_eq!(polls, 4, "the others are dropped before their next poll");
    } else if t.one_at_a_time() {
        assert_eq!(failed, t.log.lines());
        assert_eq!(failed.len(), 1);
    } else {
        assert_eq!(sorted(&failed), sorted(&t.log.lines()), "all different");
    }
}

pub async fn o_15_three_fail_in_one_step_and_are_collected(t: &Test) {
    let error = scope(t.spawner(), |group| three_fail_at_once(t, group)).collect().await.unwrap_err();
    let failed = errors(&error);
    assert_eq!(sorted(&failed), ["e1", "e2", "e3"]);
    assert_eq!(error.reason(), None);
    assert_eq!(t.ledger.read().completed, 3);
    if t.one_at_a_time() {
        assert_eq!(failed, t.log.lines(), "in the order they were polled");
    }
    if t.one_thread() || t.inline() {
        assert_eq!(failed, ["e1", "e2", "e3"]);
        assert_eq!(t.ledger.read().polls, 6);
    }
}

fn sorted(lines: &[impl AsRef<str>]) -> Vec<&str> {
    let mut sorted: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
    sorted.sort();
    sorted
}

pub async fn o_16_each_failure_is_reported_once(t: &Test) {
    let gate = Gate::new();
    let group = TaskGroup::builder(t.spawner()).on_failure(tell(&t.log)).open();
    let failing = group.spawn(fails_at(t, &gate, "once"));
    let stuck = group.spawn(t.stuck());
    gate.open();
    let error = group.join().await.unwrap_err();
    assert_eq!(t.log.lines(), ["once"]);
    assert_eq!((errors(&error), error.not_kept()), (vec!["once"], 0));
    assert!(failing.await.unwrap_err().is_failed());
    assert!(stuck.await.unwrap_err().is_cancelled());
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (1, 2));
}

#[derive(Debug)]
enum Nested {
    Leaf,
    Inner(GroupError<Nested>),
}

impl From<GroupError<Nested>> for Nested {
    fn from(error: GroupError<Nested>) -> Self {
        Nested::Inner(error)
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens groups in children of groups. The innermost child fails.
fn nested<S: Spawner>(spawner: S, ledger: Ledger, log: Log, level: usize) -> BoxFuture<Result<(), Nested>> {
    Box::pin(async move {
        if level == 0 {
            return Err(Nested::Leaf);
        }
        let (inner, told) = (spawner.clone(), log.clone());
        scope(spawner, |group| async move {
            let child = nested(inner, ledger.clone(), log, level - 1);
            group.spawn(ledger.track(child)).value().await;
            Ok(())
        })
        .on_failure(move |_, _| told.write(format!("level {level}")))
        .await?;
        Ok(())
    })
}

pub async fn o_17_through_three_levels(t: &Test) {
    let mut failure = nested(t.spawner(), t.ledger.clone(), t.log.clone(), 3).await.unwrap_err();
    assert_eq!(t.log.lines(), ["level 1", "level 2", "level 3"]);
    for _ in 0..3 {
        let Nested::Inner(error) = failure else { panic!("a level is missing") };
        assert_eq!((error.failures().len(), error.not_kept()), (1, 0));
        assert_eq!(error.origin().unwrap().child(), Some(1), "the child failed, not the body");
        failure = error.into_primary().unwrap();
    }
    assert!(matches!(failure, Nested::Leaf));
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (3, 3));
}

pub async fn o_18_catching_at_the_handle_does_not_undo_the_failure(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        let gate = Gate::new();
        let failing = group.spawn(fails_at(t, &gate, "caught"));
        gate.open();
        let _ = failing.await;
        yield_now().await;
        t.log.write("body went on");
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(errors(&error), ["caught"]);
    assert_failed_child(&error, 1);
    assert!(t.log.lines().is_empty());
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn o_18_a_shielded_body_is_told_by_the_handle_and_then_cut(t: &Test) {
    let error = scope(t.spawner(), |group| async move {
        let gate = Gate::new();
        let failing = group.spawn(fails_at(t, &gate, "caught"));
        let told = shield(async {
            gate.open();
            failing.await.unwrap_err()
        })
        .await;
        assert!(told.is_failed());
        t.log.write("the handle says failed");
        yield_now().await;
        t.log.write("body went on");
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(errors(&error), ["caught"]);
    assert_eq!(t.log.lines(), ["the handle says failed"]);
    assert_eq!(t.ledger.read().completed, 1);
}

pub async fn o_19_errors_as_data(t: &Test) {
    let (data, sibling) = scope(t.spawner(), |group| async move {
        let gate = Gate::new();
        let data = group.spawn(t.child(async { Ok(Err::<(), _>("kept")) }));
        let opens = gate.clone();
        let sibling = group.spawn(t.child(async move {
            opens.wait().await;
            yield_now().await;
            Ok(7)
        }));
        while !data.is_finished() {
            yield_now().await;
        }
        assert!(!group.is_closed());
        gate.open();
        Ok::<_, Infallible>((data, sibling))
    })
    .on_failure(|_, _| unreachable!("nothing failed"))
    .await
    .unwrap();
    assert_eq!(data.await.unwrap(), Err("kept"));
    assert_eq!(sibling.await.unwrap(), 7);
    assert_eq!(t.ledger.read().completed, 2);
}
