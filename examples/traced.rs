//! Shows groups in a terminal as they run, and writes a timeline for Perfetto.
//!
//!     cargo run --example traced --features tokio,tracing -- trace.json
//!
//! Open the file at <https://ui.perfetto.dev>: it has a row for each thread, which shows the polls of each child. The
//! tracing layer writes the file on its own thread. If the disk is full, that thread panics, with a message on standard
//! error, and the program goes on and fails at the end. The part of the file that was written can still be opened.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use smol::Timer;
use taskgroup::{Group, Smol, TaskGroup, scope, shield};
use tokio::runtime::Handle;
use tracing_chrome::ChromeLayerBuilder;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const CONNECTIONS: u32 = 3;

/// Runs two halves in their own group; one of them fails.
async fn connection(number: u32) -> Result<(), String> {
    let halves = scope(Smol, async |group: Group<Smol, String>| {
        group.child().name("reader").launch(async move {
            Timer::after(Duration::from_millis(10 * u64::from(number))).await;
            tracing::info!("nothing more to read");
            Err::<(), _>(format!("connection {number} was reset"))
        });
        group.child().name("writer").launch(shield(async {
            Timer::after(Duration::from_millis(25)).await;
            Ok(())
        }));
        Ok(())
    });
    halves.name("halves").await.map_err(|error| error.to_string())
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("trace.json"), PathBuf::from);
    let (timeline, written) = ChromeLayerBuilder::new().file(&path).include_args(true).build();
    let terminal = fmt::layer().without_time();
    tracing_subscriber::registry().with(timeline).with(terminal).init();

    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let on_tokio: Handle = tokio.handle().clone();
    let failed = Arc::new(AtomicU32::new(0));
    let count = failed.clone();
    smol::block_on(async {
        let server = TaskGroup::builder::<String>(Smol)
            .name("server")
            .supervise(move |child, failure| {
                tracing::info!("{child}: {failure}");
                count.fetch_add(1, SeqCst);
            })
            .open();
        for number in 1..=CONNECTIONS {
            server.on(on_tokio.clone()).child().name(format!("conn {number}")).launch(connection(number));
        }
        let ticker = server.child().name("ticker").background();
        ticker.launch(std::future::pending::<Result<(), _>>());
        server.join().await
    })?;
    assert_eq!(failed.load(SeqCst), CONNECTIONS);
    drop(written);
    let timeline = std::fs::read_to_string(&path)?;
    for number in 1..=CONNECTIONS {
        assert!(timeline.contains(&format!("conn {number}/halves/reader")), "its polls are in the timeline");
    }
    println!("the timeline is in {}", path.display());
    Ok(())
}
