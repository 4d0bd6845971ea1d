//! The end of a group in two steps: asked for, and after a grace forced.

use std::fmt;
use std::future::{Future, Ready};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::error::{GroupError, Origin};
use crate::member::Kind;
use crate::state::State;
use crate::task_group::Join;
use crate::timer::{AnyTimer, Sleep, Timer, poll_sleep};
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
        #[pin]
        signal: Option<F>,
    }

    impl<S, E, F> PinnedDrop for Shutdown<S, E, F> {
        fn drop(this: Pin<&mut Self>) {
            // The signal is the user's. A panic of its destructor gives way to one under way, which may be a child's.
            if std::thread::panicking() {
                forget(this.project().signal);
            }
        }
    }
}

/// Drops the signal, and contains a panic of its destructor.
fn forget<F>(mut signal: Pin<&mut Option<F>>) {
    drop_quietly(catch(|| signal.set(None)));
}

/// How far a shutdown is.
enum Step {
    /// It waits for the signal.
    Signal,
    Grace(Sleep),
    /// The grace is over.
    Forced,
}

impl<S, E, F> Shutdown<S, E, F> {
    pub(crate) fn new(join: Join<S, E>, clock: AnyTimer, grace: Duration, signal: Option<F>) -> Self {
        // From now on, those whom a cancel forces are noted.
        join.group().expect("not polled before").state().lock().outcome.begin_shutdown();
        Self { join, clock, grace, step: Step::Signal, signal }
    }
}

impl<S, E: 'static, F: Future> Future for Shutdown<S, E, F> {
    type Output = Result<ShutdownReport, GroupError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Step::Signal = this.step {
                let polled =
                    catch(|| this.signal.as_mut().as_pin_mut().map(|signal| signal.poll(cx).map(drop)));
                match polled {
                    Ok(Some(Poll::Pending)) => {}
                    Ok(None | Some(Poll::Ready(()))) => {
                        this.signal.set(None);
                        this.join.group().expect("it has not ended").stop();
                        *this.step = Step::Grace(this.clock.sleep(*this.grace));
                    }
                    Err(payload) => {
                        forget(this.signal);
                        resume_unwind(payload);
                    }
                }
            }
            // Before the clock, so that members that have ended in time count as such.
            if let Poll::Ready(mut ended) = this.join.poll_outcome(cx) {
                let report = ended.outcome.take_forced();
                // Before the outcome, which may be a panic.
                forget(this.signal);
                return Poll::Ready(ended.conclude().map(|()| report));
            }
            match this.step {
                // If the clock is gone the grace is over: it would never end otherwise.
                Step::Grace(sleep) => _ = std::task::ready!(poll_sleep(sleep, cx)),
                Step::Signal | Step::Forced => return Poll::Pending,
            }
            *this.step = Step::Forced;
            this.join.group().expect("it has not ended").cancel_with("the grace is over");
        }
    }
}

impl<S, E, F> fmt::Debug for Shutdown<S, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Signal => "waits for the signal",
            Step::Grace(_) => "waits for members",
            Step::Forced => "the grace is over",
        };
        f.debug_struct("Shutdown").field("grace", &self.grace).field("step", &step).finish_non_exhaustive()
    }
}

/// Lists the children that did not end in the grace of a shutdown, and so had to be cancelled.
///
/// They were cancelled when the grace was over, or earlier, if somebody cancelled the group after the shutdown was called. A
/// child under a [shield](crate::shield()) is listed as well, although it then ends by itself. See
/// [`TaskGroup::shutdown`](crate::TaskGroup::shutdown).
#[derive(Clone, Debug, Default)]
pub struct ShutdownReport {
    forced: Vec<Origin>,
    more: usize,
}

impl ShutdownReport {
    /// Returns the children that had to be cancelled, at most 64 of them.
    ///
    /// They are children of the group and of the groups inside it. Background children are not listed, because they run until
    /// the others have ended; nor are clean-ups.
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

impl State {
    /// Notes who is forced to end, if the group is cancelled in a shutdown.
    pub(crate) fn note_forced(self: &Arc<Self>) {
        if !self.is_cancelled() && self.lock().outcome.is_shutting_down() {
            let forced = self.survivors();
            self.lock().outcome.note_forced(forced);
        }
    }

    /// The ordinary children that have not ended, of this group and of all groups inside it.
    fn survivors(self: &Arc<Self>) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        let mut groups = vec![self.clone()];
        while let Some(group) = groups.pop() {
            let table = group.lock();
            groups.extend(table.members().flat_map(|member| member.groups().cloned()));
            for (_, slot) in table.slots.iter().filter(|(_, slot)| slot.member.kind() == Kind::Ordinary) {
                if report.forced.len() == NAMED {
                    report.more += 1;
                } else {
                    let name = slot.member.name().cloned();
                    report.forced.push(group.origin_of_child(slot.member.id(), slot.location, name));
                }
            }
        }
        report
    }
}
