//! When the polls of a member begin and end, in groups that are opened with `observe_polls`.
//!
//! One flag of the word says that a group is observed. It is among those that a child looks at before each poll, so where it
//! is not set a child does nothing for it; where it is, every child has its marks in its entry of the table. Groups that a
//! `tracing` subscriber listens to are observed as well, and members are in their spans for as long as they are polled.

use std::time::Instant;

use crate::member::Key;
use crate::state::State;

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
}

impl Marks {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { spawned: now, since: now, running: false, polls: 0, singled: None }
    }

    fn turn(&mut self, running: bool) {
        self.running = running;
        self.since = Instant::now();
        self.polls += u64::from(running);
    }

    pub(crate) fn single_out(&mut self) {
        self.singled = Some(Instant::now());
    }
}

impl State {
    /// What the flag of the word says, which never changes: without an atomic, for whoever does not look there anyway.
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
        self.lock().member(key, |member, _| {
            member.marks_mut().into_iter().for_each(|marks| marks.turn(running));
        });
        #[cfg(feature = "tracing")]
        match (self.span_of(key), running) {
            (span, true) => span.enter(),
            (span, false) => span.exit(),
        }
    }
}
