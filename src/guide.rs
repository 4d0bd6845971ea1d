//! Longer texts. There is no code in here, and nothing of it in a build.
//!
//! | | |
//! |---|---|
//! | [`cancellation`] | what a cancel cuts, and how to write code that can be cut |
//! | [`seeing`] | why a group is still open; traces, and Tokio's console |
//! | [`performance`] | what a child costs, and which spawner to choose |
//! | [`backends`] | writing a spawner |
//! | [`rosetta`] | the same ten programs as others write them, and on a group |
//! | [`from_tokio`] | from `JoinSet`, and from `TaskTracker` with a token |
//! | [`from_smol`] | from smol's `Task`, and from async-std |
//! | [`from_python`] | from asyncio, AnyIO and Trio |
//! | [`from_kotlin_and_go`] | from coroutine scopes, and from `errgroup` |

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
