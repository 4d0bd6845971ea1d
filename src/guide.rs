//! Longer texts about the crate.
//!
//! This module exists only in the documentation. It contains no code.
//!
//! | | |
//! |---|---|
//! | [`cancellation`] | what a cancel drops, and how to write code that can be dropped |
//! | [`seeing`] | why a group is still open; traces, and Tokio's console |
//! | [`performance`] | what a child costs, and which spawner to choose |
//! | [`backends`] | how to write a spawner |
//! | [`rosetta`] | the same ten programs, written with other libraries and with a group |
//! | [`from_tokio`] | coming from `JoinSet`, or from `TaskTracker` with a token |
//! | [`from_smol`] | coming from smol's `Task`, or from async-std |
//! | [`from_python`] | coming from asyncio, AnyIO or Trio |
//! | [`from_kotlin_and_go`] | coming from coroutine scopes, or from `errgroup` |

#[allow(unused_imports, reason = "what the texts link to")]
use crate::{Group, GroupError, JoinHandle, Spawner, TaskGroup, scope, shield};

#[doc = include_str!("../docs/cancellation.md")]
pub mod cancellation {}

#[doc = include_str!("../docs/seeing.md")]
pub mod seeing {}

#[doc = include_str!("../docs/performance.md")]
pub mod performance {}

#[doc = include_str!("../docs/backends.md")]
pub mod backends {}

#[doc = include_str!("../docs/rosetta.md")]
pub mod rosetta {}

#[doc = include_str!("../docs/from_tokio.md")]
pub mod from_tokio {}

#[doc = include_str!("../docs/from_smol.md")]
pub mod from_smol {}

#[doc = include_str!("../docs/from_python.md")]
pub mod from_python {}

#[doc = include_str!("../docs/from_kotlin_and_go.md")]
pub mod from_kotlin_and_go {}
