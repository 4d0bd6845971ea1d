//! `TaskGroup`, the owner of a free-standing group, and its builder.

pub(crate) mod join;
pub(crate) mod shutdown;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::time::Duration;

use crate::group::Group;
use crate::group::config::{Config, settings};
use crate::keeping::Brittle;
use crate::spawner::Spawner;
use crate::spawner::timer::{AnyTimer, Timed};
use crate::state::State;
use crate::state::deadline::time_settings;
use crate::task_group::join::Join;
use crate::task_group::shutdown::Shutdown;
use crate::unwind::GivesWay;

/// The only owner of a free-standing group, one that is not bound to a function.
///
/// It dereferences to a [`Group`], so children are spawned on it directly. In the end it is [joined](Self::join) or
/// dropped.
///
/// **Dropping it cancels every child and does not wait.** If the group was opened in a child or body of another group,
/// that outer group still waits for the children, and it gets the failures that were not reported to anybody else.
/// Otherwise no group waits, and only the [failure hook](Builder::on_failure) sees failures.
///
/// A group is *linked* to the child or body in which it is opened: it is cancelled when that member is cancelled or
/// ends. To open a group that outlives the child that opens it, use [`root`](Self::root).
///
/// If it is leaked, by [`std::mem::forget`] for instance, the member that opened it still cancels it in the end, and is waited
/// for. But an owner may be anywhere, so nobody else reports its failures then; the failure hook sees them.
///
/// An ended child keeps no memory of its own. Its place in the group's table (32 bytes) is for later children; a table of more
/// than 1,024 places is freed when no child lives.
///
/// **Do not put the `TaskGroup` itself in an `Arc` that its children hold:** they keep it from being dropped, and nobody
/// can join it. Give children a [`Group`].
///
/// # A `stop` method with only `&self`
///
/// [`join`](Self::join) and [`shutdown`](Self::shutdown) take the `TaskGroup` by value, because they report once. A server
/// whose `stop` method has only `&self` keeps the `TaskGroup` in `main` and a [`Group`] in the struct, as in the second
/// example below. These methods of [`Group`] work from `&self`:
///
/// * [`close`](Group::close) takes no more children, [`stop`](Group::stop) also asks members to end, and
///   [`cancel`](Group::cancel) drops them;
/// * [`ended`](Group::ended) waits until nothing is left.
///
/// Afterwards `main` joins the `TaskGroup`, which reports failures. A library whose type is cloned and closed from `&self` keeps
/// the `TaskGroup` in a `Mutex<Option<_>>`: whoever takes it out joins it, and all others await `ended`.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup, GroupError};
/// # async fn connection(_: u32) {}
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// for stream in 0..3 {
///     group.launch(connection(stream));
/// }
/// group.join().await?;
/// # Ok::<(), GroupError<_>>(()) }).unwrap();
/// # }
/// ```
///
/// A server whose state is shared:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use std::sync::Arc;
/// # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// # use taskgroup::{Group, GroupError, Smol, TaskGroup};
/// struct Shared {
///     connections: Group<Smol>,
///     served: AtomicU32,
/// }
///
/// impl Shared {
///     fn accept(self: &Arc<Self>, stream: u32) {
///         let shared = self.clone();
///         self.connections.launch(async move {
///             println!("{stream}");
///             shared.served.fetch_add(1, Relaxed);
///         });
///     }
/// }
///
/// # smol::block_on(async {
/// let group = TaskGroup::new(Smol);
/// let shared = Arc::new(Shared { connections: group.group(), served: AtomicU32::new(0) });
/// (0..3).for_each(|stream| shared.accept(stream));
/// group.join().await?; // or `shutdown`, or drop it
/// assert_eq!(shared.served.load(Relaxed), 3);
/// # Ok::<(), GroupError<_>>(()) }).unwrap();
/// # }
/// ```
#[must_use = "dropping a group cancels its children"]
pub struct TaskGroup<S, E = Infallible> {
    group: Group<S, E>,
}

impl<S> TaskGroup<S> {
    /// Opens a group for children that cannot fail: they return `()` or `!`.
    #[track_caller]
    pub fn new(spawner: S) -> Self {
        Self::builder(spawner).open()
    }

