//! The end of a group in two steps: asked for, and after a grace forced.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{GroupError, Origin};
use crate::member::Kind;
use crate::state::State;
use crate::task_group::Join;
use crate::timer::{AnyTimer, Sleep, Timer, poll_sleep};

/// How many members a report names.
const NAMED: usize = 64;

/// The future of [`TaskGroup::shutdown`](crate::TaskGroup::shutdown).
#[must_use = "futures do nothing unless awaited, and dropping this one cancels the group"]
pub struct Shutdown<S, E> {
    join: Join<S, E>,
    clock: AnyTimer,
    grace: Duration,
    sleep: Option<Sleep>,
    report: Option<ShutdownReport>,
}

impl<S, E> Shutdown<S, E> {
    pub(crate) fn new(join: Join<S, E>, clock: AnyTimer, grace: Duration) -> Self {
        Self { join, clock, grace, sleep: None, report: None }
    }
}

impl<S, E> Unpin for Shutdown<S, E> {}

impl<S, E: 'static> Future for Shutdown<S, E> {
    type Output = Result<ShutdownReport, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.sleep.is_none() && this.report.is_none() {
            this.join.group().expect("not polled before").stop();
            this.sleep = Some(this.clock.sleep(this.grace));
        }
        loop {
            // First, so that members that have ended in time count as such.
            if let Poll::Ready(joined) = Pin::new(&mut this.join).poll(cx) {
                return Poll::Ready(joined.map(|()| this.report.take().unwrap_or_default()));
            }
            match &mut this.sleep {
                // If the clock is gone the grace is over: it would never end otherwise.
                Some(sleep) => _ = std::task::ready!(poll_sleep(sleep, cx)),
                None => return Poll::Pending,
            }
            this.sleep = None;
            let group = this.join.group().expect("it has not ended");
            this.report = Some(group.state().survivors());
            group.cancel_with("the grace is over");
        }
    }
}

impl<S, E> fmt::Debug for Shutdown<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("grace", &self.grace)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// Lists the children that had not ended when the grace of a shutdown was over.
///
/// See [`TaskGroup::shutdown`](crate::TaskGroup::shutdown).
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
