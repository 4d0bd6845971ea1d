//! The children that are ready to run.
//!
//! What the rest relies on: one side pushes and then looks at the pool's word. The other side changes the word and then goes
//! through all locks, by [`is_empty`](Queue::is_empty) or [`settle`](Queue::settle). Whichever of them has the lock first,
//! the other one sees what it did. For a push that is one locked instruction, where sequential consistency would take two.

use std::collections::VecDeque;

use async_task::Runnable;

use crate::sync::lock::Lock;
use crate::sync::spare::shrink;
use crate::sync::{AtomicUsize, Ordering};

/// How many children are kept near the driver that woke them.
const SHARD: usize = 256;

/// How many a driver takes over at once from the queue for all.
const BATCH: usize = 32;

/// From this length of its own queue on it takes over none. With more children that take turns, each poll takes longer.
const FULL: usize = 64;

/// How often a driver does so after it has found that queue taken. Each time saves it as many turns there. A driver that is
/// alone only loses by moving them.
const RUSH: usize = 64;

/// Once in this many turns, a driver first looks at a queue that it would otherwise come to last.
const ROUND: usize = 61;

/// A queue for all, and a small one for each driver, from which the other drivers steal.
///
/// The small queues belong to the pool, not to their drivers: a driver that ends or that blocks leaves nothing in a place
/// where nobody else looks.
pub(super) struct Queue {
    global: Part,
    shards: Box<[Part]>,
}

/// On cache lines of its own, because mostly one driver writes it.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    /// How long the list is, for code that only looks. Written under the lock of the list.
    len: AtomicUsize,
    list: Lock<VecDeque<Runnable>>,
}

impl Part {
    /// Something may have been pushed a moment ago.
    fn looks_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Adds a child unless there are `most` already.
    #[inline]
    fn push(&self, runnable: Runnable, most: usize) -> Result<(), Runnable> {
        let mut list = self.list.lock();
        if list.len() >= most {
            return Err(runnable);
        }
        list.push_back(runnable);
        self.len.store(list.len(), Ordering::Release);
        Ok(())
    }

    #[inline]
    fn pop(&self) -> Option<Runnable> {
        if self.looks_empty() {
            return None;
        }
        let mut list = self.list.lock();
        let first = list.pop_front();
        self.taken(&mut list);
        first
    }

    /// Takes a child, and in a rush moves some more to another part. A driver that finds this part taken is in a rush from
    /// then on.
    #[inline]
    fn pop_some(&self, other: &Part, rush: &mut usize) -> Option<Runnable> {
        if self.looks_empty() {
            return None;
        }
        let mut list = self.list.try_lock().unwrap_or_else(|| {
            *rush = RUSH;
            self.list.lock()
        });
        let first = list.pop_front();
        if *rush > 0 && !list.is_empty() {
            *rush -= 1;
            other.take_over(&mut list);
        }
        self.taken(&mut list);
        first
    }

    /// Takes some, if there is room. Under both locks: code that drains a dead pool does not see what is in neither list.
    fn take_over(&self, list: &mut VecDeque<Runnable>) {
        let mut own = self.list.lock();
        let some = list.len().min(BATCH).min(FULL.saturating_sub(own.len()));
        own.extend(list.drain(..some));
        self.len.store(own.len(), Ordering::Release);
    }

    /// Some were taken out of the list, which is lent by the code that has its lock.
    #[inline]
    fn taken(&self, list: &mut VecDeque<Runnable>) {
        shrink(list);
        self.len.store(list.len(), Ordering::Release);
    }
}

/// A driver's place at the queue.
pub(super) struct Seat {
    /// The small queue that is its own. Several drivers may have the same one.
    shard: usize,
    /// How often it has come.
    turn: usize,
    /// How often it will take several at once from the queue for all.
    rush: usize,
}

impl Seat {
    /// For code that drops all that there is.
    pub(super) const ANY: Self = Self { shard: 0, turn: 0, rush: 0 };

