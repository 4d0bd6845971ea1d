//! Checks the answers, deadlines and limits that a client sees.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::load::{Answer, Client};
use crate::server::{CONNECTIONS, HEAD};

pub fn all(server: SocketAddr) -> Outcome {
    answers(server)?;
    a_silent_client_is_cut(server)?;
    one_too_many_waits(server)?;
    println!("  answers, deadlines and limits are as they should be");
    Ok(())
}

fn answers(server: SocketAddr) -> Outcome {
    let mut client = Client::connect(server)?;
    let asked =
        [("/hello", 200, "hello\n"), ("/20", 200, "40\n"), ("/x", 400, ""), ("/9999", 504, "too slow\n")];
    for (path, status, body) in asked {
        let begun = Instant::now();
        let answer = client.get(path)?.ok_or("closed")?;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.stays, "one connection is enough");
        assert!(body.is_empty() || answer.body == body, "{path}: {}", answer.body);
        assert!(begun.elapsed() < Duration::from_secs(9), "{path} was not cut");
    }
    Ok(())
}

fn a_silent_client_is_cut(server: SocketAddr) -> Outcome {
    let (mut silent, begun) = (Client::connect(server)?, Instant::now());
    silent.send("GET /hello HT")?;
    assert!(!matches!(silent.receive()?, Some(Answer { status: 200, .. })));
    assert!(begun.elapsed() >= HEAD / 2);
    Ok(())
}

fn one_too_many_waits(server: SocketAddr) -> Outcome {
    let request = |path| format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let busy = (0..CONNECTIONS.get()).map(|_| {
        let mut client = Client::connect(server)?;
        client.send(&request("500")).map(|()| client)
    });
    let mut busy = busy.collect::<Result<Vec<_>, _>>()?;
    let mut late = Client::connect(server)?;
    late.send(&request("hello"))?;
    assert_eq!(late.receive()?.ok_or("closed")?.body, "hello\n");
    // The late client had to wait until one of the busy clients was answered and had then been silent long enough.
    let answered = busy.iter_mut().map(Client::has_heard).collect::<Result<Vec<_>, _>>()?;
    assert!(answered.contains(&true), "there was a place too many");
    Ok(())
}
