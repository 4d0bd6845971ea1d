//! The group, and what goes with it: settings, children to be, results, keys, races.

#[cfg(feature = "borrowing")]
pub use crate::backend::Borrowing;
pub use crate::child_builder::ChildBuilder;
pub use crate::handle::CancelHandle;
pub use crate::keyed::Keyed;
pub use crate::metrics::{Metrics, Timing};
pub use crate::policy::Policy;
pub use crate::race::{Finish, Racers};
pub use crate::results::{InOrder, Results};
pub use crate::shutdown::ShutdownReport;
pub use crate::snapshot::{Asked, GroupView, MemberKind, MemberState, MemberView, Snapshot};
pub use crate::start::Ready;
pub use crate::task_group::Builder;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::context;
use crate::deadline::Watch;
use crate::elsewhere::Elsewhere;
use crate::error::CancelReason;
use crate::member::{BODY, Kind};
use crate::signal::Waiter;
use crate::spawner::Spawner;
use crate::state::State;
use crate::timer::{AnyTimer, Timed};
use crate::unwind::GivesWay;

/// Where children are spawned into: what a scope's body is given, and children clone.
///
/// It is `'static`, one pointer, cheap to clone, and dropping it has no effect: the group ends when its body and its children
/// have, however many clones there are. `E` is the error of children that may fail.
///
/// A clone holds the spawner. So a child that captures one keeps its executor alive, if that is an
/// `Arc<Executor>`; `Weak<Executor>` is a spawner too and does not.
///
/// # Examples
///
/// A child that spawns its siblings. It is no `async fn`, as one that spawns itself does not compile (E0283):
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
    inner: Arc<Inner<S>>,
    error: PhantomData<fn(E) -> E>,
}

/// What all clones share, so that one is a single counted reference.
struct Inner<S> {
    spawner: GivesWay<S>,
    state: Arc<State>,
    /// There where the spawner is not the one that the group was opened with.
    elsewhere: Option<Arc<Elsewhere>>,
}

impl<S, E> Group<S, E> {
    pub(crate) fn new(spawner: GivesWay<S>, state: Arc<State>) -> Self {
        Self::of(Inner { spawner, state, elsewhere: None })
    }

    fn of(inner: Inner<S>) -> Self {
        Self { inner: Arc::new(inner), error: PhantomData }
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.inner.state
    }

    /// There where children spawned by this are not on the group's own runtime.
    #[inline]
    pub(crate) fn elsewhere(&self) -> Option<&Arc<Elsewhere>> {
        self.inner.elsewhere.as_ref()
    }

    /// The spawner: for its clock, its blocking pool, or a group inside this one.
    pub fn spawner(&self) -> &S {
        &self.inner.spawner
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
        self.state().close();
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
        self.state().cancel(CancelReason::Explicit(message.into()));
    }

    /// Takes no more children, and asks those that live, here and in every group inside, to come to an end.
    ///
    /// This cuts nothing: it sets the soft signal, [`is_stopping`](Self::is_stopping) and [`stopping`](Self::stopping),
    /// which members look at. [`TaskGroup::shutdown`](crate::TaskGroup::shutdown) does this and cancels after a while.
    /// Groups inside go on taking children, as these may be needed to come to the end.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let member = group.group();
    /// let child = group.spawn(async move {
    ///     member.stopping().await;
    ///     Ok("said goodbye")
    /// });
    /// group.stop();
    /// assert_eq!(child.await.unwrap(), "said goodbye");
    /// # });
    /// # }
    /// ```
    pub fn stop(&self) {
        self.state().close();
        self.state().stop();
    }

    /// Whether members are asked to come to an end: the group or one around it was [stopped](Self::stop) or cancelled, or
    /// the group has ended. Looking takes no lock.
    pub fn is_stopping(&self) -> bool {
        self.state().is_stopping()
    }

    /// Waits until [`is_stopping`](Self::is_stopping).
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + Sync + use<S, E> {
        wait(self.state().clone(), |state| state.is_stopping())
    }

    /// The earliest deadline of this group and of those around it, by the clocks that were given with them.
    pub fn deadline(&self) -> Option<Duration> {
        self.state().effective_deadline()
    }

