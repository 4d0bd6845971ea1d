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
/// Times are durations since a start, which each clock chooses for itself. They are never `std::time::Instant`s, so a clock
/// that is paused, virtual or turned by hand works as well as a real one.
///
/// Groups keep a timer, so it must not own the executor that children run on: see [`Timed`].
///
/// If a sleep panics, as Tokio's does once its runtime is shut down, the group takes the clock as gone. If the destructor of
/// a sleep panics, the panic is caught and not reported to anybody.
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
    /// A future that is ready at a certain time.
    type Sleep: Future<Output = ()> + Send + 'static;

    /// Returns the time since the clock's start.
    fn now(&self) -> Duration;

    /// Returns a future that is ready when the time is `at` or later.
    fn sleep_until(&self, at: Duration) -> Self::Sleep;

    /// Returns a future that is ready after `time`.
    ///
    /// The time begins now, and not when the future is first polled.
    ///
    /// # Examples
    ///
    /// A child that tries again, on any runtime:
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

/// A spawner whose runtime has a clock.
///
/// It is needed for deadlines, timeouts, [`shutdown`](crate::TaskGroup::shutdown) and
/// [`warn_after`](crate::future::Join::warn_after), and for nothing else.
///
/// In generic code, `S: Spawner + Timed` is any spawner with a clock. `S: Timer` is not: a spawner that owns its executor is no
/// clock, and its clock must not own the executor. Groups keep the clock, children keep the group, and an executor that is kept
/// by its own children is never dropped.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no clock",
    label = "no clock",
    note = "a deadline, a timeout, `shutdown` and `warn_after` need a spawner that implements `Timed`",
    note = "`AnySpawner` has no clock: `AnyTimedSpawner` has one"
)]
pub trait Timed {
    /// The type of the clock.
    type Timer: Timer;

    /// Returns the runtime's clock.
    fn timer(&self) -> Self::Timer;
}

/// A timer of any type: the one that groups use, and that of an [`AnyTimedSpawner`](crate::AnyTimedSpawner).
#[derive(Clone)]
pub struct AnyTimer(Arc<dyn Erased>);

pub(crate) type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The runtime to which a clock belongs has gone.
#[derive(Debug)]
pub(crate) struct ClockGone;

/// Whether it is time. A sleep by Tokio's clock panics once its runtime is shut down, and other clocks may do the same.
/// After that the sleep is not asked again.
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
        f.debug_tuple("AnyTimer").finish_non_exhaustive()
    }
}
