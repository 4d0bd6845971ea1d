//! The word in which a group counts: its flags, the groups opened in its body, and its living children.
//!
//! Everything that has to be one step is one operation on this word: to join the count *unless* the group is closed,
//! to close for good *if* the count is zero, to leave *and* learn whether that was the last one.

use crate::error::Refusal;
use crate::member::Kind;
use crate::sync::{AtomicU64, Ordering};

/// Refuses new children. Set by `close` and when the group has ended; never cleared.
const CLOSED: u64 = 1 << 0;
/// Every member is to end. Set once, with the reason, under the lock of the table; never cleared.
const CANCELLED: u64 = 1 << 1;
/// Some living child was cancelled by itself. Set and cleared under the lock of the table.
const SINGLED: u64 = 1 << 2;
/// Somebody waits for the children to end. Set before looking at the count; never cleared.
const WATCHED: u64 = 1 << 3;
/// The owner found the count at zero and took the outcome. Set together with `CLOSED`; never cleared.
const FINISHED: u64 = 1 << 4;
/// Members are asked to come to an end by themselves. Set under the lock of the table; never cleared.
const STOPPING: u64 = 1 << 5;
/// One of what the group waits for and does not count as its children: a group that was opened in the body and has not
/// ended, a background child, a clean-up.
const HOLD: u64 = 1 << 8;
/// One child.
const CHILD: u64 = 1 << 32;

/// What a child of this kind is counted as.
fn unit(kind: Kind) -> u64 {
    if kind == Kind::Ordinary { CHILD } else { HOLD }
}

/// Flags and counts of one group.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn look(&self) -> Seen {
        // Pairs with the release in `leave`: who sees zero also sees all that the children did.
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Counts one more child, unless the group is closed or cancelled.
    pub(crate) fn enter(&self, kind: Kind) -> Result<(), Refusal> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if let Some(refusal) = Seen(word).refusal(kind) {
                return Err(refusal);
            }
            // Success reads nothing that another thread wrote; the lock of the table orders the rest.
            match self.0.compare_exchange_weak(word, word + unit(kind), Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Counts one child less.
    pub(crate) fn leave(&self) -> Seen {
        // Releases what the child did to whoever sees the count at zero, in `look` and `finish`.
        Seen(self.0.fetch_sub(CHILD, Ordering::AcqRel) - CHILD)
    }

    /// Counts one more group in the body, under the lock of the table.
    pub(crate) fn hold(&self) {
        self.0.fetch_add(HOLD, Ordering::Relaxed);
    }

    /// Counts one such group less. Ordered as in [`leave`](Self::leave).
    pub(crate) fn release(&self) -> Seen {
        Seen(self.0.fetch_sub(HOLD, Ordering::AcqRel) - HOLD)
    }

    /// Closes for good, if nothing is counted.
    pub(crate) fn finish(&self) -> bool {
        let step = |word| Seen(word).is_clear().then_some(word | CLOSED | FINISHED);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }

    pub(crate) fn cancel(&self) {
        // Releases the reason, which is set before.
        self.0.fetch_or(CANCELLED, Ordering::AcqRel);
    }

    /// Says whether this is the first time.
    pub(crate) fn stop(&self) -> bool {
        Seen(self.0.fetch_or(STOPPING, Ordering::AcqRel)).0 & STOPPING == 0
    }

    pub(crate) fn watch(&self) {
        self.0.fetch_or(WATCHED, Ordering::AcqRel);
    }

    pub(crate) fn single_out(&self) {
        // Releases the mark in the table to `Child::poll`, which looks here before every poll.
        self.0.fetch_or(SINGLED, Ordering::AcqRel);
    }

    pub(crate) fn none_singled_out(&self) {
        self.0.fetch_and(!SINGLED, Ordering::Relaxed);
    }
}

/// What the word said at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(u64);

impl Seen {
    pub(crate) fn is_cancelled(self) -> bool {
        self.0 & CANCELLED != 0
    }

    /// Whether members are asked to come to an end, or have.
    pub(crate) fn is_stopping(self) -> bool {
        self.0 & (STOPPING | CANCELLED | FINISHED) != 0
    }

    pub(crate) fn is_watched(self) -> bool {
        self.0 & WATCHED != 0
    }

    pub(crate) fn is_finished(self) -> bool {
        self.0 & FINISHED != 0
    }

    /// Whether no child was cancelled, neither by itself nor with the group.
    pub(crate) fn is_undisturbed(self) -> bool {
        self.0 & (CANCELLED | SINGLED) == 0
    }

    /// Whether nothing is counted.
    pub(crate) fn is_clear(self) -> bool {
        self.0 < HOLD
    }

    /// How many background children, clean-ups and groups in the body there are.
    pub(crate) fn others(self) -> usize {
        ((self.0 % CHILD) / HOLD) as usize
    }

    pub(crate) fn children(self) -> usize {
        (self.0 / CHILD) as usize
    }

    /// Why the group takes no child of this kind, if so.
    pub(crate) fn refusal(self, kind: Kind) -> Option<Refusal> {
        match self.0 {
            // It is registered by a member that lives, so the group has not ended.
            _ if kind == Kind::Cleanup => None,
            word if word & FINISHED != 0 => Some(Refusal::Closed),
            // Whether a deadline still counts is for the reason to say.
            _ if kind == Kind::Watch => None,
            word if word & CANCELLED != 0 => Some(Refusal::Cancelled),
            word if word & CLOSED != 0 => Some(Refusal::Closed),
            _ => None,
        }
    }
}
