//! When the polls of a member begin and end, in groups that are opened with `observe_polls`; and what becomes of it.
//!
//! One of the `Flags` says that a group is observed. It is among those that a child looks at before each poll, so where it
//! is not set a child does nothing for it; where it is, every child has its marks in its entry of the table. Groups that a
//! `tracing` subscriber listens to are observed as well, and members are in their spans for as long as they are polled. So are
//! groups that are counted in `Metrics`.

use std::time::{Duration, Instant};

use crate::facts::Fact;
use crate::member::{Key, Kind};
use crate::metrics::{Ended, Metrics};
use crate::outcome::Raw;
use crate::state::{End, State};
use crate::ticket::Ticket;
use crate::unwind::{catch, drop_quietly};

/// What is noted of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    pub(crate) spawned: Instant,
    /// When its latest poll began, if that is under way, or ended.
    pub(crate) since: Instant,
    pub(crate) running: bool,
    pub(crate) polls: u64,
    /// When it was cancelled by itself.
    pub(crate) singled: Option<Instant>,
    /// How it failed first, if it did.
    failed: Option<Ended>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { spawned: now, since: now, running: false, polls: 0, singled: None, failed: None }
    }

    /// Gives the time that this turn took.
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

impl State {
    /// What that flag says, which never changes: without an atomic, for whoever does not look there anyway.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.opened.is_some()
    }

    /// A poll of this member begins.
    #[inline]
    pub(crate) fn begin_poll(&self, key: Key) {
        if self.is_observed() {
            self.turn(key, true);
        }
    }

    /// It ended.
    #[inline]
    pub(crate) fn end_poll(&self, key: Key) {
        if self.is_observed() {
            self.turn(key, false);
        }
    }

    #[cold]
    fn turn(&self, key: Key, running: bool) {
        let turned = self.lock().member(key, |member, _| {
            let kind = member.kind();
            member.marks_mut().map(|marks| (kind, marks.turn(running)))
        });
        #[cfg(feature = "tracing")]
        match (self.span_of(key), running) {
            (span, true) => span.enter(),
            (span, false) => span.exit(),
        }
        if let (Some((kind, took)), false) = (turned.flatten(), running) {
            self.metrics_of(kind).into_iter().for_each(|metrics| metrics.poll(took));
        }
    }

    /// Where a member of this kind is counted.
    fn metrics_of(&self, kind: Kind) -> Option<&Metrics> {
        // Neither are children that anybody has spawned.
        self.config.metrics.as_ref().filter(|_| !matches!(kind, Kind::Body | Kind::Watch))
    }

    /// A child was entered, and not handed to its runtime yet.
    #[cold]
    pub(crate) fn observe_child(&self, ticket: Ticket, kind: Kind) {
        // Who is counted is yet to be made, so nothing unwinds out of here.
        drop_quietly(catch(|| {
            self.metrics_of(kind).into_iter().for_each(Metrics::spawn);
            #[cfg(feature = "tracing")]
            self.trace_child(ticket, kind);
        }));
        // Only spans ask for it.
        let _ = ticket;
    }

    /// The first failure of a member is what became of it.
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

    /// A child is about to leave: whoever joins the group finds it counted.
    #[cold]
    pub(crate) fn observe_end(&self, key: Key, end: End) {
        #[cfg(feature = "tracing")]
        self.trace_child_end(key, end);
        let mut table = self.lock();
        let group_cancelled = table.cancelled_at;
        let found = table.member(key, |member, _| {
            let marks = *member.marks()?;
            // Either came first. A background child that is cancelled with the others is marked by itself.
            let asked =
                marks.singled.into_iter().chain(group_cancelled.filter(|_| member.is(Fact::CANCELLED))).min();
            Some((member.kind(), marks.failed, asked))
        });
        drop(table);
        let Some((kind, failed, asked)) = found.flatten() else { return };
        let (how, asked) = match end {
            End::Returned => (Ended::Returned, asked),
            End::Cut => (Ended::Cancelled, asked),
            // The group is cancelled because of it.
            End::Lost => (Ended::Lost, None),
        };
        if let Some(metrics) = self.metrics_of(kind) {
            metrics.end(failed.unwrap_or(how), asked.map(|asked| asked.elapsed()));
        }
    }
}
