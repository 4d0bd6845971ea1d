//! The adapters, one file for each runtime.
//!
//! Their features are named here, and once more in `lib.rs` and `error.rs`, where each item is re-exported by its name. So the
//! compiler can say which feature a user lacks.

use std::sync::Arc;

#[cfg(feature = "tokio")]
use crate::spawner::Spawner;
use crate::state::State;
use crate::state::ticket::Ticket;

#[cfg(feature = "async-std")]
#[path = "../backends/async_std.rs"]
mod async_std;
#[cfg(feature = "smol")]
#[path = "../backends/smol.rs"]
mod smol;
#[cfg(feature = "tokio")]
#[path = "../backends/tokio.rs"]
mod tokio;

#[cfg(feature = "async-std")]
pub use self::async_std::AsyncStd;
#[cfg(feature = "smol")]
pub use self::smol::Smol;
#[cfg(feature = "tokio")]
pub use self::tokio::{NoRuntime, Tokio};

/// Calls `spawn`, which hands this child to its spawner, or a task that is no child. If there are simulations, they are told
/// which it is.
pub(crate) fn handing_over<R>(child: Option<(&Arc<State>, Ticket)>, spawn: impl FnOnce() -> R) -> R {
    #[cfg(feature = "sim")]
    let spawn = || crate::sim::announce(child, spawn);
    let _ = child;
    spawn()
}

/// What [`Spawner::has_budget`](crate::Spawner) says for the runtime that polls here, whichever it is.
pub(crate) fn has_budget() -> bool {
    let has_budget = true;
    #[cfg(feature = "tokio")]
    let has_budget = has_budget && <::tokio::runtime::Handle as Spawner>::has_budget();
    has_budget
}

/// [`Spawner::keeps_woken`](crate::Spawner) for any runtime.
pub(crate) fn keeps_woken() -> bool {
    cfg!(feature = "tokio")
}

/// [`Spawner::kick`](crate::Spawner) for the runtime that polls here, whichever it is. Tokio's does nothing elsewhere.
pub(crate) fn kick() {
    #[cfg(feature = "tokio")]
    <::tokio::runtime::Handle as Spawner>::kick();
}

/// The examples in the README are tests.
#[cfg(all(doctest, feature = "smol"))]
#[doc = include_str!("../README.md")]
struct Readme;
