//! The adapters, one file a runtime, and the only place that names features.

#[cfg(feature = "async-std")]
#[path = "../backends/async_std.rs"]
mod async_std;
#[cfg(feature = "smol")]
#[path = "borrow.rs"]
mod borrow;
#[cfg(feature = "pool")]
#[path = "pool/mod.rs"]
mod pool;
#[cfg(feature = "smol")]
#[path = "../backends/smol.rs"]
mod smol;
#[cfg(feature = "tokio")]
#[path = "../backends/tokio.rs"]
mod tokio;

#[cfg(feature = "async-std")]
pub use self::async_std::AsyncStd;
#[cfg(feature = "smol")]
pub use self::borrow::borrowing;
#[cfg(feature = "pool")]
pub use self::pool::Pool;
#[cfg(feature = "smol")]
pub use self::smol::Smol;
#[cfg(feature = "tokio")]
pub use self::tokio::Tokio;

/// What goes with groups, for `crate::group`.
pub(crate) mod companions {
    #[cfg(feature = "smol")]
    pub use super::borrow::Borrowing;
}

/// What the adapters report, for `crate::error`.
pub(crate) mod errors {
    #[cfg(feature = "tokio")]
    pub use super::tokio::NoRuntime;
}

/// Its examples are tests.
#[cfg(all(doctest, feature = "smol"))]
#[doc = include_str!("../README.md")]
struct Readme;
