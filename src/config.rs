//! What the owner of a group sets when it is opened.

use std::any::Any;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::time::Duration;

use crate::deadline::{Deadline, Watch};
use crate::error::{Name, Origin};
use crate::metrics::Metrics;
use crate::outcome::{Raw, SUPPRESSED};
use crate::policy::Policy;
use crate::timer::{AnyTimer, Sleep, Timer};
use crate::unwind::drop_quietly;

/// The settings of one group. They never change afterwards.
pub(crate) struct Config {
    pub(crate) policy: Policy,
    /// How many failures are kept besides the primary one.
    pub(crate) keep: usize,
    pub(crate) limit: Option<NonZeroUsize>,
    /// The member that opens the group owns its children: it drops them when it is dropped.
    pub(crate) owned: bool,
    /// Polls are marked.
    pub(crate) observe_polls: bool,
    /// What becomes of children is counted here.
    pub(crate) metrics: Option<Metrics>,
    pub(crate) location: &'static Location<'static>,
    extras: Option<Box<Extras>>,
}

/// What few groups set. In a place of its own, as a group that has one child costs mostly what its state is large.
#[derive(Default)]
struct Extras {
    name: Option<Name>,
    on_failure: Option<FailureHook>,
    on_abandoned: Option<AbandonedHook>,
    cleanup_timeout: Option<(Duration, AnyTimer)>,
    deadline: Option<(When, AnyTimer)>,
}

impl Drop for Extras {
    fn drop(&mut self) {
        // Whoever is the last to hold the group has its own to see to: a runtime, or somebody who is given the outcome.
        drop_quietly(self.on_failure.take());
        drop_quietly(self.on_abandoned.take());
    }
}

/// Shows a failure to the user's hook and hands it back, with the payload of the hook's own panic.
pub(crate) type FailureHook = Box<dyn Fn(&Origin, Raw) -> (Raw, Option<Box<dyn Any + Send>>) + Send + Sync>;
pub(crate) type AbandonedHook = Box<dyn Fn(usize) + Send + Sync>;

/// A time as it was set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    At(Duration),
    /// So long after the group was opened.
    After(Duration),
}

impl Config {
    pub(crate) fn new(location: &'static Location<'static>) -> Self {
        Self {
            policy: Policy::default(),
            keep: SUPPRESSED,
            limit: None,
            owned: false,
            observe_polls: false,
            metrics: None,
            location,
            extras: None,
        }
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(crate) fn set_name(&mut self, name: Name) {
        self.extras().name = Some(name);
    }

    pub(crate) fn set_on_failure(&mut self, hook: FailureHook) {
        self.extras().on_failure = Some(hook);
    }

    pub(crate) fn set_on_abandoned(&mut self, hook: AbandonedHook) {
        self.extras().on_abandoned = Some(hook);
    }

    pub(crate) fn set_cleanup_timeout(&mut self, time: Duration, clock: AnyTimer) {
        self.extras().cleanup_timeout = Some((time, clock));
    }

    pub(crate) fn set_deadline(&mut self, when: When, clock: AnyTimer) {
        self.extras().deadline = Some((when, clock));
    }

    pub(crate) fn name(&self) -> Option<&Name> {
        self.extras.as_ref()?.name.as_ref()
    }

    pub(crate) fn on_failure(&self) -> Option<&FailureHook> {
        self.extras.as_ref()?.on_failure.as_ref()
    }

    pub(crate) fn on_abandoned(&self) -> Option<&AbandonedHook> {
        self.extras.as_ref()?.on_abandoned.as_ref()
    }

    fn timed(&self) -> Option<&(When, AnyTimer)> {
        self.extras.as_ref()?.deadline.as_ref()
    }

    /// The deadline of a group that is opened now.
    pub(crate) fn deadline(&self) -> Option<Box<Deadline>> {
        let (when, clock) = self.timed()?;
        let at = match when {
            When::At(at) => *at,
            When::After(time) => clock.now().saturating_add(*time),
        };
        Some(Deadline::new(at, clock.clone()))
    }

    /// For whoever keeps that deadline.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.timed().map(|_| Watch::default())
    }

