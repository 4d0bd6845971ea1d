//! Structured concurrency on any async runtime.
//!
//! A *group* owns the tasks that are spawned into it, its *children*. When a group has been joined, nothing of it is
//! left: every child, at every depth, has ended, its future and all it captured are destroyed, no error and no panic
//! was lost. And while the group runs, a finished child keeps no memory. It is the same on smol, async-std and Tokio.
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
//! [`Group`] to spawn siblings with. [`Group::adopt`] takes in a task that already runs.
//!
//! **Dropping a handle neither cancels nor detaches: the group owns the child.**
//!
//! # How a group ends
//!
//! Panic before error before cut before value. A panic goes on in whoever joins the group, when everybody has ended.
//! Errors are in [`GroupError`], the first one in front. A group that was cut short from outside says why
//! ([`CancelReason`]); an explicit [`cancel`](Group::cancel) is no error where the body has finished. A group opened
//! with `collect` goes on after failures and gathers them. A failure hook sees each at once.
//!
//! # Cancelling
//!
//! A cancelled child is dropped at the await it is at, or comes to next; if it was never polled, it never is. Code after
//! that await does not run, destructors do. [`shield`] puts the cut off for a section that has to be completed.
//! One child is cancelled by its [`JoinHandle`], which the others do not notice.
//!
//! # Groups inside groups
//!
//! A group belongs to the child or body in which it is opened, unless it is a [`TaskGroup::root`]:
//!
//! * it is cancelled when that member is, and ends before it: teardown goes from the inside out;
//! * if it is lost half-way, in `select!` or a timeout, its children are cancelled at once, and *every group around it
//!   still waits for them*;
//! * failures that nobody was left to look at are reported by the group around it, as [`Failure::Foreign`];
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
//! The runtime is a value that implements [`Spawner`]. The features `smol` (default), `async-std` and `tokio` add
//! adapters, and nothing else; with none of them the crate works on a spawner of your own. If the runtime goes away, its
//! children are *lost*: the group ends with [`CancelReason::Lost`] and does not hang.
#![forbid(unsafe_code)]

mod adopt;
mod any;
mod aside;
mod backend;
mod child;
mod config;
mod context;
mod deadline;
mod effects;
pub mod error;
pub mod futures;
pub mod group;
mod handle;
mod hook;
mod keyed;
mod limit;
mod member;
mod nesting;
mod outcome;
mod output;
mod policy;
mod race;
mod results;
pub mod runtime;
mod scope;
mod shield;
mod shutdown;
mod signal;
mod spawn;
mod spawner;
mod start;
mod state;
mod sync;
mod task_group;
mod timer;
mod unwind;
mod word;

/// What [`Spawner`] is written with.
pub use async_task;
pub use async_task::Task;

pub use crate::any::AnySpawner;
#[allow(unused_imports, unreachable_pub, reason = "empty without a runtime")]
pub use crate::backend::*;
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
