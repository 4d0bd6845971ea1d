//! A Tokio application: an echo server with a child for each connection, and many clients in their own group.
//!
//! The clients leave their connections open. So when the server is cancelled, it has a waiting child for each of them, and
//! all of these children have to be gone when its group has been joined.

#[path = "../../echo.rs"]
mod echo;

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taskgroup::{Group, GroupError, TaskGroup, Tokio, scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;

use crate::echo::{CONNECTIONS, Census, Guest, at_a_time, message};

/// How long to wait after an error of the listener.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps the queue of the listener short. The system retries a connection that does not fit in only a second later.
static DOOR: Semaphore = Semaphore::const_new(64);

fn main() -> Result<(), Box<dyn Error>> {
    Runtime::new()?.block_on(async {
        let start = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;

        let census = Census::default();
        let server = TaskGroup::new(Tokio::current()?);
        server.launch(accept(listener, server.group(), census.clone()));

        let open = clients(address, at_a_time()).await?;
        server.cancel();
        server.join().await?;

        assert_eq!((census.alive(), census.total()), (0, CONNECTIONS));
        let left_open = open.len();
        for stream in open {
            assert!(is_closed(stream).await, "a connection outlived its group");
        }
        let (peak, time) = (census.peak(), start.elapsed());
        println!("tokio: {CONNECTIONS} connections, {peak} at once, {left_open} cut, none left, {time:.2?}");
        Ok(())
    })
}

/// Accepts connections until its group is cancelled.
async fn accept(listener: TcpListener, group: Group<Handle>, census: Census) -> ! {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => group.launch(connection(stream, census.enter())),
            // A temporary error, for example too many open descriptors.
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Echoes until the peer closes the connection.
async fn connection(mut stream: TcpStream, _guest: Guest) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}

/// Makes all connections, `width` at a time, and returns those that are left open.
async fn clients(address: SocketAddr, width: usize) -> Result<Vec<TcpStream>, GroupError<std::io::Error>> {
    scope(Handle::current(), |group| async move {
        let clients: Vec<_> = (0..width).map(|first| group.spawn(client(address, first, width))).collect();
        let mut open = Vec::new();
        for client in clients {
            open.push(client.value().await);
        }
        Ok(open)
    })
    .await
}

/// Makes its share of the connections, one by one, and returns the last one.
async fn client(address: SocketAddr, first: usize, width: usize) -> std::io::Result<TcpStream> {
    let mut stream = converse(address, first).await?;
    for number in (first + width..CONNECTIONS).step_by(width) {
        drop(stream);
        stream = converse(address, number).await?;
    }
    Ok(stream)
}

/// Makes a connection, and sends some messages that are echoed.
async fn converse(address: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let mut stream = enter(address, number).await?;
    for round in 1..4 {
        echo(&mut stream, number, round).await?;
    }
    Ok(stream)
}

/// Connects, and holds its permit until the server has accepted the connection and answered.
async fn enter(address: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let _turn = DOOR.acquire().await.expect("nobody closes it");
    let mut stream = TcpStream::connect(address).await?;
    echo(&mut stream, number, 0).await?;
    Ok(stream)
}

async fn echo(stream: &mut TcpStream, number: usize, round: usize) -> std::io::Result<()> {
    let sent = message(number, round);
    let mut echoed = vec![0; sent.len()];
    stream.write_all(&sent).await?;
    stream.read_exact(&mut echoed).await?;
    assert!(sent == echoed, "connection {number} had something else echoed");
    Ok(())
}

/// Tells whether the peer has closed the connection, in whatever way.
async fn is_closed(mut stream: TcpStream) -> bool {
    matches!(stream.read(&mut [0]).await, Ok(0) | Err(_))
}
