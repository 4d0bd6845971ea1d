//! Ended children that are not out of the table yet, because another thread held its lock; and what is due when some
//! have left.
//!
//! If one thread spawns children while another ends them, each waits for the other at the lock of the table, and for
//! the memory that the other has just written. That takes longer than everything else. So a child that ends and finds
//! the table locked is *put by*: only its key is noted here. Later another thread *hands in* all children that were put
//! by: it takes them out of the table in one critical section. This is done by whoever looks at the group
//! ([`State::lock`]), and by a child that ends and finds no room left here, which takes itself out in the same step. Where
//! that was found to be faster, it is also done by a thread that spawns and finds many of them ([`State::relieve`]). A child
//! that was put by has ended in every respect except two: it is still counted, and the empty cell of its task is still there.
//!
//! # The ways out
//!
//! | a child that is | leaves by |
//! |---|---|
//! | plain, with many others | [`State::end`], without any effects |
//! | plain, with few others | [`State::end`], `end_among_few`, and `after`: the group may be over |
//! | put by | [`State::turn_of`], and later `hand_in`, `let_out` and `after`, on another thread |
//! | anything else, or lost | [`State::end`], `end_with_effects`, and `free` as soon as no group in it is left |
//!
//! `after` does without effects what `free` does with them.
//!
//! # Invariants
//!
//! 1. No child is put by unless the group is *crowded*. As long as the group is crowded, it counts more children than
//!    there is room for here. So the count does not reach zero, and those who wait for that are told by a child that
//!    leaves the count by itself. The same holds for the children on the pool that the group keeps. They are counted
//!    separately as well, because the group lets go of the pool when the last of them ends.
//! 2. No child is put by if its end has consequences for others, because nobody knows when they would come: a child
//!    that has a place under a limit, clean-ups, groups inside, or anything else in a box of its own, such as a name.
//!    A wrapper knows from the start what its child was at
//!    that time ([`Standing::is_plain`]). What the child acquires later is noted in the flags of the group, and stays
//!    noted.
//! 3. A child that was put by stays in the list until a thread takes it from the list and out of the table, in one
//!    critical section. So a thread that holds the table, and has handed in first ([`State::lock`]), sees no child that
//!    ended before.
//! 4. A child that was put by does not look at the group again, because it may be taken out of the count at any time. A
//!    child that still has to look at the group leaves the count by itself: nothing follows [`Turn::PutBy`].
//!
//! # Interleavings that matter
//!
//! * *Putting by against the end of the crowd.* The thread that takes a count below [few](FEW) clears the flags of both
//!   crowds. Then, in the same critical section, it hands in all children that were put by. A child that is to be put
//!   by looks for its flag under the lock of the list. Whichever of the two has that lock first, the other sees what it
//!   did: either the child is found, or it is not put by. If a crowd is still there, it is marked again when the next
//!   child comes.
//! * *Being put by against being cancelled.* A child may be cancelled on its own just after it was put by. So when it
//!   is handed in and is no longer plain, it goes through everything that is due at its end.
//! * *Being put by against being stored.* The `Task` goes to the slot, which is still there.

use std::array;
use std::sync::Arc;

use async_task::Task;

use crate::state::State;
use crate::state::effects::{Effects, detach, detach_all};
use crate::state::member::{Key, Kind};
use crate::state::table::Table;
use crate::state::ticket::Standing;
use crate::state::word::{FEW, Seen};
use crate::sync::lock::{Guard, Lock};
use crate::sync::{AtomicUsize, Ordering};

/// How many children can be put by.
#[cfg(not(taskgroup_loom))]
const ROOM: usize = 15;
/// A group is crowded from this many children on, until they are [few](FEW).
#[cfg(not(taskgroup_loom))]
const CROWD: usize = 64;

/// Small enough for a model to get here.
#[cfg(taskgroup_loom)]
const ROOM: usize = 1;
#[cfg(taskgroup_loom)]
const CROWD: usize = 2;

const _: () = assert!(ROOM < FEW && FEW <= CROWD, "more are counted than there is room for");

