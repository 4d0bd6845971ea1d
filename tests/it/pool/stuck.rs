//! A driver that is on its way and never comes: async-executor leaks a task that is woken while the executor is dropped.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use futures_lite::future::block_on;
use taskgroup::async_task::{self, Runnable};
use taskgroup::{Pool, Spawner, Task, TaskGroup, adopt};
use taskgroup_conformance::ledger::Ledger;
use taskgroup_conformance::watched;

/// An executor that does nothing by itself.
#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    gone: bool,
    runnables: Vec<Runnable>,
    tasks: Vec<Waker>,
}

impl Spawner for ByHand {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.queue().gone {
            drop(future);
            return adopt(());
        }
        let by_hand = self.clone();
        let (runnable, task) =
            async_task::spawn(future, move |runnable| by_hand.queue().runnables.push(runnable));
        self.queue().tasks.push(runnable.waker());
        runnable.schedule();
        task
    }
}

impl ByHand {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap()
    }

    fn take(&self) -> Vec<Runnable> {
        std::mem::take(&mut self.queue().runnables)
    }

    /// Runs what is scheduled, until nothing is.
    fn run(&self) {
        loop {
            let runnables = self.take();
            if runnables.is_empty() {
                return;
            }
            for runnable in runnables {
                runnable.run();
            }
        }
    }

    /// Drops all tasks except those that somebody has taken, as an executor does when it is dropped.
    fn go_away(&self) {
        self.queue().gone = true;
        let tasks = std::mem::take(&mut self.queue().tasks);
        tasks.into_iter().for_each(Waker::wake);
        drop(self.take());
    }
}

#[test]
fn a_driver_that_never_comes_does_not_keep_the_others_from_telling() {
    watched(|| {
        let (by_hand, children) = (ByHand::default(), Ledger::default());
        let group = TaskGroup::new(Pool::new(by_hand.clone()));
        group.launch(children.track(pending::<()>()));
        by_hand.run();
        assert_eq!(children.read().polls, 1);
        group.launch(children.track(pending::<()>()));
        let woken = by_hand.take();
        assert_eq!(woken.len(), 1, "one driver is on its way, and stays there");
        by_hand.go_away();
        assert!(block_on(group.join()).unwrap_err().is_lost());
        assert_eq!((children.read().made, children.read().alive()), (2, 0));
        drop(woken);
    });
}
