//! The group and the types around it: settings, builders of children, results, children by key, races, snapshots.

pub(crate) mod blocking;
pub(crate) mod child_builder;
pub(crate) mod cleanup;
pub(crate) mod config;
pub(crate) mod keyed;
pub(crate) mod results;
pub(crate) mod spawn;
pub(crate) mod start;
pub(crate) mod waiting;

pub use crate::group::child_builder::ChildBuilder;
pub use crate::group::keyed::Keyed;
pub use crate::group::results::{InOrder, Results};
pub use crate::group::start::Ready;
pub use crate::handle::CancelHandle;
pub use crate::observe::metrics::{Metrics, Timing};
pub use crate::observe::snapshot::{Asked, GroupView, MemberKind, MemberState, MemberView, Snapshot};
pub use crate::outcome::policy::Policy;
#[cfg(feature = "borrowing")]
pub use crate::scope::borrow::Borrowing;
pub use crate::scope::race::{Finish, Racers};
pub use crate::task_group::Builder;
pub use crate::task_group::shutdown::ShutdownReport;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::error::CancelReason;
use crate::state::State;
use crate::state::elsewhere::Elsewhere;
use crate::unwind::GivesWay;

/// A handle to a group, with which children are spawned into it.
///
/// The body of a scope is given one, and children clone it. It is `'static`, one pointer, and cheap to clone. Dropping it
/// has no effect: the group ends when its body and its children have ended, however many clones there are. `E` is the error
/// type of children that can fail.
///
/// A group is joined by its [`TaskGroup`](crate::TaskGroup), or by the [`scope`](crate::scope()) that opened it, and not
/// through a `Group`.
///
/// A clone holds the spawner. If the spawner is an `Arc<Executor>`, a child that captures a clone keeps its executor alive.
/// `Weak<Executor>` is a spawner too, and does not.
///
/// # Examples
///
/// A function whose child spawns the next child. It is not an `async fn`: an `async fn` that spawns itself does not compile
/// (E0283). To have values, it may return `impl Future<Output = …> + Send` and spawn itself in an `async move` block:
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

/// What all clones share, so that a clone is a single counted reference.
struct Inner<S> {
    spawner: GivesWay<S>,
    state: Arc<State>,
    /// `Some` if the spawner is not the one that the group was opened with.
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

    /// `Some` if children spawned through this handle are not on the group's own runtime.
    #[inline]
    pub(crate) fn elsewhere(&self) -> Option<&Arc<Elsewhere>> {
        self.inner.elsewhere.as_ref()
    }

    /// Returns the spawner: for its clock, its blocking pool, or a group inside this one.
    pub fn spawner(&self) -> &S {
        &self.inner.spawner
    }

    /// Closes the group: it takes no more children.
    ///
    /// Living children go on.
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
    /// A member runs up to its next await and is dropped there. A member that was never polled is dropped unpolled. The order
    /// is not specified. Groups opened in a child are cancelled with the child, and end before it. A
    /// [`shield`](crate::shield()) delays the drop. This method does not wait; joining the group does.
    ///
    /// A member that is in the middle of a poll finishes that poll. It may find siblings already gone, and what it returns
    /// from that poll counts.
    ///
    /// This can be called at any time, from anywhere, and more than once. The first reason is kept, except that a deadline
    /// replaces an earlier explicit cancel if it passes before the group has ended, with its clean-ups and background children.
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
    #[doc(alias = "abort_all")]
    pub fn cancel(&self) {
        self.cancel_with("");
    }

    /// Cancels as [`cancel`](Self::cancel) does, with a message for [`CancelReason::Explicit`].
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

    /// Closes the group, and asks its members to end.
    ///
    /// It also asks the members of all groups inside. No member is dropped: members see the request with
    /// [`is_stopping`](Self::is_stopping) or [`stopping`](Self::stopping), and end by themselves.
    /// [`TaskGroup::shutdown`](crate::TaskGroup::shutdown) does the same, and cancels after a grace.
    ///
    /// Groups inside still take children, because their members may need them in order to end.
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

    /// Returns whether the members of the group are asked to end.
    ///
    /// They are if the group or a group around it was [stopped](Self::stop) or cancelled, or if the group has ended. This
    /// takes no lock.
    pub fn is_stopping(&self) -> bool {
        self.state().is_stopping()
    }

    /// Returns the earliest deadline of this group and the groups around it.
    ///
    /// Each deadline is a time of the clock that was given with it.
    pub fn deadline(&self) -> Option<Duration> {
        self.state().effective_deadline()
    }

    /// Returns the same group with another spawner, for children on another runtime.
    ///
    /// They are children of this group like all others. If one of the runtimes goes away, the children on it are lost, and
    /// the group is cancelled: the children on the other runtimes end as in any cancel.
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

    /// Returns how many children live.
    ///
    /// A child lives until its future and every group opened in it are gone. Queued children count; background children and
    /// clean-ups do not.
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

    /// Returns whether no child lives, as [`len`](Self::len) counts them.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the group takes no more children.
    ///
    /// It takes none if it was closed or cancelled, or has ended.
    pub fn is_closed(&self) -> bool {
        self.state().refusal().is_some()
    }

    /// Returns whether the group was cancelled.
    ///
    /// This takes no lock.
    pub fn is_cancelled(&self) -> bool {
        self.state().is_cancelled()
    }

    /// Returns why the group was cancelled, if it was.
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

    /// Shows what lives in this group and in all groups inside it.
    ///
    /// It answers why the group is still open:
    ///
    /// ```text
    /// group "server" at src/main.rs:9:17 is still open: 3 children, cancelled (shutting down), awaited by its owner
    /// held up by server/conn 17, child 2, spawned at src/main.rs:14:9: under a shield; asked to end with its group (…)
    /// ```
    ///
    /// This can be called at any time, from anywhere. The result is displayed as a tree: see [`Snapshot`].
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

    /// Returns the metrics in which the children of this group are counted, if any.
    ///
    /// They are the group's [own](Builder::metrics), or those inherited from the group around it.
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
}

impl<S, E> Clone for Group<S, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), error: PhantomData }
    }
}

/// Whatever its spawner is.
impl<S, E> UnwindSafe for Group<S, E> {}
impl<S, E> RefUnwindSafe for Group<S, E> {}

impl<S, E> fmt::Debug for Group<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("location", &self.state().location())
            // Without the lock, so it includes ended children that were put by.
            .field("len", &self.state().word.look().children())
            .field("closed", &self.is_closed())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
