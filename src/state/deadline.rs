//! Deadlines of groups: stored in the state, watched by the scope or by a background child.
//!
//! A deadline can be moved at any time before it has passed. The group's signal then wakes the watcher, which looks again. The
//! deadline is checked *before* the body is polled, so a body is never polled after its deadline.

use std::marker::PhantomData;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use crate::child::Discard;
use crate::error::CancelReason;
use crate::group::Group;
use crate::spawner::Spawner;
use crate::spawner::timer::{AnyTimer, ClockGone, Sleep, Timed, Timer, poll_sleep};
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::facts::Fact;
use crate::state::limit::Place;
use crate::state::member::{Kind, Member};
use crate::state::signal::Waiter;
use crate::state::table::Table;
use crate::state::word::Seen;
use crate::unwind::{catch, drop_quietly, drop_refused};

/// The deadline of a group.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    at: Option<Duration>,
    /// It has cancelled the group, or its clock is gone.
    over: bool,
    /// The clock of which `at` is a time.
    clock: Option<AnyTimer>,
    /// The scope or a child watches it.
    watched: bool,
}

impl Deadline {
    fn is(&self, at: Duration, clock: &AnyTimer) -> bool {
        self.at == Some(at) && self.clock.as_ref().is_some_and(|own| own.is(clock))
    }

    /// A deadline that is watched from the beginning.
    pub(crate) fn new(at: Duration, clock: AnyTimer) -> Box<Self> {
        Box::new(Self { at: Some(at), over: false, clock: Some(clock), watched: true })
    }
}

impl<S, E: Send + 'static> Group<S, E> {
    /// Moves the deadline to a time of the spawner's clock, or removes it.
    ///
    /// The clock is that of this handle's spawner. It need not be the clock of the previous deadline: a handle from
    /// [`on`](Self::on) has the clock of the other runtime. A group without a deadline gets one.
    ///
    /// A time that has passed already cancels the group at once. A deadline that has passed cannot be moved any more, also if
    /// nobody has noticed it yet: then it cancels the group here.
    ///
    /// # Panics
    ///
    /// Panics if the spawner does, which runs the child that watches the deadline. That child is lost then, which cancels the
    /// group. A clock that panics when it is asked for the time is taken for one whose time has not come.
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
    #[track_caller]
    pub fn set_deadline(&self, at: Option<Duration>)
    where
        S: Spawner + Timed,
    {
        let state = self.state();
        if state.end_if_due() {
            return;
        }
        if state.set_deadline(at, AnyTimer::of(self.spawner())) {
            self.watch_deadline(Location::caller());
        } else {
            state.end_if_due();
        }
    }

    /// Starts the child that keeps the deadline, which was set at `location`, unless that has passed already.
    pub(crate) fn watch_deadline(&self, location: &'static Location<'static>)
    where
        S: Spawner,
    {
        if self.state().end_if_due() {
            return;
        }
        let (state, member) = (self.state(), Member::of_kind(Kind::Watch).at(self.elsewhere()));
        let watch = Watch::default().run(state.clone());
        match state.enter(location, member, Place::Queue) {
            Ok(ticket) => self.hand_over(ticket.into(), watch, Discard(PhantomData::<fn(E)>)),
            Err(_) => drop_refused(watch),
        }
    }
}

impl Table {
    /// When the group will be cancelled, and by which clock.
    pub(crate) fn due(&self) -> Option<(Duration, AnyTimer)> {
        let deadline = self.deadline.as_ref().filter(|deadline| !deadline.over)?;
        deadline.at.zip(deadline.clock.clone())
    }

    /// Whether anything is left besides the children that watch the deadline.
    ///
    /// A body that is cut does not count: its host may be cut as well, and then drops it only when the group is over, for
    /// which the watchers have to be gone. While such a body waits for groups that it has opened, these count.
    pub(crate) fn has_members(&self, seen: Seen) -> bool {
        let body = !self.body.is(Fact::GONE) && !self.body.is(Fact::CUT);
        body || seen.children() > 0 || seen.others() > self.background.watchers
    }
}

impl State {
    /// The earliest deadline of this group and the groups around it.
    pub(crate) fn effective_deadline(&self) -> Option<Duration> {
        let mut earliest = self.deadline();
        let mut around = self.parent();
        while let Some(parent) = around {
            earliest = [earliest, parent.group.deadline()].into_iter().flatten().min();
            around = parent.group.parent();
        }
        earliest
    }

    fn deadline(&self) -> Option<Duration> {
        self.lock().deadline.as_ref()?.at
    }

    /// Moves the deadline to a time of this clock. Returns whether the caller has to start a watcher.
    pub(crate) fn set_deadline(&self, at: Option<Duration>, clock: AnyTimer) -> bool {
        let mut table = self.lock();
        let deadline = table.deadline.get_or_insert_default();
        (deadline.at, deadline.over) = (at, false);
        let before = deadline.clock.replace(clock);
        let unwatched = at.is_some() && !std::mem::replace(&mut deadline.watched, true);
        drop(table);
        drop_quietly(before);
        self.notify();
        unwatched
    }

