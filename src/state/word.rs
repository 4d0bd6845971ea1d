//! The word in which a group counts: its flags, the groups opened in its body, and its living children.
//!
//! The word is written only under the lock of the table. Every method that writes asks for proof of that ([`Locked`]).
//! Any thread may read it at any time. So whatever has to be one step is one critical section: to join the count
//! *unless* the group is closed; to close permanently *if* the count is zero; to leave *and* learn whether that was the
//! last child. A child that is polled takes no lock: it looks at the [`Flags`].
//!
//! Its 64 bits, the lowest first, are five flags, 27 bits for what the group waits for besides its children, and 32
//! bits for the children. So at most 134,217,727 background children, clean-ups and groups opened in the body live at
//! once. One more panics where it is started. The 2^32nd child panics too, before it is counted: the table has no slot for
//! it.

use crate::error::Refusal;
use crate::state::member::Kind;
use crate::sync::{AtomicU64, Ordering};

/// Refuses new children. Set by `close` and when the group has ended; never cleared.
const CLOSED: u64 = 1 << 0;
/// Every member is to end. Set once, together with the reason; never cleared.
const CANCELLED: u64 = 1 << 1;
/// Somebody waits for the children to end. Set before the waiter looks at the count; never cleared.
const WATCHED: u64 = 1 << 2;
/// The owner found the count at zero and took the outcome. Set together with `CLOSED`; never cleared.
const FINISHED: u64 = 1 << 3;
/// Members are asked to end by themselves. Never cleared.
const STOPPING: u64 = 1 << 4;
/// One of what the group waits for besides its children: a group that was opened in the body and has not ended, a
/// background child, or a clean-up.
const HOLD: u64 = 1 << 5;
/// One child.
const CHILD: u64 = 1 << 32;

// The flags below exist in `Flags` only, which counts nothing: so `SINGLED` may use the bit of `HOLD`.

/// Some living child was cancelled on its own, not along with the group.
const SINGLED: u64 = 1 << 5;
/// Polls are marked: see `observe`. Set when the group is opened, or never.
const OBSERVED: u64 = 1 << 6;
/// So many children live that some ended ones may have been put by: see `crowd`.
const CROWDED: u64 = 1 << 7;
/// Some child began a shield, registered a clean-up or opened a group. Never cleared.
const ENTANGLED: u64 = 1 << 8;
/// So many children live on the pool that the group keeps that some ended ones may have been put by. Set only while
/// `CROWDED` is.
const CROWDED_ON_POOL: u64 = 1 << 9;
/// The group is registered with the spawner that it was opened with. Never cleared.
const REGISTERED: u64 = 1 << 10;

/// Returns what a child of this kind is counted as.
///
/// What is opened in the body is counted with the kind of the body.
fn unit(kind: Kind) -> u64 {
    if kind == Kind::Ordinary { CHILD } else { HOLD }
}

/// If fewer children than this live, they are no crowd any more.
#[cfg(not(taskgroup_loom))]
pub(crate) const FEW: usize = 16;
#[cfg(taskgroup_loom)]
pub(crate) const FEW: usize = 2;

/// Proof that the lock of the table is held: it lies in the table.
#[derive(Debug, Default)]
pub(crate) struct Locked(());

/// The flags and counts of one group.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn look(&self) -> Seen {
        // Pairs with the release in `change`: a thread that sees zero also sees all that the children did.
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Writes the word.
    ///
    /// This is one step, because no other thread writes meanwhile.
    #[inline]
    fn change(&self, _locked: &mut Locked, f: impl FnOnce(u64) -> u64) -> Seen {
        let word = f(self.0.load(Ordering::Relaxed));
        // Releases what came before to threads that look without the lock: the reason of a cancel, the mark of a member
        // that is cut, and what a child did before it left.
        self.0.store(word, Ordering::Release);
        Seen(word)
    }

    /// Counts one more child, or one more group in the body.
    ///
    /// Before entering anything but an ordinary child, the caller looks for room ([`Seen::check_room`]).
    pub(crate) fn enter(&self, locked: &mut Locked, kind: Kind) -> Seen {
        self.change(locked, |word| word + unit(kind))
    }

    /// Counts one less.
    pub(crate) fn leave(&self, locked: &mut Locked, kind: Kind) -> Seen {
        self.change(locked, |word| word - unit(kind))
    }

    /// Closes permanently if nothing is counted, and returns whether it did.
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
        // The flag comes first: a thread that has seen the group cancelled must not poll a child any more.
        flags.set(locked, CANCELLED);
        self.change(locked, |word| word | CANCELLED);
    }

    /// Asks for the soft end, and returns whether this is the first time.
    pub(crate) fn stop(&self, locked: &mut Locked) -> bool {
        let first = self.look().0 & STOPPING == 0;
        self.change(locked, |word| word | STOPPING);
        first
    }

    pub(crate) fn watch(&self, locked: &mut Locked) {
        self.change(locked, |word| word | WATCHED);
    }
}

/// What a child looks at when it is polled or ends.
///
/// The flags seldom change. The word is written for each child, so they are apart from it. They are written under the
/// lock of the table as well.
#[derive(Debug)]
pub(crate) struct Flags(AtomicU64);

impl Flags {
    pub(crate) fn new(observed: bool) -> Self {
        Self(AtomicU64::new(if observed { OBSERVED } else { 0 }))
    }

    #[inline]
    fn look(&self) -> u64 {
        // Pairs with the releases below: a thread that sees a flag sees what was written before it.
        self.0.load(Ordering::Acquire)
    }

    /// Whether no child was cancelled, neither on its own nor with the group, and no poll is marked.
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

    /// Whether a child that ends may be put by (see `crowd`).
    #[inline]
    pub(crate) fn may_put_by(&self, on_pool: bool) -> bool {
        let crowd = if on_pool { CROWDED_ON_POOL } else { CROWDED };
        self.look() & (CANCELLED | SINGLED | OBSERVED | ENTANGLED | crowd) == crowd
    }

    fn set(&self, _locked: &mut Locked, flag: u64) {
        let flags = self.0.load(Ordering::Relaxed);
        // Every child reads this cache line, so it is written only when the flag changes.
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

    /// Notes that some child has acquired something that gives its end consequences for others.
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

    /// Notes that the group is registered, and returns whether this is the first time.
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

    /// Whether members are asked to end, or have ended.
    pub(crate) fn is_stopping(self) -> bool {
        self.0 & (STOPPING | CANCELLED | FINISHED) != 0
    }

    /// Whether there is news for those who wait.
    ///
    /// That is so if no child is left, and either somebody waits for that or the group is cancelled and may be over.
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

    /// Panics if one more of this kind would overflow its bits, and be counted as something else.
    pub(crate) fn check_room(self, kind: Kind) {
        let most = (CHILD / HOLD - 1) as usize;
        assert!(
            kind == Kind::Ordinary || self.others() < most,
            "at most {most} background children, clean-ups and groups opened in the body live at once"
        );
    }

    /// How many background children, clean-ups and groups opened in the body are counted.
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

    /// Returns why the group takes no child of this kind, if it does not.
    pub(crate) fn refusal(self, kind: Kind) -> Option<Refusal> {
        match self.0 {
            // A living member registers it, so the group has not ended.
            _ if kind == Kind::Cleanup => None,
            word if word & FINISHED != 0 => Some(Refusal::Closed),
            // The table decides whether a deadline still counts.
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
