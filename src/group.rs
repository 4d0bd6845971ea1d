//! The group as children and bodies see it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::task::Poll;

use crate::adopt::{Adopt, Adopted, MemberCancelled};
use crate::child::{Child, Deliver, Discard, ToHandle};
use crate::context::Context;
use crate::error::{CancelReason, Origin, SpawnError};
use crate::handle::{JoinHandle, Packet};
use crate::member::{BODY, Member};
use crate::output::ChildOutput;
use crate::shield::Held;
use crate::signal::Waiter;
use crate::spawner::Spawner;
use crate::state::{State, Ticket};
use crate::word::Refusal;

/// Where children are spawned into: what a scope's body is given, and children clone.
///
/// It is `'static`, cheap to clone, and dropping it has no effect: the group ends when its body and its children
/// have, however many clones there are. `E` is the error of children that may fail.
///
/// A clone holds the spawner. So a child that captures one keeps its executor alive, if that is an
/// `Arc<Executor>`; `Weak<Executor>` is a spawner too and does not.
///
/// # Examples
///
/// A child that spawns its siblings:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{scope, Group, Smol, GroupError};
/// # use std::convert::Infallible;
/// fn countdown(group: Group<Smol, Infallible>, from: u32) {
///     let next = group.clone();
///     group.launch(async move {
///         if from > 0 {
///             countdown(next, from - 1);
///         }
///     });
/// }
///
/// # smol::block_on(async {
/// scope(Smol, |group| async move {
///     countdown(group, 1000);
///     Ok(())
/// })
/// .await
/// # }).unwrap();
/// # }
/// ```
pub struct Group<S, E = Infallible> {
    spawner: S,
    state: Arc<State>,
    error: PhantomData<fn(E) -> E>,
}

impl<S, E> Group<S, E> {
    pub(crate) fn new(spawner: S, state: Arc<State>) -> Self {
        Self { spawner, state, error: PhantomData }
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The spawner: for its clock, its blocking pool, or a group inside this one.
    pub fn spawner(&self) -> &S {
        &self.spawner
    }

    /// Takes no more children. Those that live go on.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let child = group.spawn(async { Ok(1) });
    /// group.close();
    /// assert!(group.try_spawn(async {}).is_err());
    /// assert_eq!(child.await.unwrap(), 1);
    /// # });
    /// # }
    /// ```
    pub fn close(&self) {
        self.state.close();
    }

    /// Cancels the body and every child, and takes no more children.
    ///
    /// A member runs up to its next await, and is dropped there; one that was never polled never will be. In which
    /// order is not specified. Groups opened in a child are cancelled with it and end before it; a
    /// [`shield`](crate::shield()) puts the cut off. This does not wait: joining the group does.
    ///
    /// A member that is in the middle of a poll finishes it: it may find siblings gone already, and what it returns from
    /// that poll counts.
    ///
    /// It may be called at any time, by anybody, again and again. The first reason is kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let child = group.spawn(std::future::pending::<()>());
    /// group.cancel();
    /// group.join().await.unwrap(); // it is gone here, and that is no error
    /// assert!(child.await.unwrap_err().is_cancelled());
    /// # });
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.cancel_with("");
    }

    /// Cancels like [`cancel`](Self::cancel), with a message for [`CancelReason::Explicit`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// group.cancel_with("out of time");
    /// assert_eq!(group.reason().unwrap().to_string(), "cancelled: out of time");
    /// # });
    /// # }
    /// ```
    pub fn cancel_with(&self, message: impl Into<Cow<'static, str>>) {
        self.state.cancel(CancelReason::Explicit(message.into()));
    }

    /// How many children live: their futures, or groups opened in them, are not all gone yet.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// group.launch(std::future::pending::<()>());
    /// assert_eq!(group.len(), 1);
    /// # });
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Whether no child lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the group takes no more children: it was closed or cancelled, or has ended.
    pub fn is_closed(&self) -> bool {
        self.state.refusal().is_some()
    }

