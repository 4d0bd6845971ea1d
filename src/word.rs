//! The word in which a group counts: its flags, the groups opened in its body, and its living children.
//!
//! It is written only under the lock of the table, which every method that does so asks to be shown, and read by anybody
//! at any time. So whatever has to be one step is one critical section: to join the count *unless* the group is closed, to
//! close for good *if* the count is zero, to leave *and* learn whether that was the last one. A child that is
//! polled takes no lock: it looks at the [`Flags`].
//!
//! Its 64 bits, the lowest first: five flags, 27 for what the group waits for beside its children, and 32 for these. So at most
//! 134,217,727 background children, clean-ups and groups opened in the body live at once: one more panics where it is started, and
//! so does the 2^32nd child, for which the table has no slot.

use crate::error::Refusal;
use crate::member::Kind;
use crate::sync::{AtomicU64, Ordering};

/// Refuses new children. Set by `close` and when the group has ended; never cleared.
const CLOSED: u64 = 1 << 0;
/// Every member is to end. Set once, with the reason; never cleared.
const CANCELLED: u64 = 1 << 1;
/// Somebody waits for the children to end. Set before looking at the count; never cleared.
const WATCHED: u64 = 1 << 2;
/// The owner found the count at zero and took the outcome. Set together with `CLOSED`; never cleared.
const FINISHED: u64 = 1 << 3;
/// Members are asked to come to an end by themselves. Never cleared.
const STOPPING: u64 = 1 << 4;
/// One of what the group waits for and does not count as its children: a group that was opened in the body and has not
/// ended, a background child, a clean-up.
const HOLD: u64 = 1 << 5;
/// One child.
const CHILD: u64 = 1 << 32;

// Those of `Flags` alone, which counts nothing.

/// Some living child was cancelled by itself.
const SINGLED: u64 = 1 << 5;
/// Polls are marked: see `observe`. Set when the group is opened, or never.
const OBSERVED: u64 = 1 << 6;
/// So many children live that some of them may have been put by: see `crowd`.
const CROWDED: u64 = 1 << 7;
/// A shield began in a child, or it registered a clean-up or opened a group. Never cleared.
const ENTANGLED: u64 = 1 << 8;
/// So many children live on the pool that the group keeps that some of them may have been put by. Never there without `CROWDED`.
const CROWDED_ON_POOL: u64 = 1 << 9;
/// The spawner that the group was opened with is told of it. Never cleared.
const REGISTERED: u64 = 1 << 10;

/// What a child of this kind is counted as; what is opened in the body is counted with its kind.
fn unit(kind: Kind) -> u64 {
    if kind == Kind::Ordinary { CHILD } else { HOLD }
}

/// How many children are not a crowd any more.
#[cfg(not(taskgroup_loom))]
pub(crate) const FEW: usize = 16;
#[cfg(taskgroup_loom)]
pub(crate) const FEW: usize = 2;

/// Lies in the table, so that whoever can show it holds the lock.
#[derive(Debug, Default)]
pub(crate) struct Locked(());

/// Flags and counts of one group.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn look(&self) -> Seen {
        // Pairs with the release in `change`: who sees zero also sees all that the children did.
        Seen(self.0.load(Ordering::Acquire))
    }

    /// One step, as nobody else writes meanwhile.
    #[inline]
    fn change(&self, _locked: &mut Locked, f: impl FnOnce(u64) -> u64) -> Seen {
        let word = f(self.0.load(Ordering::Relaxed));
        // Releases what came before to whoever looks without the lock: the reason of a cancel, the mark of a member that is
        // cut, what a child did before it left.
        self.0.store(word, Ordering::Release);
        Seen(word)
    }

    /// Counts one child more, or one group in the body. Whoever enters what is no ordinary child looks for room first
    /// ([`Seen::check_room`]).
    pub(crate) fn enter(&self, locked: &mut Locked, kind: Kind) -> Seen {
        self.change(locked, |word| word + unit(kind))
    }

    /// Counts one such less.
    pub(crate) fn leave(&self, locked: &mut Locked, kind: Kind) -> Seen {
        self.change(locked, |word| word - unit(kind))
    }

    /// Closes for good, if nothing is counted.
    pub(crate) fn finish(&self, locked: &mut Locked) -> bool {
        let clear = self.look().is_clear();
        if clear {
            self.change(locked, |word| word | CLOSED | FINISHED);
        }
        clear
    }

    pub(crate) fn close(&self, locked: &mut Locked) {
        self.change(locked, |word| word | CLOSED);
    }

    pub(crate) fn cancel(&self, locked: &mut Locked, flags: &Flags) {
        // First, so that no child is polled by whoever has seen the group cancelled.
        flags.set(locked, CANCELLED);
        self.change(locked, |word| word | CANCELLED);
    }

    /// Says whether this is the first time.
    pub(crate) fn stop(&self, locked: &mut Locked) -> bool {
        let first = self.look().0 & STOPPING == 0;
        self.change(locked, |word| word | STOPPING);
        first
    }

    pub(crate) fn watch(&self, locked: &mut Locked) {
        self.change(locked, |word| word | WATCHED);
    }
}

/// What a child looks at that is polled or ends, away from the word, which is written for each child: these seldom change.
///
/// Written under the lock of the table as well.
#[derive(Debug)]
pub(crate) struct Flags(AtomicU64);

