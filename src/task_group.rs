//! The owner of a free-standing group, and how one is opened.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::config::{Config, settings, time_settings};
use crate::context::Withheld;
use crate::error::GroupError;
use crate::group::{Group, refuse_own_child};
use crate::patience::Patience;
use crate::shutdown::Shutdown;
use crate::snapshot::Snapshot;
use crate::spawner::Spawner;
use crate::state::State;
use crate::timer::{AnyTimer, Timed};
use crate::unwind::{GivesWay, drop_quietly};

/// The one owner of a free-standing group: a field of a server, say.
///
/// It stands for the group wherever a [`Group`] is wanted, so children are spawned on it directly. At its end it is
/// [joined](Self::join), or it is dropped.
///
/// **Dropping it cancels every child and does not wait.** If it was opened in a child or body of another group,
/// that group still waits for them and is told of failures that nobody looked at. Otherwise nobody waits, and
/// failures are seen by the [failure hook](Builder::on_failure) only.
///
/// A group is *linked* to the child or body in which it is opened: it is cancelled when that member is cancelled or
/// ends. For a group that is to outlive the child that opens it there is [`root`](Self::root).
///
/// What children share goes into an `Arc` *beside* their group, not around it: children that hold the owner of their own group keep
/// it from being dropped, and nobody can join it. Whoever spawns from in there is given a [`Group`].
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
    /// The first failure cancels all others; [`join`](Self::join) reports it when they are gone.
    #[track_caller]
    pub fn fallible<E>(spawner: S) -> TaskGroup<S, E> {
        Self::builder(spawner).open()
    }

    /// Opens a group for children that cannot fail, linked to nothing.
    ///
    /// No group around it waits for it or cancels it.
    #[track_caller]
    pub fn root(spawner: S) -> Self {
        Self::builder(spawner).root().open()
    }

    /// Opens a group step by step: `builder::<MyError>(…)`, and `builder::<Infallible>(…)` for children that cannot fail.
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
    /// A handle to spawn with, for children and others to keep.
    pub fn group(&self) -> Group<S, E> {
        self.group.clone()
    }

    /// Waits until nothing is left of the group, and reports.
    ///
    /// Until then children may still be spawned, by children or through a clone of the [`Group`]; call
    /// [`close`](Group::close) first to end that. Afterwards the group is closed for good.
    ///
    /// # Cancellation
    ///
    /// The future owns the group. Dropping it, as a timeout around it does, drops the group: that cancels.
    ///
    /// # Panics
    ///
    /// If a child panicked, or its destructor did, the first panic is resumed here, after everybody has ended.
    /// The future panics in a child of the group and in whatever runs inside one, as it would wait for itself.
    ///
    /// # Errors
    ///
    /// [`GroupError`] if a child failed, or if the group was cut short from outside: by the member that opened it,
    /// or by its runtime. An explicit cancel is no error.
    pub fn join(self) -> Join<S, E> {
        Join { group: Some(self), withheld: Withheld::default(), patience: None }
    }
}

impl<S, E: 'static> TaskGroup<S, E> {
    /// Asks everybody to come to an end, cancels what is left after `grace`, and waits until nothing is.
    ///
    /// ```text
    /// close, stop ──── grace ────┬─ everybody has ended ──► report: nobody was forced
    ///                            └─ cancel, wait ─────────► report: who was
    /// ```
    ///
    /// It is [`stop`](Group::stop), which the members of this group and of all groups inside can see, and then, after one
    /// grace for the whole tree, [`cancel`](Group::cancel). That cancel is no error. Background children go on until the
    /// others have ended, or the grace has. If the clock goes away with its runtime, so does the grace.
    ///
    /// # Cancellation
    ///
    /// The future owns the group. Dropping it drops the group: that cancels at once. It begins when it is first polled.
    ///
    /// # Panics
    ///
    /// Like [`join`](Self::join). So does the future where the runtime has no clock after all, when it is first polled: on Tokio
    /// without `enable_time`.
    ///
    /// # Errors
    ///
    /// Like [`join`](Self::join): a member that fails on its way out is reported.
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
        Shutdown::new(self.join(), clock, grace)
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
            self.group.state().abandon();
        }
    }
}

