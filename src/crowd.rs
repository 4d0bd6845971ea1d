//! Children that have ended: those that are not out of the table yet, as somebody else had that in hand, and what is due when
//! some have left.
//!
//! Where one thread spawns and another one ends children, each would wait for the other at the lock of the table, and
//! for the memory that the other one has just written: that takes longer than all the rest. So a child that ends, and finds the
//! table taken, is *put by*: its key is noted here, and no more. Whoever finds no room left hands all of them in, and itself, in
//! one turn; and, where that was found to be faster, whoever spawns and finds many ([`State::relieve`]). Such a child is over in all
//! respects but these: it is still counted, and of what it was there is the empty cell of its task.
//!
//! # Invariants
//!
//! 1. Nobody is put by unless the group is *crowded*, and as long as it is, more are counted than there is room for here. So the
//!    count does not come to zero, and whoever waits for that is told by somebody who leaves the count. The same for those on
//!    the pool that the group keeps, who are counted by themselves as well: it lets go of the pool when the last of them ends.
//! 2. Nobody is put by whose end has consequences for others, since it is not known when they would come: whoever has a place under
//!    a limit, clean-ups, or groups inside. A wrapper knows what its child was from the start; whatever it
//!    acquires later is noted in the flags of the group, for good.
//! 3. Whoever is put by is in the list until the one who takes it out of the table takes it from there, in one turn. So whoever
//!    has the table, and handed in first ([`State::lock`]), sees nobody who ended before.
//! 4. Whoever is put by does not look at the group again, as it may be taken out of the count at any time. Whoever has yet to
//!    look at it leaves by itself.
//!
//! # Interleavings that matter
//!
//! * *Putting by against the end of the crowd.* Whoever takes a count below [few](FEW) takes the marks of both crowds away and then, in
//!   the same turn, hands in all that were put by. Whoever puts by looks for its mark under the lock of the list. Whichever of
//!   them has that lock first, the other one sees what it did: the child is found, or not put by. A crowd that is still there is marked
//!   again when the next child comes.
//! * *Being put by against being cancelled.* A child may be cancelled by itself that has just been put by. So its end is gone
//!   through with all that is due where it is not plain any more when it is handed in.
//! * *Being put by against being stored.* The `Task` goes to the slot, which is still there.

use std::array;
use std::sync::Arc;

use async_task::Task;

use crate::effects::{Effects, detach, detach_all};
use crate::lock::{Guard, Lock};
use crate::member::{Key, Kind};
use crate::state::State;
use crate::sync::{AtomicUsize, Ordering};
use crate::table::Table;
use crate::ticket::Standing;
use crate::word::{FEW, Seen};

/// For how many there is room.
#[cfg(not(taskgroup_loom))]
const ROOM: usize = 15;
/// From how many on a group is crowded, until they are [few](FEW).
#[cfg(not(taskgroup_loom))]
const CROWD: usize = 64;

/// So few that a model comes here.
#[cfg(taskgroup_loom)]
const ROOM: usize = 1;
#[cfg(taskgroup_loom)]
const CROWD: usize = 2;

const _: () = assert!(ROOM < FEW && FEW <= CROWD, "more are counted than there is room for");

/// How many are put by from when one found the table taken, before the next one tries.
const BUSY: usize = 4 * ROOM;

/// The children that were put by.
pub(crate) struct Ended {
    /// How many, for those who only look. Written under the lock.
    len: AtomicUsize,
    /// For how many that end next it is taken for granted that they would have to wait for the table.
    busy: AtomicUsize,
    list: Lock<Keys>,
}

/// In a place of their own, so that nothing is allocated.
#[derive(Clone, Copy)]
struct Keys {
    len: usize,
    keys: [Key; ROOM],
}

/// What a child does that has ended.
pub(crate) enum Turn<'a> {
    /// It leaves by itself.
    Now(Guard<'a, Table>),
    /// It leaves, and hands in those that were put by.
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

    /// Whether nobody is put by. Whoever knows that somebody was before is told so.
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
    /// What a child does that has returned and whose end has no consequences.
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

    /// Notes that the group is crowded, if so many children live.
    #[inline]
    pub(crate) fn note_crowd(&self, table: &mut Table, seen: Seen) {
        if seen.children() >= CROWD && !self.flags.is_crowded() {
            self.flags.crowd(&mut table.locked);
        }
    }

    /// The same for those on the pool that the group keeps.
    #[inline]
    pub(crate) fn note_crowd_on_pool(&self, table: &mut Table) {
        if table.on_pool.children >= CROWD && !self.flags.is_crowded_on_pool() {
            self.flags.crowd_on_pool(&mut table.locked);
        }
    }

    /// Whether those on the pool were a crowd, and are not any more.
    #[inline]
    pub(crate) fn are_few_on_pool(&self, table: &Table) -> bool {
        table.on_pool.are_few() && self.flags.is_crowded_on_pool()
    }

    /// After somebody has left: if the group is not crowded any more, hands in those that were put by.
    #[inline]
    pub(crate) fn note_few(&self, table: &mut Table, mut seen: Seen, effects: &mut Effects) -> Seen {
        if self.are_few_on_pool(table) || (seen.are_few() && self.flags.is_crowded()) {
            seen = self.disperse(table, effects);
        }
        seen
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

    /// Hands in those that were put by, if they are many: for whoever has just entered a child, and has the table in its cache.
    #[inline]
    pub(crate) fn relieve(self: &Arc<Self>) {
        if self.flags.is_crowded() && self.ended.len.load(Ordering::Relaxed) > ROOM / 2 {
            self.hand_in(self.table.lock(), None);
        }
    }

    /// Takes all that were put by out of the table, and this one, in one turn.
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

    /// Takes one out of the table that has returned, and gives its `Task`. The caller sees whether they are few now.
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

    /// Ends a child after which so few live that there is more to be done.
    pub(crate) fn end_among_few(
        self: &Arc<Self>,
        mut table: Guard<'_, Table>,
        seen: Seen,
        task: Option<Task<()>>,
    ) {
        let mut effects = Effects::default();
        let seen = self.note_few(&mut table, seen, &mut effects);
        self.after(table, seen, &mut [task], effects);
    }

    /// What is to be done after children have left the count, of whom these are the `Task`s.
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
        // From here on the group is there only if it is held here.
        tasks.iter_mut().filter_map(Option::take).for_each(detach);
        if !yard.is_empty() {
            detach_all(yard);
        }
        if let Some(group) = group.filter(|_| seen.is_news()) {
            group.tell(seen);
        }
        effects.run();
    }

    /// The last child has left.
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
