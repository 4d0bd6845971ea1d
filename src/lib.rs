//! Structured concurrency on any async runtime.
#![forbid(unsafe_code)]

mod backend;
mod child;
mod context;
mod effects;
mod error;
mod group;
mod handle;
mod member;
mod outcome;
mod output;
mod scope;
mod shield;
mod signal;
mod spawner;
mod state;
mod unwind;

pub use async_task::Task;

#[allow(unused_imports, reason = "empty without a runtime")]
pub use crate::backend::*;
pub use crate::error::{CancelReason, Failure, GroupError, JoinError, Origin, Payload, SpawnError};
pub use crate::group::{Builder, Group, Join, TaskGroup};
pub use crate::handle::{CancelHandle, JoinHandle, Value};
pub use crate::output::ChildOutput;
pub use crate::scope::{Scope, scope};
pub use crate::shield::{Shield, shield};
pub use crate::spawner::{Spawner, adopt};