impl<S, E> fmt::Debug for TaskGroup<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskGroup").field(&self.group).finish()
    }
}

/// The future of [`TaskGroup::join`].
#[must_use = "futures do nothing unless awaited, and dropping this one cancels the group"]
pub struct Join<S, E = Infallible> {
    group: Option<TaskGroup<S, E>>,
    withheld: Withheld,
    patience: Option<Patience>,
}

impl<S, E> Unpin for Join<S, E> {}

impl<S, E> Join<S, E> {
    /// The group, until it has ended.
    pub(crate) fn group(&self) -> Option<&TaskGroup<S, E>> {
        self.group.as_ref()
    }
}

impl<S, E> Join<S, E> {
    /// Shows `warn` what is left if that is more than nothing after `patience`, by the clock of the spawner, and again
    /// whenever the wait has doubled. The wait begins with the first poll, and goes on.
    ///
    /// `warn` is called by whoever polls this, with no lock held; it may look at the group, cancel it and spawn into it.
    ///
    /// # Panics
    ///
    /// A panic of `warn` goes on in whoever polls this.
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
    /// group.child().name("deaf").launch(std::future::pending::<()>());
    /// group
    ///     .join()
    ///     .warn_after(Duration::from_millis(1), move |left| {
    ///         let why = left.to_string();
    ///         assert!(why.lines().nth(1).unwrap().contains("deaf"), "{why}");
    ///         member.cancel();
    ///     })
    ///     .await
    ///     .unwrap();
    /// # });
    /// # }
    /// ```
    pub fn warn_after(mut self, patience: Duration, warn: impl FnMut(&Snapshot) + Send + 'static) -> Self
    where
        S: Timed,
    {
        let clock = self.group.as_ref().map(|group| AnyTimer::of(group.spawner()));
        self.patience = clock.map(|clock| Patience::new(clock, patience, Box::new(warn)));
        self
    }
}

impl<S, E: 'static> Future for Join<S, E> {
    type Output = Result<(), GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let state = &this.group.as_ref().expect("a `Join` is not polled after it has ended").group.state();
        refuse_own_child(state, "joins its own group");
        // Whoever finds that nothing is left has nothing to wait for.
        let ended = state.conclude(&mut this.withheld, cx).or_else(|| {
            state.watch();
            state.signal().wake_owner(cx.waker());
            state.end_background();
            state.conclude(&mut this.withheld, cx)
        });
        let Some((outcome, reason)) = ended else {
            if let Some(patience) = &mut this.patience {
                patience.look(state, cx);
            }
            return Poll::Pending;
        };
        // No panic of these is to take the outcome away.
        this.patience.take().into_iter().for_each(drop_quietly);
        drop_quietly(this.group.take());
        Poll::Ready(outcome.conclude(reason, || unreachable!("there is no value to drop"), Some(())))
    }
}

impl<S, E> fmt::Debug for Join<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Join").field(&self.group).finish()
    }
}

/// Opens a [`TaskGroup`] step by step.
///
/// # Examples
///
/// A group that goes on after failures, and logs each at once:
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
    watch: Option<fn(&Group<S, E>)>,
    error: PhantomData<fn(E) -> E>,
}

impl<S, E> Builder<S, E> {
    settings!(|builder| builder.config);

    /// Links the group to nothing: see [`TaskGroup::root`].
    pub fn root(mut self) -> Self {
        self.root = true;
        self
    }

    /// Opens the group, linked to the child or body that is being polled on this thread.
    pub fn open(self) -> TaskGroup<S, E> {
        let state = if self.root {
            State::open_root(self.config, false, None)
        } else {
            State::open(self.config, false)
        };
        let group = TaskGroup { group: Group::new(self.spawner, state) };
        if let Some(watch) = self.watch {
            watch(&group);
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
