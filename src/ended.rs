//! Children that have ended and are not out of the table yet, as somebody else had that in hand.
//!
//! Where one thread spawns and another one ends children, each would wait for the other at the lock of the table, and
//! for the memory that the other one has just written: that takes longer than all the rest. So a child that ends, and finds the
//! table taken, is *put by*: its key is noted here, and no more. Whoever notes the last that there is room for hands
//! all of them in, in one turn. Such a child is over in all respects but these: it is still counted, and of what it was there is the
//! empty cell of its task.
//!
//! # Invariants
//!
//! 1. Nobody is put by unless the group is *crowded*, and as long as it is, more are counted than can have been put by. So the
//!    count does not come to zero, and whoever waits for that is told by somebody who leaves the count.
//! 2. Nobody is put by whose end has consequences for others, since it is not known when they would come: whoever has a place under
//!    a limit, clean-ups, or groups inside. A wrapper knows what its child was from the start; whatever it
//!    acquires later is noted in the flags of the group, for good.
//! 3. Whoever takes the lock of the table for anything but a child's way in and out ([`State::lock`]) hands in first. So all that
//!    ended before are out of what it sees.
//!
//! # Interleavings that matter
//!
//! * *Putting by against the end of the crowd.* Whoever takes the count below [few](FEW) takes the mark of a crowd away and then, in the
//!   same turn, hands in all that were put by. Whoever puts by looks for the mark under the lock of the list. Whichever of
//!   them has that lock first, the other one sees what it did: the child is found, or not put by.
//! * *Being put by against being cancelled.* A child may be cancelled by itself that has just been put by. So its end is gone
//!   through with all that is due where it is not plain any more when it is handed in.
//! * *Being put by against being stored.* The `Task` goes to the slot, which is still there.

use std::array;

use async_task::Task;

use crate::effects::Effects;
use crate::lock::{Guard, Lock};
use crate::member::{Key, Kind};
use crate::state::State;
use crate::sync::{AtomicUsize, Ordering};
use crate::table::Table;
use crate::word::{FEW, Seen};

/// For how many there is room. One less can stay here.
#[cfg(not(taskgroup_loom))]
const ROOM: usize = 16;

/// How many are put by from when one found the table taken, before the next one tries.
const BUSY: usize = 4 * ROOM;

/// From how many on a group is crowded, and below how many it is not any more.
#[cfg(not(taskgroup_loom))]
const CROWD: usize = 64;

/// So few that a model comes here.
#[cfg(taskgroup_loom)]
const ROOM: usize = 2;
#[cfg(taskgroup_loom)]
const CROWD: usize = 2;

const _: () = assert!(ROOM <= FEW && FEW <= CROWD, "more are counted than can have been put by");

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
    /// Nothing more, and it does not look at the group any more.
    PutBy,
    /// It hands these in, itself among them.
    HandIn(Batch),
}

/// Some that were put by and are handed in together.
pub(crate) struct Batch(Keys);

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

    fn take(&self) -> Batch {
        self.take_from(&mut self.list.lock())
    }

    fn take_from(&self, list: &mut Keys) -> Batch {
        self.len.store(0, Ordering::Relaxed);
        Batch(std::mem::replace(list, Keys::NONE))
    }
}

impl State {
    /// The table, for a child that has returned and whose end has no consequences, if it is to leave by itself.
    #[inline]
    pub(crate) fn turn_of(&self, key: Key) -> Turn<'_> {
        let busy = self.ended.busy.load(Ordering::Relaxed);
        if busy == 0 {
            if let Some(table) = self.table.try_lock() {
                return Turn::Now(table);
            }
        }
        let mut list = self.ended.list.lock();
        if !self.flags.look().may_put_by() {
            drop(list);
            return Turn::Now(self.table.lock());
        }
        list.push(key);
        let busy = if busy == 0 { BUSY } else { busy - 1 };
        self.ended.busy.store(busy, Ordering::Relaxed);
        if list.len < ROOM {
            self.ended.len.store(list.len, Ordering::Relaxed);
            return Turn::PutBy;
        }
        Turn::HandIn(self.ended.take_from(&mut list))
    }

    /// Notes that the group is crowded, if so many children live.
    #[inline]
    pub(crate) fn note_crowd(&self, table: &mut Table, seen: Seen) {
        if seen.children() >= CROWD && !self.flags.look().is_crowded() {
            self.flags.crowd(&mut table.locked);
        }
    }

    /// After somebody has left the count: if the group is not crowded any more, hands in those that were put by.
    #[inline]
    pub(crate) fn note_few(&self, table: &mut Table, seen: Seen, effects: &mut Effects) -> Seen {
        if seen.are_few() && self.flags.look().is_crowded() { self.disperse(table, effects) } else { seen }
    }

    #[cold]
    fn disperse(&self, table: &mut Table, effects: &mut Effects) -> Seen {
        self.flags.disperse(&mut table.locked);
        let Batch(Keys { len, keys }) = self.ended.take();
        for key in &keys[..len] {
            let task = self.let_out(table, *key, effects);
            effects.dispose(task);
        }
        self.word.look()
    }

    /// Hands in all that were put by.
    #[cold]
    pub(crate) fn hand_in_all(&self) {
        if self.ended.len.load(Ordering::Relaxed) > 0 {
            self.hand_in(self.ended.take());
        }
    }

    /// Takes all of a batch out of the table, in one turn.
    pub(crate) fn hand_in(&self, Batch(Keys { len, keys }): Batch) {
        let mut effects = Effects::default();
        let mut table = self.table.lock();
        let mut tasks: [Option<Task<()>>; ROOM] = array::from_fn(|_| None);
        for (key, task) in keys[..len].iter().zip(&mut tasks) {
            *task = self.let_out(&mut table, *key, &mut effects);
        }
        let seen = self.note_few(&mut table, self.word.look(), &mut effects);
        self.after(table, seen, &mut tasks, effects);
    }

    /// Takes one out of the table that was put by, and gives its `Task`.
    fn let_out(&self, table: &mut Table, key: Key, effects: &mut Effects) -> Option<Task<()>> {
        let slot = table.slots.get_mut(key as usize).expect("a child has its slot until it is handed in");
        let task = slot.task.take();
        if slot.member.is_plain() {
            std::mem::forget(table.slots.remove(key as usize));
            self.word.leave(&mut table.locked, Kind::Ordinary);
        } else if slot.member.end(effects) {
            let group = table.keeper.clone().expect("somebody is counted");
            group.free(table, key, effects);
        }
        task
    }
}
