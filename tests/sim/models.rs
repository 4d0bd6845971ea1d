//! The crate's own behaviour, in models that run under many schedules.
//!
//! In each model nothing of the group is left when it has been joined, and what the model counts is right in every order of
//! events. `TASKGROUP_SCHEDULES` sets how many different schedules all models go through together:
//!
//! ```text
//! TASKGROUP_SCHEDULES=1000000 cargo test --release --features sim --test sim models -- --nocapture
//! ```

mod counts;

use std::collections::HashSet;
use std::future::pending;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_lite::FutureExt;
use futures_lite::future::{or, yield_now};
use taskgroup::sim::{Checker, Sim};
use taskgroup::{CancelReason, Failure, Group, TaskGroup, race, scope, shield};

use self::counts::{Count, Log};
use crate::time::at;
use crate::yields;

/// How many different schedules all models go through together by default.
const SCHEDULES: u64 = 100_000;

macro_rules! models {
    ($($model:ident)*) => {
        /// Runs each small change to the order of the queue. Also cuts each child everywhere, if the model allows it.
        mod with_few_departures {
            $(#[test]
            fn $model() {
                let report = super::Checker::new().exhaustive_within(2).schedules(5_000).check(super::$model);
                assert_eq!(report.distinct(), report.schedules());
            })*
        }

        #[test]
        fn many_different_schedules() {
            let models: &[(&str, fn(u64) -> u64)] =
                &[$((stringify!($model), |most| different(most, $model))),*];
            let all = std::env::var("TASKGROUP_SCHEDULES").map_or(SCHEDULES, |all| all.parse().unwrap());
            let begun = Instant::now();
            let mut sum = 0;
            for (model, left) in models.iter().zip((1..=models.len() as u64).rev()) {
                let (name, run) = model;
                // Models with more schedules make up for those with few.
                let distinct = run(all.saturating_sub(sum).div_ceil(left));
                println!("{distinct:>9} {name}");
                sum += distinct;
            }
            println!("{sum:>9} different schedules in {:?}", begun.elapsed());
            assert!(sum >= all, "{sum} are less than {all}");
        }
    };
}

models! {
    a_panic_among_siblings
    a_deadline_against_completion
    a_handle_that_cancels_against_the_end
    background_children_end_last
    all_failures_are_collected
    a_scope_that_is_dropped_half_way
    a_shield_against_a_cancel
    clean_ups_in_their_order
    a_race_for_the_first_success
    results_as_they_come
    fail_fast_among_siblings
    teardown_from_the_inside_out
    places_under_a_limit
    siblings_that_spawn_while_the_group_is_joined
}

/// Runs a model under `goal` different schedules, or until hardly any is new, and returns how many there were.
fn different(goal: u64, model: impl AsyncFn(Sim)) -> u64 {
    let mut seen = HashSet::<u64>::new();
    for seed in 0.. {
        let Some(missing) = goal.checked_sub(seen.len() as u64).filter(|missing| *missing > 0) else { break };
        let before = seen.len();
        let report = Checker::new().schedules(missing.max(1_000)).seed(seed).check(&model);
        seen.extend(report.traces());
        if seen.len() < before + report.schedules() / 10 {
            break;
        }
    }
    seen.len() as u64
}

async fn fail_fast_among_siblings(sim: Sim) {
    let (alive, failed) = (Count::default(), Count::default());
    let (inside, errors) = (alive.clone(), failed.clone());
    let result = scope(sim.clone(), async move |group: Group<_, u32>| {
        for child in 0..5 {
            let (held, failed) = (inside.hold(), errors.clone());
            group.launch(async move {
                let _held = held;
                yields(1 + child).await;
                if child == 0 {
                    pending::<()>().await;
                }
                failed.add();
                Err::<(), _>(child)
            });
        }
        pending::<Result<(), u32>>().await
    })
    .await;
    assert_eq!((alive.get(), sim.alive()), (0, 0));
    let error = result.unwrap_err();
    assert_eq!(error.failures().len() + error.not_kept(), failed.get() as usize, "an error was lost");
    assert!(
        matches!(error.reason(), Some(CancelReason::Failed(origin)) if origin == error.origin().unwrap())
    );
    assert!(error.primary().is_some_and(|child| (1..5).contains(child)));
}

