//! The cases, in sections. `list.rs` has the list of them.
//!
//! Numbers as in `o_42` refer to the list of scenarios from which the crate was designed.

#![allow(unreachable_pub, reason = "what is public in a section is for the list")]

pub mod adoption;
pub mod asked;
pub mod awaited;
pub mod background;
pub mod bad_input;
pub mod blocked;
pub mod body_failure;
pub mod cancel;
pub mod cleanup;
pub mod completion;
pub mod contract;
mod crank;
pub mod crowd;
pub mod destructors;
pub mod elsewhere;
pub mod failure;
pub mod handles;
pub mod keyed;
pub mod lifecycle;
pub mod limits;
pub mod matrix;
pub mod metrics;
pub mod nesting;
pub mod origin;
pub mod orphans;
pub mod outside;
pub mod panics;
pub mod policies;
pub mod races;
pub mod results;
pub mod shield;
pub mod shutdown;
mod slow;
pub mod start;
pub mod supervision;
pub mod time;