    /// How long a clean-up that begins now may take.
    pub(crate) fn cleanup_sleep(&self) -> Option<Sleep> {
        self.extras.as_ref()?.cleanup_timeout.as_ref().map(|(time, clock)| clock.sleep(*time))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("policy", &self.policy)
            .field("limit", &self.limit)
            .field("location", &self.location)
            .field("name", &self.name())
            .field("deadline", &self.timed())
            .finish_non_exhaustive()
    }
}

/// Defines the settings, once for all that open a group. `$config` is the `Config` of `$this`, or panics once it is too late.
macro_rules! settings {
    (|$this:ident| $config:expr) => {
        /// Lets the others go on when a child fails or panics: all failures are gathered.
        ///
        /// At the end there is an error if anything failed. What the others returned is in their handles, or in
        /// [`Group::results`](crate::Group::results).
        #[track_caller]
        pub fn collect(mut self) -> Self {
            let $this = &mut self;
            $config.policy = crate::policy::Policy::Collect;
            self
        }

        /// Isolates the children: one that fails or panics does so for itself alone, and only `hook` is told.
        ///
        /// The group ends well whatever becomes of its children; a failure of the body ends it. `hook` is the
        /// [failure hook](Self::on_failure) and sees both.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use taskgroup::{Smol, TaskGroup};
        /// # smol::block_on(async {
        /// let group = TaskGroup::builder::<&str>(Smol)
        ///     .supervise(|child, failure| eprintln!("{child}: {failure}"))
        ///     .open();
        /// group.launch(async { Err::<(), _>("connection reset") });
        /// let healthy = group.spawn(async { Ok(7) });
        /// assert_eq!(healthy.await.unwrap(), 7);
        /// group.join().await.unwrap();
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn supervise(
            mut self,
            hook: impl Fn(&crate::error::Origin, &crate::Failure<E>) + Send + Sync + 'static,
        ) -> Self
        where
            E: Send + 'static,
        {
            let $this = &mut self;
            $config.policy = crate::policy::Policy::Supervise;
            self.on_failure(hook)
        }

        /// Shows every failure to `hook` as it happens, on the thread of the child; also those that are not kept. Failures
        /// of a group inside come here when nobody is left to look at them, as many as that group has kept.
        ///
        /// The siblings have been cancelled by then, if the policy has them cancelled. The hook may spawn and cancel. A
        /// panic of the hook is one more failure, of which the hook is not told. What it captures goes with the last that knows the
        /// group, and of a panic in that only std's hook tells.
        #[track_caller]
        pub fn on_failure(
            mut self,
            hook: impl Fn(&crate::error::Origin, &crate::Failure<E>) + Send + Sync + 'static,
        ) -> Self
        where
            E: Send + 'static,
        {
            let $this = &mut self;
            $config.set_on_failure(crate::Failure::hook(hook));
            self
        }

        /// Calls `hook` with the number of living children if the owner of a group that is linked to nothing goes without
        /// joining: nobody waits for them any more. Groups inside do not tell.
        #[track_caller]
        pub fn on_abandoned(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
            let $this = &mut self;
            $config.set_on_abandoned(Box::new(hook));
            self
        }

        /// Keeps at most so many failures besides the primary one; the default is 16. The hook sees them all.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use taskgroup::{Smol, TaskGroup};
        /// # smol::block_on(async {
        /// let group = TaskGroup::builder::<&str>(Smol).collect().keep(0).open();
        /// group.launch(async { Err::<(), _>("one") });
        /// group.launch(async { Err::<(), _>("two") });
        /// let error = group.join().await.unwrap_err();
        /// assert_eq!((error.failures().len(), error.not_kept()), (1, 1));
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn keep(mut self, failures: usize) -> Self {
            let $this = &mut self;
            $config.keep = failures;
            self
        }

        /// Names the group, for reports: see [`Origin`](crate::error::Origin).
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use taskgroup::{Smol, TaskGroup};
        /// # smol::block_on(async {
        /// let server = TaskGroup::builder::<&str>(Smol).name("server").open();
        /// server.child().name("conn 17").launch(async { Err::<(), _>("connection reset") });
        /// let error = server.join().await.unwrap_err();
        /// assert_eq!(error.origin().unwrap().path(), Some("server/conn 17"));
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn name(mut self, name: impl Into<std::sync::Arc<str>>) -> Self {
            let $this = &mut self;
            $config.set_name(name.into());
            self
        }

        /// Notes when each poll of a member begins and ends, for [`Group::snapshot`](crate::Group::snapshot), here and in
        /// all groups inside.
        ///
        /// With it a snapshot tells a member that is in the middle of a poll from one that waits, and since when. It costs
        /// an allocation a child, and at each poll the time is read and the group's lock taken, twice. Without it nothing of
        /// that is done.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use taskgroup::{Smol, TaskGroup, group::MemberState};
        /// # smol::block_on(async {
        /// let group = TaskGroup::builder::<()>(Smol).observe_polls().open();
        /// group.launch(std::future::pending::<()>());
        /// let snapshot = group.snapshot();
        /// let child = snapshot.group().members().next().unwrap();
        /// assert!(matches!(child.state(), MemberState::Idle | MemberState::Running));
        /// assert!(child.since().is_some());
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn observe_polls(mut self) -> Self {
            let $this = &mut self;
            $config.observe_polls = true;
            self
        }

        /// Counts what becomes of the children in [`metrics`](crate::group::Metrics), here and in all groups inside that are
        /// given none of their own.
        ///
        /// It costs what [`observe_polls`](Self::observe_polls) does, and a few counters that all threads share.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use taskgroup::{Smol, TaskGroup, group::Metrics};
        /// # smol::block_on(async {
        /// let metrics = Metrics::new();
        /// let group = TaskGroup::builder::<()>(Smol).metrics(&metrics).open();
        /// group.launch(std::future::pending::<()>());
        /// assert_eq!(metrics.live(), 1);
        /// group.cancel();
        /// group.join().await.unwrap();
        /// assert_eq!((metrics.live(), metrics.cancelled()), (0, 1));
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn metrics(mut self, metrics: &crate::group::Metrics) -> Self {
            let $this = &mut self;
            $config.metrics = Some(metrics.clone());
            self
        }

        /// Lets at most so many children run at once.
        ///
        /// More can be spawned. They are *queued*, which means counted and not polled, and start in the order in which
        /// they were spawned, when others have ended in whatever way.
        /// [`spawn_when_free`](crate::Group::spawn_when_free) waits instead, and
        /// [`try_spawn`](crate::Group::try_spawn) refuses. Background children, clean-ups and adopted tasks need no place.
        ///
        /// A child that awaits the [handle](crate::JoinHandle) of a sibling lends it its place, so it takes none beside it: a recursion
        /// that awaits what it has spawned has as many at work as may be, and children that only await each other's handles,
        /// and not in a circle, all end. If it awaits several, one after the other is lent its place. What is lent is not given back
        /// before that sibling has [ended](crate::group::CancelHandle::is_finished), and whomever it has lent the place on to. One that
        /// goes on meanwhile runs beside them, and has no place to lend: after a timeout, after [`start`](crate::Group::start), or where
        /// the handle is ready and a shielded group inside of that sibling is not.
        ///
        /// One that waits in another way keeps its place: on a channel, for [`Results`](crate::group::Results), in
        /// `spawn_when_free`, for a child of another group, for an adopted task or work that blocks and waits for a sibling itself, in
        /// `cancel` where that runs a destructor that waits, for one that somebody else has begun to await since (through a `Shared`
        /// future, say), or because a scope that it began was carried into a queued sibling. If all who have places wait so for
        /// children that have none, nobody goes on.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use std::num::NonZero;
        /// # use taskgroup::{Smol, TaskGroup};
        /// # smol::block_on(async {
        /// let group = TaskGroup::builder::<()>(Smol).limit(NonZero::new(1).unwrap()).open();
        /// let first = group.spawn(std::future::pending::<()>());
        /// assert!(group.try_spawn(async {}).unwrap_err().is_full());
        /// let queued = group.spawn(async { Ok(2) });
        /// first.cancel();
        /// assert_eq!(queued.await.unwrap(), 2);
        /// # });
        /// # }
        /// ```
        ///
        /// A limit of zero does not exist:
        ///
        /// ```compile_fail,E0308
        /// # use taskgroup::{Smol, TaskGroup};
        /// let group = TaskGroup::builder::<()>(Smol).limit(0).open(); // error: expected `NonZero<usize>`
        /// ```
        #[track_caller]
        pub fn limit(mut self, children: std::num::NonZeroUsize) -> Self {
            let $this = &mut self;
            $config.limit = Some(children);
            self
        }
    };
}

