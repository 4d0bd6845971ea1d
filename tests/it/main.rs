//! The behaviour suite: every case of `conformance/` on every runtime, and tests that need more than a spawner.
//!
//! A failing case is reported as `tokio_current_thread::body_failure::o_30_a_stronger_failure_on_either_side`.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

/// Makes a module for one runtime, with a test for each case of the section.
#[cfg(any(feature = "smol", feature = "async-std", feature = "tokio"))]
macro_rules! on {
    ($runtime:ident: $($case:ident)*) => {
        mod $runtime {
            $(#[test]
            fn $case() {
                taskgroup_conformance::run(crate::runtimes::$runtime, super::$case);
            })*
        }
    };
}

/// Defines tests for these cases on the runtimes themselves, without what is built on them.
#[allow(unused_macros, reason = "each needs a runtime")]
macro_rules! on_the_runtimes {
    ($($case:ident)*) => {
        #[cfg(feature = "smol")]
        on!(smol_global: $($case)*);
        #[cfg(feature = "smol")]
        on!(smol_executor_1: $($case)*);
        #[cfg(feature = "smol")]
        on!(smol_executor_4: $($case)*);
        #[cfg(feature = "smol")]
        on!(smol_static: $($case)*);
        #[cfg(feature = "async-std")]
        on!(async_std: $($case)*);
        #[cfg(feature = "tokio")]
        on!(tokio_current_thread: $($case)*);
        #[cfg(feature = "tokio")]
        on!(tokio_4_workers: $($case)*);
    };
}

mod api;
#[cfg(any(feature = "smol", feature = "async-std", feature = "tokio"))]
mod blocking;
#[cfg(feature = "smol")]
mod borrowing;
mod brittle;
#[cfg(any(feature = "smol", feature = "async-std", feature = "tokio"))]
mod clocks;
mod dropping;
mod faults;
mod hostile;
#[cfg(any(feature = "smol", feature = "tokio"))]
mod local;
#[cfg(feature = "async-std")]
mod on_async_std;
#[cfg(feature = "smol")]
mod on_smol;
#[cfg(feature = "tokio")]
mod on_tokio;
#[cfg(feature = "pool")]
mod pool;
mod reentrant;
mod runtimes;
mod traps;

use taskgroup_conformance::suite;

suite!(threads, runtimes::threads);
suite!(inline, runtimes::inline);
suite!(spurious, runtimes::spurious);
#[cfg(feature = "smol")]
suite!(smol_global, runtimes::smol_global);
#[cfg(feature = "smol")]
suite!(smol_executor_1, runtimes::smol_executor_1);
#[cfg(feature = "smol")]
suite!(smol_executor_4, runtimes::smol_executor_4);
#[cfg(feature = "smol")]
suite!(smol_static, runtimes::smol_static);
#[cfg(feature = "async-std")]
suite!(async_std, runtimes::async_std);
#[cfg(feature = "tokio")]
suite!(tokio_current_thread, runtimes::tokio_current_thread);
#[cfg(feature = "tokio")]
suite!(tokio_1_worker, runtimes::tokio_1_worker);
#[cfg(feature = "tokio")]
suite!(tokio_4_workers, runtimes::tokio_4_workers);
#[cfg(all(feature = "pool", feature = "smol"))]
suite!(pool_on_smol, runtimes::pool_on_smol);
#[cfg(all(feature = "pool", feature = "async-std"))]
suite!(pool_on_async_std, runtimes::pool_on_async_std);
#[cfg(all(feature = "pool", feature = "tokio"))]
suite!(pool_on_tokio, runtimes::pool_on_tokio);
