//! The handle of one child.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::FusedFuture;

use crate::context::{self, Withheld};
use crate::effects::{self, Effects};
use crate::error::{JoinError, Name, Origin, Why};
use crate::lock::Lock;
use crate::outcome::Raw;
use crate::state::State;
use crate::table::slot_of;
use crate::ticket::Ticket;
use crate::unwind::{drop_quietly, wake};

/// The value of one child, once it is there.
///
/// **Dropping the handle neither cancels nor detaches the child: the group owns it.** That differs from
/// `async_task::Task`, which cancels, and from Tokio's and async-std's handles, which detach. What is given up is
/// the value: it is destroyed where the child ends, before the group can be joined.
///
/// Awaiting the handle gives `Result<T, JoinError>`, by value or by `&mut`. It may be dropped and awaited again at
/// any time before it is ready, in `select!` for instance, and nothing is lost.
///
/// When the handle is ready, the child's future and all it captured are destroyed.
///
/// # Cancellation
///
/// [`cancel`](Self::cancel) ends this one child. The group and the siblings do not notice.
///
/// # Panics
///
/// Awaiting the handle panics in the child itself and in whatever runs inside that child, as it would wait for
/// ever; and when it has given its result already.
///
/// # Errors
///
/// [`JoinError`] says why there is no value. The child's own error is not in it: that went to the group.
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

    /// The handle of a child that was refused. That one is dropped first: if its destructor panics, what whoever has it was about to
    /// return would be leaked.
    pub(crate) fn refused(child: impl Sized) -> Self {
        drop(child);
        let packet = Packet::new();
        packet.resolve(Err(Why::Cancelled));
        Self { packet, child: CancelHandle::refused() }
    }

    /// Waits for the child's value, where a child without one means that the awaiter is being cut as well.
    ///
    /// This is for the body and the children of the same group. If the child fails or panics, the group is
    /// cancelled, and the awaiter is dropped at this await: it never sees the failure.
    ///
    /// # Panics
    ///
    /// Panics where there is no value and the awaiter is not about to be cut: the child was cancelled by itself, lost, or
    /// refused by a closed group; the group collects failures or supervises; the awaiter is under a shield, or not in the group at
    /// all. Await the handle itself there. Panics like the handle does, too.
    #[track_caller]
    pub fn value(self) -> Value<T> {
        Value { handle: self, missing: None, withheld: Withheld::default(), caller: Location::caller() }
    }

    /// Cancels this child only: its future is dropped, at its next await at the latest.
    ///
    /// It is not a failure. A child that has finished keeps its result. See [`CancelHandle::cancel`].
    pub fn cancel(&self) {
        self.child.cancel();
    }

    /// Splits off a handle that can only cancel.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.child.clone()
    }

    /// Whether the result is there: awaiting would not wait.
    pub fn is_finished(&self) -> bool {
        self.packet.is_resolved()
    }

    /// The child's number within its group, counted from 1; `None` if it was refused.
    pub fn id(&self) -> Option<u64> {
        self.child.id()
    }

    /// The child's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.child.child.as_ref()?.2.name.as_deref()
    }

    /// Where the child was spawned; `None` if it was refused.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.child.child.as_ref().map(|(_, _, spawned)| spawned.location)
    }

    /// Gives the group an error of the child, which may be gone by now.
    pub(crate) fn fail<E: Send + 'static>(&self, error: E) {
        let Some(origin) = self.child.origin() else { return };
        let (group, ..) = self.child.child.as_ref().expect("it has an origin");
        let mut effects = Effects::default();
        group.record_into(Raw::Error(Box::new(error)), origin, &mut effects);
        effects.run();
    }

    pub(crate) fn is_group_cancelled(&self) -> bool {
        self.child.child.as_ref().is_some_and(|(group, ..)| group.is_cancelled())
    }

    /// Refuses to wait for the child inside that child, and under a limit lends it the awaiter's place.
    #[track_caller]
    fn check(&self) {
        let Some((group, ticket, _)) = &self.child.child else { return };
        let Some(awaiter) = context::member_of(group) else { return };
        // While there is no result the child has its slot, so the key is still its own.
        assert!(
            awaiter != ticket.key(),
            "a child would wait for itself: the handle of {} was awaited inside of that child",
            self.child.origin().expect("it was not refused").subject()
        );
        if group.config.limit.is_some() {
            group.lend(*ticket);
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &*self;
        let result = match this.packet.poll(cx.waker()) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                this.check();
                return Poll::Pending;
            }
        };
        Poll::Ready(result.map_err(|why| JoinError { why, origin: this.child.origin() }))
    }
}

