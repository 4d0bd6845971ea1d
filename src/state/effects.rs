//! What remains to be done once a lock is released.
//!
//! A transition of the state happens under the lock of one group. There it only *notes* in an [`Effects`] what follows
//! from it: other groups to cancel or to stop, wakers to call, `Task`s to drop or to detach. [`Effects::run`] then does all
//! of it with no lock held. It uses loops, however deep the groups are nested, and takes these steps in order:
//!
//! 1. list whom a cancel forces to end in a shutdown; then cancel every group that is noted, and those that this adds in
//!    turn, so that all descendants are marked first;
//! 2. call the wakers and signals;
//! 3. drop the `Task`s, those of pools first; this may run the destructors of children on this very thread;
//! 4. settle groups that may be over, which can free the members that hold them, and so on outwards;
//! 5. drop what only has to be let go, pools last.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use async_task::Task;

use crate::error::{CancelReason, Why};
use crate::handle::Packet;
#[cfg(feature = "tracing")]
use crate::observe::trace::Cancelled;
use crate::spawner::on_pool::TaskPool;
use crate::state::State;
use crate::state::signal::Signal;
use crate::sync::local;
use crate::unwind::{catch, drop_quietly, wake};

/// Mostly empty: a child that ends among others has no effects, and pays for none.
#[derive(Default)]
pub(crate) struct Effects {
    /// Of all that is to be woken, the first. Mostly it is the only effect, where a child hands on its place.
    waker: Option<Waker>,
    lists: Option<Box<Lists>>,
}

/// What somebody waits for, and the result that it is resolved with.
type Answer = (Arc<Packet<()>>, Result<(), Why>);

/// The `Task`s of children on the pool that their group keeps.
type Many = (Arc<dyn TaskPool>, Vec<Task<()>>);

