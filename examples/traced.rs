//! Shows groups in a terminal as they run, and writes a timeline for Perfetto.
//!
//!     cargo run --example traced --features tokio,tracing -- trace.json
//!
//! Open the file at <https://ui.perfetto.dev>: it has a row for each thread, which shows the polls of each child. The
//! tracing layer writes the file on its own thread. If the disk is full, that thread panics, with a message on standard
//! error, and the program continues without a timeline. The part of the file that was written can still be opened.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use smol::Timer;
use taskgroup::{Group, Smol, TaskGroup, scope, shield};
use tokio::runtime::Handle;
use tracing_chrome::ChromeLayerBuilder;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    smol::block_on(async {
        let server = TaskGroup::builder::<String>(Smol)
            .name("server")
            .supervise(|child, failure| tracing::info!("{child}: {failure}"))
            .open();
        for number in 1..=3 {
            server.on(on_tokio.clone()).child().name(format!("conn {number}")).launch(connection(number));
        }
        let ticker = server.child().name("ticker").background();
        ticker.launch(std::future::pending::<Result<(), _>>());
        server.join().await
    })?;
    drop(written);
    println!("the timeline is in {}", path.display());
    Ok(())
}
