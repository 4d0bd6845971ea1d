//! The simulated runtime, as a scenario sees it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_task::{Builder, Runnable, Task};
use pin_project_lite::pin_project;

use crate::runtime::{Adopt, LocalSpawner, SpawnBlocking, Spawner, Timed, Timer, lazily};
use crate::sim::birth;
use crate::sim::trace::Id;
use crate::sim::world::World;

/// The runtime of a simulation: a spawner and a clock.
///
/// A scenario is given one. A clone is the same runtime, of the same run. When the run is over, nothing is started any more:
/// what is spawned is dropped, and a child is lost.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use taskgroup::{TaskGroup, sim};
///
/// sim::check(async |sim| {
///     let group = TaskGroup::new(sim.clone());
///     for second in 1..=3 {
///         let clock = sim.clone();
///         group.launch(async move { clock.sleep(Duration::from_secs(second)).await });
///     }
///     group.join().await.unwrap();
///     assert_eq!(sim.now(), Duration::from_secs(3)); // which took no time
/// });
/// ```
#[derive(Clone)]
pub struct Sim(pub(crate) Arc<World>);

impl Sim {
    /// Returns the time since the run began.
    ///
    /// The clock stands still while anything is runnable. When nothing is, it is set to when the next sleep ends.
    pub fn now(&self) -> Duration {
        self.0.now()
    }

    /// Sleeps for `time`.
    ///
    /// The time begins now, and not when the future is first polled.
    pub fn sleep(&self, time: Duration) -> Sleep {
        self.sleep_until(self.now().saturating_add(time))
    }

    /// Returns a number below `n` that the schedule chooses.
    ///
    /// This is for faults and inputs that are to vary as the order does. An exhaustive check goes through all of the
    /// numbers.
    ///
    /// # Panics
    ///
    /// Panics if `n` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use taskgroup::sim::Checker;
    ///
    /// let report = Checker::new().exhaustive().check(async |sim| {
    ///     let connection_fails = sim.choose(2) == 1;
    ///     # let _ = connection_fails;
    /// });
    /// assert_eq!(report.schedules(), 2);
    /// ```
    #[track_caller]
    pub fn choose(&self, n: u32) -> u32 {
        assert!(n > 0, "there is no number below zero to choose");
        self.0.number(n)
    }

    /// Returns how many tasks of the run live.
    ///
    /// A task lives as long as anything of it is left. The scenario itself is not counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use taskgroup::{TaskGroup, sim};
    ///
    /// sim::check(async |sim| {
    ///     let group = TaskGroup::new(sim.clone());
    ///     group.launch(std::future::pending::<()>());
    ///     assert_eq!(sim.alive(), 1);
    ///     group.cancel();
    ///     group.join().await.unwrap();
    ///     assert_eq!(sim.alive(), 0);
    /// });
    /// ```
    pub fn alive(&self) -> usize {
        self.0.living()
    }

    /// Takes a future in, and has `make` make a task of it.
    fn start<F: Future>(
        &self,
        future: F,
        make: impl FnOnce(Tracked<F>, Schedule) -> (Runnable, Task<F::Output>),
    ) -> Task<F::Output> {
        let id = self.0.enter(birth::take());
        let tracked = Tracked { future, gone: id.map(|id| Gone { world: self.0.clone(), id }) };
        let schedule = Schedule { world: self.0.clone(), id: id.unwrap_or_default() };
        let (runnable, task) = make(tracked, schedule);
        match id {
            Some(id) => {
                self.0.keep_waker(id, runnable.waker());
                runnable.schedule();
            }
            None => drop(runnable),
        }
        task
    }
}

impl Spawner for Sim {
    fn spawn<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(future, |future, schedule| {
            async_task::spawn(future, move |runnable| schedule.wake(runnable))
        })
    }

    fn for_tasks(&self) -> Option<Self> {
        // A run lets go of its tasks when it ends, even if something else keeps the run.
        Some(self.clone())
    }
}

/// Children that are not `Send` run on the thread of the run, like all others.
impl LocalSpawner for Sim {
    fn spawn_local<F>(&self, future: F) -> Task<()>
    where
        F: Future<Output = ()> + 'static,
    {
        self.start(future, |future, schedule| {
            async_task::spawn_local(future, move |runnable| schedule.wake(runnable))
        })
    }
}

/// Work that blocks runs in one turn of its own task, and takes no time.
impl SpawnBlocking for Sim {
    fn spawn_blocking<W, O>(&self, work: W) -> impl Adopt<Output = O> + use<W, O>
    where
        W: FnOnce() -> O + Send + 'static,
        O: Send + 'static,
    {
        let sim = self.clone();
        lazily(move || {
            sim.start(async move { work() }, |future, schedule| {
                let builder = Builder::new().propagate_panic(true);
                builder.spawn(|()| future, move |runnable| schedule.wake(runnable))
            })
        })
    }
}

impl Timed for Sim {
    type Timer = Self;

    fn timer(&self) -> Self {
        self.clone()
    }
}

/// The virtual clock, which begins at zero.
impl Timer for Sim {
    type Sleep = Sleep;

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep_until(&self, at: Duration) -> Sleep {
        Sleep { world: self.0.clone(), at, key: None }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").finish_non_exhaustive()
    }
}

/// A sleep by the clock of a [`Sim`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    world: Arc<World>,
    at: Duration,
    key: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let key = self.world.sleep(self.at, self.key, cx.waker());
        match key {
            Some(_) => {
                self.key = key;
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.world.wake_no_more(self.at, key);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.at).finish_non_exhaustive()
    }
}

/// Where a task goes when it is woken.
struct Schedule {
    world: Arc<World>,
    id: Id,
}

impl Schedule {
    fn wake(&self, runnable: Runnable) {
        self.world.wake(self.id, Some(runnable));
    }
}

pin_project! {
    /// A future that reports its polls and its end to the world.
    struct Tracked<F> {
        // Dropped before the other field, which reports that the future is destroyed.
        #[pin]
        future: F,
        gone: Option<Gone>,
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Gone { world, id } = this.gone.as_ref().expect("what is refused is not polled");
        world.begin_poll(*id);
        let poll = this.future.poll(cx);
        if let Some((group, ticket)) = world.end_poll(*id, poll.is_ready()) {
            group.cancel_child(ticket);
        }
        poll
    }
}

struct Gone {
    world: Arc<World>,
    id: Id,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.world.gone(self.id);
    }
}