    /// Opens a fail-fast group for children that may fail with an `E`.
    ///
    /// The first failure cancels all others. [`join`](Self::join) reports it when they are gone.
    #[track_caller]
    pub fn fallible<E>(spawner: S) -> TaskGroup<S, E> {
        Self::builder(spawner).open()
    }

    /// Opens a group for children that cannot fail, independent of all other groups.
    ///
    /// No other group waits for it or cancels it, even if it is opened in a child or body.
    #[track_caller]
    pub fn root(spawner: S) -> Self {
        Self::builder(spawner).root().open()
    }

    /// Starts to configure a group, which [`Builder::open`] then opens.
    ///
    /// Write `builder::<MyError>(…)`, or `builder::<Infallible>(…)` for children that cannot fail.
    #[track_caller]
    pub fn builder<E>(spawner: S) -> Builder<S, E> {
        Builder {
            spawner: GivesWay::new(spawner),
            config: Config::new(Location::caller()),
            root: false,
            watch: None,
            error: PhantomData,
        }
    }
}

impl<S, E> TaskGroup<S, E> {
    /// Returns a handle to spawn with, which children and other code can keep.
    pub fn group(&self) -> Group<S, E> {
        self.group.clone()
    }

    /// Waits until nothing is left of the group, and reports failures.
    ///
    /// Until then children can still be spawned, by children or through a clone of the [`Group`]. Call
    /// [`close`](Group::close) first to prevent that. Afterwards the group stays closed.
    ///
    /// # Cancellation
    ///
    /// The future owns the group. Dropping the future drops the group, which cancels it: a timeout around `join` does that.
    ///
    /// # Panics
    ///
    /// If a child or its destructor panicked, the first panic is resumed here after all members have ended, unless the group
    /// [supervises](Builder::supervise).
    ///
    /// The future panics in a child of the group, and in code that runs inside such a child: it would wait for itself.
    ///
    /// # Errors
    ///
    /// [`GroupError`](crate::GroupError) if a child failed, or if the group was cut short by its deadline, by the member that
    /// opened it, or by its runtime. An explicit cancel is not an error.
    #[doc(alias = "wait")]
    #[doc(alias = "join_all")]
    pub fn join(self) -> Join<S, E> {
        Join::new(self)
    }
}

impl<S, E: 'static> TaskGroup<S, E> {
    /// Asks all members to end, cancels those left after `grace`, and waits.
    ///
    /// ```text
    /// close, stop ──── grace ────┬─ everybody has ended ──► report: nobody was forced
    ///                            └─ cancel, wait ─────────► report: who was
    /// ```
    ///
    /// When the future is first polled, it calls [`stop`](Group::stop), which the members of this group and of all groups
    /// inside it can see. After one grace for the whole tree it calls [`cancel`](Group::cancel). That cancel is not an error.
    ///
    /// Background children run until the others have ended or the grace is over. If the clock goes away with its runtime,
    /// the grace is over.
    ///
    /// # Cancellation
    ///
    /// The future owns the group. Dropping the future drops the group, which cancels it at once.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join) does. The first poll also panics if the runtime turns out to have no clock, as Tokio without
    /// `enable_time`.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join). The error of a member that fails during the shutdown is reported as well.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::time::Duration;
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// let member = group.group();
    /// group.launch(async move { member.stopping().await });
    /// group.child().name("deaf").launch(std::future::pending::<()>());
    /// let report = group.shutdown(Duration::from_millis(10)).await.unwrap();
    /// assert_eq!(report.forced().len(), 1);
    /// assert_eq!(report.forced()[0].name(), Some("deaf"));
    /// # });
    /// # }
    /// ```
    pub fn shutdown(self, grace: Duration) -> Shutdown<S, E>
    where
        S: Timed,
    {
        let clock = AnyTimer::of(self.spawner());
        Shutdown::new(self.join(), clock, grace, None)
    }

    /// Joins the group, and shuts it down when `signal` resolves.
    ///
    /// This is what the end of a server's `main` looks like. Until the signal comes, it is [`join`](Self::join). From then on
    /// it is [`shutdown`](Self::shutdown), also where it fails or is dropped. So if the group ends by itself, the report says
    /// that nobody was forced, and if it fails there is an error. What `signal` resolves to is dropped.
    ///
    /// # Panics
    ///
    /// As for [`shutdown`](Self::shutdown). A panic of `signal` cancels the group, and is raised when the group has ended,
    /// unless a child has panicked before; so does a panic of the destructor of what it resolves to. A panic of the destructor
    /// of `signal` itself is contained.
    ///
    /// # Examples
    ///
    /// The first signal asks everybody to end, and a second one ends the grace:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// # use std::time::Duration;
    /// # use taskgroup::{Smol, TaskGroup};
    /// # smol::block_on(async {
    /// # let (send, signals) = async_channel::unbounded();
    /// let group = TaskGroup::new(Smol);
    /// group.child().name("deaf").launch(std::future::pending::<()>());
    ///
    /// let all = group.group();
    /// group.child().background().launch(async move {
    ///     signals.recv().await.ok();
    ///     all.stop();
    ///     signals.recv().await.ok();
    ///     all.cancel();
    /// });
    /// let asked = group.stopping();
    /// let shutdown = group.shutdown_when(asked, Duration::from_secs(30));
    /// # for _ in 0..2 { send.try_send(()).unwrap(); }
    /// let report = shutdown.await.unwrap();
    /// assert_eq!(report.forced()[0].name(), Some("deaf"));
    /// # });
    /// # }
    /// ```
    pub fn shutdown_when<F>(self, signal: F, grace: Duration) -> Shutdown<S, E, F>
    where
        S: Timed,
        F: Future,
    {
        let signal = Brittle::new(signal);
        let clock = AnyTimer::of(self.spawner());
        Shutdown::new(self.join(), clock, grace, Some(signal))
    }
}

