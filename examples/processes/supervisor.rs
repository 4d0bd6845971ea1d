//! The supervisor: a child runs each process, and a clean-up of that child ends it.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::io::{AsyncBufReadExt, BufReader};
use futures_lite::{StreamExt, future};
use smol::process::{Child, Command};
use smol::{Timer, lock};
use taskgroup::group::Ready;
use taskgroup::{Group, Smol, scope};

/// How long a process has to end after SIGTERM, before it is killed.
const GRACE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 3;

pub type Service = (&'static str, &'static str);
pub type Supervisor = Group<Smol, io::Error>;
/// The id of every process that was started, which is also the id of its process group.
pub type Started = Arc<Mutex<Vec<u32>>>;

/// Runs a service until it ends well. A service that fails is started again; too many failures are an error.
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

/// Runs a process in a child of `group`: when the group has been joined, the process is gone.
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
    // There is no await between the start and the clean-up, so the child cannot be dropped between them.
    let mut process = command.spawn()?;
    started.lock().unwrap().push(process.id());
    let output = process.stdout.take().expect("it is piped");
    let process = Arc::new(lock::Mutex::new(process));
    let left = process.clone();
    group.defer(async move { end(&mut *left.lock().await).await });

    let mut lines = BufReader::new(output).lines();
    while lines.next().await.transpose()?.is_some() {
        // The first line that the process prints means that it is up.
        ready.take().into_iter().for_each(|ready| ready.set(()));
    }
    process.lock().await.status().await
}

/// Ends a process and everything that it has started, and waits for the process.
async fn end(process: &mut Child) -> io::Result<()> {
    let group = process.id();
    signal("TERM", group).await?;
    future::or(async { process.status().await.map(drop) }, after(GRACE)).await?;
    signal("KILL", group).await?; // for what is left of the process group
    process.status().await.map(drop)
}

pub async fn after(time: Duration) -> io::Result<()> {
    Timer::after(time).await;
    Ok(())
}

/// Signals a process group, if there is one.
async fn signal(signal: &str, group: u32) -> io::Result<()> {
    let mut kill = Command::new("sh"); // `kill` is built into the shell
    kill.args(["-c", &format!("kill -s {signal} -- -{group}")]).stderr(Stdio::null()).status().await.map(drop)
}

/// Starts the services in order, each after the service before it is up.
pub async fn start(group: &Supervisor, services: &[Service], started: &Started) -> io::Result<()> {
    for &service in services {
        group.start(|ready| keep(service, started.clone(), ready)).await.map_err(io::Error::other)?;
    }
    Ok(())
}
