//! Whether the crate holds for great numbers.
//!
//!     cargo bench --bench scale --features smol,async-std,tokio,pool
//!     cargo bench --bench scale --features smol,async-std,tokio,pool -- tokio-2 pool-on-smol-2
//!
//! Each runtime does the same things one after the other, and each result is checked:
//!
//! * children in groups of every size from 10³ to 10⁶;
//! * 10⁶ children pending at once;
//! * 10⁷ children through one group;
//! * 10⁵ groups side by side, and 10⁵ groups inside one another;
//! * 8 threads that spawn into one group from outside.
//!
//! The groups inside one another are opened, cancelled and torn down on a thread with a stack of 64 KiB.

#[allow(dead_code, unreachable_pub, reason = "it is the other bench's")]
#[path = "../peers/counting.rs"]
mod counting;
mod hosts;
mod things;

use std::future::Future;
use std::sync::Arc;
use std::thread;

use futures_lite::future::block_on;
use taskgroup::Spawner;
use taskgroup::runtime::Timed;

use crate::hosts::Visit;
use crate::things::Things;

const RUNTIMES: [&str; 6] =
    ["smol-2", "async-std", "tokio-2", "pool-on-smol-2", "pool-on-async-std", "pool-on-tokio-2"];

fn main() {
    counting::switch_on();
    println!("{:<18} {:<28} {:>14} {:>12}", "runtime", "thing", "ns a child", "bytes");
    hosts::on_each(&RUNTIMES, &Scale { share: hosts::share(100) });
}

struct Scale {
    share: usize,
}

impl Visit for Scale {
    fn visit<S: Spawner + Timed>(&self, runtime: &'static str, spawner: S) {
        let things = Things { runtime, spawner, share: self.share };
        // On a separate thread with a small stack: nothing here may recurse over children or depth.
        let small = thread::Builder::new().stack_size(64 << 10);
        small.spawn(move || block_on(all(&things))).expect("a thread can be had").join().expect("it holds");
    }
}

async fn all<S: Spawner>(things: &Things<S>) {
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        things.flat(size).await;
    }
    things.pending(1_000_000).await;
    things.through(10_000_000).await;
    things.side_by_side(100_000).await;
    things.nested(100_000, true).await;
    things.nested(100_000, false).await;
    things.spawned_outside(8, 250_000).await;
}

/// Counts the children that are alive.
#[derive(Clone)]
struct Alive(Arc<()>);

impl Alive {
    fn new() -> Self {
        Self(Arc::new(()))
    }

    /// Returns how many are alive besides this one.
    fn others(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// Wraps a future, so that it counts as alive until it is destroyed.
    fn wrap<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let alive = self.clone();
        async move {
            let _alive = alive;
            future.await
        }
    }
}