    /// Whether the group was cancelled. Looking takes no lock.
    pub fn is_cancelled(&self) -> bool {
        self.state.is_cancelled()
    }

    /// Why the group was cancelled, if it was.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{CancelReason, Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::fallible::<&str>(Smol);
    /// group.spawn(async { Err::<(), _>("disk full") }).await.unwrap_err();
    /// assert!(matches!(group.reason(), Some(CancelReason::Failed(child)) if child.child() == Some(1)));
    /// # });
    /// # }
    /// ```
    pub fn reason(&self) -> Option<CancelReason> {
        self.state.reason()
    }

    /// Waits until the group is cancelled or has ended.
    ///
    /// For code outside of the group, and for code under a [`shield`](crate::shield()) that wants to finish early:
    /// any other member is dropped when the group is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup, shield};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let soft = group.cancelled();
    /// group.launch(shield(async move {
    ///     soft.await;
    ///     println!("saying goodbye");
    /// }));
    /// group.cancel();
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + Sync + use<S, E> {
        wait(self.state.clone(), |state| state.is_cancelled() || state.is_finished())
    }

    /// Waits until no child lives, which says nothing of the next moment: the group stays open.
    ///
    /// # Panics
    ///
    /// The future panics in a child of the group and in whatever runs inside one, as it would wait for itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// (0..10).for_each(|_| group.launch(async {}));
    /// group.idle().await;
    /// group.launch(async {}); // still open
    /// # });
    /// # }
    /// ```
    pub fn idle(&self) -> impl Future<Output = ()> + Send + Sync + use<S, E> {
        self.state.watch();
        wait(self.state.clone(), |state| {
            refuse_own_child(state, "for its group to be idle");
            state.len() == 0
        })
    }
}

