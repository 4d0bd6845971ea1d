//! The tasks of the runtime underneath that run the children.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::queue::Seat;
use super::shared::{Rest, Shared, Starter, Stay, kick, start_thread};
use super::{Inner, is_simulated};
use crate::backend::handing_over;
use crate::spawner::Spawner;
use crate::unwind::{Quiet, catch, drop_quietly};

/// How many children a driver runs in one poll, if they are small.
const TURN: usize = 256;

/// How long it goes on. A runtime looks at its timers and sockets after so and so many polls: Tokio after 61.
const SLICE: Duration = Duration::from_micros(100);

/// Runs children, until nothing is queued.
pub(super) struct Driver<S: Spawner> {
    shared: Arc<Shared>,
    source: Source<S>,
    id: u64,
    seat: Seat,
    phase: Phase,
    /// How often it was polled, up to two.
    polls: u8,
}

/// How a driver is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    OnWay,
    /// In the list, or on its way since it was taken out of that.
    Parked,
    AtWork,
    Ended,
}

impl<S: Spawner> Driver<S> {
    fn begin_work(&mut self) {
        let before = std::mem::replace(&mut self.phase, Phase::AtWork);
        self.leave(before);
    }

    fn leave(&self, phase: Phase) {
        match phase {
            Phase::OnWay => self.shared.arrive(),
            Phase::Parked => self.shared.unpark(self.id),
            Phase::AtWork | Phase::Ended => {}
        }
    }

    fn end(&mut self) -> Poll<()> {
        self.phase = Phase::Ended;
        self.shared.depart(self.id);
        Poll::Ready(())
    }

    /// Before a child is run, which may block: makes sure that another driver comes for whatever is queued, now or later.
    #[inline]
    fn see_to_another(&self) {
        let seen = self.shared.word.look();
        if seen.on_way() > 0 {
            return;
        }
        let came = match seen.parked() {
            0 => self.source.start(&self.shared, 1),
            _ => !self.shared.queue.looks_empty() && self.shared.wake_one(1),
        };
        if came {
            kick::<S>();
        } else if seen.parked() == 0 && self.source.is_gone() {
            self.shared.watch.orphan(&self.shared);
        }
    }
}

impl<S: Spawner> Future for Driver<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.polls < 2 {
            this.polls += 1;
        }
        if this.polls == 1 {
            // A spawner may poll inside `spawn`, which may be inside another driver, and so on.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.begin_work();
        let _polling = Stay::begin(&this.shared, this.seat.shard());
        let (mut slice, mut ran, mut look) = (Slice(None), 0, 1);
        loop {
            if this.shared.word.look().is_over() {
                return this.end();
            }
            let Some(runnable) = this.shared.queue.pop(&mut this.seat) else {
                match this.shared.rest(this.id, cx.waker().clone()) {
                    Rest::Again => continue,
                    Rest::Retired => return this.end(),
                    Rest::Parked => {
                        this.phase = Phase::Parked;
                        return Poll::Pending;
                    }
                }
            };
            this.see_to_another();
            runnable.run();
            ran += 1;
            if !S::has_budget() {
                break;
            }
            if ran == look {
                match slice.next_look(ran, &this.shared) {
                    Some(next) => look = next,
                    None => break,
                }
            }
        }
        this.phase = Phase::OnWay;
        this.shared.word.give_way();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Spawner> Unpin for Driver<S> {}

/// Ends a turn in which children take long.
///
/// To look at the clock takes a third of the time of a child that does nothing. So it is not done where there is but one, and
/// after that only now and then; and not at all in a simulation, where all runs of the same schedule have to go the same way.
struct Slice(Option<Instant>);

impl Slice {
    /// Says after which child to look next; `None` if the turn is over.
    #[cold]
    fn next_look(&mut self, ran: usize, shared: &Shared) -> Option<usize> {
        match self.0 {
            None if is_simulated() => (ran < TURN).then_some(TURN),
            None if shared.queue.looks_empty() => (ran < TURN).then_some(ran + 1),
            None => {
                self.0 = Some(Instant::now());
                Some(4.max(ran + 1))
            }
            Some(begun) => (ran < TURN && begun.elapsed() < SLICE).then_some(TURN.min(4 * ran)),
        }
    }
}

impl<S: Spawner> Drop for Driver<S> {
    fn drop(&mut self) {
        if self.phase == Phase::Ended {
            return;
        }
        self.leave(self.phase);
        self.shared.depart(self.id);
        if self.shared.word.look().is_over() {
            return;
        }
        // Dropped unasked. A runtime that has refused this driver, or that takes no other in its place, is going away. A
        // driver that is on its way does not tell: a task that is woken while its executor is dropped may never be dropped
        // itself.
        if self.polls < 2 || !self.source.start(&self.shared, usize::MAX) {
            self.shared.die();
        }
    }
}

/// Where a driver gets the spawner from when it has to start another.
pub(super) enum Source<S> {
    Own(Quiet<S>),
    /// The spawner owns its tasks, so they must not own it.
    Handles(Weak<Inner<S>>),
}

impl<S: Spawner> Source<S> {
    /// Whether the drivers belong to a spawner of which nobody has a handle any more.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Handles(inner) if inner.strong_count() == 0)
    }

    /// Makes what starts a driver from outside.
    pub(super) fn into_starter(self) -> Starter {
        Box::new(move |shared, enough| {
            self.start(shared, enough);
            !self.is_gone()
        })
    }

    /// Starts a driver unless `enough` are on their way. Says whether one is on its way, or was handed to the spawner.
    ///
    /// A panic of the spawner is contained, because this may be inside a driver or its destructor.
    pub(super) fn start(&self, shared: &Arc<Shared>, enough: usize) -> bool {
        let Ok(source) = catch(|| self.clone()).map_err(drop_quietly) else {
            // No driver comes, and nobody would try again.
            shared.die();
            return false;
        };
        let start = |spawner: &S| catch(|| start_or_panic(spawner, source, shared, enough));
        let started = match self {
            Self::Own(spawner) => start(spawner),
            Self::Handles(inner) => {
                let Some(inner) = inner.upgrade() else { return false };
                let started = start(&inner.spawner);
                let_go(inner);
                started
            }
        };
        started.map_err(drop_quietly).unwrap_or(false)
    }
}

