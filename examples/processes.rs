//! A supervisor of processes: it restarts what fails, gives up in time, and leaves no process behind.
//!
//!     cargo run --example processes
//!
//! However the child that runs a process ends, a clean-up ends the process and all that it started: first politely, then
//! not. Five supervisors end, each in another way, and their processes are looked for. One that is itself killed cleans
//! nothing up.

use std::future::pending;
use std::io;
use std::panic::AssertUnwindSafe;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::io::{AsyncBufReadExt, BufReader};
use futures_lite::{FutureExt, StreamExt, future};
use smol::process::{Child, Command};
use smol::{Timer, lock};
use taskgroup::group::Ready;
use taskgroup::{CancelReason, Group, GroupError, Smol, TaskGroup, scope};

/// How long a process has from being asked to end until it is killed.
const GRACE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 3;
/// How long a supervisor has in all, where its time is limited.
const TIME: Duration = Duration::from_millis(300);

type Service = (&'static str, &'static str);
type Supervisor = Group<Smol, io::Error>;
/// The number of every process that was started, which is that of its process group as well.
type Started = Arc<Mutex<Vec<u32>>>;

const POLITE: Service = ("polite", "echo up; while :; do sleep 1; done");
const STUBBORN: Service = ("stubborn", "trap '' TERM; echo up; while :; do sleep 1; done");
const FAMILY: Service = ("family", "sleep 100 & sleep 100 & echo up; wait");
const FLAKY: Service = ("flaky", "echo up; sleep 0.05; exit 7");

/// Runs a service until it ends well. One that fails is started again, and is an error when it has failed too often.
async fn keep(service: Service, started: Started, ready: Ready<()>) -> io::Result<()> {
    let mut ready = Some(ready);
    for attempt in 1..=ATTEMPTS {
        let (started, ready) = (started.clone(), ready.take());
        let process = scope(Smol, |group| async move {
            let process = run(group.clone(), service, started, ready);
            Ok(group.child().name(service.0).spawn(process).value().await)
        });
        let status = process.await.map_err(|error| error.into_primary().unwrap_or_else(io::Error::other))?;
        if status.success() {
            return Ok(());
        }
        println!("    {}: attempt {attempt}, {status}", service.0);
    }
    Err(io::Error::other(format!("{} failed {ATTEMPTS} times", service.0)))
}

/// Runs a process, as a child of `group`: when that has been joined, the process is gone.
async fn run(
    group: Supervisor,
    (_, script): Service,
    started: Started,
    mut ready: Option<Ready<()>>,
) -> io::Result<ExitStatus> {
    let mut command = std::process::Command::new("sh");
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut command = Command::from(command);
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    // No await between the start and the clean-up, so there is nothing that could be cut.
    let mut process = command.spawn()?;
    started.lock().unwrap().push(process.id());
    let output = process.stdout.take().expect("it is piped");
    let process = Arc::new(lock::Mutex::new(process));
    let left = process.clone();
    group.defer(async move { end(&mut *left.lock().await).await });

    let mut lines = BufReader::new(output).lines();
    while lines.next().await.transpose()?.is_some() {
        // The first line that it says means that it is up.
        ready.take().into_iter().for_each(|ready| ready.set(()));
    }
    process.lock().await.status().await
}

/// Ends a process and what it has started, and waits for it.
async fn end(process: &mut Child) -> io::Result<()> {
    let group = process.id();
    signal("TERM", group).await?;
    future::or(async { process.status().await.map(drop) }, after(GRACE)).await?;
    signal("KILL", group).await?; // whatever is left of it
    process.status().await.map(drop)
}

async fn after(time: Duration) -> io::Result<()> {
    Timer::after(time).await;
    Ok(())
}

/// Signals a process group, if there is one.
async fn signal(signal: &str, group: u32) -> io::Result<()> {
    let group = format!("-{group}");
    let kill = Command::new("kill").args(["-s", signal, "--", &group]).stderr(Stdio::null()).status();
    kill.await.map(drop)
}

/// Starts services, each when the one before is up.
async fn start(group: &Supervisor, services: &[Service], started: &Started) -> io::Result<()> {
    for &service in services {
        group.start(|ready| keep(service, started.clone(), ready)).await.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Looks for all that was started, and forgets it.
async fn assert_nothing_is_left(how: &str, started: &Started) -> io::Result<()> {
    let started = std::mem::take(&mut *started.lock().unwrap());
    let all = Command::new("ps").args(["-A", "-o", "pgid=,stat=,args="]).output().await?.stdout;
    let left = String::from_utf8_lossy(&all)
        .lines()
        .filter(|line| {
            let (group, state) = line.trim().split_once(' ').unwrap_or_default();
            // Somebody else's child that is dead is for init to bury.
            started.iter().any(|ours| group == ours.to_string()) && !state.trim().starts_with('Z')
        })
        .map(str::to_string)
        .collect::<Vec<_>>();
    assert!(!started.is_empty() && !all.is_empty() && left.is_empty(), "{how}: {left:?}");
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
        // What `or` drops is waited for by the scope around it.
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
