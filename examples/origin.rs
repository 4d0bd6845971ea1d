//! Rebuilds on a group the asyncio programs of the question that started this crate.
//!
//! ```text
//! cargo run --example origin -- smol
//! ```
//!
//! The question: if a task starts another task and then fails, is the other task cancelled? In asyncio it is not: there
//! is only one level of tasks, and all tasks are equal. One second of the original is 20 ms here. The example checks
//! what each program claims.

#![allow(unreachable_pub, reason = "an example exports nothing")]

use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_lite::future::{pending, yield_now};
use taskgroup::{Group, Spawner, TaskGroup, scope, shield};

const SECOND: Duration = Duration::from_millis(20);

/// What a coroutine raises.
type Exception = &'static str;

/// A runtime with a clock.
trait Runtime: Spawner {
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some((_, run)) = runtimes::COMPILED_IN.iter().find(|(known, _)| *known == name) else {
        let names: Vec<_> = runtimes::COMPILED_IN.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: origin RUNTIME\nruntimes that are compiled in: {}", names.join(", "));
        return ExitCode::from(2);
    };
    run();
    ExitCode::SUCCESS
}

#[allow(dead_code, reason = "nobody calls it without a runtime")]
async fn programs<R: Runtime>(runtime: &R) {
    plain_tasks(runtime).await;
    shielded_task(runtime).await;
    try_finally(runtime).await;
    bag(runtime).await;
    memory_streams(runtime).await;
}

/// The original left `t2` running when `process_result` raised. In a group, `t2` is gone before the caller sees the error.
async fn plain_tasks<R: Runtime>(runtime: &R) {
    println!("-- plain tasks");
    let log = &Log::default();
    let f = scope(runtime.clone(), |group| async move {
        let t1 = group.spawn(coroutine1());
        let t2 = group.spawn(coroutine2(log.on_drop("t2 is gone")));
        let r1 = t1.value().await;
        let r3 = process_result(r1).await?;
        let r2 = t2.value().await;
        Ok(r2 + r3)
    });
    let error = f.await.unwrap_err();
    println!("f raised: {error}");
    assert_eq!(error.primary(), Some(&"process_result"));
    assert_eq!(log.take(), ["t2 is gone"]);
}

/// The original asked what `asyncio.shield` saves. Here the shielded part of a child runs to its end, and the group waits
/// for it.
async fn shielded_task<R: Runtime>(runtime: &R) {
    println!("-- a shielded task");
    let log = &Log::default();
    let f = scope(runtime.clone(), |group| async move {
        let (begin, begun) = async_channel::bounded(1);
        let (runtime, log) = (runtime.clone(), log.clone());
        group.launch(async move {
            let shielded = async {
                send(begin, 1).await;
                runtime.sleep(SECOND).await;
                log.say("the shielded part is done");
            };
            shield(shielded).await;
            pending::<()>().await;
        });
        process_result(begun.recv().await.unwrap()).await
    });
    println!("f raised: {}", f.await.unwrap_err());
    assert_eq!(log.take(), ["the shielded part is done"]);
}

/// The original cancelled `t1` and `t2` by hand, which reaches one level. In a group, the child that `t1` has started is
/// cancelled too.
async fn try_finally<R: Runtime>(runtime: &R) {
    println!("-- try and finally");
    let log = &Log::default();
    let f = scope(runtime.clone(), |group| async move {
        let (begin, begun) = async_channel::bounded(1);
        let t1 = group.spawn(with_child(runtime.clone(), begin, log.clone()));
        let t2 = group.spawn(coroutine2(log.on_drop("t2 is gone")));
        let r3 = process_result(begun.recv().await.unwrap()).await?;
        Ok(t1.value().await + t2.value().await + r3)
    });
    println!("f raised: {}", f.await.unwrap_err());
    assert_eq!(sorted(log.take()), ["t2 is gone", "the child of t1 is gone"]);
}

async fn with_child<R: Runtime>(runtime: R, begin: Sender<u32>, log: Log) -> Result<u32, Exception> {
    let group = TaskGroup::new(runtime);
    group.launch(async move {
        let _gone = log.on_drop("the child of t1 is gone");
        send(begin, 1).await;
        pending::<()>().await;
    });
    group.join().await.map(|()| 1).map_err(|_| "cut short")
}

/// The original let the siblings finish and raised the first exception at the end. A scope with `collect` does the same.
async fn bag<R: Runtime>(runtime: &R) {
    println!("-- the bag");
    let log = &Log::default();
    let bag = scope(runtime.clone(), |bag| async move {
        bag.launch(task1(runtime.clone(), log.clone()));
        bag.launch(task3(runtime.clone(), log.clone(), bag.clone()));
        bag.idle().await;
        bag.launch(task1(runtime.clone(), log.clone()));
        bag.idle().await;
        Ok(())
    });
    let error = bag.collect().await.unwrap_err();
    println!("the bag raised: {error}");
    log.say("Bag closed");
    check_bag(&log.take());
    assert_eq!(error.into_primary().ok(), Some("Task 2 error"));

    // The original leaves this task to the event loop. Here a group owns it, so the program knows when it is gone.
    let stray = TaskGroup::new(runtime.clone());
    stray.launch(task1(runtime.clone(), log.clone()));
    log.say("Program finished");
    stray.cancel();
    stray.join().await.expect("an explicit cancel is no error");
    assert!(!log.take().contains(&"Task1 finished"));
}

