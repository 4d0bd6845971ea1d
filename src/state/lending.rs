//! How children under a limit that wait for each other share a place.
//!
//! A child that awaits the handle of a sibling lends the sibling its own place. Otherwise it would wait for ever if the
//! sibling is queued; and if the sibling is not queued, the waiting child would take a place that others could have. So
//! there are *chains* of children. In a chain, each child runs in the place of the one before it. The last child, the
//! *tail*, has the place to lend. A chain takes one place.
//!
//! A child *can use* the place of its awaiter in three cases:
//!
//! * It is queued.
//! * It is the first of another chain. The two chains then become one, which takes one place less.
//! * It is *in want*: it awaits a child that can use a place, and has none to lend. Either it has lent its place
//!   already, or it needs no place and so has none.
//!
//! An awaiter keeps a list of the children it awaits that can use a place. A tail searches its own list, and the lists
//! of those it finds in want there, for a child that is queued or the first of a chain. All children on the way to that
//! child are taken out of their chains, as if they had ended, and each of them is lent the place by the one before it.
//! When the child at the end of the way has ended, the tail searches again.
//!
//! These statements hold whenever the table is not locked:
//!
//! 1. A chain begins with a child that was given a place, and the end of the chain gives that place back. So there are
//!    no more chains than the limit allows.
//! 2. A child that is queued or in want is in the list of the child that awaited it last. If that makes its awaiter in
//!    want, the awaiter is put into such a list itself, and so on up to a tail. The tail then searches.
//! 3. If a tail searches, it finds nobody.
//!
//! So no more children are at work than the limit says, with one exception: a child that had begun to await another one
//! may run on. No child that runs on has lent its place twice (1).
//!
//! And one child can always run on, as long as children only wait for each other's handles, and not in a circle. To see
//! this, start at a tail, and go from each child to the one it waits for. The last child on this way is at work or
//! queued. Suppose it is queued. If the tail is its awaiter, the tail would have found it (3). If not, its awaiter has
//! it in its list and is in want, and so is each child before that one, up to the tail (2). So the tail would have
//! found it in this case too (3).
//!
//! The lists have stale entries, because a child does not report that it has stopped waiting. Stale entries may form
//! circles, although no children wait in a circle. But a child is in want only for the one that awaited it last. So the
//! children in want that a tail finds form a tree, and the tail moves no child before it has found one that can use the
//! place. The only harm that stale entries do is that two chains may not become one: a tail that finds the first of its
//! own chain forgets it, and is not told of it again after the tail itself has moved to another chain.
//!
//! `lending/tests.rs` checks all this after each critical section.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use slab::Slab;

use crate::child::context;
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::facts::Fact;
use crate::state::limit::{Limit, waiting};
use crate::state::member::{Member, Slot};
use crate::state::table::{Table, slot_of};
use crate::state::ticket::Ticket;
use crate::sync::spare::shrink;

/// What a child has borrowed of the places of others, and they of its place.
#[derive(Default)]
pub(crate) struct Loan {
    /// The child that awaited this one last.
    awaiter: Option<Ticket>,
    /// This child is in the list of `awaiter`.
    is_told: bool,
    /// The child in whose place this one runs. Both know each other as long as both are there.
    lender: Option<Ticket>,
    /// The child that runs in the place of this one.
    borrower: Option<Ticket>,
    /// The list: the children to which this one would lend its place besides, in this order.
    awaited: VecDeque<Ticket>,
}

