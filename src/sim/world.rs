//! The world of one run: its tasks, the queue of those that are runnable, the clock, and the trace.
//!
//! All of it is behind one lock, under which no user code runs: wakers, tasks and groups are handed out, and the code that
//! took the lock drops them afterwards. A task is dropped in a turn, and never where it is woken or cancelled, because that
//! may be under somebody's lock.
//!
//! The world keeps a waker of every task that lives, so that what is left at the end of a run can be found and dropped.
//! Until then tasks own the world and the world owns tasks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, ThreadId};
use std::time::Duration;

use async_task::Runnable;

use crate::error::Origin;
use crate::sim::birth::Child;
use crate::sim::order::{Diverged, Order, Path, Queued};
use crate::sim::token::Cut;
use crate::sim::trace::{Event, Id, SCENARIO, Trace};
use crate::state::member::Kind;

pub(crate) struct World {
    inner: Mutex<Inner>,
    thread: ThreadId,
}

pub(crate) struct Inner {
    pub(crate) tasks: Vec<Task>,
    queue: Vec<Ready>,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    sleeps: u64,
    now: Duration,
    order: Order,
    cut: Option<Cut>,
    pub(crate) trace: Trace,
    /// Whose turn it is.
    running: Option<Id>,
    living: usize,
    trouble: Option<Trouble>,
    /// Nothing is started any more.
    over: bool,
}

/// Why a run is not one that can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Diverged,
    OtherThread,
}

/// What is known of a task.
pub(crate) struct Task {
    /// Which child it is, while it lives.
    pub(crate) child: Option<Child>,
    pub(crate) origin: Option<Origin>,
    pub(crate) polls: u32,
    pub(crate) woken_by: Option<Id>,
    /// Whether it may be cut, as somebody who has its handle could do.
    pub(crate) may_be_cut: bool,
    /// Whether its future returned.
    pub(crate) returned: bool,
    queued: bool,
    gone: bool,
    waker: Option<Waker>,
}

/// A task in the queue; the scenario has no `Runnable`.
struct Ready {
    id: Id,
    runnable: Option<Runnable>,
}

impl Queued for Ready {
    fn id(&self) -> Id {
        self.id
    }
}

/// Whose turn it is.
pub(crate) struct Turn {
    pub(crate) id: Id,
    pub(crate) runnable: Option<Runnable>,
    /// The child, if it is cut instead.
    pub(crate) cut: Option<Child>,
}

