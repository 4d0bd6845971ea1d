//! What remains to be done once a lock is released.
//!
//! A transition of the state happens under the lock of one group and only *notes* here what follows from it: other
//! groups to cancel, wakers to call, `Task`s to drop. [`Effects::run`] then does all of it with no lock held and in
//! loops, however deep the groups are nested:
//!
//! 1. every group to cancel, and what that brings up in turn, so that all descendants are marked first;
//! 2. the wakers and signals;
//! 3. the `Task`s, those of pools first, which may run the destructors of children on this very thread;
//! 4. groups that may have ended, which can free the members that hold them, and so on outwards;
//! 5. what is merely let go of, pools last.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use async_task::Task;

use crate::error::{CancelReason, Why};
use crate::handle::Packet;
use crate::spawner::TaskPool;
use crate::state::State;
use crate::sync::local;
#[cfg(feature = "tracing")]
use crate::trace::Cancelled;
use crate::unwind::{catch, drop_quietly, wake};

/// Nothing, mostly: a child that ends among others has no effects, and pays for none.
#[derive(Default)]
pub(crate) struct Effects(Option<Box<Lists>>);

/// What somebody waits for, and what it comes to.
type Answer = (Arc<Packet<()>>, Result<(), Why>);

/// `Task`s of children on the pool that their group keeps.
type Many = (Arc<dyn TaskPool>, Vec<Task<()>>);

#[derive(Default)]
struct Lists {
    #[cfg(feature = "tracing")]
    tell: Vec<Cancelled>,
    groups: Vec<Arc<State>>,
    stop: Vec<Arc<State>>,
    wakers: Vec<Waker>,
    answers: Vec<Answer>,
    notify: Vec<Arc<State>>,
    tasks: Vec<Task<()>>,
    settle: Vec<Arc<State>>,
    detached: Vec<Task<()>>,
    ended: Vec<Arc<State>>,
    forgotten: Vec<Waker>,
    on_pools: Vec<Many>,
    pools: Vec<Arc<dyn TaskPool>>,
}

impl Effects {
    fn lists(&mut self) -> &mut Lists {
        self.0.get_or_insert_default()
    }

    /// Cancels a group because the member that opened it was cancelled or has ended.
    pub(crate) fn cancel(&mut self, group: Arc<State>) {
        self.lists().groups.push(group);
    }

    /// Asks a group to come to an end because the group around it is asked to.
    pub(crate) fn stop(&mut self, group: Arc<State>) {
        self.lists().stop.push(group);
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn tell(&mut self, cancelled: Cancelled) {
        self.lists().tell.push(cancelled);
    }

    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.lists().wakers.push(waker);
        }
    }

    /// Lets whoever waits for `packet` go on.
    pub(crate) fn resolve(&mut self, packet: Option<Arc<Packet<()>>>) {
        if let Some(packet) = packet {
            self.lists().answers.push((packet, Ok(())));
        }
    }

    /// Tells whoever waits for `packet` that it waits in vain.
    pub(crate) fn refuse(&mut self, packet: Arc<Packet<()>>) {
        self.lists().answers.push((packet, Err(Why::Cancelled)));
    }

    /// Drops a waker where no lock is held: it may be the last reference to a task.
    pub(crate) fn forget(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.lists().forgotten.push(waker);
        }
    }

    pub(crate) fn notify(&mut self, group: &Arc<State>) {
        self.lists().notify.push(group.clone());
    }

    /// Drops a `Task`, which cancels the child if it has not ended.
    pub(crate) fn dispose(&mut self, task: Option<Task<()>>) {
        if let Some(task) = task {
            self.lists().tasks.push(task);
        }
    }

    /// Drops the `Task`s of children on a pool.
    pub(crate) fn dispose_on(&mut self, pool: &Arc<dyn TaskPool>, tasks: Vec<Task<()>>) {
        if !tasks.is_empty() {
            self.lists().on_pools.push((pool.clone(), tasks));
        }
    }

    /// Lets go of the `Task` of a child that has ended: what a spawner has put around it comes to its end.
    pub(crate) fn detach(&mut self, task: Option<Task<()>>) {
        if let Some(task) = task {
            self.lists().detached.push(task);
        }
    }

    /// Drops the reference to a group that its members had, where its lock is not held: it may be the last one.
    pub(crate) fn let_go(&mut self, keeper: Option<Arc<State>>) {
        if let Some(keeper) = keeper {
            self.lists().ended.push(keeper);
        }
    }

    /// Drops what the children on a pool held of that, after all else.
    pub(crate) fn give_up(&mut self, pool: Option<Arc<dyn TaskPool>>) {
        if let Some(pool) = pool {
            self.lists().pools.push(pool);
        }
    }

    /// Looks whether a group has ended for good.
    pub(crate) fn settle(&mut self, group: &Arc<State>) {
        self.lists().settle.push(group.clone());
    }

    #[inline]
    pub(crate) fn run(self) {
        if self.0.is_some() {
            self.run_all();
        }
    }

    fn run_all(mut self) {
        while let Some(lists) = &mut self.0 {
            #[cfg(feature = "tracing")]
            if let Some(cancelled) = lists.tell.pop() {
                cancelled.tell();
                continue;
            }
            if let Some(group) = lists.groups.pop() {
                group.cancel_into(CancelReason::Parent, &mut self);
            } else if let Some(group) = lists.stop.pop() {
                group.stop_into(&mut self);
            } else if let Some(waker) = lists.wakers.pop() {
                wake(waker);
            } else if let Some((packet, answer)) = lists.answers.pop() {
                packet.resolve(answer);
            } else if let Some(group) = lists.notify.pop() {
                group.notify();
            } else if let Some(task) = lists.detached.pop() {
                detach(task);
            } else if let Some((pool, tasks)) = lists.on_pools.pop() {
                pool.drop_many(tasks);
                lists.pools.push(pool);
            } else if !lists.tasks.is_empty() {
                dispose(std::mem::take(&mut lists.tasks));
            } else if let Some(group) = lists.settle.pop() {
                group.settle(&mut self);
            } else if let Some(waker) = lists.forgotten.pop() {
                drop_quietly(waker);
            } else {
                break;
            }
        }
    }
}

