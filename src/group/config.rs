//! The settings of a group, made when it is opened.

use std::any::Any;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::time::Duration;

use crate::error::{Name, Origin};
use crate::observe::metrics::Metrics;
use crate::outcome::policy::Policy;
use crate::outcome::{Raw, SUPPRESSED};
use crate::spawner::timer::{AnyTimer, Sleep, Timer};
use crate::state::deadline::{Deadline, Watch};
use crate::unwind::drop_quietly;

/// The settings of one group. They never change afterwards.
pub(crate) struct Config {
    pub(crate) policy: Policy,
    /// How many failures are kept besides the primary one.
    pub(crate) keep: usize,
    pub(crate) limit: Option<NonZeroUsize>,
    /// The member that opens the group owns its children, and drops them when it is dropped itself.
    pub(crate) owned: bool,
    /// Polls are marked.
    pub(crate) observe_polls: bool,
    /// Here the group counts how its children end.
    pub(crate) metrics: Option<Metrics>,
    pub(crate) location: &'static Location<'static>,
    extras: Option<Box<Extras>>,
}

/// Settings that few groups have. They are boxed, because the cost of a group with one child is mostly the size of its state.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) name: Option<Name>,
    pub(crate) on_failure: Option<FailureHook>,
    pub(crate) on_abandoned: Option<AbandonedHook>,
    pub(crate) cleanup_timeout: Option<(Duration, AnyTimer)>,
    pub(crate) deadline: Option<(When, AnyTimer)>,
}

impl Drop for Extras {
    fn drop(&mut self) {
        // The last holder of the group may be a runtime, or be taking the outcome: a panic here must not reach it.
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
    /// This long after the group was opened.
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

    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
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

    /// The deadline of a group that opens now.
    pub(crate) fn deadline(&self) -> Option<Box<Deadline>> {
        let (when, clock) = self.timed()?;
        let at = match when {
            When::At(at) => *at,
            When::After(time) => clock.now().saturating_add(*time),
        };
        Some(Deadline::new(at, clock.clone()))
    }

    /// The watch for a scope, which keeps that deadline itself.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.timed().map(|_| Watch::default())
    }

    /// The timeout of a clean-up that begins now.
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

/// Defines the settings, once for all types that open a group. `$config` is the `Config` of `$this`; it panics if it is too late
/// to change it.
macro_rules! settings {
    (|$this:ident| $config:expr) => {
        /// Lets the other members go on when a member fails or panics.
        ///
        /// The group collects all failures, and ends with an error if there were any. The values of the other children are in
        /// their handles, or in [`Group::results`](crate::Group::results).
        #[track_caller]
        pub fn collect(mut self) -> Self {
            let $this = &mut self;
            $config.policy = crate::outcome::policy::Policy::Collect;
            self
        }

        /// Isolates the children: only `hook` sees their failures and panics.
        ///
        /// A child that fails or panics cancels nothing, and does not make the group fail; nor does a clean-up, also one that the
        /// body has registered. A failure of the body still cancels the children, and makes the group fail; so does one of a group
        /// that was opened in the body, if nobody reads it. `hook` is the
        /// [failure hook](Self::on_failure), and sees all of them.
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
            $config.policy = crate::outcome::policy::Policy::Supervise;
            self.on_failure(hook)
        }

        /// Calls `hook` with every failure as it happens, on the thread where it happens.
        ///
        /// The hook sees all failures, also those that the group does not [keep](Self::keep). It also sees failures of a group
        /// inside this one that nobody is left to read, as many as that group has kept.
        ///
        /// There is one hook: if several are set, by [`supervise`](Self::supervise) or here, the last one counts.
        ///
        /// If the policy cancels the siblings, that is decided before the hook is called, and seen by
        /// [`is_cancelled`](crate::Group::is_cancelled). But they are dropped and woken after the hook has returned, so it must
        /// not wait for them. The hook may spawn and cancel, unless the group has ended, as it has when a failed scope drops the
        /// value of its body, and that panics. A panic of the hook is one more failure, for which the hook is not called.
        ///
        /// Values captured by the hook are dropped with the last handle of the group, or a moment later, by the child that ended
        /// last. So do not rely on them being gone when the group has been joined. A hook that captures a
        /// [`Group`](crate::Group) of its own group, to start a child anew, keeps both for ever: let it get the `Group` from a
        /// cell that is emptied when the group has been joined. A panic while dropping the values is ignored; only std's panic
        /// hook reports it.
        #[track_caller]
        pub fn on_failure(
            mut self,
            hook: impl Fn(&crate::error::Origin, &crate::Failure<E>) + Send + Sync + 'static,
        ) -> Self
        where
            E: Send + 'static,
        {
            let $this = &mut self;
            $config.extras().on_failure = Some(crate::Failure::hook(hook));
            self
        }

        /// Calls `hook` with the number of living children if the group is dropped unjoined.
        ///
        /// Nobody waits for these children any more. The hook is not called if no child lives, nor if the group was opened
        /// inside another one, which then waits for the children.
        #[track_caller]
        pub fn on_abandoned(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
            let $this = &mut self;
            $config.extras().on_abandoned = Some(Box::new(hook));
            self
        }

        /// Sets how many failures are kept besides the primary one; 16 by default.
        ///
        /// The [failure hook](Self::on_failure) sees them all.
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

        /// Names the group in reports: see [`Origin`](crate::error::Origin).
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
            $config.extras().name = Some(name.into());
            self
        }

