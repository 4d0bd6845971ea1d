//! The ambient context: which child or body the current thread is polling.
//!
//! The wrapper around a child, and a scope around its body, store a reference to the group here for the time of a poll.
//! This reference is not counted. The context is read when a group is opened, when a shield or a clean-up begins, by whoever
//! waits (nobody may wait for itself, one that is cut is not told anything, and a place under a limit is lent), and by
//! `is_cancelled`. Spawning never reads it.
//!
//! The context is a stack, because members are polled inside one another: a body inside the child or body that awaits
//! its scope, a child of a `borrowing` group inside the member that awaits that group, and any child inside the member
//! that spawns it, if the spawner polls at once. Everything from the top of the stack down to the first child is polled
//! by one task. Children of `borrowing` groups do not count there: they have no task of their own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task;

use crate::state::State;
use crate::state::facts::Fact;
use crate::state::member::{BODY, Key};
use crate::state::ticket::Standing;
use crate::sync::kept::Kept;
use crate::sync::local;

local!(static INNERMOST: Innermost = Innermost::nobody());
local!(
    /// The members around the innermost one, the outermost first.
    static AROUND: RefCell<Vec<Context>> = RefCell::new(Vec::new())
);

/// The innermost member.
///
/// Its parts are read and written separately, without looking at the members around it.
struct Innermost {
    group: Cell<Option<Kept<State>>>,
    standing: Cell<Standing>,
}

/// A member that is being polled or dropped: a child of a group, or a scope's body.
struct Context {
    group: Kept<State>,
    standing: Standing,
}

/// Runs `f` as this member of `group`, and returns the standing that the member has afterwards.
#[inline]
pub(crate) fn run_as<R>(group: &Arc<State>, standing: Standing, f: impl FnOnce() -> R) -> (Standing, R) {
    #[expect(unsafe_code, reason = "to count it would cost each poll two locked instructions")]
    // SAFETY: the reference is stored here until `f` has returned or unwound, and `group` is borrowed for that long.
    let group = unsafe { Kept::new(group) };
    let Some(place) = Place::take(Context { group, standing }) else {
        // On a thread that is going away, no member can be stored inside another one.
        return (standing, f());
    };
    let result = f();
    (place.leave(), result)
}

/// Notes that a shield began in the innermost member.
pub(crate) fn set_shielded() {
    // If there is no innermost member, nobody reads it.
    let _ = INNERMOST.try_with(|innermost| innermost.standing.set(innermost.standing.get().shielded()));
}

/// Returns the innermost member on this thread.
pub(crate) fn innermost() -> Option<(Arc<State>, Key)> {
    INNERMOST.try_with(Innermost::look).ok().flatten()
}

/// Whether the innermost member is cut: then nothing that it awaits may become ready any more.
pub(crate) fn is_cut() -> bool {
    innermost().is_some_and(|(group, key)| group.member_is(key, Fact::CUT))
}

/// Returns the members that the current task is polling, innermost first.
///
/// These are bodies and borrowing children, and the child that they are in.
pub(crate) fn task() -> Vec<(Arc<State>, Key)> {
    let mut task: Vec<_> = innermost().into_iter().collect();
    let _ = AROUND.try_with(|around| {
        for context in around.borrow().iter().rev() {
            if task.last().is_some_and(|(group, key)| !is_inside(group, *key)) {
                break;
            }
            task.push((Arc::clone(&context.group), context.standing.key()));
        }
    });
    task
}

/// Whether a member is polled by the task of another member: that of the one which awaits its group.
///
/// A child that a borrowing group has on a runtime has a task of its own.
fn is_inside(group: &State, key: Key) -> bool {
    let is_borrowing = || {
        // The context is borrowed, so nothing else may be done under this lock.
        let borrows = group.table.lock().member(key, |member, _| member.elsewhere().is_none());
        borrows.unwrap_or(false)
    };
    key == BODY || (group.config.owned && is_borrowing())
}

