//! The argument of a case, and functions that examine outcomes.

use std::any::Any;
use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Mutex;

use futures_lite::FutureExt;
use futures_lite::future::{poll_once, yield_now};
use taskgroup::error::Origin;
use taskgroup::{AnySpawner, Failure, GroupError, Spawner};

use crate::Rig;
use crate::ledger::{Gate, Ledger, Log, Tally, Tracked};

/// The argument of a case: the spawner, counters and a log.
///
/// When the case is over, nothing that the ledger counts may be alive.
pub struct Test<S = AnySpawner> {
    /// Counts children and what they capture.
    pub ledger: Ledger,
    /// Records what happens, in order.
    pub log: Log,
    pub(crate) rig: Rig<S>,
}

impl<S: Spawner> Test<S> {
    pub(crate) fn new(rig: Rig<S>) -> Self {
        Self { ledger: Ledger::default(), log: Log::default(), rig }
    }

    /// Returns the spawner under test.
    pub fn spawner(&self) -> S {
        self.rig.spawner()
    }

    /// Tells whether nothing else happens between two awaits of the host.
    pub fn one_thread(&self) -> bool {
        self.rig.one_thread
    }

    /// Tells whether `spawn` polls the child.
    pub fn inline(&self) -> bool {
        self.rig.inline
    }

    /// Tells whether no two children are polled at the same time, after their first polls.
    pub fn one_at_a_time(&self) -> bool {
        self.rig.workers == Some(1)
    }

    /// Tells whether children may be polled without having been woken.
    pub fn restless(&self) -> bool {
        self.rig.restless
    }

    /// Returns a child that the ledger counts.
    pub fn child<F: Future>(&self, future: F) -> Tracked<F> {
        self.ledger.track(future)
    }

    /// Returns a child that never ends by itself.
    pub fn stuck(&self) -> Tracked<std::future::Pending<()>> {
        self.child(std::future::pending())
    }

    /// Returns a child that adds one to `there` at its first poll and never ends by itself.
    pub fn waiting(&self, there: &Tally) -> Tracked<impl Future<Output = ()> + Send + use<S>> {
        let there = there.clone();
        self.child(async move {
            there.add();
            std::future::pending().await
        })
    }

    /// Waits until nothing that the ledger counts is alive.
    pub async fn nothing_alive(&self) {
        while self.ledger.read().alive() > 0 {
            yield_now().await;
        }
    }

    /// Yields many times, so that other tasks that are ready can run.
    pub async fn step(&self) {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    /// Returns `many`, or `few` if each child needs a thread.
    pub fn pick(&self, many: usize, few: usize) -> usize {
        if self.rig.costly { few } else { many }
    }
}

impl<S> fmt::Debug for Test<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, log, rig } = self;
        f.debug_struct("Test").field("ledger", ledger).field("log", log).field("rig", rig).finish()
    }
}

/// Leaks a value like `std::mem::forget`, but where a leak checker can still see it.
pub(crate) fn leak(value: impl Send + 'static) {
    static LEAKED: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());
    LEAKED.lock().unwrap().push(Box::new(value));
}

/// Panics without calling the panic hook, which would print a message.
pub fn quiet_panic(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// Awaits `future`, which has to panic, and returns the text of the panic.
pub async fn panic_text(future: impl Future<Output: Debug>) -> String {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(output) => panic!("no panic but {output:?}"),
        Err(payload) => text(&*payload),
    }
}

/// Returns the text of a panic.
pub fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).expect("a panic with a text")
}

/// Returns the errors of a group's own members, the primary error first.
#[track_caller]
pub fn errors<E: Copy + Debug>(error: &GroupError<E>) -> Vec<E> {
    let own = |failure: &Failure<E>| match failure {
        Failure::Own(error) => *error,
        other => panic!("not an error of a member: {other:?}"),
    };
    error.failures().map(|(_, failure)| own(failure)).collect()
}

/// Returns a failure hook that writes each failure to the log.
pub fn tell(log: &Log) -> impl Fn(&Origin, &Failure<&'static str>) + Send + Sync + use<> {
    let log = log.clone();
    move |_, failure| log.write(failure.to_string())
}

/// Fails if the future becomes ready within some polls.
pub async fn still_waits<F: Future>(mut future: Pin<&mut F>, why: &str) {
    for _ in 0..20 {
        assert!(poll_once(future.as_mut()).await.is_none(), "{why}");
        yield_now().await;
    }
}

/// Awaits `future`, but returns `None`, like a timeout, if the gate opens first.
pub async fn until<F: Future>(gate: &Gate, future: F) -> Option<F::Output> {
    let cut = async {
        gate.wait().await;
        None
    };
    cut.or(async { Some(future.await) }).await
}
