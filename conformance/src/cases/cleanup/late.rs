//! Clean-ups that take longer than the group's `cleanup_timeout`.

use std::convert::Infallible;
use std::future::pending;

use futures_lite::future::{yield_now, zip};
use taskgroup::{Failure, GroupError, TaskGroup, scope};

use crate::cases::crank::{Crank, at, cranked};
use crate::ledger::{Gate, Tally};
use crate::test::Test;

/// Returns the number of failures. All of them have to be clean-ups that took too long.
#[track_caller]
fn timeouts<E: std::fmt::Debug>(error: &GroupError<E>) -> usize {
    let late =
        |(_, failure): (_, &Failure<E>)| assert!(matches!(failure, Failure::CleanupTimeout), "{failure:?}");
    error.failures().map(late).count()
}

/// Sets the clock once a timer has begun. A timer that begins afterwards would count from the new time.
async fn crank_to(crank: &Crank, seconds: u64) {
    while crank.sleeps() == 0 {
        yield_now().await;
    }
    crank.to(seconds);
}

pub async fn one_that_takes_too_long_is_dropped_and_the_next_one_runs(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).cleanup_timeout(at(5)).open();
    let (own, log, ledger) = (group.group(), t.log.clone(), t.ledger.clone());
    group.launch(t.child(async move {
        let (next, late) = (log.clone(), log.on_drop("dropped"));
        own.defer(async move { next.write("the next one") });
        own.defer(ledger.track(async move {
            let _late = late;
            pending::<()>().await
        }));
    }));
    let error = zip(group.join(), crank_to(&crank, 5)).await.0.unwrap_err();
    assert_eq!(timeouts(&error), 1);
    assert_eq!(error.failures().next().unwrap().1.to_string(), "the clean-up took too long");
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["dropped".into(), "the next one".into()], 0));
}

pub async fn one_that_never_ends_holds_the_group_until_then(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).cleanup_timeout(at(5)).open();
    let (own, stuck, begun) = (group.group(), t.stuck(), Gate::new());
    let open = begun.clone();
    group.launch(t.child(async move {
        own.defer(stuck);
        open.open();
        pending::<()>().await
    }));
    begun.wait().await;
    group.cancel();
    let driver = async {
        crank_to(&crank, 4).await;
        for _ in 0..20 {
            yield_now().await;
        }
        t.log.write("holds");
        assert_eq!(t.ledger.read().alive(), 1);
        crank.to(5);
    };
    assert_eq!(timeouts(&zip(group.join(), driver).await.0.unwrap_err()), 1);
    assert_eq!(t.log.lines(), ["holds"]);
}

pub async fn each_has_so_much_time_from_when_it_begins(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).cleanup_timeout(at(5)).open();
    let (own, begun, gate) = (group.group(), Tally::new(), Gate::new());
    for _ in 0..2 {
        let (own, begin, wait) = (own.clone(), begun.clone(), gate.clone());
        group.launch(t.child(async move {
            let again = (begin.clone(), wait.clone());
            own.defer(async move {
                again.0.add();
                again.1.wait().await;
            });
            own.defer(async move {
                begin.add();
                wait.wait().await;
            });
        }));
    }
    begun.take(2).await;
    let driver = async {
        // At 5 the time of the first two clean-ups is over, and the other two begin.
        crank.to(5);
        begun.take(2).await;
        while crank.sleeps() < 2 {
            yield_now().await;
        }
        crank.to(9);
        gate.open();
    };
    assert_eq!(timeouts(&zip(group.join(), driver).await.0.unwrap_err()), 2);
    assert_eq!(crank.sleeps(), 0);
}

pub async fn one_that_ends_in_time_drops_its_timer(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).cleanup_timeout(at(5)).open();
    let (own, timer, log) = (group.group(), crank.clone(), t.log.clone());
    group.launch(t.child(async move {
        own.defer(async move {
            yield_now().await;
            log.write(format!("{} timer", timer.sleeps()));
        });
    }));
    group.join().await.unwrap();
    assert_eq!((t.log.lines(), crank.sleeps()), (vec!["1 timer".into()], 0));
}

pub async fn a_timeout_is_suppressed_behind_what_went_before(t: &Test) {
    let (crank, spawner) = cranked(t);
    let result = scope(spawner, |group| async move {
        group.defer(pending::<()>());
        Err::<(), _>("body")
    });
    let error = zip(result.cleanup_timeout(at(5)), crank_to(&crank, 5)).await.0.unwrap_err();
    assert_eq!(error.primary(), Some(&"body"));
    assert!(matches!(error.suppressed().next(), Some(Failure::CleanupTimeout)));
}

pub async fn a_timeout_fails_the_others(t: &Test) {
    let (crank, spawner) = cranked(t);
    let group = TaskGroup::builder::<Infallible>(spawner).cleanup_timeout(at(5)).open();
    let (own, stuck) = (group.group(), t.stuck());
    group.launch(t.stuck());
    group.launch(t.child(async move { own.defer(stuck) }));
    assert_eq!(timeouts(&zip(group.join(), crank_to(&crank, 5)).await.0.unwrap_err()), 1);
    assert_eq!(t.ledger.read().completed, 1);
}
