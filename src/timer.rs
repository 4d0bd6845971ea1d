//! Time, as the runtime has it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::keeping::Brittle;
use crate::unwind::{Quiet, catch, drop_quietly};

/// A clock to sleep by.
///
/// Times are durations since a start that is the clock's own and otherwise arbitrary. They are never
/// `std::time::Instant`s, so a clock that is paused, virtual or cranked by hand works as well as a real one.
///
/// A timer is kept by groups and must not own the executor that children run on: see [`Timed`]. If a sleep panics, as Tokio's does
/// once its runtime is shut down, its clock is taken to have gone away. A panic of its destructor is caught, and nobody is told of it.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "smol")] {
/// use std::time::Duration;
/// use taskgroup::{Smol, runtime::Timer};
///
/// # smol::block_on(async {
/// let before = Smol.now();
/// Smol.sleep_until(before + Duration::from_millis(1)).await;
/// assert!(Smol.now() >= before + Duration::from_millis(1));
/// # });
/// # }
/// ```
pub trait Timer: Clone + Send + Sync + 'static {
    /// Ready at a certain time.
    type Sleep: Future<Output = ()> + Send + 'static;

    /// What time it is, since the clock's start.
    fn now(&self) -> Duration;

    /// Is ready when it is `at` or later.
    fn sleep_until(&self, at: Duration) -> Self::Sleep;

    /// Is ready after a while that begins now, and not when it is first polled.
    ///
    /// # Examples
    ///
    /// A child that tries again, on whatever runtime the group is:
    ///
    /// ```
    /// # #[cfg(feature = "smol")] {
    /// use std::time::Duration;
    /// use taskgroup::runtime::{Timed, Timer};
    /// use taskgroup::{Group, Smol, Spawner, TaskGroup};
    ///
    /// fn knock<S: Spawner + Timed>(group: &Group<S>) {
    ///     let timer = group.spawner().timer();
    ///     group.launch(async move {
    ///         for attempt in 1..=3 {
    ///             println!("knocking for the {attempt}. time");
    ///             timer.sleep(Duration::from_millis(1)).await;
    ///         }
    ///     });
    /// }
    ///
    /// # smol::block_on(async {
    /// let group = TaskGroup::new(Smol);
    /// knock(&group);
    /// group.join().await.unwrap();
    /// # });
    /// # }
    /// ```
    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.sleep_until(self.now().saturating_add(time))
    }
}

/// A spawner whose runtime has a clock; needed for deadlines, timeouts, [`shutdown`](crate::TaskGroup::shutdown) and
/// [`warn_after`](crate::futures::Join::warn_after), and for nothing else.
///
/// Every [`Timer`] that is a spawner is one. A spawner that owns its executor gives a clock that does not: groups keep
/// the clock, children keep the group, and an executor that its own children keep is never dropped.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no clock",
    label = "no clock",
    note = "a deadline, a timeout, `shutdown` and `warn_after` need a spawner that implements `Timed`",
    note = "`AnySpawner` has no clock: `AnyTimedSpawner` has one"
)]
pub trait Timed {
    /// The clock.
    type Timer: Timer;

    /// The runtime's clock.
    fn timer(&self) -> Self::Timer;
}

impl<T: Timer> Timed for T {
    type Timer = T;

    fn timer(&self) -> T {
        self.clone()
    }
}

/// A timer of whatever type: that of groups, and of an [`AnyTimedSpawner`](crate::AnyTimedSpawner).
#[derive(Clone)]
pub struct AnyTimer(Arc<dyn Erased>);

pub(crate) type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The runtime that a clock is of has gone.
#[derive(Debug)]
pub(crate) struct ClockGone;

/// Whether it is time. To sleep by Tokio's clock panics once its runtime is shut down, as another's may; it is not asked again then.
pub(crate) fn poll_sleep(sleep: &mut Sleep, cx: &mut Context<'_>) -> Poll<Result<(), ClockGone>> {
    match catch(|| sleep.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => {
            drop_quietly(payload);
            *sleep = Box::pin(std::future::pending());
            Poll::Ready(Err(ClockGone))
        }
    }
}

trait Erased: Send + Sync {
    fn time(&self) -> Duration;
    fn boxed_sleep(&self, at: Duration) -> Sleep;
}

impl<T: Timer> Erased for Quiet<T> {
    fn time(&self) -> Duration {
        self.now()
    }

    fn boxed_sleep(&self, at: Duration) -> Sleep {
        Box::pin(Brittle::new(self.sleep_until(at)))
    }
}

impl AnyTimer {
    pub(crate) fn of(spawner: &impl Timed) -> Self {
        Self(Arc::new(Quiet::new(spawner.timer())))
    }

    /// Whether the other one is a clone of this.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Timer for AnyTimer {
    type Sleep = Sleep;

    fn now(&self) -> Duration {
        self.0.time()
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        self.0.boxed_sleep(at)
    }
}

impl fmt::Debug for AnyTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyTimer").field(&self.now()).finish()
    }
}
