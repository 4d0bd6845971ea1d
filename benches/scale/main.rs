//! Whether it holds for a great many.
//!
//!     cargo bench --bench scale --features smol,async-std,tokio,pool
//!     cargo bench --bench scale --features smol,async-std,tokio,pool -- tokio-2 pool-on-smol-2
//!
//! Each runtime does the same things one after the other, and each of them is checked: children of every size of group
//! from 10³ to 10⁶, 10⁶ pending at once, 10⁷ through one group, 10⁵ groups side by side and 10⁵ inside of one another, and 8
//! threads that spawn into one group from outside. What is inside of one another is opened, cancelled and torn down on a
//! thread with a stack of 64 KiB.

#[allow(dead_code, unreachable_pub, reason = "it is the other bench's")]
#[path = "../peers/counting.rs"]
mod counting;
mod things;

use std::future::{Future, pending};
use std::sync::Arc;
use std::thread;

use async_executor::Executor;
use futures_lite::future::block_on;
use taskgroup::{AsyncStd, Pool, Spawner};

use crate::things::Things;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    // `cargo test` runs benches as well, without `--bench`: a hundredth will do to see that they work.
    let share = if std::env::args().any(|argument| argument == "--bench") { 1 } else { 100 };
    counting::switch_on();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);

    let smol: &'static Executor = Box::leak(Box::new(Executor::new()));
    for _ in 0..2 {
        thread::spawn(|| block_on(smol.run(pending::<()>())));
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = tokio.handle();

    println!("{:<18} {:<28} {:>14} {:>12}", "runtime", "thing", "ns a child", "bytes");
    if wanted("smol-2") {
        run("smol-2", smol, share);
    }
    if wanted("async-std") {
        run("async-std", AsyncStd, share);
    }
    if wanted("tokio-2") {
        run("tokio-2", handle.clone(), share);
    }
    if wanted("pool-on-smol-2") {
        run("pool-on-smol-2", Pool::new(smol), share);
    }
    if wanted("pool-on-async-std") {
        run("pool-on-async-std", Pool::new(AsyncStd), share);
    }
    if wanted("pool-on-tokio-2") {
        run("pool-on-tokio-2", Pool::new(handle.clone()), share);
    }
}

fn run<S: Spawner>(runtime: &'static str, spawner: S, share: usize) {
    let things = Things { runtime, spawner, share };
    // On a thread for itself, with little stack: nothing here may recurse over children or depth.
    let small = thread::Builder::new().stack_size(64 << 10);
    small.spawn(move || block_on(all(&things))).expect("a thread can be had").join().expect("it holds");
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

    /// How many there are besides this one.
    fn others(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// A future that is alive as long as it is there.
    fn wrap<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let alive = self.clone();
        async move {
            let _alive = alive;
            future.await
        }
    }
}
