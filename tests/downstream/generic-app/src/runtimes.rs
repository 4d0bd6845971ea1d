//! The runtimes. Only this file names their features.

type Open = fn() -> String;

/// For each runtime, its name and a function that opens the shop on it.
pub const ALL: &[(&str, Open)] = &[
    #[cfg(feature = "smol")]
    ("smol", on_smol::run),
    #[cfg(feature = "async-std")]
    ("async-std", on_async_std::run),
    #[cfg(feature = "tokio")]
    ("tokio", on_tokio::run),
];

#[cfg(feature = "smol")]
mod on_smol {
    use std::time::Duration;

    use taskgroup::Smol;

    use crate::shop::{self, Runtime};

    impl Runtime for Smol {
        async fn sleep(&self, time: Duration) {
            smol::Timer::after(time).await;
        }
    }

    pub fn run() -> String {
        smol::block_on(shop::open(Smol))
    }
}

#[cfg(feature = "async-std")]
mod on_async_std {
    use std::time::Duration;

    use taskgroup::AsyncStd;

    use crate::shop::{self, Runtime};

    impl Runtime for AsyncStd {
        async fn sleep(&self, time: Duration) {
            async_std::task::sleep(time).await;
        }
    }

    pub fn run() -> String {
        async_std::task::block_on(shop::open(AsyncStd))
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::time::Duration;

    use tokio::runtime::{Builder, Handle};

    use crate::shop::{self, Runtime};

    impl Runtime for Handle {
        async fn sleep(&self, time: Duration) {
            tokio::time::sleep(time).await;
        }
    }

    pub fn run() -> String {
        let runtime = Builder::new_multi_thread().enable_time().build().expect("threads can be had");
        runtime.block_on(shop::open(runtime.handle().clone()))
    }
}
