//! Every child is cancelled at every poll, as its handle would cancel it.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;

use futures_lite::future::yield_now;
use taskgroup::sim::{Checker, Sim};
use taskgroup::{CancelReason, Spawner, Task, TaskGroup, shield};

use crate::time::at;
use crate::yields;

/// One schedule, in which every child is cut at every poll.
fn one() -> Checker {
    Checker::new().exhaustive_within(0).cancel_everywhere()
}

/// Records how far a child came.
struct Progress<'a> {
    steps: u32,
    to: &'a RefCell<Vec<u32>>,
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.to.borrow_mut().push(self.steps);
    }
}

impl Progress<'_> {
    async fn run(mut self, steps: u32) {
        for _ in 0..steps {
            self.steps += 1;
            yield_now().await;
        }
    }
}

/// Returns how far a child came in each run: by itself, and when it was cut.
fn progress(case: impl AsyncFn(Sim, Progress<'static>)) -> (usize, Vec<u32>) {
    let to: &'static RefCell<Vec<u32>> = Box::leak(Box::default());
    let report = one().check(async |sim| case(sim, Progress { steps: 0, to }).await);
    (report.schedules(), to.take().split_off(1))
}

#[test]
fn a_child_is_cut_instead_of_each_of_its_polls() {
    let (runs, steps) = progress(async |sim, progress| {
        let group = TaskGroup::new(sim);
        group.launch_local(progress.run(3));
        group.join().await.unwrap();
    });
    // Once to its end, which is a fourth poll. Then cut unpolled, and after each step.
    assert_eq!((runs, &*steps), (5, &[3, 0, 1, 2, 3][..]));
}

#[test]
fn a_child_that_does_not_return_is_cut_while_it_waits_too() {
    let (runs, steps) = progress(async |sim, progress| {
        let group = TaskGroup::new(sim.clone());
        group.launch_local(async move {
            progress.run(1).await;
            pending::<()>().await
        });
        sim.sleep(at(1)).await;
        group.cancel();
        group.join().await.unwrap();
    });
    assert_eq!((runs, &*steps), (4, &[1, 0, 1, 1][..]));
}

#[test]
fn a_child_that_is_cut_while_it_waits_is_gone_at_once() {
    let (before, after) = (Cell::new(0), Cell::new(0));
    one().check(async |sim| {
        let group = TaskGroup::new(sim.clone());
        group.launch(pending::<()>());
        sim.sleep(at(1)).await;
        let count = if group.is_empty() { &before } else { &after };
        count.set(count.get() + 1);
        group.cancel();
        group.join().await.unwrap();
    });
    // The first run is made twice. When the child is cut, unpolled or while it waits, it is gone after a second.
    assert_eq!((before.get(), after.get()), (2, 2));
}

#[test]
fn only_that_child_is_cancelled() {
    let cut = RefCell::new(Vec::new());
    one().check(async |sim| {
        let group = TaskGroup::new(sim);
        let children = [1, 2].map(|child| group.child().spawn(async move { Ok(child) }));
        for (child, handle) in [1, 2].into_iter().zip(children) {
            match handle.await {
                Ok(value) => assert_eq!(value, child),
                Err(error) => {
                    assert!(error.is_cancelled());
                    cut.borrow_mut().push(child);
                }
            }
        }
        assert!(!group.is_cancelled());
        group.join().await.unwrap();
    });
    assert_eq!(cut.take(), [1, 2]);
}

#[test]
fn a_shield_is_honoured() {
    let (runs, steps) = progress(async |sim, progress| {
        let group = TaskGroup::new(sim);
        group.launch_local(shield(progress.run(3)));
        group.join().await.unwrap();
    });
    // Dropped unpolled, or run to its end.
    assert_eq!((runs, &*steps), (5, &[3, 0, 3, 3, 3][..]));
}

#[test]
fn clean_ups_run_and_are_not_cut() {
    let done = Cell::new(0);
    let report = one().check(async |sim| {
        let group = TaskGroup::new(sim);
        let member = group.group();
        let (send, receive) = async_channel::unbounded();
        group.launch(async move {
            member.defer(async move {
                yields(2).await;
                send.try_send(()).unwrap();
            });
            yields(1).await;
        });
        group.join().await.unwrap();
        done.set(done.get() + u32::from(receive.try_recv().is_ok()));
    });
    // The first run is made twice. The child that is cut unpolled registers no clean-up; the one cut at its second poll has
    // done so.
    assert_eq!((report.schedules(), done.get()), (3, 3));
}

#[test]
fn who_keeps_a_deadline_is_not_cut() {
    let report = one().check(async |sim| {
        let group = TaskGroup::builder::<()>(sim.clone()).timeout(at(5)).open();
        sim.sleep(at(9)).await;
        assert_eq!(group.reason(), Some(CancelReason::Deadline));
        group.join().await.unwrap();
    });
    assert_eq!(report.schedules(), 1);
}

#[test]
fn a_group_in_the_child_ends_before_it() {
    let report = one().check(async |sim| {
        let ended = Rc::new(RefCell::new(Vec::new()));
        struct End(&'static str, Rc<RefCell<Vec<&'static str>>>);
        impl Drop for End {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        let group = TaskGroup::new(sim.clone());
        let (outer, inner) = (End("outer", ended.clone()), End("inner", ended.clone()));
        let begun = Rc::new(Cell::new(false));
        let begins = begun.clone();
        group.launch_local(async move {
            begins.set(true);
            let _outer = outer;
            let group = TaskGroup::new(sim);
            group.launch_local(async move {
                let _inner = inner;
                yields(2).await;
            });
            group.join().await.unwrap();
        });
        group.join().await.unwrap();
        // If the outer child was never polled, both are captures of it.
        assert!(!begun.get() || ended.take() == ["inner", "outer"]);
    });
    assert!(report.schedules() > 5);
}

#[test]
fn it_is_told_which_child_was_cut_and_when() {
    let scenario = async |sim: Sim| {
        let done = Rc::new(Cell::new(false));
        let group = TaskGroup::builder::<()>(sim).name("server").open();
        let reader = done.clone();
        group.child().name("reader").launch_local(async move {
            yields(2).await;
            reader.set(true);
        });
        group.join().await.unwrap();
        if !done.get() {
            std::panic::resume_unwind(Box::new("not done"));
        }
    };
    let error = Checker::new().cancel_everywhere().try_check(scenario).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the scenario panicked: not done\n"), "{text}");
    assert!(text.contains("in run 2, with a cancel of server/reader (tests"), "{text}");
    assert!(text.contains(") instead of its poll 1; the last turns"), "{text}");

    let token = error.token().unwrap();
    assert!(token.ends_with(".cut.1.1"), "{token}");
    let again = Checker::new().replay(token).try_check(scenario).unwrap_err();
    assert_eq!(again.token(), Some(token));
}

#[test]
fn a_task_that_a_spawner_needs_besides_is_not_that_child() {
    #[derive(Clone)]
    struct WithAnother(Sim);
    impl Spawner for WithAnother {
        fn spawn<F>(&self, future: F) -> Task<()>
        where
            F: Future<Output = ()> + Send + 'static,
        {
            let child = self.0.spawn(future);
            self.0.spawn(async {}).detach();
            child
        }
    }
    let report = one().check(async |sim| {
        let group = TaskGroup::new(WithAnother(sim));
        group.launch(async {});
        group.join().await.unwrap();
    });
    assert_eq!(report.schedules(), 2);
}

#[test]
fn a_path_that_has_less_to_choose_from_after_a_cut_is_followed_too() {
    let report = Checker::new().exhaustive().cancel_everywhere().check(async |sim| {
        let group = TaskGroup::new(sim);
        let member = group.group();
        group.launch(async move {
            yields(1).await;
            (0..3).for_each(|_| member.launch(async {}));
        });
        group.launch(yields(2));
        group.join().await.unwrap();
    });
    assert!(report.is_complete());
}

#[test]
fn a_path_is_followed_as_far_as_that_goes_after_a_cut() {
    let report = Checker::new().exhaustive().cancel_everywhere().check(async |sim| {
        let group = TaskGroup::new(sim);
        (0..2).for_each(|_| group.launch(yields(1)));
        group.join().await.unwrap();
    });
    assert!(report.is_complete());
    // Six orders, each with two children that are cut at their two polls.
    assert_eq!(report.schedules(), 6 + 6 * 4);
}
