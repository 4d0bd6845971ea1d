//! Time is virtual: it stands still while any task is runnable, and then jumps to the end of the next sleep.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::future::{or, yield_now};
use taskgroup::runtime::Timer;
use taskgroup::{CancelReason, TaskGroup};

use crate::{some, yields};

pub const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_year_takes_no_time() {
    let begun = Instant::now();
    some().check(async |sim| {
        sim.sleep(at(365 * 24 * 3600)).await;
        assert_eq!(sim.now(), at(365 * 24 * 3600));
    });
    assert!(begun.elapsed() < at(60));
}

#[test]
fn the_clock_stands_still_while_anything_is_runnable() {
    some().check(async |sim| {
        let group = TaskGroup::new(sim.clone());
        let clock = sim.clone();
        group.launch(async move {
            yields(50).await;
            assert_eq!(clock.now(), at(0));
        });
        sim.sleep(Duration::from_nanos(1)).await;
        assert!(group.is_empty());
        group.join().await.unwrap();
    });
}

#[test]
fn who_sleeps_longer_wakes_later() {
    some().check(async |sim| {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let group = TaskGroup::new(sim.clone());
        for seconds in [3, 1, 2] {
            let (clock, woken) = (sim.clone(), woken.clone());
            group.launch_local(async move {
                clock.sleep(at(seconds)).await;
                woken.borrow_mut().push(seconds);
            });
        }
        group.join().await.unwrap();
        assert_eq!(*woken.borrow(), [1, 2, 3]);
    });
}

#[test]
fn who_wakes_at_the_same_time_goes_in_any_order() {
    let seen = RefCell::new(BTreeSet::new());
    some().check(async |sim| {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let group = TaskGroup::new(sim.clone());
        for name in ["a", "b"] {
            let (clock, woken) = (sim.clone(), woken.clone());
            group.launch_local(async move {
                clock.sleep(at(1)).await;
                woken.borrow_mut().push(name);
            });
        }
        group.join().await.unwrap();
        seen.borrow_mut().insert(woken.take());
    });
    assert_eq!(seen.take(), BTreeSet::from([vec!["a", "b"], vec!["b", "a"]]));
}

#[test]
fn a_sleep_that_is_dropped_is_not_waited_for() {
    some().check(async |sim| {
        or(sim.sleep(at(9)), yield_now()).await;
        let mut late = sim.sleep(at(9));
        or(&mut late, yield_now()).await;
        drop(late);
        sim.sleep(at(1)).await;
        assert_eq!(sim.now(), at(1));
    });
}

#[test]
fn to_sleep_for_ever_is_a_deadlock() {
    let error = crate::fault(async |sim| sim.sleep(Duration::MAX).await);
    assert!(error.is_deadlock());
}

#[test]
fn groups_go_by_this_clock() {
    some().check(async |sim| {
        let group = TaskGroup::builder::<()>(sim.clone()).timeout(at(5)).open();
        group.launch(std::future::pending::<()>());
        let cut = group.join().await.unwrap_err();
        assert_eq!(cut.reason(), Some(&CancelReason::Deadline));
        assert_eq!(Timer::now(&sim), at(5));
    });
}
