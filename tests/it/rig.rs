//! The runtimes that every case runs on, and how a case is run.

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt;
use futures_lite::future::yield_now;
use taskgroup::error::Origin;
use taskgroup::{Failure, GroupError, Spawner};

use crate::ledger::{Gate, Ledger, Log, Tally, Tracked};

/// How long a case may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stack of the thread that runs a case: little, as nothing recurses over children or depth.
const STACK: usize = 256 << 10;

/// A runtime under test.
pub trait Rig: Send + Sync + 'static {
    type Spawner: Spawner + Debug;

    /// Whether the host and all children share one thread, so that nothing happens between two awaits of the host.
    const ONE_THREAD: bool = false;
    /// Whether `spawn` polls.
    const INLINE: bool = false;
    /// Whether a child costs a thread, so that there cannot be many at once.
    const COSTLY: bool = false;

    /// How many threads can be told to be done with what they were at.
    fn workers() -> usize;
    fn new() -> Self;
    fn spawner(&self) -> Self::Spawner;
    /// Runs the host of a case.
    fn block_on<F: Future>(&self, host: F) -> F::Output;
}

/// What a case is given.
pub struct Test<R> {
    pub rig: Arc<R>,
    pub ledger: Ledger,
    pub log: Log,
}

impl<R: Rig> Test<R> {
    pub fn spawner(&self) -> R::Spawner {
        self.rig.spawner()
    }

    /// A child that the ledger counts.
    pub fn child<F: Future>(&self, future: F) -> Tracked<F> {
        self.ledger.track(future)
    }

    /// A child that never ends by itself.
    pub fn stuck(&self) -> Tracked<std::future::Pending<()>> {
        self.child(std::future::pending())
    }

    /// A child that says that it was polled, and never ends by itself.
    pub fn waiting(&self, there: &Tally) -> Tracked<impl Future<Output = ()> + Send + use<R>> {
        let there = there.clone();
        self.child(async move {
            there.add();
            std::future::pending().await
        })
    }

    /// Waits until nothing of what the ledger counts is alive.
    pub async fn nothing_alive(&self) {
        while self.ledger.read().alive() > 0 {
            yield_now().await;
        }
    }

    /// Lets whatever is runnable run for a while.
    pub async fn step(&self) {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    /// `many`, or `few` where each child costs a thread.
    pub fn pick(&self, many: usize, few: usize) -> usize {
        if R::COSTLY { few } else { many }
    }
}

/// Runs a case under the watch-dog, and checks that nothing of it is left.
pub fn run<R: Rig>(case: impl AsyncFnOnce(&Test<R>) + Send + 'static) {
    watched(move || {
        let rig = Arc::new(R::new());
        let (ledger, log) = (Ledger::default(), Log::default());
        let test = Test { rig: rig.clone(), ledger: ledger.clone(), log };
        rig.block_on(case(&test));
        drop(test);

        let left = ledger.read();
        assert_eq!(left.alive(), 0, "left behind: {left:?}");
        barrier(&*rig);
        assert_eq!(ledger.read(), left, "something went on after the end");
    });
}

/// Runs `f` on a thread of its own, and fails if it takes too long.
pub fn watched<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(move || drop(done.send(catch_unwind(AssertUnwindSafe(f))))).expect("a thread can be had");
    match result.recv_timeout(PATIENCE) {
        Ok(Ok(value)) => value,
        Ok(Err(payload)) => resume_unwind(payload),
        Err(RecvTimeoutError::Timeout) => panic!("the watch-dog bit: no end after {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => unreachable!("the thread catches panics"),
    }
}

/// Has every worker run a task of ours, all at the same time: what was queued before it has been run.
///
/// None of them waits for long: a thread that is blocked may have others' tasks in a queue of its own.
pub fn barrier<R: Rig>(rig: &R) {
    let (inside, met) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (arrive, arrived) = async_channel::unbounded();
    let spawner = rig.spawner();
    let tasks: Vec<_> = (0..R::workers())
        .map(|_| {
            let (inside, met, arrive) = (inside.clone(), met.clone(), arrive.clone());
            spawner.spawn(async move {
                while !meets(&inside, &met, R::workers()) {
                    yield_now().await;
                }
                arrive.try_send(()).unwrap();
            })
        })
        .collect();
    rig.block_on(async {
        for _ in 0..R::workers() {
            arrived.recv().await.unwrap();
        }
    });
    drop(tasks);
}

/// Stays inside for a moment, and says whether all were inside at once.
fn meets(inside: &AtomicUsize, met: &AtomicBool, all: usize) -> bool {
    inside.fetch_add(1, SeqCst);
    for _ in 0..1_000 {
        if inside.load(SeqCst) == all {
            met.store(true, SeqCst);
        }
        if met.load(SeqCst) {
            break;
        }
        thread::yield_now();
    }
    inside.fetch_sub(1, SeqCst);
    met.load(SeqCst)
}

/// Panics without the hook that prints it.
pub fn quiet_panic(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// The text that `future` panics with.
pub async fn panic_text(future: impl Future<Output: Debug>) -> String {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(output) => panic!("no panic but {output:?}"),
        Err(payload) => text(&*payload),
    }
}

/// The text of a panic.
pub fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).expect("a panic with a text")
}

/// The errors of a group's own members, the primary one first.
#[track_caller]
pub fn errors<E: Copy + Debug>(error: &GroupError<E>) -> Vec<E> {
    let own = |failure: &Failure<E>| match failure {
        Failure::Own(error) => *error,
        other => panic!("not an error of a member: {other:?}"),
    };
    error.failures().map(|(_, failure)| own(failure)).collect()
}

/// A failure hook that writes down what it is shown.
pub fn tell(log: &Log) -> impl Fn(&Origin, &Failure<&'static str>) + Send + Sync + use<> {
    let log = log.clone();
    move |_, failure| log.write(failure.to_string())
}

/// Gives `None`, as a timeout would, if the gate opens before the future is ready.
pub async fn until<F: Future>(gate: &Gate, future: F) -> Option<F::Output> {
    let cut = async {
        gate.wait().await;
        None
    };
    cut.or(async { Some(future.await) }).await
}
