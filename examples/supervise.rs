//! Runs three services on three ports under one supervised group: a service that fails does not end the others.
//!
//!     cargo run --example supervise
//!
//! Each service is a child of a supervised group and opens another supervised group for its connections. When a
//! connection or a service fails, the group calls its hook with the failure and the name, and only that child ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use smol::net::{TcpListener, TcpStream};
use taskgroup::error::Origin;
use taskgroup::{CancelReason, Failure, GroupError, Smol, TaskGroup, scope};

type Journal = Arc<Mutex<Vec<String>>>;

/// Returns a failure hook that writes each failure to the journal as it happens.
fn tell(journal: &Journal) -> impl Fn(&Origin, &Failure<io::Error>) + Send + Sync + use<> {
    let journal = journal.clone();
    move |origin, failure| {
        let line = format!("{}: {failure}", origin.path().unwrap_or("?"));
        println!("  {line}");
        journal.lock().unwrap().push(line);
    }
}

/// Accepts connections and answers each of their lines with the result of `answer`.
async fn service(
    listener: TcpListener,
    answer: fn(&str) -> io::Result<String>,
    journal: Journal,
) -> io::Result<()> {
    let connections = scope(Smol, |group| async move {
        loop {
            let (stream, _) = listener.accept().await?;
            group.child().name("connection").launch(async move {
                let mut lines = BufReader::new(stream.clone());
                let mut stream = stream;
                let mut line = String::new();
                while lines.read_line(&mut line).await? > 0 {
                    if line.trim() == "close the listener" {
                        return Err(io::Error::other("was told to"));
                    }
                    stream.write_all(format!("{}\n", answer(line.trim())?).as_bytes()).await?;
                    line.clear();
                }
                Ok(())
            });
        }
    });
    let ended: Result<(), GroupError<io::Error>> = connections.supervise(tell(&journal)).await;
    match ended {
        Err(cut) if matches!(cut.reason(), Some(CancelReason::Parent)) => Ok(()),
        other => other.map_err(io::Error::other),
    }
}

fn reverse(line: &str) -> io::Result<String> {
    Ok(line.chars().rev().collect())
}

fn double(line: &str) -> io::Result<String> {
    let number: i64 = line.parse().map_err(io::Error::other)?;
    Ok((number * 2).to_string())
}

fn divide(line: &str) -> io::Result<String> {
    let number: i64 = line.parse().map_err(io::Error::other)?;
    Ok((5040 / number).to_string()) // panics if the number is zero
}

/// Sends a line and returns the answer, or `None` if the server closed the connection instead.
async fn ask(address: SocketAddr, line: &str) -> io::Result<Option<String>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer).await {
        Ok(0) | Err(_) => Ok(None),
        Ok(_) => Ok(Some(answer.trim().to_string())),
    }
}

async fn run() -> io::Result<()> {
    let journal = Journal::default();
    let services = TaskGroup::builder(Smol).name("services").supervise(tell(&journal)).open();
    let mut addresses = Vec::new();
    type Answer = fn(&str) -> io::Result<String>;
    for (name, answer) in [("reverse", reverse as Answer), ("double", double), ("divide", divide)] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        addresses.push(listener.local_addr()?);
        services.child().name(name).launch(service(listener, answer, journal.clone()));
    }
    // A service that fails as a whole, without any connection.
    services.child().name("broken").launch(async { Err::<(), _>(io::Error::other("no such device")) });

    let [reverse, double, divide] = addresses[..] else { unreachable!("three were started") };
    assert_eq!(ask(reverse, "stressed").await?.as_deref(), Some("desserts"));
    assert_eq!(ask(double, "twenty").await?, None, "that connection has failed");
    assert_eq!(ask(divide, "0").await?, None, "that one has panicked");
    assert_eq!(ask(double, "21").await?.as_deref(), Some("42"), "its service goes on");
    assert_eq!(ask(divide, "7").await?.as_deref(), Some("720"));

    services.cancel_with("the example is over");
    services.join().await.map_err(io::Error::other)?;
    println!("{} failures, and everybody else was served", journal.lock().unwrap().len());
    assert_eq!(journal.lock().unwrap().len(), 3);
    Ok(())
}

fn main() -> io::Result<()> {
    smol::block_on(run())
}
