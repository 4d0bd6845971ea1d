//! Structured concurrency on any async runtime.
#![forbid(unsafe_code)]

mod adopt;
mod backend;
mod child;
mod context;
mod effects;
mod error;
mod group;
mod handle;
mod member;
mod nesting;
mod outcome;
mod output;
mod scope;
mod shield;
mod signal;
mod spawner;
mod state;
mod unwind;
mod word;

/// What `word` is built on; a model checker puts its own in place of it.
mod sync {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}

pub use async_task::Task;

pub use crate::adopt::Adopt;
#[allow(unused_imports, reason = "empty without a runtime")]
pub use crate::backend::*;
pub use crate::error::{CancelReason, Failure, GroupError, JoinError, Origin, Payload, SpawnError};
pub use crate::group::{Builder, Group, Join, TaskGroup};
pub use crate::handle::{CancelHandle, JoinHandle, Value};
pub use crate::output::ChildOutput;
pub use crate::scope::{Scope, scope};
pub use crate::shield::{Shield, shield};
pub use crate::spawner::{Spawner, adopt};
