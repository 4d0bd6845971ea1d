//! How children under a limit that wait for each other share a place.
//!
//! A child that awaits the handle of a sibling lends it its own place: it would wait for ever for one that is queued, and takes a place
//! that others could have while it waits for one that is not. So there are *chains* of children, each of which runs in the place of
//! the one before it, and of which the last, the *tail*, has the place to lend. A chain takes one place.
//!
//! A child *can use* a place of whoever awaits it if
//!
//! * it is queued;
//! * it is the first of another chain: the two are one then, which takes one place less;
//! * it is *in want*: it awaits one that can use a place, and has none to lend, since somebody has it already, or since it needs none.
//!
//! Whoever awaits somebody that can use a place has that one in a list. A tail looks through its own, and through those of whoever is
//! in want there, for one that is queued or the first of a chain. All who are on the way are taken out of their chains, as if they had
//! ended, and each is lent the place by the one before it. When whoever is at the end of the way has ended, the tail looks again.
//!
//! 1. A chain begins with one that was given a place, and its end gives it back. So there are no more chains than the limit allows.
//! 2. Whoever is queued or in want is in the list of whoever awaited it last. If that one comes to be in want by it, it is put into
//!    such a list itself, and so on up to a tail, which looks.
//! 3. A tail finds nobody.
//!
//! So no more are at work than the limit says, unless one goes on that had begun to await another; and of those who go on, none has lent
//! its place twice (1). And as long as children only wait for each other's handles, and not in a circle, one of them goes on: follow
//! them from a tail to whom it waits for. Whoever is last on that way is at work, or it is queued. If it is queued, whoever awaits it is
//! the tail, which would have found it (3), or has it in its list and is in want, and so is each before it (2), up to the tail.
//!
//! Lists have stale entries: nobody says that it does not wait any more. By those there may be circles, though nobody waits in one. But
//! one is in want for whoever awaited it last, and for nobody else. So those in want whom a tail finds are a tree, and it moves nobody
//! before it has found somebody. What such entries can do is that a chain is not made one with another: a tail that finds the first of
//! its own chain forgets that one, and hears no more of it when it has come to another chain itself.
//!
//! `lending/tests.rs` looks at all this after each turn.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use slab::Slab;

use crate::context;
use crate::effects::Effects;
use crate::facts::Fact;
use crate::limit::{Limit, waiting};
use crate::member::{Member, Slot};
use crate::spare::shrink;
use crate::state::State;
use crate::table::{Table, slot_of};
use crate::ticket::Ticket;

/// What a child under a limit has of the places of others, and they of its own.
#[derive(Default)]
pub(crate) struct Loan {
    /// Who awaited it last.
    awaiter: Option<Ticket>,
    /// It is in the list of that one.
    is_told: bool,
    /// In whose place it runs. Both know each other, as long as both are there.
    lender: Option<Ticket>,
    /// Who runs in its place.
    borrower: Option<Ticket>,
    /// To whom it would lend its place besides, in this order.
    awaited: VecDeque<Ticket>,
}

impl Loan {
    /// Adds one to the list. Those that are not there any more are forgotten as often as it has grown to twice its size.
    fn awaits(&mut self, ticket: Ticket, mut is_there: impl FnMut(Ticket) -> bool) {
        let awaited = &mut self.awaited;
        if awaited.len() == awaited.capacity() {
            // It is there twice if somebody else has awaited it in between.
            let mut once = BTreeSet::new();
            awaited.retain(|next| is_there(*next) && once.insert(next.id()));
            if awaited.len() * 2 > awaited.capacity() {
                awaited.reserve(awaited.len());
            }
        }
        awaited.push_back(ticket);
    }

    fn is_awaited_by(&self, ticket: Ticket) -> bool {
        self.awaiter.is_some_and(|awaiter| awaiter.id() == ticket.id())
    }
}

/// Why a child is lent a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lent {
    Queued,
    InWant,
    /// It is the first of a chain.
    First,
}

impl Lent {
    /// Of a child that `awaiter` has awaited last.
    fn of(slots: &mut Slab<Slot>, ticket: Ticket, awaiter: Ticket) -> Option<Self> {
        if waiting(slots, ticket).is_some() {
            return Some(Self::Queued);
        }
        let loan = slot_of(slots, ticket)?.member.loan()?;
        if !loan.is_awaited_by(awaiter) {
            return None;
        }
        let (wants, is_first) = (!loan.awaited.is_empty(), loan.lender.is_none());
        if wants && !is_tail(slots, ticket) {
            return Some(Self::InWant);
        }
        (is_first && has_own(slots, ticket)).then_some(Self::First)
    }
}

