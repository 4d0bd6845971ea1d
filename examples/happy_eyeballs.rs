//! Connects to the address that answers first, as in RFC 8305, and closes all other attempts before it returns.
//!
//!     cargo run --example happy_eyeballs -- example.org 80
//!     cargo run --example happy_eyeballs                   # against addresses of its own: refused, silent, good
//!
//! Attempts start one after the other. Each starts when the attempt before it has failed or has not answered for 250 ms.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_lite::future;
use smol::net::TcpStream;
use smol::{Async, Timer};
use taskgroup::{GroupError, Smol, race};

/// The "Connection Attempt Delay" of the RFC.
const DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of the addresses that answers.
async fn connect(addresses: Vec<SocketAddr>, open: Open) -> Result<TcpStream, GroupError<io::Error>> {
    race(Smol, |racers| async move {
        // An attempt tells the next attempt that it has failed by dropping its end of a channel.
        let mut before: Option<async_channel::Receiver<()>> = None;
        for address in interleave(addresses) {
            let (failed, next) = async_channel::bounded::<()>(1);
            let turn = before.replace(next);
            let attempt = open.attempt();
            racers.enter(async move {
                if let Some(turn) = turn {
                    let delay = async {
                        Timer::after(DELAY).await;
                    };
                    future::or(async { turn.recv().await.unwrap_or(()) }, delay).await;
                }
                println!("  trying {address}");
                let connected = TcpStream::connect(address).await;
                match &connected {
                    Ok(_) => println!("  {address} answers"),
                    Err(error) => println!("  {address}: {error}"),
                }
                drop((failed, attempt));
                connected
            });
        }
        Ok(())
    })
    .await
}

/// Alternates the address families, beginning with the family of the first address.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut order = Vec::new();
    loop {
        let before = order.len();
        order.extend(preferred.next());
        order.extend(other.next());
        if order.len() == before {
            return order;
        }
    }
}

/// Counts the attempts that hold a socket or wait for their turn.
#[derive(Clone, Default)]
struct Open(Arc<AtomicUsize>);

impl Open {
    fn attempt(&self) -> Attempt {
        self.0.fetch_add(1, SeqCst);
        Attempt(self.clone())
    }
}

struct Attempt(Open);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// Returns three local addresses: one refuses, one never answers, and one answers.
fn addresses_of_our_own() -> io::Result<(Vec<SocketAddr>, impl Sized)> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let refused = listen()?.local_addr()?; // the listener is closed again at once
    let (silent, good) = (listen()?, listen()?);
    // Nothing accepts from this listener, so its queue fills up, and further attempts wait.
    let crowd = (0..5_000)
        .map_while(|_| {
            let connecting = Async::<std::net::TcpStream>::connect(silent.local_addr().ok()?);
            smol::block_on(future::or(async { connecting.await.ok() }, async {
                Timer::after(Duration::from_millis(50)).await;
                None
            }))
        })
        .collect::<Vec<_>>();
    println!("{} clients fill the queue of the silent one", crowd.len());
    Ok((vec![refused, silent.local_addr()?, good.local_addr()?], (silent, good, crowd)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (addresses, _keep) = match arguments.as_slice() {
        [host, port] => {
            let found = smol::block_on(smol::net::resolve((host.as_str(), port.parse::<u16>()?)))?;
            (found, None)
        }
        [] => {
            let (addresses, keep) = addresses_of_our_own()?;
            (addresses, Some(keep))
        }
        _ => return Err("usage: happy_eyeballs [HOST PORT]".into()),
    };
    let (open, begun) = (Open::default(), Instant::now());
    let stream = smol::block_on(connect(addresses, open.clone()))?;
    println!("connected to {} after {:?}", stream.peer_addr()?, begun.elapsed());
    assert_eq!(open.0.load(SeqCst), 0, "every other attempt is closed");
    Ok(())
}
