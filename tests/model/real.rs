//! The same trees on real runtimes, where several things happen at once. A thread spawns from outside, and runtimes go away
//! before the tree is done.
//!
//! The model checks only what holds in any order. `TASKGROUP_REAL_TREES` sets how many trees there are on each runtime.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, poll_once, yield_now};
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};
use taskgroup::runtime::{Dependent, Timed, Timer};
use taskgroup::{AnySpawner, Spawner, Task};
use taskgroup_conformance::Host;
use taskgroup_conformance::spawners::{Inline, Spurious, ThreadEach, WhereWoken};

use crate::common::watched;
use crate::play::{Play, World};
use crate::program::{Census, Program, programs};

#[cfg(feature = "smol")]
mod on_smol;
#[cfg(feature = "tokio")]
mod on_tokio;

/// How many trees there are on each runtime by default.
const TREES: u32 = 300;
/// How long a tree may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_thread_for_each_child() {
    grow_all(|| Runtime::lasting(ThreadEach));
}

#[test]
fn inside_of_spawn() {
    grow_all(|| Runtime::lasting(Inline));
}

#[test]
fn wherever_woken() {
    grow_all(|| Runtime::lasting(WhereWoken));
}

#[test]
fn more_often_than_woken() {
    grow_all(|| Runtime::lasting(Spurious));
}

#[cfg(feature = "async-std")]
#[test]
fn async_std() {
    grow_all(|| Runtime::lasting(taskgroup::AsyncStd));
}

/// The runtime of one tree.
struct Runtime {
    /// The spawner of the outermost group.
    spawner: AnySpawner,
    /// The spawner of groups in its members.
    inner: AnySpawner,
    strain: fn(),
    /// Runs a host, and drops the runtime.
    run: Box<dyn FnOnce(Host<'_>)>,
    /// Whether the runtime may go away before its tasks have ended.
    ends: bool,
    /// Whether the outermost scope may be awaited after the runtime has gone away. Then the scope must not own the runtime.
    outlived: bool,
}

impl Runtime {
    /// A runtime that never goes away.
    fn lasting(spawner: impl Spawner) -> Self {
        Self { ends: false, ..Self::ending(spawner.clone(), spawner, |host| block_on(host)) }
    }

