//! Runs the server for a client in another process, until the standard input of this process ends.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use futures_lite::future;

use crate::runtimes::Sockets;
use crate::server::{Listener, Seen, connection};
use crate::{GRACE, Outcome, descriptors, listen, open};

/// Runs the server in a group and shuts it down at the end. Prints how many requests it has seen, and what is left.
pub async fn in_group<R: Sockets>(runtime: &R, port: u16) -> Outcome {
    // After this the runtime has opened its own descriptors.
    open(runtime, 0)?.0.shutdown(GRACE).await?;
    let before = descriptors();
    let (server, _, seen) = open(runtime, port)?;
    end_of_input().await;
    let report = server.shutdown(GRACE).await?;
    assert!(report.is_graceful(), "{report}");
    let (connections, leaked) = (Arc::strong_count(&seen.0) - 1, descriptors() - before);
    let seen = seen.0.load(SeqCst);
    println!("{seen} requests seen, {connections} connections left, {leaked} descriptors leaked");
    Ok(())
}

/// Runs the server with the runtime's own spawn, and does not shut it down.
pub async fn plain<R: Sockets>(runtime: &R, port: u16) -> Outcome {
    let listener = runtime.listener(listen(port)?.0)?;
    let accept = async {
        while let Ok(stream) = listener.accept().await {
            let connection = connection(runtime.clone(), stream, pending(), Seen::default());
            runtime.detach(async move { drop(connection.await) });
        }
    };
    future::or(accept, end_of_input()).await;
    Ok(())
}

async fn end_of_input() {
    let (open, ended) = async_channel::bounded::<()>(1);
    thread::spawn(move || {
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        drop(open);
    });
    let _ = ended.recv().await;
}
