//! The children that are ready to run.
//!
//! What the rest relies on: somebody pushes and then looks at the pool's word; somebody else changes that and then goes through
//! all locks, by [`is_empty`](Queue::is_empty) or [`settle`](Queue::settle). Whoever of them has the lock first, the other one
//! sees what it did. For a push that is one locked instruction, where sequential consistency would be two.

use std::collections::VecDeque;

use async_task::Runnable;

use crate::lock::Lock;
use crate::sync::{AtomicUsize, Ordering};

/// How many children are kept near to the driver that woke them.
const SHARD: usize = 256;

/// How many a driver takes over at once from the queue for all.
const BATCH: usize = 32;

/// How often a driver looks at one queue first that it would come to last.
const ROUND: usize = 61;

/// How large an empty list may be: one that was larger is given back.
const KEPT: usize = 1024;

/// A queue for all, and a small one for each driver, from which the others steal.
///
/// The small ones belong to the pool, not to their drivers: a driver that ends or that blocks leaves nothing in a
/// place where nobody else looks.
pub(super) struct Queue {
    global: Part,
    shards: Box<[Part]>,
}

/// On lines of its own: mostly one driver writes it.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    /// How long the list is, for those who only look. Written under its lock.
    len: AtomicUsize,
    list: Lock<VecDeque<Runnable>>,
}

impl Part {
    /// It may have been pushed to a moment ago.
    fn looks_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Adds a child unless there are so many already.
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
        if list.is_empty() && list.capacity() > KEPT {
            *list = VecDeque::new();
        }
        self.len.store(list.len(), Ordering::Release);
        first
    }

    /// Moves up to half of the children, and not too many, to another part.
    fn share(&self, other: &Part) {
        let mut list = self.list.lock();
        let some = (list.len() / 2).min(BATCH);
        if some == 0 {
            return;
        }
        // Under both locks: what is in neither list is not seen by whoever drains a dead pool.
        let mut others = other.list.lock();
        others.extend(list.drain(..some));
        other.len.store(others.len(), Ordering::Release);
        self.len.store(list.len(), Ordering::Release);
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

    /// Takes a child: the driver's own, else one for all, else somebody else's. By `tick` it is fair to them all.
    #[inline]
    pub(super) fn pop(&self, shard: usize, tick: usize) -> Option<Runnable> {
        if tick % ROUND == 0 {
            let first = tick / ROUND % (self.shards.len() + 1);
            let part = if first == 0 { &self.global } else { &self.shards[first - 1] };
            if let Some(runnable) = part.pop() {
                return Some(runnable);
            }
        }
        let (before, others) = self.shards.split_at(shard);
        let (own, after) = others.split_first().expect("a driver has a shard");
        own.pop().or_else(|| self.pop_global(own)).or_else(|| after.iter().chain(before).find_map(Part::pop))
    }

    /// Takes one for all, and some more to the driver's own, where they can be stolen.
    fn pop_global(&self, own: &Part) -> Option<Runnable> {
        let first = self.global.pop()?;
        if !self.global.looks_empty() {
            self.global.share(own);
        }
        Some(first)
    }

    /// The number of the shard for this driver. Several may have the same one.
    pub(super) fn shard_of(&self, driver: u64) -> usize {
        driver as usize % self.shards.len()
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.global).chain(&self.shards)
    }

    /// Whether there was nothing in any part when it was looked at, and whoever pushes to one of them from now on sees what the
    /// caller did before.
    pub(super) fn is_empty(&self) -> bool {
        self.parts().all(|part| part.list.lock().is_empty())
    }

    /// Sees what was pushed by whoever did not see what the caller did before.
    pub(super) fn settle(&self) {
        self.parts().for_each(|part| drop(part.list.lock()));
    }

    /// What [`is_empty`](Self::is_empty) says, but of a moment ago, unless the caller has settled it.
    pub(super) fn looks_empty(&self) -> bool {
        self.parts().all(Part::looks_empty)
    }
}
