//! Handles that cancel their child.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

use crate::child::context;
use crate::error::{JoinError, Name, Origin};
use crate::handle::JoinHandle;
use crate::outcome::Raw;
use crate::state::State;
use crate::state::signal::Waiter;
use crate::state::ticket::Ticket;

/// A [`JoinHandle`] that cancels its child if it is dropped before it is ready.
///
/// It is made by [`JoinHandle::cancel_on_drop`]. After that, cancelling does nothing.
#[must_use = "dropping it cancels the child"]
pub struct CancelOnDrop<T> {
    /// `Some` until it is taken out.
    handle: Option<JoinHandle<T>>,
}

const TAKEN: &str = "only `into_inner` takes it, and that ends this";

impl<T> CancelOnDrop<T> {
    pub(super) fn new(handle: JoinHandle<T>) -> Self {
        Self { handle: Some(handle) }
    }

    /// Returns the handle. Dropping that does not cancel the child any more.
    pub fn into_inner(mut self) -> JoinHandle<T> {
        self.handle.take().expect(TAKEN)
    }
}

impl<T> Deref for CancelOnDrop<T> {
    type Target = JoinHandle<T>;

    fn deref(&self) -> &JoinHandle<T> {
        self.handle.as_ref().expect(TAKEN)
    }
}

impl<T> Future for CancelOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(self.handle.as_mut().expect(TAKEN)).poll(cx)
    }
}

impl<T> FusedFuture for CancelOnDrop<T> {
    fn is_terminated(&self) -> bool {
        self.deref().is_terminated()
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        // A child whose result is there may still be counted for a moment.
        if let Some(handle) = self.handle.as_ref().filter(|handle| !handle.is_finished()) {
            handle.cancel();
        }
    }
}

impl<T> fmt::Debug for CancelOnDrop<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelOnDrop").field(&**self).finish()
    }
}

/// A handle that can cancel one child, and say whether it has ended.
///
/// It is made by [`JoinHandle::cancel_handle`], and can be cloned. It keeps neither the child nor its value alive, but what the
/// hooks of the group have captured.
#[derive(Clone)]
pub struct CancelHandle {
    child: Option<Known>,
}

/// What the handle of a child that was not refused knows of it.
#[derive(Clone)]
struct Known {
    group: Arc<State>,
    ticket: Ticket,
    spawned: Spawned,
}

impl Known {
    fn origin(&self) -> Origin {
        self.group.origin_of_child(self.ticket.id(), self.spawned.location, self.spawned.name.clone())
    }
}

/// How a child was spawned. The handle keeps it for when the child is gone.
#[derive(Clone)]
pub(crate) struct Spawned {
    pub(crate) location: &'static Location<'static>,
    pub(crate) name: Option<Name>,
}

impl CancelHandle {
    pub(crate) fn new(group: Arc<State>, ticket: Ticket, spawned: Spawned) -> Self {
        Self { child: Some(Known { group, ticket, spawned }) }
    }

    pub(crate) fn refused() -> Self {
        Self { child: None }
    }

    /// Cancels the child: its future is dropped, at its next await at the latest.
    ///
    /// Groups opened in the child are cancelled with it, and end first. A [`shield`](crate::shield()) is run to its end. The
    /// group counts the child until all of that is done. A second cancel, or one after the child has ended, does nothing.
    pub fn cancel(&self) {
        if let Some(Known { group, ticket, .. }) = &self.child {
            group.cancel_child(*ticket);
        }
    }

    /// Returns whether nothing is left of the child.
    ///
    /// That means that its future is destroyed, the groups opened in it have ended, and its own group does not count it any
    /// more. It can become true later than the [`JoinHandle`] is ready, which waits only for the child's future. It is true
    /// for a child that was refused. The [clean-ups](crate::Group::defer) of the child are members of their own, which may still
    /// run.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let child = group.spawn(std::future::pending::<()>()).cancel_handle();
    /// assert!(!child.is_finished());
    /// child.cancel();
    /// group.join().await.unwrap();
    /// assert!(child.is_finished());
    /// # });
    /// # }
    /// ```
    pub fn is_finished(&self) -> bool {
        self.child.as_ref().is_none_or(|child| child.group.has_left(child.ticket))
    }

    /// Waits until [`is_finished`](Self::is_finished) is true: also for groups that were opened in the child, and not for its
    /// clean-ups. It cancels nothing by itself.
    ///
    /// A child that waits here lends its place under a [limit](crate::group::Builder::limit), as one that awaits the handle.
    ///
    /// # Panics
    ///
    /// The future panics in the child itself, and in code that runs inside that child: it would wait for ever.
    ///
    /// # Examples
    ///
    /// The old connection is gone before the new one begins, with all groups that were opened in it:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # async fn connection() { std::future::pending().await }
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let old = group.spawn(connection()).cancel_handle();
    /// old.cancel();
    /// old.ended().await;
    /// group.launch(connection());
    /// # });
    /// # }
    /// ```
    pub fn ended(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let this = self.clone();
        async move {
            let Some(Known { group, ticket, .. }) = &this.child else { return };
            let Some(signal) = group.leaving(*ticket) else { return };
            let mut waiter = Waiter::default();
            poll_fn(|cx| {
                waiter.listen(&signal, cx);
                if group.has_left(*ticket) {
                    return Poll::Ready(());
                }
                this.check("the end");
                Poll::Pending
            })
            .await
        }
    }

    /// Panics inside the child itself, which would wait for itself. Under a limit, lends the awaiter's place to the child.
    ///
    /// Whoever calls this knows that the child has its slot, so the key is still its own.
    #[track_caller]
    pub(super) fn check(&self, what: &str) {
        let Some(child) = &self.child else { return };
        let Some(awaiter) = context::member_of(&child.group) else { return };
        assert!(
            awaiter != child.ticket.key(),
            "a child would wait for itself: {what} of {} was awaited inside of that child",
            child.origin().subject()
        );
        if child.group.config.limit.is_some() {
            child.group.lend(child.ticket);
        }
    }

    /// Returns the child's number in its group, counted from 1; `None` if it was refused.
    pub fn id(&self) -> Option<u64> {
        self.child.as_ref().map(|child| child.ticket.id())
    }

    /// Returns the child's name, if it has one; `None` if it was refused.
    pub fn name(&self) -> Option<&str> {
        self.child.as_ref()?.spawned.name.as_deref()
    }

    /// Returns where the child was spawned; `None` if it was refused.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.child.as_ref().map(|child| child.spawned.location)
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        self.child.as_ref().map(Known::origin)
    }

    /// Records an error of the child in the group. The child may be gone by now.
    pub(super) fn fail<E: Send + 'static>(&self, error: E) {
        if let Some(child) = &self.child {
            child.group.record_late(Raw::Error(Box::new(error)), child.origin());
        }
    }

    pub(super) fn is_group_cancelled(&self) -> bool {
        self.child.as_ref().is_some_and(|child| child.group.is_cancelled())
    }

    /// Whether the task that polls on this thread belongs to the child's group and will not be polled again. The handle of a
    /// refused child does not know which group refused it: then any cancelled group counts.
    pub(super) fn awaiter_is_cut(&self) -> bool {
        let group = self.child.as_ref().map(|child| &child.group);
        for (state, key) in context::ancestry() {
            if state.is_shielded(key) {
                return false;
            }
            if group.is_none_or(|group| Arc::ptr_eq(&state, group)) && state.is_cancelled() {
                return true;
            }
        }
        false
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}
