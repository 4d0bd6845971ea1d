//! What a pool and the groups that have children on it agree on: a pool takes a child in two steps, and the group keeps the pool.
//!
//! The methods for that are those of [`Spawner`] that are not in its documentation.

use std::fmt;
use std::sync::Arc;

use async_task::Task;

#[cfg(doc)]
use crate::spawner::Spawner;
use crate::state::facts::{Fact, Facts};
use crate::state::word::FEW;

/// Nobody outside the crate can name this type, so nobody else can write or call the methods that take it.
#[derive(Debug)]
pub struct Inside(pub(crate) ());

/// States about a future that its group keeps what [`Spawner::keep_for_tasks`] put there until the future is gone. It is
/// made in one place only, [`Entry::keep`](crate::state::entry::Entry::keep), whose caller hands it to that spawner together with
/// that future.
#[derive(Debug)]
pub struct Counted(());

impl Counted {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// What a pool offers to the groups that have children on it.
pub(crate) trait TaskPool: Send + Sync {
    /// Drops the [`Task`]s of many of its children. No user code runs in here.
    fn drop_many(&self, tasks: Vec<Task<()>>);
}

impl fmt::Debug for dyn TaskPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPool").finish_non_exhaustive()
    }
}

/// What a group keeps of one pool, for all of its children there together. It is the first pool on which the group has
/// children, until it has none there.
#[derive(Debug)]
pub struct OnPool {
    pub(crate) kept: Option<Arc<dyn TaskPool>>,
    pub(crate) children: usize,
}

impl OnPool {
    /// Nothing kept. This is not `Default`, because then code outside the crate could make a value of a type that it cannot
    /// name.
    pub(crate) const NOBODY: Self = Self { kept: None, children: 0 };

    /// Whether there are so few children that none of them may have been put by (see `crowd.rs`).
    #[inline]
    pub(crate) fn are_few(&self) -> bool {
        self.children < FEW
    }

    /// A child is gone: counts it off if it was on the pool. For the last one, returns what was kept, which the caller has
    /// to drop where no lock is held.
    #[inline]
    #[must_use]
    pub(crate) fn leave(&mut self, facts: Facts) -> Option<Arc<dyn TaskPool>> {
        if !facts.is(Fact::ON_POOL) {
            return None;
        }
        self.children -= 1;
        if self.children == 0 { self.kept.take() } else { None }
    }
}