/// From a tail over some in want to one that can use its place.
struct Way {
    tail: Ticket,
    in_want: Vec<Ticket>,
    last: Ticket,
    lent: Lent,
}

impl Limit {
    /// A child awaits another one, and both are there.
    fn lend(&mut self, awaiter: Ticket, ticket: Ticket, slots: &mut Slab<Slot>, effects: &mut Effects) {
        let loan = loan_of(slots, ticket);
        if !loan.is_awaited_by(awaiter) {
            (loan.awaiter, loan.is_told) = (Some(awaiter), false);
        }
        let tail = tell(slots, ticket);
        if tail.is_some() {
            self.settle(tail, Vec::new(), slots, effects);
        }
    }

    /// A child has left the table.
    pub(crate) fn leave(&mut self, member: &Member, slots: &mut Slab<Slot>, effects: &mut Effects) {
        let placed = member.is(Fact::PLACED);
        let (lender, borrower) = match member.loan() {
            Some(loan) => (loan.lender, loan.borrower),
            // It was a chain of its own.
            None if placed => return self.give_back(slots, effects),
            None => return,
        };
        let mut in_want = Vec::new();
        if leave_chain(placed, (lender, borrower), slots, &mut in_want) {
            self.give_back(slots, effects);
        }
        self.settle(lender.filter(|_| borrower.is_none()), in_want, slots, effects);
    }

    /// Lets a tail lend its place, and those who may have come to be in want say so.
    fn settle(
        &mut self,
        mut tail: Option<Ticket>,
        mut in_want: Vec<Ticket>,
        slots: &mut Slab<Slot>,
        effects: &mut Effects,
    ) {
        loop {
            if let Some(way) = tail.and_then(|tail| way_from(slots, tail)) {
                self.pass_on(way, &mut in_want, slots, effects);
            }
            let Some(next) = in_want.pop() else { return };
            tail = slot_of(slots, next).is_some().then(|| tell(slots, next)).flatten();
        }
    }

    /// A tail lends its place.
    fn pass_on(
        &mut self,
        way: Way,
        in_want: &mut Vec<Ticket>,
        slots: &mut Slab<Slot>,
        effects: &mut Effects,
    ) {
        let mut lender = way.tail;
        // Given back in the end: whoever is queued would find it otherwise before it is lent one.
        let mut free = usize::from(way.lent == Lent::First);
        for next in way.in_want {
            let link = take_out(slots, next);
            let is_free = leave_chain(has_own(slots, next), link, slots, in_want);
            // If it is not, it ran in the place of that one, which has it back.
            if is_tail(slots, lender) {
                hand(slots, lender, next, in_want);
                free += usize::from(is_free);
            }
            lender = next;
        }
        hand(slots, lender, way.last, in_want);
        if way.lent == Lent::Queued {
            self.start(way.last, slots, effects);
        }
        (0..free).for_each(|_| self.give_back(slots, effects));
    }
}

/// Makes `borrower` the next of `lender`.
fn hand(slots: &mut Slab<Slot>, lender: Ticket, borrower: Ticket, in_want: &mut Vec<Ticket>) {
    loan_of(slots, borrower).lender = Some(lender);
    loan_of(slots, lender).borrower = Some(borrower);
    in_want.push(lender);
}

/// Puts a child to whom a place could be lent into the list of whoever awaits it, which may be in want by that, and so on. If that
/// comes to a tail, it is said which.
fn tell(slots: &mut Slab<Slot>, mut ticket: Ticket) -> Option<Ticket> {
    loop {
        let loan = loan_of(slots, ticket);
        let awaiter = loan.awaiter.filter(|_| !loan.is_told)?;
        slot_of(slots, awaiter)?;
        Lent::of(slots, ticket, awaiter)?;
        loan_of(slots, ticket).is_told = true;
        // Taken out while others are looked at.
        let mut loan = std::mem::take(loan_of(slots, awaiter));
        loan.awaits(ticket, |next| slot_of(slots, next).is_some());
        *loan_of(slots, awaiter) = loan;
        if is_tail(slots, awaiter) {
            return Some(awaiter);
        }
        ticket = awaiter;
    }
}

