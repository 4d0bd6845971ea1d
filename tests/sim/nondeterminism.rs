//! A scenario that depends on something besides the simulation is detected.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;
use std::thread;

use futures_lite::future::yield_now;
use taskgroup::sim::Checker;
use taskgroup::{Spawner, TaskGroup};

use crate::{fault, yields};

#[test]
fn it_is_told_where_two_runs_part() {
    let runs = Cell::new(0);
    let error = fault(async |sim| {
        runs.set(runs.get() + 1);
        let group = TaskGroup::new(sim);
        group.child().name("first").spawn(yields(1)).await.unwrap();
        group.child().name("second").launch(yields(runs.get() % 2));
        group.join().await.unwrap();
    });
    assert!(error.is_nondeterministic());
    let text = error.to_string();
    assert!(text.contains("run again, it went another way after turn 5, where second (tests"), "{text}");
    assert!(text.contains("was woken at first and then"), "{text}");
}

#[test]
fn a_failure_that_does_not_come_again_is_not_taken_for_one() {
    let runs = Cell::new(0);
    let error = Checker::new().try_check(async |_| {
        runs.set(runs.get() + 1);
        if runs.get() == 10 {
            std::panic::resume_unwind(Box::new("once"));
        }
        yield_now().await;
    });
    assert!(error.unwrap_err().is_nondeterministic());
}

#[test]
fn an_exhaustive_check_finds_that_a_choice_is_another_one() {
    let runs = Cell::new(0);
    let error = Checker::new().exhaustive().try_check(async |sim| {
        runs.set(runs.get() + 1);
        let group = TaskGroup::new(sim);
        for _ in 0..if runs.get() > 3 { 3 } else { 2 } {
            group.launch(yields(2));
        }
        group.join().await.unwrap();
    });
    let error = error.unwrap_err();
    assert!(error.is_nondeterministic(), "{error}");
}

#[test]
fn a_wake_by_another_thread_is_none_of_a_simulation() {
    let error = fault(async |_| {
        let mut woken = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake()).join().unwrap();
            Poll::Pending
        })
        .await;
    });
    assert!(error.is_nondeterministic());
    assert!(error.to_string().starts_with("a task was started or woken by a thread"), "{error}");
}

#[test]
fn a_task_of_another_thread_is_none_of_a_simulation() {
    let error = fault(async |sim| {
        thread::spawn(move || sim.spawn(async {}).detach()).join().unwrap();
        yield_now().await;
    });
    assert!(error.is_nondeterministic());
    assert!(error.to_string().starts_with("a task was started or woken by a thread"), "{error}");
}