        /// Records when each poll of a member begins and ends, for [`Group::snapshot`](crate::Group::snapshot).
        ///
        /// It applies to this group and to all groups inside it. A snapshot then shows which members are in the middle of a
        /// poll and which ones wait, and since when.
        ///
        /// It costs two allocations for each child. At each poll the time is read twice and the group's lock is taken twice.
        /// Without this setting none of that is done.
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

        /// Counts in [`metrics`](crate::group::Metrics) how the children end.
        ///
        /// It applies to this group, and to all groups inside it that have no metrics of their own. It costs as much as
        /// [`observe_polls`](Self::observe_polls), plus a few counters that all threads share.
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

        /// Limits how many children run at once: each needs a *place*.
        ///
        /// More children can be spawned. They are *queued*, that is, counted but not polled. They start in the order in which
        /// they were spawned, when other children have ended in any way.
        /// [`spawn_when_free`](crate::Group::spawn_when_free) waits for a place instead of queueing the child, and
        /// [`try_spawn`](crate::Group::try_spawn) refuses the child. Background children, clean-ups, adopted tasks and the body
        /// of a scope need no place.
        ///
        /// **A child lends its place** to a sibling while it awaits
        ///
        /// * the [handle](crate::JoinHandle) of that sibling, directly or from a group opened inside the child;
        /// * [`start`](crate::Group::start), which waits for the new child.
        ///
        /// The two then take one place together, also if both had one before. Therefore a recursion in which children await
        /// what they have spawned has as many children at work as the limit allows. Children that only await each other's
        /// handles, and not in a circle, all end. These rules apply to a place that is lent:
        ///
        /// * A child that awaits several siblings lends its place to one after the other.
        /// * The place stays lent until the sibling has [ended](crate::group::CancelHandle::is_finished), and with it every
        ///   child to which the sibling has lent the place on.
        /// * A child that goes on before that runs in addition to the limit, and has no place to lend. That happens after a
        ///   timeout, after `start`, or if the handle is ready while a shielded group inside the sibling still runs.
        ///
        /// **A child keeps its place** while it waits in any other way:
        ///
        /// * on a channel;
        /// * for [`Results`](crate::group::Results);
        /// * in `spawn_when_free`;
        /// * for a child of another group;
        /// * for an adopted task, or blocking work, that itself waits for a sibling;
        /// * in `cancel`, if `cancel` runs a destructor that waits;
        /// * for a sibling that another child has begun to await later, for instance through a `Shared` future;
        /// * for a scope that it has begun, and that was then moved into a queued sibling.
        ///
        /// If all children that have places wait in these ways for children that have none, the group hangs.
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

pub(crate) use settings;
