//! The handle of one child.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::FusedFuture;

use crate::child::context::Withheld;
use crate::error::{JoinError, Why};
use crate::state::State;
use crate::state::effects;
use crate::state::ticket::Ticket;
use crate::sync::lock::Lock;
use crate::unwind::{drop_quietly, drop_refused, wake};

mod cancel;

pub(crate) use self::cancel::Spawned;
pub use self::cancel::{CancelHandle, CancelOnDrop};

/// A handle to one child, which gives the child's value.
///
/// **Dropping the handle neither cancels nor detaches the child: the group owns it.** That differs from
/// `async_task::Task`, which cancels, and from the handles of Tokio and async-std, which detach. Only the value is given
/// up: it is dropped where the child ends, before the group can be joined.
///
/// Awaiting the handle, by value or by `&mut`, gives `Result<T, JoinError>`. With `&mut` the await can be dropped before it
/// is ready, for instance in `select!`, and the handle can be awaited again: nothing is lost.
///
/// When the handle is ready, the child's future and all that it captured are destroyed (unless it is a task that the group has
/// refused to [adopt](crate::Group::adopt)). The child leaves its group a moment later, or when the groups that were opened in it
/// have ended. It counts until then: [`Group::len`](crate::Group::len) may include it, and its place under a limit be taken.
/// [`CancelHandle::ended`] waits for that.
///
/// # Cancellation
///
/// [`cancel`](Self::cancel) ends only this child. The group and the siblings go on.
///
/// # Panics
///
/// Awaiting the handle panics
///
/// * in the child itself, and in code that runs inside that child: it would wait for ever;
/// * after it has given its result.
///
/// # Errors
///
/// [`JoinError`] says why there is no value. It does not contain the child's own error, which went to the group.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{scope, Smol, GroupError};
/// # use std::convert::Infallible;
/// # smol::block_on(async {
/// scope(Smol, |group| async move {
///     let mut stuck = group.spawn(std::future::pending::<()>());
///     let quick = group.spawn(async { Ok(7) });
///     assert_eq!(quick.await.unwrap(), 7);
///
///     stuck.cancel();
///     assert!((&mut stuck).await.unwrap_err().is_cancelled());
///     Ok(())
/// })
/// .await
/// # }).map_err(|_: GroupError<Infallible>| ()).unwrap();
/// # }
/// ```
pub struct JoinHandle<T> {
    packet: Arc<Packet<T>>,
    child: CancelHandle,
}

impl<T> JoinHandle<T> {
    /// The handle of a child that was accepted.
    pub(crate) fn new(packet: Arc<Packet<T>>, group: Arc<State>, ticket: Ticket, spawned: Spawned) -> Self {
        Self { packet, child: CancelHandle::new(group, ticket, spawned) }
    }

    pub(crate) fn packet(&self) -> &Arc<Packet<T>> {
        &self.packet
    }

    /// The handle of a child that was refused. The child is dropped first: if its destructor panicked later, the handle that
    /// the caller is about to return would be leaked. If the thread unwinds, such a panic gives way.
    pub(crate) fn refused(child: impl Sized) -> Self {
        drop_refused(child);
        let packet = Packet::new();
        packet.resolve(Err(Why::Cancelled));
        Self { packet, child: CancelHandle::refused() }
    }

    /// Waits for the value.
    ///
    /// It is for the body and the children of the same fail-fast group. If the child fails or panics, the group is cancelled,
    /// and the caller is dropped at this await. So the caller never sees the failure.
    ///
    /// # Panics
    ///
    /// **Panics if there is no value and the caller is not about to be dropped.** In these cases await the handle itself, which
    /// gives a `Result`:
    ///
    /// * the child failed or panicked, and that does not cancel the group: it [collects](crate::group::Builder::collect)
    ///   failures, [supervises](crate::group::Builder::supervise), or is a [`race`](crate::race()) in which a racer failed;
    /// * the child was cancelled alone, by its handle;
    /// * the child was lost;
    /// * the child was refused because the group was closed;
    /// * the caller is under a [`shield`](crate::shield());
    /// * the caller is not in the group.
    ///
    /// It also panics where awaiting the [handle](Self#panics) does.
    #[track_caller]
    pub fn value(self) -> Value<T> {
        Value { handle: self, missing: None, withheld: Withheld::default(), caller: Location::caller() }
    }

    /// Cancels only this child: its future is dropped, at its next await at the latest.
    ///
    /// That is not a failure. A child that has already ended keeps its result. See [`CancelHandle::cancel`].
    #[doc(alias = "abort")]
    pub fn cancel(&self) {
        self.child.cancel();
    }

    /// Cancels the child if this handle is dropped before it is ready.
    ///
    /// It is for code that belongs to no group, such as a handler that a web framework drops when the client goes away. Inside
    /// a group it is not needed: the children go with the group.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use futures_lite::future::poll_once;
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let requests = TaskGroup::new(Smol);
    /// let request = requests.spawn(std::future::pending::<()>()).cancel_on_drop();
    /// assert!(poll_once(request).await.is_none()); // the client has gone away
    /// requests.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[doc(alias = "abort_on_drop")]
    pub fn cancel_on_drop(self) -> CancelOnDrop<T> {
        CancelOnDrop::new(self)
    }

