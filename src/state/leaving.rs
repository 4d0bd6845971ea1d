//! Waiting until nothing is left of one child, which is until it has left the table.
//!
//! A child that somebody waits for has a [`Signal`] of its own. Whoever frees the slot of such a child gives the signal, when
//! no lock is held any more.
//!
//! # Interleavings that matter
//!
//! * *The child ends while somebody begins to wait.* The signal is made under the lock of the table. So either the slot is
//!   free already, and there is nothing to wait for; or whoever frees it finds the signal. Each waiter listens before it looks
//!   whether the child is there.
//! * *The child is put by* (see `crowd`), before or meanwhile. It would stay in the table for as long as nobody hands it in.
//!   So the first waiter marks the group as entangled, so that no more children are put by, and then hands in those that were,
//!   in the same critical section. A child looks for the mark under the lock of the list, which is taken to hand in: either it
//!   is in the list, or it sees the mark.

use std::sync::Arc;

use crate::state::State;
use crate::state::signal::Signal;
use crate::state::table::slot_of;
use crate::state::ticket::Ticket;

impl State {
    /// Whether nothing is left of a child.
    pub(crate) fn has_left(&self, ticket: Ticket) -> bool {
        slot_of(&mut self.lock().slots, ticket).is_none()
    }

    /// Returns the signal that is given when nothing is left of a child; `None` if that is so now.
    pub(crate) fn leaving(self: &Arc<Self>, ticket: Ticket) -> Option<Arc<Signal>> {
        let mut table = self.lock();
        let signal = slot_of(&mut table.slots, ticket)?.member.left().clone();
        self.flags.entangle(&mut table.locked);
        // Otherwise none is put by. To hand in would then notify those who wait for the group, though nobody has left.
        if self.flags.is_crowded() {
            self.hand_in(table, None);
        }
        Some(signal)
    }
}
