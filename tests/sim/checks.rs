//! Which schedules are run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use taskgroup::sim::{Checker, Report, Sim};
use taskgroup::{Spawner, TaskGroup};

use crate::yields;

/// Three children with so many turns each.
fn three(turns: u32) -> impl AsyncFn(Sim) {
    async move |sim| {
        let group = TaskGroup::new(sim);
        for _ in 0..3 {
            group.launch(yields(turns - 1));
        }
        group.join().await.unwrap();
    }
}

/// Returns the orders in which two children write their names.
fn orders(checker: Checker) -> (BTreeSet<String>, Report) {
    let seen = RefCell::new(BTreeSet::new());
    let report = checker.check(async |sim| {
        let written = std::rc::Rc::new(RefCell::new(String::new()));
        let group = TaskGroup::new(sim);
        for name in ["a", "b"] {
            let written = written.clone();
            group.launch_local(async move {
                written.borrow_mut().push_str(name);
                yields(1).await;
                written.borrow_mut().push_str(name);
            });
        }
        group.join().await.unwrap();
        seen.borrow_mut().insert(written.take());
    });
    (seen.into_inner(), report)
}

#[test]
fn an_exhaustive_check_goes_through_every_order_once() {
    let all = ["aabb", "abab", "abba", "baab", "baba", "bbaa"].map(String::from);
    let (seen, report) = orders(Checker::new().exhaustive());
    assert_eq!(seen, all.into());
    assert!(report.is_complete());
    assert_eq!((report.schedules(), report.distinct()), (6, 6));
}

#[test]
fn there_are_as_many_schedules_as_orders() {
    let report = Checker::new().exhaustive().check(three(2));
    // (2 + 2 + 2)! / (2! 2! 2!)
    assert_eq!((report.schedules(), report.distinct(), report.is_complete()), (90, 90, true));
}

#[test]
fn departures_from_the_queue_are_bounded() {
    let count = |most| {
        let report = Checker::new().exhaustive_within(most).check(three(2));
        assert!(report.is_complete());
        assert_eq!(report.schedules(), report.distinct());
        report.schedules()
    };
    let counts = [count(0), count(1), count(2), count(100)];
    assert_eq!(counts[0], 1);
    assert!(counts[0] < counts[1] && counts[1] < counts[2], "{counts:?}");
    assert_eq!(counts[3], 90);
}

#[test]
fn an_exhaustive_check_that_is_cut_short_says_so() {
    let report = Checker::new().exhaustive().schedules(89).check(three(2));
    assert!(!report.is_complete());
}

#[test]
fn random_orders_and_priorities_see_every_order_of_two() {
    for checker in [Checker::new().random(), Checker::new().priorities()] {
        assert_eq!(orders(checker.schedules(500)).0.len(), 6);
    }
}

#[test]
fn priorities_hold_one_task_up_for_long() {
    // One child has to wait for all sixty turns of the other children.
    let held_up = |checker: Checker| {
        let times = Cell::new(0);
        checker.schedules(500).check(async |sim| {
            let group = TaskGroup::new(sim);
            let done = std::rc::Rc::new(Cell::new(0));
            let (others, seen) = (done.clone(), std::rc::Rc::new(Cell::new(0)));
            let at = seen.clone();
            group.launch_local(async move { at.set(others.get()) });
            for _ in 0..3 {
                let done = done.clone();
                group.launch_local(async move {
                    yields(19).await;
                    done.set(done.get() + 1);
                });
            }
            group.join().await.unwrap();
            times.set(times.get() + u32::from(seen.get() == 3));
        });
        times.get()
    };
    assert_eq!(held_up(Checker::new().random()), 0);
    assert!(held_up(Checker::new().priorities()) > 5);
}

#[test]
fn numbers_that_the_schedule_chooses_are_gone_through_too() {
    let seen = RefCell::new(Vec::new());
    let report = Checker::new().exhaustive_within(0).check(async |sim| {
        let first = sim.choose(3);
        seen.borrow_mut().push((first, if first > 0 { sim.choose(2) } else { 0 }));
    });
    assert!(report.is_complete());
    assert_eq!(seen.take(), [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)].repeat_first());
}

/// The first run is repeated, to check that it goes the same way again. So are some of the other runs.
trait RepeatFirst<T> {
    fn repeat_first(self) -> Vec<T>;
}

impl<T: Copy, const N: usize> RepeatFirst<T> for [T; N] {
    fn repeat_first(self) -> Vec<T> {
        self[..1].iter().chain(&self).copied().collect()
    }
}

#[test]
#[should_panic = "there is no number below zero to choose"]
fn there_is_no_number_below_zero() {
    crate::some().check(async |sim| {
        sim.choose(0);
    });
}

#[test]
fn the_same_seed_gives_the_same_schedules() {
    let traces = |seed| Checker::new().schedules(100).seed(seed).check(three(5)).traces().to_vec();
    assert_eq!(traces(7), traces(7));
    assert_ne!(traces(7), traces(8));
}

/// These traces hold on every machine, and with every version of the crate that reads `v1` tokens: only the simulation
/// itself decides what happens in here.
#[test]
fn traces_are_those_that_were_written_down() {
    let bare = async |sim: Sim| {
        let number = sim.choose(1000);
        let tasks: Vec<_> = (0..4)
            .map(|task| {
                let clock = sim.clone();
                sim.spawn(async move {
                    yields(task).await;
                    clock.sleep(std::time::Duration::from_nanos(u64::from(number) << 30)).await;
                    yields(2).await;
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    };
    let traces = |checker: Checker| checker.check(bare).traces().to_vec();
    let expected = [
        (
            Checker::new().random().schedules(3),
            [0x470f_cb55_e3c4_45e2, 0x31a5_02ac_fe0f_697e, 0x7356_e13f_fe5b_a55e],
        ),
        (
            Checker::new().priorities().schedules(3),
            [0x3ebc_243c_016a_d0da, 0x757d_0786_95c5_382c, 0xfd27_8a2f_e195_771a],
        ),
        (
            Checker::new().exhaustive().schedules(3),
            [0x7629_f390_6947_7919, 0xe7cd_0701_04d8_1825, 0x4449_00c8_5a34_3fa8],
        ),
    ];
    for (checker, expected) in expected {
        let traces = traces(checker);
        assert_eq!(traces, expected, "{traces:#x?}");
    }
}

#[test]
fn blocking_work_and_children_that_are_not_send_run_here_too() {
    crate::some().check(async |sim| {
        let group = TaskGroup::fallible::<&str>(sim);
        let blocking = group.spawn_blocking(|| Ok(3));
        let here = std::rc::Rc::new(4);
        let local = group.spawn_local(async move { Ok(here) });
        assert_eq!(blocking.value().await + *local.value().await, 7);
        group.join().await.unwrap();
    });
}

#[test]
fn a_panic_of_blocking_work_is_its_groups() {
    crate::some().check(async |sim| {
        use futures_lite::FutureExt;
        let group = TaskGroup::new(sim);
        group.spawn_blocking(|| -> () { std::panic::resume_unwind(Box::new("out of cheese")) });
        assert!(std::panic::AssertUnwindSafe(group.join()).catch_unwind().await.is_err());
    });
}
