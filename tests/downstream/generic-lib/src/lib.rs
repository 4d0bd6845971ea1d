//! A library that uses groups: its user passes the runtime as a value.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod connections;
mod map;
#[cfg(test)]
mod threads;

pub use crate::connections::Connections;
pub use crate::map::try_map;