fn check_bag(lines: &[&str]) {
    assert_eq!(sorted(lines[..2].to_vec()), ["Task 3 done", "Task1 started"]);
    assert_eq!(sorted(lines[2..4].to_vec()), ["Task1 finished", "Task2 raises"]);
    assert_eq!(lines[4..], ["Task1 started", "Task1 finished", "Bag closed"]);
}

async fn task1<R: Runtime>(runtime: R, log: Log) {
    log.say("Task1 started");
    runtime.sleep(2 * SECOND).await;
    log.say("Task1 finished");
}

async fn task2<R: Runtime>(runtime: R, log: Log) -> Result<(), Exception> {
    runtime.sleep(3 * SECOND).await;
    log.say("Task2 raises");
    Err("Task 2 error")
}

async fn task3<R: Runtime>(runtime: R, log: Log, bag: Group<R, Exception>) {
    bag.launch(task2(runtime, log.clone()));
    log.say("Task 3 done");
}

/// The original needed AnyIO and an exit stack. Here destructors close the streams, stream 3 first, before the scope ends.
async fn memory_streams<R: Runtime>(runtime: &R) {
    println!("-- memory streams");
    let log = &Log::default();
    let f = scope(runtime.clone(), |group| async move {
        let (send_1, receive_1) = async_channel::bounded(1);
        group.launch(send(send_1, 1));
        let (send_2, receive_2) = async_channel::bounded(1);
        group.launch(send_late(runtime.clone(), send_2, log.clone()));
        let (send_3, receive_3) = async_channel::bounded(1);
        group.launch(process_stream(receive_1, send_3, log.clone()));
        println!("{}", process_results(receive_2, receive_3).await);
        Ok(())
    });
    println!("f raised: {}", f.await.unwrap_err());
    assert_eq!(log.take(), ["stream 3 is closed", "stream 1 is closed"]);
}

async fn send(stream: Sender<u32>, value: u32) {
    stream.send(value).await.expect("whoever receives is cut after this, if at all");
}

async fn send_late<R: Runtime>(runtime: R, stream: Sender<u32>, log: Log) {
    // An hour, so that the other children are certainly first.
    runtime.sleep(3600 * SECOND).await;
    log.say("2 is sent");
    send(stream, 2).await;
}

async fn process_stream(from: Receiver<u32>, to: Sender<u32>, log: Log) -> Result<(), Exception> {
    let from = (from, log.on_drop("stream 1 is closed"));
    let to = (to, log.on_drop("stream 3 is closed"));
    let received = from.0.recv().await.map_err(|_| "stream 1 ended early")?;
    send(to.0.clone(), process_result(received).await?).await;
    Ok(())
}

async fn process_results(from_2: Receiver<u32>, from_3: Receiver<u32>) -> u32 {
    let sum = async { Ok::<_, async_channel::RecvError>(from_2.recv().await? + from_3.recv().await?) };
    match sum.await {
        Ok(sum) => sum,
        // The sender has failed, so the group is about to cancel this body.
        Err(_) => pending().await,
    }
}

async fn process_result(_: u32) -> Result<u32, Exception> {
    yield_now().await;
    Err("process_result")
}

async fn coroutine1() -> Result<u32, Exception> {
    Ok(1)
}

/// Would return 2, but never ends.
async fn coroutine2(_gone: OnDrop) -> Result<u32, Exception> {
    pending::<()>().await;
    Ok(2)
}

fn sorted(mut lines: Vec<&str>) -> Vec<&str> {
    lines.sort_unstable();
    lines
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn lines(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, line: &'static str) {
        println!("{line}");
        self.lines().push(line);
    }

    fn on_drop(&self, line: &'static str) -> OnDrop {
        OnDrop { log: self.clone(), line }
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.lines())
    }
}

/// Writes a line when it is dropped, together with the future that captured it.
struct OnDrop {
    log: Log,
    line: &'static str,
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.log.say(self.line);
    }
}

/// The runtimes. Only this module names the features.
mod runtimes {
    /// For each runtime, its name and a function that runs all programs on it.
    pub const COMPILED_IN: &[(&str, fn())] = &[
        #[cfg(feature = "smol")]
        ("smol", on_smol::run),
        #[cfg(feature = "async-std")]
        ("async-std", on_async_std::run),
        #[cfg(feature = "tokio")]
        ("tokio", on_tokio::run),
    ];

    #[cfg(feature = "smol")]
    mod on_smol {
        use std::time::Duration;

        use taskgroup::Smol;

        impl crate::Runtime for Smol {
            async fn sleep(&self, time: Duration) {
                smol::Timer::after(time).await;
            }
        }

        pub fn run() {
            smol::block_on(crate::programs(&Smol));
        }
    }

    #[cfg(feature = "async-std")]
    mod on_async_std {
        use std::time::Duration;

        use taskgroup::AsyncStd;

        impl crate::Runtime for AsyncStd {
            async fn sleep(&self, time: Duration) {
                async_std::task::sleep(time).await;
            }
        }

        pub fn run() {
            async_std::task::block_on(crate::programs(&AsyncStd));
        }
    }

    #[cfg(feature = "tokio")]
    mod on_tokio {
        use std::time::Duration;

        use tokio::runtime::{Builder, Handle};

        impl crate::Runtime for Handle {
            async fn sleep(&self, time: Duration) {
                tokio::time::sleep(time).await;
            }
        }

        pub fn run() {
            let runtime = Builder::new_multi_thread().enable_time().build().expect("threads can be had");
            runtime.block_on(crate::programs(runtime.handle()));
        }
    }
}
