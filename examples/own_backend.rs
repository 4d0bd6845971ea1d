//! Shows your own runtime, a pool of threads around one queue, and groups on it.
//!
//! ```text
//! cargo run --example own_backend --no-default-features
//! cargo test --example own_backend --no-default-features
//! ```
//!
//! `Threads` is the whole runtime. It makes its tasks with `async_task`, so it can return their handles unchanged. A
//! runtime with its own kind of handle uses `taskgroup::adopt`.

use std::convert::Infallible;
use std::error::Error;
use std::num::ParseIntError;
use std::thread;

use async_channel::Sender;
use async_task::Runnable;
use futures_lite::future::{block_on, pending, yield_now};
use taskgroup::{GroupError, Spawner, Task, TaskGroup, scope};

/// Some threads that run the tasks that are ready. They end when no task is left that could become ready.
#[derive(Clone, Debug)]
struct Threads {
    queue: Sender<Runnable>,
}

impl Threads {
    fn new(threads: usize) -> Self {
        let (queue, ready) = async_channel::unbounded::<Runnable>();
        for _ in 0..threads {
            let ready = ready.clone();
            thread::spawn(move || {
                while let Ok(runnable) = ready.recv_blocking() {
                    runnable.run();
                }
            });
        }
        Self { queue }
    }
}

impl Spawner for Threads {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let queue = self.queue.clone();
        let schedule = move |runnable| queue.try_send(runnable).expect("threads live as long as a task");
        let (runnable, task) = async_task::spawn(future, schedule);
        runnable.schedule();
        task
    }
}

// The suite that every spawner has to pass: more than five hundred tests.
#[cfg(test)]
taskgroup_conformance::suite!(own_backend, || Threads::new(2));

fn main() -> Result<(), Box<dyn Error>> {
    let threads = Threads::new(2);
    block_on(async {
        let sum = lengths(&threads, &["one", "two", "three"]).await?;
        println!("a scope: {sum} characters");
        assert_eq!(sum, 11);

        let error = failure(&threads).await.unwrap_err();
        println!("a failure: {error}");

        connections(threads).await?;
        println!("a group: a thousand came, one stayed and was cancelled");
        Ok(())
    })
}

/// Runs a scope: borrowed values stay in the body, and the children own what they need.
async fn lengths(threads: &Threads, words: &[&'static str]) -> Result<usize, GroupError<Infallible>> {
    scope(threads.clone(), |group| async move {
        let lengths: Vec<_> = words.iter().map(|word| group.spawn(async { Ok(word.len()) })).collect();
        let mut sum = 0;
        for length in lengths {
            sum += length.value().await;
        }
        Ok(sum)
    })
    .await
}

/// Runs a scope in which a child fails, so the body need not end by itself.
async fn failure(threads: &Threads) -> Result<(), GroupError<ParseIntError>> {
    scope(threads.clone(), |group| async move {
        group.launch(async { "12x".parse::<u32>() });
        pending().await
    })
    .await
}

/// Runs a group that is not tied to a scope, as a server would have one.
async fn connections(threads: Threads) -> Result<(), GroupError<Infallible>> {
    let group = TaskGroup::new(threads);
    for _ in 0..1000 {
        group.launch(yield_now());
    }
    group.idle().await;
    group.launch(pending::<()>());
    assert_eq!(group.len(), 1);
    group.cancel();
    group.join().await
}
