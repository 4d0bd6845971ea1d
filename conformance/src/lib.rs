//! Tests a spawner of [`taskgroup`] with the cases that the crate's own adapters have to pass.
//!
//! It is for everyone who writes a [`Spawner`](taskgroup::Spawner).
//!
//! # In one line
//!
//! Add `taskgroup-conformance` to the `dev-dependencies`, and write in a file under `tests/`:
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
//! This line makes more than five hundred tests, in sections: `threads::nesting::o_45_both_fail_at_once_inner_handled`. The
//! closure is called once for each test. If the runtime has to be created first, or has to run the host, return a [`Rig`]
//! from the closure.
//!
//! ```text
//! cargo test threads              # everything
//! cargo test threads::shield      # one section
//! ```
//!
//! # What a case asks
//!
//! In each case a *host* opens groups on the spawner. Children end well, fail, panic, are cancelled, lost, shielded or
//! forgotten. At the end the host checks the outcomes, how often each future was polled, and in which order captures were
//! dropped. No case sleeps: gates and tallies put the steps in order.
//!
//! A case fails if one of its assertions fails, and also in these situations:
//!
//! - It takes longer than a minute, or than `TASKGROUP_PATIENCE` seconds: *the watch-dog bit*.
//! - A future or a capture is alive when the case is over: *left behind*, with the counts of its
//!   [`Ledger`](ledger::Ledger).
//! - A future is polled or dropped after that: *something went on after the end*.
//!
//! The last check needs a rig that states its [`workers`](Rig::workers).
//!
//! Cases run in parallel, each on its own thread with a small stack. The cases do not test what a runtime does besides
//! starting futures: timers, blocking work, and futures that stay on a thread.
//!
//! # Cases of one's own
//!
//! [`run`] runs your own case in the same way. The case gets a [`Test`], and [`ledger`] has the gates and counters.
//! [`spawners`] has spawners of many kinds, to test groups on.

#![forbid(unsafe_code)]
// Under the model checker there are no threads that could run a case.
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
pub use crate::test::{Test, errors, panic_text, quiet_panic, still_waits, tell, text, until};
