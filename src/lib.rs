//! Structured concurrency on any async runtime.
//!
//! A *group* owns the tasks that are spawned into it, its *children*. When a group has been joined, nothing of it is
//! left: every child, at every depth, has ended; its future and everything it captured are destroyed. No error and no panic is
//! lost: joining resumes the first panic, or else returns the errors, and a hook can see every failure. While the group
//! runs, a finished child keeps no memory. It is the same on smol, async-std and Tokio.
//!
//! # The two ways in
//!
//! [`scope`] opens a group around a piece of code, its *body*. The first failure, of a child or of the body, cancels
//! all other members, and the scope ends when they are gone:
//!
//! ```
//! # #[cfg(feature = "smol")] {
//! use taskgroup::{Smol, scope};
//! # async fn fetch(what: &'static str) -> Result<usize, std::io::Error> { Ok(what.len()) }
//!
//! # smol::block_on(async {
//! let total = scope(Smol, |group| async move {
//!     let a = group.spawn(fetch("a"));
//!     let b = group.spawn(fetch("b"));
//!     Ok(a.value().await + b.value().await)
//! })
//! .await?;
//! # assert_eq!(total, 2);
//! # Ok::<(), taskgroup::GroupError<std::io::Error>>(()) }).unwrap();
//! # }
//! ```
//!
//! Each child's value is awaited with [`value`](JoinHandle::value). If a child fails, the body is dropped at that await, and the
//! scope returns the child's error.
//!
//! [`TaskGroup`] is a free-standing group, for example in a server. It is joined; dropping it cancels its children:
//!
//! ```
//! # #[cfg(feature = "smol")] {
//! use taskgroup::{Smol, TaskGroup};
//! # async fn connection(_: u32) {}
//!
//! # smol::block_on(async {
//! let group = TaskGroup::new(Smol);
//! for stream in 0..3 {
//!     group.launch(connection(stream));
//! }
//! group.join().await?;
//! # Ok::<(), taskgroup::GroupError<std::convert::Infallible>>(()) }).unwrap();
//! # }
//! ```
//!
//! # What children are
//!
//! [`Group::spawn`] starts a child and gives a [`JoinHandle`] for its value. [`Group::launch`] starts a child without a handle.
//! Both take any future that returns `Result<T, E>`, `()` or `!`, see [`ChildOutput`]. Wrap a plain value in `Ok`. To spawn
//! siblings, a child needs a clone of the [`Group`]: call `group.clone()`, or [`TaskGroup::group`], before the `async move` block.
//!
//! **Dropping a handle neither cancels nor detaches: the group owns the child.**
//!
//! | for | use |
//! |---|---|
//! | a name; a service that ends with the others | [`Group::child`] |
//! | a child that reports when it is ready | [`Group::start`] |
//! | work that blocks | [`Group::spawn_blocking`] |
//! | futures that are not `Send` | [`Group::spawn_local`] |
//! | futures that borrow | `borrowing` (feature `borrowing` or `smol`), in one task |
//! | a task that already runs | [`Group::adopt`] |
//! | another runtime | [`Group::on`] |
//! | back-pressure | [`limit`](group::Builder::limit), [`Group::spawn_when_free`] |
//! | many results, as they come or in order | [`Group::results`] |
//! | children by key | [`Group::keyed`] |
//!
//! # How a group ends
//!
//! When all members have ended, the group reports one of these. Which one is a matter of rank, not of time: a panic, else an error,
//! else a cancel from outside, else the value.
//!
//! * A panic is resumed in the task that joins the group.
//! * Errors are in a [`GroupError`], the first one in front.
//! * A group that was cancelled from outside says why ([`CancelReason`]). An explicit [`cancel`](Group::cancel) is not an error
//!   if the body has finished.
//!
//! A failure hook sees each failure at once. What a failure means for the others is the group's policy:
//!
//! | policy | a child fails |
//! |---|---|
//! | fail-fast, the default | all others are cancelled, and the group fails with its error |
//! | [`collect`](group::Builder::collect) | the others go on, and the group fails in the end with all errors |
//! | [`supervise`](group::Builder::supervise) | a hook is told, and the group does not fail |
//! | [`race`](race()) | the others go on, until one succeeds |
//!
//! A group whose children cannot fail ends with `Result<T, `[`Cut`](error::Cut)`>`.
//!
//! # Cancelling
//!
//! A cancelled child is dropped at its current or next await. If it was never polled, it never is. Code after that await does
//! not run, destructors do. A [`JoinHandle`] cancels one child, and the others do not notice.
//!
//! * [`shield`] delays the drop for a section that must be completed.
//! * [`Group::defer`] registers an asynchronous clean-up, which runs after the child.
//! * [`Group::stop`] only asks: members look at [`is_stopping`](Group::is_stopping), or await
//!   [`stopping`](Group::stopping). [`TaskGroup::shutdown`] asks, and cancels after a while.
//! * [`deadline`](group::Builder::deadline) and [`timeout`](group::Builder::timeout) cancel by the runtime's clock.
//! * [`finish_with`](group::Finish::finish_with) ends a [`scope_with`] with a value.
//!
//! # Groups inside groups
//!
//! A group belongs to the child or body in which it is opened, unless it is a [`TaskGroup::root`]:
//!
//! * When that member is cancelled, so is the group, and it ends before the member: inner groups always end first.
//! * If the group is dropped half-way, by `select!` or a timeout, its children are cancelled at once, and *every group around it
//!   still waits for them*.
//! * Failures that nobody is left to look at are reported by the group around it, as [`Failure::Foreign`] with the error in its
//!   `Payload`. The first failure may be such a one; then `primary` has none to return.
//! * A child that would wait for itself, by joining a group it is in, panics instead of hanging.
//!
//! Only tasks of groups count. A task that a child starts directly on the runtime belongs to no group.
//!
//! A cancelled member whose own groups still live is *frozen* until they have ended: it is neither polled nor dropped, and so
//! is the body of a scope that it awaits. What it holds it keeps, such as a sender or a lock. So inner groups must never wait for
//! the member that opened them, nor for the body that goes with it:
//!
//! * A [`shield`] inside, or [work that blocks](Group::spawn_blocking), must not wait for a message from it, for the end of a
//!   channel whose sender it has, or for a lock. Let a *child* of the inner group have the sender, as children
//!   are dropped at once; or wait by [`until_stopping`](Group::until_stopping).
//! * A member must not drive an executor on which its own groups run. Drive it from outside of every group, or open
//!   the groups as [`root`](TaskGroup::root). Everything else that runs on an executor driven by a member is taken for that
//!   member, so a group that is opened there is linked to it.
//!
//! # Runtimes
//!
//! The runtime is a value that implements [`Spawner`]. Features only add to the crate; without any it works on a spawner of
//! your own. What else a runtime may offer, such as a clock, is in [`runtime`]. [`AnySpawner`] and
//! [`AnyTimedSpawner`] are for types that should not be generic. If the runtime goes away, the group ends with
//! [`CancelReason::Lost`] and does not hang: the first child that is dropped is *lost*, which cancels the others. An executor of
//! smol that is dropped in the wrong moment is an exception: see the implementation of [`Spawner`] for it.
//!
//! | feature | adds |
//! |---|---|
//! | `smol` (default) | `Smol`, its global executor; executors of your own as spawners; and `borrowing` |
//! | `borrowing` | `borrowing`: children that borrow, in one task, whatever the runtime |
//! | `async-std` | `AsyncStd` |
//! | `tokio` | Tokio's `Handle` and `LocalSet` as spawners; `Tokio::current()` finds the handle |
//! | `pool` | `Pool`, on top of any spawner: very many small children share a few tasks of the runtime |
//! | `sim` | `sim`, a runtime for tests |
//! | `serde` | [`Snapshot`](group::Snapshot)s can be serialised |
//! | `tracing` | a span for each group and child |
//! | `metrics` | [`Metrics`](group::Metrics) can be handed to the recorder of the `metrics` crate as well |
//!
//! # Observing a group
//!
//! [`Group::snapshot`] shows why a group is still open. [`Metrics`](group::Metrics) count how the children of any number of
//! groups end. With the feature `tracing` each group and each child has a span. The [`guide`] has a page on them.
//!
//! # Testing
//!
//! The feature `sim` adds a runtime for tests: one thread, virtual time, and a seed that decides which task runs next. It runs a
//! scenario under many schedules or all of them. If one hangs, it reports which task waits for which, and gives a token that
//! repeats that run. It can also cancel each child at each of its polls, to check that nothing is left half-done.
//!
//! # Comparison
//!
//! ✓ has it, – has not; otherwise what there is instead. `JoinSet` is Tokio's, `TaskTracker` with `CancellationToken` is
//! tokio-util's.
//!
//! | | this | `JoinSet` | `TaskTracker` + token | tokio-graceful-shutdown | async_nursery | futures-concurrency | AnyIO, Trio |
//! |---|---|---|---|---|---|---|---|
//! | runtimes | any | Tokio | Tokio | Tokio | several | any, spawns nothing | asyncio and Trio |
//! | first error cancels the others | ✓ | by hand | by hand | ✓, asks | – | ✓ `try_join` | ✓ |
//! | waits until all are gone | ✓ | `shutdown` | ✓ | ✓ | ✓ | ✓, in one task | ✓ |
//! | … even if dropped half-way | ✓ in a group | – | – | – | – | ✓, in one task | cannot be dropped |
//! | cancels at an await | ✓ | ✓ | asks | asks | ✓ | ✓ | ✓ |
//! | code after a cancelled await runs | – | – | ✓, it only asks | ✓, it only asks | – | – | **✓** `finally` |
//! | a finished child keeps no memory | ✓ | until joined | ✓ | ✓ | until taken | in place | ✓ |
//! | errors besides the first | kept, bounded | each in its result | by hand | collected | each in its result | – | all, grouped |
//! | panics | resumed at the end | in the result | by hand | reported | the runtime's | resumed | as exceptions |
//! | collect, supervise, race | ✓ | by hand | by hand | – | – | `join`, `race` | by hand |
//! | shield, clean-up after a cancel | ✓ | – | – | – | – | – | ✓ |
//! | deadlines, movable | ✓ | – | – | for shutdown | – | – | ✓ |
//! | graceful shutdown, one grace for a tree | ✓ | – | by hand | **✓**, with signals | – | – | – |
//! | limit with back-pressure | ✓ | – | – | – | – | ✓ streams | a limiter |
//! | start with readiness | ✓ | – | – | – | – | – | ✓ |
//! | by key | ✓ | `JoinMap` | – | by name | – | – | – |
//! | children may borrow | in one task | – | – | – | – | **✓** | **✓** |
//! | allocations a launched child | the runtime's, and one more on Tokio and async-std | one more | the runtime's, and a token's | more | more | **none** | n/a |
//!
//! Choose `JoinSet` if you use Tokio and need no more than a flat set of results, futures-concurrency for a few
//! futures that need not run in parallel, and tokio-graceful-shutdown for a program that is a tree of named subsystems and needs
//! its signals handled. Python's groups run code after a cancelled await, which nothing in Rust can do: use `shield` and `defer`
//! for that.
//!
//! The [`guide`] has longer texts: how to come here from other libraries, what cancelling drops, and how to write a spawner.
// Shows with each item which feature it needs. Only a nightly toolchain can do this.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

