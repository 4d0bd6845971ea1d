//! What a case is given, and what it looks at outcomes with.

use std::any::Any;
use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Mutex;

use futures_lite::FutureExt;
use futures_lite::future::yield_now;
use taskgroup::error::Origin;
use taskgroup::{AnySpawner, Failure, GroupError, Spawner};

use crate::Rig;
use crate::ledger::{Gate, Ledger, Log, Tally, Tracked};

/// What a case is given.
///
/// Its fields count and write down what happens; when the case is over nothing that the ledger counts may be left.
pub struct Test<S = AnySpawner> {
    /// Counts children and what they capture.
    pub ledger: Ledger,
    /// Takes down what happens, in order.
    pub log: Log,
    pub(crate) rig: Rig<S>,
}

impl<S: Spawner> Test<S> {
    pub(crate) fn new(rig: Rig<S>) -> Self {
        Self { ledger: Ledger::default(), log: Log::default(), rig }
    }

    /// The spawner under test.
    pub fn spawner(&self) -> S {
        self.rig.spawner()
    }

    /// Whether nothing happens between two awaits of the host.
    pub fn one_thread(&self) -> bool {
        self.rig.one_thread
    }

    /// Whether `spawn` polls.
    pub fn inline(&self) -> bool {
        self.rig.inline
    }

    /// Whether no two children are polled at the same time, after their first polls.
    pub fn one_at_a_time(&self) -> bool {
        self.rig.workers == Some(1)
    }

    /// Whether children may be polled without having been woken.
    pub fn restless(&self) -> bool {
        self.rig.restless
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
    pub fn waiting(&self, there: &Tally) -> Tracked<impl Future<Output = ()> + Send + use<S>> {
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
        if self.rig.costly { few } else { many }
    }
}

impl<S> fmt::Debug for Test<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, log, rig } = self;
        f.debug_struct("Test").field("ledger", ledger).field("log", log).field("rig", rig).finish()
    }
}

/// Leaks a value, as `std::mem::forget` does, where a leak checker can still see it.
pub(crate) fn leak(value: impl Send + 'static) {
    static LEAKED: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());
    LEAKED.lock().unwrap().push(Box::new(value));
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
