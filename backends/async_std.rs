//! async-std.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use async_std::task::{self, JoinHandle};

use crate::runtime::{Adopt, SpawnBlocking, Timed, Timer, lazily};
use crate::spawner::adopt::unless;
use crate::{Spawner, Task, adopt};

/// async-std's global executor: children are started with `async_std::task::spawn`.
///
/// Children are async-std tasks: `task::current()` and task-locals work in them. The executor is never shut down, so no
/// child is ever lost on it.
///
/// # Examples
///
/// ```
/// use taskgroup::{AsyncStd, TaskGroup};
///
/// let group = TaskGroup::new(AsyncStd);
/// group.launch(async {});
/// async_std::task::block_on(group.join()).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncStd;

impl Spawner for AsyncStd {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        adopt(CancelOnDrop(Some(task::spawn(future))))
    }

    fn keeps_ended(&self) -> bool {
        true
    }

    fn for_tasks(&self) -> Option<Self> {
        Some(*self)
    }
}

impl Timed for AsyncStd {
    type Timer = Self;

    fn timer(&self) -> Self {
        *self
    }
}

/// async-std's own clock.
impl Timer for AsyncStd {
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn now(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn sleep_until(&self, at: Duration) -> Self::Sleep {
        // A sleep of async-std begins with its first poll.
        Box::pin(async move { task::sleep(at.saturating_sub(AsyncStd.now())).await })
    }
}

impl SpawnBlocking for AsyncStd {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        lazily(move || task::spawn_blocking(work))
    }
}

/// An async-std task that already runs.
impl<T: Send + 'static> Adopt for JoinHandle<T> {
    type Output = T;

    fn run(
        self,
        cancelled: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let mut task = CancelOnDrop(Some(self));
        async move {
            let handle = task.0.as_mut().expect("taken only below");
            match unless(handle, cancelled).await {
                Some(output) => Some(output),
                // From its first poll on, the cancel needs no further request.
                None => task.0.take().expect("taken only here").cancel().await,
            }
        }
    }
}

struct CancelOnDrop<T>(Option<JoinHandle<T>>);

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        // The first poll requests the cancel. The child itself tells when it has ended.
        if let Some(handle) = self.0.take() {
            let _ = pin!(handle.cancel()).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}
