//! Whether the crate holds for a long time, whatever happens.
//!
//!     cargo bench --bench soak --all-features
//!     TASKGROUP_SEED=42 cargo bench --bench soak --all-features -- tokio-2
//!
//! There are ten million children for each runtime, in groups of every policy, with and without limits and deadlines.
//! They return, fail, panic, are cut one by one or with their group, hold out under shields, register clean-ups, spawn
//! siblings, and open groups of their own. After each outermost join no child may be alive. What destructors saw, what
//! handles reported and what failure hooks were told has to agree. The allocated memory may not grow.

mod books;
#[allow(dead_code, unreachable_pub, reason = "it is another bench's")]
#[path = "../peers/counting.rs"]
mod counting;
#[path = "../scale/hosts.rs"]
mod hosts;
mod rounds;

use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use futures_lite::future::block_on;
use taskgroup::Spawner;
use taskgroup::runtime::Timed;

use crate::books::Books;
use crate::hosts::Visit;
use crate::rounds::Rounds;

/// How many children each runtime runs.
const CHILDREN: usize = 10_000_000;
/// How many bytes may still be allocated when everything is gone: those of the runtimes.
const REST: isize = 256 << 10;

const RUNTIMES: [&str; 5] = ["smol-2", "async-std", "tokio-2", "pool-on-smol-2", "pool-on-tokio-2"];

fn main() {
    let seed = std::env::var("TASKGROUP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("TASKGROUP_SEED={seed}");
    counting::switch_on();
    Books::print_head();
    hosts::on_each(&RUNTIMES, &Soak { children: CHILDREN / hosts::share(1_000), seed });
}

struct Soak {
    children: usize,
    seed: u64,
}

impl Visit for Soak {
    fn visit<S: Spawner + Timed>(&self, runtime: &'static str, spawner: S) {
        let before = counting::live_bytes();
        let books = Arc::new(Books::default());
        let mut rounds = Rounds::new(spawner, books.clone(), Rng::with_seed(self.seed));
        let mut bytes = Vec::new();
        let begun = Instant::now();
        for (percent, goal) in [10, 50, 100].map(|percent| (percent, self.children / 100 * percent)) {
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
}
