//! The server, which depends on no runtime: it is generic over the spawner and over the source of its connections.

use std::convert::Infallible;
use std::io;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_lite::future;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use taskgroup::runtime::{Timed, Timer};
use taskgroup::{CancelReason, Group, Spawner, scope};

use crate::clock::Clock;

/// How many connections are served at once. Further connections wait in the queue of the listener.
pub const CONNECTIONS: NonZero<usize> = NonZero::new(64).unwrap();
/// How long a client may take to send the head of a request, or be silent.
pub const HEAD: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(1);

/// A spawner whose clock hyper can use too.
pub trait Runtime: Spawner + Timed<Timer: Timer<Sleep: Sync>> {}

impl<S: Spawner + Timed<Timer: Timer<Sleep: Sync>>> Runtime for S {}

/// A source of connections.
pub trait Listener: Send + Sync + 'static {
    type Stream: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Counts the requests that reached the server. Each connection holds a clone.
#[derive(Clone, Debug, Default)]
pub struct Seen(pub Arc<AtomicUsize>);

/// Accepts connections until it is asked to stop, and ends when the last connection has ended.
pub async fn serve<S: Runtime>(
    server: Group<S, io::Error>,
    listener: impl Listener,
    seen: Seen,
) -> io::Result<()> {
    let connections = scope(server.spawner().clone(), |group| async move {
        while let Some(stream) = group.until_stopping(listener.accept()).await {
            let stream = stream?;
            let (member, seen) = (group.clone(), seen.clone());
            let connection = async move {
                let (spawner, stopping) = (member.spawner().clone(), member.stopping());
                match connection(spawner, stream, stopping, seen).await {
                    Err(error) if error.is_timeout() => Ok(()), // the client had no further request
                    ended => ended.map_err(io::Error::other),
                }
            };
            // Waits while the limit is reached, so that no further connection is accepted meanwhile.
            group.spawn_when_free(connection).await;
        }
        Ok(())
    });
    // A failure of a connection is reported, and ends only that connection.
    let told = connections.supervise(|child, failure| println!("  {child}: {failure}"));
    told.limit(CONNECTIONS).await.map_err(|cut| cut.into_primary().unwrap_or_else(io::Error::other))
}

/// Serves one connection. When asked to stop, it finishes the current answer and ends.
pub async fn connection<S: Runtime>(
    spawner: S,
    stream: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    stopping: impl Future<Output = ()> + Send,
    seen: Seen,
) -> hyper::Result<()> {
    let clock = Clock(spawner.timer());
    let service = service_fn(move |request| answer(spawner.clone(), request, seen.clone()));
    let mut http = http1::Builder::new();
    let connection = http.timer(clock).header_read_timeout(HEAD).serve_connection(stream, service);
    let mut connection = pin!(connection);
    let stopping = async {
        stopping.await;
        None
    };
    match future::or(async { Some(connection.as_mut().await) }, stopping).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn answer<S: Runtime>(
    spawner: S,
    request: Request<Incoming>,
    seen: Seen,
) -> Result<Response<Full<Bytes>>, Infallible> {
    seen.0.fetch_add(1, SeqCst);
    let path = request.uri().path();
    let (status, body) = match path {
        "/hello" => (StatusCode::OK, "hello\n".to_string()),
        _ => parts(spawner, path.trim_start_matches('/').to_string()).await,
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}

/// Builds an answer from two concurrent look-ups, in their own group and with a deadline.
async fn parts<S: Runtime>(spawner: S, what: String) -> (StatusCode, String) {
    let clock = spawner.timer();
    let parts = scope(spawner, |group| async move {
        let first = group.spawn(look_up(clock.clone(), what.clone()));
        let second = group.spawn(look_up(clock, what));
        Ok(first.value().await + second.value().await)
    });
    match parts.timeout(ANSWER).await {
        Ok(sum) => (StatusCode::OK, format!("{sum}\n")),
        Err(cut) if cut.reason() == Some(&CancelReason::Deadline) => {
            (StatusCode::GATEWAY_TIMEOUT, "too slow\n".to_string())
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

/// Waits for the requested number of milliseconds and returns it.
async fn look_up<T: Timer>(clock: T, what: String) -> Result<u64, std::num::ParseIntError> {
    let time = what.parse()?;
    clock.sleep_until(clock.now() + Duration::from_millis(time)).await;
    Ok(time)
}
