//! Runtimes that go away, and what a group loses with them.
//!
//! Some spawners register groups, as a pool does, and tell them when the runtime is gone. What was spawned on that
//! runtime is not polled any more, so the group drops it. This affects only the children on *that* runtime. A child on
//! the group's own runtime has no mark. A child on another one ([`Group::on`](crate::Group::on)) holds the
//! [`Elsewhere`] of the handle through which it was spawned. All other children run on: to drop them would cut children
//! that are under a shield, and would leave running those that cannot be dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::group::Group;
use crate::spawner::{Dependent, Spawner};
use crate::state::State;
use crate::state::effects::dispose;
use crate::state::table::Table;
use crate::sync::lock::Guard;

/// A runtime, other than the group's own, on which a group may have children.
pub(crate) struct Elsewhere {
    group: Weak<State>,
    /// The group is registered with the spawner.
    registered: AtomicBool,
    /// The runtime is gone. This is read and written under the lock of the table, so no memory order is needed.
    lost: AtomicBool,
}

impl Elsewhere {
    pub(crate) fn of(group: &Arc<State>) -> Arc<Self> {
        Arc::new(Self {
            group: Arc::downgrade(group),
            registered: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Relaxed)
    }

    /// Notes that the group is registered, and returns whether this is the first time.
    pub(crate) fn register(&self) -> bool {
        !self.registered.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl<S: Spawner, E> Group<S, E> {
    /// Registers the group with this spawner, before the group's first child on it.
    ///
    /// The spawner tells the group when its runtime is gone. It may do so at once, and drop children whose destructors
    /// spawn.
    #[inline]
    pub(crate) fn register(&self) {
        if !self.is_registered() {
            self.register_first();
        }
    }

    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        match self.elsewhere() {
            Some(elsewhere) => elsewhere.is_registered(),
            None => self.state().flags.is_registered(),
        }
    }

    /// Not done when the group is opened, because opening asks nothing of the spawner.
    #[cold]
    pub(crate) fn register_first(&self) {
        let first = match self.elsewhere() {
            Some(elsewhere) => elsewhere.register(),
            None => self.state().flags.register(&mut self.state().lock().locked),
        };
        if !first {
            return;
        }
        let dependent: Weak<dyn Dependent> = match self.elsewhere() {
            Some(elsewhere) => Arc::downgrade(elsewhere) as _,
            None => Arc::downgrade(self.state()) as _,
        };
        self.spawner().register(dependent);
        if self.spawner().keeps_ended() {
            self.state().lock().keeps_ended = true;
        }
    }
}

impl Dependent for Elsewhere {
    fn runtime_lost(self: Arc<Self>) {
        let Some(group) = self.group.upgrade() else { return };
        let table = group.lock();
        self.lost.store(true, Ordering::Relaxed);
        lose(table, Some(&self));
    }
}

impl Dependent for State {
    fn runtime_lost(self: Arc<Self>) {
        let mut table = self.lock();
        table.bereft = true;
        lose(table, None);
    }
}

/// Drops the children on that runtime, whatever they hold: the runtime does not respect holds either.
fn lose(mut table: Guard<'_, Table>, runtime: Option<&Arc<Elsewhere>>) {
    let there = table
        .slots
        .iter_mut()
        .filter(|(_, slot)| slot.member.elsewhere().map(Arc::as_ptr) == runtime.map(Arc::as_ptr));
    let tasks: Vec<_> = there.filter_map(|(_, slot)| slot.task.take()).collect();
    drop(table);
    dispose(tasks);
}
