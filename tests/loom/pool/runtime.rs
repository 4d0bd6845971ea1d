//! A runtime that can be shut down, and what its children wait for.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::task::{Poll, Waker};

use async_task::Runnable;
use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};
use taskgroup::{Spawner, Task, adopt};

use crate::Capture;

/// A runtime that can be shut down, with one thread for each [`worker`](Self::worker).
#[derive(Clone, Default)]
pub(super) struct Runtime(Arc<Tasks>);

#[derive(Default)]
struct Tasks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Runnable>,
    /// How many futures are not destroyed yet.
    live: usize,
    /// The waker of every task that was ever polled, to wake it at the end.
    wakers: Vec<Waker>,
    /// Tasks are dropped, and not run.
    down: bool,
    /// The threads end when no task is left.
    done: bool,
}

impl Spawner for Runtime {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.0.state.lock().unwrap();
        if state.down {
            drop(state);
            drop(future);
            return adopt(());
        }
        state.live += 1;
        drop(state);
        let (live, tasks) = (Live(self.0.clone()), self.0.clone());
        let mut known = false;
        let mut future = Box::pin(future);
        let (runnable, task) = async_task::spawn(
            std::future::poll_fn(move |cx| {
                if !std::mem::replace(&mut known, true) {
                    live.0.state.lock().unwrap().wakers.push(cx.waker().clone());
                }
                future.as_mut().poll(cx)
            }),
            move |runnable| tasks.push(runnable),
        );
        runnable.schedule();
        task
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl Tasks {
    fn push(&self, runnable: Runnable) {
        self.state.lock().unwrap().queue.push_back(runnable);
        self.changed.notify_all();
    }
}

impl Runtime {
    pub(super) fn worker(&self) -> JoinHandle<()> {
        let tasks = self.0.clone();
        thread::spawn(move || {
            let mut state = tasks.state.lock().unwrap();
            loop {
                if let Some(runnable) = state.queue.pop_front() {
                    let down = state.down;
                    drop(state);
                    if down {
                        drop(runnable);
                    } else {
                        runnable.run();
                    }
                    state = tasks.state.lock().unwrap();
                } else if state.done && state.live == 0 {
                    return;
                } else {
                    state = tasks.changed.wait(state).unwrap();
                }
            }
        })
    }

    /// Runs everything that is scheduled. It does so on the calling thread.
    pub(super) fn run(&self) {
        let next = || self.0.state.lock().unwrap().queue.pop_front();
        while let Some(runnable) = next() {
            runnable.run();
        }
    }

    /// Drops every task.
    pub(super) fn shut_down(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.down = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Blocks until at most `live` futures are left.
    pub(super) fn until(&self, live: usize) {
        let mut state = self.0.state.lock().unwrap();
        while state.live > live {
            state = self.0.changed.wait(state).unwrap();
        }
    }

    /// Lets the workers end, which they do when no task is left. A driver that stays is a deadlock.
    pub(super) fn finish(&self, worker: JoinHandle<()>) {
        let mut state = self.0.state.lock().unwrap();
        state.done = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        drop(wakers);
        self.0.changed.notify_all();
        worker.join().unwrap();
    }
}

/// Counts a future off when it is destroyed.
struct Live(Arc<Tasks>);

impl Drop for Live {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.live -= 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

/// Something that one child waits for.
#[derive(Default)]
pub(super) struct Turn(Mutex<(bool, Option<Waker>)>, Condvar);

impl Turn {
    pub(super) async fn come(&self) {
        std::future::poll_fn(|cx| {
            let mut turn = self.0.lock().unwrap();
            if turn.0 {
                return Poll::Ready(());
            }
            turn.1 = Some(cx.waker().clone());
            self.1.notify_all();
            Poll::Pending
        })
        .await
    }

    /// Waits for its turn, and then drops the capture.
    pub(super) fn holds(self: &Arc<Self>, capture: Capture) -> impl Future<Output = ()> + Send + use<> {
        let turn = self.clone();
        async move {
            turn.come().await;
            drop(capture);
        }
    }

    /// Blocks until a task waits.
    pub(super) fn is_awaited(&self) {
        let mut turn = self.0.lock().unwrap();
        while turn.1.is_none() {
            turn = self.1.wait(turn).unwrap();
        }
    }

    pub(super) fn is_here(&self) {
        let mut turn = self.0.lock().unwrap();
        turn.0 = true;
        let waker = turn.1.take();
        drop(turn);
        waker.into_iter().for_each(Waker::wake);
    }
}
