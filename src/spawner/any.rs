//! Spawners whose type is erased.

use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, Weak};

use async_task::{Runnable, Task};

use crate::backend;
use crate::spawner::on_pool::{Counted, Inside, OnPool};
use crate::spawner::timer::{AnyTimer, Timed};
use crate::spawner::{Dependent, Spawner};
use crate::unwind::GivesWay;

/// Any spawner, for a field of a struct that is not to be generic.
///
/// [`has_budget`](Spawner::has_budget) and [`kick`](Spawner::kick) belong to a type. If a spawner of your own overrides them, that
/// has no effect here: only those of the runtimes that this crate has adapters for are asked.
///
/// It costs one more allocation and a few indirect calls for each child. A clone is the same spawner.
///
/// The clock of the runtime is erased as well: a group that is [shut down](crate::TaskGroup::shutdown) or has a deadline
/// needs an [`AnyTimedSpawner`]. Neither type has [`spawn_blocking`](crate::Group::spawn_blocking): for that, use
/// [`on`](crate::Group::on) with the runtime itself.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{AnySpawner, Smol, TaskGroup};
/// struct Server {
///     connections: TaskGroup<AnySpawner>,
/// }
///
/// # smol::block_on(async {
/// let server = Server { connections: TaskGroup::new(AnySpawner::new(Smol)) };
/// server.connections.launch(async {});
/// server.connections.join().await.unwrap();
/// # });
/// # }
/// ```
#[derive(Clone)]
pub struct AnySpawner(Arc<dyn Erased>);

impl AnySpawner {
    /// Erases the spawner's type.
    pub fn new(spawner: impl Spawner) -> Self {
        Self(Arc::new(spawner))
    }
}

impl UnwindSafe for AnySpawner {}
impl RefUnwindSafe for AnySpawner {}

impl fmt::Debug for AnySpawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnySpawner").finish_non_exhaustive()
    }
}

/// Any spawner whose runtime has a clock, for groups with deadlines or shutdowns.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use std::time::Duration;
/// # use taskgroup::{AnyTimedSpawner, Smol, TaskGroup};
/// struct Server {
///     connections: TaskGroup<AnyTimedSpawner>,
/// }
///
/// # smol::block_on(async {
/// let server = Server { connections: TaskGroup::new(AnyTimedSpawner::new(Smol)) };
/// server.connections.launch(async {});
/// let report = server.connections.shutdown(Duration::from_secs(5)).await.unwrap();
/// assert!(report.is_graceful());
/// # });
/// # }
/// ```
#[derive(Clone)]
pub struct AnyTimedSpawner {
    spawner: Arc<dyn ErasedTimed>,
    timer: AnyTimer,
}

impl AnyTimedSpawner {
    /// Erases the spawner's type, and keeps its clock.
    pub fn new(spawner: impl Spawner + Timed) -> Self {
        let spawner = GivesWay::new(spawner);
        let timer = AnyTimer::of(&*spawner);
        Self { spawner: Arc::new(spawner.into_inner()), timer }
    }
}

impl Timed for AnyTimedSpawner {
    type Timer = AnyTimer;

    fn timer(&self) -> AnyTimer {
        self.timer.clone()
    }
}

impl UnwindSafe for AnyTimedSpawner {}
impl RefUnwindSafe for AnyTimedSpawner {}

impl fmt::Debug for AnyTimedSpawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyTimedSpawner").finish_non_exhaustive()
    }
}

/// Forwards to a field with an [`Erased`] spawner.
macro_rules! forward {
    ($name:ident, $spawner:tt, $for_tasks:ident) => {
        impl Spawner for $name {
            fn spawn<F>(&self, future: F) -> Task<()>
            where
                F: Future<Output = ()> + Send + 'static,
            {
                self.$spawner.spawn_boxed(Box::pin(future))
            }

            fn register(&self, dependent: Weak<dyn Dependent>) {
                self.$spawner.register_dependent(dependent);
            }

            fn for_tasks(&self) -> Option<Self> {
                self.$spawner.$for_tasks()
            }

            fn keeps_ended(&self) -> bool {
                self.$spawner.keeps_some_ended()
            }

            fn makes_tasks(&self, inside: Inside) -> bool {
                self.$spawner.makes_boxed_tasks(inside)
            }

            fn keep_for_tasks(&self, kept: &mut OnPool) -> bool {
                self.$spawner.keep_for_boxed_tasks(kept)
            }

            fn make_task<F>(&self, future: F, counted: Counted) -> (Runnable, Task<()>)
            where
                F: Future<Output = ()> + Send + 'static,
            {
                self.$spawner.make_boxed_task(Box::pin(future), counted)
            }

            fn start_task(&self, runnable: Runnable, inside: Inside) {
                self.$spawner.start_boxed_task(runnable, inside);
            }

            fn has_budget() -> bool {
                backend::has_budget()
            }

            fn keeps_woken() -> bool {
                backend::keeps_woken()
            }

            fn kick() {
                backend::kick();
            }
        }
    };
}

forward!(AnySpawner, 0, boxed_for_tasks);
forward!(AnyTimedSpawner, spawner, timed_for_tasks);

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

trait Erased: Send + Sync {
    fn spawn_boxed(&self, future: Boxed) -> Task<()>;
    fn register_dependent(&self, dependent: Weak<dyn Dependent>);
    fn boxed_for_tasks(&self) -> Option<AnySpawner>;
    fn keeps_some_ended(&self) -> bool;
    fn makes_boxed_tasks(&self, inside: Inside) -> bool;
    fn keep_for_boxed_tasks(&self, kept: &mut OnPool) -> bool;
    fn make_boxed_task(&self, future: Boxed, counted: Counted) -> (Runnable, Task<()>);
    fn start_boxed_task(&self, runnable: Runnable, inside: Inside);
}

impl<S: Spawner> Erased for S {
    fn spawn_boxed(&self, future: Boxed) -> Task<()> {
        self.spawn(future)
    }

    fn register_dependent(&self, dependent: Weak<dyn Dependent>) {
        self.register(dependent);
    }

    fn boxed_for_tasks(&self) -> Option<AnySpawner> {
        self.for_tasks().map(AnySpawner::new)
    }

    fn keeps_some_ended(&self) -> bool {
        self.keeps_ended()
    }

    fn makes_boxed_tasks(&self, inside: Inside) -> bool {
        self.makes_tasks(inside)
    }

    fn keep_for_boxed_tasks(&self, kept: &mut OnPool) -> bool {
        self.keep_for_tasks(kept)
    }

    fn make_boxed_task(&self, future: Boxed, counted: Counted) -> (Runnable, Task<()>) {
        self.make_task(future, counted)
    }

    fn start_boxed_task(&self, runnable: Runnable, inside: Inside) {
        self.start_task(runnable, inside);
    }
}

trait ErasedTimed: Erased {
    fn timed_for_tasks(&self) -> Option<AnyTimedSpawner>;
}

impl<S: Spawner + Timed> ErasedTimed for S {
    fn timed_for_tasks(&self) -> Option<AnyTimedSpawner> {
        self.for_tasks().map(AnyTimedSpawner::new)
    }
}
