//! What a spawner of [`taskgroup`] has to stand: the cases that the crate's own adapters are tested with, for anybody
//! who writes a [`Spawner`](taskgroup::Spawner).
//!
//! # In one line
//!
//! With `taskgroup-conformance` among the `dev-dependencies`, in a file under `tests/`:
//!
//! ```
//! # use std::future::Future;
//! # use taskgroup::{Spawner, Task, async_task};
//! #[derive(Clone)]
//! struct Threads;
//!
//! impl Spawner for Threads {
//!     fn spawn<F>(&self, future: F) -> Task<()>
//!     where
//!         F: Future<Output = ()> + Send + 'static,
//!     {
//!         // …
//! #         let (send, queue) = std::sync::mpsc::channel::<async_task::Runnable>();
//! #         let (runnable, task) = async_task::spawn(future, move |runnable| drop(send.send(runnable)));
//! #         runnable.schedule();
//! #         std::thread::spawn(move || queue.into_iter().for_each(|runnable| drop(runnable.run())));
//! #         task
//!     }
//! }
//!
//! taskgroup_conformance::suite!(threads, || Threads);
//! # fn main() {}
//! ```
//!
//! That makes some four hundred tests, by section: `threads::nesting::o_45_both_fail_at_once_inner_handled`. The
//! closure is called for each. A runtime that has to be made, or to run the host, is described by a [`Rig`].
//!
//! ```text
//! cargo test threads              # everything
//! cargo test threads::shield      # one section
//! ```
//!
//! # What a case asks
//!
//! A host opens groups on the spawner, and things go as they should or wrong in one of the ways they can: children fail,
//! panic, are cancelled, lost, shielded, forgotten. In the end the host looks at what came out, how often everybody was
//! polled, and in which order captures were dropped. No case sleeps: gates and tallies put things in order.
//!
//! A case fails if an assertion in it does, and also
//!
//! - if it takes longer than a minute, or than `TASKGROUP_PATIENCE` seconds: *the watch-dog bit*;
//! - if a future or a capture is alive when it is over: *left behind*, and what its [`Ledger`](ledger::Ledger) counted;
//! - if something is polled or dropped after that: *something went on after the end*.
//!
//! The last one needs a spawner of which [`Rig::workers`] is said.
//!
//! Cases run side by side, each on a thread of its own with little stack. What a runtime does besides starting futures
//! (timers, work that blocks, futures that stay on a thread) is not asked for.
//!
//! # Cases of one's own
//!
//! [`run`] runs one as ours are run, [`Test`] is what it is given, and [`ledger`] has the gates and counters. For
//! groups against spawners of every kind there are [`spawners`].

#![forbid(unsafe_code)]
// Under the model checker there are no threads to run a case on.
#![cfg(not(taskgroup_loom))]

mod cases;
pub mod ledger;
#[doc(hidden)]
pub mod list;
mod rig;
mod run;
pub mod spawners;
mod suite;
mod test;

#[doc(hidden)]
pub use taskgroup::Spawner as __Spawner;

pub use crate::rig::{Host, Rig};
pub use crate::run::{run, watched};
pub use crate::test::{Test, errors, panic_text, quiet_panic, tell, text, until};
