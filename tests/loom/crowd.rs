//! Children that are put by while the table is locked. In a model two children are a crowd, and there is room for one.

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::task::{Poll, Waker};

use async_task::Runnable;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread::{self, JoinHandle};
use taskgroup::{Spawner, Task, TaskGroup};

use super::{Capture, Keeps, Threads, block_on, bounded};

/// A runtime whose tasks run only when it is told to run them.
#[derive(Clone, Default)]
struct ByHand(Arc<StdMutex<Vec<Runnable>>>);

impl Spawner for ByHand {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let scheduled = self.0.clone();
        let schedule = move |runnable| scheduled.lock().unwrap().push(runnable);
        let (runnable, task) = async_task::spawn(future, schedule);
        runnable.schedule();
        task
    }
}

impl ByHand {
    /// Runs what is scheduled by now, on another thread.
    fn run_elsewhere(&self) -> JoinHandle<()> {
        let scheduled = std::mem::take(&mut *self.0.lock().unwrap());
        thread::spawn(move || {
            scheduled.into_iter().for_each(|runnable| {
                runnable.run();
            })
        })
    }

    fn run(&self) {
        let next = || self.0.lock().unwrap().pop();
        while let Some(runnable) = next() {
            runnable.run();
        }
    }
}

/// A group of two children that wait for ever.
fn crowd() -> (ByHand, TaskGroup<ByHand>) {
    let runtime = ByHand::default();
    let group = TaskGroup::new(runtime.clone());
    for _ in 0..2 {
        group.launch(pending::<()>());
    }
    runtime.run();
    (runtime, group)
}

fn end(runtime: &ByHand, group: TaskGroup<ByHand>) {
    group.cancel();
    runtime.run();
    block_on(group.join()).unwrap();
}

/// Red if `State::turn_of` checks whether it may put by only before it has the lock of the list. Also red if
/// `State::disperse` takes the children that were put by before it clears the mark.
#[test]
fn the_last_of_a_crowd_end_at_once() {
    bounded(2, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let group = TaskGroup::new(Threads);
        for _ in 0..3 {
            group.launch(Keeps::new((), &alive));
        }
        block_on(group.join()).unwrap();
        assert_eq!(alive.load(SeqCst), 0);
    });
}

/// Red if `State::len` does not hand in first.
#[test]
fn whoever_was_put_by_is_not_counted() {
    bounded(3, || {
        let (runtime, group) = crowd();
        group.launch(async {});
        let runs = runtime.run_elsewhere();
        group.launch(pending::<()>());
        runs.join().unwrap();
        assert_eq!(group.len(), 3);
        end(&runtime, group);
    });
}

/// Red if `State::leaving` does not entangle. Also red if it does not hand in.
#[test]
fn whoever_waits_for_a_child_is_told_also_if_it_is_put_by() {
    bounded(3, || {
        let (runtime, group) = crowd();
        let child = group.spawn(async {}).cancel_handle();
        let runs = runtime.run_elsewhere();
        group.launch(pending::<()>());
        block_on(child.ended());
        runs.join().unwrap();
        end(&runtime, group);
    });
}

/// Red if `State::register_cleanup` does not entangle: the clean-up would begin only when another child ends.
#[test]
fn a_clean_up_begins_when_its_child_has_ended() {
    bounded(3, || {
        let cleaned = Arc::new(AtomicUsize::new(0));
        let (runtime, group) = crowd();
        let (member, cleans, woken) =
            (group.group(), cleaned.clone(), Arc::<StdMutex<Option<Waker>>>::default());
        let waits = woken.clone();
        group.launch(async move {
            member.defer(async move { cleans.store(1, SeqCst) });
            poll_fn(|cx| match waits.lock().unwrap().replace(cx.waker().clone()) {
                None => Poll::Pending,
                Some(_) => Poll::Ready(()),
            })
            .await
        });
        runtime.run();
        let waker = woken.lock().unwrap().clone();
        waker.expect("it waits").wake();
        let runs = runtime.run_elsewhere();
        group.launch(pending::<()>());
        runs.join().unwrap();
        runtime.run();
        assert_eq!(cleaned.load(SeqCst), 1);
        end(&runtime, group);
    });
}

/// Red if `State::let_out` takes only plain children out of the table.
#[test]
fn a_child_is_cancelled_when_it_was_put_by() {
    bounded(3, || {
        let alive = Arc::new(AtomicUsize::new(0));
        let (runtime, group) = crowd();
        let capture = Capture::new(&alive);
        let child = group.spawn(async move { drop(capture) });
        let runs = runtime.run_elsewhere();
        child.cancel();
        runs.join().unwrap();
        runtime.run();
        assert_eq!(alive.load(SeqCst), 0);
        assert_eq!(group.len(), 2);
        end(&runtime, group);
    });
}