/// Returns the member of `group` that this thread is inside of, at any depth.
pub(crate) fn member_of(group: &Arc<State>) -> Option<Key> {
    let (key, id) = place_in(group)?;
    (id.is_none() || group.lock().is_of(key, id)).then_some(key)
}

/// Returns the key of that member of `group`, and its id if needed.
///
/// The id is set if the slot may be another member's by now: a scope that was carried away from its host may be
/// destroyed after the host.
pub(crate) fn place_in(group: &Arc<State>) -> Option<(Key, Option<u64>)> {
    // A member inside a group is as deep as the group, or deeper. So in most cases there is nothing to walk.
    let (mut around, mut key) = innermost().filter(|(innermost, _)| innermost.depth >= group.depth)?;
    let mut id = None;
    while !Arc::ptr_eq(&around, group) {
        let parent = around.parent()?;
        (key, id) = (parent.key, Some(parent.id()));
        around = parent.group.clone();
    }
    Some((key, id))
}

/// Returns the innermost member on this thread and all members that enclose it, innermost first.
pub(crate) fn ancestry() -> impl Iterator<Item = (Arc<State>, Key)> {
    std::iter::successors(innermost(), |(group, _)| {
        group.parent().map(|parent| (parent.group.clone(), parent.key))
    })
}

impl Innermost {
    const fn nobody() -> Self {
        Self { group: Cell::new(None), standing: Cell::new(Standing::of_body(false)) }
    }

    #[inline]
    fn replace(&self, Context { group, standing }: Context) -> Option<Context> {
        let standing = self.standing.replace(standing);
        self.group.replace(Some(group)).map(|group| Context { group, standing })
    }

    fn look(&self) -> Option<(Arc<State>, Key)> {
        let group = self.group.take()?;
        let counted = Arc::clone(&group);
        self.group.set(Some(group));
        Some((counted, self.standing.get().key()))
    }
}

/// The place of the innermost member, while it is taken.
struct Place {
    /// Whether another member was in the place before.
    covers: bool,
}

impl Place {
    #[inline]
    fn take(context: Context) -> Option<Self> {
        INNERMOST
            .try_with(|innermost| match innermost.replace(context) {
                None => Some(Self { covers: false }),
                Some(around) => Self::cover(innermost, around),
            })
            .ok()
            .flatten()
    }

    #[cold]
    fn cover(innermost: &Innermost, context: Context) -> Option<Self> {
        let mut context = Some(context);
        let _ = AROUND.try_with(|around| around.borrow_mut().extend(context.take()));
        match context {
            None => Some(Self { covers: true }),
            Some(context) => {
                innermost.replace(context);
                None
            }
        }
    }

    #[inline]
    fn leave(self) -> Standing {
        INNERMOST.with(|innermost| innermost.standing.get())
    }

    #[cold]
    fn uncover(innermost: &Innermost) {
        let inner = innermost.standing.get();
        let mut context = AROUND
            .with(|around| around.borrow_mut().pop())
            .expect("a member that was covered stays where it is");
        let group = innermost.group.take();
        if inner.is_shielded() && group.is_some_and(|group| is_inside(&group, inner.key())) {
            // The shield also holds the member in whose task it is.
            context.standing = context.standing.shielded();
        }
        innermost.replace(context);
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        INNERMOST.with(|innermost| {
            if self.covers {
                Self::uncover(innermost);
            } else {
                innermost.group.take();
            }
        });
    }
}

/// Keeps an answer back from a member that is cut and will not be polled again.
///
/// No code of that member after its current await may run. But a thread may block on a future inside such a member, in
/// a destructor for instance. It polls that future again and again, and would never get an answer. So the answer is
/// given after a few polls. A member that only awaits does not get so far: combinators give up the poll after a wake or
/// two.
#[derive(Default)]
pub(crate) struct Withheld(u8);

impl Withheld {
    const POLLS: u8 = 16;

    /// Whether to be pending this time; if so, another poll is requested.
    pub(crate) fn again(&mut self, cx: &task::Context<'_>) -> bool {
        let again = self.0 < Self::POLLS;
        if again {
            self.0 += 1;
            cx.waker().wake_by_ref();
        }
        again
    }
}
