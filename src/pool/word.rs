//! The word in which a pool counts its drivers, and says whether it is over.
//!
//! Every operation is `SeqCst`, which costs nothing: what changes the word is a locked instruction anyway, and what looks at
//! it is a plain one. The locks of the queue are what makes a push and a driver that parks see each other.

use std::sync::atomic::Ordering::Relaxed;

use crate::sync::{AtomicU64, Ordering::SeqCst};

/// A driver that waits to be woken. Changed under the lock of the list that it waits in.
const PARKED: u64 = 1;
/// A driver that will look at the queue before it does anything else: it is new, or was woken, or has given way.
const ON_WAY: u64 = 1 << 16;
/// A driver that has not ended, whatever it is doing.
const DRIVER: u64 = 1 << 32;
const COUNT: u64 = 0xffff;
/// No handle and no child is left. Set once, by the last of them.
const CLOSED: u64 = 1 << 61;
/// The runtime is gone. Set once, and then nothing runs any more.
const DEAD: u64 = 1 << 62;
/// One thread is emptying the queue of a dead pool, and looks at it once more after this is cleared.
const DRAINING: u64 = 1 << 63;

/// On a cache line of its own: everybody reads it, few write it.
#[repr(align(128))]
#[derive(Debug)]
pub(super) struct Word(AtomicU64, Steps);

/// Changes with every step that the pool takes: a driver comes, or something is drained. For code that looks from outside.
type Steps = std::sync::atomic::AtomicUsize;

impl Word {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0), Steps::new(0))
    }

    /// Notes a step. Of two that are noted at once one may be lost, which still is a change.
    #[inline]
    pub(super) fn step(&self) {
        self.1.store(self.steps().wrapping_add(1), Relaxed);
    }

    pub(super) fn steps(&self) -> usize {
        self.1.load(Relaxed)
    }

    #[inline]
    pub(super) fn look(&self) -> Seen {
        Seen(self.0.load(SeqCst))
    }

    /// Counts a new driver, on its way, unless the pool is over or `enough` are on their way. Says whether it did.
    pub(super) fn admit(&self, enough: usize) -> bool {
        let step = |word| {
            let seen = Seen(word);
            (!seen.is_over() && seen.on_way() < enough).then_some(word + DRIVER + ON_WAY)
        };
        self.0.fetch_update(SeqCst, SeqCst, step).is_ok()
    }

    /// A driver that was on its way looks at the queue from now on.
    pub(super) fn arrive(&self) {
        self.step();
        self.0.fetch_sub(ON_WAY, SeqCst);
    }

    /// A driver that is at work will look at the queue in its next poll.
    pub(super) fn give_way(&self) {
        self.0.fetch_add(ON_WAY, SeqCst);
    }

    pub(super) fn park(&self) {
        self.0.fetch_add(PARKED, SeqCst);
    }

    pub(super) fn unpark(&self) {
        self.step();
        self.0.fetch_sub(PARKED, SeqCst);
    }

    /// This many parked drivers are woken.
    pub(super) fn wake(&self, drivers: usize) {
        self.0.fetch_add(drivers as u64 * (ON_WAY - PARKED), SeqCst);
    }

    pub(super) fn depart(&self) {
        self.0.fetch_sub(DRIVER, SeqCst);
    }

    pub(super) fn close(&self) {
        self.0.fetch_or(CLOSED, SeqCst);
    }

    /// Declares the runtime gone. Only the first caller is told `true`, and that is the one that drains.
    pub(super) fn die(&self) -> bool {
        // A later call must not set `DRAINING`: it would be set with nobody there who drains.
        let step = |word| (!Seen(word).is_dead()).then_some(word | DEAD | DRAINING);
        self.0.fetch_update(SeqCst, SeqCst, step).is_ok()
    }

    /// Becomes the one that drains, if there is none. Says whether it did.
    pub(super) fn begin_draining(&self) -> bool {
        self.0.fetch_or(DRAINING, SeqCst) & DRAINING == 0
    }

    pub(super) fn end_draining(&self) {
        self.0.fetch_and(!DRAINING, SeqCst);
    }
}

/// What the word said at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl Seen {
    #[inline]
    pub(super) fn parked(self) -> usize {
        (self.0 & COUNT) as usize
    }

    #[inline]
    pub(super) fn on_way(self) -> usize {
        ((self.0 / ON_WAY) & COUNT) as usize
    }

    #[inline]
    pub(super) fn drivers(self) -> usize {
        ((self.0 / DRIVER) & COUNT) as usize
    }

    #[inline]
    pub(super) fn is_dead(self) -> bool {
        self.0 & DEAD != 0
    }

    #[inline]
    pub(super) fn is_over(self) -> bool {
        self.0 & (DEAD | CLOSED) != 0
    }
}