    /// Cancels the group if its deadline has passed, and returns whether it has.
    fn end_if_due(self: &Arc<Self>) -> bool {
        loop {
            let due = self.lock().due();
            // If the clock panics, the watcher will see.
            let passed = catch(|| due.as_ref().is_some_and(|(at, clock)| clock.now() >= *at));
            let moved =
                matches!(passed, Ok(true)) && !self.end_deadline(CancelReason::Deadline, due.as_ref());
            drop_quietly((due, passed));
            if !moved {
                break;
            }
        }
        matches!(self.lock().reason.as_deref(), Some(CancelReason::Deadline))
    }

    /// Cancels the group: the deadline has passed, or its clock is gone, by which it would never pass.
    ///
    /// If an explicit cancel came earlier and the group has not ended, the reason is the deadline nevertheless.
    ///
    /// Returns `false`, and does nothing, if the deadline is not this one any more: it was moved while the clock was asked.
    fn end_deadline(self: &Arc<Self>, reason: CancelReason, due: Option<&(Duration, AnyTimer)>) -> bool {
        let mut effects = Effects::default();
        let mut table = self.lock();
        if let Some(deadline) = &mut table.deadline {
            if due.is_some_and(|(at, clock)| !deadline.is(*at, clock)) {
                return false;
            }
            deadline.over = true;
        }
        let is_explicit = matches!(table.reason.as_deref(), Some(CancelReason::Explicit(_)));
        if is_explicit && reason == CancelReason::Deadline && table.has_members(self.word.look()) {
            table.reason = Some(Box::new(CancelReason::Deadline));
        }
        self.cancel_locked(&mut table, reason, &mut effects);
        drop(table);
        effects.run();
        true
    }
}

/// Cancels a group when its deadline has passed.
#[derive(Default)]
pub(crate) struct Watch {
    sleep: Option<(Duration, AnyTimer, Sleep)>,
}

impl Watch {
    /// Checks the deadline, and has the task woken when it has passed. The group's signal reports that it was moved.
    pub(crate) fn look(&mut self, group: &Arc<State>, cx: &mut task::Context<'_>) {
        loop {
            let due = group.lock().due();
            let Some((at, clock)) = &due else { return };
            let sleep = match &mut self.sleep {
                Some((until, by, sleep)) if until == at && by.is(clock) => sleep,
                _ if clock.now() >= *at => match group.end_deadline(CancelReason::Deadline, due.as_ref()) {
                    true => return,
                    false => continue,
                },
                stale => {
                    let sleep = clock.sleep_until(*at);
                    &mut stale.insert((*at, clock.clone(), sleep)).2
                }
            };
            let Poll::Ready(ended) = poll_sleep(sleep, cx) else { return };
            self.sleep = None;
            // The deadline may have been moved meanwhile: look again.
            if matches!(ended, Err(ClockGone)) && group.end_deadline(CancelReason::Lost, due.as_ref()) {
                return;
            }
        }
    }

    /// Watches while it is polled, until the group is cancelled and no other member is left.
    pub(crate) async fn run(mut self, group: Arc<State>) {
        let mut waiter = Waiter::default();
        group.watch();
        std::future::poll_fn(|cx| {
            waiter.listen(group.signal(), cx);
            if group.is_cancelled() && !group.lock().has_members(group.word.look()) {
                return Poll::Ready(());
            }
            if let Err(payload) = catch(|| self.look(&group, cx)) {
                // Nobody keeps the deadline from here on, so it must not seem to hold: not all policies cancel for a panic.
                group.end_deadline(CancelReason::Lost, None);
                resume_unwind(payload);
            }
            Poll::Pending
        })
        .await
    }
}

/// Defines the settings that have to do with time, where the spawner has a clock.
macro_rules! time_settings {
    (S: $first:path $(, $more:path)*; |$this:ident| $config:expr, $clock:expr) => {
        /// Cancels the group at this time of the spawner's clock.
        ///
        /// The reason is [`CancelReason::Deadline`](crate::CancelReason::Deadline).
        ///
        /// * If the time has already passed, the body is not polled, and a free-standing group takes no children.
        /// * If all members have ended in time, the group ends well.
        /// * If a member was dropped, the group ends with an error that has this reason. Failures come before the reason.
        /// * If a child is spawned after the deadline and therefore refused, the group ends with that error as well, because
        ///   nothing else would report it.
        /// * The deadline also applies to children that are left when the body has ended.
        ///
        /// [`Group::set_deadline`](crate::Group::set_deadline) moves the deadline. If the clock goes away first, as Tokio's does
        /// with its runtime, the group is cancelled as [lost](crate::CancelReason::Lost).
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
            $config.extras().deadline = Some((crate::group::config::When::At(at), clock));
            self
        }

        /// Sets a [deadline](Self::deadline) this long after the group is opened.
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
            $config.extras().deadline = Some((crate::group::config::When::After(after), clock));
            self
        }

        /// Limits the time of each [clean-up](crate::Group::defer).
        ///
        /// A clean-up that takes longer is dropped, and is one more failure:
        /// [`Failure::CleanupTimeout`](crate::Failure::CleanupTimeout).
        ///
        /// When the clock has gone away with its runtime, a clean-up that still runs has no limit. If there never was a clock,
        /// as on Tokio without `enable_time`, no clean-up has a limit, and a panic is reported for each.
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
            $config.extras().cleanup_timeout = Some((time, clock));
            self
        }
    };
}

pub(crate) use time_settings;
