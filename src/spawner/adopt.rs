//! Taking tasks that already run into a group.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_task::Task;
use pin_project_lite::pin_project;

use crate::child::context;
use crate::keeping::{Begun, Mapped};
use crate::output::ChildOutput;
use crate::output::sealed::{Sealed, Sorted};
use crate::state::facts::Fact;

/// A handle of a running task, as [`Group::adopt`](crate::Group::adopt) takes it.
///
/// It is implemented by `async_task::Task`, which is smol's, and by the handles of the runtimes that are compiled in.
///
/// # Examples
///
/// A job of your own, which is stopped by a flag:
///
/// ```
/// use std::future::Future;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use taskgroup::runtime::Adopt;
///
/// struct Job {
///     stop: Arc<AtomicBool>,
///     result: async_channel::Receiver<u64>,
/// }
///
/// struct StopOnDrop(Arc<AtomicBool>);
///
/// impl Drop for StopOnDrop {
///     fn drop(&mut self) {
///         self.0.store(true, Ordering::Relaxed);
///     }
/// }
///
/// impl Adopt for Job {
///     type Output = ();
///
///     fn run(self, cancelled: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = Option<()>> + Send + 'static {
///         let stop = StopOnDrop(self.stop);
///         async move {
///             let stopped = async {
///                 cancelled.await;
///                 drop(stop);
///                 std::future::pending().await
///             };
///             futures_lite::future::or(async { self.result.recv().await.ok() }, stopped).await.map(drop)
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task that a group can adopt",
    label = "not a task",
    note = "the handles of tasks on smol, async-std and Tokio can be adopted, each with the feature of its runtime",
    note = "a future that does not run yet is started with `spawn` or `launch`"
)]
pub trait Adopt: Send + 'static {
    /// What the task returns.
    type Output: Send + 'static;

    /// Waits for the task and gives its output, or `None` if it ended without one.
    ///
    /// If the task panics, the panic is resumed in this future.
    ///
    /// # Cancellation
    ///
    /// When `cancelled` is ready, this future asks the task to end, and goes on waiting until the task has ended. If this
    /// future is dropped, polled or not, it has to ask the task to end as well.
    ///
    /// The future itself has to poll `cancelled`, not a task of its own, and has to do so each time that it is polled. A
    /// cancel wakes the child, and not the waker that `cancelled` was polled with. So inside a `FuturesUnordered`, which
    /// polls only what was woken, the cancel is never seen.
    fn run(
        self,
        cancelled: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<Self::Output>> + Send + 'static;

    /// Makes another output of this one's, so that a task whose output is not that of a child can be adopted.
    ///
    /// `f` runs in the child that waits for the task, and a panic of it is that child's.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup, runtime::Adopt};
    /// # smol::block_on(async {
    /// let running = smol::spawn(async { 42 });
    /// let group = TaskGroup::new(Smol);
    /// let handle = group.adopt(running.map_output(Ok));
    /// assert_eq!(handle.await.unwrap(), 42);
    /// # });
    /// # }
    /// ```
    fn map_output<O, F>(self, f: F) -> impl Adopt<Output = O>
    where
        Self: Sized,
        F: FnOnce(Self::Output) -> O + Send + 'static,
        O: Send + 'static,
    {
        MapOutput { task: self, f }
    }
}

struct MapOutput<A, F> {
    task: A,
    f: F,
}

impl<A, F, O> Adopt for MapOutput<A, F>
where
    A: Adopt,
    F: FnOnce(A::Output) -> O + Send + 'static,
    O: Send + 'static,
{
    type Output = O;

    fn run(
        self,
        cancelled: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<O>> + Send + 'static {
        Mapped::new(self.task.run(cancelled), |output: Option<A::Output>| output.map(self.f))
    }
}

impl<T: Send + 'static> Adopt for Task<T> {
    type Output = T;

    fn run(
        self,
        cancelled: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        // Dropping it cancels.
        let mut task = self.fallible();
        async move {
            match unless(&mut task, cancelled).await {
                Some(output) => output,
                None => task.cancel().await,
            }
        }
    }
}

/// Makes a task that is started when it is first polled, for [`SpawnBlocking`](crate::runtime::SpawnBlocking).
pub fn lazily<A: Adopt>(start: impl FnOnce() -> A + Send + 'static) -> impl Adopt<Output = A::Output> {
    Lazily(start)
}

struct Lazily<S>(S);

impl<S, A> Adopt for Lazily<S>
where
    S: FnOnce() -> A + Send + 'static,
    A: Adopt,
{
    type Output = A::Output;

    fn run(
        self,
        cancelled: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Option<A::Output>> + Send + 'static {
        Begun::new(|| (self.0)().run(cancelled))
    }
}

/// Waits for `future`, or gives `None` if `cancelled` is ready first.
pub(crate) fn unless<F, C>(future: F, cancelled: C) -> Unless<F, C> {
    Unless { future, cancelled }
}

pin_project! {
    /// Both futures stay until this is destroyed, as in [`Mapped`](crate::keeping::Mapped).
    pub(crate) struct Unless<F, C> {
        #[pin]
        future: F,
        #[pin]
        cancelled: C,
    }
}

impl<F: Future, C: Future<Output = ()>> Future for Unless<F, C> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => this.cancelled.poll(cx).map(|()| None),
        }
    }
}

/// Ready when the child that polls it is cancelled, unless no cancel is to reach it. No waker is kept here: the child is
/// shielded, so a cancel wakes the child itself.
#[derive(Clone, Copy)]
pub(crate) enum MemberCancelled {
    Told,
    Never,
}

impl MemberCancelled {
    pub(crate) fn unless(shielded: bool) -> Self {
        if shielded { Self::Never } else { Self::Told }
    }
}

impl Future for MemberCancelled {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let is_told = matches!(*self, Self::Told);
        match context::innermost() {
            Some((group, key)) if is_told && group.member_is(key, Fact::CANCELLED) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

/// The output of an adopted task.
pub(crate) struct Adopted<O>(pub(crate) Option<O>);

impl<O> Sealed for Adopted<O> {}
impl<O: ChildOutput<E>, E> ChildOutput<E> for Adopted<O> {
    type Value = O::Value;

    fn sort(self) -> Sorted<O::Value, E> {
        self.0.map_or(Sorted::Nothing, O::sort)
    }
}
