//! The ambient context: which child or body the current thread is polling.
//!
//! The wrapper around a child, and a scope around its body, *move* their reference to the group in here for the
//! time of a poll and take it back afterwards, so a poll costs no reference count. The context is read when a
//! group is opened, when a shield begins or ends, and to refuse a wait for oneself. Spawning never looks at it.
//!
//! It is a stack, as members are polled inside of one another: a body in the child or body that awaits its scope, and
//! a child in whoever spawns it, if the spawner polls at once. What lies between the top and the first child below
//! it is polled by one task.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task;

use crate::member::{BODY, Key};
use crate::state::State;
use crate::sync::local;

local!(static STACK: Stack = Stack::new());

/// The innermost member lies in parts that are read and written as they are, without a look at what is around it.
struct Stack {
    group: Cell<Option<Arc<State>>>,
    standing: Cell<Standing>,
    /// Those around it, the outermost first.
    around: RefCell<Vec<Context>>,
}

/// A member that is being polled or dropped: a child of a group, or a scope's body.
pub(crate) struct Context {
    pub(crate) group: Arc<State>,
    pub(crate) standing: Standing,
}

/// Which member of its group it is, and what its owner has to look at around a poll. In one word, which is moved as such: what
/// is written in parts and read as a whole a moment later takes longer than all the rest here.
#[derive(Clone, Copy)]
pub(crate) struct Standing(u64);

impl Standing {
    /// A shield began in it: its holds are looked at.
    const SHIELDED: u64 = 1 << 32;
    /// It may have to wait for a place under the limit.
    const QUEUED: u64 = 1 << 33;

    #[inline]
    pub(crate) const fn new(key: Key, shielded: bool, queued: bool) -> Self {
        let flags = if shielded { Self::SHIELDED } else { 0 } | if queued { Self::QUEUED } else { 0 };
        Self(key as u64 | flags)
    }

    #[inline]
    pub(crate) fn key(self) -> Key {
        self.0 as Key
    }

    #[inline]
    pub(crate) fn is_shielded(self) -> bool {
        self.0 & Self::SHIELDED != 0
    }

    #[inline]
    pub(crate) fn is_queued(self) -> bool {
        self.0 & Self::QUEUED != 0
    }

    fn shielded(self) -> Self {
        Self(self.0 | Self::SHIELDED)
    }

    pub(crate) fn placed(self) -> Self {
        Self(self.0 & !Self::QUEUED)
    }
}

impl Context {
    #[inline]
    pub(crate) fn new(group: Arc<State>, standing: Standing) -> Self {
        Self { group, standing }
    }

    #[inline]
    pub(crate) fn key(&self) -> Key {
        self.standing.key()
    }

    /// Runs `f` as this member, and hands the context back. `f` must not unwind.
    #[inline]
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> (Self, R) {
        let Self { group, standing } = self;
        let mut group = Some(group);
        let Ok(covers) = STACK.try_with(|stack| stack.enter(group.take(), standing)) else {
            // On a thread that is going away there is no stack any more, and no context.
            return (Self { group: group.expect("not taken"), standing }, f());
        };
        let result = f();
        match STACK.try_with(|stack| stack.leave(covers)) {
            Ok(this) => (this, result),
            Err(_) => unreachable!("the stack was there"),
        }
    }

    /// The innermost member on this thread.
    pub(crate) fn innermost() -> Option<(Arc<State>, Key)> {
        STACK.try_with(Stack::innermost).ok().flatten()
    }

    /// Whether the innermost member is cut: whatever it awaits must not become ready any more.
    pub(crate) fn is_cut() -> bool {
        Self::innermost().is_some_and(|(group, key)| group.is_member_cut(key))
    }

    /// Notes that a shield began in the innermost member.
    pub(crate) fn set_shielded() {
        // Where there is none, nobody reads it.
        let _ = STACK.try_with(|stack| stack.standing.set(stack.standing.get().shielded()));
    }

    /// The members that the current task is polling, innermost first: bodies, and the child that they are in.
    pub(crate) fn task() -> Vec<(Arc<State>, Key)> {
        STACK.try_with(Stack::task).unwrap_or_default()
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

impl Stack {
    const fn new() -> Self {
        Self {
            group: Cell::new(None),
            standing: Cell::new(Standing::new(BODY, false, false)),
            around: RefCell::new(Vec::new()),
        }
    }

    /// Puts a member on top, and says whether there is one below.
    #[inline]
    fn enter(&self, group: Option<Arc<State>>, standing: Standing) -> bool {
        let around = self.group.replace(group);
        let standing = self.standing.replace(standing);
        let covers = around.is_some();
        if let Some(group) = around {
            self.cover(Context { group, standing });
        }
        covers
    }

    #[cold]
    fn cover(&self, around: Context) {
        self.around.borrow_mut().push(around);
    }

    #[inline]
    fn leave(&self, covers: bool) -> Context {
        let group = self.group.take().expect("whoever takes the context puts it back");
        let this = Context { group, standing: self.standing.get() };
        if covers {
            self.uncover(this.standing);
        }
        this
    }

    /// Puts the member below on top again.
    #[cold]
    fn uncover(&self, inner: Standing) {
        let Context { group, mut standing } =
            self.around.borrow_mut().pop().expect("a member that was covered stays where it is");
        if inner.is_shielded() && inner.key() == BODY {
            // A shield in a body holds the member that polls the body as well.
            standing = standing.shielded();
        }
        self.group.set(Some(group));
        self.standing.set(standing);
    }

    fn innermost(&self) -> Option<(Arc<State>, Key)> {
        let group = self.group.take()?;
        self.group.set(Some(group.clone()));
        Some((group, self.standing.get().key()))
    }

    fn task(&self) -> Vec<(Arc<State>, Key)> {
        let mut task: Vec<_> = self.innermost().into_iter().collect();
        for context in self.around.borrow().iter().rev() {
            if task.last().is_some_and(|(_, key)| *key != BODY) {
                break;
            }
            task.push((context.group.clone(), context.key()));
        }
        task
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