/// After a child found the table locked, this many are put by before the next one tries the lock.
const BUSY: usize = 4 * ROOM;

/// The children that were put by.
pub(crate) struct Ended {
    /// How many there are, for threads that only look. Written under the lock of the list.
    len: AtomicUsize,
    /// For this many of the children that end next, it is assumed that they would have to wait for the table.
    busy: AtomicUsize,
    list: Lock<Keys>,
}

/// Stored inline, so that nothing is allocated.
#[derive(Clone, Copy)]
struct Keys {
    len: usize,
    keys: [Key; ROOM],
}

/// What an ended child does next.
pub(crate) enum Turn<'a> {
    /// It leaves by itself.
    Now(Guard<'a, Table>),
    /// It leaves, and hands in the children that were put by.
    WithOthers(Guard<'a, Table>),
    /// Nothing more.
    PutBy,
}

impl Keys {
    const NONE: Self = Self { len: 0, keys: [0; ROOM] };

    fn push(&mut self, key: Key) {
        self.keys[self.len] = key;
        self.len += 1;
    }
}

impl Ended {
    pub(crate) fn new() -> Self {
        Self { len: AtomicUsize::new(0), busy: AtomicUsize::new(0), list: Lock::new(Keys::NONE) }
    }

    /// Whether no child is put by.
    ///
    /// A thread that already knows of a child put by earlier does not get a stale `true`.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    fn take(&self) -> Keys {
        let mut list = self.list.lock();
        self.len.store(0, Ordering::Relaxed);
        std::mem::replace(&mut *list, Keys::NONE)
    }
}