/// Lets go of the `Task` of a child that has ended. What a spawner has put around that may be scheduled by it, and the schedule function
/// of a runtime may panic.
pub(crate) fn detach(task: Task<()>) {
    if let Err(payload) = catch(|| task.detach()) {
        drop_quietly(payload);
    }
}

/// The same with several, where there mostly are none: inside of its callers it would be in the way of those who have none.
#[inline(never)]
pub(crate) fn detach_all(tasks: impl IntoIterator<Item = Task<()>>) {
    tasks.into_iter().for_each(detach);
}

/// How deep `Task`s are dropped inside of one another before they are queued.
const DEPTH: usize = 8;

local!(
    /// How many calls of [`dispose`] are inside of one another on this thread.
    static INSIDE: Cell<usize> = Cell::new(0)
);
local!(
    /// How many calls of [`drop_queued`] are inside of one another on this thread.
    static CATCHING: Cell<usize> = Cell::new(0)
);
local!(
    /// What was too deep.
    static QUEUE: RefCell<VecDeque<Task<()>>> = RefCell::new(VecDeque::new())
);

/// Drops `Task`s, in a loop where dropping one leads to dropping others and so on.
///
/// On a runtime that drops a cancelled future at once, the end of a grandchild frees its host, whose end frees the
/// next host, and so on: without the queue each level would sit on the stack of the one before. But a destructor may wait for
/// what it has cancelled itself, and that must not be queued behind that destructor: so the first levels are not, and whoever
/// waits for a group or a child calls [`catch_up`].
pub(crate) fn dispose(tasks: impl IntoIterator<Item = Task<()>>) {
    let mut tasks = tasks.into_iter();
    let level = INSIDE.with(Cell::get);
    // On a thread that is going away there is no queue.
    if level >= DEPTH && QUEUE.try_with(|queue| queue.borrow_mut().extend(&mut tasks)).is_ok() {
        return;
    }
    INSIDE.with(|inside| inside.set(level + 1));
    // The schedule function of a runtime may panic.
    tasks.for_each(drop_quietly);
    catch_up();
    INSIDE.with(|inside| inside.set(level));
}

/// Drops what this thread has queued: a task that is about to wait, in a destructor, may wait for that.
#[inline]
pub(crate) fn catch_up() {
    if INSIDE.with(Cell::get) >= DEPTH {
        drop_queued();
    }
}

/// Whoever waits in there drops the others. But that many levels deep they are set aside, and whoever waits drops only what was queued in
/// there: if one dropped the next, and so on, all of them would be on the stack.
#[cold]
fn drop_queued() {
    let level = CATCHING.with(|catching| catching.replace(catching.get() + 1));
    let sets_aside = level >= DEPTH;
    let next = |queue: &RefCell<VecDeque<_>>| {
        let mut queue = queue.borrow_mut();
        let task = queue.pop_front()?;
        Some((task, sets_aside.then(|| std::mem::take(&mut *queue))))
    };
    while let Ok(Some((task, others))) = QUEUE.try_with(next) {
        drop_quietly(task);
        let Some(others) = others else { continue };
        // What came of it first, as where it is dropped at once.
        let _ = QUEUE.try_with(|queue| {
            let mut queue = queue.borrow_mut();
            let came = std::mem::replace(&mut *queue, others);
            came.into_iter().rev().for_each(|task| queue.push_front(task));
        });
    }
    CATCHING.with(|catching| catching.set(level));
}
