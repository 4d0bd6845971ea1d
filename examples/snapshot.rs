//! Shows why a group is still open, and how long a snapshot takes with 100,000 children.
//!
//!     cargo run --release --example snapshot

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::time::{Duration, Instant};

use smol::channel::Receiver;
use taskgroup::{Smol, TaskGroup, scope, shield};

const CONNECTIONS: usize = 50_000;

/// Runs a connection: two halves, in their own group.
async fn connection(number: usize, goodbye: Receiver<()>) {
    let halves = scope(Smol, async |group| {
        group.child().name("reader").launch(async move {
            match number {
                // A mistake on purpose: this shield holds the group open.
                17 => drop(shield(goodbye.recv()).await),
                _ => pending().await,
            }
        });
        pending::<Result<(), ()>>().await
    });
    drop(halves.await);
}

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(async {
        let server = TaskGroup::builder::<Infallible>(Smol).name("server").observe_polls().open();
        let (hang_up, goodbye) = smol::channel::bounded(1);
        for number in 0..CONNECTIONS {
            server.child().name(format!("conn {number}")).launch(connection(number, goodbye.clone()));
        }
        // Waits until every connection has opened its group.
        while server.snapshot().groups().len() < CONNECTIONS + 1 {
            smol::future::yield_now().await;
        }
        let began = Instant::now();
        let snapshot = server.snapshot();
        let (taken, members) = (began.elapsed(), snapshot.members().len());
        println!("{members} members in {} groups: {taken:.1?}", snapshot.groups().len());
        // Each connection, and in its group the body and the reader.
        assert_eq!(members, 3 * CONNECTIONS);
        println!("{snapshot}");

        let flat = TaskGroup::new(Smol);
        for _ in 0..2 * CONNECTIONS {
            flat.launch(pending::<()>());
        }
        let began = Instant::now();
        let snapshot = flat.snapshot();
        println!("{} members in one group: {:.1?}\n", snapshot.members().len(), began.elapsed());
        flat.cancel();
        flat.join().await?;

        server.cancel_with("shutting down");
        let join = server.join().warn_after(Duration::from_secs(2), move |left| {
            let left = left.to_string();
            println!("{left}");
            let culprit = left.lines().nth(1).expect("one is left");
            assert!(culprit.contains("conn 17") && culprit.contains("reader"), "{culprit}");
            hang_up.close();
        });
        join.await?;
        Ok(())
    })
}
