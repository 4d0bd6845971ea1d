//! Measures requests per second, with the connections in a group and with the runtime's own spawn.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use futures_lite::future;

use crate::load::Load;
use crate::runtimes::Sockets;
use crate::server::{Listener, Seen, connection};
use crate::{GRACE, Outcome, listen, open, tick};

const CLIENTS: usize = 16;
const ROUNDS: usize = 15;

/// Measures both variants in each round. The one that comes first comes second in the next round.
pub async fn run<R: Sockets>(runtime: &R, seconds: u64) -> Outcome {
    let time = Duration::from_secs(seconds);
    let (mut with, mut without, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let before = if round % 2 == 0 { Some(plain(runtime, time).await?) } else { None };
        let in_group = in_group(runtime, time).await?;
        let plain = match before {
            Some(plain) => plain,
            None => plain(runtime, time).await?,
        };
        println!("  round {round}: {in_group} requests/s in a group, {plain} without");
        with.push(in_group);
        without.push(plain);
        ratios.push(in_group as f64 / plain as f64);
    }
    with.sort_unstable();
    without.sort_unstable();
    ratios.sort_by(f64::total_cmp);
    let [least, ratio, most] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| ratios[at]);
    println!("  median: {} requests/s in a group, {} without", with[ROUNDS / 2], without[ROUNDS / 2]);
    println!("  in one round: {ratio:.3} of that without ({least:.3} to {most:.3})");
    Ok(())
}

async fn in_group<R: Sockets>(runtime: &R, time: Duration) -> Outcome<u64> {
    let (server, address, _) = open(runtime, 0)?;
    let load = Load::start(address, CLIENTS, "/hello");
    let speed = measure(runtime, load, time).await;
    server.shutdown(GRACE).await?;
    Ok(speed)
}

/// Runs the same server without a group: nobody waits for its connections or can ask them to stop.
async fn plain<R: Sockets>(runtime: &R, time: Duration) -> Outcome<u64> {
    let (bound, address) = listen(0)?;
    let (listener, spawner) = (runtime.listener(bound)?, runtime.clone());
    let (stop, stopped) = async_channel::bounded::<()>(1);
    runtime.detach(async move {
        let mut stopped = pin!(async {
            let _ = stopped.recv().await;
            None
        });
        while let Some(stream) = future::or(&mut stopped, async { listener.accept().await.ok() }).await {
            let connection = connection(spawner.clone(), stream, pending(), Seen::default());
            spawner.detach(async move { drop(connection.await) });
        }
    });
    let load = Load::start(address, CLIENTS, "/hello");
    let speed = measure(runtime, load, time).await;
    drop(stop);
    Ok(speed)
}

async fn measure<R: Sockets>(runtime: &R, load: Load, time: Duration) -> u64 {
    let (begun, before) = (Instant::now(), load.count.answered.load(SeqCst));
    tick(runtime, time).await;
    let answered = load.count.answered.load(SeqCst) - before;
    let speed = answered as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(load.end().torn.load(SeqCst), 0);
    speed as u64
}
