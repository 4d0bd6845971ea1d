//! The measurements, for people and for machines.

use std::fmt;

use crate::options::Selection;
use crate::runtimes;
use crate::workloads::{Job, Round, Workload};

/// The times of one cell.
#[derive(Clone, Copy)]
pub struct Times {
    nanoseconds: f64,
    ratio: f64,
    min: f64,
    max: f64,
}

impl Times {
    /// Compares each round with the same round of the reference; both in nanoseconds per child.
    pub fn new(rounds: &[f64], reference: &[f64]) -> Self {
        let mut ratios: Vec<_> = rounds.iter().zip(reference).map(|(mine, theirs)| mine / theirs).collect();
        let mut rounds = rounds.to_vec();
        let (ratio, nanoseconds) = (median(&mut ratios), median(&mut rounds));
        // The ratios are sorted by now.
        Self { nanoseconds, ratio, min: ratios[0], max: ratios[ratios.len() - 1] }
    }

    pub fn parse(line: &str) -> Result<Self, String> {
        let [nanoseconds, ratio, min, max] = numbers(line)?;
        Ok(Self { nanoseconds, ratio, min, max })
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} {:.3} {:.3} {:.3}", self.nanoseconds, self.ratio, self.min, self.max)
    }
}

/// Sorts the values, and returns the middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The allocations of one cell.
#[derive(Clone, Copy)]
pub struct Counts {
    allocations: f64,
    bytes: Option<f64>,
}

impl Counts {
    pub fn new(round: &Round) -> Self {
        Self { allocations: round.allocations_each(), bytes: round.bytes }
    }

    pub fn parse(line: &str) -> Result<Self, String> {
        let [allocations, bytes] = numbers(line)?;
        Ok(Self { allocations, bytes: Some(bytes).filter(|bytes| !bytes.is_nan()) })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} {}", self.allocations, or_dash(self.bytes.map(|bytes| format!("{bytes:.1}"))))
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// Parses `N` numbers. `-` stands for no number.
fn numbers<const N: usize>(line: &str) -> Result<[f64; N], String> {
    let number = |word| if word == "-" { Ok(f64::NAN) } else { str::parse(word) };
    let numbers = line.split_whitespace().map(number).collect::<Result<Vec<_>, _>>();
    let numbers = numbers.map_err(|error| format!("`{line}`: {error}"))?;
    numbers.try_into().map_err(|_| format!("`{line}` is not {N} numbers"))
}

/// A cell of the table.
pub struct Row {
    pub workload: Workload,
    pub contestant: &'static str,
    pub times: Option<Times>,
    pub counts: Option<Counts>,
}

/// The whole table of one runtime.
pub struct Report {
    runtime: &'static str,
    workloads: Vec<Workload>,
    contestants: Vec<&'static str>,
    rows: Vec<Row>,
    /// What was not done as it was asked for.
    notes: Vec<String>,
}

impl Report {
    /// Creates a report with the selected cells, which are still empty.
    pub fn new(runtime: &'static str, selection: &Selection) -> Self {
        let (mut rows, mut notes) = (Vec::new(), Vec::new());
        let lineup = runtimes::lineup(runtime);
        for &workload in &selection.workloads {
            let able = lineup.iter().filter(|competitor| competitor.workloads.contains(&workload));
            for competitor in able.filter(|competitor| selection.has(workload, competitor.name)) {
                let job = Job::at(workload, selection.scale, competitor.at_most);
                let asked = Job::at(workload, selection.scale, None);
                if job.map(|job| job.children()) != asked.map(|job| job.children()) {
                    notes.push(match job {
                        Some(job) => format!("{workload} {}: {} children", competitor.name, job.children()),
                        None => format!("{workload} {}: left out", competitor.name),
                    });
                }
                if job.is_some() {
                    rows.push(Row { workload, contestant: competitor.name, times: None, counts: None });
                }
            }
        }
        if !notes.is_empty() {
            notes.insert(
                0,
                "whose time is quadratic in the children has fewer, compared to as few:".to_owned(),
            );
        }
        let present = |name: &str| rows.iter().any(|row| row.contestant == name);
        for competitor in lineup.iter().filter(|competitor| competitor.late && present(competitor.name)) {
            notes.push(format!("{}: may end before the last futures are destroyed", competitor.name));
        }
        let contestants = lineup.iter().map(|competitor| competitor.name);
        let contestants = contestants.filter(|name| present(name)).collect();
        Self { runtime, workloads: selection.workloads.clone(), contestants, rows, notes }
    }

    pub fn row(&mut self, workload: &str, contestant: &str) -> Result<&mut Row, String> {
        let workload: Workload = workload.parse()?;
        let mut rows = self.rows.iter_mut();
        let row = rows.find(|row| row.workload == workload && row.contestant == contestant);
        row.ok_or_else(|| format!("nobody has asked for {workload} {contestant}"))
    }

    /// Printed in place of a table if the figures mean nothing.
    pub fn in_order(&self) -> String {
        format!("{}: {} cells in order", self.runtime, self.rows.len())
    }

    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.rows.iter_mut()
    }

    /// One line of the table, with what `text` returns for each cell.
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        workload: Workload,
        label: &str,
        text: impl Fn(&Row) -> Option<String>,
    ) -> fmt::Result {
        write!(f, "{:<11}", format!("{workload} {label}"))?;
        for contestant in &self.contestants {
            let mut rows = self.rows.iter();
            let row = rows.find(|row| row.workload == workload && row.contestant == *contestant);
            write!(f, "{:>20}", row.and_then(&text).unwrap_or_default())?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<11}", self.runtime)?;
        for contestant in &self.contestants {
            write!(f, "{contestant:>20}")?;
        }
        writeln!(f)?;
        for &workload in self.workloads.iter().filter(|workload| workload.is_timed()) {
            self.line(f, workload, "", |row| {
                row.times.map(|times| match row.contestant == workload.reference() {
                    true => format!("{:.0} ns", times.nanoseconds),
                    false => format!("{:.2} ({:.2}-{:.2})", times.ratio, times.min, times.max),
                })
            })?;
        }
        for &workload in &self.workloads {
            if workload.is_timed() {
                self.line(f, workload, "allocs", |row| {
                    row.counts.map(|counts| format!("{:.2}", counts.allocations))
                })?;
            }
            if self.rows.iter().any(|row| row.workload == workload && row.bytes().is_some()) {
                self.line(f, workload, "bytes", |row| row.bytes().map(|bytes| format!("{bytes:.0}")))?;
            }
        }
        for note in &self.notes {
            writeln!(f, "# {note}")?;
        }
        writeln!(f, "# runtime workload contestant ns ratio min max allocs bytes")?;
        for row in &self.rows {
            let times = row.times.map(|times| times.to_string()).unwrap_or_else(|| "- - - -".to_owned());
            let counts = row.counts.map(|counts| counts.to_string()).unwrap_or_else(|| "- -".to_owned());
            writeln!(f, "{} {} {} {times} {counts}", self.runtime, row.workload, row.contestant)?;
        }
        Ok(())
    }
}

impl Row {
    fn bytes(&self) -> Option<f64> {
        self.counts.and_then(|counts| counts.bytes)
    }
}