    /// The same group with another spawner: for children that run on another runtime.
    ///
    /// They are children of this group like all others, and share its fate. If one of the runtimes goes away, what the group has there is
    /// lost and the group is cancelled; what it has elsewhere ends as in any cancel.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(all(feature = "smol", feature = "async-std"))] {
    /// # use taskgroup::{AsyncStd, Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// group.launch(async {});
    /// group.on(AsyncStd).launch(async {
    ///     let _ = async_std::task::current();
    /// });
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    pub fn on<S2>(&self, spawner: S2) -> Group<S2, E> {
        let elsewhere = Some(Elsewhere::of(self.state()));
        Group::of(Inner { spawner: GivesWay::new(spawner), state: self.state().clone(), elsewhere })
    }

    /// How many children live: their futures, or groups opened in them, are not all gone yet.
    ///
    /// Queued children count, background children and clean-ups do not.
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
        self.state().len()
    }

    /// Whether no child lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the group takes no more children: it was closed or cancelled, or has ended.
    pub fn is_closed(&self) -> bool {
        self.state().refusal().is_some()
    }

    /// Whether the group was cancelled. Looking takes no lock.
    pub fn is_cancelled(&self) -> bool {
        self.state().is_cancelled()
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
        self.state().reason()
    }

    /// What lives in this group and in all groups inside: the answer to why it is still open.
    ///
    /// ```text
    /// group "server" at src/main.rs:9:17 is still open: 3 children, cancelled (shutting down), awaited by its owner
    /// held up by server/conn 17, child 2, spawned at src/main.rs:14:9: under a shield; asked to end with its group (…)
    /// ```
    ///
    /// It may be called at any time, by anybody, and is displayed as a tree: see [`Snapshot`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// group.child().name("stuck").launch(std::future::pending::<()>());
    /// let snapshot = group.snapshot();
    /// assert_eq!(snapshot.culprits()[0].name(), Some("stuck"));
    /// assert!(snapshot.to_string().lines().nth(1).unwrap().contains("stuck"));
    /// # });
    /// # }
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(self.state())
    }

    /// Where the children of this group are counted, if anywhere: what it was [given](Builder::metrics), or has from the
    /// group around it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use taskgroup::{Group, Smol, TaskGroup, group::Metrics, scope};
    /// # smol::block_on(async {
    /// let group = TaskGroup::builder::<()>(Smol).metrics(&Metrics::new()).open();
    /// group.launch(async {
    ///     drop(scope(Smol, async |inside: Group<Smol, ()>| Ok(inside.launch(async { Ok(()) }))).await);
    /// });
    /// let metrics = group.metrics().cloned();
    /// group.join().await.unwrap();
    /// assert_eq!(metrics.unwrap().returned(), 2);
    /// # });
    /// # }
    /// ```
    pub fn metrics(&self) -> Option<&Metrics> {
        self.state().config.metrics.as_ref()
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
        wait(self.state().clone(), |state| state.is_cancelled() || state.is_finished())
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
        self.state().watch();
        wait(self.state().clone(), |state| {
            refuse_own_child(state, "waits for its own group to be idle");
            state.len() == 0
        })
    }
}

impl<S, E: Send + 'static> Group<S, E> {
    /// Moves the deadline to this time of the spawner's clock, or takes it away.
    ///
    /// It need not be the clock that the deadline was set by before: a group that is [on](Self::on) another runtime has that one's. A
    /// group that was opened without one gets it by this. A deadline that has passed cannot be moved any more.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::time::Duration;
    /// # use taskgroup::{CancelReason, Smol, TaskGroup, runtime::Timer};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// group.launch(std::future::pending::<()>());
    /// group.set_deadline(Some(Smol.now() + Duration::from_millis(1)));
    /// let cut = group.join().await.unwrap_err();
    /// assert_eq!(cut.reason(), Some(&CancelReason::Deadline));
    /// # });
    /// # }
    /// ```
    pub fn set_deadline(&self, at: Option<Duration>)
    where
        S: Spawner + Timed,
    {
        if self.state().set_deadline(at, AnyTimer::of(self.spawner())) {
            self.watch_deadline();
        }
    }

    /// Starts the child that keeps the deadline.
    pub(crate) fn watch_deadline(&self)
    where
        S: Spawner,
    {
        self.child().of_kind(Kind::Watch).launch(Watch::default().run(self.state().clone()));
    }
}

impl<S, E> Clone for Group<S, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), error: PhantomData }
    }
}

impl<S, E> fmt::Debug for Group<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("location", &self.state().location())
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
    if let Some(key) = context::member_of(state).filter(|key| *key != BODY) {
        panic!("{} would wait for itself: it {what}", state.origin(key).subject());
    }
}
