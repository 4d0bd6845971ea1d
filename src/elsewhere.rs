//! Runtimes that go away, and what a group loses with them.
//!
//! A spawner that registers groups, as a pool does, tells them when its runtime is gone: what was spawned there is polled no more, so
//! the group drops it. That is what it has on *that* runtime. A child on the group's own bears no mark; one on another
//! ([`Group::on`](crate::Group::on)) holds the [`Elsewhere`] of the handle it was spawned by. All others go on: to drop them would be to
//! cut what is under a shield, and to leave running what cannot be dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::effects::dispose;
use crate::group::Group;
use crate::lock::Guard;
use crate::spawner::{Dependent, Spawner};
use crate::state::State;
use crate::table::Table;

/// Another runtime than its own on which a group may have children.
pub(crate) struct Elsewhere {
    group: Weak<State>,
    /// The spawner is told of it.
    registered: AtomicBool,
    /// The runtime is gone. The lock of the table is what it is read and written under, so no order is needed.
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

    /// Says whether this is the first time.
    pub(crate) fn register(&self) -> bool {
        !self.registered.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl<S: Spawner, E> Group<S, E> {
    /// Before the group's first child on this spawner: has it tell the group when its runtime is gone. It may do so at once, and
    /// drop children whose destructors spawn.
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

    /// Not where the group is opened, which asks nothing of its spawner.
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

/// Drops what was on that runtime, whatever it holds: its runtime does not ask either.
fn lose(mut table: Guard<'_, Table>, runtime: Option<&Arc<Elsewhere>>) {
    let there = table
        .slots
        .iter_mut()
        .filter(|(_, slot)| slot.member.elsewhere().map(Arc::as_ptr) == runtime.map(Arc::as_ptr));
    let tasks: Vec<_> = there.filter_map(|(_, slot)| slot.task.take()).collect();
    drop(table);
    dispose(tasks);
}