    pub(super) fn shard(&self) -> usize {
        self.shard
    }
}

impl Queue {
    pub(super) fn new(shards: usize) -> Self {
        Self { global: Part::default(), shards: (0..shards).map(|_| Part::default()).collect() }
    }

    /// Adds a child that was made ready on the driver of this shard, or elsewhere.
    #[inline]
    pub(super) fn push(&self, runnable: Runnable, shard: Option<usize>) {
        let refused = match shard {
            None => Some(runnable),
            Some(shard) => self.shards[shard].push(runnable, SHARD).err(),
        };
        if let Some(runnable) = refused {
            let _taken = self.global.push(runnable, usize::MAX);
        }
    }

    /// Adds many children to the queue for all.
    pub(super) fn push_many(&self, runnables: &mut Vec<Runnable>) {
        let mut list = self.global.list.lock();
        list.extend(runnables.drain(..));
        self.global.len.store(list.len(), Ordering::Release);
    }

    /// Takes a child: one of the driver's own, else one for all, else one of another driver. Now and then it looks elsewhere
    /// first, to be fair to all.
    #[inline]
    pub(super) fn pop(&self, seat: &mut Seat) -> Option<Runnable> {
        seat.turn = seat.turn.wrapping_add(1);
        if seat.turn % ROUND == 0 {
            let first = self.pop_by_turn(seat);
            if first.is_some() {
                return first;
            }
        }
        let own = &self.shards[seat.shard];
        own.pop().or_else(|| self.global.pop_some(own, &mut seat.rush)).or_else(|| self.steal(seat.shard))
    }

    /// Every other time from the queue for all, and several at once: what comes from outside of the drivers comes there. While a
    /// few children of their own are always ready, those have up to a third of the turns.
    #[cold]
    fn pop_by_turn(&self, seat: &Seat) -> Option<Runnable> {
        let round = seat.turn / ROUND;
        match round % 2 {
            0 => self.global.pop_some(&self.shards[seat.shard], &mut 1),
            _ => self.shards[round / 2 % self.shards.len()].pop(),
        }
    }

    /// Takes a child of another driver.
    #[cold]
    fn steal(&self, own: usize) -> Option<Runnable> {
        let (before, after) = self.shards.split_at(own);
        after.iter().chain(before).find_map(Part::pop)
    }

    /// The place of this driver. At first it assumes that there are others.
    pub(super) fn seat(&self, driver: u64) -> Seat {
        let number = driver as usize;
        Seat { shard: number % self.shards.len(), turn: number, rush: RUSH }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.global).chain(&self.shards)
    }

    /// Whether there was nothing in any part when it was looked at. If so, code that pushes to one of them from now on sees
    /// what the caller did before.
    pub(super) fn is_empty(&self) -> bool {
        self.parts().all(|part| part.list.lock().is_empty())
    }

    /// Sees what was pushed by code that did not see what the caller did before.
    pub(super) fn settle(&self) {
        self.parts().for_each(|part| drop(part.list.lock()));
    }

    /// What [`is_empty`](Self::is_empty) says, but as of a moment ago, unless the caller has settled the queue.
    pub(super) fn looks_empty(&self) -> bool {
        self.parts().all(Part::looks_empty)
    }
}

#[cfg(all(test, not(taskgroup_loom)))]
mod tests {
    use super::*;
    use crate::sync::spare::KEPT;

    fn put(queue: &Queue, shard: Option<usize>, children: usize) {
        for _ in 0..children {
            let (runnable, task) = async_task::spawn(async {}, drop);
            task.detach();
            queue.push(runnable, shard);
        }
    }

    /// Takes this many children, and says how many are left in the queue for all, and in each small one.
    fn left(queue: &Queue, seat: &mut Seat, children: usize) -> Vec<usize> {
        (0..children).for_each(|_| drop(queue.pop(seat).expect("there are so many")));
        queue.parts().map(|part| part.list.lock().len()).collect()
    }

