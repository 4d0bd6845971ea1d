//! How many children of a group may run at once.
//!
//! A child that finds the group full is entered, counted and handed to its runtime like any other, but its wrapper does
//! not poll it before it has a *place*. Places are given in the order in which they were asked for, to queued
//! children and to those who wait to spawn alike, and come free when a child has left the table, however it ended.
//!
//! # Lending
//!
//! A child that awaits the handle of a sibling lends it its own place: it would wait for ever for one that is queued, and takes a place
//! that others could have while it waits for one that is not. So there are *chains* of children, each of which runs in the place of
//! the one before it, and of which the last, the *tail*, has the place to lend. A chain takes one place.
//!
//! A tail lends its place to the first of those that it awaits
//!
//! * that is queued;
//! * that is the first of another chain: the two are one then, which takes one place less;
//! * that is *in want*: it awaits one to whom it could lend a place, and has none to lend, since somebody has it already, or since it
//!   needs none. It is taken out of its chain, as if it had ended, and lends on what it was lent.
//!
//! At the end of one, the next one is lent it. Whoever comes to be in want says so to whoever awaits it, which may be in want by that.
//!
//! 1. A chain begins with one that was given a place, and its end gives it back. So there are no more chains than the limit allows.
//! 2. A tail awaits nobody who is queued, and nobody in want.
//! 3. One in want is in the list of whoever awaited it last, or runs in its place.
//!
//! So no more are at work than the limit says, unless one goes on that had begun to await another; and of those who go on, none has lent
//! its place twice. And as long as children only wait for each other's handles, and not in a circle, one of them goes on: follow them
//! from a tail to whom it waits for. Whoever is last on that way is at work, or queued; if it is queued, whoever awaits it is the tail,
//! which has lent it its place (2), or in want. If that is so, whoever awaits that one is in want as well (3), and so up to the tail,
//! which would have taken it in (2).
//!
//! # Those who wait to spawn
//!
//! Whoever waits to spawn leaves the queue by a mark, as a child does: to look for it there would take as long as the queue is.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{self, Poll, Waker};

use slab::Slab;

use crate::effects::Effects;
use crate::error::Refusal;
use crate::facts::Fact;
use crate::handle::Packet;
use crate::member::{Key, Kind, Member, Slot};
use crate::spare::shrink;
use crate::state::State;
use crate::table::{Table, slot_of};
use crate::ticket::Ticket;

/// What becomes of a child that finds no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is queued.
    Queue,
    /// It is refused.
    Now,
    /// It has a place already, from a [`Room`].
    Reserved,
    /// It needs none.
    Exempt,
}

/// The places of one group, and who waits for one.
pub(crate) struct Limit {
    most: usize,
    /// How many chains there are, and how many places are kept for somebody who is about to spawn.
    taken: usize,
    queue: VecDeque<Waiting>,
    /// How many in the queue do not wait any more.
    stale: usize,
}

/// What a child under a limit has of the places of others, and they of its own.
#[derive(Default)]
pub(crate) struct Loan {
    /// Who awaited it last.
    awaiter: Option<Ticket>,
    /// In whose place it runs. Both know each other, as long as both are there.
    lender: Option<Ticket>,
    /// Who runs in its place.
    borrower: Option<Ticket>,
    /// To whom it would lend its place besides, in this order.
    awaited: VecDeque<Ticket>,
}

impl Loan {
    /// Adds one that waits. Those that do not any more are forgotten as often as the list has grown to twice its size.
    fn awaits(&mut self, ticket: Ticket, mut waits: impl FnMut(Ticket) -> bool) {
        let awaited = &mut self.awaited;
        if awaited.len() == awaited.capacity() {
            // It is there twice if somebody else has awaited it in between.
            let mut once = BTreeSet::new();
            awaited.retain(|next| waits(*next) && once.insert(next.id()));
            if awaited.len() * 2 > awaited.capacity() {
                awaited.reserve(awaited.len());
            }
        }
        awaited.push_back(ticket);
    }
}

enum Waiting {
    Child(Ticket),
    Spawner(Arc<Spawner>),
}

/// Somebody who waits to spawn.
struct Spawner {
    packet: Arc<Packet<()>>,
    /// One of the three below. The lock of the table is what it is read and written under, so no order is needed.
    stands: AtomicU8,
}

/// In the queue.
const WAITS: u8 = 0;
/// Has a place, also if that is not known to it yet.
const PLACED: u8 = 1;
/// Waits no more.
const GONE: u8 = 2;

