//! B. A child fails.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::pin::Pin;

use futures_lite::future::{poll_once, yield_now};
use taskgroup::{CancelReason, Failure, Group, GroupError, Spawner, TaskGroup, scope, shield};

use crate::ledger::{Capture, Entry, Gate, Ledger, Log, Tally, Tracked};
use crate::rig::{Rig, Test, errors, tell};

pub type Fails = Result<(), &'static str>;

/// A child that fails when the gate opens.
pub fn fails_at<R: Rig>(
    t: &Test<R>,
    gate: &Gate,
    error: &'static str,
) -> Tracked<impl Future<Output = Fails> + Send + use<R>> {
    let gate = gate.clone();
    t.child(async move {
        gate.wait().await;
        Err(error)
    })
}

/// A child that tells when it is first polled, never ends by itself, and writes "gone" when it is dropped.
pub fn stuck<R: Rig>(
    t: &Test<R>,
    log: &Log,
    begun: &Tally,
) -> Tracked<impl Future<Output = ()> + Send + use<R>> {
    let (gone, begun) = (log.on_drop("gone"), begun.clone());
    t.child(async move {
        let _gone = gone;
        begun.add();
        pending().await
    })
}

/// Whether no two children are polled at the same time, after their first polls.
fn one_at_a_time<R: Rig>() -> bool {
    R::workers() == 1 && !R::COSTLY
}

#[track_caller]
fn assert_failed_child(error: &GroupError<&'static str>, id: u64) {
    assert_eq!(error.origin().unwrap().child(), Some(id));
    assert_eq!(error.reason(), Some(&CancelReason::Failed(error.origin().unwrap().clone())));
}