    fn ending(spawner: impl Spawner, inner: impl Spawner, run: impl FnOnce(Host<'_>) + 'static) -> Self {
        let (spawner, inner) = (AnySpawner::new(spawner), AnySpawner::new(inner));
        Self { spawner, inner, strain: || {}, run: Box::new(run), ends: true, outlived: false }
    }
}

fn grow_all(runtime: impl Fn() -> Runtime + Copy + Send + 'static) {
    let trees = std::env::var("TASKGROUP_REAL_TREES").map_or(TREES, |trees| trees.parse().unwrap());
    // A tree that failed need not fail again, so there is no use in making it smaller.
    let config = Config { cases: trees, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    // How often the host is polled until the runtime goes away.
    let polls = proptest::option::weighted(0.3, 0..30u8);
    let plans = (programs(), polls, any::<bool>(), any::<bool>());
    let (begun, sum) = (Instant::now(), Cell::new([0; 4]));
    let result = TestRunner::new(config).run(&plans, |(program, polls, strained, outlives)| {
        let plan = move || grow(runtime(), program, polls, strained, outlives);
        let census = watched(thread::Builder::new(), PATIENCE, plan);
        let done = [census.operations, census.from_outside, census.torn, census.lost];
        let before = sum.get();
        sum.set(std::array::from_fn(|at| before[at] + done[at]));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let [operations, from_outside, torn, lost] = sum.get();
    println!(
        "{trees} trees in {:?}, {operations} operations, {from_outside} children from outside, {torn} runtimes gone, {lost} told so",
        begun.elapsed(),
    );
    // There are no demands on a run of few trees, and low ones otherwise, for a machine at its limit.
    let (Runtime { ends, outlived, .. }, some) = (runtime(), trees as usize / 50);
    assert!(operations >= 250 * some, "too little was done");
    assert!(from_outside >= some, "too few were spawned from outside");
    assert!(torn >= some || !ends, "too few runtimes went away");
    assert!(lost >= some || !outlived, "too few were told so");
}

fn grow(runtime: Runtime, program: Program, polls: Option<u8>, strained: bool, outlives: bool) -> Census {
    let Runtime { spawner, inner, strain, run, ends, outlived } = runtime;
    let rest = Mutex::new(None);
    let bell = Arc::new(Bell::default());
    let outermost = Arc::new(Mutex::new(Some(Ticking(spawner, bell.clone()))));
    let strain = if strained { strain } else { || {} };
    let play = Play::new(Real { outermost, inner: Ticking(inner, bell.clone()), strain });
    run(Box::pin(async {
        let intruder = Intruder::new(play.clone());
        let mut root = Box::pin(play.root(program));
        match polls.filter(|_| ends) {
            None => root.await,
            Some(polls) => {
                let mut is_done = false;
                for _ in 0..polls {
                    is_done = poll_once(root.as_mut()).await.is_some();
                    if is_done {
                        break;
                    }
                    yield_now().await;
                }
                if !is_done {
                    play.tear();
                    bell.mute();
                    *rest.lock().unwrap() = Some(root).filter(|_| outlives && outlived);
                }
            }
        }
        drop(intruder);
        if rest.lock().unwrap().is_none() {
            // After this, a spawner that owns a runtime is kept only by what the runtime has.
            play.forget_outermost();
            play.world.outermost.lock().unwrap().take();
        }
    }));
    bell.sound();
    let rest = rest.into_inner().unwrap();
    rest.into_iter().for_each(block_on);
    play.finish(PATIENCE / 2)
}

/// A real runtime, with a clock.
#[derive(Clone)]
struct Real {
    /// Taken by the outermost group, so that nothing else keeps it.
    outermost: Arc<Mutex<Option<Ticking>>>,
    inner: Ticking,
    strain: fn(),
}

impl World for Real {
    type Spawner = Ticking;
    const SECOND: Duration = Duration::from_micros(50);
    const IN_ORDER: bool = false;

    fn outermost(&self) -> Ticking {
        self.outermost.lock().unwrap().take().expect("there is one outermost group")
    }

    fn inner(&self) -> Ticking {
        self.inner.clone()
    }

    fn strain(&self) {
        (self.strain)();
    }
}

/// A spawner with a clock.
#[derive(Clone)]
struct Ticking(AnySpawner, Arc<Bell>);

impl Spawner for Ticking {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(future)
    }

    fn register(&self, dependent: Weak<dyn Dependent>) {
        self.0.register(dependent);
    }

    fn for_tasks(&self) -> Option<Self> {
        self.0.for_tasks().map(|spawner| Self(spawner, self.1.clone()))
    }

    fn keeps_ended(&self) -> bool {
        self.0.keeps_ended()
    }
}

impl Timed for Ticking {
    type Timer = Clock;

    fn timer(&self) -> Clock {
        Clock(self.1.clone())
    }
}

/// Real time, on any runtime.
#[derive(Clone)]
struct Clock(Arc<Bell>);

impl Timer for Clock {
    type Sleep = Sleep;

    fn now(&self) -> Duration {
        start().elapsed()
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        Sleep { timer: async_io::Timer::at(start() + at), bell: self.0.clone() }
    }
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

struct Sleep {
    timer: async_io::Timer,
    bell: Arc<Bell>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleeper = Waker::from(Arc::new(Sleeper { waker: cx.waker().clone(), bell: self.bell.clone() }));
        Pin::new(&mut self.timer).poll(&mut Context::from_waker(&sleeper)).map(drop)
    }
}

/// Wakes all tasks that sleep, from a separate thread. It does not do so while a runtime goes away, because async-executor
/// does not drop a task that is being woken meanwhile.
#[derive(Default)]
struct Bell {
    /// The wakers that are to be woken later, while the bell is mute.
    later: Mutex<Option<Vec<Waker>>>,
    ringing: AtomicUsize,
}

impl Bell {
    fn ring(&self, waker: &Waker) {
        let mut later = self.later.lock().unwrap();
        if let Some(later) = &mut *later {
            return later.push(waker.clone());
        }
        self.ringing.fetch_add(1, SeqCst);
        drop(later);
        waker.wake_by_ref();
        self.ringing.fetch_sub(1, SeqCst);
    }

    /// From now on the bell wakes nobody.
    fn mute(&self) {
        self.later.lock().unwrap().get_or_insert_default();
        while self.ringing.load(SeqCst) > 0 {
            thread::yield_now();
        }
    }

    /// The bell wakes again.
    fn sound(&self) {
        let later = self.later.lock().unwrap().take();
        later.into_iter().flatten().for_each(Waker::wake);
    }
}

struct Sleeper {
    waker: Waker,
    bell: Arc<Bell>,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.bell.ring(&self.waker);
    }
}

/// A thread that spawns children into every group that there is, until it is dropped or has run for too long.
struct Intruder {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Intruder {
    fn new(play: Play<Real>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let begun = Instant::now();
            while !stopped.load(SeqCst) && begun.elapsed() < PATIENCE {
                play.intrude();
                thread::yield_now();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let ended = self.thread.take().expect("it is dropped once").join();
        assert!(ended.is_ok() || thread::panicking(), "whoever spawns from outside panicked");
    }
}
