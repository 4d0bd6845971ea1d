//! Groups inside groups, and shields: what a member holds, and which member holds a group.

use std::sync::Arc;
use std::task::Waker;

use crate::child::context;
use crate::error::Origin;
use crate::group::config::Config;
use crate::outcome::Outcome;
use crate::state::State;
use crate::state::effects::Effects;
use crate::state::facts::Fact;
use crate::state::member::{BODY, Key, Kind, Member};
use crate::state::table::Table;

/// The member in which a group was opened.
pub(crate) struct Parent {
    pub(crate) group: Arc<State>,
    pub(crate) key: Key,
    pub(crate) origin: Origin,
}

/// Where in its parent a group is listed.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    key: Key,
    at: usize,
    /// The member does not wait for the group any more.
    loose: bool,
}

impl Parent {
    /// The id of the member: its slot may be another member's by now.
    pub(crate) fn id(&self) -> u64 {
        self.origin.child.map_or(0, |(id, _)| id)
    }
}

impl State {
    /// Opens a group, linked to the member that is current on this thread.
    pub(crate) fn open(mut config: Config, has_body: bool) -> Arc<Self> {
        let parent = context::innermost().map(|(group, key)| {
            let origin = group.origin(key);
            Box::new(Parent { group, key, origin })
        });
        if let Some(around) = parent.as_ref().map(|parent| &parent.group.config) {
            config.observe_polls |= around.observe_polls;
            config.metrics = config.metrics.or_else(|| around.metrics.clone());
        }
        let state = Self::open_root(config, has_body, parent);
        let Some(parent) = &state.parent else { return state };

        let mut effects = Effects::default();
        let (link, stopping) = parent.group.link(parent.key, &state);
        let mut table = state.lock();
        table.link = link.map(|at| Link { key: parent.key, at, loose: false });
        if stopping {
            state.word.stop(&mut table.locked);
        }
        if link.is_some() {
            // In between, a cancel may have come and found nothing to unlink. A later one finds the link.
            state.settle_if_due(state.word.look(), &mut effects);
        } else {
            effects.cancel(state.clone());
        }
        drop(table);
        effects.run();
        state
    }

    // ---- shields ----

    /// Begins a shield in a member, and returns the member's id.
    ///
    /// Returns `None` if the member is cut already.
    pub(crate) fn begin_shield(&self, key: Key) -> Option<u64> {
        let mut table = self.lock();
        let id = table.id(key)?;
        let is_cut = table.member(key, |member, _| {
            let is_cut = member.is(Fact::CUT);
            if !is_cut {
                member.shield();
            }
            is_cut
        })?;
        if is_cut {
            return None;
        }
        if key != BODY {
            self.flags.entangle(&mut table.locked);
        }
        Some(id)
    }

    /// Ends a shield.
    ///
    /// `due` says that no poll of the member is under way. Such a poll would cut the member afterwards.
    pub(crate) fn end_shield(self: &Arc<Self>, key: Key, id: u64, due: bool, effects: &mut Effects) {
        let mut table = self.lock();
        if table.id(key) != Some(id) {
            return;
        }
        table.member(key, |member, task| {
            member.unshield(effects);
            if due {
                member.cut_if_due(task, effects);
            }
        });
        drop(table);
        if key == BODY {
            effects.notify(self);
            self.settle_if_due(self.word.look(), effects);
        }
    }

    /// Ends a poll under a shield, and returns whether a shield is left.
    ///
    /// Cuts the member if the last shield ended, or else keeps the waker.
    pub(crate) fn after_shielded_poll(self: &Arc<Self>, key: Key, waker: &Waker) -> bool {
        let mut effects = Effects::default();
        let look = |member: &mut Member, task: &mut _| {
            member.cut_if_due(task, &mut effects);
            (member.shields() > 0, member.lacks_waker(waker))
        };
        let (shielded, lacks_waker) = self.lock().member(key, look).unwrap_or_default();
        if lacks_waker {
            // Cloned without the lock. A cancel may come in between: then the waker is called at once.
            let mut waker = Some(waker.clone());
            self.lock()
                .member(key, |member, _| member.keep_waker(waker.take().expect("called once"), &mut effects));
        }
        if key == BODY {
            self.settle_if_due(self.word.look(), &mut effects);
        }
        effects.run();
        shielded
    }

