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

/// Children of each runtime.
const CHILDREN: usize = 10_000_000;
/// What may be left in the allocator's books when all is gone: the runtimes' own.
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