impl<T> FusedFuture for JoinHandle<T> {
    /// Whether it has given its result, and must not be awaited again.
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
    /// Why there is no value, where the awaiter is not to see it.
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

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Cancels one child, and can do nothing else with it.
///
/// It is split off a [`JoinHandle`] and can be cloned. It keeps neither the child nor its value.
#[derive(Clone)]
pub struct CancelHandle {
    child: Option<(Arc<State>, Ticket, Spawned)>,
}

/// What a handle knows of how its child was spawned, for when that is gone.
#[derive(Clone)]
pub(crate) struct Spawned {
    pub(crate) location: &'static Location<'static>,
    pub(crate) name: Option<Name>,
}

impl CancelHandle {
    pub(crate) fn new(group: Arc<State>, ticket: Ticket, spawned: Spawned) -> Self {
        Self { child: Some((group, ticket, spawned)) }
    }

    pub(crate) fn refused() -> Self {
        Self { child: None }
    }

    /// Cancels the child: its future is dropped, at its next await at the latest.
    ///
    /// Groups opened in the child are cancelled with it and end first; a [`shield`](crate::shield()) is run to its
    /// end. The group counts the child until all that is done. Cancelling again, or late, does nothing.
    pub fn cancel(&self) {
        if let Some((group, ticket, _)) = &self.child {
            group.cancel_child(*ticket);
        }
    }

    /// Whether nothing is left of the child: its future is destroyed, groups opened in it have ended, and its own does not count it
    /// any more.
    ///
    /// That may be later than its [`JoinHandle`] is ready, which waits for the future alone. Of a child that was refused there
    /// never was anything.
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
        let Some((group, ticket, _)) = &self.child else { return true };
        slot_of(&mut group.lock().slots, *ticket).is_none()
    }

    /// The child's number within its group, counted from 1; `None` if it was refused.
    pub fn id(&self) -> Option<u64> {
        self.child.as_ref().map(|(_, ticket, _)| ticket.id())
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        let (group, ticket, spawned) = self.child.as_ref()?;
        Some(group.origin_of_child(ticket.id(), spawned.location, spawned.name.clone()))
    }

    /// Whether the task that polls on this thread belongs to the child's group and will not be polled again. The handle of a child
    /// that was refused does not know by which group: then it may be any that was cancelled.
    fn awaiter_is_cut(&self) -> bool {
        let group = self.child.as_ref().map(|(group, ..)| group);
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
            // Of a value that panics as well nobody would be told: that would abort.
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
            // Cloned and dropped where no lock is held, and no result.
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

    /// What nobody has taken.
    pub(crate) fn into_result(self) -> Option<Result<T, Why>> {
        match self.take()? {
            Slot::Ready(result) => Some(result),
            _ => None,
        }
    }

    /// Whoever waits here does not any more: its waker goes now, where no lock is held.
    pub(crate) fn forget(&self) {
        let waker = match &mut *self.0.lock() {
            Slot::Waiting(waker) => waker.take(),
            _ => None,
        };
        drop_quietly(waker);
    }

    /// What there is, unless that is yet to come.
    fn take(&self) -> Option<Slot<T>> {
        let mut slot = self.0.lock();
        match *slot {
            Slot::Waiting(_) => None,
            _ => Some(std::mem::replace(&mut slot, Slot::Taken)),
        }
    }
}