    /// Returns a handle that can only cancel the child.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.child.clone()
    }

    /// Returns whether the result is there, so that awaiting would not wait, or was there and has been taken.
    pub fn is_finished(&self) -> bool {
        self.packet.is_resolved()
    }

    /// Returns the child's number in its group, counted from 1; `None` if it was refused.
    pub fn id(&self) -> Option<u64> {
        self.child.id()
    }

    /// Returns the child's name, if it has one; `None` if it was refused.
    pub fn name(&self) -> Option<&str> {
        self.child.name()
    }

    /// Returns where the child was spawned; `None` if it was refused.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.child.location()
    }

    /// Records an error of the child in the group. The child may be gone by now.
    pub(crate) fn fail<E: Send + 'static>(&self, error: E) {
        self.child.fail(error);
    }

    pub(crate) fn is_group_cancelled(&self) -> bool {
        self.child.is_group_cancelled()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &*self;
        let result = match this.packet.poll(cx.waker()) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                // There is no result yet, so the child is there.
                this.child.check("the handle");
                return Poll::Pending;
            }
        };
        Poll::Ready(result.map_err(|why| JoinError { why, origin: this.child.origin() }))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // A child that lives would keep the waker, and with it the cell of a task that may have ended.
        if Arc::strong_count(&self.packet) > 1 {
            self.packet.forget();
        }
    }
}

impl<T> FusedFuture for JoinHandle<T> {
    /// Returns whether the handle has given its result, and must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.packet.is_taken()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("child", &self.child).finish_non_exhaustive()
    }
}

/// The future of [`JoinHandle::value`].
#[must_use = "futures do nothing unless awaited"]
pub struct Value<T> {
    handle: JoinHandle<T>,
    /// Why there is no value, kept while the awaiter must not see it.
    missing: Option<JoinError>,
    withheld: Withheld,
    caller: &'static Location<'static>,
}

impl<T> Future for Value<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if this.missing.is_none() {
            match std::task::ready!(Pin::new(&mut this.handle).poll(cx)) {
                Ok(value) => return Poll::Ready(value),
                Err(error) => this.missing = Some(error),
            }
        }
        if this.handle.child.awaiter_is_cut() && this.withheld.again(cx) {
            return Poll::Pending;
        }
        let error = this.missing.take().expect("set above");
        panic!("no value for `value()` at {}: {error}; await the handle to be told", this.caller);
    }
}

impl<T> FusedFuture for Value<T> {
    /// Returns whether this has given the value, and must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.handle.is_terminated() && self.missing.is_none()
    }
}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Where a child leaves its result for its handle.
pub(crate) struct Packet<T>(Lock<Slot<T>>);

enum Slot<T> {
    Waiting(Option<Waker>),
    Ready(Result<T, Why>),
    Taken,
}

impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic, of the value's destructor, would abort.
            drop_quietly(std::mem::replace(&mut *self.0.lock(), Slot::Taken));
        }
    }
}

impl<T> Packet<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Lock::new(Slot::Waiting(None))))
    }

    pub(crate) fn is_resolved(&self) -> bool {
        !matches!(*self.0.lock(), Slot::Waiting(_))
    }

    fn is_taken(&self) -> bool {
        matches!(*self.0.lock(), Slot::Taken)
    }

    /// Leaves the result.
    pub(crate) fn resolve(&self, result: Result<T, Why>) {
        let before = std::mem::replace(&mut *self.0.lock(), Slot::Ready(result));
        if let Slot::Waiting(Some(waker)) = before {
            wake(waker);
        }
    }

    /// Takes the result, or has `waker` woken when it is there.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Result<T, Why>> {
        let taken = self.take().or_else(|| {
            effects::catch_up();
            // Cloned and dropped while no lock and no result is held.
            let mut waker = Some(waker.clone());
            let is_kept = match &mut *self.0.lock() {
                Slot::Waiting(before) => {
                    std::mem::swap(before, &mut waker);
                    true
                }
                _ => false,
            };
            drop_quietly(waker);
            if is_kept { None } else { self.take() }
        });
        match taken {
            None => Poll::Pending,
            Some(Slot::Ready(result)) => Poll::Ready(result),
            Some(_) => panic!("a `JoinHandle` was awaited after it had given its result"),
        }
    }

    /// The result, if there is one that was not taken.
    pub(crate) fn take_result(&self) -> Option<Result<T, Why>> {
        match self.take()? {
            Slot::Ready(result) => Some(result),
            _ => None,
        }
    }

    /// Nobody waits here any more: drops the waker now, where no lock is held.
    pub(crate) fn forget(&self) {
        let waker = match &mut *self.0.lock() {
            Slot::Waiting(waker) => waker.take(),
            _ => None,
        };
        drop_quietly(waker);
    }

    /// Takes what is there: the result, or that it was taken before. `None` while there is no result.
    fn take(&self) -> Option<Slot<T>> {
        let mut slot = self.0.lock();
        match *slot {
            Slot::Waiting(_) => None,
            _ => Some(std::mem::replace(&mut slot, Slot::Taken)),
        }
    }
}
