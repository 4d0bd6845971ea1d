//! Children that say when they are ready.
//!
//! The child is a member of the group from the start: it is counted, and it is cancelled with the group. Only its error is
//! treated differently, depending on whether the child was ready:
//!
//! * An error before that goes to the caller of `start`, and the group has not failed.
//! * An error after that, or one that the caller did not stay to receive, is a failure of the group like any other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::FusedFuture;

use crate::error::StartError;
use crate::group::Group;
use crate::group::child_builder::ChildBuilder;
use crate::handle::JoinHandle;
use crate::keeping::Mapped;
use crate::output::ChildOutput;
use crate::output::sealed::Sorted;
use crate::spawner::Spawner;
use crate::sync::{Mutex, lock};
use crate::unwind::{drop_each, drop_quietly, wake};

impl<S, E: Send + 'static> Group<S, E> {
    /// Starts a child, and waits until it says that it is ready.
    ///
    /// The child gets a [`Ready`], with which it says so and passes a value: the port that a server listens on, for instance.
    /// It then goes on as a child like any other.
    ///
    /// If a child of the same group awaits this under a [limit](crate::group::Builder::limit), it lends its place to the new
    /// child. The new child keeps that place until it has ended, also after it is ready. A child that needs no place, because
    /// it is in the background, does not take it.
    ///
    /// # Cancellation
    ///
    /// Dropping the future before it has returned cancels the child, even if the child has said meanwhile that it is ready. The
    /// group still waits for the child. The child's error goes to the group, also if the child has already returned it. If the
    /// group has ended by then, its failure hook sees the error, and the next group around that has not ended gets it.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    ///
    /// # Errors
    ///
    /// [`StartError`], and then the child's future is gone. If the child failed before it was ready, its error is in there, and the
    /// group has not failed. A panic of the child is treated as the group's policy has it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::io;
    /// # use smol::net::TcpListener;
    /// # use taskgroup::{Smol, TaskGroup, group::Ready};
    /// # smol::block_on(async {
    /// async fn serve(ready: Ready<u16>) -> io::Result<()> {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     ready.set(listener.local_addr()?.port());
    ///     // accept connections
    ///     Ok(())
    /// }
    ///
    /// let group = TaskGroup::fallible::<io::Error>(Smol);
    /// let port = group.start(serve).await?;
    /// assert_ne!(port, 0);
    /// group.join().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// # }
    /// ```
    #[track_caller]
    pub fn start<V, M, F>(&self, child: M) -> Start<V, E>
    where
        S: Spawner,
        M: FnOnce(Ready<V>) -> F,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        V: Send + 'static,
    {
        self.child().start(child)
    }
}

impl<S, E: Send + 'static> ChildBuilder<'_, S, E> {
    /// Starts the child, and waits until it says that it is ready. See [`Group::start`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. The child that the spawner has not taken is lost then, which cancels the group.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup, group::Ready};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let cache = group.child().name("cache").background();
    /// let size = cache.start(|ready: Ready<usize>| async move {
    ///     ready.set(1024);
    ///     std::future::pending::<()>().await
    /// });
    /// assert_eq!(size.await?, 1024);
    /// group.join().await.unwrap();
    /// # Ok::<(), taskgroup::error::StartError<_>>(()) }).unwrap();
    /// # }
    /// ```
    #[track_caller]
    pub fn start<V, M, F>(self, child: M) -> Start<V, E>
    where
        S: Spawner,
        M: FnOnce(Ready<V>) -> F,
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        V: Send + 'static,
    {
        let startup = Arc::new(Startup(Mutex::new(Stage::Waiting(None))));
        let future = child(Ready { startup: startup.clone(), set: false });
        let inside = startup.clone();
        let child = self.spawn(Mapped::new(future, move |output: F::Output| match output.sort() {
            Sorted::Failed(error) => inside.fail(error).map_or(Ok(()), Err),
            _ => Ok(()),
        }));
        if child.id().is_none() {
            // It was refused, also if the closure said that it is ready.
            let unread = std::mem::replace(&mut *lock(&startup.0), Stage::Never);
            drop_each([unread]);
        }
        Start { child, startup, ended: false, hand_on: JoinHandle::fail }
    }
}

/// Lets a child say that it is ready. See [`Group::start`].
///
/// If it is dropped before it was set, the child will never be ready. It is cancelled when the [`Start`] is polled, which is woken
/// for that, or dropped.
///
/// A closure `|_ready| async { … }` drops it before the child begins. So use the `Ready` inside the `async` block, which then
/// owns it, also in a child that fails before it is ready. An `async fn` owns it in any case.
#[must_use = "dropping it says that the child will never be ready"]
pub struct Ready<V> {
    startup: Arc<dyn Startable<V>>,
    set: bool,
}

