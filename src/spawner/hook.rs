//! Something that is done to every child as it is spawned.

use std::future::Future;
use std::sync::Weak;

use async_task::Task;

use crate::keeping::Brittle;
use crate::spawner::timer::Timed;
use crate::spawner::{Dependent, SpawnBlocking, Spawner};
use crate::unwind::GivesWay;

/// Wraps every child on its way to the runtime, to carry a context into it.
///
/// Such a context is a tracing span or a task-local, for instance. [`wrap`](Self::wrap) is called where the child is
/// spawned, so it sees the context of the code that spawns. The future that it returns is polled and dropped where the child
/// is, so it can set that context around every poll and around the destructor.
///
/// A child that is started by a future, as by [`Group::spawn_when_free`](crate::Group::spawn_when_free), is spawned where that
/// future is polled. For [blocking work](crate::Group::spawn_blocking) and [adopted](crate::Group::adopt) tasks, the child that
/// waits for them is wrapped, and they themselves are not: the work runs outside of that context.
///
/// The future inside is the whole child: it ends by itself and does not panic. What is around it is dropped after that, which may
/// be a moment after the group has been joined. If its destructor panics, the panic is caught and not reported to anybody.
///
/// The child in which a free-standing group watches its deadline is wrapped, too.
///
/// # Examples
///
/// A value of the thread that spawns, which the child finds:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// use std::cell::Cell;
/// use std::pin::{Pin, pin};
/// use std::task::{Context, Poll};
/// use taskgroup::runtime::{Hooked, SpawnHook};
/// use taskgroup::{Smol, TaskGroup};
///
/// thread_local!(static REQUEST: Cell<u64> = const { Cell::new(0) });
///
/// #[derive(Clone)]
/// struct CarryRequest;
///
/// impl SpawnHook for CarryRequest {
///     fn wrap<F>(&self, child: F) -> impl Future<Output = ()> + Send + 'static
///     where
///         F: Future<Output = ()> + Send + 'static,
///     {
///         let mut request = REQUEST.get();
///         let mut child = Box::pin(child);
///         std::future::poll_fn(move |cx| {
///             let outside = REQUEST.replace(request);
///             let poll = child.as_mut().poll(cx);
///             request = REQUEST.replace(outside);
///             poll
///         })
///     }
/// }
///
/// # smol::block_on(async {
/// let group = TaskGroup::new(Hooked::new(Smol, CarryRequest));
/// REQUEST.set(17);
/// let child = group.spawn(async { Ok(REQUEST.get()) });
/// assert_eq!(child.await.unwrap(), 17);
/// # });
/// # }
/// ```
pub trait SpawnHook: Clone + Send + Sync + 'static {
    /// Wraps a child that is being spawned on this thread.
    fn wrap<F>(&self, child: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static;
}

/// A spawner whose children go through a [`SpawnHook`].
#[derive(Debug)]
pub struct Hooked<S, H> {
    spawner: S,
    hook: GivesWay<H>,
}

impl<S: Clone, H: Clone> Clone for Hooked<S, H> {
    fn clone(&self) -> Self {
        // First: if this panics, there is no spawner yet that would be dropped meanwhile.
        let hook = self.hook.clone();
        Self { spawner: self.spawner.clone(), hook }
    }
}

impl<S, H> Hooked<S, H> {
    /// Sends what is spawned on `spawner` through `hook`.
    pub fn new(spawner: S, hook: H) -> Self {
        Self { spawner, hook: GivesWay::new(hook) }
    }
}

impl<S: Spawner, H: SpawnHook> Spawner for Hooked<S, H> {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawner.spawn(Brittle::new(self.hook.wrap(future)))
    }

    fn register(&self, dependent: Weak<dyn Dependent>) {
        self.spawner.register(dependent);
    }

    fn for_tasks(&self) -> Option<Self> {
        let hook = self.hook.clone();
        Some(Self { spawner: self.spawner.for_tasks()?, hook })
    }

    fn keeps_ended(&self) -> bool {
        self.spawner.keeps_ended()
    }

    fn has_budget() -> bool {
        S::has_budget()
    }

    fn keeps_woken() -> bool {
        S::keeps_woken()
    }

    fn kick() {
        S::kick();
    }
}

impl<S: Timed, H> Timed for Hooked<S, H> {
    type Timer = S::Timer;

    fn timer(&self) -> S::Timer {
        self.spawner.timer()
    }
}

impl<S: SpawnBlocking, H> SpawnBlocking for Hooked<S, H> {
    fn spawn_blocking<W, O>(&self, work: W) -> impl crate::runtime::Adopt<Output = O> + use<S, H, W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        self.spawner.spawn_blocking(work)
    }
}
