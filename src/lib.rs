//! Structured concurrency on any async runtime.
//!
//! A *group* owns the tasks that are spawned into it, its *children*. When a group has been joined, nothing of it is
//! left: every child, at every depth, has ended, its future and all it captured are destroyed. No error and no panic goes
//! unnoticed: the first panic goes on in whoever joins, or else the first errors come out, and a hook sees all of them. And
//! while the group runs, a finished child keeps no memory. It is the same on smol, async-std and Tokio.
//!
//! # The two ways in
//!
//! [`scope`] opens a group around a piece of code, its *body*. The first failure, of a child or of the body, cancels
//! all others, and the scope ends when they are gone:
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
//! [`TaskGroup`] is a group that stands by itself, as the field of a server does. It is joined, or cancelled by being
//! dropped:
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
//! [`Group::spawn`] gives a [`JoinHandle`] for the child's value, [`Group::launch`] starts a child whose value nobody
//! wants. Both take any future of `()`, `Result<T, E>` or `!`; see [`ChildOutput`]. A child gets a clone of the
//! [`Group`] to spawn siblings with.
//!
//! **Dropping a handle neither cancels nor detaches: the group owns the child.**
//!
//! | for | there is |
//! |---|---|
//! | a name, a service that ends with the others | [`Group::child`] |
//! | a child that says when it is ready | [`Group::start`] |
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
//! Panic before error before cut before value. A panic goes on in whoever joins the group, when everybody has ended.
//! Errors are in [`GroupError`], the first one in front. A group that was cut short from outside says why
//! ([`CancelReason`]); an explicit [`cancel`](Group::cancel) is no error where the body has finished. A failure hook
//! sees each failure at once. What a failure means for the others is the group's policy:
//!
//! | policy | a child fails |
//! |---|---|
//! | fail-fast, if nothing else is said | all others are cancelled, and the group fails with its error |
//! | [`collect`](group::Builder::collect) | the others go on, and the group fails in the end with all errors |
//! | [`supervise`](group::Builder::supervise) | a hook is told, and that is all |
//! | [`race`](race()) | the others go on, until one succeeds |
//!
//! A group whose children cannot fail ends with `Result<T, `[`Cut`](error::Cut)`>`.
//!
//! # Cancelling
//!
//! A cancelled child is dropped at the await it is at, or comes to next; if it was never polled, it never is. Code after
//! that await does not run, destructors do. One child is cancelled by its [`JoinHandle`], which the others do not notice.
//!
//! * [`shield`] puts the cut off for a section that has to be completed.
//! * [`Group::defer`] registers an asynchronous clean-up for after the child.
//! * [`Group::stop`] only asks: members look at [`is_stopping`](Group::is_stopping), or await
//!   [`stopping`](Group::stopping). [`TaskGroup::shutdown`] asks, and cancels after a while.
//! * [`deadline`](group::Builder::deadline) and [`timeout`](group::Builder::timeout) cancel by the runtime's clock.
//! * [`finish_with`](group::Finish::finish_with) ends a [`scope_with`] with a value.
//!
//! # Groups inside groups
//!
//! A group belongs to the child or body in which it is opened, unless it is a [`TaskGroup::root`]:
//!
//! * it is cancelled when that member is, and ends before it: teardown goes from the inside out;
//! * if it is lost half-way, in `select!` or a timeout, its children are cancelled at once, and *every group around it
//!   still waits for them*;
//! * failures that nobody was left to look at are reported by the group around it, as [`Failure::Foreign`], which has the error in
//!   its `Payload`: it is never the `primary` one;
//! * a child that would wait for itself, by joining a group it is in, panics instead of hanging.
//!
//! Only tasks of groups count. A task that a child starts on the bare runtime is nobody's child.
//!
//! A member that is cut while groups of its own still live is *frozen* until they have ended: not polled, and not
//! dropped. So those groups must not need it:
//!
//! * a [`shield`] inside must not wait for the member around its group, to receive from a channel for instance;
//! * a member must not drive an executor on which its own groups run. Drive it from outside of every group, or open
//!   the groups as [`root`](TaskGroup::root). Whatever else runs on an executor that a member drives is taken for that
//!   member, so a group opened there is linked to it.
//!
//! # Runtimes
//!
//! The runtime is a value that implements [`Spawner`]. Features add to the crate and change nothing; with none of them it works
//! on a spawner of your own. What else a runtime may offer, a clock for instance, is in [`runtime`]. [`AnySpawner`] and
//! [`AnyTimedSpawner`] are for structs that are not to be generic. If the runtime goes away, its children are *lost*: the
//! group ends with [`CancelReason::Lost`] and does not hang.
//!
//! | feature | adds |
//! |---|---|
//! | `smol` (default) | `Smol`, its global executor; executors of your own as spawners; and `borrowing` |
//! | `borrowing` | `borrowing`: children that borrow, in one task, whatever the runtime |
//! | `async-std` | `AsyncStd` |
//! | `tokio` | Tokio's `Handle` and `LocalSet` as spawners; `Tokio::current()` finds the handle |
//! | `pool` | `Pool`, on top of any spawner: a great many small children share a few tasks of the runtime |
//! | `sim` | `sim`, a runtime for tests |
//! | `serde` | [`Snapshot`](group::Snapshot)s can be serialised |
//! | `tracing` | a span for each group and child |
//! | `metrics` | [`Metrics`](group::Metrics) are handed to the recorder of the `metrics` crate as well |
//!
//! # Looking into it
//!
//! [`Group::snapshot`] says why a group is still open. [`Metrics`](group::Metrics) count what becomes of the children of many
//! groups. With the feature `tracing` each group and each child has a span. The [`guide`] has a page on them.
//!
//! # Testing
//!
//! The feature `sim` adds a runtime for tests: one thread, virtual time, and a seed that decides who is next. It runs a
//! scenario under many schedules or all of them, says who waits for whom where one hangs, and gives a token that runs that
//! one again. It can also cancel each child at each of its polls, to see whether what it leaves behind is whole.
//!
//! # And the others
//!
//! ✓ has it, – has not, and what there is instead. `JoinSet` is Tokio's, `TaskTracker` with `CancellationToken` is
//! tokio-util's.
//!
//! | | this | `JoinSet` | `TaskTracker` + token | tokio-graceful-shutdown | async_nursery | futures-concurrency | AnyIO, Trio |
//! |---|---|---|---|---|---|---|---|
//! | runtimes | any | Tokio | Tokio | Tokio | several | any, spawns nothing | asyncio and Trio |
//! | first error cancels the others | ✓ | by hand | by hand | ✓, asks | – | ✓ `try_join` | ✓ |
//! | waits until all are gone | ✓ | `shutdown` | ✓ | ✓ | ✓ | ✓, in one task | ✓ |
//! | … even if dropped half-way | ✓ in a group | – | – | – | – | ✓, in one task | nothing drops it |
//! | cuts at an await | ✓ | ✓ | asks | asks | ✓ | ✓ | ✓ |
//! | code after a cut await runs | – | – | ✓, it only asks | ✓, it only asks | – | – | **✓** `finally` |
//! | a finished child keeps no memory | ✓ | until joined | ✓ | ✓ | until taken | in place | ✓ |
//! | errors besides the first | kept, bounded | each in its result | by hand | collected | each in its result | – | all, grouped |
//! | panics | resumed at the end | in the result | by hand | reported | the runtime's | resumed | as exceptions |
//! | collect, supervise, race | ✓ | by hand | by hand | – | – | `join`, `race` | by hand |
//! | shield, clean-up after a cut | ✓ | – | – | – | – | – | ✓ |
//! | deadlines, movable | ✓ | – | – | for shutdown | – | – | ✓ |
//! | graceful shutdown, one grace for a tree | ✓ | – | by hand | **✓**, with signals | – | – | – |
//! | limit with back-pressure | ✓ | – | – | – | – | ✓ streams | a limiter |
//! | start with readiness | ✓ | – | – | – | – | – | ✓ |
//! | by key | ✓ | `JoinMap` | – | by name | – | – | – |
//! | children may borrow | in one task | – | – | – | – | **✓** | **✓** |
//! | allocations a launched child | the runtime's, and one more on Tokio and async-std | one more | the runtime's, and a token's | more | more | **none** | n/a |
//!
//! Choose `JoinSet` where Tokio is given and a flat set of results is all there is, futures-concurrency for a handful of
//! futures that need not run in parallel, tokio-graceful-shutdown for a program that is a tree of named subsystems and wants
//! its signals caught. Python's groups run code after a cancelled await, which nothing in Rust can: `shield` and `defer` are
//! what there is for it.
//!
//! The [`guide`] has longer texts: how to come here from elsewhere, what a cancel cuts, and how to write a spawner.
// Says of each item which feature it needs. Only a nightly toolchain can.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

