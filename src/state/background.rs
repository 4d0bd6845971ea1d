//! Background children, which a group does not count among the others.
//!
//! They end when the ordinary children have ended, with their clean-ups, which may need the services. A caller that waits
//! for the end of the group finds that nothing of them is left, closes the group and cancels the background children, in
//! one step under the lock. A background child that comes later is refused.
//!
//! A clean-up of a background child is not waited for: it does not begin before that child is gone. Nor is one that such
//! a clean-up registers.

use std::sync::Arc;

use crate::state::State;
use crate::state::effects::Effects;
use crate::state::facts::Fact;
use crate::state::member::{Key, Kind, Member};
use crate::state::table::Table;

/// What a group knows of its background children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Background {
    /// How many live that do not only watch a deadline.
    services: usize,
    /// How many live that do.
    pub(crate) watchers: usize,
    /// How many clean-ups of the body and of ordinary children have not ended.
    pub(crate) served: usize,
    /// They were cancelled because all other children have ended.
    pub(crate) ended: bool,
}

impl Background {
    /// Notes that a background child has come.
    pub(crate) fn entered(&mut self, kind: Kind) {
        match kind {
            Kind::Watch => self.watchers += 1,
            _ => self.services += 1,
        }
    }

    /// Notes that a member has left, of whatever kind it is.
    pub(crate) fn left(&mut self, member: &Member) {
        match member.kind() {
            Kind::Background => self.services -= 1,
            Kind::Watch => self.watchers -= 1,
            Kind::Cleanup => self.served -= usize::from(member.is_served()),
            Kind::Ordinary | Kind::Body => {}
        }
    }
}

impl Table {
    /// Makes the background children stay until this clean-up has ended.
    pub(crate) fn serve(&mut self, cleanup: Key) {
        self.background.served += 1;
        self.member(cleanup, |cleanup, _| cleanup.serve());
    }
}

impl State {
    /// Whether nothing is left and nothing can come. Ends the background children if nothing else is left.
    pub(crate) fn has_ended(self: &Arc<Self>) -> bool {
        let table = self.lock();
        let seen = self.word.look();
        let is_over = !seen.is_open() && table.body.is(Fact::GONE);
        drop(table);
        if !is_over || seen.is_clear() {
            // Whoever watches a deadline may still come after this look. Nobody would tell of its end.
            return is_over;
        }
        self.end_background();
        self.word.look().is_clear()
    }

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
        let Background { services, watchers, served, ended } = table.background;
        let services = services > 0 && served == 0 && !ended;
        // A child that watches a deadline stays until the very end: clean-ups may still start children, and a background
        // child may be under a shield.
        let watches = watchers > 0 && watchers == seen.others();
        if services || watches {
            table.background.ended = true;
            if !self.word.look().is_closed() {
                self.close_locked(&mut table, &mut effects);
                effects.notify(self);
            }
            let Table { slots, singled, locked, .. } = &mut *table;
            let ends = |kind| (services && kind == Kind::Background) || (watches && kind == Kind::Watch);
            for (_, slot) in slots.iter_mut().filter(|(_, slot)| ends(slot.member.kind())) {
                *singled += usize::from(self.single_out(slot, locked, &mut effects));
            }
        }
        drop(table);
        effects.run();
    }
}
