//! The runtimes that are compiled in. Only this file names the features.

use crate::options::Options;
use crate::report::Report;

type Runtime = fn(Options) -> Report;

const RUNTIMES: &[(&str, Runtime)] = &[
    #[cfg(feature = "smol")]
    ("smol", on_smol::run),
    #[cfg(feature = "async-std")]
    ("async-std", on_async_std::run),
    #[cfg(feature = "tokio")]
    ("tokio", on_tokio::run),
];

/// Finds the runtime with that name, or the first runtime if no name is given.
pub fn find(name: Option<&str>) -> Result<Runtime, String> {
    let names: Vec<_> = RUNTIMES.iter().map(|(name, _)| *name).collect();
    let Some(first) = names.first() else {
        return Err("no runtime is compiled in: build it with --features smol, async-std or tokio".into());
    };
    let wanted = name.unwrap_or(first);
    let found = RUNTIMES.iter().find(|(name, _)| *name == wanted);
    found
        .map(|(_, runtime)| *runtime)
        .ok_or_else(|| format!("runtime {wanted:?} is not compiled in; these are: {}", names.join(", ")))
}

#[cfg(feature = "smol")]
mod on_smol {
    use taskgroup::Smol;

    use crate::options::Options;
    use crate::report::Report;
    use crate::work::{self, Blocking};

    impl Blocking for Smol {
        fn unblock<T: Send + 'static>(
            &self,
            work: impl FnOnce() -> T + Send + 'static,
        ) -> impl Future<Output = T> + Send + 'static {
            smol::unblock(work)
        }
    }

    pub fn run(options: Options) -> Report {
        smol::block_on(work::run(Smol, options))
    }
}

#[cfg(feature = "async-std")]
mod on_async_std {
    use taskgroup::AsyncStd;

    use crate::options::Options;
    use crate::report::Report;
    use crate::work::{self, Blocking};

    impl Blocking for AsyncStd {
        fn unblock<T: Send + 'static>(
            &self,
            work: impl FnOnce() -> T + Send + 'static,
        ) -> impl Future<Output = T> + Send + 'static {
            async_std::task::spawn_blocking(work)
        }
    }

    pub fn run(options: Options) -> Report {
        async_std::task::block_on(work::run(AsyncStd, options))
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::panic::resume_unwind;

    use tokio::runtime::{Handle, Runtime};

    use crate::options::Options;
    use crate::report::Report;
    use crate::work::{self, Blocking};

    impl Blocking for Handle {
        fn unblock<T: Send + 'static>(
            &self,
            work: impl FnOnce() -> T + Send + 'static,
        ) -> impl Future<Output = T> + Send + 'static {
            let running = self.spawn_blocking(work);
            async { running.await.unwrap_or_else(|error| resume_unwind(error.into_panic())) }
        }
    }

    pub fn run(options: Options) -> Report {
        let runtime = Runtime::new().expect("the system has threads and descriptors for a runtime");
        runtime.block_on(work::run(runtime.handle().clone(), options))
    }
}