pub async fn o_11_failure_cancels_the_sibling<R: Rig>(t: &Test<R>) {
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

pub async fn o_12_failure_cuts_the_body_short<R: Rig>(t: &Test<R>) {
    let error = scope(t.spawner(), |group| async move {
        let _gone = t.log.on_drop("body gone");
        let gate = Gate::new();
        for _ in 0..3 {
            group.launch(fails_at(t, &gate, "failed"));
        }
        let stuck = group.spawn(t.stuck());
        gate.open();
        let _ = stuck.await;
        // The handle may have become ready during a poll that had begun before the failure.
        yield_now().await;
        t.log.write("body went on");
        Ok(())
    })
    .await
    .unwrap_err();
    let failed = errors(&error);
    assert!(failed.iter().all(|error| *error == "failed"));
    match one_at_a_time::<R>() {
        true => assert_eq!(failed.len(), 1),
        false => assert!((1..=3).contains(&failed.len())),
    }
    assert_eq!(t.log.lines(), ["body gone"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (failed.len(), 4));
}

pub async fn o_13_failure_after_the_body_has_returned<R: Rig>(t: &Test<R>) {
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

pub async fn o_14_either_order_of_failing<R: Rig>(t: &Test<R>) {
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

/// Three children that write their names when the gate opens, and fail with them; all wait before it does.
async fn three_fail_at_once<R: Rig>(t: &Test<R>, group: Group<R::Spawner, &'static str>) -> Fails {
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

pub async fn o_15_three_fail_in_one_step<R: Rig>(t: &Test<R>) {
    let error = scope(t.spawner(), |group| three_fail_at_once(t, group)).await.unwrap_err();
    let failed = errors(&error);
    assert_failed_child(
        &error,
        ["e1", "e2", "e3"].iter().position(|name| *name == failed[0]).unwrap() as u64 + 1,
    );
    let Entry { polls, completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (failed.len(), 3));
    if R::ONE_THREAD || R::INLINE {
        assert_eq!(failed, ["e1"]);
        assert_eq!(polls, 4, "the others are dropped before their next poll");
    } else if one_at_a_time::<R>() {
        assert_eq!(failed, t.log.lines());
        assert_eq!(failed.len(), 1);
    } else {
        assert_eq!(sorted(&failed), sorted(&t.log.lines()), "all different");
    }
}

pub async fn o_15_three_fail_in_one_step_and_are_collected<R: Rig>(t: &Test<R>) {
    let error = scope(t.spawner(), |group| three_fail_at_once(t, group)).collect().await.unwrap_err();
    let failed = errors(&error);
    assert_eq!(sorted(&failed), ["e1", "e2", "e3"]);
    assert_eq!(error.reason(), None);
    assert_eq!(t.ledger.read().completed, 3);
    if one_at_a_time::<R>() {
        assert_eq!(failed, t.log.lines(), "in the order they were polled");
    }
    if R::ONE_THREAD || R::INLINE {
        assert_eq!(failed, ["e1", "e2", "e3"]);
        assert_eq!(t.ledger.read().polls, 6);
    }
}

fn sorted(lines: &[impl AsRef<str>]) -> Vec<&str> {
    let mut sorted: Vec<_> = lines.iter().map(AsRef::as_ref).collect();
    sorted.sort();
    sorted
}

pub async fn o_16_each_failure_is_reported_once<R: Rig>(t: &Test<R>) {
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

/// Groups in children of groups; what is innermost fails.
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
        .on_failure(move |_| told.write(format!("level {level}")))
        .await?;
        Ok(())
    })
}

pub async fn o_17_through_three_levels<R: Rig>(t: &Test<R>) {
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

pub async fn o_18_catching_at_the_handle_does_not_undo_the_failure<R: Rig>(t: &Test<R>) {
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

pub async fn o_18_a_shielded_body_is_told_by_the_handle_and_then_cut<R: Rig>(t: &Test<R>) {
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

pub async fn o_19_errors_as_data<R: Rig>(t: &Test<R>) {
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
    .on_failure(|_| unreachable!("nothing failed"))
    .await
    .unwrap();
    assert_eq!(data.await.unwrap(), Err("kept"));
    assert_eq!(sibling.await.unwrap(), 7);
    assert_eq!(t.ledger.read().completed, 2);
}

/// An error that does not want to be looked at.
struct Hostile;

impl fmt::Debug for Hostile {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("Debug")
    }
}

impl fmt::Display for Hostile {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("Display")
    }
}

impl PartialEq for Hostile {
    fn eq(&self, _: &Self) -> bool {
        panic!("PartialEq")
    }
}

impl Hash for Hostile {
    fn hash<H: Hasher>(&self, _: &mut H) {
        panic!("Hash")
    }
}

pub async fn o_20_an_error_type_with_hostile_trait_impls<R: Rig>(t: &Test<R>) {
    for collect in [false, true] {
        let before = t.ledger.read().completed;
        let gate = Gate::new();
        let builder = TaskGroup::builder(t.spawner()).on_failure(|_| ());
        let group = if collect { builder.collect() } else { builder }.open();
        for _ in 0..2 {
            let gate = gate.clone();
            group.launch(t.child(async move {
                gate.wait().await;
                Err::<(), _>(Hostile)
            }));
        }
        gate.open();
        let error = group.join().await.unwrap_err();
        let failed = error.failures().len();
        match collect || one_at_a_time::<R>() {
            true => assert_eq!(failed, if collect { 2 } else { 1 }),
            false => assert!((1..=2).contains(&failed)),
        }
        assert!(matches!(error.primary(), Some(Hostile)));
        assert_eq!(t.ledger.read().completed - before, failed);
    }
    assert_eq!(t.ledger.read().dropped, 4);
}

/// A group that is being cancelled takes nobody, and says so.
async fn refuses<S: Spawner>(group: &Group<S, &'static str>) {
    let ledger = Ledger::default();
    let handle = group.spawn(ledger.track(async {}));
    let destroyed = Entry { made: 1, polls: 0, started: 0, completed: 0, dropped: 1 };
    assert_eq!(ledger.read(), destroyed);
    assert!(handle.is_finished());
    assert!(handle.await.unwrap_err().is_cancelled());

    let ledger = Ledger::default();
    let refused = group.try_spawn(ledger.track(async {})).unwrap_err();
    assert!(refused.is_cancelled() && !refused.is_closed());
    assert_eq!(ledger.read(), Entry { dropped: 0, ..destroyed });
    refused.into_future().await;
    assert_eq!(ledger.read().completed, 1, "it was handed back whole");
}

pub async fn o_21_siblings_may_not_start_new_work_once_failing_has_begun<R: Rig>(t: &Test<R>) {
    let error = scope(t.spawner(), |group| async move {
        let (begun, gate) = (Gate::new(), Gate::new());
        group.launch(fails_at(t, &gate, "a"));
        let (siblings, begins, log) = (group.clone(), begun.clone(), t.log.clone());
        group.launch(t.child(shield(async move {
            begins.open();
            siblings.cancelled().await;
            refuses(&siblings).await;
            log.write("refused");
        })));
        begun.wait().await;
        gate.open();
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(errors(&error), ["a"]);
    assert_eq!(t.log.lines(), ["refused"]);
    let Entry { made, completed, dropped, .. } = t.ledger.read();
    assert_eq!((made, completed, dropped), (2, 2, 2));
}

/// Spawns a child that spawns two more like itself after each tick, until there are `many`.
fn hydra<S: Spawner>(group: Group<S, &'static str>, ledger: Ledger, born: Tally, many: usize) {
    let heads = group.clone();
    group.launch(ledger.clone().track(async move {
        born.add();
        while heads.len() < many {
            yield_now().await;
            hydra(heads.clone(), ledger.clone(), born.clone(), many);
            hydra(heads.clone(), ledger.clone(), born.clone(), many);
        }
        // An executor that is never idle steals from no worker, so a blocked one could keep the slayer to itself.
        pending::<()>().await
    }));
}

pub async fn o_22_hydra<R: Rig>(t: &Test<R>) {
    let born = Tally::new();
    let error = scope(t.spawner(), |group| async move {
        let births = born.clone();
        group.launch(t.child(async move {
            births.take(10).await;
            Err::<(), _>("slain")
        }));
        hydra(group, t.ledger.clone(), born, t.pick(1000, 50));
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(errors(&error), ["slain"]);
    let end = t.ledger.read();
    assert!(end.started > 10);
    assert_eq!((end.completed, end.alive()), (1, 0));
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(t.ledger.read(), end, "nothing grows back");
}

pub async fn o_23_several_errors_are_collected<R: Rig>(t: &Test<R>) {
    let table: [(&[Fails], &[&str]); 5] = [
        (&[], &[]),
        (&[Ok(())], &[]),
        (&[Err("e1")], &["e1"]),
        (&[Err("e1"), Ok(())], &["e1"]),
        (&[Err("e1"), Ok(()), Err("e2")], &["e1", "e2"]),
    ];
    for (outcomes, expected) in table {
        let before = t.ledger.read().completed;
        let result = scope(t.spawner(), |group| async move {
            // One after the other, so that their order is known.
            for &outcome in outcomes {
                let end = group.spawn(t.child(async move { outcome })).await;
                assert_eq!(end.map_err(|error| error.is_failed()), outcome.map_err(|_| true));
            }
            Ok(outcomes.len())
        })
        .collect()
        .await;
        assert_eq!(t.ledger.read().completed - before, outcomes.len());
        match result {
            Ok(value) => assert_eq!((value, expected.len()), (outcomes.len(), 0)),
            Err(error) => assert_eq!(errors(&error), expected),
        }
    }
}

pub async fn o_23_more_failures_than_are_kept<R: Rig>(t: &Test<R>) {
    let (log, gate) = (t.log.clone(), Gate::new());
    let hook = move |failure: &Failure<(usize, Capture)>| match failure {
        Failure::Own((number, _)) => log.write(format!("{number:02}")),
        _ => unreachable!("no panic, no group inside"),
    };
    let group = TaskGroup::builder(t.spawner()).collect().on_failure(hook).open();
    for number in 0..20 {
        let (gate, capture) = (gate.clone(), t.ledger.capture());
        group.launch(t.child(async move {
            gate.wait().await;
            Err::<(), _>((number, capture))
        }));
    }
    gate.open();
    let error = group.join().await.unwrap_err();
    assert_eq!(t.ledger.read().alive(), 17, "what is not kept is destroyed");
    assert_eq!((error.suppressed().len(), error.not_kept()), (16, 3));

    let seen = t.log.lines();
    assert_eq!(sorted(&seen), (0..20).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    let kept: Vec<_> =
        error.into_failures().map(|(origin, _)| format!("{:02}", origin.child().unwrap() - 1)).collect();
    if one_at_a_time::<R>() {
        assert_eq!(kept, seen[..17], "the first ones");
    }
    let mut different = kept.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 17);
    assert_eq!(t.ledger.read().completed, 20);
}

/// A group of one child that fails, one that is stuck, and one that ends in the given way because it is told.
async fn told_to_end<R: Rig>(t: &Test<R>, end: Fails) -> GroupError<&'static str> {
    scope(t.spawner(), |group| async move {
        let (begun, gate) = (Gate::new(), Gate::new());
        group.launch(fails_at(t, &gate, "failed"));
        group.launch(t.stuck());
        let (begins, told) = (begun.clone(), group.cancelled());
        group.launch(t.child(async move {
            shield(async {
                begins.open();
                told.await;
            })
            .await;
            end
        }));
        begun.wait().await;
        gate.open();
        Ok(())
    })
    .on_failure(tell(&t.log))
    .await
    .unwrap_err()
}

pub async fn o_24_cancelled_siblings_are_not_errors<R: Rig>(t: &Test<R>) {
    let error = told_to_end(t, Ok(())).await;
    assert_eq!(errors(&error), ["failed"]);
    assert_eq!(t.log.lines(), ["failed"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (2, 3));
}

pub async fn o_24_an_interrupted_sibling_is_suppressed<R: Rig>(t: &Test<R>) {
    let error = told_to_end(t, Err("interrupted")).await;
    assert_eq!(errors(&error), ["failed", "interrupted"]);
    assert_failed_child(&error, 1);
    assert_eq!(sorted(&t.log.lines()), ["failed", "interrupted"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (2, 3));
}

pub async fn o_25_keep_going<R: Rig>(t: &Test<R>) {
    let (now, gate) = (Gate::new(), Gate::new());
    let group = TaskGroup::builder(t.spawner()).collect().open();
    let first = group.spawn(fails_at(t, &now, "first"));
    let opens = gate.clone();
    let second = group.spawn(t.child(async move {
        opens.wait().await;
        Ok(10)
    }));
    now.open();
    assert!(first.await.unwrap_err().is_failed());
    assert!(!group.is_closed());
    let mut join = group.join();
    for _ in 0..100 {
        assert!(poll_once(&mut join).await.is_none(), "the second lives");
        yield_now().await;
    }
    assert_eq!(t.ledger.read().alive(), 1);
    gate.open();
    let error = join.await.unwrap_err();
    assert_eq!((errors(&error), error.reason()), (vec!["first"], None));
    assert_eq!(second.await.unwrap(), 10);
    assert_eq!(t.ledger.read().completed, 2);
}
