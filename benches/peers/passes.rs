//! The passes, each in a process of its own: one for each runtime for the times, one for each cell for the allocations.
//!
//! The times are ratios of rounds that were run next to each other, in an order that is rotated, and reversed in every
//! other round. So whatever else the machine does affects all contestants alike, and none always comes after the same other
//! one. A cell whose allocations are counted has a runtime that was not used before, so its count includes what the runtime
//! itself grows by.

use std::env;
use std::process::{Command, Stdio};

use crate::contestants::Entry;
use crate::counting;
use crate::options::{Cell, Selection};
use crate::report::{Counts, Report, Times};
use crate::runtimes::{self, Host, Visit};
use crate::workloads::{Job, Round, Scale};

/// Runs everything that is selected, and prints the results.
pub fn compare(selection: &Selection) -> Result<(), String> {
    for &runtime in &selection.runtimes {
        eprintln!("peers: {runtime}");
        let mut report = Report::new(runtime, selection);
        let mut arguments = selection.arguments();
        arguments.extend(["--time".to_owned(), runtime.to_owned()]);
        for line in again(&arguments)?.lines() {
            let (workload, rest) = line.split_once(' ').ok_or("a line without a contestant")?;
            let (contestant, times) = rest.split_once(' ').ok_or("a line without times")?;
            report.row(workload, contestant)?.times = Some(Times::parse(times)?);
        }
        for row in report.rows_mut() {
            let mut arguments = vec!["--bench".to_owned(), "--count".to_owned()];
            arguments.extend([runtime, &row.workload.to_string(), row.contestant].map(str::to_owned));
            arguments.extend(selection.scale.argument().map(str::to_owned));
            row.counts = Some(Counts::parse(&again(&arguments)?)?);
        }
        match selection.scale {
            Scale::Smoke => println!("{}", report.in_order()),
            _ => println!("{report}"),
        }
    }
    Ok(())
}

/// Runs this program with other arguments, and returns what it prints.
fn again(arguments: &[String]) -> Result<String, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    // Two threads for async-std, whatever the machine has.
    command.args(arguments).env("ASYNC_STD_THREAD_COUNT", "2").stderr(Stdio::inherit());
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(|error| error.to_string()),
        false => Err(format!("`{}` has failed: {}", arguments.join(" "), output.status)),
    }
}

/// Times the runtime that is visited, and prints a line for each cell.
pub struct Time<'a>(pub &'a Selection);

impl Visit for Time<'_> {
    type Output = Result<(), String>;

    fn visit<H: Host>(self, host: H) -> Result<(), String> {
        let Self(selection) = self;
        let contestants = H::contestants();
        for &workload in selection.workloads.iter().filter(|workload| workload.is_timed()) {
            let able = contestants.iter().filter(|entry| entry.drive(workload).is_some());
            let job = |entry: &Entry<_>| Job::at(workload, selection.scale, entry.at_most);
            let wanted = able.filter(|entry| selection.has(workload, entry.name));
            let mut cells: Vec<_> = wanted.filter_map(|entry| Some((entry, job(entry)?))).collect();
            let shown = cells.len();
            let reference = contestants.iter().find(|entry| entry.name == workload.reference());
            let reference = reference.expect("it is on every runtime");
            // A contestant with fewer children is compared to a reference with as many, because fewer children are
            // cheaper for all.
            let mut compared = Vec::with_capacity(shown);
            for cell in 0..shown {
                let job = cells[cell].1;
                let same = |(entry, size): &(&Entry<_>, Job)| {
                    entry.name == reference.name && size.children() == job.children()
                };
                compared.push(cells.iter().position(same).unwrap_or_else(|| {
                    cells.push((reference, job));
                    cells.len() - 1
                }));
            }
            // Rounds that are not counted come first.
            let warm_up = if selection.scale == Scale::Smoke { 0 } else { 1 };
            let rounds = selection.rounds.unwrap_or_else(|| workload.rounds(selection.scale));
            let mut times = vec![Vec::with_capacity(rounds); cells.len()];
            for round in 0..warm_up + rounds {
                for turn in 0..cells.len() {
                    let turn = if round % 2 == 0 { turn } else { cells.len() - 1 - turn };
                    let cell = (round + turn) % cells.len();
                    let (entry, job) = cells[cell];
                    let nanoseconds = run(&host, entry, job)?.nanoseconds();
                    if round >= warm_up {
                        times[cell].push(nanoseconds);
                    }
                }
            }
            for (cell, reference) in compared.into_iter().enumerate() {
                let (entry, _) = cells[cell];
                println!("{workload} {} {}", entry.name, Times::new(&times[cell], &times[reference]));
            }
        }
        Ok(())
    }
}

fn run<H: Host>(host: &H, entry: &Entry<H::Runtime>, job: Job) -> Result<Round, String> {
    let parent = entry.start(host.runtime(), job);
    let parent = parent.ok_or_else(|| format!("`{}` has no way to run {}", entry.name, job.workload))?;
    host.run(parent).map_err(|fault| format!("{} {}: {fault}", job.workload, entry.name))
}

/// Counts the allocations of one cell of the runtime that is visited, and prints them.
pub struct Count(pub Cell, pub Scale);

impl Visit for Count {
    type Output = Result<(), String>;

    fn visit<H: Host>(self, host: H) -> Result<(), String> {
        let Self(cell, scale) = self;
        let entry = entry::<H>(cell)?;
        let job = Job::at(cell.workload, scale, entry.at_most).ok_or("left out")?;
        assert!(counting::is_on(), "it is switched on before the runtime is there");
        println!("{}", Counts::new(&run(&host, &entry, job)?));
        Ok(())
    }
}

/// Runs one round of one cell with this many children.
pub struct Once(pub Cell, pub usize);

impl Visit for Once {
    type Output = Result<(), String>;

    fn visit<H: Host>(self, host: H) -> Result<(), String> {
        let Self(cell, children) = self;
        let entry = entry::<H>(cell)?;
        measured_cell(&host, &entry, Job::new(cell.workload, children)).map(drop)
    }
}

/// The function that a profiler is told to collect. It has to be found by its name.
#[inline(never)]
fn measured_cell<H: Host>(host: &H, entry: &Entry<H::Runtime>, job: Job) -> Result<Round, String> {
    run(host, entry, job)
}

fn entry<H: Host>(cell: Cell) -> Result<Entry<H::Runtime>, String> {
    let entry = H::contestants().into_iter().find(|entry| entry.name == cell.contestant);
    entry.ok_or_else(|| {
        let names: Vec<_> = runtimes::lineup(cell.runtime).iter().map(|competitor| competitor.name).collect();
        format!("no contestant `{}` on {}; there are {}", cell.contestant, cell.runtime, names.join(" "))
    })
}
