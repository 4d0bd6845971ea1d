//! How many children of a group may run at once.
//!
//! A child that finds the group full is entered, counted and handed to its runtime like any other, but its wrapper does
//! not poll it before it has a *place*. Queued children and callers that wait to spawn get places in the order in which
//! they asked for one. A place is free again when its child has left the table, however the child ended.
//!
//! A child that awaits a sibling lends the sibling its own place: see `lending.rs`.
//!
//! A caller that stops waiting to spawn only marks its entry in the queue, as a child does. To search for the entry
//! would take time proportional to the length of the queue.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{self, Poll, Waker};

use slab::Slab;

use crate::error::Refusal;
use crate::handle::Packet;
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::facts::Fact;
use crate::state::member::{Key, Member, Slot};
use crate::state::table::{Table, slot_of};
use crate::state::ticket::Ticket;
use crate::sync::spare::shrink;
use crate::unwind::drop_quietly;

/// What happens to a child that finds no free place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is queued.
    Queue,
    /// It is refused.
    Now,
    /// It has a place already, from a [`Room`].
    Reserved,
}

/// The places of one group, and the queue of those that wait for one.
pub(crate) struct Limit {
    most: usize,
    /// The number of chains, plus the places that are kept for callers that are about to spawn.
    taken: usize,
    /// How many places are kept for such callers.
    kept: usize,
    queue: VecDeque<Waiting>,
    /// How many entries of the queue do not wait any more.
    stale: usize,
}

enum Waiting {
    Child(Ticket),
    Caller(Arc<Caller>),
}

/// A caller that waits to spawn.
struct Caller {
    packet: Arc<Packet<()>>,
    /// One of the three constants below. It is read and written under the lock of the table, so no memory order is
    /// needed.
    stands: AtomicU8,
}

/// It is in the queue.
const WAITS: u8 = 0;
/// It has a place, even if it does not know that yet.
const PLACED: u8 = 1;
/// It does not wait any more.
const GONE: u8 = 2;

impl Caller {
    fn new() -> Arc<Self> {
        Arc::new(Self { packet: Packet::new(), stands: AtomicU8::new(WAITS) })
    }

    /// Sets the new state and returns the old one.
    fn now(&self, stands: u8) -> u8 {
        self.stands.swap(stands, Ordering::Relaxed)
    }

    fn waits(&self) -> bool {
        self.stands.load(Ordering::Relaxed) == WAITS
    }
}

impl Limit {
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        Self { most: most.get(), taken: 0, kept: 0, queue: VecDeque::new(), stale: 0 }
    }

    /// Returns how many places there are, how many are taken, and how many of these only kept.
    pub(crate) fn places(&self) -> (usize, usize, usize) {
        (self.most, self.taken, self.kept)
    }

    /// How many wait to spawn.
    pub(crate) fn waiting_to_spawn(&self) -> usize {
        self.queue.iter().filter(|one| matches!(one, Waiting::Caller(caller) if caller.waits())).count()
    }

    fn is_full(&self) -> bool {
        self.taken >= self.most
    }

    /// Gives a child a place or marks it as queued, or returns why the child is refused.
    pub(crate) fn admit(&mut self, member: &mut Member, place: Place) -> Option<Refusal> {
        match place {
            _ if !member.needs_place() => {}
            Place::Reserved => {
                self.kept -= 1;
                member.facts.set(Fact::PLACED);
            }
            Place::Now if self.is_full() => return Some(Refusal::Full),
            Place::Queue if self.is_full() => member.facts.set(Fact::QUEUED),
            Place::Now | Place::Queue => {
                self.taken += 1;
                member.facts.set(Fact::PLACED);
            }
        }
        None
    }

    pub(crate) fn queue(&mut self, ticket: Ticket) {
        self.queue.push_back(Waiting::Child(ticket));
    }

    /// Gives a place that is free again to the one that has waited longest.
    pub(crate) fn give_back(&mut self, slots: &mut Slab<Slot>, effects: &mut Effects) {
        self.taken -= 1;
        while !self.is_full() {
            let Some(next) = self.queue.pop_front() else { break };
            let is_placed = match next {
                Waiting::Child(ticket) => {
                    waiting(slots, ticket).map(|slot| slot.member.place(effects)).is_some()
                }
                Waiting::Caller(caller) => {
                    let waits = caller.waits();
                    if waits {
                        caller.now(PLACED);
                        self.kept += 1;
                        effects.resolve(Some(caller.packet.clone()));
                    }
                    waits
                }
            };
            if is_placed {
                self.taken += 1;
            } else {
                self.stale = self.stale.saturating_sub(1);
            }
        }
        shrink(&mut self.queue);
    }

    /// Gives a queued child the place that another child lends it.
    pub(crate) fn start(&mut self, ticket: Ticket, slots: &mut Slab<Slot>, effects: &mut Effects) {
        slots[ticket.key() as usize].member.place(effects);
        self.pass_over(slots);
    }

    /// Notes that an entry of the queue does not wait any more.
    ///
    /// Removes such entries once they are the larger part.
    pub(crate) fn pass_over(&mut self, slots: &mut Slab<Slot>) {
        self.stale += 1;
        if self.stale * 2 > self.queue.len() {
            self.queue.retain(|next| match next {
                Waiting::Child(ticket) => waiting(slots, *ticket).is_some(),
                Waiting::Caller(caller) => caller.waits(),
            });
            self.stale = 0;
            shrink(&mut self.queue);
        }
    }

    /// Empties the queue, because the group is cancelled and lets nobody in any more.
    pub(crate) fn give_up(&mut self, effects: &mut Effects) {
        self.turn_away(effects);
        self.queue = VecDeque::new();
        self.stale = 0;
    }

    /// Refuses those who wait to spawn, because the group takes no more children.
    pub(crate) fn turn_away(&mut self, effects: &mut Effects) {
        self.queue.retain(|next| match next {
            Waiting::Child(_) => true,
            Waiting::Caller(caller) => {
                if caller.waits() {
                    caller.now(GONE);
                    effects.refuse(caller.packet.clone());
                } else {
                    self.stale = self.stale.saturating_sub(1);
                }
                false
            }
        });
        shrink(&mut self.queue);
    }
}

