//! A library on groups: whoever uses it brings the runtime, as a value.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod connections;
mod map;
#[cfg(test)]
mod threads;

pub use crate::connections::Connections;
pub use crate::map::try_map;