/// Looks for somebody who can use the place of a tail. Whoever is on the way is taken out of the lists, as is whoever has no use for
/// a place.
fn way_from(slots: &mut Slab<Slot>, tail: Ticket) -> Option<Way> {
    let mut in_want = Vec::new();
    loop {
        let at = in_want.last().copied().unwrap_or(tail);
        let Some(next) = loan_of(slots, at).awaited.front().copied() else {
            // Whose list is empty now is in want no more.
            in_want.pop()?;
            continue;
        };
        match Lent::of(slots, next, at) {
            Some(Lent::InWant) => in_want.push(next),
            Some(lent) if lent == Lent::Queued || !is_one_chain(slots, next, tail) => {
                // So that it is seen who is in want no more.
                std::iter::once(&tail).chain(&in_want).for_each(|at| strike_first(slots, *at));
                return Some(Way { tail, in_want, last: next, lent });
            }
            _ => strike_first(slots, at),
        }
    }
}

/// Takes the first one out of a list.
fn strike_first(slots: &mut Slab<Slot>, at: Ticket) {
    let awaited = &mut loan_of(slots, at).awaited;
    let Some(next) = awaited.pop_front() else { return };
    shrink(awaited);
    if let Some(slot) = slot_of(slots, next) {
        let loan = slot.member.loan_mut();
        loan.is_told &= !loan.is_awaited_by(at);
    }
}

/// Says who was before a child that stays, and after it. It has no link any more.
fn take_out(slots: &mut Slab<Slot>, ticket: Ticket) -> (Option<Ticket>, Option<Ticket>) {
    let loan = loan_of(slots, ticket);
    (loan.lender.take(), loan.borrower.take())
}

/// A child is not in its chain any more, if it was in one. Whoever runs in its place has it from its lender now, or for its own. Says
/// whether that place is free.
fn leave_chain(
    own: bool,
    (lender, mut borrower): (Option<Ticket>, Option<Ticket>),
    slots: &mut Slab<Slot>,
    in_want: &mut Vec<Ticket>,
) -> bool {
    // It may be awaited by the one that is out, which did not have it in its list.
    in_want.extend(borrower);
    match lender {
        Some(lender) => loan_of(slots, lender).borrower = borrower,
        // Those that need no place are not first.
        None => {
            while let Some(next) = borrower.filter(|next| !has_own(slots, *next)) {
                borrower = take_out(slots, next).1;
                in_want.push(next);
                in_want.extend(borrower);
            }
        }
    }
    if let Some(borrower) = borrower {
        loan_of(slots, borrower).lender = lender;
    }
    own && lender.is_none() && borrower.is_none()
}

/// Of one that is there.
fn loan_of(slots: &mut Slab<Slot>, ticket: Ticket) -> &mut Loan {
    slots[ticket.key() as usize].member.loan_mut()
}

/// Whether a child that is there was given a place, or lent one when it was queued.
fn has_own(slots: &Slab<Slot>, ticket: Ticket) -> bool {
    slots[ticket.key() as usize].member.is(Fact::PLACED)
}

/// Whether a child that is there is the last of a chain, and so has a place to lend.
fn is_tail(slots: &mut Slab<Slot>, ticket: Ticket) -> bool {
    let has_own = has_own(slots, ticket);
    let loan = loan_of(slots, ticket);
    (has_own || loan.lender.is_some()) && loan.borrower.is_none()
}

/// Whether `first` and `tail` are that of the same chain. Looks from both of its ends, and so no further than the shorter one of two is
/// long: chains that become one by this can be as many as there are children.
fn is_one_chain(slots: &Slab<Slot>, first: Ticket, tail: Ticket) -> bool {
    let loan = |ticket: Ticket| slots[ticket.key() as usize].member.loan();
    let (mut down, mut up) = (first, tail);
    while down.id() != tail.id() && up.id() != first.id() {
        let next = loan(down).and_then(|loan| loan.borrower).zip(loan(up).and_then(|loan| loan.lender));
        let Some(next) = next else { return false };
        (down, up) = next;
    }
    true
}

impl State {
    /// Lets a queued child start because the sibling that this thread is in waits for it, or for one that does.
    pub(crate) fn lend(self: &Arc<Self>, ticket: Ticket) {
        let Some((key, id)) = context::place_in(self) else { return };
        let mut effects = Effects::default();
        let mut table = self.lock();
        let is_there = table.is_of(key, id) && table.slot(ticket).is_some();
        let Table { slots, limit, .. } = &mut *table;
        let awaiter = slots.get(key as usize).and_then(|slot| Ticket::of(key, &slot.member));
        if let (Some(awaiter), true, Some(limit)) = (awaiter, is_there, limit) {
            limit.lend(awaiter, ticket, slots, &mut effects);
        }
        drop(table);
        effects.run();
    }
}

#[cfg(all(test, not(taskgroup_loom)))]
mod tests;