impl World {
    pub(crate) fn new(order: Order, cut: Option<Cut>) -> Arc<Self> {
        let inner = Inner {
            tasks: vec![Task::new(None)],
            queue: Vec::new(),
            sleepers: BTreeMap::new(),
            sleeps: 0,
            now: Duration::ZERO,
            order,
            cut,
            trace: Trace::default(),
            running: None,
            living: 0,
            trouble: None,
            over: false,
        };
        Arc::new(Self { inner: Mutex::new(inner), thread: thread::current().id() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock unwinds half-way: it runs no foreign code.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- tasks: in, woken, polled, out ----

    /// Takes a task in. `None` if the run is over.
    pub(crate) fn enter(&self, child: Option<Child>) -> Option<Id> {
        let task = Task::new(child);
        let mut inner = self.lock();
        self.look_at_thread(&mut inner);
        if inner.over {
            drop(inner);
            drop(task);
            return None;
        }
        let id = Id::try_from(inner.tasks.len()).expect("fewer than 2^32 tasks in a run");
        inner.tasks.push(task);
        inner.living += 1;
        inner.trace.push(Event::Spawn(id));
        Some(id)
    }

    pub(crate) fn keep_waker(&self, id: Id, waker: Waker) {
        self.lock().tasks[id as usize].waker = Some(waker);
    }

    /// Puts a task at the end of the queue.
    pub(crate) fn wake(&self, id: Id, runnable: Option<Runnable>) {
        let mut inner = self.lock();
        self.look_at_thread(&mut inner);
        let by = inner.running;
        // The scenario may be woken again before its turn, and later. The other tasks have one `Runnable` each.
        let task = inner.tasks.get_mut(id as usize);
        if runnable.is_none() && task.as_ref().is_none_or(|task| task.queued) {
            return;
        }
        if let Some(task) = task {
            task.queued = true;
            task.woken_by = by;
        }
        inner.trace.push(Event::Wake(id));
        inner.queue.push(Ready { id, runnable });
    }

    /// The task's executor polls it, which is what counts as a poll.
    pub(crate) fn begin_poll(&self, id: Id) {
        self.lock().tasks[id as usize].polls += 1;
    }

    /// Returns the child if it is to be cut after the poll that has just ended.
    pub(crate) fn end_poll(&self, id: Id, returned: bool) -> Option<Child> {
        let mut inner = self.lock();
        inner.tasks[id as usize].returned = returned;
        if returned { None } else { inner.take_cut(id, true) }
    }

    pub(crate) fn gone(&self, id: Id) {
        let mut inner = self.lock();
        inner.living -= 1;
        inner.trace.push(Event::Gone(id));
        let Some(task) = inner.tasks.get_mut(id as usize) else { return };
        task.gone = true;
        let (child, waker) = (task.child.take(), task.waker.take());
        drop(inner);
        drop(waker);
        drop(child);
    }

    fn look_at_thread(&self, inner: &mut Inner) {
        if thread::current().id() != self.thread {
            inner.trouble.get_or_insert(Trouble::OtherThread);
        }
    }

    // ---- turns ----

    /// Whose turn is next. `None` if nothing is runnable and no task sleeps.
    pub(crate) fn next(&self) -> Result<Option<Turn>, Trouble> {
        loop {
            let mut inner = self.lock();
            inner.running = None;
            if let Some(trouble) = inner.trouble {
                return Err(trouble);
            }
            if !inner.queue.is_empty() {
                return inner.turn().map(Some).map_err(|Diverged| Trouble::Diverged);
            }
            let due = inner.advance();
            drop(inner);
            if due.is_empty() {
                return Ok(None);
            }
            due.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends the run: nothing is started any more, and what is left is dropped.
    pub(crate) fn end(&self, mut drop_one: impl FnMut(Runnable)) {
        loop {
            let mut inner = self.lock();
            inner.over = true;
            inner.running = None;
            let wakers: Vec<_> = inner.tasks.iter_mut().filter_map(|task| task.waker.take()).collect();
            let sleepers = std::mem::take(&mut inner.sleepers);
            drop(inner);
            drop(sleepers);
            // After this each of them is in the queue, if it was not there before.
            wakers.into_iter().for_each(Waker::wake);
            let queue = std::mem::take(&mut self.lock().queue);
            if queue.is_empty() {
                return;
            }
            queue.into_iter().filter_map(|ready| ready.runnable).for_each(&mut drop_one);
        }
    }

    // ---- what the scenario asks for ----

    pub(crate) fn now(&self) -> Duration {
        self.lock().now
    }

    pub(crate) fn living(&self) -> usize {
        self.lock().living
    }

    pub(crate) fn number(&self, n: u32) -> u32 {
        let mut inner = self.lock();
        let number = inner.order.number(n).unwrap_or_else(|Diverged| {
            inner.trouble.get_or_insert(Trouble::Diverged);
            0
        });
        inner.trace.push(Event::Chose(number));
        number
    }

    /// Has `waker` woken at `at`, in place of the waker under `key`. `None` if it is that late already.
    pub(crate) fn sleep(&self, at: Duration, key: Option<u64>, waker: &Waker) -> Option<u64> {
        let mut waker = Some(waker.clone());
        let mut inner = self.lock();
        if inner.now >= at {
            return None;
        }
        let key = key.unwrap_or_else(|| {
            inner.sleeps += 1;
            inner.sleeps
        });
        // A task that sleeps until the end of time is not waited for.
        let stale = match at {
            Duration::MAX => None,
            _ => inner.sleepers.insert((at, key), waker.take().expect("set above")),
        };
        drop(inner);
        drop(stale);
        Some(key)
    }

    pub(crate) fn wake_no_more(&self, at: Duration, key: u64) {
        // The waker is dropped when the lock is not held any more.
        let waker = self.lock().sleepers.remove(&(at, key));
        drop(waker);
    }

    /// Takes what is to be reported about a run that has ended. Little is kept, because a scenario may have leaked the
    /// world.
    pub(crate) fn take(&self) -> (Vec<Task>, Trace, Option<Path>) {
        let mut inner = self.lock();
        let order = std::mem::replace(&mut inner.order, Order::random(0));
        (std::mem::take(&mut inner.tasks), std::mem::take(&mut inner.trace), order.into_path())
    }
}

impl Inner {
    fn turn(&mut self) -> Result<Turn, Diverged> {
        let place = self.order.next_of(&self.queue)?;
        let Ready { id, runnable } = self.queue.remove(place);
        self.tasks[id as usize].queued = false;
        self.running = Some(id);
        let cut = self.take_cut(id, false);
        self.trace.push(Event::Turn(id));
        Ok(Turn { id, runnable, cut })
    }

    /// Returns the child if it is this task's turn to be cut.
    fn take_cut(&mut self, id: Id, after: bool) -> Option<Child> {
        let polls = self.tasks[id as usize].polls;
        let due = Cut { task: id, poll: if after { polls } else { polls + 1 }, after };
        if self.cut != Some(due) {
            return None;
        }
        self.cut = None;
        self.trace.push(Event::Cut(id));
        self.tasks[id as usize].child.clone()
    }

    /// Sets the clock to the time at which the next sleep ends, and returns the wakers that are due then.
    fn advance(&mut self) -> Vec<Waker> {
        let Some((&(at, _), _)) = self.sleepers.first_key_value() else { return Vec::new() };
        self.now = at;
        self.trace.push(Event::Time(at));
        let mut due = Vec::new();
        while let Some(first) = self.sleepers.first_entry().filter(|first| first.key().0 == at) {
            due.push(first.remove());
        }
        due
    }

    /// The tasks of which something is left.
    pub(crate) fn left(&self) -> impl Iterator<Item = (Id, &Task)> {
        (0..).zip(&self.tasks).filter(|(id, task)| *id != SCENARIO && !task.gone)
    }

    pub(crate) fn clock(&self) -> Duration {
        self.now
    }
}

impl Task {
    fn new(child: Option<Child>) -> Self {
        let kind = child
            .as_ref()
            .and_then(|(group, ticket)| group.lock().member(ticket.key(), |member, _| member.kind()));
        Self {
            origin: child.as_ref().map(|(group, ticket)| group.origin(ticket.key())),
            // Nobody has a handle of the others.
            may_be_cut: matches!(kind, Some(Kind::Ordinary | Kind::Background)),
            child,
            polls: 0,
            woken_by: None,
            returned: false,
            queued: false,
            gone: false,
            waker: None,
        }
    }
}