/// All handles may have gone meanwhile. Then the spawner is dropped, which may wait for what is running, so that does not
/// happen on a driver.
fn let_go<S: Spawner>(inner: Arc<Inner<S>>) {
    if let Some(inner) = Arc::into_inner(inner).map(Quiet::new) {
        start_thread("taskgroup-pool", move || drop(inner));
    }
}

impl<S: Clone> Clone for Source<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Own(spawner) => Self::Own(spawner.clone()),
            Self::Handles(inner) => Self::Handles(inner.clone()),
        }
    }
}

/// Starts a driver unless `enough` are on their way. Says whether one is on its way, or was handed to the spawner.
pub(super) fn start_or_panic<S: Spawner>(
    spawner: &S,
    source: Source<S>,
    shared: &Arc<Shared>,
    enough: usize,
) -> bool {
    let Some(id) = shared.admit(enough) else { return !shared.word.look().is_over() };
    let seat = shared.queue.seat(id);
    let driver = Driver { shared: shared.clone(), source, id, seat, phase: Phase::OnWay, polls: 0 };
    // While a child may be being handed over, which the driver is not.
    shared.store(id, handing_over(None, || spawner.spawn(driver)));
    true
}

#[cfg(all(test, not(taskgroup_loom)))]
mod tests {
    use super::*;

    fn queue(shared: &Shared) {
        let (runnable, task) = async_task::spawn(async {}, drop);
        task.detach();
        shared.queue.push(runnable, None);
    }

    #[test]
    fn a_turn_in_which_one_child_is_there_at_a_time_ends_after_so_many() {
        let shared = Shared::new(1);
        let mut slice = Slice(None);
        assert_eq!(
            [1, 2, TURN - 1, TURN].map(|ran| slice.next_look(ran, &shared)),
            [Some(2), Some(3), Some(TURN), None]
        );
        assert!(slice.0.is_none(), "nobody looked at the clock");
    }

    #[test]
    fn a_turn_has_a_clock_as_soon_as_there_are_several_children() {
        let shared = Shared::new(1);
        queue(&shared);
        for (ran, next) in [(1, 4), (3, 4), (4, 5), (7, 8)] {
            let mut slice = Slice(None);
            assert_eq!(slice.next_look(ran, &shared), Some(next));
            assert!(slice.0.is_some());
        }
    }

    #[test]
    fn a_turn_ends_in_time_or_after_so_many() {
        let shared = Shared::new(1);
        let mut over = Slice(Instant::now().checked_sub(SLICE));
        assert_eq!(over.next_look(4, &shared), None);
        // A moment that has not come yet: no time has passed since.
        let mut slice = Slice(Instant::now().checked_add(Duration::from_secs(3_600)));
        assert_eq!(
            [4, 16, 64, 65, TURN].map(|ran| slice.next_look(ran, &shared)),
            [Some(16), Some(64), Some(TURN), Some(TURN), None]
        );
    }
}