impl<V> Ready<V> {
    /// Says that the child is ready, and passes this value to the caller of `start`.
    pub fn set(mut self, value: V) {
        self.set = true;
        self.startup.ready(Some(value));
    }
}

impl<V> Drop for Ready<V> {
    fn drop(&mut self) {
        if !self.set {
            self.startup.ready(None);
        }
    }
}

impl<V> fmt::Debug for Ready<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

/// A [`Startup`] without the error type, so that [`Ready`] need not name it.
trait Startable<V>: Send + Sync {
    fn ready(&self, value: Option<V>);
}

struct Startup<V, E>(Mutex<Stage<V, E>>);

enum Stage<V, E> {
    Waiting(Option<Waker>),
    Ready(Option<V>),
    Never,
    Failed(E),
    /// Nobody waits any more.
    Abandoned,
}

impl<V, E> Startup<V, E> {
    /// The child failed. Returns the error if the child was ready before, or if the caller does not wait any more.
    fn fail(&self, error: E) -> Option<E> {
        let mut stage = lock(&self.0);
        match *stage {
            Stage::Ready(_) | Stage::Abandoned => Some(error),
            // The caller takes the error when the handle reports the end of the child.
            _ => {
                let before = std::mem::replace(&mut *stage, Stage::Failed(error));
                drop(stage);
                drop_quietly(before);
                None
            }
        }
    }
}

impl<V, E> Drop for Startup<V, E> {
    fn drop(&mut self) {
        // If the last owner is a `start` that unwinds, a panic of the value gives way.
        let stage = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop_each([std::mem::replace(stage, Stage::Never)]);
    }
}

impl<V: Send, E: Send> Startable<V> for Startup<V, E> {
    fn ready(&self, value: Option<V>) {
        let mut stage = lock(&self.0);
        let Stage::Waiting(waker) = &mut *stage else { return };
        let waker = waker.take();
        *stage = value.map_or(Stage::Never, |value| Stage::Ready(Some(value)));
        drop(stage);
        waker.into_iter().for_each(wake);
    }
}

/// The future of [`Group::start`].
#[must_use = "dropping it cancels the child"]
pub struct Start<V, E> {
    child: JoinHandle<()>,
    startup: Arc<Startup<V, E>>,
    /// Whether the child is ready, or gone.
    ended: bool,
    /// Hands the group an error that the caller did not stay for.
    hand_on: fn(&JoinHandle<()>, E),
}

impl<V, E> Future for Start<V, E> {
    type Output = Result<V, StartError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // A waker is the runtime's: neither cloned nor dropped under the lock.
        let mut waker = Some(cx.waker().clone());
        let mut stage = lock(&this.startup.0);
        let mut ready = None;
        match &mut *stage {
            Stage::Waiting(before) => std::mem::swap(before, &mut waker),
            Stage::Ready(value) => {
                ready = Some(value.take().expect("a `Start` is not polled after it has ended"))
            }
            Stage::Never | Stage::Failed(_) | Stage::Abandoned => {}
        }
        let never = matches!(*stage, Stage::Never);
        drop(stage);
        drop_quietly(waker);
        if let Some(value) = ready {
            this.ended = true;
            return Poll::Ready(Ok(value));
        }
        if never {
            this.child.cancel();
        }
        let joined = std::task::ready!(Pin::new(&mut this.child).poll(cx));
        this.ended = true;
        let stage = std::mem::replace(&mut *lock(&this.startup.0), Stage::Never);
        let never = matches!(stage, Stage::Never);
        Poll::Ready(match stage {
            Stage::Ready(Some(value)) => Ok(value),
            Stage::Failed(error) => Err(StartError::Failed(error)),
            rest => {
                // There may be a waker in it.
                drop_quietly(rest);
                Err(match joined {
                    _ if this.child.id().is_none() => StartError::Rejected,
                    Ok(()) => StartError::NeverReady,
                    Err(why) if never && why.is_cancelled() && !this.child.is_group_cancelled() => {
                        StartError::NeverReady
                    }
                    Err(_) => StartError::Cancelled,
                })
            }
        })
    }
}

impl<V, E> FusedFuture for Start<V, E> {
    /// Returns whether the child is ready or gone, and this must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<V, E> Drop for Start<V, E> {
    fn drop(&mut self) {
        if !self.ended {
            let before = std::mem::replace(&mut *lock(&self.startup.0), Stage::Abandoned);
            self.child.cancel();
            match before {
                Stage::Failed(error) => (self.hand_on)(&self.child, error),
                Stage::Waiting(waker) => drop_quietly(waker),
                unread => drop_each([unread]),
            }
        }
    }
}

impl<V, E> fmt::Debug for Start<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("child", &self.child).finish_non_exhaustive()
    }
}
