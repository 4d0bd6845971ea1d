//! Runs an HTTP/1.1 server with limits, deadlines and a shutdown that loses no request, on smol and on Tokio.
//!
//! ```text
//! cargo run --all-features --example http                              # checks itself
//! cargo run --all-features --release --example http -- bench 1         # requests/s, with and without a group
//! cargo run --all-features --release --example http -- shutdowns 20    # ended so often, while it is used
//! examples/http/wrk.sh                                                 # both with `wrk` as the client
//! ```
//!
//! `server.rs` is the program; the other files try it out. hyper speaks HTTP on streams of either runtime, and each
//! connection is a child of a group. The server answers every request that it has seen. If a request arrives while its
//! idle connection is being closed, the server does not see it; HTTP clients have to expect that.

#![allow(unreachable_pub, reason = "an example exports nothing")]

mod bench;
mod checks;
mod clock;
mod load;
mod runtimes;
mod serve;
mod server;

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use taskgroup::runtime::Timer;
use taskgroup::{Smol, TaskGroup};

use crate::load::Load;
use crate::runtimes::Sockets;
use crate::server::Seen;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const GRACE: Duration = Duration::from_secs(10);

/// Binds a listener to the port, or to any free port if `port` is 0.
fn listen(port: u16) -> Outcome<(TcpListener, SocketAddr)> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = bound.local_addr()?;
    Ok((bound, address))
}

/// Opens a server in a group. The server counts the requests that it sees.
fn open<R: Sockets>(runtime: &R, port: u16) -> Outcome<(TaskGroup<R, io::Error>, SocketAddr, Seen)> {
    let (bound, address) = listen(port)?;
    let (listener, seen) = (runtime.listener(bound)?, Seen::default());
    let server = TaskGroup::builder(runtime.clone()).name("server").open();
    server.child().name("accept").launch(server::serve(server.group(), listener, seen.clone()));
    Ok((server, address, seen))
}

async fn tick<R: Sockets>(runtime: &R, time: Duration) {
    let clock = runtime.timer();
    clock.sleep_until(clock.now() + time).await;
}

/// Counts the open file descriptors of this process, on systems that show them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Shuts a server down under load. Every request that the server has seen must be answered.
async fn shut_down<R: Sockets>(runtime: &R) -> Outcome<String> {
    let (server, address, seen) = open(runtime, 0)?;
    let load = Load::start(address, 32, "/5");
    tick(runtime, Duration::from_millis(100)).await;
    let report = server.shutdown(GRACE).await?;
    let count = load.end();
    let (seen, left) = (seen.0.load(SeqCst), Arc::strong_count(&seen.0) - 1);
    let (answered, refused) = (count.answered.load(SeqCst), count.refused.load(SeqCst));
    let lost = seen - answered;
    assert!(report.is_graceful(), "{report}");
    assert_eq!((lost, left, count.torn.load(SeqCst)), (0, 0, 0), "of {seen} requests");
    assert!(answered > 0);
    Ok(format!("{seen} requests seen, {lost} lost, {refused} turned away unseen, {left} connections left"))
}

async fn shut_down_again_and_again<R: Sockets>(runtime: &R, times: usize) -> Outcome {
    shut_down(runtime).await?; // after this the runtime has opened its own descriptors
    for time in 1..=times {
        let before = descriptors();
        let told = shut_down(runtime).await?;
        let leaked = descriptors() - before;
        println!("  shutdown {time}: {told}, {leaked} descriptors leaked");
        assert_eq!(leaked, 0);
    }
    Ok(())
}

fn run<R: Sockets>(name: &str, runtime: &R, arguments: &[&str]) -> Outcome {
    println!("{name}");
    runtime.block_on(async {
        match arguments {
            [] => {
                let (server, address, _) = open(runtime, 0)?;
                let (done, checked) = async_channel::bounded(1);
                thread::spawn(move || drop(done.send_blocking(checks::all(address))));
                checked.recv().await??;
                assert!(server.shutdown(GRACE).await?.is_graceful());
                shut_down_again_and_again(runtime, 3).await
            }
            ["bench", seconds] => bench::run(runtime, seconds.parse()?).await,
            ["shutdowns", times] => shut_down_again_and_again(runtime, times.parse()?).await,
            ["serve", port] => serve::in_group(runtime, port.parse()?).await,
            ["serve", port, "plain"] => serve::plain(runtime, port.parse()?).await,
            _ => Err("usage: http [RUNTIME] [bench SECONDS | shutdowns TIMES | serve PORT [plain]]".into()),
        }
    })
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (only, arguments) = match arguments.split_first() {
        Some((&only @ ("smol" | "tokio"), rest)) => (Some(only), rest),
        _ => (None, &arguments[..]),
    };
    if only != Some("tokio") {
        run("smol", &Smol, arguments)?;
    }
    if only != Some("smol") {
        run("Tokio", tokio::runtime::Runtime::new()?.handle(), arguments)?;
    }
    Ok(())
}