impl Spawner {
    fn new() -> Arc<Self> {
        Arc::new(Self { packet: Packet::new(), stands: AtomicU8::new(WAITS) })
    }

    /// Says how it stood before.
    fn now(&self, stands: u8) -> u8 {
        self.stands.swap(stands, Ordering::Relaxed)
    }

    fn waits(&self) -> bool {
        self.stands.load(Ordering::Relaxed) == WAITS
    }
}

impl Limit {
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        Self { most: most.get(), taken: 0, queue: VecDeque::new(), stale: 0 }
    }

    /// How many places there are, and how many are taken.
    pub(crate) fn places(&self) -> (usize, usize) {
        (self.most, self.taken)
    }

    fn is_full(&self) -> bool {
        self.taken >= self.most
    }

    /// Gives a child a place, marks it as queued, or says why not.
    pub(crate) fn admit(&mut self, member: &mut Member, place: Place) -> Option<Refusal> {
        match place {
            _ if member.kind() != Kind::Ordinary => {}
            Place::Exempt => {}
            Place::Reserved => member.facts.set(Fact::PLACED),
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

    /// A child has left the table.
    pub(crate) fn left(&mut self, member: &Member, slots: &mut Slab<Slot>, effects: &mut Effects) {
        if member.is(Fact::QUEUED) {
            self.stale += 1;
            self.tidy(slots);
        }
        let loan = member.loan();
        let link = loan.map_or((None, None), |loan| (loan.lender, loan.borrower));
        self.leave_chain(member.is(Fact::PLACED), link, slots, effects);
        if let (Some(lender), None) = link {
            self.pass_on(lender, slots, effects);
        }
    }

    /// A child is not in its chain any more, if it was in one. Whoever runs in its place has it from its lender now, or for its own.
    fn leave_chain(
        &mut self,
        has_own: bool,
        (lender, mut borrower): (Option<Ticket>, Option<Ticket>),
        slots: &mut Slab<Slot>,
        effects: &mut Effects,
    ) {
        if let Some(lender) = lender {
            loan_of(slots, lender).borrower = borrower;
        } else {
            // Those that need no place have none any more.
            while let Some(next) = borrower.filter(|next| !self::has_own(slots, *next)) {
                borrower = take_out(slots, next).1;
            }
        }
        match borrower {
            Some(borrower) => loan_of(slots, borrower).lender = lender,
            None if has_own && lender.is_none() => self.give_back(slots, effects),
            None => {}
        }
    }

    /// Gives a place that has come free to whoever has waited longest.
    fn give_back(&mut self, slots: &mut Slab<Slot>, effects: &mut Effects) {
        self.taken -= 1;
        while !self.is_full() {
            let Some(next) = self.queue.pop_front() else { break };
            let is_placed = match next {
                Waiting::Child(ticket) => {
                    waiting(slots, ticket).map(|slot| slot.member.place(effects)).is_some()
                }
                Waiting::Spawner(spawner) => {
                    let waits = spawner.waits();
                    if waits {
                        spawner.now(PLACED);
                        effects.resolve(Some(spawner.packet.clone()));
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

    /// A child awaits another one.
    fn lend(
        &mut self,
        mut awaiter: Ticket,
        mut ticket: Ticket,
        slots: &mut Slab<Slot>,
        effects: &mut Effects,
    ) {
        let before = loan_of(slots, ticket).awaiter.replace(awaiter);
        // Polled again, it is there already.
        if before.is_some_and(|before| before.id() == awaiter.id())
            || Lent::of(slots, ticket, awaiter).is_none()
        {
            return;
        }
        loop {
            // Taken out while others are looked at.
            let mut loan = std::mem::take(loan_of(slots, awaiter));
            let was_in_want = !loan.awaited.is_empty();
            loan.awaits(ticket, |next| slot_of(slots, next).is_some());
            let next = loan.awaiter.filter(|next| slot_of(slots, *next).is_some());
            *loan_of(slots, awaiter) = loan;
            if may_lend(slots, awaiter) {
                return self.pass_on(awaiter, slots, effects);
            }
            // It has said so already, or there is nobody to tell.
            let (false, Some(next)) = (was_in_want, next) else { return };
            (awaiter, ticket) = (next, awaiter);
        }
    }

    /// A tail lends its place to the first of those that it awaits. If that one is in want, it does the same.
    fn pass_on(&mut self, mut lender: Ticket, slots: &mut Slab<Slot>, effects: &mut Effects) {
        loop {
            let mut awaited = std::mem::take(&mut loan_of(slots, lender).awaited);
            let next = std::iter::from_fn(|| awaited.pop_front())
                .find_map(|next| Some((next, Lent::of(slots, next, lender)?)));
            shrink(&mut awaited);
            loan_of(slots, lender).awaited = awaited;
            let Some((borrower, lent)) = next else { return };
            if lent == Lent::InWant {
                let link = take_out(slots, borrower);
                self.leave_chain(has_own(slots, borrower), link, slots, effects);
            }
            loan_of(slots, borrower).lender = Some(lender);
            loan_of(slots, lender).borrower = Some(borrower);
            match lent {
                Lent::Queued => {
                    slots[borrower.key() as usize].member.place(effects);
                    self.stale += 1;
                    return self.tidy(slots);
                }
                Lent::First => return self.give_back(slots, effects),
                Lent::InWant => lender = borrower,
            }
        }
    }

    /// Forgets those that do not wait any more, once they are the larger part.
    fn tidy(&mut self, slots: &mut Slab<Slot>) {
        if self.stale * 2 > self.queue.len() {
            self.queue.retain(|next| match next {
                Waiting::Child(ticket) => waiting(slots, *ticket).is_some(),
                Waiting::Spawner(spawner) => spawner.waits(),
            });
            self.stale = 0;
            shrink(&mut self.queue);
        }
    }

    /// The group is cancelled: nobody is let in any more.
    pub(crate) fn give_up(&mut self, effects: &mut Effects) {
        self.turn_away(effects);
        self.queue = VecDeque::new();
        self.stale = 0;
    }

    /// The group takes no more children: nobody waits to spawn any more.
    pub(crate) fn turn_away(&mut self, effects: &mut Effects) {
        self.queue.retain(|next| match next {
            Waiting::Child(_) => true,
            Waiting::Spawner(spawner) => {
                if spawner.waits() {
                    spawner.now(GONE);
                    effects.refuse(spawner.packet.clone());
                } else {
                    self.stale = self.stale.saturating_sub(1);
                }
                false
            }
        });
        shrink(&mut self.queue);
    }
}

/// Of one that is there.
fn loan_of(slots: &mut Slab<Slot>, ticket: Ticket) -> &mut Loan {
    slots[ticket.key() as usize].member.loan_mut()
}

fn waiting(slots: &mut Slab<Slot>, ticket: Ticket) -> Option<&mut Slot> {
    slot_of(slots, ticket).filter(|slot| slot.member.is(Fact::QUEUED) && !slot.member.is(Fact::CANCELLED))
}

/// Whether a child that is there was given a place, and did not just run in another's.
fn has_own(slots: &Slab<Slot>, ticket: Ticket) -> bool {
    slots[ticket.key() as usize].member.is(Fact::PLACED)
}

/// Whether a child that is there is a tail, and so has a place to lend.
fn may_lend(slots: &mut Slab<Slot>, ticket: Ticket) -> bool {
    let has_own = has_own(slots, ticket);
    let loan = loan_of(slots, ticket);
    (has_own || loan.lender.is_some()) && loan.borrower.is_none()
}

/// Why a child is lent the place of whoever awaits it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lent {
    Queued,
    InWant,
    /// It is the first of another chain, which goes on where the awaiter's ends, and so needs one place less.
    First,
}

impl Lent {
    /// What is stale is none of them: somebody else has awaited it since.
    fn of(slots: &mut Slab<Slot>, ticket: Ticket, awaiter: Ticket) -> Option<Self> {
        if waiting(slots, ticket).is_some() {
            return Some(Self::Queued);
        }
        let loan = slot_of(slots, ticket)?.member.loan()?;
        if loan.awaiter.is_none_or(|last| last.id() != awaiter.id()) {
            return None;
        }
        let (first, alone, wants) =
            (loan.lender.is_none(), loan.borrower.is_none(), !loan.awaited.is_empty());
        if wants && !may_lend(slots, ticket) {
            return Some(Self::InWant);
        }
        let is_other = || alone || first_of(slots, awaiter).id() != ticket.id();
        (first && has_own(slots, ticket) && is_other()).then_some(Self::First)
    }
}

/// Who is the first in the chain of a child.
fn first_of(slots: &Slab<Slot>, mut ticket: Ticket) -> Ticket {
    while let Some(before) = slots[ticket.key() as usize].member.loan().and_then(|loan| loan.lender) {
        ticket = before;
    }
    ticket
}

/// A child that stays is in no chain any more. Says who was before it and after it.
fn take_out(slots: &mut Slab<Slot>, ticket: Ticket) -> (Option<Ticket>, Option<Ticket>) {
    let loan = loan_of(slots, ticket);
    let (lender, borrower) = (loan.lender.take(), loan.borrower.take());
    // If it waits for that one, it was not in its list while that ran in its place.
    let awaited = borrower.filter(|borrower| {
        loan_of(slots, *borrower).awaiter.is_some_and(|awaiter| awaiter.id() == ticket.id())
    });
    loan_of(slots, ticket).awaited.extend(awaited);
    (lender, borrower)
}

impl State {
    /// Whether a child still waits for its place; if so, `waker` is woken when it has one.
    pub(crate) fn is_queued(&self, key: Key, waker: &Waker) -> bool {
        let mut effects = Effects::default();
        let mut waker = Some(waker.clone());
        let queued = self.lock().member(key, |member, _| {
            if member.is(Fact::QUEUED) {
                member.keep_queued(waker.take().expect("called once"), &mut effects);
            }
            member.is(Fact::QUEUED)
        });
        drop(waker);
        effects.run();
        queued.unwrap_or(false)
    }

    /// Lets a queued child start because a sibling waits for it, or for one that does.
    pub(crate) fn lend(&self, awaiter: Key, ticket: Ticket) {
        let mut effects = Effects::default();
        let mut table = self.lock();
        let Table { slots, limit, .. } = &mut *table;
        let awaiter = slots.get(awaiter as usize).and_then(|slot| Ticket::of(awaiter, &slot.member));
        let awaited = slot_of(slots, ticket).is_some();
        if let (Some(awaiter), true, Some(limit)) = (awaiter, awaited, limit) {
            limit.lend(awaiter, ticket, slots, &mut effects);
        }
        drop(table);
        effects.run();
    }

    /// A place for a child that is still to be spawned, now or later. `None` if there is no limit.
    pub(crate) fn room(self: &Arc<Self>) -> Option<Room> {
        let mut table = self.lock();
        let limit = table.limit.as_mut()?;
        let place = if self.refusal().is_some() {
            RoomState::Gone
        } else if limit.is_full() {
            let spawner = Spawner::new();
            limit.queue.push_back(Waiting::Spawner(spawner.clone()));
            RoomState::Waiting(spawner)
        } else {
            limit.taken += 1;
            RoomState::Reserved
        };
        Some(Room { group: self.clone(), place })
    }

    /// Gives back a place that no child was spawned in, or the wait for one.
    fn leave_room(&self, spawner: Option<&Spawner>) {
        let mut effects = Effects::default();
        let mut table = self.lock();
        let Table { slots, limit: Some(limit), .. } = &mut *table else { return };
        match spawner.map_or(PLACED, |spawner| spawner.now(GONE)) {
            WAITS => {
                limit.stale += 1;
                limit.tidy(slots);
            }
            PLACED => limit.give_back(slots, &mut effects),
            _ => {}
        }
        drop(table);
        effects.run();
        // What is marked stays in the queue for a while, and is dropped under the lock.
        if let Some(spawner) = spawner {
            spawner.packet.forget();
        }
    }
}

/// A place that is waited for, or kept for a child that is about to be spawned.
pub(crate) struct Room {
    group: Arc<State>,
    place: RoomState,
}

enum RoomState {
    Waiting(Arc<Spawner>),
    Reserved,
    /// The group takes no more children, or the place is used.
    Gone,
}

impl Room {
    /// Waits for the place.
    pub(crate) fn poll(&mut self, cx: &task::Context<'_>) -> Poll<()> {
        if let RoomState::Waiting(spawner) = &self.place {
            self.place = match std::task::ready!(spawner.packet.poll(cx.waker())) {
                Ok(()) => RoomState::Reserved,
                Err(_) => RoomState::Gone,
            };
        }
        Poll::Ready(())
    }

    /// Takes a child in, in this place. If the group refuses it, the place is free again.
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
            RoomState::Waiting(spawner) => self.group.leave_room(Some(spawner)),
            RoomState::Reserved => self.group.leave_room(None),
            RoomState::Gone => {}
        }
    }
}
