//! The ambient context: which child or body the current thread is polling.
//!
//! The wrapper around a child, and a scope around its body, *move* their reference to the group in here for the
//! time of a poll and take it back afterwards, so a poll costs no reference count. The context is read when a
//! group is opened, when a shield begins, and to refuse a wait for oneself. Spawning never looks at it.

use std::cell::Cell;
use std::sync::Arc;

use crate::member::Key;
use crate::state::State;
use crate::sync::local;

local!(static CURRENT: Cell<Option<Context>> = Cell::new(None));

/// A member that is being polled or dropped: a child of a group, or a scope's body.
pub(crate) struct Context {
    pub(crate) group: Arc<State>,
    pub(crate) key: Key,
    /// Whether a shield began in this member: its owner then looks at its holds around every poll.
    pub(crate) shielded: bool,
}

impl Context {
    /// Runs `f` as this member, and hands the context back. `f` must not unwind.
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> (Self, R) {
        let mut this = Some(self);
        let outer = CURRENT.try_with(|current| current.replace(this.take()));
        let result = f();
        if let Ok(mut outer) = outer {
            this = CURRENT.with(Cell::take);
            // A shield in a body holds the member that polls the body as well.
            if let (Some(outer), Some(this)) = (&mut outer, &this) {
                outer.shielded |= this.shielded;
            }
            CURRENT.with(|current| current.set(outer));
        }
        (this.expect("whoever takes the context puts it back"), result)
    }

    /// Calls `f` with the innermost member on this thread, if there is one. `f` must not unwind.
    pub(crate) fn with<R>(f: impl FnOnce(&mut Context) -> R) -> Option<R> {
        CURRENT
            .try_with(|current| {
                let mut context = current.take()?;
                let result = f(&mut context);
                current.set(Some(context));
                Some(result)
            })
            .ok()
            .flatten()
    }

    /// The innermost member on this thread and all that enclose it, innermost first.
    pub(crate) fn ancestry() -> impl Iterator<Item = (Arc<State>, Key)> {
        let innermost = Context::with(|context| (context.group.clone(), context.key));
        std::iter::successors(innermost, |(group, _)| {
            group.parent().map(|parent| (parent.group.clone(), parent.key))
        })
    }

    /// Whether this is the member `key` of `group`.
    pub(crate) fn is(&self, group: &Arc<State>, key: Key) -> bool {
        self.key == key && Arc::ptr_eq(&self.group, group)
    }
}