    /// Whether children are taken one by one or several at once, a list that was long leaves no memory behind.
    #[test]
    fn an_empty_list_that_was_large_is_given_back() {
        for rush in [0, RUSH] {
            let queue = Queue::new(1);
            put(&queue, None, 2 * KEPT);
            let mut seat = Seat { shard: 0, turn: 0, rush };
            assert_eq!(left(&queue, &mut seat, 2 * KEPT), [0, 0]);
            assert!(queue.parts().all(|part| part.list.lock().capacity() <= KEPT), "in a rush of {rush}");
        }
    }

    #[test]
    fn what_a_small_queue_has_no_room_for_is_for_all() {
        let queue = Queue::new(1);
        put(&queue, Some(0), SHARD + 2);
        assert_eq!(left(&queue, &mut Seat { ..Seat::ANY }, 0), [2, SHARD]);
    }

    #[test]
    fn a_driver_takes_its_own_then_one_for_all_and_then_somebody_elses() {
        let queue = Queue::new(3);
        [Some(0), Some(1), Some(2), None].into_iter().for_each(|shard| put(&queue, shard, 1));
        let mut seat = Seat { shard: 1, turn: 0, rush: 0 };
        assert_eq!(left(&queue, &mut seat, 1), [1, 1, 0, 1]);
        assert_eq!(left(&queue, &mut seat, 1), [0, 1, 0, 1]);
        assert_eq!(left(&queue, &mut seat, 1), [0, 1, 0, 0]);
        assert_eq!(left(&queue, &mut seat, 1), [0, 0, 0, 0]);
        assert!(queue.pop(&mut seat).is_none());
    }

    /// A driver that always found something of its own would never look elsewhere.
    #[test]
    fn by_turns_a_driver_comes_to_every_part() {
        let queue = Queue::new(6);
        let mut seat = Seat { shard: 0, turn: 0, rush: 0 };
        put(&queue, None, 1);
        (0..6).for_each(|shard| put(&queue, Some(shard), 1));
        // Its own is never empty.
        put(&queue, Some(0), ROUND);
        let visited = [(); 12].map(|()| {
            put(&queue, Some(0), ROUND);
            let before = left(&queue, &mut seat, ROUND - 1);
            let after = left(&queue, &mut seat, 1);
            (0..7).find(|part| after[*part] < before[*part]).unwrap()
        });
        // After its only one the queue for all is empty, and the driver takes one of its own.
        assert_eq!(visited, [1, 0, 2, 1, 3, 1, 4, 1, 5, 1, 6, 1]);
    }

    /// Children that are always ready again do not hold up what comes from outside.
    #[test]
    fn by_turns_a_driver_takes_several_of_those_for_all() {
        let queue = Queue::new(2);
        let mut seat = Seat { shard: 0, turn: 0, rush: 0 };
        put(&queue, None, 2 * BATCH);
        put(&queue, Some(0), 2 * ROUND);
        assert_eq!(left(&queue, &mut seat, 2 * ROUND - 1), [2 * BATCH, 1, 0]);
        assert_eq!(left(&queue, &mut seat, 1), [BATCH - 1, BATCH + 1, 0]);
    }

    #[test]
    fn in_a_rush_a_driver_takes_several_at_once() {
        let queue = Queue::new(1);
        let mut seat = Seat { shard: 0, turn: 0, rush: 1 };
        put(&queue, None, 1);
        assert_eq!((left(&queue, &mut seat, 1), seat.rush), (vec![0, 0], 1), "there are not several");
        put(&queue, None, 2 * BATCH);
        assert_eq!((left(&queue, &mut seat, 1), seat.rush), (vec![BATCH - 1, BATCH], 0));
        assert_eq!(left(&queue, &mut seat, BATCH + 1), [BATCH - 2, 0], "the rush is over");
    }

    #[test]
    fn drivers_have_places_in_turn() {
        let queue = Queue::new(3);
        assert!((1..=6).map(|driver| queue.seat(driver).shard()).eq([1, 2, 0, 1, 2, 0]));
    }
}