#[derive(Default)]
struct Lists {
    #[cfg(feature = "tracing")]
    tell: Vec<Cancelled>,
    note: Vec<Arc<State>>,
    groups: Vec<Arc<State>>,
    stop: Vec<Arc<State>>,
    wakers: Vec<Waker>,
    answers: Vec<Answer>,
    notify: Vec<Arc<State>>,
    left: Vec<Arc<Signal>>,
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
        self.lists.get_or_insert_default()
    }

    /// Cancels a group because the member that opened it was cancelled or has ended.
    pub(crate) fn cancel(&mut self, group: Arc<State>) {
        self.lists().groups.push(group);
    }

    /// Notes, for the report of a shutdown, who is forced to end in the groups inside this one.
    pub(crate) fn note_inside(&mut self, group: Arc<State>) {
        self.lists().note.push(group);
    }

    /// Asks a group to end because the group around it is asked to.
    pub(crate) fn stop(&mut self, group: Arc<State>) {
        self.lists().stop.push(group);
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn tell(&mut self, cancelled: Cancelled) {
        self.lists().tell.push(cancelled);
    }

    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if let Some(more) = self.waker.replace(waker) {
            self.lists().wakers.push(more);
        }
    }

    /// Resolves `packet`, so that the task that waits for it can go on.
    pub(crate) fn resolve(&mut self, packet: Option<Arc<Packet<()>>>) {
        if let Some(packet) = packet {
            self.lists().answers.push((packet, Ok(())));
        }
    }

    /// Refuses `packet`: the task that waits for it learns that it waits in vain.
    pub(crate) fn refuse(&mut self, packet: Arc<Packet<()>>) {
        self.lists().answers.push((packet, Err(Why::Cancelled)));
    }

    /// Drops a waker while no lock is held.
    ///
    /// The waker may be the last reference to a task.
    pub(crate) fn forget(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.lists().forgotten.push(waker);
        }
    }

    /// Tells those who wait for a change of the group, which has been made before this call.
    pub(crate) fn notify(&mut self, group: &Arc<State>) {
        // Whoever comes later looks at the change.
        if group.signal().is_heard() {
            self.lists().notify.push(group.clone());
        }
    }

    /// Tells those who wait for a child that nothing is left of it.
    pub(crate) fn tell_left(&mut self, signal: Option<Arc<Signal>>) {
        if let Some(signal) = signal {
            self.lists().left.push(signal);
        }
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

    /// Detaches the `Task` of an ended child.
    ///
    /// Whatever a spawner has put around the child then comes to its end.
    pub(crate) fn detach(&mut self, task: Option<Task<()>>) {
        if let Some(task) = task {
            self.lists().detached.push(task);
        }
    }

    /// Drops the reference to a group that its members had.
    ///
    /// It is dropped while the group's lock is not held, because it may be the last one.
    pub(crate) fn let_go(&mut self, keeper: Option<Arc<State>>) {
        if let Some(keeper) = keeper {
            self.lists().ended.push(keeper);
        }
    }

    /// Drops, after everything else, what the children on a pool held of that pool.
    pub(crate) fn give_up(&mut self, pool: Option<Arc<dyn TaskPool>>) {
        if let Some(pool) = pool {
            self.lists().pools.push(pool);
        }
    }

    /// Checks whether a group is over, and settles it if so.
    pub(crate) fn settle(&mut self, group: &Arc<State>) {
        self.lists().settle.push(group.clone());
    }

    #[inline]
    pub(crate) fn run(mut self) {
        if self.lists.is_some() {
            self.run_all();
        } else if let Some(waker) = self.waker.take() {
            wake(waker);
        }
    }

    fn run_all(mut self) {
        while let Some(lists) = &mut self.lists {
            #[cfg(feature = "tracing")]
            if let Some(cancelled) = lists.tell.pop() {
                cancelled.tell();
                continue;
            }
            if let Some(group) = lists.note.pop() {
                group.note_inside();
            } else if let Some(group) = lists.groups.pop() {
                group.cancel_into(CancelReason::Parent, &mut self);
            } else if let Some(group) = lists.stop.pop() {
                group.stop_into(&mut self);
            } else if let Some(waker) = self.waker.take().or_else(|| lists.wakers.pop()) {
                wake(waker);
            } else if let Some((packet, answer)) = lists.answers.pop() {
                packet.resolve(answer);
            } else if let Some(group) = lists.notify.pop() {
                group.notify();
            } else if let Some(signal) = lists.left.pop() {
                signal.notify();
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

/// Detaches the `Task` of an ended child.
///
/// This may schedule whatever a spawner has put around the `Task`, and the schedule function of a runtime may panic.
pub(crate) fn detach(task: Task<()>) {
    if let Err(payload) = catch(|| task.detach()) {
        drop_quietly(payload);
    }
}

/// Detaches several `Task`s.
///
/// Mostly there are none. If this were inlined, it would slow down the callers that have none.
#[inline(never)]
pub(crate) fn detach_all(tasks: impl IntoIterator<Item = Task<()>>) {
    tasks.into_iter().for_each(detach);
}

/// How many levels deep `Task`s are dropped inside one another before they are queued.
const DEPTH: usize = 8;

local!(
    /// How many calls of [`dispose`] are nested on this thread.
    static INSIDE: Cell<usize> = Cell::new(0)
);
local!(
    /// How many calls of [`drop_queued`] are nested on this thread.
    static CATCHING: Cell<usize> = Cell::new(0)
);
local!(
    /// The `Task`s that were too deep to be dropped at once.
    static QUEUE: RefCell<VecDeque<Task<()>>> = RefCell::new(VecDeque::new())
);

/// Drops `Task`s, in a loop where dropping one leads to dropping others.
///
/// Some runtimes drop a cancelled future at once. There, the end of a grandchild frees its host, whose end frees the
/// next host, and so on. Without the queue, each level would sit on the stack of the one before.
///
/// But a destructor may wait for something that it has cancelled itself. That must not be queued behind that
/// destructor. So the first levels are not queued, and whatever waits for a group or a child calls [`catch_up`] first.
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

/// Drops what this thread has queued.
///
/// A task that is about to wait, inside a destructor, may wait for something that is queued.
#[inline]
pub(crate) fn catch_up() {
    if INSIDE.with(Cell::get) >= DEPTH {
        drop_queued();
    }
}

/// Drops the queued `Task`s, in a loop.
///
/// A destructor in here that waits drops the other queued ones. From [`DEPTH`] levels of this on, the others are set
/// aside, so that a wait drops only what was queued inside it. Otherwise each would drop the next, and all of them
/// would be on the stack.
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
        // What this drop has queued comes first, as on a thread where it is dropped at once.
        let _ = QUEUE.try_with(|queue| {
            let mut queue = queue.borrow_mut();
            let came = std::mem::replace(&mut *queue, others);
            came.into_iter().rev().for_each(|task| queue.push_front(task));
        });
    }
    CATCHING.with(|catching| catching.set(level));
}
