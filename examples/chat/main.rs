//! Runs a chat server with rooms; after its shutdown no task and no socket is left.
//!
//!     cargo run --example chat -- 7000     # then: nc localhost 7000; a name, lines, /join ROOM; Ctrl-C here
//!     cargo run --example chat             # drives itself: four clients in two rooms
//!
//! A client that does not read loses the lines that do not fit in its queue, and delays no other client. A client that
//! comes back under the same name replaces its old connection.

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
/// More lines, at a thousand bytes each, than any queue of the operating system holds.
const LINES: usize = 40_000;

/// A client that the example itself runs.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn come(server: SocketAddr, name: &str) -> io::Result<Self> {
        let mut client = Self(BufReader::new(TcpStream::connect(server).await?));
        client.say(name).await.map(|()| client)
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await
    }

    /// Reads everything until the server closes the connection.
    async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).await.map(|_| rest)
    }

    /// Reads the next line; it is empty if the server has closed the connection.
    async fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(line.trim().to_string())
    }
}

/// Runs clients in two rooms, and returns two that are still connected: one that reads, and one that does not.
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

    // Bob comes back: the server closes his old connection, and the others are not told that he left.
    let mut again = Client::come(server, "bob").await?;
    assert_eq!(again.hear().await?, "welcome to the hall");
    assert_eq!(bob.hear().await.unwrap_or_default(), "");
    assert_eq!(ann.hear().await?, "bob: comes");
    // Ann disconnects in the middle of a line.
    ann.0.get_mut().write_all(b"half a li").await?;
    drop(ann);
    assert_eq!(again.hear().await?, "ann: half a li");
    assert_eq!(again.hear().await?, "ann: goes");
    again.say("/join kitchen").await?;
    assert_eq!(cat.hear().await?, "bob: comes");

    // Cat sends more than fits in the queue of a client that does not read, and that client does not delay her.
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
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    let clients = if port.is_none() { Some(conversation(address).await?) } else { None };
    let asked = async {
        if clients.is_none() {
            signals.next().await;
        }
    };
    let report = server.shutdown_when(asked, GRACE).await?;
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

/// Counts the open file descriptors of this process, on systems that show them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map(|port| port.parse()).transpose()?;
    smol::block_on(Timer::after(Duration::from_millis(1))); // now the runtime has opened its own descriptors
    let before = descriptors();
    smol::block_on(run(port))?;
    assert_eq!(descriptors(), before, "no socket is left");
    Ok(())
}
