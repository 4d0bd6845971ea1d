//! A simulated runtime for tests: one thread, virtual time, and a seed that decides who is next.
//!
//! [`check`] runs a scenario again and again, each time under another schedule, and fails at the first one in which
//! something is wrong:
//!
//! | what is wrong | is found when |
//! |---|---|
//! | a panic, of an assertion for instance | the scenario or a task of no group panics |
//! | a deadlock | the scenario waits, nothing is runnable, and nobody sleeps |
//! | a livelock | there is no end after as many turns as [`max_steps`](Checker::max_steps) allows |
//! | a leak | the scenario has ended, all that was runnable has run, and a task is left |
//! | a scenario that is not deterministic | it goes another way when it is run again |
//!
//! ```should_panic
//! use taskgroup::{TaskGroup, sim};
//!
//! sim::check(async |sim| {
//!     let (send, receive) = async_channel::unbounded();
//!     let group = TaskGroup::new(sim);
//!     group.child().name("first").launch(async move { drop(send.try_send(1)) });
//!     group.child().name("second").launch(async move {
//!         assert!(receive.try_recv().is_ok(), "nothing was sent"); // not under every schedule
//!     });
//!     group.join().await.unwrap();
//! });
//! ```
//!
//! # The same run again
//!
//! The failure ends with a *token*, as in `TASKGROUP_SIM=v1.random.5eed`. With that in the environment, every check runs
//! only the run that the token stands for. So run only the one test:
//! `TASKGROUP_SIM=v1.random.5eed cargo test name_of_the_test`. [`replay`] is the same in code. A token is good for the same
//! scenario on the same version of this crate, on any machine. A token that was made under other rules has another version,
//! and is refused.
//!
//! # What a scenario may do
//!
//! Everything in it has to come from the simulation. Tasks are spawned on the [`Sim`] that the scenario is given, or in
//! groups on it. Time is that of [`Sim::now`] and [`Sim::sleep`], which deadlines of groups use as well. Channels, locks and
//! events that are not tied to a runtime work as they are. Sockets, files, real clocks, threads, and the order of a
//! `HashMap` must not be used. Some runs are repeated, and so is every run that fails. If the two differ, the check says
//! where.
//!
//! Time is virtual and takes none. The clock stands still while anything is runnable. When nothing is, the clock is set to
//! the time at which the next sleep ends. So a computation takes no time, and a task that sleeps longer always wakes later.
//!
//! # What it does not find
//!
//! There is one thread, and a task is never interrupted between two awaits: a task that never comes to its next await hangs
//! the check. Faults that need two tasks to run at the same instant, in the orderings of atomics for instance, are for a
//! model checker of threads such as loom. Random schedules find what is likely enough. Only an
//! [exhaustive](Checker::exhaustive) check that is [complete](Report::is_complete) has seen all schedules, and only for one
//! input.
//!
//! A report knows tasks and groups. It cannot tell what a task awaits inside them, such as a lock or the handle of another
//! child. On a spawner that is built on the simulation, the report knows the tasks that this spawner starts, so it may name such
//! a task where a child is meant. The drivers of a `Pool` are tasks of no group there.

pub(crate) mod birth;
mod checker;
mod error;
mod order;
mod report;
mod rng;
mod run;
mod spawner;
mod token;
mod trace;
mod tree;
mod world;

pub(crate) use self::birth::announce;
pub use self::checker::Checker;
pub use self::error::CheckError;
pub use self::report::Report;
pub use self::spawner::{Sim, Sleep};

/// Runs a scenario under a thousand schedules.
///
/// For other numbers and kinds of schedules there is [`Checker`].
///
/// # Panics
///
/// Panics at the first run that is at fault, and says what is wrong, who waits for whom, and how to run it again.
///
/// # Examples
///
/// ```
/// use taskgroup::{scope, sim, GroupError};
///
/// sim::check(async |sim| {
///     let result: Result<(), GroupError<&str>> = scope(sim, async |group| {
///         group.launch(async { Err::<(), _>("disk full") });
///         group.launch(std::future::pending::<()>());
///         Ok(())
///     })
///     .await;
///     assert_eq!(result.unwrap_err().primary(), Some(&"disk full"));
/// });
/// ```
#[track_caller]
pub fn check(scenario: impl AsyncFn(Sim)) -> Report {
    Checker::new().check(scenario)
}

/// Runs the one run of a scenario that a token stands for.
///
/// # Panics
///
/// Panics if the run is at fault, as it will be if the token came with a failure. Also panics if the token is of another
/// version, or is no token.
///
/// # Examples
///
/// ```
/// use taskgroup::{TaskGroup, sim};
///
/// let report = sim::replay("v1.random.5eed", async |sim| {
///     TaskGroup::new(sim).join().await.unwrap();
/// });
/// assert_eq!(report.schedules(), 1);
/// ```
#[track_caller]
pub fn replay(token: &str, scenario: impl AsyncFn(Sim)) -> Report {
    Checker::new().replay(token).check(scenario)
}

/// Runs a scenario once for each poll of each child, and cancels that child there.
///
/// The child is cancelled as by [`JoinHandle::cancel`](crate::JoinHandle::cancel), just before the poll. So it is dropped
/// instead of being polled, shields are honoured, groups in it end first, and clean-ups run. A child that does not return by
/// itself is also cancelled after its last poll, while it waits. Bodies, clean-ups and blocking work that has begun are not
/// cancelled by themselves. This is done under 50 schedules; [`Checker`] has other numbers.
///
/// The scenario itself has to assert what must hold whichever child is missing: that the record is whole, that the lock is
/// free, that the sum is right. Nothing may rely on a child that can be cancelled, so await handles, and not their
/// [`value`](crate::JoinHandle::value).
///
/// # Panics
///
/// Panics at the first run that is at fault, like [`check`], and says which child was cancelled, where it was spawned, and
/// at which poll.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use futures_lite::future::yield_now;
/// use taskgroup::{TaskGroup, shield, sim};
///
/// sim::cancel_everywhere(async |sim| {
///     let accounts = Rc::new((Cell::new(100), Cell::new(0)));
///     let group = TaskGroup::new(sim);
///     let both = accounts.clone();
///     group.launch_local(shield(async move {
///         both.0.set(both.0.get() - 10);
///         yield_now().await; // without the shield, ten would be lost here
///         both.1.set(both.1.get() + 10);
///     }));
///     group.join().await.unwrap();
///     assert_eq!(accounts.0.get() + accounts.1.get(), 100);
/// });
/// ```
#[track_caller]
pub fn cancel_everywhere(scenario: impl AsyncFn(Sim)) -> Report {
    Checker::new().cancel_everywhere().check(scenario)
}