mod adopt;
mod any;
mod backend;
mod background;
mod child;
mod child_builder;
mod cleanup;
mod config;
mod context;
mod crowd;
mod deadline;
mod effects;
mod elsewhere;
mod ending;
mod entry;
pub mod error;
mod facts;
pub mod futures;
pub mod group;
#[cfg(doc)]
pub mod guide;
mod handle;
mod hook;
mod keeping;
mod kept;
mod keyed;
mod lending;
mod limit;
mod lock;
mod member;
mod metrics;
mod nesting;
mod observe;
mod outcome;
mod output;
mod patience;
mod policy;
mod race;
mod results;
pub mod runtime;
mod scope;
mod shield;
mod shutdown;
mod signal;
mod snapshot;
mod spare;
mod spawn;
mod spawner;
mod start;
mod state;
mod sync;
mod table;
mod task_group;
mod ticket;
mod timer;
#[cfg(feature = "tracing")]
mod trace;
mod unwind;
mod word;

/// What [`Spawner`] is written with.
pub use async_task;
#[doc(no_inline)]
pub use async_task::Task;

pub use crate::any::{AnySpawner, AnyTimedSpawner};
#[cfg(feature = "async-std")]
pub use crate::backend::AsyncStd;
#[cfg(feature = "pool")]
pub use crate::backend::Pool;
#[cfg(feature = "smol")]
pub use crate::backend::Smol;
#[cfg(feature = "tokio")]
pub use crate::backend::Tokio;
#[cfg(feature = "borrowing")]
pub use crate::backend::borrowing;
#[cfg(feature = "sim")]
pub use crate::backend::sim;
#[doc(inline)]
pub use crate::error::{CancelReason, Failure, GroupError, JoinError};
#[doc(inline)]
pub use crate::group::Group;
pub use crate::handle::JoinHandle;
pub use crate::output::ChildOutput;
pub use crate::race::{race, scope_with};
pub use crate::scope::scope;
pub use crate::shield::shield;
pub use crate::spawner::{LocalSpawner, Spawner, adopt};
pub use crate::task_group::TaskGroup;
