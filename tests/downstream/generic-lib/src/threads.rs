//! The runtime of the tests.

use std::sync::mpsc;
use std::thread;

use async_task::Runnable;
use taskgroup::{Spawner, Task};

/// Runs each child on its own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads;

impl Spawner for Threads {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (send, queue) = mpsc::channel::<Runnable>();
        let (runnable, task) = async_task::spawn(future, move |runnable| drop(send.send(runnable)));
        runnable.schedule();
        // The task has the only sender, so the queue closes when the task ends.
        thread::spawn(move || {
            for runnable in queue {
                runnable.run();
            }
        });
        task
    }
}
