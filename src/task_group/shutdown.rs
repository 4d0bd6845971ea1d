//! The end of a group in two steps: asked for, and after a grace forced.

use std::fmt;
use std::future::{Future, Ready};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::FusedFuture;
use pin_project_lite::pin_project;

use crate::error::{GroupError, Origin};
use crate::keeping::Brittle;
use crate::observe::patience::Patience;
use crate::observe::snapshot::Snapshot;
use crate::outcome::Raw;
use crate::spawner::timer::{AnyTimer, Sleep, Timed, Timer, poll_sleep};
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::member::{BODY, Kind, Slot};
use crate::state::table::Table;
use crate::task_group::join::Join;
use crate::unwind::{catch, drop_quietly};

/// How many members a report names.
const NAMED: usize = 64;

pin_project! {
    /// The future of [`TaskGroup::shutdown`] and [`TaskGroup::shutdown_when`].
    #[must_use = "futures do nothing unless awaited, and dropping this one cancels the group"]
    pub struct Shutdown<S, E, F = Ready<()>> {
        join: Join<S, E>,
        clock: AnyTimer,
        grace: Duration,
        step: Step,
        patience: Option<Box<Patience>>,
        #[pin]
        signal: Option<Brittle<F>>,
    }
}

/// How far a shutdown is.
enum Step {
    /// It was not polled yet.
    New,
    /// It waits for the signal.
    Signal,
    Grace(Sleep),
    /// The grace is over.
    Forced,
}

impl<S, E, F> Shutdown<S, E, F> {
    pub(crate) fn new(
        join: Join<S, E>,
        clock: AnyTimer,
        grace: Duration,
        signal: Option<Brittle<F>>,
    ) -> Self {
        // From now on, those whom a cancel forces are noted.
        join.group().expect("not polled before").state().lock().outcome.begin_shutdown();
        Self { join, clock, grace, step: Step::New, patience: None, signal }
    }
}

impl<S, E, F> Shutdown<S, E, F> {
    /// Calls `warn` with a snapshot of the group if its end takes long.
    ///
    /// The time counts from when the members are asked to end, by the signal or otherwise, or are cancelled. So the grace is
    /// part of it: with a `patience` that is longer, `warn` sees who outlasts the cancel, and with a shorter one, who does not
    /// listen. It is called again each time the wait has doubled. All else is as for a [`Join`](Join::warn_after).
    ///
    /// # Panics
    ///
    /// A panic of `warn` is raised in the task that polls the shutdown.
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
    /// let shutdown = group.shutdown(Duration::from_secs(30)).warn_after(Duration::from_millis(1), move |left| {
    ///     assert_eq!(left.culprits()[0].name(), Some("deaf"));
    ///     member.cancel(); // does not wait for the end of the grace
    /// });
    /// assert_eq!(shutdown.await.unwrap().forced().len(), 1);
    /// # });
    /// # }
    /// ```
    pub fn warn_after(mut self, patience: Duration, warn: impl FnMut(&Snapshot) + Send + 'static) -> Self
    where
        S: Timed,
    {
        let group = self.join.group();
        self.patience = group.map(|group| Patience::new(group.spawner(), patience, warn));
        self
    }
}

impl<S, E: 'static, F: Future> Shutdown<S, E, F> {
    fn poll_steps(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<ShutdownReport, GroupError<E>>> {
        let mut this = self.project();
        loop {
            let group = this.join.group().expect("a `Shutdown` is not polled after it has ended");
            if let Step::New = this.step {
                if this.signal.is_some() {
                    // A clock that cannot measure the grace panics here, and not when the signal comes.
                    drop(this.clock.sleep(*this.grace));
                }
                *this.step = Step::Signal;
            }
            if let Step::Signal = this.step {
                let polled =
                    catch(|| this.signal.as_mut().as_pin_mut().map(|signal| signal.poll(cx).map(drop)));
                match polled {
                    Ok(Some(Poll::Pending)) => {}
                    Ok(None | Some(Poll::Ready(()))) => {
                        this.signal.set(None);
                        group.stop();
                        *this.step = Step::Grace(this.clock.sleep(*this.grace));
                    }
                    Err(payload) => {
                        this.signal.set(None);
                        // Raised when the group has ended, unless a child has panicked before.
                        group.state().record(BODY, Raw::Panic(payload));
                        group.cancel_with("the signal panicked");
                        *this.step = Step::Forced;
                    }
                }
            }
            // Before the clock, so that members that have ended in time count as such.
            if let Poll::Ready(mut ended) = this.join.poll_outcome(cx) {
                this.signal.set(None);
                drop_quietly(this.patience.take());
                let report = ended.outcome.take_forced();
                return Poll::Ready(ended.conclude().map(|()| report));
            }
            match this.step {
                // If the clock is gone the grace is over: it would never end otherwise.
                Step::Grace(sleep) => _ = std::task::ready!(poll_sleep(sleep, cx)),
                Step::New | Step::Signal | Step::Forced => return Poll::Pending,
            }
            *this.step = Step::Forced;
            let group = this.join.group().expect("a `Shutdown` is not polled after it has ended");
            group.cancel_with("the grace is over");
            group.state().note_late();
        }
    }
}

impl<S, E: 'static, F: Future> FusedFuture for Shutdown<S, E, F> {
    /// Returns whether the group has ended, and this must not be awaited again.
    fn is_terminated(&self) -> bool {
        self.join.group().is_none()
    }
}