/// Returns a child if it still waits for its place.
pub(crate) fn waiting(slots: &mut Slab<Slot>, ticket: Ticket) -> Option<&mut Slot> {
    slot_of(slots, ticket).filter(|slot| is_waiting(slot))
}

fn is_waiting(slot: &Slot) -> bool {
    slot.member.is(Fact::QUEUED) && !slot.member.is(Fact::CANCELLED)
}

impl State {
    /// Whether a child still waits for its place; if so, `waker` is woken when it gets one.
    pub(crate) fn is_queued(&self, key: Key, waker: &Waker) -> bool {
        let mut effects = Effects::default();
        let mut waker = Some(waker.clone());
        let queued = self.lock().member(key, |member, _| {
            if member.is(Fact::QUEUED) {
                member.keep_queued(waker.take().expect("called once"), &mut effects);
            }
            member.is(Fact::QUEUED)
        });
        drop_quietly(waker);
        effects.run();
        queued.unwrap_or(false)
    }

    /// Takes a lost child out of the queue, if it was queued.
    ///
    /// Its destructor may await other children. A queued child that is given a place does not look for a child to lend
    /// that place to, because otherwise a queued child has awaited nobody yet.
    pub(crate) fn leave_queue(&self, key: Key) {
        let mut table = self.lock();
        let Table { slots, limit: Some(limit), .. } = &mut *table else { return };
        let Some(slot) = slots.get_mut(key as usize).filter(|slot| is_waiting(slot)) else { return };
        slot.member.facts.clear(Fact::QUEUED);
        limit.pass_over(slots);
    }

    /// Asks for a place for a child that is still to be spawned.
    ///
    /// The place is kept now, or waited for. Returns `None` if the group has no limit.
    pub(crate) fn room(self: &Arc<Self>) -> Option<Room> {
        let mut table = self.lock();
        let limit = table.limit.as_mut()?;
        let place = if self.refusal().is_some() {
            RoomState::Gone
        } else if limit.is_full() {
            let caller = Caller::new();
            limit.queue.push_back(Waiting::Caller(caller.clone()));
            RoomState::Waiting(caller)
        } else {
            limit.taken += 1;
            limit.kept += 1;
            RoomState::Reserved
        };
        Some(Room { group: self.clone(), place })
    }

    /// Gives back a place in which no child was spawned, or stops waiting for one.
    fn leave_room(&self, caller: Option<&Caller>) {
        let mut effects = Effects::default();
        let mut table = self.lock();
        let Table { slots, limit: Some(limit), .. } = &mut *table else { return };
        match caller.map_or(PLACED, |caller| caller.now(GONE)) {
            WAITS => limit.pass_over(slots),
            PLACED => {
                limit.kept -= 1;
                limit.give_back(slots, &mut effects);
            }
            _ => {}
        }
        drop(table);
        effects.run();
        // A marked entry stays in the queue for a while, and is dropped under the lock. So its waker goes now.
        if let Some(caller) = caller {
            caller.packet.forget();
        }
    }
}

/// A place that is waited for, or kept for a child that is about to be spawned.
pub(crate) struct Room {
    group: Arc<State>,
    place: RoomState,
}

enum RoomState {
    Waiting(Arc<Caller>),
    Reserved,
    /// The group takes no more children, or the place is used.
    Gone,
}

impl Room {
    /// Waits for the place.
    pub(crate) fn poll(&mut self, cx: &task::Context<'_>) -> Poll<()> {
        if let RoomState::Waiting(caller) = &self.place {
            self.place = match std::task::ready!(caller.packet.poll(cx.waker())) {
                Ok(()) => RoomState::Reserved,
                Err(_) => RoomState::Gone,
            };
        }
        Poll::Ready(())
    }

    /// Enters a child in this place; if the group refuses the child, the place is free again.
    pub(crate) fn enter(
        mut self,
        location: &'static Location<'static>,
        member: Member,
    ) -> Result<Ticket, Refusal> {
        let ticket = self.group.enter(location, member, Place::Reserved)?;
        self.place = RoomState::Gone;
        Ok(ticket)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        match &self.place {
            RoomState::Waiting(caller) => self.group.leave_room(Some(caller)),
            RoomState::Reserved => self.group.leave_room(None),
            RoomState::Gone => {}
        }
    }
}