impl State {
    /// Decides what a child does that has returned and whose end has no consequences.
    #[inline]
    pub(crate) fn turn_of(self: &Arc<Self>, standing: Standing) -> Turn<'_> {
        let busy = self.ended.busy.load(Ordering::Relaxed);
        if busy == 0 {
            if let Some(table) = self.table.try_lock() {
                return Turn::Now(table);
            }
        }
        let mut list = self.ended.list.lock();
        if !self.flags.may_put_by(standing.is_on_pool()) {
            drop(list);
            return Turn::Now(self.table.lock());
        }
        if list.len == ROOM {
            drop(list);
            return Turn::WithOthers(self.table.lock());
        }
        list.push(standing.key());
        let busy = if busy == 0 { BUSY } else { busy - 1 };
        self.ended.busy.store(busy, Ordering::Relaxed);
        self.ended.len.store(list.len, Ordering::Relaxed);
        Turn::PutBy
    }

    /// Marks the group as crowded if so many children live.
    #[inline]
    pub(crate) fn note_crowd(&self, table: &mut Table, seen: Seen) {
        if seen.children() >= CROWD && !self.flags.is_crowded() {
            self.flags.crowd(&mut table.locked);
        }
    }

    /// Does the same for the children on the pool that the group keeps.
    #[inline]
    pub(crate) fn note_crowd_on_pool(&self, table: &mut Table) {
        if table.on_pool.children >= CROWD && !self.flags.is_crowded_on_pool() {
            self.flags.crowd_on_pool(&mut table.locked);
        }
    }

    /// Whether the children on the pool were a crowd, and are none any more.
    #[inline]
    pub(crate) fn are_few_on_pool(&self, table: &Table) -> bool {
        table.on_pool.are_few() && self.flags.is_crowded_on_pool()
    }

    /// Hands in the children that were put by, if the group is not crowded any more.
    ///
    /// Called after a child has left.
    #[inline]
    pub(crate) fn note_few(&self, table: &mut Table, mut seen: Seen, effects: &mut Effects) -> Seen {
        if self.is_crowd_over(table, seen) {
            seen = self.disperse(table, effects);
        }
        seen
    }

    #[inline]
    fn is_crowd_over(&self, table: &Table, seen: Seen) -> bool {
        self.are_few_on_pool(table) || (seen.are_few() && self.flags.is_crowded())
    }

    #[cold]
    fn disperse(&self, table: &mut Table, effects: &mut Effects) -> Seen {
        self.flags.disperse(&mut table.locked);
        let Keys { len, keys } = self.ended.take();
        for key in &keys[..len] {
            let task = self.let_out(table, *key, effects);
            effects.detach(task);
        }
        self.word.look()
    }

    /// Hands in the children that were put by, if there are many.
    ///
    /// For a thread that has just entered a child, and so has the table in its cache.
    #[inline]
    pub(crate) fn relieve(self: &Arc<Self>) {
        if self.flags.is_crowded() && self.ended.len.load(Ordering::Relaxed) > ROOM / 2 {
            self.hand_in(self.table.lock(), None);
        }
    }

    /// Takes `own` and all children that were put by out of the table, in one critical section.
    pub(crate) fn hand_in(self: &Arc<Self>, mut table: Guard<'_, Table>, own: Option<Key>) {
        let mut effects = Effects::default();
        let Keys { len, keys } = self.ended.take();
        let mut tasks: [Option<Task<()>>; ROOM + 1] = array::from_fn(|_| None);
        for (key, task) in keys[..len].iter().copied().chain(own).zip(&mut tasks) {
            *task = self.let_out(&mut table, key, &mut effects);
        }
        let seen = self.note_few(&mut table, self.word.look(), &mut effects);
        self.after(table, seen, &mut tasks, effects);
    }

    /// Takes a child that has returned out of the table, and returns its `Task`.
    ///
    /// The caller checks whether the group is still crowded.
    fn let_out(&self, table: &mut Table, key: Key, effects: &mut Effects) -> Option<Task<()>> {
        let slot = table.slots.get_mut(key as usize).expect("a child has its slot until it is handed in");
        let task = slot.task.take();
        effects.give_up(table.on_pool.leave(slot.member.facts));
        if slot.member.is_plain() {
            std::mem::forget(table.slots.remove(key as usize));
            self.word.leave(&mut table.locked, Kind::Ordinary);
        } else if slot.member.end(effects) {
            let group = table.keeper.clone().expect("somebody is counted");
            group.free(table, key, effects);
        }
        task
    }

    /// Ends a child after which so few live that there is more to do.
    pub(crate) fn end_among_few(
        self: &Arc<Self>,
        table: Guard<'_, Table>,
        seen: Seen,
        task: Option<Task<()>>,
    ) {
        if self.is_crowd_over(&table, seen) {
            return self.end_crowd(table, task);
        }
        self.after(table, seen, &mut [task], Effects::default());
    }

    #[cold]
    fn end_crowd(self: &Arc<Self>, mut table: Guard<'_, Table>, task: Option<Task<()>>) {
        let mut effects = Effects::default();
        let seen = self.disperse(&mut table, &mut effects);
        self.after(table, seen, &mut [task], effects);
    }

    /// Does what is due after children have left the count; `tasks` are their `Task`s.
    #[inline]
    pub(crate) fn after(
        self: &Arc<Self>,
        mut table: Guard<'_, Table>,
        seen: Seen,
        tasks: &mut [Option<Task<()>>],
        effects: Effects,
    ) {
        let (mut yard, mut group) = (Vec::new(), None);
        if seen.children() == 0 {
            table.shrink();
            yard = table.clear();
            if seen.is_clear() {
                group = table.keeper.take();
            } else if seen.is_news() {
                group = table.keeper.clone();
            }
        } else if table.keeps_ended {
            tasks.iter_mut().for_each(|task| *task = task.take().and_then(|task| table.keep(task)));
        }
        drop(table);
        // From here on the group exists only if it is held here.
        tasks.iter_mut().filter_map(Option::take).for_each(detach);
        if !yard.is_empty() {
            detach_all(yard);
        }
        if let Some(group) = group.filter(|_| seen.is_news()) {
            group.tell(seen);
        }
        effects.run();
    }

    /// Notifies those who wait, after the last child has left.
    fn tell(self: &Arc<Self>, seen: Seen) {
        if seen.is_watched() {
            self.notify();
        }
        if seen.is_cancelled() {
            let mut effects = Effects::default();
            self.settle_if_due(seen, &mut effects);
            effects.run();
        }
    }
}
