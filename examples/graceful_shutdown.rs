//! Runs a TCP server that, when asked to stop, lets its connections finish and reports which it had to cancel.
//!
//!     cargo run --example graceful_shutdown -- 7000     # then: nc localhost 7000, and Ctrl-C here, perhaps twice
//!     cargo run --example graceful_shutdown             # drives itself: three clients, then SIGTERM
//!
//! The server answers each line with the line in capitals. A client that has sent half a line has until the end of the
//! grace period to send the rest.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use async_signal::{Signal, Signals};
use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use futures_lite::{StreamExt, future};
use smol::net::{TcpListener, TcpStream};
use taskgroup::group::{Ready, ShutdownReport};
use taskgroup::{Group, Smol, TaskGroup};

const GRACE: Duration = Duration::from_millis(500);

type Server = Group<Smol, io::Error>;

/// Accepts until the group is asked to stop.
async fn serve(server: Server, port: u16, ready: Ready<SocketAddr>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    ready.set(listener.local_addr()?);
    while let Some(accepted) = server.until_stopping(listener.accept()).await {
        let (stream, peer) = accepted?;
        let member = server.clone();
        // An error of one client must not end the server, so the child does not return it.
        server.child().name(format!("connection {peer}")).launch(async move {
            if let Err(error) = connection(member, stream).await {
                println!("{peer}: {error}");
            }
        });
    }
    println!("no more connections");
    Ok(())
}

/// Answers lines. When asked to stop, it finishes the current line and ends.
async fn connection(server: Server, stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.clone());
    let mut stream = stream;
    let mut line = Vec::new();
    loop {
        let stopping = async {
            server.stopping().await;
            None
        };
        // If the other branch is first, the part of a line that has arrived stays in `line`.
        let read = async { Some(lines.read_until(b'\n', &mut line).await) };
        match future::or(read, stopping).await {
            Some(Ok(0)) => return Ok(()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None if line.is_empty() => return stream.write_all(b"goodbye\n").await,
            None => _ = lines.read_until(b'\n', &mut line).await?,
        }
        line.make_ascii_uppercase();
        stream.write_all(&line).await?;
        line.clear();
    }
}

/// The first Ctrl-C or SIGTERM asks everybody to end, and the second one cancels who is left.
async fn signals(server: Server, mut signals: Signals) {
    if let Some(Ok(signal)) = signals.next().await {
        println!("{signal:?}: shutting down within {GRACE:?}");
        server.stop();
    }
    if let Some(Ok(signal)) = signals.next().await {
        println!("{signal:?}: shutting down now");
        server.cancel();
    }
}

async fn run(port: u16, itself: bool) -> Result<ShutdownReport, Box<dyn std::error::Error>> {
    let server = TaskGroup::builder::<io::Error>(Smol).name("server").open();
    let (group, handler) = (server.group(), Signals::new([Signal::Int, Signal::Term])?);
    server.child().name("signals").background().launch(signals(group.clone(), handler));
    let address = server.start(|ready| serve(group, port, ready)).await?;
    println!("listening on {address}");
    let clients = itself.then(|| smol::spawn(clients(address)));
    let asked = server.stopping();
    // Half-way through the grace it says for whom it waits.
    let shutdown = server.shutdown_when(asked, GRACE).warn_after(GRACE / 2, |left| println!("{left}"));
    let report = shutdown.await?;
    println!("{report}");
    if let Some(clients) = clients {
        clients.await?;
    }
    Ok(report)
}

/// Runs one client that is done, one that is idle and one that never ends its line, then sends SIGTERM to this process.
async fn clients(address: SocketAddr) -> io::Result<()> {
    let mut done = TcpStream::connect(address).await?;
    done.write_all(b"hello\n").await?;
    assert_eq!(line(&mut BufReader::new(done)).await?, "HELLO\n");

    let mut polite = BufReader::new(TcpStream::connect(address).await?);
    let mut slow = TcpStream::connect(address).await?;
    slow.write_all(b"a question?\nhalf a li").await?;
    let mut slow = BufReader::new(slow);
    assert_eq!(line(&mut slow).await?, "A QUESTION?\n");

    let pid = std::process::id().to_string();
    let killed = smol::unblock(move || Command::new("kill").args(["-s", "TERM", &pid]).status()).await?;
    assert!(killed.success());
    assert_eq!(line(&mut polite).await?, "goodbye\n", "whoever is idle is told");
    assert_eq!(line(&mut slow).await.unwrap_or_default(), "", "whoever is not done is cut");
    Ok(())
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1);
    let itself = port.is_none();
    let report = smol::block_on(run(port.map_or(Ok(0), |port| port.parse())?, itself))?;
    if itself {
        assert_eq!(report.forced().len(), 1, "one client was not done");
    }
    Ok(())
}
