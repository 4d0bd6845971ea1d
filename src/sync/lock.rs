//! The lock around data that every child touches for a moment: the table of its group, its result, the lists of a pool.
//!
//! A child locks the table two or three times, for some ten nanoseconds each, and mostly without contention. So what
//! counts is the number of locked instructions: one here, two with std's mutex.
//!
//! A thread that finds the lock taken looks again after a while, then after twice that time, and so on: each look takes
//! the cache line from the thread that has the lock and is about to write it. Then the thread yields to others. At last
//! it sleeps, so that a thread that was stopped while it held the lock can run even if it has a lower priority.
//!
//! Under a model checker, this is the model checker's mutex.

use std::hint::spin_loop;
use std::panic::RefUnwindSafe;
use std::thread;
use std::time::Duration;

/// How many looks there are before the thread yields to others: some 300 pauses, about ten microseconds.
const SPINS: u32 = 10;
/// How often the time between two looks doubles.
const DOUBLINGS: u32 = 6;
const YIELDS: u32 = 1_000;
const SLEEP: Duration = Duration::from_micros(50);

#[cfg(not(taskgroup_loom))]
mod imp {
    use spin::mutex::{SpinMutex, SpinMutexGuard};

    use super::pause;

    pub(crate) type Guard<'a, T> = SpinMutexGuard<'a, T>;

    pub(crate) struct Lock<T>(SpinMutex<T>);

    impl<T> Lock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(SpinMutex::new(value))
        }

        #[inline]
        pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
            self.0.try_lock()
        }

        /// Locks the value.
        ///
        /// Nothing under the lock unwinds, because no foreign code runs there; except that a group panics that is full to the
        /// last bit.
        #[inline]
        pub(crate) fn lock(&self) -> Guard<'_, T> {
            match self.0.try_lock() {
                Some(guard) => guard,
                None => self.wait(),
            }
        }

        #[cold]
        fn wait(&self) -> Guard<'_, T> {
            let mut turn = 0;
            loop {
                pause(&mut turn);
                if !self.0.is_locked() {
                    if let Some(guard) = self.0.try_lock() {
                        return guard;
                    }
                }
            }
        }
    }
}

#[cfg(taskgroup_loom)]
mod imp {
    use loom::sync::{Mutex, MutexGuard};

    pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

    pub(crate) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
            self.0.try_lock().ok()
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}

pub(crate) use imp::{Guard, Lock};

/// Whoever catches a panic finds the data whole, because nothing under the lock unwinds.
impl<T> RefUnwindSafe for Lock<T> {}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Waits before the next look at what another thread is about to do, longer each time.
#[cold]
#[cfg_attr(taskgroup_loom, allow(dead_code, reason = "there whoever waits is not run"))]
pub(crate) fn pause(turn: &mut u32) {
    match *turn {
        ..SPINS => (0..1 << (*turn).min(DOUBLINGS)).for_each(|_| spin_loop()),
        SPINS..YIELDS => thread::yield_now(),
        _ => thread::sleep(SLEEP),
    }
    *turn = turn.saturating_add(1);
}