impl Flags {
    pub(crate) fn new(observed: bool) -> Self {
        Self(AtomicU64::new(if observed { OBSERVED } else { 0 }))
    }

    #[inline]
    fn look(&self) -> u64 {
        // Pairs with the release below: whoever sees a flag sees what was written before it.
        self.0.load(Ordering::Acquire)
    }

    /// Whether no child was cancelled, neither by itself nor with the group, and no poll is marked.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.look() & (CANCELLED | SINGLED | OBSERVED) == 0
    }

    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.look() & CROWDED != 0
    }

    #[inline]
    pub(crate) fn is_crowded_on_pool(&self) -> bool {
        self.look() & CROWDED_ON_POOL != 0
    }

    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        self.look() & REGISTERED != 0
    }

    /// Whether a child that ends may be put by.
    #[inline]
    pub(crate) fn may_put_by(&self, on_pool: bool) -> bool {
        let crowd = if on_pool { CROWDED_ON_POOL } else { CROWDED };
        self.look() & (CANCELLED | SINGLED | OBSERVED | ENTANGLED | crowd) == crowd
    }

    fn set(&self, _locked: &mut Locked, flag: u64) {
        let flags = self.0.load(Ordering::Relaxed);
        // What all look at is not written in vain.
        if flags & flag == 0 {
            self.0.store(flags | flag, Ordering::Release);
        }
    }

    fn clear(&self, _locked: &mut Locked, flag: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) & !flag, Ordering::Release);
    }

    pub(crate) fn single_out(&self, locked: &mut Locked) {
        self.set(locked, SINGLED);
    }

    pub(crate) fn none_singled_out(&self, locked: &mut Locked) {
        self.clear(locked, SINGLED);
    }

    /// Some child has acquired what its end has consequences for.
    pub(crate) fn entangle(&self, locked: &mut Locked) {
        self.set(locked, ENTANGLED);
    }

    pub(crate) fn crowd(&self, locked: &mut Locked) {
        self.set(locked, CROWDED);
    }

    pub(crate) fn disperse(&self, locked: &mut Locked) {
        self.clear(locked, CROWDED | CROWDED_ON_POOL);
    }

    pub(crate) fn crowd_on_pool(&self, locked: &mut Locked) {
        self.set(locked, CROWDED_ON_POOL);
    }

    /// Says whether this is the first time.
    pub(crate) fn register(&self, locked: &mut Locked) -> bool {
        let first = !self.is_registered();
        self.set(locked, REGISTERED);
        first
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

    /// Whether the last child has left while somebody waits for that, or the group is cancelled and may have ended.
    #[inline]
    pub(crate) fn is_news(self) -> bool {
        self.0 < CHILD && self.0 & (WATCHED | CANCELLED) != 0
    }

    pub(crate) fn is_watched(self) -> bool {
        self.0 & WATCHED != 0
    }

    pub(crate) fn is_finished(self) -> bool {
        self.0 & FINISHED != 0
    }

    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// Whether nothing is counted.
    pub(crate) fn is_clear(self) -> bool {
        self.0 < HOLD
    }

    /// Panics if one more of this kind would be counted as something else.
    pub(crate) fn check_room(self, kind: Kind) {
        let most = (CHILD / HOLD - 1) as usize;
        assert!(
            kind == Kind::Ordinary || self.others() < most,
            "at most {most} background children, clean-ups and groups opened in the body live at once"
        );
    }

    /// How many background children, clean-ups and groups in the body there are.
    pub(crate) fn others(self) -> usize {
        ((self.0 % CHILD) / HOLD) as usize
    }

    pub(crate) fn children(self) -> usize {
        (self.0 / CHILD) as usize
    }

    /// Whether so few children live that none may have been put by.
    #[inline]
    pub(crate) fn are_few(self) -> bool {
        self.0 < FEW as u64 * CHILD
    }

    /// Whether the group takes ordinary children.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 & (CLOSED | CANCELLED) == 0
    }

    /// Why the group takes no child of this kind, if so.
    pub(crate) fn refusal(self, kind: Kind) -> Option<Refusal> {
        match self.0 {
            // It is registered by a member that lives, so the group has not ended.
            _ if kind == Kind::Cleanup => None,
            word if word & FINISHED != 0 => Some(Refusal::Closed),
            // Whether a deadline still counts is for the table to say.
            _ if kind == Kind::Watch => None,
            word if word & CANCELLED != 0 => Some(Refusal::Cancelled),
            word if word & CLOSED != 0 => Some(Refusal::Closed),
            _ => None,
        }
    }
}

#[cfg(all(test, not(taskgroup_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_the_children_is_not_counted_as_one() {
        let (word, mut locked) = (Word(AtomicU64::new(((1 << 24) - 1) * HOLD)), Locked::default());
        let seen = word.enter(&mut locked, Kind::Background);
        assert_eq!((seen.children(), seen.others()), (0, 1 << 24));
    }

    #[test]
    #[should_panic(expected = "at most 134217727 background children")]
    fn nor_is_it_where_there_is_no_room_for_it() {
        let (word, mut locked) = (Word(AtomicU64::new(CHILD - 1 - HOLD)), Locked::default());
        word.enter(&mut locked, Kind::Ordinary);
        let seen = word.enter(&mut locked, Kind::Background);
        assert_eq!((seen.children(), seen.others()), (1, 134_217_727));
        seen.check_room(Kind::Background);
    }
}
