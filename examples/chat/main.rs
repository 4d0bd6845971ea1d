//! A chat server with rooms, clients that come and go, and an end after which there is no task and no socket.
//!
//!     cargo run --example chat -- 7000     # then: nc localhost 7000; a name, lines, /join ROOM; Ctrl-C here
//!     cargo run --example chat             # drives itself: four clients in two rooms
//!
//! Who does not read loses what does not fit in his queue and holds up nobody. Who comes back under his name takes his old
//! place over.

#![allow(unreachable_pub, reason = "an example exports nothing")]

mod server;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use futures_lite::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use smol::Timer;
use smol::net::TcpStream;
use taskgroup::error::Origin;
use taskgroup::{Failure, Smol, TaskGroup};

use crate::server::{House, serve};

const GRACE: Duration = Duration::from_secs(1);
/// More, at a thousand bytes each, than any queue of the system's takes.
const LINES: usize = 40_000;

/// A client of the example itself.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn come(server: SocketAddr, name: &str) -> io::Result<Self> {
        let mut client = Self(BufReader::new(TcpStream::connect(server).await?));
        client.say(name).await.map(|()| client)
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await
    }

    /// All that is heard until the server closes the connection.
    async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).await.map(|_| rest)
    }

    /// The next line that is heard; empty if the server has closed the connection.
    async fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(line.trim().to_string())
    }
}

/// Clients in two rooms. Gives two that are still there: one that listens, one that does not.
async fn conversation(server: SocketAddr) -> io::Result<[Client; 2]> {
    let mut ann = Client::come(server, "ann").await?;
    assert_eq!(ann.hear().await?, "welcome to the hall");
    let mut bob = Client::come(server, "bob").await?;
    assert_eq!(bob.hear().await?, "welcome to the hall");
    assert_eq!(ann.hear().await?, "bob: comes");
    ann.say("hello").await?;
    assert_eq!(bob.hear().await?, "ann: hello");

    let mut cat = Client::come(server, "cat").await?;
    assert_eq!(cat.hear().await?, "welcome to the hall");
    cat.say("/join kitchen").await?;
    assert_eq!(cat.hear().await?, "welcome to the kitchen");
    cat.say("nobody hears this").await?;
    for heard in ["cat: comes", "cat: goes"] {
        assert_eq!((ann.hear().await?.as_str(), bob.hear().await?.as_str()), (heard, heard));
    }

    // Bob comes back: his old connection is closed, and nobody else notices that.
    let mut again = Client::come(server, "bob").await?;
    assert_eq!(again.hear().await?, "welcome to the hall");
    assert_eq!(bob.hear().await.unwrap_or_default(), "");
    assert_eq!(ann.hear().await?, "bob: comes");
    // Ann goes away in the middle of a line.
    ann.0.get_mut().write_all(b"half a li").await?;
    drop(ann);
    assert_eq!(again.hear().await?, "ann: half a li");
    assert_eq!(again.hear().await?, "ann: goes");
    again.say("/join kitchen").await?;
    assert_eq!(cat.hear().await?, "bob: comes");

    // Cat says more than there is room for with somebody who does not read, and is not held up by him.
    let mut deaf = Client::come(server, "deaf").await?;
    deaf.say("/join kitchen").await?;
    assert_eq!(cat.hear().await?, "deaf: comes");
    let text = "x".repeat(1000);
    for _ in 0..LINES {
        cat.say(&text).await?;
    }
    cat.say("/join hall").await?;
    assert_eq!(cat.hear().await?, "welcome to the hall");
    println!("three clients talked; ann has left, bob came back, and a fourth one does not listen");
    Ok([cat, deaf])
}

async fn run(port: Option<u16>) -> Result<(), Box<dyn Error>> {
    let tell = |child: &Origin, failure: &Failure<io::Error>| println!("{child}: {failure}");
    let server = TaskGroup::builder(Smol).name("chat").supervise(tell).open();
    let (group, house) = (server.group(), House::default());
    let address = server.start(|ready| serve(group, port.unwrap_or(0), house.clone(), ready)).await?;
    println!("listening on {address}");
    let clients = match port {
        None => Some(conversation(address).await?),
        Some(_) => {
            Signals::new([Signal::Int, Signal::Term])?.next().await;
            None
        }
    };
    let report = server.shutdown(GRACE).await?;
    println!("{report}");
    assert!(house.is_empty(), "nobody is left");
    if let Some([mut cat, mut deaf]) = clients {
        assert_eq!(cat.rest().await?, "goodbye\n");
        let heard = deaf.rest().await?.lines().count();
        println!("who did not listen was sent {heard} lines of {LINES}");
        assert!(heard < LINES);
    }
    Ok(())
}

/// How many file descriptors this process has open, where that can be seen.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map(|port| port.parse()).transpose()?;
    smol::block_on(Timer::after(Duration::from_millis(1))); // what the runtime opens for itself is open now
    let before = descriptors();
    smol::block_on(run(port))?;
    assert_eq!(descriptors(), before, "no socket is left");
    Ok(())
}