impl<S: Spawner, E: Send + 'static> Group<S, E> {
    /// Starts a child, and gives a handle for its value.
    ///
    /// The child returns `Result<T, E>`, `()` or `!`, see [`ChildOutput`]. Dropping the handle neither cancels nor
    /// detaches it. If the group is closed or cancelled, the future is dropped unpolled and the handle says that it
    /// was cancelled; [`try_spawn`](Self::try_spawn) gives it back instead.
    ///
    /// # Cancellation
    ///
    /// See [`cancel`](Self::cancel) and [`JoinHandle::cancel`].
    ///
    /// # Panics
    ///
    /// Panics if the spawner does. A panic of the child cancels the group and is resumed in whoever joins it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{scope, Smol};
    /// # smol::block_on(async {
    /// let sum = scope(Smol, |group| async move {
    ///     let two = group.spawn(async { "2".parse::<i32>() });
    ///     let three = group.spawn(async { "3".parse::<i32>() });
    ///     Ok(two.value().await + three.value().await)
    /// });
    /// assert_eq!(sum.await.unwrap(), 5);
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        self.try_spawn(future).unwrap_or_else(|refused| {
            drop(refused);
            JoinHandle::refused()
        })
    }

    /// Starts a child, or gives its future back if the group takes none.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] if the group is closed or cancelled. The future was not polled.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// let group = TaskGroup::new(Smol);
    /// group.close();
    /// let refused = group.try_spawn(async {}).unwrap_err();
    /// assert!(refused.is_closed());
    /// smol::block_on(refused.into_future());
    /// # }
    /// ```
    #[track_caller]
    pub fn try_spawn<F>(
        &self,
        future: F,
    ) -> Result<JoinHandle<<F::Output as ChildOutput<E>>::Value>, SpawnError<F>>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
        <F::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        let location = Location::caller();
        match self.state.enter(location, Member::default()) {
            Ok(ticket) => Ok(self.start_with_handle(ticket, location, false, future)),
            Err(refusal) => Err(SpawnError { future, cancelled: refusal == Refusal::Cancelled }),
        }
    }

    /// Starts a child whose value nobody wants.
    ///
    /// There is no handle, and no allocation besides the runtime's own. Otherwise it is [`spawn`](Self::spawn): an
    /// error and a panic are the group's, and a closed or cancelled group drops the future unpolled.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// group.launch(async { println!("nobody asks") });
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    #[track_caller]
    pub fn launch<F>(&self, future: F)
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E>,
    {
        if let Ok(ticket) = self.state.enter(Location::caller(), Member::default()) {
            self.start(ticket, false, future, Discard(PhantomData::<fn(E)>));
        }
    }

    /// Takes in a task that already runs, on whatever runtime, and gives a handle for its value.
    ///
    /// Its output is what a child's is, see [`ChildOutput`], and it becomes a child like any other: the group waits for it, its error and its panic are the group's. If
    /// it ends without an output, because somebody else aborted it or its runtime went away, the child is lost. If
    /// the group is closed or cancelled, the task is aborted and the handle says that it was cancelled.
    ///
    /// What the task opens or shields while it runs is not linked to the group, which learns of it only here. If the
    /// runtime of the *group* goes away, the child that waits is lost, and the task is only asked to end.
    ///
    /// # Cancellation
    ///
    /// Cancelling asks for the abort, and the group *goes on counting the child until the task has ended*.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does, which runs the child that waits for the task.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let running = smol::spawn(async { "42".parse::<u8>() });
    /// let group = TaskGroup::fallible(Smol);
    /// let handle = group.adopt(running);
    /// group.join().await?;
    /// assert_eq!(handle.await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// # }
    /// ```
    #[track_caller]
    pub fn adopt<A>(&self, task: A) -> JoinHandle<<A::Output as ChildOutput<E>>::Value>
    where
        A: Adopt,
        A::Output: ChildOutput<E>,
        <A::Output as ChildOutput<E>>::Value: Send + 'static,
    {
        let run = task.run(MemberCancelled);
        let location = Location::caller();
        // Shielded before the first poll: a cancel that came earlier would let go of a task that still runs.
        let Ok(ticket) = self.state.enter(location, Member::shielded()) else { return JoinHandle::refused() };
        let held = Held::child(self.state.clone(), ticket);
        self.start_with_handle(ticket, location, true, async move {
            let _held = held;
            Adopted(run.await)
        })
    }

    fn start_with_handle<F, T>(
        &self,
        ticket: Ticket,
        location: &'static Location<'static>,
        shielded: bool,
        future: F,
    ) -> JoinHandle<T>
    where
        F: Future + Send + 'static,
        F::Output: ChildOutput<E, Value = T>,
        T: Send + 'static,
    {
        let packet = Packet::new();
        self.start(ticket, shielded, future, ToHandle::new(packet.clone()));
        let origin = Origin::new(self.state.location(), Some((ticket.id, location)));
        JoinHandle::new(packet, self.state.clone(), ticket, origin)
    }

    fn start<F, D>(&self, ticket: Ticket, shielded: bool, future: F, deliver: D)
    where
        F: Future + Send + 'static,
        D: Deliver<F::Output> + Send + 'static,
    {
        let child = Child::new(self.state.clone(), ticket.key, shielded, future, deliver);
        self.state.store(ticket, self.spawner.spawn(child));
    }
}

impl<S: Clone, E> Clone for Group<S, E> {
    fn clone(&self) -> Self {
        Self::new(self.spawner.clone(), self.state.clone())
    }
}

impl<S, E> fmt::Debug for Group<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("location", &self.state.location())
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Waits for a condition whose coming true the group signals.
async fn wait(state: Arc<State>, done: fn(&Arc<State>) -> bool) {
    let mut waiter = Waiter::default();
    std::future::poll_fn(|cx| {
        waiter.listen(state.signal(), cx);
        if done(&state) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}

/// Panics in a child of the group, and in whatever runs inside one.
pub(crate) fn refuse_own_child(state: &Arc<State>, what: &str) {
    if let Some(key) = Context::member_of(state).filter(|key| *key != BODY) {
        panic!("{} would wait for itself {what}", state.origin(key));
    }
}
