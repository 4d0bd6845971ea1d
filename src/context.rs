//! The ambient context: which child or body the current thread is polling.
//!
//! The wrapper around a child, and a scope around its body, *move* their reference to the group in here for the
//! time of a poll and take it back afterwards, so a poll costs no reference count. The context is read when a
//! group is opened, when a shield begins or ends, and to refuse a wait for oneself. Spawning never looks at it.
//!
//! It is a stack, as members are polled inside of one another: a body in the child or body that awaits its scope, and
//! a child in whoever spawns it, if the spawner polls at once. What lies between the top and the first child below
//! it is polled by one task.

use std::cell::RefCell;
use std::sync::Arc;
use std::task;

use crate::member::{BODY, Key};
use crate::state::State;
use crate::sync::local;

local!(static STACK: RefCell<Vec<Context>> = RefCell::new(Vec::new()));

/// A member that is being polled or dropped: a child of a group, or a scope's body.
pub(crate) struct Context {
    pub(crate) group: Arc<State>,
    pub(crate) key: Key,
    /// Whether a shield began in this member: its owner then looks at its holds around every poll. As wide as the key, so that
    /// nothing is moved byte by byte.
    shielded: u32,
}

impl Context {
    #[inline]
    pub(crate) fn new(group: Arc<State>, key: Key, shielded: bool) -> Self {
        Self { group, key, shielded: u32::from(shielded) }
    }

    #[inline]
    pub(crate) fn is_shielded(&self) -> bool {
        self.shielded != 0
    }

    /// Runs `f` as this member, and hands the context back. `f` must not unwind.
    #[inline]
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> (Self, R) {
        // On a thread that is going away there is no stack any more, and no context.
        if STACK.try_with(|_| ()).is_err() {
            return (self, f());
        }
        // In parts, and not in an `Option` meanwhile: what is written in parts and then moved as a whole costs more than all the
        // rest here.
        let Self { group, key, shielded } = self;
        let pushed = STACK.try_with(|stack| stack.borrow_mut().push(Self { group, key, shielded }));
        let result = f();
        match pushed.and_then(|()| STACK.try_with(|stack| pop(&mut stack.borrow_mut()))) {
            Ok(this) => (this, result),
            Err(_) => unreachable!("the stack was there"),
        }
    }

    /// Calls `f` with the innermost member on this thread, if there is one.
    fn with<R>(f: impl FnOnce(&mut Context) -> R) -> Option<R> {
        STACK.try_with(|stack| stack.borrow_mut().last_mut().map(f)).ok().flatten()
    }

    /// The innermost member on this thread.
    pub(crate) fn innermost() -> Option<(Arc<State>, Key)> {
        Self::with(|context| (context.group.clone(), context.key))
    }

    /// Whether the innermost member is cut: whatever it awaits must not become ready any more.
    pub(crate) fn is_cut() -> bool {
        Self::innermost().is_some_and(|(group, key)| group.is_member_cut(key))
    }

    /// Notes that a shield began in the innermost member.
    pub(crate) fn set_shielded() {
        Self::with(|context| context.shielded = 1);
    }

    /// The members that the current task is polling, innermost first: bodies, and the child that they are in.
    pub(crate) fn task() -> Vec<(Arc<State>, Key)> {
        let task = STACK.try_with(|stack| {
            let stack = stack.borrow();
            let child = stack.iter().rposition(|context| context.key != BODY).unwrap_or(0);
            stack[child..].iter().rev().map(|context| (context.group.clone(), context.key)).collect()
        });
        task.unwrap_or_default()
    }

    /// The member of `group` inside of which this thread is, however deep.
    pub(crate) fn member_of(group: &Arc<State>) -> Option<Key> {
        // Whatever is inside a group is as deep as it or deeper, so in most cases there is nothing to walk.
        Self::innermost().filter(|(innermost, _)| innermost.depth() >= group.depth())?;
        Self::ancestry().find(|(around, _)| Arc::ptr_eq(around, group)).map(|(_, key)| key)
    }

    /// The innermost member on this thread and all that enclose it, innermost first.
    pub(crate) fn ancestry() -> impl Iterator<Item = (Arc<State>, Key)> {
        std::iter::successors(Self::innermost(), |(group, _)| {
            group.parent().map(|parent| (parent.group.clone(), parent.key))
        })
    }
}

/// Keeps an answer back from a member that is cut and will not be polled again: nothing past that await may run.
///
/// But whoever blocks on a future inside of such a member, in a destructor for instance, polls it again and again and
/// would never be answered. So after a few polls there is an answer. A member that merely awaits does not come so far:
/// combinators give up the poll after a wake or two.
#[derive(Default)]
pub(crate) struct Withheld(u8);

impl Withheld {
    const POLLS: u8 = 16;

    /// Whether to be pending this time, with another poll asked for.
    pub(crate) fn again(&mut self, cx: &task::Context<'_>) -> bool {
        let again = self.0 < Self::POLLS;
        if again {
            self.0 += 1;
            cx.waker().wake_by_ref();
        }
        again
    }
}

#[inline]
fn pop(stack: &mut Vec<Context>) -> Context {
    let this = stack.pop().expect("whoever takes the context puts it back");
    if this.is_shielded() && this.key == BODY {
        // A shield in a body holds the member that polls the body as well.
        if let Some(outer) = stack.last_mut() {
            outer.shielded = 1;
        }
    }
    this
}
