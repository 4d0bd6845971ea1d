//! Spawners as a third party would write them, with the public API alone.

use std::future::Future;
use std::sync::mpsc;
use std::thread;

use taskgroup::async_task::{self, Runnable};
use taskgroup::{Spawner, Task};

/// Gives each child a thread.
#[derive(Clone, Debug)]
pub struct ThreadEach;

impl Spawner for ThreadEach {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (send, queue) = mpsc::channel::<Runnable>();
        let (runnable, task) = async_task::spawn(future, move |runnable| drop(send.send(runnable)));
        runnable.schedule();
        thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || drive(queue))
            .expect("a thread can be had");
        task
    }
}

fn drive(queue: mpsc::Receiver<Runnable>) {
    for runnable in queue {
        runnable.run();
    }
}

/// Polls a child for the first time inside of `spawn`, and on a thread of its own from then on.
#[derive(Clone, Debug)]
pub struct Inline;

impl Spawner for Inline {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (runnable, task) = async_task::spawn(future, |runnable| drop(inline_queue().send(runnable)));
        runnable.run();
        task
    }
}

fn inline_queue() -> &'static mpsc::Sender<Runnable> {
    static QUEUE: std::sync::OnceLock<mpsc::Sender<Runnable>> = std::sync::OnceLock::new();
    QUEUE.get_or_init(|| {
        let (send, queue) = mpsc::channel::<Runnable>();
        thread::spawn(move || drive(queue));
        send
    })
}

/// Drops what it is given, as a runtime that has shut down does.
#[derive(Clone, Debug)]
pub struct Dropping;

impl Spawner for Dropping {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(future);
        taskgroup::adopt(())
    }
}

/// Runs a child wherever it is woken, so inside of whatever wakes it or drops its handle.
#[derive(Clone, Debug)]
pub struct WhereWoken;

impl Spawner for WhereWoken {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (runnable, task) = async_task::spawn(future, |runnable: Runnable| {
            runnable.run();
        });
        runnable.run();
        task
    }
}
