//! Supervises processes: restarts a process that fails, gives up after some attempts, and leaves no process behind.
//!
//!     cargo run --example processes
//!
//! When the child that runs a process ends, for whatever reason, a clean-up ends the process and everything that the
//! process started, first with SIGTERM and then with SIGKILL. Five supervisors end, each in a different way, and the
//! example checks that none of their processes is left. A supervisor that is itself killed cleans nothing up.

#![allow(unreachable_pub, reason = "an example exports nothing")]

mod supervisor;

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use std::{fs, io};

use futures_lite::{FutureExt, future};
use taskgroup::{CancelReason, GroupError, Smol, TaskGroup, scope};

use crate::supervisor::{Service, Started, Supervisor, after, start};

/// How long a supervisor may run, where its time is limited.
const TIME: Duration = Duration::from_millis(300);

const POLITE: Service = ("polite", "echo up; while :; do sleep 1; done");
const STUBBORN: Service = ("stubborn", "trap '' TERM; echo up; while :; do sleep 1; done");
const FAMILY: Service = ("family", "sleep 100 & sleep 100 & echo up; wait");
const FLAKY: Service = ("flaky", "echo up; sleep 0.05; exit 7");

/// Returns the process groups of all living processes, on systems that show them.
fn living() -> io::Result<Vec<u32>> {
    let mut groups = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten() {
        // "17 (sh) S 1 17 …": the state, the parent, the group. If the process ends meanwhile, it cannot be read.
        let stat = fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        // A zombie that is not our child is left to init.
        if fields.next().is_some_and(|state| state != "Z") {
            groups.extend(fields.nth(1).and_then(|group| group.parse::<u32>().ok()));
        }
    }
    Ok(groups)
}

/// Checks that no started process is left, and clears the list.
async fn assert_nothing_is_left(how: &str, started: &Started) -> io::Result<()> {
    let started = std::mem::take(&mut *started.lock().unwrap());
    let mut left = started.clone();
    // A grandchild that was killed may take a moment to die.
    for _ in 0..500 {
        let living = living()?;
        left.retain(|group| living.contains(group));
        if left.is_empty() {
            break;
        }
        after(Duration::from_millis(10)).await?;
    }
    assert!(!started.is_empty() && left.is_empty(), "{how}: {left:?} live");
    println!("  {how}: {} processes were started, none is left", started.len());
    Ok(())
}

async fn run_all(started: &Started) -> io::Result<()> {
    const STEADY: &[Service] = &[POLITE, STUBBORN, FAMILY];
    const WITH_FLAKY: &[Service] = &[POLITE, STUBBORN, FAMILY, FLAKY];
    let supervisor = |services, then: fn(&Supervisor)| {
        let started = started.clone();
        scope(Smol, move |group| async move {
            start(&group, services, &started).await?;
            then(&group);
            pending::<io::Result<()>>().await
        })
    };

    let error = supervisor(WITH_FLAKY, |_| {}).await.unwrap_err();
    assert_eq!(error.primary().unwrap().to_string(), "flaky failed 3 times");
    assert_nothing_is_left("a service fails for good", started).await?;

    let panics = supervisor(STEADY, |group| group.launch(async { panic!("a bug of ours") }));
    assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
    assert_nothing_is_left("it panics", started).await?;

    let late = supervisor(STEADY, |_| {}).timeout(TIME).await.unwrap_err();
    assert_eq!(late.reason(), Some(&CancelReason::Deadline));
    assert_nothing_is_left("its time is over", started).await?;

    let around: Result<(), GroupError<io::Error>> = scope(Smol, |_| async move {
        // The scope around it waits for the future that `or` drops.
        future::or(async { supervisor(STEADY, |_| {}).await.map_err(io::Error::other) }, after(TIME)).await
    })
    .await;
    assert!(around.is_ok());
    assert_nothing_is_left("it is dropped", started).await?;

    let group = TaskGroup::fallible::<io::Error>(Smol);
    start(&group, STEADY, started).await?;
    let report = group.shutdown(Duration::from_millis(50)).await.map_err(io::Error::other)?;
    assert!(!report.is_graceful(), "nothing here looks at the soft signal");
    assert_nothing_is_left("it is shut down", started).await
}

fn main() -> io::Result<()> {
    println!("a supervisor of processes ends:");
    smol::block_on(run_all(&Started::default()))
}