impl<S, E> Deref for TaskGroup<S, E> {
    type Target = Group<S, E>;

    fn deref(&self) -> &Group<S, E> {
        &self.group
    }
}

impl<S, E> Drop for TaskGroup<S, E> {
    fn drop(&mut self) {
        if !self.group.state().is_finished() {
            let live = self.group.state().forsake();
            self.group.state().abandon(live);
        }
    }
}

impl<S, E> fmt::Debug for TaskGroup<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskGroup").field(&self.group).finish()
    }
}

/// Configures a [`TaskGroup`] before it is opened.
///
/// # Examples
///
/// A group that goes on after failures, and logs each one at once:
///
/// ```
/// # #[cfg(feature = "smol")] {
/// # use taskgroup::{Smol, TaskGroup};
/// # smol::block_on(async {
/// let group = TaskGroup::builder::<String>(Smol)
///     .collect()
///     .on_failure(|origin, failure| eprintln!("{origin}: {failure}"))
///     .open();
/// group.launch(async { Err::<(), _>("first".to_string()) });
/// group.launch(async { Err::<(), _>("second".to_string()) });
/// assert_eq!(group.join().await.unwrap_err().failures().len(), 2);
/// # });
/// # }
/// ```
#[must_use = "nothing is opened before `open`"]
pub struct Builder<S, E = Infallible> {
    spawner: GivesWay<S>,
    config: Config,
    root: bool,
    /// Starts the child that keeps the deadline.
    watch: Option<Starter<S, E>>,
    error: PhantomData<fn(E) -> E>,
}

/// Starts a child of a group that was opened at this location.
type Starter<S, E> = fn(&Group<S, E>, &'static Location<'static>);

impl<S, E> Builder<S, E> {
    settings!(|builder| builder.config);

    /// Makes the group independent of all other groups: see [`TaskGroup::root`].
    pub fn root(mut self) -> Self {
        self.root = true;
        self
    }

    /// Opens the group.
    ///
    /// Unless it is a [`root`](Self::root), it is linked to the child or body that is being polled on this thread.
    ///
    /// # Panics
    ///
    /// With a deadline, panics if the spawner does, which runs the child that watches it.
    pub fn open(self) -> TaskGroup<S, E> {
        let state = if self.root {
            State::open_root(self.config, false, None)
        } else {
            State::open(self.config, false)
        };
        let group = TaskGroup { group: Group::new(self.spawner, state) };
        if let Some(watch) = self.watch {
            watch(&group, group.state().location());
        }
        group
    }
}

impl<S, E: Send + 'static> Builder<S, E> {
    time_settings!(S: Spawner, Timed; |builder| builder.config, {
        builder.watch = Some(Group::watch_deadline);
        AnyTimer::of(&*builder.spawner)
    });
}

impl<S, E> fmt::Debug for Builder<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("root", &self.root)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
