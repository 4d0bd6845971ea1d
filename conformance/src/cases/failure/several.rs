//! Hostile errors, refusals while failing, and several errors at once.

use super::*;

/// An error that panics when it is formatted, compared or hashed.
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

pub async fn o_20_an_error_type_with_hostile_trait_impls(t: &Test) {
    for collect in [false, true] {
        let before = t.ledger.read().completed;
        let gate = Gate::new();
        let builder = TaskGroup::builder(t.spawner()).on_failure(|_, _| ());
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
        match collect || t.one_at_a_time() {
            true => assert_eq!(failed, if collect { 2 } else { 1 }),
            false => assert!((1..=2).contains(&failed)),
        }
        assert!(matches!(error.primary(), Some(Hostile)));
        assert_eq!(t.ledger.read().completed - before, failed);
    }
    assert_eq!(t.ledger.read().dropped, 4);
}

/// Checks that a group that is being cancelled refuses children.
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

pub async fn o_21_siblings_may_not_start_new_work_once_failing_has_begun(t: &Test) {
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

/// Launches a child that launches two more like itself after each yield, until there are `many`.
fn hydra<S: Spawner>(group: Group<S, &'static str>, ledger: Ledger, born: Tally, many: usize) {
    let heads = group.clone();
    group.launch(ledger.clone().track(async move {
        born.add();
        while heads.len() < many {
            yield_now().await;
            hydra(heads.clone(), ledger.clone(), born.clone(), many);
            hydra(heads.clone(), ledger.clone(), born.clone(), many);
        }
        // Not a loop of yields: an executor that is never idle does not steal from its workers, so a blocked worker could keep
        // the child that fails to itself.
        pending::<()>().await
    }));
}

pub async fn o_22_hydra(t: &Test) {
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

pub async fn o_23_several_errors_are_collected(t: &Test) {
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
            // They end one after the other, so that their order is known.
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

pub async fn o_23_more_failures_than_are_kept(t: &Test) {
    let (log, gate) = (t.log.clone(), Gate::new());
    let hook = move |_: &Origin, failure: &Failure<(usize, Capture)>| match failure {
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
    if t.one_at_a_time() {
        assert_eq!(kept, seen[..17], "the first ones");
    }
    let mut different = kept.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 17);
    assert_eq!(t.ledger.read().completed, 20);
}

/// Runs a group with three children: one fails, one is stuck, and one ends with `end` when it is told of the cancel.
async fn told_to_end(t: &Test, end: Fails) -> GroupError<&'static str> {
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

pub async fn o_24_cancelled_siblings_are_not_errors(t: &Test) {
    let error = told_to_end(t, Ok(())).await;
    assert_eq!(errors(&error), ["failed"]);
    assert_eq!(t.log.lines(), ["failed"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (2, 3));
}

pub async fn o_24_an_interrupted_sibling_is_suppressed(t: &Test) {
    let error = told_to_end(t, Err("interrupted")).await;
    assert_eq!(errors(&error), ["failed", "interrupted"]);
    assert_failed_child(&error, 1);
    assert_eq!(sorted(&t.log.lines()), ["failed", "interrupted"]);
    let Entry { completed, dropped, .. } = t.ledger.read();
    assert_eq!((completed, dropped), (2, 3));
}

pub async fn o_25_keep_going(t: &Test) {
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
