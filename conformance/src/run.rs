//! Runs a case and checks that it leaves nothing behind.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use taskgroup::Spawner;

use crate::{Rig, Test};

/// How long a case may take before it counts as hung.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("TASKGROUP_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// The stack of the thread that runs a case. It is small, as nothing recurses over children or depth.
const STACK: usize = 256 << 10;

/// Runs a case under the watch-dog, and checks that it leaves nothing behind.
///
/// # Panics
///
/// Panics if the case:
///
/// - panics;
/// - takes longer than a minute, or than `TASKGROUP_PATIENCE` seconds;
/// - leaves something alive that its ledger counts;
/// - has futures that are polled or dropped after its end.
///
/// # Examples
///
/// Your own case:
///
/// ```
/// use taskgroup::TaskGroup;
/// use taskgroup_conformance::{Rig, Test, run, spawners::ThreadEach};
///
/// async fn a_child_is_counted(t: &Test) {
///     let group = TaskGroup::new(t.spawner());
///     group.launch(t.child(std::future::pending::<()>()));
///     assert_eq!(group.len(), 1);
///     group.cancel();
///     group.join().await.unwrap();
///     assert_eq!(t.ledger.read().completed, 0);
/// }
///
/// run(|| Rig::new(ThreadEach).erased(), a_child_is_counted);
/// ```
pub fn run<S: Spawner>(
    rig: impl FnOnce() -> Rig<S> + Send + 'static,
    case: impl AsyncFnOnce(&Test<S>) + Send + 'static,
) {
    watched(move || {
        let test = Test::new(rig());
        (test.rig.block_on)(Box::pin(case(&test)));
        assert_over(&test);
    });
}

fn assert_over<S: Spawner>(test: &Test<S>) {
    let left = test.ledger.read();
    assert_eq!(left.alive(), 0, "left behind: {left:?}");
    barrier(&test.rig);
    assert_eq!(test.ledger.read(), left, "something went on after the end");
}

/// Runs `f` on its own thread, and fails if it takes too long.
///
/// # Panics
///
/// Panics if `f` panics, or takes longer than a minute or than `TASKGROUP_PATIENCE` seconds.
pub fn watched<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    under_the_watch_dog(Box::new(f))
}

/// Separate from `watched` because it is not generic over the closure: it is compiled once for all cases.
fn under_the_watch_dog<T: Send + 'static>(f: Box<dyn FnOnce() -> T + Send>) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(move || drop(done.send(catch_unwind(AssertUnwindSafe(f))))).expect("a thread can be had");
    let patience = patience();
    match result.recv_timeout(patience) {
        Ok(Ok(value)) => value,
        Ok(Err(payload)) => resume_unwind(payload),
        Err(RecvTimeoutError::Timeout) => panic!("the watch-dog bit: no end after {patience:?}"),
        Err(RecvTimeoutError::Disconnected) => unreachable!("the thread catches panics"),
    }
}

/// Makes every worker run one of our tasks, all at the same time. So each task that was queued before has been run.
///
/// No task blocks its worker for long, because a blocked thread may have other tasks in its own queue. Cases that run side by side
/// may share their workers, as on async-std. So one barrier waits for the other, because each could keep a worker from the
/// other. Between attempts no task is queued: only a worker with nothing else to do takes over the queue of one that is blocked.
fn barrier<S: Spawner>(rig: &Rig<S>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let workers = rig.workers.unwrap_or(1);
    while !all_at_once(rig, workers) {}
}

/// Runs as many tasks, and returns whether they were all inside at once.
fn all_at_once<S: Spawner>(rig: &Rig<S>, all: usize) -> bool {
    let inside = Arc::new(AtomicUsize::new(0));
    let (arrive, arrived) = async_channel::unbounded();
    let tasks: Vec<_> = (0..all)
        .map(|_| {
            let (inside, arrive) = (inside.clone(), arrive.clone());
            rig.spawner.spawn(async move { arrive.try_send(meets(&inside, all)).unwrap() })
        })
        .collect();
    let mut met = true;
    (rig.block_on)(Box::pin(async {
        for _ in 0..all {
            met &= arrived.recv().await.unwrap();
        }
    }));
    drop(tasks);
    met
}

/// Stays inside for a moment, and returns whether all tasks were inside at once.
fn meets(inside: &AtomicUsize, all: usize) -> bool {
    inside.fetch_add(1, SeqCst);
    for _ in 0..1_000 {
        if inside.load(SeqCst) == all {
            return true;
        }
        thread::yield_now();
    }
    // Unless all are inside by now, which those who see it do not leave again.
    inside.fetch_update(SeqCst, SeqCst, |now| (now < all).then(|| now - 1)).is_err()
}