    pub(crate) fn is_shielded(&self, key: Key) -> bool {
        self.lock().member(key, |member, _| member.shields() > 0).unwrap_or(false)
    }

    /// Whether this is known of a member. If it is gone, it is.
    pub(crate) fn member_is(&self, key: Key, fact: Fact) -> bool {
        self.lock().member(key, |member, _| member.is(fact)).unwrap_or(true)
    }

    /// Whether the member is to be dropped as soon as no shield holds it. A clean-up is not, although it is marked.
    pub(crate) fn is_asked_to_end(&self, key: Key) -> bool {
        let asked =
            |member: &mut Member, _: &mut _| member.is(Fact::CANCELLED) && member.kind() != Kind::Cleanup;
        self.lock().member(key, asked).unwrap_or(true)
    }

    // ---- groups inside groups ----

    /// Asks the members of this group, and of all groups inside it, to end.
    pub(crate) fn stop(self: &Arc<Self>) {
        let mut effects = Effects::default();
        effects.stop(self.clone());
        effects.run();
    }

    pub(crate) fn stop_into(self: &Arc<Self>, effects: &mut Effects) {
        let mut table = self.lock();
        if self.word.stop(&mut table.locked) {
            for group in table.members().flat_map(Member::groups) {
                effects.stop(group.clone());
            }
            effects.notify(self);
        }
    }

    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.parent.as_deref()
    }

    /// Lists a group that was opened in a member, and returns whether members are asked to end.
    ///
    /// The link is `None` if that member is cut: then the group is cancelled from the start.
    fn link(&self, key: Key, group: &Arc<State>) -> (Option<usize>, bool) {
        let mut table = self.lock();
        if key == BODY {
            self.word.look().check_room(Kind::Body);
        }
        let (link, is_cancelled) = table
            .member(key, |member, _| (member.link(group), member.is(Fact::CANCELLED)))
            .unwrap_or_default();
        if let Some(link) = link {
            self.note_link(&mut table, key, link);
        }
        // A shielded child that was cancelled alone is not told again when its group is cancelled.
        (link, is_cancelled || self.word.look().is_stopping())
    }

    /// Notes that a group was linked to this member: the group waits for what is opened in its body, unless the body owns it.
    fn note_link(&self, table: &mut Table, key: Key, link: usize) {
        if key == BODY {
            if !table.body.counts(link) {
                return;
            }
            self.word.enter(&mut table.locked, Kind::Body);
        } else {
            self.flags.entangle(&mut table.locked);
        }
    }

    /// Links a group again in which something was entered after the group was over.
    ///
    /// A group does not wait for its body if that is cut: the body is destroyed with its host, which waits for the
    /// group. So the group may be over, and its link gone, while the cut body is in its last poll or in its
    /// destructors. There the body may register a clean-up. The clean-up is entered first, so the group is not over
    /// again before the clean-up has ended. If another thread is cutting a link meanwhile, that is the old link, not
    /// the new one.
    ///
    /// While the body exists, so does the slot of its host, unless the scope was carried away from its host. In that
    /// case the group around waits for this group as for a group in its own body.
    pub(crate) fn relink(self: &Arc<Self>) {
        let mut effects = Effects::default();
        let mut group = self.clone();
        while let Some(parent) = group.parent() {
            if group.lock().link.is_some() {
                break;
            }
            let around = &parent.group;
            let mut table = around.lock();
            let key = if table.id(parent.key) == Some(parent.id()) { parent.key } else { BODY };
            if key == BODY {
                around.word.look().check_room(Kind::Body);
            }
            let link = table.member(key, |member, _| member.relink(&group)).expect("it was looked at");
            around.note_link(&mut table, key, link);
            drop(table);
            // Another thread may have linked the group meanwhile.
            let double = group.lock().link.replace(Link { key, at: link, loose: false });
            if let Some(double) = double {
                around.unlink(double, &mut effects);
            }
            // What was entered may be in a group that this one owns, and that it does not wait for.
            effects.settle(&group);
            if key != BODY {
                break;
            }
            group = around.clone();
        }
        effects.run();
    }

    fn unlink(self: &Arc<Self>, Link { key, at: link, .. }: Link, effects: &mut Effects) {
        let mut table = self.lock();
        let counted = key != BODY || table.body.counts(link);
        let (group, task, freed) = table
            .member(key, |member, task| {
                let group = member.unlink(link);
                let task = member.release(task, effects);
                (group, task, member.is(Fact::GONE) && !member.holds_groups())
            })
            .expect("a member stays in the table while a group is linked to it");
        effects.dispose(task);
        if !counted {
            self.settle_if_due(self.word.look(), effects);
        } else if key == BODY {
            self.release(&mut table, effects);
        } else if freed {
            self.free(&mut table, key, effects);
        }
        drop(table);
        drop(group);
    }

    /// Lets the member be dropped before this group inside it has ended, but still counts it when the member is gone.
    fn loosen(self: &Arc<Self>, Link { key, at: link, .. }: Link, effects: &mut Effects) {
        let mut table = self.lock();
        let (counted, task) = table
            .member(key, |member, task| (member.loosen(link), member.release(task, effects)))
            .expect("a member stays in the table while a group is linked to it");
        effects.dispose(task);
        if key == BODY && counted {
            self.release(&mut table, effects);
        }
    }

    /// Settles the group, for a caller that has nothing else to do first. To note it would take two allocations.
    pub(crate) fn settle_now(self: &Arc<Self>) {
        let mut effects = Effects::default();
        self.settle(&mut effects);
        effects.run();
    }

    /// If the group is over, hands outwards the failures that nobody read, and cuts the link.
    ///
    /// A cut body may own groups, which end when it is dropped. Then the link is only loosened, and cut when they have
    /// ended: the body may have been carried elsewhere, or leaked.
    pub(crate) fn settle(self: &Arc<Self>, effects: &mut Effects) {
        let mut table = self.lock();
        let seen = self.word.look();
        let over = seen.is_finished()
            || (seen.is_cancelled() && (table.body.is(Fact::CUT) || table.body.is(Fact::GONE)));
        if !seen.is_clear() || !over {
            return;
        }
        // Nobody reads either what was recorded after the outcome was read.
        let unread = (table.abandoned || seen.is_finished()).then(|| std::mem::take(&mut table.outcome));
        let owns = !table.body.is(Fact::GONE) && table.body.holds_groups();
        let link = table.link.take_if(|link| !owns || !link.loose);
        drop(table);
        #[cfg(feature = "tracing")]
        if self.is_observed() && !owns {
            self.trace_end();
        }
        let Some(parent) = &self.parent else { return };
        if let Some(unread) = unread {
            hand_outwards(unread, parent, effects);
        }
        match link {
            Some(link) if owns => {
                parent.group.loosen(link, effects);
                let double = self.lock().link.replace(Link { loose: true, ..link });
                if let Some(double) = double {
                    parent.group.unlink(double, effects);
                }
                // It may have ended meanwhile, and found no link.
                self.settle(effects);
            }
            Some(link) => parent.group.unlink(link, effects),
            None => {}
        }
    }
}

/// Records the unread failures of a group in the group around it.
///
/// A group that has ended has nobody to tell. So they go to the next group outwards that has not ended. That group may
/// end meanwhile if nothing in it is counted: the body of a scope may be destroyed long after its host.
fn hand_outwards(mut unread: Outcome, parent: &Parent, effects: &mut Effects) {
    if unread.is_empty() && unread.not_kept() == 0 {
        return;
    }
    let mut around = parent;
    unread.outward(&around.origin);
    while !around.group.hold_open() {
        let Some(further) = around.group.parent() else { return };
        around = further;
        unread.outward(&around.origin);
    }
    let group = &around.group;
    group.lock().outcome.add_not_kept(unread.not_kept());
    for (origin, failure) in unread.into_kept() {
        group.record_into(failure, origin, effects);
    }
    // That group may have been abandoned, and may be over now.
    group.release(&mut group.lock(), effects);
}

impl Drop for State {
    fn drop(&mut self) {
        // Parents hold one another: this drops the chain in a loop, not on the stack.
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent.group).and_then(|mut state| state.parent.take());
        }
    }
}
