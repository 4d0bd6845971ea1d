//! The runtimes for the benches of great numbers, each with two threads.

use std::future::pending;
use std::thread;

use async_executor::Executor;
use futures_lite::future::block_on;
use taskgroup::runtime::Timed;
use taskgroup::{AsyncStd, Pool, Spawner};

/// Work on each runtime.
pub(crate) trait Visit {
    fn visit<S: Spawner + Timed>(&self, runtime: &'static str, spawner: S);
}

/// Visits the runtimes of these names, or those of them that are named on the command line.
pub(crate) fn on_each(runtimes: &[&str], visit: &impl Visit) {
    let named: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let wanted = |name: &str| {
        runtimes.contains(&name) && (named.is_empty() || named.iter().any(|named| named == name))
    };

    let smol: &'static Executor = Box::leak(Box::new(Executor::new()));
    for _ in 0..2 {
        thread::spawn(|| block_on(smol.run(pending::<()>())));
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = tokio.handle();

    if wanted("smol-2") {
        visit.visit("smol-2", smol);
    }
    if wanted("async-std") {
        visit.visit("async-std", AsyncStd);
    }
    if wanted("tokio-2") {
        visit.visit("tokio-2", handle.clone());
    }
    if wanted("pool-on-smol-2") {
        visit.visit("pool-on-smol-2", Pool::new(smol));
    }
    if wanted("pool-on-async-std") {
        visit.visit("pool-on-async-std", Pool::new(AsyncStd));
    }
    if wanted("pool-on-tokio-2") {
        visit.visit("pool-on-tokio-2", Pool::new(handle.clone()));
    }
}

/// Returns 1, or `in_tests` under `cargo test`, which runs benches without `--bench` and only has to see that they work.
pub(crate) fn share(in_tests: usize) -> usize {
    if std::env::args().any(|argument| argument == "--bench") { 1 } else { in_tests }
}
