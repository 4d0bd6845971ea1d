//! The table in which a group has its children, and everything else that is changed under its lock.
//!
//! A child has a slot from before its future reaches the spawner until nothing of the child is left. If the spawner
//! asks for it, the `Task`s of ended children may stay for a while in the *yard*: the cell of such a `Task` is best
//! freed where it was made.

use std::num::NonZero;
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

use async_task::Task;
use slab::Slab;

use crate::error::{CancelReason, Refusal};
#[cfg(feature = "tracing")]
use crate::observe::trace::Span;
use crate::outcome::Outcome;
use crate::spawner::on_pool::OnPool;
use crate::state::State;
use crate::state::background::Background;
use crate::state::deadline::Deadline;
use crate::state::limit::{Limit, Place};
use crate::state::member::{BODY, Key, Kind, Member, Slot};
use crate::state::nesting::Link;
use crate::state::ticket::Ticket;
use crate::state::word::{Locked, Seen};
use crate::sync::spare::KEPT;

/// How many `Task`s of ended children are kept, and how many of them each spawn takes out.
const YARD: usize = 16;
const SWEPT: usize = 2;

/// The fields are ordered as [`State`](crate::state::State) explains.
#[repr(C)]
pub(crate) struct Table {
    pub(crate) locked: Locked,
    pub(crate) background: Background,
    pub(crate) deadline: Option<Box<Deadline>>,
    /// The body; in a group without one, it is gone from the start.
    pub(crate) body: Member,
    pub(crate) reason: Option<Box<CancelReason>>,
    #[cfg(feature = "tracing")]
    pub(crate) span: Span,
    /// When the group was cancelled; not known if polls are not marked.
    pub(crate) cancelled_at: Option<Instant>,
    /// How many living children were cancelled on their own.
    pub(crate) singled: usize,
    /// The member around this group that waits for it, and the group's place in the list of that member, while it is
    /// listed.
    pub(crate) link: Option<Link>,
    /// Set when nobody is left who could read the outcome.
    pub(crate) abandoned: bool,
    pub(crate) outcome: Outcome,
    pub(crate) limit: Option<Box<Limit>>,
    /// Set when the group's own runtime is gone: then no `Task` of a child on that runtime is kept.
    pub(crate) bereft: bool,
    /// Whether `Task`s of ended children are kept.
    pub(crate) keeps_ended: bool,
    /// The yard: `Task`s of ended children, for the next thread that spawns. Empty while no child lives.
    yard: Vec<Task<()>>,
    /// What all children together hold of their group; set while any child is counted.
    pub(crate) keeper: Option<Arc<State>>,
    /// What the children on one pool hold of that pool.
    pub(crate) on_pool: OnPool,
    next_id: NonZero<u64>,
    pub(crate) slots: Slab<Slot>,
}

impl Table {
    #[inline]
    pub(crate) fn new(body: Member, deadline: Option<Box<Deadline>>, limit: Option<Box<Limit>>) -> Self {
        Self {
            locked: Locked::default(),
            background: Background::default(),
            deadline,
            body,
            reason: None,
            #[cfg(feature = "tracing")]
            span: Span::default(),
            cancelled_at: None,
            singled: 0,
            link: None,
            abandoned: false,
            outcome: Outcome::default(),
            limit,
            bereft: false,
            keeps_ended: false,
            yard: Vec::new(),
            keeper: None,
            on_pool: OnPool::NOBODY,
            next_id: Ticket::FIRST,
            slots: Slab::new(),
        }
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn traced(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// Runs `f` on the member under `key`, with its `Task` if it is a child.
    pub(crate) fn member<R>(
        &mut self,
        key: Key,
        f: impl FnOnce(&mut Member, &mut Option<Task<()>>) -> R,
    ) -> Option<R> {
        if key == BODY {
            return Some(f(&mut self.body, &mut None));
        }
        self.slots.get_mut(key as usize).map(|slot| f(&mut slot.member, &mut slot.task))
    }

    /// Returns the body and every child.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.body).chain(self.slots.iter().map(|(_, slot)| &slot.member))
    }

    pub(crate) fn id(&self, key: Key) -> Option<u64> {
        if key == BODY { Some(0) } else { self.slots.get(key as usize).map(|slot| slot.member.id()) }
    }

    /// Whether the slot still belongs to this member; it may be another member's by now.
    pub(crate) fn is_of(&self, key: Key, id: Option<u64>) -> bool {
        id.is_none() || self.id(key) == id
    }

    pub(crate) fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        slot_of(&mut self.slots, ticket)
    }

    /// Gives a child its slot, and queues it if it has to wait for a place.
    #[inline]
    pub(crate) fn insert(&mut self, location: &'static Location<'static>, mut member: Member) -> Ticket {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        member.facts.identify(id.get());
        let entry = self.slots.vacant_entry();
        assert!(entry.key() < BODY as usize, "fewer than 2^32 - 1 children live at once");
        let key = entry.key() as Key;
        let ticket = Ticket::new(key, id, &member);
        let slot = entry.insert(Slot::EMPTY);
        slot.location = location;
        // The replaced value holds nothing that needs dropping.
        std::mem::forget(std::mem::replace(&mut slot.member, member));
        if ticket.is_queued() {
            self.limit.as_mut().expect("a child is queued under a limit").queue(ticket);
        }
        ticket
    }

    /// Takes some `Task`s out of the yard.
    #[inline]
    pub(crate) fn sweep(&mut self) -> Option<[Option<Task<()>>; SWEPT]> {
        self.keeps_ended.then(|| std::array::from_fn(|_| self.yard.pop()))
    }

    /// Takes all `Task`s out of the yard.
    pub(crate) fn clear(&mut self) -> Vec<Task<()>> {
        std::mem::take(&mut self.yard)
    }

    /// Keeps the `Task` of an ended child if there is room, and returns it otherwise.
    pub(crate) fn keep(&mut self, task: Task<()>) -> Option<Task<()>> {
        if self.yard.len() == YARD {
            return Some(task);
        }
        if self.yard.capacity() == 0 {
            self.yard.reserve_exact(YARD);
        }
        self.yard.push(task);
        None
    }

    /// Frees the memory of a table that was large and is empty.
    pub(crate) fn shrink(&mut self) {
        if self.slots.is_empty() && self.slots.capacity() > KEPT {
            self.slots = Slab::new();
        }
    }

    /// Whether the group was cancelled because the runtime dropped a child by itself.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.reason.as_deref(), Some(CancelReason::Lost))
    }

    /// Returns why a child is refused although the flags do not forbid it, if it is refused.
    ///
    /// A child that finds the group full is marked as queued.
    pub(crate) fn refusal(&mut self, seen: Seen, member: &mut Member, place: Place) -> Option<Refusal> {
        let cancelled = match (self.reason.as_deref(), member.kind()) {
            (None, _) | (_, Kind::Cleanup) => false,
            // A deadline outranks an explicit cancel, as long as the group has not ended.
            (Some(CancelReason::Explicit(_)), Kind::Watch) => !self.has_members(seen),
            (Some(_), _) => true,
        };
        if cancelled {
            return Some(Refusal::Cancelled);
        }
        if member.kind().is_background() {
            self.background.entered(member.kind());
        }
        self.limit.as_mut().and_then(|limit| limit.admit(member, place))
    }
}

/// Returns the slot of exactly this child, if it is still there.
pub(crate) fn slot_of(slots: &mut Slab<Slot>, ticket: Ticket) -> Option<&mut Slot> {
    slots.get_mut(ticket.key() as usize).filter(|slot| slot.member.id() == ticket.id())
}
