//! Groups inside groups, and shields: what a member holds, and what holds it.

use std::sync::Arc;
use std::task::Waker;

use crate::context::Context;
use crate::effects::Effects;
use crate::error::Origin;
use crate::member::{BODY, Key};
use crate::outcome::Config;
use crate::state::State;

/// The member in which a group was opened.
pub(crate) struct Parent {
    pub(crate) group: Arc<State>,
    pub(crate) key: Key,
    /// The id of the child, as its key may be given to another one when it has left.
    id: u64,
    origin: Origin,
}

impl State {
    /// Opens a group, linked to the member that is current on this thread.
    pub(crate) fn open(config: Config, has_body: bool) -> Arc<Self> {
        let parent = Context::with(|context| (context.group.clone(), context.key));
        let parent = parent.and_then(|(group, key)| {
            let id = group.id_of(key)?;
            let origin = group.origin(key);
            Some(Parent { group, key, id, origin })
        });
        let state = Self::open_root(config, has_body, parent);
        let Some(parent) = &state.parent else { return state };

        let mut effects = Effects::default();
        let link = parent.group.link(parent.key, &state);
        if link.is_some() {
            state.lock().link = link;
            // A cancel may have come, and found nothing to unlink, in between.
            effects.settle(&state);
        } else {
            effects.cancel(state.clone());
        }
        effects.run();
        state
    }

    // ---- shields ----

    /// Begins a shield in a member and in those that poll it. `None` if one of them is cut already.
    ///
    /// From the task inwards: once the task cannot be cut, a refusal further in leaves nothing half held.
    pub(crate) fn shield(self: &Arc<Self>, key: Key) -> Option<u64> {
        let id = self.id_of(key)?;
        let chain = self.up_to_task(key, id);
        for (at, (state, key)) in chain.iter().enumerate().rev() {
            let began = state.lock().member(*key, |member, _| !member.cut && member.shield());
            if began != Some(true) {
                let mut effects = Effects::default();
                chain[at + 1..].iter().for_each(|(state, key)| state.unhold(*key, false, &mut effects));
                effects.run();
                return None;
            }
            if *key == BODY {
                state.word.hold();
            }
        }
        Some(id)
    }

    /// Ends a shield. `due` says that no poll of the member is under way that would see to the cut.
    pub(crate) fn unshield(self: &Arc<Self>, key: Key, id: u64, due: bool) {
        let mut effects = Effects::default();
        for (state, key) in self.up_to_task(key, id) {
            state.unhold(key, due, &mut effects);
        }
        effects.run();
    }

    fn unhold(self: &Arc<Self>, key: Key, due: bool, effects: &mut Effects) {
        self.lock().member(key, |member, task| {
            member.unshield(effects);
            if due {
                member.cut_if_due(task, effects);
            }
        });
        if key == BODY {
            self.release(effects);
        }
    }

    /// The member and those around it in the same task: bodies, up to the child that polls them.
    fn up_to_task(self: &Arc<Self>, key: Key, id: u64) -> Vec<(Arc<State>, Key)> {
        let mut chain = Vec::new();
        let mut next = Some((self, key, id));
        while let Some((state, key, id)) = next {
            if state.lock().id(key) != Some(id) {
                break;
            }
            chain.push((state.clone(), key));
            let parent = state.parent.as_ref().filter(|_| key == BODY);
            next = parent.map(|parent| (&parent.group, parent.key, parent.id));
        }
        chain
    }

    /// After a poll under a shield: cuts the member if the last shield ended, else keeps the waker.
    pub(crate) fn after_shielded_poll(self: &Arc<Self>, key: Key, waker: Waker) {
        let mut effects = Effects::default();
        let mut waker = Some(waker);
        self.lock().member(key, |member, task| {
            member.cut_if_due(task, &mut effects);
            member.keep_waker(waker.take().expect("called once"), &mut effects);
        });
        if key == BODY {
            effects.settle(self);
        }
        effects.run();
    }

    pub(crate) fn is_shielded(&self, key: Key) -> bool {
        self.lock().member(key, |member, _| member.shields() > 0).unwrap_or(false)
    }

    pub(crate) fn is_member_cancelled(&self, key: Key) -> bool {
        self.lock().member(key, |member, _| member.cancelled).unwrap_or(true)
    }

    // ---- groups inside groups ----

    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// Lists a group that was opened in a member. `None` if that member is cut: the group is born cancelled.
    fn link(&self, key: Key, group: &Arc<State>) -> Option<usize> {
        let mut table = self.lock();
        let link = table.member(key, |member, _| member.link(group)).flatten();
        if link.is_some() && key == BODY {
            self.word.hold();
        }
        link
    }

    fn unlink(self: &Arc<Self>, key: Key, link: usize, effects: &mut Effects) {
        let mut table = self.lock();
        let (group, freed) = table
            .member(key, |member, task| {
                let group = member.unlink(link);
                member.release(task, effects);
                (group, member.gone && !member.holds_groups())
            })
            .expect("a member stays in the table while a group is linked to it");
        let slot = (freed && key != BODY).then(|| self.free(&mut table, key));
        drop(table);
        if key == BODY {
            self.release(effects);
        } else if slot.is_some() {
            self.leave(effects);
        }
        drop(group);
    }

    /// If the group has ended for good: hands outwards what nobody read, and cuts the link.
    pub(crate) fn settle(self: &Arc<Self>, effects: &mut Effects) {
        let mut table = self.lock();
        let seen = self.word.look();
        let over = seen.is_finished() || (seen.is_cancelled() && (table.body.cut || table.body.gone));
        if !seen.is_clear() || !over {
            return;
        }
        let unread = table.abandoned.then(|| std::mem::take(&mut table.outcome));
        let link = table.link.take();
        drop(table);
        let Some(parent) = &self.parent else { return };
        for (origin, failure) in unread.into_iter().flat_map(|outcome| outcome.outward(&parent.origin)) {
            parent.group.record_into(failure, origin, effects);
        }
        if let Some(link) = link {
            parent.group.unlink(parent.key, link, effects);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Parents hold one another: drop the chain in a loop, not on the stack.
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent.group).and_then(|mut state| state.parent.take());
        }
    }
}
