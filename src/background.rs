//! Background children, which a group does not count among the others.
//!
//! They end when the ordinary children have ended. A caller that waits for the end of the group finds that no ordinary
//! child is left, closes the group and cancels the background children, in one step under the lock. A background child
//! that comes later is refused.

use std::sync::Arc;

use crate::effects::Effects;
use crate::state::State;
use crate::table::Table;

/// What a group knows of its background children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Background {
    pub(crate) living: usize,
    /// How many of them only watch a deadline.
    pub(crate) keepers: usize,
    /// They were cancelled because all other children have ended.
    pub(crate) ended: bool,
}

impl State {
    /// Cancels the background children if nothing else is left.
    ///
    /// For callers that wait for the end of the group.
    pub(crate) fn end_background(self: &Arc<Self>) {
        let seen = self.word.look();
        if seen.children() > 0 || seen.is_clear() {
            return;
        }
        let mut effects = Effects::default();
        let mut table = self.lock();
        // Looks again under the lock, because a child may have come meanwhile.
        let seen = self.word.look();
        if seen.children() > 0 {
            return;
        }
        let Background { living, keepers, ended } = table.background;
        // A child that watches a deadline stays until the very end, because clean-ups may still start children.
        let last = living > keepers || seen.others() == living;
        if living > 0 && last && !ended {
            table.background.ended = true;
            self.close_locked(&mut table, &mut effects);
            let Table { slots, singled, locked, .. } = &mut *table;
            for (_, slot) in slots.iter_mut().filter(|(_, slot)| slot.member.kind().is_background()) {
                *singled += usize::from(self.single_out(slot, locked, &mut effects));
            }
        }
        drop(table);
        effects.run();
    }
}
