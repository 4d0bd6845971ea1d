//! Values that panic when they are dropped, and spawners and clocks that own such values or panic themselves.

use std::future::{Future, Pending, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use taskgroup::runtime::{Adopt, SpawnBlocking, Timed, Timer};
use taskgroup::{Spawner, Task};
use taskgroup_conformance::spawners::ThreadEach;
use taskgroup_conformance::{quiet_panic, text};

/// Panics when it is dropped.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        quiet_panic("dropped");
    }
}

/// Panics when its last owner drops it, and when it is asked for the time or for a thread.
#[derive(Clone)]
pub(crate) struct BadSpawner(#[expect(dead_code, reason = "it is dropped")] Arc<Bomb>);

impl Spawner for BadSpawner {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        ThreadEach.spawn(future)
    }
}

impl BadSpawner {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Bomb))
    }
}

impl SpawnBlocking for BadSpawner {
    fn spawn_blocking<W, O>(&self, _: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        fn task<O>() -> Task<O> {
            quiet_panic("no threads")
        }
        task()
    }
}

impl Timed for BadSpawner {
    type Timer = Self;

    fn timer(&self) -> Self {
        self.clone()
    }
}

impl Timer for BadSpawner {
    type Sleep = Pending<()>;

    fn now(&self) -> Duration {
        quiet_panic("clock")
    }

    fn sleep_until(&self, _: Duration) -> Pending<()> {
        pending()
    }
}

/// A spawner that owns something that panics when the last clone goes, with a clock that stands still.
#[derive(Clone)]
pub(crate) struct Owning<S>(S, #[expect(dead_code, reason = "it is dropped")] Arc<Bomb>);

impl<S> Owning<S> {
    pub(crate) fn new(spawner: S) -> Self {
        Self(spawner, Arc::new(Bomb))
    }
}

impl<S: Spawner> Spawner for Owning<S> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(future)
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(self.clone())
    }
}

#[derive(Clone)]
pub(crate) struct Still;

impl Timer for Still {
    type Sleep = Pending<()>;

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _: Duration) -> Pending<()> {
        pending()
    }
}

impl<S> Timed for Owning<S> {
    type Timer = Still;

    fn timer(&self) -> Still {
        Still
    }
}

/// A spawner that panics when it is asked for its clock.
#[derive(Clone)]
pub(crate) struct Clockless;

impl Spawner for Clockless {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        ThreadEach.spawn(future)
    }
}

impl Timed for Clockless {
    type Timer = Still;

    fn timer(&self) -> Still {
        quiet_panic("no clock")
    }
}

/// Returns the message of the panic of `f`, or of the destructor of its result.
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    text(&*catch_unwind(AssertUnwindSafe(|| drop(f()))).unwrap_err())
}

/// Drops `value` while the thread unwinds from a panic, which goes on alone.
pub(crate) fn unwinds_over<T>(value: T) {
    let outside = || {
        let _value = value;
        quiet_panic("outside")
    };
    assert_eq!(panic_of(outside), "outside");
}