impl<S, E: 'static, F: Future> Future for Shutdown<S, E, F> {
    type Output = Result<ShutdownReport, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.as_mut().poll_steps(cx);
        let this = self.project();
        if let (Poll::Pending, Some(patience), Some(group)) = (&polled, this.patience, this.join.group()) {
            if group.is_stopping() {
                patience.look(group.state(), cx);
            }
        }
        polled
    }
}

impl<S, E, F> UnwindSafe for Shutdown<S, E, F> {}
impl<S, E, F> RefUnwindSafe for Shutdown<S, E, F> {}

impl<S, E, F> fmt::Debug for Shutdown<S, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::New => "not polled",
            Step::Signal => "waits for the signal",
            Step::Grace(_) => "waits for members",
            Step::Forced => "the grace is over",
        };
        f.debug_struct("Shutdown").field("grace", &self.grace).field("step", &step).finish_non_exhaustive()
    }
}

/// Lists the children that did not end in the grace of a shutdown, and so had to be cancelled.
///
/// They were cancelled when the grace was over, or earlier, if the group was cancelled after the shutdown was called. A
/// child under a [shield](crate::shield()) is listed as well, although it then ends by itself. If the group was cancelled
/// before, those are listed who have outlasted the grace. See [`TaskGroup::shutdown`](crate::TaskGroup::shutdown).
#[derive(Clone, Debug, Default)]
pub struct ShutdownReport {
    forced: Vec<Origin>,
    more: usize,
}

impl ShutdownReport {
    /// Returns the children that had to be cancelled, at most 64 of them.
    ///
    /// They are children of the group and of the groups inside it. Background children are not listed, because they run until
    /// the others have ended; nor are clean-ups; nor is who comes into a group inside while the cancel is on its way there.
    pub fn forced(&self) -> &[Origin] {
        &self.forced
    }

    /// Returns how many more children had to be cancelled.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Returns whether all children had ended in time.
    pub fn is_graceful(&self) -> bool {
        self.forced.is_empty()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_graceful() {
            return f.write_str("everybody ended in time");
        }
        write!(f, "{} had to be cancelled:", self.forced.len() + self.more)?;
        for origin in &self.forced {
            write!(f, "\n  {origin}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl ShutdownReport {
    fn add(&mut self, origin: impl FnOnce() -> Origin) {
        if self.forced.len() == NAMED {
            self.more += 1;
        } else {
            self.forced.push(origin());
        }
    }

    /// Adds what another report lists.
    pub(crate) fn append(&mut self, other: Self) {
        other.forced.into_iter().for_each(|origin| self.add(|| origin));
        self.more += other.more;
    }
}

impl State {
    /// Notes who is forced to end, if this is in a shutdown. Under the lock under which the group is cancelled, so that
    /// nobody comes in between; the groups inside are asked before they are cancelled.
    pub(crate) fn note_forced(self: &Arc<Self>, table: &mut Table, effects: &mut Effects) {
        if table.outcome.is_shutting_down() {
            let mut report = ShutdownReport::default();
            self.list(table, &mut report);
            table.outcome.note_forced(report);
            effects.note_inside(self.clone());
        }
    }

    /// Notes who is forced to end in the groups inside this one.
    pub(crate) fn note_inside(&self) {
        // In a statement of its own: the lock is released at the end of it.
        let groups = inside(&self.lock());
        let report = survivors(groups);
        self.lock().outcome.note_more(report);
    }

    /// Notes who has outlasted the grace, if the group was cancelled before the shutdown, and nobody is noted.
    fn note_late(self: &Arc<Self>) {
        let report = survivors(vec![self.clone()]);
        self.lock().outcome.note_forced(report);
    }

    /// Adds the ordinary children of this group that have not ended.
    fn list(&self, table: &Table, report: &mut ShutdownReport) {
        for (_, Slot { member, location, .. }) in &table.slots {
            if member.kind() == Kind::Ordinary {
                report.add(|| self.origin_of_child(member.id(), location, member.name().cloned()));
            }
        }
    }
}

fn inside(table: &Table) -> Vec<Arc<State>> {
    table.members().flat_map(|member| member.groups().cloned()).collect()
}

/// The ordinary children that have not ended, of these groups and of all groups inside them.
fn survivors(mut groups: Vec<Arc<State>>) -> ShutdownReport {
    let mut report = ShutdownReport::default();
    while let Some(group) = groups.pop() {
        let table = group.lock();
        groups.extend(inside(&table));
        group.list(&table, &mut report);
    }
    report
}
