//! A clock that stands still until a case sets it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use taskgroup::runtime::{Timed, Timer};
use taskgroup::{AnySpawner, Spawner, Task};

use crate::test::{Test, quiet_panic};

/// A time on the clock.
pub const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns a clock, and the rig's spawner with this clock.
pub fn cranked(t: &Test) -> (Crank, Cranked) {
    let crank = Crank::default();
    (crank.clone(), Cranked { spawner: t.spawner(), crank })
}

/// The clock of this module. It begins at zero. Clones are the same clock.
#[derive(Clone, Default)]
pub struct Crank(Arc<Mutex<Dial>>);

#[derive(Default)]
struct Dial {
    now: Duration,
    /// All sleeps panic from now on.
    gone: bool,
    /// Sleeps panic when they are dropped.
    brittle: bool,
    /// What happens while the time is asked for, once.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    next: u64,
    /// Every sleep that has not been dropped.
    sleeps: HashMap<u64, (Duration, Option<Waker>)>,
}

impl Crank {
    /// Sets the clock, and wakes the sleeps whose time has come.
    pub fn to(&self, seconds: u64) {
        self.turn(|dial| {
            assert!(dial.now <= at(seconds), "a clock does not go backwards");
            dial.now = at(seconds);
        });
    }

    /// Breaks the clock: all sleeps are woken and panic, as those of Tokio do when their runtime is shut down.
    pub fn break_down(&self) {
        self.turn(|dial| dial.gone = true);
    }

    /// Makes each sleep panic that is dropped from now on.
    pub fn embrittle(&self) {
        self.turn(|dial| dial.brittle = true);
    }

    /// Calls `f` when the time is asked for next, before it is told.
    pub fn when_asked(&self, f: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().meanwhile = Some(Box::new(f));
    }

    fn turn(&self, f: impl FnOnce(&mut Dial)) {
        let mut dial = self.0.lock().unwrap();
        f(&mut dial);
        let Dial { now, gone, .. } = *dial;
        let due = dial.sleeps.values_mut().filter(|(at, _)| gone || *at <= now);
        let wakers: Vec<_> = due.filter_map(|(_, waker)| waker.take()).collect();
        drop(dial);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns the number of sleeps that have not been dropped.
    pub fn sleeps(&self) -> usize {
        self.0.lock().unwrap().sleeps.len()
    }
}

impl Timer for Crank {
    type Sleep = Sleep;

    fn now(&self) -> Duration {
        let meanwhile = self.0.lock().unwrap().meanwhile.take();
        meanwhile.into_iter().for_each(|f| f());
        self.0.lock().unwrap().now
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        let mut dial = self.0.lock().unwrap();
        dial.next += 1;
        let key = dial.next;
        dial.sleeps.insert(key, (at, None));
        Sleep { crank: self.clone(), key }
    }
}

/// A sleep on a [`Crank`].
pub struct Sleep {
    crank: Crank,
    key: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut dial = self.crank.0.lock().unwrap();
        if dial.gone {
            drop(dial);
            quiet_panic("the clock has gone");
        }
        let now = dial.now;
        let (at, waker) = dial.sleeps.get_mut(&self.key).expect("it is there until it is dropped");
        if *at <= now {
            return Poll::Ready(());
        }
        let stale = waker.replace(cx.waker().clone());
        drop(dial);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // The waker is dropped after the lock has been released.
        let mut dial = self.crank.0.lock().unwrap();
        let (gone, brittle) = (dial.sleeps.remove(&self.key), dial.brittle);
        drop(dial);
        drop(gone);
        if brittle {
            quiet_panic("a sleep is dropped");
        }
    }
}

/// A spawner whose clock is a [`Crank`].
#[derive(Clone)]
pub struct Cranked {
    spawner: AnySpawner,
    crank: Crank,
}

impl Spawner for Cranked {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawner.spawn(future)
    }
}

impl Timed for Cranked {
    type Timer = Crank;

    fn timer(&self) -> Crank {
        self.crank.clone()
    }
}
