//! How a child comes into its group.
//!
//! First the child is *entered*: it is counted and gets a slot, before its future reaches the spawner. The spawner
//! returns the child's `Task`, which is stored after `spawn` has returned. No lock is held across `spawn`, which is
//! user code, so these are two critical sections.
//!
//! A pool makes the `Task` first and runs it later. Making it is an allocation and calls no foreign code. So on a pool
//! both steps are one critical section, for a child that is spawned plainly and is not large ([`Entry::store`]).

use std::panic::Location;
use std::sync::Arc;

use async_task::Task;

use crate::error::Refusal;
use crate::spawner::Spawner;
use crate::spawner::on_pool::{Counted, Inside};
use crate::state::State;
use crate::state::effects::{detach, detach_all, dispose};
use crate::state::facts::Fact;
use crate::state::limit::Place;
use crate::state::member::{Kind, Member};
use crate::state::table::Table;
use crate::state::ticket::Ticket;
use crate::sync::lock::Guard;

/// A child that has just been entered, while the lock is still held.
pub(crate) struct Entry<'a> {
    group: &'a Arc<State>,
    table: Guard<'a, Table>,
    ticket: Ticket,
    kind: Kind,
    /// Whether the child's runtime is gone. The slot says so too, but was written a moment ago, so reading it takes far
    /// longer.
    bereft: bool,
}

/// A child that is counted, and must still be handed to its spawner.
#[must_use = "a child that is counted ends"]
pub(crate) struct Entered {
    pub(crate) ticket: Ticket,
    /// Set if the group keeps what the child's task will look at.
    pub(crate) counted: Option<Counted>,
}

impl From<Ticket> for Entered {
    /// Converts the ticket of a child that keeps its pool itself, if it is on one.
    fn from(ticket: Ticket) -> Self {
        Self { ticket, counted: None }
    }
}

impl Entry<'_> {
    #[inline]
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Makes the group keep what the task of this child will look at.
    ///
    /// It does so only if the spawner makes tasks. It does nothing for a child that is not ordinary, because that may
    /// enter a cancelled group; nor if a runtime is gone, because the `Task` could not be stored; nor if the group
    /// keeps another pool.
    #[inline]
    pub(crate) fn keep<S: Spawner>(&mut self, spawner: &S) -> Option<Counted> {
        if !spawner.makes_tasks(Inside(()))
            || self.kind != Kind::Ordinary
            || self.bereft
            || !spawner.keep_for_tasks(&mut self.table.on_pool)
        {
            return None;
        }
        let slot = self.table.slots.get_mut(self.ticket.key() as usize).expect("it has just entered");
        slot.member.facts.set(Fact::ON_POOL);
        self.ticket = self.ticket.on_pool();
        self.group.note_crowd_on_pool(&mut self.table);
        Some(Counted::new())
    }

    /// Stores the `Task` of a child that nobody can have cancelled yet.
    #[inline]
    pub(crate) fn store(mut self, task: Task<()>) -> Self {
        let slot = self.table.slots.get_mut(self.ticket.key() as usize).expect("it has just entered");
        slot.task = Some(task);
        self
    }

    /// Releases the lock.
    #[inline]
    pub(crate) fn leave(mut self) -> Ticket {
        let swept = self.table.sweep();
        drop(self.table);
        // From here on nothing may unwind: the child is counted, and is about to be made.
        if let Some(swept) = swept {
            detach_all(swept.into_iter().flatten());
        }
        if self.group.is_observed() {
            self.group.observe_child(self.ticket, self.kind);
        }
        self.ticket
    }
}

impl State {
    /// Takes a child into the count and the table.
    pub(crate) fn enter(
        self: &Arc<Self>,
        location: &'static Location<'static>,
        member: Member,
        place: Place,
    ) -> Result<Ticket, Refusal> {
        self.entry(location, member, place).map(Entry::leave)
    }

    /// Takes a child into the count and the table, and keeps the lock.
    pub(crate) fn entry(
        self: &Arc<Self>,
        location: &'static Location<'static>,
        mut member: Member,
        place: Place,
    ) -> Result<Entry<'_>, Refusal> {
        let kind = member.kind();
        if self.is_observed() {
            member.observe();
        }
        let mut table = self.table.lock();
        let seen = self.word.look();
        if !seen.is_open() || kind != Kind::Ordinary || table.limit.is_some() {
            seen.check_room(kind);
            if let Some(refusal) = seen.refusal(kind).or_else(|| table.refusal(seen, &mut member, place)) {
                // It counts as cut, unless its future is given back to the caller, or the group was closed and would
                // not take it anyway.
                let is_cut = table.reason.is_some() && !seen.is_closed() && place != Place::Now;
                table.outcome.child_cut |= is_cut && kind.is_missed(table.is_lost());
                drop(table);
                if self.is_observed() && place != Place::Now {
                    self.observe_refusal(location, kind, refusal);
                }
                return Err(refusal);
            }
        }
        let bereft = member.is_bereft(table.bereft);
        // Before it is counted: there may be no slot for it, and then this panics.
        let ticket = table.insert(location, member);
        let seen = self.word.enter(&mut table.locked, kind);
        self.note_crowd(&mut table, seen);
        table.keeper.get_or_insert_with(|| self.clone());
        Ok(Entry { group: self, table, ticket, kind, bereft })
    }

    /// Stores the `Task` of a child that the spawner has accepted.
    ///
    /// The child may have ended long ago.
    pub(crate) fn store(&self, ticket: Ticket, task: Task<()>) {
        let mut table = self.table.lock();
        let bereft = table.bereft;
        let Some(slot) = table.slot(ticket) else {
            drop(table);
            return detach(task);
        };
        let is_bereft = slot.member.is_bereft(bereft);
        if is_bereft || slot.member.is(Fact::GONE) || slot.member.may_be_dropped() {
            // A child that has returned, and waits for a group inside, has nothing to cut. A spawner may have put more around it.
            let has_returned = slot.member.is(Fact::GONE) && !slot.member.is(Fact::CUT) && !is_bereft;
            drop(table);
            return if has_returned { detach(task) } else { dispose([task]) };
        }
        slot.task = Some(task);
    }
}
