//! The children that are ready to run.
//!
//! This is the seam for the model checker, to which `concurrent-queue` is opaque. What the rest relies on: `push` and
//! [`is_empty`](Queue::is_empty) are sequentially consistent, and what was pushed is found by whoever looks later,
//! from whichever end.

#[cfg(not(taskgroup_loom))]
pub(super) use self::real::Queue;

#[cfg(taskgroup_loom)]
pub(super) use self::model::Queue;

#[cfg(not(taskgroup_loom))]
mod real {
    use std::sync::OnceLock;

    use async_task::Runnable;
    use concurrent_queue::{ConcurrentQueue, PushError};

    /// How many children are kept near to the driver that woke them.
    const SHARD: usize = 256;

    /// How often a driver looks at one queue first that it would come to last.
    const ROUND: usize = 61;

    /// A queue for all, and a small one for each driver, from which the others steal.
    ///
    /// The small ones belong to the pool, not to their drivers: a driver that ends or that blocks leaves nothing in a
    /// place where nobody else looks.
    pub(in super::super) struct Queue {
        global: ConcurrentQueue<Runnable>,
        shards: Box<[OnceLock<ConcurrentQueue<Runnable>>]>,
    }

    impl Queue {
        pub(in super::super) fn new(shards: usize) -> Self {
            Self {
                global: ConcurrentQueue::unbounded(),
                shards: (0..shards).map(|_| OnceLock::new()).collect(),
            }
        }

        /// Adds a child that was made ready on the driver of this shard, or elsewhere.
        pub(in super::super) fn push(&self, runnable: Runnable, shard: Option<usize>) {
            let refused = match shard {
                None => Err(PushError::Full(runnable)),
                Some(shard) => self.shards[shard % self.shards.len()]
                    .get_or_init(|| ConcurrentQueue::bounded(SHARD))
                    .push(runnable),
            };
            if let Err(PushError::Full(runnable) | PushError::Closed(runnable)) = refused {
                self.global.push(runnable).expect("an unbounded queue that is never closed takes everything");
            }
        }

        /// Takes a child: the driver's own, else one for all, else somebody else's. By `tick` it is fair to them all.
        pub(in super::super) fn pop(&self, shard: usize, tick: usize) -> Option<Runnable> {
            if tick % ROUND == 0 {
                let first = tick / ROUND % (self.shards.len() + 1);
                let runnable = if first == 0 { pop(&self.global) } else { self.pop_shard(shard + first) };
                if runnable.is_some() {
                    return runnable;
                }
            }
            self.pop_shard(shard)
                .or_else(|| pop(&self.global))
                .or_else(|| (1..self.shards.len()).find_map(|step| self.pop_shard(shard + step)))
        }

        fn pop_shard(&self, shard: usize) -> Option<Runnable> {
            pop(self.shards[shard % self.shards.len()].get()?)
        }

        pub(in super::super) fn is_empty(&self) -> bool {
            // `concurrent-queue` says it of both its queues: a push is one `SeqCst` operation, and so is looking.
            self.global.is_empty()
                && self.shards.iter().all(|shard| shard.get().is_none_or(ConcurrentQueue::is_empty))
        }
    }

    /// Looks first: that is two loads, where a `pop` in vain is a fence.
    fn pop(queue: &ConcurrentQueue<Runnable>) -> Option<Runnable> {
        if queue.is_empty() { None } else { queue.pop().ok() }
    }
}

#[cfg(taskgroup_loom)]
mod model {
    use std::collections::VecDeque;

    use async_task::Runnable;
    use loom::sync::Mutex;
    use loom::sync::atomic::{Ordering::SeqCst, fence};

    pub(in super::super) struct Queue(Mutex<VecDeque<Runnable>>);

    impl Queue {
        pub(in super::super) fn new(_: usize) -> Self {
            Self(Mutex::new(VecDeque::new()))
        }

        pub(in super::super) fn push(&self, runnable: Runnable, _: Option<usize>) {
            self.0.lock().unwrap().push_back(runnable);
            fence(SeqCst);
        }

        pub(in super::super) fn pop(&self, _: usize, _: usize) -> Option<Runnable> {
            fence(SeqCst);
            self.0.lock().unwrap().pop_front()
        }

        pub(in super::super) fn is_empty(&self) -> bool {
            fence(SeqCst);
            self.0.lock().unwrap().is_empty()
        }
    }
}
