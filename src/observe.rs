//! When the polls of a member begin and end, in observed groups, and how the member ends.
//!
//! Three kinds of groups are observed: those that are opened with `observe_polls`, those that a `tracing` subscriber
//! listens to, and those that are counted in `Metrics`. In the second kind, members are in their spans while they are
//! polled.
//!
//! One of the `Flags` says that a group is observed. A child looks at these flags before each poll anyway, so in other
//! groups it does nothing more. In an observed group, every child has its marks in its entry of the table.

pub(crate) mod metrics;
pub(crate) mod patience;
pub(crate) mod snapshot;
#[cfg(feature = "tracing")]
pub(crate) mod trace;

use std::panic::Location;
use std::time::{Duration, Instant};

use crate::error::Refusal;
use crate::observe::metrics::{Ended, Metrics};
#[cfg(feature = "tracing")]
use crate::observe::trace::Span;
use crate::outcome::Raw;
use crate::state::facts::Fact;
use crate::state::member::{Key, Kind};
use crate::state::ticket::Ticket;
use crate::state::{End, State};
use crate::unwind::{catch, drop_quietly};

/// What is noted about a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    pub(crate) spawned: Instant,
    /// When its latest poll began, if that is under way, or else when it ended.
    pub(crate) since: Instant,
    pub(crate) running: bool,
    pub(crate) polls: u64,
    /// When it was cancelled on its own.
    pub(crate) singled: Option<Instant>,
    /// How it failed the first time, if it did.
    failed: Option<Ended>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { spawned: now, since: now, running: false, polls: 0, singled: None, failed: None }
    }

    /// Begins or ends a poll, and returns how long the previous state lasted.
    fn turn(&mut self, running: bool) -> Duration {
        let since = std::mem::replace(&mut self.since, Instant::now());
        self.running = running;
        self.polls += u64::from(running);
        self.since - since
    }

    pub(crate) fn single_out(&mut self) {
        self.singled = Some(Instant::now());
    }
}

/// A poll that is under way.
#[must_use = "a poll that begins ends"]
pub(crate) struct Polling {
    /// The span that was entered. At the end of the poll the table may not have it any more: a body that is cut in its
    /// own poll leaves a group of which nothing is left.
    #[cfg(feature = "tracing")]
    span: Span,
}

impl State {
    /// Whether the group is observed, which never changes.
    ///
    /// This says the same as the flag, but needs no atomic, for callers that do not look at the flags anyway.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.opened.is_some()
    }

    /// Notes that a poll of this member begins, if polls are marked.
    #[inline]
    pub(crate) fn begin_poll(&self, key: Key) -> Option<Polling> {
        self.is_observed().then(|| self.begin_observed(key))
    }

    /// Notes that a poll of this member has ended, if it was noted that it began.
    #[inline]
    pub(crate) fn end_poll(&self, key: Key, polling: Option<Polling>) {
        if let Some(polling) = polling {
            self.end_observed(key, polling);
        }
    }

    #[cold]
    fn begin_observed(&self, key: Key) -> Polling {
        self.turn(key, true);
        #[cfg(feature = "tracing")]
        let span = self.span_of(key);
        #[cfg(feature = "tracing")]
        span.enter();
        Polling {
            #[cfg(feature = "tracing")]
            span,
        }
    }

    #[cold]
    fn end_observed(&self, key: Key, polling: Polling) {
        let turned = self.turn(key, false);
        #[cfg(feature = "tracing")]
        polling.span.exit();
        drop(polling);
        if let Some((kind, took)) = turned {
            self.metrics_of(kind).into_iter().for_each(|metrics| metrics.poll(took));
        }
    }

    fn turn(&self, key: Key, running: bool) -> Option<(Kind, Duration)> {
        let turned = self.lock().member(key, |member, _| {
            let kind = member.kind();
            member.marks_mut().map(|marks| (kind, marks.turn(running)))
        });
        turned.flatten()
    }

    /// Returns where a member of this kind is counted.
    fn metrics_of(&self, kind: Kind) -> Option<&Metrics> {
        // The body and the deadline's watcher are not counted: nobody spawned them as children.
        self.config.metrics.as_ref().filter(|_| !matches!(kind, Kind::Body | Kind::Watch))
    }

    /// Notes that a child was entered, before it is handed to its runtime.
    #[cold]
    pub(crate) fn observe_child(&self, ticket: Ticket, kind: Kind) {
        // The child is counted but not made yet, so nothing may unwind out of here.
        drop_quietly(catch(|| {
            self.metrics_of(kind).into_iter().for_each(Metrics::spawn);
            #[cfg(feature = "tracing")]
            self.trace_child(ticket);
        }));
        // Only spans need it.
        let _ = ticket;
    }

    /// Notes that a child was refused, and its future is dropped.
    #[cold]
    pub(crate) fn observe_refusal(&self, location: &'static Location<'static>, kind: Kind, refusal: Refusal) {
        if kind == Kind::Watch {
            return;
        }
        self.metrics_of(kind).into_iter().for_each(Metrics::refuse);
        #[cfg(feature = "tracing")]
        self.trace_refusal(location, refusal);
        // Only spans need them.
        let _ = (location, refusal);
    }

    /// Notes a failure of a member; the first one says how it ended.
    #[cold]
    pub(crate) fn observe_failure(&self, key: Key, failure: &Raw) {
        let how = if matches!(failure, Raw::Panic(_)) { Ended::Panicked } else { Ended::Failed };
        self.lock().member(key, |member, _| {
            member.marks_mut().into_iter().for_each(|marks| {
                marks.failed.get_or_insert(how);
            });
        });
        #[cfg(feature = "tracing")]
        self.trace_failure(key, failure);
    }

    /// Notes that a child is about to leave.
    ///
    /// So the owner finds it counted after the join.
    #[cold]
    pub(crate) fn observe_end(&self, key: Key, end: End) {
        #[cfg(feature = "tracing")]
        self.trace_child_end(key, end);
        let mut table = self.lock();
        let group_cancelled = table.cancelled_at;
        let found = table.member(key, |member, _| {
            let marks = *member.marks()?;
            // The earlier of the two. A background child that is cancelled with the others is marked on its own.
            let asked =
                marks.singled.into_iter().chain(group_cancelled.filter(|_| member.is(Fact::CANCELLED))).min();
            Some((member.kind(), marks.failed, asked))
        });
        drop(table);
        let Some((kind, failed, asked)) = found.flatten() else { return };
        let (how, asked) = match end {
            End::Returned => (Ended::Returned, asked),
            End::Cut => (Ended::Cancelled, asked),
            // The group is cancelled because of this child.
            End::Lost => (Ended::Lost, None),
        };
        if let Some(metrics) = self.metrics_of(kind) {
            metrics.end(failed.unwrap_or(how), asked.map(|asked| asked.elapsed()));
        }
    }
}
