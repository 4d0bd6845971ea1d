//! Whether it holds for long, whatever happens.
//!
//!     cargo bench --bench soak --all-features
//!     TASKGROUP_SEED=42 cargo bench --bench soak --all-features -- tokio-2
//!
//! Ten million children a runtime, in groups of every policy, with and without limits and deadlines. They return, fail, panic,
//! are cut one by one or with their group, hold out under shields, leave clean-ups, spawn siblings, and open groups of their
//! own. After each outermost join nobody may be alive; what destructors saw, what handles said and what failure hooks were
//! told has to agree; and what is allocated may not grow.

mod books;
#[allow(dead_code, unreachable_pub, reason = "it is another bench's")]
#[path = "../peers/counting.rs"]
mod counting;
mod rounds;

use std::future::pending;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use async_executor::Executor;
use fastrand::Rng;
use futures_lite::future::block_on;
use taskgroup::runtime::Timed;
use taskgroup::{AsyncStd, Pool, Spawner};

use crate::books::Books;
use crate::rounds::Rounds;

/// Children of each runtime.
const CHILDREN: usize = 10_000_000;
/// What may be left in the allocator's books when all is gone: the runtimes' own.
const REST: isize = 256 << 10;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    // `cargo test` runs benches as well, without `--bench`: little will do to see that they work.
    let share = if std::env::args().any(|argument| argument == "--bench") { 1 } else { 1_000 };
    let seed = std::env::var("TASKGROUP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("TASKGROUP_SEED={seed}");
    counting::switch_on();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);

    let smol: &'static Executor = Box::leak(Box::new(Executor::new()));
    for _ in 0..2 {
        thread::spawn(|| block_on(smol.run(pending::<()>())));
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = tokio.handle();

    Books::print_head();
    let children = CHILDREN / share;
    if wanted("smol-2") {
        run("smol-2", smol, children, seed);
    }
    if wanted("async-std") {
        run("async-std", AsyncStd, children, seed);
    }
    if wanted("tokio-2") {
        run("tokio-2", handle.clone(), children, seed);
    }
    if wanted("pool-on-smol-2") {
        run("pool-on-smol-2", Pool::new(smol), children, seed);
    }
    if wanted("pool-on-tokio-2") {
        run("pool-on-tokio-2", Pool::new(handle.clone()), children, seed);
    }
}

fn run<S: Spawner + Timed>(runtime: &str, spawner: S, children: usize, seed: u64) {
    let before = counting::live_bytes();
    let books = Arc::new(Books::default());
    let mut rounds = Rounds::new(spawner, books.clone(), Rng::with_seed(seed));
    let mut bytes = Vec::new();
    let begun = Instant::now();
    for (percent, goal) in [10, 50, 100].map(|percent| (percent, children / 100 * percent)) {
        let mut most = 0;
        while books.children() < goal {
            most = most.max(block_on(rounds.one()));
            books.check();
        }
        bytes.push(counting::live_bytes() - before);
        books.print(runtime, percent, most, bytes[bytes.len() - 1], begun.elapsed());
    }
    assert!(bytes[2] - bytes[0] < REST, "it grows: {bytes:?}");
}
