//! The runtime of the tests.

use std::sync::mpsc;
use std::thread;

use async_task::Runnable;
use taskgroup::{Spawner, Task};

/// Gives each child a thread.
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
        // The queue ends with the task, which has the only sender.
        thread::spawn(move || {
            for runnable in queue {
                runnable.run();
            }
        });
        task
    }
}
