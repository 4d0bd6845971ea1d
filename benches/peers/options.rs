//! The command line.

use std::str::FromStr;

use crate::contestants::{FLOOR, HANDLES, is_aside};
use crate::runtimes;
use crate::workloads::{Scale, Workload};

pub const USAGE: &str = "\
usage: cargo bench --bench peers --features smol,async-std,tokio,pool -- [OPTIONS]

  --rt NAMES    only these runtimes
  --wl NAMES    only these workloads
  --only NAMES  only these contestants, and whomever they are compared to
  --rounds N    so many rounds instead of 15 (of the large workloads 7)
  --quick       fewer children and rounds, for a look: under a minute for everything
  --test        every cell once with a few children, to see that it works
  --callgrind RUNTIME WORKLOAD CONTESTANT CHILDREN
                runs one round of one cell in this process and prints nothing of it
  --help        show this

NAMES are separated by commas. `cargo test` passes no `--bench`, and gets `--test`.
";

pub enum Request {
    Help,
    /// Everything that is selected, with a process for each pass.
    Compare(Selection),
    /// The timing pass of one runtime, in this process.
    Time(&'static str, Selection),
    /// One round of one cell with the allocator counting, in this process.
    Count(Cell, Scale),
    /// One round of one cell with this many children, in this process.
    Once(Cell, usize),
}

pub struct Selection {
    pub runtimes: Vec<&'static str>,
    pub workloads: Vec<Workload>,
    contestants: Option<Vec<&'static str>>,
    pub rounds: Option<usize>,
    pub scale: Scale,
}

impl Selection {
    /// Whether the contestant is wanted, or is needed as the reference of others.
    pub fn has(&self, workload: Workload, contestant: &str) -> bool {
        let named = |names: &Vec<&str>| names.contains(&contestant);
        let wanted = self.contestants.as_ref().map_or(!is_aside(contestant), named);
        wanted || workload.reference() == contestant
    }

    /// Returns the arguments that select the same.
    pub fn arguments(&self) -> Vec<String> {
        let workloads: Vec<_> = self.workloads.iter().map(Workload::to_string).collect();
        let mut arguments = vec!["--bench".to_owned(), "--wl".to_owned(), workloads.join(",")];
        if let Some(names) = &self.contestants {
            arguments.extend(["--only".to_owned(), names.join(",")]);
        }
        if let Some(rounds) = self.rounds {
            arguments.extend(["--rounds".to_owned(), rounds.to_string()]);
        }
        arguments.extend(self.scale.argument().map(str::to_owned));
        arguments
    }
}

impl Scale {
    pub fn argument(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::Quick => Some("--quick"),
            Self::Smoke => Some("--test"),
        }
    }
}

/// A place in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub runtime: &'static str,
    pub workload: Workload,
    pub contestant: &'static str,
}

pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut arguments = Arguments(arguments);
    let (mut bench, mut test, mut quick) = (false, false, false);
    let (mut runtimes, mut workloads, mut contestants, mut rounds) = (None, None, None, None);
    let (mut time, mut count, mut once) = (None, None, None);
    while let Some(argument) = arguments.0.next() {
        match &*argument {
            "--help" | "-h" => return Ok(Request::Help),
            "--bench" => bench = true,
            "--test" => test = true,
            "--quick" => quick = true,
            "--rt" => runtimes = Some(arguments.list("--rt", runtime)?),
            "--wl" => workloads = Some(arguments.list("--wl", Workload::from_str)?),
            "--only" => contestants = Some(arguments.list("--only", contestant)?),
            "--rounds" => rounds = Some(arguments.number("--rounds")?),
            "--callgrind" => once = Some((arguments.cell("--callgrind")?, arguments.number("--callgrind")?)),
            // The two arguments with which this program calls itself.
            "--time" => time = Some(runtime(&arguments.next("--time")?)?),
            "--count" => count = Some(arguments.cell("--count")?),
            unknown => return Err(format!("unknown argument `{unknown}`; `--help` lists them")),
        }
    }
    let scale = match (test || !bench, quick) {
        (true, _) => Scale::Smoke,
        (false, true) => Scale::Quick,
        (false, false) => Scale::Full,
    };
    let selection = Selection {
        runtimes: runtimes.unwrap_or_else(|| runtimes::NAMES.to_vec()),
        workloads: workloads.unwrap_or_else(|| Workload::ALL.to_vec()),
        contestants,
        rounds,
        scale,
    };
    Ok(match (once, count, time) {
        (Some((cell, children)), ..) => Request::Once(cell, children),
        (_, Some(cell), _) => Request::Count(cell, scale),
        (.., Some(runtime)) => Request::Time(runtime, selection),
        _ => Request::Compare(selection),
    })
}

struct Arguments<I>(I);

impl<I: Iterator<Item = String>> Arguments<I> {
    fn next(&mut self, option: &str) -> Result<String, String> {
        self.0.next().ok_or_else(|| format!("`{option}` wants more; see `--help`"))
    }

    fn list<T>(&mut self, option: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.next(option)?.split(',').map(one).collect()
    }

    fn number(&mut self, option: &str) -> Result<usize, String> {
        let number = self.next(option)?;
        match number.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("`{option}` wants a number above zero, not `{number}`")),
        }
    }

    fn cell(&mut self, option: &str) -> Result<Cell, String> {
        let runtime = runtime(&self.next(option)?)?;
        let workload = self.next(option)?.parse()?;
        let contestant = contestant(&self.next(option)?)?;
        Ok(Cell { runtime, workload, contestant })
    }
}

fn runtime(name: &str) -> Result<&'static str, String> {
    known("runtime", name, &runtimes::NAMES)
}

fn contestant(name: &str) -> Result<&'static str, String> {
    let mut names = vec![FLOOR, HANDLES];
    for competitor in runtimes::NAMES.into_iter().flat_map(runtimes::lineup) {
        if !names.contains(&competitor.name) {
            names.push(competitor.name);
        }
    }
    known("contestant", name, &names)
}

fn known(what: &str, name: &str, names: &[&'static str]) -> Result<&'static str, String> {
    let found = names.iter().copied().find(|known| *known == name);
    found.ok_or_else(|| format!("unknown {what} `{name}`; there are {}", names.join(" ")))
}