/// Defines the settings that have to do with time, where the spawner has a clock.
macro_rules! time_settings {
    (S: $first:path $(, $more:path)*; |$this:ident| $config:expr, $clock:expr) => {
        /// Cancels the group at this time of the spawner's clock, with
        /// [`CancelReason::Deadline`](crate::CancelReason::Deadline).
        ///
        /// If it has passed already, a body is not polled. If everybody has ended in time, nothing happens; if anybody
        /// was cut short, the group ends with an error that says so, behind a real failure if there is one. So it does
        /// if a child comes later and is refused, as nobody would be told otherwise. Children
        /// that are left when the body has ended are under it as well. [`Group::set_deadline`](crate::Group::set_deadline)
        /// moves it. If the clock goes away before, as Tokio's does with its runtime, the group is cancelled as one that is
        /// [lost](crate::CancelReason::Lost).
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use std::time::Duration;
        /// # use taskgroup::{CancelReason, Smol, TaskGroup, runtime::Timer};
        /// # smol::block_on(async {
        /// let group = TaskGroup::builder::<()>(Smol).deadline(Smol.now() + Duration::from_millis(50)).open();
        /// group.launch(std::future::pending::<()>());
        /// let cut = group.join().await.unwrap_err();
        /// assert_eq!(cut.reason(), Some(&CancelReason::Deadline));
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn deadline(mut self, at: std::time::Duration) -> Self
        where
            S: $first $(+ $more)*,
        {
            let $this = &mut self;
            let clock = $clock;
            $config.set_deadline(crate::config::When::At(at), clock);
            self
        }

        /// Sets a [deadline](Self::deadline) that counts from when the group is opened.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use std::time::Duration;
        /// # use taskgroup::{CancelReason, Smol, scope};
        /// # smol::block_on(async {
        /// let stuck = scope(Smol, |_| std::future::pending::<Result<(), ()>>());
        /// let cut = stuck.timeout(Duration::from_millis(1)).await.unwrap_err();
        /// assert_eq!(cut.reason(), Some(&CancelReason::Deadline));
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn timeout(mut self, after: std::time::Duration) -> Self
        where
            S: $first $(+ $more)*,
        {
            let $this = &mut self;
            let clock = $clock;
            $config.set_deadline(crate::config::When::After(after), clock);
            self
        }

        /// Gives each [clean-up](crate::Group::defer) so much time. What takes longer is dropped, and is one more failure:
        /// [`Failure::CleanupTimeout`](crate::Failure::CleanupTimeout). Once the clock has gone away with its runtime, one that still runs
        /// has all the time. Where there was no clock to begin with, on Tokio without `enable_time`, each has that and is told of as panicked.
        ///
        /// # Examples
        ///
        /// ```
        /// # #[cfg(feature = "smol")] {
        /// # use std::time::Duration;
        /// # use taskgroup::{Failure, Smol, TaskGroup};
        /// # smol::block_on(async {
        /// let group =
        ///     TaskGroup::builder::<()>(Smol).cleanup_timeout(Duration::from_millis(1)).open();
        /// let member = group.group();
        /// group.launch(async move { member.defer(std::future::pending::<()>()) });
        /// let error = group.join().await.unwrap_err();
        /// assert!(matches!(error.failures().next(), Some((_, Failure::CleanupTimeout))));
        /// # });
        /// # }
        /// ```
        #[track_caller]
        pub fn cleanup_timeout(mut self, time: std::time::Duration) -> Self
        where
            S: $first $(+ $more)*,
        {
            let $this = &mut self;
            let clock = $clock;
            $config.set_cleanup_timeout(time, clock);
            self
        }
    };
}

pub(crate) use {settings, time_settings};
