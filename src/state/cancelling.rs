//! Cancelling a group or one child of it, and closing a group: see the invariants in `state.rs`.

use std::sync::Arc;
use std::time::Instant;

use crate::error::CancelReason;
#[cfg(feature = "tracing")]
use crate::observe::trace::Cancelled;
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::facts::Fact;
use crate::state::member::{Kind, Slot};
use crate::state::table::{Table, slot_of};
use crate::state::ticket::Ticket;
use crate::state::word::Locked;

impl State {
    pub(crate) fn cancel(self: &Arc<Self>, reason: CancelReason) {
        let mut effects = Effects::default();
        self.cancel_into(reason, &mut effects);
        effects.run();
    }

    /// Marks every member as cancelled; the first reason is kept.
    pub(crate) fn cancel_into(self: &Arc<Self>, reason: CancelReason, effects: &mut Effects) {
        self.cancel_locked(&mut self.lock(), reason, effects);
    }

    pub(crate) fn cancel_locked(
        self: &Arc<Self>,
        table: &mut Table,
        reason: CancelReason,
        effects: &mut Effects,
    ) {
        if table.reason.is_some() || self.word.look().is_finished() {
            return;
        }
        // A deadline outranks an explicit cancel. So the child that watches the deadline runs on, and ends after all
        // others.
        let explicit = matches!(reason, CancelReason::Explicit(_));
        table.reason = Some(Box::new(reason));
        table.cancelled_at = self.is_observed().then(Instant::now);
        #[cfg(feature = "tracing")]
        if table.span.is_some() {
            effects.tell(Cancelled::Group(self.clone()));
        }
        self.note_forced(table, effects);
        self.word.cancel(&mut table.locked, &self.flags);
        let Table { slots, body, limit, on_pool, .. } = table;
        if let Some(limit) = limit {
            limit.give_up(effects);
        }
        let mut there = Vec::new();
        for (_, slot) in slots {
            if slot.member.kind() != Kind::Watch || !explicit {
                let task = slot.member.cancel(&mut slot.task, effects);
                match slot.member.is(Fact::ON_POOL) {
                    true => there.extend(task),
                    false => effects.dispose(task),
                }
            }
        }
        if let Some(pool) = &on_pool.kept {
            effects.dispose_on(pool, there);
        }
        let _none = body.cancel(&mut None, effects);
        effects.notify(self);
        effects.settle(self);
    }

    pub(crate) fn cancel_child(self: &Arc<Self>, ticket: Ticket) {
        let mut effects = Effects::default();
        let mut table = self.lock();
        let Table { slots, singled, locked, .. } = &mut *table;
        if let Some(slot) = slot_of(slots, ticket) {
            *singled += usize::from(self.single_out(slot, locked, &mut effects));
        }
        drop(table);
        effects.run();
    }

    /// Cancels one child, and returns whether it was not ending already.
    pub(crate) fn single_out(&self, slot: &mut Slot, locked: &mut Locked, effects: &mut Effects) -> bool {
        if slot.member.is(Fact::CANCELLED) || slot.member.is(Fact::GONE) {
            return false;
        }
        slot.member.facts.set(Fact::SINGLED);
        slot.member.mark_singled();
        #[cfg(feature = "tracing")]
        if self.is_observed() {
            effects.tell(Cancelled::Alone(slot.member.span()));
        }
        // This comes before the `Task` is dropped, so that the wrapper looks at the slot from now on.
        self.flags.single_out(locked);
        let task = slot.member.cancel(&mut slot.task, effects);
        effects.dispose(task);
        true
    }

    pub(crate) fn close(self: &Arc<Self>) {
        let mut effects = Effects::default();
        self.close_locked(&mut self.lock(), &mut effects);
        effects.run();
        // Wakes those who wait for results: there may be no more.
        self.notify();
    }

    pub(crate) fn close_locked(&self, table: &mut Table, effects: &mut Effects) {
        if self.word.look().is_closed() {
            // The group is closed already, and nobody has begun to wait for a place since.
            return;
        }
        self.word.close(&mut table.locked);
        if let Some(limit) = &mut table.limit {
            limit.turn_away(effects);
        }
    }
}