async fn a_panic_among_siblings(sim: Sim) {
    let (alive, panicked) = (Count::default(), Count::default());
    let group = TaskGroup::builder::<&str>(sim.clone()).open();
    for child in 0..6 {
        let (held, panicked) = (alive.hold(), panicked.clone());
        group.launch(async move {
            let _held = held;
            yields(2 + child).await;
            match child {
                0 => Err::<(), _>("an error"),
                1 | 2 => {
                    panicked.add();
                    std::panic::resume_unwind(Box::new("a panic"))
                }
                _ => pending().await,
            }
        });
    }
    let joined = AssertUnwindSafe(group.join()).catch_unwind().await;
    assert_eq!((alive.get(), sim.alive()), (0, 0));
    match joined {
        Err(payload) => assert_eq!(payload.downcast_ref(), Some(&"a panic")),
        Ok(result) => {
            assert_eq!(panicked.get(), 0, "a panic was lost");
            assert_eq!(result.unwrap_err().primary(), Some(&"an error"));
        }
    }
}

async fn all_failures_are_collected(sim: Sim) {
    let told = Log::default();
    let hook = told.clone();
    let group = TaskGroup::builder::<u32>(sim.clone())
        .collect()
        .on_failure(move |_, failure| match failure {
            Failure::Own(child) => hook.write(*child),
            other => panic!("{other:?}"),
        })
        .open();
    for child in 0..6 {
        group.launch(async move {
            yields(child % 3).await;
            if child % 2 == 0 { Err(child) } else { Ok(()) }
        });
    }
    let error = group.join().await.unwrap_err();
    assert_eq!(sim.alive(), 0);
    let failures: Vec<_> = error
        .into_failures()
        .map(|(_, failure)| match failure {
            Failure::Own(child) => child,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(failures, told.read(), "kept in another order than told");
    let mut sorted = failures;
    sorted.sort();
    assert_eq!(sorted, [0, 2, 4]);
}

async fn teardown_from_the_inside_out(sim: Sim) {
    let (ended, begun) = (Log::default(), Log::default());
    let outer = TaskGroup::new(sim.clone());
    let (spawner, ends, begins) = (sim.clone(), ended.clone(), begun.clone());
    outer.launch(async move {
        begins.write(1);
        let _end = ends.at_the_end(1);
        let middle = TaskGroup::new(spawner.clone());
        for child in 0..2 {
            let (spawner, ends, begins) = (spawner.clone(), ends.clone(), begins.clone());
            middle.launch(async move {
                begins.write(10 + child);
                let _end = ends.at_the_end(10 + child);
                let inner = TaskGroup::new(spawner);
                inner.launch(async move {
                    begins.write(100 + child);
                    let _end = ends.at_the_end(100 + child);
                    pending::<()>().await
                });
                inner.join().await.unwrap();
            });
        }
        middle.join().await.unwrap();
    });
    for _ in 0..6 {
        yield_now().await;
    }
    outer.cancel();
    outer.join().await.unwrap();
    assert_eq!(sim.alive(), 0);
    let order = ended.read();
    let place = |member| order.iter().position(|ended| *ended == member);
    assert_eq!(order.len(), begun.read().len());
    for (inside, around) in [(10, 1), (11, 1), (100, 10), (101, 11)] {
        if let Some(inside) = place(inside) {
            assert!(inside < place(around).expect("it began before"), "{order:?}");
        }
    }
}

async fn a_scope_that_is_dropped_half_way(sim: Sim) {
    let alive = Count::default();
    let outer = TaskGroup::new(sim.clone());
    let (spawner, inside) = (sim.clone(), alive.clone());
    outer.launch(async move {
        let scope = scope(spawner, async move |group: Group<_, ()>| {
            for _ in 0..3 {
                let held = inside.hold();
                group.launch(async move {
                    let _held = held;
                    shield(yields(2)).await;
                    pending::<()>().await
                });
            }
            pending::<Result<(), ()>>().await
        });
        let cut = async {
            yields(2).await;
            Ok(())
        };
        or(scope, cut).await.unwrap();
    });
    outer.join().await.unwrap();
    assert_eq!((alive.get(), sim.alive()), (0, 0));
}

async fn places_under_a_limit(sim: Sim) {
    let (running, done) = (Count::default(), Count::default());
    let group = TaskGroup::builder::<()>(sim.clone()).limit(NonZero::new(2).unwrap()).open();
    let handles: Vec<_> = (0..6)
        .map(|child| {
            let (running, done) = (running.clone(), done.clone());
            group.spawn(async move {
                let held = running.hold();
                assert!(running.get() <= 2, "more than the limit");
                yields(child % 3).await;
                drop(held);
                done.add();
                Ok(child)
            })
        })
        .collect();
    yields(3).await;
    handles[5].cancel();
    handles[0].cancel();
    let mut values = 0;
    for handle in handles {
        values += u32::from(handle.await.is_ok());
    }
    group.join().await.unwrap();
    assert_eq!((running.get(), sim.alive()), (0, 0));
    assert!(done.get() >= 4 && values == done.get(), "{values} values of {done:?}");
}

async fn a_deadline_against_completion(sim: Sim) {
    let done = Count::default();
    let (clock, inside) = (sim.clone(), done.clone());
    let result = scope(sim.clone(), async move |group: Group<_, ()>| {
        for child in 0..5 {
            let (clock, done) = (clock.clone(), inside.clone());
            group.launch(async move {
                yields(child % 3).await;
                clock.sleep(at(5)).await;
                yields(child % 2).await;
                done.add();
            });
        }
        clock.sleep(at(5)).await;
        yields(1).await;
        Ok(())
    })
    .timeout(at(5))
    .await;
    assert_eq!((sim.alive(), sim.now()), (0, at(5)));
    match result {
        Ok(()) => assert_eq!(done.get(), 5),
        Err(cut) => assert_eq!(cut.reason(), Some(&CancelReason::Deadline)),
    }
}

async fn a_shield_against_a_cancel(sim: Sim) {
    let (begun, whole, past) = (Count::default(), Count::default(), Count::default());
    let group = TaskGroup::new(sim.clone());
    for _ in 0..4 {
        let (begun, whole, past) = (begun.clone(), whole.clone(), past.clone());
        group.launch(async move {
            yields(1).await;
            shield(async {
                begun.add();
                yields(2).await;
                whole.add();
            })
            .await;
            yields(1).await;
            past.add();
        });
    }
    yields(3).await;
    group.cancel();
    let before = past.get();
    group.join().await.unwrap();
    assert_eq!(sim.alive(), 0);
    assert_eq!(begun.get(), whole.get(), "a shield was cut");
    assert_eq!(past.get(), before, "went on past a cut");
}

async fn clean_ups_in_their_order(sim: Sim) {
    let (log, registered) = (Log::default(), Count::default());
    let group = TaskGroup::fallible::<&str>(sim.clone());
    let child = {
        let (member, log, registered) = (group.group(), log.clone(), registered.clone());
        group.spawn(async move {
            let _end = log.at_the_end(0);
            for number in 1..=3 {
                let log = log.clone();
                member.defer(async move {
                    yields(1).await;
                    log.write(number);
                });
                registered.add();
                yields(1).await;
            }
            Ok::<_, &str>(())
        })
    };
    group.launch(async {
        yields(3).await;
        Err::<(), _>("cancels the others")
    });
    let value = child.await;
    let error = group.join().await.unwrap_err();
    assert_eq!(sim.alive(), 0);
    assert_eq!(error.into_primary().ok(), Some("cancels the others"));
    let registered = registered.get();
    let expected: Vec<_> = std::iter::once(0).chain((1..=registered).rev()).collect();
    assert!(value.is_err() || registered == 3);
    // A child that was never polled records nothing about its end.
    assert!(log.read() == expected || registered == 0, "{log:?}, {registered} registered");
}

async fn a_race_for_the_first_success(sim: Sim) {
    let (alive, won) = (Count::default(), Log::default());
    let (inside, wins) = (alive.clone(), won.clone());
    let result = race(sim.clone(), async move |racers| {
        for racer in 0..5 {
            let (held, won) = (inside.hold(), wins.clone());
            racers.enter(async move {
                let _held = held;
                yields(racer).await;
                if racer < 2 {
                    return Err(racer);
                }
                won.write(racer);
                Ok(racer)
            });
        }
        Ok(())
    })
    .await;
    assert_eq!((alive.get(), sim.alive()), (0, 0));
    assert_eq!(result.ok(), won.read().first().copied());
}

async fn siblings_that_spawn_while_the_group_is_joined(sim: Sim) {
    fn tree(group: &Group<Sim>, depth: u32, ended: Count) {
        let inside = group.clone();
        group.launch(async move {
            yields(depth % 2).await;
            if depth > 0 {
                tree(&inside, depth - 1, ended.clone());
                tree(&inside, depth - 1, ended.clone());
            }
            ended.add();
        });
    }
    let ended = Count::default();
    let group = TaskGroup::new(sim.clone());
    tree(&group, 3, ended.clone());
    let late = group.group();
    group.join().await.unwrap();
    assert_eq!((ended.get(), sim.alive()), (15, 0));
    assert!(late.try_spawn(async {}).unwrap_err().is_closed());
}

async fn a_handle_that_cancels_against_the_end(sim: Sim) {
    let done = Count::default();
    let group = TaskGroup::new(sim.clone());
    let handles: Vec<_> = (0..4)
        .map(|child| {
            let done = done.clone();
            group.spawn(async move {
                yields(child).await;
                done.add();
                Ok(child)
            })
        })
        .collect();
    let canceller: Vec<_> = handles.iter().map(|handle| handle.cancel_handle()).collect();
    group.launch(async move {
        for handle in canceller {
            yields(1).await;
            handle.cancel();
        }
    });
    let mut values = 0;
    for handle in handles {
        match handle.await {
            Ok(_) => values += 1,
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    group.join().await.unwrap();
    assert_eq!((values, sim.alive()), (done.get(), 0));
}

async fn results_as_they_come(sim: Sim) {
    let ended = Log::default();
    let group = TaskGroup::new(sim.clone());
    let mut results = group.results();
    for child in 0..5 {
        let ended = ended.clone();
        results.spawn(async move {
            yields(child % 3).await;
            ended.write(child);
            Ok(child)
        });
    }
    group.close();
    let mut came = Vec::new();
    while let Some(result) = results.next().await {
        came.push(result.unwrap());
        yields(1).await;
    }
    assert_eq!(came, ended.read());
    group.join().await.unwrap();
    assert_eq!(sim.alive(), 0);
}

async fn background_children_end_last(sim: Sim) {
    let (alive, served) = (Count::default(), Count::default());
    let group = TaskGroup::new(sim.clone());
    let (asks, asked) = async_channel::bounded::<async_channel::Sender<()>>(1);
    let (held, serves) = (alive.hold(), served.clone());
    group.child().background().launch(async move {
        let _held = held;
        while let Ok(answer) = asked.recv().await {
            yields(1).await;
            serves.add();
            answer.send(()).await.unwrap();
        }
    });
    for _ in 0..3 {
        let asks = asks.clone();
        group.launch(async move {
            let (answer, answered) = async_channel::bounded(1);
            asks.send(answer).await.expect("the service is there until all others have ended");
            answered.recv().await.expect("and answers");
        });
    }
    group.join().await.unwrap();
    assert_eq!((alive.get(), served.get(), sim.alive()), (0, 3, 0));
}