mod backend;
mod child;
pub mod error;
pub mod future;
pub mod group;
#[cfg(doc)]
pub mod guide;
mod handle;
mod keeping;
mod observe;
mod outcome;
mod output;
#[cfg(feature = "pool")]
mod pool;
pub mod runtime;
mod scope;
mod shield;
#[cfg(feature = "sim")]
pub mod sim;
mod spawner;
mod state;
mod sync;
mod task_group;
mod unwind;

/// What [`Spawner`] is written with.
pub use async_task;
#[doc(no_inline)]
pub use async_task::Task;

#[cfg(feature = "async-std")]
pub use crate::backend::AsyncStd;
#[cfg(feature = "smol")]
pub use crate::backend::Smol;
#[cfg(feature = "tokio")]
pub use crate::backend::Tokio;
#[doc(inline)]
pub use crate::error::{CancelReason, Failure, GroupError, JoinError};
#[doc(inline)]
pub use crate::group::Group;
pub use crate::handle::JoinHandle;
pub use crate::output::ChildOutput;
#[cfg(feature = "pool")]
pub use crate::pool::Pool;
#[cfg(feature = "borrowing")]
pub use crate::scope::borrow::borrowing;
pub use crate::scope::race::{race, scope_with};
pub use crate::scope::scope;
pub use crate::shield::{is_cancelled, shield};
pub use crate::spawner::any::{AnySpawner, AnyTimedSpawner};
pub use crate::spawner::{LocalSpawner, Spawner, adopt};
pub use crate::task_group::TaskGroup;