impl Loan {
    /// Adds a child to the list.
    ///
    /// Entries of children that are gone are removed each time the list has grown to twice its size.
    fn awaits(&mut self, ticket: Ticket, mut is_there: impl FnMut(Ticket) -> bool) {
        let awaited = &mut self.awaited;
        if awaited.len() == awaited.capacity() {
            // An entry is there twice if another child has awaited that one in between.
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

/// Why a child can use a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lent {
    Queued,
    InWant,
    /// The child is the first of a chain.
    First,
}

impl Lent {
    /// Returns why a child can use the place of `awaiter`, if it can.
    ///
    /// `awaiter` must be the child that awaited it last, unless the child is queued.
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

/// The way from a tail, through children in want, to one that can use its place.
struct Way {
    tail: Ticket,
    in_want: Vec<Ticket>,
    last: Ticket,
    lent: Lent,
}

impl Limit {
    /// Notes that a child awaits another one; both are there.
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

    /// Handles a child that has left the table: its entry in the queue, its place, its loan.
    pub(crate) fn leave(&mut self, member: &Member, slots: &mut Slab<Slot>, effects: &mut Effects) {
        if member.is(Fact::QUEUED) {
            self.pass_over(slots);
        }
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

    /// Lets a tail lend its place.
    ///
    /// Also lets those that may be in want now tell their awaiters.
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

    /// Lends the place of a tail along a way.
    fn pass_on(
        &mut self,
        way: Way,
        in_want: &mut Vec<Ticket>,
        slots: &mut Slab<Slot>,
        effects: &mut Effects,
    ) {
        let mut lender = way.tail;
        // Given back only at the end. Otherwise a queued child would get it before it is lent one.
        let mut free = usize::from(way.lent == Lent::First);
        for next in way.in_want {
            let link = take_out(slots, next);
            let is_free = leave_chain(has_own(slots, next), link, slots, in_want);
            // If the lender is no tail any more, it ran in the place of `next`, and `next` has that place back.
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

/// Puts a child that can use a place into the list of its awaiter.
///
/// The awaiter may be in want by that; then it is put into a list as well, and so on. Returns the tail, if this reaches
/// one.
fn tell(slots: &mut Slab<Slot>, mut ticket: Ticket) -> Option<Ticket> {
    loop {
        let loan = loan_of(slots, ticket);
        let awaiter = loan.awaiter.filter(|_| !loan.is_told)?;
        slot_of(slots, awaiter)?;
        Lent::of(slots, ticket, awaiter)?;
        loan_of(slots, ticket).is_told = true;
        // Taken out while other slots are looked at.
        let mut loan = std::mem::take(loan_of(slots, awaiter));
        loan.awaits(ticket, |next| slot_of(slots, next).is_some());
        *loan_of(slots, awaiter) = loan;
        if is_tail(slots, awaiter) {
            return Some(awaiter);
        }
        ticket = awaiter;
    }
}

/// Searches for a child that can use the place of a tail.
///
/// Children on the way are taken out of the lists, and so are those that have no use for a place.
fn way_from(slots: &mut Slab<Slot>, tail: Ticket) -> Option<Way> {
    let mut in_want = Vec::new();
    loop {
        let at = in_want.last().copied().unwrap_or(tail);
        let Some(next) = loan_of(slots, at).awaited.front().copied() else {
            // Its list is empty now, so it is not in want any more.
            in_want.pop()?;
            continue;
        };
        match Lent::of(slots, next, at) {
            Some(Lent::InWant) => in_want.push(next),
            Some(lent) if lent == Lent::Queued || !is_one_chain(slots, next, tail) => {
                // So that it can be seen which of them are not in want any more.
                std::iter::once(&tail).chain(&in_want).for_each(|at| strike_first(slots, *at));
                return Some(Way { tail, in_want, last: next, lent });
            }
            _ => strike_first(slots, at),
        }
    }
}

/// Removes the first entry of a list.
fn strike_first(slots: &mut Slab<Slot>, at: Ticket) {
    let awaited = &mut loan_of(slots, at).awaited;
    let Some(next) = awaited.pop_front() else { return };
    shrink(awaited);
    if let Some(slot) = slot_of(slots, next) {
        let loan = slot.member.loan_mut();
        loan.is_told &= !loan.is_awaited_by(at);
    }
}

/// Unlinks a child that stays, and returns the children that were before and after it.
fn take_out(slots: &mut Slab<Slot>, ticket: Ticket) -> (Option<Ticket>, Option<Ticket>) {
    let loan = loan_of(slots, ticket);
    (loan.lender.take(), loan.borrower.take())
}

/// Closes the gap that a child leaves in its chain, if it was in one.
///
/// The child that ran in its place now has that place from the lender of the child that left, or as its own. Returns
/// whether the place is free.
fn leave_chain(
    own: bool,
    (lender, mut borrower): (Option<Ticket>, Option<Ticket>),
    slots: &mut Slab<Slot>,
    in_want: &mut Vec<Ticket>,
) -> bool {
    // The child that left may be its awaiter, without having it in its list.
    in_want.extend(borrower);
    match lender {
        Some(lender) => loan_of(slots, lender).borrower = borrower,
        // A child that needs no place is never the first of a chain.
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

/// Returns the loan of a child that is there.
fn loan_of(slots: &mut Slab<Slot>, ticket: Ticket) -> &mut Loan {
    slots[ticket.key() as usize].member.loan_mut()
}

/// Whether a child that is there has a place of its own.
///
/// It was given one, or lent one when it was queued.
fn has_own(slots: &Slab<Slot>, ticket: Ticket) -> bool {
    slots[ticket.key() as usize].member.is(Fact::PLACED)
}

/// Whether a child that is there is the last of a chain.
///
/// The last child of a chain has the place to lend.
fn is_tail(slots: &mut Slab<Slot>, ticket: Ticket) -> bool {
    let has_own = has_own(slots, ticket);
    let loan = loan_of(slots, ticket);
    (has_own || loan.lender.is_some()) && loan.borrower.is_none()
}

/// Whether `first` and `tail` belong to the same chain.
///
/// This walks from both ends at once, and so takes no more steps than the shorter of the two chains is long. That
/// matters: as many chains as there are children can become one in this way.
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
    /// Lets a queued child start because the current sibling waits for it.
    ///
    /// That sibling may also wait for another child, which waits for the queued one.
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
